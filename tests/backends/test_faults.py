"""Faults of the database: each ends in one clear error that names the way out, and changes nothing."""

import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.contrib.postgres.fields import HStoreField
from django.contrib.postgres.indexes import BloomIndex
from django.core.management import CommandError, call_command
from django.db import models, transaction
from psycopg import sql

from automigrate_ext import (
    AutomigrateError,
    ExecutionFailed,
    ScratchFailed,
    autoupdate,
    is_actual,
    make_plan,
)
from automigrate_ext.backends.postgresql.rehearsal import PostgreSQLRehearsal
from automigrate_ext.backends.postgresql.session import PostgreSQLSession
from tests.acceptance.helper import Case, State, fingerprint
from tests.conftest import scratch
from tests.database_url import parse_database_url
from tests.disks import NOBODY, read_only, small_disk, unprivileged
from tests.servers import ServerUnavailable
from tests.servers.postgresql import own_server

pytestmark = pytest.mark.timeout(120)

ROWS = {"Item": [{"name": "x" * 900} for _ in range(3)]}
#: Rows of one kilobyte that a rewrite of the table makes a second time.
FILL = {
    "sqlite": "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) "
    "INSERT INTO shop_item (name) SELECT printf('%.*c', 1000, 'x') FROM n",
    "postgresql": "INSERT INTO shop_item (name) SELECT left(repeat(md5(i::text), 40), 1000) "
    "FROM generate_series(1, 2500) i",
}


def before():
    return State(Item={"name": models.CharField(max_length=2000)})


def after():
    """The table is rewritten, and another one made."""
    return State(
        Item={"id": models.IntegerField(primary_key=True), "name": models.CharField(max_length=2000)},
        Other={"item": models.ForeignKey("Item", models.CASCADE)},
    )


def built(connection):
    case = Case(connection, "automigrate")
    case.build(before())
    case.insert(before(), ROWS)
    return case


@pytest.fixture
def case(connection):
    return built(connection)


def assert_fails(run, *words, kind=ExecutionFailed):
    """The run ends with an error in one line that says the words."""
    with pytest.raises(AutomigrateError) as caught:
        run()
    assert type(caught.value) is kind, repr(caught.value)
    message = str(caught.value)
    for word in words:
        assert word in message, message
    assert "\n" not in message
    return caught.value


def assert_undone(case, run, *words, kind=ExecutionFailed):
    trace = fingerprint(case.connection)
    error = assert_fails(run, *words, kind=kind)
    assert not case.connection.in_atomic_block
    assert fingerprint(case.connection) == trace
    return error


# Disks


def test_sqlite_database_that_may_not_grow(sqlite):
    case = built(sqlite)
    case.execute(FILL["sqlite"])
    ((pages,),) = case.query("PRAGMA page_count")
    case.execute(f"PRAGMA max_page_count = {pages + 5}")
    error = assert_undone(case, lambda: case.run(after()), "database or disk is full", "make room and run again")
    assert error.plan.statements == error.pending and not error.applied
    case.execute(f"PRAGMA max_page_count = {pages * 4}")
    case.run(after())


def test_sqlite_disk_full(django_db_blocker):
    with (
        small_disk(8) as disk,
        scratch("sqlite_scratch", {"NAME": str(disk / "db.sqlite3")}, django_db_blocker) as connection,
    ):
        case = built(connection)
        case.execute(FILL["sqlite"])
        (disk / "ballast").write_bytes(bytes(4_000_000))
        assert_undone(case, lambda: case.run(after()), "full", "run again")
        (disk / "ballast").unlink()
        case.run(after())


def test_sqlite_disk_that_may_only_be_read(django_db_blocker):
    with (
        small_disk(2) as disk,
        scratch("sqlite_scratch", {"NAME": str(disk / "db.sqlite3")}, django_db_blocker) as connection,
    ):
        case = built(connection)
        connection.close()
        read_only(disk)
        assert case.plan(after())
        assert not is_actual(using=case.alias, apps=after().apps)
        assert_undone(case, lambda: case.run(after()), "readonly database", "allow writing")
        told = []
        assert not case.run(before(), notify=told.append)


@pytest.fixture
def open_directory():
    """A directory that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="automigrate-") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no such rights here")
@pytest.mark.parametrize(
    ("file", "directory"),
    [(0o644, 0o777), (0o666, 0o755)],
    ids=["file", "directory"],
)
def test_sqlite_without_the_right_to_write(open_directory, django_db_blocker, file, directory):
    entry = {"NAME": str(open_directory / "db.sqlite3")}
    with scratch("sqlite_scratch", entry, django_db_blocker) as connection:
        case = built(connection)
        connection.close()
        if os.geteuid() != 0:
            file, directory = file & 0o555, directory & 0o555
        os.chmod(entry["NAME"], file)
        os.chmod(open_directory, directory)
        with unprivileged():
            assert case.plan(after())
            assert_undone(case, lambda: case.run(after()), "database", "allow writing to", "directory")
            case.run(before())
        connection.close()
        os.chmod(open_directory, 0o755)


def test_no_op_with_an_unwritable_record_succeeds_and_says_so(sqlite, tmp_path):
    call_command("migrate", run_syncdb=True, verbosity=0, database=sqlite.alias)
    sqlite.close()
    name = sqlite.settings_dict["NAME"]
    sqlite.settings_dict["NAME"] = f"file:{name}?mode=ro"
    told = []
    plan = autoupdate(using=sqlite.alias, notify=told.append)
    sqlite.close()
    sqlite.settings_dict["NAME"] = name
    assert not plan
    (message,) = told
    assert f"Database '{sqlite.alias}' matches the models" in message and "readonly database" in message


# Roles


@contextmanager
def role(case, *grants):
    """The connection works as a role that owns nothing and has these privileges; `{}` is the role."""
    name = f"role_{case.connection.settings_dict['NAME']}"[:63]
    quoted = sql.Identifier(name)
    user = case.connection.settings_dict["USER"]
    database = sql.Identifier(case.connection.settings_dict["NAME"])
    server = sql.SQL

    def administer(*statements):
        with case.connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(server(statement).format(quoted, database).as_string(None))

    administer("CREATE ROLE {} LOGIN", "REVOKE TEMPORARY ON DATABASE {1} FROM PUBLIC", *grants)
    case.connection.close()
    case.connection.settings_dict["USER"] = name
    try:
        yield name
    finally:
        case.connection.close()
        case.connection.settings_dict["USER"] = user
        administer("DROP OWNED BY {}", "DROP ROLE {}", "GRANT TEMPORARY ON DATABASE {1} TO PUBLIC")


TEMPORARY = "GRANT TEMPORARY ON DATABASE {1} TO {0}"
READ = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {0}"
CREATE = "GRANT CREATE ON SCHEMA public TO {0}"
WRITE = "GRANT ALL ON ALL TABLES IN SCHEMA public TO {0}"


@pytest.fixture
def owned(postgresql):
    return built(postgresql)


def assert_undone_as_role(case, grants, run, *words, kind=ExecutionFailed):
    trace = fingerprint(case.connection)
    with role(case, *grants) as name:
        error = assert_fails(run, *(word.format(name) for word in words), kind=kind)
    assert fingerprint(case.connection) == trace
    return error


def test_role_without_temp(owned):
    words = ("temporary tables", "GRANT TEMPORARY ON DATABASE", "TO {}")
    for run in (owned.run, owned.plan, lambda state: is_actual(using=owned.alias, apps=state.apps)):
        assert_undone_as_role(owned, [READ, CREATE], lambda run=run: run(after()), *words, kind=ScratchFailed)


def test_role_that_may_only_read(owned):
    with role(owned, TEMPORARY, READ):
        assert len(owned.plan(after()).changes) > 1
        assert is_actual(using=owned.alias, apps=before().apps)
    assert_undone_as_role(
        owned, [TEMPORARY, READ], lambda: owned.run(after()), "permission denied", "shop_item belongs to", "TO {}"
    )


def test_role_that_may_not_even_read(owned):
    assert_undone_as_role(
        owned,
        [TEMPORARY],
        lambda: owned.plan(after()),
        "permission denied for table automigrate_ext_owned",
        "GRANT SELECT ON automigrate_ext_owned TO {}",
    )


def test_role_that_may_not_count(owned):
    unique = State(Item={"name": models.CharField(max_length=2000, unique=True)})
    grants = [TEMPORARY, "GRANT SELECT ON automigrate_ext_owned TO {}"]
    words = ("permission denied for table shop_item", "GRANT SELECT ON shop_item TO {}")
    assert_undone_as_role(owned, grants, lambda: owned.plan(unique), *words)


def test_owner_from_whom_a_policy_hides_rows(owned):
    """What is not seen is not counted: neither the column nor the table may be taken for empty."""
    grants = [TEMPORARY, CREATE, WRITE, "ALTER TABLE automigrate_ext_owned OWNER TO {}"]
    policy = [
        "ALTER TABLE shop_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY, OWNER TO {}",
        "CREATE POLICY hidden ON shop_item USING (false)",
    ]
    with role(owned, *grants, *policy) as name:
        for without in (State(Item={}), State()):
            words = ("row-level security", f"hide rows of shop_item from {name}", "BYPASSRLS")
            assert_fails(lambda without=without: owned.run(without), *words, kind=ExecutionFailed)
        owned.execute("ALTER TABLE shop_item NO FORCE ROW LEVEL SECURITY")
        assert owned.values("shop_item", "name")
        plan = owned.run(State(Item={}))
        assert [judgement.change.describe() for judgement in plan.withheld] == ["Drop column shop_item.name"]


TRUSTED = {"a": HStoreField(null=True)}
UNTRUSTED = {
    "a": models.IntegerField(null=True),
    "Meta": {"indexes": [BloomIndex(fields=["a"], name="i")]},
}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            TRUSTED,
            ["the extension 'hstore'", 'run CREATE EXTENSION "hstore" in', "or GRANT CREATE ON DATABASE", "TO {}."],
        ),
        (UNTRUSTED, ["The role {} may not create the extension 'bloom'", 'CREATE EXTENSION "bloom" in', " once."]),
    ],
)
def test_role_that_may_not_create_extensions(owned, more, words):
    state = State(Item={"name": models.CharField(max_length=2000), **more})
    for run in (owned.plan, owned.run):
        assert_undone_as_role(owned, [READ, WRITE, CREATE, TEMPORARY], lambda run=run: run(state), *words)


def test_role_without_create(owned):
    new = State(
        Item={"name": models.CharField(max_length=2000)},
        Other={"name": models.TextField()},
    )
    assert_undone_as_role(
        owned,
        [TEMPORARY, WRITE],
        lambda: owned.run(new),
        "permission denied for schema public",
        "GRANT CREATE ON SCHEMA public TO {}",
    )


def test_role_that_does_not_own_the_tables(owned):
    assert_undone_as_role(
        owned,
        [TEMPORARY, WRITE, CREATE],
        lambda: owned.run(after()),
        "must be owner of table shop_item",
        "shop_item belongs to",
        "ALTER TABLE shop_item OWNER TO {}",
    )


def test_role_without_create_where_nothing_differs(owned):
    owned.execute("DROP TABLE automigrate_ext_owned")
    told = []
    with role(owned, TEMPORARY, READ) as name:
        assert not owned.run(before(), notify=told.append)
    (message,) = told
    assert f"Database '{owned.alias}' matches the models" in message
    assert f"GRANT CREATE ON SCHEMA public TO {name}" in message


def test_role_without_create_that_is_to_record_migrations(owned):
    owned.execute("DROP TABLE automigrate_ext_owned")
    assert_undone_as_role(
        owned, [TEMPORARY, READ], lambda: owned.run(before(), record_migrations=True), "GRANT CREATE ON SCHEMA public"
    )


def test_transactions_that_only_read(owned):
    owned.execute("SET default_transaction_read_only = on")
    for run in (owned.run, owned.plan):
        words = ("read-only transaction", "default_transaction_read_only", "ALTER ROLE")
        assert_undone(owned, lambda run=run: run(after()), *words, kind=ScratchFailed)


# In the way


def test_view_in_the_way_of_a_type(owned):
    owned.execute("CREATE VIEW shop_view AS SELECT id, name FROM shop_item")
    trace = fingerprint(owned.connection)
    with pytest.raises(AutomigrateError, match="shop_view"):
        owned.run(after())
    assert fingerprint(owned.connection) == trace


def test_statement_timeout(owned):
    owned.execute("INSERT INTO shop_item (name) SELECT 'x' FROM generate_series(1, 100000)")
    owned.execute("SET statement_timeout = '20ms'")
    with pytest.raises(ExecutionFailed, match="statement_timeout"):
        owned.run(after())
    owned.execute("SET statement_timeout = 0")
    assert is_actual(using=owned.alias, apps=before().apps)


# Servers


@pytest.fixture(scope="module")
def server():
    """A server that may be stopped."""
    try:
        # What was committed has to survive a server that stops, if not a machine.
        with own_server(["fsync=off"]) as server:
            yield server
    except ServerUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@contextmanager
def connected(url, blocker, name="postgres"):
    entry = parse_database_url(url) | {"NAME": name}
    with scratch("postgresql_scratch", entry, blocker) as connection:
        yield connection


@pytest.fixture
def on_server(server, django_db_blocker):
    """A case on a server of its own."""
    with connected(server.url, django_db_blocker) as connection:
        case = Case(connection, "automigrate")
        case.execute("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
        yield built(connection)


@pytest.fixture
def unrehearsed(monkeypatch):
    """A function that leaves out rehearsals, so that what happens to a statement happens in the run."""
    return lambda: monkeypatch.setattr(PostgreSQLRehearsal, "play", lambda *_: ())


def test_server_stopped_in_the_middle(on_server, server, unrehearsed):
    case = on_server
    trace = fingerprint(case.connection)
    for word in ("TEMPORARY", "pg_temp", "LIKE", "ALTER TABLE", "CREATE TABLE", "INSERT INTO"):
        planned = word not in ("TEMPORARY", "pg_temp", "LIKE")
        if planned:
            unrehearsed()
        stopped = []

        def stop(execute, statement, params, many, context, word=word, planned=planned, stopped=stopped):
            temporary = "TEMPORARY" in statement or "pg_temp" in statement
            if not stopped and word in statement and planned is not temporary:
                stopped.append(statement)
                server.stop()
            return execute(statement, params, many, context)

        with case.connection.execute_wrapper(stop):
            error = assert_fails(lambda: case.run(after()), "connection to the server was lost", "run again once")
        assert stopped
        assert bool(error.pending) is planned and not error.applied
        server.start()
        assert not case.connection.in_atomic_block
        assert fingerprint(case.connection) == trace
    case.run(after())
    case.assert_settled(after())


def test_server_disk_full(on_server):
    case = on_server
    with small_disk(8) as disk:
        os.chown(disk, NOBODY, NOBODY)
        case.execute(FILL["postgresql"])
        case.execute(f"CREATE TABLESPACE small LOCATION '{disk}'", "ALTER TABLE shop_item SET TABLESPACE small")
        case.execute("CREATE TABLE ballast TABLESPACE small AS SELECT * FROM shop_item")
        case.connection.close()
        assert_undone(case, lambda: case.run(after()), "No space left on device", "make room")
        case.execute("DROP TABLE ballast", "CHECKPOINT")
        case.run(after())
        case.execute("DROP TABLE shop_other, shop_item", "CHECKPOINT", "DROP TABLESPACE small")


def test_standby(on_server, server, django_db_blocker):
    url = server.standby()
    on_server.connection.close()
    with connected(url, django_db_blocker) as connection:
        case = Case(connection, "automigrate")
        assert case.backend.session.why_read_only() == "the server is a standby"
        for run in (case.run, case.plan, lambda state: is_actual(using=case.alias, apps=state.apps)):
            assert_fails(lambda run=run: run(after()), "The server is a standby", "use the primary", kind=ScratchFailed)


# What is said of a run that failed


def test_json_of_a_failed_run(owned, unrehearsed, capsys):
    unrehearsed()
    call_command("autoupdate", "todo", database=owned.alias, verbosity=0)
    owned.execute("ALTER TABLE todo_todo DROP COLUMN title", "ALTER TABLE todo_todo DROP COLUMN is_complete")
    plan = make_plan("todo", using=owned.alias)

    def broken(execute, statement, params, many, context):
        if statement.startswith("ALTER TABLE") and "title" in statement:
            statement += " nonsense"
        return execute(statement, params, many, context)

    with owned.connection.execute_wrapper(broken), pytest.raises(CommandError) as caught:
        call_command("autoupdate", "todo", format="json", database=owned.alias)
    printed = json.loads(capsys.readouterr().out)
    described = list(plan.as_dict())
    assert list(printed)[: len(described)] == described
    assert printed["error"] == str(caught.value)
    assert (printed["applied"], printed["pending"]) == ([], printed["statements"])


def test_run_in_several_transactions_says_what_stays(owned, monkeypatch):
    monkeypatch.setattr(PostgreSQLSession, "lock_budget", lambda self: 3)
    many = State(**{f"M{n}": {"name": models.TextField()} for n in range(3)})

    def broken(execute, statement, params, many, context):
        if 'TABLE "shop_m2"' in statement and "TEMPORARY" not in statement:
            statement += " nonsense"
        return execute(statement, params, many, context)

    with owned.connection.execute_wrapper(broken):
        error = assert_fails(lambda: owned.run(many), "which stay done", "goes on from there")
    assert error.applied and error.pending
    assert (*error.applied, *error.pending) == error.plan.statements
    assert any('"shop_m0"' in statement for statement in error.applied)
    owned.run(many)


def test_errors_before_there_is_a_plan_have_none(owned):
    error = assert_fails(lambda: autoupdate("nonsense", using=owned.alias), "nonsense", kind=type_of_unknown())
    assert (error.plan, error.applied, error.pending) == (None, (), ())


def type_of_unknown():
    from automigrate_ext import UnknownModels

    return UnknownModels


def test_fault_inside_a_transaction_of_the_caller(owned):
    owned.execute("SET statement_timeout = 0")
    with transaction.atomic(using=owned.alias):
        with role_of_session(owned):
            assert_fails(lambda: owned.run(after()), "permission denied")
        assert owned.query("SELECT 1") == [(1,)]


@contextmanager
def role_of_session(case):
    """The transaction goes on as a role that may only read."""
    case.execute("SET LOCAL ROLE pg_read_all_data")
    yield
    case.execute("RESET ROLE")
