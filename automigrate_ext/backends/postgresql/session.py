"""The session of a run on PostgreSQL, and its locks: none of them tied to the session."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain, repeat
from weakref import WeakKeyDictionary

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError, Error, OperationalError
from psycopg.errors import QueryCanceled

from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.postgresql.faults import DEADLOCK, LOCK_NOT_AVAILABLE, code_of
from automigrate_ext.backends.postgresql.holders import HOLDERS, RUNS, sessions
from automigrate_ext.backends.rows import TookTooLong
from automigrate_ext.backends.servers import other_than_postgresql, refuse_other
from automigrate_ext.backends.session import RunSession, T
from automigrate_ext.backends.work import Step
from automigrate_ext.exceptions import LockNotAvailable
from automigrate_ext.waiting import REPORT_AFTER, describe_sessions, seconds
from automigrate_ext.waiting import Session as OtherSession

# The lock is released with the transaction, a killed client's too, and requires no session of its own. A run that stays
# in one schema shares the lock of the database with others that do, and has one of its own for the schema.
TRY_RUN = "SELECT pg_try_advisory_xact_lock(%s)"
TRY_PLACE = "SELECT pg_try_advisory_xact_lock_shared(%s) AND pg_try_advisory_xact_lock(%s)"
#: Any fixed number, as long as no other program in the database uses the same.
RUN_KEY = 6_171_309_204_113
#: Seconds for which the first attempts at the tables' locks queue; the later ones as long as the server needs to
#: look for deadlocks, and a little more, because only then an autovacuum that is in the way is cancelled.
#: Source: ProcSleep() and DeadLockCheck() in PostgreSQL's proc.c and deadlock.c.
SLICES = (0.1, 0.3, 0.6)
AFTER_DEADLOCK_CHECK = 0.2

LOCK_TABLES = "LOCK TABLE {tables} IN {mode} MODE"
#: The modes of the lock that adding a foreign key takes on its target, and of the strongest that a table may need.
SHARED, WHOLE = "SHARE ROW EXCLUSIVE", "ACCESS EXCLUSIVE"

# The view pg_settings computes all settings for one of them. The type interval accepts all units of times.
READ_TIMEOUTS = """
SELECT extract(epoch FROM current_setting('lock_timeout')::interval)::float8,
       extract(epoch FROM current_setting('deadlock_timeout')::interval)::float8
"""
SET_LOCK_TIMEOUT = "SELECT set_config('lock_timeout', %s, true)"
#: The longest time that PostgreSQL takes, in milliseconds.
LONGEST_TIMEOUT = 2_147_483_647
SEE_ONE_STATE = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
# A standby reports every transaction as one that only reads.
READ_ONLY = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean"
# Source: PostgreSQL's documentation of max_locks_per_transaction.
LOCK_SPACE = """
SELECT current_setting('max_locks_per_transaction')::int
       * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int)
"""
# set_config() with true lasts until the transaction or savepoint is undone; columns are computed from left to right.
LIMIT_TIME = "SELECT current_setting('statement_timeout'), set_config('statement_timeout', %s, true)"
# With row_security off, a query from which a policy hides rows is an error instead: PostgreSQL's documentation, "Row
# Security Policies". Rows that are not seen are not counted, and would be lost.
SEE_ALL_ROWS = "SELECT current_setting('row_security'), set_config('row_security', %s, true)"

VERSION = "SELECT version()"
#: The versions of the servers, by their connections: asked once each.
VERSIONS: WeakKeyDictionary[BaseDatabaseWrapper, str] = WeakKeyDictionary()


class PostgreSQLSession(RunSession):
    """The session of a run on PostgreSQL: everything ends with the transaction."""

    longest_pause = 0.5
    statements_a_message = 200
    hint = "; pg_terminate_backend() ends a session that hangs"
    #: What is reported once the time for sessions that use the tables is up.
    tables_in_the_way = (
        "Waited {limit} for {tables}. Nothing was changed. Wait until they are free, or raise --lock-timeout "
        "(lock_timeout=)."
    )

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        #: Seconds for which a comparison waits for a lock.
        self.read_limit: float | None = None

    def await_access(self) -> None:
        super().await_access()
        version = version_of(self.connection)
        refuse_other(self.connection.alias, other_than_postgresql(version), version, "PostgreSQL")

    def execute_together(self, statements: Sequence[str]) -> Iterator[None]:
        """Execute the statements by one message; where one fails, undo it and find that by executing each by itself."""
        try:
            with transaction.atomic(using=self.connection.alias):
                self.execute(";\n".join(statements))
        except DatabaseError:
            if self.connection.needs_rollback:
                raise
            yield from super().execute_together(statements)
            return
        yield from (None for _ in statements)

    # Transactions

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Keep other runs out by a transaction that holds an advisory lock. Raises `LockNotAvailable`."""
        with ExitStack() as held:
            waited = self.wait_for_run(partial(self.try_run, held))
            with lock_timeout(self.connection, self.patience.lock_timeout):
                yield waited

    def try_run(self, held: ExitStack) -> bool:
        """Try to take the lock of a run, in a transaction that is then held.

        An attempt is a transaction of its own, so that waiting keeps no transaction open.
        """
        with ExitStack() as attempt:
            attempt.enter_context(transaction.atomic(using=self.connection.alias))
            if try_run(self.connection, self.place):
                held.push(attempt.pop_all())
                return True
        self.forbid_waiting_for_oneself()
        return False

    def forbid_waiting_for_oneself(self) -> None:
        """Raise `LockNotAvailable` where this thread has the lock itself, in a transaction around the run."""
        others = {pid_of(other): other.alias for other in connections.all(initialized_only=True)}
        for holder in self.holders():
            if holder.pid in others:
                raise LockNotAvailable(
                    f"{others[holder.pid]!r} and {self.connection.alias!r} are in the same database, and a run on the "
                    f"former keeps others out until the transaction around it ends. Nothing was changed. Run them one "
                    f"after the other outside of atomic()."
                )

    def holders(self) -> tuple[OtherSession, ...]:
        return sessions(self.connection, RUNS, "ShareLock" if self.place else "", keys_of(self.place))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        outermost = not self.connection.in_atomic_block
        with super().snapshot():
            if outermost:
                with self.connection.cursor() as cursor:
                    cursor.execute(SEE_ONE_STATE)
            with lock_timeout(self.connection, self.read_limit if outermost else None), self.all_rows():
                yield

    @contextmanager
    def all_rows(self) -> Iterator[None]:
        """Let no policy hide rows; for a block that is a savepoint of its own, which undoes the setting on errors."""
        with self.connection.cursor() as cursor:
            cursor.execute(SEE_ALL_ROWS, ["off"])
            (before, _) = cursor.fetchone()
        yield
        with self.connection.cursor() as cursor:
            cursor.execute(SEE_ALL_ROWS, [before])

    def steadily(self, read: Callable[[], T]) -> T:
        # Counting waits for a run that has locked the table; the limit turns that into waiting for the run itself.
        limits = (REPORT_AFTER, self.patience.lock_wait, self.patience.lock_timeout)
        self.read_limit = min(limit for limit in limits if limit is not None)
        return super().steadily(read)

    @contextmanager
    def trial(self) -> Iterator[None]:
        # A trial takes locks, which two runs could take in a different order.
        with self.backend.exclusive(), super().trial():
            yield

    @contextmanager
    def code_of_others(self, label: str) -> Iterator[None]:
        with super().code_of_others(label):
            yield
            if self.connection.in_atomic_block and self.backend.is_in_transaction():
                # So that rows which point at nothing are reported for the code that wrote them, and no check that is
                # still to be made keeps the next entry from changing the table.
                self.connection.check_constraints()

    def why_read_only(self) -> str:
        with self.connection.cursor() as cursor:
            cursor.execute(READ_ONLY)
            is_standby, only_reads = cursor.fetchone()
        if is_standby:
            return "the server is a standby"
        return "transactions only read there (default_transaction_read_only)" if only_reads else ""

    @contextmanager
    def limited(self, seconds: float | None) -> Iterator[None]:
        """Let the server stop queries that take longer; for a block that is a savepoint of its own."""
        if not seconds:
            yield
            return
        with self.connection.cursor() as cursor:
            cursor.execute(LIMIT_TIME, [milliseconds(seconds)])
            (before, _) = cursor.fetchone()
            try:
                yield
            except OperationalError as error:
                if isinstance(error.__cause__, QueryCanceled):
                    raise TookTooLong(f"not counted within {seconds:g} s") from error
                raise
            cursor.execute(LIMIT_TIME, [before])

    # Locks of tables

    def protect(self, tables: Collection[str], targets: Collection[str] = ()) -> None:
        # A run changes tables of the first schema, and foreign keys point at tables of the whole search path.
        others = set(targets) - set(tables)
        for mode, names, find in ((WHOLE, tables, self.backend.existing), (SHARED, others, self.backend.reachable)):
            there = find(names) if names else ()
            if there:
                self.lock_tables(sorted(map(self.backend.quote, there)), mode)

    def lock_tables(self, quoted: Sequence[str], mode: str) -> None:
        """Take the locks of the tables in attempts, between which others get theirs."""
        timeout, deadlock_timeout = timeouts(self.connection)
        limit = timeout if self.patience.lock_timeout is None else self.patience.lock_timeout
        self.wait(
            partial(try_tables, self.connection, quoted, mode),
            limit=limit,
            spells=chain(SLICES, repeat(deadlock_timeout + AFTER_DEADLOCK_CHECK)),
            describe=lambda: f"Waiting for {self.tables_in_use(quoted)}",
            refuse=lambda: self.tables_in_the_way.format(limit=seconds(limit), tables=self.tables_in_use(quoted)),
        )

    def tables_in_use(self, quoted: Sequence[str]) -> str:
        """Describe the tables that a run waits for, and the sessions that use them."""
        users = sessions(self.connection, HOLDERS, list(quoted))
        return f"tables of database {self.connection.alias!r} that are in use{describe_sessions(users)}"

    def lock_budget(self) -> int:
        """Return half of what the server has room for, as others need some too."""
        with self.connection.cursor() as cursor:
            cursor.execute(LOCK_SPACE)
            return int(cursor.fetchone()[0]) // 2

    def batches(self, steps: Sequence[Step]) -> tuple[tuple[Step, ...], ...]:
        budget = self.lock_budget()
        if sum(step.locks for step in steps) <= budget:
            return (tuple(steps),)
        batches: list[list[Step]] = [[]]
        held: defaultdict[str, int] = defaultdict(int)
        for step in steps:
            held[step.table] = max(held[step.table], step.locks) if step.table else held[""] + step.locks
            if sum(held.values()) > budget and batches[-1]:
                batches.append([])
                held = defaultdict(int, {step.table: step.locks})
            batches[-1].append(step)
        return tuple(map(tuple, batches))


def version_of(connection: BaseDatabaseWrapper) -> str:
    """Return the version of the server in its own words."""
    if connection not in VERSIONS:
        with connection.cursor() as cursor:
            cursor.execute(VERSION)
            (VERSIONS[connection],) = cursor.fetchone()
    return VERSIONS[connection]


def try_run(connection: BaseDatabaseWrapper, place: str) -> bool:
    """Take the lock that keeps a second run out until the transaction ends, if it can be had at once.

    With a place, only runs in the same schema and those of the whole database are kept out.
    """
    with connection.cursor() as cursor:
        cursor.execute(TRY_PLACE if place else TRY_RUN, keys_of(place))
        return bool(cursor.fetchone()[0])


def keys_of(place: str) -> list[int]:
    """Return the keys of a run's advisory locks: that of the database, and that of the schema in which it stays."""
    if not place:
        return [RUN_KEY]
    digest = hashlib.sha256(f"{RUN_KEY} {place}".encode()).digest()
    return [RUN_KEY, int.from_bytes(digest[:8], signed=True)]


def try_tables(connection: BaseDatabaseWrapper, tables: Sequence[str], mode: str, seconds: float) -> bool:
    """Take the locks of all tables, or after that time none, so that others queue behind an attempt for no longer."""
    sql = LOCK_TABLES.format(tables=", ".join(tables), mode=mode) + ("" if seconds > 0 else " NOWAIT")
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            with lock_timeout(connection, seconds):
                cursor.execute(sql)
            return True
    except Error as error:
        if code_of(error) in {LOCK_NOT_AVAILABLE, DEADLOCK}:
            return False
        error.add_note(f"In: {sql}")
        raise


def timeouts(connection: BaseDatabaseWrapper) -> tuple[float | None, float]:
    """Return the server's lock_timeout (None is without end) and deadlock_timeout, in seconds."""
    with connection.cursor() as cursor:
        cursor.execute(READ_TIMEOUTS)
        lock, deadlock = cursor.fetchone()
    return (lock or None), deadlock


@contextmanager
def lock_timeout(connection: BaseDatabaseWrapper, seconds: float | None) -> Iterator[None]:
    """Let statements of the block wait for locks no longer than that; None leaves the setting alone.

    An error undoes the setting along with the transaction or savepoint around it.
    """
    if seconds is None:
        yield
        return
    before, _ = timeouts(connection)
    set_lock_timeout(connection, seconds)
    yield
    set_lock_timeout(connection, before)


def set_lock_timeout(connection: BaseDatabaseWrapper, seconds: float | None) -> None:
    """Set lock_timeout for this transaction."""
    with connection.cursor() as cursor:
        cursor.execute(SET_LOCK_TIMEOUT, ["0" if seconds is None else milliseconds(seconds)])


def milliseconds(seconds: float) -> str:
    """Return seconds as a timeout of the server. There 0 is without end, so the least is a millisecond."""
    return f"{max(1, round(min(seconds * 1000, LONGEST_TIMEOUT)))}ms"


def pid_of(connection: BaseDatabaseWrapper) -> int | None:
    """Return the server process of a connection, if it is one to PostgreSQL that is open."""
    raw = connection.connection if connection.vendor == "postgresql" else None
    return raw.info.backend_pid if raw is not None and not raw.closed else None
