"""Errors of the database: which of them the database itself is to blame for, and the way out of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error

from automigrate_ext.exceptions import AutomigrateError, ExecutionFailed, LockNotAvailable


class Faults:
    """Classifies the errors of one database, and turns them into errors of the package."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection

    def is_fault(self, error: Error) -> bool:
        """Return whether the database fails or is in the way, as opposed to the statement being wrong."""
        return False

    def is_locked(self, error: Error) -> bool:
        """Return whether a lock could not be had."""
        return False

    def is_disturbed(self, error: Error) -> bool:
        """Return whether the error may come from a run that changed tables while they were read."""
        return False

    def is_forbidden(self, error: Error) -> bool:
        """Return whether the database may not be written, by this role or at all."""
        return False

    def lacks_column(self, error: Error) -> bool:
        """Return whether a query names a column that its table does not have; by default that cannot be told."""
        return False

    def is_out_of_step(self, error: Error) -> bool:
        """Return whether a statement that changes tables found them otherwise than it expects; by default unknown."""
        return False

    def words(self, error: Error) -> str:
        """Return the server's message."""
        return str(error)

    def explain(self, error: Error) -> str:
        """Return the server's message and the statement that it is about, in one line."""
        return " ".join(" ".join([self.words(error), *getattr(error, "__notes__", ())]).split())

    def advice(self, error: Error) -> str:
        """Return the way out where the database itself is at fault or in the way, else ""."""
        try:
            return self.way_out(error)
        except Error as another:
            # The first error is the one to report; the connection may be in no state for questions.
            error.add_note(f"Asked about it, the server said: {another}")
            return ""

    def way_out(self, error: Error) -> str:
        """Return the way out as `advice` does; may ask the server, and raise where that fails."""
        return ""

    def failure(self, error: Error, story: str, advice: str) -> AutomigrateError:
        """Return an error of the package: the state of the run (`story`), the server's message, and the way out."""
        words = f"{story}: {self.explain(error)}"
        kind = LockNotAvailable if self.is_locked(error) else ExecutionFailed
        return kind(f"{words}{'' if words.endswith(('.', '?')) else '.'} {advice}" if advice else words)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn faults of a block that changes nothing into errors with the way out.

        Errors for which there is no advice are left as they are.
        """
        try:
            yield
        except Error as error:
            advice = self.advice(error)
            if not advice:
                raise
            raise self.failure(error, "Nothing was changed", advice) from error
