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
NO_LOCK = "Could not get a lock within {seconds:g} s{sessions} for: {sql}"
NO_VALUE = "Others put in rows without a value in {columns} before: {sql}"
TRYING = "{obstacle}. Trying again in {pause:g} s..."
GIVEN_UP = (
    "{obstacle}, in {attempts} attempts. Of the {statements} statements {finished} are done, and stay; the next run "
    "goes on from there. {advice}"
)
WAIT = "Wait until the tables are free, or raise --lock-timeout (lock_timeout=)."
GIVE_VALUES = "Give the field a db_default, or let what writes such rows give them a value, and run this again."

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
            self.attempt(first, lambda again: self.run_together(stage, again=again))

    def run_together(self, stage: Sequence[Step], *, again: bool) -> None:
        first, *others = stage
        if again:
            self.refill(first)
        if not others and not first.at_stake:
            with self.online.at_once(self.seconds):
                self.backend.run(stage)
            return
        with self.online.transaction(self.seconds):
            self.online.forbid_losses(stage)
            self.backend.run(stage)

    def run_alone(self, step: Step, *, again: bool) -> None:
        """Run a statement outside of transactions; remove what it left where it failed before, and where it fails."""
        if again and self.online.leaves_remnants:
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

    def refill(self, step: Step) -> None:
        """Give the rows a value that were put in without one since the fill before the step."""
        for fill in step.refills:
            self.fill(step, evolve(fill, everywhere=False), self.meter.progress())

    def fill(self, step: Step, fill: RowFill, begun: RunProgress) -> None:
        """Give rows their values, a batch a transaction."""
        rows = self.backend.filler.count_to_fill(fill) if self.meter.watch and not fill.late else 0
        after: Key | None = None
        done = 0
        self.meter.report(evolve(begun, rows=rows, rows_done=done))
        while True:
            after, number = self.attempt(step, partial(self.fill_batch, fill, after))
            done += number
            self.meter.report(evolve(begun, rows=max(rows, done), rows_done=done))
            if after is None:
                return
            time.sleep(self.options.batch_pause)

    def fill_batch(self, fill: RowFill, after: Key | None, again: bool) -> tuple[Key | None, int]:
        with self.online.transaction(self.seconds):
            return self.online.fill_batch(fill, after)

    def attempt(self, step: Step, work: Callable[[bool], T]) -> T:
        """Do the work; where it does not get its locks, do it again after a pause that grows.

        So it is where others have put in rows without a value that the step requires. `work` is told whether it is done
        again.
        """
        finished, under_way = self.meter.finished, self.meter.under_way
        for number, pause in enumerate((*PAUSES, None)):
            self.online.make_sure()
            try:
                return work(number > 0)
            except Error as error:
                obstacle = self.obstacle(step, error)
                if obstacle is None:
                    raise
                self.meter.finished, self.meter.under_way = finished, under_way
                if pause is None:
                    raise LockNotAvailable(self.given_up(error, obstacle)) from error
            self.options.patience.notify(TRYING.format(obstacle=obstacle, pause=pause))
            time.sleep(pause)
        raise AssertionError("unreachable")

    def obstacle(self, step: Step, error: Error) -> str | None:
        """Return in words what kept a step from being done, and may not do so again; None for any other error."""
        if self.online.is_locked_out(error):
            seconds, sessions = self.online.waits(step, self.seconds), self.online.in_the_way(step)
            return NO_LOCK.format(seconds=seconds, sessions=sessions, sql=step.sql)
        if step.refills and self.online.lacks_values(error):
            columns = ", ".join(f"{fill.table}.{fill.column}" for fill in step.refills)
            return NO_VALUE.format(columns=columns, sql=step.sql)
        return None

    def given_up(self, error: Error, obstacle: str) -> str:
        return GIVEN_UP.format(
            obstacle=obstacle,
            attempts=len(PAUSES) + 1,
            statements=self.meter.statements,
            finished=self.meter.finished,
            advice=WAIT if self.online.is_locked_out(error) else GIVE_VALUES,
        )


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
