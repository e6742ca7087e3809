"""Send pre_migrate and post_migrate as `migrate` does, so that content types, permissions and sites are made."""

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

#: Returns whether a receiver is concerned.
Concerned = Callable[[Any], bool]
#: Sent in a run's transaction before it changes anything, with `using`, `command` ("autoupdate" or "automigrate"),
#: `apps`, `verbosity`, `interactive` and `stdout`.
pre_run = Signal()
#: Sent in a run's transaction once the tables are changed and `post_migrate` was sent, with the same and `plan`.
post_run = Signal()


def send_pre_migrate(backend: Backend, apps: Apps, *, verbosity: int, interactive: bool, stdout: Any) -> None:
    """Send pre_migrate before tables change; receivers get a registry of the models whose tables exist."""
    import_management_modules()
    backend.connection.prepare_database()
    registry = existing_models(apps, backend)
    emit_pre_migrate_signal(verbosity, interactive, backend.connection.alias, stdout=stdout, apps=registry, plan=[])


def send_post_migrate(backend: Backend, apps: Apps, *, verbosity: int, interactive: bool, stdout: Any) -> None:
    """Send post_migrate once tables have changed; receivers get a registry of the models whose tables exist."""
    registry = existing_models(apps, backend)
    emit_post_migrate_signal(verbosity, interactive, backend.connection.alias, stdout=stdout, apps=registry, plan=[])


def is_any(receiver: Any) -> bool:
    """Return that any receiver is concerned."""
    return True


def send_again(connection: BaseDatabaseWrapper, *, verbosity: int, to: Concerned = is_any) -> None:
    """Send both signals to the receivers concerned, as `migrate` with nothing to do does; all tables exist."""
    import_management_modules()
    connection.prepare_database()
    for signal, emit in ((pre_migrate, emit_pre_migrate_signal), (post_migrate, emit_post_migrate_signal)):
        with restricted(signal, to):
            emit(verbosity, False, connection.alias, stdout=None, apps=global_apps, plan=[])


def receivers() -> list[Any]:
    """Return all receivers of the two signals, once the modules that connect them are imported."""
    import_management_modules()
    connected = map(receiver_of, (*pre_migrate.receivers, *post_migrate.receivers))
    return [receiver for receiver in connected if receiver is not None]


@contextmanager
def restricted(signal: Signal, to: Concerned) -> Iterator[None]:
    """Keep a signal from all receivers but those concerned, and those that are connected while the block runs.

    Receivers that do nothing take the place of the others, so that these may be disconnected as usual.
    """
    pairs = [(entry if is_for(to, entry) else silenced(entry), entry) for entry in signal.receivers]
    signal.receivers = [stand_in for stand_in, _ in pairs]
    # By identity, because a receiver that is disconnected and connected again has the same key as before.
    back = {id(stand_in): entry for stand_in, entry in pairs}
    try:
        yield
    finally:
        signal.receivers = [back.get(id(entry), entry) for entry in signal.receivers]


def is_for(to: Concerned, entry: Sequence[Any]) -> bool:
    """Return whether a signal's entry is of a receiver that still exists and is concerned."""
    receiver = receiver_of(entry)
    return receiver is not None and to(receiver)


def silenced(entry: Sequence[Any]) -> Sequence[Any]:
    """Return a signal's entry with a receiver that does nothing."""
    return (entry[0], do_nothing_async if entry[-1] else do_nothing, *entry[2:])


def do_nothing(**options: Any) -> None:
    """Do nothing in the place of a receiver."""


async def do_nothing_async(**options: Any) -> None:
    """Do nothing in the place of a receiver that is awaited."""


def receiver_of(entry: Sequence[Any]) -> Any:
    """Return the receiver of a signal's entry, None where it no longer exists."""
    reference = entry[1]
    return reference() if isinstance(reference, ReferenceType) else reference


def import_management_modules() -> None:
    """Import the modules in which apps connect their receivers, as `migrate` does."""
    for app_config in global_apps.get_app_configs():
        if module_has_submodule(app_config.module, "management"):
            import_module(".management", app_config.name)


def existing_models(apps: Apps, backend: Backend) -> Apps:
    """Return the registry, or one without the models whose tables are missing, if there are any.

    Receivers ask the registry for a model before they query its table, as they must under `migrate`.
    """
    models = [model for model in models_of(apps) if model._meta.managed]
    routed = [model for model in models if router.allow_migrate_model(backend.connection.alias, model)]
    routed = [model for model in routed if not model._meta.proxy and not model._meta.swapped]
    tables = [model._meta.db_table for model in routed]
    existing = backend.session.steadily(lambda: backend.usable(tables))
    missing = {model for model in routed if model._meta.db_table not in existing}
    if not missing:
        return apps
    return cast(Apps, state_without(apps, missing).apps)


def state_without(apps: Apps, missing: set[type[Model]]) -> ProjectState:
    """Return the state of all models but the missing ones and those that depend on them."""
    missing = set(missing)
    models = [model for model in models_of(apps) if model not in missing]
    while dependents := {model for model in models if depends_on(model, missing)}:
        missing |= dependents
        models = [model for model in models if model not in dependents]
    state = ProjectState(real_apps=set())
    for model in models:
        state.add_model(ModelState.from_model(model))
    return state


def depends_on(model: type[Model], missing: Collection[type[Model]]) -> bool:
    """Return whether the model refers to, inherits from or is a proxy of a missing one."""
    forward = (field for field in model._meta.get_fields() if field.is_relation and not field.auto_created)
    related = {field.related_model for field in forward}
    bases = set(model.__mro__[1:]) | {model._meta.concrete_model}
    throughs = {field.remote_field.through for field in model._meta.local_many_to_many}
    return not (related | bases | throughs).isdisjoint(missing)


def fingerprint(models: Iterable[type[Model]]) -> str:
    """Return a digest of what post_migrate receivers turn into rows: the models' names and permissions."""
    facts = sorted(
        [model._meta.label, list(model._meta.default_permissions), [list(p) for p in model._meta.permissions]]
        for model in models
    )
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]
