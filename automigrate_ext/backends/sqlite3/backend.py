"""What the parts of the SQLite backend answer together."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext.backends.base import (
    COUNT_DUPLICATES,
    Backend,
    Dependent,
    Loss,
    Reference,
    Step,
    Work,
)
from automigrate_ext.backends.sqlite3 import introspection, scratch
from automigrate_ext.backends.sqlite3.hazards import COUNT_IMPOSSIBLE, COUNT_LOST, conversion
from automigrate_ext.backends.sqlite3.introspection import Catalog, read_catalog, unquoted
from automigrate_ext.backends.sqlite3.parser import affinity, key_sql
from automigrate_ext.backends.sqlite3.schema import Compiler, Server, compile_rebuild
from automigrate_ext.backends.sqlite3.session import (
    FOREIGN_KEYS,
    LEGACY,
    Health,
    examine,
    foreign_keys_off,
    immediate,
    pragma,
    restored,
)
from automigrate_ext.backends.sqlite3.tokens import fold
from automigrate_ext.blueprint import Blueprint
from automigrate_ext.exceptions import ExecutionFailed
from automigrate_ext.ownership import TypeRules
from automigrate_ext.schema import Column, Index, Key, Schema, Unique

#: SQLite lists the kinds of tables since 3.37: https://sqlite.org/releaselog/3_37_0.html
LISTS_TABLES = (3, 37)


def same_storage(old: str, new: str) -> bool:
    """Whether both types are kept as integers, whatever their declared width."""
    return affinity(old) == affinity(new) == "INTEGER"


class SQLiteBackend(Backend):
    """SQLite: definitions are texts, and most changes are made by making the table anew."""

    type_rules = TypeRules(widths={"smallint": 0, "integer": 1, "bigint": 2}, same_storage=same_storage)

    opening = ("PRAGMA foreign_keys = OFF", "BEGIN IMMEDIATE")

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__(connection)
        self.is_exclusive = False
        self.before: Health | None = None

    # Reading

    def catalog(self) -> Catalog:
        """The texts of all definitions."""
        with self.connection.cursor() as cursor:
            return read_catalog(cursor)

    def introspect(self, names: Collection[str]) -> Schema:
        return self.catalog().schema(names)

    def set_apart(self, names: Collection[str]) -> frozenset[str]:
        """Virtual tables, such as those of full-text search: a module of SQLite's keeps them."""
        virtual = self.catalog().virtual
        return frozenset(name for name in names if fold(unquoted(name)) in virtual) if virtual else frozenset()

    def scratch(self, blueprints: Sequence[Blueprint]) -> Schema:
        return scratch.build(self.connection, blueprints, self.catalog())

    def references(self, names: Collection[str]) -> tuple[Reference, ...]:
        found = introspection.references(self.catalog(), names)
        return tuple(Reference(table=table, foreign_key=foreign_key) for table, foreign_key in found)

    def dependents(self, names: Collection[str]) -> tuple[Dependent, ...]:
        """The triggers on the tables. Views stay when a table goes, and work again with the next one."""
        triggers = self.catalog().triggers
        return tuple(
            Dependent(table=name, kind="trigger", name=trigger.name, sql=trigger.sql)
            for name in names
            for trigger in triggers.get(fold(unquoted(name)), ())
        )

    def table_names(self) -> frozenset[str]:
        with self.connection.cursor() as cursor:
            catalog = read_catalog(cursor)
            hidden = introspection.shadow_tables(cursor, catalog, asks=self.version >= LISTS_TABLES)
        return frozenset(entry.name for key, entry in catalog.tables.items() if key not in hidden)

    @property
    def version(self) -> tuple[int, ...]:
        """The version of the library."""
        return sqlite3.sqlite_version_info

    # Writing

    def compile(self, work: Work) -> tuple[Step, ...]:
        catalog = self.catalog()
        server = Server(
            catalog=catalog,
            version=self.version,
            after=lambda statements: scratch.after(self.connection, catalog, statements),
            index_name=self.unique_index_name,
        )
        return tuple(Compiler(server, work).steps())

    def unique_index_name(self, table: str, unique: Unique) -> str:
        """The name that Django gives to the index of a unique constraint."""
        editor = self.connection.schema_editor(collect_sql=True)
        name = editor._create_index_name(table, list(unique.columns), "_uniq")  # type: ignore[attr-defined]
        return str(name)

    def compile_rebuild(
        self, work: Work, references: Sequence[Reference], *, cascade: bool = False
    ) -> tuple[Step, ...]:
        return tuple(compile_rebuild(work))

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """A transaction that keeps other writers out; in the end nothing may be broken that was not before.

        Foreign keys are not enforced in it, unless it is inside another transaction.
        """
        connection = self.connection
        connection.ensure_connection()
        locks = nullcontext() if connection.in_atomic_block else immediate(connection)
        self.before, self.is_exclusive = None, True
        try:
            with foreign_keys_off(connection), locks, transaction.atomic(using=connection.alias):
                yield
                self.forbid_damage()
        finally:
            self.before, self.is_exclusive = None, False

    def run(self, steps: Sequence[Step]) -> None:
        """Execute the steps. Raises `ExecutionFailed` where enforced foreign keys would let rows go."""
        self.connection.ensure_connection()
        if any(drops_table(step.sql) for step in steps):
            self.forbid_enforcement()
        if self.is_exclusive and self.before is None and any(may_break(step.sql) for step in steps):
            self.before = examine(self.connection)
        with restored(self.connection, LEGACY):
            super().run(steps)

    def forbid_damage(self) -> None:
        """Raise `ExecutionFailed` where the run broke something."""
        if self.before is not None:
            examine(self.connection).forbid_worse(self.before)

    def forbid_enforcement(self) -> None:
        """Raise `ExecutionFailed` where dropping a table would delete the rows that point at it."""
        if pragma(self.connection, FOREIGN_KEYS):
            raise ExecutionFailed(
                "SQLite cannot drop or rebuild a table inside a transaction that enforces foreign keys, and it "
                "can be told not to enforce them only outside of one. Nothing was done. Run it outside of "
                "atomic(); in a test, use TransactionTestCase or pytest.mark.django_db(transaction=True)."
            )

    # Questions to the rows

    def count_lost(self, table: str, old: Column, new: Column) -> Loss:
        needed = conversion(old, new)
        if needed is None:
            return Loss()
        column = self.quote(old.name)
        survives = needed.survives.format(c=column)
        rows = int(self.ask(COUNT_LOST, table=self.quote(table), column=column, survives=survives))
        if not rows or new.null:
            return Loss(rows=rows)
        return Loss(rows=rows, error=self.why_impossible(table, column, needed.value.format(c=column), new))

    def why_impossible(self, table: str, column: str, value: str, new: Column) -> str:
        """What stands against values of which nothing would be left, in a column that forbids NULL."""
        rows = int(self.ask(COUNT_IMPOSSIBLE, table=self.quote(table), column=column, value=value))
        if not rows:
            return ""
        return f"the values of {rows} of its rows are no {new.type}, and it forbids NULL"

    def count_index_duplicates(self, table: str, index: Index) -> int:
        keys = [key_sql(Key(column=k.column, expression=k.expression, collation=k.collation)) for k in index.keys]
        terms = [f"{key} IS NOT NULL" for key in keys]
        terms += [f"({index.condition})"] if index.condition else []
        filled = " AND ".join(terms)
        return int(self.ask(COUNT_DUPLICATES, table=self.quote(table), columns=", ".join(keys), filled=filled))


def drops_table(sql: str) -> bool:
    """Whether a statement of the backend's own drops a table."""
    return sql.startswith("DROP TABLE")


def may_break(sql: str) -> bool:
    """Whether after a statement of the backend's own something may be missed that others need."""
    return drops_table(sql) or (sql.startswith("ALTER TABLE") and " DROP COLUMN " in sql)
