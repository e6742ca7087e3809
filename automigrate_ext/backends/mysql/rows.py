"""Questions to the rows on MariaDB and MySQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as evolve

from automigrate_ext.backends.mysql import introspection
from automigrate_ext.backends.mysql.introspection import Catalog
from automigrate_ext.backends.mysql.parser import JSON, is_text
from automigrate_ext.backends.rows import LONGEST_VALUE, RenamedRows, Shown
from automigrate_ext.backends.session import RenamingSession
from automigrate_ext.schema.nouns import Column

# Source: https://mariadb.com/kb/en/system-versioned-tables/
WITH_HISTORY = " FOR SYSTEM_TIME ALL"
#: The ends of the names of binary types, without a length.
BINARY = ("binary", "blob")
SIZE = "OCTET_LENGTH({column})"
TEXT = f"LEFT({{column}}, {LONGEST_VALUE + 1})"


class MySQLRows(RenamedRows):
    """Asks the rows on MariaDB and MySQL."""

    def __init__(self, session: RenamingSession) -> None:
        super().__init__(session)
        #: The names of tables that were read last, which costs no query of its own.
        self.catalog: Catalog | None = None

    def stored_relation(self, table: str) -> str:
        return self.renamed(table, WITH_HISTORY if self.is_versioned(table) else "")

    def shown_value(self, column: Column) -> Shown:
        name = self.quote(column.name)
        if column.type.partition("(")[0].endswith(BINARY):
            return Shown(name=column.name, size=SIZE.format(column=name))
        is_long = is_text(column.type) or column.type == JSON
        return Shown(name=column.name, value=TEXT.format(column=name) if is_long else name)

    def is_versioned(self, table: str) -> bool:
        """Return whether the server keeps the history of a table's rows."""
        return self.catalog is not None and self.catalog.is_versioned(self.renaming_session.renaming.old_table(table))

    def in_table(self, table: str, column: Column) -> Column:
        """Return a column with the collation that it takes from its table where it has none of its own.

        Anywhere else it would have that of the database or of the connection.
        """
        old = self.renaming_session.renaming.old_table(table)
        collation = self.catalog.collations.get(self.catalog.find(old) or "") if self.catalog else None
        return (
            evolve(column, collation=collation) if collation and column.collatable and not column.collation else column
        )

    def column_names(self, table: str) -> Sequence[str]:
        (text,) = introspection.read_texts(self.connection, [table])
        return [column.name for column in text.table.columns]
