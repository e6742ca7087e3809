"""What the backends share that cannot try renames out: they read the tables as if these had been made."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar, Protocol, TypeVar

from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext.backends.base import Backend
from automigrate_ext.schema.changes import Change
from automigrate_ext.schema.renaming import Renaming

Found_co = TypeVar("Found_co", covariant=True)


class Names(Protocol[Found_co]):
    """The names of the tables that there are, with what is known of each."""

    def find(self, name: str) -> Found_co | None: ...


class RenamedBackend(Backend):
    """A backend of databases of which not every one could undo a rename that was tried."""

    #: What knows the names to come.
    renaming_class: ClassVar[type[Renaming]] = Renaming

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__(connection)
        self.renaming = self.renaming_class(())

    def find(self, catalog: Names[Found_co], name: str) -> Found_co | None:
        """The table that has the name, or will have it once what is renamed has its new name."""
        return None if self.renaming.is_vacated(name) else catalog.find(self.renaming.old_table(name))

    @contextmanager
    def tried(self, renames: tuple[Change, ...]) -> Iterator[None]:
        """Read the tables as if they had their new names."""
        before, self.renaming = self.renaming, self.renaming_class(renames)
        try:
            yield
        finally:
            self.renaming = before

    def relation(self, table: str) -> str:
        old = self.renaming.old_table(table)
        columns = self.renaming.columns(old)
        if not columns:
            return self.quote(old)
        named = (f"{self.quote(name)} AS {self.quote(columns.get(name, name))}" for name in self.column_names(old))
        return f"(SELECT {', '.join(named)} FROM {self.quote(old)})"

    @abstractmethod
    def column_names(self, table: str) -> Sequence[str]:
        """The names of the columns that a table has now."""
