"""Transactions on SQLite: who may write, what is checked in the meantime, and what a run broke."""

from __future__ import annotations

import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import OperationalError

from automigrate_ext.backends.sqlite3.introspection import Catalog, read_catalog
from automigrate_ext.backends.sqlite3.parser import parse_table
from automigrate_ext.backends.sqlite3.tokens import quote_name
from automigrate_ext.exceptions import ExecutionFailed

FOREIGN_KEYS = "PRAGMA foreign_keys"
LEGACY = "PRAGMA legacy_alter_table"
USER_VERSION = "PRAGMA user_version"
TRY_READING = "SELECT 1 FROM sqlite_master LIMIT 1"
BUSY_TIMEOUT = "PRAGMA busy_timeout"
#: How many steps of SQLite's virtual machine a statement takes between two looks at the clock, or for signals.
STEPS_BETWEEN = 10_000
#: What SQLite takes for a time, in milliseconds.
LONGEST_TIMEOUT = 2_147_483_647
SET = "{pragma} = {value}"
CHECK_REFERENCES = "PRAGMA foreign_key_check"
CHECK_TABLE = "PRAGMA foreign_key_check({table})"
# EXPLAIN compiles a statement without running it, and with it the triggers that it would fire.
TRY_VIEW = "EXPLAIN SELECT * FROM {view}"
TRY_INSERT = "EXPLAIN INSERT INTO {table} DEFAULT VALUES"
TRY_UPDATE = "EXPLAIN UPDATE {table} SET {columns}"
TRY_DELETE = "EXPLAIN DELETE FROM {table}"


def pragma(connection: BaseDatabaseWrapper, name: str) -> bool:
    """Whether a setting of the connection is on."""
    return bool(pragma_value(connection, name))


def pragma_value(connection: BaseDatabaseWrapper, name: str) -> Any:
    """A setting of the connection."""
    raw: Any = connection.connection
    return raw.execute(name).fetchone()[0]


def set_pragma(connection: BaseDatabaseWrapper, name: str, value: bool) -> None:
    """Turn a setting on or off, even after an error in the middle of a transaction."""
    raw: Any = connection.connection
    raw.execute(SET.format(pragma=name, value="ON" if value else "OFF"))


@contextmanager
def restored(connection: BaseDatabaseWrapper, name: str) -> Iterator[None]:
    """Put a setting back in the end to what it was."""
    before = pragma(connection, name)
    try:
        yield
    finally:
        if connection.connection is not None and pragma(connection, name) != before:
            set_pragma(connection, name, before)


@contextmanager
def interruptible(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Let Ctrl-C end a statement, of which Python otherwise hears only after it.

    What a signal raises while SQLite calls Python is lost, and SQLite ends the statement; see `progress_callback` in
    CPython's Modules/_sqlite/connection.c. So this is done only where the signal raises `KeyboardInterrupt`.
    """
    heard = threading.current_thread() is threading.main_thread()
    if not heard or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    raw: Any = connection.connection
    raw.set_progress_handler(lambda: 0, STEPS_BETWEEN)
    try:
        yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from error
        raise
    finally:
        raw.set_progress_handler(None, 0)


@contextmanager
def foreign_keys_off(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Turn the enforcement of foreign keys off where it can be, which is outside of transactions."""
    with restored(connection, FOREIGN_KEYS):
        set_pragma(connection, FOREIGN_KEYS, False)
        yield


@contextmanager
def immediate(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Have the next transaction lock the database against other writers from its start."""
    wrapper: Any = connection
    before = wrapper.transaction_mode
    wrapper.transaction_mode = "IMMEDIATE"
    try:
        yield
    finally:
        wrapper.transaction_mode = before


@contextmanager
def busy_timeout(connection: BaseDatabaseWrapper) -> Iterator[int]:
    """Put the time in milliseconds for which statements wait for a lock back to what it was, which is given."""
    before = int(pragma_value(connection, BUSY_TIMEOUT))
    try:
        yield before
    finally:
        if connection.connection is not None:
            set_busy_timeout(connection, before)


def set_busy_timeout(connection: BaseDatabaseWrapper, milliseconds: float) -> None:
    """Let statements wait for a lock for so long."""
    raw: Any = connection.connection
    raw.execute(SET.format(pragma=BUSY_TIMEOUT, value=round(min(milliseconds, LONGEST_TIMEOUT))))


def try_writing(connection: BaseDatabaseWrapper) -> None:
    """Write the number that a program may keep in the file as it is, in a transaction that is undone.

    BEGIN IMMEDIATE is no test: of a file that may only be read SQLite makes it a reading transaction
    (`sqlite3BeginTransaction` in build.c).
    """
    with connection.cursor() as cursor:
        cursor.execute(USER_VERSION)
        (number,) = cursor.fetchone()
        cursor.execute(SET.format(pragma=USER_VERSION, value=number))


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is wrong with a database: rows that point at nothing, and what cannot be used.

    `dangling` counts the rows by table and target, `broken` says of views, of tables with triggers and of
    foreign keys as such why they fail.
    """

    dangling: Counter[tuple[str, str]]
    broken: dict[str, str]

    def forbid_worse(self, before: Health) -> None:
        """Raise `ExecutionFailed` where something is wrong that was not wrong before."""
        dangling = self.dangling - before.dangling
        complaints = [f"{rows} rows of {table} point at nothing in {to}" for (table, to), rows in dangling.items()]
        complaints += [f"{what} fails: {why}" for what, why in self.broken.items() if what not in before.broken]
        if complaints:
            raise ExecutionFailed(f"The run was undone, because after it {'; '.join(complaints)}.")


def examine(connection: BaseDatabaseWrapper) -> Health:
    """Look what is wrong with the database."""
    raw: Any = connection.connection
    with closing(raw.cursor()) as cursor:
        catalog = read_catalog(cursor)
        rows, mismatches = dangling(cursor, catalog)
        return Health(dangling=rows, broken=mismatches | dict(broken(cursor, catalog)))


def dangling(cursor: sqlite3.Cursor, catalog: Catalog) -> tuple[Counter[tuple[str, str]], dict[str, str]]:
    """How many rows of which table point at nothing in which other, and the tables of which that cannot be told.

    A foreign key whose target has no such key makes the check of all tables fail.
    """
    failures: dict[str, str] = {}
    try:
        rows = cursor.execute(CHECK_REFERENCES).fetchall()
    except sqlite3.Error:
        rows = []
        for entry in catalog.tables.values():
            try:
                rows += cursor.execute(CHECK_TABLE.format(table=quote_name(entry.name))).fetchall()
            except sqlite3.Error as error:
                failures[f"a foreign key of table {entry.name}"] = str(error)
    return Counter((table, target) for table, _, target, _ in rows), failures


def broken(cursor: sqlite3.Cursor, catalog: Catalog) -> Iterator[tuple[str, str]]:
    """The views, and the tables whose triggers, do not work, each with the server's words."""
    for view in catalog.views.values():
        yield from complaint(cursor, f"view {view.name}", TRY_VIEW.format(view=quote_name(view.name)))
    for key in catalog.triggers:
        entry = catalog.tables.get(key)
        if entry is None:
            continue
        columns = [quote_name(c.name) for c in parse_table(entry.sql).table.columns if not c.generated]
        assignments = ", ".join(f"{column} = {column}" for column in columns)
        table = quote_name(entry.name)
        what = f"a trigger of table {entry.name}"
        yield from complaint(cursor, what, TRY_INSERT.format(table=table))
        yield from complaint(cursor, what, TRY_UPDATE.format(table=table, columns=assignments))
        yield from complaint(cursor, what, TRY_DELETE.format(table=table))


def complaint(cursor: sqlite3.Cursor, what: str, statement: str) -> Iterator[tuple[str, str]]:
    """What the server says against a statement, if anything."""
    try:
        cursor.execute(statement)
    except sqlite3.Error as error:
        yield what, str(error)
