"""The sessions that are named where an online run does not get a lock on MariaDB or MySQL."""

import os

import pytest

from automigrate_ext.backends.mysql.holders import in_the_way
from tests.conftest import scratch
from tests.databases import MariadbServer
from tests.servers import ServerUnavailable, mariadb

pytest.importorskip("MySQLdb")
pytestmark = pytest.mark.timeout(120)

DATABASE = "automigrate_test_holders"
#: What MySQL has on by default.
SETTINGS = [
    "performance-schema=1",
    "performance-schema-instrument=wait/lock/metadata/sql/mdl=ON",
    "performance-schema-consumer-events-statements-current=ON",
]


def hold(connection):
    """Open a transaction that has read one of the two tables, in a session of its own; return that."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE held (id int)")
        cursor.execute("CREATE TABLE other (id int)")
    session = connection.copy()
    with session.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM held")
    return session


@pytest.fixture
def watched(django_db_blocker):
    """A connection to a server that shows who holds which table."""
    try:
        with mariadb.own_server(SETTINGS) as own:
            server = MariadbServer(own.url, "0")
            server.empty_database(DATABASE)
            with scratch("mariadb_scratch", server.entry(DATABASE), django_db_blocker) as connection:
                yield connection
    except ServerUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def test_holder_of_the_table_with_its_last_statement(watched):
    session = hold(watched)
    (found,) = in_the_way(watched, "held")
    assert (found.pid, found.query) == (session.connection.thread_id(), "SELECT * FROM held")
    session.close()


def test_all_transactions_where_no_holder_is_shown(mariadb):
    session = hold(mariadb)
    (found,) = in_the_way(mariadb, "held")
    assert found.pid == session.connection.thread_id() and found.since
    session.close()
    assert in_the_way(mariadb, "held") == ()


def test_own_sessions_of_a_role_that_may_see_no_others(mariadb_server, mariadb, django_db_blocker):
    name = mariadb.settings_dict["NAME"]
    mariadb_server.query("CREATE USER 'holder'@'localhost' IDENTIFIED BY 'x'")
    mariadb_server.query(f"GRANT ALL ON `{name}`.* TO 'holder'@'localhost'")
    entry = mariadb_server.entry(name) | {"USER": "holder", "PASSWORD": "x"}
    try:
        with scratch("mariadb_holder", entry, django_db_blocker) as connection:
            session = hold(connection)
            (found,) = in_the_way(connection, "held")
            assert found.pid == session.connection.thread_id()
            session.close()
    finally:
        mariadb_server.query("DROP USER 'holder'@'localhost'")
