"""An update of a test database: loaded where there is something to update, which takes time."""

from __future__ import annotations

from automigrate_ext.backends import backend_for
from automigrate_ext.declared.selection import Selection
from automigrate_ext.plan.plan import Plan
from automigrate_ext.run.options import Options
from automigrate_ext.run.record import Record
from automigrate_ext.run.update import Update
from automigrate_ext.schema.changes import DropTable


def update(selection: Selection, *, verbosity: int, tell: bool) -> tuple[Plan, frozenset[str]]:
    """Make the tables what the models say, rows or not; returns the plan and the apps that are gone.

    `tell` says whether receivers of signals are told. Raises as `autoupdate` does.
    """
    before = Record(backend_for(selection.alias)).read().tables
    run = Update(selection, Options(accept_data_loss=True, verbosity=verbosity, tell=tell))
    with run.backend.guarded():
        plan = run.run()
    dropped = [before[change.table] for change in plan.changes if isinstance(change, DropTable)]
    return plan, frozenset(table.owner.partition(".")[0] for table in dropped)
