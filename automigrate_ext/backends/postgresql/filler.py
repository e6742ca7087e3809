"""Values of their own for rows on PostgreSQL: one statement for many rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from automigrate_ext.backends.filler import Filler
from automigrate_ext.backends.work import RowFill

UPDATE_ROWS = (
    "UPDATE {table} AS filled SET {column} = given.value FROM (VALUES {values}) AS given ({names}) WHERE {joined}"
)


class PostgreSQLFiller(Filler):
    """Gives rows values of their own on PostgreSQL."""

    def update_rows(self, fill: RowFill, values: Sequence[tuple[tuple[str, ...], str]]) -> Iterator[str]:
        """Yield one statement for all these rows; the first row of values declares the types of all."""
        quote = self.rows.quote
        names = [f"key_{number}" for number, _ in enumerate(fill.key)]
        rows = [(*key, value) for key, value in values]
        rows[0] = tuple(f"{text}::{kind}" for text, kind in zip(rows[0], (*fill.key_types, fill.type), strict=True))
        pairs = zip(fill.key, names, strict=True)
        yield UPDATE_ROWS.format(
            table=quote(fill.table),
            column=quote(fill.column),
            values=", ".join(f"({', '.join(row)})" for row in rows),
            names=", ".join((*names, "value")),
            joined=" AND ".join(
                (
                    *(f"filled.{quote(column)} = given.{name}" for column, name in pairs),
                    # What others have written meanwhile stays.
                    *([f"filled.{quote(fill.column)} IS NULL"] if fill.shared else []),
                )
            ),
        )

    def row_statement(self, fill: RowFill, anything: str) -> str:
        return UPDATE_ROWS.format(
            table=self.rows.quote(fill.table),
            column=self.rows.quote(fill.column),
            values=anything,
            names=anything,
            joined=anything,
        )
