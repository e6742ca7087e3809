"""Columns that follow a key: those that point at it change their type with it, in tables outside the run too."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace as evolve
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from automigrate_ext.declared.blueprint import kept_name
from automigrate_ext.schema.changes import AlterColumn, Change
from automigrate_ext.schema.nouns import Schema, Table

#: Columns of tables that are outside the run, by their models.
ColumnsByModel = dict[type[Model], frozenset[str]]


def retyped_columns(changes: Iterable[Change]) -> set[tuple[str, str]]:
    """Return the columns whose type changes, each with its table."""
    return {
        (change.table, change.new.name)
        for change in changes
        if isinstance(change, AlterColumn) and change.old.type != change.new.type
    }


def pointing_columns(
    connection: BaseDatabaseWrapper, models: Iterable[type[Model]], targets: Collection[tuple[str, str]]
) -> ColumnsByModel:
    """Return the models with a column that points at one of the targets, and those columns."""
    pointing: ColumnsByModel = {}
    for model in models:
        fields: Iterable[Any] = model._meta.local_fields
        pointing_fields = (f for f in fields if f.is_relation and f.column and target_of(connection, f) in targets)
        columns = frozenset(kept_name(connection, f.column) for f in pointing_fields)
        if columns:
            pointing[model] = columns
    return pointing


def target_of(connection: BaseDatabaseWrapper, field: Any) -> tuple[str, str]:
    """Return the table and column that a foreign key points at."""
    return field.target_field.model._meta.db_table, kept_name(connection, field.target_field.column)


def retype_followers(current: Schema, declared: Schema, columns: ColumnsByModel) -> Schema:
    """Return the tables outside the run as they are, with the columns that follow as their models declare them."""
    wanted = {model._meta.db_table: names for model, names in columns.items()}
    return Schema(
        {
            table.name: retype_in_table(table, declared.tables[table.name], wanted[table.name])
            for table in current
            if table.name in wanted
        }
    )


def retype_in_table(current: Table, declared: Table, names: frozenset[str]) -> Table:
    """Return one table with some of its columns, and the indexes on these alone, as its model declares them."""
    columns = (declared.column(column.name) if column.name in names else column for column in current.columns)
    kept = (index for index in current.indexes if not names.issuperset(index.columns))
    theirs = (index for index in declared.indexes if names.issuperset(index.columns))
    return evolve(current, columns=tuple(column for column in columns if column), indexes=(*kept, *theirs))


def merge_columns(one: ColumnsByModel, other: ColumnsByModel) -> ColumnsByModel:
    """Return the union of two maps of columns."""
    nothing: frozenset[str] = frozenset()
    return {model: one.get(model, nothing) | other.get(model, nothing) for model in (*one, *other)}
