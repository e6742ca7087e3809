"""MariaDB servers set up in another way (loose, read-only, without case in names), roles that may little, faults."""

import os
import re
from shutil import disk_usage

import pytest
from django.db import models

from automigrate_ext import AutomigrateError, ExecutionFailed, LockNotAvailable, ScratchFailed, is_actual, make_plan
from automigrate_ext.backends import backend_for
from tests.acceptance.helper import Case, State, fingerprint, item
from tests.conftest import scratch
from tests.databases import MariadbServer
from tests.disks import small_disk
from tests.servers import ServerUnavailable, mariadb

pytest.importorskip("MySQLdb")
pytestmark = pytest.mark.timeout(120)

DATABASE = "automigrate_test_other"
NAME = models.CharField(max_length=20)
BEFORE = item(name=NAME, size=models.IntegerField(null=True))
#: Wider types, and types into which not every value would go, with a value for rows that have none.
WIDER = item(name=models.CharField(max_length=30), size=models.BigIntegerField(null=True))
AFTER = item(name=models.CharField(max_length=10), size=models.SmallIntegerField(default=3))
ROWS = {"Item": [{"name": "abcdef", "size": 1}]}


@pytest.fixture(scope="module")
def own():
    """A server without strict mode, that minds no case in names, whose texts are Latin-1, and that may be stopped."""
    settings = ["sql-mode=", "lower-case-table-names=1", "character-set-server=latin1"]
    try:
        # What was committed has to survive a server that stops.
        with mariadb.own_server([*settings, "innodb-flush-log-at-trx-commit=1"]) as own:
            yield own
    except ServerUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture
def loose(own):
    return MariadbServer(own.url, "0")


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
    assert is_actual(using=role.alias, apps=BEFORE.apps)  # by what the run has recorded
    with pytest.raises(ScratchFailed, match="CREATE TEMPORARY TABLES"):
        is_actual(using=role.alias, apps=BEFORE.apps, fingerprint=False)


def test_read_only_server(loose, case, as_role):
    case.run(BEFORE)
    role = as_role("ALL PRIVILEGES")
    loose.query("SET GLOBAL read_only = 1")
    try:
        assert backend_for(role.alias).session.why_read_only() == "the server is read-only (read_only)"
        assert backend_for(case.alias).session.why_read_only() == ""  # administrators may write
        assert is_actual(using=role.alias, apps=BEFORE.apps)
        with pytest.raises(ExecutionFailed, match="use the primary"):
            role.run(item(name=models.TextField(), size=models.IntegerField(null=True)))
    finally:
        loose.query("SET GLOBAL read_only = 0")
    assert backend_for(role.alias).session.why_read_only() == ""
    assert is_actual(using=case.alias, apps=BEFORE.apps)


def test_role_that_may_not_rehearse(loose, case, as_role):
    """The plan has a note with the statement that lets it do so, and a run goes on without."""
    case.run(BEFORE)
    role = as_role("ALL")
    (note,) = role.plan(AFTER).notes
    assert note.startswith("Not rehearsed on copies of the tables")
    granted = re.search(r"GRANT ALL ON .* TO 'little'@'localhost'", note)[0]
    loose.query(granted)
    assert role.plan(AFTER).notes == ()
    loose.query(granted.replace("GRANT", "REVOKE").replace(" TO ", " FROM "))
    assert role.run(AFTER).notes == (note,)
    assert is_actual(using=role.alias, apps=AFTER.apps)


def test_plan_on_a_read_only_server(loose, case, as_role):
    case.run(BEFORE)
    role = as_role("ALL")
    loose.query("SET GLOBAL read_only = 1")
    try:
        (note,) = role.plan(AFTER).notes
    finally:
        loose.query("SET GLOBAL read_only = 0")
    assert "as the server is read-only" in note or "may not make the database" in note


def test_role_that_may_only_read(case, as_role):
    case.build(BEFORE)
    case.execute("DROP TABLE automigrate_ext_owned")
    role = as_role("SELECT, CREATE TEMPORARY TABLES")
    assert is_actual(using=role.alias, apps=BEFORE.apps)
    assert role.plan(AFTER).changes
    with pytest.raises(ExecutionFailed, match=r"before it changed a table: .* lacks a privilege"):
        role.run(AFTER)
    told = []
    assert not role.run(BEFORE, notify=told.append)
    (message,) = told
    assert "matches the models" in message and "lacks a privilege: GRANT ALTER" in message


def test_role_that_may_not_lock_tables(case, as_role):
    """Which it needs where a statement would destroy values that nobody has counted; nothing is done by then."""
    case.build(BEFORE)
    case.insert(BEFORE, {"Item": [{"name": "a"}]})
    trace = fingerprint(case.connection)
    everything = (
        "ALTER, CREATE, CREATE TEMPORARY TABLES, DELETE, DROP, INDEX, INSERT, REFERENCES, SELECT, TRIGGER, UPDATE"
    )
    role = as_role(everything)
    without = State(Item={"name": NAME}, Other={"name": NAME})
    with pytest.raises(ExecutionFailed, match=r"before it changed a table: Access denied .* LOCK TABLES"):
        role.run(without)
    assert fingerprint(case.connection) == trace
    role.run(State(Item={"name": models.TextField(), "size": models.IntegerField(null=True)}))


# Faults


def test_server_stopped_in_the_middle(case, own):
    """What was done stays done, the error says so, and the next run goes on from there."""
    case.build(BEFORE)
    case.insert(BEFORE, ROWS)
    for words in ("CREATE TEMPORARY", "INSERT INTO `automigrate_ext_owned`", "LOCK TABLES", "ALTER TABLE", "UPDATE"):
        case.run(BEFORE)
        case.execute("UPDATE shop_item SET size = NULL")
        stopped = []

        def stop(execute, statement, params, many, context, words=words, stopped=stopped):
            if statement.startswith(words) and not stopped:
                stopped.append(statement)
                own.stop()
            return execute(statement, params, many, context)

        with case.connection.execute_wrapper(stop), pytest.raises(AutomigrateError) as caught:
            case.run(AFTER)
        assert stopped and "run again once the server accepts connections" in str(caught.value)
        if caught.value.plan:
            assert (*caught.value.applied, *caught.value.pending) == caught.value.plan.statements
        own.start()
        case.connection.close()  # as Django does at the end of a request or command
        case.run(AFTER)
        case.assert_settled(AFTER)
        assert case.values("shop_item", "name", "size") == [("abcdef", 3)]


def test_disk_full(case):
    case.build(BEFORE)
    case.run(BEFORE)
    with small_disk(32) as disk:
        (_, definition), *_ = case.query("SHOW CREATE TABLE shop_item")
        case.execute("DROP TABLE shop_item", f"{definition} DATA DIRECTORY='{disk}'")
        try:
            case.execute("INSERT INTO shop_item (name) SELECT repeat('x', 20) FROM seq_1_to_60000")
            (disk / "ballast").write_bytes(bytes(disk_usage(disk).free - 1_000_000))
            with pytest.raises(ExecutionFailed, match="make room") as caught:
                case.run(WIDER)
            assert caught.value.pending and "\n" not in str(caught.value)
            assert case.query("SELECT count(*) FROM shop_item") == [(60000,)]
            (disk / "ballast").unlink()
            case.run(WIDER)
            case.assert_settled(WIDER, exact=False)
            assert case.query("SELECT count(*) FROM shop_item") == [(60000,)]
        finally:
            case.execute("DROP TABLE shop_item")


def test_table_in_use(case, loose):
    case.build(BEFORE)
    case.insert(BEFORE, ROWS)
    with loose.connect(DATABASE) as other:
        other.autocommit(False)
        other.query("SELECT * FROM shop_item")
        other.store_result()
        with pytest.raises(LockNotAvailable, match=r"raise --lock-timeout \(lock_timeout=\). SHOW PROCESSLIST"):
            case.run(WIDER, lock_timeout=0)
        other.rollback()
    case.run(WIDER, lock_timeout=0)
    case.assert_settled(WIDER)
