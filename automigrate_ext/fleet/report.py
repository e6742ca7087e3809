"""What became of the targets of a run: values that reports are made of."""

from __future__ import annotations

import enum
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from typing import Any

from automigrate_ext.plan.plan import Plan
from automigrate_ext.plan.text import duration, lines
from automigrate_ext.words import plural

#: The version of the JSON; every change that could break a reader increases it.
VERSION = 1


class Status(enum.StrEnum):
    """What became of a target."""

    MATCHES = "matches"
    DIFFERS = "differs"
    CHANGED = "changed"
    REFUSED = "refused"
    FAILED = "failed"
    ABSENT = "absent"
    NOT_BEGUN = "not begun"
    UNDONE = "undone"


#: The ends of a target by which a run as a whole has failed.
FAILURES = frozenset({Status.REFUSED, Status.FAILED})


#: The ends of targets as a summary counts them: of one, and of several.
COUNTED = {
    Status.MATCHES: ("matches", "match"),
    Status.DIFFERS: ("differs", "differ"),
    Status.CHANGED: ("changed", "changed"),
    Status.REFUSED: ("refused", "refused"),
    Status.FAILED: ("failed", "failed"),
    Status.ABSENT: ("not there", "not there"),
    Status.NOT_BEGUN: ("not begun", "not begun"),
    Status.UNDONE: ("undone", "undone"),
}
#: The ends that are listed without a reason of their own.
REMARKS = {
    Status.ABSENT: "Passed over, because there is no such schema (--create makes it)",
    Status.UNDONE: "Undone with the others",
    Status.NOT_BEGUN: "Not begun",
}
#: How many names a line lists.
NAMES_LISTED = 10


def listed(names: Sequence[str], verbosity: int = 1) -> str:
    """Return names as a line has them: of many the first ones, unless all are asked for."""
    if verbosity > 1 or len(names) <= NAMES_LISTED:
        return ", ".join(names)
    return f"{', '.join(names[:NAMES_LISTED])} and {len(names) - NAMES_LISTED:,} more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one target.

    `shape` is the digest of what was found there, "" where it had none; `reason` is why a target was refused or failed;
    `changes` counts the differences that were dealt with, `kept` those that were left so that no value is lost.
    """

    target: str
    status: Status
    shape: str = ""
    reason: str = ""
    changes: int = 0
    kept: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as plain values."""
        return {name: getattr(self, name) for name in type(self).__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetProgress:
    """How far a run over many targets has come: `total` is how many there are, `failed` how many of the `done`."""

    done: int
    failed: int
    total: int

    def describe(self, seconds: float) -> str:
        """Return the progress in words, after so many seconds."""
        failed = f", {self.failed:,} failed" if self.failed else ""
        left = duration(seconds * (self.total - self.done) / self.done) if self.done else "some time"
        return f"{self.done:,} of {plural(self.total, 'target')} done{failed}, {left} left"


@dataclass(slots=True, kw_only=True)
class Shape:
    """Targets that were found alike: the plan that was made for the first of them, and the names of all.

    `plan` is None where no plan came about, because that one failed.
    """

    digest: str
    targets: list[str] = field(default_factory=list)
    plan: Plan | None = None


class FleetReport:
    """What became of all targets of a run, in their order.

    True if a run would do something, or has done something.
    """

    def __init__(self, command: str = "autoupdate") -> None:
        self.command = command
        self.outcomes: dict[str, Outcome] = {}
        self.shapes: dict[str, Shape] = {}

    def __bool__(self) -> bool:
        return any(outcome.status not in (Status.MATCHES, Status.ABSENT) for outcome in self.outcomes.values())

    def __repr__(self) -> str:
        counts = ", ".join(f"{number} {status}" for status, number in self.counts().items())
        return f"<{type(self).__name__}: {counts}>"

    def add(self, outcome: Outcome) -> None:
        """Add what became of a target; a later word on the same target takes the place of the earlier one."""
        self.outcomes[outcome.target] = outcome

    def names(self, *statuses: Status) -> list[str]:
        """Return the names of the targets of which one of these became, in their order."""
        return [outcome.target for outcome in self.outcomes.values() if outcome.status in statuses]

    def counts(self) -> dict[Status, int]:
        """Return how many targets had each of the ends, in the order of `Status`."""
        counted = Counter(outcome.status for outcome in self.outcomes.values())
        return {status: counted[status] for status in Status if counted[status]}

    @property
    def failed(self) -> list[str]:
        """The targets that were refused or failed."""
        return self.names(*FAILURES)

    @property
    def is_expanded(self) -> bool:
        """Whether all that differs is what an expand has left for the contract."""
        plans = [shape.plan for shape in self.shapes.values()]
        return not self.failed and bool(plans) and all(plan is not None and is_past_expand(plan) for plan in plans)

    def reasons(self) -> dict[str, list[str]]:
        """Return each reason of a refusal or failure with the targets that it concerns."""
        reasons: dict[str, list[str]] = {}
        for outcome in self.outcomes.values():
            if outcome.reason:
                reasons.setdefault(outcome.reason, []).append(outcome.target)
        return reasons

    def mark_undone(self) -> None:
        """Record that what was done in one transaction with a target that failed has been undone."""
        for name in self.names(Status.CHANGED):
            self.outcomes[name] = evolve(self.outcomes[name], status=Status.UNDONE)

    # In words

    def text(self, *, verbosity: int = 1, done: bool = True) -> Iterator[str]:
        """Yield the report line by line: each shape with its plan, each reason once, and all names at verbosity 2."""
        for shape in self.shapes.values():
            if shape.plan and (shape.plan.judgements or shape.plan.hooks):
                yield self.heading(shape)
                yield from (str(line) for line in lines(shape.plan, verbosity=verbosity, done=done))
        for reason, names in self.reasons().items():
            yield f"{listed(names, verbosity)}: {reason}"
        for status, words in REMARKS.items():
            if names := self.names(status):
                yield f"{words}: {listed(names, verbosity)}"
        if verbosity > 1:
            for outcome in self.outcomes.values():
                yield f"  {outcome.target}: {outcome.status}"

    def heading(self, shape: Shape) -> str:
        """Return the line above the plan of a shape."""
        if len(shape.targets) == 1:
            return f"Target {shape.targets[0]}"
        return f"{plural(len(shape.targets), 'target')}, such as {shape.targets[0]}"

    def summary(self, *, seconds: float | None = None) -> str:
        """Return one line that counts what became of the targets."""
        if not self.outcomes:
            return "There are no targets."
        counts = ", ".join(f"{number:,} {COUNTED[status][number != 1]}" for status, number in self.counts().items())
        took = f" in {seconds:.2f} s" if seconds is not None else ""
        return f"{plural(len(self.outcomes), 'target')}: {counts}{took}."

    def comparison(self) -> str:
        """Return one line on how many targets match, and which do not."""
        differing = self.names(Status.DIFFERS, Status.REFUSED)
        matching = len(self.names(Status.MATCHES))
        words = f"{matching:,} of {plural(len(self.outcomes), 'target')} {'matches' if matching == 1 else 'match'}"
        if not differing:
            return f"{words}."
        ways = len({self.outcomes[name].shape for name in differing})
        if self.is_expanded:
            return (
                f"{words}; {len(differing):,} {'is' if len(differing) == 1 else 'are'} expanded: {listed(differing)}."
            )
        verb = "differs" if len(differing) == 1 else "differ"
        return f"{words}; {len(differing):,} {verb} in {plural(ways, 'way')}: {listed(differing)}."

    def as_json(self) -> str:
        """Return the report as JSON, see docs/fleets.md."""
        return json.dumps(self.as_dict(), indent=2)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values: one entry a shape."""
        return {
            "version": VERSION,
            "command": self.command,
            "targets": len(self.outcomes),
            "counts": {status.value: number for status, number in self.counts().items()},
            "shapes": [self.shape_dict(shape) for shape in self.shapes.values()],
            "reasons": [{"reason": reason, "targets": names} for reason, names in self.reasons().items()],
            "absent": self.names(Status.ABSENT),
            "not_begun": self.names(Status.NOT_BEGUN),
        }

    def shape_dict(self, shape: Shape) -> dict[str, Any]:
        """Return one shape as plain values."""
        ends = Counter(self.outcomes[name].status for name in shape.targets if name in self.outcomes)
        return {
            "shape": shape.digest,
            "targets": list(shape.targets),
            "outcomes": {status.value: ends[status] for status in Status if ends[status]},
            "plan": shape.plan.as_dict() if shape.plan else None,
        }


def is_past_expand(plan: Plan) -> bool:
    """Return whether an expand has left at most what a plan does."""
    return plan.expanded or not plan


def outcome_from(values: dict[str, Any]) -> Outcome:
    """Return an outcome from plain values."""
    return Outcome(**{**values, "status": Status(values["status"])})
