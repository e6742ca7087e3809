"""The verbs, and their async twins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import apps as global_apps
from django.apps.registry import Apps
from django.db import DEFAULT_DB_ALIAS

from automigrate_ext.backends import backend_for
from automigrate_ext.plan import Plan
from automigrate_ext.rebuild import Rebuild
from automigrate_ext.run import Options
from automigrate_ext.selection import Label, select
from automigrate_ext.update import Update

Models = Label | Iterable[Label] | None


def autoupdate(
    models: Models = None,
    *,
    using: str = DEFAULT_DB_ALIAS,
    apps: Apps | None = None,
    renames: Mapping[str, str] | None = None,
    defaults: Mapping[str, Any] | None = None,
    accept_data_loss: bool = False,
    prune: bool = False,
    dry_run: bool = False,
    record_migrations: bool = False,
    verbosity: int = 0,
    interactive: bool = False,
    stdout: Any = None,
) -> Plan:
    """Change the tables in place until they match the models, and keep the data.

    `models` is an app label, "app.Model", a model's name or class, or a list of these; None means all
    models of the database, an empty list none. `renames` maps "app.Model.field" to the field's new name,
    "app.Model" to the model's, "table" and "table.column" to new names in the database; `defaults` are
    one-off values for rows that have none, by "app.Model.field". Returns the plan that was carried out, or
    with `dry_run` would be.

    Raises `UnknownModels`, `ShadowedTable` or `ScratchFailed` before anything is touched, `Refused` when
    the rows do not allow all of it, `ExecutionFailed` or `NotConverged` when the run was undone.
    """
    options = Options(
        renames=renames or {},
        defaults=defaults or {},
        accept_data_loss=accept_data_loss,
        prune=prune,
        record_migrations=record_migrations,
        verbosity=verbosity,
        interactive=interactive,
        stdout=stdout,
    )
    selection = select(models, using, apps or global_apps)
    update = Update(selection, options)
    return update.plan() if dry_run else update.run()


def make_plan(
    models: Models = None,
    *,
    using: str = DEFAULT_DB_ALIAS,
    apps: Apps | None = None,
    renames: Mapping[str, str] | None = None,
    defaults: Mapping[str, Any] | None = None,
    accept_data_loss: bool = False,
    prune: bool = False,
) -> Plan:
    """The plan that `autoupdate` would carry out; changes nothing. See `autoupdate` for what goes in."""
    options = Options(renames=renames or {}, defaults=defaults or {}, accept_data_loss=accept_data_loss, prune=prune)
    return Update(select(models, using, apps or global_apps), options).plan()


def is_actual(models: Models = None, *, using: str = DEFAULT_DB_ALIAS, apps: Apps | None = None) -> bool:
    """Whether the tables match the models, so that `autoupdate` would do nothing; asks no rows."""
    return not Update(select(models, using, apps or global_apps), Options()).differs()


def automigrate(
    models: Models = None,
    *,
    using: str = DEFAULT_DB_ALIAS,
    apps: Apps | None = None,
    cascade: bool = False,
    dry_run: bool = False,
    record_migrations: bool = False,
    verbosity: int = 0,
    interactive: bool = False,
    stdout: Any = None,
) -> Plan:
    """Drop the tables of the models, with all their rows, and create them again.

    See `autoupdate` for what goes in and is raised. The run is refused where rows of other tables point
    at these, and, without `cascade`, where views or triggers would go along.
    """
    options = Options(
        cascade=cascade,
        record_migrations=record_migrations,
        verbosity=verbosity,
        interactive=interactive,
        stdout=stdout,
    )
    rebuild = Rebuild(select(models, using, apps or global_apps), options)
    return rebuild.plan() if dry_run else rebuild.run()


def rows_at_stake(models: Models = None, *, using: str = DEFAULT_DB_ALIAS, apps: Apps | None = None) -> dict[str, int]:
    """How many rows `automigrate` would destroy, by table; tables without rows are left out."""
    selection = select(models, using, apps or global_apps)
    backend = backend_for(using)
    names = [model._meta.db_table for model in selection.models]
    apart = backend.set_apart(names)
    there = backend.introspect([name for name in names if name not in apart]).tables
    counts = {name: backend.count_rows(name) for name in names if name in there}
    return {name: rows for name, rows in counts.items() if rows}


aautomigrate = sync_to_async(automigrate)
aautoupdate = sync_to_async(autoupdate)
amake_plan = sync_to_async(make_plan)
ais_actual = sync_to_async(is_actual)
