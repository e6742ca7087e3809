"""The backend for any database, on top of Django's introspection and schema editor."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace as evolve
from functools import cached_property
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import split_identifier
from django.db.utils import DatabaseError

from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.generic import hazards, scratch
from automigrate_ext.backends.generic.cost import GenericCost
from automigrate_ext.backends.generic.editor import writing_editor, written
from automigrate_ext.backends.generic.faults import GenericFaults
from automigrate_ext.backends.generic.features import Features
from automigrate_ext.backends.generic.introspection import (
    SCRATCH,
    Catalog,
    Reader,
    Spelling,
    TypeFacts,
    is_scratch,
)
from automigrate_ext.backends.generic.rows import GenericRows
from automigrate_ext.backends.generic.schema import (
    CannotBeDone,
    Compiler,
    Server,
    delete_table,
    drop_tables,
    parts_of,
)
from automigrate_ext.backends.generic.scratch import Declaration, Habits, Probe, nouns
from automigrate_ext.backends.generic.session import GenericSession
from automigrate_ext.backends.naming import noun_columns
from automigrate_ext.backends.work import Dependent, Loss, Reference, Step, Work
from automigrate_ext.declared.blueprint import Blueprint
from automigrate_ext.declared.editor import SchemaEditor
from automigrate_ext.exceptions import ScratchFailed
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

#: The changes that give something a name.
NAMING = (AddConstraint, AddIndex, RenameConstraint, RenameIndex)


class GenericBackend(Backend):
    """Any database, as far as Django's public introspection shows it and its schema editor changes it."""

    faults_class = GenericFaults
    session_class = GenericSession
    rows_class = GenericRows
    cost_class = GenericCost
    session: GenericSession

    frees_names = False

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.set_undoes_ddl(connection.features.can_rollback_ddl)
        super().__init__(connection)
        self.prefix = f"{SCRATCH}{secrets.token_hex(2)}_"
        #: The types behind their texts, of all tables that were read.
        self.types: dict[str, TypeFacts] = {}
        self.declarations: dict[str, Declaration] = {}
        #: The indexes that belong to foreign keys, by the names of the keys.
        self.key_indexes: dict[str, tuple[str, ...]] = {}
        self.habits: Habits | None = None
        self.features = Features(connection, self.prefix, self.write, self.session.passing)

    @property
    def blueprints(self) -> Mapping[str, Blueprint]:
        """The models' tables that were compared so far."""
        return {name: declaration.blueprint for name, declaration in self.declarations.items()}

    # Reading

    @cached_property
    def reader(self) -> Reader:
        """The reader of tables."""
        return Reader(self.connection, self.types, self.key_indexes)

    def catalog(self) -> Catalog:
        """Read the names of the tables."""
        with self.connection.cursor() as cursor:
            return Catalog(self.connection, cursor)

    def introspect(self, names: Collection[str]) -> Schema:
        catalog = self.catalog()
        there = {name: info for name in names if (info := self.session.find(catalog, name)) is not None}
        known = (*self.declarations, *names, *map(self.session.renaming.old_table, names))
        spelling = {catalog.fold(name): name for name in known}
        return Schema({name: self.read(name, info, spelling, catalog) for name, info in there.items()})

    def read(self, name: str, info: Any, spelling: Mapping[str, str], catalog: Catalog) -> Table:
        """Read one table by its name now or to come; properties that are not shown are taken from the model."""
        declaration = self.declarations.get(name)
        with self.connection.cursor() as cursor:
            table = self.reader.read(cursor, self.session.renaming.old_table(name), info, self.spelled(name))
        keys = (self.respelled(noun, spelling, catalog) for noun in table.constraints)
        table = self.session.renaming.table(evolve(table, constraints=tuple(keys)))
        return declaration.overlay(table, self.known_habits) if declaration else table

    def respelled(self, noun: Constraint, spelling: Mapping[str, str], catalog: Catalog) -> Constraint:
        """Return a foreign key with its target as the models spell it."""
        if not isinstance(noun, ForeignKey):
            return noun
        name = spelling.get(catalog.fold(noun.to_table), noun.to_table)
        theirs = self.spelled(self.session.renaming.new_tables.get(name, name))
        return evolve(noun, to_table=name, to_columns=tuple(map(theirs.of, noun.to_columns)))

    def spelled(self, name: str) -> Spelling:
        """Return the spelling of names in the model of a table."""
        declaration = self.declarations.get(name)
        return Spelling(self.connection, declaration.names if declaration else {})

    def scratch(self, blueprints: Sequence[Blueprint]) -> Schema:
        for blueprint in blueprints:
            if split_identifier(blueprint.name)[0]:
                raise ScratchFailed(
                    f"The table {blueprint.name} of {blueprint.owner} is named with its schema, which Django's "
                    f"introspection does not find. Let the connection's settings lead to that schema."
                )
        self.session.prove()
        editor = writing_editor(self.connection)
        self.declarations.update({bp.name: scratch.declaration(editor, bp) for bp in blueprints})
        self.session.sweep_if_alone()
        probes = list(scratch.probes(editor, blueprints, self.prefix))
        with self.session.passing():
            for probe in probes:
                self.build(probe)
            self.habits = self.habits or self.learn_habits()
            tables = self.read_probes(probes)
        self.notes = tuple(self.not_compared(tables.values()))
        return Schema(tables)

    @property
    def known_habits(self) -> Habits:
        """The habits of introspection as far as they are known; none before a scratch table was made."""
        return self.habits or Habits()

    def learn_habits(self) -> Habits:
        """Learn the habits of introspection from a table of which everything is known."""
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

    def read_probes(self, probes: Sequence[Probe]) -> dict[str, Table]:
        """Read the scratch tables, as the models' tables that they stand for."""
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
        """Yield the foreign keys of those of the models' tables that exist, as `get_relations` returns them."""
        for name in self.declarations:
            if info := self.session.find(catalog, name):
                with self.connection.cursor() as cursor:
                    yield from self.connection.introspection.get_relations(cursor, info.name).values()

    def not_compared(self, tables: Collection[Table]) -> Iterator[str]:
        """Yield one note that names all properties of the models which introspection does not show."""
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
        renaming = self.session.renaming
        spelling = {catalog.fold(renaming.old_table(name)): renaming.old_table(name) for name in names}
        tables = catalog.tables.items()
        outside = [info.name for key, info in tables if key not in spelling and not is_scratch(info.name)]
        return tuple(
            Reference(table=table.name, foreign_key=key)
            for name in outside
            for table in [self.read(renaming.new_tables.get(name, name), catalog.find(name), spelling, catalog)]
            for key in table.foreign_keys
            if key.to_table in names
        )

    def dependents(self, names: Collection[str]) -> tuple[Dependent, ...]:
        """Return nothing: Django's introspection shows neither triggers nor the tables that a view reads."""
        return ()

    def table_names(self) -> frozenset[str]:
        names = (info.name for info in self.catalog().tables.values() if not is_scratch(info.name))
        return frozenset(self.session.renaming.new_tables.get(name, name) for name in names)

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

    # Writing

    def compile(self, work: Work) -> tuple[Step, ...]:
        return tuple(self.compiler(work).steps())

    def compiler(self, work: Work) -> Compiler:
        """Return the compiler of the work."""
        server = Server(
            types=self.types,
            renamed=self.session.renaming,
            keeps_check=self.features.keeps_check,
            left_indexes=self.left_indexes,
        )
        return Compiler(self.connection, self.blueprints, server, work)

    def left_indexes(self, key: ForeignKey) -> Sequence[str]:
        """Return the indexes of a foreign key that stay when the key is dropped."""
        names = self.key_indexes.get(key.name, ())
        return names if names and self.features.leaves_index else ()

    def widens(self, old: Column, new: Column) -> bool:
        before, after = self.types.get(old.type), self.types.get(new.type)
        return before is not None and after is not None and hazards.never_loses(self.connection, before, after)

    def unable(self, change: Change, current: Schema) -> str:
        if isinstance(change, CreateTable):
            return ""
        if (
            isinstance(change, AlterColumn)
            and change.old.type != change.new.type
            and not self.widens(change.old, change.new)
        ):
            return self.why_not_anew(change, current) or self.why_not_written(change, current)
        if isinstance(change, NAMING) and change.new.named and self.is_keys_name(change, current):
            return hazards.KEYS_NAME.format(name=change.new.name, table=change.table)
        if (
            isinstance(change, RenameColumn)
            and self.is_keyed(change, current)
            and not (self.undoes_ddl or self.features.renames_keys)
        ):
            return hazards.KEYED.format(database=self.connection.display_name, column=change.new_name)
        return next(filter(None, (self.why_not_written(part, current) for part in parts_of(change))), "")

    def why_not_written(self, change: Change, current: Schema) -> str:
        """Return why the schema editor has no statements for a change, "" where it has."""
        desired = Schema({**current.tables, **self.goal_of(change, current)})
        try:
            self.compile(Work(changes=(change,), current=current, desired=desired))
        except CannotBeDone as reason:
            return str(reason)
        return ""

    def is_keys_name(self, change: Any, current: Schema) -> bool:
        """Return whether something is to have the name of the primary key.

        PostgreSQL makes a unique constraint over the columns of the key the key itself.
        """
        key = current.tables[change.table].primary_key
        return key is not None and bool(key.name) and change.new.name == key.name

    def is_keyed(self, change: RenameColumn, current: Schema) -> bool:
        """Return whether a column that is renamed is part of a primary or foreign key, or of the target of one."""
        table = current.get(change.table)
        if table is None:
            return False
        keys = (*table.foreign_keys, *((table.primary_key,) if table.primary_key else ()))
        columns = {column for key in keys for column in noun_columns(key)}
        pointing = (key for other in current for key in other.foreign_keys if key.to_table == table.name)
        return change.new_name in columns.union(*(key.to_columns for key in pointing))

    def goal_of(self, change: Change, current: Schema) -> Mapping[str, Table]:
        """Return the table of a change, with the changed column as it will be."""
        if isinstance(change, (RenameTable, RenameColumn)):
            return {}
        table = current.tables[change.table]
        if not isinstance(change, AlterColumn):
            return {table.name: table}
        columns = tuple(change.new if column.name == change.new.name else column for column in table.columns)
        return {table.name: evolve(table, columns=columns)}

    def why_not_anew(self, change: AlterColumn, current: Schema) -> str:
        """Return why a column of another type cannot take the place of one that holds no values, "" where it can."""
        table, name = current.tables[change.table], change.old.name
        if self.rows.held([(change.table, name)]):
            return hazards.NOT_TOLD
        resting = [noun for noun in nouns(table) if noun.named or len(noun_columns(noun)) > 1]
        pointing = [key for other in current for key in other.foreign_keys if key.to_table == change.table]
        columns = {column for noun in resting for column in noun_columns(noun)}
        columns |= set(table.primary_key.columns if table.primary_key else ())
        columns |= {column for key in pointing for column in key.to_columns}
        return hazards.RESTS_ON.format(table=change.table, column=name) if name in columns else ""

    def compile_rebuild(
        self, work: Work, references: Sequence[Reference], *, cascade: bool = False
    ) -> tuple[Step, ...]:
        compiler = self.compiler(work)
        steps = list(drop_tables(compiler, list(work.current), references))
        later = list(compiler.create_tables(list(work.desired)))
        steps += sorted(later, key=lambda step: not step.makes_table)
        return tuple(steps)

    # Running

    def exclusive(self) -> AbstractContextManager[bool]:
        return self.session.exclusive()

    def set_undoes_ddl(self, undoes_ddl: bool) -> None:
        """Set whether a transaction undoes changes of tables; only then is a script of a plan one transaction."""
        self.undoes_ddl = undoes_ddl
        if not undoes_ddl:
            self.opening = self.closing = ()

    def create_record(self, model: type[models.Model]) -> None:
        self.write(lambda editor: editor.create_model(model))

    def execute_step(self, step: Step) -> None:
        """Execute the statement of a step, by the editor if the editor wrote it."""
        if step.updates_rows:
            self.session.execute(step.sql)
        else:
            self.run_ddl(step.sql)

    def run_script(self, text: str) -> None:
        # As the migration operation RunSQL splits it.
        for sql in self.connection.ops.prepare_sql_script(text):
            self.session.execute(sql)

    def is_in_transaction(self) -> bool:
        return bool(self.connection.in_atomic_block)

    def write(self, write: Callable[[SchemaEditor], None]) -> None:
        """Execute the statements that an editor writes."""
        for sql in written(self.connection, write):
            self.run_ddl(sql)

    def drop(self, table: str) -> None:
        """Drop a scratch table."""
        self.write(lambda editor: delete_table(editor, table))

    def run_ddl(self, sql: str) -> None:
        """Execute a statement of the editor's the way the editor does; an error carries the statement as a note."""
        try:
            # Some editors use the driver themselves.
            with self.connection.wrap_database_errors:
                self.connection.schema_editor().execute(sql, None)
        except DatabaseError as error:
            error.add_note(f"In: {sql}")
            raise

    # Values

    def count_lost(self, table: Table, old: Column, new: Column) -> Loss:
        """Return no loss: the type is wider, because a change to any other is refused before."""
        return Loss()
