"""Several processes of this machine that do the batches of a run."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from itertools import chain
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, NoReturn

import django
from django.apps import apps as global_apps
from django.conf import settings
from django.db import connections
from django.db.utils import OperationalError

from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.fleet import orders
from automigrate_ext.fleet.places import at, known
from automigrate_ext.fleet.report import Outcome, Status, outcome_from
from automigrate_ext.fleet.run import UNKNOWN, Batch, Do
from automigrate_ext.fleet.targets import Target
from automigrate_ext.fleet.work import Result, Worker
from automigrate_ext.plan.plan import Plan
from automigrate_ext.waiting import connect
from automigrate_ext.words import plural

logger = logging.getLogger("automigrate_ext")

#: How many targets a process is given at a time.
TARGETS_A_PIECE = 10
#: Seconds that a process has to end by itself.
GRACE = 5.0

#: What a process reports: what became of a target, the end of a piece, a line of text, that it has connected, that it
#: cannot connect, and an error that nobody expected.
OUTCOME, END, NOTICE, CONNECTED, REFUSED, BROKEN = "outcome", "end", "notice", "connected", "refused", "broken"


def do_by_jobs(worker: Worker, count: int, targets: Iterable[Target]) -> Do:
    """Return what does the batches of a run on these targets in `count` processes at most.

    Raises `AutomigrateError` where other processes cannot do that: within a transaction, for a database in memory, and
    for a registry of models that a process which is not forked does not have.
    """
    if count < 1:
        raise AutomigrateError(f"jobs={count}: expected a number of processes, 1 or more. Nothing was done.")
    orders.forbid_transaction(f"jobs={count}")
    for target in targets:
        forbid_memory(target)
    forbid_unknown_models(worker)
    return lambda batches: Jobs(worker, count).do(batches)


def forbid_memory(target: Target) -> None:
    """Raise `AutomigrateError` for a database in the memory of this process."""
    with known(target):
        connection: Any = connections[target.alias]
        if connection.vendor == "sqlite" and connection.is_in_memory_db():
            raise AutomigrateError(
                f"Target {target.name!r} is in the memory of this process, which other processes do not see. Nothing "
                f"was done. Run it without --jobs (jobs=)."
            )


def forbid_unknown_models(worker: Worker) -> None:
    """Raise `AutomigrateError` where new processes would not have the models."""
    if may_fork():
        return
    if worker.looks.apps is not global_apps:
        raise AutomigrateError(
            "apps= with jobs= needs processes that are forked, and this one cannot be: "
            f"{'it has threads' if hasattr(os, 'fork') else 'the platform has no fork'}. Run it without jobs=."
        )
    if not settings_module():
        raise AutomigrateError(
            "jobs= needs processes of their own here, and these need a module of settings (DJANGO_SETTINGS_MODULE). "
            "Run it without jobs=."
        )


def may_fork() -> bool:
    """Return whether a process can be forked safely: not where another thread may hold a lock, nor on macOS.

    Source: Python's documentation of `os.fork` and of the start methods of `multiprocessing`.
    """
    return hasattr(os, "fork") and sys.platform != "darwin" and threading.active_count() == 1


def settings_module() -> str | None:
    """Return the name of the module of settings, None where they were set by `settings.configure`."""
    name: str | None = settings.SETTINGS_MODULE
    return name


@dataclass(slots=True, kw_only=True)
class Piece:
    """Targets for one process. `is_again` is set where a process has ended over them, `is_last_try` where the process
    does them although it cannot connect, so that each target has its reason."""

    batch: Batch
    is_again: bool = False
    is_last_try: bool = False


@dataclass(slots=True, kw_only=True)
class Job:
    """One process, and the piece that it works on, with the targets of which nothing has been heard yet."""

    process: BaseProcess
    pipe: Connection
    piece: Piece | None = None
    left: dict[str, Target] = field(default_factory=dict)

    def give(self, piece: Piece) -> None:
        """Let the process do a piece."""
        self.piece = piece
        self.left = {target.name: target for target in piece.batch.targets}
        # The end of a process shows when it is listened to.
        with suppress(BrokenPipeError):
            self.pipe.send((orders.batch_dict(piece.batch), piece.is_again, piece.is_last_try))

    def interrupt(self) -> None:
        """Let the process undo what it is about to do, and end."""
        if self.process.pid and hasattr(os, "fork"):
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGINT)
        else:
            self.process.terminate()

    def end(self) -> None:
        """Wait for the end of the process, and bring it about if that lasts."""
        self.process.join(GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


class Jobs:
    """The processes that do the batches of one stage of a run."""

    def __init__(self, worker: Worker, count: int) -> None:
        self.worker = worker
        self.limit = count
        self.jobs: list[Job] = []
        self.again: deque[Piece] = deque()
        #: The servers to which a process has connected.
        self.reached: set[tuple[str, ...]] = set()

    def do(self, batches: Iterable[Batch]) -> Iterator[Result]:
        """Do the batches, and yield what became of each of their targets; this process keeps no connection."""
        source = chain.from_iterable(map(pieces, batches))
        try:
            while self.hand_out(source):
                for job in self.speaking():
                    yield from self.hear(job)
        except KeyboardInterrupt:
            yield from self.interrupted()
            raise
        finally:
            self.end()

    def hand_out(self, source: Iterator[Piece]) -> bool:
        """Give a piece to each process that is free, and start some if there is room; return whether any is at work."""
        while (free := self.free()) or len(self.jobs) < self.limit:
            piece = self.again.popleft() if self.again else next(source, None)
            if piece is None:
                break
            (free or self.start()).give(piece)
        return any(job.piece for job in self.jobs)

    def free(self) -> Job | None:
        """Return a process without work."""
        return next((job for job in self.jobs if job.piece is None), None)

    def start(self) -> Job:
        """Start a process."""
        forbid_unknown_models(self.worker)
        # A connection that two processes share breaks, and ours would be one more than there are jobs.
        connections.close_all()
        context: Any = multiprocessing.get_context("fork" if may_fork() else "spawn")
        ours, theirs = context.Pipe()
        if may_fork():
            process = context.Process(target=serve, args=(theirs, self.worker), daemon=True)
        else:
            values = orders.worker_dict(self.worker)
            process = context.Process(target=begin, args=(theirs, settings_module(), values), daemon=True)
        process.start()
        theirs.close()
        job = Job(process=process, pipe=ours)
        self.jobs.append(job)
        return job

    # Listening

    def speaking(self) -> list[Job]:
        """Wait until a process has something to report, or has ended; return these."""
        ready = wait([job.pipe for job in self.jobs if job.piece])
        return [job for job in self.jobs if job.pipe in ready]

    def hear(self, job: Job) -> Iterator[Result]:
        """Take one report of a process; yield what became of targets."""
        try:
            kind, value = job.pipe.recv()
        except (EOFError, OSError):
            yield from self.ended(job)
            return
        assert job.piece is not None, "only a process at work reports"
        if kind == OUTCOME:
            result = result_from(value)
            job.left.pop(result.outcome.target, None)
            yield result
        elif kind == END:
            job.piece = None
        elif kind == NOTICE:
            self.notify(value)
        elif kind == CONNECTED:
            self.reached.add(server_of(job.piece.batch.targets[0]))
        elif kind == REFUSED:
            self.refused(job, job.piece, value)
        else:
            yield from failed(job.left.values(), job.piece.batch.shape, value)
            job.left.clear()

    def refused(self, job: Job, piece: Piece, reason: str) -> None:
        """Let a process that cannot connect try again, or go on without it where others have all there is to have."""
        job.piece = None
        server = server_of(piece.batch.targets[0])
        others = [other for other in self.jobs if other.piece and server_of(other.piece.batch.targets[0]) == server]
        self.again.append(evolve(piece, is_last_try=not others))
        if others and server in self.reached:
            self.drop(job)
            self.limit = len(self.jobs)
            alias, number = piece.batch.targets[0].alias, self.limit
            self.notify(
                f"The server of database {alias!r} gives no more connections ({reason}): going on with "
                f"{number} {'process' if number == 1 else 'processes'}"
            )

    def ended(self, job: Job) -> Iterator[Result]:
        """Let others do what a process that has ended leaves, target by target; yield those that ended two."""
        piece, left = job.piece, list(job.left.values())
        self.drop(job)
        assert piece is not None, "only processes at work are listened to"
        if piece.is_again:
            reason = f"The process that worked on it ended ({describe_end(job.process)}), as one before it did."
            yield from failed(left, piece.batch.shape, reason)
            return
        logger.warning("A process ended (%s) with %s left", describe_end(job.process), plural(len(left), "target"))
        self.again += [Piece(batch=evolve(piece.batch, targets=(target,)), is_again=True) for target in left]

    def notify(self, message: str) -> None:
        """Pass a line of text on."""
        logger.warning("%s", message)
        self.worker.options.patience.notify(message)

    # Ending

    def drop(self, job: Job) -> None:
        """Forget a process that is to end, or has ended."""
        self.jobs.remove(job)
        if job.piece is None:
            with suppress(BrokenPipeError):
                job.pipe.send(None)
        job.end()

    def interrupted(self) -> Iterator[Result]:
        """End the processes at work, and yield what they had done by then."""
        working = [job for job in self.jobs if job.piece]
        for job in working:
            job.interrupt()
        for job in working:
            with suppress(EOFError, OSError):
                while job.pipe.poll(GRACE):
                    kind, value = job.pipe.recv()
                    if kind == OUTCOME:
                        yield result_from(value)

    def end(self) -> None:
        """End all processes."""
        for job in self.jobs:
            if job.piece:
                job.interrupt()
        while self.jobs:
            self.drop(self.jobs[-1])


def pieces(batch: Batch) -> Iterator[Piece]:
    """Cut a batch into what a process is given at a time: one database, or some schemas."""
    size = 1 if batch.targets[0].schema is None else TARGETS_A_PIECE
    for start in range(0, len(batch.targets), size):
        yield Piece(batch=evolve(batch, targets=batch.targets[start : start + size]))


def server_of(target: Target) -> tuple[str, ...]:
    """Return what is the same for databases of one server."""
    with known(target):
        entry = connections[target.alias].settings_dict
        return tuple(str(entry[key]) for key in ("ENGINE", "HOST", "PORT"))


def result_from(value: tuple[dict[str, Any], Plan | None]) -> Result:
    """Return what became of a target as a process has sent it."""
    outcome, plan = value
    return Result(outcome=outcome_from(outcome), plan=plan)


def failed(targets: Iterable[Target], shape: str, reason: str) -> Iterator[Result]:
    """Yield the failure of targets for one reason."""
    for target in targets:
        logger.warning("Target %s %s: %s", target.name, Status.FAILED, reason)
        yield Result(outcome=Outcome(target=target.name, status=Status.FAILED, shape=shape, reason=reason))


def describe_end(process: BaseProcess) -> str:
    """Return how a process ended."""
    code = process.exitcode
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit status {code}"


# In the processes


def begin(pipe: Connection, module: str, values: dict[str, Any]) -> None:
    """Load the project in a process that was not forked, and serve."""
    os.environ["DJANGO_SETTINGS_MODULE"] = module
    django.setup()
    serve(pipe, orders.worker_from(values))


def serve(pipe: Connection, worker: Worker) -> None:
    """Do pieces until there are no more; end when the process of the run does, or by Ctrl-C, without a word."""
    with suppress(KeyboardInterrupt, EOFError, BrokenPipeError), interruptible_once():
        threading.Thread(target=end_with_parent, daemon=True).start()
        own = quiet(worker, pipe)
        for values, is_again, is_last_try in iter(pipe.recv, None):
            batch = orders.batch_from(values)
            if not is_last_try and not reach(batch.targets[0], pipe):
                continue
            report(own, batch, pipe, is_again=is_again)
            pipe.send((END, None))
    connections.close_all()


def quiet(worker: Worker, pipe: Connection) -> Worker:
    """Return a worker that reports by the pipe, and asks nobody."""
    options = evolve(
        worker.options, notify=lambda text: pipe.send((NOTICE, text)), progress=None, ask=None, interactive=False
    )
    return evolve(worker, options=options)


def reach(target: Target, pipe: Connection) -> bool:
    """Connect to where a target is, and report whether that worked."""
    try:
        with at(target) as connection:
            connect(connection)
    except OperationalError as error:
        pipe.send((REFUSED, " ".join(str(error).split())))
        return False
    pipe.send((CONNECTED, None))
    return True


def report(worker: Worker, batch: Batch, pipe: Connection, *, is_again: bool) -> None:
    """Do a batch, and report what became of each target, or the error that nobody expected."""
    results = orders.do_the_rest(worker, batch) if is_again else orders.do(worker, batch)
    try:
        for result in results:
            # The plan of a shape is that of its first target, which the run has.
            plan = result.plan if batch.shape.startswith(UNKNOWN) else None
            pipe.send((OUTCOME, (result.outcome.as_dict(), plan)))
    except BrokenPipeError:
        raise
    except Exception as error:
        logger.exception("A process of a run failed")
        words = traceback.format_exception_only(error)[-1]
        pipe.send((BROKEN, " ".join(words.split())))


@contextmanager
def interruptible_once() -> Iterator[None]:
    """Let the first Ctrl-C of the block interrupt it, and no further one what undoes the work."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    yield
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end_with_parent() -> None:
    """End this process at once when the one that started it has ended; the server undoes what is under way."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
