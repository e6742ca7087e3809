"""Rehearse a plan: play its statements on empty copies of the tables, before the first one of them runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.utils import Error

from automigrate_ext.backends.work import Step, Work
from automigrate_ext.schema.changes import (
    AddConstraint,
    Change,
    CreateTable,
    RenameColumn,
    RenameSequence,
    RenameTable,
)
from automigrate_ext.schema.nouns import ForeignKey

if TYPE_CHECKING:
    from automigrate_ext.backends.base import Backend

#: The changes of names alone.
RENAMES = (RenameTable, RenameColumn, RenameSequence)

NOT_REHEARSED = "Not rehearsed on copies of the tables, as {reason}. The server may still refuse a statement of a run."


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """What the server does not accept of a plan, in its words: a statement for a table, or what all lead to."""

    words: str
    table: str = ""
    sql: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The changes to rehearse, and the tables that have to be copied for that.

    `altered` are the tables that the statements change, `made` those that they make, `targets` those at which they
    point. `points_at` maps tables to all others at which they point.
    """

    changes: tuple[Change, ...]
    altered: tuple[str, ...]
    made: tuple[str, ...]
    targets: tuple[str, ...]
    points_at: Mapping[str, frozenset[str]]

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of all tables to copy."""
        return (*self.altered, *self.targets)

    @property
    def played(self) -> tuple[str, ...]:
        """The names of all tables of whose statements the server is asked."""
        return (*self.altered, *self.made)


class Rehearsal:
    """Plays the statements of a plan on empty copies of its tables; by default none is played."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.connection = backend.connection
        self.session = backend.session
        self.faults = backend.faults
        #: Texts that a plan carries about what is not rehearsed.
        self.notes: tuple[str, ...] = ()

    def play(self, work: Work, steps: Sequence[Step]) -> tuple[Objection, ...]:
        """Play the `steps` that carry out the work; return what the server does not accept, one objection a table.

        What cannot be rehearsed becomes a note of the plan. Raises the errors of a server that fails or is in the way.
        """
        return ()

    def note(self, reason: str) -> None:
        """Add to the notes of the plan why something is not rehearsed."""
        note = NOT_REHEARSED.format(reason=reason)
        self.notes = tuple(dict.fromkeys((*self.notes, note)))

    def objections(self, steps: Iterable[Step], scene: Scene, execute: Callable[[Step], object]) -> Iterator[Objection]:
        """Execute the steps, each by itself, and yield the errors: the first of each table.

        A table of which a statement failed is left alone from then on, and so is what points at it.
        """
        failed: set[str] = set()
        for step in steps:
            if not is_played(step) or step.table in failed or failed & scene.points_at.get(step.table, frozenset()):
                continue
            try:
                execute(step)
            except Error as error:
                self.raise_faults(error)
                failed.add(step.table)
                yield Objection(table=step.table, sql=step.sql, words=" ".join(self.faults.words(error).split()))

    def raise_faults(self, error: Error) -> None:
        """Raise an error again for which the statement is not to blame."""
        if self.faults.is_fault(error) or self.faults.is_locked(error):
            raise error


def is_played(step: Step) -> bool:
    """Return whether a step is for tables, and not for the transaction or for rows, of which there are none."""
    return bool(step.table or step.locks) and step.fill is None


def set_scene(work: Work, touched: Iterable[str] = ()) -> Scene | None:
    """Return what there is to rehearse: changes of tables that are there, and new tables that point at these.

    The server has accepted the definitions of new tables before, without their foreign keys. Renames of tables and
    columns are left out, as the databases that undo them have tried them. `touched` are tables that change though no
    change is about them, such as those whose foreign keys are put back.
    """
    changes = [change for change in work.changes if not isinstance(change, RENAMES)]
    new = {change.table for change in changes if isinstance(change, CreateTable)}
    named = (*(change.table for change in changes), *touched)
    altered = tuple(name for name in dict.fromkeys(named) if work.current.get(name))
    points_at: defaultdict[str, set[str]] = defaultdict(set)
    for table, key in pointing(work, changes, altered):
        points_at[table].add(key.to_table)
    pending = [*altered, *(name for name in sorted(new) if points_at[name] - new)]
    if not pending:
        return None
    played: dict[str, None] = {}
    while pending:
        name = pending.pop()
        if name not in played:
            played[name] = None
            pending += sorted(points_at[name] & new)
    targets = dict.fromkeys(target for name in played for target in sorted(points_at[name]))
    return Scene(
        changes=tuple(change for change in changes if change.table in played),
        altered=altered,
        made=tuple(name for name in played if name in new),
        targets=tuple(name for name in targets if name not in altered and name not in new),
        points_at={name: frozenset(tables - {name}) for name, tables in points_at.items()},
    )


def pointing(work: Work, changes: Iterable[Change], altered: Iterable[str]) -> Iterator[tuple[str, ForeignKey]]:
    """Yield the foreign keys that the tables of the changes have or get, each with the name of its table."""
    for name in altered:
        yield from ((name, key) for key in work.current.tables[name].foreign_keys)
    for change in changes:
        if isinstance(change, CreateTable):
            yield from ((change.table, key) for key in change.new.foreign_keys)
        elif isinstance(change, AddConstraint) and isinstance(change.new, ForeignKey):
            yield change.table, change.new
