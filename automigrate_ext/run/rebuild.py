"""One `automigrate`: look for what stands in the way, drop, create, look again."""

from __future__ import annotations

from collections.abc import Iterable

from automigrate_ext.backends.base import Dependent, Reference, Work
from automigrate_ext.plan.plan import Hazard, Judgement, Plan, Verdict
from automigrate_ext.run.execute import Draft
from automigrate_ext.run.hooks import Hook
from automigrate_ext.run.run import Run
from automigrate_ext.schema.changes import CreateTable, DropTable, plural
from automigrate_ext.schema.diff import diff
from automigrate_ext.schema.nouns import Schema, Table
from automigrate_ext.schema.ownership import Ownership, owned_table


class Rebuild(Run):
    """One `automigrate`."""

    command = "automigrate"
    #: What was found when the run had carried out its steps.
    reached: Schema

    def plan(self) -> Plan:
        """The plan, with nothing done."""
        return self.backend.steadily(self.look).plan

    def look(self) -> Draft:
        with self.founded(), self.backend.snapshot():
            return self.draft()

    def run(self) -> Plan:
        if not self.selection.models:
            return self.as_plan((), (), Schema({}))
        self.send_pre_migrate()
        self.found_for_good()
        tables = self.backend.steadily(self.tables)
        return self.execute(lambda waited: tables, self.draft)

    def tables(self) -> frozenset[str]:
        """The names of the tables that the models have."""
        with self.founded():
            return frozenset(self.desired.schema.tables)

    def draft(self) -> Draft:
        """Look for what stands in the way, and write down what to do."""
        if self.options.unless_same and not self.leftover():
            return self.nothing()
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
        after = self.due_after(tables_change=True)
        plan = self.as_plan(judgements, steps, current, after=after)
        return Draft(
            plan=plan,
            steps=steps,
            meter=self.meter(plan, steps),
            leftover=self.leftover,
            settle=self.settle,
            finish=lambda: self.finish(plan, after),
            announce=lambda: self.announce(after),
        )

    def nothing(self) -> Draft:
        """What to do where another run has made the tables."""
        return Draft(plan=self.as_plan((), (), Schema({})), steps=(), leftover=list, settle=lambda: None)

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
            message=f"{target} would be dropped, and {plural(rows, 'row')} of {reference.table} would point at nothing",
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

    def announce(self, after: Iterable[Hook]) -> None:
        """Record beforehand what the next run has to do, if this one is ended halfway: tell receivers, run entries."""
        self.record.write((), untold=True)
        self.promise_hooks(after)

    def leftover(self) -> list[str]:
        """What differs from the models."""
        desired = self.desired.schema
        self.reached = self.backend.introspect(list(desired.tables))
        return [change.describe() for change in diff(self.reached, desired, Ownership())]

    def settle(self) -> None:
        """Record what the tables are, as they were when they were compared after the run."""
        made = self.reached.tables
        self.conclude([owned_table(table, table, made[table.name], None) for table in self.desired.schema])
