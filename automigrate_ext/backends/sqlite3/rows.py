"""Questions to the rows on SQLite."""

from __future__ import annotations

from automigrate_ext.backends.rows import LONGEST_VALUE, Rows, Shown
from automigrate_ext.schema.nouns import Column

# A column may hold values of any type: https://sqlite.org/datatype3.html
VALUE = (
    f"CASE typeof({{column}}) WHEN 'text' THEN substr({{column}}, 1, {LONGEST_VALUE + 1}) "
    "WHEN 'blob' THEN NULL ELSE {column} END"
)
SIZE = "CASE typeof({column}) WHEN 'blob' THEN length({column}) END"


class SQLiteRows(Rows):
    """Asks the rows on SQLite."""

    def shown_value(self, column: Column) -> Shown:
        name = self.quote(column.name)
        return Shown(name=column.name, value=VALUE.format(column=name), size=SIZE.format(column=name))
