"""One `autoupdate`: compare, judge, carry out, compare again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace as evolve
from typing import Any

from django.db.utils import Error

from automigrate_ext import signals
from automigrate_ext.backends.work import Fill, Work
from automigrate_ext.declared.selection import Selection
from automigrate_ext.hazards.judge import Judge
from automigrate_ext.hazards.quick import unsettled
from automigrate_ext.plan.plan import Plan, Verdict
from automigrate_ext.plan.saved import ANYTHING, Expected, SavedPlan, forbid_outdated
from automigrate_ext.renames.content_types import rename_content_types
from automigrate_ext.renames.guess import likely_renames
from automigrate_ext.renames.requested import OutstandingRenames, origins
from automigrate_ext.run.base import Run
from automigrate_ext.run.compare import Comparer
from automigrate_ext.run.execute import execute
from automigrate_ext.run.options import Options
from automigrate_ext.run.prerequisites import Prerequisites
from automigrate_ext.run.several import options_for
from automigrate_ext.run.state import Prepared, State, identify
from automigrate_ext.schema.after import schema_after
from automigrate_ext.schema.changes import (
    AddConstraint,
    AddIndex,
    AlterColumn,
    AlterPrimaryKey,
    Change,
    DropColumn,
    DropTable,
)
from automigrate_ext.schema.diff import foreign_objects
from automigrate_ext.schema.nouns import Column, Table
from automigrate_ext.schema.ownership import OwnedTable, Ownership, kept_table, owned_during_run, owned_table


class Update(Run):
    """One `autoupdate`."""

    command = "autoupdate"

    def __init__(self, selection: Selection, options: Options, saved: SavedPlan | None = None) -> None:
        super().__init__(selection, options_for(options, selection))
        self.backend.rows.limit = options.count_timeout
        self.saved = saved
        self.comparer = Comparer(self)

    # Asking without doing

    def left_to_do(self) -> list[str]:
        """Return what a run would have something to do about, or would refuse, in one line each."""
        # Without what is due the tables may not be compared: a type may be missing.
        return self.due() or [change.describe() for change in self.backend.session.steadily(self.to_do)]

    def to_do(self) -> list[Change]:
        """Compare, and return what there is to do; renames are not tried out, as each of them is something to do."""
        with self.backend.session.snapshot():
            return self.unsettled(self.comparer.compare(OutstandingRenames()))

    def plan(self, made: Prerequisites | None = None) -> Plan:
        """Return the plan, with nothing done but the prerequisites that the run has `made`."""
        return self.backend.session.steadily(lambda: self.outline(made))

    def outline(self, made: Prerequisites | None) -> Plan:
        """Compare, judge and compile, and write out what each row would get."""
        with self.view(made) as state:
            prepared = self.judge(state)
            if prepared.plan.refused:
                return prepared.plan
            written_out = self.backend.filler.written_out(prepared.steps)
            statements = self.framed(written_out, state.prerequisites, prepared.plan.hooks)
            return evolve(prepared.plan, statements=statements)

    # A run, in its order

    def run(self) -> Plan:
        """Carry it out: quickly where nothing differs, else under the lock."""
        if not self.selection.models and not self.selection.everything:
            return self.empty_plan()
        if self.saved is not None:
            # Compares it with the saved plan before receivers are sent anything.
            self.backend.session.steadily(lambda: self.prepare(None))
        self.send_pre_migrate()
        return self.go_on(self.make_early())

    def go_on(self, made: Prerequisites | None) -> Plan:
        """Carry it out, once `pre_migrate` has been sent."""
        state, is_busy = self.backend.session.steadily(lambda: self.first_look(made))
        answered = self.answered(made) if is_busy else self
        if answered is not self:
            return answered.go_on(made)
        if is_busy or self.saved is not None:
            return execute(self, self.at_stake(state), made)
        self.settle_unchanged(state, made)
        return self.as_plan((), (), state, foreign=self.left_alone(state))

    @contextmanager
    def view(self, made: Prerequisites | None) -> Iterator[State]:
        """Yield the comparison; prerequisites and new names are there on trial while the block runs."""
        with self.prerequisites(made) as prerequisites, self.comparer.renamed() as state:
            yield evolve(state, prerequisites=prerequisites)

    def first_look(self, made: Prerequisites | None) -> tuple[State, bool]:
        """Compare without a lock; return the comparison, and whether something has to be done about it."""
        with self.view(made) as state:
            is_busy = self.keeps_anew(state) or self.unsettled(state)
            return state, bool(is_busy or state.prerequisites or self.due_after(tables_change=False))

    def unsettled(self, state: State) -> list[Change]:
        """Return the changes that a run has to do something about."""
        accept_data_loss = self.options.accept_data_loss
        return unsettled(self.backend, state.current, state.changes, accept_data_loss=accept_data_loss)

    def keeps_anew(self, state: State) -> bool:
        """Return whether something is withheld that the record does not have as kept."""
        return any(
            not state.ownership.is_kept(change.table, change.old.name if isinstance(change, DropColumn) else None)
            for change in state.changes
            if isinstance(change, (DropColumn, DropTable))
        )

    def answered(self, made: Prerequisites | None) -> Update:
        """Return the update with what the caller's `ask` answers to its plan, until there is nothing new; else this."""
        update = self
        while (ask := self.options.ask) and (answers := ask(update.plan(made))) and update.options.lacks(answers):
            update = Update(self.selection, update.options.answered(answers), self.saved)
        return update

    def at_stake(self, state: State) -> frozenset[str]:
        """Return the tables whose rows decide about a change, by the names that they have now."""
        kinds = (AlterColumn, AlterPrimaryKey, DropColumn, DropTable, AddConstraint, AddIndex)
        decided = (change.table for change in state.changes if isinstance(change, kinds))
        old_names = origins(state.changes)
        return frozenset(old_names.get(table, table) for table in decided if state.current.get(table))

    def tables_at_stake(self, made: Prerequisites) -> frozenset[str]:
        with self.view(made) as state:
            return self.at_stake(state)

    def prepare(self, made: Prerequisites | None) -> Prepared:
        with self.view(made) as state:
            prepared = self.judge(state)
            expected = self.expected(prepared) if self.saved is not None else ()
        if self.saved is not None:
            forbid_outdated(self.saved, prepared.plan, expected)
        return prepared

    def judge(self, state: State) -> Prepared:
        """Judge the differences and write down what to do."""
        judge = Judge(
            backend=self.backend,
            current=state.current,
            changes=state.changes,
            fill=self.desired.fill,
            accept_data_loss=self.options.accept_data_loss,
            owners={table.name: table.owner for table in state.declared if not table.automatic},
        )
        verdicts = judge.judge()
        judgements = verdicts.judgements
        refused = any(judgement.verdict is Verdict.REFUSE for judgement in judgements)
        work = Work(
            changes=verdicts.changes,
            current=state.current,
            desired=schema_after(state.current, state.desired, state.declared, verdicts.changes),
            fills=verdicts.fills,
            casts=verdicts.casts,
            may_lose=self.options.accept_data_loss,
        )
        steps = () if refused or not work.changes else self.backend.compile(work)
        after = self.due_after(tables_change=bool(steps))
        plan = self.as_plan(
            judgements,
            steps,
            state,
            foreign=self.left_alone(state),
            remarks=self.backend.cost.remarks(work, verdicts.filled) if steps else (),
            likely_renames=likely_renames(judgements, state.current, state.ownership, self.desired.fields),
            after=after,
        )
        withheld = frozenset(identify(j.change) for j in judgements if j.verdict is Verdict.WITHHOLD)
        return Prepared(plan=plan, state=state, steps=steps, work=work, after=after, withheld=withheld)

    def left_alone(self, state: State) -> list[str]:
        """Return what the tables carry that came from nobody's model, in words."""
        if self.options.prune:
            return []
        objects = foreign_objects(state.current, state.desired, state.ownership)
        return [describe_foreign(table, noun) for table, noun in objects]

    def announce(self, prepared: Prepared) -> None:
        """Record beforehand what the tables come to own, whose the defaults are that fill new columns, and which
        foreign keys are taken off for a while.

        So the next run has them as the models', sends signals and runs entries, if this one is ended halfway.
        """
        self.rename_content_types()
        work, state = prepared.work, prepared.state
        assert work is not None
        known = state.ownership.tables
        declared = {table.name: table.foreign_keys for table in state.desired}
        made_by_hand = [(table, key) for table, key in self.backend.taken_off(work) if key not in declared[table]]
        tables = [
            owned_during_run(
                owned,
                known.get(owned.name),
                filled=[column for table, column in work.fills if table == owned.name],
                taken_off=[key for table, key in made_by_hand if table == owned.name],
            )
            for owned in self.owned_tables(state)
        ]
        self.record.write(tables, owes_signals=True)
        self.promise_hooks(prepared.after)

    def read_back(self, prepared: Prepared) -> State:
        return self.comparer.compare_again(prepared.state)

    def settle(self, reached: State) -> None:
        self.rename_content_types()
        self.conclude(self.owned_tables(reached), gone=self.gone(self.record.read(), reached))

    # The record

    def rename_content_types(self) -> None:
        """Rename the content types and permissions of renamed models."""
        renamed = self.comparer.renames.renamed_models
        if renamed:
            existing = signals.existing_models(self.selection.apps, self.backend)
            rename_content_types(renamed, self.selection.alias, existing)

    def owned_tables(self, state: State) -> list[OwnedTable]:
        """Return what to record of the selected tables."""
        declared, current, known = self.desired.schema.tables, state.current, state.ownership.tables
        return [
            owned_table(declared[table.name], table, current.tables[table.name], known.get(table.name))
            for table in state.desired
            if current.get(table.name) and table.name in declared
        ] + [kept_table(known[name]) for name in state.removed if current.get(name)]

    def gone(self, recorded: Ownership, state: State) -> list[str]:
        """Return the recorded tables that were dropped or renamed."""
        return [
            name
            for name in recorded.tables
            if name not in state.ownership.tables or (name in state.removed and state.current.get(name) is None)
        ]

    def settle_unchanged(self, state: State, made: Prerequisites | None) -> None:
        """Record what the models declare and send `post_migrate`, if either is news, where no table changes."""
        if self.options.record_migrations or self.is_news(state):
            with self.unless_forbidden(), self.backend.exclusive():
                with self.view(made) as again:
                    pass  # the names on trial have to be undone before anything is recorded
                known = not self.selection.everything or self.signals_fingerprint() == self.record.signals()
                self.rename_content_types()
                tables, gone = self.owned_tables(again), self.gone(again.ownership, again)
                self.conclude(tables, gone=gone, send_signals=self.record.owes_signals() or not known)

    def is_news(self, state: State) -> bool:
        """Return whether the record lacks what was compared, or receivers have not been sent `post_migrate` for it."""
        tables, gone = self.owned_tables(state), self.gone(state.ownership, state)
        fingerprint = self.signals_fingerprint() if self.selection.everything else None
        return self.record.owes_signals() or self.record.outdated(tables, gone=gone, signals=fingerprint)

    @contextmanager
    def unless_forbidden(self) -> Iterator[None]:
        """Pass over the error of a role that may not write: where nothing differs, only report what it cannot write."""
        try:
            yield
        except Error as error:
            if self.options.record_migrations or not self.backend.faults.is_forbidden(error):
                raise
            words = self.backend.faults.explain(error)
            self.backend.session.patience.notify(
                f"Database {self.selection.alias!r} matches the models, but what goes with that (the record, content "
                f"types, permissions) could not be written: {words}. {self.backend.faults.advice(error)}".strip()
            )

    # Saved plans

    def expected(self, prepared: Prepared) -> tuple[Expected, ...]:
        """Return the statements of a plan as a saved plan has them, whatever time it was then and values rows got.

        A plan that is refused has none.
        """
        plan, work = prepared.plan, prepared.work
        if plan.refused or work is None:
            return ()
        first, last = (
            [Expected(sql=step.statement) for step in plan.hooks if step.when == when] for when in ("before", "after")
        )
        extensions = map(self.backend.extensions.create_statement, prepared.state.prerequisites.extensions)
        made = [Expected(sql=sql) for sql in extensions]
        return (*made, *first, *(self.expected_steps(work) if work.changes else ()), *last)

    def expected_steps(self, work: Work) -> tuple[Expected, ...]:
        """Return the statements that change tables as a saved plan has them."""
        fills = {
            key: Fill(sql=ANYTHING) if not fill.draw and self.desired.is_momentary(*key) else fill
            for key, fill in work.fills.items()
        }
        steps = self.backend.compile(evolve(work, fills=fills))
        each_row = [self.backend.filler.row_statement(step.fill, ANYTHING) if step.fill else "" for step in steps]
        return tuple(Expected(sql=step.sql, each_row=each) for step, each in zip(steps, each_row, strict=True))


def describe_foreign(table: Table, noun: Any) -> str:
    """Return one line about something that came from nobody's model."""
    if isinstance(noun, Column):
        return f"column {table.name}.{noun.name}"
    return f"{noun.describe()} {noun.name} on {table.name}".replace("  ", " ")
