"""What a backend answers: how it is read, what it would make of the models, which SQL changes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.db.utils import DatabaseError

from automigrate_ext.blueprint import Blueprint, SchemaEditor, collecting_editor, draw
from automigrate_ext.changes import Change
from automigrate_ext.ownership import TypeRules
from automigrate_ext.schema import Column, Constraint, ForeignKey, Index, Schema, Table

COUNT_ROWS = "SELECT count(*) FROM {table}"
COUNT_VALUES = "SELECT count({column}) FROM {table}"
COUNT_NULLS = "SELECT count(*) FROM {table} WHERE {column} IS NULL"
COUNT_REFERENCES = "SELECT count(*) FROM {table} WHERE {filled}"
COUNT_ORPHANS = (
    "SELECT count(*) FROM {table} AS child WHERE {filled} "
    "AND NOT EXISTS (SELECT 1 FROM {to_table} AS parent WHERE {joined})"
)
COUNT_DUPLICATES = (
    "SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {filled} GROUP BY {columns} HAVING count(*) > 1) AS d"
)
COUNT_VIOLATORS = "SELECT count(*) FROM {table} WHERE NOT ({condition})"
#: How many characters of a statement an error shows.
LONGEST_STATEMENT = 500
ANY_VALUE = "SELECT EXISTS (SELECT 1 FROM {table} WHERE {column} IS NOT NULL)"
ANY_ROW = "SELECT EXISTS (SELECT 1 FROM {table})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One statement of a plan, the table it is for, and how many table locks its transaction will hold.

    `makes_table` says that it belongs to a table that this run makes, so that it may be sent together with
    others: no row is concerned, and the server's message names the object.
    """

    sql: str
    table: str
    locks: int = 1
    makes_table: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is to be done: the changes, both schemas (current and, once done, desired), and values to fill in.

    `fills` maps (table, column) to the SQL literal that rows take which have no value in a column that
    forbids NULL. `desired` has the kept columns and foreign objects of each table too.
    """

    changes: tuple[Change, ...]
    current: Schema
    desired: Schema
    fills: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependent:
    """A view, trigger or foreign table's reference that hangs on a table: what it is called and its kind."""

    table: str
    kind: str
    name: str
    sql: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A foreign key of a table outside the run that points at a table inside it."""

    table: str
    foreign_key: ForeignKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What a change of type would do to the values: how many rows it alters, or why it fails."""

    rows: int = 0
    error: str = ""


class Backend(ABC):
    """Everything that differs between databases, for one connection."""

    type_rules = TypeRules()
    #: What a script of a plan's statements begins and ends with, so that a shell runs it all or not at all.
    opening: tuple[str, ...] = ("BEGIN",)
    closing: tuple[str, ...] = ("COMMIT",)

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection

    # Reading

    @abstractmethod
    def introspect(self, names: Collection[str]) -> Schema:
        """Read those of the named tables that exist. Raises `ShadowedTable` where a view has the name."""

    @abstractmethod
    def scratch(self, blueprints: Sequence[Blueprint]) -> Schema:
        """Let the server make the blueprints' tables out of harm's way and read back what it made of them."""

    @abstractmethod
    def references(self, names: Collection[str]) -> tuple[Reference, ...]:
        """The foreign keys by which tables that are not named point at tables that are."""

    @abstractmethod
    def dependents(self, names: Collection[str]) -> tuple[Dependent, ...]:
        """The views, materialised views and hand-made triggers that a drop of the tables would take along."""

    @abstractmethod
    def table_names(self) -> frozenset[str]:
        """The names of all tables that the connection sees, as models would name them."""

    def set_apart(self, names: Collection[str]) -> frozenset[str]:
        """Those of the names that belong to tables which the server keeps for itself, and which are never touched."""
        return frozenset()

    def django_named(self, table: Table, noun: Constraint | Index) -> bool:
        """Whether the object carries the name, hash included, that Django would generate for it."""
        if not noun.name:
            return False
        return noun.name in generated_names(self.connection, table, noun)

    def server_named(self, table: Table, noun: Constraint | Index) -> bool:
        """Whether the object has the name that the server gives a column's own constraint."""
        return not noun.name

    # Writing

    @abstractmethod
    def compile(self, work: Work) -> tuple[Step, ...]:
        """The statements that carry out the changes, in an order that the server accepts."""

    @abstractmethod
    def compile_rebuild(
        self, work: Work, references: Sequence[Reference], *, cascade: bool = False
    ) -> tuple[Step, ...]:
        """The statements that drop the current tables and make the desired ones anew (`automigrate`).

        With `cascade` what hangs on the tables goes with them.
        """

    @abstractmethod
    def exclusive(self) -> AbstractContextManager[None]:
        """A transaction that keeps a second run out until it ends; undone when an exception leaves it."""

    def create_record(self, model: type[Model]) -> None:
        """Make the table in which the package records what it owns."""
        editor = collecting_editor(self.connection)
        self.run([Step(sql=draw(editor, model).create_sql(), table=model._meta.db_table)])

    def protect(self, tables: Collection[str]) -> None:  # noqa: B027 - a server that locks as a whole has nothing to do
        """Keep other sessions from writing to the tables until the transaction ends."""

    def batches(self, steps: Sequence[Step]) -> tuple[tuple[Step, ...], ...]:
        """The steps cut into as many transactions as the server needs; one, unless its locks run out."""
        return (tuple(steps),)

    def run(self, steps: Sequence[Step]) -> None:
        """Execute the steps."""
        for step in steps:
            self.execute(step.sql)

    def execute(self, sql: str) -> None:
        """Execute one statement; an error carries the statement as a note."""
        with self.connection.cursor() as cursor:
            try:
                cursor.execute(sql)
            except DatabaseError as error:
                error.add_note(f"In: {shortened(sql)}")
                raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A transaction in which several reads see the same state."""
        with transaction.atomic(using=self.connection.alias):
            yield

    @contextmanager
    def trial(self) -> Iterator[None]:
        """A transaction or savepoint whose changes are undone at its end."""
        with transaction.atomic(using=self.connection.alias):
            yield
            transaction.set_rollback(True, using=self.connection.alias)

    # Questions to the rows

    def quote(self, name: str) -> str:
        """The identifier as it is written in SQL."""
        return self.connection.ops.quote_name(name)

    def ask(self, sql: str, **names: str) -> Any:
        """The single value that a query answers."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql.format(**names))
            row = cursor.fetchone()
        return row[0]

    def count_rows(self, table: str) -> int:
        """How many rows the table has."""
        return int(self.ask(COUNT_ROWS, table=self.quote(table)))

    def has_rows(self, table: str) -> bool:
        """Whether the table has a row."""
        return bool(self.ask(ANY_ROW, table=self.quote(table)))

    def count_values(self, table: str, column: str) -> int:
        """In how many rows the column holds a value."""
        return int(self.ask(COUNT_VALUES, table=self.quote(table), column=self.quote(column)))

    def has_values(self, table: str, column: str) -> bool:
        """Whether the column holds a value in any row."""
        return bool(self.ask(ANY_VALUE, table=self.quote(table), column=self.quote(column)))

    def count_nulls(self, table: str, column: str) -> int:
        """In how many rows the column is NULL."""
        return int(self.ask(COUNT_NULLS, table=self.quote(table), column=self.quote(column)))

    def count_references(self, reference: Reference) -> int:
        """How many rows point through a foreign key."""
        filled = self.filled(reference.foreign_key.columns)
        return int(self.ask(COUNT_REFERENCES, table=self.quote(reference.table), filled=filled))

    def count_orphans(self, table: str, foreign_key: ForeignKey) -> int:
        """How many rows point at a row that is not there."""
        pairs = zip(foreign_key.columns, foreign_key.to_columns, strict=True)
        return int(
            self.ask(
                COUNT_ORPHANS,
                table=self.quote(table),
                to_table=self.quote(foreign_key.to_table),
                filled=self.filled(foreign_key.columns, "child."),
                joined=" AND ".join(f"parent.{self.quote(to)} = child.{self.quote(own)}" for own, to in pairs),
            )
        )

    def count_duplicates(self, table: str, columns: Sequence[str], *, nulls_distinct: bool = True) -> int:
        """How many groups of rows have the same values in the columns."""
        return int(
            self.ask(
                COUNT_DUPLICATES,
                table=self.quote(table),
                columns=", ".join(map(self.quote, columns)),
                filled=self.filled(columns) if nulls_distinct else "1 = 1",
            )
        )

    def filled(self, columns: Sequence[str], prefix: str = "") -> str:
        """The condition that none of the columns is NULL."""
        return " AND ".join(f"{prefix}{self.quote(column)} IS NOT NULL" for column in columns)

    def count_violators(self, table: str, condition: str) -> int:
        """How many rows do not satisfy a condition; NULL satisfies it, as it does in a check."""
        return int(self.ask(COUNT_VIOLATORS, table=self.quote(table), condition=condition))

    def count_index_duplicates(self, table: str, index: Index) -> int:
        """How many groups of rows a unique index would not take."""
        keys = [self.quote(key.column) if key.column else f"({key.expression})" for key in index.keys]
        terms = [f"{key} IS NOT NULL" for key in keys] if index.nulls_distinct else []
        terms += [f"({index.condition})"] if index.condition else []
        return int(
            self.ask(
                COUNT_DUPLICATES,
                table=self.quote(table),
                columns=", ".join(keys),
                filled=" AND ".join(terms) or "1 = 1",
            )
        )

    @abstractmethod
    def count_lost(self, table: str, old: Column, new: Column) -> Loss:
        """What the change of type would do to the stored values; nothing where it provably keeps them."""

    def explain(self, error: DatabaseError) -> str:
        """The server's own words, in one line, and the statement that it says them of."""
        return " ".join(" ".join([str(error), *getattr(error, "__notes__", ())]).split())


def shortened(sql: str) -> str:
    """A statement as far as a reader needs it to know which one it is."""
    return sql if len(sql) <= LONGEST_STATEMENT else f"{sql[:LONGEST_STATEMENT]}..."


def generated_names(connection: BaseDatabaseWrapper, table: Table, noun: Constraint | Index) -> frozenset[str]:
    """The names that `BaseDatabaseSchemaEditor._create_index_name` gives to such an object.

    Source: django/db/backends/base/schema.py, `_create_index_name` and its callers' suffixes.
    """
    editor: SchemaEditor = connection.schema_editor(collect_sql=True)
    columns = [key.column for key in noun.keys if key.column] if isinstance(noun, Index) else list(noun_columns(noun))
    suffixes = ["", "_like", "_uniq", "_check", "_fk"]
    if isinstance(noun, ForeignKey):
        suffixes.append(f"_fk_{noun.to_table}_{noun.to_columns[0]}")
    return frozenset(editor._create_index_name(table.name, columns, suffix) for suffix in suffixes)


def noun_columns(noun: Constraint) -> tuple[str, ...]:
    """The columns that a constraint speaks of."""
    columns: tuple[str, ...] = getattr(noun, "columns", ())
    return columns
