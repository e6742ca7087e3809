"""The setting AUTOMIGRATE, and the problems in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from types import NoneType
from typing import Any, TypeGuard

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

#: The tag of the package's own system checks that query no database.
CHECKS_TAG = "automigrate_ext"

#: The keys of the setting; see docs/reference/settings.md.
RENAMES = "RENAMES"
EXTENSIONS, BEFORE, AFTER = "EXTENSIONS", "BEFORE", "AFTER"
#: The keys of lists: one for the default database, or one for each alias.
LISTS = (EXTENSIONS, BEFORE, AFTER)
ON_START = "ON_START"
TARGETS = "TARGETS"
TENANT_SCHEMAS = "TENANT_SCHEMAS"
WAIT_FOR_DB = "WAIT_FOR_DB"
FINGERPRINT = "FINGERPRINT"
ASK = "ASK"
ONLINE = "ONLINE"
HIDE = "HIDE"
HISTORY = "HISTORY"
RECORD_MIGRATIONS = "RECORD_MIGRATIONS"
KEYS = (
    *(RENAMES, *LISTS, ON_START, TARGETS, TENANT_SCHEMAS, WAIT_FOR_DB, FINGERPRINT, ASK, ONLINE, HIDE, HISTORY),
    RECORD_MIGRATIONS,
)

#: How many runs the record of a database keeps if nothing else is said.
RUNS_KEPT = 100

#: The words in names of fields whose values no message shows, as docs/reference/verdicts.md lists them; * stands for
#: any characters.
SECRET = (
    *("*passw*", "*passphrase*", "pwd", "*secret*", "*token*", "*credential*", "pin", "otp"),
    *("*apikey*", "api_key*", "access_key*", "auth_key*", "encryption_key*", "private_key*", "session_key*"),
    *("signing_key*", "ssn", "iban", "card", "*creditcard*", "cvc", "cvv"),
)

#: The verbs for the start of a server, and the ways to go on if they fail.
VERBS = ("autoupdate", "expand", "automigrate")
ON_FAILURE = ("stop", "log")
#: The keys of ON_START that hold lists.
START_LISTS = ("MODELS", "DATABASES", "CONFIRM")


@dataclass(frozen=True, slots=True, kw_only=True)
class OnStart:
    """The work for the start of a server; fields are the keys of `AUTOMIGRATE["ON_START"]` in lower case.

    `models` are labels, None for all; `databases` aliases; `confirm` the names of databases whose rows `verb`
    "automigrate" may drop where DEBUG is off; `on_failure` "stop" or "log".
    """

    verb: str
    models: tuple[str, ...] | None = None
    databases: tuple[str, ...] = (DEFAULT_DB_ALIAS,)
    confirm: tuple[str, ...] = ()
    on_failure: str = "stop"


def setting() -> object:
    """Return the setting as it is given."""
    return getattr(settings, "AUTOMIGRATE", {})


def value(key: str, default: object) -> object:
    """Return the value of a key, as it is given."""
    given = setting()
    return given.get(key, default) if isinstance(given, Mapping) else default


def renames() -> dict[str, str]:
    """Return the hints for models that cannot have hints of their own, as far as they are well formed."""
    given = value(RENAMES, {})
    pairs = given.items() if isinstance(given, Mapping) else ()
    return {old: new for old, new in pairs if is_pair(old, new)}


def entries(key: str, alias: str) -> tuple[Any, ...]:
    """Return the entries of a list for a database, in order; none where the list is malformed."""
    listed = by_alias(value(key, ())).get(alias, ())
    return tuple(listed) if is_list(listed) else ()


def by_alias(given: object) -> Mapping[Any, Any]:
    """Return the lists of a key by alias: a bare list is the default database's."""
    return given if isinstance(given, Mapping) else {DEFAULT_DB_ALIAS: given}


def starts() -> bool:
    """Return whether there is work for the start of a server, well formed or not."""
    return value(ON_START, None) is not None


def on_start() -> OnStart:
    """Return the work for the start of a server. Raises `ValueError` with the problems."""
    given = value(ON_START, None)
    if wrong := list(on_start_problems(given)):
        raise ValueError(" ".join(wrong))
    keys: Any = {"VERB": given} if isinstance(given, str) else given
    values: dict[str, Any] = {key.lower(): tuple(keys[key]) if key in START_LISTS else keys[key] for key in keys}
    return OnStart(**values)


def has_tenant_schemas(alias: str) -> bool:
    """Return whether the first schema of a database's search path has tables of its own, whatever the later ones have.

    No alias is such a one where the setting is malformed.
    """
    given = value(TENANT_SCHEMAS, ())
    return is_list_of_names(given) and alias in given


def online(alias: str) -> bool:
    """Return whether `autoupdate` works on a database beside others if nothing else is said."""
    given = value(ONLINE, False)
    return given is True or (is_list_of_names(given) and alias in given)


def wait_for_db() -> float:
    """Return for how many seconds to wait for a database that cannot be reached; 0 where the setting is malformed."""
    given: Any = value(WAIT_FOR_DB, 0)
    return float(given) if is_seconds(given) else 0.0


def hides(name: str) -> bool:
    """Return whether a field or column of this name looks secret, so that no message shows its values.

    It does where its name has one of the words of `SECRET` or of the setting; case does not matter. Words stand between
    underscores, or where a capital follows a small letter, in the setting as in names.
    """
    given = value(HIDE, ())
    secret = (*SECRET, *given) if is_list_of_names(given) else SECRET
    return has_any_of(secret, name)


@lru_cache(maxsize=10_000)
def has_any_of(words: tuple[str, ...], name: str) -> bool:
    """Return whether a name has one of the words."""
    return any_of(words).search(spaced(name)) is not None


def spaced(name: str) -> str:
    """Return a name in small letters, with an underscore on both sides of each of its words."""
    return f"_{re.sub('(?<=[a-z0-9])(?=[A-Z])', '_', name)}_".lower()


@cache
def any_of(words: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds one of the words in names in small letters and between underscores."""
    # A word is whole where it does not begin or end with *.
    parts = [spaced(word).removeprefix("_*").removesuffix("*_") for word in words]
    return re.compile("|".join(".*".join(map(re.escape, part.split("*"))) for part in parts))


def fingerprint() -> bool:
    """Return whether fingerprints may take the place of comparisons: unless the setting is False."""
    return value(FINGERPRINT, True) is not False


def history() -> int:
    """Return how many runs the record of a database keeps; 0 for none, the default where the setting is malformed."""
    given: Any = value(HISTORY, RUNS_KEPT)
    return (given or 0) if is_number_of_runs(given) else RUNS_KEPT


def asks() -> bool:
    """Return whether `autoupdate` asks at a terminal before it changes anything: only where the setting is True."""
    return value(ASK, False) is True


def record_migrations() -> bool | None:
    """Return whether runs mark migrations as applied: in any database, in none, or None for those that runs made."""
    given = value(RECORD_MIGRATIONS, None)
    return given if isinstance(given, bool) else None


# Problems


def problems() -> Iterator[str]:
    """Yield the problems in the form of the setting, one sentence each."""
    given = setting()
    if not isinstance(given, Mapping):
        yield f"AUTOMIGRATE has to be a dictionary, and is {given!r}."
        return
    unknown = [repr(key) for key in given if key not in KEYS]
    if unknown:
        yield f"AUTOMIGRATE has unknown keys: {', '.join(unknown)}. Its keys are {', '.join(map(repr, KEYS))}."
    yield from rename_problems(given.get(RENAMES, {}))
    yield from list_problems()
    if given.get(ON_START) is not None:
        yield from on_start_problems(given[ON_START])
    if given.get(TARGETS) is not None and not (isinstance(given[TARGETS], str) or callable(given[TARGETS])):
        yield f"AUTOMIGRATE['TARGETS'] has to be a function or the dotted path of one, and is {given[TARGETS]!r}."
    yield from alias_problems(f"AUTOMIGRATE[{TENANT_SCHEMAS!r}]", given.get(TENANT_SCHEMAS, []))
    if not isinstance(given.get(ONLINE, False), bool):
        yield from alias_problems(f"AUTOMIGRATE[{ONLINE!r}]", given[ONLINE])
    yield from names_problems(f"AUTOMIGRATE[{HIDE!r}]", given.get(HIDE, []))
    yield from value_problems(given)


def value_problems(given: Mapping[Any, Any]) -> Iterator[str]:
    """Yield the problems of the keys that hold one number or one yes or no."""
    if not is_seconds(given.get(WAIT_FOR_DB, 0)):
        yield f"AUTOMIGRATE['WAIT_FOR_DB'] has to be a number of seconds, 0 or more, and is {given[WAIT_FOR_DB]!r}."
    if not is_number_of_runs(given.get(HISTORY, RUNS_KEPT)):
        yield (
            f"AUTOMIGRATE['HISTORY'] has to be a number of runs, 0 or more, or False or None for none, and is "
            f"{given[HISTORY]!r}."
        )
    for key, default in ((FINGERPRINT, True), (ASK, False)):
        if not isinstance(given.get(key, default), bool):
            yield f"AUTOMIGRATE[{key!r}] has to be True or False, and is {given[key]!r}."
    if not isinstance(given.get(RECORD_MIGRATIONS), (bool, NoneType)):
        yield f"AUTOMIGRATE[{RECORD_MIGRATIONS!r}] has to be True, False or None, and is {given[RECORD_MIGRATIONS]!r}."


def rename_problems(given: object) -> Iterator[str]:
    """Yield the problems in the form of the renames."""
    if not isinstance(given, Mapping):
        yield f"AUTOMIGRATE['RENAMES'] has to be a dictionary, and is {given!r}."
        return
    for old, new in given.items():
        if not is_pair(old, new):
            yield f"AUTOMIGRATE['RENAMES']: {old!r}: {new!r} is no pair of an old and a new name."


def list_problems() -> Iterator[str]:
    """Yield the problems in the form of the lists."""
    for key in LISTS:
        given = value(key, ())
        for alias, listed in by_alias(given).items():
            where = f"AUTOMIGRATE[{key!r}]" + (f"[{alias!r}]" if isinstance(given, Mapping) else "")
            if alias not in settings.DATABASES:
                yield f"{where}: there is no database {alias!r} in DATABASES."
            if is_list(listed):
                yield from (f"{where}: {problem}" for problem in entry_problems(key, listed))
            else:
                yield f"{where} has to be a list, or a dictionary with a list for each database, and is {listed!r}."


def entry_problems(key: str, listed: Sequence[object]) -> Iterator[str]:
    """Yield the problems in the entries of a list."""
    kinds, words = (str, "the name of an extension") if key == EXTENSIONS else (PATHS, "an SQL file or a dotted path")
    yield from (f"{entry!r} is not {words}." for entry in listed if not isinstance(entry, kinds) or not entry)
    yield from (f"{entry!r} is there twice." for n, entry in enumerate(listed) if entry in listed[:n])


#: The types of entries that name a file or a function.
PATHS = (str, os.PathLike)


def is_list(value: object) -> bool:
    """Return whether a value is a list of entries."""
    return isinstance(value, (list, tuple))


def on_start_problems(given: object) -> Iterator[str]:
    """Yield the problems in ON_START."""
    where = "AUTOMIGRATE['ON_START']"
    verb = given.get("VERB") if isinstance(given, Mapping) else given
    if verb not in VERBS:
        verbs = f"{', '.join(map(repr, VERBS[:-1]))} or {VERBS[-1]!r}"
        yield f"{where} has to be {verbs}, or a dictionary with one of them as 'VERB', and is {given!r}."
    if not isinstance(given, Mapping):
        return
    keys = [name.upper() for name in OnStart.__dataclass_fields__]
    if unknown := [repr(key) for key in given if key not in keys]:
        yield f"{where} has unknown keys: {', '.join(unknown)}. Its keys are {', '.join(map(repr, keys))}."
    for key in START_LISTS:
        problems_in = alias_problems if key == "DATABASES" else names_problems
        yield from problems_in(f"{where}[{key!r}]", given.get(key, []))
    if given.get("ON_FAILURE", "stop") not in ON_FAILURE:
        yield f"{where}['ON_FAILURE'] has to be {' or '.join(map(repr, ON_FAILURE))}, and is {given['ON_FAILURE']!r}."


def names_problems(where: str, given: object) -> Iterator[str]:
    """Yield the problem of a value that has to be a list of names."""
    if not is_list_of_names(given):
        yield f"{where} has to be a list of names, and is {given!r}."


def alias_problems(where: str, given: object) -> Iterator[str]:
    """Yield the problems of a value that has to be a list of aliases of databases."""
    yield from names_problems(where, given)
    if is_list_of_names(given) and (strange := set(given) - set(connections)):
        yield f"{where}: {', '.join(map(repr, sorted(strange)))} is not in DATABASES."


def is_pair(old: object, new: object) -> bool:
    """Return whether two values are an old and a new name."""
    return isinstance(old, str) and isinstance(new, str) and bool(old) and bool(new)


def is_list_of_names(value: object) -> TypeGuard[Sequence[str]]:
    """Return whether a value is a list of texts."""
    return isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)


def is_seconds(value: object) -> bool:
    """Return whether a value is a number of seconds."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


def is_number_of_runs(value: object) -> bool:
    """Return whether a value is how many runs to keep: False and None keep none."""
    return value is None or value is False or (isinstance(value, int) and value is not True and value >= 0)
