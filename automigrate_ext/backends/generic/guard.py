"""The lock of a run: a row of a small table, which a second run cannot change before the first one ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError, Error, OperationalError

from automigrate_ext.backends.generic.editor import Write
from automigrate_ext.backends.generic.introspection import Catalog
from automigrate_ext.backends.generic.models import model_named
from automigrate_ext.exceptions import LockNotAvailable
from automigrate_ext.waiting import Patience, Waiting, seconds

TABLE = "automigrate_ext_lock"
INSERT = "INSERT INTO {table} ({column}) VALUES (1)"
COUNT = "SELECT count(*) FROM {table}"
#: Changing the row takes its lock on every server that has transactions.
TAKE = "UPDATE {table} SET {column} = 1"
TRY = "SELECT {column} FROM {table} {for_update}"
#: Seconds between two attempts to get the lock, at first and at most.
PAUSE, LONGEST_PAUSE = 0.05, 1.0


class Guard:
    """The lock of one database."""

    def __init__(self, connection: BaseDatabaseWrapper, write: Write) -> None:
        self.connection = connection
        self.write = write
        quote = connection.ops.quote_name
        self.names = {"table": quote(TABLE), "column": quote("id")}

    def make(self) -> None:
        """Make the table with its row, unless they are there. Raises `LockNotAvailable` where another run just does."""
        with self.connection.cursor() as cursor:
            there = Catalog(self.connection, cursor).find(TABLE)
        if there is None:
            model = model_named(TABLE, {"id": models.IntegerField(primary_key=True)})
            self.write(lambda editor: editor.create_model(model))
        with self.connection.cursor() as cursor:
            cursor.execute(COUNT.format(**self.names))
            (rows,) = cursor.fetchone()
            if not rows:
                cursor.execute(INSERT.format(**self.names))

    @contextmanager
    def held_apart(self, patience: Patience) -> Iterator[bool]:
        """Hold the lock by a connection of its own: where each change of a table is committed, this one's would go."""
        holder = self.connection.copy()
        holder.ensure_connection()
        holder.set_autocommit(False)
        try:
            yield self.take(holder, patience)
        finally:
            # The lock ends with its session, if not with the transaction.
            with suppress(Error):
                holder.rollback()
            holder.close()

    def take(self, connection: BaseDatabaseWrapper, patience: Patience) -> bool:
        """Wait until the lock is had, for as long as the transaction lasts; gives whether it had to be waited for.

        Where the server cannot try and give up, it decides how long a statement waits. Raises `LockNotAvailable`.
        """
        waiting, pause = Waiting(patience.lock_wait, patience.notify), PAUSE
        while not self.try_to_take(connection):
            if not waiting.pause(pause, self.other_run):
                raise LockNotAvailable(self.in_the_way(seconds(patience.lock_wait)))
            pause = min(pause * 1.5, LONGEST_PAUSE)
        return waiting.waited

    def try_to_take(self, connection: BaseDatabaseWrapper) -> bool:
        features = connection.features
        if not features.has_select_for_update_nowait or features.for_update_after_from:
            self.wait_and_take(connection)
            return True
        sql = TRY.format(for_update=connection.ops.for_update_sql(nowait=True), **self.names)
        try:
            if connection is self.connection:
                with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
                    cursor.execute(sql)
            else:
                with connection.cursor() as cursor:
                    cursor.execute(sql)
        except OperationalError:
            if connection is not self.connection:
                connection.rollback()
            return False
        return True

    def wait_and_take(self, connection: BaseDatabaseWrapper) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute(TAKE.format(**self.names))
        except DatabaseError as error:
            raise LockNotAvailable(f"{self.in_the_way('the time that the server waits')} It said: {error}") from error

    def other_run(self) -> str:
        """What a run waits for that waits for another one."""
        return f"Waiting for another run on database {self.connection.alias!r}"

    def in_the_way(self, limit: str) -> str:
        """Why a run ends that has waited for another one."""
        return (
            f"Another run on database {self.connection.alias!r} did not end within {limit}. Nothing was changed. "
            f"Wait for it, or raise --lock-wait (lock_wait=)."
        )
