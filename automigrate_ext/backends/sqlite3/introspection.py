"""Read tables from SQLite: one query for the texts of all definitions, and the parser for the wanted ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as evolve
from typing import Any, Protocol

from automigrate_ext.backends.sqlite3.parser import own_columns, parse_index, parse_table
from automigrate_ext.backends.sqlite3.tokens import fold
from automigrate_ext.exceptions import ShadowedTable
from automigrate_ext.schema.nouns import Constraint, ForeignKey, Index, Schema, Table, Unique

# A table without pages of its own is a virtual one: https://sqlite.org/schematab.html
CATALOG = "SELECT type, name, tbl_name, sql, rootpage FROM sqlite_master"
# This requires SQLite 3.37, see https://sqlite.org/pragma.html#pragma_table_list
SHADOW_TABLES = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow'"
#: The endings of the tables in which SQLite's own virtual tables keep their data.
SHADOW_SUFFIXES = (
    "content", "data", "idx", "docsize", "config", "segments", "segdir", "stat", "node", "parent", "rowid"
)  # fmt: skip


class Cursor(Protocol):
    """The needed methods of a cursor, Django's or that of the sqlite3 module."""

    def execute(self, sql: str, /) -> Any: ...
    def fetchall(self) -> list[Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row of sqlite_master: the name of an object, the name of its table, and its definition."""

    name: str
    table: str
    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """All definitions of a database; the keys are the names in lower case."""

    tables: Mapping[str, Entry]
    views: Mapping[str, Entry]
    virtual: Mapping[str, Entry]
    indexes: Mapping[str, Sequence[Entry]]
    triggers: Mapping[str, Sequence[Entry]]

    def table(self, name: str) -> Table | None:
        """Return the table, under the name that was asked for. Raises `ShadowedTable` for anything but a table."""
        key = fold(unquoted(name))
        if key in self.views:
            raise ShadowedTable(shadowed(name, "a view"))
        if key in self.virtual:
            raise ShadowedTable(shadowed(name, "a virtual table"))
        entry = self.tables.get(key)
        return self.read(entry, name) if entry else None

    def read(self, entry: Entry, name: str) -> Table:
        """Return the table with its indexes, as a noun of that name."""
        indexes = (index.sql for index in self.indexes.get(fold(entry.name), ()))
        table = read_table(name, entry.sql, indexes)
        if not table.foreign_keys:
            return table
        return evolve(table, constraints=tuple(map(self.with_target, table.constraints)))

    def with_target(self, constraint: Constraint) -> Constraint:
        """Return a foreign key with the columns as its target has them: the primary key where it names none."""
        if not isinstance(constraint, ForeignKey):
            return constraint
        target = self.tables.get(fold(constraint.to_table))
        if target is None:
            return constraint
        parsed = parse_table(target.sql)
        key = parsed.table.primary_key
        columns = own_columns(constraint.to_columns or (key.columns if key else ()), parsed.names)
        return constraint if columns == constraint.to_columns else evolve(constraint, to_columns=columns)

    def schema(self, names: Collection[str], known: Collection[str] = ()) -> Schema:
        """Return those of the named tables that exist; `known` are names of others. Raises `ShadowedTable`."""
        found = ((name, self.table(name)) for name in names)
        spelling = spellings((*known, *names))
        return Schema({name: spelled(table, spelling) for name, table in found if table is not None})

    @property
    def statements(self) -> frozenset[str]:
        """The texts of all tables and indexes."""
        indexes = (index.sql for indexes in self.indexes.values() for index in indexes)
        return frozenset((*(entry.sql for entry in self.tables.values()), *indexes))

    @property
    def all_triggers(self) -> list[Entry]:
        """The triggers of all tables and views."""
        return [trigger for triggers in self.triggers.values() for trigger in triggers]


def read_table(name: str, create: str, indexes: Iterable[str]) -> Table:
    """Return the table that a CREATE TABLE statement and the CREATE INDEX statements for it define."""
    parsed = parse_table(create)
    nouns = {index: parse_index(index, parsed.names).noun for index in indexes}
    return evolve(
        parsed.table,
        name=name,
        constraints=(*parsed.table.constraints, *(noun for noun in nouns.values() if isinstance(noun, Unique))),
        indexes=tuple(noun for noun in nouns.values() if isinstance(noun, Index)),
        sql=(create, *nouns),
    )


def read_catalog(cursor: Cursor) -> Catalog:
    """Read all definitions of the database except SQLite's own tables."""
    cursor.execute(CATALOG)
    tables: dict[str, Entry] = {}
    views: dict[str, Entry] = {}
    virtual: dict[str, Entry] = {}
    indexes: defaultdict[str, list[Entry]] = defaultdict(list)
    triggers: defaultdict[str, list[Entry]] = defaultdict(list)
    for kind, name, table, sql, rootpage in cursor.fetchall():
        if sql is None or name.startswith("sqlite_"):
            continue
        entry = Entry(name=name, table=table, sql=sql)
        if kind == "table":
            (tables if rootpage else virtual)[fold(name)] = entry
        elif kind == "view":
            views[fold(name)] = entry
        elif kind == "index":
            indexes[fold(table)].append(entry)
        else:
            triggers[fold(table)].append(entry)
    return Catalog(tables=tables, views=views, virtual=virtual, indexes=indexes, triggers=triggers)


def shadow_tables(cursor: Cursor, catalog: Catalog, *, lists_tables: bool) -> frozenset[str]:
    """Return the names, in lower case, of the tables in which virtual tables keep their data.

    With `lists_tables` SQLite lists these tables; on an older version the endings of the names decide.
    """
    if not catalog.virtual:
        return frozenset()
    if lists_tables:
        cursor.execute(SHADOW_TABLES)
        return frozenset(fold(name) for (name,) in cursor.fetchall())
    endings = (f"{virtual}_{suffix}" for virtual in catalog.virtual for suffix in SHADOW_SUFFIXES)
    return frozenset(ending for ending in endings if ending in catalog.tables)


def references(catalog: Catalog, names: Iterable[str]) -> list[tuple[str, ForeignKey]]:
    """Return the foreign keys by which tables that are not named point at tables that are."""
    named = {fold(unquoted(name)): name for name in names}
    found = []
    for key, entry in catalog.tables.items():
        if key in named or "references" not in fold(entry.sql):
            continue
        for foreign_key in catalog.read(entry, entry.name).foreign_keys:
            target = named.get(fold(foreign_key.to_table))
            if target is not None:
                found.append((entry.name, evolve(foreign_key, to_table=target)))
    return found


def spellings(names: Iterable[str]) -> dict[str, str]:
    """Return the names of tables by what SQLite takes for one name."""
    return {fold(unquoted(name)): name for name in names}


def spelled(table: Table, names: Mapping[str, str]) -> Table:
    """Return the table with foreign keys that name their targets as `names` do."""
    if not table.foreign_keys:
        return table
    return evolve(table, constraints=tuple(spelled_constraint(constraint, names) for constraint in table.constraints))


def spelled_constraint(constraint: Constraint, names: Mapping[str, str]) -> Constraint:
    """Return a foreign key that names its target as `names` do; anything else as it is."""
    if not isinstance(constraint, ForeignKey):
        return constraint
    target = names.get(fold(constraint.to_table), constraint.to_table)
    return constraint if target == constraint.to_table else evolve(constraint, to_table=target)


def unquoted(name: str) -> str:
    """Return a table's name without the quotes that a model's db_table may have."""
    return name[1:-1].replace('""', '"') if name.startswith('"') and name.endswith('"') else name


def shadowed(name: str, kind: str) -> str:
    """Return the error for a name that a model's table cannot have."""
    return (
        f"{name!r} is {kind} in the database, and a model has its table by that name. "
        f"Drop or rename it, or give the model another db_table or managed = False."
    )
