"""The statements that change tables, written by Django's schema editor for one change after the other.

The uniqueness, index, check and reference of a field change with its column, in one call of the editor. Statements
that would rebuild a table, and lose what introspection does not show of it, are rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as evolve
from functools import cached_property, partial
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import NOT_PROVIDED, CheckConstraint, Model, Q, UniqueConstraint, Value
from django.db.models import Index as ModelIndex
from django.db.utils import DatabaseError

from automigrate_ext.backends.generic.editor import written
from automigrate_ext.backends.generic.hazards import never_loses
from automigrate_ext.backends.generic.introspection import TypeFacts
from automigrate_ext.backends.generic.models import (
    GivenTypeField,
    altered,
    copied,
    model_named,
    with_parameters,
    without_default,
)
from automigrate_ext.backends.generic.scratch import nouns
from automigrate_ext.backends.naming import generated_names, noun_columns
from automigrate_ext.backends.work import Fill, Reference, Step, Work, row_fill
from automigrate_ext.declared.blueprint import FOREIGN_KEY_SUFFIX, Blueprint, kept_name, statement_name
from automigrate_ext.declared.editor import SchemaEditor
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.schema.changes import (
    AddColumn,
    AddConstraint,
    AddIndex,
    AlterColumn,
    AlterPrimaryKey,
    AlterTable,
    Change,
    CreateTable,
    DropColumn,
    DropConstraint,
    DropIndex,
    DropTable,
    RenameColumn,
    RenameConstraint,
    RenameIndex,
    RenameTable,
)
from automigrate_ext.schema.nouns import Check, Column, Constraint, ForeignKey, Index, Table, Unique
from automigrate_ext.schema.order import in_dependency_order
from automigrate_ext.schema.renaming import Renaming

#: The attributes of a column that change one by one.
ATTRIBUTES = ("type", "null", "default", "generated", "collation", "identity", "comment")
FILL_NULLS = "UPDATE {table} SET {column} = {value} WHERE {column} IS NULL"


class CannotBeDone(AutomigrateError):
    """The editor cannot make a change without losing something that introspection does not show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Facts about the database beyond its tables.

    `types` are the types behind their texts, `renamed` the renames to come. `keeps_check` returns whether the editor
    keeps a column's check when it turns one field into another, and `left_indexes` which indexes of a foreign key stay
    when it is dropped.
    """

    types: Mapping[str, TypeFacts]
    renamed: Renaming
    keeps_check: Callable[[Any, Any], bool]
    left_indexes: Callable[[ForeignKey], Sequence[str]]


class Compiler:
    """Turns changes into statements, by the models of their tables."""

    def __init__(
        self, connection: BaseDatabaseWrapper, blueprints: Mapping[str, Blueprint], server: Server, work: Work
    ) -> None:
        self.connection = connection
        self.blueprints = blueprints
        self.server = server
        self.types = server.types
        self.work = work
        self.done: set[str] = set()

    def quote(self, name: str) -> str:
        """Return the identifier as it is written in SQL."""
        return self.connection.ops.quote_name(name)

    # Order

    def steps(self) -> Iterator[Step]:
        """Yield all statements, in the order in which they run, each once except those of a rename."""
        # For a rename an editor may drop and add a constraint that is to be dropped all the same.
        yield from self.rename()
        for step in self.later_steps():
            if step.updates_rows or step.sql not in self.done:
                self.done.add(step.sql)
                yield step

    def rename(self) -> Iterator[Step]:
        for change in self.work.changes:
            if isinstance(change, (RenameTable, RenameColumn)):
                yield from self.write(change.table, self.renaming(change))

    def later_steps(self) -> Iterator[Step]:
        changes = self.work.changes
        for table, key in self.detached:
            yield from self.drop_constraint(table, key)
        gone = [change for change in changes if isinstance(change, (DropConstraint, RenameConstraint))]
        for change in sorted(gone, key=lambda change: not isinstance(change.old, ForeignKey)):
            yield from self.drop_constraint(change.table, change.old)
        for index in (change for change in changes if isinstance(change, (DropIndex, RenameIndex))):
            yield from self.drop_index(index.table, index.old)
        yield from self.drop_columns([change for change in changes if isinstance(change, DropColumn)])
        yield from drop_tables(self, [change.old for change in changes if isinstance(change, DropTable)], self.left())
        later = list(self.create_tables([change.new for change in changes if isinstance(change, CreateTable)]))
        yield from (step for step in later if step.makes_table)
        yield from self.alter_columns()
        yield from self.add_objects()
        yield from self.attach()
        yield from (step for step in later if not step.makes_table)

    def write(self, table: str, write: Callable[[SchemaEditor], None]) -> Iterator[Step]:
        """Yield what the editor writes about a table that stays. Raises `CannotBeDone` where that is a rebuild."""
        statements = self.written(table, write)
        if not statements:
            raise CannotBeDone(f"the schema editor of {self.connection.display_name} writes nothing that does it")
        dropped = written(self.connection, lambda editor: delete_table(editor, table))
        if set(dropped[:1]) & set(statements) or any("RENAME TO" in sql and "new__" in sql for sql in statements):
            raise CannotBeDone(
                f"the schema editor of {self.connection.display_name} would recreate table {table}, and lose what "
                f"introspection does not show of it"
            )
        yield from (Step(sql=sql, table=table) for sql in statements)

    def written(self, table: str, write: Callable[[SchemaEditor], None]) -> list[str]:
        """Return what the editor writes. Raises `CannotBeDone` where it queries a table that is not renamed yet."""
        try:
            return written(self.connection, write)
        except DatabaseError as error:
            if self.server.renamed.old_table(table) == table:
                raise
            raise CannotBeDone(
                f"the schema editor of {self.connection.display_name} asks the database about {table}, which has "
                f"another name as yet; rename it in a run of its own"
            ) from error

    # Names

    def renaming(self, change: RenameTable | RenameColumn) -> Callable[[SchemaEditor], None]:
        model = model_named(change.table, {})
        if isinstance(change, RenameTable):
            return lambda editor: editor.alter_db_table(model, change.table, change.new_name)
        # For a mere rename the editor needs nothing but the column's names.
        old, new = (bare_field(model, name) for name in (change.old_name, change.new_name))
        return lambda editor: editor.alter_field(model, old, new)

    def model(self, table: str) -> type[Model]:
        """Return the model of a table, or one without fields."""
        known = self.blueprints.get(table)
        return known.model if known else model_named(table, {})

    def field(self, table: str, column: str) -> Any | None:
        """Return the field of a column, None where no model has it."""
        known = self.blueprints.get(table)
        return next((c.field for c in known.columns if c.name == column), None) if known else None

    def given(self, table: str, name: str) -> Any | None:
        """Return the index or constraint to which a model gives this name."""
        opts: Any = self.model(table)._meta
        things = (*opts.indexes, *opts.constraints)
        return next((thing for thing in things if kept_name(self.connection, thing.name) == name), None)

    # Drops

    def drop_constraint(self, table: str, old: Constraint) -> Iterator[Step]:
        model = self.model(table)

        def write(editor: SchemaEditor) -> None:
            if isinstance(old, ForeignKey):
                if not editor.sql_create_fk:
                    raise CannotBeDone(f"{self.connection.display_name} drops no foreign key of a table that stays")
                editor.execute(editor._delete_fk_sql(model, old.name))
            elif isinstance(old, Unique):
                editor.remove_constraint(model, UniqueConstraint(fields=["pk"], name=old.name))
            else:
                editor.remove_constraint(model, CheckConstraint(condition=Q(), name=old.name))

        yield from self.write(table, write)
        if isinstance(old, ForeignKey) and self.loses_key(table, old.columns):
            for name in self.server.left_indexes(old):
                yield from self.drop_index(table, Index(name=name, keys=(), columns=old.columns))

    def loses_key(self, table: str, columns: tuple[str, ...]) -> bool:
        """Return whether columns stay, and are not to be a foreign key any more."""
        wanted = self.work.desired.get(table)
        if wanted is None or any(wanted.column(name) is None for name in columns):
            return False
        return all(key.columns != columns for key in wanted.foreign_keys)

    def drop_index(self, table: str, old: Index) -> Iterator[Step]:
        # An editor may make sure that a foreign key keeps an index; it must not for a key that does not exist.
        rests = any(set(key.columns) & set(old.columns) for key in self.keys_left(table))
        model: Any = self.model(table) if rests else model_named(table, {})
        names = [field.name for field in model._meta.local_fields if field.column in old.columns]
        index = ModelIndex(fields=names or [model._meta.pk.name], name="an_index")
        index.name = old.name
        yield from self.write(table, lambda editor: editor.remove_index(model, index))

    def keys_left(self, table: str) -> list[ForeignKey]:
        """Return the foreign keys of a table that are dropped neither for good nor for a moment."""
        gone = {id(change.old) for change in self.work.changes if isinstance(change, DropConstraint)}
        gone |= {id(key) for _, key in self.detached}
        return [key for key in self.work.current.tables[table].foreign_keys if id(key) not in gone]

    def drop_columns(self, changes: Iterable[DropColumn]) -> Iterator[Step]:
        gone = {id(c.old) for c in self.work.changes if isinstance(c, (DropConstraint, DropIndex))}
        for change in changes:
            for noun in nouns(self.work.current.tables[change.table]):
                if change.old.name in noun_columns(noun) and id(noun) not in gone:
                    gone.add(id(noun))
                    drop: Any = self.drop_index if isinstance(noun, Index) else self.drop_constraint
                    yield from drop(change.table, noun)
            field = self.bare_field(change.table, change.old)
            yield from self.write(change.table, partial(remove_field, model=self.model(change.table), field=field))

    def bare_field(self, table: str, column: Column, **attributes: Any) -> Any:
        """Return a field for a column that no model has."""
        return bare_field(self.model(table), column.name, given_type=self.type_sql(column), **attributes)

    def left(self) -> list[Reference]:
        """Return the foreign keys of tables that stay."""
        dropped = {change.table for change in self.work.changes if isinstance(change, DropTable)}
        gone = {id(change.old) for change in self.work.changes if isinstance(change, DropConstraint)}
        staying = [table for table in self.work.current if table.name not in dropped]
        return [
            Reference(table=table.name, foreign_key=key)
            for table in staying
            for key in table.foreign_keys
            if id(key) not in gone
        ]

    # Additions

    def create_tables(self, tables: Sequence[Table]) -> Iterator[Step]:
        """Yield statements that make tables; those without `makes_table` run once all tables exist."""
        for table in in_dependency_order(tables):
            model = copied(self.blueprints[table.name].model)
            for sql in written(self.connection, partial(create_model, model=model)):
                is_key = sql.startswith("ALTER TABLE") and "FOREIGN KEY" in sql
                yield Step(sql=sql, table=table.name, makes_table=not is_key)

    def alter_columns(self) -> Iterator[Step]:
        """Add and change columns, each with the objects of its field."""
        for change in self.work.changes:
            if isinstance(change, AddColumn):
                yield from self.add_column(change)
            elif isinstance(change, AlterColumn):
                yield from self.alter_column(change)
            elif isinstance(change, AlterPrimaryKey):
                raise CannotBeDone("a primary key is part of its table here")
            elif isinstance(change, AlterTable):
                yield from self.alter_table(change)

    def alter_table(self, change: AlterTable) -> Iterator[Step]:
        model, old, new = self.model(change.table), change.old.comment, change.new.comment
        yield from self.write(change.table, lambda editor: editor.alter_db_table_comment(model, old, new))

    def add_column(self, change: AddColumn) -> Iterator[Step]:
        table, new = change.table, change.new
        model, field = self.model(table), self.field(table, new.name)
        fill = self.work.fills.get((table, new.name))
        if fill is None or new.default is not None or new.generated:
            yield from self.write(table, lambda editor: editor.add_field(model, without_default(field, null=new.null)))
            return
        empty = without_default(field, null=True)
        yield from self.write(table, lambda editor: editor.add_field(model, empty))
        yield from self.fill_in(table, new, fill, everywhere=True)
        if not new.null:
            yield from self.redefine(table, empty, without_default(field))

    def fill_in(self, table: str, column: Column, fill: Fill, *, everywhere: bool) -> Iterator[Step]:
        if fill.draw:
            yield row_fill(self.work.current.tables[table], column, fill.draw, everywhere=everywhere)
            return
        sql = FILL_NULLS.format(table=self.quote(table), column=self.quote(column.name), value=fill.sql)
        yield Step(sql=sql, table=table)

    def alter_column(self, change: AlterColumn) -> Iterator[Step]:
        table, old, new = change.table, change.old, change.new
        field = self.field(table, new.name)
        if field is None:
            before, after = (self.bare_field(table, column, null=column.null) for column in (old, new))
            model = self.model(table)
            yield from self.write(table, lambda editor: editor.alter_field(model, before, after))
            return
        if old.identity != new.identity or bool(old.generated) != bool(new.generated):
            raise CannotBeDone("whether a column is numbered or generated does not change in place everywhere")
        if old.type != new.type and not self.widens(old, new):
            # The column holds no values, or the change would have been refused.
            yield from self.drop_columns([DropColumn(table=table, old=old)])
            yield from self.add_column(AddColumn(table=table, new=new))
            return
        fill = self.work.fills.get((table, new.name)) if old.null and not new.null else None
        if fill and old.type != new.type:
            # The value for rows may be one that the old type does not hold.
            yield from self.retype_alone(table, old, new)
            old = evolve(old, type=new.type)
        if fill:
            yield from self.fill_in(table, new, fill, everywhere=False)
        yield from self.alter_field(table, new.name, old)

    def retype_alone(self, table: str, old: Column, new: Column) -> Iterator[Step]:
        """Change only the type of a column, which still allows NULL."""
        model, field = copied(self.model(table)), self.field(table, new.name)
        before, after = (altered(without_default(field), null=True, model=model, db_constraint=False) for _ in range(2))
        with_parameters(before, type=self.type_sql(old), check=None)
        with_parameters(after, check=None)
        yield from self.write(table, lambda editor: editor.alter_field(model, before, after))

    def type_sql(self, column: Column) -> str:
        """Return the type of a column as it is written in SQL."""
        facts = self.types.get(column.type)
        return (facts.sql(self.connection) if facts else "") or column.type

    def redefine(self, table: str, old: Any, new: Any) -> Iterator[Step]:
        """Let the editor alter a field, and make the column's check again if that loses it."""
        model: Any = new.model
        yield from self.write(table, lambda editor: editor.alter_field(model, old, new))
        wanted = self.work.desired.tables[table].constraints
        is_seen = any(isinstance(noun, Check) and noun.columns == (new.column,) and not noun.named for noun in wanted)
        had_one = old.db_parameters(self.connection)["check"] and new.db_parameters(self.connection)["check"]
        if is_seen and had_one and not self.server.keeps_check(old, new):
            lacking = with_parameters(altered(new), check=None)
            yield from self.write(table, lambda editor: editor.alter_field(model, lacking, new))

    def widens(self, old: Column, new: Column) -> bool:
        facts = (self.types.get(old.type), self.types.get(new.type))
        return facts[0] is not None and facts[1] is not None and never_loses(self.connection, facts[0], facts[1])

    def alter_field(self, table: str, column: str, live: Column | None = None) -> Iterator[Step]:
        """Make a column and the objects of its field equal to the model's field."""
        field = self.field(table, column)
        added = list(self.added(table, column))
        # A model without references to it: the editor would alter these too, whose columns are changes of their own.
        model = copied(self.model(table))
        alone: dict[str, Any] = {"model": model}
        if any(owner == table and column in key.columns for owner, key in self.detached):
            alone["db_constraint"] = False
        if live and (wanted := self.work.desired.tables[table].column(column)):
            alone["null"] = wanted.null
        new = altered(without_default(field), **alone)
        lacking: dict[str, Any] = {}
        if any(isinstance(noun, ForeignKey) for noun in added):
            lacking["db_constraint"] = False
        if any(isinstance(noun, Unique) or (isinstance(noun, Index) and noun.unique) for noun in added):
            yield from self.drop_fields_indexes(table, column)
            lacking |= {"_unique": False, "db_index": False}
        elif any(isinstance(noun, Index) for noun in added):
            yield from self.drop_fields_indexes(table, column)
            lacking["db_index"] = False
        old = self.live_field(table, new, live, lacking) if live else altered(new, **lacking)
        if any(isinstance(noun, Check) for noun in added):
            with_parameters(old, check=None)
        yield from self.redefine(table, old, new)

    def drop_fields_indexes(self, table: str, column: str) -> Iterator[Step]:
        """Drop the indexes that an editor makes along with a field's others, so that it can make them again."""
        gone = {id(change.old) for change in self.work.changes if isinstance(change, (DropIndex, RenameIndex))}
        for index in self.work.current.tables[table].indexes:
            if (
                index.columns == (column,)
                and index.name in self.generated_names(table, index)
                and id(index) not in gone
            ):
                yield from self.drop_index(table, index)

    def generated_names(self, table: str, index: Index) -> frozenset[str]:
        return generated_names(self.connection, self.work.current.tables[table], index)

    @cached_property
    def detached(self) -> list[tuple[str, ForeignKey]]:
        """The foreign keys, by table, that are dropped while columns get another type, and added again."""
        changes = [change for change in self.work.changes if isinstance(change, AlterColumn)]
        retyped = {(change.table, change.new.name) for change in changes if change.old.type != change.new.type}
        gone = {id(change.old) for change in self.work.changes if isinstance(change, (DropConstraint, DropTable))}
        return [
            (table.name, key)
            for table in self.work.current
            for key in table.foreign_keys
            if id(key) not in gone
            and retyped & {(table.name, key.columns[0]), *((key.to_table, name) for name in key.to_columns)}
        ]

    def attach(self) -> Iterator[Step]:
        """Add the foreign keys again that were dropped for a moment."""
        for table, key in self.detached:
            field = self.field(table, key.columns[0])
            if field is None:
                raise CannotBeDone(f"foreign key {key.name} of {table} is in the way, and no model has it")
            yield from self.write(table, partial(create_key, model=self.model(table), field=field))

    def live_field(self, table: str, new: Any, live: Column, lacking: Mapping[str, Any]) -> Any:
        """Return the field as its column is now, with the attributes in `lacking` in place of its own."""
        old = altered(new, null=live.null, **lacking)
        wanted = self.work.desired.tables[table].column(live.name)
        if wanted and wanted.type != live.type:
            with_parameters(old, type=self.type_sql(live))
        if wanted and wanted.collation != live.collation:
            with_parameters(old, collation=live.collation)
        if wanted and wanted.comment != live.comment:
            old.db_comment = live.comment
        if wanted and wanted.default != live.default:
            # The editor sets a default that the old field lacks, and drops one that the new field lacks.
            old.db_default = NOT_PROVIDED if new.has_db_default() else Value(None)
        return old

    def added(self, table: str, column: str) -> Iterator[Constraint | Index]:
        """Yield the constraints and indexes that a plan adds and that belong to the column's field alone."""
        for change in self.work.changes:
            if not isinstance(change, (AddConstraint, AddIndex)) or change.table != table:
                continue
            if is_fields(change.new) and noun_columns(change.new) == (column,):
                yield change.new

    def add_objects(self) -> Iterator[Step]:
        """Add the objects of no field, and those of fields whose columns do not change."""
        settled = {(c.table, c.new.name) for c in self.work.changes if isinstance(c, (AddColumn, AlterColumn))}
        for change in self.work.changes:
            if isinstance(change, (RenameConstraint, RenameIndex)):
                yield from self.add_renamed(change.table, change.new)
            if not isinstance(change, (AddConstraint, AddIndex)):
                continue
            table, new = change.table, change.new
            columns = noun_columns(new)
            if not is_fields(new):
                yield from self.add_given(table, new)
            elif isinstance(new, Check) and len(columns) != 1:
                raise CannotBeDone("Django's introspection does not show which column the check is of")
            elif len(columns) != 1:
                yield from self.add_unique_together(table, columns)
            elif (table, columns[0]) not in settled:
                settled.add((table, columns[0]))
                yield from self.alter_field(table, columns[0])

    def add_given(self, table: str, new: Constraint | Index) -> Iterator[Step]:
        """Add an index or constraint of Meta."""
        thing, model = self.given(table, new.name), self.model(table)
        is_index = isinstance(thing, ModelIndex)
        yield from self.write(
            table, lambda editor: editor.add_index(model, thing) if is_index else editor.add_constraint(model, thing)
        )

    def add_renamed(self, table: str, new: Constraint | Index) -> Iterator[Step]:
        """Add an object again that had another name, given or generated."""
        model: Any = self.model(table)
        columns = noun_columns(new)
        fields = [field for field in model._meta.local_fields if field.column in columns]
        if not is_fields(new):
            yield from self.add_given(table, new)
        elif len(columns) != 1:
            yield from self.add_unique_together(table, columns)
        elif isinstance(new, Index):
            yield from self.write(table, partial(create_index, model=model, field=fields[0], name=new.name))
        elif isinstance(new, ForeignKey):
            yield from self.write(table, partial(create_key, model=model, field=fields[0]))
        elif isinstance(new, Unique):
            unique = UniqueConstraint(fields=[fields[0].name], name=new.name)
            yield from self.write(table, lambda editor: editor.add_constraint(model, unique))
        else:
            old = with_parameters(altered(fields[0]), check=None)
            yield from self.write(table, lambda editor: editor.alter_field(model, old, fields[0]))

    def add_unique_together(self, table: str, columns: tuple[str, ...]) -> Iterator[Step]:
        model: Any = self.model(table)
        for names in model._meta.unique_together:
            if tuple(model._meta.get_field(name).column for name in names) == columns:
                yield from self.write(table, partial(add_unique_together, model=model, names=names))


def bare_field(model: type[Model], column: str, **attributes: Any) -> Any:
    """Return a field of which little more than the name of its column is known."""
    field = GivenTypeField(**attributes)
    field.set_attributes_from_name(column)
    field.model = model
    return field


def parts_of(change: Change) -> Iterator[Change]:
    """Yield the changes that a change consists of: an editor that writes some of them may ignore the rest."""
    if not isinstance(change, AlterColumn):
        yield change
        return
    for name in ATTRIBUTES:
        if getattr(change.old, name) != getattr(change.new, name):
            yield AlterColumn(
                table=change.table, old=change.old, new=evolve(change.old, **{name: getattr(change.new, name)})
            )


def is_fields(noun: Constraint | Index) -> bool:
    """Return whether an object belongs to fields, rather than having a name of its own in Meta."""
    return not noun.named


# What the editor is to write, as functions whose other arguments are bound beforehand.


def create_model(editor: SchemaEditor, model: type[Model]) -> None:
    editor.create_model(model)


def delete_model(editor: SchemaEditor, model: type[Model]) -> None:
    editor.delete_model(model)


def remove_field(editor: SchemaEditor, model: type[Model], field: Any) -> None:
    editor.remove_field(model, field)


def create_key(editor: SchemaEditor, model: type[Model], field: Any) -> None:
    editor.execute(editor._create_fk_sql(model, field, FOREIGN_KEY_SUFFIX))


def create_index(editor: SchemaEditor, model: type[Model], field: Any, name: str) -> None:
    """Create one of the indexes that a field has by itself."""
    for statement in editor._field_indexes_sql(model, field):
        if statement_name(editor.connection, statement) == name:
            editor.execute(statement)


def add_unique_together(editor: SchemaEditor, model: type[Model], names: Sequence[str]) -> None:
    editor.alter_unique_together(model, [], [names])


def delete_table(editor: SchemaEditor, table: str) -> None:
    """Drop a table with the editor."""
    editor.delete_model(model_named(table, {}))


def drop_tables(compiler: Compiler, tables: Sequence[Table], references: Sequence[Reference] = ()) -> Iterator[Step]:
    """Yield steps that drop tables, after the foreign keys that point at them."""
    connection = compiler.connection
    names = {table.name for table in tables}
    pointing = [(reference.table, reference.foreign_key) for reference in references]
    pointing += [(table.name, key) for table in tables for key in table.foreign_keys if key.to_table != table.name]
    for table, key in pointing:
        if key.to_table in names and key.name:
            for sql in written(connection, partial(drop_key, table=table, key=key)):
                yield Step(sql=sql, table=table)
    for old in reversed(in_dependency_order(list(tables))):
        model = compiler.blueprints[old.name].model if old.name in compiler.blueprints else model_named(old.name, {})
        bare = copied(model)
        for sql in written(connection, partial(delete_model, model=bare)):
            yield Step(sql=sql, table=old.name)


def drop_key(editor: SchemaEditor, table: str, key: ForeignKey) -> None:
    """Drop a foreign key, where a statement of its own does that."""
    if editor.sql_create_fk:
        editor.execute(editor._delete_fk_sql(model_named(table, {}), key.name))
