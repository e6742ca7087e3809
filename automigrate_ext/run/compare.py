"""Read the live tables, ask the server what the models make of them, and compare."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace as evolve

from django.db.models import Model

from automigrate_ext.declared.selection import is_attached, models_of, registered
from automigrate_ext.renames import hints
from automigrate_ext.renames.request import RenameRequest
from automigrate_ext.renames.requested import OutstandingRenames, Renames, renamed_ownership
from automigrate_ext.run.base import Run
from automigrate_ext.run.desired import read_desired
from automigrate_ext.run.followers import (
    ColumnsByModel,
    merge_columns,
    pointing_columns,
    retype_followers,
    retyped_columns,
)
from automigrate_ext.run.migrations import TABLE as MIGRATIONS_TABLE
from automigrate_ext.run.record_table import TABLE as RECORD_TABLE
from automigrate_ext.run.state import Followers, State
from automigrate_ext.schema.adopt import adopt
from automigrate_ext.schema.changes import (
    AddColumn,
    AlterColumn,
    Change,
    FillColumn,
    RenameColumn,
    ValidateConstraint,
)
from automigrate_ext.schema.collations import targets_outside, with_one_collation
from automigrate_ext.schema.diff import diff, names_in_the_way
from automigrate_ext.schema.nouns import Schema
from automigrate_ext.schema.ownership import (
    Ownership,
    as_taken_off,
    columns_to_fill,
    constraints_to_validate,
    foreign_keys_to_restore,
    outside_keys_to_restore,
    respelled,
    with_recorded_digits,
    with_spelling,
)


class Comparer:
    """Compares the database of a run with its models, once everything has its new name."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.backend = run.backend
        self.selection = run.selection
        hints.forbid_malformed(self.selection.models, self.selection.apps)
        self.renames = self.read_renames()

    def read_renames(self) -> Renames:
        """Return the renames that were asked for and, after them, those that are hinted at."""
        asked = [RenameRequest(old=old, new=new) for old, new in self.run.options.renames.items()]
        requests = [*asked, *hints.requests(self.selection.models)]
        return Renames(
            requests=requests,
            models=self.selection.models,
            all_models=self.attached_models() if requests else (),
            alias=self.selection.alias,
        )

    def attached_models(self) -> list[type[Model]]:
        """Return all models of the registry that have a table in the database."""
        alias = self.selection.alias
        return [model for model in models_of(self.selection.apps) if is_attached(model, alias)]

    # Renames on trial

    @contextmanager
    def renamed(self) -> Iterator[State]:
        """Yield the comparison with everything under its new name, on trial while the block runs."""
        with self.tried() as outstanding, self.backend.session.snapshot():
            state = self.compare(outstanding)
            spellings = tuple(self.new_spellings(state))
            if not spellings:
                yield state
                return
        with self.tried(spellings) as outstanding, self.backend.session.snapshot():
            yield self.compare(outstanding)

    @contextmanager
    def tried(self, more: tuple[Change, ...] = ()) -> Iterator[OutstandingRenames]:
        """Try the renames out, so that the database itself shows what everything is called after them."""
        outstanding = self.renames.outstanding(self.introspect_names, self.run.record.read)
        renames = (*outstanding.changes, *self.backend.following_sequences(outstanding.changes), *more)
        outstanding = evolve(outstanding, changes=renames)
        if not renames:
            yield outstanding
            return
        with self.backend.session.tried(renames):
            yield outstanding

    def introspect_names(self, names: Iterable[str]) -> Schema:
        """Read the tables of these names."""
        return self.backend.introspect(list(dict.fromkeys(names)))

    def new_spellings(self, state: State) -> Iterator[RenameColumn]:
        """Yield the columns whose names the server does not tell from new ones: only their spelling changes."""
        if not self.backend.connection.features.ignores_table_name_case:
            return
        for change in (change for change in state.changes if isinstance(change, AddColumn)):
            for column in state.current.tables[change.table].columns:
                if column.name.lower() == change.new.name.lower():
                    yield RenameColumn(table=change.table, old_name=column.name, new_name=change.new.name)

    # Comparing

    def compare(self, outstanding: OutstandingRenames) -> State:
        """Read the tables and compare; the renames of `outstanding` are on trial. Raises `AmbiguousSchema`."""
        state = self.compare_once(outstanding.changes, outstanding.changes, Followers())
        self.run.forbid_hiding(state.current)
        return evolve(self.with_followers(state, outstanding.changes), notes=outstanding.notes)

    def compare_again(self, before: State) -> State:
        """Read the tables again, and compare them as they are after a run that began with `before`."""
        state = self.with_followers(self.compare_once((), before.renames, before.followers), ())
        # The record has it until the end of the run what is to be filled and proved, which the run has done by now.
        done = (FillColumn,) if self.backend.shows_unproven else (FillColumn, ValidateConstraint)
        return evolve(state, changes=tuple(change for change in state.changes if not isinstance(change, done)))

    def with_followers(self, state: State, pending: tuple[Change, ...]) -> State:
        """Return the comparison with all columns that follow a key whose type changes, and what follows these."""
        while following := self.following(state):
            columns = merge_columns(state.followers.columns, following)
            followers = Followers(columns=columns, declared=read_desired(self.backend, columns).schema)
            state = self.compare_once(pending, state.renames, followers)
        return state

    def compare_once(self, pending: tuple[Change, ...], renames: tuple[Change, ...], followers: Followers) -> State:
        """Read the selected tables, those that no model declares any more and those that follow, and compare.

        The `pending` renames are on trial, and are changes to carry out; the record knows tables and columns by the
        names that they had before the `renames`.
        """
        ownership = renamed_ownership(self.recorded(renames), renames)
        removed = self.removed_tables(ownership)
        followed = [model._meta.db_table for model in followers.columns]
        with self.backend.session.snapshot():
            tables = self.run.desired.schema.tables
            owed = {table: None for owned in ownership.tables.values() for table, _ in owned.outside}
            current = self.backend.introspect(list(dict.fromkeys([*tables, *removed, *followed, *owed])))
        current = self.backend.as_spelled(current, self.run.desired.schema)
        ownership = with_spelling(ownership, current, self.backend.part_key)
        current = with_recorded_digits(current, ownership)
        outside = retype_followers(current, followers.declared, followers.columns) if followers.columns else Schema({})
        # What another run still has to do for tables outside changes nothing else about them.
        untouched = {name: table for name in owed if (table := current.get(name))}
        declared = Schema({**untouched, **tables, **outside.tables})
        adopted = adopt(declared, current, ownership, self.backend.type_rules, prune=self.run.options.prune)
        desired = self.with_one_collation(adopted, current)
        differences = self.differences(current, desired, ownership, is_renamed=bool(renames))
        return State(
            current=current,
            desired=desired,
            declared=declared,
            changes=(*pending, *differences),
            ownership=ownership,
            removed=tuple(removed),
            renames=renames,
            followers=followers,
        )

    def recorded(self, renames: Iterable[Change]) -> Ownership:
        """Return the record, with the tables that the models or the renames name under these names."""
        names = (*(change.table for change in renames), *self.run.claimed)
        return respelled(self.run.record.read(), names, self.backend.name_key)

    def with_one_collation(self, desired: Schema, current: Schema) -> Schema:
        """Return the desired tables, with the collations that new foreign keys require."""
        if not self.backend.keys_have_one_collation:
            return desired
        outside = targets_outside(desired, current)
        return with_one_collation(desired, current, self.backend.introspect(outside) if outside else Schema({}))

    def differences(
        self, current: Schema, desired: Schema, ownership: Ownership, *, is_renamed: bool
    ) -> tuple[Change, ...]:
        """Return what differs, and what has the name of another where that is to have its own."""
        prune = self.run.options.prune
        changes = tuple(as_taken_off(diff(current, desired, ownership, prune=prune), ownership))
        changes = (*changes, *self.narrowed(current, desired, changes))
        shown = self.backend.shows_unproven
        changes = (*changes, *constraints_to_validate(current, desired, ownership, changes, shown=shown))
        changes = (*changes, *columns_to_fill(current, desired, ownership))
        changes = (*changes, *outside_keys_to_restore(current, ownership, changes))
        if not prune:
            changes = (*changes, *foreign_keys_to_restore(current, desired, ownership))
        if is_renamed or (changes and not self.backend.frees_names):
            return (*changes, *names_in_the_way(current, desired))
        return changes

    def narrowed(self, current: Schema, desired: Schema, changes: Iterable[Change]) -> Iterator[AlterColumn]:
        """Yield the columns that are as declared, but hold values of more digits than the models now give them."""
        altered = {(change.table, change.new.name) for change in changes if isinstance(change, AlterColumn)}
        for table, name in self.backend.columns_over_digits(current, desired):
            old, new = current.tables[table].column(name), desired.tables[table].column(name)
            if old and new and (table, name) not in altered:
                yield AlterColumn(table=table, old=old, new=new)

    def following(self, state: State) -> ColumnsByModel:
        """Return the columns outside the run that point at a key whose type changes, and do not follow yet."""
        retyped = retyped_columns(state.changes)
        if not retyped:
            return {}
        selected = set(self.selection.models)
        others = (model for model in registered(self.selection.apps) if model not in selected)
        attached = [model for model in others if is_attached(model, self.selection.alias)]
        known = state.followers.columns
        pointing = pointing_columns(self.backend.connection, attached, retyped)
        return {model: new for model, columns in pointing.items() if (new := columns - known.get(model, set()))}

    def removed_tables(self, ownership: Ownership) -> list[str]:
        """Return the recorded tables of the selection that no model declares any more."""
        claimed = self.run.claimed | {RECORD_TABLE, MIGRATIONS_TABLE}
        removed = [
            owned.name
            for owned in ownership.tables.values()
            if owned.name not in claimed and self.selection.covers(owned.owner)
        ]
        others: Collection[str] = self.backend.spoken_for(removed, claimed) if removed else ()
        return [name for name in removed if name not in others]
