"""All tables at once in a database that has just been created, and that nobody will compare with the models later."""

from __future__ import annotations

from functools import cached_property

from automigrate_ext.backends.work import Work
from automigrate_ext.declared.selection import Selection
from automigrate_ext.plan.plan import Judgement, Plan
from automigrate_ext.renames import hints
from automigrate_ext.run.base import Run
from automigrate_ext.run.desired import Desired, draw_all
from automigrate_ext.run.execute import execute
from automigrate_ext.run.options import Options
from automigrate_ext.run.prerequisites import Prerequisites
from automigrate_ext.run.state import Prepared, State
from automigrate_ext.schema.changes import CreateTable
from automigrate_ext.schema.nouns import Schema


def make(selection: Selection, *, verbosity: int) -> Plan:
    """Make all tables in a database that has none and will not be kept. Raises as `autoupdate` does."""
    return Making(selection, Options(verbosity=verbosity, looks_at_migrations=False, seals=False, history=False)).run()


class Making(Run):
    """One making of all tables in an empty database, by the statements that Django has for them.

    The server is not asked first what it will make of them, nor compared with afterwards, and what the models declare
    is not recorded: all of that is for databases that live on.
    """

    command = "autoupdate"

    @cached_property
    def desired(self) -> Desired:
        """The tables as far as they are known without asking the server."""
        editor, blueprints = draw_all(self.backend, self.own_models())
        return Desired(schema=self.backend.outline(blueprints), fields={}, editor=editor)

    def run(self) -> Plan:
        """Carry it out. Raises as `autoupdate` does."""
        hints.forbid_malformed(self.selection.models, self.selection.apps)
        with self.backend.session.guarded():
            self.send_pre_migrate()
            with self.made_early() as made:
                return execute(self, frozenset(), made)

    def tables_at_stake(self, made: Prerequisites) -> frozenset[str]:
        return frozenset()

    def prepare(self, made: Prerequisites) -> Prepared:
        nothing, desired = Schema({}), self.desired.schema
        judgements = [Judgement(change=CreateTable(table=table.name, new=table)) for table in desired]
        work = Work(changes=tuple(judgement.change for judgement in judgements), current=nothing, desired=desired)
        steps = self.backend.compile_rebuild(work, ())
        after = self.due_after(tables_change=True)
        state = State(current=nothing, desired=desired, declared=desired, prerequisites=made)
        plan = self.as_plan(judgements, steps, state, after=after)
        return Prepared(plan=plan, state=state, steps=steps, work=work, after=after)

    def announce(self, prepared: Prepared) -> None:
        """Record nothing: a database whose making is interrupted is made again."""

    def read_back(self, prepared: Prepared) -> State:
        """Return the state as it was planned: nothing is compared."""
        return prepared.state

    def settle(self, prepared: Prepared, reached: State) -> None:
        self.conclude([])
