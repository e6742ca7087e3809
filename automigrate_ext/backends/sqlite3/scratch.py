"""Scratch tables of the models on SQLite: built in a second database, in memory, and read back."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from dataclasses import replace as evolve
from typing import Any, TypeVar

from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext.backends.sqlite3.introspection import Catalog, read_catalog, read_table, spelled, spellings
from automigrate_ext.declared.blueprint import Blueprint
from automigrate_ext.declared.unwritten import digits_of_field, has_automatic_key
from automigrate_ext.exceptions import ScratchFailed
from automigrate_ext.schema.nouns import Constraint, Index, Schema, Table

#: The number of tables that are built in one database: for each new one SQLite goes through all present ones.
BATCH = 100

Noun = TypeVar("Noun", Constraint, Index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A blueprint and its statements."""

    blueprint: Blueprint
    statements: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the table."""
        return self.blueprint.name


def build(
    connection: BaseDatabaseWrapper, blueprints: Iterable[Blueprint], live: Catalog, known: Collection[str] = ()
) -> Schema:
    """Return the tables that SQLite makes of the blueprints. Raises `ScratchFailed` where it rejects one.

    SQLite stores the text of a statement as it was given, and has accepted those in `live`. `known` are the names of
    other tables, as models have them.
    """
    probes = [Probe(blueprint=bp, statements=(bp.create_sql(), *map(str, bp.objects))) for bp in blueprints]
    accepted = live.statements
    new = [probe for probe in probes if not accepted.issuperset(probe.statements)]
    built = {probe.name: read_probe(probe) for probe in probes if accepted.issuperset(probe.statements)}
    for start in range(0, len(new), BATCH):
        built |= build_batch(connection, new[start : start + BATCH])
    spelling = spellings((*known, *built))
    return Schema({probe.name: declared(spelled(built[probe.name], spelling), probe) for probe in probes})


def read_probe(probe: Probe) -> Table:
    """Return the table of a probe by its text alone."""
    create, *indexes = probe.statements
    return read_table(probe.name, create, indexes)


def build_batch(connection: BaseDatabaseWrapper, probes: Sequence[Probe]) -> dict[str, Table]:
    """Return the tables of the probes, as an empty database makes them."""
    with memory(connection) as database:
        for probe in probes:
            create(database, probe)
        with closing(database.cursor()) as cursor:
            return dict(read_catalog(cursor).schema([probe.name for probe in probes]).tables)


def after(connection: BaseDatabaseWrapper, catalog: Catalog, statements: Iterable[str]) -> Catalog:
    """Return the definitions as they will be after the statements, tried on a copy without rows.

    Where the copy rejects them, the catalog is returned as it is.
    """
    with memory(connection) as database, closing(database.cursor()) as cursor:
        for entry in (*catalog.tables.values(), *catalog.views.values(), *catalog.all_triggers):
            with suppress(sqlite3.Error):
                cursor.execute(entry.sql)
        try:
            for statement in statements:
                cursor.execute(statement)
        except sqlite3.Error:
            return catalog
        return read_catalog(cursor)


@contextmanager
def memory(connection: BaseDatabaseWrapper) -> Iterator[sqlite3.Connection]:
    """Give an empty database in memory that has the functions and collations of the connection.

    Its connection is a copy of the given one, so that receivers of `connection_created` set it up too.
    """
    wrapper = connection.copy()
    wrapper.settings_dict["NAME"] = ":memory:"
    wrapper.ensure_connection()
    database: Any = wrapper.connection
    try:
        database.isolation_level = None
        database.execute("BEGIN")
        yield database
    finally:
        # The wrapper's own close() does not close databases in memory.
        database.close()
        wrapper.connection = None


def create(database: sqlite3.Connection, probe: Probe) -> None:
    """Execute the statements of a probe. Raises `ScratchFailed`."""
    for statement in probe.statements:
        try:
            database.execute(statement)
        except sqlite3.Error as error:
            raise ScratchFailed(
                f"SQLite does not accept what {probe.blueprint.owner} declares of the table {probe.name!r}: "
                f"{error}. The statement was: {statement}"
            ) from error


def declared(table: Table, probe: Probe) -> Table:
    """Return the table with the properties of the model that SQLite does not have."""
    meta = probe.blueprint.model._meta
    digits = {column.name: found for column in probe.blueprint.columns if (found := digits_of_field(column.field))}
    collated = {column.name for column in probe.blueprint.columns if column.names_collation}
    given = probe.blueprint.given_names
    return evolve(
        table,
        owner=probe.blueprint.owner,
        columns=tuple(
            evolve(column, digits=digits.get(column.name), names_collation=column.name in collated)
            if column.name in digits or column.name in collated
            else column
            for column in table.columns
        ),
        automatic=bool(meta.auto_created),
        automatic_key=has_automatic_key(probe.blueprint.model),
        constraints=with_names(table.constraints, given),
        indexes=with_names(table.indexes, given),
        sql=probe.statements,
    )


def with_names(nouns: tuple[Noun, ...], given: Collection[str]) -> tuple[Noun, ...]:
    """Return the objects, with a mark on those whose name the model gives."""
    if not given:
        return nouns
    return tuple(evolve(noun, named=True) if noun.name in given else noun for noun in nouns)
