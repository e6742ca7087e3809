"""Bring a model's table up to date before its first query, which the managers of `managers` ask for."""

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

from automigrate_ext.backends import backend_for
from automigrate_ext.declared.selection import is_attached, select
from automigrate_ext.exceptions import LockNotAvailable, Refused
from automigrate_ext.process import in_event_loop, is_migrating, is_run_under_way, run_under_way, up_to_date
from automigrate_ext.run.one import is_one_actual, update_one
from automigrate_ext.run.options import Options
from automigrate_ext.waiting import seconds

logger = logging.getLogger("automigrate_ext")

#: One lock for each alias.
_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


@dataclass(frozen=True, slots=True)
class Remember:
    """A callback that remembers that a model's table is up to date once the transaction that did it is committed.

    Django drops the callback with a savepoint or transaction that is rolled back, after which the table is as before.
    """

    model: type[Model]
    alias: str

    def __call__(self) -> None:
        up_to_date.add((self.model, self.alias))


def uncommitted(alias: str) -> list[Remember]:
    """Return the callbacks that wait for the commit of the transaction that is open now."""
    return [entry[1] for entry in connections[alias].run_on_commit if isinstance(entry[1], Remember)]


def bring_up_to_date(model: type[Model], alias: str, *, lock_wait: float, lock_timeout: float) -> None:
    """Bring the table of a model, and those that it needs, up to date, where this is the moment for that.

    This is not the moment while apps are loaded, for the models of migrations, in a process of `migrate` and its like,
    inside a run of the package, nor where an event loop runs: no query can be sent there, and the thread that sends it
    calls this function too. `lock_wait` is for how many seconds to wait for another run or thread, `lock_timeout` for
    sessions that use the tables.

    Raises what `autoupdate` raises, with a note on the query.
    """
    if not global_apps.ready or isinstance(model._meta.apps, StateApps):
        return
    if is_run_under_way() or is_migrating() or (in_event_loop() and not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")):
        return
    remember = Remember(model, alias)
    with alone(model, alias, lock_wait), run_under_way():
        waiting = uncommitted(alias)
        if (model, alias) in up_to_date or remember in waiting:
            return
        try:
            changed = update(model, alias, lock_wait, lock_timeout)
        except Exception as error:
            # What the rows do not allow is refused outside of a transaction too.
            is_bound = connections[alias].in_atomic_block and not isinstance(error, Refused)
            error.add_note(note_on(model, is_bound=is_bound))
            raise
        if changed or waiting:
            connections[alias].on_commit(remember)
        else:
            remember()


def note_on(model: type[Model], *, is_bound: bool) -> str:
    """Return a note for an error of an update, on its query; `is_bound` is whether a transaction is in the way."""
    words = f"This was for the first query of {model._meta.label} in this process."
    if not is_bound:
        return words
    return (
        f"{words} Within atomic() not all can be done: query outside of it first, or let AUTOMIGRATE['ON_START'] do it."
    )


@contextmanager
def alone(model: type[Model], alias: str, limit: float) -> Iterator[None]:
    """Keep other threads out while the block runs.

    Raises `LockNotAvailable` where one of them does not end within `limit` seconds.
    """
    lock = _locks[alias]
    if not lock.acquire(timeout=limit):
        raise LockNotAvailable(
            f"Another thread that brings tables of database {alias!r} up to date did not end within "
            f"{seconds(limit)}, so the first query of {model._meta.label} was not sent."
        )
    try:
        yield
    finally:
        lock.release()


def update(model: type[Model], alias: str, lock_wait: float, lock_timeout: float) -> bool:
    """Bring the model's tables up to date; return whether anything had to be done.

    A model that is unmanaged, or routed to another database, is left alone.
    """
    concrete: Any = model._meta.concrete_model
    if not is_attached(concrete, alias):
        return False
    selection = select(list(needed(concrete, alias)), alias, concrete._meta.apps)
    if is_one_actual(selection):
        return False
    options = Options(lock_wait=lock_wait, lock_timeout=lock_timeout, notify=logger.warning, origin="first query")
    update_one(selection, options, dry_run=False)
    return True


def needed(model: type[Model], alias: str) -> Iterable[type[Model]]:
    """Return the model, those it inherits from, and those that any of these points at whose tables are missing.

    So are the models that the missing ones point at, and so on. Many-to-many tables that Django makes go with their
    models.
    """
    backend = backend_for(alias)
    with backend.session.guarded():
        existing = backend.usable([other._meta.db_table for other in reachable(model)])
    wanted = dict.fromkeys([model, *parents(model)])
    waiting = list(wanted)
    while waiting:
        for target in targets(waiting.pop()):
            if target not in wanted and target._meta.db_table not in existing:
                wanted[target] = None
                waiting.append(target)
    return [other for other in wanted if is_attached(other, alias) and not other._meta.auto_created]


def reachable(model: type[Model]) -> list[type[Model]]:
    """Return the model and all models that its relations lead to."""
    reached = {model: None}
    waiting = [model]
    while waiting:
        new = [target for target in targets(waiting.pop()) if target not in reached]
        reached.update(dict.fromkeys(new))
        waiting += new
    return list(reached)


def targets(model: type[Model]) -> Iterator[type[Model]]:
    """Yield the models that the table of a model, or one of its many-to-many tables, points at."""
    fields = (field for field in model._meta.get_fields() if field.is_relation and not field.auto_created)
    for field in fields:
        remote: Any = getattr(field, "remote_field", None)
        yield from filter(None, (field.related_model, getattr(remote, "through", None)))
    yield from parents(model)


def parents(model: type[Model]) -> Iterable[type[Model]]:
    """Return the models that the model inherits a part of its rows from."""
    return [parent._meta.concrete_model or parent for parent in model._meta.get_parent_list()]
