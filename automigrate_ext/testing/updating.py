"""Update a test database: loaded where there is something to update, because it loads all that compares."""

from __future__ import annotations

from automigrate_ext.backends import backend_for
from automigrate_ext.declared.selection import Selection
from automigrate_ext.plan.plan import Plan
from automigrate_ext.run.options import Options
from automigrate_ext.run.record import Record
from automigrate_ext.run.update import Update
from automigrate_ext.schema.changes import DropTable


def update(selection: Selection, *, verbosity: int, send_signals: bool) -> tuple[Plan, frozenset[str]]:
    """Make the tables match the models, even if rows lose values.

    Returns the plan and the apps whose tables were dropped. `send_signals` is whether receivers of `pre_migrate` and
    `post_migrate` are called. Raises as `autoupdate` does.
    """
    before = Record(backend_for(selection.alias)).read().tables
    run = Update(selection, Options(accept_data_loss=True, verbosity=verbosity, send_signals=send_signals))
    with run.backend.session.guarded():
        plan = run.run()
    dropped = [before[change.table] for change in plan.changes if isinstance(change, DropTable)]
    return plan, frozenset(table.owner.partition(".")[0] for table in dropped)
