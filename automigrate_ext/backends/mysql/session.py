"""The session of a run on MariaDB and MySQL: its settings, its lock, and locks of tables."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError, Error

from automigrate_ext.backends.mysql import faults
from automigrate_ext.backends.mysql.hazards import at_stake
from automigrate_ext.backends.mysql.locks import FREE_LOCK, LOCK_PREFIX, TRY_LOCK
from automigrate_ext.backends.mysql.renaming import CheckRenaming, DefinitionRenaming
from automigrate_ext.backends.mysql.server import server_of
from automigrate_ext.backends.mysql.show import many_statements
from automigrate_ext.backends.rows import TookTooLong
from automigrate_ext.backends.servers import other_than_mysql, refuse_other
from automigrate_ext.backends.session import RenamingSession, noted
from automigrate_ext.backends.work import Step
from automigrate_ext.schema.changes import Change
from automigrate_ext.waiting import Session as OtherSession

# Without NO_ZERO_DATE, so that present zero dates survive a table's rebuild; with NO_AUTO_VALUE_ON_ZERO, so that a row
# numbered 0 does. Without ANSI_QUOTES, which would change what SHOW CREATE TABLE prints.
# Source: https://mariadb.com/kb/en/sql-mode/
SQL_MODE = (
    "STRICT_ALL_TABLES,STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO"
)
# Without the limits for people at a prompt: a count reads all rows, and a fill updates all that have no value.
# Source: https://dev.mysql.com/doc/refman/8.4/en/mysql-tips.html#safe-updates
SETTINGS: Mapping[str, str | int] = {
    "sql_mode": SQL_MODE,
    "sql_quote_show_create": 1,
    "foreign_key_checks": 1,
    "sql_auto_is_null": 0,
    "sql_big_selects": 1,
    "sql_safe_updates": 0,
    "sql_select_limit": 2**64 - 1,
}
#: The same for a shell that runs a script of a plan.
SCRIPT_SETTINGS = f"SET SESSION sql_mode = '{SQL_MODE}', sql_big_selects = 1, sql_safe_updates = 0"
READ = "SELECT {names}"
WRITE = "SET SESSION {pairs}"

READ_ONLY = "SELECT CAST(@@GLOBAL.read_only AS CHAR)"
# The server checks whether it may be written before it looks for the table, so this shows whether the role may write,
# whatever the privilege is in this version (SUPER, READ ONLY ADMIN, CONNECTION_ADMIN) and however it was granted.
WRITE_NOTHING = "DELETE FROM automigrate_ext_nowhere"

# A server without Galera has no such variable.
REPLICATES = "SHOW VARIABLES LIKE 'wsrep_on'"

HOLDER = """
SELECT p.id, p.user, p.command, p.state, p.info FROM information_schema.processlist p WHERE p.id = IS_USED_LOCK(%s)
"""
# Each alias has to be locked by itself: https://mariadb.com/kb/en/lock-tables/
LOCK_TABLES = "LOCK TABLES {table} WRITE, {table} AS asked WRITE"
UNLOCK_TABLES = "UNLOCK TABLES"
#: Source: https://dev.mysql.com/doc/refman/8.4/en/locking-functions.html, which allows 64 characters.
LONGEST_NAME = 64


class MySQLSession(RenamingSession):
    """The session of a run on MariaDB and MySQL, strict whatever the server's default is."""

    hint = "; KILL ends a session that hangs"
    statements_a_message = 50
    renaming_class = DefinitionRenaming

    @contextmanager
    def tried(self, renames: tuple[Change, ...]) -> Iterator[None]:
        kind = CheckRenaming if server_of(self.connection).checks_share_names else self.renaming_class
        before, self.renaming = self.renaming, kind(renames)
        try:
            yield
        finally:
            self.renaming = before

    def await_access(self) -> None:
        super().await_access()
        version = str(self.connection.mysql_server_info)  # type: ignore[attr-defined]
        refuse_other(self.connection.alias, other_than_mysql(version), version, "MySQL")

    def execute_together(self, statements: Sequence[str]) -> Iterator[None]:
        """Execute the statements by one message, if the driver can; each has a result of its own, up to one that fails.

        At Ctrl-C the server goes on to the end of the message, for which the cursor waits as it is closed.
        """
        with many_statements(self.connection) as takes_many:
            if not takes_many:
                yield from super().execute_together(statements)
                return
            first, *others = statements
            with self.connection.cursor() as cursor:
                with noted(first):
                    cursor.execute(";\n".join(statements))
                yield
                for sql in others:
                    with noted(sql):
                        cursor.nextset()
                    yield

    @contextmanager
    def guarded(self) -> Iterator[None]:
        with super().guarded(), self.strict():
            yield

    @contextmanager
    def strict(self) -> Iterator[None]:
        """Give the session the settings of a run while the block runs."""
        wanted: dict[str, str | int] = {**SETTINGS, **server_of(self.connection).settings}
        if self.patience.lock_timeout is not None:
            wanted["lock_wait_timeout"] = wanted["innodb_lock_wait_timeout"] = whole(self.patience.lock_timeout)
        with settings(self.connection, wanted):
            yield

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Hold the lock of a run. Raises `ExecutionFailed` inside a transaction, which DDL would commit."""
        self.forbid_transaction()
        with self.strict():
            waited = self.wait_for_run(partial(try_lock, self.connection))
            try:
                yield waited
            finally:
                # A connection that broke does not have the lock any more.
                if self.connection.connection is not None and self.connection.is_usable():
                    free_lock(self.connection)

    def inconsequential(self) -> AbstractContextManager[object]:
        """Return a context in which a query may fail without an effect on the transaction around it.

        No failing query has such an effect here, and some engines have no savepoints.
        """
        return nullcontext() if self.connection.in_atomic_block else super().inconsequential()

    def holders(self) -> tuple[OtherSession, ...]:
        return holders(self.connection)

    def is_worth_repeating(self, error: Error) -> bool:
        """Return whether the error may come from another run, and the lock of a run can be had."""
        return super().is_worth_repeating(error) and not self.connection.in_atomic_block

    def why_read_only(self) -> str:
        return "the server is read-only (read_only)" if is_read_only(self.connection) else ""

    def make_sure(self, steps: Sequence[Step]) -> None:
        """Lock the tables of which a statement may lose values for a moment, to learn whether that can be done."""
        names = dict.fromkeys(step.table for step in steps if at_stake(step))
        there = self.backend.existing(names) if names else ()
        for name in names:
            if name in there:
                with self.locked(name):
                    pass

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Keep other sessions from a table; this is the only lock that outlives a statement that alters them.

        In a cluster there is no lock, because the node would wait for itself: it applies the others' writes to the
        table before it alters it.
        """
        if is_in_cluster(self.connection):
            yield
            return
        self.execute(LOCK_TABLES.format(table=self.backend.quote(table)))
        try:
            yield
        finally:
            if self.connection.connection is not None and self.connection.is_usable():
                self.execute(UNLOCK_TABLES)

    @contextmanager
    def limited(self, seconds: float | None) -> Iterator[None]:
        """Let the server stop statements that take longer; MySQL stops those that read."""
        if not seconds:
            yield
            return
        variable, units, longest = server_of(self.connection).time_limit
        value = min(seconds * units, longest)
        limit = {variable: value if units == 1 else max(1, round(value))}
        with settings(self.connection, limit):
            try:
                yield
            except DatabaseError as error:
                if faults.code_of(error) in (faults.STATEMENT_TIMEOUT, faults.MYSQL_TIMEOUT):
                    raise TookTooLong(f"not counted within {seconds:g} s") from error
                raise


def whole(seconds: float) -> int:
    """Return seconds as a timeout of the server, which takes whole ones, and one at least."""
    return max(1, round(seconds))


@contextmanager
def settings(connection: BaseDatabaseWrapper, wanted: Mapping[str, str | int | float]) -> Iterator[None]:
    """Give the session these settings while the block runs, and afterwards those before."""
    before = read(connection, wanted)
    differing = {name: value for name, value in wanted.items() if before[name] != value}
    if not differing:
        yield
        return
    put(connection, differing)
    try:
        yield
    except BaseException:
        # The first error is the one to report; where the connection broke, its session and settings are gone.
        with suppress(Error):
            put(connection, {name: before[name] for name in differing})
        raise
    put(connection, {name: before[name] for name in differing})


def read(connection: BaseDatabaseWrapper, names: Collection[str]) -> dict[str, str | int | float]:
    """Return variables of the session, by their names."""
    with connection.cursor() as cursor:
        cursor.execute(READ.format(names=", ".join(f"@@SESSION.{name}" for name in names)))
        return dict(zip(names, cursor.fetchone(), strict=True))


def put(connection: BaseDatabaseWrapper, wanted: Mapping[str, str | int | float]) -> None:
    """Set variables of the session."""
    pairs = ", ".join(f"{name} = %s" for name in wanted)
    with connection.cursor() as cursor:
        cursor.execute(WRITE.format(pairs=pairs), list(wanted.values()))


def is_read_only(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the server takes no changes from this role, as on replicas from all but administrators."""
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
    """Return whether the session's writes are replicated to the other nodes of a Galera cluster."""
    with connection.cursor() as cursor:
        cursor.execute(REPLICATES)
        return any(value == "ON" for _, value in cursor.fetchall())


def lock_name(database: str) -> str:
    """Return the name of the lock that keeps out a second run on a database."""
    return prefixed(LOCK_PREFIX, database)


def prefixed(prefix: str, database: str) -> str:
    """Return a name that begins with the prefix, and is another one for each database."""
    name = prefix + database
    if len(name) <= LONGEST_NAME:
        return name
    return prefix + hashlib.sha256(database.encode()).hexdigest()[: LONGEST_NAME - len(prefix)]


def try_lock(connection: BaseDatabaseWrapper) -> bool:
    """Take the lock, unless another session has it; a session may take it more than once."""
    return try_lock_of(connection, str(connection.settings_dict["NAME"]))


def try_lock_of(connection: BaseDatabaseWrapper, database: str) -> bool:
    """Take the lock of a database, be it another one than the connection's, unless another session has it."""
    with connection.cursor() as cursor:
        cursor.execute(TRY_LOCK, [lock_name(database)])
        return bool(cursor.fetchone()[0])


def free_lock(connection: BaseDatabaseWrapper) -> None:
    """Release the lock."""
    with connection.cursor() as cursor:
        cursor.execute(FREE_LOCK, [lock_name(str(connection.settings_dict["NAME"]))])


def holders(connection: BaseDatabaseWrapper) -> tuple[OtherSession, ...]:
    """Return the session that has the lock, as far as the server shows it to this role."""
    with connection.cursor() as cursor:
        cursor.execute(HOLDER, [lock_name(str(connection.settings_dict["NAME"]))])
        return tuple(
            OtherSession(pid=pid, user=user, state=state or command, query=info)
            for pid, user, command, state, info in cursor.fetchall()
        )
