"""Waiting for others: for how long, and whom to tell. Pure but for the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import connections
from django.db.utils import OperationalError

#: Seconds after which somebody is told that a run waits.
TELL_AFTER = 1.0
#: Seconds between two attempts to connect.
PAUSE = 0.25
#: How much of another session's query a message shows.
LONGEST_QUERY = 100


def tell_nobody(message: str) -> None:
    """Keep the message to oneself: the library prints nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """For how many seconds a run waits, None being without end, and whom it tells.

    `lock_wait` is for another run, `lock_timeout` for locks on tables.
    """

    lock_wait: float | None = None
    lock_timeout: float | None = None
    notify: Callable[[str], None] = tell_nobody


class Waiting:
    """One wait, of `limit` seconds at most; tells once, after a second, what is waited for."""

    def __init__(self, limit: float | None, notify: Callable[[str], None]) -> None:
        self.limit = limit
        self.notify = notify
        self.started = time.monotonic()
        self.waited = False
        self.told = False

    @property
    def left(self) -> float:
        """Seconds until it is over."""
        if self.limit is None:
            return float("inf")
        return max(0.0, self.started + self.limit - time.monotonic())

    def pause(self, seconds: float, describe: Callable[[], str]) -> bool:
        """Wait a little; False where the time is up. `describe` says what for."""
        if self.left <= 0:
            return False
        self.waited = True
        if not self.told and time.monotonic() - self.started >= TELL_AFTER:
            self.told = True
            self.notify(f"{describe()}...")
        time.sleep(min(seconds, self.left))
        return True


def await_database(alias: str, limit: float, notify: Callable[[str], None] = tell_nobody) -> None:
    """Connect, and try again for `limit` seconds where that fails; `notify` is told after one.

    Raises the `OperationalError` of the last attempt once the time is up. An attempt itself lasts as long as the
    driver lets it (`connect_timeout` in the OPTIONS of the database).
    """
    waiting = Waiting(limit, notify)
    while True:
        try:
            return connections[alias].ensure_connection()
        except OperationalError as error:
            words = f"Waiting for database {alias!r} ({' '.join(str(error).split())})"
            if not waiting.pause(PAUSE, lambda words=words: words):  # type: ignore[misc]
                raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Another session of the server, as far as the server tells; `pid` is None for a prepared transaction."""

    pid: int | None
    user: str | None = None
    application: str | None = None
    kind: str | None = None
    state: str | None = None
    since: str | None = None
    query: str | None = None

    def describe(self) -> str:
        """In a few words and one line."""
        if self.pid is None:
            return "a prepared transaction, see pg_prepared_xacts"
        query = " ".join((self.query or "").split())
        facts = [
            f"user {self.user!r}" if self.user else "",
            f"app {self.application!r}" if self.application else "",
            self.kind if self.kind and self.kind != "client backend" else "",
            self.state or "",
            f"since {self.since}" if self.since else "",
            f"query: {query if len(query) <= LONGEST_QUERY else query[:LONGEST_QUERY] + '...'}" if query else "",
        ]
        return f"session {', '.join([str(self.pid), *filter(None, facts)])}"


def describe_sessions(sessions: tuple[Session, ...]) -> str:
    """All of them, in brackets after what they hold; nothing where the server does not tell."""
    return f" ({'; '.join(session.describe() for session in sessions)})" if sessions else ""


def seconds(limit: float | None) -> str:
    """A limit as it is said."""
    return f"{limit or 0:g} s"
