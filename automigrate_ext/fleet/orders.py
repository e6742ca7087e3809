"""Work on targets as plain values, and how another process or machine carries it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import replace as evolve
from typing import Any

from django.apps import apps as global_apps
from django.db import connections

from automigrate_ext.backends.fingerprint import short
from automigrate_ext.declared.selection import Models
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.fleet import recipe, targets
from automigrate_ext.fleet.looks import Looks, Seen
from automigrate_ext.fleet.places import at
from automigrate_ext.fleet.report import Outcome, Status
from automigrate_ext.fleet.run import UNKNOWN, Batch, planned_shape, shape_of
from automigrate_ext.fleet.targets import Target
from automigrate_ext.fleet.work import Result, Worker
from automigrate_ext.run.options import Options

#: The options that are values. The others are functions and streams of the process that was called.
VALUES = (
    "renames",
    "defaults",
    "accept_data_loss",
    "count_timeout",
    "prune",
    "cascade",
    "expand",
    "contract",
    "record_migrations",
    "lock_wait",
    "lock_timeout",
    "fingerprint",
    "history",
    "origin",
)


def worker_dict(worker: Worker) -> dict[str, Any]:
    """Return what a worker works by as plain values; see `worker_from`."""
    return {
        "models": labels_of(worker.looks.models),
        "options": {name: getattr(worker.options, name) for name in VALUES},
        "command": worker.command,
        "dry_run": worker.dry_run,
        "creates": worker.creates,
    }


def labels_of(models: Models) -> list[str] | None:
    """Return the labels of what was asked for, None for all models."""
    if models is None:
        return None
    asked = [models] if isinstance(models, (str, type)) else models
    return [model if isinstance(model, str) else model._meta.label for model in asked]


def worker_from(values: Mapping[str, Any]) -> Worker:
    """Return a worker from plain values, for the models that this process has."""
    options = Options(**values["options"])
    looks = Looks(models=values["models"], apps=global_apps, options=options)
    return Worker(
        looks=looks,
        options=options,
        command=values["command"],
        dry_run=values["dry_run"],
        creates=values["creates"],
    )


def batch_dict(batch: Batch) -> dict[str, Any]:
    """Return a batch as plain values; see `batch_from`."""
    return {
        "targets": [target.as_dict() for target in batch.targets],
        "shape": batch.shape,
        "recipe": batch.recipe.as_dict() if batch.recipe else None,
        "creates": batch.creates,
    }


def batch_from(values: Mapping[str, Any]) -> Batch:
    """Return a batch from plain values."""
    return Batch(
        targets=tuple(map(targets.from_dict, values["targets"])),
        shape=values["shape"],
        recipe=recipe.from_dict(values["recipe"]) if values["recipe"] else None,
        creates=values["creates"],
    )


# Databases that the project makes at run time


def without_settings(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain values of a batch without the settings of databases, in which there are passwords."""
    listed = [{**values, "settings": None, "is_made": values["settings"] is not None} for values in batch["targets"]]
    return {**batch, "targets": listed}


def with_settings(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain values of a batch with the settings that the project has for targets of these names.

    Raises `UnknownTargets` for a target that the project no longer has.
    """
    made = [values["name"] for values in batch["targets"] if values["is_made"]]
    known = {target.name: target.as_dict() for target in targets.named_targets(made)} if made else {}
    kept = [{name: value for name, value in values.items() if name != "is_made"} for values in batch["targets"]]
    return {**batch, "targets": [known.get(values["name"], values) for values in kept]}


def do(worker: Worker, batch: Batch) -> Iterator[Result]:
    """Do a batch, and yield what became of each of its targets."""
    yield from worker.batch(batch.targets, batch.shape, batch.recipe, creates=batch.creates)


def outcome_of(result: Result) -> dict[str, Any]:
    """Return what became of a target as plain values; the plan is left out, and what it has of the shape is kept."""
    outcome = result.outcome
    if outcome.shape.startswith(UNKNOWN) and result.plan is not None:
        outcome = evolve(outcome, shape=planned_shape(result.plan))
    return outcome.as_dict()


def forbid_transaction(what: str) -> None:
    """Raise `AutomigrateError` inside a transaction, which no other process sees."""
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            raise AutomigrateError(
                f"{what}: other processes do not see what the transaction that this run is in has done "
                f"(database {connection.alias!r}). Nothing was done. Run it outside of atomic()."
            )


# Work that somebody else may have begun


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The targets of a batch that somebody else may have done in part.

    `matching` are the targets with nothing left to do, `same` is the batch of those that are as they were when the
    batch was made, `gone` are those that are no longer there, and `others` those that have become something else.
    """

    matching: tuple[Target, ...]
    same: Batch
    gone: tuple[Target, ...]
    others: tuple[Target, ...]


def find(worker: Worker, batch: Batch) -> Found:
    """Return what has become of the targets of a batch, by one look."""
    kinds: dict[str, list[Target]] = {"matching": [], "same": [], "gone": [], "others": []}
    for seen in worker.looks.see(batch.targets):
        kinds[kind_of(worker, batch, seen)].append(seen.target)
    matching, same, gone, others = map(tuple, kinds.values())
    return Found(matching=matching, same=evolve(batch, targets=same), gone=gone, others=others)


def kind_of(worker: Worker, batch: Batch, seen: Seen) -> str:
    """Return the field of `Found` that a target belongs to."""
    if seen.seal is not None and worker.command == "autoupdate":
        return "matching"
    if shape_of(seen) == batch.shape:
        return "same"
    return "gone" if seen.is_absent else "others"


def do_the_rest(worker: Worker, batch: Batch) -> Iterator[Result]:
    """Do what somebody else has left undone of a batch, and yield what became of each of its targets."""
    found = find(worker, batch)
    for target in found.matching:
        yield Result(outcome=done_by_another(target, batch))
    for target in found.gone:
        yield Result(outcome=Outcome(target=target.name, status=Status.ABSENT, shape=batch.shape))
    yield from do(worker, found.same)
    for target in found.others:
        yield worker.alone(target, batch.shape)


def done_by_another(target: Target, batch: Batch) -> Outcome:
    """Return the outcome of a target that matches now, and did not when the batch was made."""
    changes = batch.recipe.changes if batch.recipe else 0
    return Outcome(target=target.name, status=Status.CHANGED, shape=batch.shape, changes=changes)


def declared(worker: Worker, target: Target) -> str:
    """Return a digest of what the models of this process declare for a target, and of all that this depends on."""
    with at(target):
        standing = worker.family_in(target).standing
        models = (f"{table} {digest}" for table, digest in sorted(standing.models.items()))
        return short((standing.own_note, *models))
