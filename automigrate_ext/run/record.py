"""The record of owned objects: a small table of the package's own, one row a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from django.db import models, transaction

from automigrate_ext.backends.base import Backend
from automigrate_ext.run.owned_row import TABLE, owned_row
from automigrate_ext.schema.nouns import ForeignKey
from automigrate_ext.schema.ownership import OwnedTable, Ownership

#: The name of the row that holds the digest of what post_migrate receivers were told of through an alias. Aliases
#: for the same database may have different models. Such rows have no owner.
SIGNALS = "post_migrate of {alias}"
#: The name of the row that is there from the first change of a table until receivers were told of it through an alias,
#: where the one does not undo the other.
UNTOLD = "post_migrate not sent to {alias}"

#: The name of the row that holds the digests of the entries of the setting AUTOMIGRATE that were run for an alias.
HOOKS = "hooks of {alias}"


class Record:
    """Reads and writes the record of one database."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.alias = backend.connection.alias
        self.rows: dict[str, tuple[str, str]] | None = None
        #: Rows as values, because a run reads the record several times and few rows change in between.
        self.parsed: dict[tuple[str, str, str], OwnedTable] = {}

    def manager(self) -> models.QuerySet[Any]:
        """The rows of the record."""
        return owned_row()._default_manager.using(self.alias)

    def load(self) -> dict[str, tuple[str, str]]:
        """All rows, by table name; none where the database has no record yet."""
        self.rows = {}
        if self.is_there():
            rows = self.manager().values_list("name", "owner", "objects_owned")
            self.rows = {name: (owner, owned) for name, owner, owned in rows}
        return self.rows

    def is_there(self) -> bool:
        """Whether there is a record where this connection makes tables; one in another schema is of other tables."""
        return bool(self.backend.existing([TABLE]) - self.backend.spoken_for([TABLE]))

    def read(self) -> Ownership:
        """The record as the rest of the package knows it."""
        rows = [(name, *row) for name, row in self.load().items() if row[0]]
        self.parsed = {row: self.parsed.get(row) or parse(*row) for row in rows}
        return Ownership(
            tables={row[0]: table for row, table in self.parsed.items()},
            django_named=self.backend.django_named,
            server_named=self.backend.server_named,
        )

    def signals(self) -> str:
        """The digest that `write` was given last."""
        rows = self.load() if self.rows is None else self.rows
        return rows.get(self.signals_name, ("", ""))[1]

    @property
    def signals_name(self) -> str:
        """The name of the row of digests for this alias."""
        return SIGNALS.format(alias=self.alias)

    def hooks(self) -> dict[str, str]:
        """The digests of the entries that were run, as `write_hooks` was given them last."""
        digests: dict[str, str] = json.loads(self.load().get(self.hooks_name, ("", "{}"))[1])
        return digests

    @property
    def hooks_name(self) -> str:
        """The name of the row of entries for this alias."""
        return HOOKS.format(alias=self.alias)

    def write_hooks(self, digests: Mapping[str, str]) -> None:
        """Record which entries were run with which text."""
        if self.hooks() != digests:
            self.create()
            self.upsert({self.hooks_name: ("", json.dumps(digests, sort_keys=True))})

    def is_untold(self) -> bool:
        """Whether tables were changed by a run that did not come to tell receivers of it."""
        rows = self.load() if self.rows is None else self.rows
        return self.untold_name in rows

    @property
    def untold_name(self) -> str:
        """The name of the row that says so for this alias."""
        return UNTOLD.format(alias=self.alias)

    def told(self) -> None:
        """Receivers know of all that was changed."""
        if self.is_untold():
            self.write((), gone=[self.untold_name])

    def as_rows(
        self, tables: Iterable[OwnedTable], signals: str | None, untold: bool = False
    ) -> dict[str, tuple[str, str]]:
        """What the record holds for the tables."""
        rows = {table.name: (table.owner, render(table)) for table in tables}
        if signals is not None:
            rows[self.signals_name] = ("", signals)
        if untold:
            rows[self.untold_name] = ("", "")
        return rows

    def outdated(self, tables: Iterable[OwnedTable], *, gone: Iterable[str] = (), signals: str | None = None) -> bool:
        """Whether `write` would have something to do."""
        before = self.load() if self.rows is None else self.rows
        wanted = self.as_rows(tables, signals)
        return any(before.get(name) != row for name, row in wanted.items()) or any(name in before for name in gone)

    def write(
        self,
        tables: Iterable[OwnedTable],
        *,
        gone: Iterable[str] = (),
        signals: str | None = None,
        untold: bool = False,
    ) -> None:
        """Record the tables, forget those that are gone; touches only rows that change.

        `untold` says that receivers have to be told of changes, by the next run if this one does not come to it.
        """
        before = self.load()
        wanted = self.as_rows(tables, signals, untold)
        changed = {name: row for name, row in wanted.items() if before.get(name) != row}
        forgotten = [name for name in gone if name in before]
        if changed:
            self.create()
            self.upsert(changed)
        if forgotten:
            self.manager().filter(name__in=forgotten).delete()
        self.rows = {name: row for name, row in {**before, **wanted}.items() if name not in forgotten}

    def create(self) -> None:
        """Make the table of the record unless it is there."""
        if self.is_there():
            return
        self.backend.create_record(owned_row())

    def upsert(self, rows: Mapping[str, tuple[str, str]]) -> None:
        """Insert or replace rows."""
        row = owned_row()
        with transaction.atomic(using=self.alias):
            self.manager().filter(name__in=list(rows)).delete()
            self.manager().bulk_create(
                [row(name=name, owner=owner, objects_owned=owned) for name, (owner, owned) in rows.items()],
                batch_size=250,
            )


def parse(name: str, owner: str, owned: str) -> OwnedTable:
    """A row as a value."""
    facts: dict[str, Any] = json.loads(owned)
    taken_off = facts.get("taken_off", ())  # rows have it for the time of a run
    return OwnedTable(
        name=name,
        owner=owner,
        columns={column: tuple(attributes) for column, attributes in facts["columns"].items()},
        objects={identity: tuple(attributes) for identity, attributes in facts["objects"].items()},
        attributes=tuple(facts["attributes"]),
        kept=tuple(facts["kept"]),
        taken_off=tuple(ForeignKey(**{name: as_tuple(fact) for name, fact in key.items()}) for key in taken_off),
    )


def as_tuple(fact: Any) -> Any:
    """A fact as it was before it was written as JSON."""
    return tuple(fact) if isinstance(fact, list) else fact


def render(table: OwnedTable) -> str:
    """The text of a row: the same for equal values."""
    facts = {
        "columns": table.columns,
        "objects": table.objects,
        "attributes": table.attributes,
        "kept": table.kept,
        **({"taken_off": [asdict(key) for key in table.taken_off]} if table.taken_off else {}),
    }
    return json.dumps(facts, sort_keys=True, separators=(",", ":"))
