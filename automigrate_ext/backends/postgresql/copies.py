"""Copies of databases on PostgreSQL: the server copies a template."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from django.db.utils import OperationalError

from automigrate_ext.backends.copies import Copies
from automigrate_ext.backends.postgresql.faults import code_of

# Locks are apart for each database, and all runs connect to the same one while they make test databases.
TRY_LOCK = "SELECT pg_try_advisory_lock(%s)"
EXISTS = "SELECT 1 FROM pg_database WHERE datname = %s"
DROP = "DROP DATABASE IF EXISTS {name}"
COPY = "CREATE DATABASE {target} TEMPLATE {source}"
# What the catalog says of each table, as it is kept there: nothing is printed, and numbers stand for names. A copy of
# the database has the same numbers.
TABLES = """
WITH wanted (name, oid) AS MATERIALIZED (
    SELECT name, to_regclass(quoted)::oid FROM unnest(%s::text[], %s::text[]) AS asked (name, quoted)
)
SELECT name, md5(string_agg(fact, chr(10) ORDER BY fact COLLATE "C"))
FROM (
    SELECT w.name, concat_ws(' ', 'table', c.relkind, c.relnamespace, c.relname, c.reltablespace, c.relpersistence,
                             c.reloptions) AS fact
    FROM wanted w JOIN pg_class c USING (oid)
    UNION ALL
    SELECT w.name, concat_ws(' ', 'comment', d.objsubid, d.description)
    FROM wanted w JOIN pg_description d ON d.objoid = w.oid AND d.classoid = 'pg_class'::regclass
    UNION ALL
    SELECT w.name, concat_ws(' ', 'column', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attidentity,
                             a.attgenerated, a.attcollation, a.attinhcount, d.adbin)
    FROM wanted w
    JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    UNION ALL
    SELECT w.name, concat_ws(' ', 'constraint', k.conname, k.contype, k.condeferrable, k.condeferred, k.convalidated,
                             k.confrelid, k.confdeltype, k.confupdtype, k.conkey, k.confkey, k.conbin, k.conexclop,
                             k.conindid)
    FROM wanted w JOIN pg_constraint k ON k.conrelid = w.oid
    UNION ALL
    SELECT w.name, concat_ws(' ', 'index', ic.relname, ic.relam, ic.reltablespace, ic.reloptions, i)
    FROM wanted w JOIN pg_index i ON i.indrelid = w.oid JOIN pg_class ic ON ic.oid = i.indexrelid
) AS facts
GROUP BY name
"""
#: Sessions of a process that is gone may take a moment to notice it.
IN_USE = "55006"
PATIENCE, PAUSE = 10.0, 0.1


class PostgreSQLCopies(Copies):
    """Databases of the server that the connection is to."""

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        with self.beside() as cursor:

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

    def tables(self, names: Collection[str]) -> dict[str, str]:
        with self.connection.cursor() as cursor:
            cursor.execute(TABLES, [list(names), [self.quote(name) for name in names]])
            return dict(cursor.fetchall())

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
