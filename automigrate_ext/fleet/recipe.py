"""What a run did in the first target of a shape, to be done in the others without comparing again.

Only what the server itself refuses where rows do not allow it, and what loses no value, is repeated: a statement that
succeeds leaves the same tables as in the first target, which is looked at afterwards. For anything else, each target
has a run of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from automigrate_ext import signals
from automigrate_ext.backends.fingerprint import FINGERPRINT, Look
from automigrate_ext.backends.work import Fill
from automigrate_ext.plan.plan import Verdict
from automigrate_ext.run.prerequisites import Prerequisites
from automigrate_ext.run.standing import Seal, parse
from automigrate_ext.run.state import Prepared
from automigrate_ext.run.update import Update
from automigrate_ext.schema.changes import (
    AddColumn,
    AddConstraint,
    AddIndex,
    CreateExtension,
    CreateTable,
    DropConstraint,
    DropIndex,
)

#: The changes that no row can lose a value by.
HARMLESS = (AddColumn, AddConstraint, AddIndex, CreateExtension, CreateTable, DropConstraint, DropIndex)

#: The locks that a run takes besides those of its statements: two advisory ones, and the record with its index, its
#: table of long texts and the index of that.
LOCKS_OF_A_RUN = 6

Rows = Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What makes one target of a shape like the first one.

    `rows` are rows of the record that are new or have changed, `gone` those that went. `sends` is whether receivers
    of `pre_migrate` and `post_migrate` have something to do. `note` is the name of the note that holds the seal, and
    `seal` its text, which has what there is to be in the end.
    """

    statements: tuple[str, ...]
    rows: Rows
    gone: tuple[str, ...]
    sends: bool
    note: str
    seal: str
    changes: int

    def reaches(self, look: Look) -> bool:
        """Return whether what was found in a target is what the first one had in the end."""
        seal = self.parsed
        return (dict(look.tables), look.surroundings, look.record) == (
            dict(seal.tables),
            seal.surroundings,
            seal.record,
        )

    @property
    def parsed(self) -> Seal:
        """The seal of the first target."""
        seal = parse(self.seal)
        assert seal is not None, "a recipe is made of a valid seal"
        return seal

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values, for a task that another process carries out."""
        return {name: getattr(self, name) for name in type(self).__slots__}


def from_dict(values: Mapping[str, Any]) -> Recipe:
    """Return a recipe from plain values, in which tuples may have become lists."""
    rows = {name: tuple(row) for name, row in values["rows"].items()}
    return Recipe(**{**values, "rows": rows, "statements": tuple(values["statements"]), "gone": tuple(values["gone"])})


class LeadUpdate(Update):
    """The `autoupdate` of the first target of a shape, which keeps what it has prepared last."""

    prepared: Prepared | None = None

    def prepare(self, made: Prerequisites | None) -> Prepared:
        self.prepared = super().prepare(made)
        return self.prepared

    def recipe(self, before: Rows, after: Rows) -> Recipe | None:
        """Return what the run did, None where it cannot be repeated; these are the rows of the record."""
        note = self.standing.own_note
        seal = parse(after.get(note, ("", ""))[1])
        if seal is None or seal.kept or not self.is_repeatable():
            return None
        changes = self.prepared.plan.changes if self.prepared else ()
        changed = {name: row for name, row in after.items() if before.get(name) != row}
        return Recipe(
            statements=tuple(step.sql for step in self.prepared.steps) if self.prepared else (),
            rows={name: row for name, row in changed.items() if not name.startswith(FINGERPRINT)},
            gone=tuple(name for name in before if name not in after and not name.startswith(FINGERPRINT)),
            sends=any(isinstance(change, CreateTable) for change in changes) or has_own_receivers(),
            note=note,
            seal=after[note][1],
            changes=len(changes),
        )

    @property
    def locks(self) -> int:
        """The locks of the server that the run takes: those of its statements, of the record and of runs."""
        return LOCKS_OF_A_RUN + (sum(step.locks for step in self.prepared.steps) if self.prepared else 0)

    def is_repeatable(self) -> bool:
        """Return whether the statements do in any target of the shape what they did in this one."""
        if signals.pre_run.receivers or signals.post_run.receivers or self.options.record_migrations:
            return False
        if self.prepared is None:
            return True
        plan, work = self.prepared.plan, self.prepared.work
        return (
            not plan.hooks
            and all(judgement.verdict is Verdict.APPLY for judgement in plan.judgements)
            and all(isinstance(change, HARMLESS) for change in plan.changes)
            and not any(step.fill for step in self.prepared.steps)
            and all(self.is_constant(place, fill) for place, fill in (work.fills.items() if work else ()))
        )

    def is_constant(self, place: tuple[str, str], fill: Fill) -> bool:
        """Return whether rows without a value get the same one in every target."""
        return fill.draw is None and not self.desired.is_momentary(*place)


def has_own_receivers() -> bool:
    """Return whether others than Django's own apps receive `pre_migrate` or `post_migrate`.

    Django's own write rows for models and permissions that are new, and for nothing else.
    """
    return any(not str(receiver.__module__).startswith("django.contrib.") for receiver in signals.receivers())
