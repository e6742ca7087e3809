"""Ctrl-C during a statement of SQLite, and while rows are counted."""

import _thread
import threading
import time
from contextlib import contextmanager

import pytest
from django.db import models
from django.db.utils import OperationalError

from automigrate_ext.backends import backend_for
from automigrate_ext.backends.rows import Question, Source, TookTooLong
from automigrate_ext.backends.sqlite3 import hazards
from automigrate_ext.backends.sqlite3.session import interruptible
from tests.acceptance.helper import Case, State, fingerprint

#: Takes about half a minute.
LONG = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000000) SELECT count(*) FROM n"


def test_statement_ends_at_ctrl_c(sqlite):
    sqlite.ensure_connection()
    timer = threading.Timer(0.2, _thread.interrupt_main)
    with sqlite.cursor() as cursor, pytest.raises(KeyboardInterrupt) as caught, interruptible(sqlite):
        timer.start()
        cursor.execute(LONG)
    timer.join()
    assert isinstance(caught.value.__cause__, OperationalError)
    with sqlite.cursor() as cursor:
        assert cursor.execute("SELECT 1").fetchone() == (1,)


def test_other_errors_are_left_as_they_are(sqlite):
    sqlite.ensure_connection()
    with sqlite.cursor() as cursor, pytest.raises(OperationalError, match="no such table"), interruptible(sqlite):
        cursor.execute("SELECT 1 FROM no_table")


@contextmanager
def interrupted(seconds=0.3):
    """Press Ctrl-C after so many seconds, which ends the block."""
    timer = threading.Timer(seconds, _thread.interrupt_main)
    timer.start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        yield
    timer.join()
    assert time.monotonic() - begun < 10


@pytest.fixture
def slow():
    """A question that takes half a minute."""
    return Question(source=Source(table="n", sql=f"({LONG})", key=("1",)), condition="1 = 1")


@pytest.mark.parametrize("limit", [None, 60])
@pytest.mark.parametrize("ask", ["answer", "answers", "answers_of_two", "sample"])
def test_count_ends_at_ctrl_c(sqlite, slow, limit, ask):
    rows = backend_for(sqlite.alias).rows
    rows.limit = limit
    other = Question(source=Source(table="m", sql="(SELECT 1)"), condition="1 = 1")
    with interrupted():
        match ask:
            case "answers":
                rows.answers([slow])
            case "answers_of_two":
                rows.answers([slow, other])
            case _:
                getattr(rows, ask)(slow)
    assert rows.row("SELECT 1") == (1,)


def test_count_that_takes_too_long_is_told_from_ctrl_c(sqlite, slow):
    rows = backend_for(sqlite.alias).rows
    rows.limit = 0.2
    assert rows.answer(slow).rows is None
    with pytest.raises(TookTooLong, match=r"not counted within 0\.2 s"):
        rows.try_row(LONG)


@pytest.mark.parametrize("limit", [None, 60])
def test_run_ends_at_ctrl_c_while_rows_are_counted(sqlite, monkeypatch, limit):
    def state(kind, price):
        link = models.ManyToManyField("Item")
        return State(Item={"a": kind, "price": price}, Box={"items": link, "Meta": {"db_table": "b'ox"}})

    case = Case(sqlite, "automigrate")
    before = state(models.TextField(), models.DecimalField(max_digits=9, decimal_places=2))
    case.build(before)
    case.insert(before, {"Item": [{"a": "1", "price": 1}]})
    case.run(before)
    trace = fingerprint(sqlite)
    monkeypatch.setattr(hazards, "LOST", f"{hazards.LOST} OR ({LONG}) = 0")
    for after in (
        state(models.IntegerField(), models.DecimalField(max_digits=9, decimal_places=2)),
        state(models.TextField(), models.DecimalField(max_digits=5, decimal_places=2)),
    ):
        with interrupted():
            case.run(after, count_timeout=limit, accept_data_loss=True)
        assert fingerprint(sqlite) == trace
