"""What runs write to the logger "automigrate_ext": a line for each change, for each thing kept or refused, and the run.

Where the project has no handler for the logger nothing is written, also not by Python's handler of last resort.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from automigrate_ext.exceptions import Declined, Refused

if TYPE_CHECKING:
    from automigrate_ext.plan.plan import Plan

logger = logging.getLogger("automigrate_ext")

NOTHING = "nothing to do"


def logged(run: Callable[[], Plan], *, alias: str, command: str, is_asked: bool = False) -> Plan:
    """Carry out a run, log what it did or why it ended, and return its plan.

    With `is_asked` somebody answers questions meanwhile, so that the time is not that of the run.
    """
    log = RunLog(alias, command)
    started = time.perf_counter()
    try:
        plan = run()
    except Refused as refused:
        log.refusal(refused.plan)
        raise
    except Declined:
        log.write(logging.INFO, "called off; no table was changed")
        raise
    except Exception as error:
        log.write(logging.ERROR, f"failed: {' '.join(str(error).split())}")
        raise
    except KeyboardInterrupt:
        log.write(logging.WARNING, "interrupted")
        raise
    log.success(plan, None if is_asked else time.perf_counter() - started)
    return plan


class RunLog:
    """The log of one run; its records have the attributes `database` and `command`."""

    def __init__(self, alias: str, command: str) -> None:
        self.alias = alias
        self.command = command

    def write(self, level: int, words: str) -> None:
        """Write one line, where somebody is there to read it."""
        if logger.hasHandlers():
            extra = {"database": self.alias, "command": self.command}
            logger.log(
                level,
                "%s of database %r: %s.",
                self.command,
                self.alias,
                " ".join(words.split()).removesuffix("."),
                extra=extra,
            )

    def success(self, plan: Plan, seconds: float | None) -> None:
        """Write what a run did: each change, each thing kept, and the counts."""
        if not logger.hasHandlers():
            return
        # A run that finds nothing to do needs no texts, unless somebody reads them.
        from automigrate_ext.plan import text

        for step in plan.hooks:
            self.write(logging.INFO, step.describe())
        for change in (*plan.changes, *(change for judgement in plan.withheld for change in judgement.instead)):
            self.write(logging.INFO, change.describe())
        for judgement in plan.withheld:
            for hazard in judgement.hazards:
                self.write(logging.WARNING, hazard.reason)
        has_counts = plan or plan.withheld or plan.remaining
        self.write(logging.INFO, text.counts_of(plan, done=True, seconds=seconds) if has_counts else NOTHING)

    def refusal(self, plan: Plan) -> None:
        """Write every reason for which a run was refused."""
        for judgement in plan.refused:
            for hazard in judgement.hazards:
                # Logs are kept, and read by others: they get the keys of the rows, without the values in the way.
                self.write(logging.WARNING, f"Refused: {hazard.without_values}")
        self.write(logging.WARNING, f"refused for {len(plan.refused)} of its changes; nothing was done")
