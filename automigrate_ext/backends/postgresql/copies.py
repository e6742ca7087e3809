"""Copies of databases on PostgreSQL: the server copies a template."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db.backends.utils import CursorWrapper
from django.db.utils import OperationalError

from automigrate_ext.backends.copies import Copies
from automigrate_ext.backends.postgresql.faults import code_of
from automigrate_ext.exceptions import AutomigrateError

# Locks belong to one database, and all runs connect to the same one while they make test databases.
TRY_LOCK = "SELECT pg_try_advisory_lock(%s)"
TRY_SHARE = "SELECT pg_try_advisory_lock_shared(%s)"
FREE_LOCK = "SELECT pg_advisory_unlock(%s)"
EXISTS = "SELECT 1 FROM pg_database WHERE datname = %s"
MAY_CREATE = "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
DROP = "DROP DATABASE IF EXISTS {name}"
COPY = "CREATE DATABASE {target} TEMPLATE {source}"
IN_USE_BY = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = %s)"
#: Seconds after which a session that should have ended is treated as another one's, and between two checks.
ENDING, LOOK = 0.1, 0.003
#: Sessions of a process that ended may take a moment to end too.
IN_USE = "55006"
PATIENCE, PAUSE = 10.0, 0.1


class AdvisoryLock:
    """A lock of the session that the cursor belongs to."""

    def __init__(self, cursor: CursorWrapper, number: int) -> None:
        self.cursor = cursor
        self.number = number
        self.is_taken = False

    def take(self) -> bool:
        self.is_taken = self.ask(TRY_LOCK)
        return self.is_taken

    def share(self) -> bool:
        is_shared = self.ask(TRY_SHARE)
        if is_shared and self.is_taken:
            self.ask(FREE_LOCK)
        return is_shared

    def ask(self, sql: str) -> bool:
        self.cursor.execute(sql, [self.number])
        return bool(self.cursor.fetchone()[0])


class PostgreSQLCopies(Copies):
    """Copies of databases on the server of the connection."""

    @contextmanager
    def key(self, name: str) -> Iterator[AdvisoryLock]:
        # The end of the session releases the lock.
        with self.beside() as cursor:
            yield AdvisoryLock(cursor, int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True))

    def exists(self, name: str) -> bool:
        with self.connection._nodb_cursor() as cursor:
            cursor.execute(EXISTS, [name])
            return cursor.fetchone() is not None

    def forbid_unfit(self, name: str) -> None:
        limit = self.connection.ops.max_name_length()
        if limit and len(name.encode()) > limit:
            raise AutomigrateError(
                f"The name of the test database {name!r} has more than {limit} bytes, and PostgreSQL would cut it off. "
                f"Give it a shorter one by TEST NAME in DATABASES."
            )

    def may_create(self) -> bool:
        with self.connection._nodb_cursor() as cursor:
            cursor.execute(MAY_CREATE)
            return bool(cursor.fetchone()[0])

    def drop(self, name: str) -> None:
        self.leave(name)
        self.run(DROP.format(name=self.quote(name)))

    def copy(self, source: str, target: str, last: str) -> None:
        if not self.may_create():
            raise AutomigrateError(
                f"The test database {target!r} cannot be made from {source!r}: the role may not create databases. Let "
                f"a superuser execute ALTER ROLE ... CREATEDB, or run the tests in one process."
            )
        self.drop(target)
        self.run(COPY.format(target=self.quote(target), source=self.quote(source)))

    def leave(self, name: str) -> None:
        """Close this process's connections to the database; one in use is neither dropped nor copied.

        A session takes some milliseconds to end, and the server checks again only after a hundred (CountOtherDBBackends
        in procarray.c), so this method waits for the end.
        """
        super().leave(name)
        self.connection.close_pool()  # type: ignore[attr-defined]
        deadline = time.monotonic() + ENDING
        with self.connection._nodb_cursor() as cursor:
            while time.monotonic() < deadline:
                cursor.execute(IN_USE_BY, [name])
                if not cursor.fetchone()[0]:
                    break
                time.sleep(LOOK)

    def run(self, sql: str) -> None:
        """Execute a statement, and again for a while where the database is in use."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with self.connection._nodb_cursor() as cursor:
                    cursor.execute(sql)
                return
            except OperationalError as error:
                if code_of(error) != IN_USE or time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE)
