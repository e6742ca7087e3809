"""A database that does not exist is created where that is asked for, or agreed to at a terminal, and never else."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections
from django.db.utils import OperationalError

from automigrate_ext import ExecutionFailed, create_database
from automigrate_ext.backends import databases_for
from tests.conftest import scratch, url_of
from tests.databases import PREFIX
from tests.terminals import at_terminal

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(params=["postgresql", "mariadb", "mysql"])
def server(request):
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture
def missing(server, django_db_blocker):
    """A connection to a database that does not exist."""
    name = f"{PREFIX}{server.session}_missing_{os.getpid()}"
    server.drop_database(name)
    with scratch("missing", server.entry(name), django_db_blocker) as connection:
        yield connection
        connection.close()
        server.drop_database(name)


def name_of(connection):
    return connection.settings_dict["NAME"]


def run(*arguments, verb="autoupdate"):
    call_command(verb, *arguments, database=["missing"], interactive=False, verbosity=0)


@pytest.mark.parametrize("verb", ["autoupdate", "automigrate"])
def test_option_creates_the_database_and_the_tables(server, missing, verb):
    run("--create-database", verb=verb)
    assert name_of(missing) in server.databases()
    assert "todo_todo" in missing.introspection.table_names()
    run("--create-database")


def test_name_is_taken_as_it_is(server, missing):
    name = f'{name_of(missing)}_"Ä`'[:60]
    missing.settings_dict["NAME"] = name
    try:
        assert create_database("missing") is True
        assert create_database("missing") is False
        assert name in server.databases()
    finally:
        missing.close()
        databases = databases_for("missing")
        with databases.server() as cursor:
            cursor.execute(f"DROP DATABASE {databases.quoted(name)}")


def test_character_set_is_the_one_that_django_connects_with(missing):
    if missing.vendor == "postgresql":
        pytest.skip("PostgreSQL's databases have the encoding of their template")
    for charset in ("utf8mb4", "latin1"):
        missing.settings_dict["OPTIONS"] = {**missing.settings_dict["OPTIONS"], "charset": charset}
        create_database("missing")
        with missing.cursor() as cursor:
            cursor.execute("SELECT @@character_set_database")
            assert cursor.fetchone() == (charset,)
            cursor.execute(f"DROP DATABASE `{name_of(missing)}`")
        missing.close()


LOOKS = [["--check"], ["--dry-run"], ["--dry-run", "--create-database"], ["--history", "--create-database"]]


def test_option_file_with_the_name_of_the_database(server, missing, tmp_path):
    """The driver takes the name in the file where the settings of a session have none."""
    if missing.vendor == "postgresql":
        pytest.skip("only the driver of MariaDB and MySQL has option files with a database")
    name = name_of(missing)
    (tmp_path / "my.cnf").write_text(f"[client]\ndatabase = {name}\n")
    missing.settings_dict["OPTIONS"] = {
        **missing.settings_dict["OPTIONS"],
        "read_default_file": str(tmp_path / "my.cnf"),
    }
    missing.settings_dict["NAME"] = ""
    with pytest.raises(CommandError, match=f"1049, \"Unknown database '{name}'\""):
        run("--create-database")
    missing.settings_dict["NAME"] = name
    run("--create-database")
    assert name in server.databases()


@pytest.mark.parametrize("options", LOOKS)
def test_looking_creates_nothing(server, missing, options):
    with pytest.raises(CommandError) as caught:
        run(*options)
    assert caught.value.returncode == 2
    message = str(caught.value)
    assert message.startswith(f"Database '{name_of(missing)}' does not exist")
    assert f"Nothing was created: leave out {options[0]}" in message
    assert name_of(missing) not in server.databases()


def test_nobody_is_asked_without_a_terminal(server, missing):
    with pytest.raises(CommandError, match="Pass --create-database to have it created"):
        run()
    assert name_of(missing) not in server.databases()


@pytest.mark.parametrize(("answer", "created"), [("y", True), ("", False)])
def test_at_a_terminal_it_is_asked(server, missing, answer, created):
    settings = {"DJANGO_SETTINGS_MODULE": "todo_demo.settings", "DATABASE_URL": url_of(missing)}
    environment = {**os.environ, **settings, "NO_COLOR": "1"}
    with at_terminal([sys.executable, "manage.py", "autoupdate", "todo"], ROOT, environment, width=200) as terminal:
        terminal.read_until("Create it? [y/N]")
        terminal.type(f"{answer}\n")
        status = terminal.wait()
    assert f"Database '{name_of(missing)}' does not exist" in terminal.shown
    assert (status, name_of(missing) in server.databases()) == ((0, True) if created else (2, False))


def test_two_at_once_create_one(server, missing):
    def create(number):
        try:
            return create_database("missing")
        finally:
            connections["missing"].close()

    with ThreadPoolExecutor(max_workers=4) as pool:
        done = list(pool.map(create, range(4)))
    assert sorted(done) == [False, False, False, True]


def test_role_that_may_not_create_databases(server, missing):
    administer(server, missing, "CREATE")
    try:
        with pytest.raises(ExecutionFailed) as caught:
            create_database("missing")
        message = str(caught.value)
        assert message.startswith(f"Database '{name_of(missing)}' could not be created") and "denied" in message
        assert "ALTER ROLE" in message or "GRANT ALL ON" in message
    except OperationalError as error:
        # MySQL and MariaDB do not tell such a role that the database is missing.
        assert missing.vendor == "mysql" and error.args[0] == 1044
    finally:
        administer(server, missing, "DROP")


def administer(server, connection, verb):
    """Create a role that may do nothing and give it to the connection, or drop it."""
    role = f"poor_{os.getpid()}"
    with suppress(KeyError):
        connection.settings_dict["OPTIONS"].pop("user")
    if connection.vendor == "postgresql":
        words = f"ROLE {role}" + (" LOGIN PASSWORD 'poor'" if verb == "CREATE" else "")
    else:
        words = f"USER '{role}'@'%'" + (" IDENTIFIED BY 'poor'" if verb == "CREATE" else "")
    with server.connect() as administrator:
        administrator.cursor().execute(f"{verb} {words}")
    connection.settings_dict |= {"USER": role, "PASSWORD": "poor"}


STRANGER = {"PASSWORD": "wrong", "USER": "nobody_of_this_name"}
NOWHERE = {"PORT": "1", "HOST": "127.0.0.1"}


@pytest.mark.parametrize("wrong", [STRANGER, NOWHERE])
def test_other_faults_of_a_connection_are_no_missing_database(missing, wrong):
    missing.settings_dict |= wrong
    with pytest.raises(OperationalError):
        create_database("missing")
    with pytest.raises(CommandError) as caught:
        run("--create-database")
    assert "does not exist" not in str(caught.value) or "nobody_of_this_name" in str(caught.value)
    assert "--create-database" not in str(caught.value)


def test_folder_of_a_file_that_does_not_exist_is_named(sqlite, monkeypatch, tmp_path):
    sqlite.close()
    monkeypatch.setitem(sqlite.settings_dict, "NAME", str(tmp_path / "nowhere" / "db.sqlite3"))
    with pytest.raises(CommandError) as caught:
        call_command("autoupdate", database=[sqlite.alias], create_database=True)
    assert f"there is no folder {tmp_path / 'nowhere'}. Make the folder, or correct" in str(caught.value)
    assert not (tmp_path / "nowhere").exists()


def test_database_of_any_other_kind_is_never_missing(sqlite, monkeypatch):
    monkeypatch.setattr("automigrate_ext.backends.DATABASES", {})
    monkeypatch.setitem(sqlite.settings_dict, "NAME", "/nonexistent/db.sqlite3")
    sqlite.close()
    with pytest.raises(OperationalError):
        create_database(sqlite.alias)
