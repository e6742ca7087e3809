"""The locks that a run takes on PostgreSQL, none of them tied to the session, and who stands in the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error

from automigrate_ext.backends.postgresql.faults import DEADLOCK, LOCK_NOT_AVAILABLE, code_of
from automigrate_ext.waiting import Session

# The lock is given back with the transaction, by a killed client too, and needs no session of its own.
TRY_RUN = "SELECT pg_try_advisory_xact_lock(%s)"
#: Any fixed number will do, as long as no other program in the database takes the same.
RUN_KEY = 6_171_309_204_113
#: Seconds between two attempts, from the first to those after a while.
PAUSE, LONGEST_PAUSE = 0.05, 0.5
#: Seconds for which the first attempts at the tables' locks queue; the later ones as long as the server needs to
#: look for deadlocks, and a little more, because only then an autovacuum that is in the way gives way.
#: Source: ProcSleep() and DeadLockCheck() in PostgreSQL's proc.c and deadlock.c.
SLICES = (0.1, 0.3, 0.6)
AFTER_DEADLOCK_CHECK = 0.2

LOCK_TABLES = "LOCK TABLE {tables} IN {mode} MODE"
#: What adding a foreign key takes of its target, and what everything else may take of a table.
SHARED, WHOLE = "SHARE ROW EXCLUSIVE", "ACCESS EXCLUSIVE"
EXISTING = "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL"

# The view pg_settings works out every setting there is for one of them. An interval takes all units that times have.
READ_TIMEOUTS = """
SELECT extract(epoch FROM current_setting('lock_timeout')::interval)::float8,
       extract(epoch FROM current_setting('deadlock_timeout')::interval)::float8
"""
SET_LOCK_TIMEOUT = "SELECT set_config('lock_timeout', %s, true)"
#: What PostgreSQL takes for a time, in milliseconds.
LONGEST_TIMEOUT = 2_147_483_647

SESSION = """
SELECT DISTINCT l.pid, a.usename::text, a.application_name, a.backend_type, a.state,
       to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SSOF'), a.query
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# A key of 64 bits is shown in two halves. Source: PostgreSQL's documentation of pg_locks.
RUNS = f"""{SESSION}
  AND l.locktype = 'advisory' AND l.objsubid = 1 AND (l.classid::bigint << 32) + l.objid::bigint = %s
ORDER BY 1
"""
HOLDERS = f"""{SESSION}
  AND l.locktype = 'relation' AND l.relation IN (SELECT to_regclass(q)::oid FROM unnest(%s::text[]) q)
ORDER BY 1
"""
# Whoever holds a lock on a table of the project's that the statement names; on any, where it is not known.
NAMED_HOLDERS = f"""{SESSION}
  AND l.locktype = 'relation' AND l.relation IN (
      SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND (%s = '' OR strpos(%s, c.relname) > 0)
  )
ORDER BY 1
"""


def try_run(connection: BaseDatabaseWrapper) -> bool:
    """Take the lock that keeps a second run out until the transaction ends, if it can be had at once."""
    with connection.cursor() as cursor:
        cursor.execute(TRY_RUN, [RUN_KEY])
        return bool(cursor.fetchone()[0])


def existing(connection: BaseDatabaseWrapper, names: Sequence[str]) -> list[str]:
    """Those of the tables, as they are written in SQL, that exist."""
    with connection.cursor() as cursor:
        cursor.execute(EXISTING, [list(names)])
        return [name for (name,) in cursor.fetchall()]


def try_tables(connection: BaseDatabaseWrapper, tables: Sequence[str], mode: str, seconds: float) -> bool:
    """Take the locks of all tables, or after that time none; so nobody queues behind an attempt for longer."""
    nowait = "" if seconds > 0 else " NOWAIT"
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            with lock_timeout(connection, seconds):
                cursor.execute(LOCK_TABLES.format(tables=", ".join(tables), mode=mode) + nowait)
            return True
    except Error as error:
        if code_of(error) in {LOCK_NOT_AVAILABLE, DEADLOCK}:
            return False
        raise


def timeouts(connection: BaseDatabaseWrapper) -> tuple[float | None, float]:
    """The server's lock_timeout (None is without end) and deadlock_timeout, in seconds."""
    with connection.cursor() as cursor:
        cursor.execute(READ_TIMEOUTS)
        lock, deadlock = cursor.fetchone()
    return (lock or None), deadlock


@contextmanager
def lock_timeout(connection: BaseDatabaseWrapper, seconds: float | None) -> Iterator[None]:
    """Let statements wait for locks no longer than that, in this transaction; None leaves the setting alone.

    An error takes the setting back along with the transaction or savepoint around it.
    """
    if seconds is None:
        yield
        return
    before, _ = timeouts(connection)
    set_lock_timeout(connection, seconds)
    yield
    set_lock_timeout(connection, before)


def set_lock_timeout(connection: BaseDatabaseWrapper, seconds: float | None) -> None:
    """Set it for this transaction. For the server 0 means without end, so the least is a millisecond."""
    milliseconds = 0 if seconds is None else max(1, round(min(seconds * 1000, LONGEST_TIMEOUT)))
    with connection.cursor() as cursor:
        cursor.execute(SET_LOCK_TIMEOUT, [str(milliseconds)])


def sessions(connection: BaseDatabaseWrapper, sql: str, *params: Any) -> tuple[Session, ...]:
    """The sessions that a query finds."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return tuple(
            Session(pid=pid, user=user, application=app, kind=kind, state=state, since=since, query=query)
            for pid, user, app, kind, state, since, query in cursor.fetchall()
        )
