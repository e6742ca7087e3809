"""The exit statuses of the commands; see docs/reference.md."""

from __future__ import annotations

from collections.abc import Iterable

DIFFERENT, FAILED, KEPT, INTERRUPTED = 1, 2, 3, 130


def worst(statuses: Iterable[int]) -> int:
    """Return the exit status of several databases: a failure comes before a difference, and that before the rest."""
    found = set(statuses)
    return next((status for status in (FAILED, DIFFERENT, KEPT) if status in found), 0)
