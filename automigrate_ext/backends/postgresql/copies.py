"""Copies of databases on PostgreSQL: the server copies a template."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db.utils import OperationalError

from automigrate_ext.backends.copies import Copies
from automigrate_ext.backends.postgresql.faults import code_of

# Locks are apart for each database, and all runs connect to the same one while they make test databases.
TRY_LOCK = "SELECT pg_try_advisory_lock(%s)"
EXISTS = "SELECT 1 FROM pg_database WHERE datname = %s"
DROP = "DROP DATABASE IF EXISTS {name}"
COPY = "CREATE DATABASE {target} TEMPLATE {source}"
#: Sessions of a process that is gone may take a moment to notice it.
IN_USE = "55006"
PATIENCE, PAUSE = 10.0, 0.1


class PostgreSQLCopies(Copies):
    """Databases of the server that the connection is to."""

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        with self.connection._nodb_cursor() as cursor:

            def attempt() -> bool:
                cursor.execute(TRY_LOCK, [key])
                return bool(cursor.fetchone()[0])

            # The session's end frees the lock.
            with self.insisting(attempt, name):
                yield

    def exists(self, name: str) -> bool:
        with self.connection._nodb_cursor() as cursor:
            cursor.execute(EXISTS, [name])
            return cursor.fetchone() is not None

    def drop(self, name: str) -> None:
        self.leave()
        self.run(DROP.format(name=self.quote(name)))

    def copy(self, source: str, target: str, last: str) -> None:
        self.drop(target)
        self.run(COPY.format(target=self.quote(target), source=self.quote(source)))

    def leave(self) -> None:
        """Close what this process has open; a database in use is neither dropped nor copied."""
        self.connection.close()
        self.connection.close_pool()  # type: ignore[attr-defined]

    def quote(self, name: str) -> str:
        return self.connection.ops.quote_name(name)

    def run(self, sql: str) -> None:
        """Execute a statement; where the database is in use, again for a while."""
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
