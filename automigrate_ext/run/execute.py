"""Carry out a plan: under a lock, read again, run, compare again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain

from django.db.utils import Error

from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.online import Online
from automigrate_ext.backends.work import Step
from automigrate_ext.exceptions import AutomigrateError, Interrupted, NotConverged, Refused
from automigrate_ext.plan import text
from automigrate_ext.plan.plan import Plan
from automigrate_ext.plan.progress import Meter
from automigrate_ext.run.base import Run
from automigrate_ext.run.prerequisites import Prerequisites
from automigrate_ext.run.stages import Stages
from automigrate_ext.run.state import Prepared
from automigrate_ext.schema.changes import AddConstraint, Change, CreateTable, DropTable
from automigrate_ext.schema.nouns import ForeignKey


@dataclass(slots=True, kw_only=True)
class Completed:
    """How much of a run is done for good: its plan, once there is one, the batches of its steps and their meter.

    `undoes_ddl` is whether a batch is a transaction, which is undone if it fails; else each statement that has ended
    stays done.
    """

    undoes_ddl: bool
    plan: Plan | None = None
    batches: tuple[tuple[Step, ...], ...] = ()
    meter: Meter = field(default_factory=Meter)
    transactions: int = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Count a batch as done once the block has run."""
        yield
        self.transactions += 1

    def progress(self) -> tuple[int, str]:
        """Return how many transactions or statements stay done, and of how many, in words."""
        if self.undoes_ddl:
            return self.transactions, f"{len(self.batches)} transactions"
        return self.meter.finished, f"{self.meter.statements} statements"

    @property
    def under_way(self) -> int:
        """How many statements are under way that may be done although they are interrupted."""
        return 0 if self.undoes_ddl else self.meter.under_way

    def interruption(self) -> Interrupted | None:
        """Return the error of a run that was interrupted where something stays done, or None."""
        number, parts = self.progress()
        under_way = self.under_way
        if not number and not under_way:
            return None
        words = f"Interrupted after {number} of its {parts}{', which stay done' if number else ''}"
        if under_way:
            which = "the one that was" if under_way == 1 else f"the {under_way} that were"
            words += f"; {which} under way may be done too"
        error = Interrupted(f"{words}; the next run goes on from there.")
        self.explain(error)
        return error

    def outcome(self) -> str:
        """Return in words what happened to a run that failed."""
        number, parts = self.progress()
        if not number:
            return "The run failed and was undone" if self.undoes_ddl else "The run failed before it changed a table"
        return f"The run failed after {number} of its {parts}, which stay done; the next run goes on from there"

    def explain(self, failure: AutomigrateError | Interrupted) -> None:
        """Attach to an error the plan, and which of its statements stay done."""
        failure.plan = self.plan
        planned = self.plan.statements if self.plan else ()
        stays = self.stays(planned)
        failure.applied, failure.pending = planned[:stays], planned[stays:]

    def stays(self, planned: Sequence[str]) -> int:
        """Return how many of the planned statements stay done: those before the tables, and some of theirs."""
        if self.undoes_ddl and len(self.batches) < 2:
            return 0
        after = [hook for hook in self.plan.hooks if hook.when == "after"] if self.plan else []
        first = len(planned) - sum(map(len, self.batches)) - len(after)
        done = sum(map(len, self.batches[: self.transactions])) if self.undoes_ddl else self.meter.finished
        return first + done


def execute(run: Run, at_stake: frozenset[str], made: Prerequisites | None) -> Plan:
    """Carry out what `run` prepares while nobody else can change the tables, and return its plan.

    `at_stake` are the tables whose rows determine it, as far as is known without the lock, `made` the prerequisites
    if the run has made them already. Everything happens in one transaction, unless the server cannot hold the
    locks of so many tables, or commits each statement by itself. Raises `Refused` before anything is touched,
    `LockNotAvailable` where others did not finish in time, `ExecutionFailed` when a statement fails and `NotConverged`
    when the database still differs afterwards; the transaction is undone in each case. Ctrl-C raises `Interrupted`
    where something stays done.
    """
    completed = Completed(undoes_ddl=run.backend.undoes_ddl and run.online is None)
    with forgetting_types(run), recording_failure(run, completed):
        try:
            if run.online is not None:
                return carry_out_online(run, run.online, made, completed)
            return carry_out(run, at_stake, made, completed)
        except Error as error:
            failure = run.backend.faults.failure(error, completed.outcome(), run.backend.faults.advice(error))
            completed.explain(failure)
            raise failure from error
        except AutomigrateError as failure:
            completed.explain(failure)
            raise
        except KeyboardInterrupt as stop:
            if (interruption := completed.interruption()) is not None:
                raise interruption from stop
            raise


@contextmanager
def forgetting_types(run: Run) -> Iterator[None]:
    """Forget the types of extensions that the block created, where an exception has undone them."""
    try:
        yield
    except BaseException:
        if run.wanted_extensions:
            run.backend.extensions.forget_types()
        raise


@contextmanager
def recording_failure(run: Run, completed: Completed) -> Iterator[None]:
    """Record how much of the run stays done, where an exception has ended the block and something does."""
    try:
        yield
    except BaseException as error:
        planned = completed.plan.statements if completed.plan else ()
        unclear = isinstance(error, KeyboardInterrupt) and completed.under_way > 0
        run.chronicle.fail(error, completed.stays(planned), unclear=unclear)
        raise


def carry_out(run: Run, at_stake: frozenset[str], made: Prerequisites | None, completed: Completed) -> Plan:
    """Do the work of `execute`; an error leaves in `completed` what is done."""
    backend = run.backend
    nested = backend.connection.in_atomic_block
    with backend.exclusive() as waited:
        made = run.make_prerequisites() if made is None else made
        # Another run, for which this one waited, may have changed what is at stake.
        backend.session.protect(run.tables_at_stake(made) if waited else at_stake)
        prepared = run.prepare(made)
        completed.plan = prepared.plan
        if prepared.plan.refused:
            raise refusal(prepared.plan)
        completed.meter = meter = meter_of(run, prepared)
        completed.batches = (prepared.steps,) if nested else backend.session.batches(prepared.steps)
        *first, last = completed.batches
        if not backend.undoes_ddl:
            backend.session.make_sure(prepared.steps)
            run.announce(prepared)
        if first or not backend.undoes_ddl:
            run.chronicle.begin(prepared)
        if not first:
            run_steps(backend, prepared, last, meter)
            conclude(run, prepared)
            return prepared.plan
    for batch in first:
        with completed.transaction(), backend.exclusive():
            run_steps(backend, prepared, batch, meter)
    with backend.exclusive():
        run_steps(backend, prepared, last, meter)
        conclude(run, prepared)
    return prepared.plan


def carry_out_online(run: Run, online: Online, made: Prerequisites | None, completed: Completed) -> Plan:
    """Do the work of `execute` beside the work of others: no table is locked for longer than one statement takes.

    What ends stays done. From before the first statement the record has what the next run needs if this one does not
    reach its end.
    """
    backend = run.backend
    with online.held():
        with backend.exclusive():
            made = run.make_prerequisites() if made is None else made
        with backend.exclusive():
            prepared = run.prepare(made)
            completed.plan = prepared.plan
            if prepared.plan.refused:
                raise refusal(prepared.plan)
            completed.meter = meter_of(run, prepared)
            completed.batches = (prepared.steps,)
            run.announce(prepared)
            run.chronicle.begin(prepared)
        Stages(backend=backend, online=online, options=run.options, meter=completed.meter).run(prepared.steps)
        with backend.exclusive():
            conclude(run, prepared)
    return prepared.plan


def meter_of(run: Run, prepared: Prepared) -> Meter:
    """Return what counts the steps for the caller's `progress`."""
    plan = prepared.plan
    sizes = {remark.table: remark.size for remark in plan.remarks}
    return Meter(watch=run.options.progress, alias=plan.alias, statements=len(prepared.steps), sizes=sizes)


def refusal(plan: Plan) -> Refused:
    """Return the error of a run whose plan is refused."""
    logged = text.why_refused(plan, in_python=True, with_values=False)
    return Refused(plan, text.why_refused(plan, in_python=True), logged)


def run_steps(backend: Backend, prepared: Prepared, steps: Sequence[Step], meter: Meter) -> None:
    """Run steps, once nobody else uses the tables that they are for."""
    changes = prepared.plan.changes
    tables = {step.table for step in steps}
    made = {change.table for change in changes if isinstance(change, CreateTable)}
    made -= {change.table for change in changes if isinstance(change, DropTable)}
    backend.session.protect(tables - made, targets(changes) - made)
    with backend.metered(meter):
        backend.run(steps)


def conclude(run: Run, prepared: Prepared) -> None:
    """Compare with the models again, and record, send and run what ends a run that left nothing over."""
    if prepared.is_done:
        return
    run.prepare_seal()
    reached = run.read_back(prepared)
    leftover = prepared.leftover(reached)
    if leftover:
        raise NotConverged(
            "After the run the database still differs from the models, so it was undone where the database can undo "
            "it: " + "; ".join(leftover)
        )
    run.settle(prepared, reached)
    run.finish(prepared)
    run.chronicle.end(prepared)
    run.seal(reached)


def targets(changes: Sequence[Change]) -> set[str]:
    """Return the tables at which new foreign keys point."""
    tables = (change.new for change in changes if isinstance(change, CreateTable))
    constraints = (change.new for change in changes if isinstance(change, AddConstraint))
    keys = chain((key for table in tables for key in table.foreign_keys), constraints)
    return {key.to_table for key in keys if isinstance(key, ForeignKey)}
