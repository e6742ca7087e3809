"""The verbs, and their async twins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import apps as global_apps
from django.apps.registry import Apps
from django.db import DEFAULT_DB_ALIAS, connections

from automigrate_ext.backends import backend_for
from automigrate_ext.backends.base import Backend
from automigrate_ext.exceptions import UnusablePlan
from automigrate_ext.plan import Plan
from automigrate_ext.rebuild import Rebuild
from automigrate_ext.run import COUNT_TIMEOUT, Ask, Options
from automigrate_ext.saved import read_plan
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
    count_timeout: float | None = COUNT_TIMEOUT,
    prune: bool = False,
    dry_run: bool = False,
    record_migrations: bool = False,
    verbosity: int = 0,
    interactive: bool = False,
    stdout: Any = None,
    lock_wait: float | None = None,
    lock_timeout: float | None = None,
    notify: Callable[[str], None] | None = None,
    ask: Ask | None = None,
) -> Plan:
    """Change the tables in place until they match the models, and keep the data.

    `models` is an app label, "app.Model", a model's name or class, or a list of these; None means all
    models of the database, an empty list none. `renames` maps "app.Model.field" to the field's new name,
    "app.Model" to the model's, "table" and "table.column" to new names in the database; `defaults` are
    one-off values for rows that have none, by "app.Model.field"; `count_timeout` is how many seconds a question to
    the rows may take, 0 or None for any. `lock_wait` and `lock_timeout` are the seconds for which to wait for another
    run and for locks on tables, None being without end; `notify` is called with a line of text when that takes more
    than a second. `ask` is shown the plan before a run that would do something, and its answers are added to
    `renames` and `defaults`. Returns the plan that was carried out, or with `dry_run` would be.

    Raises `UnknownModels`, `ShadowedTable` or `ScratchFailed` before anything is touched, `Refused` when
    the rows do not allow all of it, `LockNotAvailable`, `ExecutionFailed` or `NotConverged` when the run was
    undone.
    """
    options = Options(
        renames=renames or {},
        defaults=defaults or {},
        accept_data_loss=accept_data_loss,
        count_timeout=count_timeout,
        prune=prune,
        record_migrations=record_migrations,
        verbosity=verbosity,
        interactive=interactive,
        stdout=stdout,
        lock_wait=lock_wait,
        lock_timeout=lock_timeout,
        notify=notify,
        ask=ask,
    )
    selection = select(models, using, apps or global_apps)
    update = Update(selection, options)
    with update.backend.guarded():
        return update.plan() if dry_run else update.run()


def make_plan(
    models: Models = None,
    *,
    using: str = DEFAULT_DB_ALIAS,
    apps: Apps | None = None,
    renames: Mapping[str, str] | None = None,
    defaults: Mapping[str, Any] | None = None,
    accept_data_loss: bool = False,
    count_timeout: float | None = COUNT_TIMEOUT,
    prune: bool = False,
) -> Plan:
    """The plan that `autoupdate` would carry out; changes nothing. See `autoupdate` for what goes in."""
    options = Options(
        renames=renames or {},
        defaults=defaults or {},
        accept_data_loss=accept_data_loss,
        count_timeout=count_timeout,
        prune=prune,
    )
    update = Update(select(models, using, apps or global_apps), options)
    with update.backend.guarded():
        return update.plan()


def run_plan(
    plan: Plan | Mapping[str, Any] | str,
    *,
    apps: Apps | None = None,
    count_timeout: float | None = COUNT_TIMEOUT,
    record_migrations: bool = False,
    verbosity: int = 0,
    interactive: bool = False,
    stdout: Any = None,
    lock_wait: float | None = None,
    lock_timeout: float | None = None,
    notify: Callable[[str], None] | None = None,
) -> Plan:
    """Carry out a plan of `autoupdate` that was made before, if it is still what `autoupdate` would do.

    `plan` is a `Plan`, or its JSON as text or as plain values; the database, the models and the options are the
    plan's. Raises `UnusablePlan` with all that differs before anything is touched, otherwise what `autoupdate` does.
    """
    saved = read_plan(plan)
    if saved.alias not in tuple(connections):
        raise UnusablePlan(f"The plan was made for the database {saved.alias!r}, which is not in DATABASES.")
    request = saved.request
    options = Options(
        renames=request.renames,
        defaults=request.defaults,
        accept_data_loss=request.accept_data_loss,
        count_timeout=count_timeout,
        prune=request.prune,
        record_migrations=record_migrations,
        verbosity=verbosity,
        interactive=interactive,
        stdout=stdout,
        lock_wait=lock_wait,
        lock_timeout=lock_timeout,
        notify=notify,
    )
    update = Update(select(request.models, saved.alias, apps or global_apps), options, saved)
    with update.backend.guarded():
        return update.run()


def is_actual(models: Models = None, *, using: str = DEFAULT_DB_ALIAS, apps: Apps | None = None) -> bool:
    """Whether the tables match the models, so that `autoupdate` would do nothing; asks no rows."""
    update = Update(select(models, using, apps or global_apps), Options())
    with update.backend.guarded():
        return not update.differs()


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
    lock_wait: float | None = None,
    lock_timeout: float | None = None,
    notify: Callable[[str], None] | None = None,
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
        lock_wait=lock_wait,
        lock_timeout=lock_timeout,
        notify=notify,
    )
    rebuild = Rebuild(select(models, using, apps or global_apps), options)
    with rebuild.backend.guarded():
        return rebuild.plan() if dry_run else rebuild.run()


def rows_at_stake(models: Models = None, *, using: str = DEFAULT_DB_ALIAS, apps: Apps | None = None) -> dict[str, int]:
    """How many rows `automigrate` would destroy, by table; tables without rows are left out."""
    selection = select(models, using, apps or global_apps)
    backend = backend_for(using)
    names = [model._meta.db_table for model in selection.models]
    with backend.guarded():
        counts = backend.steadily(lambda: count_rows(backend, names))
    return {name: rows for name, rows in counts.items() if rows}


def count_rows(backend: Backend, names: Iterable[str]) -> dict[str, int]:
    """How many rows those of the tables have that exist."""
    names = list(names)
    with backend.snapshot():
        apart = backend.set_apart(names)
        there = backend.introspect([name for name in names if name not in apart]).tables
        return {name: backend.count_rows(name) for name in names if name in there}


aautomigrate = sync_to_async(automigrate)
aautoupdate = sync_to_async(autoupdate)
amake_plan = sync_to_async(make_plan)
arun_plan = sync_to_async(run_plan)
ais_actual = sync_to_async(is_actual)
