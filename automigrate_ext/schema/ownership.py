"""Whose a thing is: what the models once declared may go when they drop it, what others made stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as evolve

from automigrate_ext.schema.changes import AddConstraint
from automigrate_ext.schema.matching import match_objects
from automigrate_ext.schema.nouns import Column, Constraint, ForeignKey, Index, Schema, Table

Attributes = tuple[str, ...]
TableObject = Constraint | Index


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedTable:
    """What the models declared of one table when a run last looked at it.

    `columns` and `objects` (constraints and indexes by identity) map to the optional attributes that
    came from the models, `attributes` are those of the table as a whole. `kept` names columns that the
    models no longer have and whose values were kept. `taken_off` are foreign keys made by hand that a run takes off
    and puts back, which the next run does where it was ended in between.
    """

    name: str
    owner: str
    columns: Mapping[str, Attributes] = field(default_factory=dict)
    objects: Mapping[str, Attributes] = field(default_factory=dict)
    attributes: Attributes = ()
    kept: tuple[str, ...] = ()
    taken_off: tuple[ForeignKey, ...] = ()


def never_generated(table: Table, noun: TableObject) -> bool:
    """The answer of a caller who cannot tell generated names from others."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """The record of owned objects, and what can be told without it.

    `django_named` says whether Django's schema editor gave the object its name (the hash in it cannot
    be met by chance); `server_named` whether the server chose it, as it does for a column's own
    constraints. The latter counts only for tables that no run has recorded yet.
    """

    tables: Mapping[str, OwnedTable] = field(default_factory=dict)
    django_named: Callable[[Table, TableObject], bool] = never_generated
    server_named: Callable[[Table, TableObject], bool] = never_generated

    def owns_column(self, table: Table, column: Column) -> bool:
        """Whether the column came from the models; on a table never recorded, every column of its own did."""
        if column.inherited:
            return False
        owned = self.tables.get(table.name)
        return owned is None or column.name in owned.columns or column.name in owned.kept

    def is_kept(self, table: str, column: str | None) -> bool:
        """Whether a run has kept the column, or the table as a whole, that no model declares any more."""
        owned = self.tables.get(table)
        if owned is None:
            return False
        return column in owned.kept if column else not owned.columns

    def owns_object(self, table: Table, noun: TableObject) -> bool:
        """Whether the constraint or index came from the models."""
        if noun.inherited:
            return False
        owned = self.tables.get(table.name)
        if owned is None:
            return self.django_named(table, noun) or self.server_named(table, noun)
        return noun.identity in owned.objects or self.django_named(table, noun)

    def owns_attribute(self, table: Table, attribute: str, *, of: str | None = None) -> bool:
        """Whether an optional attribute of the table, or of its column or object `of`, came from them."""
        owned = self.tables.get(table.name)
        if owned is None:
            return False
        if of is None:
            return attribute in owned.attributes
        return attribute in owned.columns.get(of, ()) or attribute in owned.objects.get(of, ())


def owned_table(declared: Table, desired: Table, current: Table, before: OwnedTable | None) -> OwnedTable:
    """What to record of a table: everything that the models declare, under the name the database knows.

    `desired` is the declared table with what it took over from the database, `current` the table after
    the run; what `before` owned and the run kept stays owned.
    """
    names = {column.name for column in declared.columns}
    present = {column.name for column in current.columns}
    formerly = set(before.columns) | set(before.kept) if before else set(present)
    return OwnedTable(
        name=declared.name,
        owner=declared.owner,
        columns={column.name: column_attributes(column) for column in declared.columns},
        objects=owned_objects(declared, desired, current, before),
        attributes=tuple(a for a in ("comment", "tablespace") if getattr(declared, a)),
        kept=tuple(sorted((formerly & present) - names)),
        taken_off=tuple(key for key in before.taken_off if key not in current.foreign_keys) if before else (),
    )


def kept_table(owned: OwnedTable) -> OwnedTable:
    """What to record of a table that no model declares any more and that a run has kept."""
    return evolve(owned, columns={}, kept=tuple(sorted({*owned.columns, *owned.kept})))


def owned_during_run(
    after: OwnedTable, before: OwnedTable | None, filled: Iterable[str], taken_off: Iterable[ForeignKey]
) -> OwnedTable:
    """What to record before a run that a server does not undo: all that was owned, all that will be.

    The `filled` columns have a database default for the time of the run, which is the run's own, and the foreign keys
    `taken_off` are not there for some of it.
    """
    columns = {**(before.columns if before else {}), **after.columns}
    columns |= {name: tuple(dict.fromkeys((*columns.get(name, ()), "default"))) for name in filled}
    return evolve(
        after,
        columns=columns,
        objects={**(before.objects if before else {}), **after.objects},
        attributes=tuple(dict.fromkeys((*(before.attributes if before else ()), *after.attributes))),
        taken_off=tuple(dict.fromkeys((*(before.taken_off if before else ()), *taken_off))),
    )


def foreign_keys_to_restore(current: Schema, ownership: Ownership) -> Iterator[AddConstraint]:
    """The foreign keys that a run took off and did not come to put back, as far as both ends are among the tables."""
    for table in current:
        owned = ownership.tables.get(table.name)
        columns = {column.name for column in table.columns}
        for key in owned.taken_off if owned else ():
            if key not in table.foreign_keys and columns.issuperset(key.columns) and current.get(key.to_table):
                yield AddConstraint(table=table.name, new=key)


def owned_objects(declared: Table, desired: Table, current: Table, before: OwnedTable | None) -> dict[str, Attributes]:
    """The declared constraints and indexes by their identity in the database, those owned before preferred."""
    known = before.objects if before else {}

    def is_new(noun: TableObject) -> bool:
        return noun.identity not in known

    constraints = match_objects(sorted(current.constraints, key=is_new), desired.constraints).paired
    indexes = match_objects(sorted(current.indexes, key=is_new), desired.indexes).paired
    declared_objects: tuple[TableObject, ...] = (*declared.constraints, *declared.indexes)
    desired_objects: tuple[TableObject, ...] = (*desired.constraints, *desired.indexes)
    attributes = {
        id(after): object_attributes(before) for before, after in zip(declared_objects, desired_objects, strict=True)
    }
    pairs: tuple[tuple[TableObject, TableObject], ...] = (*constraints, *indexes)
    return {old.identity: attributes[id(new)] for old, new in pairs}


def column_attributes(column: Column) -> Attributes:
    """The optional attributes that a declared column has."""
    return tuple(a for a in ("default", "collation", "comment") if getattr(column, a))


def object_attributes(noun: TableObject) -> Attributes:
    """The optional attributes that a declared constraint or index has."""
    return tuple(a for a in ("on_delete", "options", "tablespace") if getattr(noun, a, None))
