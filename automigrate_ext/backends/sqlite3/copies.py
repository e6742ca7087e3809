"""Copies of SQLite databases: files that are written as a whole before they get their name."""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from automigrate_ext.backends.copies import Copies
from automigrate_ext.exceptions import AutomigrateError

#: The files that SQLite keeps beside a database: https://sqlite.org/tempfiles.html
COMPANIONS = ("-journal", "-wal", "-shm")


class SQLiteCopies(Copies):
    """Copies of databases as files beside the one of the connection."""

    @contextmanager
    def key(self, name: str) -> Iterator[FileLock]:
        """Give the lock of the file's directory, which leaves no file behind."""
        try:
            lock = FileLock(Path(name).absolute())
        except FileNotFoundError as error:
            raise AutomigrateError(
                f"There is no directory for the test database {name!r} of {self.connection.alias!r}. Make it, or let "
                f"TEST NAME in DATABASES name another one."
            ) from error
        try:
            yield lock
        finally:
            lock.close()

    def exists(self, name: str) -> bool:
        return Path(name).exists()

    def drop(self, name: str) -> None:
        self.connection.close()
        for companion in ("", *COMPANIONS):
            Path(f"{name}{companion}").unlink(missing_ok=True)

    def copy(self, source: str, target: str, last: str) -> None:
        self.connection.close()
        with closing(sqlite3.connect(source)) as database:
            self.save(database, target)

    def save(self, database: Any, target: str) -> None:
        """Write an open database to a file."""
        part = f"{target}.part"
        self.drop(part)
        with closing(sqlite3.connect(part)) as new:
            database.backup(new)
        self.drop(target)
        os.replace(part, target)

    def load(self, source: str) -> None:
        """Fill the database of the connection, which is in memory, from a file."""
        self.connection.ensure_connection()
        with closing(sqlite3.connect(source)) as database:
            database.backup(self.connection.connection)


class FileLock:
    """A lock of the operating system, which releases it with the process."""

    def __init__(self, path: Path) -> None:
        self.descriptor = open_lock(path)
        self.is_taken = False

    def take(self) -> bool:
        self.is_taken = try_lock(self.descriptor, shared=False)
        return self.is_taken

    def share(self) -> bool:
        stays = self.is_taken and not CAN_SHARE
        return stays or try_lock(self.descriptor, shared=True)

    def close(self) -> None:
        os.close(self.descriptor)


if sys.platform == "win32":
    import msvcrt

    CAN_SHARE = False

    def open_lock(path: Path) -> int:
        """Open a file for the lock of a path, because a directory cannot be opened on Windows."""
        name = f"automigrate_ext-{sha256(os.fsencode(path)).hexdigest()[:16]}.lock"
        return os.open(Path(tempfile.gettempdir(), name), os.O_RDWR | os.O_CREAT)

    def try_lock(descriptor: int, *, shared: bool) -> bool:
        """Take the lock, unless another process has it."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    CAN_SHARE = True

    def open_lock(path: Path) -> int:
        """Open a path for its lock."""
        return os.open(path.parent, os.O_RDONLY)

    def try_lock(descriptor: int, *, shared: bool) -> bool:
        """Take or share the lock, unless another process is in the way."""
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
