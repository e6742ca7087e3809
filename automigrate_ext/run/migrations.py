"""Which migrations a project has, and marking exactly these as applied, without loading them."""

from __future__ import annotations

import os
import pkgutil
import re
from collections.abc import Collection, Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from django.apps import AppConfig, apps
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder
from django.utils.timezone import now

#: The table in which Django records migrations.
TABLE: str = MigrationRecorder.Migration._meta.db_table
#: A migration by its app and name.
MigrationKey = tuple[str, str]
#: The setting MIGRATION_MODULES, or what stands in for it.
Modules = Mapping[str, str | None]
#: A squashed migration says what it replaces, and by this word.
REPLACES = re.compile(rb"\breplaces\b")


def on_disk(modules: Modules) -> frozenset[MigrationKey]:
    """The migrations of the installed apps by the names of their files."""
    return frozenset(key for key, _, _ in found(modules))


def done(modules: Modules) -> frozenset[MigrationKey]:
    """The migrations on disk and those that squashed ones stand for; no others than squashed ones are imported."""
    keys: set[MigrationKey] = set()
    for key, module, path in found(modules):
        keys.add(key)
        if may_replace(path):
            migration: Any = import_module(module)
            keys |= set(map(tuple, migration.Migration.replaces))
    return frozenset(keys)


def found(modules: Modules) -> Iterator[tuple[MigrationKey, str, str]]:
    """The migrations of the installed apps, each with its module and where its source would be."""
    for config in apps.get_app_configs():
        if package := package_of(config, modules):
            for name, path in files_of(package):
                yield (config.label, name), f"{package.__name__}.{name}", path


def may_replace(path: str) -> bool:
    """Whether a migration may be a squashed one, as its source says; also where there is none."""
    try:
        with open(path, "rb") as file:
            return REPLACES.search(file.read()) is not None
    except FileNotFoundError:
        return True


def package_of(config: AppConfig, modules: Modules) -> ModuleType | None:
    """The package of an app's migrations, or None where it has none.

    Source: MigrationLoader.migrations_module() and load_disk() in django/db/migrations/loader.py.
    """
    explicit = config.label in modules
    name = modules[config.label] if explicit else f"{config.name}.migrations"
    if name is None:
        return None
    try:
        package = import_module(name)
    except ModuleNotFoundError as error:
        if explicit or error.name != name:
            raise
        return None
    path = getattr(package, "__path__", None)
    is_namespace = getattr(package, "__file__", None) is None and not isinstance(path, list)
    return None if path is None or is_namespace else package


def files_of(package: ModuleType) -> Iterator[tuple[str, str]]:
    """The names of the migrations in a package, and where their source would be."""
    for info in pkgutil.iter_modules(package.__path__):
        if not info.ispkg and info.name[0] not in "_~":
            yield info.name, os.path.join(getattr(info.module_finder, "path", ""), f"{info.name}.py")


def applied(alias: str) -> frozenset[MigrationKey]:
    """The migrations that the database has recorded, in the table that has to be there."""
    rows = MigrationRecorder.Migration.objects.using(alias)
    return frozenset(rows.values_list("app", "name"))


def record(connection: BaseDatabaseWrapper, modules: Modules, gone: Collection[str] = ()) -> frozenset[MigrationKey]:
    """Mark as applied what is on disk, and nothing else of the installed apps and the `gone` ones.

    A database that has what the models say has had all their migrations, and none of another branch's. Returns what
    is recorded then.
    """
    recorder = MigrationRecorder(connection)
    recorder.ensure_schema()
    wanted, there = done(modules), applied(connection.alias)
    here = {config.label for config in apps.get_app_configs()} | set(gone)
    rows = [recorder.Migration(app=app, name=name, applied=now()) for app, name in sorted(wanted - there)]
    recorder.migration_qs.bulk_create(rows, batch_size=250)
    unwanted = {key for key in there - wanted if key[0] in here}
    for app, name in sorted(unwanted):
        recorder.record_unapplied(app, name)
    return (there | wanted) - unwanted
