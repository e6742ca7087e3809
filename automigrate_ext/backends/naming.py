"""The names of keys, constraints and indexes, and the columns that they are made of."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import names_digest, split_identifier

from automigrate_ext.declared.blueprint import kept_name
from automigrate_ext.declared.editor import SchemaEditor
from automigrate_ext.schema.nouns import Constraint, ForeignKey, Index, PrimaryKey, Table

#: The suffixes of names that Django generates, "_idx" for the index_together of Django before 5.1.
SUFFIXES = ("", "_like", "_uniq", "_check", "_fk", "_idx")
#: A name of `_create_index_name`: table and columns, the digest of these, a suffix.
HASHED = re.compile(r"(?P<names>.+)_(?P<digest>[0-9a-f]{8})(?:_like|_uniq|_check|_idx|_fk|(?P<key>_fk_.+))?")
#: A name of `Index.set_name_with_model`: the beginnings of table and column, a digest, the suffix of the kind of index.
UNNAMED = re.compile(r"(?P<names>.+)_(?P<digest>[0-9a-f]{6})_(?P<suffix>[a-z]+)")
#: The number of characters that `Index.set_name_with_model` takes of the table's and of the first column's name.
TABLE_ROOM, COLUMN_ROOM = 11, 7
#: How many ways to read a name are tried, at most; each is a digest.
READINGS = 10_000


def is_generated_name(
    connection: BaseDatabaseWrapper, table: Table, noun: Constraint | Index, whole: Mapping[str, str] | None = None
) -> bool:
    """Return whether Django generated the name of an object: for its table, or for one that has another name since.

    The digest in the name proves that, as it is made of the names with which the name begins. See `generated_names`
    for `whole`.
    """
    if not noun.name:
        return False
    return (
        noun.name in generated_names(connection, table, noun, whole)
        or has_digest_of_its_names(noun)
        or is_cut_name(connection, noun)
        or is_name_of_unnamed_index(table, noun)
    )


def generated_names(
    connection: BaseDatabaseWrapper, table: Table, noun: Constraint | Index, whole: Mapping[str, str] | None = None
) -> frozenset[str]:
    """Return the names that `BaseDatabaseSchemaEditor._create_index_name` gives to such an object.

    `whole` are the models' names of columns, by what the server keeps of them: the hash is that of the former.
    Source: django/db/backends/base/schema.py, `_create_index_name` and its callers' suffixes.
    """
    editor: SchemaEditor = connection.schema_editor(collect_sql=True)
    columns = [(whole or {}).get(column, column) for column in named_columns(noun)]
    names = (editor._create_index_name(table.name, columns, suffix) for suffix in suffixes_of(noun))
    return frozenset(kept_name(connection, name) for name in names)


def suffixes_of(noun: Constraint | Index) -> tuple[str, ...]:
    """Return the suffixes that Django gives to the names of such objects."""
    if isinstance(noun, ForeignKey):
        return (*SUFFIXES, f"_fk_{noun.to_table}_{noun.to_columns[0]}")
    return SUFFIXES


def named_columns(noun: Constraint | Index) -> tuple[str, ...]:
    """Return the columns that Django makes the name of an object of."""
    return tuple(key.column for key in noun.keys if key.column) if isinstance(noun, Index) else noun_columns(noun)


def has_digest_of_its_names(noun: Constraint | Index) -> bool:
    """Return whether a name has the digest of the names of a table and of columns with which it begins."""
    match = HASHED.fullmatch(noun.name)
    columns = named_columns(noun)
    if match is None or not columns or (match["key"] and not isinstance(noun, ForeignKey)):
        return False
    digests = (names_digest(*reading, length=8) for reading in readings(match["names"], columns))
    return match["digest"] in digests


def readings(names: str, columns: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the names that a digest may have been made of.

    Table and columns may have other names since. Names contain the character that joins them, so all ways to part
    them are tried. Django before 1.11 wrote down the first of several columns only, and made the digest of a single
    one without the table.
    """
    joints = [position for position, character in enumerate(names) if character == "_" and position]
    if math.comb(len(joints), len(columns)) <= READINGS:
        yield from (tuple(parts(names, chosen)) for chosen in combinations(joints, len(columns)))
    if len(columns) == 1:
        yield columns
    else:
        yield from ((*parts(names, [joint]), *columns[1:]) for joint in joints)


def parts(names: str, joints: Sequence[int]) -> Iterator[str]:
    """Yield the parts of a text that is cut at some positions, without the characters there."""
    for start, end in zip((-1, *joints), (*joints, len(names)), strict=True):
        yield names[start + 1 : end]


def is_cut_name(connection: BaseDatabaseWrapper, noun: Constraint | Index) -> bool:
    """Return whether a name is one that Django had to cut, for a table whose name it has as a whole.

    The names of the columns may be cut, so they have to be those that the columns have now.
    """
    editor: SchemaEditor = connection.schema_editor(collect_sql=True)
    columns = list(named_columns(noun))
    tables = [noun.name[: match.start()] for match in re.finditer("_", noun.name)]
    return any(
        editor._create_index_name(table, columns, suffix) == noun.name
        for table in tables
        for suffix in suffixes_of(noun)
        if table and columns
    )


def is_name_of_unnamed_index(table: Table, noun: Constraint | Index) -> bool:
    """Return whether a name is the one that an index of `Meta.indexes` gets which has none there.

    Source: django/db/models/indexes.py, `Index.set_name_with_model`. A longer name of a former table is cut off there,
    and cannot be told.
    """
    match = UNNAMED.fullmatch(noun.name)
    columns = named_columns(noun)
    if match is None or not columns or not isinstance(noun, Index):
        return False
    begin = match["names"].removesuffix(f"_{columns[0][:COLUMN_ROOM]}")
    now = split_identifier(table.name)[1]
    tables = {begin, *([now] if now[:TABLE_ROOM] == begin else [])}
    ordered = [f"-{key.column}" if key.order.upper().startswith("DESC") else key.column or "" for key in noun.keys]
    return any(names_digest(name, *ordered, match["suffix"], length=6) == match["digest"] for name in tables)


def noun_columns(noun: Constraint | Index | PrimaryKey) -> tuple[str, ...]:
    """Return the columns of a key, a constraint or an index."""
    columns: tuple[str, ...] = getattr(noun, "columns", ())
    return columns
