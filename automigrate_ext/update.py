"""One `autoupdate`: look, compare, judge, compile, carry out, look again."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.apps.registry import Apps
from django.db.migrations.recorder import MigrationRecorder

from automigrate_ext import signals
from automigrate_ext.backends.base import Work
from automigrate_ext.carry import Columns, carry, merged, pointing_columns, retyped_columns
from automigrate_ext.changes import (
    AddConstraint,
    AddIndex,
    AlterColumn,
    AlterPrimaryKey,
    Change,
    DropColumn,
    DropTable,
    RenameTable,
)
from automigrate_ext.desired import Desired, read_desired
from automigrate_ext.diff import diff, foreign_objects
from automigrate_ext.execute import Draft, execute
from automigrate_ext.goal import goal
from automigrate_ext.hazards import Judge, pointed_at_from_outside
from automigrate_ext.ownership import OwnedTable, Ownership, adopt, owned_table
from automigrate_ext.plan import Plan, Verdict
from automigrate_ext.record import TABLE as RECORD_TABLE
from automigrate_ext.renames import Renames, rename_content_types, renamed_ownership
from automigrate_ext.run import Options, Run
from automigrate_ext.schema import Column, Schema, Table
from automigrate_ext.selection import Selection, is_attached


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What one look at the database and the models found."""

    current: Schema
    ownership: Ownership
    declared: Schema
    desired: Schema
    changes: tuple[Change, ...]


class Update(Run):
    """One `autoupdate`."""

    def __init__(self, selection: Selection, options: Options) -> None:
        super().__init__(selection, options)
        self.renamings: tuple[Change, ...] = ()
        self.carried: Columns = {}
        self.carried_desired: Desired | None = None
        self.renames = Renames(asked=options.renames, models=selection.models, alias=selection.alias)

    @contextmanager
    def renamed(self) -> Iterator[tuple[Change, ...]]:
        """Try the renames out, so that the database itself says what everything is called after them."""
        pending = self.renamings = tuple(self.renames.pending(self.introspect_names))
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
        ownership = renamed_ownership(self.record.read(), self.renamings)
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
        retyped = retyped_columns(state.changes)
        if not retyped:
            return {}
        selected = set(self.selection.models)
        registry = self.selection.apps.all_models.values()
        others = (model for of_app in registry for model in of_app.values() if model not in selected)
        attached = [model for model in others if is_attached(model, self.selection.alias)]
        found = pointing_columns(attached, retyped)
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
        return bool(self.unsettled(self.look()))

    def unsettled(self, state: State) -> list[Change]:
        """The changes that a run has to do something about."""
        pointed_at = pointed_at_from_outside(self.backend, state.current, state.changes)
        return [change for change in state.changes if not self.is_settled(change, pointed_at)]

    def is_settled(self, change: Change, pointed_at: Container[str]) -> bool:
        """Whether the change is withheld, and nothing has to be done to keep what it would drop."""
        if isinstance(change, DropTable):
            if change.table in pointed_at:
                return True
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
        recorded = self.record.read()
        ownership = renamed_ownership(recorded, self.renamings)
        with self.backend.snapshot():
            current = self.backend.introspect([*self.desired.schema.tables, *self.removed_tables(ownership)])
        desired = adopt(self.desired.schema, current, ownership, self.backend.type_rules)
        rename_content_types(self.renames.renamed_models, self.selection.alias, self.existing_models())
        self.conclude(self.owned_tables(ownership, current, desired), gone=self.gone(recorded, current))

    def owned_tables(self, ownership: Ownership, current: Schema, desired: Schema) -> list[OwnedTable]:
        """What to record of the selected tables."""
        declared = self.desired.schema.tables
        return [
            owned_table(declared[table.name], table, current.tables[table.name], ownership.tables.get(table.name))
            for table in desired
            if current.get(table.name) and table.name in declared
        ]

    def gone(self, ownership: Ownership, current: Schema) -> list[str]:
        """The recorded tables that were dropped or renamed."""
        removed = set(self.removed_tables(ownership))
        renamed = {old for old, new in self.renames.tables.items() if old != new}
        return [name for name in ownership.tables if name in renamed or (name in removed and current.get(name) is None)]

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
            unsettled = self.unsettled(state)
        if unsettled:
            plan = execute(self.backend, self.at_stake(state), self.prepare)
        else:
            plan = self.as_plan((), (), state.current, self.left_alone(state))
            self.settle_unchanged(state)
        return plan

    def settle_unchanged(self, state: State) -> None:
        """Where no table changes: record what was found declared and tell receivers, if either is news."""
        tables = self.owned_tables(state.ownership, state.current, state.desired)
        gone = self.gone(state.ownership, state.current)
        fingerprint = self.signals_fingerprint() if self.selection.everything else None
        tell = fingerprint is not None and fingerprint != self.record.signals()
        if self.options.record_migrations or self.record.outdated(tables, gone=gone, signals=fingerprint):
            with self.backend.exclusive():
                self.conclude(tables, gone=gone, tell=tell)

    def at_stake(self, state: State) -> frozenset[str]:
        """The tables whose rows decide about a change, by the names that they have now."""
        kinds = (AlterColumn, AlterPrimaryKey, DropColumn, DropTable, AddConstraint, AddIndex)
        decided = (change.table for change in state.changes if isinstance(change, kinds))
        old_names = {c.new_name: c.table for c in state.changes if isinstance(c, RenameTable)}
        return frozenset(old_names.get(table, table) for table in decided if state.current.get(table))


def describe_foreign(table: Table, noun: Any) -> str:
    """One line about something that came from nobody's model."""
    if isinstance(noun, Column):
        return f"column {table.name}.{noun.name}"
    return f"{noun.describe()} {noun.name} on {table.name}".replace("  ", " ")
