"""Renames to come, in the definitions that MariaDB and MySQL print. Pure."""

from __future__ import annotations

from dataclasses import replace as evolve

from automigrate_ext.backends.mysql.parser import quoted, rename_in
from automigrate_ext.schema import renaming
from automigrate_ext.schema.nouns import ForeignKey


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


def foreign_key_clause(key: ForeignKey) -> str:
    """Return the clause of a foreign key under its present names, with the actions that it had."""
    columns, to_columns = (", ".join(map(quoted, names)) for names in (key.columns, key.to_columns))
    actions = key.sql[key.sql.rindex(")") + 1 :]
    target = quoted(key.to_table)
    return f"CONSTRAINT {quoted(key.name)} FOREIGN KEY ({columns}) REFERENCES {target} ({to_columns}){actions}"
