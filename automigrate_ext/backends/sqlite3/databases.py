"""Databases of SQLite, which makes a file where there is none, and no folder."""

from __future__ import annotations

from pathlib import Path

from django.db.utils import Error

from automigrate_ext.backends.databases import Databases
from automigrate_ext.exceptions import ExecutionFailed


class SQLiteDatabases(Databases):
    """The file of a SQLite database."""

    def is_missing(self, error: Error) -> bool:
        return self.folder is not None and not self.folder.is_dir()

    @property
    def folder(self) -> Path | None:
        """The folder of the file; None for a database in memory, and for one that is named by a URI."""
        name = self.name
        return None if not name or name.startswith(("file:", ":memory:")) else Path(name).parent

    def create(self) -> bool:
        raise ExecutionFailed(
            f"SQLite cannot make the file {self.name}: there is no folder {self.folder}. Make the folder, or correct "
            f"the NAME of the database."
        )
