"""The verbs: they join selection, desired and current schema, diff, verdicts, plan and execution."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import apps as global_apps
from django.apps.registry import Apps
from django.db import DEFAULT_DB_ALIAS
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils.timezone import now

from automigrate_ext import signals
from automigrate_ext.backends import backend_for
from automigrate_ext.backends.base import Backend, Dependent, Reference, Step, Work
from automigrate_ext.carry import Columns, carry, merged, pointing_columns, retyped_columns
from automigrate_ext.changes import (
    AddConstraint,
    AddIndex,
    AlterColumn,
    AlterPrimaryKey,
    Change,
    CreateTable,
    DropColumn,
    DropTable,
    RenameTable,
)
from automigrate_ext.desired import Desired, read_desired
from automigrate_ext.diff import diff, foreign_objects
from automigrate_ext.execute import Draft, execute
from automigrate_ext.goal import goal
from automigrate_ext.hazards import Judge, plural
from automigrate_ext.ownership import OwnedTable, Ownership, adopt, owned_table
from automigrate_ext.plan import Hazard, Judgement, Plan, Verdict, digest
from automigrate_ext.record import TABLE as RECORD_TABLE
from automigrate_ext.record import Record
from automigrate_ext.renames import Renames, rename_content_types, renamed_ownership
from automigrate_ext.schema import Column, Schema, Table
from automigrate_ext.selection import Label, Selection, is_attached, models_of, select

Models = Label | Iterable[Label] | None


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


def autoupdate(
    models: Models = None,
    *,
    using: str = DEFAULT_DB_ALIAS,
    apps: Apps | None = None,
    renames: Mapping[str, str] | None = None,
    defaults: Mapping[str, Any] | None = None,
    accept_data_loss: bool = False,
    prune: bool = False,
    dry_run: bool = False,
    record_migrations: bool = False,
    verbosity: int = 0,
    interactive: bool = False,
    stdout: Any = None,
) -> Plan:
    """Change the tables in place until they match the models, and keep the data.

    `models` is an app label, "app.Model", a model's name or class, or a list of these; None means all
    models of the database, an empty list none. `renames` maps "app.Model.field" to the field's new name,
    "app.Model" to the model's, "table" and "table.column" to new names in the database; `defaults` are
    one-off values for rows that have none, by "app.Model.field". Returns the plan that was carried out, or
    with `dry_run` would be.

    Raises `UnknownModels`, `ShadowedTable` or `ScratchFailed` before anything is touched, `Refused` when
    the rows do not allow all of it, `ExecutionFailed` or `NotConverged` when the run was undone.
    """
    options = Options(
        renames=renames or {},
        defaults=defaults or {},
        accept_data_loss=accept_data_loss,
        prune=prune,
        record_migrations=record_migrations,
        verbosity=verbosity,
        interactive=interactive,
        stdout=stdout,
    )
    selection = select(models, using, apps or global_apps)
    update = Update(selection, options)
    return update.plan() if dry_run else update.run()


def make_plan(
    models: Models = None,
    *,
    using: str = DEFAULT_DB_ALIAS,
    apps: Apps | None = None,
    renames: Mapping[str, str] | None = None,
    defaults: Mapping[str, Any] | None = None,
    accept_data_loss: bool = False,
    prune: bool = False,
) -> Plan:
    """The plan that `autoupdate` would carry out; changes nothing. See `autoupdate` for what goes in."""
    options = Options(renames=renames or {}, defaults=defaults or {}, accept_data_loss=accept_data_loss, prune=prune)
    return Update(select(models, using, apps or global_apps), options).plan()


def is_actual(models: Models = None, *, using: str = DEFAULT_DB_ALIAS, apps: Apps | None = None) -> bool:
    """Whether the tables match the models, so that `autoupdate` would do nothing; asks no rows."""
    return not Update(select(models, using, apps or global_apps), Options()).differs()


def automigrate(
    models: Models = None,
    *,
    using: str = DEFAULT_DB_ALIAS,
    apps: Apps | None = None,
    cascade: bool = False,
    dry_run: bool = False,
    record_migrations: bool = False,
    verbosity: int = 0,
    interactive: bool = False,
    stdout: Any = None,
) -> Plan:
    """Drop the tables of the models, with all their rows, and create them again.

    See `autoupdate` for what goes in and is raised. The run is refused where rows of other tables point
    at these, and, without `cascade`, where views or triggers would go along.
    """
    options = Options(
        cascade=cascade,
        record_migrations=record_migrations,
        verbosity=verbosity,
        interactive=interactive,
        stdout=stdout,
    )
    rebuild = Rebuild(select(models, using, apps or global_apps), options)
    return rebuild.plan() if dry_run else rebuild.run()


def rows_at_stake(models: Models = None, *, using: str = DEFAULT_DB_ALIAS, apps: Apps | None = None) -> dict[str, int]:
    """How many rows `automigrate` would destroy, by table; tables without rows are left out."""
    selection = select(models, using, apps or global_apps)
    backend = backend_for(using)
    names = [model._meta.db_table for model in selection.models]
    there = backend.introspect(names).tables
    counts = {name: backend.count_rows(name) for name in names if name in there}
    return {name: rows for name, rows in counts.items() if rows}


aautomigrate = sync_to_async(automigrate)
aautoupdate = sync_to_async(autoupdate)
amake_plan = sync_to_async(make_plan)
ais_actual = sync_to_async(is_actual)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What one look at the database and the models found."""

    current: Schema
    ownership: Ownership
    declared: Schema
    desired: Schema
    changes: tuple[Change, ...]


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
            self._desired = read_desired(self.backend, self.selection.models, self.options.defaults)
        return self._desired

    def send_pre_migrate(self) -> None:
        signals.send_pre_migrate(self.backend, self.selection.apps, **self.signal_options())

    def send_post_migrate(self) -> None:
        signals.send_post_migrate(self.backend, self.selection.apps, **self.signal_options())

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
            digest=digest(current),
            judgements=tuple(judgements),
            statements=tuple(step.sql for step in steps),
            foreign=tuple(foreign),
            tables=len(self.desired.schema),
        )

    def write_locked(self, tables: list[OwnedTable], *, gone: Iterable[str] = (), signals: str | None = None) -> None:
        """Bring the record up to date, in a transaction of its own, if it is not."""
        if self.record.outdated(tables, gone=gone, signals=signals):
            with self.backend.exclusive():
                self.record.write(tables, gone=gone, signals=signals)

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


class Update(Run):
    """One `autoupdate`."""

    def __init__(self, selection: Selection, options: Options) -> None:
        super().__init__(selection, options)
        self.carried: Columns = {}
        self.carried_desired: Desired | None = None
        self.renames = Renames(asked=options.renames, models=selection.models, alias=selection.alias)

    @contextmanager
    def renamed(self) -> Iterator[tuple[Change, ...]]:
        """Try the renames out, so that the database itself says what everything is called after them."""
        pending = tuple(self.renames.pending(self.introspect_names))
        if not pending:
            yield ()
            return
        with self.backend.trial():
            self.backend.run(self.backend.compile(Work(changes=pending, current=Schema({}), desired=Schema({}))))
            yield pending

    def introspect_names(self, names: Iterable[str]) -> Schema:
        return self.backend.introspect(list(dict.fromkeys(names)))

    def look(self, pending: tuple[Change, ...] = ()) -> State:
        """Read the database and compare; `pending` renames are on trial."""
        state = self.compare(pending)
        while following := self.following(state):
            self.carried = merged(self.carried, following)
            self.carried_desired = read_desired(self.backend, self.carried)
            state = self.compare(pending)
        return state

    def compare(self, pending: tuple[Change, ...]) -> State:
        """Read the selected tables, and those whose columns follow a key of theirs, and compare."""
        ownership = renamed_ownership(self.record.read(), pending)
        gone = self.removed_tables(ownership)
        carried = [model._meta.db_table for model in self.carried]
        with self.backend.snapshot():
            current = self.backend.introspect(list(dict.fromkeys([*self.desired.schema.tables, *gone, *carried])))
        outside = carry(current, self.carried_desired.schema, self.carried) if self.carried_desired else Schema({})
        declared = Schema({**self.desired.schema.tables, **outside.tables})
        desired = adopt(declared, current, ownership, self.backend.type_rules)
        return State(
            current=current,
            ownership=ownership,
            declared=declared,
            desired=desired,
            changes=(*pending, *diff(current, desired, ownership, prune=self.options.prune)),
        )

    def following(self, state: State) -> Columns:
        """The columns of models outside the run that point at a key whose type changes, and do not follow yet."""
        registry = self.selection.apps.all_models.values()
        others = (model for of_app in registry for model in of_app.values() if model not in self.selection.models)
        attached = [model for model in others if is_attached(model, self.selection.alias)]
        found = pointing_columns(attached, retyped_columns(state.changes))
        return {model: new for model, columns in found.items() if (new := columns - self.carried.get(model, set()))}

    def removed_tables(self, ownership: Ownership) -> list[str]:
        """The recorded tables of the selection that no model declares any more."""
        registry = self.selection.apps.all_models
        claimed = {model._meta.db_table for of_app in registry.values() for model in of_app.values()}
        claimed |= {RECORD_TABLE, MigrationRecorder.Migration._meta.db_table}
        return [
            owned.name
            for owned in ownership.tables.values()
            if owned.name not in claimed and self.selection.covers(owned.owner)
        ]

    def differs(self) -> bool:
        """Whether a run would have something to do, or to refuse."""
        return any(not self.is_settled(change, state) for state in [self.look()] for change in state.changes)

    def is_settled(self, change: Change, state: State) -> bool:
        """Whether the change was withheld before, and nothing has to be done to keep what it would drop."""
        if isinstance(change, DropTable):
            return not self.options.accept_data_loss and self.backend.has_rows(change.table)
        if not isinstance(change, DropColumn) or self.options.accept_data_loss or change.old.needs_value:
            return False
        return not change.old.generated and self.backend.has_values(change.table, change.old.name)

    def plan(self) -> Plan:
        """The plan, with nothing done."""
        with self.backend.snapshot():
            return self.prepare().plan

    def prepare(self) -> Draft:
        """Look, judge and compile in one go."""
        with self.renamed() as pending:
            return self.draft(self.look(pending))

    def draft(self, state: State) -> Draft:
        """Judge the differences and write down what to do."""
        judge = Judge(
            backend=self.backend,
            current=state.current,
            fill=self.desired.fill,
            accept_data_loss=self.options.accept_data_loss,
            owners={table.name: table.owner for table in state.declared},
        )
        verdicts = judge.judge(state.changes)
        refused = any(judgement.verdict is Verdict.REFUSE for judgement in verdicts.judgements)
        work = Work(
            changes=verdicts.changes,
            current=state.current,
            desired=goal(state.current, state.desired, state.declared, verdicts.changes),
            fills=verdicts.fills,
        )
        steps = () if refused or not work.changes else self.backend.compile(work)
        withheld = {j.change.table + j.change.describe() for j in verdicts.judgements if j.verdict is Verdict.WITHHOLD}
        return Draft(
            plan=self.as_plan(verdicts.judgements, steps, state.current, self.left_alone(state)),
            steps=steps,
            leftover=lambda: self.leftover(withheld),
            settle=self.settle,
        )

    def left_alone(self, state: State) -> list[str]:
        """What the tables carry that came from nobody's model."""
        if self.options.prune:
            return []
        found = foreign_objects(state.current, state.desired, state.ownership)
        return [describe_foreign(table, noun) for table, noun in found]

    def leftover(self, withheld: set[str]) -> list[str]:
        """What still differs and was not announced."""
        changes = self.look().changes
        return [change.describe() for change in changes if change.table + change.describe() not in withheld]

    def settle(self) -> None:
        """Record what the tables are now."""
        ownership = self.record.read()
        with self.backend.snapshot():
            current = self.backend.introspect([*self.desired.schema.tables, *self.removed_tables(ownership)])
        desired = adopt(self.desired.schema, current, ownership, self.backend.type_rules)
        self.record.write(self.owned_tables(ownership, current, desired), gone=self.gone(ownership, current))
        rename_content_types(self.renames.renamed_models, self.selection.alias, self.existing_models())
        if self.options.record_migrations:
            self.record_migrations()

    def owned_tables(self, ownership: Ownership, current: Schema, desired: Schema) -> list[OwnedTable]:
        """What to record of the selected tables."""
        declared = self.desired.schema.tables
        return [
            owned_table(declared[table.name], table, current.tables[table.name], ownership.tables.get(table.name))
            for table in desired
            if current.get(table.name) and table.name in declared
        ]

    def gone(self, ownership: Ownership, current: Schema) -> list[str]:
        """The recorded tables that are there no more."""
        return [name for name in ownership.tables if self.is_gone(name, ownership, current)]

    def is_gone(self, name: str, ownership: Ownership, current: Schema) -> bool:
        """Whether a recorded table was dropped or renamed."""
        renamed = name in self.renames.tables and self.renames.tables[name] != name
        return renamed or (name in self.removed_tables(ownership) and current.get(name) is None)

    def existing_models(self) -> Apps:
        """The registry with the models whose tables exist."""
        return signals.existing_models(self.selection.apps, self.selection.alias, self.backend.table_names())

    def run(self) -> Plan:
        """Do it: quickly where nothing differs, else under the lock."""
        if not self.selection.models and not self.selection.everything:
            return self.as_plan((), (), Schema({}))
        self.send_pre_migrate()
        with self.backend.snapshot(), self.renamed() as pending:
            state = self.look(pending)
        unsettled = [change for change in state.changes if not self.is_settled(change, state)]
        if unsettled:
            plan = execute(self.backend, self.at_stake(state), self.prepare)
        else:
            plan = self.as_plan((), (), state.current, self.left_alone(state))
            self.settle_unchanged(state)
        self.tell_receivers(changed=bool(unsettled))
        return plan

    def settle_unchanged(self, state: State) -> None:
        """Record what was found declared, under the lock, and only if that is news."""
        tables = self.owned_tables(state.ownership, state.current, state.desired)
        self.write_locked(tables, gone=self.gone(state.ownership, state.current))
        if self.options.record_migrations:
            with self.backend.exclusive():
                self.record_migrations()

    def at_stake(self, state: State) -> frozenset[str]:
        """The tables whose rows decide about a change, by the names that they have now."""
        kinds = (AlterColumn, AlterPrimaryKey, DropColumn, DropTable, AddConstraint, AddIndex)
        decided = (change.table for change in state.changes if isinstance(change, kinds))
        old_names = {c.new_name: c.table for c in state.changes if isinstance(c, RenameTable)}
        return frozenset(old_names.get(table, table) for table in decided if state.current.get(table))

    def tell_receivers(self, *, changed: bool) -> None:
        """Send post_migrate where tables changed or there is something new for its receivers to see."""
        fingerprint = self.signals_fingerprint()
        if changed or self.record.signals() != fingerprint:
            self.send_post_migrate()
            if self.selection.everything:
                self.write_locked([], signals=fingerprint)


def describe_foreign(table: Table, noun: Any) -> str:
    """One line about something that came from nobody's model."""
    if isinstance(noun, Column):
        return f"column {table.name}.{noun.name}"
    return f"{noun.describe()} {noun.name} on {table.name}".replace("  ", " ")


class Rebuild(Run):
    """One `automigrate`."""

    def plan(self) -> Plan:
        """The plan, with nothing done."""
        with self.backend.snapshot():
            return self.draft().plan

    def run(self) -> Plan:
        if not self.selection.models:
            return self.as_plan((), (), Schema({}))
        self.send_pre_migrate()
        desired = self.desired
        with self.backend.snapshot():
            current = self.backend.introspect(list(desired.schema.tables))
        plan = execute(self.backend, frozenset(current.tables), self.draft)
        self.send_post_migrate()
        if self.selection.everything:
            self.write_locked([], signals=self.signals_fingerprint())
        return plan

    def draft(self) -> Draft:
        """Look for what stands in the way, and write down what to do."""
        desired = self.desired.schema
        current = self.backend.introspect(list(desired.tables))
        references = self.backend.references(list(current.tables))
        dependents = self.backend.dependents(list(current.tables))
        judgements = [
            *(self.judge_drop(table, references, dependents) for table in current),
            *(Judgement(change=CreateTable(table=table.name, new=table)) for table in desired),
        ]
        changes = tuple(judgement.change for judgement in judgements)
        work = Work(changes=changes, current=current, desired=desired)
        refused = any(judgement.verdict is Verdict.REFUSE for judgement in judgements)
        steps = () if refused else self.backend.compile_rebuild(work, references, cascade=self.options.cascade)
        return Draft(
            plan=self.as_plan(judgements, steps, current),
            steps=steps,
            leftover=self.leftover,
            settle=self.settle,
        )

    def judge_drop(self, table: Table, references: Iterable[Reference], dependents: Iterable[Dependent]) -> Judgement:
        """Whether the table may go: nothing of others may point at it or go along."""
        change = DropTable(table=table.name, old=table)
        in_the_way = [
            *(self.pointing(reference) for reference in references if reference.foreign_key.to_table == table.name),
            *(self.going_along(dependent) for dependent in dependents if dependent.table == table.name),
        ]
        refusing = tuple(hazard for hazard in in_the_way if hazard)
        if refusing:
            return Judgement(change=change, verdict=Verdict.REFUSE, hazards=refusing)
        return Judgement(change=change)

    def pointing(self, reference: Reference) -> Hazard | None:
        rows = self.backend.count_references(reference)
        if not rows:
            return None
        target = reference.foreign_key.to_table
        return Hazard(
            code="referenced",
            message=f"{plural(rows, 'row')} of {reference.table} point at {target}, which would be dropped",
            rows=rows,
            remedy=f"Name the model of {reference.table} too, or delete these rows first.",
        )

    def going_along(self, dependent: Dependent) -> Hazard | None:
        if self.options.cascade:
            return None
        return Hazard(
            code="dependent",
            message=f"The {dependent.kind} {dependent.name} would go along with {dependent.table}",
            remedy="Pass --cascade (cascade=True) to let it go, and make it again afterwards.",
        )

    def leftover(self) -> list[str]:
        desired = self.desired.schema
        current = self.backend.introspect(list(desired.tables))
        return [change.describe() for change in diff(current, desired, Ownership())]

    def settle(self) -> None:
        current = self.backend.introspect(list(self.desired.schema.tables))
        tables = [owned_table(table, table, current.tables[table.name], None) for table in self.desired.schema]
        self.record.write(tables)
        if self.options.record_migrations:
            self.record_migrations()
