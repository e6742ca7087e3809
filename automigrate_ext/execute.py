"""Carry out a plan: under a lock, re-read, run, compare again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from django.db.utils import DatabaseError

from automigrate_ext.backends.base import Backend, Step
from automigrate_ext.exceptions import ExecutionFailed, NotConverged, Refused
from automigrate_ext.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A plan with its steps, and how to tell that it did what it said.

    `leftover` reads the database again and says what still differs and was not announced; `settle` does
    what belongs to the run once nothing does.
    """

    plan: Plan
    steps: tuple[Step, ...]
    leftover: Callable[[], Sequence[str]]
    settle: Callable[[], None]
    protect: frozenset[str] = field(default_factory=frozenset)


Prepare = Callable[[], Draft]
D = TypeVar("D")


def execute(backend: Backend, protect: frozenset[str], prepare: Prepare) -> Plan:
    """Run what `prepare` plans while nobody else can change the tables.

    Everything happens in one transaction, unless the server has no room for the locks of so many tables.
    Raises `Refused` before anything is touched, `ExecutionFailed` when a statement fails and
    `NotConverged` when the database still differs afterwards; the transaction is undone in each case.
    """
    nested = backend.connection.in_atomic_block
    with backend.exclusive():
        backend.protect(protect)
        draft = prepare()
        if draft.plan.refused:
            raise Refused(draft.plan, refusal(draft.plan))
        batches = (draft.steps,) if nested else backend.batches(draft.steps)
        if len(batches) == 1:
            finish(backend, draft, batches[0])
            return draft.plan
    for batch in batches[:-1]:
        with backend.exclusive():
            run_steps(backend, batch)
    with backend.exclusive():
        finish(backend, draft, batches[-1])
    return draft.plan


def finish(backend: Backend, draft: Draft, steps: Sequence[Step]) -> None:
    """Run the last steps and compare."""
    run_steps(backend, steps)
    leftover = draft.leftover()
    if leftover:
        raise NotConverged(
            "After the run the database still differs from the models, so it was undone where the database can undo "
            "it: " + "; ".join(leftover)
        )
    draft.settle()


def run_steps(backend: Backend, steps: Sequence[Step]) -> None:
    """Run steps, turning the server's error into one that says what happened to the run."""
    try:
        backend.run(steps)
    except DatabaseError as error:
        raise ExecutionFailed(f"The run failed and was undone: {backend.explain(error)}") from error


def refusal(plan: Plan) -> str:
    """Every reason for which nothing was done, one a line."""
    lines = ["Nothing was done, because the database does not allow all of it:"]
    lines += [f"- {hazard}" for judgement in plan.refused for hazard in judgement.hazards]
    return "\n".join(lines)
