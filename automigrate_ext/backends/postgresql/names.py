"""Names of tables as the functions of PostgreSQL's catalog read them."""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

#: What stands between the names of a schema and of a table.
JOINT = '"."'


def identifier(connection: BaseDatabaseWrapper, name: str) -> str:
    """Return a name as `to_regclass` reads it, whatever it holds.

    Django's `quote_name` does not double the marks in a name, and `to_regclass` raises an error for that before
    PostgreSQL 16.
    """
    quoted = connection.ops.quote_name(name)
    parts = quoted[1:-1].split(JOINT, 1)
    return f'"{JOINT.join(part.replace(chr(34), chr(34) * 2) for part in parts)}"'
