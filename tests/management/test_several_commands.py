"""The commands on several databases: which lines belong to which, what is left alone, and the exit statuses."""

import json
import os
import sqlite3
from contextlib import closing

import pytest
from django.db import connections
from django.test import override_settings

from automigrate_ext.management.commands.autoupdate import Command
from tests.management.test_commands import run
from tests.plan_shape import STRICT
from tests.several import Homes, databases, execute, tables

BOTH = ["default", "logs"]
HOMES = {"todo": {"default"}, "sessions": {"logs"}, "nothing": {"archive"}}
TODO = ["todo_todo", "todo_todolist", "todo_todolistimage"]


@pytest.fixture
def entries(tmp_path):
    """Return the settings of two databases, a mirror of one of them, and one to which nothing is routed."""
    engine = {"ENGINE": "django.db.backends.sqlite3"}
    entries = {alias: {**engine, "NAME": str(tmp_path / f"{alias}.sqlite3")} for alias in (*BOTH, "spare")}
    return {**entries, "replica": {**entries["default"], "TEST": {"MIRROR": "default"}}}


@pytest.fixture
def several(entries, django_db_blocker, settings, monkeypatch):
    """Todo lists are in "default", sessions in "logs", and nothing of any other app anywhere."""
    settings.DATABASE_ROUTERS = ["tests.several.Homes"]
    settings.AUTOMIGRATE = {"RECORD_MIGRATIONS": False}
    apps = ("auth", "contenttypes", "sites")
    monkeypatch.setattr(Homes, "homes", {**HOMES, **{app: {"nowhere"} for app in apps}})
    with databases(django_db_blocker, entries):
        yield


def both(command="autoupdate", *labels, **options):
    return run(command, *labels, database=BOTH, **options)


def document(out):
    values = json.loads(out)
    STRICT.validate(values)
    return values


def add_list(alias="default"):
    execute(alias, "INSERT INTO todo_todolist (title, color) VALUES ('Home', '')")


def make_refused(alias="default"):
    """Make a column hold NULL that the models forbid."""
    execute(
        alias,
        "DROP TABLE todo_todolistimage",
        "DROP TABLE todo_todo",
        "DROP TABLE todo_todolist",
        "CREATE TABLE todo_todolist (id integer PRIMARY KEY AUTOINCREMENT, title varchar(255), color varchar(50))",
        "INSERT INTO todo_todolist (title) VALUES (NULL)",
    )


def test_repeated_database(several):
    out, err, status = both()
    assert (err, status) == ("", 0)
    first, second = out.split("Database 'logs'\n")
    assert first.startswith("Database 'default'\n") and "todo_todo" in first and "session" not in first
    assert "django_session" in second and "todo" not in second
    assert tables("default") == TODO and tables("logs") == ["django_session"]
    out, err, status = both()
    nothing = "Nothing to do: the database matches the models."
    assert out.splitlines() == ["Database 'default'", nothing, "Database 'logs'", nothing]
    assert (err, status) == ("", 0)


def test_one_database_named_twice_is_one(several):
    out, _, status = run("autoupdate", database=["logs", "logs"])
    assert status == 0
    assert out.startswith("+") or "Database 'logs'\n" not in out


def test_databases_on_the_command_line(several, capsys):
    Command().run_from_argv(["manage.py", "autoupdate", "--database", "logs", "--database", "default", "--dry-run"])
    out = capsys.readouterr().out
    assert out.index("Database 'logs'") < out.index("Database 'default'")
    assert tables("default") == tables("logs") == []


def test_unknown_database_on_the_command_line(several, capsys):
    with pytest.raises(SystemExit) as stop:
        Command().run_from_argv(["manage.py", "autoupdate", "--database", "logs", "--database", "nothing"])
    assert stop.value.code == 2
    assert "nothing" in capsys.readouterr().err


# All databases


def test_all_databases(several):
    out, err, status = run("autoupdate", all_databases=True)
    assert status == 0
    assert [line for line in out.splitlines() if line.endswith("'")] == [f"Database '{a}'" for a in (*BOTH, "spare")]
    assert err.splitlines() == [
        "Database 'replica' is left alone: it mirrors 'default' (TEST: MIRROR).",
        "[spare] Database 'spare' is left alone: the routers let none of the models in.",
    ]
    assert tables("default") == TODO and tables("logs") == ["django_session"] and tables("spare") == []


def test_all_databases_as_json(several):
    out, _, status = run("autoupdate", all_databases=True, format="json")
    values = document(out)
    assert status == 0
    assert [entry["database"] for entry in values["databases"]] == BOTH
    assert [entry["database"] for entry in values["left_alone"]] == ["replica", "spare"]


def test_all_databases_of_which_there_is_one(entries, django_db_blocker):
    with databases(django_db_blocker, {"default": entries["default"]}):
        out, _, _ = run("autoupdate", "todo", all_databases=True, format="json", dry_run=True)
        assert [entry["database"] for entry in document(out)["databases"]] == ["default"]


def test_default_without_a_database(entries, django_db_blocker):
    with databases(django_db_blocker, {"default": {}, "logs": entries["logs"]}):
        _, err, status = run("autoupdate", "todo", all_databases=True)
        assert (err, status) == ("Database 'default' is left alone: its settings name no database.\n", 0)
        assert tables("logs") == TODO


def test_second_alias_for_one_database(entries, django_db_blocker):
    with databases(django_db_blocker, {"default": entries["default"], "jobs": entries["default"]}):
        _, err, status = run("autoupdate", all_databases=True)
        assert status == 0
        assert err.endswith("\n[jobs] Database 'jobs' is left alone: it is the same database as 'default'.\n")
        _, err, status = run("autoupdate", database=["default", "jobs"])
        assert status == 0
        assert err == "[jobs] Database 'jobs' is the same as 'default', with which its models are dealt with.\n"


def test_all_databases_and_one_by_name(several):
    out, err, status = run("autoupdate", all_databases=True, database=["logs"])
    assert (out, status) == ("", 2)
    assert "--all-databases and --database" in err


def test_mirror_that_is_named(several):
    assert run("autoupdate", database=["replica"])[2] == 0
    assert run("autoupdate", database=["default", "replica"])[2] == 0


def test_read_only_file_is_left_alone(entries, several):
    path = entries["logs"]["NAME"]
    both()
    connections["logs"].close()
    connections["logs"].settings_dict.update({"NAME": f"file:{path}?mode=ro", "OPTIONS": {"uri": True}})
    out, err, status = run("automigrate", all_databases=True, interactive=False)
    assert status == 0, err
    assert "[logs] Database 'logs' is left alone: the database file may only be read." in err
    assert "Create table todo_todo" in out and "session" not in out


def test_database_that_somebody_writes_is_not_left_alone(entries, several):
    with closing(sqlite3.connect(entries["logs"]["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        _, err, status = run("autoupdate", all_databases=True, lock_wait=0)
        other.execute("ROLLBACK")
    assert status == 2
    assert "[logs] Another run" in err
    assert err.endswith("Failed or refused: 1 of 2 databases (logs).")


@pytest.fixture
def only_reads(postgresql, entries, django_db_blocker, settings):
    """Yield a database on PostgreSQL in which transactions only read."""
    connections_of_it = {**postgresql.settings_dict, "OPTIONS": {"options": "-c default_transaction_read_only=on"}}
    with databases(django_db_blocker, {"default": entries["default"], "reading": connections_of_it}):
        yield


def test_read_only_transactions_are_left_alone(only_reads):
    _, err, status = run("autoupdate", "todo", all_databases=True)
    assert status == 0
    assert "[reading] Database 'reading' is left alone: transactions only read there" in err
    assert run("autoupdate", "todo", database=["reading"])[2] == 2


# Labels


def test_model_of_another_database(several):
    _out, err, status = both("autoupdate", "Session", "todo.TodoList")
    assert status == 0
    assert tables("default") == ["todo_todolist"] and tables("logs") == ["django_session"]
    assert err.splitlines() == [
        "[default] Session is left out of database 'default': routed to database 'logs'.",
        "[logs] todo.TodoList is left out of database 'logs': routed to database 'default'.",
    ]


def test_label_of_all_databases(several):
    _out, err, status = run("autoupdate", "Session", all_databases=True)
    assert status == 0
    assert tables("logs") == ["django_session"]
    assert "[default] Database 'default' is left alone: none of the models belongs there." in err


def test_model_that_belongs_to_none(several):
    out, err, status = run("autoupdate", "todo.Todo", "Session", database=["logs", "spare"])
    assert (out, status) == ("", 2)
    assert "routed to databases 'default', 'replica')" in err or "routed to database 'default'" in err
    assert tables("logs") == []


# Failures and exit statuses


def test_refused_and_the_others_go_on(several):
    both("autoupdate", "todo", "sessions")
    make_refused()
    execute("logs", "DROP TABLE django_session")
    _out, err, status = both()
    assert status == 2
    assert "[default] Nothing was done, because" in err and "\n[default] - " in err
    assert err.endswith("Failed or refused: 1 of 2 databases (default).")
    assert tables("logs") == ["django_session"]
    assert both()[2] == 2


def test_refused_as_json(several):
    both()
    make_refused()
    out, _err, status = both(format="json")
    first, second = document(out)["databases"]
    assert status == 2
    assert "refuse" in {change["verdict"] for change in first["changes"]} and first["statements"] == []
    assert second["database"] == "logs" and second["changes"] == []


def test_one_that_cannot_be_opened(several):
    connections["default"].close()
    connections["default"].settings_dict["NAME"] = "/nonexistent/no.sqlite3"
    out, err, status = both(format="json")
    first, second = document(out)["databases"]
    assert status == 2
    assert first == {"database": "default", "error": "Database 'default': unable to open database file"}
    assert "[default] Database 'default': unable to open database file" in err
    assert second["changes"] and tables("logs") == ["django_session"]


def test_check_statuses(several):
    assert both(check=True)[2] == 1
    run("autoupdate", database="default")
    assert both(check=True)[2] == 1
    run("autoupdate", database="logs")
    assert both(check=True)[2] == 0
    make_refused()
    assert both(check=True)[2] == 1
    execute("logs", "DROP TABLE django_session", "CREATE VIEW django_session AS SELECT 1")
    _, err, status = both(check=True)
    assert status == 2
    assert "Failed or refused: 1 of 2 databases (logs)." in err


def test_refused_dry_run(several):
    both()
    make_refused()
    _, err, status = both(dry_run=True)
    assert status == 2
    assert "[default] Nothing was done." in err
    assert "Failed or refused: 1 of 2 databases (default)." in err


def test_system_checks_are_those_of_all(several, monkeypatch):
    seen = []
    monkeypatch.setattr(Command, "check", lambda self, tags, databases: seen.append(list(databases)))
    both(dry_run=True, skip_checks=False)
    run("autoupdate", all_databases=True, dry_run=True, skip_checks=False)
    assert seen == [BOTH, ["default", "logs", "spare"]]


# Formats


def test_sql_names_the_databases(several):
    out, _err, status = both(format="sql", dry_run=True)
    assert status == 0
    first, second = out.split("-- Database 'logs'\n")
    assert first.startswith("-- Database 'default'\nPRAGMA") and first.endswith("COMMIT;\n")
    assert "django_session" in second and "django_session" not in first


def test_quiet(several):
    out, err, status = run("autoupdate", all_databases=True, verbosity=0)
    assert (out, err, status) == ("", "", 0)
    assert tables("logs") == ["django_session"]


# Saved plans


@pytest.fixture
def file(several, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(both(format="json", dry_run=True)[0])
    return path


def test_plan_of_several(file):
    out, err, status = run("autoupdate", plan=str(file))
    assert (err, status) == ("", 0)
    assert out.index("Database 'default'") < out.index("todo_todo") < out.index("Database 'logs'")
    assert tables("default") == TODO and tables("logs") == ["django_session"]


def test_plan_of_several_as_json(file):
    values = document(run("autoupdate", plan=str(file), format="json")[0])
    assert [entry["statements"] for entry in values["databases"]] == [
        entry["statements"] for entry in json.loads(file.read_text())["databases"]
    ]


def test_plan_of_one_waits_no_longer_than_it_is_told(several, entries, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(run("autoupdate", database="logs", format="json", dry_run=True)[0])
    with closing(sqlite3.connect(entries["logs"]["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        _, err, status = run("autoupdate", plan=str(path), lock_wait=0)
    assert status == 2
    assert "Another run" in err and "'logs'" in err


def test_plan_of_several_of_which_one_no_longer_holds(file):
    run("autoupdate", database="default")
    _out, err, status = run("autoupdate", plan=str(file))
    assert status == 2
    assert f"[default] --plan {file}: The plan no longer holds" in err
    assert "Failed or refused: 1 of 2 databases (default)." in err
    assert tables("logs") == ["django_session"]


def test_plan_of_several_that_is_broken(file):
    values = json.loads(file.read_text())
    del values["databases"][1]["digest"]
    file.write_text(json.dumps(values))
    _, err, status = run("autoupdate", plan=str(file))
    assert status == 2
    assert f"--plan {file}: Database 'logs': The plan lacks 'digest'" in err
    assert tables("default") == []


def test_all_databases_beside_a_plan(file):
    _, err, status = run("autoupdate", plan=str(file), all_databases=True)
    assert status == 2
    assert "leave out --all-databases." in err


# Questions


@pytest.fixture
def answers(monkeypatch):
    """Answer questions with texts, or with exceptions, one after the other."""
    given = []

    def answer(*args):
        value = given.pop(0)
        if isinstance(value, str):
            return value
        raise value

    monkeypatch.setattr("builtins.input", answer)
    return given


@pytest.fixture
def filled(several):
    """Make a row in each of the two databases."""
    _, err, status = both()
    assert status == 0, err
    add_list()
    execute("logs", "INSERT INTO django_session VALUES ('a', 'b', '2026-01-01')")


def rows(alias, table):
    with connections[alias].cursor() as cursor:
        return cursor.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def left():
    return rows("default", "todo_todolist"), rows("logs", "django_session")


@override_settings(DEBUG=True)
@pytest.mark.parametrize(("given", "expected"), [("yes no", (0, 1)), ("no yes", (1, 0)), ("yes yes", (0, 0))])
def test_automigrate_asks_for_each_database(filled, answers, given, expected):
    answers += given.split()
    _out, err, status = both("automigrate")
    assert status == 0
    assert left() == expected
    assert "[default]   todo_todolist: 1 row" in err and "[logs]   django_session: 1 row" in err
    assert ("[logs] Cancelled; nothing was changed." in err) == (expected[1] == 1)
    assert "[default] Type 'yes'" in err


@override_settings(DEBUG=True)
def test_interrupt_at_a_question(filled, answers):
    answers.append(KeyboardInterrupt())
    _out, err, status = both("automigrate")
    assert status == 130
    assert "[default] Interrupted; nothing was changed." in err
    assert err.endswith("Not begun: 'logs'.\n")
    assert left() == (1, 1)


@override_settings(DEBUG=True)
def test_interrupt_at_the_second_question(filled, answers):
    answers += ["yes", KeyboardInterrupt()]
    _out, err, status = both("automigrate")
    assert status == 130
    assert "[logs] Interrupted; nothing was changed." in err and "Not begun" not in err
    assert left() == (0, 1)


@override_settings(DEBUG=False)
def test_confirm_several(filled, entries):
    default, logs = (entries[alias]["NAME"] for alias in BOTH)
    _, err, status = both("automigrate", confirm=[default])
    assert status == 2
    assert f"[logs] 1 row of 1 table would be lost, and DEBUG is off. Pass --confirm {logs}" in err
    assert left() == (0, 1)
    add_list()
    _, err, status = both("automigrate", confirm=[default, logs])
    assert status == 0
    assert left() == (0, 0)


@override_settings(DEBUG=False)
def test_confirm_a_database_that_is_none_of_them(filled, entries):
    _, err, status = both("automigrate", confirm=[entries["default"]["NAME"], "other"])
    assert status == 2
    assert "--confirm other: the database of 'default' is" in err and "the database of 'logs' is" in err
    assert left() == (1, 1)


@pytest.mark.skipif(os.name == "nt", reason="a terminal of its own")
def test_questions_of_autoupdate_name_the_database(several, answers, monkeypatch):
    both()
    execute(
        "default",
        "DROP TABLE todo_todo",
        "CREATE TABLE todo_todo (id integer NOT NULL PRIMARY KEY AUTOINCREMENT, list_id bigint NOT NULL)",
        "INSERT INTO todo_todolist (title, color) VALUES ('a', '')",
        "INSERT INTO todo_todo (list_id) VALUES (1)",
    )
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    answers += [""] * 9
    execute("logs", "DROP TABLE django_session")
    _out, err, status = both()
    assert status == 2
    assert "[default] todo_todo\n[default]   ! Column todo_todo.title is required" in err
    assert "[default] 1 row needs a value of todo.Todo.title. It takes a text of at most 200 characters." in err
    assert "[default] Nothing was done, because the database does not allow all of it:" in err
    assert tables("logs") == ["django_session"]
