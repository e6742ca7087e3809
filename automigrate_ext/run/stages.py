"""Carry out the statements of an online plan: a stage after the other, each with attempts to get its locks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import replace as evolve
from functools import partial
from itertools import groupby
from typing import TypeVar

from django.db.utils import Error

from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.filler import Filler
from automigrate_ext.backends.online import Key, Online
from automigrate_ext.backends.work import RowFill, Step
from automigrate_ext.exceptions import LockNotAvailable
from automigrate_ext.plan.online import OnlineStep
from automigrate_ext.plan.progress import Meter, RunProgress
from automigrate_ext.run.options import Options

#: Seconds for which an attempt waits for its locks, where the caller names no other number: so long, and no longer, do
#: others wait behind it.
LOCK_TIMEOUT = 2.0
#: Seconds between two attempts of a stage.
PAUSES = (0.5, 1, 2, 4, 8, 10, 10, 10)
TRYING = "Could not get a lock within {seconds:g} s{sessions} for: {sql}. Trying again in {pause:g} s..."
GIVEN_UP = (
    "Could not get a lock in {attempts} attempts of {seconds:g} s{sessions} for: {sql}. Of the {statements} statements "
    "{finished} are done, and stay; the next run goes on from there. Wait until the tables are free, or raise "
    "--lock-timeout (lock_timeout=)."
)

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Stages:
    """Carries out the steps of an online plan; what has ended stays done."""

    backend: Backend
    online: Online
    options: Options
    meter: Meter

    @property
    def seconds(self) -> float:
        """How long an attempt waits for its locks."""
        limit = self.options.lock_timeout
        return LOCK_TIMEOUT if limit is None else limit

    def run(self, steps: Sequence[Step]) -> None:
        """Carry out the steps. Raises `LockNotAvailable` where one does not get its locks in all its attempts."""
        with self.backend.metered(self.meter):
            for stage in stages_of(steps):
                self.run_stage(stage)

    def run_stage(self, stage: Sequence[Step]) -> None:
        first = stage[0]
        if first.fill:
            with self.meter.statement(first.table, first.sql) as begun:
                # The column is there by now.
                self.fill(first, evolve(first.fill, everywhere=False), begun)
        elif first.manner and first.manner.alone:
            self.attempt(first, lambda again: self.run_alone(first, again=again))
        else:
            self.attempt(first, lambda again: self.run_together(stage))

    def run_together(self, stage: Sequence[Step]) -> None:
        with self.online.transaction(self.seconds):
            self.online.forbid_losses(stage)
            self.backend.run(stage)

    def run_alone(self, step: Step, *, again: bool) -> None:
        """Run a statement outside of transactions; remove what it left where it failed before, and where it fails."""
        if again:
            self.remove_remnant(step)
        try:
            with self.online.alone(self.seconds):
                self.backend.run([step])
        except Error as error:
            # What keeps the statement from its locks would keep this from them too.
            if not self.online.is_locked_out(error):
                self.remove_remnant(step)
            raise

    def remove_remnant(self, step: Step) -> None:
        if step.manner and step.manner.undo:
            with self.online.alone(self.seconds):
                self.backend.session.execute(step.manner.undo)

    def fill(self, step: Step, fill: RowFill, begun: RunProgress) -> None:
        """Give rows their values, a batch a transaction."""
        rows = self.backend.filler.count_to_fill(fill) if self.meter.watch and not fill.late else 0
        after: Key | None = None
        done = 0
        while True:
            self.meter.report(evolve(begun, rows=max(rows, done), rows_done=done))
            after, number = self.attempt(step, partial(self.fill_batch, fill, after))
            if after is None:
                return
            done += number
            time.sleep(self.options.batch_pause)

    def fill_batch(self, fill: RowFill, after: Key | None, again: bool) -> tuple[Key | None, int]:
        with self.online.transaction(self.seconds):
            return self.online.fill_batch(fill, after)

    def attempt(self, step: Step, work: Callable[[bool], T]) -> T:
        """Do the work; where it does not get its locks, do it again after a pause that grows.

        `work` is told whether it is done again.
        """
        finished, under_way = self.meter.finished, self.meter.under_way
        for number, pause in enumerate((*PAUSES, None)):
            self.online.make_sure()
            try:
                return work(number > 0)
            except Error as error:
                if not self.online.is_locked_out(error):
                    raise
                self.meter.finished, self.meter.under_way = finished, under_way
                words = {"seconds": self.seconds, "sessions": self.online.in_the_way(step), "sql": step.sql}
                if pause is None:
                    raise LockNotAvailable(self.given_up(words)) from error
            self.options.patience.notify(TRYING.format(pause=pause, **words))
            time.sleep(pause)
        raise AssertionError("unreachable")

    def given_up(self, words: dict[str, object]) -> str:
        numbers = {"statements": self.meter.statements, "finished": self.meter.finished}
        return GIVEN_UP.format(attempts=len(PAUSES) + 1, **numbers, **words)


def stages_of(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Yield the steps of each transaction."""
    for _, stage in groupby(steps, key=lambda step: step.manner and step.manner.transaction):
        yield list(stage)


def written_out(filler: Filler, steps: Sequence[Step]) -> Iterator[OnlineStep]:
    """Yield the steps as they are shown: with the values of rows that get one each, a transaction for each batch."""
    number = 0
    for stage in stages_of(steps):
        for step in stage:
            assert step.manner is not None
            for sql in filler.written_out([step]):
                number += step is stage[0]
                yield OnlineStep(sql=sql, table=step.table, manner=evolve(step.manner, transaction=number))
