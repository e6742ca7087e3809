"""A run over tenants in the place of `migrate`: by its options, with what it repeats, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError

from automigrate_ext.declared.selection import Models
from automigrate_ext.exceptions import TargetsFailed
from automigrate_ext.fleet.looks import Looks, family_key
from automigrate_ext.fleet.recipe import Recipe
from automigrate_ext.fleet.report import FAILURES, FleetReport, Outcome, Status
from automigrate_ext.fleet.run import Batch, FleetRun
from automigrate_ext.fleet.targets import Target
from automigrate_ext.fleet.work import Result, Worker
from automigrate_ext.management.exit_status import FAILED
from automigrate_ext.plan import text
from automigrate_ext.run.options import Options
from automigrate_ext.tenants.recipes import DIGESTS, RECIPES_HERE, key_of
from automigrate_ext.waiting import ignore_message
from automigrate_ext.words import plural

#: What stands before the name of a schema in the lines of a run, and the name of the executor.
CODENAME = "autoupdate"
#: Options of `migrate` that speak of migrations, by their names, with what they are called in messages.
FORBIDDEN = {"migration_name": "the name of a migration", "fake": "--fake", "prune": "--prune"}
#: The ends of targets in which nothing was done.
WITHOUT_END = (*FAILURES, Status.ABSENT, Status.NOT_BEGUN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody asked of `migrate` that a run does as well."""

    models: Models = None
    dry_run: bool = False
    verbosity: int = 1
    stdout: Any = None

    def options(self, notify: Callable[[str], None]) -> Options:
        """Return the options of the run."""
        return Options(verbosity=max(self.verbosity - 1, 0), stdout=self.stdout, notify=notify)


def asked(options: Mapping[str, Any], stdout: Any = None) -> Asked:
    """Return what the options of `migrate` ask for. Raises `CommandError` for those that only migrations have."""
    forbidden = [words for name, words in FORBIDDEN.items() if options.get(name)]
    if forbidden:
        raise CommandError(
            f"Tables follow the models here, and not migrations: leave out {', '.join(forbidden)}. Nothing was done.",
            returncode=FAILED,
        )
    label = options.get("app_label")
    return Asked(
        models=[label] if label else None,
        dry_run=bool(options.get("plan") or options.get("check_unapplied")),
        verbosity=int(options.get("verbosity", 1)),
        stdout=stdout,
    )


def without_clone(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options of `migrate_schemas`, without --fake where a tenant is created as a clone of another.

    The clone has what the other has, and is brought up to date.
    """
    from_clone = options.get("fake") and options.get("tenant") and not options.get("interactive")
    return {**options, "fake": False} if from_clone else options


def ignore_line(schema: str, text: str) -> None:
    """Print nothing about a schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Who is told of a run: `before` and `after` get the name of each schema.

    `say` gets lines to print, each with the schema that it is about, "" for what is about none.
    """

    say: Callable[[str, str], None] = ignore_line
    before: Callable[[str], None] = ignore_message
    after: Callable[[str], None] = ignore_message


@dataclass(kw_only=True)
class TenantWorker(Worker):
    """Works on tenants, and tells of each before its turn."""

    listeners: Listeners
    begun: set[str] = field(default_factory=set)

    def begin(self, name: str) -> None:
        """Tell that the turn of a target has come, unless that was told."""
        if name not in self.begun:
            self.begun.add(name)
            self.listeners.before(name)

    def alone(self, target: Target, shape: str = "", *, creates: bool = False) -> Result:
        self.begin(target.name)
        result = super().alone(target, shape, creates=creates)
        if result.recipe is not None:
            RECIPES_HERE.keep(self.key_of(target, shape), result.recipe)
        return result

    def repeat(self, target: Target, recipe: Recipe, *, creates: bool) -> bool:
        self.begin(target.name)
        return super().repeat(target, recipe, creates=creates)

    def known(self, target: Target, shape: str) -> Recipe | None:
        """Return what this process has done before in a target of the same shape."""
        return None if self.dry_run else RECIPES_HERE.find(self.key_of(target, shape))

    def key_of(self, target: Target, shape: str) -> str:
        """Return the key under which the recipe of a shape is kept."""
        return key_of(shape, self.looks.family(target, family_key(target)))


@dataclass(kw_only=True)
class TenantRun(FleetRun):
    """A run over tenants: what this process has done before it repeats, and it tells how each has ended."""

    worker: TenantWorker

    def lead(self, shape: str, targets: Sequence[Target]) -> Iterator[Batch]:
        recipe = self.worker.known(targets[0], shape)
        if recipe is None:
            yield from super().lead(shape, targets)
        else:
            yield Batch(targets=tuple(targets), shape=shape, recipe=recipe)

    def add(self, result: Result) -> None:
        super().add(result)
        outcome, listeners = result.outcome, self.worker.listeners
        if outcome.status not in WITHOUT_END:
            # Those in which nothing is to be done have had no turn.
            self.worker.begin(outcome.target)
            listeners.after(outcome.target)
        listeners.say(outcome.target, described(outcome))


def bring_up(targets: Sequence[Target], wanted: Asked, listeners: Listeners) -> FleetReport:
    """Make the tables of the targets match the models, or only look; return what became of them.

    Raises `CommandError` where any failed or was refused, with each reason once.
    """
    options = wanted.options(lambda message: listeners.say("", message))
    looks = Looks(wanted.models, apps, options, digests=DIGESTS)
    worker = TenantWorker(looks=looks, options=options, dry_run=wanted.dry_run, listeners=listeners)
    report = TenantRun(targets=targets, worker=worker).run()
    if report.failed:
        failed = TargetsFailed(report)
        raise CommandError(str(failed), returncode=FAILED) from failed
    return report


def report_lines(report: FleetReport, wanted: Asked) -> Iterator[str]:
    """Yield the plans of a run that only looks, each once for the schemas that it is for."""
    if not wanted.dry_run or wanted.verbosity < 1:
        return
    for shape in report.shapes.values():
        if shape.plan:
            yield f"{plural(len(shape.targets), 'schema')}, such as {shape.targets[0]}:"
            yield from map(str, text.lines(shape.plan))


def line(schema: str, text: str) -> str:
    """Return a line about a schema as the commands print it."""
    return f"[{CODENAME}:{schema}] {text}" if schema else f"[{CODENAME}] {text}"


def described(outcome: Outcome) -> str:
    """Return how a target has ended, in words."""
    if outcome.status is Status.ABSENT:
        return "there is no such schema: passed over"
    if outcome.status is Status.MATCHES:
        return "matches the models"
    changes = f", {plural(outcome.changes, 'change')}" if outcome.changes else ""
    return f"{outcome.status}{changes}"
