"""Carries out the saved plans that --plan names."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from automigrate_ext.api import carry_out, run_plan, select_saved
from automigrate_ext.declared.selection import Selection
from automigrate_ext.exceptions import UnusablePlan
from automigrate_ext.management.exit_status import FAILED
from automigrate_ext.management.several import SeveralDatabases, describe_databases
from automigrate_ext.plan.plan import Plan
from automigrate_ext.plan.saved import SavedPlan, is_several, parse, read_plan, read_plans
from automigrate_ext.run.options import Options

if TYPE_CHECKING:
    from automigrate_ext.management.base import SchemaCommand


class SavedPlans:
    """Carries out the saved plan of one database, or the plans of several, for a command.

    Making it reads the file, and raises `CommandError` where that holds no plan.
    """

    def __init__(self, command: SchemaCommand, options: dict[str, Any]) -> None:
        self.command = command
        self.options = options
        self.file = options["plan"]
        text = self.read_file()
        with self.naming_file():
            self.values = parse(text)
            self.is_several = is_several(self.values)
            self.plans = read_plans(self.values) if self.is_several else by_alias(read_plan(self.values))

    def run(self) -> int:
        """Carry out the plans of the file; return the exit status."""
        if not self.is_several:
            return self.run_plan()
        with self.naming_file():
            selections = select_saved(self.plans)
        if not selections and self.options["format"] == "text" and self.options["verbosity"]:
            self.command.stdout.write("Nothing to do: the plans have no statements.")
        jobs = {alias: partial(self.run_one, self.plans[alias], selection) for alias, selection in selections.items()}
        return SeveralDatabases(self.command, self.options, {}).run(jobs)

    def run_plan(self) -> int:
        """Carry out the saved plan of one database."""
        with self.command.convert_errors(self.options["format"], describe_databases(list(self.plans))):
            return self.run_and_show(partial(run_plan, self.values, **self.run_options()))

    def run_one(self, saved: SavedPlan, selection: Selection) -> int:
        """Carry out the saved plan of one of several databases."""
        return self.run_and_show(partial(carry_out, saved, selection, Options(**self.run_options())))

    def run_options(self) -> dict[str, Any]:
        """Return the options of a run that a saved plan leaves open."""
        names = ("count_timeout", "batch_size", "batch_pause")
        return {**self.command.run_options(self.options), **{name: self.options[name] for name in names}}

    def run_and_show(self, run: Callable[[], Plan]) -> int:
        """Carry out one saved plan and show it."""
        started = time.perf_counter()
        with self.naming_file():
            plan = run()
        self.command.printer.show(plan, self.options, done=True, seconds=time.perf_counter() - started)
        return 0

    @contextmanager
    def naming_file(self) -> Iterator[None]:
        """Turn an error about the plan into one that names the file."""
        try:
            yield
        except UnusablePlan as error:
            raise CommandError(f"--plan {self.file}: {error}", returncode=FAILED) from error

    def read_file(self) -> str:
        """Return the text of the file, or of stdin for "-". Raises `CommandError` where there is none to read."""
        try:
            return sys.stdin.read() if self.file == "-" else Path(self.file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"--plan {self.file}: cannot be read: {error}.", returncode=FAILED) from error


def by_alias(saved: SavedPlan) -> dict[str, SavedPlan]:
    """Return the plan of one database in the form of those of several."""
    return {saved.alias: saved}
