"""The databases of a session of tests on a server: one for each worker, emptied before each test."""

import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests.database_url import parse_database_url
from tests.servers import ServerUnavailable, mariadb, mysql, postgresql

try:
    import MySQLdb
    from MySQLdb.constants import ER
except ImportError:
    MySQLdb = None

PREFIX = "automigrate_test_"


class Server(ABC):
    """A running server, and the databases of this session on it."""

    #: What it is called, and the environment variable that names one to use.
    name: ClassVar[str]
    variable: ClassVar[str]

    def __init__(self, url: str, session: str) -> None:
        self.url = url
        self.session = session

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["Server"]:
        """Give the server that the environment names, or else a new one; raise ServerUnavailable where there is none.

        What killed sessions have left on it is dropped now, and the databases of this session at the end.
        """
        with cls.url_of_one() as url:
            server = cls(url, secrets.token_hex(3))
            with server.owned():
                yield server

    @classmethod
    @contextmanager
    def url_of_one(cls) -> Iterator[str]:
        """Give the URL of the server that the environment names, or else of a new one."""
        if url := os.environ.get(cls.variable):
            yield url
        else:
            with cls._start() as url:
                yield url

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Drop what killed sessions have left now, and the databases of this session at the end."""
        with self.connect() as connection:
            self._say_in_use(connection)
            try:
                self._drop_databases(connection, stale=True)
                yield
            finally:
                self._drop_databases(connection, stale=False)

    def _drop_databases(self, connection: Any, *, stale: bool) -> None:
        for database in self.databases():
            if not database.startswith(PREFIX):
                continue
            session = database.removeprefix(PREFIX).split("_")[0]
            if session == self.session or (stale and self._is_over(connection, session)):
                self.drop_database(database)

    def create_database(self, worker: str) -> str:
        """Make a database for a worker of this session and return its name."""
        database = f"{PREFIX}{self.session}_{worker}_{os.getpid()}"
        self._create(database)
        return database

    def entry(self, database: str) -> dict[str, Any]:
        """Return the entry of DATABASES for a database on this server."""
        return parse_database_url(self.url_of(database))

    def url_of(self, database: str) -> str:
        """Return the URL of a database on this server."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    @classmethod
    @abstractmethod
    def _start(cls) -> Any:
        """Return the context of a new server's URL."""

    @abstractmethod
    def connect(self, database: str | None = None) -> Any:
        """Return a connection of the driver, in autocommit; raise ServerUnavailable where the server is not there."""

    @abstractmethod
    def version(self) -> str: ...

    @abstractmethod
    def databases(self) -> Iterable[str]: ...

    @abstractmethod
    def _create(self, database: str) -> None: ...

    @abstractmethod
    def drop_database(self, database: str) -> None: ...

    @abstractmethod
    def empty_database(self, database: str) -> None:
        """Leave nothing in the database, whoever is connected to it."""

    @abstractmethod
    def _say_in_use(self, connection: Any) -> None:
        """Hold a lock as long as the connection lasts, by which others know that this session goes on."""

    @abstractmethod
    def _is_over(self, connection: Any, session: str) -> bool: ...


class PostgresqlServer(Server):
    """A PostgreSQL server."""

    name = "PostgreSQL"
    variable = "TEST_POSTGRESQL_URL"

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

    @classmethod
    def _start(cls) -> Any:
        return postgresql.temporary_server()

    def connect(self, database: str | None = None) -> "psycopg.Connection[Any]":
        try:
            connection = psycopg.connect(self.url, autocommit=True, **({"dbname": database} if database else {}))
        except psycopg.OperationalError as error:
            raise ServerUnavailable(str(error)) from error
        connection.execute("SET client_min_messages = error")
        return connection

    def version(self) -> str:
        with self.connect() as connection:
            return connection.info.parameter_status("server_version") or ""

    def databases(self) -> Iterable[str]:
        with self.connect() as connection:
            return [name for (name,) in connection.execute("SELECT datname FROM pg_database")]

    def execute(self, statement: str, database: str) -> None:
        with self.connect() as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(database)))

    def _create(self, database: str) -> None:
        self.execute("CREATE DATABASE {} TEMPLATE template0", database)

    def drop_database(self, database: str) -> None:
        self.execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", database)

    def empty_database(self, database: str) -> None:
        try:
            with self.connect(database) as connection:
                connection.execute(self.OTHER_SESSIONS)
                connection.execute(self.EMPTY_DATABASE)
        except (psycopg.errors.OutOfMemory, psycopg.errors.InvalidParameterValue):
            # More tables than one transaction can lock; an index with operator class options, which
            # PostgreSQL 18 cannot drop together with its extension.
            self.drop_database(database)
            self._create(database)

    def _say_in_use(self, connection: Any) -> None:
        connection.execute("SELECT pg_advisory_lock(%s, %s)", [self.LOCK_CLASS, int(self.session, 16)])

    def _is_over(self, connection: Any, session: str) -> bool:
        key = [self.LOCK_CLASS, int(session, 16)]
        row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", key).fetchone()
        return row is not None and bool(row[0])


class MariadbServer(Server):
    """A MariaDB server."""

    name = "MariaDB"
    variable = "TEST_MARIADB_URL"

    OTHER_SESSIONS = "SELECT id FROM information_schema.processlist WHERE db = %s AND id <> CONNECTION_ID()"

    @classmethod
    def _start(cls) -> Any:
        if MySQLdb is None:
            raise ServerUnavailable("the package mysqlclient is not installed")
        return mariadb.temporary_server()

    def connect(self, database: str | None = None) -> Any:
        if MySQLdb is None:
            raise ServerUnavailable("the package mysqlclient is not installed")
        entry = self.entry(database or "mysql")
        host = entry["HOST"]
        given = {
            "user": entry["USER"],
            "password": entry["PASSWORD"],
            "unix_socket" if host.startswith("/") else "host": host,
            "port": int(entry["PORT"] or 0),
        }
        try:
            return MySQLdb.connect(
                autocommit=True, database=entry["NAME"], **{key: value for key, value in given.items() if value}
            )
        except MySQLdb.OperationalError as error:
            raise ServerUnavailable(str(error)) from error

    def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return self._query(connection, statement, *parameters)

    @staticmethod
    def _query(connection: Any, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())

    def version(self) -> str:
        return str(self.query("SELECT VERSION()")[0][0])

    def databases(self) -> Iterable[str]:
        return [name for (name,) in self.query("SHOW DATABASES")]

    def _create(self, database: str) -> None:
        self.query(f"CREATE DATABASE `{database}` CHARACTER SET utf8mb4")

    def drop_database(self, database: str) -> None:
        with self.connect() as connection:
            for (number,) in self._query(connection, self.OTHER_SESSIONS, database):
                self._kill(connection, number)
            self._query(connection, f"DROP DATABASE IF EXISTS `{database}`")

    def _kill(self, connection: Any, number: int) -> None:
        try:
            self._query(connection, f"KILL {number}")
        except MySQLdb.OperationalError as error:
            if error.args[0] != ER.NO_SUCH_THREAD:  # it has gone by itself
                raise

    def empty_database(self, database: str) -> None:
        # Quicker than to drop what is in it, and surer.
        self.drop_database(database)
        self._create(database)

    def _say_in_use(self, connection: Any) -> None:
        self._query(connection, "SELECT GET_LOCK(%s, 0)", f"{PREFIX}{self.session}")

    def _is_over(self, connection: Any, session: str) -> bool:
        return self._query(connection, "SELECT IS_FREE_LOCK(%s)", f"{PREFIX}{session}") == [(1,)]


class MysqlServer(MariadbServer):
    """A MySQL server."""

    name = "MySQL"
    variable = "TEST_MYSQL_URL"

    @classmethod
    def _start(cls) -> Any:
        if MySQLdb is None:
            raise ServerUnavailable("the package mysqlclient is not installed")
        return mysql.temporary_server()


SERVERS: dict[str, type[Server]] = {
    "postgresql": PostgresqlServer,
    "mariadb": MariadbServer,
    "mysql": MysqlServer,
}
