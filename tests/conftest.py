"""Empty scratch databases for tests, on SQLite and PostgreSQL.

The PostgreSQL server is the one that the environment variable TEST_POSTGRESQL_URL names, or else one that
is started once a session. Each xdist worker has a database of its own on it, emptied before each test.
"""

import os
import platform
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import django
import psycopg
import pytest
from django.contrib.postgres.signals import get_citext_oids, get_hstore_oids
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql
from pytest_django.plugin import DjangoDbBlocker

from tests.servers import ServerUnavailable, temporary_server
from todo_demo.database_url import parse_database_url

DATABASE_PREFIX = "automigrate_test_"

# The class of the advisory locks by which a session says that its databases are in use.
LOCK_CLASS = 0x616D6967

EMPTY_DATABASE = """
    DO $$
    DECLARE
        name text;
    BEGIN
        FOR name IN SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' LOOP
            EXECUTE format('DROP EXTENSION IF EXISTS %I CASCADE', name);
        END LOOP;
        FOR name IN
            SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
        LOOP
            EXECUTE format('DROP SCHEMA %I CASCADE', name);
        END LOOP;
        CREATE SCHEMA public AUTHORIZATION pg_database_owner;
        GRANT USAGE ON SCHEMA public TO PUBLIC;
    END $$
"""

OTHER_SESSIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""

server_key = pytest.StashKey["PostgresqlServer | str"]()


class PostgresqlServer:
    """A running server, and the databases of this session on it."""

    def __init__(self, url: str, session: str) -> None:
        self.url = url
        self.session = session

    def connect(self, database: str | None = None) -> psycopg.Connection[Any]:
        connection = psycopg.connect(self.url, autocommit=True, **({"dbname": database} if database else {}))
        connection.execute("SET client_min_messages = error")
        return connection

    def execute(self, statement: str, database: str) -> None:
        with self.connect() as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(database)))

    def create_database(self, worker: str) -> str:
        database = f"{DATABASE_PREFIX}{self.session}_{worker}_{os.getpid()}"
        self.execute("CREATE DATABASE {} TEMPLATE template0", database)
        return database

    def drop_database(self, database: str) -> None:
        self.execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", database)

    def empty_database(self, database: str) -> None:
        try:
            with self.connect(database) as connection:
                connection.execute(OTHER_SESSIONS)
                connection.execute(EMPTY_DATABASE)
        except (psycopg.errors.OutOfMemory, psycopg.errors.InvalidParameterValue):
            # More tables than one transaction can lock; an index with operator class options, which
            # PostgreSQL 18 cannot drop together with its extension.
            self.drop_database(database)
            self.execute("CREATE DATABASE {} TEMPLATE template0", database)

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Drop what killed sessions have left now, and the databases of this session at the end."""
        with self.connect() as connection:
            connection.execute("SELECT pg_advisory_lock(%s, %s)", [LOCK_CLASS, int(self.session, 16)])
            try:
                self._drop_databases(connection, stale=True)
                yield
            finally:
                self._drop_databases(connection, stale=False)

    def _drop_databases(self, connection: psycopg.Connection[Any], *, stale: bool) -> None:
        rows = connection.execute("SELECT datname FROM pg_database WHERE datname ^@ %s", [DATABASE_PREFIX])
        for (database,) in rows.fetchall():
            session = database.removeprefix(DATABASE_PREFIX).split("_")[0]
            mine = session == self.session
            if mine or (stale and self._is_over(connection, session)):
                self.drop_database(database)

    @staticmethod
    def _is_over(connection: psycopg.Connection[Any], session: str) -> bool:
        key = [LOCK_CLASS, int(session, 16)]
        row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", key).fetchone()
        return row is not None and bool(row[0])


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        url, session = config.workerinput["postgresql"]
        config.stash[server_key] = PostgresqlServer(url, session) if url else session
    elif _runs_tests(config):
        config.stash[server_key] = _start(config)


def _runs_tests(config: pytest.Config) -> bool:
    return not any(
        config.getoption(name) for name in ("help", "collectonly", "showfixtures", "show_fixtures_per_test", "markers")
    )


def _start(config: pytest.Config) -> PostgresqlServer | str:
    """Return the server for this session, or the reason why there is none."""
    stack = ExitStack()
    config.add_cleanup(stack.close)
    try:
        url = os.environ.get("TEST_POSTGRESQL_URL") or stack.enter_context(temporary_server())
        server = PostgresqlServer(url, secrets.token_hex(3))
        stack.enter_context(server.owned())
    except (ServerUnavailable, psycopg.OperationalError) as error:
        reason = f"no PostgreSQL: {error}"
        if os.environ.get("CI"):
            raise pytest.UsageError(reason) from error
        return reason
    return server


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker the server, or the reason why there is none."""
    server = node.config.stash[server_key]
    node.workerinput["postgresql"] = ("", server) if isinstance(server, str) else (server.url, server.session)


def pytest_report_header(config: pytest.Config) -> str:
    versions = [f"Django {django.get_version()}", f"Python {platform.python_version()}"]
    versions.append(f"SQLite {sqlite3.sqlite_version}")
    server = config.stash.get(server_key, "PostgreSQL not started")
    if isinstance(server, str):
        versions.append(server)
    else:
        with server.connect() as connection:
            versions.append(f"PostgreSQL {connection.info.parameter_status('server_version')}")
    return "versions: " + ", ".join(versions)


@pytest.fixture(scope="session")
def postgresql_server(pytestconfig: pytest.Config) -> PostgresqlServer:
    """The PostgreSQL server of this session; skips the test where there is none."""
    server = pytestconfig.stash[server_key]
    if isinstance(server, str):
        pytest.skip(server)
    return server


@pytest.fixture(scope="session")
def postgresql_database(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """The name of this worker's PostgreSQL database."""
    database = postgresql_server.create_database(os.environ.get("PYTEST_XDIST_WORKER", "main"))
    yield database
    postgresql_server.drop_database(database)


@contextmanager
def scratch(alias: str, entry: dict[str, Any], blocker: DjangoDbBlocker) -> Iterator[BaseDatabaseWrapper]:
    """Make ``alias`` a connection to the database of ``entry``; close it afterwards whatever its state."""
    connections.settings[alias].update(entry)
    _forget(alias)
    with blocker.unblock():
        try:
            yield connections[alias]
        finally:
            _forget(alias)


def _forget(alias: str) -> None:
    """Close the connection without a commit or rollback, and let Django make a new one when next asked."""
    try:
        connections[alias].close()
    finally:
        del connections[alias]


@pytest.fixture
def sqlite(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[BaseDatabaseWrapper]:
    """A connection to an empty SQLite database in a file."""
    entry = {"NAME": str(tmp_path / "scratch.sqlite3")}
    with scratch("sqlite_scratch", entry, django_db_blocker) as connection:
        yield connection


@pytest.fixture
def postgresql(
    postgresql_server: PostgresqlServer, postgresql_database: str, django_db_blocker: DjangoDbBlocker
) -> Iterator[BaseDatabaseWrapper]:
    """A connection to an empty PostgreSQL database."""
    postgresql_server.empty_database(postgresql_database)
    # The types of an extension have other numbers each time that it is created.
    get_hstore_oids.cache_clear()
    get_citext_oids.cache_clear()
    entry = parse_database_url(postgresql_server.url) | {"NAME": postgresql_database}
    with scratch("postgresql_scratch", entry, django_db_blocker) as connection:
        yield connection


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest) -> BaseDatabaseWrapper:
    """A connection to an empty database, once on each kind of database."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def database_url(connection: BaseDatabaseWrapper) -> str:
    """The database of ``connection`` as a URL, for a process that reads DATABASE_URL."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    keys = {"user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    query = {key: settings[name] for key, name in keys.items() if settings[name]}
    return f"postgresql:///{settings['NAME']}?{urlencode(query | settings['OPTIONS'])}"
