"""Runs over many targets, as the public functions and the commands ask for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import ceil

from django.apps import apps as global_apps
from django.apps.registry import Apps
from django.db import connections, transaction

from automigrate_ext.backends import backend_for
from automigrate_ext.declared.selection import Models
from automigrate_ext.exceptions import AutomigrateError, TargetsFailed, UnknownTargets
from automigrate_ext.fleet.jobs import do_by_jobs
from automigrate_ext.fleet.looks import Looks
from automigrate_ext.fleet.queue import do_by_queue
from automigrate_ext.fleet.report import FleetReport, Status
from automigrate_ext.fleet.run import Do, FleetRun, Watch
from automigrate_ext.fleet.targets import Target, checked, named_targets, project_targets
from automigrate_ext.fleet.work import Worker
from automigrate_ext.run.options import Options
from automigrate_ext.waiting import connect

#: Targets as callers name them: all of the project's (True), some by name, or `Target` objects.
Targets = bool | str | Iterable[str | Target]


def targets_of(given: Targets) -> tuple[Target, ...]:
    """Return the targets that a caller names. Raises `UnknownTargets`."""
    if isinstance(given, bool):
        return project_targets()
    things = [given] if isinstance(given, str) else list(given)
    names = [thing for thing in things if isinstance(thing, str)]
    known = {target.name: target for target in named_targets(names)} if names else {}
    return checked(known[thing] if isinstance(thing, str) else thing for thing in things)


def run_targets(
    targets: Sequence[Target],
    models: Models = None,
    *,
    options: Options,
    apps: Apps | None = None,
    command: str = "autoupdate",
    dry_run: bool = False,
    jobs: int = 1,
    first: int | str = 0,
    max_failures: int | None = None,
    atomic: bool = False,
    create: bool = False,
    queue: bool = False,
    watch: Watch | None = None,
) -> FleetReport:
    """Do the verb in all targets, and return what became of them.

    Raises `TargetsFailed` with the report where any failed or was refused, and `InterruptedFleet` after Ctrl-C.
    """
    registry = apps or global_apps
    looks = Looks(models, registry, options)
    worker = Worker(looks=looks, options=options, command=command, dry_run=dry_run, creates=create)
    run = FleetRun(
        targets=targets,
        worker=worker,
        first=number_of(first, len(targets)),
        max_failures=1 if atomic else max_failures,
        watch=watch,
        relist=partial(project_targets, strict=True) if are_all(targets) else None,
    )
    forbid_together(jobs=jobs, queue=queue, atomic=atomic)
    run.do = who_does(worker, targets, jobs=jobs, queue=queue)
    if atomic and not dry_run:
        with all_or_none(run):
            run.run()
    else:
        run.run()
    if run.report.failed:
        raise TargetsFailed(run.report)
    return run.report


def are_all(targets: Sequence[Target]) -> bool:
    """Return whether the targets are all that a project has, of which others share one."""
    return any(target.shared for target in targets) and tuple(targets) == project_targets()


def who_does(worker: Worker, targets: Sequence[Target], *, jobs: int, queue: bool) -> Do | None:
    """Return what does the batches of a run, None for the process that is called. Raises `AutomigrateError`."""
    if queue:
        return do_by_queue(worker)
    return do_by_jobs(worker, jobs, targets) if jobs > 1 else None


def number_of(first: int | str, total: int) -> int:
    """Return how many targets are meant by a number or a share such as "5%". Raises `AutomigrateError`."""
    text = str(first).strip()
    try:
        number = ceil(float(text[:-1]) * total / 100) if text.endswith("%") else int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise AutomigrateError(f"first={first!r}: expected a number of targets or a share of them such as '5%'.")
    return number


def forbid_together(*, jobs: int, queue: bool, atomic: bool) -> None:
    """Raise `AutomigrateError` for options of which one leaves no room for another."""
    if jobs < 1:
        raise AutomigrateError(f"jobs={jobs}: expected a number of processes, 1 or more. Nothing was done.")
    if queue and jobs > 1:
        raise AutomigrateError("jobs and queue: the workers of the queue are the processes. Leave out one of them.")
    if atomic and (queue or jobs > 1):
        raise AutomigrateError(
            "atomic: one transaction is one connection, which several processes cannot share. Leave out jobs and "
            "queue. Nothing was done."
        )


@contextmanager
def all_or_none(run: FleetRun) -> Iterator[None]:
    """Let the block do all targets in one transaction, which is undone where one of them fails.

    Raises `UnknownTargets` for targets that are not schemas of one database.
    """
    aliases = {target.alias if target.schema is not None else None for target in run.targets}
    if len(aliases) > 1 or None in aliases:
        raise UnknownTargets(
            "atomic: the targets are not all schemas of one PostgreSQL database, so that no transaction has room for "
            "them all. Nothing was done."
        )
    if not aliases:
        yield
        return
    (alias,) = aliases
    assert alias is not None
    connect(connections[alias])
    run.locks_left = backend_for(alias).session.lock_budget()
    with transaction.atomic(using=alias):
        try:
            yield
        finally:
            if run.report.failed or run.report.names(Status.NOT_BEGUN):
                transaction.set_rollback(True, using=alias)
                run.report.mark_undone()


def rows_of_targets(targets: Sequence[Target], models: Models = None, apps: Apps | None = None) -> list[dict[str, int]]:
    """Return how many rows `automigrate` would destroy in each of the targets, by table; none in a missing one."""
    options = Options()
    looks = Looks(models, apps or global_apps, options)
    worker = Worker(looks=looks, options=options, command="automigrate")
    return [{} if seen.family is None else worker.rows_at_stake(seen.target) for seen in looks.see(targets)]
