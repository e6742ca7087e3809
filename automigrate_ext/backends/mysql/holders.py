"""The other sessions of a server of MariaDB or MySQL that may keep a statement from its locks."""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError

from automigrate_ext.backends.mysql import faults
from automigrate_ext.waiting import Session

#: How many sessions are named at most.
SHOWN = 5
# A transaction holds the tables that it has used until it ends, be it only by a read. Which these are is in
# performance_schema.metadata_locks, which MariaDB has off by default, so all transactions in the database are named.
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


def in_the_way(connection: BaseDatabaseWrapper) -> tuple[Session, ...]:
    """Return the sessions with a transaction in the database, the oldest first, as far as the role may see them."""
    with connection.cursor() as cursor:
        try:
            cursor.execute(WITH_TRANSACTION)
        except DatabaseError as error:
            if not faults.is_forbidden(error):
                raise
            cursor.execute(RUNNING)
        return tuple(
            Session(
                pid=pid,
                user=user,
                state=state or command,
                since=f"{since:%Y-%m-%d %H:%M:%S}" if since else None,
                query=info,
            )
            for pid, user, command, state, since, info in cursor.fetchall()
        )
