"""Views and triggers that would stop working. They are stored as text, so the server parses that text again.

A temporary table hides the one of the same name from a view's query, and variables take the place of a trigger's
rows; without the parts that go, the server reports what is missing. Nothing is executed, and nothing is committed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError, Error

from automigrate_ext.backends.mysql import faults
from automigrate_ext.backends.work import Dependent, Part

DATABASE = "SELECT DATABASE()"
# The server prints queries of views with the database before each table, and nothing without the privilege SHOW VIEW.
VIEWS = """
SELECT table_schema, table_name, view_definition FROM information_schema.views
WHERE {mentioned} ORDER BY table_schema <> DATABASE(), table_schema, table_name
"""
MENTIONED = "LOCATE(%s, view_definition) > 0"
TRIGGERS = """
SELECT trigger_name, action_statement, event_object_table FROM information_schema.triggers
WHERE event_object_schema = DATABASE() AND event_object_table = %s ORDER BY trigger_name
"""
HIDE_COLUMNS = "CREATE TEMPORARY TABLE {table} AS SELECT {columns} FROM {table} LIMIT 0"
# A union with a table that does not exist can be created, but not opened, so every query that reads it fails.
HIDE_TABLE = "CREATE TEMPORARY TABLE {table} (nothing int) ENGINE=MERGE UNION=(automigrate_ext_nowhere)"
SHOW_AGAIN = "DROP TEMPORARY TABLE IF EXISTS {tables}"
PREPARE, FORGET = "PREPARE automigrate_ext_view FROM %s", "DEALLOCATE PREPARE automigrate_ext_view"
# Source: https://mariadb.com/kb/en/row/ - fields are looked up when the text is parsed, even if the code is never run.
READ_TRIGGER = "EXECUTE IMMEDIATE %s"
TRIGGER = "BEGIN NOT ATOMIC DECLARE NEW, OLD ROW ({fields}); IF FALSE THEN {body}; END IF; END"
FIELD = "{column} int"

# The server's errors for a column, a table or a field that does not exist.
MISSING = {1054, 1168, 4082}


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """The query of a view, or the statement of a trigger, and its name."""

    name: str
    sql: str


def dependents_of(
    connection: BaseDatabaseWrapper, parts: Collection[Part], columns: Mapping[str, Sequence[str]], *, triggers: bool
) -> Mapping[Part, list[Dependent]]:
    """Return the views that work now, and not without a part; `columns` are those of the parts' tables.

    With `triggers` return those too.
    """
    finder = Finder(connection, columns)
    found: defaultdict[Part, list[Dependent]] = defaultdict(list)
    for part, kind, text in (*finder.views(parts), *(finder.triggers(parts) if triggers else ())):
        found[part].append(Dependent(table=part.table, kind=kind, name=text.name))
    return found


class Finder:
    """Tries views and triggers without some columns and tables."""

    def __init__(self, connection: BaseDatabaseWrapper, columns: Mapping[str, Sequence[str]]) -> None:
        self.connection = connection
        self.quote = connection.ops.quote_name
        self.columns = columns

    def rows(self, sql: str, *parameters: str) -> list[tuple[str, ...]]:
        """Return the rows of a query."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return list(cursor.fetchall())

    def misses(self, sql: str, *parameters: str) -> bool:
        """Return whether the server misses a column or table; where the role lacks a privilege, nothing is known."""
        with self.connection.cursor() as cursor:
            try:
                cursor.execute(sql, parameters)
            except DatabaseError as error:
                if faults.is_fault(error) and not faults.is_forbidden(error):
                    raise
                return faults.code_of(error) in MISSING
        return False

    # Views

    def views(self, parts: Collection[Part]) -> Iterator[tuple[Part, str, Text]]:
        """Yield the views that miss a part; first all candidates are tried without all parts."""
        mentioning = self.mentioning({part.table for part in parts}) if parts else []
        if not mentioning:
            return
        with self.hidden(parts):
            broken = [text for text in mentioning if self.fails(text)]
        broken = [text for text in broken if not self.fails(text)]
        for part in parts if broken else ():
            with self.hidden([part]):
                found = [text for text in broken if self.fails(text)]
            yield from ((part, "view", text) for text in found)

    def mentioning(self, tables: Collection[str]) -> list[Text]:
        """Return the views whose query contains the name of one of the tables, for whatever reason."""
        ((database,),) = self.rows(DATABASE)
        names = [f"{self.quote(database)}.{self.quote(table)}" for table in tables]
        rows = self.rows(VIEWS.format(mentioned=" OR ".join([MENTIONED] * len(names))), *names)
        return [Text(name=name if of == database else f"{of}.{name}", sql=query) for of, name, query in rows]

    def fails(self, text: Text) -> bool:
        """Return whether the query of a view misses something now."""
        missing = self.misses(PREPARE, text.sql)
        if not missing:
            with self.connection.cursor() as cursor, suppress(DatabaseError):
                cursor.execute(FORGET)  # the statement may not have been prepared
        return missing

    @contextmanager
    def hidden(self, parts: Iterable[Part]) -> Iterator[None]:
        """Hide the parts of the tables from the session while the block runs."""
        gone: defaultdict[str, set[str]] = defaultdict(set)
        for part in parts:
            gone[part.table].add(part.column)
        again = SHOW_AGAIN.format(tables=", ".join(map(self.quote, gone)))
        try:
            with self.connection.cursor() as cursor:
                for table, columns in gone.items():
                    cursor.execute(self.hide(table, columns))
            yield
        except BaseException:
            # The first error is to be reported, not a broken connection; the end of the session shows the tables again.
            with suppress(Error), self.connection.cursor() as cursor:
                cursor.execute(again)
            raise
        with self.connection.cursor() as cursor:
            cursor.execute(again)

    def hide(self, table: str, gone: Collection[str]) -> str:
        """Return the statement that hides some columns of a table, or the whole table where "" is among them."""
        left = [self.quote(column) for column in self.columns[table] if column not in gone]
        if "" in gone:
            return HIDE_TABLE.format(table=self.quote(table))
        return HIDE_COLUMNS.format(table=self.quote(table), columns=", ".join(left or ["1"]))

    # Triggers

    def triggers(self, parts: Collection[Part]) -> Iterator[tuple[Part, str, Text]]:
        """Yield the triggers of the parts' tables that use a column of their rows."""
        wanted: defaultdict[str, list[Part]] = defaultdict(list)
        for part in parts:
            if part.column:
                wanted[part.table].append(part)
        for table, columns in wanted.items():
            for name, body, of_table in self.rows(TRIGGERS, table):
                # The catalog's own texts compare without regard to case.
                if of_table != table or self.lacks_field(body, table, ""):
                    continue
                for part in columns:
                    if self.lacks_field(body, table, part.column):
                        yield part, "trigger", Text(name=name, sql=body)

    def lacks_field(self, body: str, table: str, gone: str) -> bool:
        """Return whether a trigger's statement misses something in rows without a column."""
        left = [FIELD.format(column=self.quote(column)) for column in self.columns[table] if column != gone]
        return self.misses(READ_TRIGGER, TRIGGER.format(fields=", ".join(left or ["nothing int"]), body=body))
