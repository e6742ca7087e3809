"""Carry out a plan: under a lock, re-read, run, compare again."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from django.db.utils import Error

from automigrate_ext.backends.base import Backend, Step
from automigrate_ext.exceptions import AutomigrateError, NotConverged, Refused
from automigrate_ext.plan.plan import Plan
from automigrate_ext.plan.progress import Meter
from automigrate_ext.schema.changes import AddConstraint, Change, CreateTable
from automigrate_ext.schema.nouns import ForeignKey

if TYPE_CHECKING:
    from automigrate_ext.plan.saved import Expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A plan with its steps, and how to tell that it did what it said.

    `announce` writes down what the next run has to know if this one is ended halfway, on a server that does
    not undo it. `leftover` reads the database again and says what still differs and was not announced; `settle`
    does what belongs to the run once nothing does, and `finish` what comes last. `expected` is what a saved plan has
    to have as its statements, where there is one to compare with. `meter` tells whoever watches how far the steps are.
    """

    plan: Plan
    steps: tuple[Step, ...]
    leftover: Callable[[], Sequence[str]]
    settle: Callable[[], None]
    finish: Callable[[], None] = lambda: None
    announce: Callable[[], None] = lambda: None
    expected: tuple[Expected, ...] = ()
    meter: Meter = field(default_factory=Meter)


Prepare = Callable[[], Draft]
#: Which tables' rows decide; asked with whether another run came first, so that the answer may have changed.
Stakes = Callable[[bool], Set[str]]


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a run has come: its plan, once there is one, and the batches of its steps that are done for good.

    `undoes_ddl` says whether a batch is a transaction, which is undone if it fails, or one statement.
    """

    undoes_ddl: bool
    plan: Plan | None = None
    batches: tuple[tuple[Step, ...], ...] = ()
    done: int = 0

    def story(self) -> str:
        """What happened to a run that failed."""
        if not self.done:
            return "The run failed and was undone" if self.undoes_ddl else "The run failed before it changed a table"
        parts = "transactions" if self.undoes_ddl else "statements"
        return (
            f"The run failed after {self.done} of its {len(self.batches)} {parts}, which stay done; the next run goes "
            f"on from there"
        )

    def tell(self, failure: AutomigrateError) -> None:
        """Let the error say what was done and what was not."""
        failure.plan = self.plan
        planned = self.plan.statements if self.plan else ()
        stays = self.stays(planned)
        failure.applied, failure.pending = planned[:stays], planned[stays:]

    def stays(self, planned: Sequence[str]) -> int:
        """How many of the planned statements stay done: those before the tables, and the batches."""
        if self.undoes_ddl and len(self.batches) < 2:
            return 0
        after = [hook for hook in self.plan.hooks if hook.when == "after"] if self.plan else []
        first = len(planned) - sum(map(len, self.batches)) - len(after)
        return first + sum(map(len, self.batches[: self.done]))


def execute(backend: Backend, found: Callable[[], None], stakes: Stakes, prepare: Prepare) -> Plan:
    """Run what `prepare` plans while nobody else can change the tables, after `found` made what they need first.

    Everything happens in one transaction, unless the server has no room for the locks of so many tables, or
    commits each statement by itself. Raises `Refused` before anything is touched, `LockNotAvailable` where others
    did not end in time, `ExecutionFailed` when a statement fails and `NotConverged` when the database still differs
    afterwards; the transaction is undone in each case.
    """
    progress = Progress(undoes_ddl=backend.undoes_ddl)
    try:
        return carry_out(backend, found, stakes, prepare, progress)
    except Error as error:
        failure = backend.failure(error, progress.story(), backend.advice(error))
        progress.tell(failure)
        raise failure from error
    except AutomigrateError as failure:
        progress.tell(failure)
        raise


def carry_out(
    backend: Backend, found: Callable[[], None], stakes: Stakes, prepare: Prepare, progress: Progress
) -> Plan:
    """The same; an error leaves in `progress` how far it came."""
    nested = backend.connection.in_atomic_block
    with backend.exclusive() as waited:
        found()
        backend.protect(stakes(waited))
        draft = prepare()
        progress.plan = draft.plan
        if draft.plan.refused:
            raise Refused(draft.plan, refusal(draft.plan))
        progress.batches = (draft.steps,) if nested else backend.batches(draft.steps)
        if not backend.undoes_ddl:
            carry_out_for_good(backend, draft, progress)
            return draft.plan
        if len(progress.batches) == 1:
            run_steps(backend, draft, draft.steps)
            finish(draft)
            return draft.plan
    for batch in progress.batches[:-1]:
        with backend.exclusive():
            run_steps(backend, draft, batch)
        progress.done += 1
    with backend.exclusive():
        run_steps(backend, draft, progress.batches[-1])
        finish(draft)
    return draft.plan


def carry_out_for_good(backend: Backend, draft: Draft, progress: Progress) -> None:
    """Run each statement by itself, under the lock that the run holds."""
    backend.make_sure(draft.steps)
    draft.announce()
    for batch in progress.batches:
        run_steps(backend, draft, batch)
        progress.done += 1
    finish(draft)


def finish(draft: Draft) -> None:
    """Compare, and conclude."""
    leftover = draft.leftover()
    if leftover:
        raise NotConverged(
            "After the run the database still differs from the models, so it was undone where the database can undo "
            "it: " + "; ".join(leftover)
        )
    draft.settle()
    draft.finish()


def run_steps(backend: Backend, draft: Draft, steps: Sequence[Step]) -> None:
    """Run steps, once nobody else uses the tables that they are for."""
    tables = {step.table for step in steps}
    made = {change.table for change in draft.plan.changes if isinstance(change, CreateTable)}
    backend.protect(tables - made, targets(draft.plan.changes) - made)
    with backend.metered(draft.meter):
        backend.run(steps)


def targets(changes: Sequence[Change]) -> set[str]:
    """The tables at which new foreign keys point."""
    tables = (change.new for change in changes if isinstance(change, CreateTable))
    constraints = (change.new for change in changes if isinstance(change, AddConstraint))
    keys = chain((key for table in tables for key in table.foreign_keys), constraints)
    return {key.to_table for key in keys if isinstance(key, ForeignKey)}


def refusal(plan: Plan) -> str:
    """Every reason for which nothing was done, one a line."""
    lines = ["Nothing was done, because the database does not allow all of it:"]
    lines += [f"- {hazard}" for judgement in plan.refused for hazard in judgement.hazards]
    lines += [f"? {likely.question()}" for likely in plan.likely_renames]
    return "\n".join(lines)
