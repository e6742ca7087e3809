"""Databases to measure on: made anew for each run, and removed again."""

import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests.databases import MariadbServer, MysqlServer
from tests.servers.postgresql import temporary_server

PREFIX = f"automigrate_benchmark_{os.getpid()}_"

POSTGRESQL_CATALOG = (
    """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        pg_get_expr(d.adbin, d.adrelid)
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
    """,
    """
    SELECT conrelid, conname, contype, conkey, confrelid, confkey, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    """,
    """
    SELECT i.indrelid, i.indkey, pg_get_indexdef(i.indexrelid)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    WHERE c.relnamespace = 'public'::regnamespace
    """,
)

MARIADB_CATALOG = (
    "SELECT * FROM information_schema.columns WHERE table_schema = DATABASE()",
    "SELECT * FROM information_schema.statistics WHERE table_schema = DATABASE()",
    "SELECT * FROM information_schema.key_column_usage WHERE table_schema = DATABASE()",
    "SELECT * FROM information_schema.check_constraints WHERE constraint_schema = DATABASE()",
)

SQLITE_CATALOG = (
    "SELECT type, name, tbl_name, sql FROM sqlite_master",
    "SELECT m.name, x.* FROM sqlite_master m, pragma_table_xinfo(m.name) x WHERE m.type = 'table'",
    "SELECT m.name, x.* FROM sqlite_master m, pragma_index_list(m.name) x WHERE m.type = 'table'",
    "SELECT m.name, x.* FROM sqlite_master m, pragma_foreign_key_list(m.name) x WHERE m.type = 'table'",
)


class Database(Protocol):
    """Where databases come from."""

    name: str

    def version(self) -> str:
        """Return the name and version of the server or library."""

    def create(self, name: str, *, template: str = "template0") -> str:
        """Make a database, dropping the one of that name, and return its URL."""

    def drop(self, name: str) -> None:
        """Drop the database of that name, if it exists."""

    def read_catalog(self, name: str) -> float:
        """Return the seconds that plain queries for all columns, constraints and indexes take."""


class Sqlite:
    """SQLite files in a directory."""

    name = "sqlite"

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def version(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    def create(self, name: str, *, template: str = "template0") -> str:
        self.drop(name)
        return f"sqlite:///{self._path(name)}"

    def drop(self, name: str) -> None:
        for path in self.directory.glob(f"{name}.sqlite3*"):
            path.unlink()

    def read_catalog(self, name: str) -> float:
        connection = sqlite3.connect(self._path(name))
        start = time.perf_counter()
        for query in SQLITE_CATALOG:
            connection.execute(query).fetchall()
        seconds = time.perf_counter() - start
        connection.close()
        return seconds

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.sqlite3"


class Postgresql:
    """Databases on a PostgreSQL server."""

    name = "postgresql"

    def __init__(self, url: str) -> None:
        self.url = url

    def version(self) -> str:
        with self.connect() as connection:
            return f"PostgreSQL {connection.info.parameter_status('server_version')}"

    def create(self, name: str, *, template: str = "template0") -> str:
        self.drop(name)
        source = template if template == "template0" else PREFIX + template
        self._execute("CREATE DATABASE {} TEMPLATE {}", PREFIX + name, source)
        # Neither side of a comparison is to pay for what was written before.
        self._execute("CHECKPOINT")
        return self.url_of(name)

    def drop(self, name: str) -> None:
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", PREFIX + name)

    def drop_all(self) -> None:
        with self.connect() as connection:
            rows = connection.execute("SELECT datname FROM pg_database WHERE datname ^@ %s", [PREFIX]).fetchall()
        for (database,) in rows:
            self.drop(database.removeprefix(PREFIX))

    def read_catalog(self, name: str) -> float:
        with psycopg.connect(self.url_of(name)) as connection:
            start = time.perf_counter()
            for query in POSTGRESQL_CATALOG:
                connection.execute(query).fetchall()
            return time.perf_counter() - start

    def url_of(self, name: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{PREFIX}{name}"))

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.url, autocommit=True)

    def _execute(self, statement: str, *names: str) -> None:
        with self.connect() as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


class Mariadb:
    """Databases on a MariaDB server."""

    name = "mariadb"
    server_class: type[MariadbServer] = MariadbServer

    def __init__(self, url: str) -> None:
        self.server = self.server_class(url, "benchmark")

    def version(self) -> str:
        return f"{self.server.name} {self.server.version()}"

    def create(self, name: str, *, template: str = "template0") -> str:
        self.server.empty_database(PREFIX + name)
        return urlunsplit(urlsplit(self.server.url)._replace(path=f"/{PREFIX}{name}"))

    def drop(self, name: str) -> None:
        self.server.drop_database(PREFIX + name)

    def drop_all(self) -> None:
        for database in self.server.databases():
            if database.startswith(PREFIX):
                self.drop(database.removeprefix(PREFIX))

    def read_catalog(self, name: str) -> float:
        with self.server.connect(PREFIX + name) as connection, connection.cursor() as cursor:
            start = time.perf_counter()
            for query in MARIADB_CATALOG:
                cursor.execute(query)
                cursor.fetchall()
            return time.perf_counter() - start


class Mysql(Mariadb):
    """Databases on a MySQL server."""

    name = "mysql"
    server_class = MysqlServer


Server = TypeVar("Server", Postgresql, Mariadb)


@contextmanager
def postgresql() -> Iterator[Postgresql]:
    """Give the server that TEST_POSTGRESQL_URL names, or else a new one with its default settings."""
    if url := os.environ.get("TEST_POSTGRESQL_URL"):
        yield from _cleaned(Postgresql(url))
    else:
        with temporary_server(settings=()) as url:
            yield from _cleaned(Postgresql(url))


@contextmanager
def mariadb() -> Iterator[Mariadb]:
    """Give the server that TEST_MARIADB_URL names, or else one with the settings of the tests, its files in memory."""
    with MariadbServer.url_of_one() as url:
        yield from _cleaned(Mariadb(url))


@contextmanager
def mysql() -> Iterator[Mariadb]:
    """Give the server that TEST_MYSQL_URL names, or else one as in the tests (TEST_MYSQL_ROOT), its files in memory."""
    with MysqlServer.url_of_one() as url:
        yield from _cleaned(Mysql(url))


@contextmanager
def running(names: Collection[str], directory: Path) -> Iterator[dict[str, Database]]:
    """Give databases by their names; those of SQLite are files in the directory."""
    servers: dict[str, Callable[[], AbstractContextManager[Database]]] = {
        "sqlite": lambda: nullcontext(Sqlite(directory)),
        "postgresql": postgresql,
        "mariadb": mariadb,
        "mysql": mysql,
    }
    with ExitStack() as stack:
        yield {name: stack.enter_context(servers[name]()) for name in servers if name in names}


def _cleaned(database: Server) -> Iterator[Server]:
    try:
        yield database
    finally:
        database.drop_all()
