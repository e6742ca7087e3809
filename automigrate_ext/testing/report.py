"""What became of a test database, as a value and as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from automigrate_ext.words import plural

if TYPE_CHECKING:
    from automigrate_ext.plan.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseReport:
    """What became of one test database, in `seconds`.

    `plan` is what was carried out, None where nothing had to be; `remade` is why a kept database was made again, and
    `source` names the database of which this one is a copy.
    """

    alias: str
    database: str
    seconds: float
    plan: Plan | None = None
    remade: str = ""
    source: str = ""

    def line(self) -> str:
        """Return the report in one line."""
        return f"test database {self.database!r}: {self.summary()}"

    def summary(self) -> str:
        """Return what was done, and how long it took."""
        time = f"{self.seconds:.2f} s"
        if self.source:
            return f"copied from {self.source!r} in {time}"
        return f"up to date, {time}" if self.plan is None else summarize(self.plan, self.remade, time)

    def details(self) -> Iterator[str]:
        """Yield what was done, a line each."""
        if self.plan is not None and self.plan.judgements:
            # Printed with -v only, and where something was done.
            from automigrate_ext.plan import text

            yield from map(str, text.lines(self.plan, done=True))


def summarize(plan: Plan, remade: str, time: str) -> str:
    """Return what was done by a plan in this time."""
    # Where there is no plan, tests do not wait for what plans are made of.
    from automigrate_ext.schema.changes import CreateTable

    changes = plan.changes
    if remade:
        return f"rebuilt with {plural(len(changes), 'table')} in {time}, because {remade}"
    if not changes:
        return f"{plural(len(plan.hooks), 'hook')} run in {time}" if plan.hooks else f"up to date, {time}"
    if all(isinstance(change, CreateTable) for change in changes):
        return f"{plural(len(changes), 'table')} created in {time}"
    return f"{plural(len(changes), 'change')} applied in {time}{losses(plan)}"


def losses(plan: Plan) -> str:
    """Return how many changes lost values of rows, if any did."""
    lossy = [judgement for judgement in plan.judgements if judgement.hazards]
    return f"; {len(lossy)} of them lost values" if lossy else ""
