"""Digests of what a test database depends on: versions and settings, models, migrations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import django
from django.db.backends.base.base import BaseDatabaseWrapper

import automigrate_ext
from automigrate_ext import conf, signals
from automigrate_ext.backends.copies import short
from automigrate_ext.declared.editor import collecting_editor, wording
from automigrate_ext.declared.selection import Selection, models_of
from automigrate_ext.run import hooks
from automigrate_ext.run.migrations import MigrationKey


def of_basis(selection: Selection, connection: BaseDatabaseWrapper) -> str:
    """Return a digest of what all tables depend on, and the rows that receivers write."""
    fingerprint = signals.fingerprint(models_of(selection.apps))
    versions = (django.get_version(), automigrate_ext.__version__, connection.vendor, *server_version(connection))
    return short(map(str, (*versions, fingerprint, *of_entries(connection.alias))))


def of_entries(alias: str) -> Iterator[str]:
    """Yield what the setting AUTOMIGRATE has for a database besides its models, and digests of the hooks' text."""
    yield from conf.entries(conf.EXTENSIONS, alias)
    for key in (conf.BEFORE, conf.AFTER):
        for hook in hooks.load(key, alias):
            yield from (hook.identity, hook.digest)


def server_version(connection: BaseDatabaseWrapper) -> tuple[Any, ...]:
    """Return the version of the server, or of the library."""
    return tuple(connection.get_database_version())


def of_models(selection: Selection, connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Return a digest of what each model asks for, by table."""
    editor = collecting_editor(connection)
    return {model._meta.db_table: short(wording(editor, model)) for model in selection.models}


def of_migrations(keys: Iterable[MigrationKey]) -> str:
    """Return a digest of the names of migrations."""
    return short(f"{app}.{name}" for app, name in sorted(keys))
