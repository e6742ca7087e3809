"""Prints plans, and what became of them, on the streams of a command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, cast

from django.core.management.base import CommandError, OutputWrapper

from automigrate_ext.exceptions import AutomigrateError, Interrupted, Refused
from automigrate_ext.management.exit_status import FAILED
from automigrate_ext.management.formats import CI_FORMATS
from automigrate_ext.plan import text
from automigrate_ext.plan.plan import Plan, comment, failure_dict, loss_dict, several_dict

if TYPE_CHECKING:
    from automigrate_ext.management.annotations import Annotations
    from automigrate_ext.management.base import SchemaCommand
    from automigrate_ext.plan.findings import Finding


class PlanPrinter:
    """Prints plans for one command."""

    def __init__(self, command: SchemaCommand) -> None:
        self.command = command
        self.stdout, self.stderr = command.stdout, command.stderr

    def show(
        self, plan: Plan, options: dict[str, Any], *, done: bool, seconds: float | None = None, seen: bool = False
    ) -> None:
        """Print the plan in the format asked for; with `seen` its lines stand on the same terminal already."""
        if options["format"] == "json":
            self.command.write_json(plan.as_dict())
        elif options["format"] == "sql":
            self.stdout.write(plan.sql(), ending="")
        elif options["format"] in CI_FORMATS:
            self.annotations(options).show([plan])
        elif options["verbosity"]:
            if not (seen and self.stdout.isatty() and self.stderr.isatty()):
                self.print_plan(plan, options["verbosity"], done=done, stream=self.stdout)
            self.stdout.write(text.summary(plan, done=done, seconds=seconds))
            for note in plan.notes:
                self.stderr.write(note, self.command.style.NOTICE)
            if not plan.tables and not plan.notes:
                self.stderr.write(f"No model that was named or found has its table in database {plan.alias!r}.")

    def annotations(self, options: dict[str, Any]) -> Annotations:
        """Return what prints plans as findings in the project's files."""
        # Few plans are shown so, and the project's files are parsed for that.
        from automigrate_ext.management.annotations import Annotations

        return Annotations(self.command, options)

    def show_losses(self, plan: Plan, rows: Mapping[str, int]) -> None:
        """Print a plan of `automigrate` as JSON, with the number of rows that each table would lose."""
        self.command.write_json(loss_dict(plan, rows))

    def print_plan(self, plan: Plan, verbosity: int, *, done: bool, stream: OutputWrapper) -> None:
        """Print the plan on a stream, line by line, or as a tree in colours where that is a terminal that has them."""
        if self.command.has_colours(stream):
            # rich takes longer to load than most runs take.
            from automigrate_ext.management.rich_output import print_plan

            print_plan(plan, cast(IO[str], stream._out), verbosity=verbosity, done=done)
        else:
            for line in text.lines(plan, verbosity=verbosity, done=done):
                stream.write(str(line), str)

    def exit_refused(self, plan: Plan, options: dict[str, Any]) -> None:
        """Raise `CommandError` because of what the plan refuses; in text, the reasons were shown with the plan."""
        shown = options["format"] == "text" and options["verbosity"]
        raise CommandError("Nothing was done." if shown else text.why_refused(plan), returncode=FAILED)

    def report_refusal(self, refused: Refused, output_format: str) -> str:
        """Return the message about a refused run; print the reasons as a tree where the terminal has colours."""
        if output_format == "json":
            self.command.write_json(refused.plan.as_dict())
        if output_format != "text" or not self.command.has_colours(self.stderr):
            return text.why_refused(refused.plan)
        # As in `print_plan`.
        from automigrate_ext.management.rich_output import print_refusal

        print_refusal(refused.plan, self.command.bare_stderr)
        return text.summary(refused.plan, done=True)

    def write_failure(self, error: AutomigrateError | Interrupted) -> None:
        """Write the plan of a run that failed as JSON, if it had one."""
        if error.plan is not None:
            self.command.write_json(failure_dict(error.plan, str(error), error.applied, error.pending))

    def write_findings(self, findings: Sequence[Finding], options: dict[str, Any]) -> None:
        """Write the one report of the findings of several databases."""
        self.annotations(options).write_report(findings)

    def write_comment(self, words: str) -> None:
        """Write a comment into a script of SQL."""
        self.stdout.write(comment(words))

    def write_several(self, entries: Sequence[dict[str, Any]], left_alone: dict[str, str]) -> None:
        """Write the one JSON document of several databases."""
        self.command.write_json(several_dict(entries, left_alone))
