"""Ctrl-C during a statement of SQLite."""

import _thread
import threading

import pytest
from django.db.utils import OperationalError

from automigrate_ext.backends.sqlite3.session import interruptible

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
