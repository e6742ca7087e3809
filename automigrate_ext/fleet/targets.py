"""Targets: where copies of the models live, and how those of a project are found."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.module_loading import import_string

from automigrate_ext import conf
from automigrate_ext.exceptions import UnknownTargets
from automigrate_ext.fleet import packages
from automigrate_ext.words import plural

#: The schemas that are the server's own. Source: PostgreSQL's documentation, "Schemas".
SERVERS_OWN = ("pg_*", "information_schema")
SCHEMAS = "SELECT nspname::text FROM pg_namespace ORDER BY nspname"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where one copy of the models lives.

    `name` is what it is called in reports and on the command line, `alias` the database. `schema` is a schema of
    PostgreSQL, None where the connection makes tables already where they belong, and `path` what follows the schema on
    the search path. Targets are run in the order of the first mention of their `group`. `settings` are an entry of
    DATABASES for an alias that the settings do not have; `models` are labels of the models that live there, None where
    the routers decide. `kind` is the same for targets in which the routers let the same models in. `shared` is whether
    the others use its tables: it comes before them, and they are begun only once it is well.
    """

    name: str
    alias: str = DEFAULT_DB_ALIAS
    schema: str | None = None
    path: tuple[str, ...] = ("public",)
    group: str = ""
    settings: Mapping[str, Any] | None = None
    models: tuple[str, ...] | None = None
    kind: str = ""
    shared: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the target as plain values, for a task that another process carries out."""
        return {name: getattr(self, name) for name in type(self).__slots__}


def from_dict(values: Mapping[str, Any]) -> Target:
    """Return a target from plain values, in which tuples may have become lists."""
    labels = values["models"]
    models = None if labels is None else tuple(labels)
    return Target(**{**values, "path": tuple(values["path"]), "models": models})


def project_targets(*, strict: bool = False) -> tuple[Target, ...]:
    """Return the targets of the project: those of AUTOMIGRATE["TARGETS"], or the tenants of a package that has them.

    With `strict` it is an error where tenants cannot be listed; else only what they share is returned. Raises
    `UnknownTargets` where there is neither, where one is no `Target`, and where two have the same name.
    """
    given = conf.value(conf.TARGETS, None)
    if given is None:
        found = packages.targets(strict=strict)
        if found is None:
            raise UnknownTargets(
                'Nothing names the targets: set AUTOMIGRATE["TARGETS"] to a function that returns them, or name '
                "schemas (--schemas). django-tenants and django-pgschemas need neither. Nothing was done."
            )
        return checked(Target(**values) for values in found)
    function: Any = import_string(given) if isinstance(given, str) else given
    return checked(function())


def checked(targets: Iterable[Target]) -> tuple[Target, ...]:
    """Return the targets. Raises `UnknownTargets` for what is none, and for names that two of them have."""
    found: dict[str, Target] = {}
    for target in targets:
        if not isinstance(target, Target):
            raise UnknownTargets(f"{target!r} is not an automigrate_ext.Target. Nothing was done.")
        if target.name in found:
            raise UnknownTargets(f"Two targets have the name {target.name!r}: each needs its own. Nothing was done.")
        found[target.name] = target
    return tuple(found.values())


def named_targets(names: Sequence[str]) -> tuple[Target, ...]:
    """Return the project's targets of these names, all of them without names. Raises `UnknownTargets`."""
    targets = project_targets()
    if not names:
        return targets
    known = {target.name: target for target in targets}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnknownTargets(
            f"There is no target {' and none '.join(describe_unknown(name, known) for name in unknown)}. The project "
            f"has {plural(len(known), 'target')}. Nothing was done."
        )
    return tuple(known[name] for name in dict.fromkeys(names))


def describe_unknown(name: str, known: Iterable[str]) -> str:
    """Return an unknown name, with the one that looks most like it."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"{name!r} (did you mean {close[0]!r}?)" if close else repr(name)


def schema_targets(
    patterns: Sequence[str], exclude: Sequence[str] = (), alias: str = DEFAULT_DB_ALIAS
) -> tuple[Target, ...]:
    """Return the schemas of a database whose names match a pattern, as `fnmatch` reads it, and none of `exclude`.

    A name without marks of a pattern is a target whether the schema exists or not. Raises `UnknownTargets` for a
    pattern that matches nothing, and for databases that have no schemas.
    """
    connection = connections[alias]
    if connection.vendor != "postgresql":
        raise UnknownTargets(f"Database {alias!r} has no schemas: only PostgreSQL does. Nothing was done.")
    with connection.cursor() as cursor:
        cursor.execute(SCHEMAS)
        existing = [name for (name,) in cursor.fetchall()]
    chosen: dict[str, None] = {}
    for pattern in patterns:
        matching = [name for name in existing if fnmatchcase(name, pattern) and not matches(name, SERVERS_OWN)]
        if not matching and any(mark in pattern for mark in "*?["):
            raise UnknownTargets(f"No schema of database {alias!r} matches {pattern!r}. Nothing was done.")
        chosen.update(dict.fromkeys(matching or [pattern]))
    return tuple(
        Target(name=name, alias=alias, schema=name, path=() if name == "public" else ("public",))
        for name in chosen
        if not matches(name, exclude)
    )


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether one of the patterns matches a name."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
