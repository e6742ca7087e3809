"""Copies of whole databases, and a lock on the name of one: what test databases need beside their tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext.waiting import Waiting, tell_nobody

#: Seconds between two attempts to get a lock.
PAUSE, LONGEST_PAUSE = 0.02, 0.2


class Copies(ABC):
    """Makes, drops and locks databases beside the one that a connection's settings name."""

    def __init__(self, connection: BaseDatabaseWrapper, notify: Callable[[str], None] = tell_nobody) -> None:
        self.connection = connection
        self.notify = notify

    @abstractmethod
    def lock(self, name: str) -> AbstractContextManager[None]:
        """Keep out everybody else who locks this name, until the block or the process ends."""

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

    @contextmanager
    def insisting(self, attempt: Callable[[], bool], name: str) -> Iterator[None]:
        """Try until the lock is had, so that Ctrl-C is heard in the meantime."""
        waiting, pause = Waiting(None, self.notify), PAUSE
        while not attempt():
            waiting.pause(pause, lambda: f"Waiting for another run of tests with the database {name!r}")
            pause = min(pause * 1.5, LONGEST_PAUSE)
        yield
