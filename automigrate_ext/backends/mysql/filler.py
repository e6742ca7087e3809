"""Values of their own for rows on MariaDB and MySQL: one statement for many rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from automigrate_ext.backends.filler import Filler
from automigrate_ext.backends.work import RowFill

# The values stay literals, which take the character set and collation of the column; those of a derived table have ones
# of their own, which the server may refuse to compare with the keys.
UPDATE_ROWS = "UPDATE {table} SET {column} = CASE {cases} END{kept} WHERE {key} IN ({keys}){shared}"
CASE = "WHEN {key} = {literal} THEN {value}"
# What others have written meanwhile stays.
STILL_EMPTY = " AND {column} IS NULL"
UPDATE_RANGE = "UPDATE {table} SET {column} = {value}{kept} WHERE {column} IS NULL AND {first} AND {last}"


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
            shared=STILL_EMPTY.format(column=self.rows.quote(fill.column)) if fill.shared else "",
        )

    def update_range(self, fill: RowFill, first: Sequence[str], last: Sequence[str]) -> str:
        """Return the statement that gives all rows between two keys the value that they have not got yet."""
        names = list(map(self.rows.quote, fill.key))
        return UPDATE_RANGE.format(
            table=self.rows.quote(fill.table),
            column=self.rows.quote(fill.column),
            value=fill.value,
            kept=self.kept(fill),
            first=compared(names, first, ">", "="),
            last=compared(names, last, "<", "="),
        )

    def beyond(self, key: Sequence[str], last: Sequence[str]) -> str:
        return compared(key, last, ">")

    def row_statement(self, fill: RowFill, anything: str) -> str:
        return UPDATE_ROWS.format(
            table=self.rows.quote(fill.table),
            column=self.rows.quote(fill.column),
            cases=anything,
            kept=self.kept(fill),
            key=anything,
            keys=anything,
            shared=STILL_EMPTY.format(column=self.rows.quote(fill.column)) if fill.shared else "",
        )


def compared(names: Sequence[str], literals: Sequence[str], sign: str, equal: str = "") -> str:
    """Return the condition that a key is greater or less than another one, in the form for which servers use an index.

    They compare rows of values, as in (a, b) > (1, 2), by reading them all.
    """
    parts = []
    for number, (name, literal) in enumerate(zip(names, literals, strict=True)):
        before = [f"{other} = {text}" for other, text in zip(names[:number], literals[:number], strict=True)]
        is_last = number == len(names) - 1
        parts.append(" AND ".join((*before, f"{name} {sign}{equal if is_last else ''} {literal}")))
    return f"({' OR '.join(parts)})" if len(parts) > 1 else parts[0]


def tuple_of(parts: Sequence[str]) -> str:
    """Return one or several expressions as one that may be compared."""
    return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"
