"""What became of the targets of a run: values that reports are made of."""

from __future__ import annotations

import enum
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from automigrate_ext.plan.plan import Plan

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
    rows: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as plain values."""
        return {name: getattr(self, name) for name in type(self).__slots__}


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

    def reasons(self) -> dict[str, list[str]]:
        """Return each reason of a refusal or failure with the targets that it concerns."""
        reasons: dict[str, list[str]] = {}
        for outcome in self.outcomes.values():
            if outcome.reason:
                reasons.setdefault(outcome.reason, []).append(outcome.target)
        return reasons

    def as_json(self) -> str:
        """Return the report as JSON, see docs/reference.md."""
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


def outcome_from(values: dict[str, Any]) -> Outcome:
    """Return an outcome from plain values."""
    return Outcome(**{**values, "status": Status(values["status"])})


def as_outcomes(dicts: Iterable[dict[str, Any]]) -> Iterator[Outcome]:
    """Yield outcomes from plain values."""
    yield from map(outcome_from, dicts)
