"""Extensions of PostgreSQL: found from the models and the setting, shown, created before the tables, never dropped."""

import json

import pytest
from django.contrib.postgres import fields as pg_fields
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.indexes import BloomIndex, GinIndex, GistIndex, OpClass
from django.db import models, transaction
from django.db.models.functions import Lower, Upper
from django.test import override_settings
from pgvector.django import HalfVectorField, SparseVectorField, VectorField

from automigrate_ext import AutomigrateError, automigrate, autoupdate, is_actual, make_plan, run_plan
from automigrate_ext.backends import backend_for
from tests.acceptance.helper import Case, State, item
from tests.features import need
from tests.plan_shape import STRICT

TEXT, NUMBER = models.CharField(max_length=20), models.IntegerField()


class CaseInsensitiveField(models.TextField):
    """What CITextField was before Django removed it."""

    def db_type(self, connection):
        return "citext"


def indexed(index, **fields):
    return item(**fields, Meta={"indexes": [index]})


def excluding(*expressions, **fields):
    constraint = ExclusionConstraint(name="apart", expressions=list(expressions))
    return item(span=pg_fields.DateRangeField(), **fields, Meta={"constraints": [constraint]})


TRIGRAMS = OpClass(Lower("a"), name="gin_trgm_ops")
SPAN = ("span", "&&")

#: What the models have, and the extensions that it takes.
TAKES = {
    "hstore field": (item(a=pg_fields.HStoreField()), ["hstore"]),
    "array of a type": (item(a=pg_fields.ArrayField(CaseInsensitiveField())), ["citext"]),
    "named operator class": (
        indexed(GinIndex(fields=["a"], name="i", opclasses=["gin_trgm_ops"]), a=TEXT),
        ["pg_trgm"],
    ),
    "operator class of an expression": (indexed(GinIndex(TRIGRAMS, name="i"), a=TEXT), ["pg_trgm"]),
    "bloom index": (indexed(BloomIndex(fields=["a"], name="i"), a=NUMBER), ["bloom"]),
    "gin index over a number": (indexed(GinIndex(fields=["a"], name="i"), a=NUMBER), ["btree_gin"]),
    "gin index over an expression": (indexed(GinIndex(Upper("a"), name="i"), a=TEXT), ["btree_gin"]),
    "gist index over a text": (indexed(GistIndex(fields=["a"], name="i"), a=TEXT), ["btree_gist"]),
    "exclusion over a number": (excluding(("a", "="), SPAN, a=NUMBER), ["btree_gist"]),
    "exclusion over a reference": (
        excluding((models.F("a"), "="), SPAN, a=models.ForeignKey("self", models.CASCADE)),
        ["btree_gist"],
    ),
    "exclusion over a span only": (excluding(SPAN), []),
    "gin index over an array": (indexed(GinIndex(fields=["a"], name="i"), a=pg_fields.ArrayField(NUMBER)), []),
    "gin index over JSON": (indexed(GinIndex(fields=["a"], name="i"), a=models.JSONField()), []),
    "plain index": (indexed(models.Index(fields=["a"], name="i"), a=NUMBER), []),
}


@pytest.fixture
def case(postgresql):
    return Case(postgresql, "autoupdate")


def extensions(case):
    return {name for (name,) in case.query("SELECT extname FROM pg_extension")} - {"plpgsql"}


def created(plan):
    return [change.name for change in plan.changes if type(change).__name__ == "CreateExtension"]


@pytest.mark.parametrize("name", TAKES)
def test_extension_found_from_the_models(case, name):
    state, expected = TAKES[name]
    for extension in expected:
        need(case.connection, f"extension {extension}")
    assert not is_actual(using=case.alias, apps=state.apps)
    plan = case.plan(state)
    assert created(plan) == expected
    assert extensions(case) == set()
    assert [s for s in plan.statements if "EXTENSION" in s] == list(plan.statements[: len(expected)])
    done = case.run(state)
    assert done.statements == plan.statements
    assert extensions(case) == set(expected)
    assert is_actual(using=case.alias, apps=state.apps) and not case.plan(state)


def test_vectors_take_the_extension_of_pgvector(case):
    kinds = [VectorField(dimensions=3), HalfVectorField(dimensions=3), SparseVectorField(dimensions=3)]
    for kind in kinds:
        model = item(name=TEXT, a=kind)["Item"]
        assert backend_for(case.alias).extensions.needed([model]) == {"vector": "shop.Item.a"}


def test_extension_asked_for_by_the_setting(case):
    state = item(a=TEXT)
    for setting in ({case.alias: ["unaccent", "pg_trgm"]}, {case.alias: ("unaccent",), "default": ["nothing"]}):
        with override_settings(AUTOMIGRATE={"EXTENSIONS": setting}):
            assert created(case.plan(state)) == [name for name in setting[case.alias] if name not in extensions(case)]
            case.run(state)
    assert extensions(case) == {"unaccent", "pg_trgm"}
    with override_settings(AUTOMIGRATE={"EXTENSIONS": ["hstore"]}):
        assert is_actual(using=case.alias, apps=state.apps), "a bare list is that of the default database"


def test_extensions_of_other_databases_are_passed_over(sqlite):
    with override_settings(AUTOMIGRATE={"EXTENSIONS": {sqlite.alias: ["hstore"]}}):
        assert not created(autoupdate(using=sqlite.alias, apps=item(a=TEXT).apps))


def test_types_are_known_in_the_run_and_after_it(case):
    state = item(a=pg_fields.HStoreField())
    case.query("SELECT 1")
    case.run(state)
    case.insert(state, {"Item": [{"a": {"key": "value"}}]})
    assert state["Item"].objects.using(case.alias).get().a == {"key": "value"}


def test_types_of_a_run_that_was_undone_are_forgotten(case):
    state = item(a=pg_fields.HStoreField())
    with pytest.raises(ZeroDivisionError), transaction.atomic(using=case.alias):
        case.run(state)
        raise ZeroDivisionError
    assert extensions(case) == set()
    case.run(state)
    case.insert(state, {"Item": [{"a": {"key": "value"}}]})
    assert state["Item"].objects.using(case.alias).get().a == {"key": "value"}


def test_extension_is_never_dropped(case):
    case.run(item(a=pg_fields.HStoreField()))
    case.run(item(b=TEXT), prune=True, accept_data_loss=True)
    automigrate(using=case.alias, apps=item(b=TEXT).apps)
    assert extensions(case) == {"hstore"}


def test_automigrate_creates_extensions(case):
    state = item(a=pg_fields.HStoreField())
    plan = automigrate(using=case.alias, apps=state.apps, dry_run=True)
    assert plan.changes[0].describe() == "Create extension hstore" and extensions(case) == set()
    assert automigrate(using=case.alias, apps=state.apps).statements == plan.statements
    assert extensions(case) == {"hstore"} and is_actual(using=case.alias, apps=state.apps)


def test_saved_plan_with_an_extension(case):
    state = item(a=pg_fields.HStoreField())
    saved = case.plan(state).as_json()
    STRICT.validate(json.loads(saved))
    assert json.loads(saved)["changes"][0]["name"] == "hstore"
    run_plan(saved, apps=state.apps)
    assert extensions(case) == {"hstore"} and is_actual(using=case.alias, apps=state.apps)


def test_extension_beside_refused_changes_is_not_created(case):
    case.run(item(a=TEXT))
    case.insert(item(a=TEXT), {"Item": [{"a": "x"}]})
    after = item(a=TEXT, n=NUMBER, h=pg_fields.HStoreField(null=True))
    assert case.plan(after).refused and not case.plan(after).statements
    with pytest.raises(AutomigrateError, match="n is required"):
        case.run(after)
    assert extensions(case) == set()


def test_extension_that_the_server_does_not_have(case):
    with (
        override_settings(AUTOMIGRATE={"EXTENSIONS": {case.alias: ["no such", "unaccent"]}}),
        pytest.raises(
            AutomigrateError, match=r"does not have the extensions 'no such' \(AUTOMIGRATE.*Nothing was done"
        ),
    ):
        make_plan(using=case.alias, apps=State().apps)
    assert extensions(case) == set()


def test_no_question_about_extensions_where_none_is_taken(case):
    assert backend_for(case.alias).extensions.missing({}) == ()
    state = item(a=TEXT)
    case.run(state)
    with case.connection.execute_wrapper(lambda run, sql, *rest: run(sql, *rest) if "pg_ext" not in sql else 1 / 0):
        assert is_actual(using=case.alias, apps=state.apps, fingerprint=False)
