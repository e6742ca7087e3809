"""Copies of databases on MariaDB and MySQL: the server creates the same objects again, and copies the rows itself."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.utils import DatabaseError

from automigrate_ext.backends.copies import Copies
from automigrate_ext.backends.mysql.locks import FREE_LOCK, LOCK_PREFIX, TRY_LOCK
from automigrate_ext.backends.mysql.show import BASE_TABLES

EXISTS = "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s"
CHARSET = """
SELECT default_character_set_name, default_collation_name FROM information_schema.schemata WHERE schema_name = %s
"""
#: How many processes may copy a database at a time.
SHARES = 8
VERSION = "SELECT VERSION()"
DROP = "DROP DATABASE IF EXISTS {name}"
CREATE = "CREATE DATABASE {name} CHARACTER SET {charset} COLLATE {collation}"
USE = "USE {name}"
# The order of tables does not matter then, and rows are copied as they are.
CARELESS = """
SET SESSION foreign_key_checks = 0, unique_checks = 0, sql_mode = '{mode}', sql_big_selects = 1,
sql_select_limit = DEFAULT
"""
CARELESS_MODE = "NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION"
TABLES = """
SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = %s ORDER BY table_name = %s, 1
"""
SHOW = "SHOW CREATE {kind} {database}.{name}"
#: The column of the result with the statement, if it is not the second. Such objects consist of code, which is parsed
#: and run under the mode in the first column.
STATEMENTS = {"FUNCTION": 2, "PROCEDURE": 2, "PACKAGE": 2, "PACKAGE BODY": 2, "TRIGGER": 2, "EVENT": 3}
MODE = "SET SESSION sql_mode = %s"
STORED = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = %s AND table_name = %s AND generation_expression = ''
"""
STORED_MARIADB = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = %s AND table_name = %s AND is_generated = 'NEVER'
"""
ANY_ROW = "SELECT EXISTS (SELECT 1 FROM {database}.{name})"
FILL = "INSERT INTO {target}.{name} ({columns}) SELECT {columns} FROM {source}.{name}"
NEXT_VALUE = "SELECT next_not_cached_value FROM {database}.{name}"
SET_VALUE = "SELECT SETVAL({name}, {value}, 0)"
TRIGGERS = "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = %s ORDER BY action_order, 1"
ROUTINES = """
SELECT routine_type, routine_name FROM information_schema.routines WHERE routine_schema = %s ORDER BY 1, 2
"""
EVENTS = "SELECT event_name FROM information_schema.events WHERE event_schema = %s"
#: The form in which the server prints the name of a database that a view, a trigger or a routine reads.
IN_DATABASE = "`{name}`."
#: The form in which it prints that of a sequence, from which a column takes its default.
OF_SEQUENCE = "val(`{name}`."
DEFINER = re.compile(r" DEFINER=`[^`]*`@`[^`]*`")


class NamedLocks:
    """Locks of the cursor's session: a session that has all of them is alone, one that has one of them shares it."""

    def __init__(self, cursor: Any, name: str) -> None:
        self.cursor = cursor
        self.names = [f"{name}.{number}" for number in range(SHARES)]
        self.held: list[str] = []

    def take(self) -> bool:
        # In their order, so that the first one stops one of two that try.
        is_taken = all(map(self.get, self.names))
        if not is_taken:
            self.keep(0)
        return is_taken

    def share(self) -> bool:
        self.keep(1)
        return bool(self.held) or any(map(self.get, self.names))

    def get(self, name: str) -> bool:
        """Take one lock, unless another session has it."""
        is_free = self.ask(TRY_LOCK, name)
        if is_free:
            self.held.append(name)
        return is_free

    def keep(self, number: int) -> None:
        """Release all but so many of the locks."""
        self.held, others = self.held[:number], self.held[number:]
        for name in others:
            self.ask(FREE_LOCK, name)

    def ask(self, sql: str, name: str) -> bool:
        self.cursor.execute(sql, [name])
        return bool(self.cursor.fetchone()[0])


class MySQLCopies(Copies):
    """Copies of databases on the server of the connection."""

    @contextmanager
    def key(self, name: str) -> Iterator[NamedLocks]:
        with self.beside() as cursor:
            locks = NamedLocks(cursor, f"{LOCK_PREFIX}tests.{hashlib.sha256(name.encode()).hexdigest()[:32]}")
            yield locks
            # The end of the session releases them too, but a little later.
            locks.keep(0)

    def exists(self, name: str) -> bool:
        with self.connection._nodb_cursor() as cursor:
            cursor.execute(EXISTS, [name])
            return cursor.fetchone() is not None

    def drop(self, name: str) -> None:
        self.connection.close()
        with self.connection._nodb_cursor() as cursor:
            cursor.execute(DROP.format(name=self.quote(name)))

    def copy(self, source: str, target: str, last: str) -> None:
        self.connection.close()
        with self.connection._nodb_cursor() as cursor:
            cursor.execute(DROP.format(name=self.quote(target)))
            cursor.execute(CHARSET, [source])
            charset, collation = cursor.fetchone()
            cursor.execute(CREATE.format(name=self.quote(target), charset=charset, collation=collation))
            cursor.execute(USE.format(name=self.quote(target)))
            cursor.execute(CARELESS.format(mode=CARELESS_MODE))
            # Django would query this through a connection to the project's own database.
            cursor.execute(VERSION)
            is_mariadb = "mariadb" in cursor.fetchone()[0].lower()
            Copying(cursor, source, target, is_mariadb=is_mariadb).run(last)


class Copying:
    """One copy, through a cursor that uses the target."""

    def __init__(self, cursor: Any, source: str, target: str, *, is_mariadb: bool) -> None:
        self.cursor = cursor
        self.source = source
        self.target = target
        self.is_mariadb = is_mariadb

    def run(self, last: str) -> None:
        """Copy everything, the rows of one table at the very end."""
        things = self.rows(TABLES, self.source, last)
        sequences, tables, views = (
            [name for name, kind in things if kind in kinds] for kinds in (("SEQUENCE",), BASE_TABLES, ("VIEW",))
        )
        for name in sequences:
            self.make("SEQUENCE", name)
            self.set_sequence(name)
        for name in tables:
            self.make("TABLE", name)
        for name in tables[:-1]:
            self.fill(name)
        self.make_programs(views)
        for name in tables[-1:]:
            self.fill(name)

    def make_programs(self, views: list[str]) -> None:
        """Create the objects that consist of code: routines, events, views and triggers."""
        for kind, name in self.rows(ROUTINES, self.source):
            self.make(kind, name)
        for (name,) in self.rows(EVENTS, self.source):
            self.make("EVENT", name)
        self.make_views(views)
        for (name,) in self.rows(TRIGGERS, self.source):
            self.make("TRIGGER", name)

    def make_views(self, views: list[str]) -> None:
        """Create the views; one that reads others is created after these, in a later round."""
        later: list[str] = []
        for name in views:
            try:
                self.make("VIEW", name)
            except DatabaseError:
                if views == [*later, name]:  # nothing was created in this round, so another one would not help
                    raise
                later.append(name)
        if later:
            self.make_views(later)

    def make(self, kind: str, name: str) -> None:
        """Create one object by the statement that the server prints for it."""
        (row,) = self.rows(SHOW.format(kind=kind, database=quote(self.source), name=quote(name)))
        sql = self.moved(kind, row[STATEMENTS.get(kind, 1)])
        if kind == "TABLE":
            # Few runs of tests copy a database, and all of them wait for what is loaded.
            from automigrate_ext.backends.mysql.spelling import respelled

            sql = respelled(self.cursor, f"{quote(self.source)}.{quote(name)}", sql)
        if kind not in STATEMENTS:
            self.cursor.execute(sql)
            return
        self.cursor.execute(MODE, [row[1]])
        self.cursor.execute(sql)
        self.cursor.execute(MODE, [CARELESS_MODE])

    def moved(self, kind: str, sql: str) -> str:
        """Return the statement with the target in place of the source."""
        if kind == "TABLE":
            return sql.replace(OF_SEQUENCE.format(name=self.source), OF_SEQUENCE.format(name=self.target))
        sql = DEFINER.sub("", sql, count=1)
        return sql.replace(IN_DATABASE.format(name=self.source), IN_DATABASE.format(name=self.target))

    def fill(self, name: str) -> None:
        """Copy the rows of a table, inside the server."""
        if not self.rows(ANY_ROW.format(database=quote(self.source), name=quote(name)))[0][0]:
            return
        stored = self.rows(STORED_MARIADB if self.is_mariadb else STORED, self.source, name)
        columns = ", ".join(quote(column) for (column,) in stored)
        self.cursor.execute(
            FILL.format(target=quote(self.target), source=quote(self.source), name=quote(name), columns=columns)
        )

    def set_sequence(self, name: str) -> None:
        """Let a sequence go on from where the other one is."""
        ((value,),) = self.rows(NEXT_VALUE.format(database=quote(self.source), name=quote(name)))
        self.rows(SET_VALUE.format(name=quote(name), value=value))

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        self.cursor.execute(sql, parameters or None)
        return list(self.cursor.fetchall())


def quote(name: str) -> str:
    """Return an identifier as it is written in SQL."""
    return f"`{name.replace('`', '``')}`"
