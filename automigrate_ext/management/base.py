"""What the two commands have in common: arguments, output, errors, exit statuses."""

from __future__ import annotations

import argparse
import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import IO, Any, TextIO, cast

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
from automigrate_ext.exceptions import AutomigrateError, Refused
from automigrate_ext.management.progress import ProgressBar
from automigrate_ext.plan import text
from automigrate_ext.plan.plan import Plan, comment, failure_dict, several_dict
from automigrate_ext.process import run_under_way
from automigrate_ext.run.execute import refusal
from automigrate_ext.run.several import set_aside, why_left_alone
from automigrate_ext.schema.changes import plural
from automigrate_ext.waiting import await_database, tell_nobody

#: Exit statuses; see docs/reference.md.
DIFFERENT, FAILED, INTERRUPTED = 1, 2, 130


class LeftAlone(Exception):
    """Nothing is to be done in a database, for the reason given."""


class ExampleFormatter(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Django's order of options, and examples as they are written."""


class SchemaCommand(BaseCommand):
    """A command that takes model labels and prints a plan."""

    requires_system_checks = ()
    examples = ""
    #: What came of the databases so far, where there are several and the output is JSON.
    entries: list[dict[str, Any]] | None = None
    bar: ProgressBar

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(
            prog_name, subcommand, formatter_class=ExampleFormatter, epilog=self.examples, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "labels",
            nargs="*",
            metavar="LABEL",
            help='An app ("todo") or a model ("todo.Todo", or "Todo" where that is unique); all models if left out.',
        )
        parser.add_argument(
            "--database",
            action="append",
            choices=tuple(connections),
            help='The database to work on, "default" if left out; may be repeated.',
        )
        parser.add_argument(
            "--all-databases",
            action="store_true",
            help="Work on all databases but replicas and those that none of the models is routed to.",
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
            help="How long to wait for another run on the database: 0 is not at all, without end if left out.",
        )
        parser.add_argument(
            "--lock-timeout",
            type=float,
            metavar="SECONDS",
            help="How long to wait for sessions that use the tables: 0 is not at all, as the database is set up if "
            "left out.",
        )
        parser.add_argument(
            "--wait-for-db",
            type=seconds,
            metavar="SECONDS",
            help="How long to wait for a database that cannot be reached yet. As AUTOMIGRATE['WAIT_FOR_DB'] says, or "
            "else not at all, if left out.",
        )
        parser.add_argument("--skip-checks", action="store_true", help="Skip the system checks.")

    def execute(self, *args: Any, **options: Any) -> Any:
        # Django itself knows --no-color and terminals, but not what terminals agreed on besides.
        if not options["force_color"] and (os.environ.get("NO_COLOR") or is_dumb()):
            options["no_color"] = True
        self.bar = ProgressBar(self.bare_stderr, colour=not options["no_color"])
        return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        aliases, left_alone = self.databases(options)
        with self.errors(options["format"], described(aliases)):
            self.await_databases(aliases, options)
            if not options["skip_checks"]:
                self.run_checks(aliases)
            status = self.start(aliases, left_alone, options)
        if status:
            sys.exit(status)

    def databases(self, options: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
        """The databases to work on, and those that are left alone for what the settings say of them."""
        named = options["database"] or []
        named = [named] if isinstance(named, str) else named
        if not options["all_databases"]:
            return list(dict.fromkeys(named)) or [DEFAULT_DB_ALIAS], {}
        if named:
            raise CommandError("--all-databases and --database cannot be given together.", returncode=FAILED)
        left_alone = set_aside()
        return [alias for alias in connections if alias not in left_alone], left_alone

    def await_databases(self, aliases: Sequence[str], options: dict[str, Any]) -> None:
        """Wait for databases that cannot be reached yet; of several, those that never can fail by themselves later."""
        given = options["wait_for_db"]
        limit = conf.wait_for_db() if given is None else given
        for alias in aliases if limit else ():
            try:
                await_database(alias, limit, self.notify if options["verbosity"] else tell_nobody)
            except DatabaseError:
                if len(aliases) == 1:
                    raise

    def run_checks(self, aliases: Sequence[str]) -> None:
        """Run the system checks; a failure is no difference, and has the exit status of one."""
        try:
            with run_under_way():
                self.check(databases=aliases)
        except SystemCheckError as error:
            error.returncode = FAILED
            raise

    def start(self, aliases: Sequence[str], left_alone: Mapping[str, str], options: dict[str, Any]) -> int:
        """Do what the command is for on one database or on several; returns the exit status."""
        labels = options["labels"] or None
        if len(aliases) == 1 and not options["all_databases"]:
            return self.work(aliases[0], labels, options)
        jobs = {
            alias: partial(self.work_unless_left_alone, selection, options)
            for alias, selection in select_all(labels, aliases).items()
        }
        return Several(self, options, left_alone).run(jobs)

    def work_unless_left_alone(self, selection: Selection, options: dict[str, Any]) -> int:
        """Work on one of several databases. Raises `LeftAlone` where it was not named and nothing is to be done."""
        reason = why_left_alone(selection) if options["all_databases"] else ""
        if reason:
            raise LeftAlone(reason)
        return self.work(selection.alias, selection, options)

    def work(self, alias: str, models: Models | Selection, options: dict[str, Any]) -> int:
        """Do what the command is for on one database; returns the exit status."""
        raise NotImplementedError

    @contextmanager
    def errors(self, output_format: str, where: str) -> Iterator[None]:
        """Turn errors into one message and an exit status; `where` says of which database Django's own are."""
        try:
            try:
                yield
            finally:
                self.bar.hide()
            self.stdout.flush()
        except Refused as refused:
            if output_format == "json":
                self.write_json(refused.plan.as_dict())
            raise CommandError(self.tell_refusal(refused, output_format), returncode=FAILED) from refused
        except (DatabaseError, ImproperlyConfigured) as error:
            raise CommandError(f"{where}: {' '.join(str(error).split())}", returncode=FAILED) from error
        except BrokenPipeError:
            # Whoever read the output has seen enough; Python would flush the rest at its end, and fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(FAILED)
        except AutomigrateError as error:
            if output_format == "json" and error.plan is not None:
                self.write_json(failure_dict(error.plan, str(error), error.applied, error.pending))
            raise CommandError(" ".join(str(error).split("\n")), returncode=FAILED) from error
        except KeyboardInterrupt:
            self.stderr.write("Interrupted; nothing was changed.")
            sys.exit(INTERRUPTED)

    def tell_refusal(self, refused: Refused, output_format: str) -> str:
        """The message about a refused run; where the terminal has colours the reasons are printed as a tree."""
        if output_format != "text" or not self.colours(self.stderr):
            return str(refused)
        # rich takes longer to load than most runs take.
        from automigrate_ext.management.terminal import print_refusal

        print_refusal(refused.plan, self.bare_stderr)
        return text.summary(refused.plan, done=True)

    def write_json(self, values: dict[str, Any]) -> None:
        """Print what came of one database; of several, it becomes part of the one document at the end."""
        if self.entries is None:
            self.stdout.write(json.dumps(values, indent=2))
        else:
            self.entries.append(values)

    def show(self, plan: Plan, options: dict[str, Any], *, done: bool, seconds: float | None = None) -> None:
        """Print the plan in the format asked for."""
        if options["format"] == "json":
            self.write_json(plan.as_dict())
        elif options["format"] == "sql":
            self.stdout.write(plan.sql(), ending="")
        elif options["verbosity"]:
            self.print_plan(plan, options["verbosity"], done=done)
            self.stdout.write(text.summary(plan, done=done, seconds=seconds))
            for note in plan.notes:
                self.stderr.write(note, self.style.NOTICE)
            if not plan.tables and not plan.notes:
                self.stderr.write(f"No model that was named or found has its table in database {plan.alias!r}.")

    def exit_refused(self, plan: Plan, options: dict[str, Any]) -> None:
        """Exit because of what the plan refuses; the reasons were shown with it in text."""
        shown = options["format"] == "text" and options["verbosity"]
        raise CommandError("Nothing was done." if shown else refusal(plan), returncode=FAILED)

    def print_plan(self, plan: Plan, verbosity: int, *, done: bool) -> None:
        """Print the plan line by line, or as a tree in colours where the terminal has them."""
        if self.colours(self.stdout):
            # As in `tell_refusal`: a run that finds nothing to do does not wait for rich.
            from automigrate_ext.management.terminal import print_plan

            print_plan(plan, cast(IO[str], self.stdout), verbosity=verbosity, done=done)
        else:
            for line in text.lines(plan, verbosity=verbosity, done=done):
                self.stdout.write(str(line))

    def colours(self, stream: OutputWrapper) -> bool:
        """Whether a stream is a terminal with colours."""
        return self.style.SUCCESS("x") != "x" and stream.isatty()

    @property
    def bare_stderr(self) -> TextIO:
        """Where stderr goes, without the colour of errors that Django puts around everything."""
        return cast(TextIO, self.stderr._out)

    def shows_progress(self, options: dict[str, Any]) -> bool:
        """Whether there is a terminal that can show how far a run is, and somebody who wants to know."""
        return bool(options["verbosity"]) and self.stderr.isatty() and not is_dumb()

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
            "progress": self.bar if self.shows_progress(options) else None,
        }

    def notify(self, message: str) -> None:
        """Say on stderr what a run waits for, or could not write."""
        self.bar.hide()
        self.stderr.write(message, self.style.WARNING)

    def signal_verbosity(self, options: dict[str, Any]) -> int:
        """How much receivers of signals may print: nothing into a machine's output."""
        return int(options["verbosity"]) if options["format"] == "text" else 0


def seconds(text: str) -> float:
    """What an option takes as seconds. Raises `ArgumentTypeError`."""
    try:
        if (number := float(text)) >= 0:
            return number
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected a number of seconds, 0 or more, and not {text!r}")


def is_dumb() -> bool:
    """Whether a terminal, if there is one, can do no more than print."""
    return os.environ.get("TERM") == "dumb"


def described(aliases: Sequence[str]) -> str:
    """What messages call some databases."""
    return f"{'Database' if len(aliases) == 1 else 'Databases'} {', '.join(map(repr, aliases))}"


class Several:
    """A command's work on several databases, one after the other, each named wherever something is said of it."""

    def __init__(self, command: SchemaCommand, options: dict[str, Any], left_alone: Mapping[str, str]) -> None:
        self.command = command
        self.format = options["format"]
        self.verbosity = options["verbosity"]
        self.set_aside = left_alone
        self.left_alone: dict[str, str] = {}
        self.statuses: dict[str, int] = {}

    def run(self, jobs: Mapping[str, Callable[[], int]]) -> int:
        """Do the jobs by alias; returns the exit status of all. Raises `CommandError` where one failed."""
        command = self.command
        command.entries = [] if self.format == "json" else None
        try:
            for alias, reason in self.set_aside.items():
                self.leave_alone(alias, reason)
            for alias, job in jobs.items():
                self.statuses[alias] = self.one(alias, job)
        except SystemExit:
            self.tell_not_begun(jobs)
            raise
        finally:
            self.print_json()
        failed = [alias for alias, status in self.statuses.items() if status == FAILED]
        if failed:
            number = plural(len(self.statuses.keys() - self.left_alone.keys()), "database")
            raise CommandError(
                f"Failed or refused: {len(failed)} of {number} ({', '.join(failed)}).", returncode=FAILED
            )
        return max(self.statuses.values(), default=0)

    def one(self, alias: str, job: Callable[[], int]) -> int:
        """Do the job of one database; returns its exit status."""
        self.print_heading(alias)
        with self.labelled(alias):
            try:
                with self.command.errors(self.format, described([alias])):
                    return job()
            except LeftAlone as reason:
                self.leave_alone(alias, str(reason))
                return 0
            except CommandError as error:
                self.command.stderr.write(str(error))
                self.add_entry(alias, str(error))
                return FAILED

    def print_heading(self, alias: str) -> None:
        """Say which database comes now, in text and in a script."""
        heading = f"Database {alias!r}"
        if self.format == "sql":
            self.command.stdout.write(comment(heading))
        elif self.format == "text" and self.verbosity:
            self.command.stdout.write(heading, self.command.style.MIGRATE_HEADING)
            self.command.stdout.flush()

    @contextmanager
    def labelled(self, alias: str) -> Iterator[None]:
        """Begin every line on stderr with the alias."""
        stderr: Any = self.command.stderr
        stream = stderr._out
        stderr._out = Labelled(stream, f"[{alias}] ")
        self.command.bar.label = f"[{alias}] "
        try:
            yield
        finally:
            stderr._out = stream

    def leave_alone(self, alias: str, reason: str) -> None:
        """Say that nothing is done in a database, and why."""
        self.left_alone[alias] = reason
        if self.verbosity:
            self.command.stderr.write(f"Database {alias!r} is left alone: {reason}.", self.command.style.NOTICE)

    def add_entry(self, alias: str, error: str) -> None:
        """Let the JSON have an entry for a database that failed before it had a plan."""
        entries = self.command.entries
        if entries is not None and not any(entry["database"] == alias for entry in entries):
            entries.append({"database": alias, "error": error})

    def print_json(self) -> None:
        """Print the one document of all databases."""
        entries, self.command.entries = self.command.entries, None
        if entries is not None:
            self.command.write_json(several_dict(entries, self.left_alone))

    def tell_not_begun(self, jobs: Mapping[str, Callable[[], int]]) -> None:
        """After Ctrl-C, say which databases the run did not come to."""
        current = next(alias for alias in jobs if alias not in self.statuses)
        rest = [repr(alias) for alias in jobs if alias not in self.statuses and alias != current]
        if rest:
            self.command.stderr.write(f"Not begun: {', '.join(rest)}.")


class Labelled:
    """A stream that begins every line with a label."""

    def __init__(self, stream: TextIO, label: str) -> None:
        self._stream = stream
        self._label = label

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write whole lines, or a question and what stays on its line."""
        lines = text.splitlines(keepends=True)
        return self._stream.write("".join(f"{self._label}{line}" for line in lines))
