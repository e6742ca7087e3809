"""Send pre_migrate and post_migrate as `migrate` does, so that content types, permissions and sites appear."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast
from weakref import ReferenceType

from django.apps import apps as global_apps
from django.apps.registry import Apps
from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
from django.db import router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import Model
from django.db.models.signals import post_migrate, pre_migrate
from django.dispatch import Signal
from django.utils.module_loading import module_has_submodule

from automigrate_ext.declared.selection import models_of

if TYPE_CHECKING:
    from automigrate_ext.backends.base import Backend

#: Whether a receiver is concerned.
Concerned = Callable[[Any], bool]
#: Sent in a run's transaction before it changes anything, with `using`, `command` ("autoupdate" or "automigrate"),
#: `apps`, `verbosity`, `interactive` and `stdout`.
pre_run = Signal()
#: Sent in a run's transaction once the tables are changed and `post_migrate` was sent, with the same and `plan`.
post_run = Signal()


def send_pre_migrate(backend: Backend, apps: Apps, *, verbosity: int, interactive: bool, stdout: Any) -> None:
    """Tell receivers that tables are about to change; they see the models whose tables exist."""
    import_management_modules()
    backend.connection.prepare_database()
    registry = existing_models(apps, backend)
    emit_pre_migrate_signal(verbosity, interactive, backend.connection.alias, stdout=stdout, apps=registry, plan=[])


def send_post_migrate(backend: Backend, apps: Apps, *, verbosity: int, interactive: bool, stdout: Any) -> None:
    """Tell receivers that tables have changed; they see the models whose tables exist."""
    registry = existing_models(apps, backend)
    emit_post_migrate_signal(verbosity, interactive, backend.connection.alias, stdout=stdout, apps=registry, plan=[])


def everyone(receiver: Any) -> bool:
    return True


def send_again(connection: BaseDatabaseWrapper, *, verbosity: int, to: Concerned = everyone) -> None:
    """Tell the receivers concerned, as `migrate` does that has nothing to do; all tables of the models are there."""
    import_management_modules()
    connection.prepare_database()
    for signal, emit in ((pre_migrate, emit_pre_migrate_signal), (post_migrate, emit_post_migrate_signal)):
        with only(signal, to):
            emit(verbosity, False, connection.alias, stdout=None, apps=global_apps, plan=[])


def receivers() -> list[Any]:
    """All receivers of the two signals, once the modules are there that connect them."""
    import_management_modules()
    found = map(receiver_of, (*pre_migrate.receivers, *post_migrate.receivers))
    return [receiver for receiver in found if receiver is not None]


@contextmanager
def only(signal: Signal, to: Concerned) -> Iterator[None]:
    """Let the signal tell the receivers concerned alone, and those that are connected meanwhile.

    In the place of the others stand ones that do nothing, so that they may be disconnected as ever.
    """
    pairs = [(entry if is_for(to, entry) else silenced(entry), entry) for entry in signal.receivers]
    signal.receivers = [stand_in for stand_in, _ in pairs]
    # Found again by identity: one that is connected anew has the key of the one that it follows.
    back = {id(stand_in): entry for stand_in, entry in pairs}
    try:
        yield
    finally:
        signal.receivers = [back.get(id(entry), entry) for entry in signal.receivers]


def is_for(to: Concerned, entry: Sequence[Any]) -> bool:
    """Whether what the signal keeps is a receiver that is there and concerned."""
    receiver = receiver_of(entry)
    return receiver is not None and to(receiver)


def silenced(entry: Sequence[Any]) -> Sequence[Any]:
    """The same for a receiver that does nothing."""
    return (entry[0], hear_nothing_async if entry[-1] else hear_nothing, *entry[2:])


def hear_nothing(**options: Any) -> None:
    """Do nothing in the place of a receiver."""


async def hear_nothing_async(**options: Any) -> None:
    """Do nothing in the place of one that is awaited."""


def receiver_of(entry: Sequence[Any]) -> Any:
    """The receiver of which the signal keeps this entry, None where it is gone."""
    reference = entry[1]
    return reference() if isinstance(reference, ReferenceType) else reference


def import_management_modules() -> None:
    """Import the modules in which apps connect their receivers, as `migrate` does."""
    for app_config in global_apps.get_app_configs():
        if module_has_submodule(app_config.module, "management"):
            import_module(".management", app_config.name)


def existing_models(apps: Apps, backend: Backend) -> Apps:
    """The registry, or where tables are missing a registry without their models.

    Receivers ask the registry for a model before they query its table, as they must under `migrate`.
    """
    models = [model for model in models_of(apps) if model._meta.managed]
    here = [model for model in models if router.allow_migrate_model(backend.connection.alias, model)]
    here = [model for model in here if not model._meta.proxy and not model._meta.swapped]
    there = backend.existing([model._meta.db_table for model in here])
    missing = {model for model in here if model._meta.db_table not in there}
    if not missing:
        return apps
    return cast(Apps, state_of(apps, missing).apps)


def state_of(apps: Apps, missing: set[type[Model]]) -> ProjectState:
    """The state of all models but the missing ones and those that cannot be without them."""
    missing = set(missing)
    models = [model for model in models_of(apps) if model not in missing]
    while leaning := {model for model in models if leans_on(model, missing)}:
        missing |= leaning
        models = [model for model in models if model not in leaning]
    state = ProjectState(real_apps=set())
    for model in models:
        state.add_model(ModelState.from_model(model))
    return state


def leans_on(model: type[Model], missing: Collection[type[Model]]) -> bool:
    """Whether the model refers to, inherits from or is a proxy of a missing one."""
    forward = (field for field in model._meta.get_fields() if field.is_relation and not field.auto_created)
    related = {field.related_model for field in forward}
    bases = set(model.__mro__[1:]) | {model._meta.concrete_model}
    throughs = {field.remote_field.through for field in model._meta.local_many_to_many}
    return not (related | bases | throughs).isdisjoint(missing)


def fingerprint(models: Iterable[type[Model]]) -> str:
    """A text that changes when something does that post_migrate receivers turn into rows: names and permissions."""
    facts = sorted(
        [model._meta.label, list(model._meta.default_permissions), [list(p) for p in model._meta.permissions]]
        for model in models
    )
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]
