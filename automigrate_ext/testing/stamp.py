"""The stamp that says what is in a test database: kept in the database itself, so that a copy has it too."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import django
from django.db.backends.base.base import BaseDatabaseWrapper

import automigrate_ext
from automigrate_ext import conf, signals
from automigrate_ext.backends.copies import short
from automigrate_ext.declared.editor import collecting_editor, wording
from automigrate_ext.declared.selection import Selection, models_of
from automigrate_ext.run import hooks
from automigrate_ext.run.migrations import Key
from automigrate_ext.run.record_table import TABLE as RECORD
from automigrate_ext.run.record_table import RecordTable
from automigrate_ext.testing import use

#: The stamp's name among the notes.
NAME = "test database"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What a test database was made from and what it was then.

    `basis` is a digest of what concerns all tables and rows: versions, settings, the names of models, permissions.
    `models` has one of what each model asks for, `tables` of each table as the database tells of it, both by table;
    `disk` is one of the migrations that there are, `recorded` of those that are recorded as applied. `rows` says how
    many rows tables had. `version` is another one whenever something was changed.
    """

    basis: str
    models: Mapping[str, str]
    tables: Mapping[str, str]
    disk: str
    recorded: str
    rows: Mapping[str, int]
    version: str = field(default_factory=lambda: uuid.uuid4().hex)

    def is_complete(self, rows: Mapping[str, int]) -> bool:
        """Whether no table has fewer rows than it had."""
        return all(rows.get(name, 0) >= number for name, number in self.rows.items())


def read(alias: str, tables: Collection[str]) -> tuple[Stamp | None, str]:
    """The stamp of a database that has these tables, and its mark; None and "" where it has none."""
    if RECORD not in tables:
        return None, ""
    noted = RecordTable(alias).read_notes(NAME, use.NAME)
    return parse(noted[NAME]), noted[use.NAME]


def parse(note: str) -> Stamp | None:
    """The stamp of a database; None where it has none, or one of another version of this package."""
    facts: dict[str, Any] = json.loads(note) if note else {}
    return Stamp(**facts) if facts.keys() == Stamp.__dataclass_fields__.keys() else None


def text(stamp: Stamp) -> str:
    """The stamp as it is kept."""
    return json.dumps(asdict(stamp), sort_keys=True)


def write(notes: RecordTable, stamp: Stamp) -> None:
    """Put the stamp into the database."""
    notes.write_note(NAME, text(stamp))


def note(path: Path, stamp: Stamp) -> None:
    """Put the stamp into a file, which is there only when it is whole."""
    part = path.with_suffix(".part")
    part.write_text(text(stamp))
    part.replace(path)


def of_basis(selection: Selection, connection: BaseDatabaseWrapper) -> str:
    """A digest of what decides about all tables and about the rows that receivers write."""
    told = signals.fingerprint(models_of(selection.apps))
    versions = (django.get_version(), automigrate_ext.__version__, connection.vendor, *server_version(connection))
    return short(map(str, (*versions, told, *of_hooks(connection.alias))))


def of_hooks(alias: str) -> Iterator[str]:
    """What the setting AUTOMIGRATE has for a database besides its models."""
    yield from conf.entries(conf.EXTENSIONS, alias)
    for key in (conf.BEFORE, conf.AFTER):
        for hook in hooks.load(key, alias):
            yield from (hook.identity, hook.digest)


def server_version(connection: BaseDatabaseWrapper) -> tuple[Any, ...]:
    """The version of the server, or of the library."""
    return tuple(connection.get_database_version())


def of_models(selection: Selection, connection: BaseDatabaseWrapper) -> dict[str, str]:
    """A digest of what each model asks for, by table."""
    editor = collecting_editor(connection)
    return {model._meta.db_table: short(wording(editor, model)) for model in selection.models}


def of_migrations(keys: Iterable[MigrationKey]) -> str:
    """A digest of the names of migrations."""
    return short(f"{app}.{name}" for app, name in sorted(keys))
