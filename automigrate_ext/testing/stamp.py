"""The stamp that says what is in a test database: kept in the database itself, so that a copy has it too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import django
from django.db.backends.base.base import BaseDatabaseWrapper

import automigrate_ext
from automigrate_ext import conf, hooks, signals
from automigrate_ext.backends.base import Backend
from automigrate_ext.blueprint import collecting_editor, wording
from automigrate_ext.plan import digest
from automigrate_ext.record import Record
from automigrate_ext.selection import Selection, models_of
from automigrate_ext.testing.migrations import Key

#: The stamp's name among the notes of the record.
NAME = "test database"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What a test database was made from and what it was then.

    `models` is a digest of what the models ask for and of the versions in play, `tables` one of the tables as the
    server tells of them, `migrations` one of those that are recorded, `rows` how many rows tables had. `version` is
    another one whenever something was changed, `run` the run of tests that looked last.
    """

    models: str
    tables: str
    migrations: str
    rows: Mapping[str, int] = field(default_factory=dict)
    version: str
    run: str = ""


def read(record: Record) -> Stamp | None:
    """The stamp of a database; None where it has none, or one of another version of this package."""
    text = record.note(NAME)
    facts: dict[str, Any] = json.loads(text) if text else {}
    return Stamp(**facts) if facts.keys() == Stamp.__dataclass_fields__.keys() else None


def write(record: Record, stamp: Stamp) -> None:
    """Put the stamp into the database."""
    record.write_note(NAME, json.dumps(asdict(stamp), sort_keys=True))


def of_models(selection: Selection, connection: BaseDatabaseWrapper) -> str:
    """A digest of all that decides what `autoupdate` makes of a database that has not been touched otherwise."""
    editor = collecting_editor(connection)
    texts = [text for model in selection.models for text in wording(editor, model)]
    told = signals.fingerprint(model for model in models_of(selection.apps))
    versions = (django.get_version(), automigrate_ext.__version__, connection.vendor, *server_version(connection))
    return short(map(str, (*versions, told, *of_hooks(connection.alias), *texts)))


def of_hooks(alias: str) -> Iterable[str]:
    """What the setting AUTOMIGRATE has for a database besides its models."""
    yield from conf.entries(conf.EXTENSIONS, alias)
    for key in (conf.BEFORE, conf.AFTER):
        for hook in hooks.load(key, alias):
            yield from (hook.identity, hook.digest)


def server_version(connection: BaseDatabaseWrapper) -> tuple[Any, ...]:
    """The version of the server, or of the library."""
    return tuple(connection.get_database_version())


def of_tables(selection: Selection, backend: Backend) -> str:
    """A digest of the tables as they are."""
    names = [model._meta.db_table for model in selection.models]
    apart = backend.set_apart(names)
    return digest(backend.introspect([name for name in names if name not in apart]))


def of_migrations(keys: Iterable[Key]) -> str:
    """A digest of the names of migrations."""
    return short(f"{app}.{name}" for app, name in sorted(keys))


def rows_of(names: Iterable[str], backend: Backend) -> dict[str, int]:
    """How many rows those of the tables have that have any."""
    there = sorted(backend.existing(list(names)))
    sizes = backend.sizes(there) if there else {}
    return {name: size.rows for name, size in sorted(sizes.items()) if size.rows}


def short(texts: Iterable[str]) -> str:
    """A digest of texts in their order."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:32]
