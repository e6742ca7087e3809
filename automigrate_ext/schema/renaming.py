"""One map of old and new names, for servers that cannot undo renames made on trial. Pure."""

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
    """Renames the parts of one table: by `columns`, its own, and by the columns of the tables that it points at."""

    def __init__(self, columns: dict[str, str], renaming: Renaming) -> None:
        self.columns = columns
        self.renaming = renaming

    def names(self, columns: Iterable[str]) -> tuple[str, ...]:
        return tuple(self.columns.get(column, column) for column in columns)

    def text(self, expression: str) -> str:
        """Return an expression with the new names in it; unchanged here, where the names in it are unknown."""
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
    """The names of tables and columns before and after some changes, which are made one after the other."""

    #: The class that renames the parts of a table.
    parts = RenamedTable

    def __init__(self, changes: Iterable[Change]) -> None:
        #: The current name of each renamed table, by its new name.
        self.old_tables: dict[str, str] = {}
        #: The current names of columns, by their new names; by the current name of the table.
        self.old_columns: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for change in changes:
            if isinstance(change, RenameTable):
                self.old_tables[change.new_name] = self.old_tables.pop(change.table, change.table)
            elif isinstance(change, RenameColumn):
                columns = self.old_columns[self.old_table(change.table)]
                columns[change.new_name] = columns.pop(change.old_name, change.old_name)

    def old_table(self, new: str) -> str:
        """Return the current name of the table that gets this name."""
        return self.old_tables.get(new, new)

    def is_vacated(self, name: str) -> bool:
        """Return whether the table that now has this name gets another one, and no other table takes the name."""
        return name in self.old_tables.values() and name not in self.old_tables

    @property
    def new_tables(self) -> Mapping[str, str]:
        """The new name of each renamed table, by its current one."""
        return {old: new for new, old in self.old_tables.items()}

    def columns(self, old_table: str) -> dict[str, str]:
        """Return the new names of a table's renamed columns, by their current ones."""
        return {old: new for new, old in self.old_columns.get(old_table, {}).items() if old != new}

    def columns_by_new_table(self) -> dict[str, dict[str, str]]:
        """Return the new names of renamed columns, by their current ones, for each table by its new name."""
        by_table = {self.new_tables.get(table, table): self.columns(table) for table in self.old_columns}
        return {table: columns for table, columns in by_table.items() if columns}

    def table(self, table: Table) -> Table:
        """Return a table with its new names."""
        if not (self.old_tables or self.old_columns):
            return table
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
