"""The record of owned objects, and what a run notes beside them, in a small table of the package's own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from django.db.utils import Error

from automigrate_ext.backends.base import Backend
from automigrate_ext.exceptions import SpoiltRecord
from automigrate_ext.run.record_table import TABLE, RecordTable, owned_row
from automigrate_ext.schema.nouns import ForeignKey
from automigrate_ext.schema.ownership import OwnedTable, Ownership

#: The name of the note that holds the digest of what post_migrate receivers were sent through an alias. Aliases for the
#: same database may have different models.
SIGNALS = "post_migrate of {alias}"
#: The name of the note that exists from the first change of a table until receivers were sent post_migrate through an
#: alias, where the database does not undo the one with the other.
UNTOLD = "post_migrate not sent to {alias}"

#: The name of the note that holds the digests of the entries of the setting AUTOMIGRATE that were run for an alias.
HOOKS = "hooks of {alias}"


class Record:
    """Reads and writes the record of one database."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.alias = backend.connection.alias
        self.table = RecordTable(self.alias)
        self.rows: dict[str, tuple[str, str]] | None = None
        #: Rows as values, because a run reads the record several times and few rows change in between.
        self.parsed: dict[tuple[str, str, str], OwnedTable] = {}

    def load(self) -> dict[str, tuple[str, str]]:
        """Return all rows, by name; none where the database has no record yet."""
        self.rows = {}
        if self.exists():
            try:
                self.rows = self.table.read()
            except Error as error:
                if not self.backend.faults.lacks_column(error):
                    raise
                raise self.spoilt("the table has other columns") from error
        return self.rows

    def spoilt(self, reason: str) -> SpoiltRecord:
        """Return the error about a record that this package did not write."""
        return SpoiltRecord(
            f"The record of database {self.alias!r} cannot be read: {reason}. Drop or rename the table {TABLE}, and "
            f"the next run goes by the models and the tables alone, as where `migrate` made them. Nothing was changed."
        )

    def exists(self) -> bool:
        """Return whether the record exists where this connection makes tables; one in another schema is not read."""
        return bool(self.backend.existing([TABLE]))

    def read(self) -> Ownership:
        """Return what is recorded of tables."""
        rows = [(name, *row) for name, row in self.load().items() if row[0]]
        self.parsed = {row: self.parsed.get(row) or self.parse(row) for row in rows}
        return Ownership(
            tables={row[0]: table for row, table in self.parsed.items()},
            django_named=self.backend.django_named,
            server_named=self.backend.server_named,
        )

    def parse(self, row: tuple[str, str, str]) -> OwnedTable:
        """Return a row as a value. Raises `SpoiltRecord`."""
        try:
            return parse_row(*row)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise self.spoilt(f"what it has of {row[0]!r} was not written by this package") from error

    def signals(self) -> str:
        """Return the digest of signals that `write` was given last."""
        rows = self.load() if self.rows is None else self.rows
        return rows.get(self.signals_name, ("", ""))[1]

    @property
    def signals_name(self) -> str:
        """The name of the note with the digest of signals for this alias."""
        return SIGNALS.format(alias=self.alias)

    def hooks(self) -> dict[str, str]:
        """Return the digests of the entries that were run, as `write_hooks` was given them last."""
        text = self.load().get(self.hooks_name, ("", "{}"))[1]
        try:
            return dict(json.loads(text).items())
        except (ValueError, AttributeError) as error:
            raise self.spoilt(f"what it has of {self.hooks_name!r} was not written by this package") from error

    @property
    def hooks_name(self) -> str:
        """The name of the note with the digests of entries for this alias."""
        return HOOKS.format(alias=self.alias)

    def write_hooks(self, digests: Mapping[str, str]) -> None:
        """Record which entries were run with which text."""
        if self.hooks() != digests:
            self.create()
            self.table.upsert({self.hooks_name: ("", json.dumps(digests, sort_keys=True))})

    def owes_signals(self) -> bool:
        """Return whether tables were changed by a run that ended before it sent post_migrate."""
        rows = self.load() if self.rows is None else self.rows
        return self.owed_name in rows

    @property
    def owed_name(self) -> str:
        """The name of the note that marks such a run for this alias."""
        return UNTOLD.format(alias=self.alias)

    def settle_signals(self) -> None:
        """Record that receivers have been sent post_migrate for all changes."""
        if self.owes_signals():
            self.write((), gone=[self.owed_name])

    def as_rows(
        self, tables: Iterable[OwnedTable], signals: str | None, owes_signals: bool = False
    ) -> dict[str, tuple[str, str]]:
        """Return the rows that the record is to have for the tables, and the notes on signals."""
        rows = {table.name: (table.owner, render_row(table)) for table in tables}
        if signals is not None:
            rows[self.signals_name] = ("", signals)
        if owes_signals:
            rows[self.owed_name] = ("", "")
        return rows

    def outdated(self, tables: Iterable[OwnedTable], *, gone: Iterable[str] = (), signals: str | None = None) -> bool:
        """Return whether `write` would change a row."""
        before = self.load() if self.rows is None else self.rows
        wanted = self.as_rows(tables, signals)
        return any(before.get(name) != row for name, row in wanted.items()) or any(name in before for name in gone)

    def write(
        self,
        tables: Iterable[OwnedTable],
        *,
        gone: Iterable[str] = (),
        signals: str | None = None,
        owes_signals: bool = False,
    ) -> None:
        """Record the tables and delete the rows that are `gone`; only rows that change are written.

        With `owes_signals`, receivers have yet to be sent post_migrate: by the next run if this one ends before that.
        """
        before = self.load()
        wanted = self.as_rows(tables, signals, owes_signals)
        changed = {name: row for name, row in wanted.items() if before.get(name) != row}
        outdated = dict.fromkeys((*gone, *self.other_spellings(before, wanted)))
        forgotten = [name for name in outdated if name in before]
        if changed:
            self.create()
            self.table.upsert(changed)
        if forgotten:
            self.table.delete(forgotten)
        self.rows = {name: row for name, row in {**before, **wanted}.items() if name not in forgotten}

    def other_spellings(self, before: Iterable[str], wanted: Iterable[str]) -> list[str]:
        """Return the names of rows that are other spellings of a table which is to be recorded."""
        spellings = {self.backend.name_key(name): name for name in wanted}
        return [name for name in before if spellings.get(self.backend.name_key(name), name) != name]

    def create(self) -> None:
        """Create the table of the record, or give the existing one its present form."""
        if self.exists():
            self.backend.adjust_record(owned_row())
        else:
            self.backend.create_record(owned_row())


def parse_row(name: str, owner: str, owned: str) -> OwnedTable:
    """Return a row as a value."""
    facts: dict[str, Any] = json.loads(owned)
    # Rows have these for the time of a run.
    taken_off, outside = facts.get("taken_off", ()), facts.get("outside", ())
    return OwnedTable(
        name=name,
        owner=owner,
        columns={column: tuple(attributes) for column, attributes in facts["columns"].items()},
        objects={identity: tuple(attributes) for identity, attributes in facts["objects"].items()},
        attributes=tuple(facts["attributes"]),
        kept=tuple(facts["kept"]),
        taken_off=tuple(map(as_key, taken_off)),
        outside=tuple((table, as_key(key)) for table, key in outside),
    )


def as_key(facts: Mapping[str, Any]) -> ForeignKey:
    """Return a foreign key as it was before it was written as JSON."""
    return ForeignKey(**{name: as_tuple(fact) for name, fact in facts.items()})


def as_tuple(fact: Any) -> Any:
    """Return a fact as it was before it was written as JSON."""
    return tuple(fact) if isinstance(fact, list) else fact


def render_row(table: OwnedTable) -> str:
    """Return the text of a row, which is the same for equal values."""
    facts = {
        "columns": table.columns,
        "objects": table.objects,
        "attributes": table.attributes,
        "kept": table.kept,
        **({"taken_off": [asdict(key) for key in table.taken_off]} if table.taken_off else {}),
        **({"outside": [(name, asdict(key)) for name, key in table.outside]} if table.outside else {}),
    }
    return json.dumps(facts, sort_keys=True, separators=(",", ":"))
