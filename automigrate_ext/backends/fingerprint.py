"""Fingerprints of live tables, made by the server: equal ones mean that a comparison would read the same again.

This module and those of the backends load nothing that compares, because most starts find nothing to compare.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError

#: The beginnings of the names of notes that hold fingerprints, change with every run of tests, or are the history of
#: runs; see `record_table`. No fingerprint of the record covers them.
FINGERPRINT = "fingerprint "
TESTS = "test database"
HISTORY = "run "
UNCOVERED = (FINGERPRINT, TESTS, HISTORY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look found: a digest of each table that exists, by name, and digests of what they depend on.

    `surroundings` covers settings of the session and names that definitions refer to, `record` the record, but for the
    notes that are not covered. `notes` are the texts of those notes of the record that were asked for and exist.
    """

    tables: Mapping[str, str]
    surroundings: str
    record: str
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def around(self) -> str:
        """The digests of all that the tables depend on."""
        return f"{self.surroundings} {self.record}"


class Fingerprints(ABC):
    """Takes fingerprints of the tables of one database."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection

    def look(self, names: Collection[str], notes: Collection[str]) -> Look | None:
        """Return what is there now, from one query; None where it cannot be read, as where there is no record.

        Why it cannot be read is left to the comparison that follows, which reports it.
        """
        # A query that fails ends a transaction on PostgreSQL, but for a savepoint.
        inside = self.connection.in_atomic_block
        try:
            with transaction.atomic(using=self.connection.alias) if inside else nullcontext():
                return self.read(names, notes)
        except DatabaseError:
            return None

    def database(self) -> str:
        """Return a digest of what tables of all schemas depend on; "" for a database without schemas."""
        return ""

    def look_at(
        self, schemas: Sequence[str], rest: Sequence[str], names: Collection[str], notes: Collection[str], database: str
    ) -> dict[str, Look]:
        """Return what is in each of these schemas, as far as they exist. Raises `DatabaseError`.

        `rest` is the search path after each of them, `database` what the method of that name returned. By default
        there are no schemas.
        """
        return {}

    @abstractmethod
    def read(self, names: Collection[str], notes: Collection[str]) -> Look | None:
        """Return what is there now; None where the server does not print all of it. Raises `DatabaseError`."""


def short(texts: Iterable[str]) -> str:
    """Return a digest of texts in their order."""
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
