"""Databases of MariaDB and MySQL, made from a session with one that every server has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.utils import CursorWrapper
from django.db.utils import Error

from automigrate_ext.backends.databases import ServerDatabases
from automigrate_ext.backends.mysql.faults import NO_PRIVILEGE, code_of, words

#: Source: https://mariadb.com/kb/en/mariadb-error-code-reference/; MySQL has the same.
NO_DATABASE = 1049
#: Every role may use it. Without a name the driver takes the database of an option file (OPTIONS "read_default_file").
MAINTENANCE = "information_schema"
EXISTS = "SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s"
CREATE = "CREATE DATABASE {name} CHARACTER SET {charset}"
#: What Django connects with unless the OPTIONS have another one.
CHARSET = "utf8mb4"
ADVICE = "Have it created by a role that may, or let this one do it: GRANT ALL ON {name}.* TO {role}."
CURRENT_USER = "SELECT CURRENT_USER()"


class MySQLDatabases(ServerDatabases):
    """The databases of a MariaDB or MySQL server."""

    def is_missing(self, error: Error) -> bool:
        return bool(self.name) and code_of(error) == NO_DATABASE

    @contextmanager
    def server(self) -> Iterator[CursorWrapper]:
        settings = {**self.connection.settings_dict, "NAME": MAINTENANCE, "AUTOCOMMIT": True}
        session = type(self.connection)(settings, alias=NO_DB_ALIAS)
        try:
            with session.cursor() as cursor:
                self.role = self.read_role(cursor)
                yield cursor
        finally:
            session.close()

    def read_role(self, cursor: CursorWrapper) -> str:
        """Return the role of the session, as GRANT takes it."""
        cursor.execute(CURRENT_USER)
        user, host = cursor.fetchone()[0].rsplit("@", 1)
        return f"'{user}'@'{host}'"

    def exists(self, cursor: CursorWrapper) -> bool:
        cursor.execute(EXISTS, [self.name])
        return cursor.fetchone() is not None

    def statement(self) -> str:
        charset = self.connection.settings_dict["OPTIONS"].get("charset", CHARSET)
        return CREATE.format(name=self.quoted(self.name), charset=charset)

    def quoted(self, name: str) -> str:
        """Return a name in quotes."""
        return "`{}`".format(name.replace("`", "``"))

    def words(self, error: Error) -> str:
        return words(error)

    def advice(self, error: Error) -> str:
        return ADVICE.format(name=self.quoted(self.name), role=self.role) if code_of(error) in NO_PRIVILEGE else ""
