"""Refuse what the server does not accept on empty copies of the tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.rehearsal import Objection
from automigrate_ext.backends.work import Step, Work
from automigrate_ext.hazards.withholding import keeping
from automigrate_ext.plan.codes import HazardCode
from automigrate_ext.plan.plan import Hazard, Judgement, Verdict, refused_for
from automigrate_ext.schema.changes import (
    AddColumn,
    AddConstraint,
    AddIndex,
    AlterColumn,
    AlterPrimaryKey,
    AlterTable,
    Change,
    CreateTable,
    DropColumn,
    DropConstraint,
    DropIndex,
    DropTable,
    ValidateConstraint,
)

BY_HAND = "Change the model or what stands in the way in the table, or make this change by hand, and run this again."

#: The kinds of changes, so that each comes after those on which it may rest; all others come first.
ORDER: tuple[type[Change], ...] = (
    DropConstraint,
    DropIndex,
    DropTable,
    CreateTable,
    AlterTable,
    AlterColumn,
    AddColumn,
    AlterPrimaryKey,
    DropColumn,
    AddConstraint,
    ValidateConstraint,
    AddIndex,
)


def refuse_unaccepted(
    backend: Backend,
    work_of: Callable[[Sequence[Change]], Work],
    work: Work,
    steps: Sequence[Step],
    judgements: Sequence[Judgement],
) -> tuple[Judgement, ...]:
    """Rehearse the `steps` of the work, and refuse the changes to which the server objects.

    `work_of` returns the work of some of the changes. Returns the judgements as they are where it accepts all.
    """
    against: defaultdict[int, list[Hazard]] = defaultdict(list)
    for objection in backend.rehearsal.play(work, steps):
        change = culprit(backend, work_of, work, objection)
        message = f"{change.describe()}: {backend.connection.display_name} does not accept that: {objection.words}"
        if objection.sql:
            message = f"{message.removesuffix('.')}. It was asked for: {objection.sql}"
        hazard = Hazard(code=HazardCode.NOT_ACCEPTED, message=message, advice=BY_HAND)
        against[id(judgement_of(change, judgements))].append(hazard)
    return tuple(refused_for(judgement, against[id(judgement)]) for judgement in judgements)


def culprit(backend: Backend, work_of: Callable[[Sequence[Change]], Work], work: Work, objection: Objection) -> Change:
    """Return the change to which the server objects: the first of the table's with which it does.

    All changes may be the one where the objection is not to a statement for a table, or to one for a table outside the
    run, whose foreign keys are put back.
    """
    of_table = [change for change in work.changes if change.table == objection.table]
    changes = sorted(of_table or work.changes, key=place)
    others = [change for change in work.changes if change not in changes]
    for number in range(1, len(changes)):
        part = work_of([*others, *changes[:number]])
        found = backend.rehearsal.play(part, backend.compile(part))
        if any(again.table == objection.table for again in found if again.table or again.words == objection.words):
            return changes[number - 1]
    return changes[-1]


def place(change: Change) -> int:
    """Return the place of a change among those of its table."""
    return next((number for number, kind in enumerate(ORDER) if isinstance(change, kind)), -1)


def judgement_of(change: Change, judgements: Iterable[Judgement]) -> Judgement:
    """Return the judgement on a change, or on one that is withheld and for which it is made."""
    of_table = [judgement for judgement in judgements if judgement.change.table == change.table]
    for judgement in of_table:
        instead = keeping(judgement.change) if judgement.verdict is Verdict.WITHHOLD else ()
        if judgement.change is change or change in instead:
            return judgement
    return of_table[0]
