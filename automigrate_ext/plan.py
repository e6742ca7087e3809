"""A plan: what differs, what a run would do about each difference, and the SQL that does it."""

from __future__ import annotations

import enum
import hashlib
import json
from dataclasses import dataclass, field

from automigrate_ext.changes import Change
from automigrate_ext.schema import Schema, canonical


class Verdict(enum.StrEnum):
    """What a run does about a difference."""

    APPLY = "apply"
    WITHHOLD = "withhold"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hazard:
    """What a change would do to the rows that are there, how many they are, and the way out."""

    code: str
    message: str
    rows: int | None = None
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}".strip() if self.remedy else self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A change, the verdict on it and the reasons."""

    change: Change
    verdict: Verdict = Verdict.APPLY
    hazards: tuple[Hazard, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The differences between a database and the models, in the order in which they are dealt with.

    True if carrying it out would do something. `schema` is what it was made against; `foreign` lists what
    came from nobody's model and is left alone; `tables` counts the tables of the models;
    `opening` and `closing` are what a script of the statements begins and ends with.
    """

    alias: str
    vendor: str
    schema: Schema = field(repr=False)
    judgements: tuple[Judgement, ...] = ()
    statements: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    opening: tuple[str, ...] = ()
    closing: tuple[str, ...] = ()
    tables: int = 0

    def __bool__(self) -> bool:
        return bool(self.statements or self.refused)

    @property
    def digest(self) -> str:
        """A short text that stands for the schema that the plan was made against."""
        return digest(self.schema)

    def judged(self, verdict: Verdict) -> tuple[Judgement, ...]:
        """The judgements with this verdict."""
        return tuple(judgement for judgement in self.judgements if judgement.verdict is verdict)

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes that a run carries out."""
        return tuple(judgement.change for judgement in self.judged(Verdict.APPLY))

    @property
    def withheld(self) -> tuple[Judgement, ...]:
        """What a run leaves undone so that no value is lost."""
        return self.judged(Verdict.WITHHOLD)

    @property
    def refused(self) -> tuple[Judgement, ...]:
        """What the rows do not allow; with any of these a run does nothing at all."""
        return self.judged(Verdict.REFUSE)

    def sql(self) -> str:
        """The statements as a script for the database's own shell, in a transaction as a run has it.

        What is withheld or refused is said in comments.
        """
        remarks = [f"-- {j.verdict.name}: {hazard}" for j in (*self.refused, *self.withheld) for hazard in j.hazards]
        framed = (*self.opening, *self.statements, *self.closing) if self.statements else ()
        statements = [f"{statement.rstrip().rstrip(';')};" for statement in framed]
        return "".join(f"{line}\n" for line in (*remarks, *statements))

    def as_json(self) -> str:
        """The plan as JSON, see docs/reference.md."""
        return json.dumps(self.as_dict(), indent=2, sort_keys=False)

    def as_dict(self) -> dict[str, object]:
        """The plan as plain values."""
        return {
            "version": 1,
            "database": self.alias,
            "vendor": self.vendor,
            "digest": self.digest,
            "changes": [judgement_dict(judgement) for judgement in self.judgements],
            "statements": list(self.statements),
            "foreign": list(self.foreign),
        }


def judgement_dict(judgement: Judgement) -> dict[str, object]:
    """One change of a plan as plain values."""
    return {
        "table": judgement.change.table,
        "change": type(judgement.change).__name__,
        "description": judgement.change.describe(),
        "verdict": judgement.verdict.value,
        "hazards": [
            {"code": hazard.code, "message": hazard.message, "rows": hazard.rows, "remedy": hazard.remedy}
            for hazard in judgement.hazards
        ],
    }


def digest(schema: Schema) -> str:
    """A short text that differs when the schema does."""
    text = json.dumps(canonical(schema), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
