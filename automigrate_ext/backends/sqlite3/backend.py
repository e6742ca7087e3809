"""What the parts of the SQLite backend answer together."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error, OperationalError

from automigrate_ext.backends.base import (
    Backend,
    Dependent,
    Loss,
    Reference,
    Step,
    Work,
)
from automigrate_ext.backends.rows import Question, TookTooLong
from automigrate_ext.backends.sqlite3 import faults, introspection, scratch
from automigrate_ext.backends.sqlite3.hazards import IMPOSSIBLE, LOST, conversion
from automigrate_ext.backends.sqlite3.introspection import Catalog, read_catalog, unquoted
from automigrate_ext.backends.sqlite3.parser import affinity
from automigrate_ext.backends.sqlite3.schema import Compiler, Server, compile_rebuild
from automigrate_ext.backends.sqlite3.session import (
    FOREIGN_KEYS,
    LEGACY,
    STEPS_BETWEEN,
    TRY_READING,
    Health,
    busy_timeout,
    examine,
    foreign_keys_off,
    immediate,
    interruptible,
    pragma,
    restored,
    set_busy_timeout,
    try_writing,
)
from automigrate_ext.backends.sqlite3.tokens import fold
from automigrate_ext.declared.blueprint import Blueprint
from automigrate_ext.exceptions import ExecutionFailed, LockNotAvailable
from automigrate_ext.schema.adopt import TypeRules
from automigrate_ext.schema.nouns import Column, Schema, Table, Unique
from automigrate_ext.waiting import Waiting, seconds

#: Seconds between two attempts to get a lock.
PAUSE = 0.05
DELETE_ROWS = "DELETE FROM {table}"
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

    def effects(self, work: Work, tables: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        compiler = self.compiler(work)
        found = {name: compiler.alteration(name, compiler.by_table[name]).effects() for name in tables}
        return {name: words for name, words in found.items() if words}

    def unique_index_name(self, table: str, unique: Unique) -> str:
        """The name that Django gives to the index of a unique constraint."""
        editor = self.connection.schema_editor(collect_sql=True)
        name = editor._create_index_name(table, list(unique.columns), "_uniq")  # type: ignore[attr-defined]
        return str(name)

    def compile_rebuild(
        self, work: Work, references: Sequence[Reference], *, cascade: bool = False
    ) -> tuple[Step, ...]:
        return tuple(compile_rebuild(work))

    def discard(self, tables: Schema) -> None:
        # Where foreign keys are enforced, DROP TABLE deletes the rows first, and minds those that point at them. So
        # the rows of all go before the first table does. Source: https://sqlite.org/foreignkeys.html#fk_schemacommands
        for table in tables:
            self.execute(DELETE_ROWS.format(table=self.quote(table.name)))
        for step in compile_rebuild(Work(changes=(), current=tables, desired=Schema({}))):
            self.execute(step.sql)

    def run_script(self, text: str) -> None:
        for statement in split_script(text):
            self.execute(statement)

    @contextmanager
    def code_of_others(self, label: str) -> Iterator[None]:
        # Foreign keys are not enforced in a run, so what others write is looked at in the end.
        if self.is_exclusive and self.before is None:
            self.before = examine(self.connection)
        with super().code_of_others(label):
            yield

    def is_in_transaction(self) -> bool:
        raw: Any = self.connection.connection
        return bool(raw.in_transaction)

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        """A transaction that keeps other writers out; in the end nothing may be broken that was not before.

        Foreign keys are not enforced in it, unless it is inside another transaction.
        """
        connection = self.connection
        connection.ensure_connection()
        self.before, self.is_exclusive = None, True
        try:
            with foreign_keys_off(connection), self.writing() as waited:
                yield waited
                self.forbid_damage()
        finally:
            self.before, self.is_exclusive = None, False

    @contextmanager
    def trial(self) -> Iterator[None]:
        self.connection.ensure_connection()
        with self.writing(), super().trial():
            yield

    @contextmanager
    def writing(self) -> Iterator[bool]:
        """A transaction that may write from its start; gives whether that had to be waited for.

        Within it statements, and its end, wait for readers as long as `lock_timeout` allows.
        """
        connection = self.connection
        atomic = transaction.atomic(using=connection.alias)
        if connection.in_atomic_block:
            with atomic:
                yield False
            return
        with busy_timeout(connection) as before, ExitStack() as stack:
            with immediate(connection):
                waited = self.insist(lambda: stack.enter_context(atomic))
            timeout = self.patience.lock_timeout
            set_busy_timeout(connection, before if timeout is None else timeout * 1000)
            yield waited

    def await_access(self) -> None:
        connection = self.connection
        connection.ensure_connection()
        if not connection.in_atomic_block:
            with busy_timeout(connection), connection.cursor() as cursor:
                self.insist(lambda: cursor.execute(TRY_READING))

    def why_read_only(self) -> str:
        connection = self.connection
        connection.ensure_connection()
        if connection.in_atomic_block:
            return ""
        try:
            with busy_timeout(connection), immediate(connection):
                set_busy_timeout(connection, 0)
                with super().trial():
                    try_writing(connection)
            return ""
        except OperationalError as error:
            if faults.is_busy(error):
                return ""  # somebody writes, so it can be written
            if faults.is_forbidden(error):
                return "the database file may only be read"
            raise

    def insist(self, attempt: Callable[[], object]) -> bool:
        """Try again until nobody is in the way; says whether that had to be waited for.

        SQLite's own waiting cannot be interrupted, and does not tell of itself. Raises `LockNotAvailable`.
        """
        waiting = Waiting(self.patience.lock_wait, self.patience.notify)
        set_busy_timeout(self.connection, 0)
        while True:
            try:
                attempt()
                return waiting.waited
            except OperationalError as error:
                if not faults.is_busy(error):
                    raise
                if not waiting.pause(PAUSE, self.other_run):
                    raise LockNotAvailable(self.run_in_the_way()) from error

    def other_run(self) -> str:
        """What a run waits for; SQLite does not tell who it is."""
        return f"Waiting for another run, or another program that writes, on database {self.connection.alias!r}"

    def run_in_the_way(self) -> str:
        """Why a run ends that has waited for another one."""
        return (
            f"Another run, or another program that writes to database {self.connection.alias!r}, did not end within "
            f"{seconds(self.patience.lock_wait)}. Nothing was changed. Wait for it or raise --lock-wait (lock_wait=)."
        )

    # Faults

    def is_fault(self, error: Error) -> bool:
        return bool(faults.advice(error))

    def is_locked(self, error: Error) -> bool:
        return faults.is_busy(error)

    def is_forbidden(self, error: Error) -> bool:
        return faults.is_forbidden(error)

    def way_out(self, error: Error) -> str:
        return faults.advice(error)

    def run(self, steps: Sequence[Step]) -> None:
        """Execute the steps. Raises `ExecutionFailed` where enforced foreign keys would let rows go."""
        self.connection.ensure_connection()
        if any(drops_table(step.sql) for step in steps):
            self.forbid_enforcement()
        if self.is_exclusive and self.before is None and any(may_break(step.sql) for step in steps):
            self.before = examine(self.connection)
        with restored(self.connection, LEGACY), interruptible(self.connection):
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

    def count_lost(self, table: Table, old: Column, new: Column) -> Loss:
        needed = conversion(old, new)
        if needed is None:
            return Loss()
        column, source = self.quote(old.name), self.rows.now(table)
        lost = Question(source=source, condition=LOST.format(column=column, survives=needed.survives.format(c=column)))
        using = needed.value.format(c=column)
        rows = self.rows.answer(lost).counted
        if not rows:
            return Loss(rows=rows, using=using)
        samples = self.rows.sample(lost)
        if new.null:
            return Loss(rows=rows, using=using, samples=samples)
        impossible = Question(source=source, condition=IMPOSSIBLE.format(column=column, value=using))
        return Loss(rows=rows, using=using, samples=samples, error=self.why_impossible(impossible, new))

    def why_impossible(self, impossible: Question, new: Column) -> str:
        """What stands against values of which nothing would be left, in a column that forbids NULL."""
        rows = self.rows.answer(impossible).counted
        if rows == 0:
            return ""
        number = "some" if rows is None else rows
        return f"the values of {number} of its rows are no {new.type}, and it forbids NULL"

    def typed(self, column: Column, value: str) -> str:
        if affinity(column.type) == "TEXT":
            value = f"CAST({value} AS TEXT)"
        return f"({value}) COLLATE {self.quote(column.collation)}" if column.collation else value

    @contextmanager
    def limited(self, seconds: float | None) -> Iterator[None]:
        """Interrupt queries that take longer; SQLite asks after each so many steps of its virtual machine."""
        if not seconds:
            yield
            return
        raw: Any = self.connection.connection
        end = time.monotonic() + seconds
        raw.set_progress_handler(lambda: time.monotonic() > end, STEPS_BETWEEN)
        try:
            yield
        except OperationalError as error:
            if time.monotonic() > end:
                raise TookTooLong(f"not counted within {seconds:g} s") from error
            raise
        finally:
            raw.set_progress_handler(None, 0)


def split_script(text: str) -> Iterator[str]:
    """The statements of a text, as SQLite itself tells where one ends; `executescript` would commit first."""
    *ended, last = text.split(";")
    statement = ""
    for piece in ended:
        statement = f"{statement}{piece};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if rest := (statement + last).strip():
        yield rest


def drops_table(sql: str) -> bool:
    """Whether a statement of the backend's own drops a table."""
    return sql.startswith("DROP TABLE")


def may_break(sql: str) -> bool:
    """Whether after a statement of the backend's own something may be missed that others need."""
    return drops_table(sql) or (sql.startswith("ALTER TABLE") and " DROP COLUMN " in sql)
