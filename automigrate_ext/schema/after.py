"""The schema after a run: the desired one with everything that is kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace as evolve

from automigrate_ext.schema.changes import AlterColumn, Change, DropColumn, DropConstraint, DropIndex, DropTable
from automigrate_ext.schema.matching import match_objects
from automigrate_ext.schema.nouns import Column, Schema, Table


def schema_after(current: Schema, desired: Schema, declared: Schema, changes: Iterable[Change]) -> Schema:
    """Return the schema that the changes lead to.

    `declared` is the schema of the models; `desired` is the same with whatever it adopted from the database.
    Columns, constraints and indexes that are in the database, not in the models and not dropped stay as the
    database prints them.
    """
    by_table: defaultdict[str, list[Change]] = defaultdict(list)
    for change in changes:
        by_table[change.table].append(change)
    tables = {}
    for table in desired:
        name, old = table.name, current.get(table.name)
        is_remade = any(isinstance(change, DropTable) for change in by_table[name])
        stays = old is not None and not is_remade
        tables[name] = table_after(old, table, declared.tables[name], by_table[name]) if old and stays else table
    return Schema(tables)


def table_after(current: Table, desired: Table, declared: Table, changes: list[Change]) -> Table:
    """Return one table after its changes."""
    dropped = {id(change.old) for change in changes if isinstance(change, (DropConstraint, DropIndex))}
    kept_constraints = match_objects(current.constraints, desired.constraints).removed
    kept_indexes = match_objects(current.indexes, desired.indexes).removed
    return evolve(
        desired,
        columns=(
            *(with_live_wording(column, current, declared) for column in desired.columns),
            *kept_columns(current, desired, changes),
        ),
        constraints=(*desired.constraints, *(c for c in kept_constraints if id(c) not in dropped)),
        indexes=(*desired.indexes, *(i for i in kept_indexes if id(i) not in dropped)),
    )


def with_live_wording(column: Column, current: Table, declared: Table) -> Column:
    """Return the column, as the database prints it where it keeps something that the models do not declare."""
    live = current.column(column.name)
    return live if live == column and column != declared.column(column.name) and live is not None else column


def kept_columns(current: Table, desired: Table, changes: list[Change]) -> list[Column]:
    """Return the columns that the models do not declare and that stay, relaxed where the run relaxes them."""
    dropped = {change.old.name for change in changes if isinstance(change, DropColumn)}
    relaxed = {change.new.name: change.new for change in changes if isinstance(change, AlterColumn)}
    return [
        relaxed.get(column.name, column)
        for column in current.columns
        if desired.column(column.name) is None and column.name not in dropped
    ]
