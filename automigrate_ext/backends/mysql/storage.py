"""Changes that the engine of a table, or its partitions, do not allow: the server says so only when it makes them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext.backends.mysql import introspection
from automigrate_ext.backends.naming import noun_columns
from automigrate_ext.schema.changes import (
    AddConstraint,
    AddIndex,
    AlterPrimaryKey,
    Change,
    CreateTable,
    DropColumn,
)
from automigrate_ext.schema.nouns import Constraint, ForeignKey, Index, PrimaryKey, Unique
from automigrate_ext.schema.renaming import Renaming

STORAGE = """
SELECT table_name, engine, LOCATE('partitioned', create_options) > 0
FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type <> 'VIEW'
"""
#: The engine that has foreign keys. Others take them without an error and forget them.
# Source: https://mariadb.com/kb/en/foreign-keys/
KEYED_ENGINE = "InnoDB"

NO_KEYS = (
    "table {table} has the engine {engine}, and only {keyed} has foreign keys. ALTER TABLE {quoted} ENGINE={keyed} "
    "gives it that one, and db_constraint=False does without the key."
)
NO_KEYS_IN_NEW = (
    "new tables get the engine {engine}, and only {keyed} has foreign keys. Set default_storage_engine to that one."
)
# Source: https://mariadb.com/kb/en/partitioning-limitations/
NO_KEYS_IN_PARTITIONS = (
    "table {table} is partitioned, and neither has foreign keys then nor can be pointed at. ALTER TABLE {quoted} "
    "REMOVE PARTITIONING ends that, and db_constraint=False does without the key."
)
NOT_UNIQUE = (
    "table {table} is partitioned by {columns}, and what is unique has to include that. ALTER TABLE {quoted} REMOVE "
    "PARTITIONING ends that."
)
NEEDED = "table {table} is partitioned by that column. ALTER TABLE {quoted} REMOVE PARTITIONING ends that."


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The engine of a table, and whether the table has partitions."""

    engine: str
    partitioned: bool


class Storage:
    """The engines and partitions of the tables at one moment; asked once, when a change depends on them."""

    def __init__(self, connection: BaseDatabaseWrapper, renaming: Renaming) -> None:
        self.connection = connection
        self.renaming = renaming
        self.known: Mapping[str, Stored] | None = None

    def of(self, table: str) -> Stored:
        """Return how a table is stored, or will be where it does not exist yet."""
        if self.known is None:
            with self.connection.cursor() as cursor:
                cursor.execute(STORAGE)
                rows = cursor.fetchall()
            self.known = {
                self.fold(name): Stored(engine=engine or "", partitioned=bool(partitioned))
                for name, engine, partitioned in rows
            }
        there = self.known.get(self.fold(self.renaming.old_table(table)))
        return there or Stored(engine=self.default_engine, partitioned=False)

    def fold(self, name: str) -> str:
        return name.lower() if self.connection.features.ignores_table_name_case else name

    @property
    def default_engine(self) -> str:
        """The engine of new tables."""
        return str(self.connection.features._mysql_storage_engine)  # type: ignore[attr-defined]

    def partition_columns(self, table: str) -> tuple[str, ...]:
        """Return the columns by which a table is partitioned, under their names to come."""
        if not self.of(table).partitioned:
            return ()
        old = self.renaming.old_table(table)
        (text,) = introspection.read_texts(self.connection, [old])
        renamed = self.renaming.columns(old)
        return tuple(renamed.get(column, column) for column in text.partitioned_by)

    # Reasons

    def why_not(self, change: Change) -> str:
        """Return why the change cannot be made; "" where nothing of this kind is in its way."""
        return next(self.reasons(change), "")

    def reasons(self, change: Change) -> Iterator[str]:
        match change:
            case CreateTable(new=table):
                for key in table.foreign_keys:
                    yield from self.against_key(change.table, key)
            case AddConstraint(new=ForeignKey() as key):
                yield from self.against_key(change.table, key)
            case AddConstraint(new=noun) | AddIndex(new=noun) | AlterPrimaryKey(new=noun):
                if noun and is_unique(noun):
                    yield from self.against_unique(change.table, noun_columns(noun))
            case DropColumn(old=column):
                yield from self.against_drop(change.table, column.name)

    def against_key(self, table: str, key: ForeignKey) -> Iterator[str]:
        """Yield why a foreign key cannot be: of both its ends."""
        for name in dict.fromkeys((table, key.to_table)):
            stored = self.of(name)
            if stored.partitioned:
                yield self.say(NO_KEYS_IN_PARTITIONS, name)
            elif stored.engine != KEYED_ENGINE:
                is_new = self.fold(self.renaming.old_table(name)) not in (self.known or {})
                yield self.say(NO_KEYS_IN_NEW if is_new else NO_KEYS, name, engine=stored.engine)

    def against_unique(self, table: str, columns: Collection[str]) -> Iterator[str]:
        """Yield why the columns cannot be unique."""
        by = self.partition_columns(table)
        if not set(by) <= set(columns):
            yield self.say(NOT_UNIQUE, table, columns=", ".join(by))

    def against_drop(self, table: str, column: str) -> Iterator[str]:
        """Yield why a column cannot go."""
        if column in self.partition_columns(table):
            yield self.say(NEEDED, table)

    def say(self, reason: str, table: str, **words: str) -> str:
        """Return a reason in words."""
        quoted = self.connection.ops.quote_name(table)
        return reason.format(table=table, quoted=quoted, keyed=KEYED_ENGINE, **words)


def is_unique(noun: Constraint | Index | PrimaryKey) -> bool:
    """Return whether a key, constraint or index allows no two rows with the same values."""
    return isinstance(noun, (Unique, PrimaryKey)) or (isinstance(noun, Index) and noun.unique)
