"""The base class of the two commands: arguments, output, errors."""

from __future__ import annotations

import argparse
import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, cast

from django.core.checks import Tags
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
    OutputWrapper,
    SystemCheckError,
)
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import Error as DatabaseError

from automigrate_ext import conf
from automigrate_ext.api import select_all
from automigrate_ext.declared.selection import Models, Selection
from automigrate_ext.exceptions import AutomigrateError, Interrupted, Refused
from automigrate_ext.management import fleet
from automigrate_ext.management.exit_status import FAILED, INTERRUPTED
from automigrate_ext.management.progress_display import ProgressDisplay
from automigrate_ext.management.provision import Provision
from automigrate_ext.management.several import LeftAlone, SeveralDatabases, describe_databases, without_traceback
from automigrate_ext.management.values import database, seconds
from automigrate_ext.process import run_under_way, started_by
from automigrate_ext.run.several import set_aside, why_left_alone
from automigrate_ext.waiting import await_database, connect, ignore_message
from automigrate_ext.words import did_you_mean

if TYPE_CHECKING:
    from automigrate_ext.fleet.targets import Target
    from automigrate_ext.management.plan_printer import PlanPrinter
    from automigrate_ext.plan.findings import Finding

#: The tags of the system checks that run before a command. Django's others concern what serves requests: those of URLs,
#: of the admin and of templates import the project's URL configuration, and with it most of its code.
CHECKED = (Tags.models, Tags.database, conf.CHECKS_TAG)


class Parser(CommandParser):
    """Reports what is wrong with a command line in one line, without the list of all options."""

    def error(self, message: str) -> NoReturn:
        """Print the message with a guess at what was meant, and exit; for a caller in Python raise `CommandError`."""
        unknown = message.partition("unrecognized arguments: ")[2].split()
        options = [option for option in self._option_string_actions if option.startswith("--")]
        hint = did_you_mean(unknown[0].partition("=")[0], options) if unknown else ""
        text = f"{message.removesuffix('.')}.{hint}"
        if not self.called_from_command_line:
            super().error(text)
        self.exit(FAILED, f"{self.prog}: {text} --help lists all options.\n")


class ExampleFormatter(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps Django's order of options, and the line breaks of examples."""


class SchemaCommand(BaseCommand):
    """A command that takes model labels and prints a plan."""

    requires_system_checks = ()
    examples = ""
    #: The results of the databases so far, where there are several and the output is JSON.
    entries: list[dict[str, Any]] | None = None
    #: The findings of the databases so far, where there are several and one report of all is to be printed.
    findings: list[Finding] | None = None
    #: The formats in which the command shows plans.
    formats: tuple[str, ...] = ("text", "sql", "json")
    formats_help = "The format of the plan: text for people, a script of SQL, or JSON."
    progress_display: ProgressDisplay

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(
            prog_name, subcommand, formatter_class=ExampleFormatter, epilog=self.examples, **kwargs
        )
        # Django has no place for another class of parsers.
        parser.__class__ = Parser
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "labels",
            nargs="*",
            metavar="LABEL",
            help='An app ("todo") or a model ("todo.Todo", or "Todo" if that is unique). If left out: all models.',
        )
        parser.add_argument(
            "--database",
            action="append",
            type=database,
            metavar="ALIAS",
            help='The database to work on. May be repeated. If left out: "default".',
        )
        parser.add_argument(
            "--all-databases",
            action="store_true",
            help="Work on all databases, except replicas and those to which no model is routed.",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Show exactly what a run would do, and change nothing."
        )
        parser.add_argument(
            "--format",
            choices=self.formats,
            default="text",
            help=self.formats_help,
        )
        parser.add_argument(
            "--noinput", "--no-input", action="store_false", dest="interactive", help="Ask no questions."
        )
        parser.add_argument(
            "--record-migrations",
            action=argparse.BooleanOptionalAction,
            help="Mark the migrations on disk as applied, so that a later migrate finds nothing to do. If left out, "
            "AUTOMIGRATE['RECORD_MIGRATIONS'] decides: by default in databases in which no migration was ever run.",
        )
        parser.add_argument(
            "--lock-wait",
            type=seconds,
            metavar="SECONDS",
            help="How long to wait for another run on the database. 0: not at all. If left out: without end.",
        )
        parser.add_argument(
            "--lock-timeout",
            type=seconds,
            metavar="SECONDS",
            help="How long to wait for sessions that use the tables. 0: not at all. If left out, the database's own "
            "settings decide.",
        )
        parser.add_argument(
            "--wait-for-db",
            type=seconds,
            metavar="SECONDS",
            help="How long to wait for a database that cannot be reached yet. If left out, AUTOMIGRATE['WAIT_FOR_DB'] "
            "decides, or it does not wait.",
        )
        parser.add_argument(
            "--create-database",
            action="store_true",
            help="Create the database first if its server has none of that name. If left out, a terminal asks.",
        )
        parser.add_argument(
            "--skip-checks", action="store_true", help="Skip the system checks of models and databases."
        )
        fleet.add_arguments(parser)

    def execute(self, *args: Any, **options: Any) -> Any:
        # Django itself reads --no-color and looks for a terminal, but reads neither NO_COLOR nor TERM=dumb.
        if not options["force_color"] and (os.environ.get("NO_COLOR") or is_dumb()):
            options["no_color"] = True
        self.progress_display = ProgressDisplay(self.bare_stderr, colour=not options["no_color"])
        with started_by("command"):
            return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        if fleet.are_targets(options):
            self.handle_fleet(fleet.FleetCommand(self, options), options)
            return
        aliases, left_alone = self.databases(options)
        where = describe_databases(aliases)
        with self.convert_errors(options["format"], where), without_traceback(where):
            self.make_sure(aliases, options)
            status = self.handle_databases(aliases, left_alone, options)
        if status:
            sys.exit(status)

    def handle_fleet(self, work: fleet.FleetCommand, options: dict[str, Any]) -> None:
        """Do the command's work on many targets; exit with the status of all."""
        where = "The targets"
        with self.convert_errors(options["format"], where), without_traceback(where):
            targets = work.targets()
            aliases = list(dict.fromkeys(target.alias for target in targets if target.settings is None))
            self.make_sure(aliases, options)
            status = self.handle_targets(work, targets, options)
        if status:
            sys.exit(status)

    def make_sure(self, aliases: Sequence[str], options: dict[str, Any]) -> None:
        """Wait for the databases and run the system checks. Raises as these do."""
        self.await_databases(aliases, options)
        if not options["skip_checks"]:
            self.run_checks(aliases)

    def handle_targets(self, work: fleet.FleetCommand, targets: Sequence[Target], options: dict[str, Any]) -> int:
        """Do the command's work on many targets; return the exit status."""
        raise NotImplementedError

    def databases(self, options: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
        """Return the databases to work on, and those that the settings exclude, each with the reason."""
        named = options["database"] or []
        named = [named] if isinstance(named, str) else named
        if not options["all_databases"]:
            return list(dict.fromkeys(named)) or [DEFAULT_DB_ALIAS], {}
        if named:
            raise CommandError("--all-databases and --database cannot be given together.", returncode=FAILED)
        left_alone = set_aside()
        return [alias for alias in connections if alias not in left_alone], left_alone

    def await_databases(self, aliases: Sequence[str], options: dict[str, Any]) -> None:
        """Wait for databases that cannot be reached yet, and create those that do not exist, if that is wanted.

        Raises the error of a database that stays unreachable where it is the only one; of several, each fails later,
        when its turn comes.
        """
        given = options["wait_for_db"]
        limit = conf.wait_for_db() if given is None else given
        provision = Provision(command=self, options=options)
        for alias in aliases:
            try:
                await_database(alias, limit, self.notify if options["verbosity"] else ignore_message, provision.connect)
            except DatabaseError as error:
                if len(aliases) == 1:
                    provision.explain(alias, error)
                    raise
            except (AutomigrateError, CommandError) as error:
                if len(aliases) == 1:
                    raise
                self.stderr.write(str(error))

    def run_checks(self, aliases: Sequence[str]) -> None:
        """Run the system checks of what the command reads: the models, the databases and the package's own settings.

        Raises `SystemCheckError` with the exit status of a failure, because Django's own, 1, is that of a difference.
        """
        try:
            with run_under_way():
                self.check(tags=CHECKED, databases=aliases)
        except SystemCheckError as error:
            error.returncode = FAILED
            raise
        except (TypeError, ValueError):
            for alias in aliases:
                connect(connections[alias])
            raise

    def handle_databases(self, aliases: Sequence[str], left_alone: Mapping[str, str], options: dict[str, Any]) -> int:
        """Do the command's work on one database or on several; return the exit status."""
        labels = options["labels"] or None
        if len(aliases) == 1 and not options["all_databases"]:
            return self.handle_database(aliases[0], labels, options)
        jobs = {
            alias: partial(self.handle_unless_left_alone, selection, options)
            for alias, selection in select_all(labels, aliases).items()
        }
        return SeveralDatabases(self, options, left_alone).run(jobs)

    def handle_unless_left_alone(self, selection: Selection, options: dict[str, Any]) -> int:
        """Work on one of several databases; return the exit status.

        Raises `LeftAlone` where the database was not named and nothing is to be done in it.
        """
        reason = why_left_alone(selection) if options["all_databases"] else ""
        if reason:
            raise LeftAlone(reason)
        return self.handle_database(selection.alias, selection, options)

    def handle_database(self, alias: str, models: Models | Selection, options: dict[str, Any]) -> int:
        """Do the command's work on one database; return the exit status."""
        raise NotImplementedError

    @contextmanager
    def convert_errors(self, output_format: str, where: str) -> Iterator[None]:
        """Turn errors of the block into one message and an exit status.

        `where` names the databases in messages of Django's own errors, which do not.
        """
        try:
            try:
                yield
            finally:
                self.progress_display.hide()
            self.stdout.flush()
        except Refused as refused:
            raise CommandError(self.printer.report_refusal(refused, output_format), returncode=FAILED) from refused
        except (DatabaseError, ImproperlyConfigured) as error:
            raise CommandError(f"{where}: {' '.join(str(error).split())}", returncode=FAILED) from error
        except BrokenPipeError:
            # The reader has closed the pipe. Python would flush the rest as it exits, and fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(FAILED)
        except AutomigrateError as error:
            if output_format == "json":
                self.printer.write_failure(error)
            raise CommandError(" ".join(str(error).split("\n")), returncode=FAILED) from error
        except Interrupted as error:
            if output_format == "json":
                self.printer.write_failure(error)
            self.stderr.write(str(error))
            sys.exit(INTERRUPTED)
        except KeyboardInterrupt:
            self.stderr.write("Interrupted; nothing was changed.")
            sys.exit(INTERRUPTED)

    def write_json(self, values: dict[str, Any]) -> None:
        """Print the result of one database; where there are several, keep it for the one document at the end."""
        if self.entries is None:
            self.stdout.write(json.dumps(values, indent=2))
        else:
            self.entries.append(values)

    @property
    def printer(self) -> PlanPrinter:
        """What prints plans."""
        # A command that has no plan to print does not wait for what plans are made of.
        from automigrate_ext.management.plan_printer import PlanPrinter

        return PlanPrinter(self)

    def has_colours(self, stream: OutputWrapper) -> bool:
        """Return whether a stream is a terminal with colours."""
        return self.style.SUCCESS("x") != "x" and stream.isatty()

    @property
    def bare_stderr(self) -> TextIO:
        """The stream below stderr, without the colour of errors that Django puts around everything."""
        return cast(TextIO, self.stderr._out)

    def shows_progress(self, options: dict[str, Any]) -> bool:
        """Return whether to show progress: stderr is a terminal that can show it, and output is not switched off."""
        return bool(options["verbosity"]) and self.stderr.isatty() and not is_dumb()

    def can_ask(self, options: Mapping[str, Any]) -> bool:
        """Return whether somebody is there to answer a question, and has not asked for none."""
        asks = options["interactive"] and options["format"] == "text"
        return asks and sys.stdin is not None and sys.stdin.isatty()

    def ask(self, question: str) -> str:
        """Print a question on stderr and return the answer.

        Raises `CommandError` where stdin has ended, so that nobody can answer.
        """
        self.stderr.write(question, self.style.NOTICE, ending=" ")
        try:
            return input()
        except EOFError:
            raise CommandError(
                "There is nobody to answer. Pass --noinput to go on without questions.", returncode=FAILED
            ) from None

    def run_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options of a run that both commands take."""
        return {
            "record_migrations": options["record_migrations"],
            "verbosity": self.signal_verbosity(options),
            "interactive": options["interactive"],
            "stdout": self.stderr,
            "lock_wait": options["lock_wait"],
            "lock_timeout": options["lock_timeout"],
            "notify": self.notify if options["verbosity"] else None,
            "progress": self.progress_display if self.shows_progress(options) else None,
        }

    def notify(self, message: str) -> None:
        """Print on stderr what a run waits for, or could not write."""
        self.progress_display.hide()
        self.stderr.write(message, self.style.WARNING)

    def signal_verbosity(self, options: dict[str, Any]) -> int:
        """Return how much receivers of signals may print: nothing into output for a machine."""
        return int(options["verbosity"]) if options["format"] == "text" else 0


def is_dumb() -> bool:
    """Return whether the terminal, if there is one, can do no more than print."""
    return os.environ.get("TERM") == "dumb"
