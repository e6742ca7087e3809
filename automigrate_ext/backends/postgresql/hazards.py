"""What a change of type would do to the values of a PostgreSQL column: asked of the values themselves."""

from __future__ import annotations

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError

from automigrate_ext.backends.base import Loss
from automigrate_ext.schema import Column

# A value survives when it comes back from the new type as it was.
COUNT_CHANGED = "SELECT count(*) FROM {table} WHERE {column}::{new}::{old}::text IS DISTINCT FROM {column}::text"

ANY_VALUE = "SELECT EXISTS (SELECT 1 FROM {table} WHERE {column} IS NOT NULL)"
CAST_NOTHING = "SELECT NULL::{old}::{new}"

# Types that hold every value of another one. Source: PostgreSQL's documentation, chapter "Data types"
# (ranges of the numeric types; varchar and text hold the same strings).
WIDER = {
    "smallint": {"integer", "bigint", "numeric", "real", "double precision"},
    "integer": {"bigint", "numeric", "double precision"},
    "bigint": {"numeric"},
    "real": {"double precision"},
    "character varying": {"text"},
    "date": {"timestamp without time zone"},
}


def count_lost(connection: BaseDatabaseWrapper, table: str, old: Column, new: Column) -> Loss:
    """How many values the cast from `old` to `new` changes, or the server's words when it fails."""
    if old.type == new.type or never_loses(old.type, new.type):
        return Loss()
    sql = COUNT_CHANGED.format(
        table=connection.ops.quote_name(table),
        column=connection.ops.quote_name(old.name),
        old=old.type,
        new=new.type,
    )
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute(sql)
            return Loss(rows=cursor.fetchone()[0])
    except DatabaseError as error:
        return Loss(error=" ".join(str(error).split())) if has_values(connection, table, old) else Loss()


def has_values(connection: BaseDatabaseWrapper, table: str, column: Column) -> bool:
    """Whether a row holds a value in the column."""
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        cursor.execute(ANY_VALUE.format(table=quote(table), column=quote(column.name)))
        return bool(cursor.fetchone()[0])


def can_cast(connection: BaseDatabaseWrapper, old: Column, new: Column) -> bool:
    """Whether the server knows a way from the one type to the other, whatever the values."""
    if old.type == new.type or never_loses(old.type, new.type):
        return True
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute(CAST_NOTHING.format(old=old.type, new=new.type))
    except DatabaseError:
        return False
    return True


def never_loses(old: str, new: str) -> bool:
    """Whether every value of the old type is one of the new type, by the types alone."""
    old_base, old_modifiers = split_modifiers(old)
    new_base, new_modifiers = split_modifiers(new)
    if new_base in WIDER.get(old_base, ()):
        return not new_modifiers
    if old_base != new_base:
        return False
    if not new_modifiers:
        return True
    if old_base == "character varying":
        return bool(old_modifiers) and old_modifiers[0] <= new_modifiers[0]
    if old_base == "numeric" and len(old_modifiers) == len(new_modifiers) == 2:
        whole = new_modifiers[0] - new_modifiers[1] >= old_modifiers[0] - old_modifiers[1]
        return whole and new_modifiers[1] >= old_modifiers[1]
    return False


def split_modifiers(printed: str) -> tuple[str, tuple[int, ...]]:
    """A type as format_type() prints it, "numeric(10,2)", as its name and its modifiers."""
    name, bracket, rest = printed.partition("(")
    if not bracket or not rest.endswith(")"):
        return printed, ()
    modifiers = rest[:-1].split(",")
    if not all(modifier.lstrip("-").isdigit() for modifier in modifiers):
        return printed, ()
    return name, tuple(map(int, modifiers))
