"""One `automigrate`: look for what stands in the way, drop, create, look again."""

from __future__ import annotations

from collections.abc import Iterable

from automigrate_ext.backends.work import Dependent, Reference, Work
from automigrate_ext.plan.codes import HazardCode
from automigrate_ext.plan.plan import CASCADE, Hazard, Judgement, Plan, Verdict
from automigrate_ext.run import basis
from automigrate_ext.run.base import Run
from automigrate_ext.run.execute import execute
from automigrate_ext.run.prerequisites import Prerequisites
from automigrate_ext.run.standing import Place
from automigrate_ext.run.state import Prepared, State
from automigrate_ext.schema.changes import CreateTable, DropTable
from automigrate_ext.schema.diff import diff
from automigrate_ext.schema.nouns import Schema, Table
from automigrate_ext.schema.ownership import Ownership, owned_table
from automigrate_ext.words import plural


class Rebuild(Run):
    """One `automigrate`."""

    command = "automigrate"

    def plan(self) -> Plan:
        """Return the plan, with nothing done."""
        return self.backend.session.steadily(self.outline)

    def outline(self) -> Plan:
        """Compare and judge while the prerequisites are there on trial."""
        with self.prerequisites(None) as due, self.backend.session.snapshot():
            return self.prepare(due).plan

    def run(self) -> Plan:
        """Carry it out."""
        if not self.selection.models:
            return self.empty_plan()
        self.send_pre_migrate()
        with self.made_early() as made:
            return execute(self, self.backend.session.steadily(lambda: self.tables_at_stake(made)), made)

    def tables_at_stake(self, made: Prerequisites | None) -> frozenset[str]:
        with self.prerequisites(made):
            return frozenset(self.desired.schema.tables)

    def prepare(self, made: Prerequisites) -> Prepared:
        desired = self.desired.schema
        if self.options.unless_same and not self.compare().changes:
            nothing = Schema({})
            state = State(current=nothing, desired=desired, declared=desired, prerequisites=made)
            return Prepared(plan=self.as_plan((), (), state), state=state, is_done=True)
        current = self.backend.introspect(list(desired.tables))
        self.forbid_hiding(current)
        state = State(current=current, desired=desired, declared=desired, prerequisites=made)
        references = self.backend.references(list(current.tables))
        dependents = self.backend.dependents(list(current.tables))
        judgements = [
            *(self.judge_drop(table, references, dependents) for table in current),
            *(Judgement(change=CreateTable(table=table.name, new=table)) for table in desired),
        ]
        work = Work(changes=tuple(judgement.change for judgement in judgements), current=current, desired=desired)
        refused = any(judgement.verdict is Verdict.REFUSE for judgement in judgements)
        steps = () if refused else self.backend.compile_rebuild(work, references, cascade=self.options.cascade)
        after = self.due_after(tables_change=True)
        plan = self.as_plan(judgements, steps, state, after=after)
        return Prepared(plan=plan, state=state, steps=steps, work=work, after=after)

    def judge_drop(self, table: Table, references: Iterable[Reference], dependents: Iterable[Dependent]) -> Judgement:
        """Refuse the drop of a table at which rows of others point, or that would take dependents along."""
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
        rows = self.backend.rows.count_references(reference)
        if not rows:
            return None
        target = reference.foreign_key.to_table
        return Hazard(
            code=HazardCode.REFERENCED,
            message=f"{target} would be dropped, and {plural(rows, 'row')} of {reference.table} would point at nothing",
            rows=rows,
            advice=f"Name the model of {reference.table} too, or delete these rows first.",
        )

    def going_along(self, dependent: Dependent) -> Hazard | None:
        if self.options.cascade:
            return None
        return Hazard(
            code=HazardCode.DEPENDENT,
            message=f"The {dependent.kind} {dependent.name} would go along with {dependent.table}",
            advice="Drop it first and make it again afterwards.",
            option=CASCADE,
        )

    def announce(self, prepared: Prepared) -> None:
        self.record.write((), owes_signals=True)
        self.mark_hooks_due(prepared.after)

    def compare(self) -> State:
        """Read the tables and compare them with the models, whose word alone counts after a rebuild."""
        desired = self.desired.schema
        current = self.backend.introspect(list(desired.tables))
        changes = diff(current, desired, Ownership())
        return State(current=current, desired=desired, declared=desired, changes=changes)

    def read_back(self, prepared: Prepared) -> State:
        return self.compare()

    def kept_places(self, reached: State) -> list[Place] | None:
        """Return no places where the tables of the models are all that there is; else None, as only they were read."""
        others = self.record.read().tables.keys() - self.claimed
        return None if reached.changes or others or basis.has_hints(self.selection) else []

    def settle(self, prepared: Prepared, reached: State) -> None:
        made = reached.current.tables
        tables = [owned_table(table, table, made[table.name], None) for table in reached.desired]
        self.conclude(tables, created=prepared.created)
