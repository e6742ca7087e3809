"""The session of a run: its transactions and trials, the locks that it takes, and how long it waits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from django.db import transaction
from django.db.utils import DatabaseError, Error

from automigrate_ext.backends.work import Step, Work
from automigrate_ext.exceptions import ExecutionFailed, LockNotAvailable
from automigrate_ext.process import run_under_way
from automigrate_ext.schema.changes import Change
from automigrate_ext.schema.nouns import Schema
from automigrate_ext.schema.renaming import Renaming
from automigrate_ext.waiting import Patience, Waiting, connect, describe_sessions, seconds
from automigrate_ext.waiting import Session as OtherSession

if TYPE_CHECKING:
    from automigrate_ext.backends.base import Backend

#: How many characters of a statement an error shows.
LONGEST_STATEMENT = 500
#: By how much the pause between two attempts to get a lock grows.
GROWTH = 1.5

T = TypeVar("T")
Entry_co = TypeVar("Entry_co", covariant=True)


class RunSession:
    """What a run does with its connection besides its statements."""

    #: Seconds between two attempts to get the lock of a run, at first and at most.
    first_pause, longest_pause = 0.05, 1.0
    #: What is reported while another run is waited for, and once the time for that is up.
    waits_for_run = "Waiting for another run on database {alias!r}{holders}"
    run_in_the_way = (
        "Another run on database {alias!r}{holders} did not end within {limit}. Nothing was changed. Wait for it or "
        "raise --lock-wait (lock_wait=){hint}."
    )
    #: How a session that hangs is ended, after what is reported of it.
    hint = ""
    #: How many statements that make tables are executed together, at most.
    statements_a_message = 1

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.connection = backend.connection
        self.faults = backend.faults
        self.patience = Patience()
        #: The schema in which the run stays, so that it need not keep others out of the rest of the database; "" for a
        #: run of the whole database.
        self.place = ""

    # Connecting and statements

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Connect, and turn faults of a block that changes nothing into errors with the way out.

        Errors of connecting, and those for which there is no advice, are left as they are.
        """
        with run_under_way():
            self.await_access()
            with self.faults.translated():
                yield

    def await_access(self) -> None:
        """Connect, and wait until the database can be read."""
        connect(self.connection)

    def why_read_only(self) -> str:
        """Return why nothing can be written through this connection, or "" where the server gives no reason."""
        return ""

    def execute(self, sql: str) -> None:
        """Execute one statement; an error carries the statement as a note."""
        with self.connection.cursor() as cursor, noted(sql):
            cursor.execute(sql)

    def execute_together(self, statements: Sequence[str]) -> Iterator[None]:
        """Execute several statements in their order, and yield once for each that is done; see `execute`."""
        with self.connection.cursor() as cursor:
            for sql in statements:
                with noted(sql):
                    cursor.execute(sql)
                yield

    # Transactions

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Keep several reads of a block to the same state, by a transaction."""
        with transaction.atomic(using=self.connection.alias):
            yield

    def inconsequential(self) -> AbstractContextManager[object]:
        """Return a context in which a query may fail without an effect on the transaction around it."""
        return transaction.atomic(using=self.connection.alias)

    def steadily(self, read: Callable[[], T]) -> T:
        """Return what `read` returns; read again under the lock of a run where somebody changed tables meanwhile."""
        try:
            return read()
        except Error as error:
            if not self.is_worth_repeating(error):
                raise
        with self.backend.exclusive():
            return read()

    def is_worth_repeating(self, error: Error) -> bool:
        """Return whether a read that failed may succeed once no other run is under way."""
        return self.faults.is_disturbed(error)

    @contextmanager
    def trial(self) -> Iterator[None]:
        """Undo the changes of a block at its end, by a transaction or savepoint."""
        with transaction.atomic(using=self.connection.alias):
            yield
            transaction.set_rollback(True, using=self.connection.alias)

    @contextmanager
    def tried(self, renames: tuple[Change, ...]) -> Iterator[None]:
        """Give tables and columns their new names while the block runs."""
        with self.trial():
            self.backend.run(self.backend.compile(Work(changes=renames, current=Schema({}), desired=Schema({}))))
            yield

    @contextmanager
    def limited(self, seconds: float | None) -> Iterator[None]:
        """Raise `TookTooLong` where a query of the block takes longer; by default there is no way to stop one."""
        yield

    @contextmanager
    def replacing(self) -> Iterator[None]:
        """Read texts for messages while the block runs, with a mark in the place of what is no text.

        By default the server holds no such texts.
        """
        yield

    def batches(self, steps: Sequence[Step]) -> tuple[tuple[Step, ...], ...]:
        """Cut the steps into as many transactions as the server needs; one, unless its locks run out."""
        return (tuple(steps),)

    def lock_budget(self) -> int | None:
        """Return how many locks one transaction may take; None where the server has no limit."""
        return None

    def forbid_transaction(self) -> None:
        """Raise `ExecutionFailed` inside a transaction which changes of tables would commit."""
        if not self.backend.undoes_ddl and self.connection.in_atomic_block:
            raise ExecutionFailed(
                f"{self.connection.display_name} commits each change of a table at once, and with it the transaction "
                f"that this run is in. Nothing was done. Run it outside of atomic(); in a test, use "
                f"TransactionTestCase or pytest.mark.django_db(transaction=True)."
            )

    @contextmanager
    def code_of_others(self, label: str) -> Iterator[None]:
        """Let a block run code of the project's. Raises `ExecutionFailed` if it ends the transaction."""
        within = self.connection.in_atomic_block and self.backend.is_in_transaction()
        yield
        if within and not self.backend.is_in_transaction():
            raise ExecutionFailed(
                f"{label} ended the transaction of the run (COMMIT or ROLLBACK), so what was done before it may stay "
                f"done. Leave that out of it."
            )

    # Locks

    def protect(self, tables: Collection[str], targets: Collection[str] = ()) -> None:
        """Keep other sessions from the tables, and from writing to the targets, until the transaction ends.

        Those that do not exist are passed over. Raises `LockNotAvailable` where it cannot be had in time.
        """

    def make_sure(self, steps: Sequence[Step]) -> None:
        """Find out before the first of the steps whether the locks can be had that some of them need."""

    # Waiting

    def wait_for_run(self, attempt: Callable[[], bool]) -> bool:
        """Try until the lock of a run is had; return whether there was a wait. Raises `LockNotAvailable`."""
        return self.wait(
            lambda _: attempt(),
            limit=self.patience.lock_wait,
            spells=growing(self.first_pause),
            describe=self.describe_wait,
            refuse=self.describe_run_in_the_way,
        )

    def wait(
        self,
        attempt: Callable[[float], bool],
        *,
        limit: float | None,
        spells: Iterable[float],
        describe: Callable[[], str],
        refuse: Callable[[], str],
    ) -> bool:
        """Try until an attempt succeeds; return whether there was a wait. Raises `LockNotAvailable`.

        An attempt is given the seconds that it may take, one of `spells` or what is left of the `limit`, and the
        pause after it is as long. `describe` and `refuse` return what is reported in the meantime and in the end.
        """
        waiting = Waiting(limit, self.patience.notify)
        for spell in spells:
            if attempt(min(spell, waiting.left)):
                break
            if not waiting.pause(min(spell, self.longest_pause), describe):
                raise LockNotAvailable(refuse())
        return waiting.waited

    def holders(self) -> tuple[OtherSession, ...]:
        """Return the sessions that have the lock of a run, as far as the server shows them."""
        return ()

    def describe_wait(self) -> str:
        """Return what is reported while another run is waited for."""
        return self.waits_for_run.format(alias=self.connection.alias, holders=describe_sessions(self.holders()))

    def describe_run_in_the_way(self, limit: str = "") -> str:
        """Return what is reported once the time for another run is up."""
        return self.run_in_the_way.format(
            alias=self.connection.alias,
            holders=describe_sessions(self.holders()),
            limit=limit or seconds(self.patience.lock_wait),
            hint=self.hint,
        )


class TableNames(Protocol[Entry_co]):
    """The names of the tables of a database, with what is known of each."""

    def find(self, name: str) -> Entry_co | None: ...


class RenamingSession(RunSession):
    """The session on a database of which not every one could undo a rename that was tried.

    The tables are read as if they had their new names already.
    """

    #: The class of the renames to come.
    renaming_class: ClassVar[type[Renaming]] = Renaming

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.renaming = self.renaming_class(())

    def find(self, catalog: TableNames[Entry_co], name: str) -> Entry_co | None:
        """Return the table that has the name, or will have it once what is renamed has its new name."""
        return None if self.renaming.is_vacated(name) else catalog.find(self.renaming.old_table(name))

    @contextmanager
    def tried(self, renames: tuple[Change, ...]) -> Iterator[None]:
        """Read the tables as if they had their new names while the block runs."""
        before, self.renaming = self.renaming, self.renaming_class(renames)
        try:
            yield
        finally:
            self.renaming = before


def growing(first: float) -> Iterator[float]:
    """Yield spells of seconds, each longer than the one before."""
    while True:
        yield first
        first *= GROWTH


@contextmanager
def noted(sql: str) -> Iterator[None]:
    """Add the statement to an error of the block as a note."""
    try:
        yield
    except DatabaseError as error:
        error.add_note(f"In: {shortened(sql)}")
        raise


def shortened(sql: str) -> str:
    """Cut a statement to what a reader needs to recognize it."""
    return sql if len(sql) <= LONGEST_STATEMENT else f"{sql[:LONGEST_STATEMENT]}..."
