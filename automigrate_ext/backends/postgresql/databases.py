"""Databases of PostgreSQL, made from a session with one that every server has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.utils import CursorWrapper
from django.db.utils import Error, OperationalError

from automigrate_ext.backends.databases import ServerDatabases
from automigrate_ext.backends.postgresql.faults import code_of, is_forbidden

#: The databases that initdb makes; administrators may drop the first, or let nobody connect to it.
MAINTENANCE = ("postgres", "template1")
#: Source: PostgreSQL's documentation, appendix "PostgreSQL Error Codes".
NO_DATABASE = "3D000"
# psycopg does not pass on the code of the error that ended an attempt to connect: so the server is asked.
EXISTS = "SELECT 1 FROM pg_database WHERE datname = %s"
CREATE = "CREATE DATABASE {name}"
ADVICE = (
    "Have it created by a role that may (CREATE DATABASE {name} OWNER {role}), or let this one do it (ALTER ROLE "
    "{role} CREATEDB)."
)


class PostgreSQLDatabases(ServerDatabases):
    """The databases of a PostgreSQL server."""

    def is_missing(self, error: Error) -> bool:
        # With a wrong password, or where nobody listens, there is no session to ask in either.
        if not self.name or code_of(error) not in ("", NO_DATABASE):
            return False
        try:
            with self.server() as cursor:
                return not self.exists(cursor)
        except OperationalError:
            return False

    @contextmanager
    def server(self) -> Iterator[CursorWrapper]:
        session = self.session()
        try:
            with session.cursor() as cursor:
                yield cursor
        finally:
            session.close()

    def session(self) -> Any:
        """Return a connection to the first of the databases for maintenance that there is; raise the last error."""
        *first, last = (self.connect_to(name) for name in MAINTENANCE)
        for session in first:
            try:
                session.ensure_connection()
            except OperationalError:
                continue
            return session
        last.ensure_connection()
        return last

    def connect_to(self, name: str) -> Any:
        """Return a connection to another database of the server, in autocommit and outside of a pool."""
        settings = {**self.connection.settings_dict, "NAME": name, "AUTOCOMMIT": True}
        return type(self.connection)(settings, alias=NO_DB_ALIAS)

    def exists(self, cursor: CursorWrapper) -> bool:
        cursor.execute(EXISTS, [self.name])
        return cursor.fetchone() is not None

    def statement(self) -> str:
        return CREATE.format(name=self.quoted(self.name))

    def quoted(self, name: str) -> str:
        """Return a name in quotes."""
        return '"{}"'.format(name.replace('"', '""'))

    def advice(self, error: Error) -> str:
        if not is_forbidden(error):
            return ""
        role = str(self.connection.settings_dict["USER"] or "")
        return ADVICE.format(name=self.quoted(self.name), role=self.quoted(role) if role else "CURRENT_USER")
