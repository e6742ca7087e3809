"""Numbers as messages have them."""

from __future__ import annotations


def plural(count: int, noun: str) -> str:
    """Return a number with its noun: "1 row", "2 rows", "12,345 rows"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
