"""Waiting for a database, or for other sessions: for how long, and which messages there are meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import OperationalError

#: Seconds of waiting after which there is a message.
REPORT_AFTER = 1.0
#: Seconds between two attempts to connect.
PAUSE = 0.25
#: How many characters of another session's query a message shows.
LONGEST_QUERY = 100


def ignore_message(message: str) -> None:
    """Drop the message: the library itself prints nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The limits of a run's waits in seconds, None being without end, and the function that gets the messages.

    `lock_wait` is the limit for another run, `lock_timeout` that for locks on tables.
    """

    lock_wait: float | None = None
    lock_timeout: float | None = None
    notify: Callable[[str], None] = ignore_message


class Waiting:
    """One wait, of `limit` seconds at most; `notify` is called once, after a second, with what is waited for."""

    def __init__(self, limit: float | None, notify: Callable[[str], None]) -> None:
        self.limit = limit
        self.notify = notify
        self.started = time.monotonic()
        self.waited = False
        self.notified = False

    @property
    def left(self) -> float:
        """Seconds until the limit."""
        if self.limit is None:
            return float("inf")
        return max(0.0, self.started + self.limit - time.monotonic())

    def pause(self, seconds: float, describe: Callable[[], str]) -> bool:
        """Wait for some seconds; return False where the limit is reached. `describe` returns what is waited for."""
        if self.left <= 0:
            return False
        self.waited = True
        if not self.notified and time.monotonic() - self.started >= REPORT_AFTER:
            self.notified = True
            self.notify(f"{describe()}...")
        time.sleep(min(seconds, self.left))
        return True


def connect(connection: BaseDatabaseWrapper) -> None:
    """Connect. Raises `ImproperlyConfigured` for settings of the database that the driver does not take."""
    try:
        connection.ensure_connection()
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(
            f"The driver of database {connection.alias!r} does not take what DATABASES has for it: {error}. Look at "
            f"its OPTIONS ({', '.join(connection.settings_dict['OPTIONS']) or 'none'}) first."
        ) from error


def await_database(
    alias: str,
    limit: float,
    notify: Callable[[str], None] = ignore_message,
    attempt: Callable[[BaseDatabaseWrapper], None] = connect,
) -> None:
    """Connect, and try again for `limit` seconds where that fails; `notify` is called after one second.

    `attempt` is what connects. Raises the `OperationalError` of the last attempt once the limit is reached. An attempt
    itself lasts as long as the driver lets it (`connect_timeout` in the OPTIONS of the database).
    """
    waiting = Waiting(limit, notify)
    while True:
        try:
            return attempt(connections[alias])
        except OperationalError as error:
            words = f"Waiting for database {alias!r} ({' '.join(str(error).split())})"
            if not waiting.pause(PAUSE, lambda words=words: words):  # type: ignore[misc]
                raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Another session of the server, as far as this user may see it; `pid` is None for a prepared transaction."""

    pid: int | None
    user: str | None = None
    application: str | None = None
    kind: str | None = None
    state: str | None = None
    since: str | None = None
    query: str | None = None

    def describe(self) -> str:
        """Return the session in a few words and one line."""
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
    """Return the sessions in brackets, as they follow what they hold; "" where none can be seen."""
    return f" ({'; '.join(session.describe() for session in sessions)})" if sessions else ""


def seconds(limit: float | None) -> str:
    """Return a limit as messages have it, None as 0."""
    return f"{limit or 0:g} s"
