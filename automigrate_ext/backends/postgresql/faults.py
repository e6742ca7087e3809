"""Errors of PostgreSQL, and the way out of each for this server."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError, Error, OperationalError

from automigrate_ext.backends.faults import Faults
from automigrate_ext.backends.postgresql.holders import NAMED_HOLDERS, STRONG_HOLDERS, sessions
from automigrate_ext.waiting import describe_sessions

# Error codes. Source: PostgreSQL's documentation, appendix "PostgreSQL Error Codes".
LOCK_NOT_AVAILABLE, DEADLOCK = "55P03", "40P01"
NO_PRIVILEGE, READ_ONLY = "42501", "25006"
# Errors about a table, column or object that was dropped in the meantime. XX000 is an internal error, raised because
# functions like pg_get_indexdef() do not use the snapshot of the query that calls them.
GONE = {"42P01", "42703", "42704", "XX000"}
SHUT_DOWN = {"57P01", "57P02", "57P03"}

CANCELLED = "57014"

ADVICE = {
    DEADLOCK: "Two sessions waited for each other, and the server ended one of them: run it again.",
    "53100": "The server's disk is full: make room on it and run again.",
    "53200": "The server has no room for so many locks or so much data: raise max_locks_per_transaction, or name fewer "
    "models.",
    "25P03": "Raise idle_in_transaction_session_timeout for this role and run again.",
    "25P04": "Raise transaction_timeout for this role and run again.",
}
TOO_SLOW = "The server cancelled the statement: raise statement_timeout for this role and run again."
TOO_LONG_A_WAIT = (
    "The server cancelled the statement because statement_timeout was up, and tables that it needs are in use"
    "{sessions}: wait until they are free, or raise statement_timeout for this role, and run again."
)
LOST = (
    "The connection to the server was lost. What was not committed, the server undoes by itself; run again once it "
    "accepts connections."
)
STANDBY = (
    "The server is a standby, which takes no changes. Not even a comparison can be made there, because it takes "
    "temporary tables: use the primary."
)
READS_ONLY = (
    "Transactions only read here, because default_transaction_read_only is on: turn it off for the role (ALTER ROLE "
    "{role} SET default_transaction_read_only = off) or in the OPTIONS of the database."
)

HIDDEN = (
    "Policies hide rows of {table} from {role}, and what is not seen cannot be kept: run as a role with BYPASSRLS, or "
    "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY for the time of the run."
)

NO_LIMIT = "SELECT set_config('statement_timeout', '0', true)"
SITUATION = """
SELECT quote_ident(current_user), quote_ident(current_database()), quote_ident(current_schema()),
       pg_is_in_recovery(), has_database_privilege(current_database(), 'TEMPORARY'),
       has_schema_privilege(current_schema(), 'CREATE')
"""
# The table that a message is about: of several whose names are in it, the one with the longest name.
FOREIGN_TABLE = """
SELECT c.oid::regclass::text, quote_ident(pg_get_userbyid(c.relowner)),
       has_table_privilege(c.oid, 'SELECT'), pg_has_role(c.relowner, 'USAGE'), row_security_active(c.oid)
FROM pg_class c
WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND strpos(%s, c.relname) > 0
  AND c.relnamespace <> 'pg_catalog'::regnamespace
ORDER BY length(c.relname) DESC LIMIT 1
"""

UNDEFINED_COLUMN = "42703"
#: What a statement makes is there already: a table, column or other object; or what it changes is not.
OUT_OF_STEP = {"42P07", "42701", "42710", "42P01", UNDEFINED_COLUMN, "42704"}


def code_of(error: Error) -> str:
    """Return the five characters of the server's error code, or "" where the error is not the server's."""
    return getattr(error.__cause__, "sqlstate", None) or ""


def is_lost(error: Error) -> bool:
    """Return whether the connection broke: the server reported that it stops, or nothing at all."""
    code = code_of(error)
    return code in SHUT_DOWN or code.startswith("08") or (isinstance(error, OperationalError) and not code)


def is_forbidden(error: Error) -> bool:
    """Return whether the role lacks a privilege, or the server is read-only."""
    return code_of(error) in {NO_PRIVILEGE, READ_ONLY}


def is_fault(error: Error) -> bool:
    """Return whether the database fails or is in the way, as opposed to the statement being wrong."""
    return is_lost(error) or is_forbidden(error) or code_of(error) in {LOCK_NOT_AVAILABLE, CANCELLED, *ADVICE}


def advice(connection: BaseDatabaseWrapper, error: Error) -> str:
    """Return the way out, or "" where the server's message is enough."""
    if is_lost(error):
        return LOST
    return forbidden(connection, error) if is_forbidden(error) else ADVICE.get(code_of(error), "")


def forbidden(connection: BaseDatabaseWrapper, error: Error) -> str:
    """Return which privilege is missing, and how it is granted."""
    role, database, schema, is_standby, may_make_temporary, may_create = row_of(connection, SITUATION)
    if code_of(error) == READ_ONLY:
        return STANDBY if is_standby else READS_ONLY.format(role=role)
    found = row_of(connection, FOREIGN_TABLE, str(error))
    if found and not found[3]:
        return missing_on_table(role, *found[:3])
    if found and found[4]:
        return HIDDEN.format(role=role, table=found[0])
    if not may_make_temporary:
        return f"Comparing takes temporary tables: GRANT TEMPORARY ON DATABASE {database} TO {role}."
    if schema and schema in str(error) and not may_create:
        return f"The run makes tables: GRANT CREATE ON SCHEMA {schema} TO {role}."
    return f"Run it as the tables' owner, or give the role {role} what it lacks."


def missing_on_table(role: str, table: str, owner: str, may_read: bool) -> str:
    """Return what a role lacks on a table of another role's, and how it gets that."""
    reading = "" if may_read else f" For --check and --dry-run it is enough to GRANT SELECT ON {table} TO {role}."
    return (
        f"{table} belongs to {owner}, and only its owner may change it: run as {owner}, GRANT {owner} TO {role}, or "
        f"ALTER TABLE {table} OWNER TO {role}.{reading}"
    )


def row_of(connection: BaseDatabaseWrapper, sql: str, *params: str) -> Any:
    """Return the first row of a query."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params or None)
        return cursor.fetchone()


def accepts(connection: BaseDatabaseWrapper, sql: str) -> bool:
    """Execute a statement; return False where the server rejects it, which then has no consequences.

    Raises the error where it is the database that fails.
    """
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute(sql)
    except DatabaseError as error:
        if is_fault(error):
            raise
        return False
    return True


class PostgreSQLFaults(Faults):
    """The errors of PostgreSQL."""

    def is_fault(self, error: Error) -> bool:
        return is_fault(error)

    def is_locked(self, error: Error) -> bool:
        return code_of(error) == LOCK_NOT_AVAILABLE

    def lacks_column(self, error: Error) -> bool:
        return code_of(error) == UNDEFINED_COLUMN

    def is_out_of_step(self, error: Error) -> bool:
        return code_of(error) in OUT_OF_STEP

    def is_disturbed(self, error: Error) -> bool:
        return self.is_locked(error) or code_of(error) in GONE

    def is_forbidden(self, error: Error) -> bool:
        return is_forbidden(error)

    def way_out(self, error: Error) -> str:
        statement = self.explain(error)
        if code_of(error) == CANCELLED:
            return self.out_of_time(statement)
        if not self.is_locked(error):
            return advice(self.connection, error)
        holders = sessions(self.connection, NAMED_HOLDERS, statement, statement) or sessions(
            self.connection, NAMED_HOLDERS, "", ""
        )
        return (
            f"The tables are in use{describe_sessions(holders)}: wait until they are free, or raise --lock-timeout "
            f"(lock_timeout=)."
        )

    def out_of_time(self, statement: str) -> str:
        """Return the way out of statement_timeout, with the sessions for which the statement may have waited."""
        try:
            with transaction.atomic(using=self.connection.alias):
                # The question must not be too slow too.
                row_of(self.connection, NO_LIMIT)
                # A statement that names no table is one over the catalog, and waits for nothing but the strongest lock.
                holders = sessions(self.connection, NAMED_HOLDERS, statement, statement) or sessions(
                    self.connection, STRONG_HOLDERS
                )
        except Error:
            return TOO_SLOW
        return TOO_LONG_A_WAIT.format(sessions=describe_sessions(holders)) if holders else TOO_SLOW
