"""Tables and files in use by others: how long a run waits, whom it names, and what it leaves."""

import sqlite3
import threading
from contextlib import closing, contextmanager

import psycopg
import pytest
from django.db import models, transaction

from automigrate_ext import AutomigrateError, LockNotAvailable, automigrate, autoupdate, is_actual
from automigrate_ext.backends.postgresql.session import timeouts
from tests.acceptance.helper import Case, State, fingerprint, item

pytestmark = pytest.mark.timeout(60)


NAME = models.CharField(max_length=9)


def before():
    return State(
        Shelf={"name": models.CharField(max_length=9)},
        Item={"name": models.CharField(max_length=9)},
    )


def after():
    return State(
        Shelf={"name": models.CharField(max_length=9)},
        Item={
            "name": models.CharField(max_length=99),
            "shelf": models.ForeignKey("Shelf", models.CASCADE, null=True),
        },
    )


@pytest.fixture
def case(connection):
    case = Case(connection, "automigrate")
    case.build(before())
    case.insert(before(), {"Shelf": [{"name": "a"}], "Item": [{"name": "b"}]})
    return case


@contextmanager
def session(case, application="importer"):
    """Another session on the same database, in a transaction."""
    if case.vendor == "sqlite":
        with closing(sqlite3.connect(case.connection.settings_dict["NAME"], isolation_level=None)) as other:
            other.execute("BEGIN")
            yield other
    else:
        parameters = {**case.connection.get_connection_params(), "application_name": application}
        parameters = {
            key: parameters[key] for key in ("dbname", "user", "host", "port", "application_name") if key in parameters
        }
        with closing(psycopg.connect(**parameters)) as other:
            yield other


def assert_untouched(case, run, *words, kind=LockNotAvailable):
    """The run ends with an error that says the words, and leaves the database as it was."""
    trace = fingerprint(case.connection)
    with pytest.raises(kind) as caught:
        run()
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)
    assert not case.connection.in_atomic_block
    assert fingerprint(case.connection) == trace
    return caught.value


@pytest.mark.parametrize("limit", [-1, float("nan")])
@pytest.mark.parametrize("name", ["count_timeout", "lock_wait", "lock_timeout"])
def test_limit_that_is_none(sqlite, name, limit):
    with pytest.raises(AutomigrateError, match=f"{name}=.*number of seconds"):
        autoupdate(using=sqlite.alias, apps=before().apps, **{name: limit})


# PostgreSQL


@pytest.fixture
def postgresql_case(postgresql):
    case = Case(postgresql, "automigrate")
    case.build(before())
    case.insert(before(), {"Shelf": [{"name": "a"}], "Item": [{"name": "b"}]})
    return case


HOLDS = {
    "reads the table": "SELECT * FROM shop_item",
    "has changed a row": "UPDATE shop_item SET name = 'c'",
    "has locked a row": "SELECT * FROM shop_item FOR UPDATE",
    "has changed a row of the target": "UPDATE shop_shelf SET name = 'c'",
}


@pytest.mark.parametrize("limit", [0, 0.4])
@pytest.mark.parametrize("statement", HOLDS.values(), ids=HOLDS)
def test_session_in_the_way_is_named(postgresql_case, statement, limit):
    case = postgresql_case
    with session(case) as other:
        other.execute(statement)
        user = other.info.user
        assert_untouched(
            case,
            lambda: case.run(after(), lock_timeout=limit),
            f"session {other.info.backend_pid}, user '{user}', app 'importer', idle in transaction, since 20",
            f"query: {statement}",
            "--lock-timeout",
        )
    case.run(after(), lock_timeout=limit)


def test_waiting_for_a_table_is_told_and_lets_others_through(postgresql_case):
    case, told = postgresql_case, []
    with session(case) as other:
        other.execute("SELECT * FROM shop_item")

        def notify(message):
            told.append(message)
            # A second session does not stay behind the run in the queue, and the first one lets go of the table.
            with session(case, "reader") as reader:
                reader.execute("SET lock_timeout = '10s'")
                reader.execute("SELECT * FROM shop_item")
            other.commit()

        case.run(after(), notify=notify)
        pid = other.info.backend_pid
    (message,) = told
    assert message.startswith(f"Waiting for tables of database '{case.alias}' that are in use (session {pid}")
    case.assert_settled(after())


def test_readers_get_through_while_a_run_waits(postgresql_case):
    case, errors = postgresql_case, []
    with session(case) as holder, session(case, "reader") as reader:
        holder.execute("SELECT * FROM shop_item")
        done = threading.Event()

        def read_on():
            try:
                while not done.is_set():
                    reader.execute("SET LOCAL lock_timeout = '5s'")
                    reader.execute("SELECT * FROM shop_item")
                    reader.commit()
            except psycopg.Error as error:
                errors.append(error)

        thread = threading.Thread(target=read_on)
        thread.start()
        try:
            assert_untouched(case, lambda: case.run(after(), lock_timeout=2.5))
        finally:
            done.set()
            thread.join()
    assert errors == []


def test_limit_of_the_role_counts_without_one_of_the_run(postgresql_case):
    case = postgresql_case
    case.execute("SET lock_timeout = '250ms'")
    with session(case) as other:
        other.execute("SELECT * FROM shop_item")
        assert_untouched(case, lambda: case.run(after()), "Waited 0.25 s")
        case.execute("SET lock_timeout = 0")


@pytest.fixture
def hurried(postgresql_case):
    """A case whose statements may not last."""
    postgresql_case.execute("SET statement_timeout = '60ms'")
    yield postgresql_case
    postgresql_case.execute("SET statement_timeout = 0")


HELD = {
    "read": "SELECT * FROM shop_item",
    "written": "UPDATE shop_item SET name = 'c'",
    "locked": "LOCK TABLE shop_item",
    "altered": "ALTER TABLE shop_item ADD other int",
}


@pytest.mark.parametrize("verb", [autoupdate, automigrate])
@pytest.mark.parametrize("name", HELD)
def test_statement_timeout_while_a_table_is_in_use_names_the_session(hurried, name, verb):
    with session(hurried) as other:
        other.execute(HELD[name])
        with pytest.raises(AutomigrateError) as caught:
            verb(using=hurried.alias, apps=after().apps)
        for words in (f"session {other.info.backend_pid}", "importer", "raise statement_timeout"):
            assert words in str(caught.value)
    assert not hurried.connection.in_atomic_block


def test_statement_timeout_of_a_check_while_a_table_is_locked_names_the_session(hurried):
    hurried.execute("ALTER TABLE shop_item ADD COLUMN half int GENERATED ALWAYS AS (length(name) / 2) STORED")
    with session(hurried) as other:
        other.execute("LOCK TABLE shop_item")
        with pytest.raises(AutomigrateError, match=f"session {other.info.backend_pid}.*raise statement_timeout"):
            is_actual(using=hurried.alias, apps=after().apps)


def test_statement_timeout_without_others_names_nobody(postgresql_case):
    case = postgresql_case
    case.execute("INSERT INTO shop_item (name) SELECT 'x' FROM generate_series(1, 300000)")
    with session(case) as other:
        other.execute("SELECT * FROM shop_shelf")
        case.execute("SET statement_timeout = '30ms'")
        with pytest.raises(AutomigrateError, match="cancelled the statement: raise statement_timeout"):
            case.run(State(Shelf={"name": NAME}, Item={"name": models.TextField(db_index=True)}))
    case.execute("SET statement_timeout = 0")


def test_automigrate_waits_for_tables_too(postgresql_case):
    case = postgresql_case
    with session(case) as other:
        other.execute("SELECT * FROM shop_item")
        run = lambda: automigrate(using=case.alias, apps=after().apps, lock_timeout=0)  # noqa: E731
        assert_untouched(case, run, f"session {other.info.backend_pid}")


def test_later_statement_that_waits_too_long_names_the_session(postgresql_case):
    """What the record and receivers write is not locked beforehand."""
    case = postgresql_case
    with session(case) as other:
        other.execute("LOCK TABLE automigrate_ext_owned IN EXCLUSIVE MODE")
        assert_untouched(
            case,
            lambda: case.run(item(name=models.CharField(max_length=99)), lock_timeout=0.1),
            "lock timeout",
            f"session {other.info.backend_pid}",
            "importer",
        )


def test_look_at_a_locked_table_is_limited(postgresql_case):
    case = postgresql_case
    with session(case) as other:
        other.execute("LOCK TABLE shop_item")
        with pytest.raises(LockNotAvailable, match=f"session {other.info.backend_pid}"):
            case.run(item(name=models.CharField(max_length=9, null=True), size=models.TextField()), lock_timeout=0.1)
        without_shelf = State(Item={})
        with pytest.raises(LockNotAvailable, match=f"session {other.info.backend_pid}"):
            case.run(without_shelf, lock_timeout=0.1)


def test_session_is_named_where_the_catalog_itself_waits(postgresql_case):
    """The server locks a table to print its expressions, and the statement names no table then."""
    case = postgresql_case
    case.execute("ALTER TABLE shop_item ADD COLUMN half int GENERATED ALWAYS AS (length(name) / 2) STORED")
    with session(case) as other:
        other.execute("LOCK TABLE shop_item")
        with pytest.raises(LockNotAvailable, match=f"session {other.info.backend_pid}"):
            case.run(after(), lock_timeout=0.1)


def test_lock_timeout_is_put_back_in_a_transaction_of_the_caller(postgresql_case):
    case = postgresql_case
    with transaction.atomic(using=case.alias):
        case.execute("SET LOCAL lock_timeout = '7s'")
        case.run(after(), lock_timeout=0.1)
        assert case.query("SHOW lock_timeout") == [("7s",)]


def test_nothing_of_a_run_stays_with_the_session(postgresql_case):
    case = postgresql_case
    settings = "SELECT name, setting FROM pg_settings ORDER BY name"
    case.execute("DISCARD ALL")
    was = case.query(settings)
    case.run(after(), lock_timeout=5, lock_wait=5)
    assert case.query(settings) == was
    assert case.query("SELECT * FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()") == []
    assert case.query("SELECT * FROM pg_prepared_statements") == []
    assert case.query("SELECT * FROM pg_cursors") == []


# SQLite


@pytest.fixture
def sqlite_case(sqlite):
    sqlite.settings_dict["OPTIONS"]["timeout"] = 0.1
    case = Case(sqlite, "automigrate")
    case.build(before())
    case.insert(before(), {"Shelf": [{"name": "a"}], "Item": [{"name": "b"}]})
    yield case
    del sqlite.settings_dict["OPTIONS"]["timeout"]


@pytest.mark.parametrize("statement", ["UPDATE shop_item SET name = 'c'", "BEGIN EXCLUSIVE"])
def test_program_that_writes_is_waited_for(sqlite_case, statement):
    case, told = sqlite_case, []
    with session(case) as other:
        if "BEGIN" in statement:
            other.execute("COMMIT")
        other.execute(statement)
        with pytest.raises(LockNotAvailable, match=r"did not end within 0\.2 s.*--lock-wait"):
            case.run(after(), lock_wait=0.2, notify=told.append)
        assert told == []

        def notify(message):
            told.append(message)
            other.execute("ROLLBACK")

        case.run(after(), notify=notify)
    assert told == [f"Waiting for another run, or another program that writes, on database '{case.alias}'..."]
    case.assert_settled(after())


def test_program_that_reads_to_the_end_is_waited_for_as_long_as_asked(sqlite_case):
    case = sqlite_case
    with session(case) as other:
        other.execute("SELECT * FROM shop_item").fetchone()
        assert_untouched(case, lambda: case.run(after(), lock_timeout=0.1), "database is locked", "--lock-timeout")
    case.run(after())


@pytest.mark.parametrize(
    ("setting", "seconds"), [("0", None), ("1", 0.001), ("1500ms", 1.5), ("1min", 60), ("25h", 90_000), ("2d", 172_800)]
)
def test_times_of_the_server_are_read_in_whatever_unit(postgresql, setting, seconds):
    with postgresql.cursor() as cursor:
        cursor.execute("SET intervalstyle = sql_standard")
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [setting])
    assert timeouts(postgresql) == (seconds, 1.0)
