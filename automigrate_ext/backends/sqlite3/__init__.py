"""The backend for SQLite."""

from automigrate_ext.backends.sqlite3.backend import SQLiteBackend

__all__ = ["SQLiteBackend"]
