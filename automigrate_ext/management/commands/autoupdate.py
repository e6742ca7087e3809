"""manage.py autoupdate: change tables in place until they match the models."""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils.autoreload import get_child_arguments

from automigrate_ext.api import autoupdate, carry_out, make_plan, run_plan, select_saved
from automigrate_ext.declared.selection import Models, Selection
from automigrate_ext.exceptions import UnusablePlan
from automigrate_ext.management.base import SchemaCommand
from automigrate_ext.management.exit_status import DIFFERENT, FAILED
from automigrate_ext.management.questioner import TerminalQuestioner
from automigrate_ext.management.several import SeveralDatabases, describe_databases
from automigrate_ext.management.watch import WATCHED, watch
from automigrate_ext.plan.plan import Plan
from automigrate_ext.plan.saved import SavedPlan, is_several, parse, read_plan, read_plans
from automigrate_ext.run.options import COUNT_TIMEOUT, Options
from automigrate_ext.waiting import ignore_message

#: The options that a saved plan holds itself, or that make no sense together with it.
DECIDED_BY_PLAN = {
    "--database": "database",
    "--all-databases": "all_databases",
    "--check": "check",
    "--dry-run": "dry_run",
    "--rename": "rename",
    "--default": "default",
    "--accept-data-loss": "accept_data_loss",
    "--prune": "prune",
}


class Command(SchemaCommand):
    """Parses, calls the library, prints, exits."""

    help = "Changes the tables in place until they match the models, and keeps the data."
    examples = """
examples:
  manage.py autoupdate                        all models of the database
  manage.py autoupdate todo                   one app
  manage.py autoupdate todo.Todo TodoList     two models
  manage.py autoupdate --dry-run              show the changes and do nothing
  manage.py autoupdate --dry-run --format sql > changes.sql    a script
  manage.py autoupdate --dry-run --format json > plan.json     a plan to review
  manage.py autoupdate --plan plan.json       exactly that, or nothing
  manage.py autoupdate --check                exit status 1 if anything differs
  manage.py autoupdate --all-databases        every database, as the routers say
  manage.py autoupdate --watch                again whenever a file is saved
  manage.py autoupdate --rename todo.Todo.title=name     the values move along
  manage.py autoupdate --default todo.Todo.priority=0    for rows that have none

exit status: 0 done or nothing to do, 1 --check found differences,
  2 refused or failed, 130 interrupted
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--check", action="store_true", help="Exit with status 1 if anything differs; do nothing.")
        parser.add_argument(
            "--rename",
            action="append",
            default=[],
            metavar="OLD=NEW",
            help='A field, model, table or column that was renamed, as in "todo.Todo.title=name" or "todo.Todo=Task", '
            "so that its values are kept; may be repeated.",
        )
        parser.add_argument(
            "--default",
            action="append",
            default=[],
            metavar="FIELD=VALUE",
            help='A value for rows that have none in a required column, as in "todo.Todo.priority=0"; may be repeated.',
        )
        parser.add_argument(
            "--accept-data-loss",
            action="store_true",
            help="Drop columns and tables that hold values, and make casts that alter them.",
        )
        parser.add_argument(
            "--count-timeout",
            type=float,
            default=COUNT_TIMEOUT,
            metavar="SECONDS",
            help="How long counting rows may take, for each question (60 if left out, 0 for no limit), before what is "
            "not counted is kept or refused.",
        )
        parser.add_argument(
            "--prune",
            action="store_true",
            help="Drop columns, constraints and indexes of the models' tables that came from nobody's model, and "
            "defaults, collations, comments and actions on delete on which the models are silent.",
        )

        parser.add_argument(
            "--plan",
            metavar="FILE",
            help='Carry out a plan that --dry-run --format json printed, if it still holds; "-" reads it from stdin.',
        )

        parser.add_argument(
            "--watch",
            action="store_true",
            help="Run again whenever a Python file of the project is saved, until Ctrl-C.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["watch"] and WATCHED not in os.environ:
            sys.exit(self.watch(options))
        super().handle(*args, **options)

    def watch(self, options: dict[str, Any]) -> int:
        """Run this command line in one process after the other, as files are saved; return the exit status."""
        beside = [option for option, name in (("--check", "check"), ("--plan", "plan")) if options[name]]
        beside += ["--format"] if options["format"] != "text" else []
        if beside:
            raise CommandError(f"--watch goes on for ever: leave out {', '.join(beside)}.", returncode=FAILED)
        if not getattr(self, "_called_from_command_line", False):
            raise CommandError("--watch is for the command line.", returncode=FAILED)
        return watch(get_child_arguments(), self.notify if options["verbosity"] else ignore_message)

    def handle_databases(self, aliases: Sequence[str], left_alone: Mapping[str, str], options: dict[str, Any]) -> int:
        if options["plan"] is not None:
            return self.run_saved_plans(options)
        return super().handle_databases(aliases, left_alone, options)

    def handle_database(self, alias: str, models: Models | Selection, options: dict[str, Any]) -> int:
        arguments = {
            "using": alias,
            "renames": self.read_pairs("--rename", "OLD=NEW", options["rename"]),
            "defaults": self.read_pairs("--default", "FIELD=VALUE", options["default"]),
            "accept_data_loss": options["accept_data_loss"],
            "count_timeout": options["count_timeout"],
            "prune": options["prune"],
        }
        if options["check"] or options["dry_run"]:
            return self.dry_run(models, arguments, options)
        started = time.perf_counter()
        plan = autoupdate(models, **arguments, **self.run_options(options), ask=self.questioner(options))
        self.show(plan, options, done=True, seconds=time.perf_counter() - started)
        return 0

    def questioner(self, options: dict[str, Any]) -> TerminalQuestioner | None:
        """Return what asks questions, where somebody is there to answer them."""
        asks = options["interactive"] and options["format"] == "text" and sys.stdin is not None and sys.stdin.isatty()
        return TerminalQuestioner(self.bare_stderr) if asks else None

    def run_saved_plans(self, options: dict[str, Any]) -> int:
        """Carry out a saved plan, or the plans of several databases."""
        beside = [option for option, name in DECIDED_BY_PLAN.items() if options[name]]
        if options["labels"] or beside:
            given = ", ".join([*options["labels"], *beside])
            raise CommandError(f"--plan decides alone what is done: leave out {given}.", returncode=FAILED)
        text = self.read_file(options["plan"])
        with self.naming_file(options["plan"]):
            values = parse(text)
            if not is_several(values):
                return self.run_saved_plan(values, options)
            saved = read_plans(values)
            selections = select_saved(saved)
        jobs = {
            alias: partial(self.run_one_plan, saved[alias], selection, options)
            for alias, selection in selections.items()
        }
        return SeveralDatabases(self, options, {}).run(jobs)

    def run_saved_plan(self, values: Any, options: dict[str, Any]) -> int:
        """Carry out the saved plan of one database."""
        saved = read_plan(values)
        with self.convert_errors(options["format"], describe_databases([saved.alias])):
            run = partial(run_plan, values, count_timeout=options["count_timeout"], **self.run_options(options))
            return self.run_and_show(run, options)

    def run_one_plan(self, saved: SavedPlan, selection: Selection, options: dict[str, Any]) -> int:
        """Carry out the saved plan of one of several databases."""
        run = Options(count_timeout=options["count_timeout"], **self.run_options(options))
        return self.run_and_show(partial(carry_out, saved, selection, run), options)

    def run_and_show(self, run: Callable[[], Plan], options: dict[str, Any]) -> int:
        """Carry out one saved plan and show it."""
        started = time.perf_counter()
        with self.naming_file(options["plan"]):
            plan = run()
        self.show(plan, options, done=True, seconds=time.perf_counter() - started)
        return 0

    @contextmanager
    def naming_file(self, file: str) -> Iterator[None]:
        """Turn an error about the plan into one that names the file."""
        try:
            yield
        except UnusablePlan as error:
            raise CommandError(f"--plan {file}: {error}", returncode=FAILED) from error

    def read_file(self, name: str) -> str:
        """Return the text of a file, or of stdin for "-". Raises `CommandError` where there is none to read."""
        try:
            return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"--plan {name}: cannot be read: {error}.", returncode=FAILED) from error

    def dry_run(self, models: Models | Selection, arguments: dict[str, Any], options: dict[str, Any]) -> int:
        """Show what differs and change nothing; return the exit status, which with --check is that of a difference."""
        plan = make_plan(models, **arguments)
        self.show(plan, options, done=False)
        if options["check"]:
            return DIFFERENT if plan else 0
        if plan.refused:
            self.exit_refused(plan, options)
        return 0

    def read_pairs(self, option: str, shape: str, given: list[str]) -> dict[str, str]:
        """Return the arguments of an option that takes OLD=NEW as a mapping. Raises `CommandError` for others."""
        values = {}
        for argument in given:
            name, equals, value = argument.partition("=")
            if not equals or not name or (option == "--rename" and not value):
                raise CommandError(f"{option} {argument}: expected {shape}.", returncode=FAILED)
            values[name] = value
        return values
