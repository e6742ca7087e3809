"""What the two verbs have in common: options, signals, the record, recorded migrations."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model
from django.utils.timezone import now

from automigrate_ext import signals
from automigrate_ext.backends import backend_for
from automigrate_ext.backends.base import Backend, Step
from automigrate_ext.desired import Desired, read_desired
from automigrate_ext.ownership import OwnedTable
from automigrate_ext.plan import Judgement, Plan
from automigrate_ext.record import Record
from automigrate_ext.schema import Schema
from automigrate_ext.selection import Selection, is_attached, models_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a caller may ask of a run beyond which models."""

    renames: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    accept_data_loss: bool = False
    prune: bool = False
    cascade: bool = False
    record_migrations: bool = False
    verbosity: int = 0
    interactive: bool = False
    stdout: Any = None


class Run:
    """What the two verbs have in common."""

    def __init__(self, selection: Selection, options: Options) -> None:
        self.selection = selection
        self.options = options
        self.backend: Backend = backend_for(selection.alias)
        self.record = Record(self.backend)
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

    def send_pre_migrate(self) -> None:
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
    ) -> Plan:
        return Plan(
            alias=self.selection.alias,
            vendor=self.backend.connection.vendor,
            schema=current,
            judgements=tuple(judgements),
            statements=tuple(step.sql for step in steps),
            foreign=tuple(foreign),
            opening=self.backend.opening,
            closing=self.backend.closing,
            tables=len(self.desired.schema),
        )

    def conclude(self, tables: list[OwnedTable], *, gone: Iterable[str] = (), tell: bool = True) -> None:
        """What belongs to a run besides the tables, in its transaction: the record, and telling receivers."""
        fingerprint = self.signals_fingerprint() if self.selection.everything else None
        self.record.write(tables, gone=gone, signals=fingerprint)
        if self.options.record_migrations:
            self.record_migrations()
        if tell:
            signals.send_post_migrate(self.backend, self.selection.apps, **self.signal_options())

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
