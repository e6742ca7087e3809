"""All tables at once in a database that has just been created, and that nobody will compare with the models later."""

from __future__ import annotations

from automigrate_ext.backends.base import Work
from automigrate_ext.declared.selection import Selection
from automigrate_ext.plan.plan import Judgement, Plan
from automigrate_ext.renames import hints
from automigrate_ext.run.desired import Desired, draw_all
from automigrate_ext.run.execute import Draft
from automigrate_ext.run.options import Options
from automigrate_ext.run.run import Run
from automigrate_ext.schema.changes import CreateTable
from automigrate_ext.schema.nouns import Schema


def make(selection: Selection, *, verbosity: int) -> Plan:
    """Make all tables in a database that has none and will not be kept. Raises as `autoupdate` does."""
    return Making(selection, Options(verbosity=verbosity)).run()


class Making(Run):
    """One making of all tables in an empty database, by the statements that Django has for them.

    The server is not asked first what it will make of them, nor compared with afterwards, and what the models declared
    is not recorded: all of that is for databases that live on.
    """

    command = "autoupdate"

    @property
    def desired(self) -> Desired:
        """The tables as far as they are known without asking the server."""
        if self._desired is None:
            editor, blueprints = draw_all(self.backend, self.own_models())
            self._desired = Desired(schema=self.backend.outline(blueprints), fields={}, editor=editor)
        return self._desired

    def run(self) -> Plan:
        """Do it. Raises as `autoupdate` does."""
        hints.forbid_malformed(self.selection.models, self.selection.apps)
        with self.backend.guarded():
            self.send_pre_migrate()
            self.found_for_good()
            return self.execute(lambda waited: frozenset(), self.draft)

    def draft(self) -> Draft:
        """Write down what to do."""
        nothing, desired = Schema({}), self.desired.schema
        judgements = [Judgement(change=CreateTable(table=table.name, new=table)) for table in desired]
        changes = tuple(judgement.change for judgement in judgements)
        steps = self.backend.compile_rebuild(Work(changes=changes, current=nothing, desired=desired), ())
        after = self.due_after(tables_change=True)
        plan = self.as_plan(judgements, steps, nothing, after=after)
        return Draft(
            plan=plan,
            steps=steps,
            leftover=list,
            settle=lambda: self.conclude([]),
            finish=lambda: self.finish(plan, after),
        )
