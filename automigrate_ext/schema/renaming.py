"""Renames that are to come, told to a server that could not undo them: which name each thing has now. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace as evolve

from automigrate_ext.schema.changes import Change, RenameColumn, RenameTable
from automigrate_ext.schema.nouns import (
    Check,
    Column,
    Constraint,
    ForeignKey,
    Generated,
    Index,
    IndexKey,
    Table,
    Unique,
)


class RenamedTable:
    """The parts of one table under their new names: by `columns`, its own, and by those of the tables it points at."""

    def __init__(self, columns: dict[str, str], renaming: Renaming) -> None:
        self.columns = columns
        self.renaming = renaming

    def names(self, columns: Iterable[str]) -> tuple[str, ...]:
        return tuple(self.columns.get(column, column) for column in columns)

    def text(self, expression: str) -> str:
        """An expression with the new names in it, where it can be told from here which names it has."""
        return expression

    def column(self, column: Column) -> Column:
        generated = column.generated
        return evolve(
            column,
            name=self.columns.get(column.name, column.name),
            generated=generated and Generated(expression=self.text(generated.expression), stored=generated.stored),
            default=column.default and self.text(column.default),
            sql=self.text(column.sql),
            reads=self.names(column.reads),
        )

    def constraint(self, constraint: Constraint) -> Constraint:
        match constraint:
            case Check():
                return evolve(
                    constraint,
                    expression=self.text(constraint.expression),
                    columns=self.names(constraint.columns),
                    sql=self.text(constraint.sql),
                )
            case ForeignKey():
                return self.foreign_key(constraint)
            case Unique():
                return evolve(constraint, columns=self.names(constraint.columns))
        return constraint

    def foreign_key(self, key: ForeignKey) -> ForeignKey:
        theirs = self.renaming.columns(key.to_table)
        return evolve(
            key,
            columns=self.names(key.columns),
            to_table=self.renaming.new_tables.get(key.to_table, key.to_table),
            to_columns=tuple(theirs.get(column, column) for column in key.to_columns),
        )

    def index(self, index: Index) -> Index:
        return evolve(
            index, keys=tuple(map(self.key, index.keys)), columns=self.names(index.columns), sql=self.text(index.sql)
        )

    def key(self, key: IndexKey) -> IndexKey:
        if key.column is not None:
            return evolve(key, column=self.columns.get(key.column, key.column))
        return evolve(key, expression=self.text(key.expression or ""))


class Renaming:
    """What tables and columns will be called after some changes, which come one after the other."""

    #: What names the parts of a table anew.
    parts = RenamedTable

    def __init__(self, changes: Iterable[Change]) -> None:
        #: The name that each renamed table has now, by the name that it will have.
        self.old_tables: dict[str, str] = {}
        #: The names that columns have now, by the names that they will have; by the table's name now.
        self.old_columns: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for change in changes:
            if isinstance(change, RenameTable):
                self.old_tables[change.new_name] = self.old_tables.pop(change.table, change.table)
            elif isinstance(change, RenameColumn):
                columns = self.old_columns[self.old_table(change.table)]
                columns[change.new_name] = columns.pop(change.old_name, change.old_name)

    def old_table(self, new: str) -> str:
        """The name now of a table that will have this one."""
        return self.old_tables.get(new, new)

    def is_taken(self, new: str) -> bool:
        """Whether the table that has this name now will have another one, and no other table takes it."""
        return new in self.old_tables.values() and new not in self.old_tables

    @property
    def new_tables(self) -> Mapping[str, str]:
        """The name that each renamed table will have, by the one that it has now."""
        return {old: new for new, old in self.old_tables.items()}

    def columns(self, old_table: str) -> dict[str, str]:
        """The names that columns of a table will have, by those that they have now."""
        return {old: new for new, old in self.old_columns.get(old_table, {}).items() if old != new}

    def columns_by_new_table(self) -> dict[str, dict[str, str]]:
        """The same for all tables, by the names that these will have."""
        found = {self.new_tables.get(table, table): self.columns(table) for table in self.old_columns}
        return {table: columns for table, columns in found.items() if columns}

    def table(self, table: Table) -> Table:
        """A table as it will be called."""
        columns = self.columns(table.name)
        renamed = self.parts(columns, self)
        key = table.primary_key
        return evolve(
            table,
            name=self.new_tables.get(table.name, table.name),
            columns=tuple(map(renamed.column, table.columns)),
            primary_key=key and evolve(key, columns=renamed.names(key.columns)),
            constraints=tuple(map(renamed.constraint, table.constraints)),
            indexes=tuple(map(renamed.index, table.indexes)),
        )
