"""What the two commands have in common: arguments, output, errors, exit statuses."""

from __future__ import annotations

import argparse
import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
    SystemCheckError,
)
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import Error as DatabaseError

from automigrate_ext import render
from automigrate_ext.exceptions import AutomigrateError, Refused
from automigrate_ext.execute import refusal
from automigrate_ext.plan import Plan, failure_dict

#: Exit statuses; see docs/reference.md.
DIFFERENT, FAILED, INTERRUPTED = 1, 2, 130


class ExampleFormatter(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Django's order of options, and examples as they are written."""


class SchemaCommand(BaseCommand):
    """A command that takes model labels and prints a plan."""

    requires_system_checks = ()
    examples = ""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(
            prog_name, subcommand, formatter_class=ExampleFormatter, epilog=self.examples, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "labels",
            nargs="*",
            metavar="LABEL",
            help='An app ("todo") or a model ("todo.Todo", or "Todo" where that is unique). All models if left out.',
        )
        parser.add_argument(
            "--database",
            default=DEFAULT_DB_ALIAS,
            choices=tuple(connections),
            help='The database to work on. "default" if left out.',
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Show what would be done, to the letter, and do nothing."
        )
        parser.add_argument(
            "--format",
            choices=("text", "sql", "json"),
            default="text",
            help="How to show the plan: text for people, a script of SQL, or JSON.",
        )
        parser.add_argument(
            "--noinput", "--no-input", action="store_false", dest="interactive", help="Ask no questions."
        )
        parser.add_argument(
            "--record-migrations",
            action="store_true",
            help="Mark the migrations on disk as applied, so that a later migrate has nothing to do.",
        )
        parser.add_argument(
            "--lock-wait",
            type=float,
            metavar="SECONDS",
            help="How long to wait for another run on the database; 0 is not at all. Without end if left out.",
        )
        parser.add_argument(
            "--lock-timeout",
            type=float,
            metavar="SECONDS",
            help="How long to wait for sessions that use the tables; 0 is not at all. As the database is set up if "
            "left out.",
        )
        parser.add_argument("--skip-checks", action="store_true", help="Skip the system checks.")

    def handle(self, *args: Any, **options: Any) -> None:
        with self.errors(options["format"], options["database"]):
            if not options["skip_checks"]:
                self.run_checks(options["database"])
            self.work(options)

    def run_checks(self, alias: str) -> None:
        """Run the system checks; a failure is no difference, and has the exit status of one."""
        try:
            self.check(databases=[alias])
        except SystemCheckError as error:
            error.returncode = FAILED
            raise

    def work(self, options: dict[str, Any]) -> None:
        """Do what the command is for."""
        raise NotImplementedError

    @contextmanager
    def errors(self, output_format: str, alias: str) -> Iterator[None]:
        """Turn errors into one message and an exit status."""
        try:
            yield
        except Refused as refused:
            if output_format == "json":
                self.stdout.write(refused.plan.as_json())
            raise CommandError(str(refused), returncode=FAILED) from refused
        except (DatabaseError, ImproperlyConfigured) as error:
            raise CommandError(f"Database {alias!r}: {' '.join(str(error).split())}", returncode=FAILED) from error
        except BrokenPipeError:
            # Whoever read the output has seen enough; Python would flush the rest at its end, and fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(FAILED)
        except AutomigrateError as error:
            if output_format == "json" and error.plan is not None:
                self.stdout.write(
                    json.dumps(failure_dict(error.plan, str(error), error.applied, error.pending), indent=2)
                )
            raise CommandError(" ".join(str(error).split("\n")), returncode=FAILED) from error
        except KeyboardInterrupt:
            self.stderr.write("Interrupted; nothing was changed.")
            sys.exit(INTERRUPTED)

    def show(self, plan: Plan, options: dict[str, Any], *, done: bool, seconds: float | None = None) -> None:
        """Print the plan in the format asked for."""
        if options["format"] == "json":
            self.stdout.write(plan.as_json())
        elif options["format"] == "sql":
            self.stdout.write(plan.sql(), ending="")
        elif options["verbosity"]:
            self.print_lines(plan, options["verbosity"], done=done)
            self.stdout.write(render.summary(plan, done=done, seconds=seconds))
            for note in plan.notes:
                self.stderr.write(note, self.style.NOTICE)
            if not plan.tables:
                self.stderr.write(f"No model that was named or found has its table in database {plan.alias!r}.")

    def exit_refused(self, plan: Plan, options: dict[str, Any]) -> None:
        """Exit because of what the plan refuses; the reasons were shown with it in text."""
        shown = options["format"] == "text" and options["verbosity"]
        raise CommandError("Nothing was done." if shown else refusal(plan), returncode=FAILED)

    def print_lines(self, plan: Plan, verbosity: int, *, done: bool) -> None:
        """Print the plan line by line, in colours where the terminal has them."""
        lines = render.lines(plan, verbosity=verbosity, done=done)
        if self.colours():
            # Only here, because a run that finds nothing to do should not wait for it.
            from automigrate_ext.terminal import print_lines

            print_lines(lines, cast(IO[str], self.stdout))
        else:
            for line in lines:
                self.stdout.write(str(line))

    def colours(self) -> bool:
        """Whether output is coloured: what Django found out from the terminal, --no-color and NO_COLOR."""
        return self.style.SUCCESS("x") != "x" and self.stdout.isatty() and not os.environ.get("NO_COLOR")

    def ask(self, question: str) -> str:
        """Put a question on stderr and read the answer.

        Raises `CommandError` where nobody can answer.
        """
        self.stderr.write(question, self.style.NOTICE, ending=" ")
        try:
            return input()
        except EOFError:
            raise CommandError(
                "There is nobody to answer. Pass --noinput to go on without questions.", returncode=FAILED
            ) from None

    def run_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """What both commands hand on to a run."""
        return {
            "record_migrations": options["record_migrations"],
            "verbosity": self.signal_verbosity(options),
            "interactive": options["interactive"],
            "stdout": self.stderr,
            "lock_wait": options["lock_wait"],
            "lock_timeout": options["lock_timeout"],
            "notify": self.notify if options["verbosity"] else None,
        }

    def notify(self, message: str) -> None:
        """Say on stderr what a run waits for, or could not write."""
        self.stderr.write(message, self.style.WARNING)

    def signal_verbosity(self, options: dict[str, Any]) -> int:
        """How much receivers of signals may print: nothing into a machine's output."""
        return int(options["verbosity"]) if options["format"] == "text" else 0
