"""What is in each target, found by fingerprints, and which targets a run would leave as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import TypeVar

from django.apps.registry import Apps
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.utils import DatabaseError, Error

from automigrate_ext.backends.fingerprint import Look, short
from automigrate_ext.declared.selection import Models, Selection, select
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.fleet.places import at
from automigrate_ext.fleet.targets import Target
from automigrate_ext.run import basis
from automigrate_ext.run.options import Options
from automigrate_ext.run.standing import Place, Seal, Standing, asks_nothing_special
from automigrate_ext.waiting import connect

#: How many schemas one query looks at.
SCHEMAS_A_LOOK = 200
PATH = "SELECT current_schemas(false)::text[]"
EXISTING = "SELECT nspname::text FROM pg_namespace WHERE nspname = ANY(%s::text[])"

#: What keeps a target from its work, and no other one: errors of settings among it, as targets may have their own.
FAULTS = (AutomigrateError, Error, ImproperlyConfigured)

T = TypeVar("T")


def chunks(things: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the things in lists of that many."""
    iterator = iter(things)
    while chunk := list(islice(iterator, size)):
        yield chunk


class TargetStanding(Standing):
    """The models of one target after the other beside its seals."""

    target: Target

    def are_held(self, places: tuple[Place, ...]) -> bool:
        with at(self.target):
            return super().are_held(places)


@dataclass(slots=True, kw_only=True)
class Family:
    """Targets of one database in which the routers let the same models in.

    `names` are the tables to look at, `notes` those of the record that may hold a seal: the routers were asked for them
    in a target, as elsewhere they may let in other models. `rest` is what follows a schema on the search path, as the
    server reads it.
    """

    key: tuple[object, ...]
    selection: Selection
    standing: TargetStanding
    names: tuple[str, ...]
    notes: frozenset[str]
    rest: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one look found in a target.

    `family` is None where the target is not there (`is_absent`), or cannot be reached (`error`); `look` where nothing
    could be read but by comparing. `seal` is that of the record by which a run would do nothing.
    """

    target: Target
    family: Family | None = None
    look: Look | None = None
    seal: Seal | None = None
    error: Exception | None = None
    is_absent: bool = False

    @property
    def shape(self) -> str:
        """A digest that is the same for schemas that a run treats alike, as far as their rows allow; "" if unknown.

        The record of a database has notes by its alias, so that no two have the same.
        """
        if self.family is None or self.look is None or self.target.schema is None:
            return ""
        tables = (f"{name} {digest}" for name, digest in sorted(self.look.tables.items()))
        return short((repr(self.family.key), self.look.around, *tables))


@dataclass(slots=True)
class Looks:
    """Looks at the targets of a run of some models, with these options."""

    models: Models
    apps: Apps
    options: Options
    families: dict[tuple[object, ...], Family] = field(default_factory=dict)
    #: Digests of what models declare, by what they depend on besides the models themselves.
    digests: dict[tuple[object, ...], dict[str, str]] = field(default_factory=dict)

    def see(self, targets: Iterable[Target]) -> Iterator[Seen]:
        """Yield what is in each of the targets, in their order."""
        databases: dict[str, str] = {}
        for key, family in groupby(targets, family_key):
            if key[-1]:
                for schemas in chunks(family, SCHEMAS_A_LOOK):
                    yield from self.see_schemas(key, schemas, databases)
            else:
                yield from map(self.see_database, family)

    def see_database(self, target: Target) -> Seen:
        """Return what is in a target that is a database of its own."""
        try:
            with at(target) as connection:
                connect(connection)
                # A thousand databases would be a thousand families to remember.
                family = self.new_family(target, family_key(target))
                standing = family.standing
                seal = standing.find()
                return Seen(target=target, family=family, look=standing.first or standing.look(), seal=seal)
        except FAULTS as error:
            return Seen(target=target, error=error)

    def see_schemas(
        self, key: tuple[object, ...], targets: Sequence[Target], databases: dict[str, str]
    ) -> Iterator[Seen]:
        """Yield what is in schemas of one database; see `look_at` for `databases`."""
        try:
            there = self.existing(targets)
            first = next((target for target in targets if target.schema in there), None)
            family = self.family(first, key) if first else None
        except FAULTS as error:
            yield from (Seen(target=target, error=error) for target in targets)
            return
        looks = self.look_at([target.schema or "" for target in targets], family, databases) if family else {}
        for target in targets:
            if family is None or target.schema not in there:
                yield Seen(target=target, is_absent=True)
                continue
            look = looks.get(target.schema or "")
            family.standing.target = target
            seal = family.standing.valid(look) if look and self.may_pass_over else None
            yield Seen(target=target, family=family, look=look, seal=seal)

    @property
    def may_pass_over(self) -> bool:
        """Whether a target whose record has a seal for what is there is passed over."""
        return self.options.fingerprint and asks_nothing_special(self.options)

    def existing(self, targets: Sequence[Target]) -> frozenset[str]:
        """Return those of the schemas of one database that exist."""
        connection = connections[targets[0].alias]
        connect(connection)
        with connection.cursor() as cursor:
            cursor.execute(EXISTING, [[target.schema for target in targets]])
            return frozenset(name for (name,) in cursor.fetchall())

    def look_at(
        self, schemas: Sequence[str], family: Family, databases: dict[str, str] | None = None
    ) -> dict[str, Look]:
        """Return what is in each of the schemas that exist; nothing where that cannot be read but by comparing.

        `databases` are the digests of what all schemas of a database depend on, by alias; missing ones are added.
        """
        fingerprints = family.standing.fingerprints
        if fingerprints is None:
            return {}
        alias, known = family.selection.alias, {} if databases is None else databases
        try:
            if alias not in known:
                known[alias] = fingerprints.database()
            return fingerprints.look_at(schemas, family.rest, family.names, family.notes, known[alias])
        except DatabaseError:
            # Why it cannot be read is left to the comparisons, which report it for each target.
            return {}

    # Families

    def family(self, target: Target, key: tuple[object, ...]) -> Family:
        """Return the family of a target that is there."""
        if key not in self.families:
            with at(target) as connection:
                family = self.new_family(target, key)
                with connection.cursor() as cursor:
                    cursor.execute(PATH)
                    (path,) = cursor.fetchone()
                family.rest = tuple(name for name in path if name != target.schema)
            self.families[key] = family
        return self.families[key]

    def new_family(self, target: Target, key: tuple[object, ...]) -> Family:
        """Return the family of a target in which the connection works."""
        models = self.models if target.models is None else self.narrowed(target.models)
        selection = select(models, target.alias, self.apps)
        standing = TargetStanding(selection, self.options)
        standing.target = target
        if standing.fingerprints is not None:
            facts = (*map(str, basis.versions(standing.fingerprints.connection)), *selection.models)
            if facts not in self.digests:
                self.digests[facts] = standing.models
            standing.models = self.digests[facts]
        return Family(
            key=key,
            selection=selection,
            standing=standing,
            names=tuple(standing.names),
            notes=frozenset(standing.notes),
        )

    def narrowed(self, labels: Sequence[str]) -> Models:
        """Return what was asked for, as far as a target has it, of which these are the labels."""
        if self.models is None:
            return list(labels)
        asked = [self.models] if isinstance(self.models, (str, type)) else list(self.models)
        return [label for label in asked if label in labels or str(label).partition(".")[0] in labels]


def family_key(target: Target) -> tuple[object, ...]:
    """Return what is the same for targets of one family; the last part is whether they are schemas."""
    return (target.alias, target.kind, target.models, target.path, target.schema is not None)
