"""A command's work on many targets: which these are, what is printed of them, and the exit status."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS

from automigrate_ext.exceptions import InterruptedFleet, TargetsFailed
from automigrate_ext.management.exit_status import DIFFERENT, EXPANDED, FAILED, INTERRUPTED
from automigrate_ext.management.formats import CI_FORMATS
from automigrate_ext.management.values import whole

if TYPE_CHECKING:
    from automigrate_ext.fleet.report import FleetProgress, FleetReport
    from automigrate_ext.fleet.targets import Target
    from automigrate_ext.management.base import SchemaCommand

#: Seconds between two lines of progress.
PAUSE = 0.2
#: The options that only runs over targets have, by their names in the API.
ONLY_TARGETS = ("jobs", "first", "max_failures", "atomic", "create", "queue", "exclude")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of runs over many targets."""
    group = parser.add_argument_group("many targets", "Schemas and databases that have the same models.")
    group.add_argument(
        "--tenants",
        nargs="*",
        metavar="NAME",
        help="Work on all of the project's targets, or on those named. AUTOMIGRATE['TARGETS'] returns them; without it "
        "they are the tenants of django-tenants or django-pgschemas.",
    )
    group.add_argument(
        "--schemas",
        nargs="+",
        metavar="PATTERN",
        help="Work on the schemas of a PostgreSQL database whose names match, as in 'tenant_*'.",
    )
    group.add_argument("--exclude", nargs="+", metavar="PATTERN", help="Leave out targets whose names match.")
    group.add_argument("--jobs", type=whole(1), metavar="N", help="How many processes work on targets. If left out: 1.")
    group.add_argument(
        "--queue", action="store_true", default=None, help="Give the work to the workers of django.tasks."
    )
    group.add_argument(
        "--first",
        metavar="N",
        help="Begin with this many targets, a number or a share such as 5%%, and go on only if none of them fails.",
    )
    group.add_argument(
        "--max-failures", type=whole(1), metavar="N", help="Begin no more targets once this many have failed."
    )
    group.add_argument(
        "--atomic", action="store_true", default=None, help="Change all targets in one transaction, or none of them."
    )
    group.add_argument("--create", action="store_true", default=None, help="Make schemas that are missing.")


def are_targets(options: Mapping[str, Any]) -> bool:
    """Return whether a command line names targets. Raises `CommandError` for options that need some."""
    if options["tenants"] is not None or options["schemas"]:
        return True
    given = [f"--{name.replace('_', '-')}" for name in ONLY_TARGETS if options[name] is not None]
    if given:
        raise CommandError(f"{', '.join(given)}: name targets too, by --tenants or --schemas.", returncode=FAILED)
    return False


class FleetCommand:
    """The work of a command on many targets."""

    def __init__(self, command: SchemaCommand, options: dict[str, Any]) -> None:
        self.command = command
        self.options = options
        self.began = time.perf_counter()
        self.shown = 0.0
        self.is_showing = False

    def targets(self) -> tuple[Target, ...]:
        """Return the targets that the command line names. Raises `UnknownTargets`, `CommandError`."""
        # Few runs have targets, here and below.
        from automigrate_ext.fleet.targets import matches, named_targets, schema_targets

        options = self.options
        databases = options["database"] or []
        databases = [databases] if isinstance(databases, str) else databases
        exclude = options["exclude"] or []
        if options["all_databases"] or (databases and not options["schemas"]):
            raise CommandError("Targets have their own databases: leave out --database.", returncode=FAILED)
        if options["schemas"] and options["tenants"] is not None:
            raise CommandError("--tenants and --schemas cannot be given together.", returncode=FAILED)
        if options["schemas"]:
            if len(databases) > 1:
                raise CommandError("--schemas are those of one database.", returncode=FAILED)
            return schema_targets(options["schemas"], exclude, databases[0] if databases else DEFAULT_DB_ALIAS)
        return tuple(target for target in named_targets(options["tenants"]) if not matches(target.name, exclude))

    def arguments(self) -> dict[str, Any]:
        """Return the options of the API."""
        options = self.options
        return {
            "jobs": options["jobs"] if options["jobs"] is not None else 1,
            "first": options["first"] or 0,
            "max_failures": options["max_failures"],
            "atomic": bool(options["atomic"]),
            "create": bool(options["create"]),
            "queue": bool(options["queue"]),
        }

    # Doing

    def finish(self, call: Callable[[], Any], *, done: bool) -> int:
        """Call, print the report, and return the exit status."""
        try:
            report: FleetReport = call()
        except TargetsFailed as failed:
            report = failed.report
        except InterruptedFleet as stop:
            self.clear()
            self.show(stop.report, done=done)
            self.command.stderr.write("Interrupted; what was changed stays changed, and the next run goes on there.")
            raise SystemExit(INTERRUPTED) from stop
        self.clear()
        self.show(report, done=done)
        if report.failed and done:
            return FAILED
        return self.status_without_doing(report) if not done else 0

    def status_without_doing(self, report: FleetReport) -> int:
        """Return the exit status of a check or dry run."""
        # As above.
        from automigrate_ext.fleet.report import Status

        if report.names(Status.FAILED):
            return FAILED
        if self.options.get("check"):
            return (EXPANDED if report.is_expanded else DIFFERENT) if report else 0
        return FAILED if report.failed else 0

    def show(self, report: FleetReport, *, done: bool) -> None:
        """Print the report in the format asked for."""
        # As above.
        from automigrate_ext.fleet.report import FAILURES

        stdout, verbosity = self.command.stdout, self.options["verbosity"]
        if self.options["format"] == "json":
            stdout.write(report.as_json())
        elif self.options["format"] == "sql":
            for shape in report.shapes.values():
                if shape.plan:
                    self.command.printer.write_comment(report.heading(shape))
                    stdout.write(shape.plan.sql(), ending="")
        elif self.options["format"] in CI_FORMATS:
            plans = [shape.plan for shape in report.shapes.values() if shape.plan]
            outcomes = report.outcomes.values()
            failures = {each.target: each.reason for each in outcomes if each.status in FAILURES and each.reason}
            self.command.printer.annotations(self.options).show(plans, failures)
        elif verbosity:
            for line in report.text(verbosity=verbosity, done=done):
                stdout.write(line)
            seconds = time.perf_counter() - self.began if done else None
            stdout.write(report.comparison() if self.options.get("check") else report.summary(seconds=seconds))

    # Progress

    def watch(self, progress: FleetProgress) -> None:
        """Show how far the run has come, in one line on a terminal that is written over."""
        now = time.perf_counter()
        if progress.done == progress.total:
            self.clear()
        elif now - self.shown >= PAUSE and now - self.began >= 1:
            self.shown, self.is_showing = now, True
            stream = self.command.bare_stderr
            stream.write(f"\r\x1b[K{progress.describe(now - self.began)}")
            stream.flush()

    def clear(self) -> None:
        """Clear the line of progress."""
        if self.is_showing:
            self.is_showing = False
            self.command.bare_stderr.write("\r\x1b[K")
            self.command.bare_stderr.flush()


def rows_by_database(targets: Sequence[Target], rows: Sequence[Mapping[str, int]]) -> dict[str, Counter[str]]:
    """Return how many rows of each table all targets of a database would lose, by alias."""
    lost: dict[str, Counter[str]] = {}
    for target, counts in zip(targets, rows, strict=True):
        lost.setdefault(target.alias, Counter()).update(counts)
    return lost
