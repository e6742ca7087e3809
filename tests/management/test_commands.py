"""The two commands: what they print, what they ask, and how they exit."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from automigrate_ext.management.exit_status import worst
from tests.features import has

pytestmark = pytest.mark.django

MODELS = ["todo_todo", "todo_todolist", "todo_todolistimage"]


@pytest.fixture
def alias(connection):
    return connection.alias


@pytest.fixture
def answer(monkeypatch):
    """Answer questions with a text, or with an exception."""

    def set_answer(value):
        def answering():
            if isinstance(value, str):
                return value
            raise value

        monkeypatch.setattr("builtins.input", answering)

    return set_answer


def run(*arguments, **options):
    """Call a command; return its output, its errors and its exit status."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    try:
        call_command(*arguments, stdout=out, stderr=err, **options)
    except CommandError as error:
        status = error.returncode
        err.write(str(error))
    except SystemExit as stop:
        status = stop.code
    return out.getvalue(), err.getvalue(), status


def rows(connection, table="todo_todolist"):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return cursor.fetchone()[0]


def add_row(connection):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO todo_todolist (title, color) VALUES ('Home', '')")


def test_autoupdate_from_empty_then_nothing_to_do(connection, alias):
    out, _, status = run("autoupdate", database=alias)
    assert status == 0
    assert "Create table todo_todo" in out
    assert f"Database '{alias}': " in out and " changes applied in " in out
    out, _, status = run("autoupdate", database=alias)
    assert (out.strip(), status) == ("Nothing to do: the database matches the models.", 0)


def test_check_says_by_its_status_whether_anything_differs(connection, alias):
    out, _, status = run("autoupdate", check=True, database=alias)
    assert status == 1
    assert "Create table todo_todo" in out
    assert "todo_todo" not in connection.introspection.table_names()
    run("autoupdate", database=alias)
    assert run("autoupdate", check=True, database=alias)[2] == 0


def test_strict_check_has_a_status_of_its_own_for_what_is_kept(connection, alias):
    assert run("autoupdate", check=True, strict=True, database=alias)[2] == 1
    run("autoupdate", "todo", database=alias)
    assert run("autoupdate", "todo", check=True, strict=True, database=alias)[2] == 0
    add_row(connection)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE todo_todolist ADD COLUMN legacy integer NULL")
        cursor.execute("UPDATE todo_todolist SET legacy = 1")
        cursor.execute("DELETE FROM automigrate_ext_owned")
    assert run("autoupdate", "todo", database=alias)[2] == 0
    out, _, status = run("autoupdate", "todo", check=True, strict=True, database=alias)
    assert status == 3
    assert out.splitlines()[-3:] == [
        "  = Keep column todo_todolist.legacy (1 value)",
        "autoupdate --accept-data-loss drops what is kept.",
        f"Database '{alias}' matches the models; 1 column kept.",
    ]
    assert run("autoupdate", "todo", check=True, database=alias)[2] == 0
    out, _, status = run("autoupdate", "todo", check=True, strict=True, format="json", database=alias)
    assert (json.loads(out)["actual"], json.loads(out)["questions"], status) == (True, [], 3)
    _, err, status = run("autoupdate", strict=True, database=alias)
    assert (status, "--strict goes with --check" in err) == (2, True)


def test_worst_status_is_that_of_several_databases():
    assert [worst(each) for each in ([], [0, 3, 0], [3, 1, 0], [1, 3, 2, 0])] == [0, 3, 1, 2]


@pytest.mark.parametrize("label", ["todo", "todo.TodoList", "todo.todolist"])
def test_dry_run_does_nothing(connection, alias, label):
    out, _, status = run("autoupdate", label, dry_run=True, database=alias)
    assert status == 0
    assert " to apply" in out
    assert connection.introspection.table_names() == []


@pytest.mark.parametrize("dry_run", [True, False])
def test_table_that_points_at_one_that_is_not_there(connection, alias, dry_run):
    """SQLite takes such a table; others refuse it, before anything is made."""
    out, err, status = run("autoupdate", "todo.Todo", dry_run=dry_run, database=alias)
    if connection.vendor == "sqlite":
        assert status == 0
        return
    assert status == 2
    assert "Create table todo_todo" in out + err and "does not accept that" in out + err
    assert connection.introspection.table_names() == []
    assert run("autoupdate", "todo.Todo", "todo.TodoList", dry_run=dry_run, database=alias)[2] == 0


def test_sql_format_is_a_script_that_does_the_same(connection, alias, tmp_path):
    out, _, _ = run("autoupdate", "todo", dry_run=True, format="sql", database=alias)
    assert ("\nCOMMIT;\n" in out) == has(connection, "atomic DDL")
    if connection.vendor == "sqlite":
        connection.connection.executescript(out)
    else:
        with connection.cursor() as cursor:
            cursor.execute(out)
            while cursor.nextset():
                pass
    assert run("autoupdate", "todo", check=True, database=alias)[2] == 0


def test_sql_format_of_nothing_to_do_is_empty(alias):
    run("autoupdate", "todo", database=alias)
    assert run("autoupdate", "todo", dry_run=True, format="sql", database=alias)[0] == ""


def test_json_format_is_json_and_nothing_else(connection, alias):
    out, _, status = run("autoupdate", "todo", format="json", verbosity=2, database=alias)
    plan = json.loads(out)
    assert status == 0
    assert plan["version"] == 1
    assert {change["table"] for change in plan["changes"]} == set(MODELS)
    assert {change["verdict"] for change in plan["changes"]} == {"apply"}
    assert plan["statements"]


def test_all_bad_labels_are_named_in_one_error_and_nothing_is_done(connection, alias):
    out, err, status = run("autoupdate", "todo.Tod", "Nonsense", "todo", database=alias)
    assert (out, status) == ("", 2)
    assert "There is no app or model 'todo.Tod'. Did you mean 'todo.Todo'?" in err
    assert "There is no app or model 'Nonsense'." in err and err.rstrip().endswith("Nothing was done.")
    assert connection.introspection.table_names() == []


def test_one_off_default_that_does_not_fit_is_an_error(connection, alias):
    _, err, status = run("autoupdate", default=["todo.Todo.is_complete=perhaps"], database=alias)
    assert status == 2
    assert "todo.Todo.is_complete=perhaps" in err
    _, err, status = run("autoupdate", default=["todo.Todo.nothing=1"], database=alias)
    assert status == 2
    assert "no such field" in err
    _, err, status = run("autoupdate", default=["todo.Todo.title"], database=alias)
    assert status == 2


def test_automigrate_of_empty_tables_asks_nothing(connection, alias, answer):
    answer(AssertionError("asked"))
    run("automigrate", database=alias, interactive=True)
    _, _, status = run("automigrate", "todo", database=alias, interactive=True)
    assert status == 0


@override_settings(DEBUG=True)
@pytest.mark.parametrize(("text", "left"), [("yes", 0), ("no", 1), ("", 1)])
def test_automigrate_asks_about_rows(connection, alias, answer, text, left):
    run("autoupdate", database=alias)
    add_row(connection)
    answer(text)
    _, err, status = run("automigrate", "todo", database=alias)
    assert status == 0
    assert "todo_todolist: 1 row" in err
    assert rows(connection) == left


@override_settings(DEBUG=True)
def test_automigrate_with_nobody_to_answer(connection, alias, answer):
    run("autoupdate", database=alias)
    add_row(connection)
    answer(EOFError())
    _, err, status = run("automigrate", "todo", database=alias)
    assert status == 2
    assert "--noinput" in err
    assert rows(connection) == 1


@override_settings(DEBUG=True)
def test_interrupt_at_the_question_changes_nothing(connection, alias, answer):
    run("autoupdate", database=alias)
    add_row(connection)
    answer(KeyboardInterrupt())
    _, err, status = run("automigrate", "todo", database=alias)
    assert status == 130
    assert "nothing was changed" in err
    assert rows(connection) == 1


@override_settings(DEBUG=True)
def test_noinput_drops_rows_without_a_question(connection, alias, answer):
    run("autoupdate", database=alias)
    add_row(connection)
    answer(AssertionError("asked"))
    _, _, status = run("automigrate", "todo", database=alias, interactive=False)
    assert status == 0
    assert rows(connection) == 0


@override_settings(DEBUG=False)
def test_without_debug_rows_need_the_databases_name(connection, alias, answer):
    answer(AssertionError("asked"))
    run("autoupdate", database=alias)
    add_row(connection)
    name = str(connection.settings_dict["NAME"])
    _, err, status = run("automigrate", "todo", database=alias, interactive=False)
    assert status == 2
    assert f"--confirm {name}" in err
    _, err, status = run("automigrate", "todo", database=alias, confirm="other")
    assert status == 2
    assert rows(connection) == 1
    assert run("automigrate", "todo", database=alias, confirm=name)[2] == 0
    assert rows(connection) == 0


def test_content_types_permissions_and_site_appear(connection, alias):
    run("autoupdate", database=alias)
    assert rows(connection, "django_content_type") > 5
    assert rows(connection, "auth_permission") > 20
    assert rows(connection, "django_site") == 1
    run("automigrate", database=alias, interactive=False, confirm=str(connection.settings_dict["NAME"]))
    assert rows(connection, "auth_permission") > 20
    assert rows(connection, "django_site") == 1


def test_part_of_the_apps_on_an_empty_database_sends_signals_for_what_is_there(connection, alias):
    _, err, status = run("autoupdate", "todo", database=alias)
    assert (err, status) == ("", 0)
    names = connection.introspection.table_names()
    assert sorted(names) == ["automigrate_ext_owned", *MODELS]


def test_recorded_migrations_leave_migrate_nothing_to_do(connection, alias):
    _, err, _ = run("autoupdate", record_migrations=True, database=alias)
    assert re.fullmatch(r"\d\d migrations marked as applied without being run\.\n", err)
    assert run("autoupdate", record_migrations=True, database=alias)[1] == ""
    out, _, status = run("migrate", database=alias)
    assert status == 0
    assert "No migrations to apply" in out
    assert run("migrate", check_unapplied=True, database=alias)[2] == 0
    assert run("autoupdate", check=True, database=alias)[2] == 0


def test_after_migrate_there_is_nothing_to_do(connection, alias):
    run("migrate", run_syncdb=True, verbosity=0, database=alias)
    assert run("autoupdate", check=True, database=alias)[2] == 0
    run("autoupdate", database=alias)
    assert "automigrate_ext_owned" in connection.introspection.table_names()
    assert run("autoupdate", check=True, database=alias)[2] == 0


def test_check_never_makes_the_record(connection, alias):
    run("autoupdate", check=True, database=alias)
    run("autoupdate", dry_run=True, database=alias)
    assert connection.introspection.table_names() == []


def test_record_is_not_dumped(connection, alias):
    run("autoupdate", database=alias)
    out, _, status = run("dumpdata", database=alias)
    assert status == 0
    assert "automigrate" not in out


def test_help_teaches_by_example(capsys):
    for command in ("autoupdate", "automigrate"):
        with pytest.raises(SystemExit):
            call_command(command, "--help")
        text = capsys.readouterr().out
        assert f"manage.py {command} todo.Todo TodoList" in text
        assert "exit status: 0" in text


def test_database_that_cannot_be_opened_is_named(monkeypatch, sqlite):
    sqlite.close()
    monkeypatch.setitem(sqlite.settings_dict, "NAME", "/nonexistent/db.sqlite3")
    _, err, status = run("autoupdate", database=sqlite.alias)
    assert err.startswith("SQLite cannot make the file /nonexistent/db.sqlite3: there is no folder /nonexistent.")
    assert status == 2


def test_database_with_wrong_settings_is_an_error_without_a_traceback(monkeypatch, sqlite):
    sqlite.close()
    monkeypatch.setitem(sqlite.settings_dict, "NAME", "")
    _, err, status = run("autoupdate", database=sqlite.alias)
    assert err.startswith(f"Database '{sqlite.alias}': settings.DATABASES is improperly configured.")
    assert status == 2


def test_failing_system_checks_are_no_difference(monkeypatch, alias):
    monkeypatch.setattr("todo_demo.todo.models.Todo.former_names", "desc", raising=False)
    _, err, status = run("autoupdate", check=True, skip_checks=False, database=alias)
    assert "automigrate_ext.E001" in err
    assert status == 2


def test_output_that_nobody_reads_ends_without_a_traceback(tmp_path):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "manage.py", "autoupdate", "--dry-run"],
        cwd=Path(__file__).parent.parent.parent,
        env={**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3"},
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.stderr, done.returncode) == ("", 2)
