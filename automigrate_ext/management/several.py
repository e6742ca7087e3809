"""A command's work on several databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db.utils import Error as DatabaseError

from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.management.exit_status import FAILED, worst
from automigrate_ext.management.formats import CI_FORMATS, GITLAB
from automigrate_ext.words import plural

if TYPE_CHECKING:
    from automigrate_ext.management.base import SchemaCommand


class LeftAlone(Exception):
    """Nothing is to be done in a database, for the reason given."""


def describe_databases(aliases: Sequence[str]) -> str:
    """Return some databases as messages name them."""
    return f"{'Database' if len(aliases) == 1 else 'Databases'} {', '.join(map(repr, aliases))}"


@contextmanager
def without_traceback(where: str) -> Iterator[None]:
    """Turn an error of the project's own code, such as a receiver of `post_migrate`, into one line.

    `where` names the databases. Errors that have a message of their own pass.
    """
    try:
        yield
    except (AutomigrateError, CommandError, DatabaseError, ImproperlyConfigured, BrokenPipeError, LeftAlone):
        raise
    except Exception as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        raise CommandError(f"{where}: {words}. --traceback shows where.", returncode=FAILED) from error


class SeveralDatabases:
    """Runs a command on several databases, one after the other, and names each in all that is printed about it."""

    def __init__(self, command: SchemaCommand, options: dict[str, Any], left_alone: Mapping[str, str]) -> None:
        self.command = command
        self.options = options
        self.format = options["format"]
        self.verbosity = options["verbosity"]
        self.set_aside = left_alone
        self.left_alone: dict[str, str] = {}
        self.statuses: dict[str, int] = {}

    def run(self, jobs: Mapping[str, Callable[[], int]]) -> int:
        """Run the jobs, one for each alias; return the exit status of all. Raises `CommandError` where one failed."""
        command = self.command
        command.entries = [] if self.format == "json" else None
        command.findings = [] if self.format == GITLAB else None
        try:
            for alias, reason in self.set_aside.items():
                self.leave_alone(alias, reason)
            for alias, job in jobs.items():
                self.statuses[alias] = self.run_one(alias, job)
        except SystemExit:
            self.print_not_begun(jobs)
            raise
        finally:
            self.print_together()
        failed = [alias for alias, status in self.statuses.items() if status == FAILED]
        if failed:
            number = plural(len(self.statuses.keys() - self.left_alone.keys()), "database")
            raise CommandError(
                f"Failed or refused: {len(failed)} of {number} ({', '.join(failed)}).", returncode=FAILED
            )
        return worst(self.statuses.values())

    def run_one(self, alias: str, job: Callable[[], int]) -> int:
        """Run the job of one database; return its exit status."""
        self.print_heading(alias)
        with self.labelled(alias):
            try:
                where = describe_databases([alias])
                with self.command.convert_errors(self.format, where), without_traceback(where):
                    return job()
            except LeftAlone as reason:
                self.leave_alone(alias, str(reason))
                return 0
            except CommandError as error:
                self.command.stderr.write(str(error))
                self.add_entry(alias, str(error))
                if self.format in CI_FORMATS and error.__cause__ is not None:
                    # A plan that is refused, and has been shown, has no other error as its cause.
                    self.command.printer.annotations(self.options).show((), {alias: str(error)})
                return FAILED

    def print_heading(self, alias: str) -> None:
        """Print which database comes now, in text and in a script."""
        heading = f"Database {alias!r}"
        if self.format == "sql":
            self.command.printer.write_comment(heading)
        elif self.format == "text" and self.verbosity:
            self.command.stdout.write(heading, self.command.style.MIGRATE_HEADING)
            self.command.stdout.flush()

    @contextmanager
    def labelled(self, alias: str) -> Iterator[None]:
        """Begin every line on stderr with the alias while the block runs."""
        stderr: Any = self.command.stderr
        stream = stderr._out
        stderr._out = LabelledStream(stream, f"[{alias}] ")
        self.command.progress_display.label = f"[{alias}] "
        try:
            yield
        finally:
            stderr._out = stream

    def leave_alone(self, alias: str, reason: str) -> None:
        """Print that nothing is done in a database, and why."""
        self.left_alone[alias] = reason
        if self.verbosity:
            self.command.stderr.write(f"Database {alias!r} is left alone: {reason}.", self.command.style.NOTICE)

    def add_entry(self, alias: str, error: str) -> None:
        """Add an entry to the JSON for a database that failed before it had a plan."""
        entries = self.command.entries
        if entries is not None and not any(entry["database"] == alias for entry in entries):
            entries.append({"database": alias, "error": error})

    def print_together(self) -> None:
        """Print the one JSON document of all databases, or the one report of all findings."""
        findings, self.command.findings = self.command.findings, None
        if findings is not None:
            self.command.printer.write_findings(findings, self.options)
        entries, self.command.entries = self.command.entries, None
        if entries is not None:
            self.command.printer.write_several(entries, self.left_alone)

    def print_not_begun(self, jobs: Mapping[str, Callable[[], int]]) -> None:
        """Print which databases the run had not begun before Ctrl-C."""
        current = next(alias for alias in jobs if alias not in self.statuses)
        rest = [repr(alias) for alias in jobs if alias not in self.statuses and alias != current]
        if rest:
            self.command.stderr.write(f"Not begun: {', '.join(rest)}.")


class LabelledStream:
    """A stream that puts a label before every line."""

    def __init__(self, stream: TextIO, label: str) -> None:
        self._stream = stream
        self._label = label

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write whole lines, or a question whose answer stays on its line."""
        lines = text.splitlines(keepends=True)
        return self._stream.write("".join(f"{self._label}{line}" for line in lines))
