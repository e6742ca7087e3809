"""The exit statuses of the commands; see docs/reference/commands.md."""

from __future__ import annotations

from collections.abc import Iterable

DIFFERENT, FAILED, KEPT, EXPANDED, INTERRUPTED = 1, 2, 3, 4, 130


def worst(statuses: Iterable[int]) -> int:
    """Return the exit status of several databases: a failure comes before a difference, and that before the rest."""
    found = set(statuses)
    return next((status for status in (FAILED, DIFFERENT, EXPANDED, KEPT) if status in found), 0)
