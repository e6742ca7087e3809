"""Databases brought up to date when a server starts: by whom, how often, and never by anything else."""

import asyncio
import logging
import re
import signal
import sys
import threading
import time

import pytest
from django.apps import apps
from django.core import asgi, wsgi
from django.core.checks import run_checks
from django.db.utils import OperationalError
from django.test import override_settings

from automigrate_ext import autoupdate, conf, is_actual, startup
from automigrate_ext.declared.selection import select
from automigrate_ext.run.one import rebuild_one
from automigrate_ext.run.options import Options
from automigrate_ext.waiting import await_database
from tests.conftest import url_of
from tests.management.test_commands import run
from tests.serving import Project, finish

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs gunicorn")

TODO = {"models": ["todo"]}


@pytest.fixture
def project(request, tmp_path):
    """Return the demo project for processes that work on the database of the test's parameter."""
    connection = request.getfixturevalue(request.param)
    connection.close()
    return Project(tmp_path, connection, url_of(connection))


on_sqlite = pytest.mark.parametrize("project", ["sqlite"], indirect=True)


def execute(connection, *statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def count(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM todo_todolist")
        return cursor.fetchone()[0]


def make_refused(connection):
    """Make a column hold NULL that the models forbid."""
    autoupdate("todo", using=connection.alias)
    execute(
        connection,
        "DROP TABLE todo_todolistimage",
        "DROP TABLE todo_todo",
        "DROP TABLE todo_todolist",
        "CREATE TABLE todo_todolist (id bigint PRIMARY KEY, title varchar(255))",
        "INSERT INTO todo_todolist (id) VALUES (1)",
    )
    connection.close()


# Servers


@pytest.mark.parametrize(
    ("project", "server", "workers", "options"),
    [
        ("postgresql", "gunicorn", 10, ["--workers=10"]),
        ("sqlite", "gunicorn", 4, ["--workers=4"]),
        ("postgresql", "gunicorn", 2, ["--workers=2", "--preload"]),
        ("sqlite", "uvicorn", 2, ["--workers=2"]),
        ("postgresql", "uvicorn", 4, ["--workers=4"]),
    ],
    indirect=["project"],
    ids=["gunicorn-postgresql", "gunicorn-sqlite", "preload", "uvicorn-sqlite", "uvicorn-postgresql"],
)
def test_workers_start_together_and_one_updates(project, server, workers, options):
    with project.serving(server, *options, ON_START="autoupdate") as served:
        answers = served.workers(workers)
    assert {answer.split()[1] for answer in answers} == {"0"}
    (worker,) = re.findall(r"^(\d+) autoupdate of database 'default': 13 changes applied", served.output, re.MULTILINE)
    assert (worker in {answer.split()[0] for answer in answers}) == ("--preload" not in options)


@on_sqlite
def test_runserver_updates_in_the_process_that_serves(project):
    with project.serving("runserver", ON_START={"VERB": "autoupdate", "MODELS": ["todo"]}) as served:
        status, text = served.await_answer()
        assert (status, text.split()[1]) == (200, "0")
    assert f"{text.split()[0]} autoupdate of database 'default': 3 changes applied in " in served.output


@pytest.mark.parametrize(
    ("project", "server"), [("postgresql", "gunicorn"), ("sqlite", "uvicorn")], indirect=["project"]
)
def test_refused_plan_stops_all_workers_with_its_reasons(project, server):
    make_refused(project.connection)
    # gunicorn exits at the first worker that does, and fails if a second worker exits meanwhile.
    workers = {"gunicorn": 1, "uvicorn": 2}[server]
    status, output = project.fails(server, f"--workers={workers}", ON_START="autoupdate")
    # The parent process of uvicorn exits with 0 whatever its workers did.
    assert status == {"gunicorn": 3, "uvicorn": 0}[server]
    assert "The server does not start, because autoupdate failed" in output
    assert "Column todo_todolist.title is to forbid NULL" in output
    assert "Traceback" not in output


COMMANDS = """
import sys
from django.core.management import ManagementUtility
for words in (
    ["check"], ["makemigrations", "--dry-run"], ["migrate", "sessions"], ["showmigrations"], ["diffsettings"],
    ["shell", "-c", "from todo_demo.todo.models import Todo"], ["test", "started", "--noinput"],
):
    sys.argv = ["manage.py", *words]
    try:
        ManagementUtility(sys.argv).execute()
    except SystemExit as stop:
        assert not stop.code, words
from django.db import connection
names = connection.introspection.table_names()
assert "django_session" in names, names
assert not [name for name in names if name.startswith("todo_")], names
print("nothing was updated")
from started.wsgi import application
assert "todo_todo" not in connection.introspection.table_names()
"""
TESTS = """
from django.test import LiveServerTestCase
from django.urls import reverse
class Tests(LiveServerTestCase):
    def test_application(self):
        from started import asgi, wsgi
        from urllib.request import urlopen
        assert self.client.get("/admin-is-not-here/").status_code == 404
        assert wsgi.application and asgi.application
"""


@on_sqlite
def test_commands_and_tests_update_nothing(project):
    (project.directory / "started" / "tests.py").write_text(TESTS)
    (project.directory / "commands.py").write_text(COMMANDS)
    status, output = finish(project.start("commands", ON_START="autoupdate"))
    assert status == 0, output
    assert "Ran 1 test" in output and "nothing was updated" in output
    assert "applied in" not in output and "changes applied" not in output


# In this process


@pytest.fixture
def fresh(monkeypatch):
    """Make this process one that has started nothing and runs no tests."""
    monkeypatch.setattr(startup, "_started", False)
    monkeypatch.setattr(startup, "is_testing", lambda: False)


def test_test_processes_are_known(monkeypatch):
    monkeypatch.setattr(startup, "_started", False)
    monkeypatch.setattr(startup, "carry_out", lambda *arguments: pytest.fail("it is a test"))
    with override_settings(AUTOMIGRATE={"ON_START": "autoupdate"}):
        startup.start_once()
    monkeypatch.setattr(sys, "argv", ["manage.py", "migrate"])
    monkeypatch.setattr(startup, "is_testing", lambda: False)
    startup.start_once()


def test_application_is_made_after_the_update_and_a_second_one_does_nothing(connection, fresh, monkeypatch, caplog):
    monkeypatch.setattr(wsgi, "WSGIHandler", wsgi.WSGIHandler)
    monkeypatch.setattr(asgi, "ASGIHandler", asgi.ASGIHandler)
    startup.install_handlers()
    setting = {"VERB": "autoupdate", "MODELS": ["todo"], "DATABASES": [connection.alias]}
    caplog.set_level(logging.INFO, "automigrate_ext")
    with override_settings(AUTOMIGRATE={"ON_START": setting}):
        assert isinstance(wsgi.get_wsgi_application(), wsgi.WSGIHandler)
        assert isinstance(asgi.get_asgi_application(), asgi.ASGIHandler)
    *changes, run = [record.message for record in caplog.records]
    assert [words.partition(" (")[0].split()[-1] for words in changes] == [
        "todo_todolist",
        "todo_todo",
        "todo_todolistimage",
    ]
    assert run.startswith(f"autoupdate of database '{connection.alias}': 3 changes applied in ")
    assert is_actual("todo", using=connection.alias)


def test_connections_are_left_as_they_were(connection):
    connection.close()
    startup.autoupdate(**TODO, using=connection.alias)
    assert connection.connection is None
    connection.ensure_connection()
    startup.autoupdate(**TODO, using=connection.alias)
    assert connection.connection is not None


def test_verb_where_an_event_loop_runs(connection):
    async def load():
        startup.autoupdate(**TODO, using=connection.alias)

    asyncio.run(load())
    assert is_actual("todo", using=connection.alias)


def test_failure_is_logged_if_so_wanted(connection, caplog):
    make_refused(connection)
    startup.autoupdate(**TODO, using=connection.alias, on_failure="log")
    *_, record = caplog.records
    assert record.levelname == "ERROR"
    assert record.message.startswith("The server starts although autoupdate failed")
    assert "Column todo_todolist.title is to forbid NULL" in record.message
    with pytest.raises(SystemExit) as stopped:
        startup.autoupdate(**TODO, using=connection.alias)
    assert stopped.value.code == 3
    assert count(connection) == 1


def test_malformed_setting_stops_the_start(fresh, caplog):
    with override_settings(AUTOMIGRATE={"ON_START": "autoupdat"}), pytest.raises(SystemExit):
        startup.start_once()
    assert "AUTOMIGRATE['ON_START'] has to be 'autoupdate', 'expand' or 'automigrate'" in caplog.records[0].message


def test_without_handlers_of_logs_it_goes_to_stderr(sqlite, monkeypatch, capsys):
    monkeypatch.setattr(startup.logger, "hasHandlers", lambda: False)
    startup.autoupdate(**TODO, using=sqlite.alias)
    assert "3 changes applied" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"ON_START": "auto"}, "has to be 'autoupdate', 'expand' or 'automigrate', or a dictionary"),
        ({"ON_START": {"MODELS": ["todo"]}}, "one of them as 'VERB'"),
        ({"ON_START": {"VERB": "autoupdate", "LABELS": []}}, "unknown keys: 'LABELS'"),
        ({"ON_START": {"VERB": "autoupdate", "MODELS": "todo"}}, "['MODELS'] has to be a list of names"),
        ({"ON_START": {"VERB": "autoupdate", "DATABASES": ["nowhere"]}}, "'nowhere' is not in DATABASES"),
        ({"ON_START": {"VERB": "autoupdate", "ON_FAILURE": "go"}}, "has to be 'stop' or 'log'"),
        ({"TENANT_SCHEMAS": "default"}, "['TENANT_SCHEMAS'] has to be a list of names, and is 'default'"),
        ({"TENANT_SCHEMAS": True}, "['TENANT_SCHEMAS'] has to be a list of names, and is True"),
        ({"TENANT_SCHEMAS": ["default", "nowhere"]}, "['TENANT_SCHEMAS']: 'nowhere' is not in DATABASES"),
        ({"WAIT_FOR_DB": "5"}, "has to be a number of seconds"),
        ({"WAIT_FOR_DB": True}, "has to be a number of seconds"),
        ({"TARGETS": ["acme"]}, "has to be a function or the dotted path of one"),
    ],
)
def test_malformed_setting_fails_the_system_check(setting, words):
    with override_settings(AUTOMIGRATE=setting):
        (error,) = [error for error in run_checks() if error.id == "automigrate_ext.E002"]
    assert words in error.msg


def test_forms_of_the_setting():
    with override_settings(AUTOMIGRATE={"ON_START": "autoupdate"}):
        assert conf.on_start() == conf.OnStart(verb="autoupdate")
    full = {"VERB": "automigrate", "MODELS": ["todo"], "DATABASES": ["default"], "CONFIRM": ["x"], "ON_FAILURE": "log"}
    with override_settings(AUTOMIGRATE={"ON_START": full, "WAIT_FOR_DB": 5}):
        assert conf.on_start() == conf.OnStart(
            verb="automigrate", models=("todo",), databases=("default",), confirm=("x",), on_failure="log"
        )
        assert conf.wait_for_db() == 5
    with override_settings(AUTOMIGRATE={"TENANT_SCHEMAS": ["default"]}):
        assert conf.has_tenant_schemas("default") and not conf.has_tenant_schemas("other")
    with override_settings(AUTOMIGRATE={"TENANT_SCHEMAS": "default"}):
        assert not conf.has_tenant_schemas("default")
    with override_settings(AUTOMIGRATE={"ON_START": None}):
        assert not conf.starts()


# expand


def test_expand_drops_nothing_and_leaves_old_code_able_to_insert(sqlite):
    autoupdate("todo", using=sqlite.alias)
    execute(sqlite, "ALTER TABLE todo_todolist DROP COLUMN color")
    startup.autoupdate(**TODO, using=sqlite.alias, expand=True)
    execute(sqlite, "INSERT INTO todo_todolist (title) VALUES ('Home')")
    assert not is_actual("todo", using=sqlite.alias)
    with override_settings(AUTOMIGRATE={"ON_START": "expand"}):
        assert conf.on_start().verb == "expand"
        startup.autoupdate(**TODO, using=sqlite.alias, expand=True)
    startup.autoupdate(**TODO, using=sqlite.alias)
    assert is_actual("todo", using=sqlite.alias) and count(sqlite) == 1


# automigrate


def lose_column(connection):
    """Make the tables differ, with a row in them."""
    autoupdate("todo", using=connection.alias)
    execute(connection, "ALTER TABLE todo_todolist DROP COLUMN color")
    execute(connection, "INSERT INTO todo_todolist (title) VALUES ('Home')")


def test_automigrate_makes_tables_anew_only_where_they_differ(connection):
    lose_column(connection)
    with override_settings(DEBUG=True):
        startup.automigrate(**TODO, using=connection.alias)
        assert count(connection) == 0 and is_actual("todo", using=connection.alias)
        execute(connection, "INSERT INTO todo_todolist (title, color) VALUES ('Home', '')")
        startup.automigrate(**TODO, using=connection.alias)
    assert count(connection) == 1


def test_automigrate_of_rows_without_debug_needs_the_name_of_the_database(connection, caplog):
    lose_column(connection)
    name = str(connection.settings_dict["NAME"])
    with pytest.raises(SystemExit):
        startup.automigrate(**TODO, using=connection.alias, confirm=["another"])
    assert "1 row of 1 table would be lost by automigrate, and DEBUG is off" in caplog.text and name in caplog.text
    assert count(connection) == 1
    startup.automigrate(**TODO, using=connection.alias, confirm=[name])
    assert count(connection) == 0


def test_automigrate_that_comes_second_leaves_the_tables_to_the_first(connection):
    """The second worker saw the difference before the first one was done, and sees none under the lock."""
    autoupdate("todo", using=connection.alias)
    execute(connection, "INSERT INTO todo_todolist (title, color) VALUES ('Home', '')")
    selection = select("todo", connection.alias, apps)
    assert not rebuild_one(selection, Options(unless_same=True), dry_run=False)
    assert count(connection) == 1
    assert rebuild_one(selection, Options(), dry_run=False)
    assert count(connection) == 0


# A database that is not up yet


@pytest.fixture
def not_yet(sqlite, tmp_path):
    """Make a database that cannot be opened until its directory exists; return the directory."""
    directory = tmp_path / "later"
    sqlite.close()
    sqlite.settings_dict["NAME"] = str(directory / "db.sqlite3")
    return directory


def test_database_that_comes_up_late_is_waited_for(sqlite, not_yet):
    threading.Timer(0.4, not_yet.mkdir).start()
    startup.autoupdate(**TODO, using=sqlite.alias, wait_for_db=30)
    assert is_actual("todo", using=sqlite.alias)


@pytest.mark.parametrize("by", ["option", "setting"])
def test_command_waits_within_a_limit(sqlite, not_yet, by):
    options = {"wait_for_db": 1.2} if by == "option" else {}
    started = time.monotonic()
    with override_settings(AUTOMIGRATE={"WAIT_FOR_DB": 1.2}):
        _, err, status = run("autoupdate", "todo", database=sqlite.alias, **options)
    assert time.monotonic() - started > 1.2
    assert status == 2
    assert f"Waiting for database '{sqlite.alias}' (unable to open database file)..." in err
    assert err.count("Waiting") == 1
    not_yet.mkdir()
    assert run("autoupdate", "todo", database=sqlite.alias, **options)[2] == 0


def test_database_is_not_waited_for_unless_asked(sqlite, not_yet):
    started = time.monotonic()
    with pytest.raises(OperationalError):
        await_database(sqlite.alias, 0)
    assert time.monotonic() - started < 1
    with pytest.raises(SystemExit):
        startup.autoupdate(**TODO, using=sqlite.alias)


@pytest.mark.parametrize("given", ["-1", "soon", "nan"])
def test_seconds_to_wait_have_to_be_a_number(given):
    from django.core.management import CommandError, call_command

    with pytest.raises(CommandError, match="is not a number of seconds"):
        call_command("autoupdate", f"--wait-for-db={given}")
