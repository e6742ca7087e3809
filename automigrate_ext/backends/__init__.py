"""One backend for each kind of database."""

from __future__ import annotations

from django.db import connections
from django.utils.module_loading import import_string

from automigrate_ext.backends.base import Backend
from automigrate_ext.exceptions import UnsupportedDatabase

BACKENDS = {
    "mysql": "automigrate_ext.backends.mysql.MySQLBackend",
    "postgresql": "automigrate_ext.backends.postgresql.PostgreSQLBackend",
    "sqlite": "automigrate_ext.backends.sqlite3.SQLiteBackend",
}


def backend_for(alias: str) -> Backend:
    """The backend that speaks for a database alias.

    Raises `UnsupportedDatabase` where there is none for its vendor.
    """
    connection = connections[alias]
    path = BACKENDS.get(connection.vendor)
    if path is None:
        raise UnsupportedDatabase(
            f"Database {alias!r} is {connection.display_name}, which automigrate_ext does not support; it works with "
            f"PostgreSQL, SQLite, MariaDB and MySQL."
        )
    backend: Backend = import_string(path)(connection)
    return backend
