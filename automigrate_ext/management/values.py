"""Values of options: read from what was typed, or refused in words that quote it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from django.db import connections

from automigrate_ext.words import did_you_mean


def given(names: Mapping[str, str], options: Mapping[str, Any]) -> list[str]:
    """Return the options that were given, of those whose names in `options` are known."""
    return [option for option, name in names.items() if options.get(name)]


def database(text: str) -> str:
    """Return the alias of a database that an option was given. Raises `ArgumentTypeError`."""
    if text in tuple(connections):
        return text
    hint = did_you_mean(text, connections) or f" DATABASES has {', '.join(map(repr, connections))}."
    raise argparse.ArgumentTypeError(f"there is no database {text!r} in DATABASES.{hint}")


def seconds(text: str) -> float:
    """Return the seconds that an option was given. Raises `ArgumentTypeError`."""
    try:
        if (number := float(text)) >= 0:
            return number
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0 or more")


def whole(least: int) -> Callable[[str], int]:
    """Return what reads a whole number that an option was given, `least` or more. It raises `ArgumentTypeError`."""

    def read(text: str) -> int:
        try:
            if (number := int(text)) >= least:
                return number
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, {least} or more")

    return read
