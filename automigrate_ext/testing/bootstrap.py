"""Do for a test database what `migrate` would have done, from the models: tables, rows of receivers, the record."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace as evolve
from functools import cached_property
from threading import Thread
from typing import TYPE_CHECKING, Any

from django.apps import apps

from automigrate_ext import signals
from automigrate_ext.backends import backend_for, ours
from automigrate_ext.backends.fingerprint import short
from automigrate_ext.declared.selection import Selection, select
from automigrate_ext.exceptions import ExecutionFailed, NotConverged, Refused, TargetsFailed
from automigrate_ext.run import basis, migrations
from automigrate_ext.testing import stamp
from automigrate_ext.testing.database import TestDatabase
from automigrate_ext.testing.report import DatabaseReport
from automigrate_ext.testing.stamp import Stamp
from automigrate_ext.testing.tenants import update_schemas

if TYPE_CHECKING:
    from automigrate_ext.plan.plan import Plan

#: Receivers from here write rows that follow from the models and the settings alone.
KNOWN_RECEIVERS = ("django.contrib.", "automigrate_ext.")

#: The errors of an update after which an empty database is made instead.
UPDATE_ERRORS = (Refused, NotConverged, ExecutionFailed, TargetsFailed)


class Bootstrap:
    """Makes what is in a test database, or brings it up to date.

    `modules` are the project's migrations. `earlier` is the stamp that the database had, `tables` are digests of its
    tables and `surroundings` one of what they depend on, `updated` are the models whose tables an update was of, and
    `remade` is why a kept database was made again.
    """

    def __init__(self, database: TestDatabase, modules: migrations.Modules) -> None:
        self.started = time.perf_counter()
        self.database = database
        self.alias, self.connection, self.copies = database.alias, database.connection, database.copies
        self.modules = modules
        self.selection = evolve(select(None, self.alias, apps), alone=True)
        self.verbosity = 0
        self.earlier: Stamp | None = None
        self.mark = ""
        self.tables: Mapping[str, str] = {}
        self.surroundings = ""
        self.is_changed = False
        self.updated: Selection | None = None
        self.plan: Plan | None = None
        self.remade = ""

    def fill(self, verbosity: int) -> None:
        """Make the tables, or bring a kept database up to date, or make it again where that cannot be done.

        Raises as `autoupdate` does.
        """
        self.verbosity = verbosity
        if self.database.keepdb:
            self.remade = self.bring_up_to_date()
            if not self.remade:
                return
            self.database.recreate(self.remade)
        self.make()
        update_schemas(self.alias, verbosity=self.verbosity)

    def bring_up_to_date(self) -> str:
        """Bring a kept database up to date. Return why that cannot be done, or ""."""
        self.read_state()
        if stamp.is_abandoned(self.mark):
            return "the run before was killed while it used it"
        try:
            self.update_what_differs()
            update_schemas(self.alias, verbosity=self.verbosity)
        except UPDATE_ERRORS as error:
            return reason(error)
        return "" if self.restore_rows() else "rows are gone that belong to it"

    # What the models ask for

    @cached_property
    def basis(self) -> str:
        """A digest of what concerns all tables and rows."""
        return basis.of_basis(self.selection)

    @cached_property
    def models(self) -> dict[str, str]:
        """A digest of what each model asks for, by table."""
        return basis.of_models(self.selection)

    @cached_property
    def disk(self) -> str:
        """A digest of the migrations on disk."""
        return of_migrations(migrations.on_disk(self.modules))

    # What the database has

    def read_state(self) -> None:
        """Read digests of the tables, and the stamp and the mark of an earlier run."""
        names = [model._meta.db_table for model in self.selection.models]
        found = stamp.look(self.alias, [*names, migrations.TABLE])
        self.tables, self.surroundings = found.tables, found.around
        self.earlier, self.mark = stamp.read(found)

    def outdated(self) -> Selection | None:
        """Return what has to be updated: all models, those whose tables differ, or None.

        Compares what each model asks for with what it asked for when the stamp was written, and the digest of each
        table with that of then; so a table that was altered by hand is noticed.
        """
        then, now = self.earlier, self
        if then is None or then.basis != now.basis or then.models.keys() != now.models.keys():
            return self.selection
        if then.surroundings != now.surroundings:
            return self.selection
        differing = {
            name
            for name in now.models
            if then.models[name] != now.models[name] or then.tables.get(name) != now.tables.get(name)
        }
        return self.select_tables(differing) if differing else None

    def select_tables(self, names: set[str]) -> Selection:
        """Return a selection of the models that have these tables; for a many-to-many table of its owner."""
        models: list[Any] = [model for model in self.selection.models if model._meta.db_table in names]
        return select([model._meta.auto_created or model for model in models], self.alias, apps)

    def recorded(self) -> str:
        """Return a digest of the migrations that are recorded as applied."""
        return of_migrations(migrations.applied(self.alias)) if migrations.TABLE in self.tables else ""

    def has_same_migrations(self) -> bool:
        """Return whether the migrations on disk and those that are recorded are as they were."""
        then = self.earlier
        return then is not None and then.disk == self.disk and then.recorded == self.recorded()

    def has_lost_rows(self) -> bool:
        """Return whether a table that models still have has fewer rows than the stamp has for it."""
        then = self.earlier.rows if self.earlier else {}
        counted = then.keys() & self.models.keys()
        now = self.copies.rows(counted) if counted else {}
        return any(now.get(name, 0) < then[name] for name in counted)

    # What is done about it

    def update_what_differs(self) -> None:
        """Update the tables that differ, and record the migrations on disk. Raises as `autoupdate` does."""
        selection = self.outdated()
        if selection is not None:
            self.update(selection)
        elif not self.has_same_migrations():
            self.record_migrations()
            self.is_changed = True

    def make(self) -> None:
        """Make all tables. Raises as `autoupdate` does."""
        self.earlier = None
        if self.database.stays:
            self.update(self.selection)
            return
        # Loaded while the server creates the database: see `load_soon`.
        from automigrate_ext.run import make

        self.is_changed = True
        self.plan = make.make(self.selection, verbosity=self.verbosity)
        self.record_migrations()

    def update(self, selection: Selection) -> None:
        """Update the tables of the selected models."""
        everything = selection is self.selection
        self.updated = selection
        self.is_changed = True
        self.plan, gone = update_tables(selection, verbosity=self.verbosity, send_signals=everything)
        if everything or not self.has_same_migrations():
            self.record_migrations(gone)

    def record_migrations(self, gone: frozenset[str] = frozenset()) -> None:
        """Record the migrations on disk, and remove those of other branches and of the apps that are `gone`."""
        migrations.record_exactly(self.connection, self.modules, gone)

    def restore_rows(self) -> bool:
        """Send signals where receivers may write rows that are missing. Return whether all rows are there then.

        Tests that end with a flush leave a kept database without the rows that receivers have written.
        """
        if not self.has_lost_rows():
            was_sent = self.updated is self.selection and self.plan
            if not was_sent and any(map(is_unknown, signals.receivers())):
                signals.send_again(self.connection, verbosity=self.verbosity, to=is_unknown)
            return True
        signals.send_again(self.connection, verbosity=self.verbosity)
        if self.has_lost_rows():
            # Seeding loads a backend, and few kept databases have to be seeded.
            from automigrate_ext.seeds import seed_again

            seed_again(self.alias)
        return not self.has_lost_rows()

    def write_stamp(self) -> Stamp:
        """Put a stamp into the database if it has changed. Return the stamp that it has.

        This comes last of all, so that a run which was killed leaves no stamp.
        """
        if self.earlier is None or self.is_changed:
            self.earlier = self.new_stamp()
            stamp.write(self.alias, self.earlier)
        return self.earlier

    def new_stamp(self) -> Stamp:
        """Return a stamp of the database as it is now."""
        self.read_state()
        existing = [name for name in self.models if name in self.tables]
        return Stamp(
            basis=self.basis,
            models=self.models,
            tables={name: self.tables[name] for name in existing},
            surroundings=self.surroundings,
            disk=self.disk,
            recorded=self.recorded(),
            rows=self.rows(existing),
        )

    def rows(self, existing: Collection[str]) -> dict[str, int]:
        """Return how many rows belong to the tables: the rows that updated ones have now, and that others had then."""
        if self.earlier is None:
            return self.copies.rows(existing)
        updated = {model._meta.db_table for model in self.updated.models} if self.updated else set()
        then = self.earlier.rows.items()
        stayed = {name: number for name, number in then if name in existing and name not in updated}
        return stayed | self.copies.rows(updated.intersection(existing))

    def report(self) -> DatabaseReport:
        """Return what became of the database so far."""
        return DatabaseReport(
            alias=self.alias,
            database=self.database.label,
            seconds=time.perf_counter() - self.started,
            plan=self.plan,
            remade=self.remade,
        )


def load_soon(vendor: str) -> None:
    """Begin to load what makes tables; meanwhile the server creates the database, which takes as long."""
    Thread(target=load, args=[vendor]).start()


def load(vendor: str) -> None:
    """Load what makes tables, and the backend of a vendor."""
    # What is loaded here in a thread is not waited for later.
    from automigrate_ext.run import make  # noqa: F401

    ours(vendor)


def update_tables(selection: Selection, *, verbosity: int, send_signals: bool) -> tuple[Plan, frozenset[str]]:
    """Make the tables match the models, even if rows lose values.

    Returns the plan and the apps whose tables were dropped. `send_signals` is whether receivers of `pre_migrate` and
    `post_migrate` are called. Raises as `autoupdate` does.
    """
    # Most runs find nothing to update, and tests wait for what is loaded.
    from automigrate_ext.run.options import Options
    from automigrate_ext.run.record import Record
    from automigrate_ext.run.update import Update
    from automigrate_ext.schema.changes import DropTable

    before = Record(backend_for(selection.alias)).read().tables
    options = Options(
        accept_data_loss=True,
        verbosity=verbosity,
        send_signals=send_signals,
        looks_at_migrations=False,
        fingerprint=False,
        seals=False,
        history=False,
    )
    run = Update(selection, options)
    with run.backend.session.guarded():
        plan = run.run()
    gone = [change.table for change in plan.changes if isinstance(change, DropTable)]
    dropped = [before[table] for table in gone if table in before]
    return plan, frozenset(table.owner.partition(".")[0] for table in dropped)


def of_migrations(keys: Iterable[migrations.MigrationKey]) -> str:
    """Return a digest of the names of migrations."""
    return short(f"{app}.{name}" for app, name in sorted(keys))


def is_unknown(receiver: Any) -> bool:
    """Return whether a receiver may write rows that do not follow from the models and the settings."""
    module = getattr(receiver, "__module__", None) or ""  # built-in methods have none
    return not module.startswith(KNOWN_RECEIVERS)


def reason(error: Exception) -> str:
    """Return in a few words why a kept database could not be brought up to date."""
    if isinstance(error, Refused):
        hazards = [hazard.message for judgement in error.plan.refused for hazard in judgement.hazards]
        return f"its rows are in the way: {hazards[0]}" if hazards else "its rows are in the way"
    return f"it could not be updated: {str(error).splitlines()[0]}"
