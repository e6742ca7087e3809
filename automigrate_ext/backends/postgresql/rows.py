"""Questions to the rows on PostgreSQL."""

from __future__ import annotations

from automigrate_ext.backends.rows import LONGEST_VALUE, Rows, Shown
from automigrate_ext.schema.nouns import Column

#: The beginnings of the types whose values are short; those of any other type are shown as text.
SHORT = ("smallint", "integer", "bigint", "numeric", "real", "double", "boolean", "date", "time", "uuid")
SIZE = "octet_length({column})"
TEXT = f"left(({{column}})::text, {LONGEST_VALUE + 1})"


class PostgreSQLRows(Rows):
    """Asks the rows on PostgreSQL."""

    def shown_value(self, column: Column) -> Shown:
        name = self.quote(column.name)
        if column.type == "bytea":
            return Shown(name=column.name, size=SIZE.format(column=name))
        is_short = column.type.startswith(SHORT) and not column.type.endswith("[]")
        return Shown(name=column.name, value=name if is_short else TEXT.format(column=name))
