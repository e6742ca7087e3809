"""Digests of what the models declare, and of all else on which it depends what a comparison makes of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import django
from django.apps.registry import Apps
from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

import automigrate_ext
from automigrate_ext import conf, signals
from automigrate_ext.backends.fingerprint import short
from automigrate_ext.declared.editor import unasking_editor, wording
from automigrate_ext.declared.former_names import former_names
from automigrate_ext.declared.selection import Selection, is_attached, models_of, registered
from automigrate_ext.declared.unwritten import unwritten
from automigrate_ext.run import hooks

if TYPE_CHECKING:
    from automigrate_ext.declared.blueprint import Blueprint

#: A number that changes when digests of another version of this package mean something else.
FORM = 1


def of_basis(selection: Selection) -> str:
    """Return a digest of what all tables depend on, and the rows that receivers of `post_migrate` write.

    These are versions, the engine, settings, the entries of AUTOMIGRATE with their texts, the names of all tables that
    models have, and permissions.
    """
    connection = connections[selection.alias]
    facts = (
        *versions(connection),
        settings.USE_TZ,
        connection.timezone_name,
        selection.alone,
        sorted(claimed_tables(selection.apps)),
        sorted(conf.renames().items()),
        conf.value(conf.TENANT_SCHEMAS, ()),
        signals_fingerprint(selection),
        *of_entries(selection.alias),
    )
    return short(map(str, facts))


def versions(connection: BaseDatabaseWrapper) -> Iterator[object]:
    """Yield the versions of whatever reads or prints a definition."""
    yield FORM
    yield sys.version_info[:2]
    yield django.get_version()
    yield automigrate_ext.__version__
    yield connection.vendor
    yield connection.get_database_version()
    yield getattr(connection.Database, "__version__", "")  # type: ignore[attr-defined]
    yield connection.settings_dict["ENGINE"]
    editor: Any = connection.SchemaEditorClass
    yield f"{editor.__module__}.{editor.__qualname__}"
    yield engine_version(str(connection.settings_dict["ENGINE"]).partition(".")[0])


@cache
def engine_version(package: str) -> str:
    """Return the version of the package that an engine comes with; "" where it has none."""
    if package == "django":
        return ""
    # Only for engines that are not Django's.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return str(getattr(sys.modules.get(package), "__version__", ""))


def of_entries(alias: str) -> Iterator[str]:
    """Yield what the setting AUTOMIGRATE has for a database besides its models, and digests of the hooks' text."""
    yield from conf.entries(conf.EXTENSIONS, alias)
    for key in (conf.BEFORE, conf.AFTER):
        for hook in hooks.load(key, alias):
            yield from (hook.identity, hook.digest)


def of_models(selection: Selection, drawn: Mapping[str, Blueprint] | None = None) -> dict[str, str]:
    """Return a digest of what each model asks for, by table: all statements that make it, and what else matters of it.

    `drawn` are the blueprints that are there already, by table.
    """
    editor = unasking_editor(connections[selection.alias])
    digests = {}
    for model in selection.models:
        blueprint = (drawn or {}).get(model._meta.db_table)
        words = blueprint.wording() if blueprint and not blueprint.is_swayed else wording(editor, model)
        digests[model._meta.db_table] = short((*unwritten(model), *words))
    return digests


def claimed_tables(apps: Apps) -> frozenset[str]:
    """Return the tables of all models of a registry, managed or not: nobody else's, whatever a run is of."""
    return frozenset(model._meta.db_table for model in registered(apps))


def targets(models: Iterable[type[Model]]) -> Iterator[str]:
    """Yield the tables at which fields of the models point."""
    for model in models:
        for field in model._meta.local_fields:
            if field.remote_field:
                target: Any = field.remote_field.model
                yield target._meta.db_table


def signals_fingerprint(selection: Selection) -> str:
    """Return a text that changes with what receivers of `post_migrate` turn into rows."""
    return signals.fingerprint(model for model in models_of(selection.apps) if sends_for(model, selection.alias))


def sends_for(model: Any, alias: str) -> bool:
    """Return whether receivers of `post_migrate` see a model in this database."""
    return model._meta.proxy or is_attached(model, alias)


def has_hints(selection: Selection) -> bool:
    """Return whether anything hints at renames: the setting, or a model."""
    return bool(conf.renames()) or any(map(former_names, selection.models))
