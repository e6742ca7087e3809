"""The other sessions of the server that hold locks."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext.waiting import Session

SESSION = """
SELECT DISTINCT l.pid, a.usename::text, a.application_name, a.backend_type, a.state,
       to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SSOF'), a.query
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# Sessions that hold one of these advisory locks, but not in this mode, which is no obstacle. A key of 64 bits is shown
# in two halves. Source: PostgreSQL's documentation of pg_locks.
RUNS = f"""{SESSION}
  AND l.locktype = 'advisory' AND l.objsubid = 1 AND l.mode <> %s
  AND (l.classid::bigint << 32) + l.objid::bigint = ANY(%s::bigint[])
ORDER BY 1
"""
HOLDERS = f"""{SESSION}
  AND l.locktype = 'relation' AND l.relation IN (SELECT to_regclass(q)::oid FROM unnest(%s::text[]) q)
ORDER BY 1
"""
# Sessions that hold a lock on a table of the project's which the statement names, or on any where none is given.
NAMED_HOLDERS = f"""{SESSION}
  AND l.locktype = 'relation' AND l.relation IN (
      SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND (%s = '' OR strpos(%s, c.relname) > 0)
  )
ORDER BY 1
"""
# Sessions that keep others from reading a table of the project's.
STRONG_HOLDERS = f"""{SESSION}
  AND l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.relation IN (
      SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  )
ORDER BY 1
"""
# Sessions with a transaction that sees the database as it was, or has changed it, for which CONCURRENTLY waits.
OLD_TRANSACTIONS = """
SELECT a.pid, a.usename::text, a.application_name, a.backend_type, a.state,
       to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SSOF'), a.query
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.xact_start IS NOT NULL
ORDER BY a.xact_start, 1
"""


def sessions(connection: BaseDatabaseWrapper, sql: str, *params: Any) -> tuple[Session, ...]:
    """Return the sessions that hold locks, by one of the queries above."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return tuple(
            Session(pid=pid, user=user, application=app, kind=kind, state=state, since=since, query=query)
            for pid, user, app, kind, state, since, query in cursor.fetchall()
        )
