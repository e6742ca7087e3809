"""What a database cannot do, and why: the one place that decides which acceptance cases are skipped."""

from collections.abc import Callable

import django
import pytest
from django.db import NotSupportedError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

Connection = BaseDatabaseWrapper


def is_postgresql(connection: Connection) -> bool:
    return connection.vendor == "postgresql"


def has_extension(name: str) -> Callable[[Connection], bool]:
    def is_available(connection: Connection) -> bool:
        if not is_postgresql(connection):
            return False
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = %s", [name])
            return cursor.fetchone() is not None

    return is_available


def has_icu(connection: Connection) -> bool:
    if not is_postgresql(connection):
        return False
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute("CREATE COLLATION tried (provider = icu, locale = 'und')")
            transaction.set_rollback(True, using=connection.alias)
    except NotSupportedError:
        return False
    return True


def is_since(*version: int) -> Callable[[Connection], bool]:
    return lambda connection: version <= django.VERSION


def feature(name: str) -> Callable[[Connection], bool]:
    return lambda connection: bool(getattr(connection.features, name, False))


#: For each feature: who has it, and the reason why the others have not.
FEATURES: dict[str, tuple[Callable[[Connection], bool], str]] = {
    "postgresql": (is_postgresql, "only PostgreSQL has such types, indexes or constraints"),
    "comments": (feature("supports_comments"), "SQLite keeps no comments"),
    "tablespaces": (feature("supports_tablespaces"), "SQLite has no tablespaces"),
    "deferrable uniques": (
        feature("supports_deferrable_unique_constraints"),
        "SQLite's unique constraints cannot be deferred; Django leaves them out",
    ),
    "nulls distinct": (
        feature("supports_nulls_distinct_unique_constraints"),
        "UNIQUE NULLS NOT DISTINCT came with PostgreSQL 15 and SQLite has it not; Django leaves them out",
    ),
    "covering indexes": (feature("supports_covering_indexes"), "SQLite's indexes include no further columns"),
    "virtual generated columns": (
        feature("supports_virtual_generated_columns"),
        "PostgreSQL has virtual generated columns since version 18",
    ),
    "stored generated columns": (feature("supports_stored_generated_columns"), "every database here has them"),
    "ICU collations": (has_icu, "the server was built without ICU, or is SQLite"),
    "database-level on delete": (is_since(6, 1), "Django has DB_CASCADE and the like since 6.1"),
    "schemas": (is_postgresql, "SQLite has no schemas in one file"),
    "materialised views": (is_postgresql, "SQLite has none"),
    **{
        f"extension {name}": (has_extension(name), f"the server has no extension {name!r}, or is SQLite")
        for name in ("bloom", "btree_gin", "btree_gist", "citext", "hstore", "pg_trgm", "vector")
    },
}


def need(connection: Connection, *names: str) -> None:
    """Skip the test where the database lacks one of the features."""
    for name in names:
        has_it, reason = FEATURES[name]
        if not has_it(connection):
            pytest.skip(reason)
