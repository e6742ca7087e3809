"""SHOW CREATE TABLE for many tables: as many statements in one message as the driver takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

SHOW = "SHOW CREATE TABLE {table}"

#: How many tables are read in one message.
TABLES_A_MESSAGE = 500

#: The types of tables that hold rows.
VERSIONED = "SYSTEM VERSIONED"
BASE_TABLES = ("BASE TABLE", VERSIONED)


def show(connection: BaseDatabaseWrapper, names: Sequence[str]) -> Iterator[str]:
    """Yield the output of SHOW CREATE TABLE for each table."""
    statements = [SHOW.format(table=connection.ops.quote_name(name)) for name in names]
    size = TABLES_A_MESSAGE if takes_many(connection) else 1
    with connection.cursor() as cursor:
        for start in range(0, len(statements), size):
            cursor.execute(";".join(statements[start : start + size]))
            yield from results(cursor)


def takes_many(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the driver may send several statements in one message, which is its default."""
    return bool(connection.get_connection_params().get("multi_statements", True))


def results(cursor: CursorWrapper) -> Iterator[str]:
    """Yield the second column of each result of a message."""
    while True:
        (row,) = cursor.fetchall()
        yield row[1]
        if not cursor.nextset():
            return
