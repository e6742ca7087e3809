"""What the changes make of the rows: which values are converted, filled or computed again, and which are unknown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

from automigrate_ext.backends.base import Backend, Loss
from automigrate_ext.backends.rows import Future, Source
from automigrate_ext.backends.work import Fill
from automigrate_ext.schema.changes import AddColumn, AlterColumn, Change, CreateTable, DropColumn
from automigrate_ext.schema.nouns import Column, ForeignKey, Schema

#: A column by its table and name.
TableColumn = tuple[str, str]


@dataclass(kw_only=True)
class Forecast:
    """The tables of a plan as the changes will leave them.

    `filled` are the tables that have rows, `created` those that do not exist yet, `fills` what rows without a
    value may get, `losses` what each change of type does to the values.
    """

    backend: Backend
    current: Schema
    fill: Callable[[str, str], Fill | None]
    changes: tuple[Change, ...]

    def __post_init__(self) -> None:
        touched = dict.fromkeys(change.table for change in self.changes if self.current.get(change.table))
        self.created = {change.table for change in self.changes if isinstance(change, CreateTable)}
        self.filled = self.backend.rows.filled_tables(list(touched))
        self.fills: dict[TableColumn, Fill] = {}
        self.losses: dict[TableColumn, Loss] = {}
        values: defaultdict[str, dict[str, str]] = defaultdict(dict)
        generated: defaultdict[str, dict[str, str]] = defaultdict(dict)
        unknown: defaultdict[str, set[str]] = defaultdict(set)
        for change in self.changes:
            if not isinstance(change, (AddColumn, AlterColumn)) or change.table not in self.filled:
                continue
            if change.new.generated:
                if isinstance(change, AddColumn) or change.regenerates:
                    generated[change.table][change.new.name] = change.new.generated.expression
                continue
            value = self.new_value(change) if isinstance(change, AddColumn) else self.altered_value(change)
            if value is None:
                unknown[change.table].add(change.new.name)
            elif value:
                values[change.table][change.new.name] = value
        for table in self.filled:
            generated[table].update(self.recomputed(table, values[table].keys() | unknown[table]))
        self.futures: Mapping[str, Future] = {
            table: Future(values=values[table], generated=generated[table], unknown=frozenset(unknown[table]))
            for table in self.filled
        }

    def recomputed(self, table: str, moved: Set[str]) -> Iterator[TableColumn]:
        """Yield the generated columns that stay as they are and read columns that change, each with its expression."""
        changed = {
            change.old.name
            for change in self.changes
            if change.table == table
            and (isinstance(change, DropColumn) or (isinstance(change, AlterColumn) and change.regenerates))
        }
        for column in self.current.tables[table].columns:
            if column.generated and column.name not in changed and moved & set(column.reads):
                yield column.name, column.generated.expression

    def new_value(self, change: AddColumn) -> str | None:
        """Return the value that all rows get in a new column; None where they get different ones, or it is unknown."""
        new = change.new
        if new.identity:
            return None
        if new.default is not None:
            return self.typed(change, new.default_sql or new.default)
        fill = self.offered(change.table, new)
        if fill is None:
            return self.typed(change, "NULL")
        return None if fill.draw or fill.fault else self.typed(change, fill.sql)

    def altered_value(self, change: AlterColumn) -> str | None:
        """Return the value of a column that is converted or filled; "" where it stays, None where it is unknown."""
        old, new = change.old, change.new
        value = self.backend.rows.quote(old.name)
        converted = self.converts(change)
        if old.value_type != new.value_type:
            loss = self.losses[change.table, new.name] = self.backend.count_lost(
                self.current.tables[change.table], old, new
            )
            if loss.error:
                return None
            value = loss.using or value
        fill = self.offered(change.table, new) if old.null and not new.null else None
        if fill is not None and (fill.draw or fill.fault):
            return None
        if fill is not None:
            value = f"coalesce({value}, {fill.sql})"
        return self.typed(change, value) if converted or fill else ""

    def typed(self, change: AddColumn | AlterColumn, value: str) -> str:
        """Return a value, as SQL, with the type and collation that it is to have in the column."""
        return self.backend.typed(self.backend.in_table(change.table, change.new), value)

    def offered(self, table: str, column: Column) -> Fill | None:
        """Return what rows without a value may get, and keep it in `fills`."""
        fill = self.fill(table, column.name)
        if fill is not None:
            self.fills[table, column.name] = fill
        return fill

    def converts(self, change: AlterColumn) -> bool:
        """Return whether the values will compare differently."""
        old, new = change.old, change.new
        rules = self.backend.type_rules
        alike = rules.same_storage(old.type, new.type) or {old.type, new.type} <= rules.widths.keys()
        return old.collation != new.collation or old.digits != new.digits or not alike

    # Asking

    def converted(self, table: str, column: str) -> bool:
        """Return whether the column's values are converted or filled."""
        return table in self.futures and self.futures[table].concerns([column])

    def moved(self, table: str, column: str) -> frozenset[str]:
        """Return the column, and those that are computed from it."""
        readers = (other.name for other in self.current.tables[table].columns if column in other.reads)
        return frozenset((column, *readers))

    def is_known(self, table: str, columns: Iterable[str]) -> bool:
        """Return whether the values of the columns are known before the changes are made."""
        found, future = self.current.get(table), self.futures.get(table, Future())
        if found is None:
            return False
        there = {column.name for column in found.columns} | future.values.keys() | future.generated.keys()
        read = {name for column in found.columns if column.name in columns for name in column.reads}
        return not (set(columns) - there or (set(columns) | read) & future.unknown)

    def source(self, table: str, columns: Iterable[str]) -> Source:
        """Return the rows of a table as they will be, as far as these columns are concerned."""
        future = self.futures.get(table, Future())
        if future.concerns(columns):
            return self.backend.rows.then(self.current.tables[table], future)
        return self.backend.rows.now(self.current.tables[table])

    def target(self, foreign_key: ForeignKey) -> Source | None:
        """Return the rows at which a foreign key points; None where their key is not known yet."""
        name = foreign_key.to_table
        if self.current.get(name) is None:
            return Source(table=name, sql=self.backend.quote(name))
        return self.source(name, foreign_key.to_columns) if self.is_known(name, foreign_key.to_columns) else None
