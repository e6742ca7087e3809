"""The setting AUTOMIGRATE, and what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

#: The keys that the setting knows; see docs/reference.md.
RENAMES = "RENAMES"
EXTENSIONS, BEFORE, AFTER = "EXTENSIONS", "BEFORE", "AFTER"
#: Those that have lists: one for the default database, or one for each alias.
LISTS = (EXTENSIONS, BEFORE, AFTER)
KEYS = (RENAMES, *LISTS)


def setting() -> object:
    """The setting as it is given."""
    return getattr(settings, "AUTOMIGRATE", {})


def renames() -> dict[str, str]:
    """The hints for models that cannot have one of their own, as far as they are well formed."""
    given = setting()
    found = given.get(RENAMES, {}) if isinstance(given, Mapping) else {}
    pairs = found.items() if isinstance(found, Mapping) else ()
    return {old: new for old, new in pairs if is_pair(old, new)}


def entries(key: str, alias: str) -> tuple[Any, ...]:
    """What one of the lists has for a database, in order; nothing where the list is malformed."""
    given = setting()
    found = by_alias(given.get(key, ())) if isinstance(given, Mapping) else {}
    listed = found.get(alias, ())
    return tuple(listed) if is_list(listed) else ()


def by_alias(value: Any) -> Mapping[Any, Any]:
    """A list's value by alias: a bare list is the one of the default database."""
    return value if isinstance(value, Mapping) else {DEFAULT_DB_ALIAS: value}


# What is wrong with it


def problems() -> Iterator[str]:
    """What is wrong with the form of the setting, one sentence each."""
    given = setting()
    if not isinstance(given, Mapping):
        yield f"AUTOMIGRATE has to be a dictionary, and is {given!r}."
        return
    unknown = [repr(key) for key in given if key not in KEYS]
    if unknown:
        yield f"AUTOMIGRATE has unknown keys: {', '.join(unknown)}. It knows {', '.join(map(repr, KEYS))}."
    yield from rename_problems(given.get(RENAMES, {}))
    yield from list_problems()


def rename_problems(found: object) -> Iterator[str]:
    """What is wrong with the form of the renames."""
    if not isinstance(found, Mapping):
        yield f"AUTOMIGRATE['RENAMES'] has to be a dictionary, and is {found!r}."
        return
    for old, new in found.items():
        if not is_pair(old, new):
            yield f"AUTOMIGRATE['RENAMES']: {old!r}: {new!r} is no pair of an old and a new name."


def list_problems() -> Iterator[str]:
    """What is wrong with the form of the lists."""
    given = setting()
    for key in LISTS:
        value = given.get(key, ()) if isinstance(given, Mapping) else ()
        for alias, listed in by_alias(value).items():
            where = f"AUTOMIGRATE[{key!r}]" + (f"[{alias!r}]" if isinstance(value, Mapping) else "")
            if alias not in settings.DATABASES:
                yield f"{where}: there is no database {alias!r} in DATABASES."
            if is_list(listed):
                yield from (f"{where}: {problem}" for problem in entry_problems(key, listed))
            else:
                yield f"{where} has to be a list, or a dictionary with a list for each database, and is {listed!r}."


def entry_problems(key: str, listed: Sequence[object]) -> Iterator[str]:
    """What is wrong with the entries of a list."""
    kinds, words = (str, "the name of an extension") if key == EXTENSIONS else (PATHS, "an SQL file or a dotted path")
    yield from (f"{entry!r} is not {words}." for entry in listed if not isinstance(entry, kinds) or not entry)
    yield from (f"{entry!r} is there twice." for n, entry in enumerate(listed) if entry in listed[:n])


#: The types of entries that name a file or a function.
PATHS = (str, os.PathLike)


def is_list(value: object) -> bool:
    """Whether this is a list of entries."""
    return isinstance(value, (list, tuple))


def is_pair(old: object, new: object) -> bool:
    """Whether this is an old and a new name."""
    return isinstance(old, str) and isinstance(new, str) and bool(old) and bool(new)
