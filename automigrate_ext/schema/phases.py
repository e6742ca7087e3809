"""Two phases of a deployment in which old code and new code serve together: what each of them may change. Pure.

The first one, the expand, comes before the new code starts, and does only what the old code can live with: it goes on
inserting without the columns that it does not have, and updating, reading and deleting. The second, the contract, comes
after the last process of the old code, and does the rest. So what is left over after an expand is the contract.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from functools import cached_property
from typing import TypeVar

from automigrate_ext.schema.changes import (
    AddColumn,
    AddConstraint,
    AddIndex,
    AlterColumn,
    AlterPrimaryKey,
    Change,
    CreateTable,
    DropColumn,
    DropConstraint,
    DropIndex,
    DropTable,
    RenameColumn,
    RenameConstraint,
    RenameIndex,
    RenameSequence,
    RenameTable,
    columns_of,
)
from automigrate_ext.schema.nouns import (
    Check,
    Column,
    Constraint,
    Exclusion,
    ForeignKey,
    Index,
    Schema,
    Table,
    Unique,
)

#: A column by its table and name.
TableColumn = tuple[str, str]
C = TypeVar("C", bound=Change)
N = TypeVar("N", Constraint, Index)

RENAMED = (
    "old code uses the old name alone, and new code the new one. Add what is new beside what is old, copy the values, "
    "and remove the old in a later deployment; or rename in a run without --expand, while no code runs"
)
COMPUTED = (
    "old code and new code do not both find what they need in a column that one of them writes and the other has "
    "computed. Add a column beside it, and remove this one in a later deployment"
)
RETARGETED = (
    "the values that old code writes there point at other rows than those of new code. Add a column beside it, copy "
    "the values, and remove this one in a later deployment"
)
NEW_KEY = (
    "no table has two primary keys, and the new one rests on a new column. Change it in a run without --expand, while "
    "no code runs"
)
OLD_KEY = (
    "new code does not write {column}, which is required as part of the primary key. Change the key in one deployment "
    "and remove the column in a later one"
)
NO_TARGET = (
    "its foreign key ({columns}) points at {target}, which becomes what it needs in the contract. Deploy the change "
    "of {table} first, and the new table after its contract"
)
TAKEN_NAME = (
    "{name} is the name of an index or constraint of table {table} that stays until the contract. Give it another name"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the phases depend on besides the changes.

    `widens` returns whether code that was made for a column's old type reads and writes the new one in the same way;
    `optional` the column, allowing NULL; `with_default` a new column of a table with a default of the database, which
    rows get that do not name it, or None where there is no value that could be one. `is_spelling` returns whether two
    names are one to the server.
    """

    widens: Callable[[Column, Column], bool]
    optional: Callable[[Column], Column]
    with_default: Callable[[str, Column], Column | None]
    is_spelling: Callable[[str, str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Barred:
    """A change that has no expand, as not both codes could live with a state in between; `reason` has the way out."""

    change: Change
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """The changes of an expand (`now`), and those that it leaves for the contract (`later`).

    `expanded` is the desired schema as the expand leaves it. `required` are the new columns that allow NULL until the
    contract and whose rows need a value all the same.
    """

    now: tuple[Change, ...]
    later: tuple[Change, ...]
    barred: tuple[Barred, ...]
    expanded: Schema
    required: frozenset[TableColumn]


def phases(current: Schema, desired: Schema, changes: Sequence[Change], rules: Rules) -> Phases:
    """Divide the changes that make `current` equal to `desired` into those of an expand and those of the contract.

    A change may be divided itself: a column gets its new type in the one and forbids NULL in the other.
    """
    division = Division(current=current, desired=desired, changes=tuple(changes), rules=rules)
    division.divide()
    return Phases(
        now=tuple(division.now),
        later=tuple(division.later),
        barred=tuple(division.barred),
        expanded=division.expanded(),
        required=frozenset(division.required),
    )


@dataclass(kw_only=True)
class Division:
    """Divides the changes of one plan."""

    current: Schema
    desired: Schema
    changes: tuple[Change, ...]
    rules: Rules
    now: list[Change] = field(default_factory=list)
    later: list[Change] = field(default_factory=list)
    barred: list[Barred] = field(default_factory=list)
    required: set[TableColumn] = field(default_factory=set)
    #: The columns of the desired tables as the expand leaves them, where that is not as they are to be.
    between: dict[TableColumn, Column] = field(default_factory=dict)

    def of(self, kind: type[C], table: str | None = None) -> list[C]:
        """Return the changes of one kind, of all tables or of one."""
        return [c for c in self.changes if isinstance(c, kind) and (table is None or c.table == table)]

    def divide(self) -> None:
        """Divide the changes: columns first, on which it depends what becomes of rules, and foreign keys last."""
        columns = (AddColumn, AlterColumn, DropColumn, AlterPrimaryKey, DropTable)
        keys = [c for c in self.changes if isinstance(c, CreateTable) or is_key(c)]
        rest = [c for c in self.changes if not isinstance(c, columns) and not any(c is key for key in keys)]
        # Which names are free depends on what is dropped and renamed at once, in all tables.
        rest.sort(key=lambda change: isinstance(change, (AddConstraint, AddIndex)))
        for change in self.of_kinds(columns):
            self.divide_column(change)
        for change in (*rest, *keys):
            self.place(change)
        # In the order of the changes that they come from; those of columns that are divided keep theirs.
        places = {id(change): number for number, change in enumerate(self.changes)}
        self.now.sort(key=lambda change: places.get(id(change), len(places)))

    def of_kinds(self, kinds: tuple[type[Change], ...]) -> Iterator[Change]:
        return (change for change in self.changes if isinstance(change, kinds))

    def bar(self, change: Change, reason: str) -> None:
        self.barred.append(Barred(change=change, reason=reason))

    # Columns

    def divide_column(self, change: Change) -> None:
        match change:
            case AddColumn():
                self.add_column(change)
            case AlterColumn():
                self.alter_column(change)
            case DropColumn():
                self.drop_column(change)
            case AlterPrimaryKey():
                self.alter_primary_key(change)
            case _:
                self.later.append(change)

    def add_column(self, change: AddColumn) -> None:
        """Add a column at once; a required one has a default until the contract, or allows NULL until then."""
        new = change.new
        if not new.needs_value:
            self.now.append(change)
            return
        between = self.rules.with_default(change.table, new)
        if between is None:
            between = self.rules.optional(new)
            self.required.add((change.table, new.name))
        self.leave(change.table, between, new)
        self.now.append(AddColumn(table=change.table, new=between))

    def leave(self, table: str, between: Column, new: Column) -> None:
        """Leave a column in between, and what it is to become for the contract."""
        self.between[table, new.name] = between
        self.later.append(AlterColumn(table=table, old=between, new=new))

    def alter_column(self, change: AlterColumn) -> None:
        """Change at once what old code does not notice."""
        old, new = change.old, change.new
        if bool(old.generated) != bool(new.generated):
            self.bar(change, COMPUTED)
            return
        between = self.between_types(old, new)
        if same(between, new):
            self.now.append(change)
            return
        if not same(between, old):
            self.now.append(AlterColumn(table=change.table, old=old, new=between))
        self.leave(change.table, between, new)

    def between_types(self, old: Column, new: Column) -> Column:
        """Return a column with the attributes of the new one with which old code goes on as before.

        It may hold more values, allow NULL, get a default that it did not have, another comment, and be numbered.
        """
        taken: dict[str, object] = {"comment": new.comment}
        if new.null:
            taken |= {"null": True, "forbids_new_nulls": False}
        if old.default is None:
            taken |= {"default": new.default, "default_sql": new.default_sql}
        if old.value_type != new.value_type and old.collation == new.collation and self.rules.widens(old, new):
            taken |= {"type": new.type, "digits": new.digits}
        between = evolve(old, **taken)  # type: ignore[arg-type]
        if old.identity is None and between.value_type == new.value_type and not between.null:
            # Old code goes on numbering rows itself, which new code leaves to the server.
            between = evolve(between, identity=new.identity)
        return new if same(between, new) else between

    def drop_column(self, change: DropColumn) -> None:
        """Keep a column until the contract, and let rows be without a value that new code does not give them."""
        self.later.append(change)
        old = change.old
        if not old.needs_value:
            return
        if self.is_in_key(change.table, old.name):
            self.bar(change, OLD_KEY.format(column=f"{change.table}.{old.name}"))
            return
        optional = evolve(old, null=True, forbids_new_nulls=False)
        self.between[change.table, old.name] = optional
        self.now.append(AlterColumn(table=change.table, old=old, new=optional))

    def is_in_key(self, table: str, column: str) -> bool:
        """Return whether a column is part of the primary key of a table as it is."""
        key = self.current.tables[table].primary_key
        return key is not None and column in key.columns

    def alter_primary_key(self, change: AlterPrimaryKey) -> None:
        if change.new and self.added[change.table] & set(change.new.columns):
            self.bar(change, NEW_KEY)
        else:
            self.later.append(change)

    # What the rows of old code have in columns

    @cached_property
    def added(self) -> dict[str, frozenset[str]]:
        """The names of the new columns, by table."""
        tables = {change.table for change in self.changes}
        return {table: frozenset(c.new.name for c in self.of(AddColumn, table)) for table in tables}

    def as_added(self, table: str, name: str) -> Column | None:
        """Return a new column as the expand adds it; None for one that is there."""
        new = next((c.new for c in self.of(AddColumn, table) if c.new.name == name), None)
        return self.between.get((table, name), new) if new else None

    def is_empty(self, table: str, name: str) -> bool:
        """Return whether a column is new, and rows of old code have no value in it."""
        column = self.as_added(table, name)
        return column is not None and not column.generated and column.null and column.default is None

    def is_untouched(self, table: str, name: str) -> bool:
        """Return whether a column is new, and no value that old code writes determines its own."""
        column = self.as_added(table, name)
        if column is None:
            return False
        return all(self.is_untouched(table, read) for read in column.reads) if column.generated else True

    def waits(self, table: str, columns: Iterable[str]) -> bool:
        """Return whether one of the columns is of another type, or computed in another way, until the contract."""
        altered = [c for c in self.later if isinstance(c, AlterColumn) and c.table == table]
        waiting = {c.new.name for c in altered if c.retypes or c.regenerates}
        return not waiting.isdisjoint(columns)

    # Rules: constraints, indexes and tables

    def place(self, change: Change) -> None:
        """Put a change that is not one of columns where it belongs."""
        match change:
            case RenameTable() | RenameSequence():
                self.bar(change, RENAMED)
            case RenameColumn() if not self.rules.is_spelling(change.old_name, change.new_name):
                self.bar(change, RENAMED)
            case RenameConstraint() | RenameIndex() if change.new.named:
                self.later.append(change)
            case CreateTable():
                self.create_table(change)
            case DropConstraint(old=ForeignKey()):
                self.drop_foreign_key(change)
            case DropConstraint() | DropIndex():
                self.put(change, now=self.may_drop(change.table, change.old))
            case AddConstraint() | AddIndex():
                self.put(change, now=self.may_add(change.table, change.new))
            case _:
                self.now.append(change)

    def put(self, change: Change, *, now: bool) -> None:
        (self.now if now else self.later).append(change)

    def may_drop(self, table: str, noun: Constraint | Index) -> bool:
        """Return whether an expand drops a rule or an index.

        Old code does without a check. It may rely on a unique one as it gets or creates a row, so that this stays,
        unless new code could not insert a second row beside it: where it is over a column that new code does not write.
        """
        if not isinstance(noun, (Unique, Index)):
            return True
        if not is_unique(noun):
            return False
        columns = self.current.tables[table].columns
        gone = {change.old.name for change in self.of(DropColumn, table)} & set(columns_of(noun))
        left = [self.between.get((table, c.name), c) for c in columns if c.name in gone]
        is_empty = any(column.null and column.default is None for column in left)
        return bool(left) and not (is_empty and noun.nulls_distinct)

    def drop_foreign_key(self, change: DropConstraint) -> None:
        """Drop a foreign key at once, unless it is replaced: then with what replaces it."""
        old = change.old
        assert isinstance(old, ForeignKey)
        keys = [c.new for c in self.of(AddConstraint, change.table) if isinstance(c.new, ForeignKey)]
        replacing = next((new for new in keys if new.columns == old.columns), None)
        if replacing is None:
            self.now.append(change)
        elif old.is_replaced_by(replacing) or old.to_table == replacing.to_table:
            self.later.append(change)
        else:
            self.bar(change, RETARGETED)

    def may_add(self, table: str, noun: Constraint | Index) -> bool:
        """Return whether an expand adds a rule or an index: none that a row of old code could break."""
        columns = columns_of(noun)
        if self.waits(table, columns) or noun.name in self.names_taken:
            return False
        match noun:
            case Index(unique=False):
                return True
            case Index() | Unique():
                plain = [k.column for k in noun.keys] if isinstance(noun, Index) else [*noun.columns]
                return noun.nulls_distinct and any(self.is_empty(table, name) for name in plain if name)
            case Exclusion():
                return bool(columns) and all(self.is_empty(table, name) for name in columns)
            case ForeignKey():
                return self.has_target(noun) and all(self.is_untouched(table, name) for name in columns)
            case Check():
                return not noun.enforced or (bool(columns) and all(self.is_untouched(table, name) for name in columns))
        return False

    @cached_property
    def names_taken(self) -> dict[str, str]:
        """The tables of the constraints and indexes that go or get another name in the contract, by their names now."""
        kinds = (DropConstraint, DropIndex, RenameConstraint, RenameIndex)
        staying = [(c.old, c.table) for c in self.later if isinstance(c, kinds)]
        staying += [(noun, drop.table) for drop in self.of(DropTable) for noun in rules_of(drop.old)]
        return {noun.name: table for noun, table in staying if noun.name}

    def has_target(self, key: ForeignKey) -> bool:
        """Return whether the columns at which a foreign key points are all that it needs once the expand is done."""
        if self.waits(key.to_table, key.to_columns):
            return False
        waiting = (c for c in self.later if isinstance(c, (AddConstraint, AddIndex)) and c.table == key.to_table)
        rules = [c.new for c in waiting if is_unique(c.new)]
        keys = [c.new for c in self.later if isinstance(c, AlterPrimaryKey) and c.new and c.table == key.to_table]
        return all(set(columns_of(rule)) != set(key.to_columns) for rule in rules) and all(
            set(new.columns) != set(key.to_columns) for new in keys
        )

    def create_table(self, change: CreateTable) -> None:
        """Make a new table as a whole: old code does not write it."""
        for key in change.new.foreign_keys:
            if not self.has_target(key):
                target = f"{key.to_table} ({', '.join(key.to_columns)})"
                columns = ", ".join(key.columns)
                self.bar(change, NO_TARGET.format(columns=columns, target=target, table=key.to_table))
                return
        for name in (noun.name for noun in rules_of(change.new) if noun.named):
            if table := self.names_taken.get(name):
                self.bar(change, TAKEN_NAME.format(name=name, table=table))
                return
        self.now.append(change)

    # The schema in between

    def expanded(self) -> Schema:
        """Return the desired schema without what waits for the contract."""
        return Schema({table.name: self.expanded_table(table) for table in self.desired})

    def expanded_table(self, table: Table) -> Table:
        """Return a table as the expand leaves it; what stays of the present one, and no model has, is not in it."""
        later = [change for change in self.later if change.table == table.name]
        live = self.current.get(table.name)
        if not later or live is None:
            return table
        rekeyed = any(isinstance(change, AlterPrimaryKey) for change in later)
        return evolve(
            table,
            columns=tuple(self.between.get((table.name, column.name), column) for column in table.columns),
            primary_key=live.primary_key if rekeyed else table.primary_key,
            constraints=tuple(left(table.constraints, later)),
            indexes=tuple(left(table.indexes, later)),
        )


def left(nouns: Iterable[N], later: Iterable[Change]) -> Iterator[N]:
    """Yield the rules of a table without those to come, and those that are renamed under their present names."""
    additions = {id(change.new) for change in later if isinstance(change, (AddConstraint, AddIndex))}
    renamed = {id(c.new): c.old for c in later if isinstance(c, (RenameConstraint, RenameIndex))}
    for noun in nouns:
        if id(noun) not in additions:
            yield renamed.get(id(noun), noun)  # type: ignore[misc]


def rules_of(table: Table) -> tuple[Constraint | Index, ...]:
    """Return the constraints and indexes of a table."""
    return (*table.constraints, *table.indexes)


def is_key(change: Change) -> bool:
    """Return whether a change adds a foreign key."""
    return isinstance(change, AddConstraint) and isinstance(change.new, ForeignKey)


def is_unique(noun: object) -> bool:
    """Return whether no two rows may have the same values by a rule."""
    return isinstance(noun, Unique) or (isinstance(noun, Index) and noun.unique)


def same(column: Column, other: Column) -> bool:
    """Return whether two columns are equal, the digits of their values included."""
    return column == other and column.value_type == other.value_type
