"""autoupdate --history: what it prints, and what it does not go with."""

import json

import pytest
from django.db import connections

from automigrate_ext import Target, history
from tests.features import is_generic
from tests.management.test_commands import run
from tests.plan_shape import STRICT
from tests.several import databases, memory


def test_list_of_runs(connection):
    alias = connection.alias
    out, err, status = run("autoupdate", "--history", database=alias)
    assert (out, err, status) == ("No run is recorded.\n", "", 0)
    run("autoupdate", "todo", database=alias)
    run("automigrate", "todo", database=alias, interactive=False)
    last, first = history(using=alias)
    assert (last.origin, first.models) == ("command", ("todo",))
    out, _, status = run("autoupdate", "--history", database=alias)
    heads = [line for line in out.splitlines() if not line.startswith(" ")]
    assert status == 0 and heads == [str(last), str(first)]
    assert heads[0].startswith(f"{last.began:%Y-%m-%d %H:%M:%S} UTC, automigrate (command): ")
    assert "  Create table todo_todo (" in out and "SQL" not in out and "Django" not in out
    out = run("autoupdate", "--history", database=alias, verbosity=2)[0]
    assert f"of todo; automigrate_ext {last.package}, Django {last.django}, {last.server}" in out
    assert all(f"    {statement}" in out for statement in last.statements)


def test_json(connection):
    run("autoupdate", "todo", database=connection.alias)
    values = json.loads(run("autoupdate", "--history", database=connection.alias, format="json")[0])
    STRICT.validate(values)
    assert values["history"] == [entry.as_dict() for entry in history(using=connection.alias)]


def test_several_databases(django_db_blocker, tmp_path):
    entries = {alias: {**memory(), "NAME": str(tmp_path / f"{alias}.sqlite3")} for alias in ("default", "logs")}
    with databases(django_db_blocker, entries):
        run("autoupdate", "todo", database="logs")
        values = json.loads(run("autoupdate", "--history", database=["default", "logs"], format="json")[0])
        STRICT.validate(values)
        assert [len(found["history"]) for found in values["databases"]] == [0, 1]
        out = run("autoupdate", "--history", database=["default", "logs"])[0]
        assert out.startswith("Database 'default'\nNo run is recorded.\nDatabase 'logs'\n")


def test_targets(postgresql, settings):
    if is_generic(postgresql):
        pytest.skip("many schemas are for PostgreSQL's own backend")
    with postgresql.cursor() as cursor:
        cursor.execute("CREATE SCHEMA acme; CREATE SCHEMA globex")
    alias = postgresql.alias
    run("autoupdate", "todo", schemas=["acme", "globex"], database=alias)
    values = json.loads(
        run("autoupdate", "--history", schemas=["*"], database=alias, exclude=["public"], format="json")[0]
    )
    assert [(found["target"], len(found["history"])) for found in values["targets"]] == [("acme", 1), ("globex", 1)]
    out = run("autoupdate", "--history", schemas=["acme"], database=alias)[0]
    (entry,) = history(target=Target(name="acme", alias=alias, schema="acme"))
    assert out.startswith(f"Target acme\n{entry}\n  ")
    assert connections[alias].connection is not None


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["todo"], "todo"),
        (["--check"], "--check"),
        (["--dry-run", "--prune"], "--dry-run, --prune"),
        (["--plan", "plan.json"], "--plan"),
        (["--watch"], "--watch"),
        (["--format", "sql"], "--format sql"),
    ],
)
def test_what_it_does_not_go_with(sqlite, arguments, named):
    out, err, status = run("autoupdate", "--history", "--database", sqlite.alias, *arguments)
    assert (out, status) == ("", 2)
    assert err == f"--history lists what was done: leave out {named}."
