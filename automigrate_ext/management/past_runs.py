"""Lists the runs that have changed a database, for --history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from automigrate_ext.api import history

if TYPE_CHECKING:
    from automigrate_ext.fleet.targets import Target
    from automigrate_ext.management.base import SchemaCommand
    from automigrate_ext.plan.history import PastRun


class PastRuns:
    """Prints past runs for a command, in the format asked for; each method returns the exit status."""

    def __init__(self, command: SchemaCommand, options: dict[str, Any]) -> None:
        self.command = command
        self.is_json = options["format"] == "json"
        self.verbosity = options["verbosity"]

    def show(self, alias: str) -> int:
        """Print the runs of one database."""
        # Plans come along, and few runs list what was done; here and below.
        from automigrate_ext.plan.history import history_dict

        runs = history(using=alias)
        if self.is_json:
            self.command.write_json(history_dict(alias, runs))
        else:
            self.print_lines(runs)
        return 0

    def show_targets(self, targets: Sequence[Target]) -> int:
        """Print the runs of each target. Raises `MissingTarget` for one that is not there."""
        # As in `show`.
        from automigrate_ext.plan.history import targets_dict

        found = {target.name: history(target=target) for target in targets}
        if self.is_json:
            self.command.stdout.write(json.dumps(targets_dict(found), indent=2))
            return 0
        for name, runs in found.items():
            self.command.stdout.write(f"Target {name}", self.command.style.MIGRATE_HEADING)
            self.print_lines(runs)
        return 0

    def print_lines(self, runs: Sequence[PastRun]) -> None:
        """Print the runs as text."""
        # As in `show`.
        from automigrate_ext.plan.history import lines

        for line in lines(runs, verbosity=self.verbosity):
            self.command.stdout.write(line)
