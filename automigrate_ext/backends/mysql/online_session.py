"""Carry out changes on MariaDB and MySQL while others use the tables: locks, batches of rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from django.db import transaction
from django.db.utils import Error

from automigrate_ext.backends.mysql import faults
from automigrate_ext.backends.mysql.holders import in_the_way
from automigrate_ext.backends.mysql.online import OnlineCompiler
from automigrate_ext.backends.mysql.schema import CHECKED, UNLOCK_TABLES
from automigrate_ext.backends.mysql.session import SCRIPT_SETTINGS, free_lock, lock_name, settings, try_lock, whole
from automigrate_ext.backends.online import Key, Online, Owed
from automigrate_ext.backends.work import RowFill, Step, Work
from automigrate_ext.schema.changes import Change
from automigrate_ext.waiting import describe_sessions

if TYPE_CHECKING:
    from automigrate_ext.backends.mysql.backend import MySQLBackend

HOLDS = "SELECT IS_USED_LOCK(%s) = CONNECTION_ID()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What the work of an online run comes to: statements, what keeps others waiting, and what is owed meanwhile."""

    steps: tuple[Step, ...]
    blocking: tuple[tuple[Change, str], ...]
    owed: Owed


class MySQLOnline(Online):
    """Carries out changes on MariaDB and MySQL while others use the tables."""

    backend: MySQLBackend
    opening = (SCRIPT_SETTINGS, "SET SESSION lock_wait_timeout = 2")
    between = "a proxy"

    def __init__(self, backend: MySQLBackend) -> None:
        super().__init__(backend)
        self.compiled: tuple[Work, frozenset[str], Compiled] | None = None

    # Compiling

    def compile(self, work: Work, used: Collection[str]) -> tuple[Step, ...]:
        return self.try_out(work, used).steps

    def blocking(self, work: Work, used: Collection[str]) -> tuple[tuple[Change, str], ...]:
        return self.try_out(work, used).blocking

    def owed(self, work: Work, used: Collection[str]) -> Owed:
        return self.try_out(work, used).owed

    def try_out(self, work: Work, used: Collection[str]) -> Compiled:
        """Compile the work while its statements are tried out; the last result is kept, so that this is done once."""
        key = frozenset(used)
        if self.compiled is None or self.compiled[0] is not work or self.compiled[1] != key:
            with self.backend.rehearsal.trial(work) as trial:
                compiler = cast(OnlineCompiler, self.backend.compiler(work, OnlineCompiler)).beside(key, trial)
                steps = tuple(compiler.steps())
            owed = Owed(
                unproven=tuple(compiler.unproven),
                defaulted=tuple(compiler.defaulted),
                unfilled=tuple(compiler.unfilled),
                set_aside=tuple(compiler.set_aside),
            )
            self.compiled = work, key, Compiled(steps=steps, blocking=tuple(compiler.blocked), owed=owed)
        return self.compiled[2]

    # Locks

    @contextmanager
    def held(self) -> Iterator[bool]:
        session = self.backend.session
        session.forbid_transaction()
        with session.strict():
            waited = session.wait_for_run(partial(try_lock, self.connection))
            try:
                yield waited
            except BaseException:
                # The first error is the one to report; where the connection broke, its session is gone.
                with suppress(Error):
                    session.execute(UNLOCK_TABLES)
                    session.execute(CHECKED)
                raise
            finally:
                if self.connection.connection is not None and self.connection.is_usable():
                    free_lock(self.connection)

    def is_held(self) -> bool:
        with self.connection.cursor() as cursor:
            cursor.execute(HOLDS, [lock_name(str(self.connection.settings_dict["NAME"]))])
            return bool(cursor.fetchone()[0])

    @contextmanager
    def transaction(self, seconds: float) -> Iterator[None]:
        limit = whole(seconds)
        with settings(self.connection, {"lock_wait_timeout": limit, "innodb_lock_wait_timeout": limit}):
            yield

    @contextmanager
    def alone(self, seconds: float) -> Iterator[None]:
        with self.transaction(seconds):
            yield

    def waits(self, step: Step, seconds: float) -> float:
        return whole(seconds)

    def forbid_losses(self, steps: Sequence[Step]) -> None:
        """Leave that to `run`, which counts under the lock of a table."""

    def is_locked_out(self, error: Error) -> bool:
        return faults.code_of(error) in (faults.LOCK_WAIT_TIMEOUT, faults.DEADLOCK)

    def lacks_values(self, error: Error) -> bool:
        return faults.code_of(error) in faults.NULL_VALUES

    def in_the_way(self, step: Step) -> str:
        return describe_sessions(in_the_way(self.connection, step.table))

    # Rows

    def fill_batch(self, fill: RowFill, after: Key | None) -> tuple[Key | None, int]:
        with transaction.atomic(using=self.connection.alias):
            return super().fill_batch(fill, after)

    def updates(self, fill: RowFill, keys: Sequence[Key]) -> Iterator[str]:
        filler = self.backend.filler
        if fill.value:
            yield filler.update_range(fill, keys[0], keys[-1])
        else:
            yield from filler.update_rows(fill, [(key, fill.draw()) for key in keys])
