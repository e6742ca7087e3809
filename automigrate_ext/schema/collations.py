"""Collations of the columns of foreign keys, where a server requires one for both ends. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace as evolve

from automigrate_ext.schema.nouns import Column, ForeignKey, Schema, Table


def with_one_collation(desired: Schema, current: Schema, outside: Schema) -> Schema:
    """Return the desired tables, with the collation of what it points at for each text of a foreign key.

    Foreign keys that stay as they are have one collation already. A column that takes another one has no `sql`, because
    that would make it with the one of before. `outside` are tables at which keys point and which
    are not among the desired ones.
    """
    following = Following(desired, current, outside)
    return Schema({table.name: following.table(table) for table in desired})


def targets_outside(desired: Schema, current: Schema) -> list[str]:
    """Return the tables that are not desired and at which texts of new foreign keys point."""
    names = (
        key.to_table
        for table in desired
        for key in new_keys(table, current)
        if desired.get(key.to_table) is None and any(column.collatable for column in columns_of(table, key))
    )
    return list(dict.fromkeys(names))


def new_keys(table: Table, current: Schema) -> Iterator[ForeignKey]:
    """Yield the foreign keys that the present table does not have."""
    now = current.get(table.name)
    yield from (key for key in table.foreign_keys if now is None or key not in now.foreign_keys)


def columns_of(table: Table, key: ForeignKey) -> Iterator[Column]:
    """Yield the columns of a foreign key."""
    yield from (column for column in table.columns if column.name in key.columns)


class Following:
    """Follows foreign keys to the columns that decide about a collation."""

    def __init__(self, desired: Schema, current: Schema, outside: Schema) -> None:
        self.desired = desired
        self.current = current
        self.outside = outside

    def table(self, table: Table) -> Table:
        """Return one table with the collations that its foreign keys require."""
        columns = tuple(self.column(table, column) for column in table.columns)
        return table if columns == table.columns else evolve(table, columns=columns)

    def column(self, table: Table, column: Column) -> Column:
        if not column.collatable:
            return column
        wanted = self.collation(table, column, frozenset())
        if wanted == own_collation(table, column):
            return column
        return evolve(column, collation=None if wanted == table.collation else wanted, sql="")

    def collation(self, table: Table, column: Column, seen: frozenset[tuple[str, str]]) -> str:
        """Return the collation of what a column points at, or its own; `seen` are the columns that led to it."""
        place = table.name, column.name
        for key in table.foreign_keys if place not in seen else ():
            if column.name not in key.columns or not self.is_moving(table, key):
                continue
            target = self.desired.get(key.to_table) or self.outside.get(key.to_table)
            name = key.to_columns[key.columns.index(column.name)]
            pointed_at = target.column(name) if target else None
            if target is not None and pointed_at is not None and pointed_at.collatable:
                return self.collation(target, pointed_at, seen | {place})
        return own_collation(table, column)

    def is_moving(self, table: Table, key: ForeignKey) -> bool:
        """Return whether the key is new, or a column at one of its ends gets another collation."""
        if key in new_keys(table, self.current):
            return True
        ends = [(table.name, name) for name in key.columns] + [(key.to_table, name) for name in key.to_columns]
        return any(self.is_recollated(*end) for end in ends)

    def is_recollated(self, table: str, name: str) -> bool:
        before, after = (schema.get(table) for schema in (self.current, self.desired))
        if before is None or after is None:
            return False
        old, new = before.column(name), after.column(name)
        return old is not None and new is not None and old.collation != new.collation


def own_collation(table: Table, column: Column) -> str:
    """Return the collation of a column, or that of its table."""
    return column.collation or table.collation
