"""The verbs on one database, and what it is asked."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from automigrate_ext.backends import backend_for
from automigrate_ext.declared.selection import Selection
from automigrate_ext.run.log import logged
from automigrate_ext.run.marking import is_owed
from automigrate_ext.run.options import Options
from automigrate_ext.run.standing import Standing

if TYPE_CHECKING:
    from automigrate_ext.backends.base import Backend
    from automigrate_ext.plan.plan import Plan
    from automigrate_ext.plan.saved import SavedPlan
    from automigrate_ext.run.update import Update


def is_one_actual(selection: Selection, *, fingerprint: bool = True) -> bool:
    """Return whether the tables of one database match the models."""
    return not differences(selection, fingerprint=fingerprint)[0]


def differences(selection: Selection, *, fingerprint: bool = True) -> tuple[list[str], bool]:
    """Return what `autoupdate` would have to do in one database, in words, and whether an expand has left just that.

    Reads rows only where they decide.
    """
    options = Options(fingerprint=fingerprint)
    standing = Standing(selection, options)
    if standing.find():
        return [], False
    update = new_update(selection, options, standing=standing)
    with update.backend.session.guarded():
        return update.left_to_do()


def new_update(
    selection: Selection, options: Options, saved: SavedPlan | None = None, standing: Standing | None = None
) -> Update:
    """Return a run of `autoupdate` on one database, of which nothing has been done yet."""
    # All that compares, judges and compiles comes along, and whoever imports this module need not use it.
    from automigrate_ext.run.update import Update

    return Update(selection, options, saved, standing)


def update_one(selection: Selection, options: Options, *, dry_run: bool) -> Plan:
    """Run `autoupdate` on one database; return its plan."""
    if dry_run:
        return update_or_plan(selection, options, dry_run=True)
    run = partial(update_or_plan, selection, options, dry_run=False)
    return logged(run, alias=selection.alias, command="autoupdate", is_asked=options.ask is not None)


def update_or_plan(selection: Selection, options: Options, *, dry_run: bool) -> Plan:
    """Do the work of `update_one`, which logs it."""
    standing = Standing(selection, options)
    seal = standing.find()
    # A plan counts the values that keep something, and lists what is left for the contract; a run may mark migrations.
    if seal and not (
        seal.kept or seal.left if dry_run else not seal.left and is_owed(selection, options, seal.migrations)
    ):
        # Plans of several kinds come along.
        from automigrate_ext.run.unchanged import unchanged

        return unchanged(standing, seal, lambda: new_update(selection, options).current().tables)
    update = new_update(selection, options, standing=standing)
    with update.backend.session.guarded():
        return update.plan() if dry_run else update.run()


def rebuild_one(selection: Selection, options: Options, *, dry_run: bool) -> Plan:
    """Run `automigrate` on one database; return its plan."""
    # As in `new_update`.
    from automigrate_ext.run.rebuild import Rebuild

    rebuild = Rebuild(selection, options)
    with rebuild.backend.session.guarded():
        if dry_run:
            return rebuild.plan()
        return logged(rebuild.run, alias=selection.alias, command=rebuild.command)


def rows_of(selection: Selection) -> dict[str, int]:
    """Return how many rows `automigrate` would destroy, by table; tables without rows are left out."""
    backend = backend_for(selection.alias)
    names = [model._meta.db_table for model in selection.models]
    with backend.session.guarded():
        counts = backend.session.steadily(lambda: count_rows(backend, names))
    return {name: rows for name, rows in counts.items() if rows}


def count_rows(backend: Backend, names: Iterable[str]) -> dict[str, int]:
    """Return how many rows the existing ones of the tables have."""
    names = list(names)
    with backend.session.snapshot():
        apart = backend.set_apart(names)
        there = backend.introspect([name for name in names if name not in apart]).tables
        return {name: backend.rows.count_rows(name) for name in names if name in there}
