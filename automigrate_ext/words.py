"""Numbers and nouns as messages have them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def with_article(noun: str) -> str:
    """Return a noun with its article: "a TextField", "an IntegerField"."""
    return f"an {noun}" if noun[0].lower() in "aeio" else f"a {noun}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question with the one of the known words that looks most like another: " Did you mean 'books'?"; or "".

    Case does not matter.
    """
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.7)
    return f" Did you mean {by_lower[close[0]]!r}?" if close else ""


def plural(count: int, noun: str) -> str:
    """Return a number with its noun: "1 row", "2 rows", "12,345 rows"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
