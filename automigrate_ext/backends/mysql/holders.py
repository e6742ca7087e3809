"""The other sessions of a server of MariaDB or MySQL that may keep a statement from its locks."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError

from automigrate_ext.backends.mysql import faults
from automigrate_ext.waiting import Session

#: How many sessions are named at most.
SHOWN = 5
# A transaction holds the tables that it has used until it ends, be it only by a read. Which these are, and its last
# statement, is in the performance schema, where that is on: it is on MySQL by default, and not on MariaDB.
# Source: https://dev.mysql.com/doc/refman/8.4/en/performance-schema-metadata-locks-table.html
HOLDING = f"""
SELECT DISTINCT t.processlist_id, t.processlist_user, t.processlist_command, t.processlist_state, NULL, s.sql_text
FROM performance_schema.metadata_locks l
JOIN performance_schema.threads t ON t.thread_id = l.owner_thread_id
LEFT JOIN performance_schema.events_statements_current s
    ON s.thread_id = t.thread_id AND coalesce(s.nesting_event_type, '') <> 'STATEMENT'
WHERE @@performance_schema = 1 AND l.object_type = 'TABLE' AND l.object_schema = DATABASE() AND l.object_name = %s
  AND l.lock_status = 'GRANTED' AND t.processlist_id <> CONNECTION_ID()
ORDER BY t.processlist_id LIMIT {SHOWN}
"""
# Elsewhere all transactions in the database are named.
WITH_TRANSACTION = f"""
SELECT p.id, p.user, p.command, p.state, t.trx_started, p.info
FROM information_schema.innodb_trx t JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
WHERE p.id <> CONNECTION_ID() AND p.db = DATABASE() ORDER BY t.trx_started, p.id LIMIT {SHOWN}
"""
# What a role sees that has not the privilege PROCESS: its own sessions.
RUNNING = f"""
SELECT p.id, p.user, p.command, p.state, NULL, p.info FROM information_schema.processlist p
WHERE p.id <> CONNECTION_ID() AND p.db = DATABASE() ORDER BY p.time DESC, p.id LIMIT {SHOWN}
"""


def in_the_way(connection: BaseDatabaseWrapper, table: str) -> tuple[Session, ...]:
    """Return the sessions that hold a table or, where the server does not show that, all with a transaction.

    They are those in the database of the connection, as far as its role may see them.
    """
    if holding := sessions(connection, HOLDING, table):
        return holding
    found = sessions(connection, WITH_TRANSACTION)
    return found if found is not None else sessions(connection, RUNNING) or ()


def sessions(connection: BaseDatabaseWrapper, sql: str, *params: Any) -> tuple[Session, ...] | None:
    """Return the sessions that a query gives; None where the role may not ask that, or the server has no such table."""
    with connection.cursor() as cursor:
        try:
            cursor.execute(sql, params)
        except DatabaseError as error:
            if faults.is_forbidden(error) or faults.code_of(error) == faults.NO_SUCH_TABLE:
                return None
            raise
        return tuple(
            Session(
                pid=pid,
                user=user,
                state=state or command,
                since=f"{since:%Y-%m-%d %H:%M:%S}" if since else None,
                query=query,
            )
            for pid, user, command, state, since, query in cursor.fetchall()
        )
