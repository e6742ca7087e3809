"""A plan that was saved and is carried out later: exactly that, or nothing."""

import datetime
import decimal
import json
import uuid

import pytest
from django.db import models

from automigrate_ext import Plan, UnusablePlan, automigrate, autoupdate, make_plan, run_plan
from automigrate_ext.plan.saved import ANYTHING, Expected, is_same, other_statements, read_plan
from automigrate_ext.schema.nouns import Schema
from tests.acceptance.helper import State, fingerprint, item


@pytest.fixture
def route():
    """The tables come to be in one way: what is saved does not depend on it."""
    return "automigrate"


NAME = models.CharField(max_length=20)
SIZE = models.IntegerField(null=True)
BEFORE = item(name=NAME, size=SIZE)
AFTER = item(name=models.CharField(max_length=30), size=SIZE, more=models.IntegerField())
ROWS = {"Item": [{"name": "a", "size": 1}, {"name": "b", "size": 2}]}
DEFAULTS = {"shop.Item.more": 3}


@pytest.fixture
def filled(case):
    """A case with two rows before the change."""
    case.build(BEFORE)
    case.insert(BEFORE, ROWS)
    return case


def saved(case, state=AFTER, **options):
    """What `--dry-run --format json` prints."""
    return case.plan(state, **options).as_json()


def run(case, text, state=AFTER):
    return run_plan(text, apps=state.apps)


def refuses(case, text, *words, state=AFTER):
    """The plan is not run, nothing is touched, and the error says why."""
    trace = fingerprint(case.connection)
    with pytest.raises(UnusablePlan) as caught:
        run(case, text, state)
    assert fingerprint(case.connection) == trace
    for word in words:
        assert word in str(caught.value)
    return str(caught.value)


def test_it_does_what_it_says(filled):
    text = saved(filled, defaults=DEFAULTS)
    done = run(filled, text)
    assert list(done.statements) == json.loads(text)["statements"]
    assert filled.values("shop_item", "more") == [(3,), (3,)]
    filled.assert_settled(AFTER)


def test_all_options_are_in_it(filled):
    after = item(title=NAME, more=models.DecimalField(max_digits=5, decimal_places=2))
    options = {
        "renames": {"shop.Item.name": "title"},
        "defaults": {"shop.Item.more": decimal.Decimal("1.50")},
        "accept_data_loss": True,
    }
    filled.execute("CREATE INDEX by_hand ON shop_item (name)")
    text = saved(filled, after, prune=True, **options)
    assert json.loads(text)["request"] == {
        "command": "autoupdate",
        "models": None,
        "renames": {"shop.Item.name": "title"},
        "defaults": {"shop.Item.more": "1.50"},
        "accept_data_loss": True,
        "prune": True,
        "cascade": False,
        "expand": False,
        "contract": False,
        "online": False,
        "rewrite_limit": None,
    }
    run(filled, text, after)
    filled.assert_settled(after)
    assert set(after["Item"]._base_manager.using(filled.alias).values_list("more")) == {(decimal.Decimal("1.50"),)}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (models.DateField(), datetime.date(2020, 2, 3)),
        (models.DateTimeField(), datetime.datetime(2020, 2, 3, 4, 5, 6, 7, tzinfo=datetime.UTC)),
        (models.DurationField(), datetime.timedelta(days=1, seconds=2)),
        (models.UUIDField(), uuid.UUID(int=5)),
        (models.BooleanField(), False),
        (models.FloatField(), 1.5),
        (models.JSONField(), {"a": [1, None, "x"]}),
        (models.TextField(), "it's \\ 100%\n"),
    ],
)
def test_values_survive(filled, field, value):
    after = item(name=NAME, size=SIZE, more=field)
    run(filled, saved(filled, after, defaults={"shop.Item.more": value}), after)
    assert list(after["Item"]._base_manager.using(filled.alias).values_list("more", flat=True)) == [value, value]


def test_labels(filled):
    state = State(Item={"name": models.TextField(), "size": SIZE}, Other={"name": NAME})
    plan = make_plan(["shop.Item"], using=filled.alias, apps=state.apps)
    assert json.loads(plan.as_json())["request"]["models"] == ["shop.Item"]
    run(filled, plan, state)
    assert "shop_other" not in filled.connection.introspection.table_names()
    assert make_plan([state["Item"]], using=filled.alias, apps=state.apps).request.models == ("shop.Item",)


@pytest.mark.parametrize("form", [lambda plan: plan, lambda plan: plan.as_json(), lambda plan: plan.as_dict()])
def test_plan_text_or_values(filled, form):
    run(filled, form(filled.plan(AFTER, defaults=DEFAULTS)))
    filled.assert_settled(AFTER)


def test_more_rows_do_not_matter(filled):
    text = saved(filled, defaults=DEFAULTS)
    filled.insert(BEFORE, ROWS)
    assert len(run(filled, text).changes) == 2


# What differs from plan to plan


@pytest.mark.parametrize(
    "field",
    [
        models.DateTimeField(auto_now=True),
        models.DateField(auto_now_add=True),
        models.UUIDField(default=uuid.uuid4),
        models.CharField(max_length=50, default=lambda: f"it's {uuid.uuid4()}"),
    ],
)
def test_called_values_may_be_others(filled, field):
    after = item(name=NAME, size=SIZE, more=field)
    text = saved(filled, after)
    run(filled, text, after)
    filled.assert_settled(after)


def test_another_default_is_another_plan(filled):
    def after(default):
        return item(name=NAME, size=SIZE, more=models.IntegerField(default=default))

    text = saved(filled, after(3))
    refuses(filled, text, "statement ", " was ", state=after(4))


def test_called_value_hides_nothing_else():
    stable = f"UPDATE t SET a = {ANYTHING}, b = 1"
    assert is_same("UPDATE t SET a = 'x''y\n', b = 1", stable)
    assert not is_same("UPDATE t SET a = 'x', b = 2", stable)
    assert not is_same("UPDATE u SET a = 'x', b = 1", stable)


def test_statements_for_each_row_may_be_any_number():
    each = Expected(sql="-- UPDATE t: ...", each_row=f"UPDATE t SET a = {ANYTHING}")
    expected = [Expected(sql="BEFORE"), each, Expected(sql="UPDATE t SET b = 1")]
    rows = ["UPDATE t SET a = 1 WHERE id = 1", "UPDATE t SET a = 2 WHERE id = 2"]
    for found in (rows, [], ["-- UPDATE t: ..."]):
        assert not list(other_statements(["BEFORE", *found, "UPDATE t SET b = 1"], expected))
    for wrong in (["BEFORE", *rows], ["BEFORE", "UPDATE u", "UPDATE t SET b = 1"], ["UPDATE t SET b = 1"]):
        assert list(other_statements(wrong, expected))


# The database is no longer the one


def test_changed_models(filled):
    text = saved(filled, defaults=DEFAULTS)
    other = item(name=NAME, size=SIZE, more=models.IntegerField())
    error = refuses(filled, text, "no longer: Change column shop_item.name", state=other)
    assert "The plan no longer holds" in error and "more" not in error.split("no longer:")[1].split(";")[0]


def test_changed_tables(filled):
    text = saved(filled, defaults=DEFAULTS)
    filled.execute("ALTER TABLE shop_item ADD COLUMN by_hand integer")
    refuses(filled, text, "the tables are others")


def test_done_already(filled):
    text = saved(filled, defaults=DEFAULTS)
    run(filled, text)
    refuses(filled, text, "the tables are others", "no longer: Add column shop_item.more")


def test_row_that_changes_a_verdict(filled):
    after = item(name=NAME, size=models.IntegerField())
    text = saved(filled, after)
    filled.insert(BEFORE, {"Item": [{"name": "c"}]})
    refuses(filled, text, "(refuse null-values)", state=after)


def test_value_that_would_be_lost_now(filled):
    """The plan dropped an empty column; nobody has seen that it holds a value now, although losses were accepted."""
    before, after = item(name=NAME, size=SIZE, extra=SIZE), BEFORE
    filled.run(before)
    text = saved(filled, after, accept_data_loss=True)
    assert json.loads(text)["changes"][0]["hazards"] == []
    filled.insert(before, {"Item": [{"name": "c", "extra": 9}]})
    refuses(filled, text, "(apply drops-column)", state=after)


def test_change_between_the_looks(filled, monkeypatch):
    """What another session does before the lock is had is seen under it."""
    text = saved(filled, defaults=DEFAULTS)
    monkeypatch.setattr(
        "automigrate_ext.run.update.Update.send_pre_migrate",
        lambda update: filled.execute("ALTER TABLE shop_item ADD COLUMN by_hand integer"),
    )
    with pytest.raises(UnusablePlan, match="the tables are others"):
        run(filled, text)


def test_work_done_between_the_looks(filled, monkeypatch):
    text = saved(filled, defaults=DEFAULTS)
    sent = []

    def other_session(update):
        if not sent:
            sent.append(update)
            filled.run(AFTER, defaults=DEFAULTS)

    monkeypatch.setattr("automigrate_ext.run.update.Update.send_pre_migrate", other_session)
    with pytest.raises(UnusablePlan, match="no longer: Add column"):
        run(filled, text)
    filled.assert_settled(AFTER)


def test_receivers_hear_nothing_of_an_outdated_plan(filled, monkeypatch):
    text = saved(filled, defaults=DEFAULTS)
    filled.execute("ALTER TABLE shop_item ADD COLUMN by_hand integer")
    monkeypatch.setattr("automigrate_ext.run.update.Update.send_pre_migrate", pytest.fail)
    refuses(filled, text)


def test_other_vendor(filled):
    values = json.loads(saved(filled, defaults=DEFAULTS))
    values["vendor"] = "oracle"
    refuses(filled, json.dumps(values), "it was made for oracle")


def test_tampered_statement(filled):
    values = json.loads(saved(filled, defaults=DEFAULTS))
    values["statements"][-1] += "; DROP TABLE shop_item"
    refuses(filled, json.dumps(values), "statement", "DROP TABLE shop_item")


def test_tampered_with_statements_more_or_less(filled):
    values = json.loads(saved(filled, defaults=DEFAULTS))
    values["statements"].append("DROP TABLE shop_item")
    refuses(filled, json.dumps(values), "and would not run now")


# No plan


EMPTY = Plan(alias="default", vendor="sqlite", schema=Schema({}))


def broken(**changes):
    values = EMPTY.as_dict() | {"statements": ["SELECT 1"]}
    values |= changes
    return json.dumps({key: value for key, value in values.items() if value is not ...})


BROKEN = {
    "": "not JSON",
    "{": "not JSON",
    "[" * 100_000: "not JSON",
    "[]": "no plan",
    "7": "no plan",
    '{"a": 1}': "no plan",
    broken(version=2): "version 2",
    broken(version="1"): "version '1'",
    broken(statements=[1]): "has 1 as its 'statements'",
    broken(statements="DROP"): "has 'DROP' as its 'statements'",
    broken(digest=...): "lacks 'digest'",
    broken(vendor=None): "has None as its 'vendor'",
    broken(request=...): "lacks 'request'",
    broken(request={}): "lacks 'renames'",
    broken(changes=[{}]): "lacks 'table'",
    broken(changes=["x"]): "has 'x' as its 'changes'",
    broken(database="nowhere"): "'nowhere', which is not in DATABASES",
}


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_bad_plans(text):
    with pytest.raises(UnusablePlan) as caught:
        run_plan(text)
    assert BROKEN[text] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["command", "models", "renames", "defaults", "accept_data_loss", "prune", "cascade"])
def test_request_with_a_key_missing_or_of_another_kind(key):
    request = EMPTY.request.as_dict()
    for values in ({**request, key: 5}, {name: value for name, value in request.items() if name != key}):
        with pytest.raises(UnusablePlan, match=f"'{key}'"):
            read_plan(broken(request=values))


def test_refused_plan(filled):
    refuses(filled, saved(filled), "was refused when it was made: Add column shop_item.more")


def test_empty_plan_is_a_success_as_long_as_it_holds(filled):
    empty = saved(filled, BEFORE)
    plan = run_plan(empty, apps=BEFORE.apps)
    assert (plan.statements, bool(plan)) == ((), False)
    refuses(filled, empty, "no longer holds")


def test_plan_of_automigrate(filled):
    plan = automigrate(using=filled.alias, apps=BEFORE.apps, dry_run=True)
    refuses(filled, plan.as_json(), "one of automigrate", state=BEFORE)


def test_plan_of_what_was_carried_out(filled):
    done = autoupdate(using=filled.alias, apps=AFTER.apps, defaults=DEFAULTS)
    refuses(filled, done, "no longer holds")
