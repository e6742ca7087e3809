"""Let SQLite build the models' tables in a second database, in memory, and read them back."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace as evolve
from typing import Any, TypeVar

from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext.backends.sqlite3.introspection import Catalog, read_catalog
from automigrate_ext.blueprint import Blueprint
from automigrate_ext.exceptions import ScratchFailed
from automigrate_ext.schema import Constraint, Index, Schema, Table

Noun = TypeVar("Noun", Constraint, Index)


def build(connection: BaseDatabaseWrapper, blueprints: Sequence[Blueprint]) -> Schema:
    """What SQLite makes of the blueprints. Raises `ScratchFailed` where it does not accept one."""
    statements = {blueprint.name: tuple(table_sql(blueprint)) for blueprint in blueprints}
    with memory(connection) as database:
        for blueprint in blueprints:
            create(database, blueprint, statements[blueprint.name])
        with closing(database.cursor()) as cursor:
            schema = read_catalog(cursor).schema(statements)
    return Schema({bp.name: declared(schema.tables[bp.name], bp, statements[bp.name]) for bp in blueprints})


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


def table_sql(blueprint: Blueprint) -> Iterator[str]:
    """The statements that make the blueprint's table and its indexes."""
    yield blueprint.create_sql()
    yield from map(str, blueprint.objects)


def create(database: sqlite3.Connection, blueprint: Blueprint, statements: Iterable[str]) -> None:
    """Execute the statements. Raises `ScratchFailed`."""
    for statement in statements:
        try:
            database.execute(statement)
        except sqlite3.Error as error:
            raise ScratchFailed(
                f"SQLite does not accept what {blueprint.owner} says of the table {blueprint.name!r}: "
                f"{error}. The statement was: {statement}"
            ) from error


def declared(table: Table, blueprint: Blueprint, statements: tuple[str, ...]) -> Table:
    """The table with what the model says of it and SQLite does not know."""
    meta = blueprint.model._meta
    return evolve(
        table,
        owner=blueprint.owner,
        automatic=bool(meta.auto_created),
        automatic_key=bool(getattr(meta.pk, "auto_created", False)),
        constraints=with_names(table.constraints, blueprint.given_names),
        indexes=with_names(table.indexes, blueprint.given_names),
        sql=statements,
    )


def with_names(nouns: tuple[Noun, ...], given: Collection[str]) -> tuple[Noun, ...]:
    """The objects, those marked whose name the model gave."""
    if not given:
        return nouns
    return tuple(evolve(noun, named=True) if noun.name in given else noun for noun in nouns)
