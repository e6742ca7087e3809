"""Runs that have changed a database, as its record keeps them: the value, its JSON and its text. Pure."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from automigrate_ext.plan.plan import VERSION
from automigrate_ext.words import plural

#: What takes the place of a statement that is long, or may hold a value of a row: the beginning of its digest.
DIGEST = "sha256:"
NO_RUNS = "No run is recorded."


class RunOutcome(enum.StrEnum):
    """How a run ended. A run that is undone has no entry; one that is begun is under way, or was killed."""

    APPLIED = "applied"
    FAILED = "failed"
    BEGUN = "begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """One run that changed a database.

    `began` is when, in UTC; `database` the alias, `command` the verb and `origin` what started it: "command",
    "python", "start", "first query" or "pending page". `models` are the labels that it was given, None for all models.
    `changes` are the first changes in words, of `change_count`; `statements` the first statements, of
    `statement_count`, each as SQL, or as "sha256:" with its digest where it is long or may hold a value of a row.
    `digest` is that of all statements. `outcome` is one of `RunOutcome`, `finished` how many statements stay done,
    `error` the class of the error that ended the run, with that of its cause. `seconds` is how long it took, None where
    it has not ended. `user` is the database's user in the settings; `package`, `django` and `server` are versions.
    """

    began: datetime
    database: str
    command: str
    origin: str
    models: tuple[str, ...] | None
    changes: tuple[str, ...]
    change_count: int
    statements: tuple[str, ...]
    statement_count: int
    digest: str
    outcome: str
    finished: int
    error: str
    seconds: float | None
    user: str
    package: str
    django: str
    server: str

    def as_dict(self) -> dict[str, Any]:
        """Return the run as plain values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        listed = {name: list(value) for name, value in values.items() if isinstance(value, tuple)}
        began = self.began.isoformat(timespec="microseconds")
        return {**values, **listed, "began": began, "outcome": str(self.outcome)}

    def render(self) -> str:
        """Return the text of the run in the record."""
        return json.dumps(self.as_dict(), separators=(",", ":"))

    def __str__(self) -> str:
        return f"{self.began:%Y-%m-%d %H:%M:%S} UTC, {self.command} ({self.origin}): {self.ending}"

    @property
    def ending(self) -> str:
        """How the run ended, in words."""
        took = "" if self.seconds is None else f" in {self.seconds:.2f} s"
        if self.outcome == RunOutcome.APPLIED:
            return f"{plural(self.change_count, 'change')} applied{took}"
        statements = plural(self.statement_count, "statement")
        if self.outcome == RunOutcome.FAILED:
            return f"failed after {self.finished} of {statements}, which stay done{took} ({self.error})"
        return f"begun with {statements}, and no end is recorded: it is under way, or its process was killed"


def parse(text: str) -> PastRun:
    """Return the run from its text; keys of later versions are passed over. Raises `ValueError`, `TypeError`."""
    facts: Any = json.loads(text)
    if not isinstance(facts, dict):
        raise TypeError("expected an object")
    known: dict[str, Any] = {field.name: facts.get(field.name) for field in fields(PastRun)}
    listed = {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
    began = datetime.fromisoformat(facts["began"]).astimezone(UTC)
    return PastRun(**{**known, **listed, "began": began})


def history_dict(alias: str, runs: Sequence[PastRun]) -> dict[str, Any]:
    """Return the runs of one database as plain values."""
    return {"version": VERSION, "database": alias, "history": [run.as_dict() for run in runs]}


def targets_dict(histories: Mapping[str, Sequence[PastRun]]) -> dict[str, Any]:
    """Return the runs of many targets by name as plain values."""
    listed = [{"target": name, "history": [run.as_dict() for run in runs]} for name, runs in histories.items()]
    return {"version": VERSION, "targets": listed}


def lines(runs: Sequence[PastRun], *, verbosity: int = 1) -> Iterator[str]:
    """Yield the lines of a list of runs; at verbosity 2 with labels, statements, versions and the user."""
    if not runs:
        yield NO_RUNS
    for run in runs:
        yield str(run)
        yield from (f"  {change}" for change in run.changes)
        yield from more(run.change_count - len(run.changes), "change")
        if verbosity >= 2:
            yield from details(run)


def details(run: PastRun) -> Iterator[str]:
    """Yield the lines of a run beyond its changes."""
    labels = "all models" if run.models is None else ", ".join(run.models)
    user = f", user {run.user!r}" if run.user else ""
    yield f"  of {labels}; automigrate_ext {run.package}, Django {run.django}, {run.server}{user}"
    yield from (f"    {statement}" for statement in run.statements)
    yield from more(run.statement_count - len(run.statements), "statement")


def more(number: int, noun: str) -> Iterator[str]:
    """Yield the line about what is not listed, if there is anything."""
    if number > 0:
        yield f"  ... and {plural(number, f'more {noun}')}"
