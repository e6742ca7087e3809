"""What test databases need besides their tables: copies, a lock on the name of one, and counts of its rows.

This module loads nothing of a backend, because tests wait for what is loaded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol
from unittest import mock

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from automigrate_ext.waiting import Waiting, ignore_message

#: Seconds between two attempts to get a lock.
PAUSE, LONGEST_PAUSE = 0.02, 0.2

COUNT = "SELECT {number}, COUNT(*) FROM {table}"
#: How many tables are counted by one query; SQLite takes 500 parts of a compound one.
COUNTS_A_QUERY = 250


class Key(Protocol):
    """A lock: exclusive for the one process that changes a database, shared by those that only read it."""

    def take(self) -> bool:
        """Take the lock exclusively, unless somebody else has it; return whether it was taken."""

    def share(self) -> bool:
        """Share the lock instead of holding it exclusively, unless somebody else does; return whether it is shared."""


def never() -> bool:
    return False


class Copies(ABC):
    """Makes, drops and locks databases beside the one that a connection's settings name."""

    def __init__(self, connection: BaseDatabaseWrapper, notify: Callable[[str], None] = ignore_message) -> None:
        self.connection = connection
        self.notify = notify

    @contextmanager
    def lock(self, name: str, *, unless: Callable[[], bool] = never) -> Iterator[Callable[[], None]]:
        """Keep out all others that lock this name, until the block or the process ends.

        The block is given a function that lets in others which share the name too. As soon as `unless` is true
        there is nothing to wait for, and nobody is kept out before that function is called.
        """
        with self.key(name) as key:
            self.insist(lambda: unless() or key.take(), name)
            yield lambda: self.insist(key.share, name)

    @abstractmethod
    def key(self, name: str) -> AbstractContextManager[Key]:
        """Return the lock of a name, which is released when the block or the process ends."""

    def forbid_unfit(self, name: str) -> None:  # noqa: B027 - most servers say themselves what they do not take
        """Raise `AutomigrateError` where the server would take the name of a database for another one."""

    def may_create(self) -> bool:
        """Return whether databases may be created at all; without that, a dropped one cannot be made again."""
        return True

    def leave(self, name: str) -> None:
        """Close this process's connection to the database, which is about to be copied or dropped."""
        self.connection.close()

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Return whether there is a database of this name."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Drop the database, if there is one."""

    @abstractmethod
    def copy(self, source: str, target: str, last: str) -> None:
        """Make the target a copy of the source, in place of what has its name.

        Nobody may be connected to either. Where the server does not make the copy as a whole, the rows of the table
        `last` are copied last of all, so that a copy without them is recognized as incomplete.
        """

    def rows(self, names: Collection[str]) -> dict[str, int]:
        """Return the number of rows of those tables that have any; all tables have to exist."""
        ordered, found = sorted(names), {}
        for start in range(0, len(ordered), COUNTS_A_QUERY):
            part = ordered[start : start + COUNTS_A_QUERY]
            counts = (COUNT.format(number=n, table=self.quote(name)) for n, name in enumerate(part))
            with self.connection.cursor() as cursor:
                cursor.execute(" UNION ALL ".join(counts))
                found.update({part[number]: rows for number, rows in cursor.fetchall() if rows})
        return dict(sorted(found.items()))

    def quote(self, name: str) -> str:
        """Return a name as it is written in SQL."""
        return self.connection.ops.quote_name(name)

    @contextmanager
    def beside(self) -> Iterator[CursorWrapper]:
        """Give a cursor of the server that is in no test database, the same one to all that ask for one meanwhile."""
        with (
            self.connection._nodb_cursor() as cursor,
            # Connecting takes longer than all the queries that follow.
            mock.patch.object(self.connection, "_nodb_cursor", lambda: nullcontext(cursor)),
        ):
            yield cursor

    def insist(self, attempt: Callable[[], bool], name: str) -> None:
        """Try until an attempt succeeds, so that Ctrl-C works in the meantime."""
        waiting, pause = Waiting(None, self.notify), PAUSE
        while not attempt():
            waiting.pause(pause, lambda: f"Waiting for another run of tests with the database {name!r}")
            pause = min(pause * 1.5, LONGEST_PAUSE)
