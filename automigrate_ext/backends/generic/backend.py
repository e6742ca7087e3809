"""What Django's introspection and schema editor answer together, for a database that there is no backend for."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace as evolve
from functools import cached_property
from typing import Any

from django.db import models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import split_identifier
from django.db.utils import DatabaseError, Error

from automigrate_ext.backends.base import Dependent, Loss, Reference, Step, Work, noun_columns
from automigrate_ext.backends.generic import hazards, scratch
from automigrate_ext.backends.generic.editor import running, writing_editor, written
from automigrate_ext.backends.generic.guard import Guard
from automigrate_ext.backends.generic.introspection import (
    SCRATCH,
    Catalog,
    Reader,
    Spelling,
    TypeFacts,
    is_scratch,
)
from automigrate_ext.backends.generic.models import model_named
from automigrate_ext.backends.generic.schema import (
    CannotBeDone,
    Compiler,
    Server,
    delete_table,
    drop_tables,
    parts_of,
)
from automigrate_ext.backends.generic.scratch import Declaration, Habits, Probe, nouns
from automigrate_ext.backends.generic.trials import Trials
from automigrate_ext.backends.renamed import RenamedBackend
from automigrate_ext.backends.rows import Rows
from automigrate_ext.declared.blueprint import Blueprint
from automigrate_ext.declared.editor import SchemaEditor
from automigrate_ext.exceptions import ScratchFailed
from automigrate_ext.plan.cost import Remark
from automigrate_ext.schema.changes import (
    AddConstraint,
    AddIndex,
    AlterColumn,
    Change,
    CreateTable,
    RenameColumn,
    RenameConstraint,
    RenameIndex,
    RenameTable,
)
from automigrate_ext.schema.nouns import Column, Constraint, ForeignKey, Index, Schema, Table

#: The changes by which something comes to have a name.
NAMING = (AddConstraint, AddIndex, RenameConstraint, RenameIndex)
COUNT_ALL = "SELECT count(*) FROM {table} asked"
COUNT_VALUES = "SELECT count({column}) FROM {table} asked"


class GenericRows(Rows):
    """Asks the rows in SQL that every server understands."""

    def filled_tables(self, tables: Sequence[str]) -> frozenset[str]:
        """Those of the tables that have a row: one query each, for not every server selects from no table."""
        return frozenset(table for table in tables if self.row(COUNT_ALL.format(table=self.relation(table)))[0])


class GenericBackend(RenamedBackend):
    """Any database, as far as Django's public introspection shows it and its schema editor changes it."""

    frees_names = False

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__(connection)
        self.rows = GenericRows(connection, self.limited, self.is_fault, self.relation)
        self.undoes_ddl = connection.features.can_rollback_ddl
        self.proved = not self.undoes_ddl
        self.prefix = f"{SCRATCH}{secrets.token_hex(2)}_"
        #: What the texts of types stand for, of all tables that were read.
        self.types: dict[str, TypeFacts] = {}
        self.declarations: dict[str, Declaration] = {}
        #: The indexes that belong to foreign keys, by the names of these.
        self.key_indexes: dict[str, tuple[str, ...]] = {}
        self.guard = Guard(connection, self.write)
        self.is_exclusive = False
        self.habits: Habits | None = None
        self.trials = Trials(connection, self.prefix, self.write, self.passing)
        if not self.undoes_ddl:
            self.opening = self.closing = ()

    @property
    def blueprints(self) -> Mapping[str, Blueprint]:
        """The models' tables that were asked about."""
        return {name: declaration.blueprint for name, declaration in self.declarations.items()}

    # Reading

    @cached_property
    def reader(self) -> Reader:
        """What reads the tables."""
        return Reader(self.connection, self.types, self.key_indexes)

    def catalog(self) -> Catalog:
        """The names of what is there."""
        with self.connection.cursor() as cursor:
            return Catalog(self.connection, cursor)

    def introspect(self, names: Collection[str]) -> Schema:
        catalog = self.catalog()
        there = {name: info for name in names if (info := self.find(catalog, name)) is not None}
        known = (*self.declarations, *names, *map(self.renaming.old_table, names))
        spelling = {catalog.fold(name): name for name in known}
        return Schema({name: self.read(name, info, spelling, catalog) for name, info in there.items()})

    def read(self, name: str, info: Any, spelling: Mapping[str, str], catalog: Catalog) -> Table:
        """One table as it is or will be called, with what is not shown of it as the models say it."""
        declaration = self.declarations.get(name)
        with self.connection.cursor() as cursor:
            table = self.reader.read(cursor, self.renaming.old_table(name), info, self.spelled(name))
        keys = (self.respelled(noun, spelling, catalog) for noun in table.constraints)
        table = self.renaming.table(evolve(table, constraints=tuple(keys)))
        return declaration.overlay(table, self.known_habits) if declaration else table

    def respelled(self, noun: Constraint, spelling: Mapping[str, str], catalog: Catalog) -> Constraint:
        """A foreign key with its target as the models spell it."""
        if not isinstance(noun, ForeignKey):
            return noun
        name = spelling.get(catalog.fold(noun.to_table), noun.to_table)
        theirs = self.spelled(self.renaming.new_tables.get(name, name))
        return evolve(noun, to_table=name, to_columns=tuple(map(theirs.of, noun.to_columns)))

    def spelled(self, name: str) -> Spelling:
        """How the model of a table spells what is in it."""
        declaration = self.declarations.get(name)
        return Spelling(self.connection, declaration.names if declaration else {})

    def scratch(self, blueprints: Sequence[Blueprint]) -> Schema:
        for blueprint in blueprints:
            if split_identifier(blueprint.name)[0]:
                raise ScratchFailed(
                    f"The table {blueprint.name} of {blueprint.owner} is named with its schema, which Django's "
                    f"introspection does not find. Let the connection's settings lead to that schema."
                )
        self.prove()
        editor = writing_editor(self.connection)
        self.declarations.update({bp.name: scratch.declaration(editor, bp) for bp in blueprints})
        self.sweep_if_alone()
        probes = list(scratch.probes(editor, blueprints, self.prefix))
        with self.passing():
            for probe in probes:
                self.build(probe)
            self.habits = self.habits or self.see_habits()
            tables = self.answers(probes)
        self.notes = tuple(self.not_compared(tables.values()))
        return Schema(tables)

    @property
    def known_habits(self) -> Habits:
        """What is known of introspection; nothing before a scratch table was made."""
        return self.habits or Habits()

    def see_habits(self) -> Habits:
        """What introspection makes of a table of which everything is known."""
        name = f"{self.prefix}plain"
        self.write(lambda editor: editor.create_model(scratch.typical_model(name)))
        with self.connection.cursor() as cursor:
            info = Catalog(self.connection, cursor).find(name)
            table = self.reader.read(cursor, name, info, self.spelled(name))
        return scratch.habits(table)

    def build(self, probe: Probe) -> None:
        """Make a scratch table. Raises `ScratchFailed` where the database does not accept the model."""
        statements = written(self.connection, lambda editor: editor.create_model(probe.model))
        for sql in statements:
            try:
                self.run_ddl(sql)
            except DatabaseError as error:
                raise ScratchFailed(
                    f"The server does not accept {probe.blueprint.owner}: {error} It was asked for: {sql}"
                ) from error

    def answers(self, probes: Sequence[Probe]) -> dict[str, Table]:
        """What the database made of the scratch tables."""
        catalog, editor, found = self.catalog(), writing_editor(self.connection), {}
        shows_on_delete = any(len(relation) > 2 for relation in self.some_relations(catalog))
        for probe in probes:
            info = catalog.find(probe.name)
            with self.connection.cursor() as cursor:
                answer = self.reader.read(cursor, probe.name, info, self.spelled(probe.blueprint.name))
            declaration = self.declarations[probe.blueprint.name]
            found[probe.blueprint.name] = scratch.decorate(
                probe, answer, declaration, editor, self.known_habits, shows_on_delete=shows_on_delete
            )
        return found

    def some_relations(self, catalog: Catalog) -> Iterator[tuple[Any, ...]]:
        """The foreign keys of the models' tables that are there, as `get_relations` gives them."""
        for name in self.declarations:
            if info := self.find(catalog, name):
                with self.connection.cursor() as cursor:
                    yield from self.connection.introspection.get_relations(cursor, info.name).values()

    def not_compared(self, tables: Collection[Table]) -> Iterator[str]:
        """One note that names all that the models say and introspection does not show."""
        hidden = [words for table in tables for words in self.declarations[table.name].hidden(table)]
        if self.known_habits.numbers_all_keys:
            hidden.append("which keys the database numbers")
        if hidden:
            yield (
                f"Not compared, because Django's introspection of {self.connection.display_name} does not show it: "
                f"{'; '.join(hidden)}."
            )

    def references(self, names: Collection[str]) -> tuple[Reference, ...]:
        catalog = self.catalog()
        inside = {catalog.fold(self.renaming.old_table(name)) for name in names}
        outside = [info.name for key, info in catalog.tables.items() if key not in inside and not is_scratch(info.name)]
        spelling = {catalog.fold(self.renaming.old_table(name)): self.renaming.old_table(name) for name in names}
        return tuple(
            Reference(table=table.name, foreign_key=key)
            for name in outside
            for table in [self.read(self.renaming.new_tables.get(name, name), catalog.find(name), spelling, catalog)]
            for key in table.foreign_keys
            if key.to_table in names
        )

    def dependents(self, names: Collection[str]) -> tuple[Dependent, ...]:
        """None: Django's introspection shows neither triggers nor what a view reads."""
        return ()

    def table_names(self) -> frozenset[str]:
        names = (info.name for info in self.catalog().tables.values() if not is_scratch(info.name))
        return frozenset(self.renaming.new_tables.get(name, name) for name in names)

    def existing(self, names: Collection[str]) -> frozenset[str]:
        catalog = self.catalog()
        return frozenset(name for name in names if catalog.fold(name) in catalog.tables)

    def server_named(self, table: Table, noun: Constraint | Index) -> bool:
        columns = noun_columns(noun)
        if not noun.name or self.known_habits.is_nameless(noun.name):
            return True
        if len(columns) != 1:
            return False
        own = rf"({re.escape(table.name)}_)?{re.escape(columns[0])}(_key|_check|_\d+)?"
        return re.fullmatch(own, noun.name, re.IGNORECASE) is not None

    # Whether changes of tables are undone

    def prove(self) -> None:
        """Find out whether changes of tables are undone, as the backend says: editors exist that commit each."""
        if self.proved:
            return
        connection = self.connection.copy() if self.connection.in_atomic_block else self.connection
        name = f"{self.prefix}undone"
        model = model_named(name, {"id": models.IntegerField(primary_key=True)})
        connection.ensure_connection()
        if connection is not self.connection:
            self.try_apart(connection, model)
        else:
            with transaction.atomic(using=self.connection.alias):
                self.write(lambda editor: editor.create_model(model))
                transaction.set_rollback(True, using=self.connection.alias)
            self.found(self.catalog().find(name) is None)
        if not self.undoes_ddl:
            self.drop(name)

    def try_apart(self, connection: BaseDatabaseWrapper, model: type[models.Model]) -> None:
        """The same by another connection, so that the caller's transaction is not committed."""
        try:
            connection.set_autocommit(False)
            editor = connection.schema_editor()
            for sql in written(connection, lambda writing: writing.create_model(model)):
                editor.execute(sql, None)
            connection.rollback()
            connection.set_autocommit(True)
            with connection.cursor() as cursor:
                self.found(Catalog(connection, cursor).find(model._meta.db_table) is None)
        finally:
            connection.close()

    def found(self, undoes_ddl: bool) -> None:
        self.proved, self.undoes_ddl = True, undoes_ddl
        if not undoes_ddl:
            self.opening = self.closing = ()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """A block whose scratch tables are gone after it."""
        if self.undoes_ddl:
            with transaction.atomic(using=self.connection.alias):
                yield
                transaction.set_rollback(True, using=self.connection.alias)
            return
        self.forbid_transaction()
        try:
            yield
        finally:
            for name in self.catalog().scratch():
                if name.startswith(self.prefix):
                    self.drop(name)

    def drop(self, table: str) -> None:
        """Drop a scratch table."""
        self.write(lambda editor: delete_table(editor, table))

    def sweep_if_alone(self) -> None:
        """Drop what a killed run has left, under the lock of a run, so that no other one still needs it."""
        if self.is_exclusive or self.connection.in_atomic_block:
            return
        if any(not name.startswith(self.prefix) for name in self.catalog().scratch()):
            with self.exclusive():
                pass

    def sweep(self) -> None:
        for name in self.catalog().scratch():
            if not name.startswith(self.prefix):
                self.drop(name)

    # Writing

    def compile(self, work: Work) -> tuple[Step, ...]:
        return tuple(self.compiler(work).steps())

    def compiler(self, work: Work) -> Compiler:
        """What turns the work into statements."""
        server = Server(
            types=self.types,
            renamed=self.renaming,
            keeps_check=self.trials.keeps_check,
            left_indexes=self.left_indexes,
        )
        return Compiler(self.connection, self.blueprints, server, work)

    def left_indexes(self, key: ForeignKey) -> Sequence[str]:
        """The indexes that stay when a foreign key is dropped to which they belong."""
        names = self.key_indexes.get(key.name, ())
        return names if names and self.trials.leaves_index else ()

    def unable(self, change: Change, current: Schema) -> str:
        if isinstance(change, CreateTable):
            return ""
        if isinstance(change, AlterColumn) and change.old.type != change.new.type and not self.widens(change):
            return self.why_not_anew(change, current) or self.why_not_written(change, current)
        if isinstance(change, NAMING) and change.new.named and self.is_keys_name(change, current):
            return hazards.KEYS_NAME.format(name=change.new.name, table=change.table)
        if (
            isinstance(change, RenameColumn)
            and self.is_keyed(change, current)
            and not (self.undoes_ddl or self.trials.renames_keys)
        ):
            return hazards.KEYED.format(database=self.connection.display_name, column=change.new_name)
        return next(filter(None, (self.why_not_written(part, current) for part in parts_of(change))), "")

    def why_not_written(self, change: Change, current: Schema) -> str:
        """Why the schema editor has no statements for a change, "" where it has."""
        desired = Schema({**current.tables, **self.goal_of(change, current)})
        try:
            self.compile(Work(changes=(change,), current=current, desired=desired))
        except CannotBeDone as reason:
            return str(reason)
        return ""

    def is_keys_name(self, change: Any, current: Schema) -> bool:
        """Whether something is to have the name of the primary key: PostgreSQL makes one of a unique one over it."""
        key = current.tables[change.table].primary_key
        return key is not None and bool(key.name) and change.new.name == key.name

    def is_keyed(self, change: RenameColumn, current: Schema) -> bool:
        """Whether a primary or foreign key rests on a column that is renamed."""
        table = current.get(change.table)
        if table is None:
            return False
        keys = (*table.foreign_keys, *((table.primary_key,) if table.primary_key else ()))
        columns = {column for key in keys for column in noun_columns(key)}
        pointing = (key for other in current for key in other.foreign_keys if key.to_table == table.name)
        return change.new_name in columns.union(*(key.to_columns for key in pointing))

    def goal_of(self, change: Change, current: Schema) -> Mapping[str, Table]:
        """The table of a change with the column that it changes as that will be."""
        if isinstance(change, (RenameTable, RenameColumn)):
            return {}
        table = current.tables[change.table]
        if not isinstance(change, AlterColumn):
            return {table.name: table}
        columns = tuple(change.new if column.name == change.new.name else column for column in table.columns)
        return {table.name: evolve(table, columns=columns)}

    def why_not_anew(self, change: AlterColumn, current: Schema) -> str:
        """Why a column of another type cannot take the place of one that holds no values, "" where it can."""
        table, name = current.tables[change.table], change.old.name
        if self.has_values(change.table, name):
            return hazards.NOT_TOLD
        resting = [noun for noun in nouns(table) if noun.named or len(noun_columns(noun)) > 1]
        pointing = [key for other in current for key in other.foreign_keys if key.to_table == change.table]
        columns = {column for noun in resting for column in noun_columns(noun)}
        columns |= set(table.primary_key.columns if table.primary_key else ())
        columns |= {column for key in pointing for column in key.to_columns}
        return hazards.RESTS_ON.format(table=change.table, column=name) if name in columns else ""

    def widens(self, change: AlterColumn) -> bool:
        old, new = self.types.get(change.old.type), self.types.get(change.new.type)
        return old is not None and new is not None and hazards.never_loses(self.connection, old, new)

    def compile_rebuild(
        self, work: Work, references: Sequence[Reference], *, cascade: bool = False
    ) -> tuple[Step, ...]:
        compiler = self.compiler(work)
        steps = list(drop_tables(compiler, list(work.current), references))
        later = list(compiler.create_tables(list(work.desired)))
        steps += sorted(later, key=lambda step: not step.makes_table)
        return tuple(steps)

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        self.prove()
        if self.undoes_ddl:
            with running(self.connection, undoes_ddl=True):
                self.guard.make()
                waited = self.guard.take(self.connection, self.patience)
                with self.marked():
                    yield waited
            return
        self.forbid_transaction()
        self.guard.make()
        with (
            self.guard.held_apart(self.patience) as waited,
            running(self.connection, undoes_ddl=False),
            self.marked(),
        ):
            yield waited

    @contextmanager
    def marked(self) -> Iterator[None]:
        """While the lock is held; what killed runs have left is dropped."""
        self.is_exclusive = True
        try:
            self.sweep()
            yield
        finally:
            self.is_exclusive = False

    def batches(self, steps: Sequence[Step]) -> tuple[tuple[Step, ...], ...]:
        return (tuple(steps),) if self.undoes_ddl else tuple((step,) for step in steps)

    def create_record(self, model: type[models.Model]) -> None:
        self.write(lambda editor: editor.create_model(model))

    def execute_step(self, step: Step) -> None:
        """Execute the statement of a step, by the editor if it is one of its own."""
        if step.sql.startswith("UPDATE"):
            self.execute(step.sql)
        else:
            self.run_ddl(step.sql)

    def run_script(self, text: str) -> None:
        # As the migration operation RunSQL splits it.
        for sql in self.connection.ops.prepare_sql_script(text):
            self.execute(sql)

    def is_in_transaction(self) -> bool:
        return bool(self.connection.in_atomic_block)

    def write(self, write: Callable[[SchemaEditor], None]) -> None:
        """Execute what an editor writes."""
        for sql in written(self.connection, write):
            self.run_ddl(sql)

    def run_ddl(self, sql: str) -> None:
        """Execute a statement of the editor's as the editor does; an error carries the statement as a note."""
        try:
            # There are editors that go to the driver themselves.
            with self.connection.wrap_database_errors:
                self.connection.schema_editor().execute(sql, None)
        except DatabaseError as error:
            error.add_note(f"In: {sql}")
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A transaction, where scratch tables can be made and undone in one."""
        self.prove()
        if not self.undoes_ddl:
            yield
            return
        with super().snapshot():
            yield

    def column_names(self, table: str) -> Sequence[str]:
        info: Any = self.catalog().find(table)
        with self.connection.cursor() as cursor:
            return [row.name for row in self.connection.introspection.get_table_description(cursor, info.name)]

    # Questions to the rows

    def remarks(self, work: Work, filled: Collection[str]) -> tuple[Remark, ...]:
        """None: how the server carries the statements out is not to be told from Django's introspection."""
        return ()

    def has_rows(self, table: str) -> bool:
        return self.count_rows(table) > 0

    def has_values(self, table: str, column: str) -> bool:
        return bool(self.ask(COUNT_VALUES, column=self.quote(column), table=self.relation(table)))

    def count_lost(self, table: Table, old: Column, new: Column) -> Loss:
        """Nothing for a wider type; a change to any other is refused before this is asked."""
        return Loss()

    def is_disturbed(self, error: Error) -> bool:
        """Whether it may be that another run has dropped scratch tables, taking them for those of a killed one."""
        return SCRATCH in str(error).lower()
