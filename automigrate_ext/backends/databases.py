"""The database of a connection on its server: whether it is there, and how it is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.utils import Error

from automigrate_ext.exceptions import ExecutionFailed, UnsupportedDatabase


class Databases:
    """The database that the settings name for a connection; of servers of which nothing else is known."""

    #: Whether a database is made by a statement, once somebody wants it.
    makes_databases: ClassVar[bool] = False

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection

    @property
    def name(self) -> str:
        """The name of the database."""
        return str(self.connection.settings_dict["NAME"] or "")

    @property
    def place(self) -> str:
        """Where the server is, as it follows the name in messages; "" where the settings leave that to the driver."""
        host, port = (str(self.connection.settings_dict[key] or "") for key in ("HOST", "PORT"))
        return f" on {':'.join(filter(None, (host, port)))}" if host else ""

    def is_missing(self, error: Error) -> bool:
        """Return whether a connection failed with this error because the database does not exist.

        False where that cannot be found out.
        """
        return False

    def create(self) -> bool:
        """Create the database, and return whether that was this call's work, and nobody else's at the same time.

        Raises `ExecutionFailed` with the server's words, and `UnsupportedDatabase` for other databases than ours.
        """
        raise UnsupportedDatabase(
            f"Database {self.name!r} is not of a kind that can be created here. Nothing was done. Create it with the "
            f"tools of its server."
        )


class ServerDatabases(Databases):
    """What the databases of a server have in common that makes them by a statement."""

    makes_databases = True

    def create(self) -> bool:
        with self.server() as cursor:
            try:
                cursor.execute(self.statement())
            except Error as error:
                if self.exists(cursor):
                    return False
                words = " ".join(self.words(error).split()).removesuffix(".")
                story = f"Database {self.name!r} could not be created{self.place}: {words}. {self.advice(error)}"
                raise ExecutionFailed(story.strip()) from error
        return True

    @contextmanager
    def server(self) -> Iterator[CursorWrapper]:
        """Yield a cursor of a session that needs no database of the project's."""
        raise NotImplementedError

    def exists(self, cursor: CursorWrapper) -> bool:
        """Return whether the server has the database."""
        raise NotImplementedError

    def statement(self) -> str:
        """Return the statement that creates the database."""
        raise NotImplementedError

    def words(self, error: Error) -> str:
        """Return the server's message."""
        return str(error)

    def advice(self, error: Error) -> str:
        """Return the way out where the role may not create databases, else ""."""
        raise NotImplementedError
