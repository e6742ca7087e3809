"""Texts that a test database carries about itself: rows of the record that are no table's. A copy has them too."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from automigrate_ext.run.owned_row import owned_row


class Notes:
    """The notes of the database that an alias is connected to; it has to have the table of the record."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def rows(self) -> QuerySet[Any]:
        return owned_row()._default_manager.using(self.alias)

    def read(self, *names: str) -> dict[str, str]:
        """What was written last under these names; "" before that."""
        found = dict(self.rows().filter(name__in=names).values_list("name", "objects_owned"))
        return {name: found.get(name, "") for name in names}

    def write(self, name: str, text: str) -> None:
        """Keep a text; its name has a blank, as no table's has."""
        if not self.rows().filter(name=name).update(objects_owned=text):
            self.rows().create(name=name, owner="", objects_owned=text)
