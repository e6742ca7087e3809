"""The JSON Schema itself; every acceptance case checks that its plans agree with it."""

import json
from dataclasses import replace as evolve
from datetime import UTC, datetime

import pytest
from jsonschema import Draft202012Validator, ValidationError

from automigrate_ext import Hazard, HookStep, Judgement, LikelyRename, Plan, Plans, Verdict
from automigrate_ext.plan.cost import Remark, Size
from automigrate_ext.plan.history import PastRun, RunOutcome, history_dict
from automigrate_ext.plan.plan import CodedMigration, MissingValue, failure_dict, loss_dict, several_dict
from automigrate_ext.schema.changes import RenameTable
from automigrate_ext.schema.nouns import Schema
from tests.plan_shape import SCHEMA, STRICT, VALIDATOR

PLAN = Plan(
    alias="default",
    vendor="sqlite",
    schema=Schema({}),
    judgements=(Judgement(change=RenameTable(table="old", new_name="new"), hazards=(Hazard(code="c", message="m"),)),),
    likely_renames=(LikelyRename(old="todo.Todo.a", new="b"),),
    hooks=(HookStep(when="after", name="views.sql", statement="SELECT 1"),),
    remarks=(Remark(table="new", effects=("rebuilds the table",), size=Size(rows=2)),),
    migrations=(CodedMigration(app="todo", name="0002_data", operations=("RunPython",)),),
)

#: The keys that a plan has after a run that failed, or in a dry run of automigrate, alone.
LATE = {"error", "applied", "pending", "rows_lost"}
PAST = PastRun(
    began=datetime(2026, 3, 2, tzinfo=UTC),
    database="default",
    command="autoupdate",
    origin="command",
    models=None,
    changes=("Drop table gone",),
    change_count=1,
    statements=("DROP TABLE gone",),
    statement_count=1,
    digest="0" * 64,
    outcome=RunOutcome.APPLIED,
    finished=1,
    error="",
    seconds=0.1,
    user="",
    package="1",
    django="6.1",
    server="SQLite 3.50",
)


def described(schema):
    """Yield every key that a schema lists, with its description."""
    for name, value in schema.get("properties", {}).items():
        yield name, value
        yield from described(value)
    for name, value in schema.get("$defs", {}).items():
        yield name, value
        yield from described(value)


def keys(value):
    """Yield the keys of nested values, as pairs of the key above and the keys."""
    if isinstance(value, dict):
        yield set(value)
        for below in value.values():
            yield from keys(below)
    elif isinstance(value, list):
        for below in value:
            yield from keys(below)


def objects(schema):
    if schema.get("properties"):
        yield schema
    for below in (*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()):
        yield from objects(below)


def test_it_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)


def test_every_key_is_described_and_there_from_the_start():
    for name, value in described(SCHEMA):
        assert value["description"].endswith("."), name
    for found in objects(SCHEMA):
        late = LATE if "request" in found["properties"] else set()
        assert set(found["required"]) == set(found["properties"]) - late


def test_keys_are_those_of_a_plan():
    listed = [set(found["properties"]) for found in objects(SCHEMA)]
    failed = {**loss_dict(PLAN, {"old": 2}), **failure_dict(PLAN, "broken", ["one"], ["two"])}
    past = history_dict("default", [PAST])
    several = several_dict([failed, past, {"database": "logs", "error": "broken"}], {"replica": "it mirrors 'default'"})
    real = [found for found in keys(several) if found]
    assert sorted(map(sorted, listed)) == sorted(map(sorted, real))
    for values in (PLAN.as_dict(), failed, past, several, Plans([PLAN]).as_dict()):
        STRICT.validate(values)


def test_questions_have_what_it_takes_to_answer_them():
    several = [LikelyRename(old="todo.Todo.a", new="b"), LikelyRename(old="todo.Todo.a", new="c")]
    missing = MissingValue(field="todo.Todo.d", wants="a whole number", rows=2, fault="It is too large.")
    plan = evolve(PLAN, likely_renames=(*several, LikelyRename(old="todo.Note", new="Memo")), missing_values=(missing,))
    values = plan.as_dict()
    STRICT.validate(values)
    assert [(each["subject"], each["choices"], each["option"]) for each in values["questions"]] == [
        ("todo.Todo.a", ["b", "c"], "--rename todo.Todo.a=VALUE"),
        ("todo.Note", ["Memo"], "--rename todo.Note=VALUE"),
        ("todo.Todo.d", [], "--default todo.Todo.d=VALUE"),
    ]
    assert [each["kind"] for each in values["questions"]] == ["rename", "rename", "value"]
    assert values["questions"][2]["wants"] == "a whole number"
    assert (values["questions"][2]["rows"], values["questions"][2]["fault"]) == (2, "It is too large.")
    assert values["actual"] and not evolve(plan, statements=("SELECT 1",)).as_dict()["actual"]


@pytest.mark.parametrize("key", ["version", "databases", "left_alone"])
def test_missing_keys_of_several_are_noticed(key):
    several = several_dict([PLAN.as_dict()])
    del several[key]
    with pytest.raises(ValidationError):
        VALIDATOR.validate(several)


def test_wrong_entries_of_several_are_noticed():
    incomplete = {key: value for key, value in PLAN.as_dict().items() if key != "digest"}
    for entry in (incomplete, {"database": "logs"}, {"error": "broken"}):
        with pytest.raises(ValidationError):
            VALIDATOR.validate(several_dict([entry]))


def test_new_keys_do_not_break_a_reader():
    plan = json.loads(PLAN.as_json())
    plan["later"] = plan["changes"][0]["later"] = plan["request"]["later"] = 1
    VALIDATOR.validate(plan)
    with pytest.raises(ValidationError):
        STRICT.validate(plan)


@pytest.mark.parametrize("key", sorted(PLAN.as_dict()))
def test_missing_keys_are_noticed(key):
    plan = json.loads(PLAN.as_json())
    del plan[key]
    with pytest.raises(ValidationError):
        VALIDATOR.validate(plan)


def test_verdicts_are_those_of_the_package():
    verdict = SCHEMA["$defs"]["change"]["properties"]["verdict"]
    assert verdict["enum"] == [each.value for each in Verdict]
