"""Workers of django.tasks that do the batches of a run.

The queue is not the run's memory: where a task brings no result, the targets themselves are looked at.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from typing import TYPE_CHECKING, Any

import django
from django.apps import apps as global_apps
from django.db.utils import Error
from django.utils.connection import ConnectionDoesNotExist

from automigrate_ext.backends import backend_for
from automigrate_ext.backends.session import growing
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.fleet import orders
from automigrate_ext.fleet.places import at
from automigrate_ext.fleet.report import outcome_from
from automigrate_ext.fleet.run import Batch, Do
from automigrate_ext.fleet.targets import Target
from automigrate_ext.fleet.work import Result, Worker
from automigrate_ext.words import plural

if TYPE_CHECKING:
    from django.tasks import TaskResult

logger = logging.getLogger("automigrate_ext")

#: The first version of Django with django.tasks.
SINCE = (6, 0)
BACKEND = "default"
#: How many tasks are sent before one of them is done. What is sent cannot be called back.
TASKS_AT_ONCE = 16
#: How often a task is sent, at most; then the run does the batch itself.
TIMES = 2
#: Seconds without progress after which a task counts as lost, unless a session has the lock of one of its targets.
PATIENCE = 30.0
#: Seconds between two questions for results, at first and at most.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
#: Seconds between two looks at the targets where a backend has no results.
LOOK = 2.0


def do_by_queue(worker: Worker, backend: str = BACKEND, *, patience: float = PATIENCE) -> Do:
    """Return what does the batches of a run by tasks; `backend` is an alias of TASKS, `patience` is in seconds.

    Raises `AutomigrateError` where tasks cannot do that: before Django 6.0, within a transaction, for `automigrate`,
    which is not to happen twice, and for registries and values that a task cannot hold.
    """
    if django.VERSION < SINCE:
        raise AutomigrateError(
            f"queue: django.tasks came with Django 6.0, and this is {django.get_version()}. Nothing was done. Use "
            f"--jobs (jobs=) in its place."
        )
    if worker.command == "automigrate":
        raise AutomigrateError(
            "queue: a queue may deliver a task twice, and automigrate destroys the rows each time. Nothing was done. "
            "Use --jobs (jobs=) in its place."
        )
    if worker.looks.apps is not global_apps:
        raise AutomigrateError("queue: workers have no registry but their own. Nothing was done. Leave out apps=.")
    orders.forbid_transaction("queue")
    forbid_other_than_json(worker)
    forbid_unknown_backend(backend)
    return lambda batches: Queue(worker, backend, patience).do(batches)


def forbid_other_than_json(worker: Worker) -> None:
    """Raise `AutomigrateError` for options that JSON does not keep as they are."""
    values = orders.worker_dict(worker)
    try:
        is_kept = json.loads(json.dumps(values)) == values
    except (TypeError, ValueError):
        is_kept = False
    if not is_kept:
        raise AutomigrateError(
            "queue: a task holds texts, numbers, true and false alone, and one of the defaults is something else. "
            "Nothing was done. Write it as text."
        )


def forbid_unknown_backend(alias: str) -> None:
    """Raise `AutomigrateError` for a backend that the setting TASKS does not have."""
    # Django has it since 6.0.
    from django.tasks import task_backends
    from django.tasks.exceptions import InvalidTaskBackend

    try:
        task_backends[alias]
    except (InvalidTaskBackend, ConnectionDoesNotExist) as error:
        raise AutomigrateError(
            f"queue: the backend {alias!r} of TASKS cannot be used ({error}). Nothing was done."
        ) from error


@dataclass(slots=True, kw_only=True, eq=False)
class Sent:
    """A batch whose task is under way, or could not be sent because of an error.

    `moved` is when there was progress last, `looked` when its targets were looked at.
    """

    batch: Batch
    result: TaskResult[Any, Any] | None = None
    error: str = ""
    times: int = 0
    status: str = ""
    moved: float = field(default_factory=time.monotonic)
    looked: float = field(default_factory=time.monotonic)

    def move(self) -> None:
        """Record that there was progress."""
        self.moved = self.looked = time.monotonic()


class Queue:
    """The tasks of one stage of a run."""

    def __init__(self, worker: Worker, alias: str, patience: float) -> None:
        # As in `forbid_unknown_backend`.
        from django.tasks import task_backends

        from automigrate_ext.fleet.tasks import do_batch, queue_name

        self.worker = worker
        self.patience = patience
        self.task = do_batch.using(backend=alias, queue_name=queue_name(alias))
        self.has_results = task_backends[alias].supports_get_result
        self.values = orders.worker_dict(worker)
        self.sent: list[Sent] = []

    def do(self, batches: Iterable[Batch]) -> Iterator[Result]:
        """Do the batches, and yield what became of each of their targets."""
        source = iter(batches)
        pauses = growing(FIRST_PAUSE)
        while self.send_more(source):
            before = len(self.sent)
            for sent in list(self.sent):
                yield from self.follow(sent)
            if len(self.sent) == before:
                time.sleep(min(next(pauses), LONGEST_PAUSE))
            else:
                self.others_moved()
                pauses = growing(FIRST_PAUSE)

    def send_more(self, source: Iterator[Batch]) -> bool:
        """Send batches as far as there is room; return whether any is under way."""
        while len(self.sent) < TASKS_AT_ONCE and (batch := next(source, None)) is not None:
            sent = Sent(batch=batch)
            self.sent.append(sent)
            self.send(sent)
        return bool(self.sent)

    def send(self, sent: Sent) -> None:
        """Send a batch, as far as it is not done."""
        sent.times += 1
        sent.move()
        batch = orders.without_settings(orders.batch_dict(sent.batch))
        try:
            declared = orders.declared(self.worker, sent.batch.targets[0])
        except (AutomigrateError, Error):
            # No worker takes the batch then, and doing it here finds the reason for each target.
            declared = ""
        try:
            sent.result = self.task.enqueue(self.values, batch, declared)
        except Exception as error:
            # What a backend raises is its own, such as that of a broker that cannot be reached.
            logger.exception("A task could not be sent")
            sent.error = f"could not be sent ({type(error).__name__})"

    def others_moved(self) -> None:
        """Count the progress of one task as that of those that no worker is known to have begun."""
        for sent in self.sent:
            if sent.status in {"", "READY"}:
                sent.moved = time.monotonic()

    # Following a task

    def follow(self, sent: Sent) -> Iterator[Result]:
        """Take what has become of a task; yield what became of targets."""
        if sent.error:
            yield from self.here(sent, sent.error)
            return
        result = self.refreshed(sent)
        if result is not None and result.is_finished:
            yield from self.finished(sent, result)
            return
        now = time.monotonic()
        if now - sent.looked >= (self.patience if self.has_results else min(LOOK, self.patience)):
            yield from self.look(sent)
            if sent in self.sent and time.monotonic() - sent.moved >= self.patience:
                yield from self.lost(sent, f"brought nothing for {self.patience:g} s")

    def refreshed(self, sent: Sent) -> TaskResult[Any, Any] | None:
        """Return what the queue has of a task now, None where it has nothing."""
        # As in `forbid_unknown_backend`.
        from django.tasks.exceptions import TaskResultDoesNotExist

        if sent.result is None or sent.result.is_finished or not self.has_results:
            return sent.result
        try:
            sent.result.refresh()
        except TaskResultDoesNotExist:
            sent.result = None
            return None
        if sent.result.status != sent.status:
            sent.status = sent.result.status
            sent.move()
        return sent.result

    def finished(self, sent: Sent, result: TaskResult[Any, Any]) -> Iterator[Result]:
        """Yield what a task has brought; what it has left is done by the run."""
        if result.status != "SUCCESSFUL":
            for error in result.errors:
                logger.warning("A task failed: %s", error.traceback)
            classes = ", ".join(error.exception_class_path for error in result.errors)
            yield from self.lost(sent, f"failed ({classes or 'the queue has no error'})")
            return
        brought: Any = result.return_value
        outcomes = [outcome_from(values) for values in brought["outcomes"]]
        yield from (Result(outcome=outcome) for outcome in outcomes)
        self.keep(sent, {target.name for target in sent.batch.targets} - {outcome.target for outcome in outcomes})
        if sent in self.sent:
            yield from self.here(sent, brought["reason"] or "left targets that have changed meanwhile")

    def look(self, sent: Sent) -> Iterator[Result]:
        """Look at the targets of a task; yield those that match."""
        sent.looked = time.monotonic()
        matching = () if self.worker.dry_run else orders.find(self.worker, sent.batch).matching
        yield from (Result(outcome=orders.done_by_another(target, sent.batch)) for target in matching)
        self.keep(sent, {target.name for target in sent.batch.targets} - {target.name for target in matching})
        if matching or any(is_worked_on(target) for target in sent.batch.targets):
            sent.move()
            self.others_moved()

    def keep(self, sent: Sent, names: set[str]) -> None:
        """Leave in a batch the targets of these names."""
        left = tuple(target for target in sent.batch.targets if target.name in names)
        sent.batch = evolve(sent.batch, targets=left)
        if not left:
            self.sent.remove(sent)

    def lost(self, sent: Sent, why: str) -> Iterator[Result]:
        """Send a batch once more, or do it here where that has been tried."""
        if sent.times < TIMES:
            self.notify(f"A task for {plural(len(sent.batch.targets), 'target')} {why}: sending it once more")
            self.send(sent)
        else:
            yield from self.here(sent, why)

    def here(self, sent: Sent, why: str) -> Iterator[Result]:
        """Do a batch in this process."""
        self.sent.remove(sent)
        self.notify(f"A task for {plural(len(sent.batch.targets), 'target')} {why}: doing it here")
        yield from orders.do_the_rest(self.worker, sent.batch)

    def notify(self, message: str) -> None:
        """Pass a line of text on."""
        logger.warning("%s", message)
        self.worker.options.patience.notify(message)


def is_worked_on(target: Target) -> bool:
    """Return whether a session has the lock of a run in a target, as far as the server shows it."""
    try:
        with at(target):
            session = backend_for(target.alias).session
            session.place = target.schema or ""
            return bool(session.holders())
    except (AutomigrateError, Error):
        return False
