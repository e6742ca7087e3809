"""Renames to come, in the definitions that MariaDB and MySQL print. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace as evolve

from automigrate_ext.backends.mysql.parser import quoted, rename_in
from automigrate_ext.schema import renaming
from automigrate_ext.schema.changes import RenameColumn
from automigrate_ext.schema.matching import Noun
from automigrate_ext.schema.nouns import Check, Constraint, ForeignKey, Index, Schema, Table


class RenamedDefinition(renaming.RenamedTable):
    """The parts of one table under their new names, in expressions too."""

    def text(self, expression: str) -> str:
        return rename_in(expression, self.columns) if self.columns else expression

    def foreign_key(self, key: ForeignKey) -> ForeignKey:
        renamed = super().foreign_key(key)
        return evolve(renamed, sql=foreign_key_clause(renamed))


class DefinitionRenaming(renaming.Renaming):
    """The names to come of tables and columns, and the definitions with these names."""

    parts = RenamedDefinition


class CheckRenaming(DefinitionRenaming):
    """The names to come where the server renames the checks that it has named along with their table.

    Source: https://dev.mysql.com/doc/refman/8.4/en/rename-table.html
    """

    def table(self, table: Table) -> Table:
        renamed = super().table(table)
        if renamed.name == table.name:
            return renamed
        pattern = re.compile(rf"{re.escape(table.name)}(_chk_\d+)", re.IGNORECASE)

        def named(noun: Constraint) -> Constraint:
            found = pattern.fullmatch(noun.name) if isinstance(noun, Check) else None
            return evolve(noun, name=f"{renamed.name}{found[1]}") if found else noun

        return evolve(renamed, constraints=tuple(map(named, renamed.constraints)))


def foreign_key_clause(key: ForeignKey) -> str:
    """Return the clause of a foreign key under its present names, with the actions that it had."""
    columns, to_columns = (", ".join(map(quoted, names)) for names in (key.columns, key.to_columns))
    actions = key.sql[key.sql.rindex(")") + 1 :]
    target = quoted(key.to_table)
    return f"CONSTRAINT {quoted(key.name)} FOREIGN KEY ({columns}) REFERENCES {target} ({to_columns}){actions}"


def as_spelled(current: Schema, declared: Schema) -> Schema:
    """Return tables that were read with the models' spelling of columns, constraints and indexes.

    The server compares their names without regard to case, whatever it does with those of tables.
    """
    changes = [change for table in declared for change in respelled_columns(current.get(table.name), table)]
    renaming = DefinitionRenaming(changes)
    tables = (renaming.table(table) if changes else table for table in current)
    return Schema({table.name: with_spelled_objects(table, declared.get(table.name)) for table in tables})


def respelled_columns(current: Table | None, declared: Table) -> Iterator[RenameColumn]:
    """Yield the columns that the models spell in another way."""
    spelling = {column.name.lower(): column.name for column in declared.columns}
    for column in current.columns if current else ():
        wanted = spelling.get(column.name.lower(), column.name)
        if wanted != column.name:
            yield RenameColumn(table=declared.name, old_name=column.name, new_name=wanted)


def with_spelled_objects(table: Table, declared: Table | None) -> Table:
    """Return a table with the models' spelling of its constraints and indexes."""
    nouns: list[Constraint | Index] = [*declared.constraints, *declared.indexes] if declared else []
    spelling = {noun.name.lower(): noun.name for noun in nouns if noun.name}

    def spelled(noun: Noun) -> Noun:
        wanted = spelling.get(noun.name.lower(), noun.name)
        return noun if wanted == noun.name else evolve(noun, name=wanted)

    constraints, indexes = tuple(map(spelled, table.constraints)), tuple(map(spelled, table.indexes))
    if all(old is new for old, new in zip((*table.constraints, *table.indexes), (*constraints, *indexes), strict=True)):
        return table
    return evolve(table, constraints=constraints, indexes=indexes)
