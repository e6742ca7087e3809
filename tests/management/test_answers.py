"""The JSON of a plan has all that its text has, and each of its questions is answered by the option that it names."""

import json
import shlex

import pytest

from automigrate_ext import make_plan
from automigrate_ext.plan import text
from tests.features import is_generic
from tests.management.test_ci_formats import execute
from tests.management.test_commands import run
from tests.plan_shape import STRICT

#: Former columns under the name that the record is to have: as if the models had lost them.
RECORDED = """
UPDATE automigrate_ext_owned SET objects_owned = replace(objects_owned, '"{new}"', '"{old}"') WHERE name = '{table}'
"""


def written_out(values):
    """The lines of a plan's text, made of its JSON alone."""
    for hook in values["hooks"]:
        yield f"{'Run' if hook['kind'] == 'sql' else 'Call'} {hook['name']} {hook['when']} the tables"
    for remark in values["remarks"]:
        first, *rest = remark["effects"]
        rows = f"{'' if remark['exact'] else 'about '}{remark['rows']:,} row{'s' * (remark['rows'] != 1)}"
        yield ", ".join((f"{first} ({rows})", *rest))
    for change in values["changes"]:
        if change["verdict"] == "apply":
            yield change["description"]
        for hazard in change["hazards"]:
            remedy = "" if change["verdict"] == "withhold" else hazard["remedy"]
            reason = f"{hazard['message']}{examples(hazard)}"
            yield f"{reason}. {remedy}" if remedy else reason
    yield from (
        f"Was {each['old']} renamed to {each['new']}? Then pass --rename {each['option']}."
        for each in values["likely_renames"]
    )
    yield from values["foreign"]
    if any(
        h["option"] == "--accept-data-loss"
        for c in values["changes"]
        for h in c["hazards"]
        if c["verdict"] == "withhold"
    ):
        yield text.DROPS_KEPT


def examples(hazard):
    """The rows that a hazard names."""
    if not hazard["samples"]:
        return ""
    keys = [", ".join(map(str, key)) for key in hazard["samples"]]
    more = ["..."] if hazard["rows"] is None or hazard["rows"] > len(keys) else []
    assert len(hazard["key"]) == 1
    return f" ({hazard['key'][0]} {', '.join([*keys, *more])})"


@pytest.fixture
def alias(connection):
    """A database with rows, of which the models want other columns."""
    if is_generic(connection):
        pytest.skip("its editor may not be able to add these columns")
    alias = connection.alias
    run("autoupdate", "todo", database=alias)
    execute(
        alias,
        "INSERT INTO todo_todolist (id, title, color) VALUES (1, 'Home', 'green')",
        f"INSERT INTO todo_todo (id, title, {desc(connection)}, is_complete)"
        f" VALUES (1, 'Buy milk', 'two litres', {false(connection)})",
        "ALTER TABLE todo_todolist RENAME COLUMN color TO colour",
        "ALTER TABLE todo_todolist RENAME COLUMN title TO heading",
        "ALTER TABLE todo_todo DROP COLUMN title",
        "ALTER TABLE todo_todo ADD COLUMN by_hand integer NULL",
        RECORDED.format(table="todo_todolist", new="color", old="colour"),
        RECORDED.format(table="todo_todolist", new="title", old="heading"),
    )
    return alias


def desc(connection):
    return connection.ops.quote_name("desc")


def false(connection):
    return "false" if connection.vendor == "postgresql" else "0"


def test_text_can_be_made_of_json(alias, settings):
    settings.AUTOMIGRATE = {"AFTER": {alias: [f"{__name__}.nothing"]}}
    for options in (
        {},
        {"defaults": {"todo.Todo.title": "none", "todo.TodoList.title": "none"}},
        {"accept_data_loss": True},
    ):
        plan = make_plan("todo", using=alias, **options)
        values = json.loads(plan.as_json())
        STRICT.validate(values)
        headings = {*(change["table"] for change in values["changes"]), text.LEFT_ALONE, "SQL", ""}
        shown = {line.words for line in text.lines(plan, verbosity=2)} - headings
        assert {line for line in shown if line.strip().rstrip(";") not in values["statements"]} == set(
            written_out(values)
        )
        kept = [change for change in values["changes"] if change["verdict"] == "withhold"]
        assert all("nullable" in change["hazards"][0]["message"] for change in kept if change["instead"])


def answer(question):
    """An answer that somebody gives who reads nothing but the question."""
    return question["choices"][0] if question["choices"] else answer_to(question["wants"])


def answer_to(wants):
    """A value of the kind that a question wants."""
    assert "text" in wants
    return "somehow"


def nothing(using):
    """An entry of AUTOMIGRATE."""


def look(alias, options):
    out, _, _ = run("autoupdate", "todo", "--dry-run", "--format", "json", "--database", alias, *options)
    return json.loads(out)


@pytest.mark.parametrize("renames", [True, False])
def test_every_question_is_answered_by_its_option(alias, renames):
    options = []
    for _ in range(5):
        questions = look(alias, options)["questions"]
        asked = [each for each in questions if each["kind"] == "value" or renames]
        if not asked:
            break
        for question in asked[:1] if renames else asked:
            options += shlex.split(question["option"].replace("VALUE", answer(question)))
    plan = look(alias, options)
    assert not any(change["verdict"] == "refuse" for change in plan["changes"])
    assert sum(option == "--rename" for option in options) == (2 if renames else 0)
    assert run("autoupdate", "todo", "--noinput", "--database", alias, *options)[2] == 0
    assert look(alias, [])["actual"]


def test_rows_that_automigrate_would_lose(sqlite):
    run("autoupdate", "todo", database=sqlite.alias)
    execute(sqlite.alias, "INSERT INTO todo_todolist (title, color) VALUES ('a', ''), ('b', '')")
    values = json.loads(run("automigrate", "todo", dry_run=True, format="json", database=sqlite.alias)[0])
    STRICT.validate(values)
    assert values["rows_lost"] == [{"table": "todo_todolist", "rows": 2}]
