"""Texts that SHOW CREATE TABLE prints with `?` in place of characters outside the Basic Multilingual Plane.

MariaDB prints defaults that are literals, and the values of enum and set, in utf8mb3, which has no such characters.
What the table itself has is complete, and a temporary table takes it over with its columns: the server writes it there
as a row. Comments are stored as they are printed.
Source: append_unescaped() and Field_enum::sql_type() in MariaDB's sql/, which print in system_charset_info.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace as evolve
from typing import Any

from automigrate_ext.backends.mysql.parser import literals_in, parse_table, quoted, text_literal
from automigrate_ext.schema.nouns import Column, Table

Cursor = Any

LOST = "?"

COPY = "automigrate_ext_texts"
CREATE = "CREATE TEMPORARY TABLE {copy} AS SELECT {columns} FROM {table} LIMIT 0"
DROP = "DROP TEMPORARY TABLE IF EXISTS {copy}"
DEFAULTS = "INSERT INTO {copy} () VALUES ()"
MEMBERS = "INSERT INTO {copy} VALUES {numbers}"
READ = "SELECT {columns} FROM {copy}"
READ_MEMBERS = "SELECT {columns} FROM {copy} ORDER BY {columns} + 0"


def completed(cursor: Cursor, place: str, table: Table) -> Table:
    """Return a table that was read with the characters that were lost in print; asks only where some may be.

    `place` is its name as SQL.
    """
    members = {column.name: true_type(cursor, place, column) for column in table.columns if lacks_members(column)}
    doubtful = [column for column in table.columns if lacks_default(column)]
    defaults = true_defaults(cursor, place, doubtful) if doubtful else {}
    if not members and not defaults:
        return table
    return evolve(
        table,
        columns=tuple(
            evolve(
                column,
                type=members.get(column.name, column.type),
                default=defaults.get(column.name, column.default),
            )
            for column in table.columns
        ),
    )


def lacks_members(column: Column) -> bool:
    """Return whether values of an enum or set may have lost characters."""
    return column.type.startswith(("enum", "set")) and LOST in column.type


def lacks_default(column: Column) -> bool:
    """Return whether a default may have lost characters; expressions are printed whole."""
    default = column.default or ""
    return column.collatable and default.startswith("'") and LOST in default


def true_defaults(cursor: Cursor, place: str, columns: list[Column]) -> dict[str, str]:
    """Return the defaults of some columns of a table, as literals."""
    names = [column.name for column in columns]
    with copied(cursor, place, names):
        cursor.execute(DEFAULTS.format(copy=COPY))
        cursor.execute(READ.format(copy=COPY, columns=", ".join(map(quoted, names))))
        (values,) = cursor.fetchall()
    return {column: text_literal(value) for column, value in zip(names, values, strict=True)}


def true_type(cursor: Cursor, place: str, column: Column) -> str:
    """Return the type of an enum or set with its values, which have numbers: 1, 2, 3 or 1, 2, 4."""
    kind = "set" if column.type.startswith("set") else "enum"
    positions = range(len(literals_in(column.type)))
    numbers = [2**position if kind == "set" else position + 1 for position in positions]
    with copied(cursor, place, [column.name]):
        cursor.execute(MEMBERS.format(copy=COPY, numbers=", ".join(f"({number})" for number in numbers)))
        cursor.execute(READ_MEMBERS.format(copy=COPY, columns=quoted(column.name)))
        values: list[Any] = cursor.fetchall()
    return f"{kind}({','.join(text_literal(value) for (value,) in values)})"


@contextmanager
def copied(cursor: Cursor, place: str, columns: list[str]) -> Iterator[None]:
    """Keep a temporary table with some columns of a table while the block runs, which commits nothing."""
    cursor.execute(DROP.format(copy=COPY))
    cursor.execute(CREATE.format(copy=COPY, columns=", ".join(map(quoted, columns)), table=place))
    yield
    cursor.execute(DROP.format(copy=COPY))


def respelled(cursor: Cursor, place: str, sql: str) -> str:
    """Return what SHOW CREATE TABLE printed for a table with the characters that were lost."""
    if LOST not in sql:
        return sql
    table = parse_table(sql).table
    for printed, true in zip(table.columns, completed(cursor, place, table).columns, strict=True):
        definition = f"{quoted(printed.name)} {printed.sql}"
        whole = definition.replace(f" {printed.type}", f" {true.type}", 1)
        whole = whole.replace(f" DEFAULT {printed.default}", f" DEFAULT {true.default}", 1)
        sql = sql.replace(definition, whole, 1)
    return sql
