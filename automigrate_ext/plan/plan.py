"""A plan: what differs, what a run would do about each difference, and the SQL that does it."""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from automigrate_ext.plan.cost import Remark
from automigrate_ext.schema.changes import Change, subject_of
from automigrate_ext.schema.nouns import Schema, canonical

#: The version of the JSON; a change that could break a reader makes it another.
VERSION = 1


class Verdict(enum.StrEnum):
    """What a run does about a difference."""

    APPLY = "apply"
    WITHHOLD = "withhold"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hazard:
    """What a change would do to the rows that are there, how many they are, and the way out.

    `samples` are the primary keys of up to five of them, `key` the columns that these are of.
    """

    code: str
    message: str
    rows: int | None = None
    remedy: str = ""
    key: tuple[str, ...] = ()
    samples: tuple[tuple[object, ...], ...] = ()

    def __str__(self) -> str:
        return f"{self.reason}. {self.remedy}" if self.remedy else self.reason

    @property
    def reason(self) -> str:
        """The message, with some of the rows."""
        return f"{self.message} ({self.examples})" if self.samples else self.message

    @property
    def examples(self) -> str:
        """Some of the rows by their primary key: "id 1, 2, 3"."""
        keys = [", ".join(map(str, key)) for key in self.samples]
        more = self.rows is None or self.rows > len(keys)
        texts = keys if len(self.key) == 1 else [f"({key})" for key in keys]
        columns = self.key[0] if len(self.key) == 1 else f"({', '.join(self.key)})"
        return f"{columns} {', '.join([*texts, *(['...'] if more else [])])}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A change, the verdict on it and the reasons."""

    change: Change
    verdict: Verdict = Verdict.APPLY
    hazards: tuple[Hazard, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a plan was asked for: by which command, for which labels (None for all models), and with which options."""

    command: str = "autoupdate"
    models: tuple[str, ...] | None = None
    renames: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    accept_data_loss: bool = False
    prune: bool = False
    cascade: bool = False

    def as_dict(self) -> dict[str, object]:
        """The request as plain values; what JSON does not know becomes text."""
        return {
            "command": self.command,
            "models": None if self.models is None else list(self.models),
            "renames": dict(self.renames),
            "defaults": json.loads(json.dumps(dict(self.defaults), default=str)),
            "accept_data_loss": self.accept_data_loss,
            "prune": self.prune,
            "cascade": self.cascade,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelyRename:
    """What went and what came look alike: `old` and `new` as `--rename` and `renames` take them."""

    old: str
    new: str

    @property
    def option(self) -> str:
        """What `--rename` takes."""
        return f"{self.old}={self.new}"

    def question(self, *, done: bool = False) -> str:
        """The question, and what to do if the answer is yes."""
        return f"Was {self.old} renamed to {self.new}? {'Next time' if done else 'Then'} pass --rename {self.option}."


@dataclass(frozen=True, slots=True, kw_only=True)
class HookStep:
    """An entry of AUTOMIGRATE["BEFORE"] or ["AFTER"] that a run carries out.

    `when` is "before" or "after" the tables, `name` the entry as it is written; `statement` is the text of a file, or
    a comment that stands for a function.
    """

    when: str
    name: str
    statement: str
    is_sql: bool = True

    def describe(self) -> str:
        """Say in one line what carrying it out does."""
        return f"{'Run' if self.is_sql else 'Call'} {self.name} {self.when} the tables"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The differences between a database and the models, in the order in which they are dealt with.

    True if carrying it out would do something. `schema` is what it was made against; `foreign` lists what
    came from nobody's model and is left alone; `notes` are remarks on models left out of one of several databases,
    and on renames of which nothing is left to do, `likely_renames` renames that nobody spoke of; `tables` counts the
    tables of the models; `opening` and `closing` are what a script of the statements begins and ends with; `remarks`
    say what carrying it out means for tables with rows; `hooks` are the entries of the setting AUTOMIGRATE that are
    due; `request` is what was asked for.
    """

    alias: str
    vendor: str
    schema: Schema = field(repr=False)
    judgements: tuple[Judgement, ...] = ()
    statements: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    likely_renames: tuple[LikelyRename, ...] = ()
    opening: tuple[str, ...] = ()
    closing: tuple[str, ...] = ()
    tables: int = 0
    remarks: tuple[Remark, ...] = ()
    hooks: tuple[HookStep, ...] = ()
    request: Request = field(default_factory=Request)

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

        What is withheld or refused, and what it costs, is said in comments.
        """
        verdicts = [f"{j.verdict.name}: {hazard}" for j in (*self.refused, *self.withheld) for hazard in j.hazards]
        comments = map(comment, (*verdicts, *(f"{remark.table}: {remark}" for remark in self.remarks)))
        framed = (*self.opening, *self.statements, *self.closing) if self.statements else ()
        statements = (f"{statement.rstrip().rstrip(';')};" for statement in framed)
        return "".join(f"{line}\n" for line in (*comments, *statements))

    def as_json(self) -> str:
        """The plan as JSON, see docs/reference.md."""
        return json.dumps(self.as_dict(), indent=2, sort_keys=False)

    def as_dict(self) -> dict[str, Any]:
        """The plan as plain values."""
        return {
            "version": VERSION,
            "database": self.alias,
            "vendor": self.vendor,
            "digest": self.digest,
            "request": self.request.as_dict(),
            "changes": [judgement_dict(judgement) for judgement in self.judgements],
            "remarks": [remark_dict(remark) for remark in self.remarks],
            "hooks": [hook_dict(hook) for hook in self.hooks],
            "statements": list(self.statements),
            "foreign": list(self.foreign),
            "notes": list(self.notes),
            "likely_renames": [
                {"old": likely.old, "new": likely.new, "option": likely.option} for likely in self.likely_renames
            ],
        }


class Plans(Mapping[str, Plan]):
    """The plans of several databases by alias, in the order in which they were named.

    True if carrying out any of them would do something.
    """

    def __init__(self, plans: Iterable[Plan] = ()) -> None:
        self._by_alias = {plan.alias: plan for plan in plans}

    def __getitem__(self, alias: str) -> Plan:
        return self._by_alias[alias]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_alias)

    def __len__(self) -> int:
        return len(self._by_alias)

    def __bool__(self) -> bool:
        return any(self.values())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.values())})"

    def as_json(self) -> str:
        """The plans as JSON, see docs/reference.md."""
        return json.dumps(self.as_dict(), indent=2)

    def as_dict(self) -> dict[str, Any]:
        """The plans as plain values."""
        return several_dict([plan.as_dict() for plan in self.values()])


def several_dict(databases: Sequence[Mapping[str, Any]], left_alone: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What came of several databases, as plain values; `left_alone` are others, with the reasons."""
    skipped = [{"database": alias, "reason": reason} for alias, reason in (left_alone or {}).items()]
    return {"version": VERSION, "databases": list(databases), "left_alone": skipped}


def failure_dict(plan: Plan, error: str, applied: Sequence[str], pending: Sequence[str]) -> dict[str, object]:
    """A plan that could not be carried out to its end, as plain values."""
    return {**plan.as_dict(), "error": error, "applied": list(applied), "pending": list(pending)}


def judgement_dict(judgement: Judgement) -> dict[str, object]:
    """One change of a plan as plain values."""
    subject = subject_of(judgement.change)
    return {
        "table": judgement.change.table,
        "change": type(judgement.change).__name__,
        "name": subject.name,
        "old_name": subject.old_name,
        "columns": list(subject.columns),
        "description": judgement.change.describe(),
        "verdict": judgement.verdict.value,
        "hazards": [
            {
                "code": str(hazard.code),
                "message": hazard.message,
                "rows": hazard.rows,
                "remedy": hazard.remedy,
                "key": list(hazard.key),
                "samples": [list(map(plain, key)) for key in hazard.samples],
            }
            for hazard in judgement.hazards
        ],
    }


def hook_dict(hook: HookStep) -> dict[str, object]:
    """An entry that is carried out, as plain values."""
    return {"when": hook.when, "name": hook.name, "kind": "sql" if hook.is_sql else "function"}


def plain(value: object) -> object:
    """A value of a row as JSON has it: numbers, truth values and texts as they are, others as text."""
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def remark_dict(remark: Remark) -> dict[str, object]:
    """What a plan costs a table, as plain values."""
    return {
        "table": remark.table,
        "effects": list(remark.effects),
        "rows": remark.size.rows,
        "exact": remark.size.exact,
    }


def comment(text: str) -> str:
    """A text as a comment in SQL, of as many lines as it has."""
    return "\n".join(f"-- {line}" for line in text.splitlines())


def digest(schema: Schema) -> str:
    """A short text that differs when the schema does."""
    text = json.dumps(canonical(schema), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
