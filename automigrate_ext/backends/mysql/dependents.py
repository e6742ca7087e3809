"""Views and triggers that would stop working. MariaDB keeps them as text, so it is asked to read that text again.

A temporary table hides the one of the same name from a view's query, and variables take the place of a trigger's
rows; without what goes, the server says what it misses. Nothing of it is executed, and nothing is committed.
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
# The server prints the queries of views with the database before each table; without SHOW VIEW it prints nothing.
VIEWS = """
SELECT table_schema, table_name, view_definition FROM information_schema.views
WHERE {mentioned} ORDER BY table_schema <> DATABASE(), table_schema, table_name
"""
MENTIONED = "LOCATE(%s, view_definition) > 0"
TRIGGERS = """
SELECT trigger_name, action_statement FROM information_schema.triggers
WHERE event_object_schema = DATABASE() AND event_object_table = %s ORDER BY trigger_name
"""
HIDE_COLUMNS = "CREATE TEMPORARY TABLE {table} AS SELECT {columns} FROM {table} LIMIT 0"
# A union with a table that is not there can be made, but not opened, so that whatever reads the table fails.
HIDE_TABLE = "CREATE TEMPORARY TABLE {table} (nothing int) ENGINE=MERGE UNION=(automigrate_ext_nowhere)"
SHOW_AGAIN = "DROP TEMPORARY TABLE IF EXISTS {tables}"
PREPARE, FORGET = "PREPARE automigrate_ext_view FROM %s", "DEALLOCATE PREPARE automigrate_ext_view"
# Source: https://mariadb.com/kb/en/row/ - fields are looked up when the text is read, whether it is reached or not.
READ_TRIGGER = "EXECUTE IMMEDIATE %s"
TRIGGER = "BEGIN NOT ATOMIC DECLARE NEW, OLD ROW ({fields}); IF FALSE THEN {body}; END IF; END"
FIELD = "{column} int"

# What the server says of a column, a table or a field that is not there.
MISSING = {1054, 1168, 4082}


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """The query of a view, or the statement of a trigger, and what it is called."""

    name: str
    sql: str


def dependents_of(
    connection: BaseDatabaseWrapper, parts: Collection[Part], columns: Mapping[str, Sequence[str]]
) -> Mapping[Part, list[Dependent]]:
    """The views and triggers that work, and would not without a part; `columns` are those of the parts' tables."""
    asked = Asked(connection, columns)
    found: defaultdict[Part, list[Dependent]] = defaultdict(list)
    for part, kind, text in (*asked.views(parts), *asked.triggers(parts)):
        found[part].append(Dependent(table=part.table, kind=kind, name=text.name))
    return found


class Asked:
    """Asks the server what it makes of views and triggers without some columns and tables."""

    def __init__(self, connection: BaseDatabaseWrapper, columns: Mapping[str, Sequence[str]]) -> None:
        self.connection = connection
        self.quote = connection.ops.quote_name
        self.columns = columns

    def rows(self, sql: str, *parameters: str) -> list[tuple[str, ...]]:
        """The rows of a query."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return list(cursor.fetchall())

    def misses(self, sql: str, *parameters: str) -> bool:
        """Whether the server misses a column or table; that the role may not ask says nothing of these."""
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
        """The views that miss a part: all that could are tried without all parts first."""
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
        """The views whose query has the name of one of the tables in it, in whatever sense."""
        ((database,),) = self.rows(DATABASE)
        names = [f"{self.quote(database)}.{self.quote(table)}" for table in tables]
        rows = self.rows(VIEWS.format(mentioned=" OR ".join([MENTIONED] * len(names))), *names)
        return [Text(name=name if of == database else f"{of}.{name}", sql=query) for of, name, query in rows]

    def fails(self, text: Text) -> bool:
        """Whether the query of a view misses something now."""
        missing = self.misses(PREPARE, text.sql)
        if not missing:
            with self.connection.cursor() as cursor, suppress(DatabaseError):
                cursor.execute(FORGET)  # which it need not have come to
        return missing

    @contextmanager
    def hidden(self, parts: Iterable[Part]) -> Iterator[None]:
        """Let the session see the tables without the parts."""
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
            # What happened is to be told, and not that the connection broke; a session's end shows them again.
            with suppress(Error), self.connection.cursor() as cursor:
                cursor.execute(again)
            raise
        with self.connection.cursor() as cursor:
            cursor.execute(again)

    def hide(self, table: str, gone: Collection[str]) -> str:
        """What hides some columns of a table, or all of it where "" is among them."""
        left = [self.quote(column) for column in self.columns[table] if column not in gone]
        if "" in gone:
            return HIDE_TABLE.format(table=self.quote(table))
        return HIDE_COLUMNS.format(table=self.quote(table), columns=", ".join(left or ["1"]))

    # Triggers

    def triggers(self, parts: Collection[Part]) -> Iterator[tuple[Part, str, Text]]:
        """The triggers of the parts' tables that speak of a column in the rows which they are given."""
        wanted: defaultdict[str, list[Part]] = defaultdict(list)
        for part in parts:
            if part.column:
                wanted[part.table].append(part)
        for table, columns in wanted.items():
            for name, body in self.rows(TRIGGERS, table):
                if self.lacks_field(body, table, ""):
                    continue
                for part in columns:
                    if self.lacks_field(body, table, part.column):
                        yield part, "trigger", Text(name=name, sql=body)

    def lacks_field(self, body: str, table: str, gone: str) -> bool:
        """Whether a trigger's statement misses something in rows without a column."""
        left = [FIELD.format(column=self.quote(column)) for column in self.columns[table] if column != gone]
        return self.misses(READ_TRIGGER, TRIGGER.format(fields=", ".join(left or ["nothing int"]), body=body))
