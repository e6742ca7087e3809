"""What a database cannot do, and why: the one place that decides which acceptance cases are skipped."""

from collections.abc import Callable

import django
import pytest
from django.db import NotSupportedError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext import conf
from automigrate_ext.backends import BACKENDS

Connection = BaseDatabaseWrapper


def is_generic(connection: Connection) -> bool:
    """Whether the backend for databases that there is none for speaks for it: by nature, or because it is forced."""
    return connection.vendor not in BACKENDS


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


def is_postgresql_18(connection: Connection) -> bool:
    return is_postgresql(connection) and not is_generic(connection) and connection.pg_version >= 18_00_00


def is_since(*version: int) -> Callable[[Connection], bool]:
    return lambda connection: version <= django.VERSION


def is_any_of(*vendors: str) -> Callable[[Connection], bool]:
    return lambda connection: connection.vendor in vendors


def is_firebird(connection: Connection) -> bool:
    return connection.vendor == "firebird"


def is_not_firebird(connection: Connection) -> bool:
    return not is_firebird(connection)


def is_mysql(connection: Connection) -> bool:
    return connection.vendor == "mysql" and not connection.mysql_is_mariadb


def feature(name: str) -> Callable[[Connection], bool]:
    return lambda connection: bool(getattr(connection.features, name, False))


#: For each feature: who has it, and the reason why the others have not.
FEATURES: dict[str, tuple[Callable[[Connection], bool], str]] = {
    "postgresql": (is_postgresql, "only PostgreSQL has such types, indexes or constraints"),
    "DDL that is undone": (feature("can_rollback_ddl"), "MariaDB commits each statement that changes a table"),
    "unproven constraints": (
        is_postgresql_18,
        "PostgreSQL has NOT ENFORCED, and NOT NULL that is not valid, since version 18",
    ),
    "types that limit values": (is_any_of("postgresql", "mysql"), "SQLite stores values of any size in any column"),
    "JSON in texts": (
        lambda connection: connection.vendor == "sqlite" and not is_generic(connection),
        "only SQLite reads documents out of texts, and fails at what is none",
    ),
    "comments": (feature("supports_comments"), "SQLite keeps no comments"),
    "tablespaces": (feature("supports_tablespaces"), "SQLite has no tablespaces, and Django knows none of MariaDB's"),
    "partial indexes": (
        feature("supports_partial_indexes"),
        "MariaDB has no conditions in indexes and unique constraints; Django leaves them out",
    ),
    "expression indexes": (
        feature("supports_expression_indexes"),
        "MariaDB has no expressions in indexes and unique constraints; Django leaves them out",
    ),
    "indexes on text": (
        feature("supports_index_on_text_field"),
        "MariaDB indexes no more than a prefix of a text; Django leaves such indexes out",
    ),
    "unique JSON": (is_any_of("postgresql", "mysql"), "a JSON document as a key is of no use in SQLite"),
    "keys of subclasses": (
        lambda connection: not is_generic(connection) or connection.vendor in ("sqlite", "postgresql"),
        "Django's introspection does not tell an index that belongs to a foreign key from one of its own",
    ),
    "actions that the server forgets": (
        lambda connection: not is_generic(connection),
        "the generic backend does not know which actions on deletion a server takes and forgets",
    ),
    "deferrable uniques": (
        feature("supports_deferrable_unique_constraints"),
        "SQLite's and MariaDB's unique constraints cannot be deferred; Django leaves them out",
    ),
    "nulls distinct": (
        feature("supports_nulls_distinct_unique_constraints"),
        "UNIQUE NULLS NOT DISTINCT came with PostgreSQL 15, SQLite and MariaDB have it not; Django leaves them out",
    ),
    "covering indexes": (
        feature("supports_covering_indexes"),
        "SQLite's and MariaDB's indexes include no further columns",
    ),
    "virtual generated columns": (
        feature("supports_virtual_generated_columns"),
        "PostgreSQL has virtual generated columns since version 18",
    ),
    "stored generated columns": (feature("supports_stored_generated_columns"), "Firebird computes columns when read"),
    "indexed virtual columns": (
        is_any_of("sqlite", "mysql"),
        "PostgreSQL 18 has no indexes on virtual generated columns",
    ),
    "ICU collations": (has_icu, "the server was built without ICU, or is not PostgreSQL"),
    "database-level on delete": (is_since(6, 1), "Django has DB_CASCADE and the like since 6.1"),
    "database-level set default": (
        feature("supports_on_delete_db_default"),
        "InnoDB has no ON DELETE SET DEFAULT; Django's checks refuse DB_SET_DEFAULT",
    ),
    "schemas": (
        lambda connection: is_postgresql(connection) and not is_generic(connection),
        "SQLite has no schemas in one file, and a schema of MariaDB is a database;"
        " Django's introspection looks in the first schema alone",
    ),
    "materialised views": (
        lambda connection: is_postgresql(connection) and not is_generic(connection),
        "only PostgreSQL has them, and Django takes them for views",
    ),
    "views of a table": (is_postgresql, "SQLite's and MariaDB's views know a table by its name only"),
    "views of renamed columns": (is_any_of("sqlite", "postgresql"), "MariaDB's views do not follow a renamed column"),
    "views of a name": (is_any_of("sqlite", "mysql"), "PostgreSQL's views depend on the very table"),
    "names told apart by case": (is_postgresql, "SQLite's and MariaDB's columns are the same in any case of letters"),
    "infinite numbers": (is_any_of("sqlite", "postgresql"), "MariaDB has no infinity"),
    "text keys": (
        feature("supports_index_on_text_field"),
        "MariaDB has no keys over texts without a length; Django's checks refuse them",
    ),
    "long names of tables": (is_any_of("sqlite", "postgresql"), "MariaDB's names have 64 characters at most"),
    "numbered columns in expressions": (
        is_any_of("sqlite", "postgresql"),
        "MariaDB allows an AUTO_INCREMENT column in no check and no generated column",
    ),
    "binary defaults": (
        is_any_of("sqlite", "postgresql"),
        "MariaDB 10.11 refuses, or spoils, the default of bytes that Django writes, and MySQL prints it in another way"
        " than that of the package",
    ),
    "default of NULL that is forbidden": (
        is_any_of("sqlite", "postgresql"),
        "MariaDB accepts no DEFAULT NULL where a column forbids NULL",
    ),
    "expressions in handmade indexes": (
        is_any_of("sqlite", "postgresql"),
        "MariaDB has no expressions in indexes, and MySQL no conditions",
    ),
    "foreign keys between types": (
        is_any_of("sqlite", "postgresql"),
        "InnoDB's foreign keys point at columns of their own type; the run is refused",
    ),
    "comments as statements": (is_postgresql, "MariaDB's comments are part of definitions, and SQLite keeps none"),
    "indexes apart from foreign keys": (
        is_any_of("sqlite", "postgresql"),
        "InnoDB makes the index that a foreign key needs, and Django makes none",
    ),
    "foreseeable rewrites": (
        is_any_of("sqlite", "postgresql"),
        "MariaDB does not tell beforehand how it will carry out an ALTER TABLE",
    ),
    "filling and retyping at once": (
        is_any_of("sqlite", "postgresql"),
        "MariaDB's ALTER TABLE converts values and fills none in, so that it takes two",
    ),
    "comments of generated columns": (
        lambda connection: connection.vendor != "mysql" or django.VERSION >= (6, 0),
        "Django 5.2 writes them where MariaDB does not accept them",
    ),
    "every change": (
        lambda connection: not is_generic(connection),
        "the generic backend refuses what it cannot prove to keep all values, and tables that would be made anew",
    ),
    "vendor's own": (
        lambda connection: not is_generic(connection),
        "what only one database has is not shown by Django's introspection of all of them",
    ),
    "JSON": (feature("supports_json_field"), "Firebird has no JSON; Django makes no column for it"),
    "unique texts": (
        lambda connection: is_not_firebird(connection) and not is_mysql(connection),
        "Firebird's texts and bytes are BLOBs, which have no unique constraints; MySQL has no keys over texts without a"
        " length, where MariaDB has those of a hash",
    ),
    "keys of text expressions": (
        lambda connection: not is_mysql(connection),
        "MySQL has no index over an expression that gives a text without a length",
    ),
    "long varchars": (is_not_firebird, "Firebird's varchar holds 8191 characters of UTF-8"),
    "names of 60 characters": (is_not_firebird, "names have 31 characters in Firebird 3, and Django shortens none"),
    "triggers that are read again": (
        lambda connection: not is_mysql(connection),
        "MySQL does not parse the statement of a trigger again, so none is known to read a column",
    ),
    "names of checks": (
        lambda connection: not is_mysql(connection),
        "MySQL names a check without a name after its table, and names have 64 characters at most",
    ),
    "names in small letters": (is_not_firebird, "django-firebird writes all names in capitals"),
    "views of nothing": (is_not_firebird, "Firebird selects from a table always"),
    "conditions in indexes": (
        is_not_firebird,
        "Firebird 3 has none, and django-firebird writes them all the same; MariaDB's Django leaves them out",
    ),
    "ordered indexes": (
        feature("supports_index_column_ordering"),
        "Firebird's indexes descend as a whole, and django-firebird writes none that do",
    ),
    "any text as a value": (
        is_not_firebird,
        "django-firebird 5.1 writes an apostrophe as Python does, which Firebird does not read",
    ),
    "bytes as a value": (is_not_firebird, "django-firebird 5.1 has no way to write bytes"),
    "any default": (
        is_not_firebird,
        "Firebird's defaults are literals, in which django-firebird 5.1 takes a percent sign for a parameter",
    ),
    "checks that are seen": (is_not_firebird, "django-firebird's introspection shows no checks"),
    "several constraints on the same columns": (
        feature("allows_multiple_constraints_on_same_fields"),
        "Firebird has one key or unique constraint on the same columns",
    ),
    "numbered keys told apart": (
        lambda connection: not is_generic(connection) or connection.vendor not in ("sqlite", "firebird"),
        "Django's introspection takes every primary key of SQLite and Firebird for a numbered one; the plan says so",
    ),
    "rows among changes of tables": (
        is_not_firebird,
        "what a transaction of Firebird's changes of tables counts from its end on",
    ),
    "texts of checks": (
        lambda connection: not is_generic(connection),
        "Django's introspection shows of a check that it is there, and its columns",
    ),
    "one statement a table": (
        lambda connection: not is_generic(connection),
        "Django's schema editor changes one thing at a time",
    ),
    "atomic DDL": (
        lambda connection: (
            connection.features.can_rollback_ddl
            and connection.vendor != "firebird"
            and not conf.online(connection.alias)
        ),
        "MariaDB, Firebird's editor and online runs commit each change of a table; a run that fails is finished by the"
        " next one",
    ),
    "changes in a transaction": (
        is_postgresql,
        "SQLite rebuilds no table inside a transaction that has foreign keys on, and MariaDB commits it",
    ),
    **{
        f"extension {name}": (has_extension(name), f"the server has no extension {name!r}, or is not PostgreSQL")
        for name in ("bloom", "btree_gin", "btree_gist", "citext", "hstore", "pg_trgm", "vector")
    },
}


#: A collation that is not the default one, by which letters are compared as they are.
COLLATIONS = {"sqlite": "nocase", "postgresql": "C", "mysql": "utf8mb4_bin"}


def has(connection: Connection, name: str) -> bool:
    """Whether the database has the feature, for a case that has an answer either way."""
    has_it, _ = FEATURES[name]
    return has_it(connection)


def need(connection: Connection, *names: str) -> None:
    """Skip the test where the database lacks one of the features."""
    for name in names:
        has_it, reason = FEATURES[name]
        if not has_it(connection):
            pytest.skip(reason)
