"""One test database, and this process's connection to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext.backends.copies import Copies
from automigrate_ext.exceptions import AutomigrateError


@dataclass(frozen=True, slots=True, kw_only=True)
class TestDatabase:
    """A test database that an alias is to have: the only one, one process's copy, or the template of such copies.

    `template` names the database of which it is a copy; its own name where it is none. `keepdb` is Django's option:
    one that exists is used again. `stays` is whether it exists after the run, also where it is made again first.
    """

    __test__ = False

    name: str
    template: str
    copies: Copies
    keepdb: bool = False
    stays: bool = False

    @property
    def connection(self) -> BaseDatabaseWrapper:
        """The connection of the alias, wherever it is connected to."""
        return self.copies.connection

    @property
    def alias(self) -> str:
        """The alias in DATABASES."""
        return self.connection.alias

    @property
    def is_copy(self) -> bool:
        """Whether it is made by copying another one."""
        return self.name != self.template

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f":memory: ({self.alias})" if is_in_memory(self.connection, self.name) else self.name

    def connect(self) -> None:
        """Have the alias connect to this database from now on, as `create_test_db` sees to it."""
        self.connection.close()
        settings.DATABASES[self.alias]["NAME"] = self.name
        self.connection.settings_dict["NAME"] = self.name

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Have the alias connect to this database while the block runs."""
        self.connection.close()
        with mock.patch.dict(self.connection.settings_dict, NAME=self.name):
            try:
                yield
            finally:
                self.connection.close()

    @contextmanager
    def set_as_test_name(self) -> Iterator[None]:
        """Set TEST NAME to the name of this database while the block runs."""
        with mock.patch.dict(self.connection.settings_dict["TEST"], NAME=self.name):
            yield

    def recreate(self, why: str) -> None:
        """Put an empty database in the place of this one, to which the alias connects.

        Raises `AutomigrateError`, which says why that is needed, where databases may not be created.
        """
        if not self.copies.may_create():
            raise AutomigrateError(
                f"The test database {self.name!r} has to be rebuilt, because {why}, and the role may not create "
                f"databases. Let somebody who may do that."
            )
        self.copies.drop(self.name)
        creation: Any = self.connection.creation
        with self.set_as_test_name():
            creation._create_test_db(verbosity=0, autoclobber=True, keepdb=False)
        self.connection.close()


def is_in_memory(connection: Any, name: str) -> bool:
    """Return whether a database of this name is SQLite's in memory."""
    return bool(connection.vendor == "sqlite" and connection.creation.is_in_memory_db(name))
