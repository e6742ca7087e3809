"""The values that go forward through a run: what was compared, and what is prepared to be carried out."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db.models import Model

from automigrate_ext.backends.work import Step, Work
from automigrate_ext.plan.plan import Plan
from automigrate_ext.run.hooks import Hook
from automigrate_ext.run.prerequisites import Prerequisites
from automigrate_ext.schema.changes import Change, CreateTable
from automigrate_ext.schema.nouns import Schema
from automigrate_ext.schema.ownership import Ownership
from automigrate_ext.schema.phases import Phases


@dataclass(frozen=True, slots=True, kw_only=True)
class Followers:
    """The columns of models outside the run that follow a key which changes its type, and those models' tables."""

    columns: dict[type[Model], frozenset[str]] = field(default_factory=dict)
    declared: Schema = field(default_factory=lambda: Schema({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The current and the desired schema as one look found them, and the changes between them.

    `declared` is what the models declare, `desired` the same with what it takes over from `current`. `ownership` is the
    record under the names that things have once the `renames` are done; `removed` are the recorded tables that no model
    declares any more, `notes` what the plan remarks on renames that are not to be done. In an expand `phases` are the
    differences, divided, and `changes` those that the expand makes.
    """

    current: Schema
    desired: Schema
    declared: Schema
    changes: tuple[Change, ...] = ()
    ownership: Ownership = field(default_factory=Ownership)
    removed: tuple[str, ...] = ()
    renames: tuple[Change, ...] = ()
    followers: Followers = field(default_factory=Followers)
    notes: tuple[str, ...] = ()
    prerequisites: Prerequisites = field(default_factory=Prerequisites)
    phases: Phases | None = None

    @property
    def goal(self) -> Schema:
        """The schema to which the changes lead: the desired one, in an expand without what waits for the contract."""
        return self.phases.expanded if self.phases else self.desired

    @property
    def later(self) -> tuple[Change, ...]:
        """The changes that an expand leaves for the contract."""
        return self.phases.later if self.phases else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A plan with all that it takes to carry it out.

    `state` is what it was made from, `work` what `steps` carry out, `used` the tables of these that have rows. `after`
    are the entries of AUTOMIGRATE["AFTER"] that end the run, `withheld` the changes that are expected to be left over.
    Of what another run has done in the meantime (`is_done`), nothing is left to compare, record or send.
    """

    plan: Plan
    state: State
    steps: tuple[Step, ...] = ()
    work: Work | None = None
    used: frozenset[str] = frozenset()
    after: tuple[Hook, ...] = ()
    withheld: frozenset[str] = frozenset()
    is_done: bool = False

    @property
    def created(self) -> frozenset[str]:
        """The tables that the run makes."""
        return frozenset(change.table for change in self.plan.changes if isinstance(change, CreateTable))

    def leftover(self, reached: State) -> list[str]:
        """Return in words what still differs after the run and was not expected to."""
        return [change.describe() for change in reached.changes if identify(change) not in self.withheld]


def identify(change: Change) -> str:
    """Return a text by which a change is found again in a later comparison."""
    return change.table + change.describe()
