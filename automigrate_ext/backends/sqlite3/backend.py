"""The backend for SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace as evolve
from typing import Any

from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.sqlite3 import hazards, introspection, scratch
from automigrate_ext.backends.sqlite3.cost import SQLiteCost
from automigrate_ext.backends.sqlite3.faults import SQLiteFaults
from automigrate_ext.backends.sqlite3.introspection import Catalog, read_catalog, unquoted
from automigrate_ext.backends.sqlite3.parser import affinity, parse_table
from automigrate_ext.backends.sqlite3.rehearsal import SQLiteRehearsal
from automigrate_ext.backends.sqlite3.rows import SQLiteRows
from automigrate_ext.backends.sqlite3.schema import Compiler, Server, compile_rebuild
from automigrate_ext.backends.sqlite3.session import SQLiteSession
from automigrate_ext.backends.sqlite3.tokens import fold
from automigrate_ext.backends.work import Dependent, Loss, Reference, Step, Work
from automigrate_ext.declared.blueprint import Blueprint
from automigrate_ext.schema.adopt import TypeRules
from automigrate_ext.schema.changes import AddColumn, AlterColumn, AlterPrimaryKey, Change
from automigrate_ext.schema.nouns import Column, Schema, Table, Unique

TABLES = "SELECT name, rootpage FROM sqlite_master WHERE type = 'table'"
DELETE_ROWS = "DELETE FROM {table}"
#: The types that a STRICT table may have, see https://sqlite.org/stricttables.html
STRICT_TYPES = frozenset(("int", "integer", "real", "text", "blob", "any"))
STRICT = (
    "{table} is a STRICT table of SQLite, which has no columns of the type {type}, only of INT, INTEGER, REAL, TEXT, "
    "BLOB and ANY. Make the table again without STRICT, or give the model a field that SQLite stores as one of these."
)
#: SQLite has a list of tables with their types since 3.37: https://sqlite.org/releaselog/3_37_0.html
LISTS_TABLES = (3, 37)


def same_storage(old: str, new: str) -> bool:
    """Return whether both types are kept as integers, whatever their declared width."""
    return affinity(old) == affinity(new) == "INTEGER"


class SQLiteBackend(Backend):
    """SQLite: definitions are texts, and most changes are made by rebuilding the table."""

    faults_class = SQLiteFaults
    session_class = SQLiteSession
    cost_class = SQLiteCost
    rows_class = SQLiteRows
    rehearsal_class = SQLiteRehearsal
    session: SQLiteSession

    type_rules = TypeRules(
        widths={"smallint": 0, "integer": 1, "bigint": 2}, same_storage=same_storage, numbered="integer"
    )
    opening = ("PRAGMA foreign_keys = OFF", "BEGIN IMMEDIATE")

    # Reading

    def catalog(self) -> Catalog:
        """Read the texts of all definitions."""
        with self.connection.cursor() as cursor:
            return read_catalog(cursor)

    def introspect(self, names: Collection[str]) -> Schema:
        return self.catalog().schema(names, self.known_names)

    def name_key(self, table: str) -> str:
        return fold(unquoted(table))

    def asks_checks_again(self, change: Change) -> bool:
        return isinstance(change, (AlterColumn, AlterPrimaryKey))

    def has_other_names(self, table: str) -> bool:
        return True

    def set_apart(self, names: Collection[str]) -> frozenset[str]:
        """Return the virtual tables, such as those of full-text search, which a module of SQLite maintains."""
        virtual = self.catalog().virtual
        return frozenset(name for name in names if fold(unquoted(name)) in virtual) if virtual else frozenset()

    def scratch(self, blueprints: Sequence[Blueprint]) -> Schema:
        return scratch.build(self.connection, blueprints, self.catalog(), self.known_names)

    def references(self, names: Collection[str]) -> tuple[Reference, ...]:
        found = introspection.references(self.catalog(), names)
        return tuple(Reference(table=table, foreign_key=foreign_key) for table, foreign_key in found)

    def dependents(self, names: Collection[str]) -> tuple[Dependent, ...]:
        """Return the triggers on the tables. Views stay when a table is dropped, and work again with the next one."""
        triggers = self.catalog().triggers
        return tuple(
            Dependent(table=name, kind="trigger", name=trigger.name, sql=trigger.sql)
            for name in names
            for trigger in triggers.get(fold(unquoted(name)), ())
        )

    def table_names(self) -> frozenset[str]:
        with self.connection.cursor() as cursor:
            catalog = read_catalog(cursor)
            hidden = introspection.shadow_tables(cursor, catalog, lists_tables=self.version >= LISTS_TABLES)
        return frozenset(entry.name for key, entry in catalog.tables.items() if key not in hidden)

    def existing(self, names: Collection[str]) -> frozenset[str]:
        with self.connection.cursor() as cursor:
            cursor.execute(TABLES)
            places = dict(cursor.fetchall())
        if not all(places.values()):
            # Virtual tables keep their data in others, which need the whole catalog to be told.
            return super().existing(names)
        there = {name.lower() for name in places if not name.startswith("sqlite_")}
        return frozenset(name for name in names if name.lower() in there)

    @property
    def version(self) -> tuple[int, ...]:
        """The version of the library."""
        return sqlite3.sqlite_version_info

    # Writing

    def unable(self, change: Change, current: Schema) -> str:
        table = current.get(change.table)
        if table is None or not isinstance(change, (AddColumn, AlterColumn)) or change.new.type in STRICT_TYPES:
            return ""
        if "STRICT" not in parse_table(table.sql[0]).options:
            return ""
        return STRICT.format(table=table.name, type=change.new.type)

    def compile(self, work: Work) -> tuple[Step, ...]:
        return tuple(self.compiler(work).steps())

    def compiler(self, work: Work) -> Compiler:
        catalog = self.catalog()
        server = Server(
            catalog=catalog,
            version=self.version,
            after=lambda statements: scratch.after(self.connection, catalog, statements),
            index_name=self.unique_index_name,
        )
        return Compiler(server, work)

    def unique_index_name(self, table: str, unique: Unique) -> str:
        """Return the name that Django gives to the index of a unique constraint."""
        editor = self.connection.schema_editor(collect_sql=True)
        name = editor._create_index_name(table, list(unique.columns), "_uniq")  # type: ignore[attr-defined]
        return str(name)

    def compile_rebuild(
        self, work: Work, references: Sequence[Reference], *, cascade: bool = False
    ) -> tuple[Step, ...]:
        return tuple(compile_rebuild(work))

    def discard(self, tables: Schema) -> None:
        # Where foreign keys are enforced, DROP TABLE deletes the rows first, and fails for rows that others point at.
        # So the rows of all tables are deleted before the first table is dropped. Source: https://sqlite.org/foreignkeys.html#fk_schemacommands
        for table in tables:
            self.session.execute(DELETE_ROWS.format(table=self.quote(table.name)))
        for step in compile_rebuild(Work(changes=(), current=tables, desired=Schema({}))):
            self.session.execute(step.sql)

    def run_script(self, text: str) -> None:
        for statement in split_script(text):
            self.session.execute(statement)

    def is_in_transaction(self) -> bool:
        raw: Any = self.connection.connection
        return bool(raw.in_transaction)

    def exclusive(self) -> AbstractContextManager[bool]:
        return self.session.exclusive()

    def run(self, steps: Sequence[Step]) -> None:
        """Execute the steps. Raises `ExecutionFailed` where enforced foreign keys would let rows go."""
        with self.session.running(steps):
            super().run(steps)

    # Values

    def count_lost(self, table: Table, old: Column, new: Column) -> Loss:
        return hazards.count_lost(self.rows, table, old, new)

    def widens(self, old: Column, new: Column) -> bool:
        return same_storage(old.type, new.type) or hazards.widens(old, new)

    def with_default(self, column: Column, value: str) -> Column | None:
        return evolve(column, default=value, default_sql=value, sql="")

    def columns_over_digits(self, current: Schema, desired: Schema) -> tuple[tuple[str, str], ...]:
        return hazards.columns_over_digits(self.rows, current, desired)

    def typed(self, column: Column, value: str) -> str:
        if affinity(column.type) == "TEXT":
            value = f"CAST({value} AS TEXT)"
        return f"({value}) COLLATE {self.quote(column.collation)}" if column.collation else value


def split_script(text: str) -> Iterator[str]:
    """Yield the statements of a text, split where SQLite itself ends them; `executescript` would commit first."""
    *ended, last = text.split(";")
    statement = ""
    for piece in ended:
        statement = f"{statement}{piece};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if rest := (statement + last).strip():
        yield rest
