"""What MariaDB does not do to tables whose rows have a history (WITH SYSTEM VERSIONING)."""

from __future__ import annotations

from collections.abc import Sequence

from automigrate_ext.backends.mysql.introspection import read_texts
from automigrate_ext.backends.mysql.rows import WITH_HISTORY, MySQLRows
from automigrate_ext.schema.changes import (
    AddColumn,
    AddConstraint,
    AddIndex,
    AlterColumn,
    AlterPrimaryKey,
    Change,
    DropColumn,
    DropConstraint,
)
from automigrate_ext.schema.nouns import Check, Index, Schema, Unique

# Source: https://mariadb.com/kb/en/system-versioned-tables/#system_versioning_alter_history
KEEPS_HISTORY = "SELECT @@SESSION.system_versioning_alter_history = 'KEEP'"
ANY_NULL = "SELECT EXISTS (SELECT 1 FROM {table} AS asked WHERE {column} IS NULL)"
# A key holds for the rows that were valid until the same moment, such as those that one statement has deleted.
ANY_TWICE = (
    "SELECT EXISTS (SELECT 1 FROM {table}{period} AS asked WHERE {filled} "
    "GROUP BY {columns}, {row_end} HAVING count(*) > 1)"
)

NOT_KEPT = (
    "the table is system-versioned, and the server changes its columns and keys only where "
    "system_versioning_alter_history is KEEP, which gives its history the new ones too. Let the connection have that "
    '("init_command": "SET system_versioning_alter_history = KEEP" in OPTIONS), or name only the models that do not '
    "need it"
)
NULLS_IN_HISTORY = (
    "the table is system-versioned, and its history holds NULL in the column or would hold it once the rows are "
    "filled. Fill them, let the server forget the history (DELETE HISTORY), or allow NULL"
)
TWICE_IN_HISTORY = (
    "the table is system-versioned, and its history holds rows with the same values that ended together. Let the "
    "server forget them first (DELETE HISTORY)"
)


def unable(rows: MySQLRows, change: Change, current: Schema) -> str:
    """Return why a change of a system-versioned table cannot be made; "" where it can."""
    if not touches_history(change):
        return ""
    if not rows.ask(KEEPS_HISTORY):
        return NOT_KEPT
    if isinstance(change, AlterColumn) and change.old.null and not change.new.null:
        name = rows.quote(change.old.name)
        if rows.ask(ANY_NULL, table=rows.stored_relation(change.table), column=name):
            return NULLS_IN_HISTORY
    if columns := new_key(change):
        table = current.tables[change.table]
        is_known = all(table.column(column) for column in columns)
        return TWICE_IN_HISTORY if is_known and is_twice(rows, change.table, columns) else ""
    return ""


def touches_history(change: Change) -> bool:
    """Return whether the server would have to change the table's history too."""
    match change:
        case AddColumn() | AlterColumn() | DropColumn() | AlterPrimaryKey():
            return True
        case AddConstraint(new=Unique()) | AddIndex(new=Index(unique=True)):
            return True
        case AddConstraint(new=Check(name="")) | DropConstraint(old=Check(name="")):
            return True  # such a check is part of its column's definition
    return False


def new_key(change: Change) -> Sequence[str]:
    """Return the columns of which a change makes a key; none for other changes."""
    match change:
        case AlterPrimaryKey(new=key) if key is not None:
            return key.columns
        case AddConstraint(new=Unique() as unique):
            return unique.columns
        case AddIndex(new=Index(unique=True) as index):
            return index.columns
    return ()


def is_twice(rows: MySQLRows, table: str, columns: Sequence[str]) -> bool:
    """Return whether rows that ended at the same moment have the same values in some columns."""
    renaming = rows.renaming_session.renaming
    old = renaming.old_table(table)
    before = {new: name for name, new in renaming.columns(old).items()}
    (text,) = read_texts(rows.connection, [old])
    names = [rows.quote(before.get(column, column)) for column in columns]
    return bool(
        rows.ask(
            ANY_TWICE,
            table=rows.quote(old),
            period=WITH_HISTORY,
            filled=" AND ".join(f"{name} IS NOT NULL" for name in names),
            columns=", ".join(names),
            row_end=text.row_end if text.row_end == "ROW_END" else rows.quote(text.row_end),
        )
    )
