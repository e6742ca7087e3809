"""Read tables of MariaDB and MySQL from what SHOW CREATE TABLE prints."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace as evolve

from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext.backends.mysql.parser import TableText, is_plain_index_over, parse_table
from automigrate_ext.backends.mysql.show import BASE_TABLES, VERSIONED, show
from automigrate_ext.backends.mysql.spelling import completed
from automigrate_ext.backends.naming import generated_names
from automigrate_ext.exceptions import ShadowedTable
from automigrate_ext.schema.nouns import Table

# Sequences of MariaDB and tables with system versioning have table types of their own.
TABLES = """
SELECT table_name, table_type, engine, table_collation FROM information_schema.tables WHERE table_schema = DATABASE()
"""
# MariaDB opens this table alone where its name is given as a constant, and else every table of the database.
# Source: https://mariadb.com/kb/en/optimizing-information_schema-queries/
NAMED = "AND table_name = %s"
REFERENCES = """
SELECT DISTINCT k.table_name
FROM information_schema.key_column_usage k
WHERE k.table_schema = DATABASE() AND k.referenced_table_schema = DATABASE() AND k.referenced_table_name IN ({names})
"""
TRIGGERS = """
SELECT event_object_table, trigger_name FROM information_schema.triggers
WHERE event_object_schema = DATABASE() AND event_object_table IN ({names}) ORDER BY 1, 2
"""
UPDATE_TRIGGERS = """
SELECT event_object_table, trigger_name FROM information_schema.triggers
WHERE event_object_schema = DATABASE() AND event_object_table IN ({names}) AND event_manipulation = 'UPDATE'
ORDER BY 1, action_timing = 'AFTER', action_order
"""
# The catalog's own texts compare without regard to case, which is not how the server compares the names of tables.


class Catalog:
    """The names of all tables and views of the database, or of the one of a name, with the engines of the tables."""

    def __init__(self, connection: BaseDatabaseWrapper, name: str | None = None) -> None:
        with connection.cursor() as cursor:
            cursor.execute(*((TABLES,) if name is None else (TABLES + NAMED, [name])))
            rows = cursor.fetchall()
        self.ignores_case = connection.features.ignores_table_name_case
        self.engines: dict[str, str] = {name: engine or "" for name, kind, engine, _ in rows if kind in BASE_TABLES}
        self.collations: dict[str, str] = {name: collation for name, _, _, collation in rows if collation}
        self.versioned = frozenset(self.fold(name) for name, kind, *_ in rows if kind == VERSIONED)
        self.others: dict[str, str] = {name: kind.lower() for name, kind, *_ in rows if kind not in BASE_TABLES}
        self.spelling: Mapping[str, str] = {self.fold(name): name for name in (*self.engines, *self.others)}

    def fold(self, name: str) -> str:
        """Return a form of a table's name that is the same for all spellings that the server treats as one."""
        return name.lower() if self.ignores_case else name

    def is_versioned(self, name: str) -> bool:
        """Return whether the server keeps the history of the table's rows."""
        return self.fold(name) in self.versioned

    def find(self, name: str) -> str | None:
        """Return the table as the server spells it, or None. Raises `ShadowedTable` where a view has the name."""
        found = self.spelling.get(self.fold(name))
        if found in self.others:
            raise ShadowedTable(f"{name!r} is a {self.others[found]}, not a table, so no model can have it as its own.")
        return found


def read_texts(connection: BaseDatabaseWrapper, names: Sequence[str]) -> Iterator[TableText]:
    """Read the tables of these names, which have to exist, in their order."""
    # The results of one message have to be fetched before anything else is asked.
    texts = [parse_table(sql) for sql in show(connection, names)]
    with connection.cursor() as cursor:
        for name, text in zip(names, texts, strict=True):
            table = completed(cursor, connection.ops.quote_name(name), text.table)
            yield with_generated_indexes(connection, evolve(text, table=table))


def with_generated_indexes(connection: BaseDatabaseWrapper, text: TableText) -> TableText:
    """Return the table with the indexes that Django made and named for foreign keys left out, as the server's are.

    Django makes one before it drops the last other index over a foreign key, and for each subclass of `ForeignKey`;
    the server then makes none. Source: django/db/backends/mysql/schema.py, `_create_missing_fk_index` and
    `_field_should_be_indexed`.
    """
    own = dict(text.own_indexes)
    indexes = list(text.table.indexes)
    for key in text.table.foreign_keys:
        if key.name in own:
            continue
        alike = (index for index in indexes if is_plain_index_over(index, key.columns))
        named = (index for index in alike if index.name in generated_names(connection, text.table, index))
        if index := next(named, None):
            indexes.remove(index)
            own[key.name] = index.name
    if len(own) == len(text.own_indexes):
        return text
    return evolve(text, table=evolve(text.table, indexes=tuple(indexes)), own_indexes=own)


def referring(connection: BaseDatabaseWrapper, names: Collection[str]) -> list[str]:
    """Return the tables that have foreign keys to the named ones."""
    return [name for (name,) in rows_about(connection, REFERENCES, names)]


def triggers(connection: BaseDatabaseWrapper, names: Collection[str], sql: str = TRIGGERS) -> list[tuple[str, str]]:
    """Return the triggers on the named tables, as pairs of table and name."""
    ignores_case = connection.features.ignores_table_name_case
    found = [(table, name) for table, name in rows_about(connection, sql, names)]
    return [(table, name) for table, name in found if ignores_case or table in names]


def rows_about(connection: BaseDatabaseWrapper, sql: str, names: Collection[str]) -> list[tuple[str, ...]]:
    """Return the rows of a query about some tables."""
    if not names:
        return []
    with connection.cursor() as cursor:
        cursor.execute(sql.format(names=", ".join(["%s"] * len(names))), list(names))
        return list(cursor.fetchall())


def respelled(table: Table, name: str, catalog: Catalog) -> Table:
    """Return a table under the name that was asked for, which may differ in case where the server ignores case."""
    if not catalog.ignores_case:
        return table
    return evolve(table, name=name)
