"""One `autoupdate`: look, compare, judge, compile, carry out, look again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace as evolve
from typing import Any

from django.apps.registry import Apps
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model
from django.db.utils import Error

from automigrate_ext import signals
from automigrate_ext.backends.base import Fill, Work
from automigrate_ext.declared.selection import Selection, is_attached, models_of
from automigrate_ext.hazards.judge import Judge
from automigrate_ext.hazards.quick import unsettled
from automigrate_ext.plan.plan import Plan, Verdict
from automigrate_ext.plan.saved import ANYTHING, Expected, SavedPlan, forbid_outdated
from automigrate_ext.renames import hints
from automigrate_ext.renames.content_types import rename_content_types
from automigrate_ext.renames.guess import likely_renames
from automigrate_ext.renames.requested import Outcome, RenameRequest, Renames, origins, renamed_ownership
from automigrate_ext.run.desired import Desired, read_desired
from automigrate_ext.run.execute import Draft
from automigrate_ext.run.followers import Columns, carry, merged, pointing_columns, retyped_columns
from automigrate_ext.run.hooks import Hook
from automigrate_ext.run.options import Answers, Options
from automigrate_ext.run.owned_row import TABLE as RECORD_TABLE
from automigrate_ext.run.run import Run, claimed_tables
from automigrate_ext.run.several import concerning
from automigrate_ext.schema.adopt import adopt
from automigrate_ext.schema.after import goal
from automigrate_ext.schema.changes import (
    AddColumn,
    AddConstraint,
    AddIndex,
    AlterColumn,
    AlterPrimaryKey,
    Change,
    DropColumn,
    DropTable,
    RenameColumn,
)
from automigrate_ext.schema.diff import diff, foreign_objects, names_in_the_way
from automigrate_ext.schema.nouns import Column, Schema, Table
from automigrate_ext.schema.ownership import OwnedTable, Ownership, kept_table, owned_table, promised, to_put_back


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

    command = "autoupdate"
    #: What was found when the run had carried out its steps.
    reached: State

    def __init__(self, selection: Selection, options: Options, saved: SavedPlan | None = None) -> None:
        super().__init__(selection, concerning(options, selection))
        self.backend.rows.limit = options.count_timeout
        self.saved = saved
        self.renamings: tuple[Change, ...] = ()
        self.carried: Columns = {}
        self.carried_desired: Desired | None = None
        hints.forbid_malformed(selection.models, selection.apps)
        self.outcome = Outcome()
        self.renames = self.read_renames()

    def read_renames(self) -> Renames:
        """The renames that were asked for and, after them, those that are hinted at."""
        asked = [RenameRequest(old=old, new=new) for old, new in self.options.renames.items()]
        requests = [*asked, *hints.requests(self.selection.models)]
        return Renames(
            requests=requests,
            models=self.selection.models,
            everyone=self.attached_models() if requests else (),
            alias=self.selection.alias,
        )

    def attached_models(self) -> list[type[Model]]:
        """All models of the registry that have a table in the database."""
        alias = self.selection.alias
        return [model for model in models_of(self.selection.apps) if is_attached(model, alias)]

    @contextmanager
    def view(self) -> Iterator[State]:
        """Look at the database as it is once it has what the tables need first, and everything has its new name."""
        with self.founded(), self.view_renamed() as state:
            yield state

    @contextmanager
    def view_renamed(self) -> Iterator[State]:
        """The same, once what the tables need first is there."""
        with self.renamed() as pending, self.backend.snapshot():
            state = self.look(pending)
            respelled = tuple(self.respelled(state))
            if not respelled:
                yield state
                return
        with self.renamed(respelled) as pending, self.backend.snapshot():
            yield self.look(pending)

    def respelled(self, state: State) -> Iterator[RenameColumn]:
        """The columns whose names the server does not tell from new ones: only their spelling changes."""
        if not self.backend.connection.features.ignores_table_name_case:
            return
        for change in (change for change in state.changes if isinstance(change, AddColumn)):
            for column in state.current.tables[change.table].columns:
                if column.name.lower() == change.new.name.lower():
                    yield RenameColumn(table=change.table, old_name=column.name, new_name=change.new.name)

    @contextmanager
    def renamed(self, more: tuple[Change, ...] = ()) -> Iterator[tuple[Change, ...]]:
        """Try the renames out, so that the database itself says what everything is called after them."""
        self.outcome = self.renames.look(self.introspect_names)
        renames = self.outcome.changes
        pending = self.renamings = (*renames, *self.backend.following_sequences(renames), *more)
        if not pending:
            yield ()
            return
        with self.backend.tried(pending):
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
            changes=(*pending, *self.differences(current, desired, ownership)),
        )

    def differences(self, current: Schema, desired: Schema, ownership: Ownership) -> tuple[Change, ...]:
        """What differs, and what has the name of another where that is to have its own."""
        changes = diff(current, desired, ownership, prune=self.options.prune)
        if not self.options.prune:
            changes = (*changes, *to_put_back(current, ownership))
        if self.renamings or (changes and not self.backend.frees_names):
            return (*changes, *names_in_the_way(current, desired))
        return changes

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
        claimed = claimed_tables(self.selection.apps)
        claimed |= {RECORD_TABLE, MigrationRecorder.Migration._meta.db_table}
        removed = [
            owned.name
            for owned in ownership.tables.values()
            if owned.name not in claimed and self.selection.covers(owned.owner)
        ]
        others = self.backend.spoken_for(removed, claimed) if removed else ()
        return [name for name in removed if name not in others]

    def left_to_do(self) -> list[str]:
        """What a run would have something to do about, or would refuse, in one line each."""
        # Without what is due the tables may not be compared: a type may be missing.
        return self.due() or [change.describe() for change in self.backend.steadily(self.to_do)]

    def to_do(self) -> list[Change]:
        """Look, and see what there is to do."""
        with self.backend.snapshot():
            return self.unsettled(self.look())

    def unsettled(self, state: State) -> list[Change]:
        """Return the changes that a run has to do something about."""
        accepts_loss = self.options.accept_data_loss
        return unsettled(self.backend, state.current, state.changes, accepts_loss=accepts_loss)

    def newly_kept(self, state: State) -> bool:
        """Whether something is withheld that no run has said so of."""
        return any(
            not state.ownership.is_kept(change.table, change.old.name if isinstance(change, DropColumn) else None)
            for change in state.changes
            if isinstance(change, (DropColumn, DropTable))
        )

    def plan(self) -> Plan:
        """The plan, with nothing done."""
        return self.backend.steadily(self.outline)

    def outline(self) -> Plan:
        """Look, judge and compile, and write out what each row would get."""
        with self.view() as state:
            draft = self.draft(state)
            if draft.plan.refused:
                return draft.plan
            statements = self.framed(self.backend.written_out(draft.steps), draft.plan.hooks)
            return evolve(draft.plan, statements=statements)

    def prepare(self) -> Draft:
        """Look, judge and compile in one go."""
        with self.view() as state:
            draft = self.draft(state)
        if self.saved is not None:
            forbid_outdated(self.saved, draft.plan, draft.expected)
        return draft

    def draft(self, state: State) -> Draft:
        """Judge the differences and write down what to do."""
        judge = Judge(
            backend=self.backend,
            current=state.current,
            fill=self.desired.fill,
            accept_data_loss=self.options.accept_data_loss,
            owners={table.name: table.owner for table in state.declared if not table.automatic},
        )
        verdicts = judge.judge(state.changes)
        refused = any(judgement.verdict is Verdict.REFUSE for judgement in verdicts.judgements)
        work = Work(
            changes=verdicts.changes,
            current=state.current,
            desired=goal(state.current, state.desired, state.declared, verdicts.changes),
            fills=verdicts.fills,
            casts=verdicts.casts,
            may_lose=self.options.accept_data_loss,
        )
        steps = () if refused or not work.changes else self.backend.compile(work)
        after = self.due_after(tables_change=bool(steps))
        withheld = {j.change.table + j.change.describe() for j in verdicts.judgements if j.verdict is Verdict.WITHHOLD}
        plan = self.as_plan(
            verdicts.judgements,
            steps,
            state.current,
            self.left_alone(state),
            self.backend.remarks(work, judge.forecast.filled) if steps else (),
            notes=self.outcome.notes,
            likely_renames=likely_renames(verdicts.judgements, state.current, state.ownership, self.desired.fields),
            after=after,
        )
        return Draft(
            plan=plan,
            steps=steps,
            meter=self.meter(plan, steps),
            leftover=lambda: self.leftover(withheld),
            settle=self.settle,
            finish=lambda: self.finish(plan, after),
            announce=lambda: self.announce(state, work, after),
            expected=self.expected(work, plan) if self.saved is not None and not refused else (),
        )

    def expected(self, work: Work, plan: Plan) -> tuple[Expected, ...]:
        """The plan's statements as a saved plan has them, whatever time it was then and values it gave each row."""
        first, last = (
            [Expected(sql=step.statement) for step in plan.hooks if step.when == when] for when in ("before", "after")
        )
        extensions = map(self.backend.extension_statement, self.foundation.extensions)
        made = [Expected(sql=sql) for sql in extensions]
        return (*made, *first, *(self.expected_steps(work) if work.changes else ()), *last)

    def expected_steps(self, work: Work) -> tuple[Expected, ...]:
        """The same of the statements that change tables."""
        fills = {
            key: Fill(sql=ANYTHING) if not fill.draw and self.desired.is_momentary(*key) else fill
            for key, fill in work.fills.items()
        }
        steps = self.backend.compile(evolve(work, fills=fills))
        each_row = [self.backend.row_statement(step.fill, ANYTHING) if step.fill else "" for step in steps]
        return tuple(Expected(sql=step.sql, each_row=each) for step, each in zip(steps, each_row, strict=True))

    def left_alone(self, state: State) -> list[str]:
        """What the tables carry that came from nobody's model."""
        if self.options.prune:
            return []
        found = foreign_objects(state.current, state.desired, state.ownership)
        return [describe_foreign(table, noun) for table, noun in found]

    def leftover(self, withheld: set[str]) -> list[str]:
        """What still differs and was not announced."""
        self.reached = self.look()
        changes = self.reached.changes
        return [change.describe() for change in changes if change.table + change.describe() not in withheld]

    def announce(self, state: State, work: Work, after: Iterable[Hook]) -> None:
        """Record beforehand what the tables come to own, whose the defaults are that fill new columns, and what is
        taken off for a while.

        So the next run knows them as the models', tells receivers and runs entries, if this one is ended halfway.
        """
        self.rename_content_types()
        known = state.ownership.tables
        declared = {table.name: table.foreign_keys for table in state.desired}
        made_by_hand = [(table, key) for table, key in self.backend.taken_off(work) if key not in declared[table]]
        tables = [
            promised(
                owned,
                known.get(owned.name),
                filled=[column for table, column in work.fills if table == owned.name],
                taken_off=[key for table, key in made_by_hand if table == owned.name],
            )
            for owned in self.owned_tables(state.ownership, state.current, state.desired)
        ]
        self.record.write(tables, untold=True)
        self.promise_hooks(after)

    def settle(self) -> None:
        """Record what the tables are, as they were when they were compared after the run."""
        state = self.reached
        tables = self.owned_tables(state.ownership, state.current, state.desired)
        self.rename_content_types()
        self.conclude(tables, gone=self.gone(self.record.read(), state.ownership, state.current))

    def rename_content_types(self) -> None:
        if self.renames.renamed_models:
            rename_content_types(self.renames.renamed_models, self.selection.alias, self.existing_models())

    def owned_tables(self, ownership: Ownership, current: Schema, desired: Schema) -> list[OwnedTable]:
        """What to record of the selected tables."""
        declared = self.desired.schema.tables
        return [
            owned_table(declared[table.name], table, current.tables[table.name], ownership.tables.get(table.name))
            for table in desired
            if current.get(table.name) and table.name in declared
        ] + [kept_table(ownership.tables[name]) for name in self.removed_tables(ownership) if current.get(name)]

    def gone(self, recorded: Ownership, renamed: Ownership, current: Schema) -> list[str]:
        """The recorded tables that were dropped or renamed."""
        removed = set(self.removed_tables(renamed))
        return [
            name
            for name in recorded.tables
            if name not in renamed.tables or (name in removed and current.get(name) is None)
        ]

    def existing_models(self) -> Apps:
        """The registry with the models whose tables exist."""
        return signals.existing_models(self.selection.apps, self.backend)

    def run(self) -> Plan:
        """Do it: quickly where nothing differs, else under the lock."""
        if not self.selection.models and not self.selection.everything:
            return self.as_plan((), (), Schema({}))
        if self.saved is not None:
            self.backend.steadily(self.prepare)  # compares it with the saved one before receivers are told anything
        self.send_pre_migrate()
        self.found_for_good()
        state, busy = self.backend.steadily(self.first_look)
        if busy and self.ask_about_it():
            state, busy = self.backend.steadily(self.first_look)
        if busy or self.saved is not None:
            return self.execute(lambda waited: self.at_stake(self.look_again() if waited else state), self.prepare)
        self.settle_unchanged(state)
        return self.as_plan((), (), state.current, self.left_alone(state), notes=self.outcome.notes)

    def first_look(self) -> tuple[State, bool]:
        """What is there, without a lock, and whether something has to be done about it."""
        with self.view() as state:
            busy = self.newly_kept(state) or self.unsettled(state)
            return state, bool(busy or self.foundation or self.due_after(tables_change=False))

    def look_again(self) -> State:
        """Look once more, after another run."""
        with self.view() as state:
            return state

    def ask_about_it(self) -> bool:
        """Put the plan before whoever can answer, until there is nothing new; whether there were answers."""
        answered = False
        while self.options.ask and (answers := self.options.ask(self.plan())) and self.says_more(answers):
            self.take(answers)
            answered = True
        return answered

    def says_more(self, answers: Answers) -> bool:
        """Whether the answers say something that the options do not."""
        known = answers.renames.items() <= self.options.renames.items()
        return not known or not answers.defaults.keys() <= self.options.defaults.keys()

    def take(self, answers: Answers) -> None:
        """Go on as if the answers had been given as options."""
        renames = {**self.options.renames, **answers.renames}
        defaults = {**self.options.defaults, **answers.defaults}
        self.options = evolve(self.options, renames=renames, defaults=defaults)
        self.renames = self.read_renames()
        if answers.defaults:
            self._desired = None

    def settle_unchanged(self, state: State) -> None:
        """Where no table changes: record what was found declared and tell receivers, if either is news."""
        if self.options.record_migrations or self.is_news(state):
            with self.unless_forbidden(), self.backend.exclusive():
                self.settle_found(self.look_again())

    def is_news(self, state: State) -> bool:
        """Whether the record does not say yet what was found, or receivers have not been told of it."""
        tables, gone = self.found_owned(state)
        fingerprint = self.signals_fingerprint() if self.selection.everything else None
        return self.record.is_untold() or self.record.outdated(tables, gone=gone, signals=fingerprint)

    def settle_found(self, state: State) -> None:
        """Record what was found, and tell receivers what they do not know."""
        tables, gone = self.found_owned(state)
        known = not self.selection.everything or self.signals_fingerprint() == self.record.signals()
        self.rename_content_types()
        self.conclude(tables, gone=gone, tell=self.record.is_untold() or not known)

    def found_owned(self, state: State) -> tuple[list[OwnedTable], list[str]]:
        """What to record of the tables that were found, and which recorded ones are gone."""
        tables = self.owned_tables(state.ownership, state.current, state.desired)
        return tables, self.gone(state.ownership, state.ownership, state.current)

    @contextmanager
    def unless_forbidden(self) -> Iterator[None]:
        """Where nothing differs, whoever may not write has nothing to do; what it misses is said."""
        try:
            yield
        except Error as error:
            if self.options.record_migrations or not self.backend.is_forbidden(error):
                raise
            words = self.backend.explain(error)
            self.backend.patience.notify(
                f"Database {self.selection.alias!r} matches the models, but what goes with that (the record, content "
                f"types, permissions) could not be written: {words}. {self.backend.advice(error)}".strip()
            )

    def at_stake(self, state: State) -> frozenset[str]:
        """The tables whose rows decide about a change, by the names that they have now."""
        kinds = (AlterColumn, AlterPrimaryKey, DropColumn, DropTable, AddConstraint, AddIndex)
        decided = (change.table for change in state.changes if isinstance(change, kinds))
        old_names = origins(state.changes)
        return frozenset(old_names.get(table, table) for table in decided if state.current.get(table))


def describe_foreign(table: Table, noun: Any) -> str:
    """One line about something that came from nobody's model."""
    if isinstance(noun, Column):
        return f"column {table.name}.{noun.name}"
    return f"{noun.describe()} {noun.name} on {table.name}".replace("  ", " ")
