"""One `autoupdate`: compare, judge, carry out, compare again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace as evolve
from functools import cache, partial
from typing import Any

from django.db.utils import Error

from automigrate_ext import signals
from automigrate_ext.backends.cost import firing
from automigrate_ext.backends.online import Owed
from automigrate_ext.backends.work import Fill, Step, Work
from automigrate_ext.declared.selection import Selection
from automigrate_ext.declared.values import secret_columns
from automigrate_ext.hazards.blocking import refuse_blocking
from automigrate_ext.hazards.judge import Judge, Verdicts
from automigrate_ext.hazards.rehearsal import refuse_unaccepted
from automigrate_ext.hazards.withholding import keeping, place_of, unsettled
from automigrate_ext.plan.codes import HazardCode
from automigrate_ext.plan.cost import Remark
from automigrate_ext.plan.online import effects_on
from automigrate_ext.plan.plan import Hazard, Judgement, MissingValue, Plan, Verdict, digest
from automigrate_ext.plan.saved import ANYTHING, Expected, SavedPlan, forbid_outdated, read_plan
from automigrate_ext.renames.content_types import rename_content_types
from automigrate_ext.renames.guess import likely_renames
from automigrate_ext.renames.requested import OutstandingRenames, origins
from automigrate_ext.run import basis
from automigrate_ext.run.base import Run
from automigrate_ext.run.compare import Comparer
from automigrate_ext.run.execute import execute
from automigrate_ext.run.marking import Marks
from automigrate_ext.run.online import online_for
from automigrate_ext.run.options import Answers, Options
from automigrate_ext.run.own_options import options_for
from automigrate_ext.run.prerequisites import Prerequisites
from automigrate_ext.run.questions import missing_values
from automigrate_ext.run.stages import written_out
from automigrate_ext.run.standing import Place, Standing
from automigrate_ext.run.state import Prepared, State, identify
from automigrate_ext.schema.adopt import silent_attributes
from automigrate_ext.schema.after import schema_after
from automigrate_ext.schema.changes import (
    AddColumn,
    AddConstraint,
    AddIndex,
    AlterColumn,
    AlterPrimaryKey,
    Change,
    DropColumn,
    DropTable,
    FillColumn,
)
from automigrate_ext.schema.diff import foreign_objects
from automigrate_ext.schema.nouns import Column, Constraint, ForeignKey, Schema, Table
from automigrate_ext.schema.ownership import (
    OwnedTable,
    Ownership,
    are_expanded,
    columns_to_fill,
    kept_table,
    owned_during_run,
    owned_table,
    owned_until_contract,
)
from automigrate_ext.schema.phases import Phases, Rules, phases
from automigrate_ext.words import plural

#: What a plan remarks on what looks like a rename in an expand, and on a contract without an expand before it.
NO_RENAME = (
    "{0.old} looks as if it was renamed to {0.new}. A rename has no expand: what is new is added beside what is old, "
    "without its values. See the documentation of rolling deployments."
)
NOT_EXPANDED = "Database {alias!r} was not expanded first: --expand would make {number}, and this run makes them too."


class Update(Run):
    """One `autoupdate`."""

    command = "autoupdate"

    def __init__(
        self,
        selection: Selection,
        options: Options,
        saved: SavedPlan | None = None,
        standing: Standing | None = None,
    ) -> None:
        super().__init__(selection, options_for(options, selection), standing)
        self.backend.rows.limit = options.count_timeout
        self.backend.rows.secret = cache(lambda: frozenset(secret_columns(selection.models)))
        self.saved = saved
        self.online = online_for(self.backend, self.options)
        self.comparer = Comparer(self)

    # Without doing anything

    def left_to_do(self) -> tuple[list[str], bool]:
        """Return what a run would do or refuse, in one line each, and whether an expand has left just that."""
        # Until the prerequisites exist, comparing the tables may fail: a type may be missing.
        if due := self.due():
            return due, False
        changes, expanded = self.backend.session.steadily(self.to_do)
        return [change.describe() for change in changes], expanded

    def to_do(self) -> tuple[list[Change], bool]:
        """Compare, and return what there is to do, and whether an expand has left just that.

        Renames are not tried out, as each of them counts as a change.
        """
        with self.backend.session.snapshot():
            state = self.comparer.compare(OutstandingRenames())
            changes = self.unsettled(state)
            return changes, self.is_expanded(state, changes)

    def plan(self, made: Prerequisites | None = None) -> Plan:
        """Return the plan, with nothing done but the prerequisites that the run has `made`."""
        return self.backend.session.steadily(lambda: self.outline(made))

    def outline(self, made: Prerequisites | None) -> Plan:
        """Compare, judge and compile; statements show the value that each row would get."""
        with self.view(made) as state:
            prepared = self.judge(state)
            if prepared.plan.refused:
                return prepared.plan
            filler = self.backend.filler
            online = tuple(written_out(filler, prepared.steps)) if self.online else ()
            shown = (step.sql for step in online) if self.online else filler.written_out(prepared.steps)
            statements = self.with_entries(shown, state.prerequisites, prepared.plan.hooks)
            return evolve(prepared.plan, statements=statements, online=online)

    # A run, in its order

    def run(self) -> Plan:
        """Run the update: without a lock if nothing differs."""
        if not self.selection.models and not self.selection.everything:
            return self.empty_plan()
        if self.saved is not None:
            self.backend.session.steadily(self.check_saved_plan)
        self.send_pre_migrate()
        with self.made_early() as made:
            return self.proceed(made)

    def check_saved_plan(self) -> None:
        """Raise `UnusablePlan` if the saved plan is not what the run would do, before receivers are sent anything."""
        self.prepare(None)

    def proceed(self, made: Prerequisites | None) -> Plan:
        """Run the update, once `pre_migrate` has been sent."""
        state, has_work = self.backend.session.steadily(lambda: self.compare_unlocked(made))
        answered = self.answered(made) if has_work else self
        if answered is not self:
            return answered.proceed(made)
        if has_work or (self.saved is not None and self.saved.statements):
            return execute(self, self.at_stake(state), made)
        self.settle_unchanged(state, made)
        return self.as_plan(beside_expand(state), (), state, foreign=self.left_alone(state))

    @contextmanager
    def view(self, made: Prerequisites | None) -> Iterator[State]:
        """Yield the comparison; prerequisites and new names are in place provisionally while the block runs."""
        with self.prerequisites(made) as prerequisites, self.comparer.renamed() as state:
            yield evolve(self.in_phase(state), prerequisites=prerequisites)

    def in_phase(self, state: State) -> State:
        """Return a comparison with the changes that this run makes: in an expand not all of them."""
        if not self.options.expand:
            return state
        phases = self.divided(state)
        return evolve(state, changes=phases.now, phases=phases)

    def divided(self, state: State) -> Phases:
        """Return the changes of a comparison, divided into those of an expand and those of the contract."""
        backend = self.backend
        rules = Rules(
            widens=backend.widens,
            optional=backend.optional,
            with_default=self.with_default,
            is_spelling=lambda old, new: backend.part_key(old) == backend.part_key(new),
        )
        found = phases(state.current, state.desired, state.changes, rules)
        # An expand that was interrupted owes values to columns that allow NULL until the contract.
        begun = {(change.table, change.new.name) for change in found.now if isinstance(change, FillColumn)}
        owed = columns_to_fill(state.current, found.expanded, state.ownership)
        left = (change for change in owed if (change.table, change.new.name) not in begun)
        return evolve(found, now=(*found.now, *left))

    def with_default(self, table: str, column: Column) -> Column | None:
        """Return a new column with the default that its rows get from the database until the contract, or None."""
        value = self.desired.standing_default(table, column.name)
        return self.backend.with_default(column, value) if value else None

    def compare_unlocked(self, made: Prerequisites | None) -> tuple[State, bool]:
        """Compare without a lock; return the comparison, and whether the run has work to do."""
        with self.view(made) as state:
            barred = state.phases.barred if state.phases else ()
            has_work = barred or self.withholds_something_new(state) or self.unsettled(state)
            return state, bool(has_work or state.prerequisites or self.due_after(tables_change=False))

    def withholds_something_new(self, state: State) -> bool:
        """Return whether something is withheld that no run has reported as kept.

        That is what the record does not list, or lists since an expand, which has left it for the contract.
        """
        return any(
            are_expanded([change.table], state.ownership)
            or not state.ownership.is_kept(change.table, change.old.name if isinstance(change, DropColumn) else None)
            for change in state.changes
            if isinstance(change, (DropColumn, DropTable))
        )

    def unsettled(self, state: State) -> list[Change]:
        """Return the changes that a run has to do something about."""
        accept_data_loss = self.options.accept_data_loss
        return unsettled(self.backend, state.current, state.changes, accept_data_loss=accept_data_loss)

    def answered(self, made: Prerequisites | None) -> Update:
        """Return this update, or one with the answers of the caller's `ask`, called until they hold nothing new.

        Where the last ones ask for the plan as it was shown, the update returned carries out that plan or nothing.
        """
        ask, update = self.options.ask, self
        while ask:
            plan = update.plan(made)
            answers = ask(plan) or Answers()
            if update.options.lacks(answers):
                update = Update(self.selection, update.options.answered(answers), self.saved, self.standing)
            elif answers.exactly:
                return Update(self.selection, update.options.answered(answers), read_plan(plan), self.standing)
            else:
                break
        return update

    # Where nothing differs

    def settle_unchanged(self, state: State, made: Prerequisites | None) -> None:
        """Write the record, mark migrations and send `post_migrate`, if any is due, in a run that changes no table."""
        marks = Marks() if state.later else self.marking.look((), self.made_extensions)
        if self.options.record_migrations or marks.keys or self.is_record_stale(state):
            with self.unless_forbidden(), self.backend.exclusive():
                self.prepare_seal()
                with self.view(made) as again:
                    pass  # the names on trial have to be undone before anything is recorded
                fingerprint = basis.signals_fingerprint(self.selection)
                known = not self.selection.everything or fingerprint == self.record.signals()
                self.rename_content_types()
                tables, gone = self.owned_tables(again), self.gone(again.ownership, again)
                owed = self.record.owes_signals() or not known
                is_complete = not again.later
                self.conclude(tables, gone=gone, kept=self.kept(again), is_complete=is_complete, send_signals=owed)
                self.seal(again)
        else:
            self.marking.mark(marks, self.made_extensions, self.backend.session.patience.notify)
            self.sight = self.standing.first
            self.seal(state)

    def is_record_stale(self, state: State) -> bool:
        """Return whether the record differs from what was compared, or `post_migrate` is due."""
        tables, gone = self.owned_tables(state), self.gone(state.ownership, state)
        fingerprint = basis.signals_fingerprint(self.selection) if self.selection.everything else None
        return self.record.owes_signals() or self.record.outdated(tables, gone=gone, signals=fingerprint)

    @contextmanager
    def unless_forbidden(self) -> Iterator[None]:
        """Ignore the error of a role that may not write, as nothing differs; report what could not be written."""
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

    # Where something does: what `execute` calls

    def at_stake(self, state: State) -> frozenset[str]:
        """Return the tables whose rows determine a verdict, by their current names."""
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
        if state.changes and self.wanted_extensions:
            # The connection may be older than the extensions, and rows may get values of their types.
            self.backend.extensions.register_types()
        judge = Judge(
            backend=self.backend,
            current=state.current,
            desired=state.goal,
            changes=state.changes,
            fill=self.desired.fill,
            accept_data_loss=self.options.accept_data_loss,
            owners={table.name: table.owner for table in state.declared if not table.automatic},
            links={table.name: table for table in state.declared if table.automatic},
            required=state.phases.required if state.phases else frozenset(),
        )
        verdicts = judge.judge()
        judgements = (*verdicts.judgements, *beside_expand(state))
        refused = is_refused(judgements)
        work = self.work_of(state, verdicts, verdicts.changes)
        steps = () if refused or not work.changes else self.backend.compile(work)
        if steps:
            work_of = partial(self.work_of, state, verdicts)
            judgements = refuse_unaccepted(self.backend, work_of, work, steps, judgements)
            if self.online:
                judgements = refuse_blocking(
                    self.backend, self.online, work, verdicts.filled, judgements, self.options.rewrite_limit
                )
            steps = () if is_refused(judgements) else self.compile(work, verdicts.filled)
        after = self.due_after(tables_change=bool(steps))
        likely = likely_renames(judgements, state.current, state.ownership, self.desired.fields, self.claimed)
        notes = map(NO_RENAME.format, likely) if self.options.expand else self.notes_on_phases(state)
        plan = self.as_plan(
            judgements,
            steps,
            evolve(state, notes=(*state.notes, *notes)),
            foreign=self.left_alone(state),
            remarks=self.remarks(work, verdicts.filled, steps) if steps else (),
            likely_renames=() if self.options.expand else likely,
            expanded=self.is_expanded(state, [j.change for j in verdicts.judgements if not is_settled(j)]),
            missing_values=self.missing_values(judgements) if refused else (),
            after=after,
        )
        withheld = frozenset(identify(j.change) for j in judgements if j.verdict is Verdict.WITHHOLD)
        return Prepared(
            plan=plan,
            state=state,
            steps=steps,
            work=work,
            used=verdicts.filled,
            after=after,
            withheld=withheld,
        )

    def is_expanded(self, state: State, changes: Sequence[Change]) -> bool:
        """Return whether an expand has left just these changes of a comparison for the contract."""
        tables = {change.table for change in changes}
        if self.options.expand or not tables or not are_expanded(tables, state.ownership):
            return False
        found = self.divided(evolve(state, changes=tuple(changes)))
        return not (found.now or found.barred)

    def notes_on_phases(self, state: State) -> Iterator[str]:
        """Yield the note on a contract of a database that was not expanded to what the models declare."""
        if self.options.contract and (now := self.divided(state).now):
            yield NOT_EXPANDED.format(alias=self.selection.alias, number=plural(len(now), "change"))

    def compile(self, work: Work, used: frozenset[str]) -> tuple[Step, ...]:
        """Return the statements of the run; `used` are the tables with rows."""
        return self.online.compile(work, used) if self.online else self.backend.compile(work)

    def remarks(self, work: Work, used: frozenset[str], steps: Sequence[Step]) -> tuple[Remark, ...]:
        """Return what the run costs; of an online one, what its statements do with the rows."""
        remarks = self.backend.cost.remarks(work, used)
        if not self.online:
            return remarks
        online = self.as_online(steps)
        loud = {step.table for step in steps if step.fill and not step.fill.quiet}
        fired = self.backend.cost.triggers(work, loud) if loud else {}
        found = [
            evolve(
                remark,
                effects=(*effects_on(remark.table, online), *firing(fired.get(remark.table, ()))),
                fires=tuple(fired.get(remark.table, ())),
            )
            for remark in remarks
        ]
        return tuple(remark for remark in found if remark.effects)

    def missing_values(self, judgements: Iterable[Judgement]) -> tuple[MissingValue, ...]:
        """Return the values without which rows are in the way."""
        return missing_values(judgements, self.desired.fields, self.desired.one_off, self.backend.connection)

    def work_of(self, state: State, verdicts: Verdicts, changes: Sequence[Change]) -> Work:
        """Return what it takes to carry out some of the changes that were judged."""
        return Work(
            changes=tuple(changes),
            current=state.current,
            desired=schema_after(state.current, state.goal, state.declared, changes),
            fills=verdicts.fills,
            casts=verdicts.casts,
            may_lose=self.options.accept_data_loss,
        )

    def left_alone(self, state: State) -> list[str]:
        """Return in words what the tables have that no model declares and no run made."""
        if self.options.prune:
            return []
        objects = foreign_objects(state.current, state.desired, state.ownership)
        silent = silent_attributes(state.declared, state.desired)
        return [
            *(describe_foreign(table, noun) for table, noun in objects),
            *(describe_silent(table, attribute, noun) for table, attribute, noun in silent),
        ]

    def kept_places(self, reached: State) -> list[Place] | None:
        """Return the places whose values keep them in the database; None where a run would find something to do."""
        if reached.followers.columns or reached.renames:
            return None
        drops = [change for change in reached.changes if isinstance(change, (DropColumn, DropTable))]
        places = [place for change in drops if not keeping(change) and (place := place_of(change))]
        is_settled = len(places) == len(reached.changes) and self.backend.rows.held(places) == set(places)
        return places if is_settled else None

    def digest_of(self, state: State) -> str:
        return digest(state.current)

    def current(self) -> Schema:
        """Return the current schema of which a plan would be made now."""
        with self.backend.session.guarded():
            return self.backend.session.steadily(self.read_current)

    def read_current(self) -> Schema:
        """Compare, and return the current schema."""
        with self.view(None) as state:
            return state.current

    def kept(self, state: State) -> list[str]:
        """Return in words what stays in the database after a run and no model has: what is withheld, foreign columns.

        Of the changes, drops alone are left over after a run.
        """
        withheld = [
            f"column {change.table}.{change.old.name}" if isinstance(change, DropColumn) else f"table {change.table}"
            for change in state.changes
            if isinstance(change, (DropColumn, DropTable))
        ]
        foreign = foreign_objects(state.current, state.desired, state.ownership)
        return [*withheld, *(describe_foreign(table, noun) for table, noun in foreign if isinstance(noun, Column))]

    def expected(self, prepared: Prepared) -> tuple[Expected, ...]:
        """Return the statements to compare a saved plan with, ignoring the time and the values of single rows.

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
        return (*made, *first, *(self.expected_steps(work, prepared.used) if work.changes else ()), *last)

    def expected_steps(self, work: Work, used: frozenset[str]) -> tuple[Expected, ...]:
        """Return the statements that change tables as a saved plan has them."""
        fills = {
            key: Fill(sql=ANYTHING) if not fill.draw and self.desired.is_momentary(*key) else fill
            for key, fill in work.fills.items()
        }
        steps = self.compile(evolve(work, fills=fills), used)
        each_row = [
            self.backend.filler.row_statement(step.fill, ANYTHING) if step.fill and not step.fill.value else ""
            for step in steps
        ]
        return tuple(Expected(sql=step.sql, each_row=each) for step, each in zip(steps, each_row, strict=True))

    def announce(self, prepared: Prepared) -> None:
        """Record before the first statement everything that the next run needs if this one does not reach its end.

        That is what the tables will own, the defaults that fill new columns, the foreign keys that are dropped and
        added again, the signals and the entries that are due.
        """
        self.rename_content_types()
        work, state = prepared.work, prepared.state
        assert work is not None
        known = state.ownership.tables
        added = {(change.table, change.new.name) for change in work.changes if isinstance(change, AddColumn)}
        owed = self.online.owed(work, prepared.used) if self.online else Owed(unfilled=self.backend.filled_later(work))
        defaulted = {*(added & work.fills.keys()), *owed.defaulted}
        declared = {table.name: table.foreign_keys for table in state.desired}
        owned_tables = self.owned_tables(state)
        inside = [owned.name for owned in owned_tables]
        off = self.backend.taken_off(work)
        outside = [(table, key) for table, key in off if table not in inside] if self.online else []
        made_by_hand = [(table, key) for table, key in off if key.on_update or key not in declared.get(table, ())]
        tables = [
            owned_during_run(
                owned,
                known.get(owned.name),
                filled=[column for table, column in defaulted if table == owned.name],
                taken_off=[key for table, key in made_by_hand if table == owned.name],
                unproven=[name for table, name in owed.unproven if table == owned.name],
                unfilled=[column for table, column in owed.unfilled if table == owned.name],
                set_aside=[column for table, column in owed.set_aside if table == owned.name],
                outside=[pair for pair in outside if owned.name == recorded_with(pair[1], inside)],
            )
            for owned in owned_tables
        ]
        self.record.write(tables, owes_signals=True)
        self.mark_hooks_due(prepared.after)

    def read_back(self, prepared: Prepared) -> State:
        if self.options.expand:
            # A default that new columns have until the contract is no one's else, to be kept.
            self.record.write(self.owned_tables(prepared.state))
        return self.in_phase(self.comparer.compare_again(prepared.state))

    def settle(self, prepared: Prepared, reached: State) -> None:
        self.rename_content_types()
        gone = self.gone(self.record.read(), reached)
        self.conclude(
            self.owned_tables(reached),
            gone=gone,
            kept=self.kept(reached),
            created=prepared.created,
            is_complete=not reached.later,
        )

    # The record

    def rename_content_types(self) -> None:
        """Rename the content types and permissions of renamed models."""
        renamed = self.comparer.renames.renamed_models
        if renamed:
            existing = signals.existing_models(self.selection.apps, self.backend)
            rename_content_types(renamed, self.selection.alias, existing)

    def owned_tables(self, state: State) -> list[OwnedTable]:
        """Return the record of the selected tables."""
        declared, current, known = self.desired.schema.tables, state.current, state.ownership.tables
        owned = [
            owned_table(declared[table.name], table, current.tables[table.name], known.get(table.name))
            for table in state.desired
            if current.get(table.name) and table.name in declared
        ] + [kept_table(known[name]) for name in state.removed if current.get(name)]
        if not self.options.expand:
            return owned
        later: defaultdict[str, list[Change]] = defaultdict(list)
        for change in state.later:
            later[change.table].append(change)
        return [
            owned_until_contract(table, current.tables[table.name], state.ownership, later[table.name])
            for table in owned
        ]

    def gone(self, recorded: Ownership, state: State) -> list[str]:
        """Return the recorded tables that were dropped or renamed."""
        return [
            name
            for name in recorded.tables
            if name not in state.ownership.tables or (name in state.removed and state.current.get(name) is None)
        ]


def beside_expand(state: State) -> Iterator[Judgement]:
    """Yield the judgements on what an expand leaves for the contract, and on what has no expand."""
    if state.phases is None:
        return
    for barred in state.phases.barred:
        message = f"{barred.change.describe()} has no expand: {barred.reason}"
        hazard = Hazard(code=HazardCode.NO_EXPAND, message=message)
        yield Judgement(change=barred.change, verdict=Verdict.REFUSE, hazards=(hazard,))
    yield from (Judgement(change=change, verdict=Verdict.POSTPONE) for change in state.phases.later)


def is_settled(judgement: Judgement) -> bool:
    """Return whether a run leaves things as they are for a judgement."""
    return judgement.verdict is Verdict.WITHHOLD and not judgement.instead


def is_refused(judgements: Iterable[Judgement]) -> bool:
    """Return whether a plan with these judgements is refused as a whole."""
    return any(judgement.verdict is Verdict.REFUSE for judgement in judgements)


def recorded_with(key: ForeignKey, tables: Sequence[str]) -> str:
    """Return the table of the run with which the foreign key of a table outside is recorded."""
    return key.to_table if key.to_table in tables else tables[0]


def describe_foreign(table: Table, noun: Any) -> str:
    """Return one line about an object that no model declares and no run made."""
    if isinstance(noun, Column):
        return f"column {table.name}.{noun.name}"
    return f"{noun.describe()} {noun.name} on {table.name}".replace("  ", " ")


def describe_silent(table: Table, attribute: str, noun: Column | Constraint | None) -> str:
    """Return one line about an attribute on which the models are silent."""
    if noun is None:
        return f"{attribute} {getattr(table, attribute)!r} of table {table.name}"
    value = getattr(noun, attribute)
    if isinstance(noun, Column):
        words = repr(value) if attribute == "comment" else value
        return f"{attribute} {words} of column {table.name}.{noun.name}"
    return f"ON DELETE {value} of {noun.describe()} on {table.name}"
