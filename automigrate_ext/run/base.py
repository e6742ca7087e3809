"""What the two verbs have in common: prerequisites, signals, the record, plans."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, ClassVar

from django.apps import apps as global_apps
from django.conf import settings
from django.db.models import Model
from django.db.utils import Error

from automigrate_ext import conf, signals
from automigrate_ext.backends import backend_for
from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.fingerprint import Look
from automigrate_ext.backends.online import Online
from automigrate_ext.backends.work import Step
from automigrate_ext.declared.selection import Selection, labels_from_nothing
from automigrate_ext.exceptions import Interrupted
from automigrate_ext.plan.cost import Remark
from automigrate_ext.plan.online import OnlineStep
from automigrate_ext.plan.plan import CodedMigration, HookStep, Judgement, LikelyRename, MissingValue, Plan, Verdict
from automigrate_ext.run import basis, hooks
from automigrate_ext.run.desired import Desired, read_desired
from automigrate_ext.run.history import Chronicle
from automigrate_ext.run.hooks import Hook
from automigrate_ext.run.marking import Marking
from automigrate_ext.run.migrations import record_all
from automigrate_ext.run.options import Options
from automigrate_ext.run.prerequisites import Prerequisites, as_steps
from automigrate_ext.run.record import Record
from automigrate_ext.run.standing import Place, Standing, asks_nothing_special
from automigrate_ext.run.state import Prepared, State
from automigrate_ext.run.unchanged import request_of
from automigrate_ext.run.unrun import coded_migrations
from automigrate_ext.schema.changes import CreateExtension, CreateTable
from automigrate_ext.schema.nouns import Schema
from automigrate_ext.schema.ownership import OwnedTable

INTERRUPTED_BEFORE_TABLES = (
    "Interrupted before a table was changed. What the tables need first may be done, and stays; the next run goes on "
    "from there."
)
#: What is reported as migrations are marked as applied beside things that none of them has.
NOT_IN_MIGRATIONS = (
    "Kept, and in no migration: {kept}. A later migrate loses a kept column without a word where Django recreates the "
    "table, as on SQLite. Save what you need and drop it before you go on (--accept-data-loss, accept_data_loss=True; "
    "for columns made by hand --prune, prune=True)."
)


class Run(ABC):
    """What the two verbs have in common; `command` is the verb.

    `execute` calls the abstract methods in the order in which they stand here.
    """

    command: ClassVar[str]

    def __init__(self, selection: Selection, options: Options, standing: Standing | None = None) -> None:
        self.selection = selection
        self.options = options
        self.standing = standing or Standing(selection, options)
        #: The fingerprint of the tables from before they were compared for the last time.
        self.sight: Look | None = None
        self.backend: Backend = backend_for(selection.alias)
        self.backend.session.patience = options.patience
        self.backend.session.place = options.place
        #: The tables of all models of the registry: nobody else's, whatever the run is of.
        self.claimed = basis.claimed_tables(selection.apps)
        self.backend.known_names = frozenset(filter(self.backend.has_other_names, self.claimed))
        #: What carries the run out beside the work of others; None where nobody asked for that.
        self.online: Online | None = None
        self.record = Record(self.backend)
        self.chronicle = Chronicle(self.record, selection, options, self.command)
        self.marking = Marking(self.backend, selection, options)
        self.before = hooks.load(conf.BEFORE, selection.alias)
        self.after = hooks.load(conf.AFTER, selection.alias)

    @abstractmethod
    def tables_at_stake(self, made: Prerequisites) -> frozenset[str]:
        """Return the tables, by the names that they have now, whose rows determine the plan."""

    @abstractmethod
    def prepare(self, made: Prerequisites) -> Prepared:
        """Read, judge and compile. `made` are the prerequisites that the run has made."""

    @abstractmethod
    def announce(self, prepared: Prepared) -> None:
        """Record what the next run needs if this one is ended halfway, on a server that does not undo it."""

    @abstractmethod
    def read_back(self, prepared: Prepared) -> State:
        """Read the tables again after the last step, and compare them with the models."""

    @abstractmethod
    def settle(self, prepared: Prepared, reached: State) -> None:
        """Record what the tables are, and send `post_migrate`, once nothing is left over."""

    @cached_property
    def desired(self) -> Desired:
        """What the server makes of the selected models; asked once."""
        return read_desired(self.backend, self.own_models(), self.options.defaults)

    def own_models(self) -> list[type[Model]]:
        """Return the selected models, except those whose table belongs to the server itself."""
        apart = self.backend.set_apart([model._meta.db_table for model in self.selection.models])
        return [model for model in self.selection.models if model._meta.db_table not in apart]

    def forbid_hiding(self, current: Schema) -> None:
        """Raise `AmbiguousSchema` where making the desired tables that are not in `current` would hide others."""
        missing = [table.name for table in self.desired.schema if current.get(table.name) is None]
        if missing:
            self.backend.forbid_hiding(missing)

    # Prerequisites

    @cached_property
    def wanted_extensions(self) -> dict[str, str]:
        """The extensions of the setting and of the models, each with what takes it."""
        asked = dict.fromkeys(conf.entries(conf.EXTENSIONS, self.selection.alias), 'AUTOMIGRATE["EXTENSIONS"]')
        return {**self.backend.extensions.needed(self.selection.models), **asked}

    @property
    def made_extensions(self) -> Collection[str] | None:
        """The names of the extensions that runs make; None on a database that has none."""
        return self.wanted_extensions if self.backend.connection.vendor == "postgresql" else None

    def due_prerequisites(self) -> Prerequisites:
        """Return the prerequisites that the database lacks, or for which the entry's text has changed."""
        return Prerequisites(
            extensions=self.backend.extensions.missing(self.wanted_extensions),
            hooks=hooks.changed(self.before, self.record.hooks()) if self.before else (),
        )

    @contextmanager
    def prerequisites(self, made: Prerequisites | None) -> Iterator[Prerequisites]:
        """Yield the prerequisites, which are in place while the block runs.

        Unless the run has `made` them, they are undone at the end of the block; a database that cannot undo them does
        not get them here.
        """
        due = self.due_prerequisites() if made is None else made
        if due.extensions:
            # They are the whole database's, wherever the run stays.
            self.backend.session.place = ""
        if made is not None or not due or not self.backend.undoes_ddl:
            yield due
            return
        try:
            with self.backend.session.trial():
                due.try_out(self.backend)
                yield due
        finally:
            if due.extensions:
                self.backend.extensions.forget_types()

    @contextmanager
    def made_early(self) -> Iterator[Prerequisites | None]:
        """Make the prerequisites early, and yield them; Ctrl-C in the block raises `Interrupted`, as they stay."""
        made = self.make_early()
        try:
            yield made
        except Interrupted:
            raise
        except KeyboardInterrupt as stop:
            if made is None:
                raise
            raise Interrupted(INTERRUPTED_BEFORE_TABLES) from stop

    def make_early(self) -> Prerequisites | None:
        """Make the prerequisites for good before anything is compared, where the database cannot try them out.

        Returns None where that is left to the run's transaction. Raises as `Backend.failure` where the database
        refuses.
        """
        if self.backend.undoes_ddl or not self.due_prerequisites():
            return None
        try:
            with self.backend.exclusive():
                return self.make_prerequisites()
        except Error as error:
            story = "The run failed before it changed a table"
            raise self.backend.faults.failure(error, story, self.backend.faults.advice(error)) from error
        except KeyboardInterrupt as stop:
            raise Interrupted(INTERRUPTED_BEFORE_TABLES) from stop

    def make_prerequisites(self) -> Prerequisites:
        """Make what the tables need first for good, in the run's transaction and under its lock; send `pre_run`."""
        due = self.due_prerequisites()
        signals.pre_run.send(sender=None, **self.run_signal_options())
        self.backend.extensions.create(due.extensions)
        if due.extensions:
            self.backend.extensions.register_types()
        self.run_hooks(due.hooks)
        return due

    def due(self) -> list[str]:
        """Return what a run has to do besides the tables, in one line each."""
        prerequisites = self.due_prerequisites()
        entries = (*prerequisites.hooks, *self.due_after(tables_change=False))
        return [
            *(CreateExtension(name=name).describe() for name in prerequisites.extensions),
            *(step.describe() for step in as_steps(entries, self.selection.alias)),
        ]

    # Entries of AUTOMIGRATE

    def due_after(self, *, tables_change: bool) -> tuple[Hook, ...]:
        """Return the entries of AUTOMIGRATE["AFTER"] that a run carries out: all if tables change, else changed ones.

        One that has never been run waits for a run of all models: the tables that it reads may not be there.
        """
        if not self.after:
            return ()
        digests = self.record.hooks()
        due = self.after if tables_change else hooks.changed(self.after, digests)
        return tuple(hook for hook in due if self.selection.everything or hook.identity in digests)

    def run_hooks(self, due: Iterable[Hook]) -> None:
        """Run entries, and record each with the text that it was run with."""
        known = {hook.identity for hook in (*self.before, *self.after)}
        for hook in due:
            hook.run(self.backend)
            kept = {identity: digest for identity, digest in self.record.hooks().items() if identity in known}
            self.record.write_hooks({**kept, hook.identity: hook.digest})

    def mark_hooks_due(self, due: Iterable[Hook]) -> None:
        """Remove the entries from the record of those that were run, so that they stay due until they have been run."""
        promised = {hook.identity for hook in due}
        if promised:
            kept = {identity: digest for identity, digest in self.record.hooks().items() if identity not in promised}
            self.record.write_hooks(kept)

    # Signals

    def send_pre_migrate(self) -> None:
        """Send `pre_migrate` as `migrate` does, unless the caller wants no signals."""
        if self.options.send_signals:
            signals.send_pre_migrate(self.backend, self.selection.apps, **self.signal_options())

    def send_post_migrate(self) -> None:
        """Send `post_migrate` as `migrate` does, unless the caller wants no signals."""
        if self.options.send_signals:
            signals.send_post_migrate(self.backend, self.selection.apps, **self.signal_options())

    def signal_options(self) -> dict[str, Any]:
        """Return the arguments that `migrate` gives to its signals."""
        options = self.options
        stdout = options.stdout or sys.stdout
        return {"verbosity": options.verbosity, "interactive": options.interactive, "stdout": stdout}

    def run_signal_options(self) -> dict[str, Any]:
        """Return the arguments of `pre_run` and `post_run`."""
        return {
            "using": self.selection.alias,
            "command": self.command,
            "apps": self.selection.apps,
            **self.signal_options(),
        }

    # Plans

    def as_plan(
        self,
        judgements: Iterable[Judgement],
        steps: Iterable[Step],
        state: State,
        *,
        foreign: Iterable[str] = (),
        remarks: Iterable[Remark] = (),
        likely_renames: Iterable[LikelyRename] = (),
        missing_values: Iterable[MissingValue] = (),
        after: Sequence[Hook] = (),
        expanded: bool = False,
    ) -> Plan:
        """Return a plan with what the run does besides its steps; one that is refused has no statements."""
        prerequisites = state.prerequisites
        extensions = [Judgement(change=CreateExtension(name=name)) for name in prerequisites.extensions]
        judgements = (*extensions, *judgements)
        refused = any(judgement.verdict is Verdict.REFUSE for judgement in judgements)
        entries = () if refused else as_steps((*prerequisites.hooks, *after), self.selection.alias)
        steps = tuple(steps)
        statements = () if refused else self.with_entries((step.sql for step in steps), prerequisites, entries)
        return Plan(
            alias=self.selection.alias,
            vendor=self.backend.connection.vendor,
            schema=state.current,
            judgements=judgements,
            statements=statements,
            hooks=entries,
            foreign=tuple(foreign),
            notes=(*self.selection.notes, *self.backend.notes, *self.backend.rehearsal.notes, *state.notes),
            likely_renames=tuple(likely_renames),
            missing_values=tuple(missing_values),
            opening=self.opening if statements else (),
            closing=() if self.online else self.backend.closing if statements else (),
            tables=len(self.desired.schema),
            remarks=tuple(remarks),
            expanded=expanded,
            request=request_of(self.command, self.selection, self.options),
            migrations=() if refused else tuple(self.unrun_migrations(judgements)),
            online=() if refused else self.as_online(steps),
        )

    @property
    def opening(self) -> tuple[str, ...]:
        """The statements with which a script of the plan begins."""
        return self.online.opening if self.online else self.backend.opening

    def as_online(self, steps: Iterable[Step]) -> tuple[OnlineStep, ...]:
        """Return the steps of an online plan; none of another one."""
        return tuple(OnlineStep(sql=step.sql, table=step.table, manner=step.manner) for step in steps if step.manner)

    def unrun_migrations(self, judgements: Iterable[Judgement]) -> Iterator[CodedMigration]:
        """Yield the migrations that do more than change tables, of the project's apps that are made from nothing."""
        created = {judgement.change.table for judgement in judgements if isinstance(judgement.change, CreateTable)}
        if not created or not self.options.looks_at_migrations or self.selection.apps is not global_apps:
            return
        for label in labels_from_nothing(self.selection, created):
            yield from coded_migrations(label, settings.MIGRATION_MODULES, self.made_extensions)

    def empty_plan(self) -> Plan:
        """Return the plan of a run of no models."""
        nothing = Schema({})
        return self.as_plan((), (), State(current=nothing, desired=nothing, declared=nothing))

    def with_entries(
        self, statements: Iterable[str], prerequisites: Prerequisites, entries: Sequence[HookStep]
    ) -> tuple[str, ...]:
        """Return the statements of a plan with what comes before and after them."""
        return (
            *map(self.backend.extensions.create_statement, prerequisites.extensions),
            *(step.statement for step in entries if step.when == "before"),
            *statements,
            *(step.statement for step in entries if step.when == "after"),
        )

    def conclude(
        self,
        tables: list[OwnedTable],
        *,
        gone: Iterable[str] = (),
        kept: Sequence[str] = (),
        created: Collection[str] = (),
        is_complete: bool = True,
        send_signals: bool = True,
    ) -> None:
        """Write the record, and send `post_migrate` if `send_signals`, in the run's transaction.

        `kept` are the columns and tables, in words, that stay though the models do not have them; `created` are the
        tables that the run has made. `is_complete` is whether the tables now match the models: after an expand some of
        that may be left.
        """
        fingerprint = basis.signals_fingerprint(self.selection) if self.selection.everything else None
        owes_signals = send_signals and not self.backend.undoes_ddl
        self.record.write(tables, gone=gone, signals=fingerprint, owes_signals=owes_signals)
        if is_complete or self.options.record_migrations:
            self.mark_migrations(kept, created)
        if send_signals:
            self.send_post_migrate()
            self.record.settle_signals()

    def mark_migrations(self, kept: Sequence[str], created: Collection[str]) -> None:
        """Mark migrations as applied, as far as they are to be marked; see `conclude` for the arguments."""
        notify = self.backend.session.patience.notify
        if self.options.record_migrations:
            record_all(self.backend, notify, self.made_extensions)
            warns = True
        else:
            extensions = self.made_extensions
            warns = self.marking.mark(self.marking.look(created, extensions), extensions, notify)
        if kept and warns:
            notify(NOT_IN_MIGRATIONS.format(kept=", ".join(kept)))

    def finish(self, prepared: Prepared) -> None:
        """End a run that has changed something: send `post_run`, and run what comes after the tables."""
        signals.post_run.send(sender=None, plan=prepared.plan, **self.run_signal_options())
        self.run_hooks(prepared.after)

    # The seal

    def prepare_seal(self) -> None:
        """Take a fingerprint of the tables before they are compared for the last time."""
        if self.options.seals and self.standing.fingerprints and asks_nothing_special(self.options):
            self.record.create()
            self.marking.make_table()
            self.sight = self.standing.look()

    def seal(self, reached: State) -> None:
        """Record that nothing is left to do, if that is so: see `Standing`."""
        if (
            self.sight is None
            or (kept := self.kept_places(reached)) is None
            or self.due()
            or self.record.owes_signals()
        ):
            return
        self.standing.drawn = self.desired.drawn
        self.standing.seal(
            self.sight,
            kept=tuple(kept),
            foreign=tuple(self.left_alone(reached)),
            notes=(*self.backend.notes, *reached.notes),
            migrations=self.marking.settled,
            schema=self.digest_of(reached),
            count=len(self.desired.schema),
            left=len(reached.later),
        )

    def kept_places(self, reached: State) -> list[Place] | None:
        """Return the places whose values keep them in the database; None where a run would find something to do."""
        return None if reached.changes else []

    def left_alone(self, state: State) -> list[str]:
        """Return in words what the tables have that no model declares and no run made."""
        return []

    def digest_of(self, state: State) -> str:
        """Return the digest of a plan that is made of this state; "" where that is not known."""
        return ""
