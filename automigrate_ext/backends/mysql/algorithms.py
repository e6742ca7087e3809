"""The ways in which MariaDB and MySQL alter a table, and the orders that ask for them.

A server refuses a way that it cannot take, on an empty table as on one with rows. NOCOPY is MariaDB's. Sources:
https://mariadb.com/kb/en/alter-table/#algorithm and the chapter "Online DDL" of MySQL's manual.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext.plan.online import Effect

NO_LOCK, SHARED_LOCK = "LOCK=NONE", "LOCK=SHARED"
#: The first MariaDB that copies a table while others write.
COPIES_BESIDE_SINCE = (11, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way of altering a table: the `order` for it, what it means in words, its lock, and its effect on the rows."""

    order: str
    words: str
    lock: str = NO_LOCK
    effect: Effect

    @property
    def is_beside(self) -> bool:
        """Whether others read and write the table meanwhile."""
        return self.lock == NO_LOCK


INSTANT = Way(order="ALGORITHM=INSTANT", words="changes the table instantly", effect=Effect.CATALOG)
NO_COPY = Way(
    order="ALGORITHM=NOCOPY, LOCK=NONE", words="changes the table in place while others write", effect=Effect.BUILD
)
IN_PLACE = Way(
    order="ALGORITHM=INPLACE, LOCK=NONE", words="changes the table in place while others write", effect=Effect.IN_PLACE
)
IN_PLACE_LOCKED = Way(
    order="ALGORITHM=INPLACE, LOCK=SHARED",
    words="changes the table in place while writes wait",
    lock=SHARED_LOCK,
    effect=Effect.REWRITE,
)
COPY = Way(order="ALGORITHM=COPY, LOCK=NONE", words="copies the table while others write", effect=Effect.IN_PLACE)
COPY_LOCKED = Way(
    order="ALGORITHM=COPY", words="copies the table while writes wait", lock=SHARED_LOCK, effect=Effect.REWRITE
)
UNKNOWN = Way(
    order="",
    words="alters the table, for which the server may copy it while writes wait",
    lock=SHARED_LOCK,
    effect=Effect.REWRITE,
)


def usual_ways(connection: BaseDatabaseWrapper) -> tuple[Way, ...]:
    """Return the ways in the order in which the server itself tries them, but for the last one, which copies."""
    return (INSTANT, IN_PLACE, IN_PLACE_LOCKED, *([COPY] if copies_beside(connection) else []))


def ways_beside(connection: BaseDatabaseWrapper) -> tuple[Way, ...]:
    """Return the ways in which others read and write meanwhile, the cheapest first."""
    is_mariadb: bool = connection.mysql_is_mariadb  # type: ignore[attr-defined]
    no_copy = [NO_COPY] if is_mariadb else []
    return (INSTANT, *no_copy, IN_PLACE, *([COPY] if copies_beside(connection) else []))


def copies_beside(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the server can copy a table while others write."""
    is_mariadb: bool = connection.mysql_is_mariadb  # type: ignore[attr-defined]
    version: tuple[int, ...] = connection.mysql_version  # type: ignore[attr-defined]
    return is_mariadb and version >= COPIES_BESIDE_SINCE
