"""Errors of SQLite, and the way out of each."""

from __future__ import annotations

import sqlite3

from django.db.utils import Error

from automigrate_ext.backends.faults import Faults

#: The kind of an error is in the last eight bits of its code: https://sqlite.org/rescode.html
KIND = 0xFF

ADVICE = {
    sqlite3.SQLITE_BUSY: "Another program uses the database file: wait for it, or raise --lock-wait (lock_wait=) where "
    "it writes and --lock-timeout (lock_timeout=) where it reads.",
    sqlite3.SQLITE_FULL: "The disk is full, or the file has the size that max_page_count allows: make room and run "
    "again.",
    sqlite3.SQLITE_READONLY: "The database file may only be read: allow writing to it and to its directory, or run as "
    "its owner.",
    sqlite3.SQLITE_CANTOPEN: "SQLite keeps a journal beside the database file while it writes: allow writing to the "
    "directory as well, or run as its owner.",
    sqlite3.SQLITE_IOERR: "The file could not be read or written: see whether the disk is full or damaged, and run "
    "again.",
}


def kind_of(error: Error) -> int:
    """Return the kind of an error, or 0 where the error is not SQLite's."""
    return getattr(error.__cause__, "sqlite_errorcode", 0) & KIND


def is_busy(error: Error) -> bool:
    """Return whether another connection holds the lock."""
    return kind_of(error) == sqlite3.SQLITE_BUSY


def is_forbidden(error: Error) -> bool:
    """Return whether the file may not be written."""
    return kind_of(error) in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


def advice(error: Error) -> str:
    """Return the way out, or "" where SQLite's message is enough."""
    return ADVICE.get(kind_of(error), "")


class SQLiteFaults(Faults):
    """The errors of SQLite."""

    def is_fault(self, error: Error) -> bool:
        return bool(advice(error))

    def lacks_column(self, error: Error) -> bool:
        # The kind of the error is that of any wrong statement.
        return str(error).startswith("no such column: ")

    def is_out_of_step(self, error: Error) -> bool:
        # As above.
        return kind_of(error) == sqlite3.SQLITE_ERROR

    def is_locked(self, error: Error) -> bool:
        return is_busy(error)

    def is_forbidden(self, error: Error) -> bool:
        return is_forbidden(error)

    def way_out(self, error: Error) -> str:
        return advice(error)
