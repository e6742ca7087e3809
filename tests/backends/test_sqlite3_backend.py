"""Transactions on SQLite: one run at a time, all or nothing, and nothing broken in the end."""

import sqlite3
import time
from contextlib import closing

import pytest
from django.apps.registry import Apps
from django.db import models, transaction
from django.db.utils import IntegrityError, OperationalError

from automigrate_ext.backends.work import Step
from automigrate_ext.exceptions import ExecutionFailed, LockNotAvailable
from automigrate_ext.waiting import Patience
from tests.backends.sqlite3_helper import Database, model


@pytest.fixture
def database(sqlite):
    return Database(sqlite)


def steps(*statements):
    return [Step(sql=sql, table="t") for sql in statements]


def state(name):
    apps = Apps()
    parent = model("Parent", apps=apps, name=name)
    return parent, model("Child", apps=apps, parent=models.ForeignKey(parent, models.CASCADE))


def pragmas(database):
    return database.query("PRAGMA foreign_keys") + database.query("PRAGMA legacy_alter_table")


def test_exclusive_keeps_other_writers_out(database):
    database.execute("CREATE TABLE t (a)")
    name = database.connection.settings_dict["NAME"]
    with closing(sqlite3.connect(name, timeout=0)) as other:
        with database.backend.exclusive(), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("INSERT INTO t VALUES (1)")
        other.execute("INSERT INTO t VALUES (1)")


def test_exclusive_waits_for_other_writers(database):
    database.execute("CREATE TABLE t (a)", "PRAGMA busy_timeout = 10")
    backend = database.backend
    backend.session.patience = Patience(lock_wait=0.1)
    with closing(sqlite3.connect(database.connection.settings_dict["NAME"])) as other:
        other.execute("INSERT INTO t VALUES (1)")
        started = time.monotonic()
        with pytest.raises(LockNotAvailable, match=r"did not end within 0\.1 s"), backend.exclusive():
            pass
    assert 0.1 <= time.monotonic() - started < 2
    assert pragmas(database) == [(1,), (0,)]
    assert database.query("PRAGMA busy_timeout") == [(10,)]


@pytest.mark.parametrize(("lock_timeout", "milliseconds"), [(None, 10), (0, 0), (2.5, 2500), (1e9, 2**31 - 1)])
def test_exclusive_waits_for_readers_for_the_time_asked_for(database, lock_timeout, milliseconds):
    database.execute("CREATE TABLE t (a)", "PRAGMA busy_timeout = 10")
    backend = database.backend
    backend.session.patience = Patience(lock_timeout=lock_timeout)
    with backend.exclusive() as waited:
        assert not waited
        assert database.query("PRAGMA busy_timeout") == [(milliseconds,)]
    assert database.query("PRAGMA busy_timeout") == [(10,)]


@pytest.mark.parametrize("mode", [None, "EXCLUSIVE"])
def test_exclusive_restores_the_transaction_mode(database, mode):
    database.connection.ensure_connection()
    database.connection.transaction_mode = mode
    with database.backend.exclusive():
        pass
    assert database.connection.transaction_mode == mode


@pytest.mark.parametrize("foreign_keys", [0, 1])
@pytest.mark.parametrize("legacy", [0, 1])
def test_pragmas_are_restored(database, foreign_keys, legacy):
    database.create(*state(models.IntegerField()))
    database.execute(f"PRAGMA foreign_keys = {foreign_keys}", f"PRAGMA legacy_alter_table = {legacy}")
    database.update(*state(models.TextField()))
    assert pragmas(database) == [(foreign_keys,), (legacy,)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("when", range(8))
def test_interrupted_at_any_statement(database, error, when):
    database.create(*state(models.IntegerField(db_index=True)))
    database.execute("INSERT INTO x_parent (id, name) VALUES (1, 2)", "INSERT INTO x_child (parent_id) VALUES (1)")
    before = database.definitions()
    planned = database.compile(*state(models.TextField(db_index=True)))
    assert len(planned) == 8

    def interrupt(execute, sql, params, many, context):
        execute(sql, params, many, context)
        if sql == planned[when].sql:
            raise error

    with pytest.raises(error), database.connection.execute_wrapper(interrupt), database.backend.exclusive():
        database.backend.run(planned)
    assert database.definitions() == before
    assert database.query("SELECT parent_id FROM x_child") == [(1,)]
    assert pragmas(database) == [(1,), (0,)]
    database.update(*state(models.TextField(db_index=True)))


def test_failing_statement_is_undone(database):
    database.execute("CREATE TABLE t (a)", "INSERT INTO t VALUES (1), (1)")
    failing = steps("CREATE TABLE u (a)", "CREATE UNIQUE INDEX i ON t (a)")
    with pytest.raises(IntegrityError), database.backend.exclusive():
        database.backend.run(failing)
    assert database.definitions().keys() == {"t"}


def test_rows_that_lose_what_they_point_at(database):
    database.execute(
        "CREATE TABLE p (id integer PRIMARY KEY)",
        "CREATE TABLE c (p_id int REFERENCES p (id))",
        "INSERT INTO p VALUES (1), (2)",
        "INSERT INTO c VALUES (1), (2)",
    )
    with pytest.raises(ExecutionFailed, match="2 rows of c point at nothing in p"), database.backend.exclusive():
        database.backend.run(steps("DROP TABLE p", "CREATE TABLE p (id integer PRIMARY KEY)"))
    assert database.query("SELECT count(*) FROM p") == [(2,)]


def test_key_that_is_pointed_at_is_taken_away(database):
    database.execute(
        "CREATE TABLE p (id integer PRIMARY KEY, code text UNIQUE)",
        "CREATE TABLE c (code text REFERENCES p (code))",
    )
    with (
        pytest.raises(ExecutionFailed, match="a foreign key of table c fails: foreign key mismatch"),
        database.backend.exclusive(),
    ):
        database.backend.run(steps("DROP TABLE p", "CREATE TABLE p (id integer PRIMARY KEY, code text)"))


def test_what_was_wrong_before_does_not_count(database):
    database.create(*state(models.IntegerField()))
    database.execute(
        "PRAGMA foreign_keys = OFF",
        "INSERT INTO x_child (parent_id) VALUES (7)",
        "CREATE TABLE mismatched (code text REFERENCES x_parent (name))",
        "CREATE VIEW broken AS SELECT a FROM nowhere",
        "CREATE TRIGGER tr AFTER DELETE ON mismatched BEGIN INSERT INTO nowhere VALUES (1); END",
    )
    database.update(*state(models.TextField()))


def test_adding_looks_at_nothing_else(database):
    before = model("One", a=models.IntegerField())
    database.create(before)
    queries = []

    def note(execute, sql, params, many, context):
        queries.append(sql)
        return execute(sql, params, many, context)

    database.connection.connection.set_trace_callback(queries.append)
    try:
        database.update(model("One", a=models.IntegerField(db_index=True)))
    finally:
        database.connection.connection.set_trace_callback(None)
    assert not any("foreign_key_check" in sql for sql in queries)


# Inside another transaction


def test_adding_works_inside_a_transaction(database):
    database.create(*state(models.IntegerField()))
    extra = model("Extra", a=models.IntegerField(db_index=True))
    with transaction.atomic(using=database.connection.alias):
        parent, child = state(models.IntegerField(db_index=True))
        parent.add_to_class("more", models.TextField(null=True))
        database.update(parent, child)
        with database.backend.exclusive():
            database.backend.run(steps(*database.scratch(extra).tables["x_extra"].sql))
    assert database.differences(parent, child, extra) == ()


def test_rebuild_inside_a_transaction_is_refused_before_anything_is_touched(database):
    database.create(*state(models.IntegerField()))
    before = database.definitions()
    with transaction.atomic(using=database.connection.alias):
        with pytest.raises(ExecutionFailed, match="inside a transaction that enforces foreign keys"):
            database.update(*state(models.TextField(db_index=True)))
        assert database.definitions() == before
        database.execute("INSERT INTO x_parent (name) VALUES (1)")
    assert database.query("SELECT name FROM x_parent") == [(1,)]


def test_rebuild_inside_a_transaction_without_foreign_keys(database):
    database.create(*state(models.IntegerField()))
    database.execute("PRAGMA foreign_keys = OFF")
    with transaction.atomic(using=database.connection.alias):
        database.update(*state(models.TextField()))
    assert pragmas(database) == [(0,), (0,)]


def test_failure_inside_a_transaction_undoes_the_run_only(database):
    database.create(*state(models.IntegerField()))
    database.execute("PRAGMA foreign_keys = OFF")
    with transaction.atomic(using=database.connection.alias):
        database.execute("INSERT INTO x_parent (name) VALUES (1)")
        with pytest.raises(OperationalError), database.backend.exclusive():
            database.backend.run(steps("DROP TABLE x_child", "DROP TABLE nothing"))
    assert database.query("SELECT name FROM x_parent") == [(1,)]
    assert "x_child" in database.definitions()


def test_type_rules(database):
    rules = database.backend.type_rules
    assert rules.same_storage("integer", "bigint unsigned")
    assert not rules.same_storage("integer", "varchar(3)")
    assert not rules.same_storage("text", "varchar(3)")
