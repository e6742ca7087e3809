"""The entries of AUTOMIGRATE["BEFORE"] and ["AFTER"]: when they run, what is undone, what a plan says of them."""

import io
import json
from types import SimpleNamespace

import pytest
from django.core.management import call_command
from django.db import connections, models, transaction
from django.db.models.signals import post_migrate

from automigrate_ext import (
    AutomigrateError,
    ExecutionFailed,
    Refused,
    UnusablePlan,
    automigrate,
    autoupdate,
    is_actual,
    make_plan,
    run_plan,
)
from automigrate_ext.plan.text import lines
from automigrate_ext.signals import post_run, pre_run
from tests.acceptance.helper import Case, State, fingerprint, item
from tests.features import need
from tests.plan_shape import STRICT

TEXT, NUMBER = models.CharField(max_length=40), models.IntegerField(null=True)

#: What the functions below were called with.
CALLS = []


def note(using):
    CALLS.append(using)


def note_again(using):
    CALLS.append(f"{using} again")


def seed(using):
    with connections[using].cursor() as cursor:
        cursor.execute("DELETE FROM shop_item WHERE name = 'seeded; by \"function\"'")
        cursor.execute("INSERT INTO shop_item (name) VALUES ('seeded; by \"function\"')")


def fail(using):
    raise ZeroDivisionError("of a function")


def no_arguments():
    raise AssertionError("never called")


SEED = (
    "DELETE FROM shop_item WHERE name = 'it''s 100%; done';\nINSERT INTO shop_item (name) VALUES ('it''s 100%; done');"
)
VIEW = "DROP VIEW IF EXISTS names; CREATE VIEW names AS SELECT name FROM shop_item -- the last line"
TRIGGERS = {
    "sqlite": """
DROP TRIGGER IF EXISTS shout;
CREATE TRIGGER shout AFTER INSERT ON shop_item BEGIN
    UPDATE shop_item SET name = 'a;' WHERE id = NEW.id; -- semicolons; inside
    UPDATE shop_item SET name = upper(name) || '!' WHERE id = NEW.id;
END;
""",
    "postgresql": """
CREATE OR REPLACE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.name = 'a;'; -- semicolons; inside
    NEW.name = upper(NEW.name) || '!';
    RETURN NEW;
END $$;
DROP TRIGGER IF EXISTS shout ON shop_item;
CREATE TRIGGER shout BEFORE INSERT ON shop_item FOR EACH ROW EXECUTE FUNCTION shout();
""",
    "mysql": """
DROP TRIGGER IF EXISTS shout;
CREATE TRIGGER shout BEFORE INSERT ON shop_item FOR EACH ROW BEGIN
    SET NEW.name = 'a;'; -- semicolons; inside
    SET NEW.name = concat(upper(NEW.name), '!');
END;
""",
}


class Hooks:
    """A case with entries in its settings, whose files are in a directory of the test's."""

    def __init__(self, case, settings, directory):
        self.case, self.settings, self.directory = case, settings, directory
        settings.BASE_DIR = directory
        CALLS.clear()

    def set(self, before=(), after=()):
        alias = self.case.alias
        self.settings.AUTOMIGRATE = {"BEFORE": {alias: list(before)}, "AFTER": {alias: list(after)}}

    def write(self, name, text):
        (self.directory / name).write_text(text)
        return name

    def run(self, state, **options):
        return self.case.run(state, **options)

    def names(self):
        return [name for (name,) in self.case.values("shop_item", "name")]


@pytest.fixture
def hooks(connection, settings, tmp_path):
    return Hooks(Case(connection, "autoupdate"), settings, tmp_path)


@pytest.fixture
def pg_hooks(postgresql, settings, tmp_path):
    return Hooks(Case(postgresql, "autoupdate"), settings, tmp_path)


def function(name):
    return f"{__name__}.{name}"


def described(plan):
    return [hook.describe() for hook in plan.hooks]


# What runs when


def test_entries_run_around_the_tables_and_once(hooks):
    hooks.set(
        before=[function("note"), hooks.write("first.sql", "SELECT 1")],
        after=[hooks.write("seed.sql", SEED), function("seed"), function("note_again")],
    )
    alias = hooks.case.alias
    assert not is_actual(using=alias, apps=item(name=TEXT).apps)
    plan = hooks.run(item(name=TEXT))
    assert described(plan) == [
        f"Call {function('note')} before the tables",
        "Run first.sql before the tables",
        "Run seed.sql after the tables",
        f"Call {function('seed')} after the tables",
        f"Call {function('note_again')} after the tables",
    ]
    assert plan.statements[:2] == (f"-- Call {function('note')}(using={alias!r})", "SELECT 1")
    assert plan.statements[-3:-1] == (SEED, f"-- Call {function('seed')}(using={alias!r})")
    assert hooks.names() == ["it's 100%; done", 'seeded; by "function"']
    assert CALLS[-2:] == [alias, f"{alias} again"]
    CALLS.clear()
    assert is_actual(using=alias, apps=item(name=TEXT).apps)
    assert not hooks.case.plan(item(name=TEXT)) and not hooks.run(item(name=TEXT)) and CALLS == []


def test_changed_text_is_a_difference(hooks):
    hooks.set(before=[hooks.write("a.sql", "SELECT 1")], after=[hooks.write("b.sql", SEED), function("note")])
    hooks.run(item(name=TEXT))
    CALLS.clear()
    hooks.write("b.sql", "UPDATE shop_item SET name = 'changed'")
    assert not is_actual(using=hooks.case.alias, apps=item(name=TEXT).apps)
    assert described(hooks.case.plan(item(name=TEXT))) == ["Run b.sql after the tables"]
    assert hooks.run(item(name=TEXT)).statements == ("UPDATE shop_item SET name = 'changed'",)
    assert hooks.names() == ["changed"] and CALLS == []
    hooks.write("a.sql", "SELECT 2")
    assert described(hooks.run(item(name=TEXT))) == ["Run a.sql before the tables"]
    assert not hooks.case.plan(item(name=TEXT))


def test_changed_function_is_a_difference(hooks, monkeypatch):
    hooks.set(after=[function("note")])
    hooks.run(item(name=TEXT))
    monkeypatch.setitem(globals(), "note", note_again)
    CALLS.clear()
    assert described(hooks.run(item(name=TEXT))) == [f"Call {function('note')} after the tables"]
    assert [f"{hooks.case.alias} again"] == CALLS


def test_entries_after_the_tables_run_again_when_tables_change(hooks):
    hooks.set(before=[function("note")], after=[hooks.write("seed.sql", SEED)])
    hooks.run(item(name=TEXT))
    hooks.case.execute("DELETE FROM shop_item")
    assert described(hooks.run(item(name=TEXT, n=NUMBER))) == ["Run seed.sql after the tables"]
    assert hooks.names() == ["it's 100%; done"]


def test_automigrate_runs_entries_after_the_tables_again(hooks):
    hooks.set(before=[function("note")], after=[hooks.write("seed.sql", SEED)])
    state = item(name=TEXT)
    assert described(automigrate(using=hooks.case.alias, apps=state.apps))[1:] == ["Run seed.sql after the tables"]
    CALLS.clear()
    plan = automigrate(using=hooks.case.alias, apps=state.apps, dry_run=True)
    assert described(plan) == ["Run seed.sql after the tables"] and CALLS == []
    assert automigrate(using=hooks.case.alias, apps=state.apps).statements == plan.statements
    assert hooks.names() == ["it's 100%; done"] and CALLS == []


def test_views_and_triggers(hooks):
    vendor = hooks.case.vendor
    hooks.set(after=[hooks.write("view.sql", VIEW), hooks.write("trigger.sql", TRIGGERS[vendor])])
    hooks.run(item(name=TEXT))
    hooks.case.insert(item(name=TEXT), {"Item": [{"name": "x"}]})
    assert hooks.case.query("SELECT name FROM names") == [("A;!",)]
    script = make_plan(using=hooks.case.alias, apps=item(name=TEXT, n=NUMBER).apps).sql()
    assert "-- the last line\n;\n" in script
    automigrate(using=hooks.case.alias, apps=item(name=TEXT).apps, cascade=True)
    hooks.case.insert(item(name=TEXT), {"Item": [{"name": "x"}]})
    assert hooks.case.query("SELECT name FROM names") == [("A;!",)]


def test_view_in_the_way_is_made_again_once_it_is_dropped(pg_hooks):
    pg_hooks.set(after=[pg_hooks.write("view.sql", VIEW)])
    pg_hooks.run(item(name=TEXT))
    wider = item(name=models.TextField())
    with pytest.raises(Refused, match=r"view.*names"):
        pg_hooks.run(wider)
    pg_hooks.case.execute("DROP VIEW names")
    pg_hooks.run(wider)
    assert pg_hooks.case.query("SELECT count(*) FROM names") == [(0,)]


def test_entry_that_was_never_run_waits_for_a_run_of_all_models(hooks):
    hooks.set(after=[hooks.write("seed.sql", SEED)])
    state = State(Item={"name": TEXT}, Other={"name": TEXT})
    assert described(hooks.run(state, models="shop.Other")) == []
    assert described(hooks.run(state)) == ["Run seed.sql after the tables"]
    again = State(Item={"name": TEXT}, Other={"name": TEXT, "n": NUMBER})
    assert described(hooks.run(again, models="shop.Other")) == ["Run seed.sql after the tables"]


def test_removed_entry_is_forgotten(hooks):
    hooks.set(after=[function("note"), function("note_again")])
    hooks.run(item(name=TEXT))
    hooks.set(after=[function("note")])
    assert is_actual(using=hooks.case.alias, apps=item(name=TEXT).apps)
    hooks.set(after=[function("note"), hooks.write("a.sql", "SELECT 1")])
    hooks.run(item(name=TEXT))
    hooks.set(after=[function("note_again")])
    assert described(hooks.case.plan(item(name=TEXT))) == [f"Call {function('note_again')} after the tables"]


def test_seeds_find_content_types_and_permissions(hooks, settings):
    hooks.set(after=["tests.seeds.group_of_writers"])
    autoupdate(using=hooks.case.alias)
    from django.contrib.auth.models import Group

    group = Group.objects.using(hooks.case.alias).get(name="writers")
    assert group.permissions.using(hooks.case.alias).get().codename == "add_todo"


# What columns need


class Code(models.CharField):
    def db_type(self, connection):
        return "product_code"


DOMAIN = (
    "DROP DOMAIN IF EXISTS product_code CASCADE; CREATE DOMAIN product_code AS varchar(9) CHECK (VALUE ~ '^[A-Z]+$')"
)


def test_domain_and_sequence_that_columns_need(pg_hooks):
    pg_hooks.set(before=[pg_hooks.write("domain.sql", DOMAIN), function("note")])
    state = item(code=Code(max_length=9))
    before = fingerprint(pg_hooks.case.connection)
    plan = pg_hooks.case.plan(state)
    assert plan.statements[0] == DOMAIN and not plan.refused
    assert not is_actual(using=pg_hooks.case.alias, apps=state.apps)
    assert fingerprint(pg_hooks.case.connection) == before, "what was tried out is undone"
    CALLS.clear()
    assert pg_hooks.run(state).statements == plan.statements
    assert [pg_hooks.case.alias] * 2 == CALLS, "once on trial, once for good"
    assert is_actual(using=pg_hooks.case.alias, apps=state.apps)
    automigrate(using=pg_hooks.case.alias, apps=state.apps)
    assert is_actual(using=pg_hooks.case.alias, apps=state.apps)


def test_nothing_is_on_trial_where_it_cannot_be_undone(mariadb, settings, tmp_path):
    hooks = Hooks(Case(mariadb, "autoupdate"), settings, tmp_path)
    hooks.set(before=[function("note")])
    assert described(hooks.case.plan(item(name=TEXT))) and CALLS == []
    hooks.run(item(name=TEXT))
    assert [mariadb.alias] == CALLS
    assert not hooks.case.plan(item(name=TEXT))


# What fails


def assert_undone(hooks, run, words):
    before = fingerprint(hooks.case.connection)
    with pytest.raises(AutomigrateError) as caught:
        run()
    assert words in str(caught.value), str(caught.value)
    if hooks.case.vendor != "mysql":
        assert fingerprint(hooks.case.connection) == before
    return caught.value


def test_failing_file_undoes_the_run(hooks):
    hooks.set(after=[hooks.write("bad.sql", "SELECT 1; SELECT nothing FROM nowhere;"), function("note")])
    label = 'In AUTOMIGRATE["AFTER"]: bad.sql'
    error = assert_undone(hooks, lambda: hooks.run(item(name=TEXT)), label)
    assert error.pending[-2:] == error.plan.statements[-2:] and CALLS == []
    assert bool(error.applied) is (hooks.case.vendor == "mysql")
    hooks.write("bad.sql", SEED)
    assert described(hooks.run(item(name=TEXT)))[0] == "Run bad.sql after the tables"
    assert hooks.names() == ["it's 100%; done"] and [hooks.case.alias] == CALLS


def test_entry_that_fails_when_it_runs_again_is_due_until_it_does_not(hooks):
    hooks.set(after=[hooks.write("seed.sql", "INSERT INTO shop_item (id, name) VALUES (1, 'only once')")])
    hooks.run(item(name=TEXT))
    wider = item(name=TEXT, n=NUMBER)
    with pytest.raises(ExecutionFailed, match=r"In AUTOMIGRATE\[.AFTER.\]: seed.sql"):
        hooks.run(wider)
    assert described(hooks.case.plan(wider)) == ["Run seed.sql after the tables"]
    hooks.case.execute("DELETE FROM shop_item")
    assert described(hooks.run(wider)) == ["Run seed.sql after the tables"]
    assert hooks.names() == ["only once"] and not hooks.case.plan(wider)


def test_failing_function_undoes_the_run(hooks):
    hooks.set(after=[function("fail")])
    label = f'AUTOMIGRATE["AFTER"]: {function("fail")} raised ZeroDivisionError: of a function.'
    error = assert_undone(hooks, lambda: hooks.run(item(name=TEXT)), label)
    assert isinstance(error, ExecutionFailed) and isinstance(error.__cause__, ZeroDivisionError)
    assert described(hooks.case.plan(item(name=TEXT))) == [f"Call {function('fail')} after the tables"]


def test_failing_file_before_the_tables(hooks):
    hooks.set(before=[hooks.write("bad.sql", "SELECT nothing FROM nowhere")])
    assert_undone(hooks, lambda: hooks.run(item(name=TEXT)), 'In AUTOMIGRATE["BEFORE"]: bad.sql')
    if hooks.case.vendor != "mysql":
        message = "Nothing was changed: "
        assert_undone(hooks, lambda: hooks.case.plan(item(name=TEXT)), message)


def test_file_that_commits(hooks):
    need(hooks.case.connection, "DDL that is undone")
    hooks.set(after=[hooks.write("commits.sql", "SELECT 1; COMMIT;")])
    with pytest.raises(AutomigrateError, match=r"commits.sql ended the transaction of the run \(COMMIT or ROLLBACK\)"):
        hooks.run(item(name=TEXT))
    assert not hooks.case.connection.in_atomic_block


def test_seed_that_points_at_nothing(hooks):
    text = "INSERT INTO shop_other (item_id) VALUES (999)"
    hooks.set(after=[hooks.write("seed.sql", text)])
    state = State(Item={"name": TEXT}, Other={"item": models.ForeignKey("Item", models.CASCADE)})
    with pytest.raises(ExecutionFailed, match="shop_other") as caught:
        hooks.run(state)
    if hooks.case.vendor != "sqlite":  # where it is noticed at the end of the run
        assert 'In AUTOMIGRATE["AFTER"]: seed.sql' in str(caught.value)
    assert not is_actual(using=hooks.case.alias, apps=state.apps)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("missing.sql", "missing.sql cannot be used: "),
        ("no.such.function", "no.such.function cannot be used: No module named 'no'. An entry is a file that ends in"),
        (f"{__name__}.nothing", "does not define"),
        (function("no_arguments"), "got an unexpected keyword argument 'using'"),
        (function("CALLS"), "is not a callable object"),
    ],
)
def test_entry_that_cannot_be_used(hooks, entry, words):
    hooks.set(before=[entry])
    alias, apps = hooks.case.alias, item(name=TEXT).apps
    for run in (autoupdate, automigrate, is_actual, make_plan):
        message = str(assert_undone(hooks, lambda run=run: run(using=alias, apps=apps), words))
        assert message.startswith('AUTOMIGRATE["BEFORE"]: ') and message.endswith("Nothing was done.")


def test_relative_file_without_base_dir(hooks):
    hooks.set(before=["a.sql"])
    del hooks.settings.BASE_DIR
    assert_undone(hooks, lambda: hooks.run(item(name=TEXT)), "a relative path counts from the setting BASE_DIR")
    hooks.write("a.sql", "SELECT 1")
    hooks.set(before=[hooks.directory / "a.sql"])
    assert described(hooks.run(item(name=TEXT))) == [f"Run {hooks.directory / 'a.sql'} before the tables"]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"AFTER": "a.sql"}, "AUTOMIGRATE['AFTER'] has to be a list, or a dictionary with a list for each database"),
        ({"AFTER": {"nowhere": []}}, "AUTOMIGRATE['AFTER']['nowhere']: there is no database 'nowhere' in DATABASES."),
        ({"BEFORE": [len]}, "AUTOMIGRATE['BEFORE']: <built-in function len> is not an SQL file or a dotted path."),
        ({"BEFORE": ["a.b", "a.b"]}, "AUTOMIGRATE['BEFORE']: 'a.b' is there twice."),
        ({"EXTENSIONS": [1]}, "AUTOMIGRATE['EXTENSIONS']: 1 is not the name of an extension."),
    ],
)
def test_malformed_lists(sqlite, settings, setting, words):
    from django.core.checks import run_checks

    settings.AUTOMIGRATE = setting
    assert words in next(error.msg for error in run_checks() if error.id == "automigrate_ext.E002")
    for run in (autoupdate, automigrate):
        with pytest.raises(AutomigrateError) as caught:
            run(using=sqlite.alias, apps=item(name=TEXT).apps)
        assert words in str(caught.value)


# Plans


def test_hooks_in_text_json_and_sql(hooks):
    hooks.set(before=[hooks.write("a.sql", "SELECT 1;\n")], after=[function("note")])
    plan = hooks.case.plan(item(name=TEXT))
    STRICT.validate(json.loads(plan.as_json()))
    assert plan.as_dict()["hooks"] == [
        {"when": "before", "name": "a.sql", "kind": "sql"},
        {"when": "after", "name": function("note"), "kind": "function"},
    ]
    text = list(map(str, lines(plan)))
    assert text[0] == "  > Run a.sql before the tables" and text[-1] == f"  > Call {function('note')} after the tables"
    assert "\nSELECT 1;\n" in f"\n{plan.sql()}"
    assert f"-- Call {function('note')}(using='{hooks.case.alias}');\n" in plan.sql()


def test_check_and_summary_count_hooks(sqlite, settings, tmp_path):
    hooks = Hooks(Case(sqlite, "autoupdate"), settings, tmp_path)
    autoupdate("todo", using=sqlite.alias)
    autoupdate(using=sqlite.alias)
    hooks.set(after=[function("note")])
    out = io.StringIO()
    with pytest.raises(SystemExit) as caught:
        call_command("autoupdate", database=[sqlite.alias], check=True, stdout=out)
    assert caught.value.code == 1 and CALLS == []
    assert out.getvalue().splitlines()[-1] == f"Database '{sqlite.alias}': 1 hook to run."
    out = io.StringIO()
    call_command("autoupdate", database=[sqlite.alias], stdout=out)
    assert ": 1 hook run in " in out.getvalue() and [sqlite.alias] == CALLS


def test_saved_plan_with_hooks(hooks):
    hooks.set(before=[function("note")], after=[hooks.write("seed.sql", SEED)])
    state = item(name=TEXT)
    saved = hooks.case.plan(state).as_json()
    hooks.write("seed.sql", "SELECT 1")
    with pytest.raises(UnusablePlan, match=r"no longer holds: statement 3 was .DELETE .* and is 'SELECT 1'"):
        run_plan(saved, apps=state.apps)
    hooks.write("seed.sql", SEED)
    CALLS.clear()
    run_plan(saved, apps=state.apps)
    assert CALLS[-1] == hooks.case.alias and hooks.names() == ["it's 100%; done"]
    hooks.write("seed.sql", "UPDATE shop_item SET name = 'later'")
    run_plan(hooks.case.plan(state).as_json(), apps=state.apps)
    assert hooks.names() == ["later"]


# Signals


@pytest.fixture
def heard():
    """What receivers were told, in order."""
    told = []

    def receive(name):
        def receiver(sender, **values):
            told.append((name, SimpleNamespace(**values)))

        return receiver

    receivers = {name: receive(name) for name in ("pre_run", "post_run", "post_migrate")}
    signals = {"pre_run": pre_run, "post_run": post_run, "post_migrate": post_migrate}
    for name, signal in signals.items():
        signal.connect(receivers[name])
    yield told
    for name, signal in signals.items():
        signal.disconnect(receivers[name])


def test_signals_of_both_verbs(hooks, heard):
    hooks.set(after=[function("note")])
    state = item(name=TEXT)
    hooks.case.plan(state)
    assert heard == [], "nobody is told of a dry run"
    plan = hooks.run(state)
    names = [name for name, _ in heard]
    assert names[0] == "pre_run" and names[-1] == "post_run" and names.count("post_run") == 1
    assert "post_migrate" in names
    pre, post = heard[0][1], heard[-1][1]
    assert (pre.using, pre.command, pre.apps) == (hooks.case.alias, "autoupdate", state.apps)
    assert post.plan is plan and post.verbosity == 0 and post.interactive is False and post.stdout
    heard.clear()
    hooks.run(state)
    assert heard == [], "nothing changed"
    automigrate(using=hooks.case.alias, apps=state.apps)
    assert [told.command for name, told in heard if name.endswith("run")] == ["automigrate", "automigrate"]


def test_receiver_that_fails_undoes_the_run(hooks):
    def receiver(sender, **values):
        raise ZeroDivisionError

    post_run.connect(receiver)
    before = fingerprint(hooks.case.connection)
    try:
        with pytest.raises(ZeroDivisionError):
            hooks.run(item(name=TEXT))
    finally:
        post_run.disconnect(receiver)
    if hooks.case.vendor != "mysql":
        assert fingerprint(hooks.case.connection) == before


def test_entry_may_change_a_table_that_another_one_has_filled(pg_hooks):
    text = (
        "INSERT INTO shop_item (name) VALUES ('x'); INSERT INTO shop_other (item_id) SELECT id FROM shop_item LIMIT 1"
    )
    alter = "ALTER TABLE shop_other SET (fillfactor = 50)"
    pg_hooks.set(after=[pg_hooks.write("seed.sql", text), pg_hooks.write("alter.sql", alter)])
    pg_hooks.run(State(Item={"name": TEXT}, Other={"item": models.ForeignKey("Item", models.CASCADE)}))
    assert pg_hooks.names() == ["x"]


def test_hooks_inside_a_transaction(hooks):
    need(hooks.case.connection, "DDL that is undone")
    hooks.set(before=[function("note")], after=[hooks.write("seed.sql", SEED)])
    before = fingerprint(hooks.case.connection)
    with transaction.atomic(using=hooks.case.alias):
        hooks.run(item(name=TEXT))
        assert hooks.names() == ["it's 100%; done"]
        transaction.set_rollback(True, using=hooks.case.alias)
    assert fingerprint(hooks.case.connection) == before
