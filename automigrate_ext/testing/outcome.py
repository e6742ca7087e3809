"""What became of a test database, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from automigrate_ext.plan.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one test database, in `seconds`.

    `plan` is what was carried out, None where nothing had to be; `remade` says why a kept database was made anew, and
    `source` names the one of which it is a copy.
    """

    alias: str
    database: str
    seconds: float
    plan: Plan | None = None
    remade: str = ""
    source: str = ""

    def line(self) -> str:
        """What is said of it in one line."""
        return f"test database {self.database!r}: {self.what()}"

    def what(self) -> str:
        """What happened."""
        time = f"{self.seconds:.2f} s"
        if self.source:
            return f"copied from {self.source!r} in {time}"
        return f"up to date, {time}" if self.plan is None else summary(self.plan, self.remade, time)

    def details(self) -> Iterator[str]:
        """What was done, a line each."""
        if self.plan is not None and self.plan.judgements:
            from automigrate_ext.plan import text

            yield from map(str, text.lines(self.plan, done=True))


def summary(plan: Plan, remade: str, time: str) -> str:
    """What was done in this time."""
    # Where there is no plan, tests do not wait for what plans are made of.
    from automigrate_ext.schema.changes import CreateTable, plural

    changes = plan.changes
    if remade:
        return f"made anew with {plural(len(changes), 'table')} in {time}, because {remade}"
    if not changes:
        return f"{plural(len(plan.hooks), 'hook')} run in {time}" if plan.hooks else f"up to date, {time}"
    if all(isinstance(change, CreateTable) for change in changes):
        return f"{plural(len(changes), 'table')} created in {time}"
    return f"{plural(len(changes), 'change')} applied in {time}{losses(plan)}"


def losses(plan: Plan) -> str:
    """That values of rows went along, if they did."""
    lossy = [judgement for judgement in plan.judgements if judgement.hazards]
    return f"; {len(lossy)} of them lost values" if lossy else ""
