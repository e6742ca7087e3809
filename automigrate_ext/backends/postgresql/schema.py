"""The statements that change PostgreSQL tables: one ALTER TABLE for all that happens to a table's columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as evolve
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from typing import TypeVar

from django.db.backends.utils import split_identifier

from automigrate_ext.backends.compiler import ON_UPDATE, BaseCompiler, BaseTableCompiler
from automigrate_ext.backends.postgresql import triggers
from automigrate_ext.backends.postgresql.triggers import Trigger
from automigrate_ext.backends.work import Reference, Step, Work, row_fill
from automigrate_ext.declared.editor import MARK, SchemaEditor
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
    FillColumn,
    RenameColumn,
    RenameConstraint,
    RenameIndex,
    RenameSequence,
    RenameTable,
    ValidateConstraint,
)
from automigrate_ext.schema.nouns import (
    Check,
    Column,
    Constraint,
    Exclusion,
    ForeignKey,
    Index,
    PrimaryKey,
    Schema,
    Table,
    Unique,
)
from automigrate_ext.schema.order import in_dependency_order

# Deferred triggers that wait for their rows forbid an ALTER TABLE; source: PostgreSQL's documentation of
# SET CONSTRAINTS, and CheckTableNotInUse() in tablecmds.c.
CHECK_NOW = "SET CONSTRAINTS ALL IMMEDIATE"
ALTER_TABLE = "ALTER TABLE {table} {clauses}"
DROP_TABLES = "DROP TABLE {tables}{cascade}"
RENAME_CONSTRAINT = "ALTER TABLE {table} RENAME CONSTRAINT {old} TO {new}"
RETABLESPACE = "ALTER TABLE {table} SET TABLESPACE {tablespace}"
FILL_NULLS = "UPDATE {table} SET {column} = {value} WHERE {column} IS NULL"
COPY_COLUMN = "UPDATE {table} SET {new} = {old}"
ALTER_SEQUENCE_TYPE = "ALTER SEQUENCE {sequence} AS {type}"
SET_SCHEMA = "ALTER TABLE {table} SET SCHEMA {schema}"
RENAME_SEQUENCE = "ALTER SEQUENCE {old} RENAME TO {new}"
NOT_VALID = " NOT VALID"
VALIDATE = "VALIDATE CONSTRAINT {name}"
DROP_SEQUENCE = "DROP SEQUENCE IF EXISTS {sequence}"
# is_called = false where no number is positive, so that numbering starts at 1.
RESTART_IDENTITY = (
    "SELECT setval(pg_get_serial_sequence({table}, {column}), greatest(max({quoted}), 1), coalesce(max({quoted}) > 0, "
    "false)) FROM {from_table}"
)
#: The number of locks of a table besides its own and its indexes': its TOAST table and the index of that.
TOAST_LOCKS = 2


N = TypeVar("N", Constraint, Index)
C = TypeVar("C", bound=Constraint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detached:
    """Foreign keys that are in the way of a change: dropped before it (`off`), and added again after it (`back`)."""

    off: tuple[tuple[str, ForeignKey], ...]
    back: tuple[tuple[str, ForeignKey], ...]


def no_triggers(tables: Collection[str]) -> Mapping[str, Sequence[Trigger]]:
    """Return no triggers, as for tables that have none."""
    return {}


class Compiler(BaseCompiler):
    """Turns the changes of one plan into statements."""

    def __init__(
        self,
        editor: SchemaEditor,
        work: Work,
        references: Sequence[Reference] = (),
        first_schema: Callable[[], str] = str,
        fired: Callable[[Collection[str]], Mapping[str, Sequence[Trigger]]] = no_triggers,
    ) -> None:
        super().__init__(editor, work)
        self.fired = fired
        self.references = references
        self.first_schema = first_schema
        self.foreign_keys_later: list[tuple[str, ForeignKey]] = []

    def sibling(self, table: str, name: str) -> str:
        """Return an index's or sequence's name, in the schema that the name of its table has, if any."""
        schema, _ = split_identifier(table)
        return f"{self.quote(schema)}.{self.quote(name)}" if schema else self.quote(name)

    # The whole

    def steps(self) -> Iterator[Step]:
        """Yield all statements, in the order in which they run."""
        detached = self.detach()
        if self.fills_rows():
            yield Step(sql=CHECK_NOW, table="", locks=0)
        yield from self.renamings()
        yield from self.drop_foreign_keys(detached.off)
        yield from self.drop_indexes()
        yield from self.drop_constraints_in_the_way()
        yield from self.rename_others_in_the_way()
        yield from self.rename_objects()
        yield from self.drop_stale_indexes()
        yield from self.drop_tables()
        yield from self.create_tables()
        for table in self.altered_tables:
            yield from self.alter_table(table)
        yield from self.add_indexes()
        yield from self.comments()
        yield from self.add_foreign_keys(detached.back)

    # Names

    def renamings(self) -> Iterator[Step]:
        for change in self.work.changes:
            if isinstance(change, RenameTable):
                yield from self.rename_table(change)
                continue
            if isinstance(change, RenameColumn):
                sql = self.editor.sql_rename_column % {
                    "table": self.quote(change.table),
                    "old_column": self.quote(change.old_name),
                    "new_column": self.quote(change.new_name),
                }
            elif isinstance(change, RenameSequence):
                sql = RENAME_SEQUENCE.format(
                    old=self.sibling(change.table, change.old_name), new=self.quote(change.new_name)
                )
            else:
                continue
            yield Step(sql=sql, table=change.table)

    def rename_table(self, change: RenameTable) -> Iterator[Step]:
        """Rename a table, and move it where the new name has another schema."""
        (old_place, old_name), (place, name) = map(split_identifier, (change.table, change.new_name))
        table = change.table
        if place != old_place:
            place = place or self.first_schema()
            yield Step(sql=SET_SCHEMA.format(table=self.quote(table), schema=self.quote(place)), table=table)
            table = f'"{place}"."{old_name}"'
        if name != old_name:
            names = {"old_table": self.quote(table), "new_table": self.quote(name)}
            yield Step(sql=self.editor.sql_rename_table % names, table=change.table)

    def drop_constraints_in_the_way(self) -> Iterator[Step]:
        """Drop the constraints whose names others are to have, before these are renamed."""
        clauses: defaultdict[str, list[str]] = defaultdict(list)
        for change in self.of(DropConstraint):
            if self.is_in_the_way(change.old):
                clauses[change.table].append(self.drop_clause(change.old.name))
        yield from self.alter_each(clauses)

    def rename_others_in_the_way(self) -> Iterator[Step]:
        """Rename objects that stay, may have any name, and have the name of something new or renamed.

        Primary keys are among them: CREATE TABLE gives them the name of a unique constraint over the same columns.
        Source: transformIndexConstraints() in PostgreSQL's parse_utilcmd.c.
        """
        added = {change.new.name for change in self.of(AddConstraint)} | {c.new.name for c in self.of(AddIndex)}
        wanted = added | self.names_taken
        replaced = {change.table for change in self.of(AlterPrimaryKey)}
        for table in self.work.current if wanted else ():
            key = table.primary_key
            if key and key.name in wanted and table.name not in replaced:
                yield self.rename_constraint(table.name, key.name, self.free_name(table, key.columns, "_pk"))
            staying: tuple[Constraint | Index, ...] = (*table.constraints, *table.indexes)
            for noun in staying:
                if noun.name in wanted and (table.name, noun.name) not in self.moving_names:
                    yield from self.rename_away(table, noun)

    @cached_property
    def moving_names(self) -> frozenset[tuple[str, str]]:
        """The constraints and indexes, by table, that are dropped, renamed or made again."""
        drops: list[DropConstraint | DropIndex] = [*self.of(DropConstraint), *self.of(DropIndex)]
        renames: list[RenameConstraint | RenameIndex] = [*self.of(RenameConstraint), *self.of(RenameIndex)]
        stale = [(table, index.name) for table, index in self.stale_indexes()]
        return frozenset([*((change.table, change.old.name) for change in (*drops, *renames)), *stale])

    def rename_away(self, table: Table, noun: Constraint | Index) -> Iterator[Step]:
        if isinstance(noun, Index):
            new = self.free_name(table, noun.columns, "_away")
            names = {"old_name": self.sibling(table.name, noun.name), "new_name": self.quote(new)}
            yield Step(sql=self.editor.sql_rename_index % names, table=table.name)
        elif isinstance(noun, (Unique, Exclusion)):
            yield self.rename_constraint(table.name, noun.name, self.free_name(table, noun.columns, "_away"))

    def free_name(self, table: Table, columns: Sequence[str], suffix: str) -> str:
        """Return a name of the form that Django generates, with a hash that no other object has."""
        name: str = self.editor._create_index_name(table.name, list(columns), suffix)
        return name

    def rename_constraint(self, table: str, old: str, new: str) -> Step:
        sql = RENAME_CONSTRAINT.format(table=self.quote(table), old=self.quote(old), new=self.quote(new))
        return Step(sql=sql, table=table)

    def is_in_the_way(self, constraint: Constraint) -> bool:
        """Return whether another object is renamed to the constraint's name."""
        return constraint.name in self.names_taken and not isinstance(constraint, ForeignKey)

    @cached_property
    def names_taken(self) -> frozenset[str]:
        """The names to which constraints and indexes are renamed."""
        renamed: list[RenameConstraint | RenameIndex] = [*self.of(RenameConstraint), *self.of(RenameIndex)]
        return frozenset(change.new.name for change in renamed)

    def rename_objects(self) -> Iterator[Step]:
        """Rename constraints and indexes, by way of a third name where one gets another's."""
        changes: list[RenameConstraint | RenameIndex] = [*self.of(RenameConstraint), *self.of(RenameIndex)]
        taken = {change.old.name for change in changes}
        later = []
        for change in changes:
            old, new = change.old.name, change.new.name
            if new in taken:
                between = f"{new[:55]}__moved"
                yield self.rename_object(change, old, between)
                later.append((change, between, new))
            else:
                yield self.rename_object(change, old, new)
        for change, between, new in later:
            yield self.rename_object(change, between, new)

    def rename_object(self, change: RenameConstraint | RenameIndex, old: str, new: str) -> Step:
        if isinstance(change, RenameConstraint):
            return self.rename_constraint(change.table, old, new)
        names = {"old_name": self.sibling(change.table, old), "new_name": self.quote(new)}
        return Step(sql=self.editor.sql_rename_index % names, table=change.table)

    # Foreign keys

    def detach(self) -> Detached:
        """Return the foreign keys that cannot stay while their columns or the keys they point at change."""
        moving = self.moving_columns()
        off: list[tuple[str, ForeignKey]] = []
        back: list[tuple[str, ForeignKey]] = []
        dropped = {(c.table, c.old.name) for c in self.of(DropConstraint)}
        for table in self.work.current:
            for foreign_key in table.foreign_keys:
                if (table.name, foreign_key.name) in dropped or not self.rests_on(table.name, foreign_key, moving):
                    continue
                off.append((table.name, foreign_key))
                if self.work.desired.get(table.name):
                    back.append((table.name, foreign_key))
        for reference in self.references:
            if self.rests_on(reference.table, reference.foreign_key, moving):
                off.append((reference.table, reference.foreign_key))
                back.append((reference.table, reference.foreign_key))
        return Detached(off=tuple(off), back=tuple(back))

    def moving_columns(self) -> set[tuple[str, str]]:
        """Return the columns, by table, whose type changes or whose key is replaced."""
        moving = set(self.moved_columns)
        for change in self.work.changes:
            if isinstance(change, AlterPrimaryKey) and change.old:
                moving.update((change.table, column) for column in change.old.columns)
            elif isinstance(change, DropConstraint) and isinstance(change.old, Unique):
                moving.update((change.table, column) for column in change.old.columns)
        return moving

    def rests_on(self, table: str, foreign_key: ForeignKey, moving: set[tuple[str, str]]) -> bool:
        own = {(table, column) for column in foreign_key.columns}
        target = {(foreign_key.to_table, column) for column in foreign_key.to_columns}
        if table in self.dropped_tables or foreign_key.to_table in self.dropped_tables:
            return table not in self.dropped_tables  # a foreign key that is kept although no model declares it any more
        return bool(own & self.moved_columns or target & moving)

    @cached_property
    def moved_columns(self) -> frozenset[tuple[str, str]]:
        """The columns, by table, that are converted or made again."""
        return frozenset((table, column) for table in self.altered_tables for column in self.moved(table))

    def drop_foreign_keys(self, detached: Iterable[tuple[str, ForeignKey]]) -> Iterator[Step]:
        clauses: defaultdict[str, list[str]] = defaultdict(list)
        for change in self.of(DropConstraint):
            if isinstance(change.old, ForeignKey):
                clauses[change.table].append(self.drop_clause(change.old.name))
        for table, foreign_key in detached:
            clauses[table].append(self.drop_clause(foreign_key.name))
        yield from self.alter_each(clauses)

    def add_foreign_keys(self, detached: Iterable[tuple[str, ForeignKey]]) -> Iterator[Step]:
        clauses: defaultdict[str, list[str]] = defaultdict(list)
        for table, foreign_key in self.foreign_keys_later:
            clauses[table].append(f"ADD {foreign_key.sql}")
        for change in self.of(AddConstraint):
            if isinstance(change.new, ForeignKey):
                clauses[change.table].append(f"ADD {self.new_key_clause(change.table, change.new)}")
        for table, foreign_key in detached:
            clauses[table].append(f"ADD {foreign_key.sql}")
        yield from self.alter_each(clauses)

    def new_key_clause(self, table: str, new: ForeignKey) -> str:
        """Return the clause of a new foreign key, with the action on update of the one that it replaces."""
        action = self.action_on_update(table, new)
        if not action:
            return new.sql
        deferrable = str(self.editor.connection.ops.deferrable_sql()) if new.deferrable else ""
        return f"{new.sql.removesuffix(deferrable)}{ON_UPDATE.format(action=action)}{deferrable}"

    def alter_each(self, clauses: defaultdict[str, list[str]]) -> Iterator[Step]:
        made = {change.table for change in self.of(CreateTable)}
        for table, parts in clauses.items():
            sql = ALTER_TABLE.format(table=self.quote(table), clauses=", ".join(parts))
            yield Step(sql=sql, table=table, makes_table=table in made)

    def drop_clause(self, constraint: str) -> str:
        return f"DROP CONSTRAINT {self.quote(constraint)}"

    # Tables

    def drop_tables(self, *, cascade: bool = False) -> Iterator[Step]:
        dropped = [change.old for change in self.of(DropTable)]
        if dropped:
            yield drop_step(self.quote, dropped, cascade=cascade)

    def create_tables(self) -> Iterator[Step]:
        """Yield steps that create tables, targets of foreign keys first; a key to a later table is added at the end."""
        created = [change.new for change in self.of(CreateTable)]
        self.foreign_keys_later.clear()
        untouched = {table.name for table in self.work.current} - set(self.by_table)
        there = set(untouched)
        for table in in_dependency_order(created):
            there.add(table.name)
            now = [fk for fk in table.foreign_keys if fk.to_table in there]
            self.foreign_keys_later += [(table.name, fk) for fk in table.foreign_keys if fk.to_table not in there]
            yield from create_steps(table, now)

    def alter_table(self, name: str) -> Iterator[Step]:
        """Yield all steps that change the columns and constraints of one table."""
        yield from TableCompiler(self, name).steps()

    def drop_indexes(self) -> Iterator[Step]:
        for change in self.of(DropIndex):
            yield self.drop_index(change.table, change.old)

    def drop_stale_indexes(self) -> Iterator[Step]:
        for table, index in self.stale_indexes():
            yield self.drop_index(table, index)

    def drop_index(self, table: str, index: Index) -> Step:
        return Step(sql=self.editor.sql_delete_index % {"name": self.sibling(table, index.name)}, table=table)

    def add_indexes(self) -> Iterator[Step]:
        for change in self.of(AddIndex):
            yield Step(sql=change.new.sql, table=change.table)
        for table, index in self.stale_indexes():
            yield Step(sql=again(index, self.work.desired.tables[table].indexes).sql, table=table)

    def stale_indexes(self) -> Iterator[tuple[str, Index]]:
        """Yield indexes over columns made again, and declared ones whose text would keep a retyped column's old casts.

        The indexes have the names to which the run renames them.
        """
        touched = {change.old.name for change in self.of(DropIndex)}
        renamed = {change.old.name: change.new.name for change in self.of(RenameIndex)}
        for name in self.altered_tables:
            moved, remade = self.moved(name), self.remade(name)
            for index in self.work.current.tables[name].indexes:
                printed = index.condition or any(key.expression for key in index.keys)
                declared = index in self.work.desired.tables[name].indexes
                stale = remade & set(index.columns) or (printed and declared and moved & set(index.columns))
                if stale and index.name not in touched:
                    yield name, evolve(index, name=renamed.get(index.name, index.name))

    def converted(self, table: str) -> set[str]:
        """Return the columns of the table whose values are converted or computed by another expression."""
        return {
            change.new.name
            for change in self.by_table[table]
            if isinstance(change, AlterColumn) and (change.retypes or change.regenerates)
        }

    def remade(self, table: str) -> set[str]:
        """Return the generated columns of the table that are dropped and made again.

        These are new ones, ones with another expression, and ones that read a column that is converted,
        because PostgreSQL refuses to alter a column that a generated one reads.
        """
        altered = {change.new.name: change for change in self.by_table[table] if isinstance(change, AlterColumn)}
        converted = self.converted(table)
        remade = {name for name, change in altered.items() if change.regenerates and change.new.generated}
        for column in self.work.current.tables[table].columns:
            new = altered[column.name].new if column.name in altered else column
            if column.generated and new.generated and converted & set(column.reads):
                remade.add(column.name)
        dropped = {change.old.name for change in self.by_table[table] if isinstance(change, DropColumn)}
        return remade - dropped

    def moved(self, table: str) -> set[str]:
        """Return the columns of the table that are converted or made again."""
        return self.converted(table) | self.remade(table)

    def comments(self) -> Iterator[Step]:
        for name in self.altered_tables:
            for change in self.by_table[name]:
                if isinstance(change, AlterTable) and change.old.comment != change.new.comment:
                    yield self.comment_table(name, change.new.comment)
            remade = self.remade(name)
            for column in self.work.desired.tables[name].columns:
                old = self.work.current.tables[name].column(column.name)
                comment = old.comment if old and column.name not in remade else ""
                if column.comment != comment:
                    yield self.comment_column(name, column)

    def comment_table(self, table: str, comment: str) -> Step:
        sql = self.editor.sql_alter_table_comment % {
            "table": self.quote(table),
            "comment": self.editor.quote_value(comment) if comment else "NULL",
        }
        return Step(sql=sql, table=table)

    def comment_column(self, table: str, column: Column) -> Step:
        sql = self.editor.sql_alter_column_comment % {
            "table": self.quote(table),
            "column": self.quote(column.name),
            "comment": self.editor.quote_value(column.comment) if column.comment else "NULL",
        }
        return Step(sql=sql, table=table)

    def fills_rows(self) -> bool:
        """Return whether rows are changed before their table is altered, so that deferred triggers may be pending."""
        altered = any((change.table, change.new.name) in self.work.fills for change in self.of(AlterColumn))
        return altered or bool(self.of(FillColumn)) or any(fill.draw for fill in self.work.fills.values())

    @cached_property
    def triggers(self) -> Mapping[str, Sequence[Trigger]]:
        """The triggers and rules, by table, that fire for an UPDATE; asked for where there is one."""
        return self.fired(self.altered_tables)


class TableCompiler(BaseTableCompiler):
    """Turns the changes of one table's columns and constraints into one ALTER TABLE and steps before and after it."""

    def __init__(self, compiler: Compiler, name: str) -> None:
        super().__init__(compiler, name)
        self.compiler = compiler
        self.editor = compiler.editor
        self.moved = compiler.moved(name)
        self.remade = compiler.remade(name)
        self.drops: list[str] = []
        self.drops_first = False
        self.column_drops: list[str] = []
        self.alters: list[str] = []
        self.column_adds: list[str] = []
        self.generated_adds: list[str] = []
        self.adds: list[str] = []

    def step(self, sql: str) -> Step:
        return Step(sql=sql, table=self.name, locks=locks_of(self.current))

    def alter(self, clauses: str) -> Step:
        """Return one ALTER TABLE of this table."""
        return self.step(ALTER_TABLE.format(table=self.quote(self.name), clauses=clauses))

    def steps(self) -> Iterator[Step]:
        self.collect()
        # A constraint is dropped with its column, so it has to go before; a generated column is added after those it
        # reads.
        clauses = [*self.column_drops, *self.alters, *self.column_adds, *self.generated_adds, *self.adds]
        if self.drops_first and self.drops:
            yield self.alter(", ".join(self.drops))
        else:
            clauses = [*self.drops, *clauses]
        yield from self.without_triggers(self.before)
        if clauses:
            yield self.alter(", ".join(clauses))
        yield from self.without_triggers(self.after)

    def without_triggers(self, steps: Sequence[Step]) -> Iterator[Step]:
        """Yield steps; triggers are disabled from the first that updates rows to the last.

        The locks of the first statement are those of all relations, so that no transaction ends between it and the
        last one.
        """
        updates = [number for number, step in enumerate(steps) if step.updates_rows]
        held_back = self.compiler.triggers.get(self.name, ()) if updates else ()
        if not held_back:
            yield from steps
            return
        locks = locks_of(self.current) + len({trigger.relation for trigger in held_back})
        yield from steps[: updates[0]]
        yield from (evolve(self.step(sql), locks=locks) for sql in triggers.disable(held_back))
        yield from steps[updates[0] : updates[-1] + 1]
        yield self.step(CHECK_NOW)
        yield from map(self.step, triggers.enable(held_back))
        rest = steps[updates[-1] + 1 :]
        yield from rest[1:] if rest and rest[0].sql == CHECK_NOW else rest

    def collect(self) -> None:
        """Sort the changes of the table into clauses that drop, alter and add."""
        self.replace_constraints()
        self.replace_generated_columns()
        handlers: dict[type[Change], Callable[..., None]] = {
            AddColumn: self.add_column,
            AlterColumn: self.alter_column,
            DropColumn: self.drop_column,
            AlterPrimaryKey: self.alter_primary_key,
            AddConstraint: self.add_constraint,
            DropConstraint: self.drop_constraint,
            ValidateConstraint: self.validate_constraint,
            FillColumn: self.fill_column,
            AlterTable: self.alter_whole,
        }
        for change in self.changes:
            if handler := handlers.get(type(change)):
                handler(change)
        if any(step.updates_rows for step in (*self.before, *self.after)):
            self.take_off_unproven_checks()

    def take_off_unproven_checks(self) -> None:
        """Take off the checks that are not valid while rows are filled, and put those back that stay.

        The server checks the whole row in an UPDATE, whichever of its columns is filled.
        """
        gone = {change.old.name for change in self.changes if isinstance(change, DropConstraint)}
        proven = {change.old.name for change in self.changes if isinstance(change, ValidateConstraint)}
        off, back = [], []
        for check in self.current.constraints:
            if not isinstance(check, Check) or check.valid or not check.enforced or check.inherited:
                continue
            now = self.under_new_name(check)
            clause = self.compiler.drop_clause(now.name)
            off.append(clause)
            self.drops = [other for other in self.drops if other != clause]
            if check.name in proven:
                # As it is added, the rows are asked.
                self.adds.remove(self.validate_clause(now))
                back.append(self.clause_again(evolve(now, valid=True)))
            elif check.name not in gone:
                again_clause = self.clause_again(now)
                self.adds = [other for other in self.adds if other != again_clause]
                back.append(again_clause)
        if off:
            self.before.insert(0, self.alter(", ".join(off)))
        if back:
            self.after.append(self.alter(", ".join(back)))

    def under_new_name(self, constraint: C) -> C:
        """Return a constraint with the name that it has been given before its table is altered."""
        renamed = {change.old.name: change.new.name for change in self.changes if isinstance(change, RenameConstraint)}
        return evolve(constraint, name=renamed.get(constraint.name, constraint.name))

    def clause_again(self, constraint: Constraint) -> str:
        """Return the clause that adds a constraint again which has been dropped."""
        return f"ADD {keep_name(again(constraint, self.desired.constraints), constraint, self.quote)}"

    def replace_constraints(self) -> None:
        """Drop and add again constraints over columns made again, and checks over retyped ones.

        PostgreSQL would keep the old casts in the latter.
        """
        dropped = {change.old.name for change in self.changes if isinstance(change, DropConstraint)}
        for constraint in self.current.constraints:
            if constraint.name in dropped or not self.is_stale(constraint):
                continue
            now = self.under_new_name(constraint)
            self.drops.append(self.compiler.drop_clause(now.name))
            self.adds.append(self.clause_again(now))

    def is_stale(self, constraint: Constraint) -> bool:
        if isinstance(constraint, (Check, Exclusion)):
            return bool(self.moved & set(constraint.columns))
        return isinstance(constraint, Unique) and bool(self.remade & {*constraint.columns, *constraint.include})

    def replace_generated_columns(self) -> None:
        """Drop and add again the generated columns that are made again."""
        for name in (column.name for column in self.desired.columns if column.name in self.remade):
            new = self.desired.column(name)
            assert new
            self.column_drops.insert(0, f"DROP COLUMN {self.quote(name)}")
            self.generated_adds.append(self.add_clause(new))

    def fill_column(self, change: FillColumn) -> None:
        """Give the rows of a column that allows NULL the values that they still lack."""
        new, fill = change.new, self.fill(change.new)
        if fill and fill.draw:
            self.before.append(row_fill(self.current, new, fill.draw, everywhere=False))
        elif value := fill.sql if fill else new.default_sql or new.default:
            names = {"table": self.quote(self.name), "column": self.quote(new.name)}
            self.before.append(self.step(FILL_NULLS.format(**names, value=value)))
        if self.before:
            self.before.append(self.step(CHECK_NOW))

    def add_clause(self, column: Column, suffix: str = "") -> str:
        definition = column.sql or generated_definition(column)
        return f"ADD COLUMN {self.quote(column.name)} {definition}{suffix}"

    def add_column(self, change: AddColumn) -> None:
        fill = self.fill(change.new)
        if fill is None:
            adds = self.generated_adds if change.new.generated else self.column_adds
            adds.append(self.add_clause(change.new))
        elif fill.draw:
            self.add_column_and_draw(change.new, fill.draw)
        else:
            self.column_adds.append(self.add_clause(change.new, f" DEFAULT {fill.sql}"))
            clause = self.editor.sql_alter_column_no_default % {"column": self.quote(change.new.name)}
            self.after.append(self.alter(clause))

    def add_column_and_draw(self, new: Column, draw: Callable[[], str]) -> None:
        """Add a column without values, which costs nothing, give each row its own, and complete the definition."""
        empty = evolve(new, null=True, default=None, identity=None, default_sql=None)
        self.before.append(self.alter(f"ADD COLUMN {self.quote(new.name)} {bare_definition(new, self.quote)}"))
        self.before += [row_fill(self.current, new, draw, everywhere=True), self.step(CHECK_NOW)]
        self.alter_default_and_identity(AlterColumn(table=self.name, old=empty, new=new), before_type=False)
        if not new.null:
            self.alters.append(self.editor.sql_alter_column_not_null % {"column": self.quote(new.name)})

    def drop_column(self, change: DropColumn) -> None:
        clause = f"DROP COLUMN {self.quote(change.old.name)}"
        if change.old.generated:
            self.column_drops.insert(0, clause)
        else:
            self.column_drops.append(clause)

    def alter_whole(self, change: AlterTable) -> None:
        if change.old.tablespace != change.new.tablespace:
            tablespace = self.quote(change.new.tablespace or "pg_default")
            self.after.append(self.step(RETABLESPACE.format(table=self.quote(self.name), tablespace=tablespace)))

    def alter_primary_key(self, change: AlterPrimaryKey) -> None:
        if change.old:
            self.drops.append(self.compiler.drop_clause(change.old.name))
        if change.new:
            self.adds.append(f"ADD {primary_key_clause(self.editor, change.new)}")

    def add_constraint(self, change: AddConstraint) -> None:
        if not isinstance(change.new, ForeignKey):
            self.adds.append(f"ADD {change.new.sql}")

    def drop_constraint(self, change: DropConstraint) -> None:
        if not isinstance(change.old, ForeignKey) and not self.compiler.is_in_the_way(change.old):
            self.drops.append(self.compiler.drop_clause(change.old.name))

    def validate_constraint(self, change: ValidateConstraint) -> None:
        self.adds.append(self.validate_clause(self.under_new_name(change.old)))

    def validate_clause(self, constraint: Constraint) -> str:
        """Return the clause that asks a constraint of the rows that were there before it."""
        return VALIDATE.format(name=self.quote(constraint.name))

    def alter_column(self, change: AlterColumn) -> None:
        old, new = change.old, change.new
        if old.generated and not new.generated:
            self.degenerate(change)
        elif new.name not in self.remade:
            self.alter_default_and_identity(change, before_type=True)
            if change.retypes:
                self.alters.append(self.retype(change))
            self.alter_default_and_identity(change, before_type=False)
            self.alter_null(change)

    def degenerate(self, change: AlterColumn) -> None:
        """Turn a generated column into a plain one that keeps the computed values."""
        old, new = change.old, change.new
        assert old.generated
        if old.generated.stored:
            self.before.append(self.alter(f"ALTER COLUMN {self.quote(old.name)} DROP EXPRESSION"))
            self.alter_column(AlterColumn(table=self.name, old=evolve(old, generated=None), new=new))
            return
        self.drops_first = True
        computed = f"{old.name[:50]}__computed"
        table, name = self.quote(self.name), self.quote(old.name)
        self.before.append(self.alter(f"RENAME COLUMN {name} TO {self.quote(computed)}"))
        self.before.append(self.alter(f"ADD COLUMN {name} {old.type}"))
        self.before.append(self.step(COPY_COLUMN.format(table=table, new=name, old=self.quote(computed))))
        self.before.append(self.alter(f"DROP COLUMN {self.quote(computed)}"))
        plain = evolve(old, generated=None, null=True, collation=None)
        self.alter_column(AlterColumn(table=self.name, old=plain, new=new))

    def retype(self, change: AlterColumn) -> str:
        new = change.new
        column = self.quote(new.name)
        sql: str = self.editor.sql_alter_column_type % {
            "column": column,
            "type": new.type,
            "collation": f" COLLATE {self.quote(new.collation)}" if new.collation else "",
        }
        if change.old.type == new.type:
            return sql
        return f"{sql} USING {self.converted_value(new)}"

    def converted_value(self, new: Column) -> str:
        """Return the value of a column of another type, as SQL, with that of rows which have none."""
        value = self.cast_value(new)
        fill = self.fill(new)
        return f"coalesce({value}, {fill.sql})" if fill and fill.sql else value

    def cast_value(self, new: Column) -> str:
        """Return the value of a column of another type, as SQL."""
        return self.compiler.work.casts.get((self.name, new.name), f"{self.quote(new.name)}::{new.type}")

    def alter_null(self, change: AlterColumn) -> None:
        old, new = change.old, change.new
        if (old.null, old.forbids_new_nulls) == (new.null, new.forbids_new_nulls):
            return
        fill = self.fill(new)
        if old.forbids_new_nulls and fill:
            # An UPDATE of a row checks the whole row, whichever of its columns is filled first.
            allow = self.editor.sql_alter_column_null % {"column": self.quote(new.name)}
            self.before.insert(0, self.alter(allow))
        template = self.editor.sql_alter_column_null if new.null else self.editor.sql_alter_column_not_null
        clause: str = template % {"column": self.quote(new.name)}
        if fill and fill.draw and not new.null:
            self.after += [row_fill(self.current, new, fill.draw, everywhere=False), self.step(CHECK_NOW)]
            self.after.append(self.alter(clause))
            return
        if not new.null and fill and old.type == new.type:
            sql = FILL_NULLS.format(table=self.quote(self.name), column=self.quote(new.name), value=fill.sql)
            self.before += [self.step(sql), self.step(CHECK_NOW)]
        self.alters.append(clause)

    def alter_default_and_identity(self, change: AlterColumn, *, before_type: bool) -> None:
        """Drop the old default before the type changes, and set the new one after it."""
        old, new = change.old, change.new
        column = {"column": self.quote(new.name)}
        if before_type:
            if old.default is not None and (old.default != new.default or (change.retypes and new.default_sql)):
                self.alters.append(self.editor.sql_alter_column_no_default % column)
            if old.identity and not new.identity:
                self.remove_identity(old)
            return
        if new.default is not None and (old.default != new.default or (change.retypes and new.default_sql)):
            default = new.default_sql or new.default
            self.alters.append(self.editor.sql_alter_column_default % {**column, "default": default})
        if new.identity and not old.identity:
            self.add_identity(new)
        elif new.identity and old.identity and old.identity != new.identity:
            self.alters.append(f"ALTER COLUMN {column['column']} SET GENERATED {new.identity.upper()}")
        if old.sequence and new.identity and old.type != new.type:
            self.after.append(self.step(ALTER_SEQUENCE_TYPE.format(sequence=old.sequence, type=new.type)))

    def remove_identity(self, old: Column) -> None:
        """Stop the server from numbering a column; its type cannot change in the same statement."""
        column = self.quote(old.name)
        what = "DROP DEFAULT" if old.sequence else "DROP IDENTITY"
        self.before.append(self.alter(f"ALTER COLUMN {column} {what}"))
        if old.sequence:
            self.before.append(self.step(DROP_SEQUENCE.format(sequence=old.sequence)))

    def add_identity(self, new: Column) -> None:
        """Let the server number a column; numbering starts after the present values.

        ADD IDENTITY requires NOT NULL, which PostgreSQL sets in a later pass of the same statement.
        """
        assert new.identity
        column = self.quote(new.name)
        quoted_table = self.quote(self.name)
        self.after.append(self.alter(f"ALTER COLUMN {column} ADD GENERATED {new.identity.upper()} AS IDENTITY"))
        sql = RESTART_IDENTITY.format(
            table=self.editor.quote_value(quoted_table),
            column=self.editor.quote_value(new.name),
            quoted=column,
            from_table=quoted_table,
        )
        self.after.append(self.step(sql))


def again(noun: N, desired: Iterable[N]) -> N:
    """Return the object to make again: as the models declare it if they do, with the same name if possible."""
    equal = [new for new in desired if new == noun and new.sql]
    return next((new for new in equal if new.name == noun.name), equal[0] if equal else noun)


def keep_name(again: Constraint, constraint: Constraint, quote: Callable[[str], str]) -> str:
    """Return the clause of a constraint that is added again, under the name it had, and not valid if it was not."""
    not_valid = "" if again.valid == constraint.valid else NOT_VALID
    if again.sql.startswith("CONSTRAINT "):
        return again.sql + not_valid
    return f"CONSTRAINT {quote(constraint.name)} {again.sql}{not_valid}"


def bare_definition(column: Column, quote: Callable[[str], str]) -> str:
    """Return the definition of a column that allows NULL and has nothing but its type and collation."""
    return f"{column.type} COLLATE {quote(column.collation)}" if column.collation else column.type


def generated_definition(column: Column) -> str:
    """Return the definition of a generated column that no model declares."""
    assert column.generated
    persistence = "STORED" if column.generated.stored else "VIRTUAL"
    return f"{column.type} GENERATED ALWAYS AS ({column.generated.expression}) {persistence}"


def primary_key_clause(editor: SchemaEditor, key: PrimaryKey) -> str:
    """Return the clause that makes a primary key."""
    clause: str = editor.sql_pk_constraint % {"columns": ", ".join(map(editor.quote_name, key.columns))}
    return f"{clause} USING INDEX TABLESPACE {editor.quote_name(key.tablespace)}" if key.tablespace else clause


def create_steps(table: Table, foreign_keys: Sequence[ForeignKey]) -> Iterator[Step]:
    """Yield the statements that make a new table, with these foreign keys in it."""
    create, *rest = table.sql
    clauses = "".join(f", {foreign_key.sql}" for foreign_key in foreign_keys)
    indexes = len(table.indexes) + sum(isinstance(c, Unique) for c in table.constraints) + 1
    yield Step(sql=create.replace(MARK, clauses), table=table.name, locks=1 + TOAST_LOCKS + indexes, makes_table=True)
    for sql in rest:
        yield Step(sql=sql, table=table.name, locks=0, makes_table=True)


def locks_of(table: Table) -> int:
    """Return the number of locks of a transaction that makes or drops the table."""
    keys = sum(isinstance(constraint, Unique) for constraint in table.constraints) + 1
    sequences = sum(column.identity is not None for column in table.columns)
    return 1 + TOAST_LOCKS + keys + sequences + len(table.indexes) + len(table.foreign_keys)


def drop_step(quote: Callable[[str], str], tables: Sequence[Table], *, cascade: bool) -> Step:
    """Return one DROP TABLE, so that the tables may refer to each other."""
    names = ", ".join(quote(table.name) for table in tables)
    return Step(
        sql=DROP_TABLES.format(tables=names, cascade=" CASCADE" if cascade else ""),
        table=tables[0].name if len(tables) == 1 else "",
        locks=sum(map(locks_of, tables)),
    )


def compile_rebuild(
    editor: SchemaEditor,
    current: Schema,
    desired: Schema,
    references: Sequence[Reference],
    *,
    cascade: bool,
    group: int,
) -> Iterator[Step]:
    """Yield the statements of `automigrate`: drop the tables, create them again, add outside references again.

    Tables are dropped `group` at a time, those that refer to others first; references that would cross
    the groups are dropped before.
    """
    quote = editor.quote_name
    old = list(reversed(in_dependency_order(list(current))))
    groups = [old[start : start + group] for start in range(0, len(old), group)]
    where = {table.name: number for number, tables in enumerate(groups) for table in tables}
    for reference in references:
        yield drop_foreign_key(quote, reference.table, reference.foreign_key)
    for table in old:
        for foreign_key in table.foreign_keys:
            if where.get(foreign_key.to_table, len(groups)) < where[table.name]:
                yield drop_foreign_key(quote, table.name, foreign_key)
    for tables in groups:
        yield drop_step(quote, tables, cascade=cascade)
    there: set[str] = set()
    later: list[tuple[str, ForeignKey]] = []
    mine = {table.name for table in desired}
    for table in in_dependency_order(list(desired)):
        there.add(table.name)
        now = [fk for fk in table.foreign_keys if fk.to_table in there or fk.to_table not in mine]
        later += [(table.name, fk) for fk in table.foreign_keys if fk not in now]
        yield from create_steps(table, now)
    for name, keys in groupby(later, key=itemgetter(0)):
        clauses = [f"ADD {key.sql}" for _, key in keys]
        sql = ALTER_TABLE.format(table=quote(name), clauses=", ".join(clauses))
        yield Step(sql=sql, table=name, locks=1 + len(clauses), makes_table=True)
    for reference in references:
        if reference.foreign_key.to_table in mine:
            yield add_foreign_key(quote, reference.table, reference.foreign_key)


def drop_foreign_key(quote: Callable[[str], str], table: str, foreign_key: ForeignKey) -> Step:
    clauses = f"DROP CONSTRAINT {quote(foreign_key.name)}"
    return Step(sql=ALTER_TABLE.format(table=quote(table), clauses=clauses), table=table, locks=2)


def add_foreign_key(quote: Callable[[str], str], table: str, foreign_key: ForeignKey) -> Step:
    return Step(sql=ALTER_TABLE.format(table=quote(table), clauses=f"ADD {foreign_key.sql}"), table=table, locks=2)
