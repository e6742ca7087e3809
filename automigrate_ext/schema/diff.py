"""Compare two schemas: which changes make the current one equal to the desired one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from automigrate_ext.schema import changes
from automigrate_ext.schema.matching import Match, Noun, match_objects
from automigrate_ext.schema.nouns import Column, Constraint, Index, Schema, Table
from automigrate_ext.schema.ownership import Ownership

#: Whether an unmatched object is dropped: an owned one, or one that is in the way of a new one.
Goes = Callable[[Constraint | Index], bool]


def diff(current: Schema, desired: Schema, ownership: Ownership, *, prune: bool = False) -> tuple[changes.Change, ...]:
    """Return the changes that make `current` equal to `desired`, table by table.

    Tables of `current` that `desired` does not have are dropped; so are columns, constraints and indexes
    that came from the models according to `ownership`, and with `prune` all others too.
    """
    found: list[changes.Change] = []
    for table in desired:
        old = current.get(table.name)
        if old is None:
            found.append(changes.CreateTable(table=table.name, new=table))
        else:
            found.extend(diff_table(old, table, ownership, prune=prune))
    gone = [table for table in current if desired.get(table.name) is None]
    found.extend(changes.DropTable(table=table.name, old=table) for table in gone)
    return tuple(found)


def diff_table(
    current: Table, desired: Table, ownership: Ownership, *, prune: bool = False
) -> Iterator[changes.Change]:
    """Yield the changes of one table that both schemas have."""
    if (current.comment, current.tablespace) != (desired.comment, desired.tablespace):
        yield changes.AlterTable(table=desired.name, old=current, new=desired)
    yield from diff_columns(current, desired, ownership, prune=prune)
    if current.primary_key != desired.primary_key:
        yield changes.AlterPrimaryKey(table=desired.name, old=current.primary_key, new=desired.primary_key)
    constraints = match_objects(current.constraints, desired.constraints)
    indexes = match_objects(current.indexes, desired.indexes)
    # An index and a constraint cannot have the same name, so each may be in the way of the other.
    wanted = wanted_names(constraints) | wanted_names(indexes)

    def goes(old: Constraint | Index) -> bool:
        return (prune and not old.inherited) or old.name in wanted or ownership.owns_object(current, old)

    yield from diff_constraints(desired.name, constraints, goes)
    yield from diff_indexes(desired.name, indexes, goes)


def diff_columns(current: Table, desired: Table, ownership: Ownership, *, prune: bool) -> Iterator[changes.Change]:
    """Yield the changes of a table's columns; their order does not count."""
    old_by_name = {column.name: column for column in current.columns}
    for new in desired.columns:
        old = old_by_name.pop(new.name, None)
        if old is None:
            yield changes.AddColumn(table=desired.name, new=new)
        elif old != new:
            yield changes.AlterColumn(table=desired.name, old=old, new=new)
    for old in old_by_name.values():
        if (prune and not old.inherited) or ownership.owns_column(current, old):
            yield changes.DropColumn(table=desired.name, old=old)


def diff_constraints(table: str, match: Match[Constraint], goes: Goes) -> Iterator[changes.Change]:
    """Yield the changes of a table's constraints."""
    for gone in match.removed:
        if goes(gone):
            yield changes.DropConstraint(table=table, old=gone)
    for old, new in match.renamed:
        yield changes.RenameConstraint(table=table, old=old, new=new)
    for new in match.added:
        yield changes.AddConstraint(table=table, new=new)


def diff_indexes(table: str, match: Match[Index], goes: Goes) -> Iterator[changes.Change]:
    """Yield the changes of a table's indexes."""
    for gone in match.removed:
        if goes(gone):
            yield changes.DropIndex(table=table, old=gone)
    for old, new in match.renamed:
        yield changes.RenameIndex(table=table, old=old, new=new)
    for new in match.added:
        yield changes.AddIndex(table=table, new=new)


def names_in_the_way(current: Schema, desired: Schema) -> Iterator[changes.RenameConstraint | changes.RenameIndex]:
    """Yield renames of objects whose generated name another object needs, as after renames of tables and columns."""
    wanted = {noun.name for table in desired for noun in table.constraints}
    wanted |= {index.name for table in desired for index in table.indexes}
    for table in desired:
        old_table = current.get(table.name)
        if old_table is None:
            continue
        for old, new in match_objects(old_table.constraints, table.constraints).paired:
            if is_in_the_way(old, new, wanted):
                yield changes.RenameConstraint(table=table.name, old=old, new=new)
        for before, after in match_objects(old_table.indexes, table.indexes).paired:
            if is_in_the_way(before, after, wanted):
                yield changes.RenameIndex(table=table.name, old=before, new=after)


def is_in_the_way(old: Constraint | Index, new: Constraint | Index, wanted: set[str]) -> bool:
    """Return whether an object without a given name has the name of another one, and could have its own."""
    return bool(new.name) and not new.named and old.name != new.name and old.name in wanted


def wanted_names(match: Match[Noun]) -> set[str]:
    """Return the names that the models give to objects that are added or renamed."""
    return {new.name for new in match.added if new.named} | {new.name for _, new in match.renamed}


def foreign_objects(
    current: Schema, desired: Schema, ownership: Ownership
) -> Iterator[tuple[Table, Column | Constraint | Index]]:
    """Yield the columns, constraints and indexes of the desired tables that came from nobody's model."""
    for table in desired:
        old = current.get(table.name)
        if old is None:
            continue
        declared = {column.name for column in table.columns}
        for column in old.columns:
            if column.name not in declared and not ownership.owns_column(old, column):
                yield old, column
        unmatched: tuple[Constraint | Index, ...] = (
            *match_objects(old.constraints, table.constraints).removed,
            *match_objects(old.indexes, table.indexes).removed,
        )
        for noun in unmatched:
            if not ownership.owns_object(old, noun):
                yield old, noun
