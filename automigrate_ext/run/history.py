"""The history of runs: notes in the record, one for each run that has changed a database; the last ones stay."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace as evolve
from datetime import UTC, datetime
from typing import Any

import django
from django.db import transaction
from django.db.utils import Error

import automigrate_ext
from automigrate_ext import conf
from automigrate_ext.backends import backend_for
from automigrate_ext.backends.fingerprint import HISTORY
from automigrate_ext.declared.selection import Selection
from automigrate_ext.plan.history import DIGEST, PastRun, RunOutcome, parse
from automigrate_ext.plan.plan import Plan
from automigrate_ext.run.options import Options
from automigrate_ext.run.record import Record
from automigrate_ext.run.state import Prepared

#: How many changes and statements an entry lists, and up to how many characters of each.
LISTED = 40
LONGEST = 1000


def read(record: Record) -> tuple[PastRun, ...]:
    """Return the runs that the record of a database has, the last one first; none where there is no record.

    Raises `SpoiltRecord` for an entry that this package did not write.
    """
    notes = record.table.read_notes_of(HISTORY) if record.exists() else {}
    return tuple(parse_note(record, name, notes[name]) for name in sorted(notes, reverse=True))


def history_of(alias: str) -> tuple[PastRun, ...]:
    """Return the runs that the record of a database has, the last one first.

    Raises `SpoiltRecord`, and `ExecutionFailed` where the role may not read the record.
    """
    backend = backend_for(alias)
    with backend.session.guarded():
        return read(Record(backend))


def parse_note(record: Record, name: str, text: str) -> PastRun:
    """Return one entry as a value. Raises `SpoiltRecord`."""
    try:
        return parse(text)
    except (ValueError, TypeError, LookupError) as error:
        raise record.spoilt(f"what it has of {name!r} was not written by this package") from error


class Chronicle:
    """Writes the entry of one run.

    Where a transaction undoes the run, the entry is written at the end of it, and undone with it. Elsewhere it is
    written before the first statement, so that a process that is killed leaves one.
    """

    def __init__(self, record: Record, selection: Selection, options: Options, command: str) -> None:
        self.record = record
        self.selection = selection
        self.options = options
        self.command = command
        self.limit = conf.history() if options.history else 0
        self.began = datetime.now(UTC)
        #: The name of the note with the entry.
        self.name = name_of(self.began)
        self.started = time.perf_counter()
        #: The entry as it was written last; None where there is none.
        self.written: PastRun | None = None

    def begin(self, prepared: Prepared) -> None:
        """Record that the run begins, where something stays done if it does not reach its end."""
        self.write(prepared, RunOutcome.BEGUN, seconds=None)

    def end(self, prepared: Prepared) -> None:
        """Record that the run has done all."""
        self.write(prepared, RunOutcome.APPLIED, seconds=self.seconds)

    def write(self, prepared: Prepared, outcome: RunOutcome, *, seconds: float | None) -> None:
        """Write the entry of a run that executes something."""
        plan = prepared.plan
        if not self.limit or not plan.statements:
            return
        finished = len(plan.statements) if outcome is RunOutcome.APPLIED else 0
        facts: dict[str, Any] = {"outcome": outcome, "finished": finished, "seconds": seconds}
        self.put(evolve(self.written, **facts) if self.written else self.entry(prepared, facts))

    def put(self, entry: PastRun) -> None:
        """Put the entry into the record, and remove the oldest ones."""
        table = self.record.table
        if self.written is not None:
            table.write_note(self.name, entry.render())
        else:
            if not self.record.rows:
                self.record.create()
            table.insert({self.name: ("", entry.render())})
            table.remove_first(HISTORY, self.limit)
        self.written = entry

    def fail(self, error: BaseException, finished: int, *, unclear: bool) -> None:
        """Record that an error ended the run after that many statements; where nothing stays done, remove the entry.

        With `unclear` one more statement may be done. Where the database cannot be reached any more, the entry shows
        that the run had begun, and the run's own error is the one to raise.
        """
        if self.written is None:
            return
        cause = error.__cause__
        names = [type(error).__name__, *([type(cause).__name__] if cause else [])]
        entry = evolve(
            self.written,
            outcome=RunOutcome.FAILED,
            finished=finished,
            error=": ".join(names),
            seconds=self.seconds,
        )
        with suppress(Error), transaction.atomic(using=self.record.alias):
            if finished or unclear:
                self.record.table.write_note(self.name, entry.render())
            else:
                self.record.table.delete([self.name])

    @property
    def seconds(self) -> float:
        """How long the run has taken so far."""
        return round(time.perf_counter() - self.started, 3)

    def entry(self, prepared: Prepared, facts: dict[str, Any]) -> PastRun:
        """Return the entry of what was prepared; `facts` are those that change with its end."""
        plan = prepared.plan
        changes = list(changes_of(plan))
        connection: Any = self.record.backend.connection
        return PastRun(
            began=self.began,
            database=self.record.alias,
            command=self.command,
            origin=self.options.origin,
            models=self.selection.labels,
            changes=tuple(map(shortened, changes[:LISTED])),
            change_count=len(changes),
            statements=tuple(shown_statements(prepared)),
            statement_count=len(plan.statements),
            digest=hashlib.sha256("\0".join(plan.statements).encode("utf-8", "surrogatepass")).hexdigest(),
            error="",
            user=str(connection.settings_dict["USER"]),
            package=automigrate_ext.__version__,
            django=django.get_version(),
            server=server_of(connection),
            **facts,
        )


def name_of(began: datetime) -> str:
    """Return a name for the note of a run that began then; names sort as the times do.

    No two are the same: clocks may stand still, as in tests, or be set back.
    """
    return f"{HISTORY}{began.isoformat(timespec='microseconds')} {secrets.token_hex(4)}"


def repeated(text: str, *, began: datetime, seconds: float, origin: str) -> tuple[str, str]:
    """Return the name and text of the entry of a run that does at another time what the run of an entry did."""
    entry = evolve(parse(text), began=began, seconds=round(seconds, 3), origin=origin)
    return name_of(began), entry.render()


def changes_of(plan: Plan) -> Iterator[str]:
    """Yield what a run does, one line each, and what it destroys; without the keys of rows."""
    yield from (step.describe() for step in plan.hooks)
    for judgement in plan.judgements:
        if judgement.change in plan.changes:
            yield judgement.change.describe()
            yield from (hazard.message for hazard in judgement.hazards)
        yield from (change.describe() for change in judgement.instead)


def shown_statements(prepared: Prepared) -> Iterator[str]:
    """Yield the first statements of a run; in the place of those that may hold a value of a row, their digests.

    These are the statements for tables whose rows get a value, those that do that, and the texts of hooks.
    """
    filled = {table for table, _ in prepared.work.fills} if prepared.work else set()
    plain = {
        step.sql
        for step in prepared.steps
        if step.fill is None and step.table not in filled and (step.table or not filled)
    }
    for sql in prepared.plan.statements[:LISTED]:
        yield sql if sql in plain and len(sql) <= LONGEST else digest_of(sql)


def digest_of(sql: str) -> str:
    """Return what takes the place of a statement."""
    return f"{DIGEST}{hashlib.sha256(sql.encode('utf-8', 'surrogatepass')).hexdigest()}"


def shortened(words: str) -> str:
    """Return words of which the end is left out where they are long."""
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}..."


def server_of(connection: Any) -> str:
    """Return the kind of server with its version, as far as Django's engine has it."""
    try:
        version: Iterable[object] = connection.get_database_version()
    except NotImplementedError:
        version = ()
    return " ".join(filter(None, (connection.display_name, ".".join(map(str, version)))))
