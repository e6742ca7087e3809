"""SHOW CREATE TABLE for many tables: as many statements in one message as the driver takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

SHOW = "SHOW CREATE TABLE {table}"

#: How many tables are read in one message.
TABLES_A_MESSAGE = 500

#: Source: https://dev.mysql.com/doc/c-api/8.4/en/mysql-real-connect.html
CLIENT_MULTI_STATEMENTS = 1 << 16
#: Source: https://dev.mysql.com/doc/c-api/8.4/en/mysql-set-server-option.html
MULTI_STATEMENTS_ON, MULTI_STATEMENTS_OFF = 0, 1

#: The types of tables that hold rows.
VERSIONED = "SYSTEM VERSIONED"
BASE_TABLES = ("BASE TABLE", VERSIONED)


def show(connection: BaseDatabaseWrapper, names: Sequence[str]) -> Iterator[str]:
    """Yield the output of SHOW CREATE TABLE for each table."""
    for (row,) in results(connection, [show_statement(connection, name) for name in names]):
        yield row[1]


def show_statement(connection: BaseDatabaseWrapper, name: str) -> str:
    """Return the statement that prints a table."""
    return SHOW.format(table=connection.ops.quote_name(name))


def results(connection: BaseDatabaseWrapper, statements: Sequence[str]) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of each statement, of which as many as the driver takes are sent in one message."""
    with many_statements(connection) as takes_many, connection.cursor() as cursor:
        size = TABLES_A_MESSAGE if takes_many else 1
        for start in range(0, len(statements), size):
            cursor.execute(";".join(statements[start : start + size]))
            yield list(cursor.fetchall())
            while cursor.nextset():
                yield list(cursor.fetchall())


@contextmanager
def many_statements(connection: BaseDatabaseWrapper) -> Iterator[bool]:
    """Let the driver send several statements in one message while the block runs, and yield whether it can.

    That is the default of mysqlclient, which can switch it on and off for a session where `OPTIONS` have it off.
    PyMySQL cannot, and has it off unless the connection asks for it (`client_flag`).
    """
    connection.ensure_connection()
    raw: Any = connection.connection
    if raw.client_flag & CLIENT_MULTI_STATEMENTS:
        yield True
    elif not hasattr(raw, "set_server_option"):
        yield False
    else:
        raw.set_server_option(MULTI_STATEMENTS_ON)
        try:
            yield True
        finally:
            if connection.connection is raw and connection.is_usable():
                raw.set_server_option(MULTI_STATEMENTS_OFF)
