"""manage.py autoupdate: change tables in place until they match the models."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from automigrate_ext.api import autoupdate, make_plan
from automigrate_ext.management.base import DIFFERENT, FAILED, SchemaCommand


class Command(SchemaCommand):
    """Parses, calls the library, prints, exits."""

    help = "Changes the tables in place until they match the models, and keeps the data."
    examples = """
examples:
  manage.py autoupdate                        all models of the database
  manage.py autoupdate todo                   one app
  manage.py autoupdate todo.Todo TodoList     two models
  manage.py autoupdate --dry-run              show the changes and do nothing
  manage.py autoupdate --dry-run --format sql > changes.sql
  manage.py autoupdate --check                exit status 1 if anything differs
  manage.py autoupdate --rename todo.Todo.title=name
  manage.py autoupdate --default todo.Todo.priority=0

exit status: 0 done or nothing to do, 1 --check found differences, 2 refused or failed
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--check", action="store_true", help="Exit with status 1 if anything differs; do nothing.")
        parser.add_argument(
            "--rename",
            action="append",
            default=[],
            metavar="OLD=NEW",
            help='A field, model, table or column that was renamed, as in "todo.Todo.title=name" or "todo.Todo=Task". '
            "Its values are kept. May be repeated.",
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
            "--prune",
            action="store_true",
            help="Drop columns, constraints and indexes of the models' tables that came from nobody's model.",
        )

    def work(self, options: dict[str, Any]) -> None:
        arguments = {
            "using": options["database"],
            "renames": self.pairs("--rename", "OLD=NEW", options["rename"]),
            "defaults": self.pairs("--default", "FIELD=VALUE", options["default"]),
            "accept_data_loss": options["accept_data_loss"],
            "prune": options["prune"],
        }
        labels = options["labels"] or None
        if options["check"] or options["dry_run"]:
            self.look(labels, arguments, options)
            return
        started = time.perf_counter()
        plan = autoupdate(
            labels,
            **arguments,
            record_migrations=options["record_migrations"],
            verbosity=self.signal_verbosity(options),
            interactive=options["interactive"],
            stdout=self.stderr,
        )
        self.show(plan, options, done=True, seconds=time.perf_counter() - started)

    def look(self, labels: Any, arguments: dict[str, Any], options: dict[str, Any]) -> None:
        """Show what differs; with --check the exit status says whether anything does."""
        plan = make_plan(labels, **arguments)
        self.show(plan, options, done=False)
        if options["check"] and plan:
            sys.exit(DIFFERENT)
        if plan.refused:
            self.exit_refused(plan, options)

    def pairs(self, option: str, shape: str, given: list[str]) -> dict[str, str]:
        """The arguments of an option that takes OLD=NEW as a mapping."""
        values = {}
        for argument in given:
            name, equals, value = argument.partition("=")
            if not equals or not name or (option == "--rename" and not value):
                raise CommandError(f"{option} {argument}: expected {shape}.", returncode=FAILED)
            values[name] = value
        return values
