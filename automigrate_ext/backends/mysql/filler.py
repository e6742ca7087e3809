"""Values of their own for rows on MariaDB and MySQL: one statement for many rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from automigrate_ext.backends.filler import Filler
from automigrate_ext.backends.work import RowFill

# The values stay literals, which take the character set and collation of the column; those of a derived table have ones
# of their own, which the server may refuse to compare with the keys.
UPDATE_ROWS = "UPDATE {table} SET {column} = CASE {cases} END{kept} WHERE {key} IN ({keys})"
CASE = "WHEN {key} = {literal} THEN {value}"


class MySQLFiller(Filler):
    """Gives rows values of their own on MariaDB and MySQL."""

    def update_rows(self, fill: RowFill, values: Sequence[tuple[tuple[str, ...], str]]) -> Iterator[str]:
        """Yield one statement for all these rows."""
        key = tuple_of(tuple(map(self.rows.quote, fill.key)))
        rows = [(tuple_of(literals), value) for literals, value in values]
        yield UPDATE_ROWS.format(
            table=self.rows.quote(fill.table),
            column=self.rows.quote(fill.column),
            cases=" ".join(CASE.format(key=key, literal=literal, value=value) for literal, value in rows),
            kept=self.kept(fill),
            key=key,
            keys=", ".join(literal for literal, _ in rows),
        )

    def row_statement(self, fill: RowFill, anything: str) -> str:
        return UPDATE_ROWS.format(
            table=self.rows.quote(fill.table),
            column=self.rows.quote(fill.column),
            cases=anything,
            kept=self.kept(fill),
            key=anything,
            keys=anything,
        )


def tuple_of(parts: Sequence[str]) -> str:
    """Return one or several expressions as one that may be compared."""
    return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"
