"""Hand-made parts of tables that the server would not make again over columns of other types.

The server keeps the text of a check, an index, a default or a generated column, and reads it again when the type of a
column in it changes; so does a run that puts back what it took off. Whether the text is accepted then is asked of the
server, on an empty table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext.backends.postgresql import faults
from automigrate_ext.backends.postgresql.definitions import create_index
from automigrate_ext.backends.work import Dependent
from automigrate_ext.schema.changes import AlterColumn, Change, DropColumn, DropConstraint, DropIndex
from automigrate_ext.schema.nouns import Column, Constraint, ForeignKey, Index, Schema, Table

#: The name of the empty table; it is found there first, as nothing else has the name.
PROBE = "automigrate_ext_refit"
CREATE_PROBE = "CREATE TEMPORARY TABLE automigrate_ext_refit ({columns})"
ADD_CONSTRAINT = "ALTER TABLE {probe} ADD {clause}"
SET_DEFAULT = "ALTER TABLE {probe} ALTER COLUMN {column} SET DEFAULT {default}"
ADD_GENERATED = "ALTER TABLE {probe} ADD COLUMN automigrate_ext_again {type} GENERATED ALWAYS AS ({expression}) STORED"

COMPARE = "NULL::{one} = NULL::{other}"

#: A part, the columns that are in its text, and the statement that makes it again.
Candidate = tuple[Dependent, frozenset[str], str]


def unfit(
    connection: BaseDatabaseWrapper, current: Schema, desired: Schema, changes: Sequence[Change]
) -> Iterator[tuple[str, str, Dependent]]:
    """Yield the retyped columns, by table and name, with each hand-made part that does not fit them afterwards."""
    retyped_by_table: defaultdict[str, dict[str, Column]] = defaultdict(dict)
    for change in changes:
        if isinstance(change, AlterColumn) and change.retypes:
            retyped_by_table[change.table][change.new.name] = change.new
    for table in current:
        declared = desired.get(table.name)
        if table.name not in retyped_by_table or declared is None:
            continue
        of_table = [change for change in changes if change.table == table.name]
        retyped = retyped_by_table[table.name]
        refit = Refit(connection, current, declared, of_table, retyped_by_table)
        for dependent, columns in refit.rejected():
            for column in sorted(columns & retyped.keys()):
                yield table.name, column, dependent


class Refit:
    """One table with the columns whose types change, by table and name, as they will be."""

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        current: Schema,
        declared: Table,
        changes: Sequence[Change],
        retyped_by_table: Mapping[str, Mapping[str, Column]],
    ) -> None:
        self.connection = connection
        self.current = current
        self.table = current.tables[declared.name]
        self.declared = declared
        self.retyped_by_table = retyped_by_table
        self.gone = {c.old.name for c in changes if isinstance(c, (DropConstraint, DropIndex, DropColumn))}
        self.retyped = retyped_by_table[declared.name]

    def quote(self, name: str) -> str:
        return str(self.connection.ops.quote_name(name))

    def rejected(self) -> Iterator[tuple[Dependent, frozenset[str]]]:
        """Yield the parts that the server rejects, with the columns in them; it is asked only where there are any."""
        candidates = [c for c in self.candidates() if c[1] & self.retyped.keys()]
        if not candidates:
            return
        with transaction.atomic(using=self.connection.alias):
            with self.connection.cursor() as cursor:
                cursor.execute(CREATE_PROBE.format(columns=", ".join(map(self.column, self.table.columns))))
            rejected = [candidate for candidate in candidates if not faults.accepts(self.connection, candidate[2])]
            yield from ((part, columns) for part, columns, _ in rejected)
            transaction.set_rollback(True, using=self.connection.alias)

    def column(self, column: Column) -> str:
        """Return a column as it will be, computed from nothing."""
        column = self.retyped.get(column.name, column)
        collation = f" COLLATE {self.quote(column.collation)}" if column.collation else ""
        return f"{self.quote(column.name)} {column.type}{collation}"

    # Parts

    def candidates(self) -> Iterator[Candidate]:
        """Yield the parts that stay and that the models do not make again by a statement of their own."""
        for constraint in self.table.constraints:
            if constraint.name in self.gone or constraint in self.declared.constraints:
                continue
            if not isinstance(constraint, ForeignKey):
                yield self.of_constraint(constraint)
            elif constraint.to_table in self.current.tables:
                yield self.of_foreign_key(constraint)
        for index in self.table.indexes:
            if index.name not in self.gone and index not in self.declared.indexes:
                yield self.of_index(index)
        for column in self.table.columns:
            if column.generated and column.name not in self.gone and not self.is_declared(column):
                yield self.of_generated(column, column.generated.expression)
            elif column.default is not None and self.keeps_default(column):
                yield self.of_default(column, column.default)

    def is_declared(self, column: Column) -> bool:
        declared = self.declared.column(column.name)
        return declared is not None and bool(declared.sql)

    def keeps_default(self, column: Column) -> bool:
        """Return whether a retyped column keeps a default that no model has."""
        new = self.retyped.get(column.name)
        return new is not None and new.default == column.default and not new.default_sql

    def of_constraint(self, constraint: Constraint) -> Candidate:
        columns: tuple[str, ...] = getattr(constraint, "columns", ())
        sql = ADD_CONSTRAINT.format(probe=PROBE, clause=constraint.sql)
        return self.part(f"{constraint.kind} constraint", constraint.name), frozenset(columns), sql

    def of_foreign_key(self, key: ForeignKey) -> Candidate:
        """Return the comparison that a foreign key makes; a temporary table cannot have the key itself."""
        target = self.current.tables[key.to_table]
        pairs = (
            COMPARE.format(one=self.type_of(self.table, one), other=self.type_of(target, other))
            for one, other in zip(key.columns, key.to_columns, strict=True)
        )
        return self.part(key.kind, key.name), frozenset(key.columns), f"SELECT {' AND '.join(pairs)}"

    def type_of(self, table: Table, name: str) -> str:
        """Return the type that a column of the run's tables will have."""
        column = self.retyped_by_table.get(table.name, {}).get(name) or table.column(name)
        assert column is not None
        return column.type

    def of_index(self, index: Index) -> Candidate:
        sql = create_index(self.quote, PROBE, index, named=False)
        return self.part("index", index.name), frozenset(index.columns), sql

    def of_generated(self, column: Column, expression: str) -> Candidate:
        sql = ADD_GENERATED.format(probe=PROBE, type=column.type, expression=expression)
        return self.part("generated column", column.name), frozenset(column.reads), sql

    def of_default(self, column: Column, default: str) -> Candidate:
        sql = SET_DEFAULT.format(probe=PROBE, column=self.quote(column.name), default=default)
        return self.part("default", default), frozenset([column.name]), sql

    def part(self, kind: str, name: str) -> Dependent:
        return Dependent(table=self.table.name, kind=kind, name=name)
