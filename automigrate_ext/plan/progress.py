"""The progress of a run, as reported to a callback. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from dataclasses import replace as evolve

from automigrate_ext.plan.cost import Size


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    """The progress of a run on the database `alias`: `finished` of its `statements` are, and `sql` begins, on `table`.

    `table` is empty for a statement that concerns no table in particular, and `sql` is empty once all have run. `size`
    is the number of rows in the table, None where the plan has no remark on it, because nothing takes long. Where each
    row gets a value of its own, `rows` is the number of rows that lack one and `rows_done` the number of rows that
    have got theirs; servers do not report the progress of any other statement, and both are None.
    """

    alias: str
    finished: int
    statements: int
    table: str = ""
    sql: str = ""
    size: Size | None = None
    rows: int | None = None
    rows_done: int | None = None


Watch = Callable[[RunProgress], None]


@dataclass(slots=True, kw_only=True)
class Meter:
    """Counts the statements of a run, and reports to `watch`, if there is one; `sizes` are those of the tables."""

    watch: Watch | None = None
    alias: str = ""
    statements: int = 0
    sizes: Mapping[str, Size] = field(default_factory=dict)
    finished: int = 0
    #: How many of the statements that were sent last have not been counted yet.
    under_way: int = 0

    @contextmanager
    def statement(self, table: str, sql: str, *, count: int = 1) -> Iterator[RunProgress]:
        """Report a statement, or `count` of them at once of which `sql` is the first, and count it after the block."""
        begun = evolve(self.progress(), table=table, sql=sql, size=self.sizes.get(table))
        self.report(begun)
        self.under_way = count
        yield begun
        while self.under_way:
            self.count_one()
        if self.finished == self.statements:
            self.report(self.progress())

    def count_one(self) -> None:
        """Count one of the statements that are under way."""
        self.finished += 1
        self.under_way -= 1

    def progress(self) -> RunProgress:
        """Return the progress between two statements."""
        return RunProgress(alias=self.alias, finished=self.finished, statements=self.statements)

    def report(self, progress: RunProgress) -> None:
        """Call `watch` with the progress."""
        if self.watch:
            self.watch(progress)
