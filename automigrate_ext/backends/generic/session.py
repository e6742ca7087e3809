"""The session of a run on any database: whether it undoes changes of tables, and the lock that keeps others out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from django.db import models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError, Error, OperationalError

from automigrate_ext.backends.generic.editor import Write, running, written
from automigrate_ext.backends.generic.introspection import Catalog
from automigrate_ext.backends.generic.models import model_named
from automigrate_ext.backends.session import RenamingSession
from automigrate_ext.exceptions import LockNotAvailable

if TYPE_CHECKING:
    from automigrate_ext.backends.generic.backend import GenericBackend

TABLE = "automigrate_ext_lock"
INSERT = "INSERT INTO {table} ({column}) VALUES (1)"
COUNT = "SELECT count(*) FROM {table}"
#: Changing the row takes its lock on every server that has transactions.
TAKE = "UPDATE {table} SET {column} = 1"
TRY = "SELECT {column} FROM {table} {for_update}"


class GenericSession(RenamingSession):
    """The session of a run on any database."""

    backend: GenericBackend

    def __init__(self, backend: GenericBackend) -> None:
        super().__init__(backend)
        self.lock = RunLock(self.connection, backend.write)
        self.is_exclusive = False
        #: Whether it is known if the database undoes changes of tables.
        self.proved = not backend.undoes_ddl

    # Whether changes of tables are undone

    def prove(self) -> None:
        """Find out whether changes of tables are undone, as the database backend claims: some editors commit each."""
        if self.proved:
            return
        connection = self.connection.copy() if self.connection.in_atomic_block else self.connection
        name = f"{self.backend.prefix}undone"
        model = model_named(name, {"id": models.IntegerField(primary_key=True)})
        connection.ensure_connection()
        if connection is not self.connection:
            self.prove_apart(connection, model)
        else:
            with transaction.atomic(using=self.connection.alias):
                self.backend.write(lambda editor: editor.create_model(model))
                transaction.set_rollback(True, using=self.connection.alias)
            self.conclude(self.backend.catalog().find(name) is None)
        if not self.backend.undoes_ddl:
            self.backend.drop(name)

    def prove_apart(self, connection: BaseDatabaseWrapper, model: type[models.Model]) -> None:
        """Find that out by another connection, so that the caller's transaction is not committed."""
        try:
            connection.set_autocommit(False)
            editor = connection.schema_editor()
            for sql in written(connection, lambda writing: writing.create_model(model)):
                editor.execute(sql, None)
            connection.rollback()
            connection.set_autocommit(True)
            with connection.cursor() as cursor:
                self.conclude(Catalog(connection, cursor).find(model._meta.db_table) is None)
        finally:
            connection.close()

    def conclude(self, undoes_ddl: bool) -> None:
        """Record whether changes of tables are undone."""
        self.proved = True
        self.backend.set_undoes_ddl(undoes_ddl)

    # Transactions

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Keep other runs out by the lock of a run. Raises `LockNotAvailable`."""
        self.prove()
        if self.backend.undoes_ddl:
            with running(self.connection, undoes_ddl=True):
                self.lock.make()
                waited = self.take(self.connection)
                with self.marked():
                    yield waited
            return
        self.forbid_transaction()
        self.lock.make()
        with self.held_apart() as waited, running(self.connection, undoes_ddl=False), self.marked():
            yield waited

    @contextmanager
    def marked(self) -> Iterator[None]:
        """Mark that the lock is held, and drop what killed runs have left."""
        self.is_exclusive = True
        try:
            self.sweep()
            yield
        finally:
            self.is_exclusive = False

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Keep reads to the same state by a transaction, where scratch tables can be made and undone in one."""
        self.prove()
        if not self.backend.undoes_ddl:
            yield
            return
        with super().snapshot():
            yield

    # The lock of a run

    @contextmanager
    def held_apart(self) -> Iterator[bool]:
        """Hold the lock by a connection of its own, because each change of a table would commit this one's.

        Gives whether there was a wait.
        """
        holder = self.connection.copy()
        holder.ensure_connection()
        holder.set_autocommit(False)
        try:
            yield self.take(holder)
        finally:
            # The lock ends with its session, if not with the transaction.
            with suppress(Error):
                holder.rollback()
            holder.close()

    def take(self, connection: BaseDatabaseWrapper) -> bool:
        """Wait until the lock is had, for as long as the transaction lasts; return whether there was a wait.

        Where the server cannot try and give up, it decides how long a statement waits. Raises `LockNotAvailable`.
        """
        try:
            return self.wait_for_run(partial(self.lock.try_to_take, connection))
        except LockTimeout as timeout:
            raise LockNotAvailable(
                f"{self.describe_run_in_the_way('the time that the server waits')} It said: {timeout.error}"
            ) from timeout.error

    # Scratch tables

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Drop the scratch tables of a block after it."""
        if self.backend.undoes_ddl:
            with transaction.atomic(using=self.connection.alias):
                yield
                transaction.set_rollback(True, using=self.connection.alias)
            return
        self.forbid_transaction()
        try:
            yield
        finally:
            for name in self.backend.catalog().scratch():
                if name.startswith(self.backend.prefix):
                    self.backend.drop(name)

    def sweep_if_alone(self) -> None:
        """Drop what a killed run has left, under the lock of a run, so that no other one still needs it."""
        if self.is_exclusive or self.connection.in_atomic_block:
            return
        if any(not name.startswith(self.backend.prefix) for name in self.backend.catalog().scratch()):
            with self.backend.exclusive():
                pass

    def sweep(self) -> None:
        """Drop the scratch tables of other runs."""
        for name in self.backend.catalog().scratch():
            if not name.startswith(self.backend.prefix):
                self.backend.drop(name)


class LockTimeout(Exception):
    """The server itself gave up waiting for the lock of a run, with an error."""

    def __init__(self, error: DatabaseError) -> None:
        super().__init__(str(error))
        self.error = error


class RunLock:
    """The row of a small table that a run changes: a second one cannot change it before the first one ends."""

    def __init__(self, connection: BaseDatabaseWrapper, write: Write) -> None:
        self.connection = connection
        self.write = write
        quote = connection.ops.quote_name
        self.names = {"table": quote(TABLE), "column": quote("id")}

    def make(self) -> None:
        """Make the table with its row, unless they are there."""
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

    def try_to_take(self, connection: BaseDatabaseWrapper) -> bool:
        """Take the lock if it is free, and return whether it was.

        Raises `LockTimeout` where the server itself waits, and gives up.
        """
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
        """Take the lock by a statement that waits for it. Raises `LockTimeout`."""
        try:
            with connection.cursor() as cursor:
                cursor.execute(TAKE.format(**self.names))
        except DatabaseError as error:
            raise LockTimeout(error) from error
