"""The session of a run on SQLite: who may write, and what the run may have broken in the end."""

from __future__ import annotations

import math
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import OperationalError

from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.rows import TookTooLong
from automigrate_ext.backends.session import RunSession
from automigrate_ext.backends.sqlite3 import faults
from automigrate_ext.backends.sqlite3.health import Health, examine
from automigrate_ext.backends.sqlite3.settings import (
    FOREIGN_KEYS,
    LEGACY,
    busy_timeout,
    foreign_keys_off,
    immediate,
    pragma,
    restored,
    set_busy_timeout,
    try_writing,
)
from automigrate_ext.backends.work import Step
from automigrate_ext.exceptions import ExecutionFailed, LockNotAvailable

TRY_READING = "SELECT 1 FROM sqlite_master LIMIT 1"
#: The number of steps of SQLite's virtual machine between two checks of the clock, or for signals.
STEPS_BETWEEN = 10_000


class SQLiteSession(RunSession):
    """The session of a run on SQLite, which locks the database as a whole and does not show for whom."""

    first_pause = longest_pause = 0.05
    statements_a_message = 200
    waits_for_run = "Waiting for another run, or another program that writes, on database {alias!r}"
    run_in_the_way = (
        "Another run, or another program that writes to database {alias!r}, did not end within {limit}. Nothing was "
        "changed. Wait for it or raise --lock-wait (lock_wait=)."
    )

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.is_exclusive = False
        #: The health of the database before the first statement that may break something; None before that.
        self.before: Health | None = None

    # Transactions

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Keep other writers out by a transaction; in the end nothing may be broken that was not before.

        Foreign keys are not enforced in it, unless it is inside another transaction.
        """
        connection = self.connection
        connection.ensure_connection()
        self.before, self.is_exclusive = None, True
        try:
            with foreign_keys_off(connection), self.writing() as waited:
                yield waited
                self.forbid_damage()
        finally:
            self.before, self.is_exclusive = None, False

    @contextmanager
    def trial(self) -> Iterator[None]:
        self.connection.ensure_connection()
        with self.writing(), super().trial():
            yield

    @contextmanager
    def replacing(self) -> Iterator[None]:
        raw: Any = self.connection.connection
        # SQLite stores any bytes as a text, and its driver raises an error for those that are not UTF-8.
        before, raw.text_factory = raw.text_factory, partial(str, encoding="utf-8", errors="replace")
        try:
            yield
        finally:
            raw.text_factory = before

    @contextmanager
    def writing(self) -> Iterator[bool]:
        """Run the block in a transaction that may write from its start; gives whether there was a wait for that.

        Within it statements, and its end, wait for readers as long as `lock_timeout` allows.
        """
        connection = self.connection
        atomic = transaction.atomic(using=connection.alias)
        if connection.in_atomic_block:
            with atomic:
                yield False
            return
        with busy_timeout(connection) as before, ExitStack() as stack:
            with immediate(connection):
                waited = self.insist(lambda: stack.enter_context(atomic))
            timeout = self.patience.lock_timeout
            set_busy_timeout(connection, before if timeout is None else timeout * 1000)
            yield waited

    @contextmanager
    def code_of_others(self, label: str) -> Iterator[None]:
        # Foreign keys are not enforced in a run, so what others write is examined in the end.
        self.examine_before()
        with super().code_of_others(label):
            yield

    @contextmanager
    def running(self, steps: Sequence[Step]) -> Iterator[None]:
        """Watch over the steps. Raises `ExecutionFailed` where enforced foreign keys would let rows go."""
        self.connection.ensure_connection()
        if any(drops_table(step.sql) for step in steps):
            self.forbid_enforcement()
        if any(may_break(step.sql) for step in steps):
            self.examine_before()
        with restored(self.connection, LEGACY), interruptible(self.connection):
            yield

    def examine_before(self) -> None:
        """Record what is wrong with the database, once in a run, before something may break."""
        if self.is_exclusive and self.before is None:
            self.before = self.examine()

    def forbid_damage(self) -> None:
        """Raise `ExecutionFailed` where the run broke something."""
        if self.before is not None:
            self.examine().forbid_worse(self.before)

    def examine(self) -> Health:
        """Find the defects of the database."""
        raw: Any = self.connection.connection
        return examine(raw)

    def forbid_enforcement(self) -> None:
        """Raise `ExecutionFailed` where dropping a table would delete the rows that point at it."""
        if pragma(self.connection, FOREIGN_KEYS):
            raise ExecutionFailed(
                "SQLite cannot drop or rebuild a table inside a transaction that enforces foreign keys, and it "
                "can be told not to enforce them only outside of one. Nothing was done. Run it outside of "
                "atomic(); in a test, use TransactionTestCase or pytest.mark.django_db(transaction=True)."
            )

    # Waiting

    def await_access(self) -> None:
        super().await_access()
        connection = self.connection
        if not connection.in_atomic_block:
            with busy_timeout(connection), connection.cursor() as cursor:
                self.insist(lambda: cursor.execute(TRY_READING))

    def why_read_only(self) -> str:
        connection = self.connection
        connection.ensure_connection()
        if connection.in_atomic_block:
            return ""
        try:
            with busy_timeout(connection), immediate(connection):
                set_busy_timeout(connection, 0)
                with super().trial():
                    try_writing(connection)
            return ""
        except OperationalError as error:
            if faults.is_busy(error):
                return ""  # another connection writes, so the file can be written
            if faults.is_forbidden(error):
                return "the database file may only be read"
            raise

    def insist(self, attempt: Callable[[], object]) -> bool:
        """Try until nobody is in the way; return whether there was a wait. Raises `LockNotAvailable`.

        SQLite's own waiting cannot be interrupted, and reports nothing.
        """
        last: list[OperationalError] = []

        def succeeds() -> bool:
            try:
                attempt()
            except OperationalError as error:
                if not faults.is_busy(error):
                    raise
                last[:] = [error]
                return False
            return True

        set_busy_timeout(self.connection, 0)
        try:
            return self.wait_for_run(succeeds)
        except LockNotAvailable as refusal:
            raise refusal from last.pop()

    @contextmanager
    def limited(self, seconds: float | None) -> Iterator[None]:
        """Interrupt queries of the block that take longer, which SQLite checks every so many steps, or at Ctrl-C."""
        with interruptible(self.connection, seconds or math.inf):
            yield


@contextmanager
def interruptible(connection: BaseDatabaseWrapper, seconds: float = math.inf) -> Iterator[None]:
    """Let Ctrl-C end a statement, and the clock after so many seconds, which raises `TookTooLong`.

    What a signal raises while SQLite calls Python is lost, and SQLite ends the statement; see `progress_callback` in
    CPython's Modules/_sqlite/connection.c. So this is done only where the signal raises `KeyboardInterrupt`; otherwise
    Python handles the signal after the statement.
    """
    is_main = threading.current_thread() is threading.main_thread()
    hears_signals = is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not hears_signals and seconds == math.inf:
        yield
        return
    raw: Any = connection.connection
    end = time.monotonic() + seconds
    is_late: list[bool] = []

    def is_over() -> bool:
        is_late[:] = [time.monotonic() > end]
        return is_late[0]

    raw.set_progress_handler(is_over, STEPS_BETWEEN)
    try:
        yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlite_errorcode", None) != sqlite3.SQLITE_INTERRUPT:
            raise
        if is_late == [True]:
            raise TookTooLong(f"not counted within {seconds:g} s") from error
        if hears_signals:
            raise KeyboardInterrupt from error
        raise
    finally:
        raw.set_progress_handler(None, 0)


def drops_table(sql: str) -> bool:
    """Return whether a statement of the backend's own drops a table."""
    return sql.startswith("DROP TABLE")


def may_break(sql: str) -> bool:
    """Return whether a statement of the backend's own may remove something that others need."""
    return drops_table(sql) or (sql.startswith("ALTER TABLE") and " DROP COLUMN " in sql)
