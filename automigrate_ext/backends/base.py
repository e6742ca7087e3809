"""What a backend answers: how it is read, what it would make of the models, which SQL changes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from typing import Any, TypeVar

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.db.utils import DatabaseError, Error

from automigrate_ext.backends.rows import Rows
from automigrate_ext.declared.blueprint import Blueprint, draw
from automigrate_ext.declared.editor import SchemaEditor, collecting_editor
from automigrate_ext.exceptions import AutomigrateError, ExecutionFailed, LockNotAvailable
from automigrate_ext.plan.cost import Remark, Size
from automigrate_ext.plan.progress import Meter, RunProgress
from automigrate_ext.process import run_under_way
from automigrate_ext.schema.adopt import TypeRules
from automigrate_ext.schema.changes import AddConstraint, Change, RenameSequence
from automigrate_ext.schema.nouns import Column, Constraint, ForeignKey, Index, PrimaryKey, Schema, Table
from automigrate_ext.waiting import Patience

#: How many characters of a statement an error shows.
LONGEST_STATEMENT = 500
COUNT_ROWS = "SELECT count(*) FROM {table} AS asked"
COUNT_TO_FILL = "SELECT count(*) FROM {table} AS asked WHERE {condition}"
COUNT_NUMBERED = "SELECT {number}, count(*) FROM {table} AS asked"
#: How many tables are counted in one query; SQLite takes 500 at most.
COUNTS_A_QUERY = 200
COUNT_REFERENCES = "SELECT count(*) FROM {table} AS asked WHERE {filled}"
KEYS_TO_FILL = "SELECT {key} FROM {table} AS asked WHERE {condition} ORDER BY {key} {limit}"
UPDATE_ROW = "UPDATE {table} SET {column} = {value} WHERE {key}"
EACH_ROW = "-- UPDATE {table}: a value of its own in {column} for each row"
#: How many rows one statement gives a value of its own.
ROWS_A_STATEMENT = 500
#: Up to how many rows a plan that is only shown holds the values that rows would get, one each.
ROWS_WRITTEN_OUT = 10_000
ANY_VALUE = "SELECT EXISTS (SELECT 1 FROM {table} AS asked WHERE {column} IS NOT NULL)"
ANY_ROW = "SELECT EXISTS (SELECT 1 FROM {table} AS asked)"


T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFill:
    """A value of its own, made by `draw` as SQL, for each row of a table that has none in a column.

    `key` are the columns that tell the rows apart; `everywhere` says that the column is new, so that no row
    has a value.
    """

    table: str
    column: str
    type: str
    key: tuple[str, ...]
    key_types: tuple[str, ...]
    draw: Callable[[], str]
    everywhere: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One statement of a plan, the table it is for, and how many table locks its transaction will hold.

    `makes_table` says that it belongs to a table that this run makes, so that it may be sent together with
    others: no row is concerned, and the server's message names the object. With `fill` it stands for as many
    statements as it takes to give each row a value of its own, and `sql` says so in a comment. `at_stake` are the
    changes by which it would lose values that were not there when they were counted.
    """

    sql: str
    table: str
    locks: int = 1
    makes_table: bool = False
    fill: RowFill | None = None
    at_stake: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """What rows take that have no value: one for all as SQL, or one for each that `draw` makes."""

    sql: str = ""
    draw: Callable[[], str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is to be done: the changes, both schemas (current and, once done, desired), and values to fill in.

    `fills` maps (table, column) to what rows take which have no value there, `casts` to the SQL of the values
    that a column of another type takes. `desired` has the kept columns and foreign objects of each table too.
    `may_lose` says that values may go which the changes destroy.
    """

    changes: tuple[Change, ...]
    current: Schema
    desired: Schema
    fills: Mapping[tuple[str, str], Fill] = field(default_factory=dict)
    casts: Mapping[tuple[str, str], str] = field(default_factory=dict)
    may_lose: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependent:
    """A view, trigger or foreign table's reference that hangs on a table: what it is called and its kind."""

    table: str
    kind: str
    name: str
    sql: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A table, or one column or constraint of it, and whether it is to be dropped, changed or renamed (`verb`)."""

    table: str
    column: str = ""
    constraint: str = ""
    verb: str = "dropped"

    def describe(self) -> str:
        """Say what it is, at the start of a sentence."""
        if self.column:
            return f"Column {self.table}.{self.column}"
        return f"Constraint {self.constraint} of {self.table}" if self.constraint else f"Table {self.table}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A foreign key of a table outside the run that points at a table inside it."""

    table: str
    foreign_key: ForeignKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What a change of type would do to the values: how many it alters, or why it fails.

    `rows` is None where they were not counted in time, `using` the SQL of the new values where they are not
    the old ones, `samples` are the keys of rows that would lose something.
    """

    rows: int | None = 0
    error: str = ""
    using: str = ""
    samples: tuple[tuple[Any, ...], ...] = ()


class Backend(ABC):
    """Everything that differs between databases, for one connection."""

    type_rules = TypeRules()
    #: What a script of a plan's statements begins and ends with, so that a shell runs it all or not at all.
    opening: tuple[str, ...] = ("BEGIN",)
    closing: tuple[str, ...] = ("COMMIT",)
    #: Whether views and triggers go on to mean what they meant once it has another name.
    dependents_follow = True
    #: Whether the statements give what has the name of another a name of its own, without being told to.
    frees_names = True
    #: Whether a transaction undoes what was done to tables; else each statement is one of its own.
    undoes_ddl = True

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.patience = Patience()
        #: Counts what `run` does, while it is the statements of a plan.
        self.meter = Meter()
        #: What every plan has to say besides its changes, such as what of the models is not compared.
        self.notes: tuple[str, ...] = ()
        #: Names by which the models call tables that have others too, for lack of which the server's are used.
        self.known_names: frozenset[str] = frozenset()
        self.rows = Rows(connection, self.limited, self.is_fault, self.relation)

    # Reading

    @abstractmethod
    def introspect(self, names: Collection[str]) -> Schema:
        """Read those of the named tables that exist. Raises `ShadowedTable` where a view has the name."""

    @abstractmethod
    def scratch(self, blueprints: Sequence[Blueprint]) -> Schema:
        """Let the server make the blueprints' tables out of harm's way and read back what it made of them."""

    def outline(self, blueprints: Sequence[Blueprint]) -> Schema:
        """The blueprints' tables as far as they are known without the server: enough to make them, not to compare."""
        return Schema({blueprint.name: self.outlined(blueprint) for blueprint in blueprints})

    def outlined(self, blueprint: Blueprint) -> Table:
        return Table(
            name=blueprint.name,
            columns=tuple(
                Column(name=column.name, type=column.type_sql, null=column.field.null) for column in blueprint.columns
            ),
            constraints=blueprint.foreign_keys,
            owner=blueprint.owner,
            sql=self.statements(blueprint),
        )

    def statements(self, blueprint: Blueprint) -> tuple[str, ...]:
        """The statements that make the table, foreign keys apart where they can be."""
        return (blueprint.create, *map(str, blueprint.objects), *blueprint.comments)

    @abstractmethod
    def references(self, names: Collection[str]) -> tuple[Reference, ...]:
        """The foreign keys by which tables that are not named point at tables that are."""

    @abstractmethod
    def dependents(self, names: Collection[str]) -> tuple[Dependent, ...]:
        """The views, materialised views and hand-made triggers that a drop of the tables would take along."""

    def dependents_of(self, parts: Sequence[Part]) -> Mapping[Part, Sequence[Dependent]]:
        """What keeps the server from dropping or converting parts of tables; nothing where it minds no dependents.

        What belongs to tables that are to be dropped too is none of it.
        """
        return {}

    def existing(self, names: Collection[str]) -> frozenset[str]:
        """Those of the tables that exist, whichever way their names are written."""
        there = {name.lower() for name in self.table_names()}
        return frozenset(name for name in names if name.lower() in there)

    def spoken_for(self, names: Sequence[str], claimed: Collection[str] = ()) -> frozenset[str]:
        """Those of the names that lead to a table which is not theirs alone.

        That is one in a place other than that of new tables, one of the `claimed` ones, or that of an earlier name.
        """
        return frozenset()

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

    def unable(self, change: Change, current: Schema) -> str:
        """Why the change cannot be made here, whatever rows there are; "" where it can."""
        return ""

    def following_sequences(self, changes: Sequence[Change]) -> tuple[RenameSequence, ...]:
        """The sequences that owe their names to tables and columns which the changes rename."""
        return ()

    @abstractmethod
    def compile(self, work: Work) -> tuple[Step, ...]:
        """The statements that carry out the changes, in an order that the server accepts."""

    def taken_off(self, work: Work) -> tuple[tuple[str, ForeignKey], ...]:
        """The foreign keys that the statements take off and put back, each with the table that it is of."""
        return ()

    @abstractmethod
    def compile_rebuild(
        self, work: Work, references: Sequence[Reference], *, cascade: bool = False
    ) -> tuple[Step, ...]:
        """The statements that drop the current tables and make the desired ones anew (`automigrate`).

        With `cascade` what hangs on the tables goes with them.
        """

    @abstractmethod
    def exclusive(self) -> AbstractContextManager[bool]:
        """A transaction that keeps a second run out until it ends; undone when an exception leaves it.

        Gives whether it had to be waited for. Raises `LockNotAvailable` where it cannot be had in time.
        """

    def create_record(self, model: type[Model]) -> None:
        """Make the table in which the package records what it owns."""
        editor = collecting_editor(self.connection)
        self.run([Step(sql=draw(editor, model).create_sql(), table=model._meta.db_table)])

    def protect(  # noqa: B027 - a server that locks as a whole has nothing to do
        self, tables: Collection[str], targets: Collection[str] = ()
    ) -> None:
        """Keep other sessions from the tables, and from writing to the targets, until the transaction ends.

        Those that do not exist are passed over. Raises `LockNotAvailable` where it cannot be had in time.
        """

    def make_sure(self, steps: Sequence[Step]) -> None:  # noqa: B027 - a server that undoes it all need not be asked
        """Find out before the first of the steps whether the locks can be had that some of them need."""

    def why_read_only(self) -> str:
        """Why nothing can be written through this connection, or "" where the server does not say so."""
        return ""

    def await_access(self) -> None:
        """Connect, and wait until the database can be read."""
        self.connection.ensure_connection()

    def batches(self, steps: Sequence[Step]) -> tuple[tuple[Step, ...], ...]:
        """The steps cut into as many transactions as the server needs; one, unless its locks run out."""
        return (tuple(steps),)

    def run(self, steps: Sequence[Step]) -> None:
        """Execute the steps."""
        for step in steps:
            with self.meter.statement(step.table, step.sql) as begun:
                if step.fill:
                    self.fill_rows(step.fill, begun)
                else:
                    self.execute_step(step)

    def execute_step(self, step: Step) -> None:
        """Execute the statement of a step."""
        self.execute(step.sql)

    @contextmanager
    def metered(self, meter: Meter) -> Iterator[None]:
        """A block in which what `run` does is counted."""
        self.meter = meter
        try:
            yield
        finally:
            self.meter = Meter()

    def fill_rows(self, fill: RowFill, begun: RunProgress) -> None:
        """Give each row a value of its own, and tell after each batch how many have one."""
        rows = self.count_to_fill(fill) if self.meter.watch else 0
        done = 0
        for batch in self.batches_to_fill(fill):
            self.meter.report(evolve(begun, rows=max(rows, done), rows_done=done))
            for sql in self.update_rows(fill, batch):
                self.execute(sql)
            done += len(batch)

    def count_to_fill(self, fill: RowFill) -> int:
        """How many rows have no value in a column that is to be filled."""
        condition = self.unfilled(fill) or "1 = 1"
        return int(self.ask(COUNT_TO_FILL, table=self.relation(fill.table), condition=condition))

    def written_out(self, steps: Sequence[Step]) -> Iterator[str]:
        """The statements of the steps, with the values of rows that get one each, if they are not too many."""
        for step in steps:
            if step.fill is None or self.count_rows(step.fill.table) > ROWS_WRITTEN_OUT:
                yield step.sql
            else:
                yield from self.fill_statements(step.fill)

    def forbid_transaction(self) -> None:
        """Raise `ExecutionFailed` inside a transaction which changes of tables would commit."""
        if not self.undoes_ddl and self.connection.in_atomic_block:
            raise ExecutionFailed(
                f"{self.connection.display_name} commits each change of a table at once, and with it the transaction "
                f"that this run is in. Nothing was done. Run it outside of atomic(); in a test, use "
                f"TransactionTestCase or pytest.mark.django_db(transaction=True)."
            )

    def discard(self, tables: Schema) -> None:
        """Drop tables with their rows, at which no others point; inside a transaction too."""
        self.run(self.compile_rebuild(Work(changes=(), current=tables, desired=Schema({})), ()))

    # What models cannot say

    def extensions_for(self, models: Iterable[type[Model]]) -> Mapping[str, str]:
        """The extensions that the models' fields, indexes and constraints take, each with what takes it."""
        return {}

    def missing_extensions(self, wanted: Mapping[str, str]) -> tuple[str, ...]:
        """Those of the extensions that the database does not have; none where there are no extensions.

        `wanted` says by name what takes it. Raises `AutomigrateError` for one that the server cannot create.
        """
        return ()

    def extension_statement(self, name: str) -> str:
        """The statement that creates an extension."""
        raise NotImplementedError

    def create_extensions(self, names: Sequence[str]) -> None:
        """Create the extensions. Raises `ExecutionFailed` where the role may not."""
        for name in names:
            self.execute(self.extension_statement(name))

    def know_types(self) -> None:  # noqa: B027 - only some extensions of PostgreSQL bring types that drivers know
        """Let the connection convert the values of types that extensions have brought."""

    def forget_types(self) -> None:  # noqa: B027 - see know_types
        """Forget the types of extensions that a run brought which was undone."""

    @abstractmethod
    def run_script(self, text: str) -> None:
        """Execute the statements of a text."""

    @contextmanager
    def code_of_others(self, label: str) -> Iterator[None]:
        """A block in which something runs that others wrote. Raises `ExecutionFailed` if it ends the transaction."""
        within = self.connection.in_atomic_block and self.is_in_transaction()
        yield
        if within and not self.is_in_transaction():
            raise ExecutionFailed(
                f"{label} ended the transaction of the run (COMMIT or ROLLBACK), so what was done before it may stay "
                f"done. Leave that out of it."
            )

    @abstractmethod
    def is_in_transaction(self) -> bool:
        """Whether the driver knows of a transaction that is open."""

    def fill_statements(self, fill: RowFill) -> Iterator[str]:
        """The statements that give each row a value of its own, each for a batch of rows, as they are read."""
        for batch in self.batches_to_fill(fill):
            yield from self.update_rows(fill, batch)

    def batches_to_fill(self, fill: RowFill) -> Iterator[list[tuple[tuple[str, ...], str]]]:
        """The keys of rows with the values that they get, a batch at a time, as they are read."""
        editor = collecting_editor(self.connection)
        keys = self.keys_to_fill(fill, None)
        while keys:
            literals = [tuple(map(editor.quote_value, key)) for key in keys]
            yield [(literal, fill.draw()) for literal in literals]
            keys = self.keys_to_fill(fill, literals[-1])

    def unfilled(self, fill: RowFill) -> str:
        """The condition that a row has no value, or "" where none has."""
        return "" if fill.everywhere else f"{self.quote(fill.column)} IS NULL"

    def keys_to_fill(self, fill: RowFill, last: tuple[str, ...] | None) -> list[tuple[Any, ...]]:
        """The keys of the next rows without a value, after the last ones."""
        key = ", ".join(map(self.quote, fill.key))
        terms = [self.unfilled(fill), f"({key}) > ({', '.join(last)})" if last else ""]
        sql = KEYS_TO_FILL.format(
            key=key,
            table=self.relation(fill.table),
            condition=" AND ".join(filter(None, terms)) or "1 = 1",
            limit=self.connection.ops.limit_offset_sql(0, ROWS_A_STATEMENT),
        )
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return list(map(tuple, cursor.fetchall()))

    def update_rows(self, fill: RowFill, values: Sequence[tuple[tuple[str, ...], str]]) -> Iterator[str]:
        """The statements that give the rows of these keys these values."""
        for key, value in values:
            pairs = zip(fill.key, key, strict=True)
            yield UPDATE_ROW.format(
                table=self.quote(fill.table),
                column=self.quote(fill.column),
                value=value,
                key=" AND ".join(f"{self.quote(name)} = {text}" for name, text in pairs),
            )

    def row_statement(self, fill: RowFill, anything: str) -> str:
        """What the statements look like that give rows a value of their own, with `anything` for keys and values."""
        return UPDATE_ROW.format(
            table=self.quote(fill.table), column=self.quote(fill.column), value=anything, key=anything
        )

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

    def steadily(self, read: Callable[[], T]) -> T:
        """What `read` finds; where somebody changed the tables under its eyes, what it finds once no run is on."""
        try:
            return read()
        except Error as error:
            if not self.is_disturbed(error):
                raise
        with self.exclusive():
            return read()

    @contextmanager
    def tried(self, renames: tuple[Change, ...]) -> Iterator[None]:
        """A block in which tables and columns have their new names."""
        with self.trial():
            self.run(self.compile(Work(changes=renames, current=Schema({}), desired=Schema({}))))
            yield

    @contextmanager
    def trial(self) -> Iterator[None]:
        """A transaction or savepoint whose changes are undone at its end."""
        with transaction.atomic(using=self.connection.alias):
            yield
            transaction.set_rollback(True, using=self.connection.alias)

    # What it costs

    def remarks(self, work: Work, filled: Collection[str]) -> tuple[Remark, ...]:
        """What carrying out the work means for the tables that hold rows; of changed ones, these are `filled`."""
        there = [name for name in concerned(work.changes) if work.current.get(name) and work.desired.get(name)]
        empty = {change.table for change in work.changes} - set(filled)
        touched = [name for name in there if name not in empty]
        sizes = {name: size for name, size in self.sizes(touched).items() if size.rows} if touched else {}
        effects = self.effects(work, sizes) if sizes else {}
        return tuple(Remark(table=name, effects=effects[name], size=sizes[name]) for name in touched if name in effects)

    def sizes(self, tables: Collection[str]) -> Mapping[str, Size]:
        """How many rows the tables have; those that have none may be left out."""
        sizes: dict[str, Size] = {}
        for start in range(0, len(tables), COUNTS_A_QUERY):
            names = list(tables)[start : start + COUNTS_A_QUERY]
            counts = (COUNT_NUMBERED.format(number=n, table=self.relation(name)) for n, name in enumerate(names))
            with self.connection.cursor() as cursor:
                cursor.execute(" UNION ALL ".join(counts))
                sizes.update((names[number], Size(rows=rows)) for number, rows in cursor.fetchall())
        return sizes

    def effects(self, work: Work, tables: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """What the work does to the named tables that takes time or makes others wait, in a few words each."""
        return {}

    # Questions to the rows

    def quote(self, name: str) -> str:
        """The identifier as it is written in SQL."""
        return self.connection.ops.quote_name(name)

    def relation(self, table: str) -> str:
        """What stands behind FROM, before an alias, for the rows of a table."""
        return self.quote(table)

    def ask(self, sql: str, **names: str) -> Any:
        """The single value that a query answers."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql.format(**names))
            row = cursor.fetchone()
        return row[0]

    def count_rows(self, table: str) -> int:
        """How many rows the table has."""
        return int(self.ask(COUNT_ROWS, table=self.relation(table)))

    def has_rows(self, table: str) -> bool:
        """Whether the table has a row."""
        return bool(self.ask(ANY_ROW, table=self.relation(table)))

    def has_values(self, table: str, column: str) -> bool:
        """Whether the column holds a value in any row."""
        return bool(self.ask(ANY_VALUE, table=self.relation(table), column=self.quote(column)))

    def count_references(self, reference: Reference) -> int:
        """How many rows point through a foreign key."""
        filled = self.filled(reference.foreign_key.columns)
        return int(self.ask(COUNT_REFERENCES, table=self.relation(reference.table), filled=filled))

    def filled(self, columns: Sequence[str], prefix: str = "") -> str:
        """The condition that none of the columns is NULL."""
        return " AND ".join(f"{prefix}{self.quote(column)} IS NOT NULL" for column in columns)

    @abstractmethod
    def count_lost(self, table: Table, old: Column, new: Column) -> Loss:
        """What the change of type would do to the stored values; nothing where it provably keeps them."""

    @contextmanager
    def limited(self, seconds: float | None) -> Iterator[None]:
        """Raise `TookTooLong` where a query of the block takes longer; here there is no way to stop one."""
        yield

    def typed(self, column: Column, value: str) -> str:
        """A value, as SQL, with the type and collation that it is to have in the column."""
        return value

    # Faults

    def explain(self, error: Error) -> str:
        """The server's own words, in one line, and the statement that it says them of."""
        return " ".join(" ".join([str(error), *getattr(error, "__notes__", ())]).split())

    def advice(self, error: Error) -> str:
        """The way out where the database itself is at fault or in the way, else ""."""
        try:
            return self.way_out(error)
        except Error as another:
            # The first error is the one to tell; the connection may be in no state for questions.
            error.add_note(f"Asked about it, the server said: {another}")
            return ""

    def way_out(self, error: Error) -> str:
        """The same; may ask the server."""
        return ""

    def is_fault(self, error: Error) -> bool:
        """Whether it is the database that fails or is in the way, and not what it was asked."""
        return False

    def is_locked(self, error: Error) -> bool:
        """Whether a lock could not be had."""
        return False

    def is_disturbed(self, error: Error) -> bool:
        """Whether it may come from a run that changed tables while they were read."""
        return False

    def is_forbidden(self, error: Error) -> bool:
        """Whether the database may not be written, by this role or at all."""
        return False

    def failure(self, error: Error, story: str, advice: str) -> AutomigrateError:
        """The error as one of ours: what happened to the run, the server's words, and the way out."""
        words = f"{story}: {self.explain(error)}"
        kind = LockNotAvailable if self.is_locked(error) else ExecutionFailed
        return kind(f"{words}{'' if words.endswith(('.', '?')) else '.'} {advice}" if advice else words)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn faults of the database into errors with the way out; for what changes nothing.

        Errors of connecting, and those that say all by themselves, are left as they are.
        """
        with run_under_way():
            self.await_access()
            try:
                yield
            except Error as error:
                advice = self.advice(error)
                if not advice:
                    raise
                raise self.failure(error, "Nothing was changed", advice) from error


def row_fill(table: Table, column: Column, draw: Callable[[], str], *, everywhere: bool) -> Step:
    """The step that gives each row a value of its own in a column.

    Raises `AutomigrateError` where the table has no primary key.
    """
    key = table.primary_key.columns if table.primary_key else ()
    if not key:
        raise AutomigrateError(
            f"The default of {table.name}.{column.name} is called for each row, and the table has no primary key that "
            f"tells its rows apart. Give it one, or give the rows one value with --default."
        )
    types = {known.name: known.type for known in table.columns}
    fill = RowFill(
        table=table.name,
        column=column.name,
        type=column.type,
        key=key,
        key_types=tuple(types[name] for name in key),
        draw=draw,
        everywhere=everywhere,
    )
    return Step(sql=EACH_ROW.format(table=table.name, column=column.name), table=table.name, fill=fill)


def concerned(changes: Iterable[Change]) -> dict[str, None]:
    """The tables that changes are about, and those at which they let foreign keys point, in order."""
    tables: dict[str, None] = {}
    for change in changes:
        tables[change.table] = None
        if isinstance(change, AddConstraint) and isinstance(change.new, ForeignKey):
            tables[change.new.to_table] = None
    return tables


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


def noun_columns(noun: Constraint | Index | PrimaryKey) -> tuple[str, ...]:
    """The columns that a key, a constraint or an index speaks of."""
    columns: tuple[str, ...] = getattr(noun, "columns", ())
    return columns
