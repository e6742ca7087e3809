"""From "todo", "todo.Todo", Todo or a list of these to the models of one database."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.apps.registry import Apps
from django.db import connections, router
from django.db.models import Model

from automigrate_ext.exceptions import UnknownModels

Label = str | type[Model]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The models of a run, auto-created many-to-many models after their owners.

    `everything` says that no label was given; `app_labels` are the apps that were named as a whole,
    `labels` all that was named, or None.
    """

    alias: str
    apps: Apps
    models: tuple[type[Model], ...]
    everything: bool = False
    app_labels: frozenset[str] = frozenset()
    labels: tuple[str, ...] | None = None

    def covers(self, owner: str) -> bool:
        """Whether a table that this model declared, and declares no more, belongs to the run.

        Tables of apps that the registry does not have are left alone: another project may share the database.
        """
        app_label, _, _ = owner.partition(".")
        if self.everything:
            return app_label in self.apps.app_configs or app_label in self.apps.all_models
        return app_label in self.app_labels or owner in {model._meta.label for model in self.models}


def select(models: Label | Iterable[Label] | None, alias: str, apps: Apps) -> Selection:
    """The models that are meant, for one database.

    Without labels these are all models that the database's router lets in. Raises `UnknownModels` with
    every label that names no model, several models, or one that has no table there.
    """
    attached = [model for model in models_of(apps) if is_attached(model, alias)]
    if models is None:
        return Selection(alias=alias, apps=apps, models=with_many_to_many(attached, alias), everything=True)
    labels: list[Any] = [models] if isinstance(models, (str, type)) else list(models)
    chosen: dict[type[Model], None] = {}
    app_labels = set()
    problems = []
    for label in labels:
        if isinstance(label, str) and (label in apps.app_configs or label in apps.all_models):
            app_labels.add(label)
            chosen.update(dict.fromkeys(model for model in attached if model._meta.app_label == label))
            continue
        if not isinstance(label, (str, type)):
            problems.append(f"{label!r} (neither a label nor a model)")
            continue
        found = find(label, apps)
        problem = explain(label, found, alias, apps)
        if problem:
            problems.append(problem)
        else:
            chosen[found[0]] = None
    if problems:
        raise UnknownModels(
            f"Cannot migrate models not attached to database {alias!r}: {'; '.join(problems)}. Nothing was done."
        )
    return Selection(
        alias=alias,
        apps=apps,
        models=with_many_to_many(chosen, alias),
        app_labels=frozenset(app_labels),
        labels=tuple(label if isinstance(label, str) else label._meta.label for label in labels),
    )


def models_of(apps: Apps) -> list[type[Model]]:
    """All models of a registry but the ones that Django made itself, swapped ones included.

    `Apps.get_models` asks the installed apps, which a registry made by hand does not have.
    """
    return [model for of_app in apps.all_models.values() for model in of_app.values() if not model._meta.auto_created]


def is_attached(model: type[Model], alias: str) -> bool:
    """Whether the model has a table of its own that is managed in the database."""
    return model._meta.can_migrate(connections[alias]) and router.allow_migrate_model(alias, model)


def with_many_to_many(models: Iterable[type[Model]], alias: str) -> tuple[type[Model], ...]:
    """The models, each followed by the many-to-many models that Django made for it."""
    found: dict[type[Model], None] = {}
    for model in models:
        found[model] = None
        for field in model._meta.local_many_to_many:
            through: Any = field.remote_field.through
            if through._meta.auto_created and is_attached(through, alias):
                found[through] = None
    return tuple(found)


def find(label: Label, apps: Apps) -> list[type[Model]]:
    """The models that a label may mean; case does not matter for a model's name."""
    if not isinstance(label, str):
        known = (model for of_app in apps.all_models.values() for model in of_app.values())
        same = (model for model in known if model._meta.label == label._meta.label)
        return list(same) or [label]
    app_label, dot, name = label.rpartition(".")
    return [
        model
        for model in models_of(apps)
        if model._meta.model_name == name.lower() and (not dot or model._meta.app_label == app_label)
    ]


def explain(label: Label, found: list[type[Model]], alias: str, apps: Apps) -> str:
    """What is wrong with a label, or "" where it names one model of the database."""
    name = label if isinstance(label, str) else label._meta.label
    if not found:
        return f"{name} ({'; '.join(('no such app or model', *suggestions(name, apps)))})"
    if len(found) > 1:
        return f"{name} (ambiguous: {', '.join(sorted(model._meta.label for model in found))})"
    reason = why_detached(found[0], alias)
    return f"{name} ({reason})" if reason else ""


def suggestions(name: str, apps: Apps) -> Iterator[str]:
    """The labels that look most like an unknown one."""
    models = models_of(apps)
    known = [
        *apps.app_configs,
        *(model._meta.label for model in models),
        *(model.__name__ for model in models),
    ]
    close = difflib.get_close_matches(name, dict.fromkeys(known), n=3)
    if close:
        yield f"did you mean {' or '.join(close)}?"


def why_detached(model: type[Model], alias: str) -> str:
    """Why a model has no table that is managed in the database, or "" where it has one."""
    opts = model._meta
    if opts.proxy:
        assert opts.concrete_model is not None
        return f"a proxy model; its table belongs to {opts.concrete_model._meta.label}"
    if not opts.managed:
        return "an unmanaged model"
    if opts.swapped:
        return f"swapped out for {opts.swapped}"
    if not opts.can_migrate(connections[alias]):
        return f"it requires a database with other features than {alias!r} has"
    if not router.allow_migrate_model(alias, model):
        return "routed to another database"
    return ""
