"""Let SQLite build the models' tables in a second database, in memory, and read them back."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from dataclasses import replace as evolve
from typing import Any, TypeVar

from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext.backends.sqlite3.introspection import Catalog, read_catalog, read_table
from automigrate_ext.declared.blueprint import Blueprint, has_automatic_key
from automigrate_ext.exceptions import ScratchFailed
from automigrate_ext.schema.nouns import Constraint, Index, Schema, Table

#: How many tables are built in one database: each new one costs SQLite a look at all that are there.
BATCH = 100

Noun = TypeVar("Noun", Constraint, Index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A blueprint and the statements that it comes to."""

    blueprint: Blueprint
    statements: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the table."""
        return self.blueprint.name


def build(connection: BaseDatabaseWrapper, blueprints: Iterable[Blueprint], live: Catalog) -> Schema:
    """What SQLite makes of the blueprints. Raises `ScratchFailed` where it does not accept one.

    SQLite keeps the text of a statement as it was given, and has accepted those that `live` has.
    """
    drafts = [Draft(blueprint=bp, statements=(bp.create_sql(), *map(str, bp.objects))) for bp in blueprints]
    accepted = live.statements
    new = [draft for draft in drafts if not accepted.issuperset(draft.statements)]
    built = {draft.name: read_draft(draft) for draft in drafts if accepted.issuperset(draft.statements)}
    for start in range(0, len(new), BATCH):
        built |= build_batch(connection, new[start : start + BATCH])
    return Schema({draft.name: declared(built[draft.name], draft) for draft in drafts})


def read_draft(draft: Draft) -> Table:
    """The table of a draft by its words alone."""
    create, *indexes = draft.statements
    return read_table(draft.name, create, indexes)


def build_batch(connection: BaseDatabaseWrapper, drafts: Sequence[Draft]) -> dict[str, Table]:
    """The tables of the drafts, as an empty database makes them."""
    with memory(connection) as database:
        for draft in drafts:
            create(database, draft)
        with closing(database.cursor()) as cursor:
            return dict(read_catalog(cursor).schema([draft.name for draft in drafts]).tables)


def after(connection: BaseDatabaseWrapper, catalog: Catalog, statements: Iterable[str]) -> Catalog:
    """The definitions as they will be after the statements, tried on a copy without rows.

    Where the copy cannot take them, the catalog comes back as it is.
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
    """An empty database in memory that knows the functions and collations of the connection.

    It is a copy of the connection, so that receivers of `connection_created` furnish it too.
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
        # The wrapper's own close() spares databases in memory.
        database.close()
        wrapper.connection = None


def create(database: sqlite3.Connection, draft: Draft) -> None:
    """Execute the statements of a draft. Raises `ScratchFailed`."""
    for statement in draft.statements:
        try:
            database.execute(statement)
        except sqlite3.Error as error:
            raise ScratchFailed(
                f"SQLite does not accept what {draft.blueprint.owner} says of the table {draft.name!r}: "
                f"{error}. The statement was: {statement}"
            ) from error


def declared(table: Table, draft: Draft) -> Table:
    """The table with what the model says of it and SQLite does not know."""
    meta = draft.blueprint.model._meta
    given = draft.blueprint.given_names
    return evolve(
        table,
        owner=draft.blueprint.owner,
        automatic=bool(meta.auto_created),
        automatic_key=has_automatic_key(draft.blueprint.model),
        constraints=with_names(table.constraints, given),
        indexes=with_names(table.indexes, given),
        sql=draft.statements,
    )


def with_names(nouns: tuple[Noun, ...], given: Collection[str]) -> tuple[Noun, ...]:
    """The objects, those marked whose name the model gave."""
    if not given:
        return nouns
    return tuple(evolve(noun, named=True) if noun.name in given else noun for noun in nouns)
