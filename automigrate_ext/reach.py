"""Wait for a database that cannot be reached yet, as when its server starts together with the program."""

from __future__ import annotations

from collections.abc import Callable

from django.db import connections
from django.db.utils import OperationalError

from automigrate_ext.waiting import Waiting, tell_nobody

#: Seconds between two attempts to connect.
PAUSE = 0.25


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
