"""The package's public functions, and their async twins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace as evolve
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast, overload

from asgiref.sync import sync_to_async
from django.apps import apps as global_apps
from django.apps.registry import Apps
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import OperationalError

from automigrate_ext import conf
from automigrate_ext.backends import databases_for
from automigrate_ext.declared.selection import Models, Selection, select, select_each
from automigrate_ext.exceptions import AutomigrateError, TargetsFailed, UnusablePlan
from automigrate_ext.run.log import logged
from automigrate_ext.run.one import is_one_actual, new_update, rebuild_one, rows_of, update_one
from automigrate_ext.run.options import BATCH_SIZE, COUNT_TIMEOUT, REWRITE_LIMIT, Ask, Options
from automigrate_ext.run.several import on_each
from automigrate_ext.waiting import connect

if TYPE_CHECKING:
    from automigrate_ext.fleet.call import Targets
    from automigrate_ext.fleet.report import FleetReport
    from automigrate_ext.fleet.targets import Target
    from automigrate_ext.plan.history import PastRun
    from automigrate_ext.plan.plan import Plan, Plans
    from automigrate_ext.plan.progress import Watch
    from automigrate_ext.plan.saved import SavedPlan

Aliases = list[str] | tuple[str, ...]

#: What the options of runs over targets are where they are not given.
UNSET: Mapping[str, object] = {"jobs": 1, "first": 0, "atomic": False, "create": False, "queue": False}


class LookOptions(TypedDict, total=False):
    """The options of functions that change nothing."""

    apps: Apps | None
    renames: Mapping[str, str] | None
    defaults: Mapping[str, Any] | None
    accept_data_loss: bool
    count_timeout: float | None
    prune: bool
    fingerprint: bool
    expand: bool
    contract: bool
    online: bool | None
    rewrite_limit: int


class FleetOptions(TypedDict, total=False):
    """The options of runs over many targets."""

    jobs: int
    first: int | str
    max_failures: int | None
    atomic: bool
    create: bool
    queue: bool


class RunOptions(TypedDict, total=False):
    """The options of functions that change something."""

    dry_run: bool
    record_migrations: bool | None
    verbosity: int
    interactive: bool
    stdout: Any
    lock_wait: float | None
    lock_timeout: float | None
    notify: Callable[[str], None] | None
    progress: Callable[[Any], None] | None


class UpdateOptions(LookOptions, RunOptions, FleetOptions, total=False):
    """The options of `autoupdate`."""

    ask: Ask | None
    batch_size: int
    batch_pause: float


class RebuildOptions(RunOptions, FleetOptions, total=False):
    """The options of `automigrate`."""

    apps: Apps | None
    cascade: bool


@overload
def autoupdate(models: Models | Selection = ..., *, using: str = ..., **options: Unpack[UpdateOptions]) -> Plan: ...


@overload
def autoupdate(models: Models = ..., *, using: Aliases, **options: Unpack[UpdateOptions]) -> Plans: ...


@overload
def autoupdate(models: Models = ..., *, targets: Targets, **options: Unpack[UpdateOptions]) -> FleetReport: ...


def autoupdate(
    models: Models | Selection = None,
    *,
    using: str | Aliases = DEFAULT_DB_ALIAS,
    apps: Apps | None = None,
    renames: Mapping[str, str] | None = None,
    defaults: Mapping[str, Any] | None = None,
    accept_data_loss: bool = False,
    count_timeout: float | None = COUNT_TIMEOUT,
    prune: bool = False,
    fingerprint: bool = True,
    expand: bool = False,
    contract: bool = False,
    online: bool | None = None,
    rewrite_limit: int = REWRITE_LIMIT,
    batch_size: int = BATCH_SIZE,
    batch_pause: float = 0.0,
    dry_run: bool = False,
    record_migrations: bool | None = None,
    verbosity: int = 0,
    interactive: bool = False,
    stdout: Any = None,
    lock_wait: float | None = None,
    lock_timeout: float | None = None,
    notify: Callable[[str], None] | None = None,
    progress: Callable[[Any], None] | None = None,
    ask: Ask | None = None,
    targets: Targets | None = None,
    jobs: int = 1,
    first: int | str = 0,
    max_failures: int | None = None,
    atomic: bool = False,
    create: bool = False,
    queue: bool = False,
) -> Plan | Plans | FleetReport:
    """Change the tables in place until they match the models, and keep the data.

    `models` is an app label, "app.Model", a model's name or class, or a list of these; None means all
    models of the database, an empty list none. `renames` maps "app.Model.field" to the field's new name,
    "app.Model" to the model's (its label if it moved to another app), "table" and "table.column" to new names in the
    database; `defaults` are one-off values for rows that have none, by "app.Model.field"; `count_timeout` is how many
    seconds a query to the rows may take, 0 or None for any. Without `fingerprint` the tables are compared even where
    the record shows that nothing has changed since the last run. `lock_wait` and `lock_timeout` are the seconds for
    which to wait for another run and for locks on tables, None being without end; `notify` is called with a line of
    text when that takes more than a second. `progress` is called with a `RunProgress` before each statement and after
    each batch of rows; an exception from it ends and undoes the run. `ask` is shown the plan before a run that would do
    something, and its answers are added to `renames` and `defaults`. Returns the plan that was carried out, or
    with `dry_run` would be.

    With `online` (as AUTOMIGRATE["ONLINE"] says, if left out) others use the tables meanwhile: the run consists of many
    short transactions, of which those that have ended stay done. What would keep others from a table of more than
    `rewrite_limit` rows for as long as it takes is refused. Rows get values `batch_size` at a time, with a pause of
    `batch_pause` seconds after each batch.

    For a deployment in which old code and new code serve together, `expand` makes only what the old code can live with,
    and `contract` the rest once its last process has ended: drops, rules over columns that the old code writes, and the
    defaults that new columns have had in between.

    `using` is an alias, or a list or tuple of these: then every database is dealt with by itself and the `Plans` of
    all are returned; a model is left out where it does not belong, and where any database fails or refuses,
    `DatabasesFailed` is raised once the others are done.

    `targets` are schemas or databases that have the same models: `Target` objects, names of the project's targets, or
    True for all of these. Then the `FleetReport` of all is returned, and `TargetsFailed` raised once all are done where
    any failed or was refused. `jobs` is the number of processes, `queue` gives the work to those of django.tasks.
    The `first` targets, a number or a share such as "5%", have to be well before the others are begun, and after
    `max_failures` no further one is. With `atomic` all are done or none, with `create` schemas are made that are
    missing. `progress` is called with a `FleetProgress` after each target.

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
        fingerprint=fingerprint,
        expand=expand,
        contract=contract,
        record_migrations=record_migrations,
        verbosity=verbosity,
        interactive=interactive,
        stdout=stdout,
        lock_wait=lock_wait,
        lock_timeout=lock_timeout,
        notify=notify,
        progress=progress if targets is None else None,
        ask=ask,
        rewrite_limit=rewrite_limit,
        batch_size=batch_size,
        batch_pause=batch_pause,
    )
    fleet = fleet_of(jobs, first, max_failures, atomic, create, queue)
    if targets is not None:
        forbid_online(online)
        return on_targets(targets, using, models, apps, options, dry_run=dry_run, watch=progress, **fleet)
    forbid_without_targets(fleet)
    return on(using, models, apps, lambda found: update_one(found, for_one(found, options, online), dry_run=dry_run))


@overload
def make_plan(models: Models | Selection = ..., *, using: str = ..., **options: Unpack[LookOptions]) -> Plan: ...


@overload
def make_plan(models: Models = ..., *, using: Aliases, **options: Unpack[LookOptions]) -> Plans: ...


@overload
def make_plan(models: Models = ..., *, targets: Targets, **options: Unpack[LookOptions]) -> FleetReport: ...


def make_plan(
    models: Models | Selection = None,
    *,
    using: str | Aliases = DEFAULT_DB_ALIAS,
    apps: Apps | None = None,
    renames: Mapping[str, str] | None = None,
    defaults: Mapping[str, Any] | None = None,
    accept_data_loss: bool = False,
    count_timeout: float | None = COUNT_TIMEOUT,
    prune: bool = False,
    fingerprint: bool = True,
    targets: Targets | None = None,
    expand: bool = False,
    contract: bool = False,
    online: bool | None = None,
    rewrite_limit: int = REWRITE_LIMIT,
) -> Plan | Plans | FleetReport:
    """Return the plan that `autoupdate` would carry out, and change nothing. See `autoupdate` for the arguments.

    For `targets`, return the report of all, in which targets that are alike share a plan.
    """
    options = Options(
        renames=renames or {},
        defaults=defaults or {},
        accept_data_loss=accept_data_loss,
        count_timeout=count_timeout,
        prune=prune,
        fingerprint=fingerprint,
        expand=expand,
        contract=contract,
        rewrite_limit=rewrite_limit,
    )
    if targets is not None:
        forbid_online(online)
        return on_targets(targets, using, models, apps, options, dry_run=True, raises=False)
    return on(using, models, apps, lambda found: update_one(found, for_one(found, options, online), dry_run=True))


def for_one(selection: Selection, options: Options, online: bool | None) -> Options:
    """Return the options for one database: the setting decides whether the run is online if the caller does not."""
    return evolve(options, online=conf.online(selection.alias) if online is None else online)


def forbid_online(online: bool | None) -> None:
    """Raise `AutomigrateError` for targets, each of which has one transaction."""
    if online:
        raise AutomigrateError(
            "online and targets: each target is changed in one transaction, and an online run has many. Leave out one "
            "of them. Nothing was done."
        )


def run_plan(
    plan: Plan | Mapping[str, Any] | str,
    *,
    apps: Apps | None = None,
    count_timeout: float | None = COUNT_TIMEOUT,
    record_migrations: bool | None = None,
    verbosity: int = 0,
    interactive: bool = False,
    stdout: Any = None,
    lock_wait: float | None = None,
    lock_timeout: float | None = None,
    notify: Callable[[str], None] | None = None,
    progress: Watch | None = None,
    batch_size: int = BATCH_SIZE,
    batch_pause: float = 0.0,
) -> Plan:
    """Carry out a plan of `autoupdate` that was made before, if it is still what `autoupdate` would do.

    `plan` is a `Plan`, or its JSON as text or as plain values; the database, the models and the options are the
    plan's. Raises `UnusablePlan` with all that differs before anything is touched, otherwise what `autoupdate` does.
    """
    # Plans are read by none of the other functions.
    from automigrate_ext.plan.saved import read_plan

    saved = read_plan(plan)
    forbid_unknown_alias(saved)
    options = Options(
        count_timeout=count_timeout,
        record_migrations=record_migrations,
        verbosity=verbosity,
        interactive=interactive,
        stdout=stdout,
        lock_wait=lock_wait,
        lock_timeout=lock_timeout,
        notify=notify,
        progress=progress,
        batch_size=batch_size,
        batch_pause=batch_pause,
    )
    return carry_out(saved, select(saved.request.models, saved.alias, apps or global_apps), options)


def run_plans(
    plans: Plans | Mapping[str, Any] | str,
    *,
    apps: Apps | None = None,
    count_timeout: float | None = COUNT_TIMEOUT,
    record_migrations: bool | None = None,
    verbosity: int = 0,
    interactive: bool = False,
    stdout: Any = None,
    lock_wait: float | None = None,
    lock_timeout: float | None = None,
    notify: Callable[[str], None] | None = None,
    progress: Watch | None = None,
    batch_size: int = BATCH_SIZE,
    batch_pause: float = 0.0,
) -> Plans:
    """Carry out the plans of several databases that were made before, each as `run_plan` does.

    `plans` are `Plans`, or their JSON as text or as plain values. Plans with nothing to do are passed over. Raises
    `UnusablePlan` before anything is touched where one of them can never be run, and `DatabasesFailed` at the end
    where one no longer holds or fails.
    """
    # As in `run_plan`.
    from automigrate_ext.plan.plan import Plans
    from automigrate_ext.plan.saved import read_plans

    saved = read_plans(plans)
    options = Options(
        count_timeout=count_timeout,
        record_migrations=record_migrations,
        verbosity=verbosity,
        interactive=interactive,
        stdout=stdout,
        lock_wait=lock_wait,
        lock_timeout=lock_timeout,
        notify=notify,
        progress=progress,
        batch_size=batch_size,
        batch_pause=batch_pause,
    )
    selections = select_saved(saved, apps)
    return Plans(on_each(selections, lambda found: carry_out(saved[found.alias], found, options)).values())


def select_saved(saved: Mapping[str, SavedPlan], apps: Apps | None = None) -> dict[str, Selection]:
    """Return the models of saved plans for several databases by alias, without plans that do nothing."""
    for plan in saved.values():
        forbid_unknown_alias(plan)
    selections = select_each({alias: plan.request.models for alias, plan in saved.items()}, apps or global_apps)
    return {alias: selection for alias, selection in selections.items() if saved[alias].statements}


def carry_out(saved: SavedPlan, selection: Selection, options: Options) -> Plan:
    """Run one saved plan; options that change the plan are taken from it."""
    request = saved.request
    decided = evolve(
        options,
        renames=request.renames,
        defaults=request.defaults,
        accept_data_loss=request.accept_data_loss,
        prune=request.prune,
        expand=request.expand,
        contract=request.contract,
        online=request.online,
        rewrite_limit=options.rewrite_limit if request.rewrite_limit is None else request.rewrite_limit,
    )
    update = new_update(selection, decided, saved)
    with update.backend.session.guarded():
        return logged(update.run, alias=selection.alias, command=update.command)


def forbid_unknown_alias(saved: SavedPlan) -> None:
    """Raise `UnusablePlan` for a database that the settings do not have."""
    if saved.alias not in tuple(connections):
        raise UnusablePlan(f"The plan was made for the database {saved.alias!r}, which is not in DATABASES.")


def is_actual(
    models: Models = None,
    *,
    using: str | Aliases = DEFAULT_DB_ALIAS,
    apps: Apps | None = None,
    fingerprint: bool = True,
    targets: Targets | None = None,
) -> bool:
    """Return whether the tables match the models, so that `autoupdate` would do nothing.

    Reads no rows, but where some are all that keeps a column or table. For several databases or targets, return whether
    all match; a target that is not there is passed over. Without `fingerprint` the tables are compared in any case.
    """
    if targets is not None:
        options = Options(fingerprint=fingerprint)
        return not on_targets(targets, using, models, apps, options, dry_run=True, raises=False)
    decide = partial(is_one_actual, fingerprint=fingerprint)
    if isinstance(using, str):
        return decide(select(models, using, apps or global_apps))
    return all(on_each(select_all(models, using, apps), decide).values())


@overload
def automigrate(models: Models | Selection = ..., *, using: str = ..., **options: Unpack[RebuildOptions]) -> Plan: ...


@overload
def automigrate(models: Models = ..., *, using: Aliases, **options: Unpack[RebuildOptions]) -> Plans: ...


@overload
def automigrate(models: Models = ..., *, targets: Targets, **options: Unpack[RebuildOptions]) -> FleetReport: ...


def automigrate(
    models: Models | Selection = None,
    *,
    using: str | Aliases = DEFAULT_DB_ALIAS,
    apps: Apps | None = None,
    cascade: bool = False,
    dry_run: bool = False,
    record_migrations: bool | None = None,
    verbosity: int = 0,
    interactive: bool = False,
    stdout: Any = None,
    lock_wait: float | None = None,
    lock_timeout: float | None = None,
    notify: Callable[[str], None] | None = None,
    progress: Callable[[Any], None] | None = None,
    targets: Targets | None = None,
    jobs: int = 1,
    first: int | str = 0,
    max_failures: int | None = None,
    atomic: bool = False,
    create: bool = False,
    queue: bool = False,
) -> Plan | Plans | FleetReport:
    """Drop the tables of the models, with all their rows, and create them again.

    See `autoupdate` for the arguments and errors. The run is refused where rows of other tables point
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
        progress=progress if targets is None else None,
    )
    fleet = fleet_of(jobs, first, max_failures, atomic, create, queue)
    if targets is not None:
        command = "automigrate"
        return on_targets(
            targets, using, models, apps, options, command=command, dry_run=dry_run, watch=progress, **fleet
        )
    forbid_without_targets(fleet)
    return on(using, models, apps, lambda selection: rebuild_one(selection, options, dry_run=dry_run))


def on(
    using: str | Aliases, models: Models | Selection, apps: Apps | None, work: Callable[[Selection], Plan]
) -> Plan | Plans:
    """Return the plan of the work on one database, or the plans of several."""
    if isinstance(using, str):
        return work(select(models, using, apps or global_apps))
    # As in `new_update`.
    from automigrate_ext.plan.plan import Plans

    return Plans(on_each(select_all(models, using, apps), work).values())


def on_targets(
    targets: Targets,
    using: str | Aliases,
    models: Models | Selection,
    apps: Apps | None,
    options: Options,
    *,
    raises: bool = True,
    **fleet: Any,
) -> FleetReport:
    """Return the report of the work on many targets; without `raises` one that failed is in the report alone.

    Raises `AutomigrateError` where databases are named as well, since targets have theirs.
    """
    # Few projects have targets, and whoever imports this module need not have any.
    from automigrate_ext.fleet.call import run_targets, targets_of

    assert not isinstance(models, Selection), "a selection is of one database"
    if using != DEFAULT_DB_ALIAS:
        raise AutomigrateError("using and targets: each target has its own database. Leave out using.")
    try:
        return run_targets(targets_of(targets), models, apps=apps, options=options, **fleet)
    except TargetsFailed as failed:
        if raises:
            raise
        return failed.report


def fleet_of(
    jobs: int, first: int | str, max_failures: int | None, atomic: bool, create: bool, queue: bool
) -> FleetOptions:
    """Return the options of runs over targets, without those that were not given."""
    given: FleetOptions = {
        "jobs": jobs,
        "first": first,
        "max_failures": max_failures,
        "atomic": atomic,
        "create": create,
        "queue": queue,
    }
    return cast("FleetOptions", {name: value for name, value in given.items() if value not in (UNSET.get(name), None)})


def forbid_without_targets(fleet: FleetOptions) -> None:
    """Raise `AutomigrateError` for options of runs over targets where no targets are given."""
    if fleet:
        raise AutomigrateError(f"{', '.join(fleet)}: only runs over targets have this. Pass targets= with it.")


def select_all(models: Models | Selection, aliases: Iterable[str], apps: Apps | None = None) -> dict[str, Selection]:
    """Return the selected models of each of several databases, by alias."""
    assert not isinstance(models, Selection), "a selection is of one database"
    labels = models if models is None or isinstance(models, (str, type)) else list(models)
    return select_each(dict.fromkeys(aliases, labels), apps or global_apps)


def history(*, using: str = DEFAULT_DB_ALIAS, target: Target | None = None) -> tuple[PastRun, ...]:
    """Return the runs that have changed a database, as far as its record keeps them, the last one first.

    `target` is the schema or database of a run over many targets, in the place of `using`. None are returned where no
    run has made a record. Raises `AutomigrateError` where the record cannot be read, and `MissingTarget`.
    """
    # Few callers ask for what was.
    from automigrate_ext.run.history import history_of

    if target is None:
        return history_of(using)
    if using != DEFAULT_DB_ALIAS:
        raise AutomigrateError("using and target: a target has its own database. Leave out using.")
    # As in `on_targets`.
    from automigrate_ext.fleet.places import at

    with at(target) as connection:
        return history_of(connection.alias)


def create_database(using: str = DEFAULT_DB_ALIAS) -> bool:
    """Create the database of an alias where its server has none of that name; return whether this call did.

    Raises the `OperationalError` of a server that cannot be reached or refuses the role, and `ExecutionFailed` where
    the role may not create databases, or where the folder of a SQLite file does not exist.
    """
    try:
        connect(connections[using])
    except OperationalError as error:
        databases = databases_for(using)
        if databases.is_missing(error):
            return databases.create()
        # Another process may have created it since; otherwise this fails for the same reason.
        connect(connections[using])
    return False


def rows_at_stake(
    models: Models | Selection = None, *, using: str = DEFAULT_DB_ALIAS, apps: Apps | None = None
) -> dict[str, int]:
    """Return how many rows `automigrate` would destroy, by table; tables without rows are left out."""
    return rows_of(select(models, using, apps or global_apps))


# For async code


async def in_thread(verb: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call a function in the thread where Django allows queries; return its result."""
    return await sync_to_async(verb)(*args, **options)


@overload
async def aautoupdate(models: Models = ..., *, using: str = ..., **options: Unpack[UpdateOptions]) -> Plan: ...


@overload
async def aautoupdate(models: Models = ..., *, using: Aliases, **options: Unpack[UpdateOptions]) -> Plans: ...


@overload
async def aautoupdate(models: Models = ..., *, targets: Targets, **options: Unpack[UpdateOptions]) -> FleetReport: ...


async def aautoupdate(models: Models = None, *, using: str | Aliases = DEFAULT_DB_ALIAS, **options: Any) -> Any:
    """Run `autoupdate` from async code."""
    return await in_thread(autoupdate, models, using=using, **options)


@overload
async def amake_plan(models: Models = ..., *, using: str = ..., **options: Unpack[LookOptions]) -> Plan: ...


@overload
async def amake_plan(models: Models = ..., *, using: Aliases, **options: Unpack[LookOptions]) -> Plans: ...


@overload
async def amake_plan(models: Models = ..., *, targets: Targets, **options: Unpack[LookOptions]) -> FleetReport: ...


async def amake_plan(models: Models = None, *, using: str | Aliases = DEFAULT_DB_ALIAS, **options: Any) -> Any:
    """Run `make_plan` from async code."""
    return await in_thread(make_plan, models, using=using, **options)


@overload
async def aautomigrate(models: Models = ..., *, using: str = ..., **options: Unpack[RebuildOptions]) -> Plan: ...


@overload
async def aautomigrate(models: Models = ..., *, using: Aliases, **options: Unpack[RebuildOptions]) -> Plans: ...


@overload
async def aautomigrate(models: Models = ..., *, targets: Targets, **options: Unpack[RebuildOptions]) -> FleetReport: ...


async def aautomigrate(models: Models = None, *, using: str | Aliases = DEFAULT_DB_ALIAS, **options: Any) -> Any:
    """Run `automigrate` from async code."""
    return await in_thread(automigrate, models, using=using, **options)


arun_plan = sync_to_async(run_plan)
arun_plans = sync_to_async(run_plans)
ais_actual = sync_to_async(is_actual)
ahistory = sync_to_async(history)
