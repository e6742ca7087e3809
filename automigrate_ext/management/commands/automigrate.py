"""manage.py automigrate: drop the models' tables and create them again."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import connections

from automigrate_ext.api import automigrate, rows_at_stake
from automigrate_ext.declared.selection import Models, Selection
from automigrate_ext.management.base import SchemaCommand
from automigrate_ext.management.exit_status import FAILED
from automigrate_ext.management.fleet import rows_by_database
from automigrate_ext.words import plural

if TYPE_CHECKING:
    from automigrate_ext.fleet.targets import Target
    from automigrate_ext.management.fleet import FleetCommand


class Command(SchemaCommand):
    """Parses, asks, calls the library, prints, exits."""

    help = "Drops the tables of the models, with all their rows, and creates them again."
    examples = """
examples:
  manage.py automigrate                       all models of the database
  manage.py automigrate todo                  one app
  manage.py automigrate todo.Todo TodoList    two models
  manage.py automigrate --dry-run             show the tables and do nothing
  manage.py automigrate --noinput             ask no question
  manage.py automigrate --confirm shop        rows to lose and DEBUG off

exit status: 0 done, or the question answered with no; 2 refused or failed; 130 interrupted
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--confirm",
            action="append",
            metavar="DATABASE_NAME",
            help="The name of the database. Needed if DEBUG is off and rows would be lost. May be repeated.",
        )
        parser.add_argument(
            "--cascade", action="store_true", help="Drop the views and triggers that depend on the tables, too."
        )

    def handle_databases(self, aliases: Sequence[str], left_alone: Mapping[str, str], options: dict[str, Any]) -> int:
        confirmed = options["confirm"]
        options["confirm"] = [confirmed] if isinstance(confirmed, str) else confirmed or []
        self.forbid_other_names(aliases, options["confirm"])
        return super().handle_databases(aliases, left_alone, options)

    def forbid_other_names(self, aliases: Sequence[str], confirmed: Sequence[str]) -> None:
        """Raise `CommandError` for a name that none of the databases has."""
        names = {alias: name_of(alias) for alias in aliases}
        for given in confirmed:
            if given not in names.values():
                known = ", ".join(f"the database of {alias!r} is {name}" for alias, name in names.items())
                raise CommandError(f"--confirm {given}: {known}. Nothing was done.", returncode=FAILED)

    def handle_targets(self, work: FleetCommand, targets: Sequence[Target], options: dict[str, Any]) -> int:
        labels = options["labels"] or None
        confirmed = options["confirm"]
        options["confirm"] = [confirmed] if isinstance(confirmed, str) else confirmed or []
        arguments = {"targets": targets, "cascade": options["cascade"]}
        if options["dry_run"]:
            return work.finish(partial(automigrate, labels, dry_run=True, **arguments), done=False)
        # Few runs have targets.
        from automigrate_ext.fleet.call import rows_of_targets

        lost = rows_by_database(targets, rows_of_targets(targets, labels))
        if not all(self.may_lose(alias, dict(rows), options) for alias, rows in lost.items()):
            self.stderr.write("Cancelled; nothing was changed.")
            return 0
        call = partial(automigrate, labels, **arguments, **{**self.run_options(options), **work.arguments()})
        call.keywords["progress"] = work.watch if self.shows_progress(options) else None
        return work.finish(call, done=True)

    def handle_database(self, alias: str, models: Models | Selection, options: dict[str, Any]) -> int:
        cascade = options["cascade"]
        if options["dry_run"]:
            plan = automigrate(models, using=alias, cascade=cascade, dry_run=True)
            if options["format"] == "json":
                self.printer.show_losses(plan, rows_at_stake(models, using=alias))
            else:
                self.printer.show(plan, options, done=False)
            if plan.refused:
                self.printer.exit_refused(plan, options)
            return 0
        rows = rows_at_stake(models, using=alias)
        if rows and (plan := automigrate(models, using=alias, cascade=cascade, dry_run=True)).refused:
            self.printer.show(plan, options, done=False)
            self.printer.exit_refused(plan, options)
        if not self.may_lose(alias, rows, options):
            self.stderr.write("Cancelled; nothing was changed.")
            return 0
        started = time.perf_counter()
        plan = automigrate(models, using=alias, cascade=cascade, **self.run_options(options))
        self.printer.show(plan, options, done=True, seconds=time.perf_counter() - started)
        return 0

    def may_lose(self, alias: str, rows: dict[str, int], options: dict[str, Any]) -> bool:
        """Return whether the rows may be lost, after a question where one may be asked.

        Raises `CommandError` where DEBUG is off and --confirm does not have the database's name.
        """
        name = name_of(alias)
        if not rows or name in options["confirm"]:
            return True
        if not settings.DEBUG:
            raise CommandError(
                f"{self.losses(rows)} would be lost, and DEBUG is off. Pass --confirm {name} if that is meant.",
                returncode=FAILED,
            )
        return not options["interactive"] or self.ask_about(rows, name)

    def ask_about(self, rows: dict[str, int], name: str) -> bool:
        """Return whether the user agrees; the question, as that of `flush`, lists what each table would lose."""
        self.stderr.write(
            f"This drops tables of the database {name!r} and creates them again. These rows would be lost:"
        )
        self.print_losses(rows)
        return self.ask("Type 'yes' to go on, anything else to cancel:") == "yes"

    def print_losses(self, rows: dict[str, int]) -> None:
        """Print how many rows each table would lose, as a table where the terminal has colours."""
        if self.has_colours(self.stderr):
            # A run without rows to lose does not wait for rich.
            from automigrate_ext.management.rich_output import print_counts
            from automigrate_ext.plan.text import losses

            print_counts(losses(rows), self.bare_stderr)
            return
        for table, number in rows.items():
            self.stderr.write(f"  {table}: {plural(number, 'row')}", self.style.WARNING)

    def losses(self, rows: dict[str, int]) -> str:
        """Return how many rows of how many tables there are to lose, in words."""
        return f"{plural(sum(rows.values()), 'row')} of {plural(len(rows), 'table')}"


def name_of(alias: str) -> str:
    """Return the name that a database has in the settings."""
    return str(connections[alias].settings_dict["NAME"])
