"""MariaDB servers set up in another way: loose, read-only, without case in names, and roles that may little."""

import os

import pytest
from django.db import models

from automigrate_ext import ExecutionFailed, ScratchFailed, is_actual, make_plan
from automigrate_ext.backends import backend_for
from tests.acceptance.helper import Case, item
from tests.conftest import scratch
from tests.databases import MariadbServer
from tests.servers import ServerUnavailable, mariadb

pytest.importorskip("MySQLdb")
pytestmark = pytest.mark.timeout(120)

DATABASE = "automigrate_test_other"
NAME = models.CharField(max_length=20)
BEFORE = item(name=NAME, size=models.IntegerField(null=True))
ROWS = {"Item": [{"name": "abcdef", "size": 1}]}


@pytest.fixture(scope="module")
def loose():
    """A server without strict mode, that minds no case in names, and whose texts are Latin-1."""
    settings = ["sql-mode=", "lower-case-table-names=1", "character-set-server=latin1"]
    try:
        with mariadb.own_server(settings) as own:
            yield MariadbServer(own.url, "0")
    except ServerUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture
def case(loose, django_db_blocker):
    loose.empty_database(DATABASE)
    with scratch("mariadb_scratch", loose.entry(DATABASE), django_db_blocker) as connection:
        yield Case(connection, "automigrate")


@pytest.fixture
def as_role(loose, case, django_db_blocker):
    """A function that gives a case for a new role with some privileges."""
    made = []

    def connect(privileges):
        loose.query("CREATE USER 'little'@'localhost' IDENTIFIED BY 'x'")
        loose.query(f"GRANT {privileges} ON `{DATABASE}`.* TO 'little'@'localhost'")
        entry = loose.entry(DATABASE) | {"USER": "little", "PASSWORD": "x"}
        manager = scratch("mariadb_other_node", entry, django_db_blocker)
        made.append(manager)
        return Case(manager.__enter__(), "automigrate")

    yield connect
    for manager in made:
        manager.__exit__(None, None, None)
    loose.query("DROP USER IF EXISTS 'little'@'localhost'")


def test_run_is_strict_where_the_server_is_not(case):
    case.build(BEFORE)
    case.insert(BEFORE, ROWS)
    plan = case.plan(item(name=models.CharField(max_length=3), size=models.IntegerField(null=True)))
    assert [hazard.code for hazard in plan.refused[0].hazards] == ["alters-values"]
    case.update(BEFORE, item(name=models.TextField(), size=models.BigIntegerField(default=3)), built=True)


def test_names_without_case(case):
    """The server keeps the name in small letters, and the models go on to call it by theirs."""
    named = item(name=NAME, Meta={"db_table": "Shop_Item"})
    case.run(named)
    assert is_actual(using=case.alias, apps=named.apps)
    after = item(name=NAME, size=models.IntegerField(null=True), Meta={"db_table": "Shop_Item"})
    case.run(after)
    assert not make_plan(using=case.alias, apps=after.apps)


def test_role_that_may_not_alter(case, as_role):
    case.run(BEFORE)
    role = as_role("SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES")
    assert is_actual(using=role.alias, apps=BEFORE.apps)
    with pytest.raises(ExecutionFailed, match=r"lacks a privilege: GRANT ALTER, CREATE") as caught:
        role.run(item(name=models.TextField(), size=models.IntegerField(null=True)))
    assert "'little'@'localhost'" in str(caught.value)
    assert is_actual(using=case.alias, apps=BEFORE.apps)


def test_role_that_may_not_make_temporary_tables(case, as_role):
    case.run(BEFORE)
    role = as_role("SELECT")
    with pytest.raises(ScratchFailed, match="CREATE TEMPORARY TABLES"):
        is_actual(using=role.alias, apps=BEFORE.apps)


def test_read_only_server(loose, case, as_role):
    case.run(BEFORE)
    role = as_role("ALL PRIVILEGES")
    loose.query("SET GLOBAL read_only = 1")
    try:
        assert backend_for(role.alias).why_read_only() == "the server is read-only (read_only)"
        assert is_actual(using=role.alias, apps=BEFORE.apps)
        with pytest.raises(ExecutionFailed, match="use the primary"):
            role.run(item(name=models.TextField(), size=models.IntegerField(null=True)))
    finally:
        loose.query("SET GLOBAL read_only = 0")
    assert backend_for(role.alias).why_read_only() == ""
    assert is_actual(using=case.alias, apps=BEFORE.apps)
