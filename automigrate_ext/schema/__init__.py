"""The objects of a database, and the differences between two states of them. Pure: nothing in here imports Django."""

from __future__ import annotations

from automigrate_ext.schema.nouns import (
    Check,
    Column,
    Constraint,
    Exclusion,
    ForeignKey,
    Generated,
    Index,
    IndexKey,
    PrimaryKey,
    Schema,
    Table,
    Unique,
)

#: What a backend of another package builds; see docs/backends.md.
__all__ = [
    "Check",
    "Column",
    "Constraint",
    "Exclusion",
    "ForeignKey",
    "Generated",
    "Index",
    "IndexKey",
    "PrimaryKey",
    "Schema",
    "Table",
    "Unique",
]
