"""Runs beside the work of others: what a database does to carry out changes while its tables are in use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.utils import Error

from automigrate_ext.backends.work import RowFill, Step, Work
from automigrate_ext.declared.editor import collecting_editor
from automigrate_ext.exceptions import ExecutionFailed
from automigrate_ext.schema.changes import Change

if TYPE_CHECKING:
    from automigrate_ext.backends.base import Backend

#: The key of a row, as SQL.
Key = tuple[str, ...]


OTHER_SESSION = (
    "The connection to database {alias!r} has become another session of the server, so nothing keeps other runs out. "
    "An online run needs a session of its own: connect to the server itself, not to {between} that gives each "
    "transaction another one."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """What a run that ends too early leaves for the next one, each after its table.

    `unproven` are constraints that the rows have not been asked, and indexes that are to become constraints,
    `defaulted` columns with a default for the time of a fill, `unfilled` columns that allow NULL and are filled,
    `set_aside` columns that go, under the names that they have before that.
    """

    unproven: tuple[tuple[str, str], ...] = ()
    defaulted: tuple[tuple[str, str], ...] = ()
    unfilled: tuple[tuple[str, str], ...] = ()
    set_aside: tuple[tuple[str, str], ...] = ()


class Online(ABC):
    """Carries out changes while others use the tables."""

    #: The statements with which a script begins.
    opening: tuple[str, ...] = ()
    #: What may stand between a project and its server, and give each transaction another session.
    between: str
    #: Whether a statement that is alone leaves something where it does not get its locks.
    leaves_remnants = False

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.connection = backend.connection
        #: How many rows a batch of a fill has at most.
        self.batch_size = 1000

    @abstractmethod
    def compile(self, work: Work, used: Collection[str]) -> tuple[Step, ...]:
        """Return the statements that carry out the changes, each with its manner; `used` are the tables with rows."""

    @abstractmethod
    def blocking(self, work: Work, used: Collection[str]) -> tuple[tuple[Change, str], ...]:
        """Return the changes during which others wait for as long as the table is large, each with the reason."""

    @abstractmethod
    def owed(self, work: Work, used: Collection[str]) -> Owed:
        """Return what is owed from the first of the statements to the last."""

    @abstractmethod
    def held(self) -> AbstractContextManager[bool]:
        """Keep other runs out while the block runs, through any number of transactions; give whether there was a wait.

        Raises `LockNotAvailable`, and `ExecutionFailed` inside a transaction.
        """

    def make_sure(self) -> None:
        """Raise `ExecutionFailed` where the session is no longer the one that keeps other runs out."""
        if not self.is_held():
            raise ExecutionFailed(OTHER_SESSION.format(alias=self.connection.alias, between=self.between))

    @abstractmethod
    def is_held(self) -> bool:
        """Return whether the session is the one that keeps other runs out."""

    @abstractmethod
    def transaction(self, seconds: float) -> AbstractContextManager[None]:
        """Return a transaction whose statements wait for locks no longer than that."""

    def at_once(self, seconds: float) -> AbstractContextManager[None]:
        """Return a block for one statement that is a transaction, and waits for locks no longer than that."""
        return self.transaction(seconds)

    @abstractmethod
    def alone(self, seconds: float) -> AbstractContextManager[None]:
        """Return a block for a statement outside of transactions, which waits for others as long as `waits` returns."""

    def waits(self, step: Step, seconds: float) -> float:
        """Return for how many seconds a step waits for others, where those for a lock are given."""
        return seconds

    @abstractmethod
    def forbid_losses(self, steps: Sequence[Step]) -> None:
        """Raise `ExecutionFailed` where the steps, in the transaction around, would lose what others have written.

        Nobody else writes to their tables until the transaction ends.
        """

    @abstractmethod
    def is_locked_out(self, error: Error) -> bool:
        """Return whether a statement failed because a lock could not be had in time."""

    def lacks_values(self, error: Error) -> bool:
        """Return whether a statement failed because others have put in rows without a value since the fill."""
        return False

    @abstractmethod
    def in_the_way(self, step: Step) -> str:
        """Return the sessions that keep a step from its locks, in brackets; "" where none can be seen any more."""

    def fill_batch(self, fill: RowFill, after: Key | None) -> tuple[Key | None, int]:
        """Give the rows after a key their values, in the transaction around; return the last one's key, and how many.

        The key is None where these were the last rows, as in `last_of`.
        """
        keys = self.backend.filler.keys_to_fill(fill, after, self.batch_size)
        if not keys:
            return None, 0
        editor = collecting_editor(self.connection)
        literals = [tuple(map(editor.quote_value, key)) for key in keys]
        for sql in self.updates(fill, literals):
            self.backend.session.execute(sql)
        return self.last_of(literals), len(literals)

    @abstractmethod
    def updates(self, fill: RowFill, keys: Sequence[Key]) -> Iterator[str]:
        """Yield the statements that give rows that follow each other their values; `keys` are those of all of them."""

    def last_of(self, keys: Sequence[Key]) -> Key | None:
        """Return the key after which the next batch begins; None after one that is not full.

        Rows that others put in faster than one batch follows the other would keep it going for ever.
        """
        return keys[-1] if len(keys) == self.batch_size else None
