"""Empty scratch databases for tests, on SQLite, PostgreSQL, MariaDB and MySQL.

The servers are those that the environment variables TEST_POSTGRESQL_URL, TEST_MARIADB_URL and TEST_MYSQL_URL name, or
else ones that are started once a session. Each xdist worker has a database of its own on each, emptied before each
test.
"""

import os
import platform
import signal
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import django
import pytest
from django.conf import settings
from django.contrib.postgres.signals import get_citext_oids, get_hstore_oids
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from pytest_django.plugin import DjangoDbBlocker

from automigrate_ext.backends import BACKENDS
from tests.databases import SERVERS, Server
from tests.servers import ServerUnavailable, firebird
from tests.servers.keeper import memory

# A suite that is started in the background of a script has Ctrl-C ignored, and so would all processes that it starts,
# some of which tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

#: Every database, by the name of its fixture.
KINDS = ("sqlite", *SERVERS, "firebird")

#: Those that the package has a backend of its own for.
DATABASES = ("sqlite", "postgresql", "mariadb", "mysql")
#: Those on which cases that are played again have their turns.
TURNS = ("sqlite", "postgresql", "mariadb")

#: The alias of PostgreSQL's scratch database.
POSTGRESQL = "postgresql_scratch"

#: Where MySQL plays the cases that all databases have, once each: they ask much of a server. `--databases=mysql` plays
#: all of them.
CASES_OF_MYSQL = ("acceptance", "backends", "properties", "run/test_processes.py")

#: The databases, separated by commas, whose lack is no error where CI is set.
WITHOUT = "TEST_WITHOUT"

#: The servers of this session by their fixtures' names, or the reason why there is none.
servers_key = pytest.StashKey["dict[str, Server | str]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--databases",
        type=kinds,
        default=set(KINDS),
        metavar="NAME,...",
        help=f"run no tests that need another database than these, of {', '.join(KINDS)}",
    )
    parser.addoption(
        "--every-route",
        action="store_true",
        help="play cases again, on tables of our own making, on each database instead of on one of them",
    )
    parser.addoption(
        "--generic",
        action="store_true",
        help="force the backend for databases that there is none for upon all, for the acceptance cases",
    )
    parser.addoption(
        "--online",
        action="store_true",
        help="carry out the updates of PostgreSQL's databases beside the work of others, for the acceptance cases",
    )
    parser.addoption(
        "--expand",
        action="store_true",
        help="make the updates of the acceptance cases in two steps, expand and contract, but for renames",
    )


def kinds(names: str) -> set[str]:
    chosen = set(names.split(","))
    if unknown := chosen - set(KINDS):
        raise pytest.UsageError(f"--databases: {', '.join(unknown)} is none of {', '.join(KINDS)}")
    return chosen


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = config.getoption("databases")
    other = set(KINDS) - chosen
    left_out = [
        item
        for item in items
        if databases_of(item) & other
        or (is_shared(item, "firebird") and BACKENDS)
        or (is_shared(item, "mysql") and chosen != {"mysql"} and not is_case_of_mysql(item))
    ]
    if not config.getoption("every_route"):
        left_out += [item for item in items if is_played_elsewhere(item, set(TURNS) - other)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def is_played_elsewhere(item: pytest.Item, databases: set[str]) -> bool:
    """Whether a case that is played again, by another route, has its turn on another one of the databases."""
    callspec = getattr(item, "callspec", None)
    database = callspec.params.get("connection") if callspec else None
    if database not in databases or item.get_closest_marker("again") is None:
        return False
    turn = zlib.crc32(item.nodeid.replace(database, "").encode()) % len(databases)
    return database != sorted(databases)[turn]


def is_shared(item: pytest.Item, name: str) -> bool:
    """Whether a test that all databases have is that of this one; for Firebird there is only the generic backend."""
    callspec = getattr(item, "callspec", None)
    return callspec is not None and callspec.params.get("connection") == name


def is_case_of_mysql(item: pytest.Item) -> bool:
    """Whether a test that all databases have proves something about MySQL, and is not played once more."""
    path = item.path.relative_to(Path(__file__).parent).as_posix()
    return path.startswith(CASES_OF_MYSQL) and item.get_closest_marker("again") is None


def databases_of(item: pytest.Item) -> set[str]:
    """The names of databases among the fixtures and parameters of a test."""
    callspec = getattr(item, "callspec", None)
    parameters = callspec.params.values() if callspec else ()
    named = [*getattr(item, "fixturenames", ()), *(value for value in parameters if isinstance(value, str))]
    return {name.removesuffix("_server") for name in named} & set(KINDS)


def pytest_configure(config: pytest.Config) -> None:
    if place := memory():
        # SQLite waits for the disk at each commit, which takes no time there.
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(place))
    if config.getoption("generic"):
        BACKENDS.clear()
    if config.getoption("online"):
        settings.AUTOMIGRATE = {"ONLINE": [POSTGRESQL]}
    if hasattr(config, "workerinput"):
        told = config.workerinput["servers"]
        config.stash[servers_key] = {
            name: SERVERS[name](*where) if isinstance(where, tuple) else where for name, where in told.items()
        }
    elif _runs_tests(config):
        chosen = config.getoption("databases")
        config.stash[servers_key] = {
            name: _start(config, server) if name in chosen else f"no {server.name}: not among --databases"
            for name, server in SERVERS.items()
        }


def _runs_tests(config: pytest.Config) -> bool:
    return not any(
        config.getoption(name) for name in ("help", "collectonly", "showfixtures", "show_fixtures_per_test", "markers")
    )


def _start(config: pytest.Config, server: type[Server]) -> Server | str:
    """Return the server for this session, or the reason why there is none."""
    stack = ExitStack()
    config.add_cleanup(stack.close)
    try:
        return stack.enter_context(server.running())
    except ServerUnavailable as error:
        reason = f"no {server.name}: {error}"
        if os.environ.get("CI") and server.name.lower() not in os.environ.get(WITHOUT, "").split(","):
            raise pytest.UsageError(reason) from error
        return reason


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker the servers, or the reasons why there are none."""
    node.workerinput["servers"] = {
        name: server if isinstance(server, str) else (server.url, server.session)
        for name, server in node.config.stash[servers_key].items()
    }


def pytest_report_header(config: pytest.Config) -> str:
    versions = [f"Django {django.get_version()}", f"Python {platform.python_version()}"]
    versions.append(f"SQLite {sqlite3.sqlite_version}")
    for server in config.stash.get(servers_key, {}).values():
        versions.append(server if isinstance(server, str) else f"{server.name} {server.version()}")
    return "versions: " + ", ".join(versions)


def running_server(config: pytest.Config, name: str) -> Server:
    server = config.stash[servers_key][name]
    if isinstance(server, str):
        pytest.skip(server)
    return server


@contextmanager
def database_on(server: Server) -> Iterator[str]:
    database = server.create_database(os.environ.get("PYTEST_XDIST_WORKER", "main"))
    yield database
    server.drop_database(database)


@pytest.fixture(scope="session")
def postgresql_server(pytestconfig: pytest.Config) -> Server:
    """The PostgreSQL server of this session; skips the test where there is none."""
    return running_server(pytestconfig, "postgresql")


@pytest.fixture(scope="session")
def postgresql_database(postgresql_server: Server) -> Iterator[str]:
    """The name of this worker's PostgreSQL database."""
    with database_on(postgresql_server) as database:
        yield database


@pytest.fixture(scope="session")
def mariadb_server(pytestconfig: pytest.Config) -> Server:
    """The MariaDB server of this session; skips the test where there is none."""
    return running_server(pytestconfig, "mariadb")


@pytest.fixture(scope="session")
def mariadb_database(mariadb_server: Server) -> Iterator[str]:
    """The name of this worker's MariaDB database."""
    with database_on(mariadb_server) as database:
        yield database


@pytest.fixture(scope="session")
def mysql_server(pytestconfig: pytest.Config) -> Server:
    """The MySQL server of this session; skips the test where there is none."""
    return running_server(pytestconfig, "mysql")


@pytest.fixture(scope="session")
def mysql_database(mysql_server: Server) -> Iterator[str]:
    """The name of this worker's MySQL database."""
    with database_on(mysql_server) as database:
        yield database


@contextmanager
def scratch(alias: str, entry: dict[str, Any], blocker: DjangoDbBlocker) -> Iterator[BaseDatabaseWrapper]:
    """Make ``alias`` a connection to the database of ``entry``; close it afterwards whatever its state."""
    before = connections.settings.get(alias)
    connections.settings[alias] = {**(before or connections.settings[DEFAULT_DB_ALIAS]), **entry}
    _forget(alias)
    with blocker.unblock():
        try:
            yield connections[alias]
        finally:
            _forget(alias)
            if before is None:
                del connections.settings[alias]
            else:
                connections.settings[alias] = before


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
    postgresql_server: Server, postgresql_database: str, django_db_blocker: DjangoDbBlocker
) -> Iterator[BaseDatabaseWrapper]:
    """A connection to an empty PostgreSQL database."""
    postgresql_server.empty_database(postgresql_database)
    # The types of an extension have other numbers each time that it is created.
    get_hstore_oids.cache_clear()
    get_citext_oids.cache_clear()
    entry = postgresql_server.entry(postgresql_database)
    with scratch(POSTGRESQL, entry, django_db_blocker) as connection:
        yield connection


@pytest.fixture
def mariadb(
    mariadb_server: Server, mariadb_database: str, django_db_blocker: DjangoDbBlocker
) -> Iterator[BaseDatabaseWrapper]:
    """A connection to an empty MariaDB database."""
    mariadb_server.empty_database(mariadb_database)
    with scratch("mariadb_scratch", mariadb_server.entry(mariadb_database), django_db_blocker) as connection:
        yield connection


@pytest.fixture
def mysql(
    mysql_server: Server, mysql_database: str, django_db_blocker: DjangoDbBlocker
) -> Iterator[BaseDatabaseWrapper]:
    """A connection to an empty MySQL database."""
    mysql_server.empty_database(mysql_database)
    with scratch("mysql_scratch", mysql_server.entry(mysql_database), django_db_blocker) as connection:
        yield connection


@pytest.fixture(scope="session")
def firebird_directory() -> Iterator[Path]:
    """Where this worker's Firebird databases are; skips the test where there can be none."""
    try:
        firebird.available()
    except ServerUnavailable as error:
        if os.environ.get("CI") and django.VERSION >= firebird.DJANGO:
            pytest.fail(f"no Firebird: {error}")
        pytest.skip(f"no Firebird: {error}")
    with firebird.directory() as path:
        yield path


@pytest.fixture(name="firebird")
def firebird_(firebird_directory: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[BaseDatabaseWrapper]:
    """A connection to an empty Firebird database."""
    entry = firebird.create(firebird_directory / "scratch.fdb")
    with scratch("firebird_scratch", entry, django_db_blocker) as connection:
        yield connection


@pytest.fixture(params=KINDS)
def connection(request: pytest.FixtureRequest) -> BaseDatabaseWrapper:
    """A connection to an empty database, once on each kind of database."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def database_url(connection: BaseDatabaseWrapper) -> str:
    """The database of ``connection`` as a URL, for a process that reads DATABASE_URL."""
    return url_of(connection)


def url_of(connection: BaseDatabaseWrapper) -> str:
    """The database of a connection as a URL."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    if connection.vendor == "mysql":
        return mysql_url(settings)
    keys = {"user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    query = {key: settings[name] for key, name in keys.items() if settings[name]}
    return f"postgresql:///{settings['NAME']}?{urlencode(query | settings['OPTIONS'])}"


def mysql_url(settings: dict[str, Any]) -> str:
    """The entry of DATABASES as a URL."""
    user, password = quote(settings["USER"], safe=""), quote(settings["PASSWORD"], safe="")
    host, options = settings["HOST"], settings["OPTIONS"]
    if host.startswith("/"):
        host, options = "", {"unix_socket": host, **options}
    elif ":" in host:
        host = f"[{host}]"
    where = f"{host}:{settings['PORT']}" if settings["PORT"] else host
    return f"mysql://{user}:{password}@{where}/{settings['NAME']}?{urlencode(options)}"
