"""What test databases need beside their tables: copies, a lock on the name of one, and digests of what is in it.

Nothing of a backend is loaded for that, because tests wait for what is loaded.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol
from unittest import mock

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from automigrate_ext.waiting import Waiting, tell_nobody

#: Seconds between two attempts to get a lock.
PAUSE, LONGEST_PAUSE = 0.02, 0.2

COUNT = "SELECT {number}, COUNT(*) FROM {table}"
#: How many tables are counted by one query; SQLite takes 500 parts of a compound one.
COUNTS_A_QUERY = 250


class Key(Protocol):
    """What is had alone by whoever changes a database, and by several together who only read it."""

    def take(self) -> bool:
        """Have it alone, unless somebody else has it."""

    def share(self) -> bool:
        """Have it with others who share it, and no longer alone, unless somebody else has it alone."""


def never() -> bool:
    return False


class Copies(ABC):
    """Makes, drops and locks databases beside the one that a connection's settings name."""

    def __init__(self, connection: BaseDatabaseWrapper, notify: Callable[[str], None] = tell_nobody) -> None:
        self.connection = connection
        self.notify = notify

    @contextmanager
    def lock(self, name: str, *, unless: Callable[[], bool] = never) -> Iterator[Callable[[], None]]:
        """Keep out everybody else who locks this name, until the block or the process ends.

        The block is given a function by which it lets in those who share the name too. As soon as `unless` is true
        there is nothing to wait for, and nobody is kept out before that function is called.
        """
        with self.key(name) as key:
            self.insist(lambda: unless() or key.take(), name)
            yield lambda: self.insist(key.share, name)

    @abstractmethod
    def key(self, name: str) -> AbstractContextManager[Key]:
        """The key of a name, which is given back when the block or the process ends."""

    def forbid_unfit(self, name: str) -> None:  # noqa: B027 - most servers say themselves what they do not take
        """Raise `AutomigrateError` where the server would take the name of a database for another one."""

    def may_create(self) -> bool:
        """Whether databases may be created at all; what is dropped without that is gone."""
        return True

    def leave(self, name: str) -> None:
        """Close this process's connection to the database, which is about to be copied or dropped."""
        self.connection.close()

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether there is a database of this name."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Drop the database, if there is one."""

    @abstractmethod
    def copy(self, source: str, target: str, last: str) -> None:
        """Make the target a copy of the source, in place of what has its name.

        Nobody may be connected to either. Where the server does not make the copy as a whole, the rows of the table
        `last` come last of all, so that a copy which lacks them is known for half made.
        """

    @abstractmethod
    def tables(self, names: Collection[str]) -> dict[str, str]:
        """A digest of each of the named tables that is there, as the database tells of it.

        It is that of an earlier time, or of the database of which this one is a copy, if nothing has changed since.
        """

    def rows(self, names: Collection[str]) -> dict[str, int]:
        """How many rows those of the tables have that have any; all have to be there."""
        ordered, found = sorted(names), {}
        for start in range(0, len(ordered), COUNTS_A_QUERY):
            part = ordered[start : start + COUNTS_A_QUERY]
            counts = (COUNT.format(number=n, table=self.quote(name)) for n, name in enumerate(part))
            with self.connection.cursor() as cursor:
                cursor.execute(" UNION ALL ".join(counts))
                found.update({part[number]: rows for number, rows in cursor.fetchall() if rows})
        return dict(sorted(found.items()))

    def quote(self, name: str) -> str:
        """A name as it is written in SQL."""
        return self.connection.ops.quote_name(name)

    @contextmanager
    def beside(self) -> Iterator[CursorWrapper]:
        """A cursor of the server that is in no test database; whatever else needs one meanwhile gets the same."""
        with (
            self.connection._nodb_cursor() as cursor,
            # To connect takes longer than all that is asked then.
            mock.patch.object(self.connection, "_nodb_cursor", lambda: nullcontext(cursor)),
        ):
            yield cursor

    def insist(self, attempt: Callable[[], bool], name: str) -> None:
        """Try until it succeeds, so that Ctrl-C is heard in the meantime."""
        waiting, pause = Waiting(None, self.notify), PAUSE
        while not attempt():
            waiting.pause(pause, lambda: f"Waiting for another run of tests with the database {name!r}")
            pause = min(pause * 1.5, LONGEST_PAUSE)


def short(texts: Iterable[str]) -> str:
    """A digest of texts in their order."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:32]
