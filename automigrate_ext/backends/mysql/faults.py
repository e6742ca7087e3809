"""Errors of MariaDB and MySQL, and the way out of each for this server."""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error

from automigrate_ext.backends.faults import Faults

# Error codes. Sources: https://mariadb.com/kb/en/mariadb-error-code-reference/ and MySQL's "Server Error Message
# Reference"; those from 2000 on are the client's.
LOCK_WAIT_TIMEOUT, DEADLOCK = 1205, 1213
QUERY_INTERRUPTED, STATEMENT_TIMEOUT, MYSQL_TIMEOUT = 1317, 1969, 3024
READ_ONLY_OPTION, READ_ONLY_TRANSACTION, READ_ONLY_MODE = 1290, 1792, 1836
LOST = {1053, 1152, 1927, 2003, 2002, 2006, 2013, 2055, 4031}
NO_PRIVILEGE = {1044, 1045, 1142, 1143, 1227, 1370}
READ_ONLY = {READ_ONLY_OPTION, READ_ONLY_TRANSACTION, READ_ONLY_MODE}
#: Errors about a table or column that was dropped in the meantime.
NO_SUCH_TABLE = 1146
GONE = {NO_SUCH_TABLE, 1054, 1412, 1932}
NOT_READY = 1047
#: What the server answers where a column is to forbid NULL and a row has none: MySQL, and MariaDB.
NULL_VALUES = {1138, 1265}
#: The error by which a row shows that is in the way of what is proved, see `PROVE`.
TWO_ROWS = 1242
TOO_MANY_VERSIONS, LOG_TOO_BIG = 4092, 1799
#: The errors of a server that cannot alter a table in a way; the second one has a reason in it.
NOT_SUPPORTED = {1845, 1846}

ADVICE = {
    LOCK_WAIT_TIMEOUT: "Another session uses the table: wait until it is free, or raise --lock-timeout "
    "(lock_timeout=). SHOW PROCESSLIST lists them.",
    DEADLOCK: "Two sessions waited for each other, and the server ended one of them: run it again.",
    QUERY_INTERRUPTED: "Somebody stopped the statement: run it again.",
    STATEMENT_TIMEOUT: "The server ended the statement: raise max_statement_time for this role and run again.",
    1021: "The server's disk is full: make room on it and run again.",
    1114: "A table, a tablespace or the server's disk is full: make room and run again.",
    1030: "The server's storage failed: see its error log, make room on its disk if that is full, and run again.",
    1037: "The server has no memory left: give it more, or name fewer models.",
    1041: "The server has no memory left: give it more, or name fewer models.",
    1206: "The server has no room for so many locks: raise innodb_buffer_pool_size, or name fewer models.",
    LOG_TOO_BIG: "Others have written more to the table meanwhile than the server notes for that time: raise "
    "innodb_online_alter_log_max_size, or run it again when less is written.",
    TOO_MANY_VERSIONS: "The table has been altered instantly too often. ALTER TABLE ... FORCE, ALGORITHM=INPLACE, "
    "LOCK=NONE writes it again while others use it; then run this again.",
    NOT_READY: "The node has no contact with its cluster: wait until it has joined again, or use another node.",
}
LOST_CONNECTION = (
    "The connection to the server was lost. What was done stays done; run again once the server accepts connections, "
    "and it goes on from there."
)
READS_ONLY = (
    "The server takes no changes here (read_only, super_read_only or transaction_read_only is on): use the primary, "
    "or another role."
)
GRANTS = "SELECT CURRENT_USER(), DATABASE()"
NEEDED = (
    "The role {role} lacks a privilege: GRANT ALTER, CREATE, CREATE TEMPORARY TABLES, DELETE, DROP, INDEX, INSERT, "
    "LOCK TABLES, REFERENCES, SELECT, UPDATE ON `{database}`.* TO {role}."
)
UNKNOWN_COLUMN = 1054
VIOLATED = (
    "A row is in the way that somebody has written since the rows were counted. The next run counts such rows, and "
    "names some of them."
)
#: What a statement makes is there already, or what it changes is not: tables, columns, keys, checks.
OUT_OF_STEP = {1050, 1060, 1061, 1826, 3822, NO_SUCH_TABLE, UNKNOWN_COLUMN, 1051, 1091, 3821}
#: What is no fault of the server, and has a way out where it ends an online run.
WAYS_OUT = {
    TWO_ROWS: VIOLATED,
    **dict.fromkeys(
        NOT_SUPPORTED,
        "The server does not alter the table in the way that it took for an empty copy: run it without --online "
        "(online=False) while nobody uses the table.",
    ),
}


def code_of(error: BaseException) -> int:
    """Return the error code of the server or its driver, or 0."""
    first = error.args[0] if error.args else 0
    return first if isinstance(first, int) else 0


def words(error: BaseException) -> str:
    """Return the server's message without the error code."""
    return " ".join(str(error.args[-1] if error.args else error).split())


def is_lost(error: BaseException) -> bool:
    """Return whether the connection broke."""
    return code_of(error) in LOST


def is_forbidden(error: BaseException) -> bool:
    """Return whether the role lacks a privilege, or the server is read-only."""
    return code_of(error) in NO_PRIVILEGE | READ_ONLY


def is_fault(error: BaseException) -> bool:
    """Return whether the database fails or is in the way, as opposed to the statement being wrong."""
    return is_lost(error) or is_forbidden(error) or code_of(error) in ADVICE


def advice(connection: BaseDatabaseWrapper, error: Error) -> str:
    """Return the way out, or "" where the server's message is enough."""
    code = code_of(error)
    if is_lost(error):
        return LOST_CONNECTION
    if code in READ_ONLY:
        return READS_ONLY
    if code in NO_PRIVILEGE:
        with connection.cursor() as cursor:
            cursor.execute(GRANTS)
            user, database = cursor.fetchone()
        return NEEDED.format(role="'{}'@'{}'".format(*user.rsplit("@", 1)), database=database)
    return ADVICE.get(code, "")


class MySQLFaults(Faults):
    """The errors of MariaDB and MySQL."""

    def words(self, error: Error) -> str:
        return words(error)

    def is_fault(self, error: Error) -> bool:
        return is_fault(error)

    def is_locked(self, error: Error) -> bool:
        return code_of(error) == LOCK_WAIT_TIMEOUT

    def lacks_column(self, error: Error) -> bool:
        return code_of(error) == UNKNOWN_COLUMN

    def is_out_of_step(self, error: Error) -> bool:
        return code_of(error) in OUT_OF_STEP

    def is_disturbed(self, error: Error) -> bool:
        # Reading MySQL's dictionary takes locks, which may end in a deadlock with another session's change of a table.
        return code_of(error) in GONE or code_of(error) == DEADLOCK

    def is_forbidden(self, error: Error) -> bool:
        return is_forbidden(error)

    def way_out(self, error: Error) -> str:
        return WAYS_OUT.get(code_of(error)) or advice(self.connection, error)
