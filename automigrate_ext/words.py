"""Numbers and nouns as messages have them."""

from __future__ import annotations


def with_article(noun: str) -> str:
    """Return a noun with its article: "a TextField", "an IntegerField"."""
    return f"an {noun}" if noun[0].lower() in "aeio" else f"a {noun}"


def plural(count: int, noun: str) -> str:
    """Return a number with its noun: "1 row", "2 rows", "12,345 rows"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
