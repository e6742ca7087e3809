"""The task of django.tasks that workers carry out: one batch of a run over many targets. Needs Django 6.0 or later."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from django.tasks import DEFAULT_TASK_QUEUE_NAME, task, task_backends

from automigrate_ext.fleet import orders
from automigrate_ext.fleet.work import Result, Worker


def queue_name(alias: str) -> str:
    """Return the queue that tasks go to: the default one, or the first where the backend does not have that."""
    names = task_backends.settings[alias].get("QUEUES") or [DEFAULT_TASK_QUEUE_NAME]
    return DEFAULT_TASK_QUEUE_NAME if DEFAULT_TASK_QUEUE_NAME in names else str(names[0])


#: Some backend: a run sends its tasks to the one that it is given.
ANY_BACKEND = next(iter(task_backends.settings))


@task(backend=ANY_BACKEND, queue_name=queue_name(ANY_BACKEND))
def do_batch(worker: dict[str, Any], batch: dict[str, Any], declared: str) -> dict[str, Any]:
    """Do a batch of a run; return the outcomes of its targets as plain values, or why nothing was done.

    The batch may be done already, in part or by somebody else at this moment. Targets that match are passed over, and
    those that are not as they were when the batch was made are left to the run, with no outcome.
    """
    own, work = worker_of(json.dumps(worker)), orders.batch_from(orders.with_settings(batch))
    if orders.declared(own, work.targets[0]) != declared:
        return {"outcomes": [], "reason": "the worker has other models, settings or versions than the run"}
    found = orders.find(own, work)
    done = [Result(outcome=orders.done_by_another(target, work)) for target in found.matching]
    done += orders.do(own, found.same)
    return {"outcomes": [orders.outcome_of(result) for result in done], "reason": ""}


@lru_cache(maxsize=4)
def worker_of(text: str) -> Worker:
    """Return what works on targets as the JSON of `orders.worker_dict` has it, and keeps what it has learnt of them."""
    return orders.worker_from(json.loads(text))
