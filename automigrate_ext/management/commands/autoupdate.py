"""manage.py autoupdate: change tables in place until they match the models."""

from __future__ import annotations

import argparse
import sys
import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db import connections
from django.utils.autoreload import get_child_arguments

from automigrate_ext import conf
from automigrate_ext.api import autoupdate, make_plan
from automigrate_ext.declared.selection import Models, Selection
from automigrate_ext.exceptions import Declined
from automigrate_ext.management.base import SchemaCommand
from automigrate_ext.management.exit_status import DIFFERENT, EXPANDED, FAILED, KEPT
from automigrate_ext.management.fleet import are_targets
from automigrate_ext.management.formats import CI_FORMATS
from automigrate_ext.management.past_runs import PastRuns
from automigrate_ext.management.values import given, seconds, whole
from automigrate_ext.process import is_watched
from automigrate_ext.run.options import BATCH_SIZE, COUNT_TIMEOUT, REWRITE_LIMIT
from automigrate_ext.waiting import ignore_message

if TYPE_CHECKING:
    from automigrate_ext.fleet.targets import Target
    from automigrate_ext.management.fleet import FleetCommand
    from automigrate_ext.management.questioner import TerminalQuestioner
    from automigrate_ext.management.saved_plans import SavedPlans
    from automigrate_ext.plan.plan import Plan

#: The options that a saved plan holds itself, or that make no sense together with it.
DECIDED_BY_PLAN = {
    "--database": "database",
    "--all-databases": "all_databases",
    "--check": "check",
    "--strict": "strict",
    "--dry-run": "dry_run",
    "--rename": "rename",
    "--default": "default",
    "--accept-data-loss": "accept_data_loss",
    "--prune": "prune",
    "--ask": "ask",
    "--expand": "expand",
    "--contract": "contract",
    "--online": "online",
}
#: The options that make no sense where what was done is listed.
BESIDE_HISTORY = {
    **{option: name for option, name in DECIDED_BY_PLAN.items() if name not in ("database", "all_databases")},
    "--plan": "plan",
    "--watch": "watch",
}


class Command(SchemaCommand):
    """Parses, asks, calls the library, prints, exits."""

    #: What asks the questions of a run, where somebody is there to answer them.
    questioner: TerminalQuestioner | None = None
    #: The plans that --plan names.
    saved: SavedPlans | None = None

    formats = (*SchemaCommand.formats, *CI_FORMATS)
    formats_help = (
        f"{SchemaCommand.formats_help} With --check or --dry-run also findings in the project's files, in the form of "
        "GitHub's workflow commands or of GitLab's Code Quality reports."
    )
    help = "Changes the tables in place to match the models, and keeps the data."
    examples = """
examples:
  manage.py autoupdate                        all models of the database
  manage.py autoupdate todo                   one app
  manage.py autoupdate todo.Todo TodoList     two models
  manage.py autoupdate --dry-run              show the changes and do nothing
  manage.py autoupdate --ask                  show the changes and ask first
  manage.py autoupdate --dry-run --format sql > changes.sql    a script
  manage.py autoupdate --dry-run --format json > plan.json     a plan to review
  manage.py autoupdate --plan plan.json       exactly that, or nothing
  manage.py autoupdate --check                exit status 1 if anything differs
  manage.py autoupdate --all-databases        every database that the routers use
  manage.py autoupdate --tenants              every tenant or other target
  manage.py autoupdate --schemas 'shop_*'     the schemas with such names
  manage.py autoupdate --expand               before the new code starts, beside the old
  manage.py autoupdate --contract             after the last process of the old code
  manage.py autoupdate --history              the last runs that changed something
  manage.py autoupdate --watch                again each time a file is saved
  manage.py autoupdate --rename todo.Todo.title=name     keeps the values
  manage.py autoupdate --default todo.Todo.priority=0    for rows that have none

exit status: 0 done, nothing to do, or a question answered with no; 1 --check found
  differences; 2 refused or failed; 3 --check --strict found only what is kept;
  4 --check found only what an expand left for the contract; 130 interrupted
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--check", action="store_true", help="Exit with status 1 if anything differs, and change nothing."
        )
        parser.add_argument(
            "--strict",
            action="store_true",
            help="With --check, exit with status 3 if the tables match the models but something else is kept.",
        )
        parser.add_argument(
            "--ask",
            action="store_true",
            help="Show the plan, and ask before anything is changed. If left out, AUTOMIGRATE['ASK'] decides.",
        )
        parser.add_argument(
            "--rename",
            action="append",
            default=[],
            metavar="OLD=NEW",
            help='A field, model, table or column that was renamed, as in "todo.Todo.title=name" or "todo.Todo=Task", '
            'or a model that moved to another app, as in "books.Author=crm.Author". Keeps the values. May be repeated.',
        )
        parser.add_argument(
            "--default",
            action="append",
            default=[],
            metavar="FIELD=VALUE",
            help='A value for rows that have none in a required column, as in "todo.Todo.priority=0". May be repeated.',
        )
        parser.add_argument(
            "--accept-data-loss",
            action="store_true",
            help="Drop columns and tables that hold values, and make casts that alter them.",
        )
        parser.add_argument(
            "--count-timeout",
            type=seconds,
            default=COUNT_TIMEOUT,
            metavar="SECONDS",
            help="How long each count of rows may take. What is not counted in time is kept or refused. 0: no limit. "
            f"If left out: {COUNT_TIMEOUT:g}.",
        )
        parser.add_argument(
            "--prune",
            action="store_true",
            help="Drop what no model declares in the tables of the models: columns, constraints and indexes made by "
            "hand, and defaults, collations, comments and actions on delete.",
        )

        parser.add_argument(
            "--plan",
            metavar="FILE",
            help='Carry out a plan that --dry-run --format json printed, if it still holds. "-" reads it from stdin.',
        )

        phase = parser.add_mutually_exclusive_group()
        phase.add_argument(
            "--expand",
            action="store_true",
            help="Before new code starts while old code runs: do only what the old code can live with.",
        )
        phase.add_argument(
            "--contract",
            action="store_true",
            help="After the last process of the old code has ended: do the rest.",
        )

        parser.add_argument(
            "--online",
            action=argparse.BooleanOptionalAction,
            help="Change the tables while others use them, in many short transactions. Those that have ended stay done "
            "if a later one fails. If left out, AUTOMIGRATE['ONLINE'] decides. For PostgreSQL, MariaDB and MySQL.",
        )
        parser.add_argument(
            "--rewrite-limit",
            type=whole(0),
            default=REWRITE_LIMIT,
            metavar="ROWS",
            help="With --online: the most rows that a table may have if others have to wait while it is rewritten. "
            f"If left out: {REWRITE_LIMIT:,}.",
        )
        parser.add_argument(
            "--batch-size",
            type=whole(1),
            default=BATCH_SIZE,
            metavar="ROWS",
            help=f"With --online: how many rows one transaction fills. If left out: {BATCH_SIZE:,}.",
        )
        parser.add_argument(
            "--batch-pause",
            type=seconds,
            default=0.0,
            metavar="SECONDS",
            help="With --online: how long to wait after each batch of rows. If left out: not at all.",
        )

        parser.add_argument(
            "--no-fingerprint",
            action="store_false",
            dest="fingerprint",
            help="Compare the tables even if nothing has changed since the last run.",
        )

        parser.add_argument(
            "--history",
            action="store_true",
            help="List the last runs that changed the database, the last one first, and do nothing. With --verbosity 2 "
            "also their statements, versions and users.",
        )

        parser.add_argument(
            "--watch",
            action="store_true",
            help="Run again each time a Python file of the project is saved, until Ctrl-C.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["strict"] and not options["check"]:
            raise CommandError("--strict goes with --check: pass both.", returncode=FAILED)
        if options["history"]:
            self.forbid_beside_history(options)
        if options["format"] in CI_FORMATS and not (options["check"] or options["dry_run"]):
            raise CommandError(f"--format {options['format']}: pass --check or --dry-run with it.", returncode=FAILED)
        if options["watch"] and not is_watched():
            sys.exit(self.watch(options))
        has_plan = options["plan"] is not None and not are_targets(options)
        self.saved = self.saved_plans(options) if has_plan else None
        self.questioner = self.make_questioner(options)
        try:
            super().handle(*args, **options)
        except CommandError as error:
            if not (repetition := self.repetition(options)):
                raise
            raise CommandError(f"{error}\n{repetition}", returncode=error.returncode) from error
        if repetition := self.repetition(options):
            self.stderr.write(repetition, str)

    @property
    def is_typed(self) -> bool:
        """Whether the command was called from a command line, and not by a program."""
        return bool(getattr(self, "_called_from_command_line", False))

    def repetition(self, options: dict[str, Any]) -> str:
        """Return the command that repeats the answers that were given, or ""."""
        return self.questioner.repetition(options) if self.questioner else ""

    def watch(self, options: dict[str, Any]) -> int:
        """Run this command line in one process after the other, as files are saved; return the exit status."""
        beside = given({"--check": "check", "--plan": "plan"}, options)
        beside += ["--format"] if options["format"] != "text" else []
        if beside:
            raise CommandError(f"--watch goes on for ever: leave out {', '.join(beside)}.", returncode=FAILED)
        if not self.is_typed:
            raise CommandError("--watch is for the command line.", returncode=FAILED)
        # Few runs watch.
        from automigrate_ext.management.watch import watch

        return watch(get_child_arguments(), self.notify if options["verbosity"] else ignore_message)

    def databases(self, options: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
        if self.saved:
            # Of a database that the settings do not have, the run reports that.
            return [alias for alias in self.saved.plans if alias in connections], {}
        return super().databases(options)

    def handle_databases(self, aliases: Sequence[str], left_alone: Mapping[str, str], options: dict[str, Any]) -> int:
        if self.saved:
            return self.saved.run()
        return super().handle_databases(aliases, left_alone, options)

    def forbid_beside_history(self, options: dict[str, Any]) -> None:
        """Raise `CommandError` for what makes no sense together with --history."""
        beside = given(BESIDE_HISTORY, options)
        beside += [] if options["format"] in ("text", "json") else [f"--format {options['format']}"]
        if options["labels"] or beside:
            words = ", ".join([*options["labels"], *beside])
            raise CommandError(f"--history lists what was done: leave out {words}.", returncode=FAILED)

    def handle_targets(self, work: FleetCommand, targets: Sequence[Target], options: dict[str, Any]) -> int:
        if options["history"]:
            return PastRuns(self, options).show_targets(targets)
        beside = given({"--plan": "plan", "--watch": "watch"}, options)
        if beside:
            raise CommandError(f"Targets have no {beside[0]}: leave it out.", returncode=FAILED)
        labels, arguments = options["labels"] or None, self.arguments(options)
        if options["check"] or options["dry_run"]:
            return work.finish(partial(make_plan, labels, targets=targets, **arguments), done=False)
        call = partial(
            autoupdate,
            labels,
            targets=targets,
            **{**arguments, **self.run_options(options), **work.arguments()},
            ask=self.questioner,
        )
        call.keywords["progress"] = work.watch if self.shows_progress(options) else None
        try:
            return work.finish(call, done=True)
        except Declined:
            self.stderr.write("Cancelled; no further target was changed.")
            return 0

    def handle_database(self, alias: str, models: Models | Selection, options: dict[str, Any]) -> int:
        if options["history"]:
            return PastRuns(self, options).show(alias)
        arguments = {"using": alias, **self.arguments(options)}
        if options["check"] or options["dry_run"]:
            return self.dry_run(models, arguments, options)
        return self.update(models, {**arguments, **self.run_options(options)}, options)

    def arguments(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options that decide what is done, as the API takes them."""
        return {
            "renames": self.read_pairs("--rename", "OLD=NEW", options["rename"]),
            "defaults": self.read_pairs("--default", "FIELD=VALUE", options["default"]),
            "accept_data_loss": options["accept_data_loss"],
            "count_timeout": options["count_timeout"],
            "prune": options["prune"],
            "fingerprint": options["fingerprint"],
            "expand": options["expand"],
            "contract": options["contract"],
            "online": options["online"],
            "rewrite_limit": options["rewrite_limit"],
        }

    def update(self, models: Models | Selection, arguments: dict[str, Any], options: dict[str, Any]) -> int:
        """Change the tables, print what was done, and return the exit status. The time does not count the questions."""
        arguments |= {"batch_size": options["batch_size"], "batch_pause": options["batch_pause"]}
        questioner = self.questioner
        if questioner is None:
            started = time.perf_counter()
            plan = autoupdate(models, **arguments)
            self.printer.show(plan, options, done=True, seconds=time.perf_counter() - started)
            return 0
        started = time.perf_counter() - questioner.seconds
        try:
            plan = autoupdate(models, **arguments, ask=questioner)
        except Declined as answer:
            self.stderr.write(str(answer))
            return 0
        seconds = time.perf_counter() - started - questioner.seconds
        self.printer.show(plan, options, done=True, seconds=seconds, seen=questioner.has_shown(plan))
        return 0

    def make_questioner(self, options: dict[str, Any]) -> TerminalQuestioner | None:
        """Return what asks questions, or None where nobody is there to answer them.

        Raises `CommandError` where --ask is given then: what nobody has agreed to is not done.
        """
        asks = self.can_ask(options)
        changes = not (options["check"] or options["dry_run"] or options["plan"] is not None)
        if options["ask"] and changes and not asks:
            raise CommandError(
                "--ask: there is nobody to answer, because stdin is not a terminal, or --noinput or another --format "
                "than text is given. Leave it out, or look first with --dry-run. Nothing was done.",
                returncode=FAILED,
            )
        if not asks or not changes:
            return None
        # Where nobody is asked, plans may not be needed either.
        from automigrate_ext.management.questioner import TerminalQuestioner

        return TerminalQuestioner(self, confirms=options["ask"] or conf.asks(), verbosity=options["verbosity"])

    def saved_plans(self, options: dict[str, Any]) -> SavedPlans:
        """Return the plan that was saved, or the plans of several databases.

        Raises `CommandError` for a file that holds none, and for options that the plan decides.
        """
        beside = given(DECIDED_BY_PLAN, options)
        if options["labels"] or beside:
            words = ", ".join([*options["labels"], *beside])
            raise CommandError(f"--plan decides alone what is done: leave out {words}.", returncode=FAILED)
        # Few runs have a plan that was saved.
        from automigrate_ext.management.saved_plans import SavedPlans

        return SavedPlans(self, options)

    def dry_run(self, models: Models | Selection, arguments: dict[str, Any], options: dict[str, Any]) -> int:
        """Show what differs and change nothing; return the exit status, which with --check is that of a difference."""
        plan = make_plan(models, **arguments)
        self.printer.show(plan, options, done=False)
        if options["check"]:
            return status_of(plan, strict=options["strict"])
        if plan.refused:
            self.printer.exit_refused(plan, options)
        return 0

    def read_pairs(self, option: str, shape: str, given: list[str]) -> dict[str, str]:
        """Return the arguments of an option that takes OLD=NEW as a mapping. Raises `CommandError` for others."""
        values: dict[str, str] = {}
        for argument in given:
            name, equals, value = argument.partition("=")
            if not equals or not name or (option == "--rename" and not value):
                raise CommandError(f"{option} {argument}: expected {shape}.", returncode=FAILED)
            if values.setdefault(name, value) != value:
                raise CommandError(
                    f"{option} {argument}: {option} {name}={values[name]} is given too.", returncode=FAILED
                )
        return values


def status_of(plan: Plan, *, strict: bool) -> int:
    """Return the exit status of --check."""
    if plan:
        return EXPANDED if plan.expanded else DIFFERENT
    return KEPT if plan.withheld and strict else 0
