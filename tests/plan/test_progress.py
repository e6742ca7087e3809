"""The progress that a run reports: its statements, the rows of their tables, and rows as they get their values."""

import itertools

import pytest
from django.db import models

from automigrate_ext import autoupdate, is_actual, make_plan
from automigrate_ext.backends.filler import ROWS_A_STATEMENT
from tests.acceptance.helper import item

NUMBERS = itertools.count()
ROWS = 2 * ROWS_A_STATEMENT + 100
BEFORE = item(name=models.CharField(max_length=20), code=models.CharField(max_length=20, null=True))


def next_number():
    return f"n{next(NUMBERS)}"


@pytest.fixture
def filled(connection):
    """Create a table with rows, every third of which has a code."""
    autoupdate(using=connection.alias, apps=BEFORE.apps)
    model = BEFORE["Item"]
    rows = [model(name=str(n), code=None if n % 3 else str(n)) for n in range(ROWS)]
    model.objects.using(connection.alias).bulk_create(rows)
    return connection


def watched(connection, after):
    """Return the progress that an update to the models reported, and the plan."""
    told = []
    plan = autoupdate(using=connection.alias, apps=after.apps, progress=told.append)
    assert is_actual(using=connection.alias, apps=after.apps)
    return told, plan


def test_new_column_filled_row_by_row_is_told_in_batches(filled):
    after = item(
        name=models.CharField(max_length=20),
        code=models.CharField(max_length=20, null=True),
        number=models.CharField(max_length=20, unique=True, default=next_number),
    )
    told, plan = watched(filled, after)
    batches = [(progress.rows_done, progress.rows) for progress in told if progress.rows is not None]
    assert batches == [(0, ROWS), (500, ROWS), (1000, ROWS)]
    assert {progress.table for progress in told} == {"shop_item", ""}
    assert {progress.size.rows for progress in told if progress.table} == {ROWS}
    assert_statements(told, plan, filled.alias)


def test_only_rows_without_a_value_are_counted(filled):
    after = item(name=models.CharField(max_length=20), code=models.CharField(max_length=20, default=next_number))
    told, plan = watched(filled, after)
    lacking = len([n for n in range(ROWS) if n % 3])
    assert [(p.rows_done, p.rows) for p in told if p.rows is not None] == [(0, lacking), (500, lacking)]
    assert_statements(told, plan, filled.alias)


def assert_statements(told, plan, alias):
    """Assert that every statement was reported once, in order, and the end once."""
    begun = [progress for progress in told if progress.rows is None]
    assert [progress.sql for progress in begun] == [*plan.statements, ""]
    assert [progress.finished for progress in begun] == list(range(len(plan.statements) + 1))
    assert {(progress.alias, progress.statements) for progress in told} == {(alias, len(plan.statements))}


def test_tables_that_are_made_are_told_too(connection):
    told = []
    plan = autoupdate("todo", using=connection.alias, progress=told.append)
    assert told[0].table == "todo_todolist" and told[0].size is None
    assert told[-1].finished == told[-1].statements == len(plan.statements)


def test_run_that_finds_nothing_tells_nothing(filled):
    told, _ = watched(filled, BEFORE)
    assert told == []
    make_plan(using=filled.alias, apps=BEFORE.apps)


def test_exception_from_the_watcher_ends_and_undoes_the_run(filled):
    after = item(name=models.CharField(max_length=30), code=models.CharField(max_length=30, null=True))

    def give_up(progress):
        raise RuntimeError("seen enough")

    with pytest.raises(RuntimeError, match="seen enough"):
        autoupdate(using=filled.alias, apps=after.apps, progress=give_up)
    assert is_actual(using=filled.alias, apps=BEFORE.apps)
