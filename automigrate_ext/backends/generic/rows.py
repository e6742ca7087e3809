"""Questions to the rows in SQL that every server understands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from automigrate_ext.backends.generic.introspection import Catalog
from automigrate_ext.backends.rows import RenamedRows

COUNT_ALL = "SELECT count(*) FROM {table} asked"
COUNT_VALUES = "SELECT count({column}) FROM {table} asked"


class GenericRows(RenamedRows):
    """Asks the rows of any database."""

    def column_names(self, table: str) -> Sequence[str]:
        with self.connection.cursor() as cursor:
            info: Any = Catalog(self.connection, cursor).find(table)
        with self.connection.cursor() as cursor:
            return [row.name for row in self.connection.introspection.get_table_description(cursor, info.name)]

    def held(self, places: Sequence[tuple[str, str | None]]) -> frozenset[tuple[str, str | None]]:
        """Return those of the places that hold something, by one query each: a server may require FROM in a query."""
        return frozenset(place for place in dict.fromkeys(places) if self.count_held(*place))

    def count_held(self, table: str, column: str | None) -> int:
        """Count the rows of a table, or the values in its column."""
        if column is None:
            return int(self.ask(COUNT_ALL, table=self.relation(table)))
        return int(self.ask(COUNT_VALUES, column=self.quote(column), table=self.relation(table)))
