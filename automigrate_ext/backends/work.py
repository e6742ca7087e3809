"""Work on tables and the statements that carry it out, as values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from functools import partial
from itertools import chain
from typing import Any

from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.plan.online import Manner
from automigrate_ext.schema.changes import AddConstraint, Change
from automigrate_ext.schema.nouns import Column, ForeignKey, Schema, Table
from automigrate_ext.words import plural

#: The characters of the longest message, and so at most four times as many bytes: the least that a server of MySQL's
#: kind takes in one (`max_allowed_packet`) by default is a mebibyte.
LONGEST_MESSAGE = 2**18
EACH_ROW = "-- UPDATE {table}: a value of its own in {column} for each row"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFill:
    """A value of its own, made by `draw` as SQL, for each row of a table that has none in a column.

    `key` are the columns that tell the rows apart. With `everywhere` the column is new, so that no row has a value.
        `kept` are columns that the server would set to the present time in each row that changes.
    `value` is the SQL of the value of all rows, where they get the same. With `shared` others write to the table
    meanwhile, and what they have written stays; a `late` fill is for the rows that they have put in since an earlier
    one. With `quiet` no trigger fires.
    """

    table: str
    column: str
    type: str
    key: tuple[str, ...]
    key_types: tuple[str, ...]
    draw: Callable[[], str]
    everywhere: bool = False
    kept: tuple[str, ...] = ()
    value: str = ""
    shared: bool = False
    late: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One statement of a plan, its table, and the number of table locks that its transaction will hold.

    With `makes_table` the statement belongs to a table that this run makes, so that it may be sent together with
    others: no row is concerned, and the server's message names the object. With `fill` the step stands for as many
    statements as it takes to give each row a value of its own, and `sql` is a comment that announces them. `at_stake`
    are the changes by which the step would lose values that were not there when they were counted. `manner` is how the
    step of an online plan runs, and `refills` are the fills to repeat where the step finds rows without a value.
    """

    sql: str
    table: str
    locks: int = 1
    makes_table: bool = False
    fill: RowFill | None = None
    at_stake: tuple[Change, ...] = ()
    manner: Manner | None = None
    refills: tuple[RowFill, ...] = ()

    @property
    def updates_rows(self) -> bool:
        """Whether the step gives rows values by UPDATE, for which triggers fire."""
        return self.fill is not None or self.sql.startswith("UPDATE ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """The value of rows that have none: one for all as SQL, or one for each that `draw` makes.

    `origin` is where the value comes from, in words at the start of a sentence; "" where the value fits every column.
    `fault` is the reason why there is no value that could be used. `draw` raises `UnusableValue`.
    """

    sql: str = ""
    draw: Callable[[], str] | None = None
    origin: str = ""
    fault: str = ""

    def drawn(self) -> tuple[Fill, str]:
        """Return the fill, which begins with a value that is drawn now, and that value. Raises as `draw` does."""
        if self.draw is None:
            return self, self.sql
        first = self.draw()
        return evolve(self, draw=partial(next, chain((first,), iter(self.draw, None)))), first


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Changes that are to be carried out, the schemas before (current) and after them (desired), and values to fill in.

    `fills` maps (table, column) to the value of rows that have none there, `casts` to the SQL of the values of a
    column of another type. `desired` has the kept columns and foreign objects of each table too. With `may_lose` the
    values that the changes destroy may go.
    """

    changes: tuple[Change, ...]
    current: Schema
    desired: Schema
    fills: Mapping[tuple[str, str], Fill] = field(default_factory=dict)
    casts: Mapping[tuple[str, str], str] = field(default_factory=dict)
    may_lose: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependent:
    """The name and kind of a view, a trigger or a foreign table's reference that depends on a table."""

    table: str
    kind: str
    name: str
    sql: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A table, or one column or constraint of it, that is to be dropped, changed or renamed (`verb`)."""

    table: str
    column: str = ""
    constraint: str = ""
    verb: str = "dropped"

    def describe(self) -> str:
        """Describe the part, at the start of a sentence."""
        if self.column:
            return f"Column {self.table}.{self.column}"
        return f"Constraint {self.constraint} of {self.table}" if self.constraint else f"Table {self.table}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A foreign key of a table outside the run that points at a table inside it."""

    table: str
    foreign_key: ForeignKey


@dataclass(frozen=True, slots=True)
class Bytes:
    """A binary value, of which messages show nothing but its length in bytes."""

    size: int

    def __str__(self) -> str:
        return f"<{plural(self.size, 'byte')}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Some rows: their primary keys, and for each of them the values in `columns`, texts cut to a readable length."""

    keys: tuple[tuple[Any, ...], ...] = ()
    columns: tuple[str, ...] = ()
    values: tuple[tuple[Any, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The number of values that a change of type would alter, or the reason why it fails.

    `rows` is None where they were not counted in time, `using` the SQL of the new values where they are not
    the old ones, `samples` are rows that would lose something.
    """

    rows: int | None = 0
    error: str = ""
    using: str = ""
    samples: Samples = Samples()


def messages(steps: Sequence[Step], limit: int) -> Iterator[Sequence[Step]]:
    """Yield the steps as they are sent: up to `limit` that make tables in one message, each other one by itself."""
    message: list[Step] = []
    length = 0
    for step in steps:
        length += len(step.sql)
        if message and not (
            step.makes_table and message[-1].makes_table and len(message) < limit and length <= LONGEST_MESSAGE
        ):
            yield message
            message, length = [], len(step.sql)
        message.append(step)
    if message:
        yield message


def row_fill(table: Table, column: Column, draw: Callable[[], str], *, everywhere: bool) -> Step:
    """Return the step that gives each row a value of its own in a column.

    Raises `AutomigrateError` where the table has no primary key.
    """
    key = table.primary_key.columns if table.primary_key else ()
    if not key:
        raise AutomigrateError(
            f"The default of {table.name}.{column.name} is called for each row, and the table has no primary key to "
            f"identify its rows. Give it one, or give the rows one value with --default (defaults=)."
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
        kept=tuple(known.name for known in table.columns if known.follows_updates and known.name != column.name),
    )
    return Step(sql=EACH_ROW.format(table=table.name, column=column.name), table=table.name, fill=fill)


def concerned(changes: Iterable[Change]) -> dict[str, None]:
    """Return the tables that changes are about, and those at which new foreign keys point, in order."""
    tables: dict[str, None] = {}
    for change in changes:
        tables[change.table] = None
        if isinstance(change, AddConstraint) and isinstance(change.new, ForeignKey):
            tables[change.new.to_table] = None
    return tables
