"""Renames of sequences that number columns of renamed tables or columns, where the server chose their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext.backends.postgresql.introspection import bare_name
from automigrate_ext.schema.changes import Change, RenameColumn, RenameSequence, RenameTable
from automigrate_ext.schema.order import in_order

#: The longest identifier, NAMEDATALEN - 1.
LONGEST_NAME = 63

# Identity columns own their sequence internally (deptype 'i'), serial columns automatically ('a').
SEQUENCES = """
SELECT wanted.name, a.attname, s.relname
FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted)
JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = to_regclass(wanted.quoted)::oid
                AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
ORDER BY 1, 2
"""
# Sequences, tables, indexes and views share their names in a schema.
TAKEN = """
SELECT c.relname FROM pg_class c
WHERE c.relname = ANY(%s) AND c.relnamespace IN
      (SELECT t.relnamespace FROM unnest(%s::text[]) q JOIN pg_class t ON t.oid = to_regclass(q)::oid)
"""


@dataclass(slots=True, kw_only=True)
class Place:
    """A table with columns that may be numbered: its names before and after the renames, and its columns' new names."""

    old: str
    new: str
    columns: dict[str, str]


def following(connection: BaseDatabaseWrapper, changes: Sequence[Change]) -> tuple[RenameSequence, ...]:
    """Return the renames of sequences that follow from renames of tables and columns, before any of these is done."""
    found = places(changes)
    if not found:
        return ()
    quote = connection.ops.quote_name
    names = list(found)
    quoted = [quote(name) for name in names]
    moves: dict[str, str] = {}
    tables: dict[str, str] = {}
    with connection.cursor() as cursor:
        cursor.execute(SEQUENCES, [names, quoted])
        for table, column, sequence in cursor.fetchall():
            place = found[table]
            new = object_name(bare_name(place.new), place.columns.get(column, column), "seq")
            if sequence == object_name(bare_name(place.old), column, "seq") and new != sequence:
                moves[sequence], tables[sequence] = new, place.new
        cursor.execute(TAKEN, [[*moves, *moves.values()], quoted])
        taken = {name for (name,) in cursor.fetchall()}
    return steps(moves, tables, taken)


def steps(moves: dict[str, str], tables: dict[str, str], taken: set[str]) -> tuple[RenameSequence, ...]:
    """Return the renames in an order in which each new name is free."""
    renamed = []
    for old, new in in_order(moves, taken, swaps=moves):
        tables[new] = table = tables.pop(old)
        renamed.append(RenameSequence(table=table, old_name=old, new_name=new))
    return tuple(renamed)


def places(changes: Sequence[Change]) -> dict[str, Place]:
    """Return the tables that the changes rename or whose columns they rename, by their names before the changes."""
    now: dict[str, Place] = {}
    for change in changes:
        if isinstance(change, RenameTable):
            place = now.pop(change.table, None) or Place(old=change.table, new=change.table, columns={})
            place.new = change.new_name
            now[change.new_name] = place
        elif isinstance(change, RenameColumn):
            place = now.setdefault(change.table, Place(old=change.table, new=change.table, columns={}))
            old = next((old for old, new in place.columns.items() if new == change.old_name), change.old_name)
            place.columns[old] = change.new_name
    return {place.old: place for place in now.values()}


def object_name(first: str, second: str, kind: str) -> str:
    """Return the name that the server forms from a table's and a column's, cutting the longer of them where necessary.

    Lengths are counted in bytes, and no character is cut in two. Source: makeObjectName() in PostgreSQL's indexcmds.c.
    """
    room = LONGEST_NAME - len(kind) - 2
    one, other = len(first.encode()), len(second.encode())
    while one + other > room:
        if one > other:
            one -= 1
        else:
            other -= 1
    return f"{cut(first, one)}_{cut(second, other)}_{kind}"


def cut(name: str, length: int) -> str:
    """Return as much of a name as has room in so many bytes."""
    return name.encode()[:length].decode(errors="ignore")
