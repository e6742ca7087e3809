"""The statements that change tables of MariaDB and MySQL: one ALTER TABLE for all that happens to a table.

Each statement is committed by itself, so the next run can continue from every state between two of them: a half-done
table differs from the models in the rest of the work, and in nothing else.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from dataclasses import replace as evolve
from functools import cached_property
from itertools import groupby
from operator import itemgetter

from automigrate_ext.backends.compiler import ON_UPDATE, BaseCompiler, BaseTableCompiler
from automigrate_ext.backends.filler import KEPT
from automigrate_ext.backends.mysql import check_names, fixed_names
from automigrate_ext.backends.mysql.parser import COMPRESSED, COMPRESSIBLE, text_literal
from automigrate_ext.backends.mysql.renaming import DefinitionRenaming, foreign_key_clause
from automigrate_ext.backends.mysql.server import Server
from automigrate_ext.backends.naming import noun_columns
from automigrate_ext.backends.work import Fill, Step, Work, row_fill
from automigrate_ext.declared.editor import MARK, SchemaEditor
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
    FillColumn,
    RenameColumn,
    RenameConstraint,
    RenameIndex,
    RenameTable,
    ValidateConstraint,
)
from automigrate_ext.schema.nouns import Check, Column, Constraint, ForeignKey, Index, IndexKey, Table, Unique
from automigrate_ext.schema.order import in_dependency_order

ALTER_TABLE = "ALTER TABLE {table} {clauses}"
DROP_TABLE = "DROP TABLE {table}"
RENAME_TABLES = "RENAME TABLE {pairs}"
FILL_NULLS = "UPDATE {table} SET {column} = {value}{kept} WHERE {column} IS NULL"
COPY_COLUMN = "UPDATE {table} SET {new} = {old}{kept}"
DROP_DEFAULT = "ALTER COLUMN {column} DROP DEFAULT"
# A column without any default, not even NULL, has to be named in each INSERT to MySQL:
# https://dev.mysql.com/doc/refman/8.4/en/data-type-defaults.html
NULL_DEFAULT = "ALTER COLUMN {column} SET DEFAULT NULL"
# Tables may then be dropped whatever points at them; the foreign keys of other tables stay, and are enforced again once
# there is a table of that name. Source: https://mariadb.com/kb/en/foreign-keys/
UNCHECKED, CHECKED = "SET foreign_key_checks = 0", "SET foreign_key_checks = 1"
AWAIT_WRITERS, UNLOCK_TABLES = "LOCK TABLES {table} READ", "UNLOCK TABLES"
# The subquery of one column gives two rows, which is the server's error 1242, where a row points at none.
PROVE = """SET @automigrate_ext_proof = (
    SELECT two.n FROM (SELECT 1 AS n UNION ALL SELECT 2) AS two WHERE EXISTS (
        SELECT 1 FROM {table} AS child WHERE {filled} AND NOT EXISTS (SELECT 1 FROM {target} AS parent WHERE {joined})
    )
)"""

# The part of a text that is too long, which the server does not cut off by itself in strict mode.
CUT = "LEFT({column}, {length})"
CUT_VALUES = "UPDATE {table} SET {column} = {value}{kept} WHERE CHAR_LENGTH({column}) > {length}"
# A UUID as Django writes it where the server has no type for it: its digits alone.
BARE = "REPLACE(LOWER({column}), '-', '')"
BARE_VALUES = "UPDATE {table} SET {column} = {value}{kept} WHERE NOT (BINARY {column} <=> BINARY {value})"
SHORT_TEXT = re.compile(r"^(?:var)?char\((\d+)\)$")
#: The value of a column without values, between types that the server cannot convert.
NOTHING = "NULL"

#: The name under which a column's values are kept while it becomes a plain one.
COMPUTED = "{column}__automigrate_ext"
LONGEST_NAME = 64


def define(column: Column, checks: Iterable[str] = (), *, default: str | None = None) -> str:
    """Return the definition of a column in full: MODIFY drops the properties that it does not repeat.

    `default` is used instead of the column's own, `checks` are the expressions of its own checks.
    """
    compression, extra = attributes(column)
    words = [column.type, *compression]
    if column.collation:
        words.append(f"COLLATE {column.collation}")
    if column.generated:
        kind = "STORED" if column.generated.stored else "VIRTUAL"
        words.append(f"GENERATED ALWAYS AS ({column.generated.expression}) {kind}")
        words += [] if column.null else ["NOT NULL"]
    else:
        words.append("NULL" if column.null else "NOT NULL")
    value = default if default is not None else column.default
    words += [f"DEFAULT {value}"] if value is not None else []
    words += [extra] if extra else []
    words += ["AUTO_INCREMENT"] if column.identity else []
    words += [f"COMMENT {text_literal(column.comment)}"] if column.comment else []
    words += [f"CHECK ({check})" for check in checks]
    return " ".join(words)


def attributes(column: Column) -> tuple[list[str], str]:
    """Return the attributes that models do not have: those that belong to the type, where it has them, and others."""
    compression = COMPRESSED.findall(column.extra) if COMPRESSIBLE.match(column.type) else []
    return compression, COMPRESSED.sub("", column.extra).strip()


def is_cut(column: Column) -> bool:
    """Return whether a column holds texts up to a length."""
    return SHORT_TEXT.match(column.type) is not None


def cut(sql: str, column: Column) -> str:
    """Return a text cut off where the column ends."""
    found = SHORT_TEXT.match(column.type)
    assert found
    return CUT.format(column=sql, length=found[1])


def bare(sql: str) -> str:
    """Return the digits of a UUID that is written in any way."""
    return BARE.format(column=sql)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Facts about the tables that only the server has, and the ways of that.

    `own_indexes` are the indexes that belong to foreign keys, by table and by the key's name, `versioned` the tables
    whose rows have a history.
    """

    server: Server
    own_indexes: Mapping[str, Mapping[str, str]]
    versioned: Set[str] = frozenset()


class Compiler(BaseCompiler):
    """Turns the changes of one plan into statements."""

    def __init__(self, editor: SchemaEditor, work: Work, neighbours: Neighbours) -> None:
        #: The changes by which checks lose names that other tables get.
        self.moved = check_names.moved(work) if neighbours.server.checks_share_names else []
        super().__init__(editor, check_names.without(work, self.moved) if self.moved else work)
        self.neighbours = neighbours
        self.server = neighbours.server

    def names(self, columns: Iterable[str]) -> str:
        """Return columns as a list in SQL."""
        return ", ".join(map(self.quote, columns))

    def steps(self) -> Iterator[Step]:
        """Yield all statements, in the order in which they run."""
        yield from self.renamings()
        yield from self.drop_foreign_keys()
        yield from self.drop_tables()
        for change in self.moved:
            yield self.alter(change.table, [f"DROP CONSTRAINT {self.quote(change.old.name)}"])
        later: list[tuple[str, ForeignKey]] = []
        yield from self.create_tables(later)
        for name in self.altered_tables:
            yield from self.alter_table(name)
        yield from self.add_foreign_keys(later)
        for validated in self.of(ValidateConstraint):
            if isinstance(validated.old, ForeignKey):
                yield from self.prove_key(validated.table, validated.old)

    def alter_table(self, name: str) -> Iterator[Step]:
        """Yield the statements that change the columns, constraints and indexes of one table."""
        yield from TableCompiler(self, name).steps()

    def alter(self, table: str, clauses: Iterable[str], at_stake: Iterable[Change] = ()) -> Step:
        """Return one ALTER TABLE."""
        return Step(
            sql=ALTER_TABLE.format(table=self.quote(table), clauses=", ".join(clauses)),
            table=table,
            at_stake=() if self.work.may_lose else tuple(at_stake),
        )

    # Names

    def renamings(self) -> Iterator[Step]:
        """Yield one statement for all tables, and one for the columns of each."""
        tables = self.of(RenameTable)
        if tables:
            pairs = (f"{self.quote(change.table)} TO {self.quote(change.new_name)}" for change in tables)
            yield Step(sql=RENAME_TABLES.format(pairs=", ".join(pairs)), table=tables[0].table)
        yield from self.drop_keys(self.unfastened)
        for table, columns in self.renamed_columns.items():
            yield self.alter(table, self.rename_clauses(table, columns))
        yield from self.add_keys((table, key, foreign_key_clause(key)) for table, key in self.unfastened)

    @cached_property
    def renamed_columns(self) -> Mapping[str, Mapping[str, str]]:
        """The new names of columns, by their present ones and the new names of their tables."""
        return DefinitionRenaming([*self.of(RenameTable), *self.of(RenameColumn)]).columns_by_new_table()

    def rename_clauses(self, table: str, columns: Mapping[str, str]) -> Iterator[str]:
        """Yield the clauses that rename the columns of a table; `columns` has the new names by the present ones."""
        renamed = self.work.current.get(table)
        if self.server.names_are_fixed and renamed:
            yield from fixed_names.rename_clauses(renamed, columns, define, self.quote)
        else:
            yield from (f"RENAME COLUMN {self.quote(old)} TO {self.quote(new)}" for old, new in columns.items())

    @cached_property
    def unfastened(self) -> list[tuple[str, ForeignKey]]:
        """The foreign keys, by table, that are off while their columns are renamed in a statement that copies a table.

        Such a statement renames no column of a foreign key: the server's error 1846.
        """
        if not self.server.names_are_fixed:
            return []
        renamed = {
            (table.name, new)
            for table in self.work.current
            if (columns := self.renamed_columns.get(table.name)) and fixed_names.copies(table, columns)
            for new in columns.values()
        }
        return [
            (table.name, key)
            for table in self.work.current
            for key in table.foreign_keys
            if renamed & {*((table.name, c) for c in key.columns), *((key.to_table, c) for c in key.to_columns)}
        ]

    # Foreign keys

    @cached_property
    def detached(self) -> list[tuple[str, ForeignKey]]:
        """The foreign keys that are dropped while their columns or the keys they point at change, and added again."""
        gone: list[DropConstraint | RenameConstraint] = [*self.of(DropConstraint), *self.of(RenameConstraint)]
        dropped = {(change.table, change.old.name) for change in gone}
        return [
            (table.name, key)
            for table in self.work.current
            for key in table.foreign_keys
            if (table.name, key.name) not in dropped and self.rests_on_change(table.name, key)
        ]

    def rests_on_change(self, table: str, key: ForeignKey) -> bool:
        if table in self.dropped_tables:
            return key.to_table in self.dropped_tables and key.to_table != table
        own = {(table, column) for column in key.columns}
        target = {(key.to_table, column) for column in key.to_columns}
        return bool(own & self.converted or target & (self.converted | self.rekeyed)) or (
            key.to_table in self.dropped_tables
        )

    @cached_property
    def converted(self) -> frozenset[tuple[str, str]]:
        """The columns, by table, whose definition cannot change while they are part of a foreign key."""
        return frozenset(
            (change.table, change.new.name)
            for change in self.of(AlterColumn)
            if change.retypes or change.regenerates or change.old.null != change.new.null or self.renumbers(change)
        )

    def renumbers(self, change: AlterColumn) -> bool:
        """Return whether a column becomes a numbered one or ceases to be one, where no key may lead there then."""
        return self.server.keys_fix_numbering and change.old.identity != change.new.identity

    @cached_property
    def rekeyed(self) -> frozenset[tuple[str, str]]:
        """The columns, by table, whose key is replaced or dropped."""
        gone: list[tuple[str, Sequence[str]]] = [(c.table, c.old.columns) for c in self.of(AlterPrimaryKey) if c.old]
        gone += [(c.table, c.old.columns) for c in self.of(DropConstraint) if isinstance(c.old, Unique)]
        gone += [(c.table, c.old.columns) for c in self.of(DropIndex)]
        return frozenset((table, column) for table, columns in gone for column in columns)

    def drop_foreign_keys(self) -> Iterator[Step]:
        gone: list[DropConstraint | RenameConstraint] = [*self.of(DropConstraint), *self.of(RenameConstraint)]
        keys = [(change.table, change.old) for change in gone if isinstance(change.old, ForeignKey)]
        yield from self.drop_keys([*keys, *self.detached])

    def drop_keys(self, keys: Iterable[tuple[str, ForeignKey]]) -> Iterator[Step]:
        """Yield one statement for each table that drops foreign keys."""
        clauses: defaultdict[str, list[str]] = defaultdict(list)
        for table, key in keys:
            clauses[table].append(f"DROP FOREIGN KEY {self.quote(key.name)}")
        for table, parts in clauses.items():
            yield self.alter(table, parts)

    def add_foreign_keys(self, later: Iterable[tuple[str, ForeignKey]]) -> Iterator[Step]:
        renamed = (
            (change.table, evolve(change.old, name=change.new.name))
            for change in self.of(RenameConstraint)
            if isinstance(change.old, ForeignKey)
        )
        new = ((table, key, key.sql) for table, key in (*later, *self.new_keys()))
        again = ((table, key, foreign_key_clause(key)) for table, key in renamed)
        yield from self.add_keys([*new, *again, *((table, key, key.sql) for table, key in self.put_back())])

    def add_keys(self, keys: Iterable[tuple[str, ForeignKey, str]]) -> Iterator[Step]:
        """Yield one statement for each table that adds foreign keys, each of which is given with its clause."""
        clauses: defaultdict[str, list[str]] = defaultdict(list)
        made = {change.table for change in self.of(CreateTable)}
        for table, _, clause in keys:
            clauses[table].append(f"ADD {clause}")
        for table, parts in clauses.items():
            yield evolve(self.alter(table, parts), makes_table=table in made)

    def prove_key(self, table: str, key: ForeignKey) -> Iterator[Step]:
        """Yield the steps that ask a foreign key of the rows, which was added without that; the last one may fail.

        MariaDB adds a key while a transaction that has deleted a row of the other table is open, and no read shows
        that before the transaction ends; so these are waited for first.
        """
        pairs = zip(key.columns, key.to_columns, strict=True)
        prove = PROVE.format(
            table=self.quote(table),
            target=self.quote(key.to_table),
            filled=" AND ".join(f"child.{self.quote(name)} IS NOT NULL" for name in key.columns),
            joined=" AND ".join(f"parent.{self.quote(to)} = child.{self.quote(own)}" for own, to in pairs),
        )
        yield Step(sql=AWAIT_WRITERS.format(table=self.quote(key.to_table)), table=key.to_table)
        yield Step(sql=UNLOCK_TABLES, table=key.to_table)
        yield Step(sql=prove, table=table)

    def new_keys(self) -> Iterator[tuple[str, ForeignKey]]:
        """Yield the new foreign keys, by table, each with the action on update of the one that it replaces."""
        for change in self.of(AddConstraint):
            if isinstance(change.new, ForeignKey):
                action = self.action_on_update(change.table, change.new)
                clause = ON_UPDATE.format(action=action) if action else ""
                on_update = action or change.new.on_update
                yield change.table, evolve(change.new, sql=f"{change.new.sql}{clause}", on_update=on_update)

    def taken_off(self) -> Iterator[tuple[str, ForeignKey]]:
        """Yield the foreign keys, by table, that are missing for a part of the run, as they will be after it."""
        yield from self.put_back()
        yield from (pair for pair in self.unfastened if pair not in self.detached)
        yield from ((table, key) for table, key in self.new_keys() if key.on_update)

    def put_back(self) -> Iterator[tuple[str, ForeignKey]]:
        """Yield the foreign keys, by table, that are dropped and added again."""
        for table, key in self.detached:
            if self.work.desired.get(table) and key.to_table not in self.dropped_tables:
                yield table, key

    # Tables

    def drop_tables(self) -> Iterator[Step]:
        """Yield steps that drop tables, those that point at others first."""
        dropped = [change.old for change in self.of(DropTable)]
        for table in reversed(in_dependency_order(dropped)):
            yield Step(
                sql=DROP_TABLE.format(table=self.quote(table.name)),
                table=table.name,
                at_stake=() if self.work.may_lose else (DropTable(table=table.name, old=table),),
            )

    def create_tables(self, later: list[tuple[str, ForeignKey]]) -> Iterator[Step]:
        """Yield steps that create tables, targets of foreign keys first; `later` collects keys that have to wait."""
        there = {table.name for table in self.work.current} - set(self.by_table)
        for table in in_dependency_order([change.new for change in self.of(CreateTable)]):
            there.add(table.name)
            # Columns whose definition is not that of the table's statement, but follows what they point at.
            collated = [column for column in table.columns if not column.sql]
            now = [] if collated else [key for key in table.foreign_keys if key.to_table in there]
            later += [(table.name, key) for key in table.foreign_keys if key not in now]
            yield from create_steps(table, now)
            if collated:
                yield self.alter(table.name, (f"MODIFY {self.quote(c.name)} {define(c)}" for c in collated))


class TableCompiler(BaseTableCompiler):
    """Turns the changes of one table into one ALTER TABLE and the statements before and after it."""

    def __init__(self, compiler: Compiler, name: str) -> None:
        super().__init__(compiler, name)
        self.compiler = compiler
        self.clauses: defaultdict[str, list[str]] = defaultdict(list)
        self.modified: dict[str, Column] = {}
        #: The changes by which the one statement may lose values that were not counted.
        self.at_stake: list[Change] = []

    def steps(self) -> Iterator[Step]:
        self.collect()
        yield from self.before
        order = ("drop", "drop column", "modify", "add column", "add", "whole")
        clauses = [clause for part in order for clause in self.clauses[part]]
        if clauses:
            yield self.compiler.alter(self.name, clauses, self.at_stake)
        yield from self.after

    def collect(self) -> None:
        """Sort the changes of the table into clauses that drop, alter and add."""
        self.replace_over_remade()
        handlers: dict[type[Change], Callable[..., None]] = {
            AddColumn: self.add_column,
            AlterColumn: self.alter_column,
            DropColumn: self.drop_column,
            FillColumn: self.fill_column,
            AlterPrimaryKey: self.alter_primary_key,
            AddConstraint: self.add_constraint,
            DropConstraint: self.drop_constraint,
            RenameConstraint: self.rename_constraint,
            AddIndex: self.add_index,
            DropIndex: self.drop_index,
            RenameIndex: self.rename_index,
            AlterTable: self.alter_whole,
        }
        for change in self.changes:
            if handler := handlers.get(type(change)):
                self.handle(change, handler)
        self.shrink_no_index()
        self.support_foreign_keys()
        self.drop_checks_before_updates()
        for name, column in self.modified.items():
            live = self.current.column(name)
            whole = evolve(column, extra=column.extra or (live.extra if live else ""))
            self.modify(name, f"MODIFY {self.quote(name)} {define(whole, self.own_checks(name))}")

    def handle(self, change: Change, handler: Callable[..., None]) -> None:
        """Sort one change into clauses, by the method for its kind."""
        handler(change)

    def modify(self, column: str, clause: str) -> None:
        """Add the clause that gives a column its new definition."""
        self.put("modify", clause)

    def drop_checks_before_updates(self) -> None:
        """Drop the checks that go before rows are filled, which need not satisfy them."""
        checks = [c.old for c in self.changes if isinstance(c, DropConstraint) and isinstance(c.old, Check)]
        clauses = [self.drop_clause(check) for check in checks if not is_columns_own(check)]
        if clauses and any(step.updates_rows for step in self.before):
            self.clauses["drop"] = [clause for clause in self.clauses["drop"] if clause not in clauses]
            self.before.insert(0, self.compiler.alter(self.name, clauses))

    def put(self, part: str, clause: str) -> None:
        """Add a clause to the statement, unless it is there already."""
        if clause not in self.clauses[part]:
            self.clauses[part].append(clause)

    def nouns(self, table: Table) -> tuple[Constraint | Index, ...]:
        """Return the constraints and indexes of a table."""
        return (*table.constraints, *table.indexes)

    # Columns

    def own_checks(self, column: str) -> list[str]:
        """Return the checks that belong to the definition of a column and stay."""
        dropped = [change.old for change in self.changes if isinstance(change, DropConstraint)]
        own = (check for check in self.current.constraints if isinstance(check, Check) and is_columns_own(check))
        return [check.expression for check in own if check.columns[:1] == (column,) and check not in dropped]

    def add_column(self, change: AddColumn) -> None:
        new, fill = change.new, self.fill(change.new)
        column = self.quote(new.name)
        if fill is None:
            self.put("add column", f"ADD COLUMN {column} {define(new)}")
        elif fill.draw:
            self.forbid_nulls_in_history(new)
            empty = evolve(new, null=True, default=None, identity=None)
            self.before.append(self.compiler.alter(self.name, [f"ADD COLUMN {column} {define(empty)}"]))
            self.before.append(row_fill(self.current, new, fill.draw, everywhere=True))
            self.modified[new.name] = new
        else:
            default = default_clause(self.compiler.server, new, fill.sql)
            self.put("add column", f"ADD COLUMN {column} {define(new, default=default)}")
            if new.default is None:
                self.after.append(self.compiler.alter(self.name, [self.no_default(new)]))

    def no_default(self, new: Column) -> str:
        """Return the clause that leaves a new column without the default that its rows got their value from."""
        column = self.quote(new.name)
        if new.null and self.compiler.server.defaults_in_brackets and has_no_literal(new):
            # NULL is a literal too.
            return f"MODIFY {column} {define(new)}"
        return (NULL_DEFAULT if new.null else DROP_DEFAULT).format(column=column)

    def fill_column(self, change: FillColumn) -> None:
        """Give the rows of a column that allows NULL the values which an earlier run did not get to."""
        fill = self.fill(change.new) or Fill(sql=change.new.default or "")
        if fill.sql or fill.draw:
            self.before.append(self.fill_in(fill, change.new, change.new.name))

    def forbid_nulls_in_history(self, column: Column) -> None:
        """Raise `AutomigrateError` where filling a new column row by row would leave NULL in the table's history."""
        if self.name in self.compiler.neighbours.versioned and not column.null:
            raise AutomigrateError(
                f"The default of {self.name}.{column.name} is called for each row, and the table is system-versioned: "
                f"the rows of its history would have no value. Give the rows one value with --default, or allow NULL."
            )

    def alter_column(self, change: AlterColumn) -> None:
        new = evolve(change.new, extra=change.new.extra or change.old.extra)
        change = AlterColumn(table=change.table, old=change.old, new=new)
        old = change.old
        if old.generated and not new.generated and (new.name in self.remade or self.is_touched_up(change)):
            self.write_down(change)
        elif new.name in self.remade:
            self.at_stake += [] if old.generated else [change]
            self.put("drop column", f"DROP COLUMN {self.quote(old.name)}")
            self.put("add column", f"ADD COLUMN {self.quote(new.name)} {define(new)}")
        else:
            self.modified[new.name] = new
            self.touch_up(change)

    def is_touched_up(self, change: AlterColumn) -> bool:
        """Return whether values are filled in, cut off or written in another way as well."""
        return self.missing(change) is not None or self.rewritten(change.new) is not None

    def touch_up(self, change: AlterColumn) -> None:
        """Cut values off, and fill in missing ones, before the column gets its new definition."""
        old, new = change.old, change.new
        converted = [] if old.generated or not (change.retypes or new.generated) else [change]
        if self.rewritten(new):
            self.before.append(self.rewrite_values(new))
        fill = self.missing(change)
        if fill is not None and old.type != new.type:
            # The value is one of the new type, so it is filled in once the column has that type.
            nullable = define(evolve(new, null=True), self.own_checks(new.name))
            modify = f"MODIFY {self.quote(new.name)} {nullable}"
            self.before.append(self.compiler.alter(self.name, [modify], converted))
        else:
            self.at_stake += converted
        if fill is not None:
            self.before.append(self.fill_in(fill, new, new.name))

    def missing(self, change: AlterColumn) -> Fill | None:
        """Return the value of rows that have none, where the column is to forbid NULL."""
        return self.fill(change.new) if change.old.null and not change.new.null else None

    def cast(self, column: Column) -> str:
        """Return the SQL of the values that the column takes."""
        return self.compiler.work.casts.get((self.name, column.name), "")

    def rewritten(self, column: Column) -> str | None:
        """Return the SQL that cuts values off, or writes UUIDs bare; None where the server's own conversion will do."""
        name = self.quote(column.name)
        wanted = self.cast(column)
        return wanted if wanted == bare(name) or (is_cut(column) and wanted == cut(name, column)) else None

    def rewrite_values(self, column: Column) -> Step:
        """Give the values that are too long, or UUIDs with dashes, the form in which the new type holds them."""
        name, value = self.quote(column.name), self.rewritten(column)
        found = SHORT_TEXT.match(column.type)
        assert found
        template = BARE_VALUES if value == bare(name) else CUT_VALUES
        sql = template.format(
            table=self.quote(self.name), column=name, value=value, kept=self.kept(column.name), length=found[1]
        )
        return Step(sql=sql, table=self.name)

    def fill_in(self, fill: Fill, column: Column, name: str) -> Step:
        """Give a value to the rows that have none in a column, which has this name for now."""
        if fill.draw:
            return row_fill(self.current, evolve(column, name=name), fill.draw, everywhere=False)
        table, quoted = self.quote(self.name), self.quote(name)
        sql = FILL_NULLS.format(table=table, column=quoted, value=fill.sql, kept=self.kept(name))
        return Step(sql=sql, table=self.name)

    def kept(self, updated: str) -> str:
        """Return the assignments that leave columns as they are which the server would set to the present time."""
        following = (column.name for column in self.current.columns if column.follows_updates)
        return "".join(KEPT.format(column=self.quote(name)) for name in following if name != updated)

    def write_down(self, change: AlterColumn) -> None:
        """Turn a computed column into a plain one that keeps the values."""
        new = change.new
        between = COMPUTED.format(column=new.name[: LONGEST_NAME - len(COMPUTED)])
        table, name, other = self.quote(self.name), self.quote(new.name), self.quote(between)
        if self.current.column(between):
            # An interrupted run has left it; all its values are computed again.
            self.before.append(self.compiler.alter(self.name, [f"DROP COLUMN {other}"]))
        nullable = define(evolve(new, null=True, default=None, identity=None))
        value = self.rewritten(new) or name
        self.before.append(self.compiler.alter(self.name, [f"ADD COLUMN {other} {nullable}"]))
        sql = COPY_COLUMN.format(table=table, new=other, old=value, kept=self.kept(between))
        self.before.append(Step(sql=sql, table=self.name))
        fill = self.missing(change)
        if fill is not None:
            self.before.append(self.fill_in(fill, new, between))
        self.put("drop column", f"DROP COLUMN {name}")
        self.put("modify", f"CHANGE {other} {name} {define(new)}")

    @cached_property
    def remade(self) -> frozenset[str]:
        """The columns that have to be dropped and added.

        They become or were virtual (source: https://mariadb.com/kb/en/generated-columns/, error 1907 for anything
        else), or hold nothing that the server could convert.
        """
        altered = [change for change in self.changes if isinstance(change, AlterColumn)]
        return frozenset(
            change.new.name
            for change in altered
            if (change.regenerates and is_virtual(change.old) != is_virtual(change.new))
            or (change.regenerates and bool(change.old.generated) and self.is_touched_up(change))
            or self.cast(change.new) == NOTHING
        )

    def drop_column(self, change: DropColumn) -> None:
        self.at_stake += [] if change.old.generated else [change]
        self.put("drop column", f"DROP COLUMN {self.quote(change.old.name)}")

    # Keys, constraints and indexes

    def replace_over_remade(self) -> None:
        """Drop and add again the constraints and indexes over a column that is dropped and added."""
        key = self.current.primary_key
        if key and self.remade & set(key.columns) and not any(isinstance(c, AlterPrimaryKey) for c in self.changes):
            self.alter_primary_key(AlterPrimaryKey(table=self.name, old=key, new=key))
        gone = {id(c.old) for c in self.changes if isinstance(c, (DropConstraint, DropIndex))}
        for noun in self.nouns(self.current):
            if id(noun) in gone or isinstance(noun, ForeignKey) or not self.remade & set(noun_columns(noun)):
                continue
            if is_columns_own(noun):
                self.put("add", f"ADD {noun.sql}")
            else:
                self.put("drop", self.drop_clause(noun))
                self.put("add", f"ADD {self.clause(noun)}")

    def alter_primary_key(self, change: AlterPrimaryKey) -> None:
        if change.old:
            self.put("drop", "DROP PRIMARY KEY")
        if change.new:
            self.put("add", f"ADD PRIMARY KEY ({self.compiler.names(change.new.columns)})")

    def add_constraint(self, change: AddConstraint) -> None:
        if not isinstance(change.new, ForeignKey):
            self.put("add", f"ADD {self.clause(change.new)}")

    def drop_constraint(self, change: DropConstraint) -> None:
        old = change.old
        if isinstance(old, ForeignKey):
            self.drop_own_index(old)
        elif is_columns_own(old):
            (name,) = noun_columns(old)[:1]
            column = self.desired.column(name)
            if column is not None and name not in self.remade:
                self.modified.setdefault(name, column)
        else:
            self.put("drop", self.drop_clause(old))

    def drop_own_index(self, key: ForeignKey) -> None:
        """Drop the index that belongs to a foreign key, and that the server does not drop along with it."""
        added = {change.new.name for change in self.changes if isinstance(change, AddIndex)}
        staying = {noun.name for noun in self.nouns(self.desired)} - added
        name = self.own_indexes.get(key.name)
        if name and name not in staying:
            self.put("drop", f"DROP INDEX {self.quote(name)}")

    def rename_constraint(self, change: RenameConstraint) -> None:
        """Rename a constraint; all but unique keys have to be dropped and added again."""
        if isinstance(change.old, ForeignKey):
            self.drop_own_index(change.old)
        elif isinstance(change.old, Unique):
            self.put("add", f"RENAME INDEX {self.quote(change.old.name)} TO {self.quote(change.new.name)}")
        else:
            self.drop_constraint(DropConstraint(table=self.name, old=change.old))
            self.put("add", f"ADD {self.clause(change.new)}")

    def add_index(self, change: AddIndex) -> None:
        self.put("add", f"ADD {self.clause(change.new)}")

    def drop_index(self, change: DropIndex) -> None:
        self.use_again(change.old)
        self.put("drop", self.drop_clause(change.old))

    def use_again(self, old: Index) -> None:
        """Have the server use an index again that another one of its name replaces, and would be ignored like it."""
        added = {c.new.name for c in self.changes if isinstance(c, (AddIndex, AddConstraint))}
        words = {"IGNORED": "NOT IGNORED", "INVISIBLE": "VISIBLE"}
        found = next((word for word in words if word in " ".join(old.options).upper().split()), None)
        if found and old.name in added:
            self.before.append(self.compiler.alter(self.name, [f"ALTER INDEX {self.quote(old.name)} {words[found]}"]))

    def rename_index(self, change: RenameIndex) -> None:
        self.put("add", f"RENAME INDEX {self.quote(change.old.name)} TO {self.quote(change.new.name)}")

    def drop_clause(self, noun: Constraint | Index) -> str:
        kind = "INDEX" if isinstance(noun, (Index, Unique)) else "CONSTRAINT"
        return f"DROP {kind} {self.quote(noun.name)}"

    def clause(self, noun: Constraint | Index) -> str:
        """Return the clause that makes a constraint or index."""
        return noun.sql or f"UNIQUE KEY {self.quote(noun.name)} ({self.compiler.names(noun_columns(noun))})"

    def shrink_no_index(self) -> None:
        """Drop the indexes and checks over a dropped column: the server would only shorten the indexes."""
        dropped = {change.old.name for change in self.changes if isinstance(change, DropColumn)}
        for noun in self.nouns(self.current):
            if dropped & set(noun_columns(noun)) and not isinstance(noun, ForeignKey) and not is_columns_own(noun):
                self.put("drop", self.drop_clause(noun))

    def support_foreign_keys(self) -> None:
        """Add an index of their own for the foreign keys that stay and lose the index that they use."""
        gone = self.clauses["drop"]
        there: list[tuple[str, ...]] = [self.desired.primary_key.columns] if self.desired.primary_key else []
        there += [leading_columns(noun) for noun in self.nouns(self.desired)]
        detached = {(table, key.name) for table, key in self.compiler.detached}
        for key in self.current.foreign_keys:
            stays = key in self.desired.foreign_keys and (self.name, key.name) not in detached
            if not stays or not gone or key.name in self.own_indexes:
                continue
            if not any(columns[: len(key.columns)] == key.columns for columns in there):
                self.put("add", f"ADD INDEX {self.quote(key.name)} ({self.compiler.names(key.columns)})")

    @property
    def own_indexes(self) -> Mapping[str, str]:
        return self.compiler.neighbours.own_indexes.get(self.name, {})

    def alter_whole(self, change: AlterTable) -> None:
        if change.old.comment != change.new.comment:
            self.put("whole", f"COMMENT = {text_literal(change.new.comment)}")


def is_virtual(column: Column) -> bool:
    """Return whether a column is computed on reading."""
    return column.generated is not None and not column.generated.stored


def is_columns_own(noun: Constraint | Index) -> bool:
    """Return whether a check is part of its column's definition, as on MariaDB, and has no name of its own."""
    return isinstance(noun, Check) and not noun.name


def default_clause(server: Server, column: Column, value: str) -> str:
    """Return a value, which is SQL, as the default of a column."""
    return f"({value})" if server.defaults_in_brackets and has_no_literal(column) else value


def has_no_literal(column: Column) -> bool:
    """Return whether MySQL requires an expression as the column's default, and rejects a literal.

    Source: https://dev.mysql.com/doc/refman/8.4/en/data-type-defaults.html
    """
    return column.type == "json" or column.type.endswith(("text", "blob"))


def leading_columns(noun: Constraint | Index) -> tuple[str, ...]:
    """Return the whole columns at the start of a key or index; none for anything else."""
    if isinstance(noun, Unique):
        return noun.columns
    if not isinstance(noun, Index) or noun.method not in ("", "hash"):
        return ()
    names: list[str] = []
    for key in noun.keys:
        if key.column is None or key != IndexKey(column=key.column, order=key.order):
            break
        names.append(key.column)
    return tuple(names)


def effect(step: Step, way: str) -> str:
    """Return what a statement does to a table with rows that takes time or makes others wait, "" for nothing.

    `way` is what the server does to the table where it alters it.
    """
    if step.updates_rows:
        return "updates rows"
    return way if step.sql.startswith("ALTER TABLE") else ""


def create_steps(table: Table, foreign_keys: Sequence[ForeignKey]) -> Iterator[Step]:
    """Yield the statements that make a new table, with these foreign keys in it."""
    create, *rest = table.sql
    clauses = "".join(f", {key.sql}" for key in foreign_keys)
    yield Step(sql=create.replace(MARK, clauses), table=table.name, makes_table=True)
    for sql in rest:
        yield Step(sql=sql, table=table.name, makes_table=True)


def compile_rebuild(editor: SchemaEditor, work: Work) -> Iterator[Step]:
    """Yield the statements of `automigrate`: drop the tables and create them again."""
    quote = editor.quote_name
    if len(work.current):
        yield Step(sql=UNCHECKED, table="")
        for table in reversed(in_dependency_order(list(work.current))):
            yield Step(sql=DROP_TABLE.format(table=quote(table.name)), table=table.name)
        yield Step(sql=CHECKED, table="")
    later: list[tuple[str, ForeignKey]] = []
    mine = {table.name for table in work.desired}
    there: set[str] = set()
    for table in in_dependency_order(list(work.desired)):
        there.add(table.name)
        now = [key for key in table.foreign_keys if key.to_table in there or key.to_table not in mine]
        later += [(table.name, key) for key in table.foreign_keys if key not in now]
        yield from create_steps(table, now)
    for name, keys in groupby(later, key=itemgetter(0)):
        clauses = ", ".join(f"ADD {key.sql}" for _, key in keys)
        yield Step(sql=ALTER_TABLE.format(table=quote(name), clauses=clauses), table=name, makes_table=True)
