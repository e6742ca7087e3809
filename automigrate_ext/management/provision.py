"""Databases that do not exist yet: created where that is asked for, or agreed to at a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error as DatabaseError
from django.db.utils import OperationalError

from automigrate_ext.backends import databases_for
from automigrate_ext.backends.databases import Databases
from automigrate_ext.management.exit_status import FAILED
from automigrate_ext.management.values import given
from automigrate_ext.waiting import connect

if TYPE_CHECKING:
    from automigrate_ext.management.base import SchemaCommand

MISSING = "Database {name!r} does not exist{place}."
#: What is added where nothing is created.
WAY_OUT = "Pass --create-database to have it created, or correct the NAME in DATABASES[{alias!r}]."
LOOKS_ONLY = "Nothing was created: leave out {options} and pass --create-database, or create it yourself."
#: The options with which a command changes nothing.
LOOKS = {"--check": "check", "--dry-run": "dry_run", "--history": "history"}
YES = ("y", "yes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
    """Connects to the databases of a command, and creates those that do not exist if that is wanted."""

    command: SchemaCommand
    options: dict[str, Any]

    def connect(self, connection: BaseDatabaseWrapper) -> None:
        """Connect; create a database that does not exist, or raise `CommandError` with the way out.

        Raises the error of a connection that fails for another reason.
        """
        try:
            connect(connection)
        except OperationalError as error:
            databases = databases_for(connection.alias)
            if not databases.makes_databases:
                raise
            if databases.is_missing(error):
                self.create(databases, connection.alias)
            # Where it was not missing, another process may have created it since.
            connect(connection)

    def create(self, databases: Databases, alias: str) -> None:
        """Create a database, if that is asked for or agreed to; raise `CommandError` otherwise."""
        missing = MISSING.format(name=databases.name, place=databases.place)
        if looks := self.looks_only():
            raise CommandError(f"{missing} {LOOKS_ONLY.format(options=looks)}", returncode=FAILED)
        if not (self.options["create_database"] or self.agrees(missing)):
            raise CommandError(f"{missing} {WAY_OUT.format(alias=alias)}", returncode=FAILED)
        if databases.create() and self.options["verbosity"]:
            self.command.notify(f"Created database {databases.name!r}{databases.place}.")

    def explain(self, alias: str, error: DatabaseError) -> None:
        """Raise the error of a folder that does not exist, if that is why a connection failed."""
        databases = databases_for(alias)
        if not databases.makes_databases and databases.is_missing(error):
            databases.create()

    def looks_only(self) -> str:
        """Return the options given with which a command changes nothing."""
        return " and ".join(given(LOOKS, self.options))

    def agrees(self, missing: str) -> bool:
        """Return whether somebody at a terminal agrees; False where nobody can be asked."""
        command = self.command
        return command.can_ask(self.options) and command.ask(f"{missing} Create it? [y/N]").strip().lower() in YES
