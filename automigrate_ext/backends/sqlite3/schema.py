"""The statements that change SQLite tables: ALTER TABLE where possible, otherwise one rebuild for everything.

The rebuild follows https://sqlite.org/lang_altertable.html#otheralter. Under legacy_alter_table a rename
leaves the texts of views, triggers and foreign keys alone, so that they refer to the new table from then on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import replace as evolve
from functools import cached_property

from automigrate_ext.backends.naming import noun_columns
from automigrate_ext.backends.sqlite3 import definitions
from automigrate_ext.backends.sqlite3.hazards import conversion
from automigrate_ext.backends.sqlite3.introspection import Catalog, Entry, unquoted
from automigrate_ext.backends.sqlite3.parser import parse_table
from automigrate_ext.backends.sqlite3.tokens import fold, quote_name, quote_text
from automigrate_ext.backends.work import Fill, Step, Work, row_fill
from automigrate_ext.schema.changes import (
    AddColumn,
    AddConstraint,
    AddIndex,
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
from automigrate_ext.schema.matching import match_objects
from automigrate_ext.schema.nouns import Check, Column, Constraint, ForeignKey, Index, Table, Unique

RENAME_TABLE = "ALTER TABLE {table} RENAME TO {new}"
RENAME_COLUMN = "ALTER TABLE {table} RENAME COLUMN {old} TO {new}"
ADD_COLUMN = "ALTER TABLE {table} ADD COLUMN {column}"
DROP_COLUMN = "ALTER TABLE {table} DROP COLUMN {column}"
DROP_TABLE = "DROP TABLE {table}"
DROP_INDEX = "DROP INDEX {index}"
# A temporary trigger may have the same name.
DROP_TRIGGER = "DROP TRIGGER main.{trigger}"
FILL = "UPDATE {table} SET {values}"
COPY_SEQUENCE = (
    "INSERT INTO sqlite_sequence (name, seq) SELECT {new}, seq FROM sqlite_sequence WHERE name = {table} COLLATE NOCASE"
)
COPY_ROWS = "{insert} {new} ({columns}) SELECT {values} FROM {table}"
#: The names of the numbers that SQLite gives to rows: https://sqlite.org/lang_createtable.html#rowid
ROWID = ("rowid", "_rowid_", "oid")
LEGACY_ON = "PRAGMA legacy_alter_table = ON"
LEGACY_OFF = "PRAGMA legacy_alter_table = OFF"
#: SQLite can drop a column since 3.35: https://sqlite.org/releaselog/3_35_0.html
DROPS_COLUMNS = (3, 35)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Facts on which the statements depend besides the work: the definitions, and the features of SQLite.

    `after` returns the catalog after some statements, `index_name` Django's name for the index that implements a unique
    constraint.
    """

    catalog: Catalog
    version: tuple[int, ...]
    after: Callable[[list[str]], Catalog]
    index_name: Callable[[str, Unique], str]


class Compiler:
    """Turns the changes of one plan into statements."""

    def __init__(self, server: Server, work: Work) -> None:
        self.server = server
        self.work = work
        self.by_table: defaultdict[str, list[Change]] = defaultdict(list)
        for change in work.changes:
            if not isinstance(change, (RenameTable, RenameColumn, CreateTable, DropTable)):
                self.by_table[change.table].append(change)
        self.renamings = list(renamings(work.changes))

    def steps(self) -> Iterator[Step]:
        """Yield all statements, in the order in which they run.

        Names of indexes are unique in the whole database, so all drops precede the first new index.
        """
        alterations = [self.alteration(table, changes) for table, changes in self.by_table.items()]
        created = [change for change in self.work.changes if isinstance(change, CreateTable)]
        yield from self.renamings
        for change in self.work.changes:
            if isinstance(change, DropTable):
                yield Step(sql=DROP_TABLE.format(table=quote(change.table)), table=change.table)
        for alteration in alterations:
            yield from alteration.drop_indexes()
        for new in created:
            yield from create_steps(new.new, new.new.sql[:1])
        for alteration in alterations:
            yield from alteration.change_table()
        for new in created:
            yield from create_steps(new.new, new.new.sql[1:])
        for alteration in alterations:
            yield from alteration.add_indexes()

    def alteration(self, name: str, changes: list[Change]) -> Alteration:
        """Return the changes of one table as a whole."""
        return Alteration(
            server=self.server,
            catalog=self.catalog,
            old=self.work.current.tables[name],
            new=without_strays(self.work.desired.tables[name]),
            changes=tuple(changes),
            taken=self.index_names,
            fills={column: sql for (table, column), sql in self.work.fills.items() if table == name},
        )

    @cached_property
    def catalog(self) -> Catalog:
        """The definitions after all renames."""
        if not self.renamings:
            return self.server.catalog
        return self.server.after([step.sql for step in self.renamings])

    @cached_property
    def index_names(self) -> frozenset[str]:
        """The names, in lower case, that an index cannot get: they are taken, or soon will be."""
        catalog = self.server.catalog
        there = [entry.name for entries in catalog.indexes.values() for entry in entries]
        planned = [index.name for table in self.work.desired for index in table.indexes]
        return frozenset(map(fold, (*there, *planned, *catalog.tables, *catalog.views)))


@dataclass(frozen=True, kw_only=True)
class Alteration:
    """All changes of one table: `old` as it is after the renames, `new` as it is to be."""

    server: Server
    catalog: Catalog
    old: Table
    new: Table
    changes: tuple[Change, ...]
    taken: frozenset[str]
    fills: dict[str, Fill]

    def step(self, sql: str) -> Step:
        """Return a statement for this table."""
        return Step(sql=sql, table=self.new.name)

    @property
    def table(self) -> str:
        """The table's name as SQL."""
        return quote(self.new.name)

    # Whether ALTER TABLE is enough

    @cached_property
    def added(self) -> dict[str, Column]:
        """The columns that are added, by name."""
        return {change.new.name: change.new for change in self.changes if isinstance(change, AddColumn)}

    @cached_property
    def dropped(self) -> list[str]:
        """The names of the columns that are dropped."""
        return [change.old.name for change in self.changes if isinstance(change, DropColumn)]

    @cached_property
    def rebuilds(self) -> bool:
        """Whether the table has to be rebuilt and its rows copied."""
        return not all(map(self.is_simple, self.changes))

    def is_simple(self, change: Change) -> bool:
        """Return whether a change needs no rebuild."""
        match change:
            case AddIndex() | DropIndex() | RenameIndex() | AlterTable():
                return True
            case AddColumn():
                return self.can_add(change.new)
            case DropColumn():
                return self.can_drop(change.old)
            case AddConstraint():
                return self.can_add_constraint(change.new)
            case DropConstraint():
                return definitions.is_index(change.old)
            case RenameConstraint():
                return definitions.is_index(change.old) and self.is_free(change.new.name)
        return False

    def can_add(self, column: Column) -> bool:
        """Return whether ALTER TABLE can add the column: https://sqlite.org/lang_altertable.html#altertabaddcol"""
        key = self.new.primary_key
        if key and column.name in key.columns:
            return False
        if column.generated:
            return not column.generated.stored
        if column.default is None:
            return column.null
        points_somewhere = any(column.name in fk.columns for fk in self.new.foreign_keys)
        return definitions.is_literal(column.default) and not points_somewhere

    def can_drop(self, column: Column) -> bool:
        """Return whether ALTER TABLE can drop the column, and nothing else depends on the text of the table.

        It fails where any view or trigger of the database is broken, so it is not used if there are any.
        """
        if self.server.version < DROPS_COLUMNS or len(self.dropped) > 1:
            return False
        if self.catalog.views or self.catalog.triggers:
            return False
        objects = (*self.old.constraints, *self.old.indexes)
        going = {id(change.old) for change in self.changes if isinstance(change, (DropConstraint, DropIndex))}
        read_by = [
            *(other.reads for other in self.old.columns if other.name != column.name),
            *(getattr(noun, "columns", ()) for noun in objects if id(noun) not in going),
            self.old.primary_key.columns if self.old.primary_key else (),
        ]
        return not any(column.name in columns for columns in read_by)

    def can_add_constraint(self, constraint: Constraint) -> bool:
        """Return whether a constraint needs no rebuild, because it is an index or part of its new column."""
        if type(constraint) is Unique:
            return self.is_free(self.index_name(constraint))
        return isinstance(constraint, (Check, ForeignKey)) and self.goes_behind(constraint) is not None

    def goes_behind(self, constraint: Check | ForeignKey) -> Column | None:
        """Return the new column of whose definition the constraint can be a part, or None."""
        return self.added.get(constraint.columns[0]) if len(set(constraint.columns)) == 1 else None

    def index_name(self, unique: Unique) -> str:
        """Return the name of the index that implements a unique constraint."""
        return unique.name or self.server.index_name(self.new.name, unique)

    def is_free(self, name: str) -> bool:
        """Return whether an index can get the name; an index that is dropped before frees its own."""
        going = {fold(change.old.name) for change in self.changes if isinstance(change, (DropIndex, DropConstraint))}
        return fold(name) not in self.taken - going

    # Statements

    def drop_indexes(self) -> Iterator[Step]:
        """Drop the indexes that are removed or renamed, where they are not dropped with the old table."""
        if self.rebuilds:
            return
        for change in self.changes:
            if isinstance(change, (DropIndex, RenameIndex, DropConstraint, RenameConstraint)):
                yield self.step(DROP_INDEX.format(index=quote_name(change.old.name)))

    def change_table(self) -> Iterator[Step]:
        """Change the table itself."""
        if self.rebuilds:
            yield from self.draw_values()
            yield from self.rebuild()
            return
        for name in self.dropped:
            yield self.step(DROP_COLUMN.format(table=self.table, column=quote_name(name)))
        for name in self.added:
            definition = self.definition_with_objects(self.new.column(name) or self.added[name])
            yield self.step(ADD_COLUMN.format(table=self.table, column=definition))
        fills = {name: self.fills[name] for name in self.added if name in self.fills}
        values = [f"{quote_name(name)} = {fill.sql}" for name, fill in fills.items() if not fill.draw]
        if fills:
            yield from self.drop_triggers()
        if values:
            yield self.step(FILL.format(table=self.table, values=", ".join(values)))
        for name, fill in fills.items():
            if fill.draw:
                yield row_fill(self.old, self.added[name], fill.draw, everywhere=True)
        if fills:
            yield from self.make_triggers()

    @property
    def triggers(self) -> Sequence[Entry]:
        """The triggers of the table, in the order in which they were made."""
        return self.catalog.triggers.get(self.key, ())

    def drop_triggers(self) -> Iterator[Step]:
        """Drop all triggers of the table, so that none fires as rows get values."""
        yield from (self.step(DROP_TRIGGER.format(trigger=quote_name(trigger.name))) for trigger in self.triggers)

    def make_triggers(self) -> Iterator[Step]:
        """Create the triggers of the table again, by the text that they had."""
        yield from (self.step(trigger.sql) for trigger in self.triggers)

    def draw_values(self) -> Iterator[Step]:
        """Give each row its own values in the old table, from which the rebuild takes them."""
        drawn = {name: fill for name, fill in self.fills.items() if fill.draw}
        if drawn:
            # The rebuild makes them again.
            yield from self.drop_triggers()
        for name, fill in drawn.items():
            assert fill.draw
            column = self.new.column(name) or self.added[name]
            if name in self.added:
                bare = f"{quote_name(name)} {column.type}"
                yield self.step(ADD_COLUMN.format(table=self.table, column=bare))
            yield row_fill(self.old, column, fill.draw, everywhere=name in self.added)

    def definition_with_objects(self, column: Column) -> str:
        """Return the definition of a new column with its checks and references."""
        parts = [definitions.column(column, self.new)]
        for change in self.changes:
            if isinstance(change, AddConstraint) and isinstance(change.new, (Check, ForeignKey)):
                behind = self.goes_behind(change.new)
                if behind and behind.name == column.name:
                    parts.append(definitions.behind_column(change.new, self.new))
        return " ".join(parts)

    def add_indexes(self) -> Iterator[Step]:
        """Create the new indexes, and after a rebuild all of them and the triggers."""
        if self.rebuilds:
            yield from (self.step(definitions.index(index, self.new)) for index in self.indexes)
            yield from self.make_triggers()
            return
        for change in self.changes:
            match change:
                case AddIndex() | RenameIndex():
                    yield self.step(definitions.index(change.new, self.new))
                case AddConstraint(new=Unique() as unique) | RenameConstraint(new=Unique() as unique):
                    named = evolve(unique, name=self.index_name(unique))
                    yield self.step(definitions.index(named, self.new))

    # What it costs

    def effects(self) -> tuple[str, ...]:
        """Return the effects that take time where the table has many rows.

        Adding a column touches no row; dropping one rewrites all: https://sqlite.org/lang_altertable.html
        """
        if self.rebuilds:
            drawn = [name for name, fill in self.fills.items() if fill.draw]
            updates = "updates every row" if self.added.keys() & set(drawn) else "updates rows that have no value"
            return ("rebuilds the table", *([updates] if drawn else []))
        built = len(list(self.add_indexes()))
        words = (
            "rewrites the table" if self.dropped else "",
            "updates every row" if self.fills.keys() & self.added.keys() else "",
            "builds an index" if built == 1 else f"builds {built} indexes" if built else "",
        )
        return tuple(filter(None, words))

    # The rebuild

    @property
    def key(self) -> str:
        """The table's key in the catalog."""
        return fold(unquoted(self.new.name))

    @property
    def indexes(self) -> list[Index | Unique]:
        """All indexes of the new table, with the unique constraints that are implemented as indexes."""
        uniques = [c for c in self.new.constraints if isinstance(c, Unique) and definitions.is_index(c)]
        return [*(self.as_it_is(unique) for unique in uniques), *(self.as_it_is(index) for index in self.new.indexes)]

    def as_it_is(self, noun: Index | Unique) -> Index | Unique:
        """Return the index that the table has in the place of one whose name does not matter, if it stays."""
        return self.staying.get(id(noun), noun)

    @cached_property
    def staying(self) -> dict[int, Index | Unique]:
        """The indexes that the table has already and keeps, by the identity of the new table's ones."""
        moving = (DropIndex, DropConstraint, RenameIndex, RenameConstraint)
        gone = {id(change.old) for change in self.changes if isinstance(change, moving)}
        uniques = [c for c in self.old.constraints if isinstance(c, Unique) and definitions.is_index(c)]
        wanted = [c for c in self.new.constraints if isinstance(c, Unique)]
        staying: dict[int, Index | Unique] = {}
        for live, new in match_objects(uniques, wanted).paired:
            if isinstance(live, Unique) and id(live) not in gone and not new.named:
                staying[id(new)] = live
        for old, index in match_objects(self.old.indexes, self.new.indexes).paired:
            if id(old) not in gone and not index.named:
                staying[id(index)] = old
        return staying

    def rebuild(self) -> Iterator[Step]:
        """Create the new table, copy the rows, and put it in the place of the old one."""
        name = self.temporary_name()
        new = quote_name(name)
        create = definitions.create_table(self.new, self.old, name, self.options())
        yield self.step(create)
        if has_autoincrement(self.old) and has_autoincrement(self.new):
            own = quote_text(unquoted(self.new.name))
            yield self.step(COPY_SEQUENCE.format(new=quote_text(name), table=own))
        yield self.copy_rows(new, create)
        yield self.step(DROP_TABLE.format(table=self.table))
        yield self.step(LEGACY_ON)
        yield self.step(RENAME_TABLE.format(table=new, new=self.table))
        yield self.step(LEGACY_OFF)

    def temporary_name(self) -> str:
        """Return a name that is free; as a rule Django's own."""
        name = f"new__{unquoted(self.new.name)}"
        taken = {*self.catalog.tables, *self.catalog.views, *self.catalog.virtual, *self.taken}
        while fold(name) in taken:
            name = f"new__{name}"
        return name

    def options(self) -> tuple[str, ...]:
        """Return the options after the brackets of the present table."""
        entry = self.catalog.tables.get(self.key)
        options = parse_table(entry.sql).options if entry else ()
        return tuple(o for o in options if not (o == "WITHOUT ROWID" and has_autoincrement(self.new)))

    def copy_rows(self, new: str, create: str) -> Step:
        """Copy the rows, each value as the new table is to hold it; no row may replace another or be left out."""
        insert = "INSERT OR ABORT INTO" if definitions.resolves_conflicts(create) else "INSERT INTO"
        values = {column.name: self.value(column) for column in self.new.columns}
        copied = {quote_name(name): value for name, value in values.items() if value is not None}
        if rowid := self.free_rowid():
            copied = {rowid: rowid, **copied}
        # Where the tables share no column, the rows' numbers are all that can be copied.
        copied = copied or {ROWID[0]: ROWID[0]}
        return self.step(
            COPY_ROWS.format(
                insert=insert,
                new=new,
                columns=", ".join(copied),
                values=", ".join(copied.values()),
                table=self.table,
            )
        )

    def free_rowid(self) -> str:
        """Return a name for the rows' own numbers, at which indexes of full-text search point; "" where there is none.

        A key of the type integer is the number itself, and no name is free that a column has.
        Source: https://sqlite.org/lang_createtable.html#rowid
        """
        entry = self.catalog.tables.get(self.key)
        options = parse_table(entry.sql).options if entry else ()
        if "WITHOUT ROWID" in options or definitions.numbers_rows(self.new, self.old):
            return ""
        taken = {fold(column.name) for column in (*self.old.columns, *self.new.columns)}
        return next((name for name in ROWID if name not in taken), "")

    def value(self, new: Column) -> str | None:
        """Return the value to copy into a column; None where SQLite fills it by itself."""
        if new.generated:
            return None
        old = self.old.column(new.name)
        fill = self.fills.get(new.name)
        value = quote_name(new.name)
        if old is None:
            return (value if fill.draw else fill.sql) if fill else None
        if conversion_needed := conversion(old, new):
            value = conversion_needed.value.format(c=value)
        return f"coalesce({value}, {fill.sql})" if fill and not fill.draw else value


def renamings(changes: Iterable[Change]) -> Iterator[Step]:
    """Yield the statements that rename tables and columns, in the order of the changes."""
    for change in changes:
        if isinstance(change, RenameTable):
            sql = RENAME_TABLE.format(table=quote(change.table), new=quote(change.new_name))
            yield Step(sql=sql, table=change.table)
        elif isinstance(change, RenameColumn):
            old, new = quote_name(change.old_name), quote_name(change.new_name)
            yield Step(sql=RENAME_COLUMN.format(table=quote(change.table), old=old, new=new), table=change.table)


def compile_rebuild(work: Work) -> Iterator[Step]:
    """Yield steps that drop the current tables and create the desired ones, in any order: no reference is checked."""
    for table in work.current:
        yield Step(sql=DROP_TABLE.format(table=quote(table.name)), table=table.name)
    for table in work.desired:
        yield from create_steps(table, table.sql)


def create_steps(table: Table, statements: Iterable[str]) -> Iterator[Step]:
    """Yield steps of statements that make a table."""
    return (Step(sql=sql, table=table.name, makes_table=True) for sql in statements)


def without_strays(table: Table) -> Table:
    """Return the table without constraints and indexes over dropped columns; as elsewhere, they are dropped along."""
    names = {column.name for column in table.columns}
    return evolve(
        table,
        constraints=tuple(c for c in table.constraints if names.issuperset(noun_columns(c))),
        indexes=tuple(index for index in table.indexes if names.issuperset(index.columns)),
    )


def has_autoincrement(table: Table) -> bool:
    """Return whether SQLite never gives out a number twice."""
    return any(column.identity for column in table.columns)


def quote(table: str) -> str:
    """Return a table's name as SQL, be it quoted already or not."""
    return quote_name(unquoted(table))
