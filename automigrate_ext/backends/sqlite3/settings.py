"""Settings of a connection to SQLite, each put back to what it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

FOREIGN_KEYS = "PRAGMA foreign_keys"
LEGACY = "PRAGMA legacy_alter_table"
USER_VERSION = "PRAGMA user_version"
BUSY_TIMEOUT = "PRAGMA busy_timeout"
SET = "{pragma} = {value}"
#: The longest time that SQLite takes, in milliseconds.
LONGEST_TIMEOUT = 2_147_483_647


def pragma(connection: BaseDatabaseWrapper, name: str) -> bool:
    """Return whether a setting of the connection is on."""
    return bool(pragma_value(connection, name))


def pragma_value(connection: BaseDatabaseWrapper, name: str) -> Any:
    """Return a setting of the connection."""
    raw: Any = connection.connection
    return raw.execute(name).fetchone()[0]


def set_pragma(connection: BaseDatabaseWrapper, name: str, value: bool) -> None:
    """Turn a setting on or off, even after an error in the middle of a transaction."""
    raw: Any = connection.connection
    raw.execute(SET.format(pragma=name, value="ON" if value else "OFF"))


@contextmanager
def restored(connection: BaseDatabaseWrapper, name: str) -> Iterator[None]:
    """Restore a setting after the block."""
    before = pragma(connection, name)
    try:
        yield
    finally:
        if connection.connection is not None and pragma(connection, name) != before:
            set_pragma(connection, name, before)


@contextmanager
def foreign_keys_off(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Turn the enforcement of foreign keys off where it can be, which is outside of transactions."""
    with restored(connection, FOREIGN_KEYS):
        set_pragma(connection, FOREIGN_KEYS, False)
        yield


@contextmanager
def immediate(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Let the next transaction lock the database against other writers from its start."""
    wrapper: Any = connection
    before = wrapper.transaction_mode
    wrapper.transaction_mode = "IMMEDIATE"
    try:
        yield
    finally:
        wrapper.transaction_mode = before


@contextmanager
def busy_timeout(connection: BaseDatabaseWrapper) -> Iterator[int]:
    """Restore the time for which statements wait for a lock after the block; gives that time in milliseconds."""
    before = int(pragma_value(connection, BUSY_TIMEOUT))
    try:
        yield before
    finally:
        if connection.connection is not None:
            set_busy_timeout(connection, before)


def set_busy_timeout(connection: BaseDatabaseWrapper, milliseconds: float) -> None:
    """Set the time in milliseconds for which statements wait for a lock."""
    raw: Any = connection.connection
    raw.execute(SET.format(pragma=BUSY_TIMEOUT, value=round(min(milliseconds, LONGEST_TIMEOUT))))


def try_writing(connection: BaseDatabaseWrapper) -> None:
    """Write the file's user version as it is, in a transaction that is undone.

    BEGIN IMMEDIATE is no test: on a read-only file SQLite turns it into a reading transaction
    (`sqlite3BeginTransaction` in build.c).
    """
    with connection.cursor() as cursor:
        cursor.execute(USER_VERSION)
        (number,) = cursor.fetchone()
        cursor.execute(SET.format(pragma=USER_VERSION, value=number))
