"""How far a run is: what whoever watches it is told. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from dataclasses import replace as evolve

from automigrate_ext.plan.cost import Size


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    """How far a run is on the database `alias`: `finished` of its `statements` are, and `sql` begins, on `table`.

    `table` is empty for a statement that is about no table in particular, and so is `sql` once all are run. `size` is
    how many rows the table has, None where the plan remarks nothing on it, because nothing takes long. Where each row
    gets a value of its own, `rows` is how many lack one and `rows_done` how many have got it; of any other statement
    the server does not tell how far it is, and both are None.
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
    """Counts the statements of a run, and tells `watch`, if there is one; `sizes` are those of the tables."""

    watch: Watch | None = None
    alias: str = ""
    statements: int = 0
    sizes: Mapping[str, Size] = field(default_factory=dict)
    finished: int = 0

    @contextmanager
    def statement(self, table: str, sql: str, *, count: int = 1) -> Iterator[RunProgress]:
        """A block in which a statement runs, or `count` of them at once, of which `sql` is the first."""
        begun = evolve(self.progress(), table=table, sql=sql, size=self.sizes.get(table))
        self.report(begun)
        yield begun
        self.finished += count
        if self.finished == self.statements:
            self.report(self.progress())

    def progress(self) -> RunProgress:
        """How far the run is, between two statements."""
        return RunProgress(alias=self.alias, finished=self.finished, statements=self.statements)

    def report(self, progress: RunProgress) -> None:
        """Say how far the run is."""
        if self.watch:
            self.watch(progress)
