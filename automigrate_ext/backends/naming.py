"""The names of keys, constraints and indexes, and the columns that they are made of."""

from __future__ import annotations

from collections.abc import Mapping

from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext.declared.blueprint import kept_name
from automigrate_ext.declared.editor import SchemaEditor
from automigrate_ext.schema.nouns import Constraint, ForeignKey, Index, PrimaryKey, Table


def generated_names(
    connection: BaseDatabaseWrapper, table: Table, noun: Constraint | Index, whole: Mapping[str, str] | None = None
) -> frozenset[str]:
    """Return the names that `BaseDatabaseSchemaEditor._create_index_name` gives to such an object.

    `whole` are the models' names of columns, by what the server keeps of them: the hash is that of the former.
    Source: django/db/backends/base/schema.py, `_create_index_name` and its callers' suffixes.
    """
    editor: SchemaEditor = connection.schema_editor(collect_sql=True)
    columns = [key.column for key in noun.keys if key.column] if isinstance(noun, Index) else list(noun_columns(noun))
    columns = [(whole or {}).get(column, column) for column in columns]
    suffixes = ["", "_like", "_uniq", "_check", "_fk"]
    if isinstance(noun, ForeignKey):
        suffixes.append(f"_fk_{noun.to_table}_{noun.to_columns[0]}")
    names = (editor._create_index_name(table.name, columns, suffix) for suffix in suffixes)
    return frozenset(kept_name(connection, name) for name in names)


def noun_columns(noun: Constraint | Index | PrimaryKey) -> tuple[str, ...]:
    """Return the columns of a key, a constraint or an index."""
    columns: tuple[str, ...] = getattr(noun, "columns", ())
    return columns
