"""What `migrate` would have done for a test database, done from the models: tables, rows of receivers, the record."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from functools import cached_property
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections

from automigrate_ext import signals
from automigrate_ext.backends import copies_for, ours
from automigrate_ext.declared.selection import Selection, select
from automigrate_ext.exceptions import ExecutionFailed, NotConverged, Refused
from automigrate_ext.run import migrations
from automigrate_ext.run.record_table import TABLE as RECORD
from automigrate_ext.run.record_table import RecordTable
from automigrate_ext.testing import stamp, use
from automigrate_ext.testing.outcome import Outcome
from automigrate_ext.testing.stamp import Stamp
from automigrate_ext.waiting import tell_nobody

if TYPE_CHECKING:
    from automigrate_ext.plan.plan import Plan

#: Receivers from here write rows that follow from the models and the settings alone.
KNOWN_RECEIVERS = ("django.contrib.", "automigrate_ext.")

#: The errors of an update that a new database does not have.
ANEW = (Refused, NotConverged, ExecutionFailed)


@dataclass(kw_only=True)
class Bootstrap:
    """Makes, or brings up to date, the database that an alias is connected to.

    `modules` are the project's migrations.
    """

    alias: str
    modules: migrations.Modules
    verbosity: int = 0
    found: Stamp | None = None
    mark: str = ""
    is_changed: bool = False
    updated: Selection | None = None
    tables: Mapping[str, str] = field(default_factory=dict)
    plan: Plan | None = None
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.connection = connections[self.alias]
        self.copies = copies_for(self.connection, tell_nobody)
        self.notes = RecordTable(self.alias)
        self.selection = evolve(select(None, self.alias, apps), alone=True)

    # What the models ask for

    @cached_property
    def basis(self) -> str:
        """A digest of what concerns all tables and rows."""
        return stamp.of_basis(self.selection, self.connection)

    @cached_property
    def models(self) -> dict[str, str]:
        """A digest of what each model asks for, by table."""
        return stamp.of_models(self.selection, self.connection)

    @cached_property
    def disk(self) -> str:
        """A digest of the migrations that there are."""
        return stamp.of_migrations(migrations.on_disk(self.modules))

    # What is there

    def look(self) -> None:
        """Read the tables as they are, and what an earlier run has noted."""
        names = [model._meta.db_table for model in self.selection.models]
        self.tables = self.copies.tables([*names, RECORD, migrations.TABLE])
        self.found, self.mark = stamp.read(self.alias, self.tables)

    def is_abandoned(self) -> bool:
        """Whether tests that used the database were killed."""
        return use.is_abandoned(self.mark)

    def outdated(self) -> Selection | None:
        """What an update has to be of: all models, those whose tables differ, or none.

        Compares what each model says with what it said then, and each table as the database tells of it with how it
        was; so a table that was altered by hand is noticed.
        """
        if self.found is None or self.found.basis != self.basis or self.found.models.keys() != self.models.keys():
            return self.selection
        then, now = self.found, self
        differing = {
            name
            for name in self.models
            if then.models[name] != now.models[name] or then.tables.get(name) != now.tables.get(name)
        }
        return self.part(differing) if differing else None

    def part(self, names: set[str]) -> Selection:
        """The models that have these tables; for a many-to-many table its owner."""
        found: list[Any] = [model for model in self.selection.models if model._meta.db_table in names]
        return select([model._meta.auto_created or model for model in found], self.alias, apps)

    def recorded(self) -> str:
        """A digest of the migrations that are recorded as applied."""
        return stamp.of_migrations(migrations.applied(self.alias)) if migrations.TABLE in self.tables else ""

    def knows_migrations(self) -> bool:
        """Whether those are there that there were, and are recorded as they were."""
        found = self.found
        return found is not None and found.disk == self.disk and found.recorded == self.recorded()

    def vanished(self) -> bool:
        """Whether a table that models still have has fewer rows than the stamp says."""
        then = self.found.rows if self.found else {}
        counted = then.keys() & self.models.keys()
        now = self.copies.rows(counted) if counted else {}
        return any(now.get(name, 0) < then[name] for name in counted)

    # What is done about it

    def make_current(self) -> None:
        """Update what differs, and record the migrations that there are. Raises as `autoupdate` does."""
        selection = self.outdated()
        if selection is not None:
            self.update(selection)
        elif not self.knows_migrations():
            self.record_migrations()
            self.is_changed = True

    def make(self, *, kept: bool) -> None:
        """Make all tables. Raises as `autoupdate` does."""
        self.found = None
        if kept:
            self.update(self.selection)
            return
        from automigrate_ext.run import make

        self.is_changed = True
        self.plan = make.make(self.selection, verbosity=self.verbosity)
        self.record_migrations()

    def update(self, selection: Selection) -> None:
        """Make the tables of these models what they say."""
        # Most runs find nothing to update, and tests wait for what is loaded.
        from automigrate_ext.testing import updating

        everything = selection is self.selection
        self.updated = selection
        self.is_changed = True
        self.plan, gone = updating.update(selection, verbosity=self.verbosity, tell=everything)
        if everything or not self.knows_migrations():
            self.record_migrations(gone)

    def record_migrations(self, gone: frozenset[str] = frozenset()) -> None:
        """Record the migrations that there are, and none of others."""
        migrations.record_exactly(self.connection, self.modules, gone)

    def complete(self) -> bool:
        """Tell receivers where that may bring rows that are not there; whether all rows are there then.

        Tests that end with a flush leave a kept database without the rows that receivers have written.
        """
        if not self.vanished():
            are_told = self.updated is self.selection and self.plan
            if not are_told and any(map(is_other, signals.receivers())):
                signals.send_again(self.connection, verbosity=self.verbosity, to=is_other)
            return True
        signals.send_again(self.connection, verbosity=self.verbosity)
        if self.vanished():
            from automigrate_ext.seeds import seed_again

            seed_again(self.alias)
        return not self.vanished()

    def write_stamp(self) -> Stamp:
        """Say in the database what is in it; last of all, so that a run which was killed leaves none."""
        if self.found is None or self.is_changed:
            self.found = self.now()
            stamp.write(self.notes, self.found)
        return self.found

    def now(self) -> Stamp:
        """The stamp of the database as it is now."""
        self.look()
        here = [name for name in self.models if name in self.tables]
        return Stamp(
            basis=self.basis,
            models=self.models,
            tables={name: self.tables[name] for name in here},
            disk=self.disk,
            recorded=self.recorded(),
            rows=self.rows(here),
        )

    def rows(self, here: Collection[str]) -> dict[str, int]:
        """How many rows belong to the tables: those that are there now, or of tables that stayed as they were, then."""
        if self.found is None:
            return self.copies.rows(here)
        updated = {model._meta.db_table for model in self.updated.models} if self.updated else set()
        stayed = {name: number for name, number in self.found.rows.items() if name in here and name not in updated}
        return stayed | self.copies.rows(updated.intersection(here))

    def outcome(self, database: str, remade: str = "") -> Outcome:
        """What became of the database so far."""
        seconds = time.perf_counter() - self.started
        return Outcome(alias=self.alias, database=database, seconds=seconds, plan=self.plan, remade=remade)


def load_soon(vendor: str) -> None:
    """Begin to load what makes tables; meanwhile the server makes the database, which takes as long."""
    Thread(target=lambda: (import_module("automigrate_ext.run.make"), ours(vendor))).start()


def is_other(receiver: Any) -> bool:
    """Whether it is not known what a receiver does."""
    module = getattr(receiver, "__module__", None) or ""  # built-in methods have none
    return not module.startswith(KNOWN_RECEIVERS)


def reason(error: Exception) -> str:
    """Why a kept database could not be brought up to date, in a few words."""
    if isinstance(error, Refused):
        hazards = [hazard.message for judgement in error.plan.refused for hazard in judgement.hazards]
        return f"its rows are in the way: {hazards[0]}" if hazards else "its rows are in the way"
    return f"it could not be updated: {str(error).splitlines()[0]}"
