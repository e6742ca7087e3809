"""Servers that speak as PostgreSQL or MySQL do and are others are refused before anything is read."""

import pytest
from django.core.management import CommandError, call_command

from automigrate_ext import UnsupportedDatabase, autoupdate, is_actual, make_plan
from automigrate_ext.backends import BACKENDS
from automigrate_ext.backends.postgresql import session
from automigrate_ext.backends.servers import other_than_mysql, other_than_postgresql

pytestmark = pytest.mark.skipif(not BACKENDS, reason="the generic backend serves every server")

LIKE_POSTGRESQL = {
    "CockroachDB": "CockroachDB CCL v24.1.0 (x86_64-pc-linux-gnu, built 2024/05/15 21:28:29, go1.22.2)",
    "YugabyteDB": "PostgreSQL 11.2-YB-2.21.0.0-b0 on x86_64-pc-linux-gnu, compiled by clang version 17.0.6, 64-bit",
    "Redshift": "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2, Redshift 1.0.65",
    "no PostgreSQL": "PostgreSQL 16",
}
LIKE_MYSQL = {
    "TiDB": "8.0.11-TiDB-v7.5.0",
    "Vitess": "8.0.30-Vitess",
    "OceanBase": "5.7.25-OceanBase-v4.2.1.0",
}
POSTGRESQL = [
    "PostgreSQL 15.8 (Debian 15.8-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc (Debian 12.2.0-14) 12.2.0, 64-bit",
    "PostgreSQL 16.1, compiled by Visual C++ build 1937, 64-bit",
    "PostgreSQL 17beta1 on aarch64-apple-darwin23, compiled by Apple clang version 15.0.0, 64-bit",
]
MYSQL = [
    "9.7.4-2",
    "8.4.0",
    "8.0.36-28",
    "8.0.mysql_aurora.3.05.2",
    "8.0.35-google",
    "10.11.19-MariaDB-0+deb12u1",
    "11.4.2-MariaDB-log",
]


@pytest.mark.parametrize("version", POSTGRESQL)
def test_versions_of_postgresql(version):
    assert other_than_postgresql(version) == ""


@pytest.mark.parametrize("version", MYSQL)
def test_versions_of_mariadb_and_mysql(version):
    assert other_than_mysql(version) == ""


def refused(connection, name, version):
    """See that every way in is refused, and that nothing is made."""
    before = connection.introspection.table_names()
    for way in (autoupdate, is_actual, make_plan):
        with pytest.raises(UnsupportedDatabase) as caught:
            way("todo", using=connection.alias)
        words = str(caught.value)
        assert f"{connection.alias!r} is {name} ({version})" in words
        assert "Nothing was done" in words and "ENGINE" in words
    with pytest.raises(CommandError, match="Nothing was done"):
        call_command("autoupdate", database=connection.alias)
    assert connection.introspection.table_names() == before


@pytest.mark.parametrize("name", LIKE_POSTGRESQL)
def test_server_that_is_like_postgresql(postgresql, name):
    version = LIKE_POSTGRESQL[name]

    def answer(execute, sql, params, many, context):
        if sql == session.VERSION:
            sql, params = "SELECT %s", [version]
        return execute(sql, params, many, context)

    with postgresql.execute_wrapper(answer):
        refused(postgresql, name, version)


@pytest.mark.parametrize("name", LIKE_MYSQL)
@pytest.mark.parametrize("database", ["mariadb", "mysql"])
def test_server_that_is_like_mysql(request, database, name):
    connection, version = request.getfixturevalue(database), LIKE_MYSQL[name]
    connection.ensure_connection()
    connection.mysql_server_info = version
    refused(connection, name, version)


def test_version_is_asked_once(postgresql):
    asked = []

    def note(execute, sql, params, many, context):
        asked.append(sql)
        return execute(sql, params, many, context)

    with postgresql.execute_wrapper(note):
        assert not is_actual("todo", using=postgresql.alias)
        assert not is_actual("todo", using=postgresql.alias)
    assert asked.count(session.VERSION) == 1
