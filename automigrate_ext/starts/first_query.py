"""What the first query of a model with such a manager does: bring the model's table up to date."""

from __future__ import annotations

import logging
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.apps import apps as global_apps
from django.db import connections
from django.db.migrations.state import StateApps
from django.db.models import Model

from automigrate_ext.api import is_one_actual, update_one
from automigrate_ext.backends import backend_for
from automigrate_ext.declared.selection import is_attached, select
from automigrate_ext.exceptions import LockNotAvailable
from automigrate_ext.plan import text
from automigrate_ext.process import in_event_loop, is_migrating, is_run_under_way, run_under_way, up_to_date
from automigrate_ext.run.options import Options
from automigrate_ext.waiting import seconds

logger = logging.getLogger("automigrate_ext")

#: For how many seconds the first query waits for another run or thread, and for sessions that use the tables. Without
#: limits two threads that hold what the other one needs would wait for ever.
LOCK_WAIT = 60.0
LOCK_TIMEOUT = 10.0


_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


@dataclass(frozen=True, slots=True)
class Done:
    """Remembers that a model's table is up to date, once the transaction is committed in which it was brought there.

    Django forgets it with the savepoint or transaction that is rolled back, and the table is what it was.
    """

    model: type[Model]
    alias: str

    def __call__(self) -> None:
        up_to_date.add((self.model, self.alias))


def pending(alias: str) -> list[Done]:
    """What waits for the commit of the transaction that is open now."""
    return [entry[1] for entry in connections[alias].run_on_commit if isinstance(entry[1], Done)]


def bring_up_to_date(model: type[Model], alias: str) -> None:
    """Bring the table of a model, and what it needs, up to date, where that is the moment.

    It is not while apps are loaded, for the models of migrations, in a process of `migrate` and its like, inside a run
    of the package, nor where an event loop runs: no query can be sent there, and the thread that sends it comes here.
    """
    if not global_apps.ready or isinstance(model._meta.apps, StateApps):
        return
    if is_run_under_way() or is_migrating() or (in_event_loop() and not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")):
        return
    done = Done(model, alias)
    with alone(done), run_under_way():
        uncommitted = pending(alias)
        if (model, alias) in up_to_date or done in uncommitted:
            return
        try:
            changed = update(model, alias)
        except Exception as error:
            error.add_note(
                f"This was for the first query of {model._meta.label} in this process. Within atomic() not all can be "
                f"done: query outside of it first, or let AUTOMIGRATE['ON_START'] do it."
            )
            raise
        if changed or uncommitted:
            connections[alias].on_commit(done)
        else:
            done()


@contextmanager
def alone(done: Done) -> Iterator[None]:
    """Keep other threads of the process out. Raises `LockNotAvailable` where one of them does not end in time."""
    lock = _locks[done.alias]
    if not lock.acquire(timeout=LOCK_WAIT):
        raise LockNotAvailable(
            f"Another thread that brings tables of database {done.alias!r} up to date did not end within "
            f"{seconds(LOCK_WAIT)}, so the first query of {done.model._meta.label} was not sent."
        )
    try:
        yield
    finally:
        lock.release()


def update(model: type[Model], alias: str) -> bool:
    """Bring the model's tables up to date; whether something had to be done. Others' models are left alone."""
    concrete: Any = model._meta.concrete_model
    if not is_attached(concrete, alias):
        return False
    selection = select(list(needed(concrete, alias)), alias, concrete._meta.apps)
    if is_one_actual(selection):
        return False
    options = Options(lock_wait=LOCK_WAIT, lock_timeout=LOCK_TIMEOUT, notify=logger.warning)
    plan = update_one(selection, options, dry_run=False)
    logger.info(text.report(plan))
    return True


def needed(model: type[Model], alias: str) -> Iterable[type[Model]]:
    """The model, those it inherits from, and those that any of these points at whose tables are not there, and so on.

    Many-to-many tables that Django made go with their models.
    """
    everyone = reachable(model)
    backend = backend_for(alias)
    with backend.guarded():
        there = backend.existing([other._meta.db_table for other in everyone])
    wanted = dict.fromkeys([model, *parents(model)])
    waiting = list(wanted)
    while waiting:
        for target in targets(waiting.pop()):
            if target not in wanted and target._meta.db_table not in there:
                wanted[target] = None
                waiting.append(target)
    return [other for other in wanted if is_attached(other, alias) and not other._meta.auto_created]


def reachable(model: type[Model]) -> list[type[Model]]:
    """The model and all to which its relations lead."""
    found = {model: None}
    waiting = [model]
    while waiting:
        new = [target for target in targets(waiting.pop()) if target not in found]
        found.update(dict.fromkeys(new))
        waiting += new
    return list(found)


def targets(model: type[Model]) -> Iterator[type[Model]]:
    """The models that the table of a model, or one of its many-to-many tables, points at."""
    fields = (field for field in model._meta.get_fields() if field.is_relation and not field.auto_created)
    for field in fields:
        remote: Any = getattr(field, "remote_field", None)
        yield from filter(None, (field.related_model, getattr(remote, "through", None)))
    yield from parents(model)


def parents(model: type[Model]) -> Iterable[type[Model]]:
    """The models of whose rows the model's are part."""
    return [parent._meta.concrete_model or parent for parent in model._meta.get_parent_list()]
