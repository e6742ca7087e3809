"""Carry out changes on PostgreSQL while others use the tables: transactions, locks, batches of rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, cast

from django.db import transaction
from django.db.utils import Error

from automigrate_ext.backends.online import Key, Online, Owed
from automigrate_ext.backends.postgresql.faults import DEADLOCK, LOCK_NOT_AVAILABLE, code_of
from automigrate_ext.backends.postgresql.holders import NAMED_HOLDERS, OLD_TRANSACTIONS, sessions
from automigrate_ext.backends.postgresql.online import QUIETLY, OnlineCompiler, read_facts
from automigrate_ext.backends.postgresql.session import (
    LOCK_TABLES,
    RUN_KEY,
    WHOLE,
    milliseconds,
)
from automigrate_ext.backends.work import RowFill, Step, Work
from automigrate_ext.exceptions import ExecutionFailed
from automigrate_ext.schema.changes import AlterColumn, Change, DropColumn
from automigrate_ext.schema.nouns import Table
from automigrate_ext.waiting import describe_sessions
from automigrate_ext.words import plural

if TYPE_CHECKING:
    from automigrate_ext.backends.postgresql.backend import PostgreSQLBackend

TRY_HOLD, LET_GO = "SELECT pg_try_advisory_lock(%s)", "SELECT pg_advisory_unlock(%s)"
# A key of 64 bits is shown in two halves. Source: PostgreSQL's documentation of pg_locks.
HOLDS = """
SELECT EXISTS (SELECT FROM pg_locks l WHERE l.pid = pg_backend_pid() AND l.locktype = 'advisory' AND l.granted
               AND l.objsubid = 1 AND (l.classid::bigint << 32) + l.objid::bigint = %s)
"""
# A long statement of an online run keeps nobody waiting; how long it waits for others is limited by itself. So a
# statement_timeout of the role, which is meant for queries, does not end it. And nobody waits for a lock until a commit
# is on the disk: what a crash of the server undoes are the last statements, as if the run had ended before them, and
# the transaction at the end of the run brings all before it to the disk.
SET_FOR_SESSION = """
SELECT current_setting('lock_timeout'), current_setting('statement_timeout'), current_setting('synchronous_commit'),
       set_config('lock_timeout', %s, false), set_config('statement_timeout', %s, false),
       set_config('synchronous_commit', %s, false)
"""
SET_FOR_TRANSACTION = """
SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', '0', true),
       set_config('synchronous_commit', 'off', true)
"""
#: By how much longer than for a lock a statement waits that holds nobody up while it does: CREATE INDEX CONCURRENTLY
#: waits for every transaction that is older than the index.
PATIENCE_BESIDE = 30
IN_TRANSACTION = (
    "An online run consists of many transactions, and cannot be part of another one. Nothing was done. Run it {way}, "
    "or without --online (online=False)."
)
WRITTEN_SINCE = (
    "{change} would lose {found}, written by somebody else since the rows were counted. The run ended before that: "
    "what it did until then stays done, and the next one judges the rows again."
)
FILL_RANGE = (
    "UPDATE {table} SET {column} = {value} WHERE {column} IS NULL AND ({key}) >= ({first}) AND ({key}) <= ({last})"
)


class PostgreSQLOnline(Online):
    """Carries out changes on PostgreSQL while others use the tables."""

    backend: PostgreSQLBackend
    opening = ("SET lock_timeout = '2s'", "SET statement_timeout = 0")
    between = "a pooler"
    # CREATE INDEX CONCURRENTLY leaves an index that is not valid.
    leaves_remnants = True

    def __init__(self, backend: PostgreSQLBackend) -> None:
        super().__init__(backend)
        self.compiled: tuple[Work, frozenset[str], OnlineCompiler] | None = None

    # Compiling

    def compile(self, work: Work, used: Collection[str]) -> tuple[Step, ...]:
        return tuple(self.compiler(work, used).steps())

    def compiler(self, work: Work, used: Collection[str]) -> OnlineCompiler:
        """Return the compiler of the work; the last one is kept, so that the server is asked once."""
        key = frozenset(used)
        if self.compiled is None or self.compiled[0] is not work or self.compiled[1] != key:
            compiler = cast(OnlineCompiler, self.backend.new_compiler(work, OnlineCompiler))
            facts = read_facts(self.connection, key)
            self.compiled = work, key, compiler.beside(key, facts)
        return self.compiled[2]

    def blocking(self, work: Work, used: Collection[str]) -> tuple[tuple[Change, str], ...]:
        return tuple(self.compiler(work, used).blocking())

    def owed(self, work: Work, used: Collection[str]) -> Owed:
        compiler = self.compiler(work, used)
        tuple(compiler.steps())
        return Owed(
            unproven=tuple(compiler.unproven),
            defaulted=tuple(compiler.defaulted),
            unfilled=tuple(compiler.unfilled),
        )

    # Locks

    @contextmanager
    def held(self) -> Iterator[bool]:
        if self.connection.in_atomic_block:
            raise ExecutionFailed(IN_TRANSACTION.format(way="outside of atomic()"))
        if not self.connection.get_autocommit():
            raise ExecutionFailed(IN_TRANSACTION.format(way="with autocommit"))
        waited = self.backend.session.wait_for_run(self.try_hold)
        try:
            yield waited
        finally:
            self.let_go()

    def try_hold(self) -> bool:
        with self.connection.cursor() as cursor:
            cursor.execute(TRY_HOLD, [RUN_KEY])
            if cursor.fetchone()[0]:
                return True
        self.backend.session.forbid_waiting_for_oneself()
        return False

    def let_go(self) -> None:
        """Let other runs in; a session that has ended has done so."""
        raw = self.connection.connection
        if raw is not None and not raw.closed and not raw.broken:
            with self.connection.cursor() as cursor:
                cursor.execute(LET_GO, [RUN_KEY])

    def is_held(self) -> bool:
        with self.connection.cursor() as cursor:
            cursor.execute(HOLDS, [RUN_KEY])
            return bool(cursor.fetchone()[0])

    @contextmanager
    def transaction(self, seconds: float) -> Iterator[None]:
        with transaction.atomic(using=self.connection.alias):
            with self.connection.cursor() as cursor:
                cursor.execute(SET_FOR_TRANSACTION, [milliseconds(seconds)])
            yield

    def at_once(self, seconds: float) -> AbstractContextManager[None]:
        # The server commits as the statement ends; others do not wait until this process gets to it.
        return self.with_settings(milliseconds(seconds))

    def alone(self, seconds: float) -> AbstractContextManager[None]:
        return self.with_settings(milliseconds(seconds * PATIENCE_BESIDE))

    def waits(self, step: Step, seconds: float) -> float:
        return seconds * PATIENCE_BESIDE if step.manner and step.manner.alone else seconds

    @contextmanager
    def with_settings(self, timeout: str) -> Iterator[None]:
        """Give the session the settings for statements outside of transactions while the block runs."""
        before = self.set_for_session(timeout, "0", "off")
        try:
            yield
        finally:
            raw = self.connection.connection
            if raw is not None and not raw.closed and not raw.broken:
                self.set_for_session(*before)

    def set_for_session(self, *settings: str) -> tuple[str, ...]:
        """Set lock_timeout, statement_timeout and synchronous_commit; return what they were."""
        with self.connection.cursor() as cursor:
            cursor.execute(SET_FOR_SESSION, settings)
            return tuple(cursor.fetchone()[: len(settings)])

    def forbid_losses(self, steps: Sequence[Step]) -> None:
        for change in chain.from_iterable(step.at_stake for step in steps):
            self.backend.session.execute(LOCK_TABLES.format(tables=self.backend.quote(change.table), mode=WHOLE))
            found = self.turned_up(change)
            if found != 0:
                count = "values that cannot be counted in time" if found is None else plural(found, "row or value")
                raise ExecutionFailed(WRITTEN_SINCE.format(change=change.describe(), found=count))

    def turned_up(self, change: Change) -> int | None:
        """Count the rows or values that the change would lose now; None if they were not counted in time."""
        rows = self.backend.rows
        table = Table(name=change.table, columns=())
        source = rows.stored(table)
        match change:
            case AlterColumn(old=old, new=new) if not new.generated:
                loss = self.backend.count_lost(table, old, new)
                return (loss.rows or None) if loss.error else loss.rows
            case DropColumn(old=old) | AlterColumn(old=old):
                return rows.answer(rows.values(source, [old.name])).counted
        return rows.answer(rows.every_row(source)).counted

    def is_locked_out(self, error: Error) -> bool:
        return code_of(error) in {LOCK_NOT_AVAILABLE, DEADLOCK}

    def in_the_way(self, step: Step) -> str:
        if step.manner is not None and step.manner.alone:
            return describe_sessions(sessions(self.connection, OLD_TRANSACTIONS))
        return describe_sessions(sessions(self.connection, NAMED_HOLDERS, step.sql, step.sql))

    # Rows

    def updates(self, fill: RowFill, keys: Sequence[Key]) -> Iterator[str]:
        if fill.quiet:
            yield f"SELECT {QUIETLY}"
        if fill.value:
            yield self.fill_range(fill, keys[0], keys[-1])
        else:
            yield from self.backend.filler.update_rows(fill, [(key, fill.draw()) for key in keys])

    def fill_range(self, fill: RowFill, first: Key, last: Key) -> str:
        """Return the statement that gives all rows between two keys the value that they have not got yet."""
        quote = self.backend.quote
        return FILL_RANGE.format(
            table=quote(fill.table),
            column=quote(fill.column),
            value=fill.value,
            key=", ".join(map(quote, fill.key)),
            first=", ".join(first),
            last=", ".join(last),
        )
