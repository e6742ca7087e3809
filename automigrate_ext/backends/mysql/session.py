"""The session of a run: strict whatever the server's default, and alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError, Error

from automigrate_ext.backends.mysql import faults
from automigrate_ext.waiting import Session

# Without NO_ZERO_DATE, so that zero dates which are there survive a table's rebuild; with NO_AUTO_VALUE_ON_ZERO, so
# that a row numbered 0 does. Without ANSI_QUOTES, which would change what SHOW CREATE TABLE prints.
# Source: https://mariadb.com/kb/en/sql-mode/
SQL_MODE = (
    "STRICT_ALL_TABLES,STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO"
)
SETTINGS: Mapping[str, str | int] = {"sql_mode": SQL_MODE, "sql_quote_show_create": 1, "foreign_key_checks": 1}
READ = "SELECT {names}"
WRITE = "SET SESSION {pairs}"

READ_ONLY = "SELECT CAST(@@GLOBAL.read_only AS CHAR)"
# Whether it may be written is asked before whether there is such a table, so that this tells who may, whatever the
# privilege is called in this version (SUPER, READ ONLY ADMIN, CONNECTION_ADMIN) and by whichever way it was given.
WRITE_NOTHING = "DELETE FROM automigrate_ext_nowhere"

# A server without Galera has no such variable.
REPLICATES = "SHOW VARIABLES LIKE 'wsrep_on'"

TRY_LOCK = "SELECT GET_LOCK(%s, 0)"
FREE_LOCK = "SELECT RELEASE_LOCK(%s)"
HOLDER = """
SELECT p.id, p.user, p.command, p.state, p.info FROM information_schema.processlist p WHERE p.id = IS_USED_LOCK(%s)
"""
# Each alias has to be locked by itself: https://mariadb.com/kb/en/lock-tables/
LOCK_TABLES = "LOCK TABLES {table} WRITE, {table} AS asked WRITE"
UNLOCK_TABLES = "UNLOCK TABLES"
#: Source: https://dev.mysql.com/doc/refman/8.4/en/locking-functions.html, which allows 64 characters.
LONGEST_NAME = 64
LOCK_PREFIX = "automigrate_ext."


@contextmanager
def settings(connection: BaseDatabaseWrapper, wanted: Mapping[str, str | int | float]) -> Iterator[None]:
    """Give the session these settings, and in the end those that it had."""
    with connection.cursor() as cursor:
        cursor.execute(READ.format(names=", ".join(f"@@SESSION.{name}" for name in wanted)))
        before = dict(zip(wanted, cursor.fetchone(), strict=True))
    differing = {name: value for name, value in wanted.items() if before[name] != value}
    if not differing:
        yield
        return
    put(connection, differing)
    try:
        yield
    except BaseException:
        # The error is what counts; where the connection broke, its session and settings are gone.
        with suppress(Error):
            put(connection, {name: before[name] for name in differing})
        raise
    put(connection, {name: before[name] for name in differing})


def put(connection: BaseDatabaseWrapper, wanted: Mapping[str, str | int | float]) -> None:
    """Set variables of the session."""
    pairs = ", ".join(f"{name} = %s" for name in wanted)
    with connection.cursor() as cursor:
        cursor.execute(WRITE.format(pairs=pairs), list(wanted.values()))


def is_read_only(connection: BaseDatabaseWrapper) -> bool:
    """Whether the server takes no changes from this role, as replicas are set up for all but administrators."""
    with connection.cursor() as cursor:
        cursor.execute(READ_ONLY)
        if cursor.fetchone()[0] in ("0", "OFF"):
            return False
        try:
            cursor.execute(WRITE_NOTHING)
        except DatabaseError as error:
            return faults.code_of(error) == faults.READ_ONLY_OPTION
    return False


def is_in_cluster(connection: BaseDatabaseWrapper) -> bool:
    """Whether what the session writes goes to the other nodes of a Galera cluster."""
    with connection.cursor() as cursor:
        cursor.execute(REPLICATES)
        return any(value == "ON" for _, value in cursor.fetchall())


def lock_name(connection: BaseDatabaseWrapper) -> str:
    """The name of the lock that keeps two runs on one database apart."""
    database = str(connection.settings_dict["NAME"])
    name = LOCK_PREFIX + database
    if len(name) <= LONGEST_NAME:
        return name
    return LOCK_PREFIX + hashlib.sha256(database.encode()).hexdigest()[: LONGEST_NAME - len(LOCK_PREFIX)]


def try_lock(connection: BaseDatabaseWrapper) -> bool:
    """Take the lock, unless another session has it; a session may take it more than once."""
    with connection.cursor() as cursor:
        cursor.execute(TRY_LOCK, [lock_name(connection)])
        return bool(cursor.fetchone()[0])


def free_lock(connection: BaseDatabaseWrapper) -> None:
    """Give the lock back."""
    with connection.cursor() as cursor:
        cursor.execute(FREE_LOCK, [lock_name(connection)])


def holders(connection: BaseDatabaseWrapper) -> tuple[Session, ...]:
    """The session that has the lock, as far as the server tells this role of it."""
    with connection.cursor() as cursor:
        cursor.execute(HOLDER, [lock_name(connection)])
        return tuple(
            Session(pid=pid, user=user, state=state or command, query=info)
            for pid, user, command, state, info in cursor.fetchall()
        )
