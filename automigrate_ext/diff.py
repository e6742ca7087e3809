"""Compare two schemas: what must change for the current one to equal the desired one. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from automigrate_ext import changes
from automigrate_ext.ownership import Ownership
from automigrate_ext.schema import Column, Constraint, Index, Schema, Table

Noun = TypeVar("Noun", Constraint, Index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match(Generic[Noun]):
    """The objects of one kind of two tables, paired by structure."""

    added: tuple[Noun, ...]
    removed: tuple[Noun, ...]
    renamed: tuple[tuple[Noun, Noun], ...]


def diff(current: Schema, desired: Schema, ownership: Ownership, *, prune: bool = False) -> tuple[changes.Change, ...]:
    """The changes that make `current` equal to `desired`, table by table.

    Tables of `current` that `desired` does not have are dropped; so are columns, constraints and indexes
    that `ownership` says came from the models, and with `prune` all others too.
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
    """The changes of one table that both schemas have."""
    if (current.comment, current.tablespace) != (desired.comment, desired.tablespace):
        yield changes.AlterTable(table=desired.name, old=current, new=desired)
    yield from diff_columns(current, desired, ownership, prune=prune)
    if current.primary_key != desired.primary_key:
        yield changes.AlterPrimaryKey(table=desired.name, old=current.primary_key, new=desired.primary_key)
    yield from diff_constraints(current, desired, ownership, prune=prune)
    yield from diff_indexes(current, desired, ownership, prune=prune)


def diff_columns(current: Table, desired: Table, ownership: Ownership, *, prune: bool) -> Iterator[changes.Change]:
    """The changes of a table's columns; their order does not count."""
    old_by_name = {column.name: column for column in current.columns}
    for new in desired.columns:
        old = old_by_name.pop(new.name, None)
        if old is None:
            yield changes.AddColumn(table=desired.name, new=new)
        elif old != new:
            yield changes.AlterColumn(table=desired.name, old=old, new=new)
    for old in old_by_name.values():
        if prune or ownership.owns_column(current, old):
            yield changes.DropColumn(table=desired.name, old=old)


def diff_constraints(current: Table, desired: Table, ownership: Ownership, *, prune: bool) -> Iterator[changes.Change]:
    """The changes of a table's constraints."""
    match = match_objects(current.constraints, desired.constraints)
    for gone in going(match, current, ownership, prune=prune):
        yield changes.DropConstraint(table=desired.name, old=gone)
    for old, new in match.renamed:
        yield changes.RenameConstraint(table=desired.name, old=old, new=new)
    for new in match.added:
        yield changes.AddConstraint(table=desired.name, new=new)


def diff_indexes(current: Table, desired: Table, ownership: Ownership, *, prune: bool) -> Iterator[changes.Change]:
    """The changes of a table's indexes."""
    match = match_objects(current.indexes, desired.indexes)
    for old in going(match, current, ownership, prune=prune):
        yield changes.DropIndex(table=desired.name, old=old)
    for old, new in match.renamed:
        yield changes.RenameIndex(table=desired.name, old=old, new=new)
    for new in match.added:
        yield changes.AddIndex(table=desired.name, new=new)


def match_objects(current: Sequence[Noun], desired: Sequence[Noun]) -> Match[Noun]:
    """Pair equal objects: first those that have the same name too, then the rest in any order.

    A pair whose names differ is a rename where the model gave the name, and no difference elsewhere.
    """
    by_structure: defaultdict[Noun, list[Noun]] = defaultdict(list)
    for old in current:
        by_structure[old].append(old)
    rest = [new for new in desired if not take(by_structure[new], new.name)]
    added: list[Noun] = []
    renamed: list[tuple[Noun, Noun]] = []
    for new in sorted(rest, key=lambda noun: not noun.named):
        same = take(by_structure[new])
        if same is None:
            added.append(new)
        elif new.named:
            renamed.append((same, new))
    removed = [old for candidates in by_structure.values() for old in candidates]
    return Match(added=tuple(added), removed=tuple(removed), renamed=tuple(renamed))


def take(candidates: list[Noun], name: str | None = None) -> Noun | None:
    """Take the candidate of that name, or the first one, out of the list."""
    for position, candidate in enumerate(candidates):
        if name is None or (name and candidate.name == name):
            return candidates.pop(position)
    return None


def going(match: Match[Noun], current: Table, ownership: Ownership, *, prune: bool) -> Iterator[Noun]:
    """The unmatched objects that have to go: owned ones, and those that stand in the way of a new one."""
    wanted = {new.name for new in match.added if new.named} | {new.name for _, new in match.renamed}
    for old in match.removed:
        if prune or old.name in wanted or ownership.owns_object(current, old):
            yield old


def foreign_objects(
    current: Schema, desired: Schema, ownership: Ownership
) -> Iterator[tuple[Table, Column | Constraint | Index]]:
    """What the desired tables carry in the database that came from nobody's model."""
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
