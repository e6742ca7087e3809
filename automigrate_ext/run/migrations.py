"""Read which migrations a project has and a database has recorded, and record them as applied."""

from __future__ import annotations

import os
import pkgutil
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig, apps
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration, RunPython, RunSQL, SeparateDatabaseAndState
from django.db.migrations.operations.fields import FieldOperation
from django.db.migrations.operations.models import IndexOperation, ModelOperation
from django.db.migrations.recorder import MigrationRecorder
from django.utils.timezone import now

from automigrate_ext.words import plural

if TYPE_CHECKING:
    from automigrate_ext.backends.base import Backend

#: The table in which Django records migrations (`MigrationRecorder.Migration`, a model that only a set-up Django has).
TABLE = "django_migrations"
#: A migration by its app and name.
MigrationKey = tuple[str, str]
#: The setting MIGRATION_MODULES, or what stands in for it.
Modules = Mapping[str, str | None]
#: The attribute by which a squashed migration lists those that it replaces.
REPLACES = re.compile(rb"\breplaces\b")
POSTGRESQL_OPERATIONS = "django.contrib.postgres.operations"
#: Migrations whose code does nothing in a database without rows of an older version, and why. Code that is Django's own
#: `noop`, as in contenttypes.0002, needs no entry.
HARMLESS: Mapping[MigrationKey, str] = {
    ("auth", "0011_update_proxy_permissions"): "moves the permissions that proxy models had before Django 2.2",
}


def on_disk(modules: Modules) -> frozenset[MigrationKey]:
    """Return the migrations of the installed apps by the names of their files; nothing of them is imported."""
    return frozenset(key for key, _, _ in walk(modules))


def done(modules: Modules) -> frozenset[MigrationKey]:
    """Return the migrations on disk and those that squashed ones replace; only squashed ones are imported."""
    keys: set[MigrationKey] = set()
    for key, module, path in walk(modules):
        keys.add(key)
        if may_replace(path):
            migration: Any = import_module(module)
            keys |= set(map(tuple, migration.Migration.replaces))
    return frozenset(keys)


def walk(modules: Modules) -> Iterator[tuple[MigrationKey, str, str]]:
    """Yield the migrations of the installed apps, each with its module and the path where its source would be."""
    for config in apps.get_app_configs():
        if package := package_of(config, modules):
            for name, path in files_of(package):
                yield (config.label, name), f"{package.__name__}.{name}", path


def may_replace(path: str) -> bool:
    """Return whether a migration may be a squashed one, judging by its source; True where there is no source."""
    try:
        with open(path, "rb") as file:
            return REPLACES.search(file.read()) is not None
    except FileNotFoundError:
        return True


def package_of(config: AppConfig, modules: Modules) -> ModuleType | None:
    """Return the package of an app's migrations, or None where the app has none.

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
    """Yield the names of the migrations in a package, each with the path where its source would be."""
    for info in pkgutil.iter_modules(package.__path__):
        if not info.ispkg and info.name[0] not in "_~":
            yield info.name, os.path.join(getattr(info.module_finder, "path", ""), f"{info.name}.py")


def applied(alias: str) -> frozenset[MigrationKey]:
    """Return the migrations that the database has recorded; the table of Django's record has to exist."""
    rows = MigrationRecorder.Migration.objects.using(alias)
    return frozenset(rows.values_list("app", "name"))


# Migrations that do more than change tables


def load_each(label: str, modules: Modules) -> Iterator[tuple[str, Migration | Exception]]:
    """Yield the names of the migrations of an installed app, each with the migration or why it cannot be loaded."""
    package = package_of(apps.get_app_config(label), modules)
    for name, _ in files_of(package) if package else ():
        try:
            assert package
            module: Any = import_module(f"{package.__name__}.{name}")
            yield name, module.Migration(name, label)
        except Exception as error:
            yield name, error


def coded_operations(
    key: MigrationKey, migration: Migration, extensions: Collection[str] | None = None
) -> tuple[str, ...]:
    """Return the kinds of the operations of a migration that do more than change tables, each once."""
    return () if key in HARMLESS else tuple(dict.fromkeys(code_in(migration.operations, extensions)))


def code_in(operations: Iterable[Any], extensions: Collection[str] | None = None) -> Iterator[str]:
    """Yield the kinds of operations, or of the operations in them, that do what no model declares."""
    for operation in operations:
        if isinstance(operation, SeparateDatabaseAndState):
            yield from code_in(operation.database_operations, extensions)
        elif not does_nothing(operation) and not is_about_tables(operation, extensions):
            yield type(operation).__name__


def does_nothing(operation: Any) -> bool:
    """Return whether an operation is the one that Django has for nothing, or changes the state of migrations alone."""
    if isinstance(operation, RunPython):
        return operation.code == RunPython.noop
    return isinstance(operation, RunSQL) and not operation.sql


def is_about_tables(operation: Any, extensions: Collection[str] | None) -> bool:
    """Return whether an operation changes tables as models declare them, or makes an extension that is made anyway.

    Without `extensions` no extension counts, as on databases that have none.
    """
    if isinstance(operation, (ModelOperation, FieldOperation, IndexOperation)):
        return True
    # The module needs psycopg, and is loaded where a migration has such an operation.
    kinds = {kind.__name__ for kind in type(operation).__mro__ if kind.__module__ == POSTGRESQL_OPERATIONS}
    makes_extension = "CreateExtension" in kinds and (extensions is None or operation.name in extensions)
    return makes_extension or "ValidateConstraint" in kinds


def record_all(
    backend: Backend, notify: Callable[[str], None], extensions: Collection[str] | None = None
) -> tuple[MigrationKey, ...]:
    """Record the migrations on disk as applied, so that a later `migrate` has nothing to do; remove no others.

    Django's record is the one in the place of new tables. All migrations are imported. Returns those that were missing
    from the record; if there are any, `notify` is given one line about them. Raises what Django's `MigrationLoader`
    raises.
    """
    # Kept test databases load this module, and tests wait for what is loaded.
    from django.db.migrations.loader import MigrationLoader

    connection = backend.connection
    if not backend.existing([TABLE]):
        create_table(backend)
    disk_migrations = MigrationLoader(connection, ignore_no_migrations=True).disk_migrations
    replaced = {key for migration in disk_migrations.values() for key in migration.replaces}
    missing = tuple(sorted((set(disk_migrations) | replaced) - applied(connection.alias)))
    record(backend, missing)
    if missing:
        notify(describe(missing, disk_migrations, extensions))
    return missing


def record(backend: Backend, keys: Collection[MigrationKey]) -> None:
    """Record migrations that are not recorded yet as applied; make Django's record where there is none."""
    if not backend.existing([TABLE]):
        create_table(backend)
    recorder = MigrationRecorder(backend.connection)
    recorder.migration_qs.bulk_create(as_rows(recorder, sorted(keys)), batch_size=250)


def create_table(backend: Backend) -> None:
    """Make Django's record of migrations, in the place of new tables.

    Not by `MigrationRecorder.ensure_schema`, which is content with a table of a later schema of the search path.
    """
    with backend.connection.schema_editor() as editor:
        editor.create_model(MigrationRecorder.Migration)


def record_exactly(connection: BaseDatabaseWrapper, modules: Modules, gone: Collection[str] = ()) -> None:
    """Record what is on disk as applied, and remove all other migrations of the installed apps and the `gone` ones.

    This is for test databases: one that matches the models has had all migrations on disk, and none of another
    branch's. Only squashed migrations are imported.
    """
    recorder = MigrationRecorder(connection)
    recorder.ensure_schema()
    wanted, recorded = done(modules), applied(connection.alias)
    recorder.migration_qs.bulk_create(as_rows(recorder, sorted(wanted - recorded)), batch_size=250)
    labels = {config.label for config in apps.get_app_configs()} | set(gone)
    for app, name in sorted(key for key in recorded - wanted if key[0] in labels):
        recorder.record_unapplied(app, name)


def as_rows(recorder: MigrationRecorder, keys: Iterable[MigrationKey]) -> list[Any]:
    """Return rows of Django's record of migrations, applied now."""
    return [recorder.Migration(app=app, name=name, applied=now()) for app, name in keys]


def describe(
    keys: Sequence[MigrationKey],
    disk_migrations: Mapping[MigrationKey, Migration],
    extensions: Collection[str] | None = None,
) -> str:
    """Return one line on the migrations that were recorded, naming those that do more than change tables."""
    there = (key for key in keys if key in disk_migrations)
    coded = [".".join(key) for key in there if coded_operations(key, disk_migrations[key], extensions)]
    words = f" These do more than change tables: {', '.join(coded)}." if coded else ""
    return f"{plural(len(keys), 'migration')} marked as applied without being run.{words}"
