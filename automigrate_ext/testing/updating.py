"""An update of a test database, and what is said of it: loaded where there is something to update, which takes time."""

from __future__ import annotations

from collections.abc import Iterator

from automigrate_ext.backends import backend_for
from automigrate_ext.changes import CreateTable, DropTable, plural
from automigrate_ext.plan import Plan
from automigrate_ext.record import Record
from automigrate_ext.run import Options
from automigrate_ext.selection import Selection
from automigrate_ext.testing.making import Making
from automigrate_ext.update import Update


def update(selection: Selection, *, verbosity: int, tell: bool) -> tuple[Plan, frozenset[str]]:
    """Make the tables what the models say, rows or not; returns the plan and the apps that are gone.

    `tell` says whether receivers of signals are told. Raises as `autoupdate` does.
    """
    before = Record(backend_for(selection.alias)).read().tables
    run = Update(selection, Options(accept_data_loss=True, verbosity=verbosity, tell=tell))
    with run.backend.guarded():
        plan = run.run()
    dropped = [before[change.table] for change in plan.changes if isinstance(change, DropTable)]
    return plan, frozenset(table.owner.partition(".")[0] for table in dropped)


def make(selection: Selection, *, verbosity: int) -> Plan:
    """Make all tables in a database that has none and will not be kept. Raises as `autoupdate` does."""
    return Making(selection, Options(verbosity=verbosity)).run()


def summary(plan: Plan, remade: str, time: str) -> str:
    """What was done in this time."""
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


def details(plan: Plan) -> Iterator[str]:
    """What was done, a line each."""
    from automigrate_ext import render

    if plan.judgements:
        yield from map(str, render.lines(plan, done=True))
