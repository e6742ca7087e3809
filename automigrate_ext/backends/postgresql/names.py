"""Names of tables as the functions of PostgreSQL's catalog read them, and the schema that they are looked up in.

The models' tables are those of the first schema of the search path that is there, `current_schema()`, in which the
server makes new ones. What foreign keys point at is found along the whole path, as in the statements themselves.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import split_identifier

#: What stands between the names of a schema and of a table.
JOINT = '"."'
#: What a name without a schema begins with in `own_names`.
BARE = "."
#: The condition that a name of `own_names` has no schema.
IS_BARE = f"left({{quoted}}, 1) = '{BARE}'"
#: The table of a model, by a name of `own_names`: one of the first schema, unless the name has another in it. The first
#: schema is a subquery, so that the server computes it once a statement.
OWN_TABLE = (
    f"to_regclass(CASE WHEN {IS_BARE} THEN (SELECT quote_ident(current_schema())) || {{quoted}} ELSE {{quoted}} END)"
)


def identifier(connection: BaseDatabaseWrapper, name: str) -> str:
    """Return a name as `to_regclass` reads it, whatever it holds.

    Django's `quote_name` does not double the marks in a name, and `to_regclass` raises an error for that before
    PostgreSQL 16.
    """
    quoted = connection.ops.quote_name(name)
    parts = quoted[1:-1].split(JOINT, 1)
    return f'"{JOINT.join(part.replace(chr(34), chr(34) * 2) for part in parts)}"'


def own_names(connection: BaseDatabaseWrapper, names: Iterable[str]) -> list[str]:
    """Return names of models' tables as `OWN_TABLE` reads them."""
    return [f"{'' if split_identifier(name)[0] else BARE}{identifier(connection, name)}" for name in names]
