"""Ctrl-C in a run that the database does not undo, or not all of it: what stays done is told."""

import json
from contextlib import contextmanager

import pytest
from django.core.management import call_command
from django.db import models

from automigrate_ext import ExecutionFailed, Interrupted, automigrate, autoupdate, history, is_actual, make_plan
from automigrate_ext.backends.session import RunSession
from tests.acceptance.helper import Case, State, fingerprint
from tests.features import has

NAME = models.CharField(max_length=20)


def state(*names, **more):
    return State(**{name: {"name": NAME, **more} for name in names})


@contextmanager
def interrupted_at(connection, words, *, after=False):
    """Press Ctrl-C as a statement with these words is sent, or when it is over."""

    def wrapper(execute, sql, params, many, context):
        hits = not isinstance(sql, bytes) and sql.startswith(words[0]) and all(word in sql for word in words)
        if hits and not after:
            raise KeyboardInterrupt
        result = execute(sql, params, many, context)
        if hits:
            raise KeyboardInterrupt
        return result

    with connection.execute_wrapper(wrapper):
        yield


@pytest.fixture
def case(connection):
    return Case(connection, "automigrate")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_interrupt_between_statements(case, after):
    before, wanted = state("One", "Two", "Three"), state("One", "Two", "Three", number=models.IntegerField(null=True))
    case.build(before)
    trace = fingerprint(case.connection)
    at_two = interrupted_at(case.connection, ["ALTER TABLE", "shop_two"], after=after)
    with at_two, pytest.raises(KeyboardInterrupt) as caught:
        autoupdate(using=case.alias, apps=wanted.apps)
    if has(case.connection, "atomic DDL"):
        assert not isinstance(caught.value, Interrupted)
        assert fingerprint(case.connection) == trace
        return
    error = caught.value
    assert isinstance(error, Interrupted)
    assert len(error.applied) == 1 and "shop_one" in error.applied[0]
    assert [name for name in ("shop_two", "shop_three") if any(name in sql for sql in error.pending)] == [
        "shop_two",
        "shop_three",
    ]
    assert str(error) == (
        "Interrupted after 1 of its 3 statements, which stay done; the one that was under way may be done too; "
        "the next run goes on from there."
    )
    autoupdate(using=case.alias, apps=wanted.apps)
    assert is_actual(using=case.alias, apps=wanted.apps)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_interrupt_of_a_message_of_several_statements(case, after):
    wanted = state("One", "Two", "Three")
    trace = fingerprint(case.connection)
    at_two = interrupted_at(case.connection, ["CREATE TABLE", "shop_two"], after=after)
    with at_two, pytest.raises(KeyboardInterrupt) as caught:
        autoupdate(using=case.alias, apps=wanted.apps)
    if has(case.connection, "atomic DDL"):
        assert not isinstance(caught.value, Interrupted)
        assert fingerprint(case.connection) == trace
        return
    assert not caught.value.applied and len(caught.value.pending) == 3
    assert str(caught.value) == (
        "Interrupted after 0 of its 3 statements; the 3 that were under way may be done too; the next run goes on "
        "from there."
    )
    made = [name for name in case.connection.introspection.table_names() if name.startswith("shop_")]
    assert len(made) == (3 if after else 0)
    autoupdate(using=case.alias, apps=wanted.apps)
    assert is_actual(using=case.alias, apps=wanted.apps)


def test_interrupt_in_the_comparison_afterwards(case, monkeypatch):
    from automigrate_ext.run import execute

    def stop(*_):
        raise KeyboardInterrupt

    wanted = state("One", "Two")
    with monkeypatch.context() as patch:
        patch.setattr(execute, "conclude", stop)
        with pytest.raises(KeyboardInterrupt) as caught:
            autoupdate(using=case.alias, apps=wanted.apps)
    if not has(case.connection, "atomic DDL"):
        assert "Interrupted after 2 of its 2 statements, which stay done; the next run" in str(caught.value)
        assert not caught.value.pending
    autoupdate(using=case.alias, apps=wanted.apps)
    assert is_actual(using=case.alias, apps=wanted.apps)


def test_interrupt_before_the_first_statement(case):
    wanted = state("One")
    trace = fingerprint(case.connection)
    with interrupted_at(case.connection, ["SELECT"]), pytest.raises(KeyboardInterrupt) as caught:
        autoupdate(using=case.alias, apps=wanted.apps)
    assert not isinstance(caught.value, Interrupted)
    assert fingerprint(case.connection) == trace


def test_interrupt_of_automigrate(case):
    old = state("One", "Two")
    case.build(old)
    with interrupted_at(case.connection, ["CREATE TABLE", "shop_two"]), pytest.raises(KeyboardInterrupt) as caught:
        automigrate(using=case.alias, apps=old.apps)
    assert isinstance(caught.value, Interrupted) != has(case.connection, "atomic DDL")
    automigrate(using=case.alias, apps=old.apps)
    assert is_actual(using=case.alias, apps=old.apps)


@contextmanager
def broken(connection, words, *, times=None):
    """Have the server find something wrong with a statement, each time that it is sent or a number of times."""
    seen = []

    def wrapper(execute, sql, params, many, context):
        if not isinstance(sql, bytes) and words in sql and (times is None or len(seen) < times):
            seen.append(sql)
            sql = sql.replace(words, f"NONSENSE {words}")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper):
        yield seen


@pytest.mark.parametrize("verb", [autoupdate, automigrate])
def test_error_names_the_one_of_several_statements_that_failed(case, verb):
    wanted = state("One", "Two", "Three")
    trace = fingerprint(case.connection)
    name = case.connection.ops.quote_name("shop_two")
    with broken(case.connection, f"CREATE TABLE {name}"), pytest.raises(ExecutionFailed) as caught:
        verb(using=case.alias, apps=wanted.apps)
    words = str(caught.value).partition("In: ")[2]
    assert words.startswith(f"CREATE TABLE {name}")
    assert "shop_one" not in words and "shop_three" not in words
    if has(case.connection, "atomic DDL"):
        assert "undone" in str(caught.value)
        assert fingerprint(case.connection) == trace
    else:
        assert "The run failed after 1 of its 3 statements, which stay done" in str(caught.value)
        assert [len(caught.value.applied), len(caught.value.pending)] == [1, 2]
        assert "shop_one" in caught.value.applied[0]
    autoupdate(using=case.alias, apps=wanted.apps)
    assert is_actual(using=case.alias, apps=wanted.apps)


def test_message_that_fails_once_is_executed_statement_by_statement(postgresql):
    wanted = state("One", "Two", "Three")
    with broken(postgresql, 'CREATE TABLE "shop_two"', times=1) as seen:
        autoupdate(using=postgresql.alias, apps=wanted.apps)
    assert 'CREATE TABLE "shop_one"' in seen[0]
    assert is_actual(using=postgresql.alias, apps=wanted.apps)


def test_interrupt_between_transactions(postgresql, monkeypatch):
    """Each of them is undone by itself."""
    monkeypatch.setattr(type(Case(postgresql, "automigrate").backend.session), "batches", one_by_one)
    wanted = state("One", "Two", "Three")
    statements = make_plan(using=postgresql.alias, apps=wanted.apps).statements
    with interrupted_at(postgresql, ["CREATE TABLE", "shop_two"]), pytest.raises(Interrupted) as caught:
        autoupdate(using=postgresql.alias, apps=wanted.apps)
    assert str(caught.value).startswith("Interrupted after 1 of its 3 transactions, which stay done; the next run goes")
    assert caught.value.applied + caught.value.pending == statements
    assert len(caught.value.applied) == 1
    autoupdate(using=postgresql.alias, apps=wanted.apps)
    assert is_actual(using=postgresql.alias, apps=wanted.apps)


def test_interrupt_within_the_first_of_several_transactions_leaves_nothing(postgresql, monkeypatch):
    monkeypatch.setattr(type(Case(postgresql, "automigrate").backend.session), "batches", one_by_one)
    with interrupted_at(postgresql, ["CREATE TABLE", "shop_one"]), pytest.raises(KeyboardInterrupt) as caught:
        autoupdate(using=postgresql.alias, apps=state("One", "Two").apps)
    assert not isinstance(caught.value, Interrupted)
    assert history(using=postgresql.alias) == ()


def one_by_one(self: RunSession, steps):
    return tuple((step,) for step in steps)


@pytest.mark.parametrize("output", ["text", "json"])
def test_command_says_what_stays_done(mariadb, capsys, output):
    autoupdate("todo", using=mariadb.alias)
    with mariadb.cursor() as cursor:
        cursor.execute("ALTER TABLE todo_todo DROP COLUMN title")
        cursor.execute("ALTER TABLE todo_todolist DROP COLUMN color")
    plan = make_plan("todo", using=mariadb.alias)
    with interrupted_at(mariadb, ["ALTER TABLE", "todolist"]), pytest.raises(SystemExit) as caught:
        call_command("autoupdate", "todo", format=output, database=mariadb.alias)
    assert caught.value.code == 130
    out, err = capsys.readouterr()
    assert "nothing was changed" not in err
    assert err.startswith("Interrupted after ")
    if output == "json":
        done = json.loads(out)
        assert done["error"] == err.strip()
        assert done["applied"] + done["pending"] == list(plan.statements)
    call_command("autoupdate", "todo", database=mariadb.alias, verbosity=0)
    assert is_actual("todo", using=mariadb.alias)


def test_command_interrupted_before_anything(mariadb, capsys):
    autoupdate("todo", using=mariadb.alias)
    with interrupted_at(mariadb, ["SELECT", "SHOW CREATE TABLE"]), pytest.raises(SystemExit) as caught:
        call_command("autoupdate", "todo", database=mariadb.alias)
    assert caught.value.code == 130
    assert "Interrupted; nothing was changed." in capsys.readouterr().err


def test_interrupt_once_what_comes_first_is_done(case, settings, tmp_path):
    (tmp_path / "first.sql").write_text("CREATE VIEW shop_view AS SELECT 1 AS one")
    settings.BASE_DIR = tmp_path
    settings.AUTOMIGRATE = {"BEFORE": {case.alias: ["first.sql"]}}
    wanted = state("One")
    with interrupted_at(case.connection, ["CREATE VIEW"], after=True), pytest.raises(KeyboardInterrupt) as caught:
        autoupdate(using=case.alias, apps=wanted.apps)
    undone = has(case.connection, "atomic DDL")
    assert isinstance(caught.value, Interrupted) != undone
    assert undone or str(caught.value).startswith("Interrupted before a table was changed.")
