"""`autoupdate --plan FILE`: carry out exactly what `--dry-run --format json` saved, or nothing."""

import io
import json
import sys

import pytest

from tests.management.test_commands import run


@pytest.fixture
def alias(connection):
    """Return the alias of the scratch database, which the saved plan names."""
    return connection.alias


@pytest.fixture
def file(alias, tmp_path):
    """Return a saved plan that makes the tables of the app `todo`."""
    out, _, status = run("autoupdate", "todo", dry_run=True, format="json", database=alias)
    assert status == 0
    path = tmp_path / "plan.json"
    path.write_text(out)
    return path


def tables(connection):
    return {name for name in connection.introspection.table_names() if name.startswith("todo_")}


def test_plan_is_carried_out(connection, alias, file):
    out, _, status = run("autoupdate", plan=str(file))
    assert status == 0
    assert "Create table todo_todo" in out and f"Database '{alias}': 3 changes applied" in out
    assert tables(connection) == {"todo_todo", "todo_todolist", "todo_todolistimage"}


def test_plan_from_stdin(connection, file, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(file.read_text()))
    assert run("autoupdate", plan="-")[2] == 0
    assert tables(connection)


def test_plan_printed_as_json(file):
    out, _, status = run("autoupdate", plan=str(file), format="json")
    assert status == 0
    assert json.loads(out)["statements"] == json.loads(file.read_text())["statements"]


def test_second_time(file):
    run("autoupdate", plan=str(file))
    out, err, status = run("autoupdate", plan=str(file))
    assert (out, status) == ("", 2)
    assert "The plan no longer holds" in err and "no longer: Create table todo_todo" in err


def test_plan_with_nothing_to_do_is_a_success(file, tmp_path, alias):
    run("autoupdate", plan=str(file))
    out, _, status = run("autoupdate", "todo", dry_run=True, format="json", database=alias)
    empty = tmp_path / "empty.json"
    empty.write_text(out)
    out, err, status = run("autoupdate", plan=str(empty))
    assert (out, err, status) == ("Nothing to do: the database matches the models.\n", "", 0)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"check": True}, "--check"),
        ({"dry_run": True}, "--dry-run"),
        ({"rename": ["a=b"]}, "--rename"),
        ({"default": ["a=b"]}, "--default"),
        ({"accept_data_loss": True}, "--accept-data-loss"),
        ({"prune": True}, "--prune"),
        ({"database": "sqlite_scratch"}, "--database"),
    ],
)
def test_other_options_beside_it(connection, file, options, named):
    out, err, status = run("autoupdate", plan=str(file), **options)
    assert (out, status) == ("", 2)
    assert f"leave out {named}." in err
    assert not tables(connection)


def test_labels_beside_it(connection, file):
    _, err, status = run("autoupdate", "todo", plan=str(file))
    assert status == 2
    assert "leave out todo." in err
    assert not tables(connection)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read"), (b"\xff\xfe", "cannot be read"), (b"", "not JSON"), (b"{}", "no plan")],
)
def test_bad_files(tmp_path, content, words):
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_bytes(content)
    out, err, status = run("autoupdate", plan=str(path))
    assert (out, status) == ("", 2)
    assert words in err and "\n" not in err
    assert str(path) in err
