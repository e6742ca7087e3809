"""What the two verbs have in common: options, signals, the record, recorded migrations."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from django.apps.registry import Apps
from django.db.backends.utils import split_identifier
from django.db.migrations import Migration, RunPython, RunSQL
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model
from django.db.utils import Error
from django.utils.timezone import now

from automigrate_ext import conf, signals
from automigrate_ext.backends import backend_for
from automigrate_ext.backends.base import Backend, Step
from automigrate_ext.declared.selection import Selection, is_attached, models_of
from automigrate_ext.plan.cost import Remark
from automigrate_ext.plan.plan import HookStep, Judgement, LikelyRename, Plan, Request, Verdict
from automigrate_ext.plan.progress import Meter
from automigrate_ext.run import hooks
from automigrate_ext.run.desired import Desired, read_desired
from automigrate_ext.run.execute import Prepare, Stakes, execute
from automigrate_ext.run.hooks import Hook
from automigrate_ext.run.options import Options
from automigrate_ext.run.record import Record
from automigrate_ext.schema.changes import CreateExtension, plural
from automigrate_ext.schema.nouns import Schema
from automigrate_ext.schema.ownership import OwnedTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """What has to be there before the tables: extensions, and entries of AUTOMIGRATE["BEFORE"]."""

    extensions: tuple[str, ...] = ()
    hooks: tuple[Hook, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.extensions or self.hooks)


def claimed_tables(apps: Apps) -> set[str]:
    """The tables of all models of a registry, managed or not."""
    return {model._meta.db_table for of_app in apps.all_models.values() for model in of_app.values()}


def as_step(hook: Hook, alias: str) -> HookStep:
    """An entry of AUTOMIGRATE as a plan shows it."""
    is_sql = hook.function is None
    return HookStep(when=hook.key.lower(), name=hook.name, statement=hook.statement(alias), is_sql=is_sql)


def is_qualified(table: str) -> bool:
    """Whether a table's name says in which schema it is."""
    return bool(split_identifier(table)[0])


class Run:
    """What the two verbs have in common; `command` is the verb."""

    command: ClassVar[str]

    def __init__(self, selection: Selection, options: Options) -> None:
        self.selection = selection
        self.options = options
        self.backend: Backend = backend_for(selection.alias)
        self.backend.patience = options.patience
        self.backend.known_names = frozenset(filter(is_qualified, claimed_tables(selection.apps)))
        self.record = Record(self.backend)
        self.before = hooks.load(conf.BEFORE, selection.alias)
        self.after = hooks.load(conf.AFTER, selection.alias)
        self.foundation = Foundation()
        self.is_laid = False
        self._desired: Desired | None = None

    @property
    def desired(self) -> Desired:
        """What the server makes of the selected models; asked once."""
        if self._desired is None:
            self._desired = read_desired(self.backend, self.own_models(), self.options.defaults)
        return self._desired

    def own_models(self) -> list[type[Model]]:
        """The selected models, but for those whose table the server keeps for itself."""
        apart = self.backend.set_apart([model._meta.db_table for model in self.selection.models])
        return [model for model in self.selection.models if model._meta.db_table not in apart]

    # What models cannot say

    @cached_property
    def wanted_extensions(self) -> dict[str, str]:
        """The extensions of the setting and of the models, each with what takes it."""
        asked = dict.fromkeys(conf.entries(conf.EXTENSIONS, self.selection.alias), 'AUTOMIGRATE["EXTENSIONS"]')
        return {**self.backend.extensions_for(self.selection.models), **asked}

    def due_foundation(self) -> Foundation:
        """What the tables need first and the database does not have, or had with another text."""
        return Foundation(
            extensions=self.backend.missing_extensions(self.wanted_extensions),
            hooks=hooks.changed(self.before, self.record.hooks()) if self.before else (),
        )

    def due_after(self, *, tables_change: bool) -> tuple[Hook, ...]:
        """The entries of AUTOMIGRATE["AFTER"] that a run carries out: all where tables change, else those that changed.

        One that has never been run waits for a run of all models: the tables that it speaks of may not be there.
        """
        if not self.after:
            return ()
        digests = self.record.hooks()
        due = self.after if tables_change else hooks.changed(self.after, digests)
        return tuple(hook for hook in due if self.selection.everything or hook.identity in digests)

    def due(self) -> list[str]:
        """What a run has to do besides the tables, in one line each."""
        foundation = self.due_foundation()
        entries = (*foundation.hooks, *self.due_after(tables_change=False))
        return [
            *(CreateExtension(name=name).describe() for name in foundation.extensions),
            *(as_step(hook, self.selection.alias).describe() for hook in entries),
        ]

    @contextmanager
    def founded(self) -> Iterator[None]:
        """A block in which what the tables need first is there, on trial unless the run has made it.

        Where the database cannot undo it, it is there only if a run has made it.
        """
        if not self.is_laid:
            self.foundation = self.due_foundation()
        if self.is_laid or not self.foundation or not self.backend.undoes_ddl:
            yield
            return
        with self.backend.trial():
            self.lay_foundation()
            yield

    def lay_foundation(self) -> None:
        """Make what the tables need first, on trial."""
        try:
            self.backend.create_extensions(self.foundation.extensions)
            for hook in self.foundation.hooks:
                hook.run(self.backend)
        except Error as error:
            raise self.backend.failure(error, "Nothing was changed", self.backend.advice(error)) from error

    def found_for_good(self) -> None:
        """Where the database cannot undo it, make what the tables need first before anything is compared."""
        if self.backend.undoes_ddl or not self.due_foundation():
            return
        try:
            with self.backend.exclusive():
                self.found()
        except Error as error:
            story = "The run failed before it changed a table"
            raise self.backend.failure(error, story, self.backend.advice(error)) from error

    def found(self) -> None:
        """Make what the tables need first for good, in the run's transaction and under its lock; once a run."""
        if self.is_laid:
            return
        self.foundation = self.due_foundation()
        signals.pre_run.send(sender=None, **self.run_signal_options())
        self.backend.create_extensions(self.foundation.extensions)
        if self.foundation.extensions:
            self.backend.know_types()
        self.run_hooks(self.foundation.hooks)
        self.is_laid = True

    def run_hooks(self, due: Iterable[Hook]) -> None:
        """Run entries, and record each with the text that it was run with."""
        known = {hook.identity for hook in (*self.before, *self.after)}
        for hook in due:
            hook.run(self.backend)
            kept = {identity: digest for identity, digest in self.record.hooks().items() if identity in known}
            self.record.write_hooks({**kept, hook.identity: hook.digest})

    def promise_hooks(self, due: Iterable[Hook]) -> None:
        """Forget that the entries were run, so that they are due until they have been."""
        promised = {hook.identity for hook in due}
        if promised:
            kept = {identity: digest for identity, digest in self.record.hooks().items() if identity not in promised}
            self.record.write_hooks(kept)

    def execute(self, stakes: Stakes, prepare: Prepare) -> Plan:
        """Carry out what is planned, on what it needs first."""
        try:
            return execute(self.backend, self.found, stakes, prepare)
        except BaseException:
            if self.foundation.extensions:
                self.backend.forget_types()
            raise

    def run_signal_options(self) -> dict[str, Any]:
        """What `pre_run` and `post_run` say."""
        return {
            "using": self.selection.alias,
            "command": self.command,
            "apps": self.selection.apps,
            **self.signal_options(),
        }

    # Signals

    def send_pre_migrate(self) -> None:
        if not self.options.tell:
            return
        signals.send_pre_migrate(self.backend, self.selection.apps, **self.signal_options())

    def signal_options(self) -> dict[str, Any]:
        options = self.options
        stdout = options.stdout or sys.stdout
        return {"verbosity": options.verbosity, "interactive": options.interactive, "stdout": stdout}

    def signals_fingerprint(self) -> str:
        return signals.fingerprint(model for model in models_of(self.selection.apps) if self.sends_for(model))

    def sends_for(self, model: Any) -> bool:
        return model._meta.proxy or is_attached(model, self.selection.alias)

    def as_plan(
        self,
        judgements: Iterable[Judgement],
        steps: Iterable[Step],
        current: Schema,
        foreign: Iterable[str] = (),
        remarks: Iterable[Remark] = (),
        *,
        notes: Iterable[str] = (),
        likely_renames: Iterable[LikelyRename] = (),
        after: Iterable[Hook] = (),
    ) -> Plan:
        extensions = [Judgement(change=CreateExtension(name=name)) for name in self.foundation.extensions]
        judgements = (*extensions, *judgements)
        refused = any(judgement.verdict is Verdict.REFUSE for judgement in judgements)
        due = () if refused else tuple(as_step(hook, self.selection.alias) for hook in (*self.foundation.hooks, *after))
        return Plan(
            alias=self.selection.alias,
            vendor=self.backend.connection.vendor,
            schema=current,
            judgements=judgements,
            statements=() if refused else self.framed((step.sql for step in steps), due),
            hooks=due,
            foreign=tuple(foreign),
            notes=(*self.selection.notes, *self.backend.notes, *notes),
            likely_renames=tuple(likely_renames),
            opening=self.backend.opening,
            closing=self.backend.closing,
            tables=len(self.desired.schema),
            remarks=tuple(remarks),
            request=self.request(),
        )

    def framed(self, statements: Iterable[str], due: Iterable[HookStep]) -> tuple[str, ...]:
        """The statements of a plan with what comes before and after them."""
        due = tuple(due)
        return (
            *map(self.backend.extension_statement, self.foundation.extensions),
            *(step.statement for step in due if step.when == "before"),
            *statements,
            *(step.statement for step in due if step.when == "after"),
        )

    def meter(self, plan: Plan, steps: Sequence[Step]) -> Meter:
        """What counts the steps of a plan for whoever watches."""
        sizes = {remark.table: remark.size for remark in plan.remarks}
        return Meter(watch=self.options.progress, alias=plan.alias, statements=len(steps), sizes=sizes)

    def request(self) -> Request:
        """What was asked for, as far as it decides about the plan."""
        options = self.options
        return Request(
            command=self.command,
            models=self.selection.labels,
            renames=options.renames,
            defaults=options.defaults,
            accept_data_loss=options.accept_data_loss,
            prune=options.prune,
            cascade=options.cascade,
        )

    def conclude(self, tables: list[OwnedTable], *, gone: Iterable[str] = (), tell: bool = True) -> None:
        """What belongs to a look besides the tables, in its transaction: the record, and telling receivers."""
        fingerprint = self.signals_fingerprint() if self.selection.everything else None
        untold = tell and not self.backend.undoes_ddl
        self.record.write(tables, gone=gone, signals=fingerprint, untold=untold)
        if self.options.record_migrations:
            self.record_migrations()
        if tell:
            if self.options.tell:
                signals.send_post_migrate(self.backend, self.selection.apps, **self.signal_options())
            self.record.told()

    def finish(self, plan: Plan, after: Iterable[Hook]) -> None:
        """What ends a run that has changed something: telling receivers, and what comes after the tables."""
        signals.post_run.send(sender=None, plan=plan, **self.run_signal_options())
        self.run_hooks(after)

    def record_migrations(self) -> None:
        """Mark the migrations on disk as applied, so that a later `migrate` has nothing to do."""
        connection = self.backend.connection
        loader = MigrationLoader(connection, ignore_no_migrations=True)
        recorder = MigrationRecorder(connection)
        recorder.ensure_schema()
        applied = set(recorder.applied_migrations())
        replaced = {key for migration in loader.disk_migrations.values() for key in migration.replaces}
        missing = sorted((set(loader.disk_migrations) | replaced) - applied)
        rows = [recorder.Migration(app=app, name=name, applied=now()) for app, name in missing]
        recorder.migration_qs.bulk_create(rows)
        if missing:
            self.backend.patience.notify(marked(missing, loader.disk_migrations))


def marked(keys: Sequence[tuple[str, str]], on_disk: Mapping[tuple[str, str], Migration]) -> str:
    """One line on the migrations that were marked as applied, and those among them whose code has not been run."""
    coded = [".".join(key) for key in keys if key in on_disk and has_code(on_disk[key].operations)]
    words = f" RunPython or RunSQL is in {', '.join(coded)}." if coded else ""
    return f"{plural(len(keys), 'migration')} marked as applied without being run.{words}"


def has_code(operations: Iterable[Any]) -> bool:
    """Whether operations of migrations, or what they are made of, do what no model says."""
    return any(
        isinstance(operation, (RunPython, RunSQL)) or has_code(getattr(operation, "database_operations", ()))
        for operation in operations
    )
