"""The setting AUTOMIGRATE, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from django.conf import settings

#: The keys that the setting knows; see docs/reference.md.
RENAMES = "RENAMES"
KEYS = (RENAMES,)


def setting() -> object:
    """The setting as it is given."""
    return getattr(settings, "AUTOMIGRATE", {})


def renames() -> dict[str, str]:
    """The hints for models that cannot have one of their own, as far as they are well formed."""
    given = setting()
    found = given.get(RENAMES, {}) if isinstance(given, Mapping) else {}
    pairs = found.items() if isinstance(found, Mapping) else ()
    return {old: new for old, new in pairs if is_pair(old, new)}


def problems() -> Iterator[str]:
    """What is wrong with the form of the setting, one sentence each."""
    given = setting()
    if not isinstance(given, Mapping):
        yield f"AUTOMIGRATE has to be a dictionary, and is {given!r}."
        return
    unknown = [repr(key) for key in given if key not in KEYS]
    if unknown:
        yield f"AUTOMIGRATE has unknown keys: {', '.join(unknown)}. It knows {', '.join(map(repr, KEYS))}."
    found = given.get(RENAMES, {})
    if not isinstance(found, Mapping):
        yield f"AUTOMIGRATE['RENAMES'] has to be a dictionary, and is {found!r}."
        return
    for old, new in found.items():
        if not is_pair(old, new):
            yield f"AUTOMIGRATE['RENAMES']: {old!r}: {new!r} is no pair of an old and a new name."


def is_pair(old: object, new: object) -> bool:
    """Whether this is an old and a new name."""
    return isinstance(old, str) and isinstance(new, str) and bool(old) and bool(new)
