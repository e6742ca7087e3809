"""The table of the record: the package's own, with a row for each table and some notes.

Notes are texts by name: rows that have no owner, and a blank in their name, as no table's has. Kept test databases load
this module, so that it imports nothing of what compares.

The model lives in a registry of its own, as Django's record of migrations does, so that neither
`dumpdata`, `loaddata` and `flush` nor the package itself takes it for one of the project's tables. No rows of it send
signals: receivers without a sender would be sent a model that no installed app has.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from django.apps.registry import Apps
from django.db import models, transaction
from django.db.models.base import ModelState

from automigrate_ext.backends.fingerprint import HISTORY

TABLE = "automigrate_ext_owned"


@cache
def owned_row() -> type[models.Model]:
    """Return the model of the record; made on first use, because models cannot be made before Django is set up."""

    class OwnedRow(models.Model):
        name = models.CharField(max_length=255, primary_key=True)
        owner = models.CharField(max_length=255)
        objects_owned = models.TextField()

        class Meta:
            apps = Apps()
            app_label = "automigrate_ext"
            db_table = TABLE

        def __init__(self, *, name: str, owner: str, objects_owned: str) -> None:
            # Without Django's own, which sends pre_init and post_init.
            self._state = ModelState()
            self.name, self.owner, self.objects_owned = name, owner, objects_owned

        def __str__(self) -> str:
            return self.name

    return OwnedRow


class RecordTable:
    """Reads and writes the rows of the record in one database, where the table has to exist."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def query(self) -> models.QuerySet[Any]:
        """Return a query of all rows."""
        return owned_row()._default_manager.using(self.alias)

    def read(self) -> dict[str, tuple[str, str]]:
        """Return the owners and texts of all rows but the history of runs, by name."""
        rows = self.query().exclude(owner="", name__startswith=HISTORY).values_list("name", "owner", "objects_owned")
        return {name: (owner, owned) for name, owner, owned in rows}

    def upsert(self, rows: Mapping[str, tuple[str, str]]) -> None:
        """Insert or replace rows."""
        with transaction.atomic(using=self.alias):
            self.delete(rows.keys())
            self.insert(rows)

    def delete(self, names: Collection[str]) -> None:
        """Delete the rows of these names."""
        self.query().filter(name__in=list(names))._raw_delete(self.alias)

    def insert(self, rows: Mapping[str, tuple[str, str]]) -> None:
        """Insert rows whose names the record does not have."""
        row = owned_row()
        self.query().bulk_create(
            [row(name=name, owner=owner, objects_owned=owned) for name, (owner, owned) in rows.items()],
            batch_size=250,
        )

    def read_notes(self, *names: str) -> dict[str, str]:
        """Return the notes of these names; "" for those that have not been written."""
        texts = dict(self.query().filter(name__in=names).values_list("name", "objects_owned"))
        return {name: texts.get(name, "") for name in names}

    def read_notes_of(self, beginning: str) -> dict[str, str]:
        """Return all notes whose names have this beginning."""
        notes = self.query().filter(owner="", name__startswith=beginning)
        return dict(notes.values_list("name", "objects_owned"))

    def remove_first(self, beginning: str, number: int) -> None:
        """Delete the notes whose names have this beginning, except for the last `number` in the order of names."""
        notes = self.query().filter(owner="", name__startswith=beginning)
        names = sorted(notes.values_list("name", flat=True))
        if outdated := names[:-number]:
            self.delete(outdated)

    def write_note(self, name: str, text: str) -> None:
        """Insert or replace one note."""
        # One statement where the note exists: tests wait for it twice in each run of a kept database.
        if not self.query().filter(name=name).update(objects_owned=text):
            self.insert({name: ("", text)})
