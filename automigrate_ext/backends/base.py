"""What differs between databases: how each is read, what it would make of the models, which SQL changes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace as evolve
from typing import Any, ClassVar

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import split_identifier
from django.db.models import Model

from automigrate_ext.backends.cost import Cost
from automigrate_ext.backends.extensions import Extensions
from automigrate_ext.backends.faults import Faults
from automigrate_ext.backends.filler import Filler
from automigrate_ext.backends.naming import is_generated_name
from automigrate_ext.backends.online import Online
from automigrate_ext.backends.rehearsal import Rehearsal
from automigrate_ext.backends.rows import Rows, Source
from automigrate_ext.backends.session import RunSession
from automigrate_ext.backends.work import Dependent, Loss, Part, Reference, Step, Work, messages
from automigrate_ext.declared.blueprint import Blueprint, draw
from automigrate_ext.declared.editor import collecting_editor
from automigrate_ext.plan.progress import Meter
from automigrate_ext.schema.adopt import TypeRules
from automigrate_ext.schema.changes import Change, RenameSequence
from automigrate_ext.schema.nouns import Column, Constraint, ForeignKey, Index, PrimaryKey, Schema, Table

__all__ = ["Backend", "Loss"]


class Backend(ABC):
    """Everything that differs between databases, for one connection.

    The parts are made from their classes in this order, so that each finds those before it: `faults`, `session`,
    `rows`, `filler`, `extensions`, `cost`, `rehearsal`, `online`.
    """

    faults_class: ClassVar[type[Faults]] = Faults
    session_class: ClassVar[type[RunSession]] = RunSession
    rows_class: ClassVar[type[Rows]] = Rows
    filler_class: ClassVar[type[Filler]] = Filler
    extensions_class: ClassVar[type[Extensions]] = Extensions
    cost_class: ClassVar[type[Cost]] = Cost
    rehearsal_class: ClassVar[type[Rehearsal]] = Rehearsal
    #: What carries out changes while others use the tables; None where nothing does.
    online_class: ClassVar[type[Online] | None] = None

    type_rules = TypeRules()
    #: The first and last lines of a script of a plan's statements, so that a shell runs it all or not at all.
    opening: tuple[str, ...] = ("BEGIN",)
    closing: tuple[str, ...] = ("COMMIT",)
    #: Whether views and triggers stay valid once a table that they read has another name.
    dependents_follow = True
    #: Whether the compiled statements rename whatever has the name of something new, without a change that asks for it.
    frees_names = True
    #: Whether both ends of a foreign key must have the same collation.
    keys_have_one_collation = False
    #: Whether the catalog shows which constraints the rows have not been asked; else the record alone has that.
    shows_unproven = True
    #: Whether a transaction undoes changes of tables; else each statement is a transaction of its own.
    undoes_ddl = True

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        #: Counts what `run` does, while it executes the statements of a plan.
        self.meter = Meter()
        #: Texts that every plan carries besides its changes, such as which properties of models are not compared.
        self.notes: tuple[str, ...] = ()
        #: Names by which the models call tables that have others too, without which the server's are used.
        self.known_names: frozenset[str] = frozenset()
        self.faults = self.faults_class(connection)
        self.session = self.session_class(self)
        self.rows = self.rows_class(self.session)
        self.filler = self.filler_class(self.session, self.rows)
        self.extensions = self.extensions_class(self.session)
        self.cost = self.cost_class(self)
        self.rehearsal = self.rehearsal_class(self)
        self.online = self.online_class(self) if self.online_class else None

    # Reading

    @abstractmethod
    def introspect(self, names: Collection[str]) -> Schema:
        """Read those of the named tables that exist. Raises `ShadowedTable` where a view has the name."""

    def as_spelled(self, current: Schema, declared: Schema) -> Schema:
        """Return tables that were read with the models' spelling of every name that the server does not tell apart.

        By default names that are spelled in two ways are two names.
        """
        return current

    @abstractmethod
    def scratch(self, blueprints: Sequence[Blueprint]) -> Schema:
        """Let the server make the blueprints' tables out of harm's way, and read back what it made of them."""

    def outline(self, blueprints: Sequence[Blueprint]) -> Schema:
        """Describe the blueprints' tables without asking the server: enough to make them, not to compare."""
        return Schema(
            {
                blueprint.name: Table(
                    name=blueprint.name,
                    columns=tuple(
                        Column(name=column.name, type=column.type_sql, null=column.field.null)
                        for column in blueprint.columns
                    ),
                    constraints=blueprint.foreign_keys,
                    owner=blueprint.owner,
                    sql=self.statements(blueprint),
                )
                for blueprint in blueprints
            }
        )

    def statements(self, blueprint: Blueprint) -> tuple[str, ...]:
        """Return the statements that make the table, without its foreign keys where they can be added later."""
        return (blueprint.create, *blueprint.extras, *map(str, blueprint.objects), *blueprint.comments)

    @abstractmethod
    def references(self, names: Collection[str]) -> tuple[Reference, ...]:
        """Return the foreign keys by which tables that are not named point at tables that are."""

    @abstractmethod
    def dependents(self, names: Collection[str]) -> tuple[Dependent, ...]:
        """Return the views, materialised views and hand-made triggers that would be dropped along with the tables."""

    def dependents_of(self, parts: Sequence[Part]) -> Mapping[Part, Sequence[Dependent]]:
        """Return what keeps the server from dropping or converting parts of tables.

        Dependents that belong to tables which are to be dropped too are left out. By default there are none.
        """
        return {}

    def unfit(self, current: Schema, desired: Schema, changes: Sequence[Change]) -> Mapping[Part, Sequence[Dependent]]:
        """Return the columns to be converted with the hand-made parts of their tables that do not fit them afterwards.

        By default there are none: the error of the server undoes the run.
        """
        return {}

    @abstractmethod
    def table_names(self) -> frozenset[str]:
        """Return the names of all tables that the connection sees, as models would name them."""

    def existing(self, names: Collection[str]) -> frozenset[str]:
        """Return those of the tables that exist, however their names are written, in the place of new tables."""
        there = {name.lower() for name in self.table_names()}
        return frozenset(name for name in names if name.lower() in there)

    def reachable(self, names: Collection[str]) -> frozenset[str]:
        """Return those of the tables that exist where a foreign key finds them; by default all that exist."""
        return self.existing(names)

    def usable(self, names: Collection[str]) -> frozenset[str]:
        """Return those of the tables that the models' queries have to go by; by default all that exist.

        Those in another place than new tables are among them, unless the project asks for tables of its own in front.
        """
        return self.existing(names)

    def forbid_hiding(self, names: Collection[str]) -> None:  # noqa: B027 - by default there is one place for tables
        """Raise `AmbiguousSchema` where new tables of these names would hide some that are `usable`."""

    def spoken_for(self, names: Sequence[str], claimed: Collection[str]) -> frozenset[str]:
        """Return those of the names that lead to one of the `claimed` tables, or to that of a name before."""
        return frozenset()

    def name_key(self, table: str) -> str:
        """Return what is the same for all spellings of a table's name that the server does not tell apart."""
        return table

    def part_key(self, name: str) -> str:
        """Return what is the same for all spellings of a column's or constraint's name that are one to the server."""
        return name

    def fits_index(self, table: Table, noun: Constraint | Index | PrimaryKey) -> str:
        """Return the condition, as SQL, that a row's values are short enough for an index; "" where all are."""
        return ""

    def asks_checks_again(self, change: Change) -> bool:
        """Return whether the server asks every check of the table of all rows for a change of something else."""
        return False

    def has_other_names(self, table: str) -> bool:
        """Return whether the server may print the table under another name than that by which the models call it."""
        return bool(split_identifier(table)[0])

    def set_apart(self, names: Collection[str]) -> frozenset[str]:
        """Return those of the names that belong to tables which the server maintains and the package never touches."""
        return frozenset()

    def django_named(self, table: Table, noun: Constraint | Index) -> bool:
        """Return whether the object has a name, hash included, that Django generated for it."""
        return is_generated_name(self.connection, table, noun)

    def server_named(self, table: Table, noun: Constraint | Index) -> bool:
        """Return whether the object has the name that the server gives a column's own constraint."""
        return not noun.name

    # Compiling

    def unable(self, change: Change, current: Schema) -> str:
        """Return why the change cannot be made here, whatever the rows are; "" where it can."""
        return ""

    def columns_over_digits(self, current: Schema, desired: Schema) -> tuple[tuple[str, str], ...]:
        """Return the columns, each after its table, with values of more digits than the desired column is to have.

        Where the types hold the digits, as by default, another number of digits is another type, so there are none.
        """
        return ()

    def widens(self, old: Column, new: Column) -> bool:
        """Return whether code that was made for a column of the old type goes on in the same way with the new type.

        It reads and writes all that it did before, in the same form; the column may hold more besides. By default only
        that is known of integers.
        """
        widths = self.type_rules.widths
        return old.type in widths and widths.get(new.type, -1) >= widths[old.type]

    def optional(self, column: Column) -> Column:
        """Return a column that is to be added, allowing NULL."""
        return evolve(column, null=True, sql="")

    def with_default(self, column: Column, value: str) -> Column | None:
        """Return a column that is to be added with a default of the database, which is SQL; None where it has none.

        By default there is no way to add one that the field of the column does not have.
        """
        return None

    def following_sequences(self, changes: Sequence[Change]) -> tuple[RenameSequence, ...]:
        """Return the renames of sequences that are named after tables and columns which the changes rename."""
        return ()

    @abstractmethod
    def compile(self, work: Work) -> tuple[Step, ...]:
        """Return the statements that carry out the changes, in an order that the server accepts."""

    def taken_off(self, work: Work) -> tuple[tuple[str, ForeignKey], ...]:
        """Return the foreign keys, each with its table, that the statements drop and add again, as they add them."""
        return ()

    def filled_later(self, work: Work) -> tuple[tuple[str, str], ...]:
        """Return the columns that allow NULL, each after its table, and get values after they were added.

        None by default, as for all that undoes a run which does not reach its end.
        """
        return ()

    @abstractmethod
    def compile_rebuild(
        self, work: Work, references: Sequence[Reference], *, cascade: bool = False
    ) -> tuple[Step, ...]:
        """Return the statements that drop the current tables and make the desired ones (`automigrate`).

        With `cascade` the dependents of the tables are dropped along.
        """

    # Running

    @abstractmethod
    def exclusive(self) -> AbstractContextManager[bool]:
        """Keep other runs out by a transaction, which is undone when an exception leaves the block.

        Gives whether there was a wait. Raises `LockNotAvailable` where the lock cannot be had in time.
        """

    def run(self, steps: Sequence[Step]) -> None:
        """Execute the steps."""
        for message in messages(steps, self.session.statements_a_message):
            step, *others = message
            with self.meter.statement(step.table, step.sql, count=len(message)) as begun:
                if others:
                    for _ in self.session.execute_together([step.sql for step in message]):
                        self.meter.count_one()
                elif step.fill:
                    self.filler.fill_rows(step.fill, begun, self.meter)
                else:
                    self.execute_step(step)

    def execute_step(self, step: Step) -> None:
        """Execute the statement of a step."""
        self.session.execute(step.sql)

    @contextmanager
    def metered(self, meter: Meter) -> Iterator[None]:
        """Count what `run` does while the block runs."""
        self.meter = meter
        try:
            yield
        finally:
            self.meter = Meter()

    @abstractmethod
    def run_script(self, text: str) -> None:
        """Execute the statements of a text."""

    @abstractmethod
    def is_in_transaction(self) -> bool:
        """Return whether a transaction is open, according to the driver."""

    def adjust_record(self, model: type[Model]) -> bool:
        """Give the record that an earlier version made the form that it has now; return whether that is another one."""
        return False

    def create_record(self, model: type[Model]) -> None:
        """Make the table in which the package records what it owns."""
        editor = collecting_editor(self.connection)
        self.run([Step(sql=draw(editor, model).create_sql(), table=model._meta.db_table)])

    def discard(self, tables: Schema) -> None:
        """Drop tables with their rows, at which no others point; inside a transaction too."""
        self.run(self.compile_rebuild(Work(changes=(), current=tables, desired=Schema({})), ()))

    # Values

    def quote(self, name: str) -> str:
        """Return the identifier as it is written in SQL."""
        return self.connection.ops.quote_name(name)

    def ask(self, sql: str, **names: str) -> Any:
        """Return the single value of a query."""
        return self.rows.ask(sql, **names)

    @abstractmethod
    def count_lost(self, table: Table, old: Column, new: Column) -> Loss:
        """Count the stored values that the change of type would alter; none where it provably keeps them."""

    def in_table(self, table: str, column: Column) -> Column:
        """Return a column with what it takes from its table, as far as that decides how its values compare."""
        return column

    def why_unfit(self, values: Sequence[tuple[str, Column, str]], source: Source | None = None) -> str:
        """Return the server's message if one of the columns does not take its value, which is SQL; else "".

        With a source, the value is what each of its rows gives. Raises `TookTooLong`. By default only that is asked,
        and whether the server can compute it: no type is tried.
        """
        return self.rows.why_not_computed([value for *_, value in values], source) if source else ""

    def typed(self, column: Column, value: str) -> str:
        """Return a value, as SQL, with the type and collation that it is to have in the column."""
        return value
