"""The Python interface: results of the functions, their async twins, and queries that must not be sent."""

import pytest
from asgiref.sync import async_to_sync
from django.db import models

from automigrate_ext import (
    Plan,
    Refused,
    ScratchFailed,
    aautomigrate,
    aautoupdate,
    ais_actual,
    amake_plan,
    autoupdate,
    is_actual,
    make_plan,
)
from tests.acceptance.helper import Case, State, fingerprint, item


@pytest.fixture
def case(connection):
    return Case(connection, "automigrate")


def state(**options):
    return item(name=models.CharField(max_length=20, **options))


def test_plan_is_false_once_done(case):
    before = make_plan(using=case.alias, apps=state().apps)
    assert before
    assert isinstance(before, Plan)
    assert autoupdate(using=case.alias, apps=state().apps).statements == before.statements
    assert not make_plan(using=case.alias, apps=state().apps)
    assert not autoupdate(using=case.alias, apps=state().apps)


def test_is_actual(case):
    assert not is_actual(using=case.alias, apps=state().apps)
    case.run(state())
    assert is_actual(using=case.alias, apps=state().apps)
    assert not is_actual(using=case.alias, apps=state(null=True).apps)


def test_is_actual_of_nothing(case):
    assert is_actual([], using=case.alias, apps=state().apps)


def test_is_actual_although_refused(case):
    case.run(state(null=True))
    case.insert(state(null=True), {"Item": [{"name": None}]})
    assert not is_actual(using=case.alias, apps=state().apps)


def test_dry_run_changes_nothing(case):
    case.run(state())
    trace = fingerprint(case.connection)
    assert autoupdate(using=case.alias, apps=state(null=True).apps, dry_run=True)
    assert fingerprint(case.connection) == trace


def test_looking_changes_nothing(case):
    trace = fingerprint(case.connection)
    make_plan(using=case.alias, apps=state().apps)
    is_actual(using=case.alias, apps=state().apps)
    assert fingerprint(case.connection) == trace


def test_async_twins(case):
    options = {"using": case.alias, "apps": state().apps}
    assert async_to_sync(amake_plan)(**options)
    assert async_to_sync(aautoupdate)(**options)
    assert async_to_sync(ais_actual)(**options)
    assert async_to_sync(aautomigrate)(**options)
    assert not async_to_sync(amake_plan)(**options)


def test_models_by_name_class_and_list(case):
    both = State(Item={"name": models.TextField()}, Note={"text": models.TextField()})
    options = {"using": case.alias, "apps": both.apps}
    assert [c.table for c in make_plan("shop.Item", **options).changes] == ["shop_item"]
    assert [c.table for c in make_plan(both["Note"], **options).changes] == ["shop_note"]
    assert [c.table for c in make_plan(["note", "Item"], **options).changes] == ["shop_note", "shop_item"]
    assert [c.table for c in make_plan("shop", **options).changes] == ["shop_item", "shop_note"]


def test_naming_one_model_leaves_others_alone(case):
    before = State(Item={"name": models.TextField()}, Note={"text": models.TextField()})
    after = State(Item={"name": models.TextField(null=True)}, Note={"text": models.TextField(null=True)})
    case.run(before)
    autoupdate("Item", using=case.alias, apps=after.apps)
    assert is_actual("Item", using=case.alias, apps=after.apps)
    assert not is_actual("Note", using=case.alias, apps=after.apps)


def test_digest_tells_schemas_apart(case):
    one = case.plan(state()).digest
    case.run(state())
    two = case.plan(state()).digest
    assert one != two
    assert two == case.plan(state(null=True)).digest


class Broken(models.Field):
    def db_type(self, connection):
        return "integer CHECK (no_such_column > 1)"


def test_model_that_the_server_does_not_accept(case):
    broken = item(name=Broken(), sound=models.TextField())
    trace = fingerprint(case.connection)
    with pytest.raises(ScratchFailed, match=r"shop\.Item.*no_such_column"):
        case.run(broken)
    assert fingerprint(case.connection) == trace


def test_refusal_carries_its_plan(case):
    case.run(state(null=True))
    case.insert(state(null=True), {"Item": [{"name": None}]})
    with pytest.raises(Refused) as caught:
        case.run(state())
    assert caught.value.plan.refused
    assert not caught.value.plan.statements
