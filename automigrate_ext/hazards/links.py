"""Many-to-many tables that are to link to other rows than theirs do: these links cannot be kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from automigrate_ext.schema.changes import (
    AddColumn,
    AddConstraint,
    Change,
    CreateTable,
    DropTable,
    RenameColumn,
    RenameSequence,
    RenameTable,
)
from automigrate_ext.schema.nouns import ForeignKey, Schema, Table

#: The changes that come before a table is made again: they are what gives it its name.
RENAMES = (RenameTable, RenameColumn, RenameSequence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retargeting:
    """A change of what a many-to-many table links to, in words."""

    old: str
    new: str


def retargeted(current: Schema, links: Mapping[str, Table], changes: Iterable[Change]) -> dict[str, Retargeting]:
    """Return the tables of `links`, which Django made for many-to-many fields, whose target changes.

    A new column that needs a value is an end of the links, as these tables have no other columns; models of one name
    in two apps are told apart by the foreign key.
    """
    found: dict[str, Retargeting] = {}
    for change in changes:
        table, wanted = current.get(change.table), links.get(change.table)
        if table is None or wanted is None:
            continue
        match change:
            case AddColumn(new=column) if column.needs_value:
                gone = [target(table, old.name) for old in table.columns if wanted.column(old.name) is None]
                old = " and ".join(dict.fromkeys(gone))
                found[change.table] = Retargeting(old=old or "nothing", new=target(wanted, column.name))
            case AddConstraint(new=ForeignKey() as key):
                for old_key in table.foreign_keys:
                    if old_key.columns == key.columns and old_key.to_table != key.to_table:
                        found[change.table] = Retargeting(old=old_key.to_table, new=key.to_table)
    return found


def target(table: Table, column: str) -> str:
    """Return the table that a column points at, or the column's name where it has no foreign key."""
    return next((key.to_table for key in table.foreign_keys if key.columns == (column,)), column)


def remake(changes: Iterable[Change], tables: Mapping[str, Table], current: Schema) -> tuple[Change, ...]:
    """Return the changes with the tables dropped and created, under their new names, in the place of all others."""
    others = [change for change in changes if change.table not in tables or isinstance(change, RENAMES)]
    drops = [DropTable(table=name, old=current.tables[name]) for name in tables]
    return (*others, *drops, *(CreateTable(table=name, new=table) for name, table in tables.items()))


def pointing(current: Schema, tables: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the tables at which others of the schema point, each with one of these."""
    for table in current:
        for key in table.foreign_keys:
            if key.to_table in tables and table.name != key.to_table:
                yield key.to_table, table.name
