"""Damage that a run on SQLite may have done: rows that point at nothing, views and triggers that fail."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from automigrate_ext.backends.sqlite3.introspection import Catalog, read_catalog
from automigrate_ext.backends.sqlite3.parser import parse_table
from automigrate_ext.backends.sqlite3.tokens import quote_name
from automigrate_ext.exceptions import ExecutionFailed

CHECK_REFERENCES = "PRAGMA foreign_key_check"
CHECK_TABLE = "PRAGMA foreign_key_check({table})"
# EXPLAIN compiles a statement without running it, and with it the triggers that it would fire.
TRY_VIEW = "EXPLAIN SELECT * FROM {view}"
TRY_INSERT = "EXPLAIN INSERT INTO {table} DEFAULT VALUES"
TRY_UPDATE = "EXPLAIN UPDATE {table} SET {columns}"
TRY_DELETE = "EXPLAIN DELETE FROM {table}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The defects of a database: rows that point at nothing, and objects that cannot be used.

    `dangling` counts the rows by table and target, `broken` maps views, tables with triggers and foreign keys to the
    reason why they fail.
    """

    dangling: Counter[tuple[str, str]]
    broken: dict[str, str]

    def forbid_worse(self, before: Health) -> None:
        """Raise `ExecutionFailed` where something is wrong that was not wrong before."""
        if complaints := self.worse(before):
            raise ExecutionFailed(f"The run was undone, because after it {'; '.join(complaints)}.")

    def worse(self, before: Health) -> list[str]:
        """Return in words what is wrong that was not wrong before."""
        dangling = self.dangling - before.dangling
        complaints = [f"{rows} rows of {table} point at nothing in {to}" for (table, to), rows in dangling.items()]
        return complaints + [f"{what} fails: {why}" for what, why in self.broken.items() if what not in before.broken]


def examine(database: sqlite3.Connection) -> Health:
    """Find the defects of a database."""
    with closing(database.cursor()) as cursor:
        catalog = read_catalog(cursor)
        rows, mismatches = dangling(cursor, catalog)
        return Health(dangling=rows, broken=mismatches | dict(broken(cursor, catalog)))


def dangling(cursor: sqlite3.Cursor, catalog: Catalog) -> tuple[Counter[tuple[str, str]], dict[str, str]]:
    """Count the rows that point at nothing, by table and target, and return the tables that cannot be checked, and why.

    A foreign key whose target has no such key makes the check of all tables fail.
    """
    failures: dict[str, str] = {}
    try:
        rows = cursor.execute(CHECK_REFERENCES).fetchall()
    except sqlite3.Error:
        rows = []
        for entry in catalog.tables.values():
            try:
                rows += cursor.execute(CHECK_TABLE.format(table=quote_name(entry.name))).fetchall()
            except sqlite3.Error as error:
                failures[f"a foreign key of table {entry.name}"] = str(error)
    return Counter((table, target) for table, _, target, _ in rows), failures


def broken(cursor: sqlite3.Cursor, catalog: Catalog) -> Iterator[tuple[str, str]]:
    """Yield the views, and the tables whose triggers, do not work, each with SQLite's message."""
    for view in catalog.views.values():
        yield from complaint(cursor, f"view {view.name}", TRY_VIEW.format(view=quote_name(view.name)))
    for key in catalog.triggers:
        entry = catalog.tables.get(key)
        if entry is None:
            continue
        columns = [quote_name(c.name) for c in parse_table(entry.sql).table.columns if not c.generated]
        assignments = ", ".join(f"{column} = {column}" for column in columns)
        table = quote_name(entry.name)
        what = f"a trigger of table {entry.name}"
        yield from complaint(cursor, what, TRY_INSERT.format(table=table))
        yield from complaint(cursor, what, TRY_UPDATE.format(table=table, columns=assignments))
        yield from complaint(cursor, what, TRY_DELETE.format(table=table))


def complaint(cursor: sqlite3.Cursor, what: str, statement: str) -> Iterator[tuple[str, str]]:
    """Yield SQLite's message where a statement does not compile."""
    try:
        cursor.execute(statement)
    except sqlite3.Error as error:
        yield what, str(error)
