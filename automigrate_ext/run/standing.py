"""Whether a database is as the last run left it: digests of the models and fingerprints of the tables, in the record.

Nothing to do costs one query then. The record holds a `Seal` for each basis: what was found by a run that left nothing
over, and what the models declared. Where both are the same again, a comparison would find nothing again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction
from django.db.utils import DatabaseError

from automigrate_ext import conf
from automigrate_ext.backends import backend_for, fingerprints_for
from automigrate_ext.backends.fingerprint import FINGERPRINT, Look, short
from automigrate_ext.declared.selection import Selection, is_attached, models_of
from automigrate_ext.run import basis
from automigrate_ext.run.record_table import RecordTable
from automigrate_ext.waiting import connect

if TYPE_CHECKING:
    from automigrate_ext.declared.blueprint import Blueprint
    from automigrate_ext.run.options import Options

#: How many seals the record holds: of branches, of selections, of projects that share the database.
SEALS = 4

#: A column of a table, or with None the table itself.
Place = tuple[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What a run that left nothing over found and recorded.

    `models` has a digest of what each model declares, `tables` one of each table that was looked at and exists, both by
    table. `kept` are the places whose values keep them in the database although no model has them. `foreign` and
    `notes` are those of a plan, `schema` is its digest, "" where none was made, and `count` the number of the models'
    tables. `left` is how many changes an expand has left for the contract: what is sealed then is that there is nothing
    to expand. `migrations` has a digest of the migrations on disk of each app of which none is left to be marked as
    applied. `note` is the name of the note that holds the seal, and `written` when that was, in UTC.
    """

    models: Mapping[str, str]
    tables: Mapping[str, str]
    surroundings: str
    record: str
    note: str
    kept: tuple[Place, ...]
    foreign: tuple[str, ...]
    notes: tuple[str, ...]
    migrations: Mapping[str, str]
    schema: str
    count: int
    written: str
    left: int = 0

    def covers(self, models: Mapping[str, str], names: Iterable[str], look: Look) -> bool:
        """Return whether these models and tables are the same as then."""
        return (
            (look.surroundings, look.record) == (self.surroundings, self.record)
            and all(self.models.get(name) == digest for name, digest in models.items())
            and all(self.tables.get(name) == look.tables.get(name) for name in names)
        )

    def render(self) -> str:
        """Return the seal as text."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def parse(text: str) -> Seal | None:
    """Return the seal from its text; None where that is none of this version of the package."""
    try:
        facts: Any = json.loads(text or "{}")
    except ValueError:
        return None
    if not isinstance(facts, dict) or facts.keys() != Seal.__dataclass_fields__.keys():
        return None
    try:
        places = tuple((table, column) for table, column in facts.pop("kept"))
        foreign, notes = tuple(facts.pop("foreign")), tuple(facts.pop("notes"))
        models, tables, migrations = (dict(facts.pop(name)) for name in ("models", "tables", "migrations"))
    except (TypeError, ValueError):
        return None
    return Seal(**facts, kept=places, foreign=foreign, notes=notes, models=models, tables=tables, migrations=migrations)


class Standing:
    """The models and tables of a selection beside the seals that the record has of them.

    `first` is what the first look found, None where there was none, or nothing could be read.
    """

    def __init__(self, selection: Selection, options: Options) -> None:
        self.selection = selection
        self.options = options
        self.fingerprints = fingerprints_for(selection.alias) if conf.fingerprint() else None
        self.first: Look | None = None
        #: The blueprints that a run has drawn of the models, by table: what they declare need not be written once more.
        self.drawn: Mapping[str, Blueprint] = {}

    # What is declared

    @cached_property
    def models(self) -> dict[str, str]:
        """A digest of what each model declares, by table."""
        return basis.of_models(self.selection, self.drawn)

    @cached_property
    def whole_note(self) -> str:
        """The name of the note with the seal of all models of the database."""
        return f"{FINGERPRINT}{basis.of_basis(self.selection)}"

    @cached_property
    def own_note(self) -> str:
        """The name of the note with the seal of the selection."""
        if self.selection.everything:
            return self.whole_note
        labels = self.selection.labels
        chosen = labels if labels is not None else sorted(self.tables)
        return f"{FINGERPRINT}{short([self.whole_note, *chosen])}"

    @cached_property
    def expand_note(self) -> str:
        """The name of the note with the seal of an expand of the selection that has left something."""
        return f"{FINGERPRINT}{short(['expand', self.own_note])}"

    @property
    def notes(self) -> set[str]:
        """The names of the notes whose seals may hold for a run with these options."""
        return {self.own_note, self.whole_note, *([self.expand_note] if self.options.expand else [])}

    @property
    def tables(self) -> list[str]:
        """The tables of the models."""
        return [model._meta.db_table for model in self.selection.models]

    @cached_property
    def names(self) -> list[str]:
        """The tables that a comparison may read, as far as the models name them."""
        selection = self.selection
        renamed = list(renamed_tables(selection)) if basis.has_hints(selection) else []
        return list(dict.fromkeys((*self.tables, *basis.targets(selection.models), *renamed)))

    # What is there

    def look(self, notes: Iterable[str] = ()) -> Look | None:
        """Return what is there now; None where nothing can be read."""
        return self.fingerprints.look(self.names, list(notes)) if self.fingerprints else None

    def find(self) -> Seal | None:
        """Return the seal by which `autoupdate` with these options would do nothing, or None.

        Raises the error of a database that cannot be reached.
        """
        if self.fingerprints is None or not self.options.fingerprint or not asks_nothing_special(self.options):
            return None
        if not self.selection.models:
            return None
        connect(connections[self.selection.alias])
        self.first = self.look(self.notes)
        return self.valid(self.first) if self.first else None

    def valid(self, look: Look) -> Seal | None:
        """Return the seal that holds for what was found, or None."""
        for note in (self.own_note, self.expand_note):
            own = parse(look.notes.get(note, ""))
            if own and self.holds(own, look):
                return own
        whole = parse(look.notes.get(self.whole_note, "")) if self.own_note != self.whole_note else None
        # What a plan lists besides changes is known of the whole alone.
        return whole if whole and not (whole.foreign or whole.notes) and self.holds(whole, look) else None

    def holds(self, seal: Seal, look: Look) -> bool:
        """Return whether nothing is to be done, according to a seal."""
        if not seal.covers(self.models, self.names, look):
            return False
        return not seal.kept or (not self.options.accept_data_loss and self.are_held(seal.kept))

    def are_held(self, places: tuple[Place, ...]) -> bool:
        """Return whether there still is a value or row in each of the places."""
        try:
            return backend_for(self.selection.alias).rows.held(places) == set(places)
        except DatabaseError:
            return False

    def is_own(self, seal: Seal) -> bool:
        """Return whether a seal is of just this selection."""
        return seal.note in (self.own_note, self.expand_note)

    # Sealing

    def seal(self, before: Look, **facts: Any) -> None:
        """Record that nothing is left to do, if the tables are those of `before`, which was found before comparing.

        `facts` are the fields of `Seal` that the comparison has found; with some `left` there is nothing to expand.
        Where the record cannot be written, the next run compares.
        """
        after = self.look()
        if after is None or (after.tables, after.surroundings) != (before.tables, before.surroundings):
            return
        note = self.expand_note if facts.get("left") else self.own_note
        seal = Seal(
            models=self.models,
            tables=after.tables,
            surroundings=after.surroundings,
            record=after.record,
            note=note,
            written=datetime.now(UTC).isoformat(),
            **facts,
        )
        alias = self.selection.alias
        with suppress(DatabaseError), transaction.atomic(using=alias):
            write(RecordTable(alias), note, seal)


def write(record: RecordTable, name: str, seal: Seal) -> None:
    """Put a seal into the record, and remove the oldest ones."""
    record.write_note(name, seal.render())
    texts = record.read_notes_of(FINGERPRINT)
    others = sorted((age(text), other) for other, text in texts.items() if other != name)
    record.delete([other for _, other in others[: -(SEALS - 1)]])


def age(text: str) -> str:
    """Return when a seal was written; "" for what is none."""
    seal = parse(text)
    return seal.written if seal else ""


def asks_nothing_special(options: Options) -> bool:
    """Return whether a run with these options does nothing where one without any finds nothing to do."""
    return not (options.renames or options.defaults or options.prune or options.record_migrations)


def renamed_tables(selection: Selection) -> Iterable[str]:
    """Yield the former and new names of tables at which hints are."""
    # Few projects have hints.
    from automigrate_ext.renames import hints
    from automigrate_ext.renames.requested import Renames

    alias = selection.alias
    attached = [model for model in models_of(selection.apps) if is_attached(model, alias)]
    requests = hints.requests(selection.models)
    renames = Renames(requests=requests, models=selection.models, all_models=attached, alias=alias)
    for rename in renames.resolved:
        yield from (rename.table,) if rename.table else (rename.old, rename.new)
