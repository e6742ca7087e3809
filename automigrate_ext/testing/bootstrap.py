"""What `migrate` would have done for a test database, done from the models: tables, rows of receivers, the record."""

from __future__ import annotations

import time
import uuid
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from functools import cached_property
from typing import Any

from django.apps import apps
from django.db.models.signals import post_migrate, pre_migrate

from automigrate_ext import signals
from automigrate_ext.backends import backend_for
from automigrate_ext.changes import CreateTable, DropTable, plural
from automigrate_ext.exceptions import ExecutionFailed, NotConverged, Refused
from automigrate_ext.plan import Plan
from automigrate_ext.record import Record
from automigrate_ext.seeds import seed_again
from automigrate_ext.selection import select
from automigrate_ext.testing import migrations, stamp, use
from automigrate_ext.testing.stamp import Stamp

#: Receivers from here write rows that follow from the models and the settings alone.
KNOWN_RECEIVERS = ("django.contrib.", "automigrate_ext.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one test database, in `seconds`.

    `plan` is what was carried out, None where nothing had to be; `remade` says why a kept database was made anew, and
    `source` names the one of which it is a copy.
    """

    alias: str
    database: str
    seconds: float
    plan: Plan | None = None
    remade: str = ""
    source: str = ""

    def line(self) -> str:
        """What is said of it in one line."""
        return f"test database {self.database!r}: {self.what()}"

    def what(self) -> str:
        """What happened."""
        time = f"{self.seconds:.2f} s"
        if self.source:
            return f"copied from {self.source!r} in {time}"
        changes = self.plan.changes if self.plan else ()
        if self.remade:
            return f"made anew with {plural(len(changes), 'table')} in {time}, because {self.remade}"
        if not changes and self.plan and self.plan.hooks:
            return f"{plural(len(self.plan.hooks), 'hook')} run in {time}"
        if not changes:
            return f"up to date, {time}"
        if len(changes) == len([change for change in changes if isinstance(change, CreateTable)]):
            return f"{plural(len(changes), 'table')} created in {time}"
        return f"{plural(len(changes), 'change')} applied in {time}{self.losses()}"

    def losses(self) -> str:
        """That values of rows went along, if they did."""
        lossy = [judgement for judgement in self.plan.judgements if judgement.hazards] if self.plan else []
        return f"; {len(lossy)} of them lost values" if lossy else ""

    def details(self) -> Iterator[str]:
        """What was done, a line each."""
        from automigrate_ext import render

        if self.plan and self.plan.judgements:
            yield from map(str, render.lines(self.plan, done=True))


@dataclass(kw_only=True)
class Bootstrap:
    """Makes, or brings up to date, the database that an alias is connected to.

    `modules` are the project's migrations, `run` identifies the run of tests.
    """

    alias: str
    modules: migrations.Modules
    run: str
    verbosity: int = 0
    found: Stamp | None = None
    stamp: Stamp | None = None
    plan: Plan | None = None
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.backend = backend_for(self.alias)
        self.record = Record(self.backend)
        self.selection = evolve(select(None, self.alias, apps), alone=True)

    def is_current(self) -> bool:
        """Whether the database is as an earlier run has left it, and that is what the models ask for today.

        Compares what the models say with what they said then, and the tables as the server tells of them with how they
        were; so a table that was altered by hand is noticed.
        """
        self.found = stamp.read(self.record)
        if self.found is None or self.found.models != self.models:
            return False
        recorded = migrations.applied(self.backend.connection)
        if self.found.migrations != stamp.of_migrations(recorded):
            return False
        return self.found.tables == stamp.of_tables(self.selection, self.backend)

    @cached_property
    def models(self) -> str:
        """A digest of the models and the names of the migrations."""
        asked = stamp.of_models(self.selection, self.backend.connection)
        return stamp.short((asked, stamp.of_migrations(migrations.on_disk(self.modules))))

    def complete(self) -> bool:
        """Tell receivers where that may bring rows that are not there; whether all rows are there then.

        Tests that end with a flush leave a kept database without the rows that receivers have written.
        """
        if self.has_other_receivers() or self.vanished():
            signals.send_pre_migrate(self.backend, apps, **self.signal_options())
            signals.send_post_migrate(self.backend, apps, **self.signal_options())
            if self.vanished():
                seed_again(self.alias)
        return not self.vanished()

    def vanished(self) -> bool:
        """Whether a table has fewer rows than the stamp says."""
        if self.found is None or not self.found.rows:
            return False
        now = stamp.rows_of(self.found.rows, self.backend)
        return any(now.get(name, 0) < rows for name, rows in self.found.rows.items())

    def has_other_receivers(self) -> bool:
        """Whether there are receivers of whom it is not known what they do."""
        entries = (*pre_migrate.receivers, *post_migrate.receivers)
        receivers = [resolve(entry[1]) for entry in entries]
        return any(not receiver.__module__.startswith(KNOWN_RECEIVERS) for receiver in receivers if receiver)

    def signal_options(self) -> dict[str, Any]:
        return {"verbosity": self.verbosity, "interactive": False, "stdout": None}

    def update(self) -> None:
        """Make the tables what the models say. Raises as `autoupdate` does."""
        # Most runs find nothing to update, and tests wait for what is loaded.
        from automigrate_ext.api import autoupdate

        before = self.record.read().tables
        self.plan = autoupdate(
            self.selection, using=self.alias, accept_data_loss=True, verbosity=self.verbosity, lock_wait=None
        )
        dropped = {change.table for change in self.plan.changes if isinstance(change, DropTable)}
        gone = {before[name].owner.partition(".")[0] for name in dropped if name in before}
        migrations.record(self.backend.connection, self.modules, gone)

    def write_stamp(self) -> None:
        """Say in the database what is in it; last of all, so that a run which was killed leaves none."""
        if self.plan is None and self.found is not None:
            self.stamp = evolve(self.found, run=self.run)
        else:
            self.stamp = self.look()
        if self.stamp != self.found:
            stamp.write(self.record, self.stamp)

    def mark(self) -> None:
        """Say in the database that tests use it."""
        use.mark(self.record)

    def is_abandoned(self) -> bool:
        """Whether tests that used the database were killed."""
        return use.is_abandoned(self.record)

    def look(self) -> Stamp:
        """The stamp of the database as it is now."""
        names = [model._meta.db_table for model in self.selection.models]
        return Stamp(
            models=self.models,
            tables=stamp.of_tables(self.selection, self.backend),
            migrations=stamp.of_migrations(migrations.applied(self.backend.connection)),
            rows=stamp.rows_of(names, self.backend),
            version=uuid.uuid4().hex,
            run=self.run,
        )

    def outcome(self, database: str, remade: str = "") -> Outcome:
        """What became of the database so far."""
        seconds = time.perf_counter() - self.started
        return Outcome(alias=self.alias, database=database, seconds=seconds, plan=self.plan, remade=remade)


#: The errors of an update that a new database does not have.
ANEW = (Refused, NotConverged, ExecutionFailed)


def resolve(reference: Any) -> Any:
    """The receiver that a signal refers to, None where it is gone."""
    return reference() if isinstance(reference, weakref.ReferenceType) else reference


def reason(error: Exception) -> str:
    """Why a kept database could not be brought up to date, in a few words."""
    if isinstance(error, Refused):
        hazards = [hazard.message for judgement in error.plan.refused for hazard in judgement.hazards]
        return f"its rows are in the way: {hazards[0]}" if hazards else "its rows are in the way"
    return f"it could not be updated: {str(error).splitlines()[0]}"
