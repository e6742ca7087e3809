"""One backend for each kind of database: ours, those that other packages provide, and one for all the rest."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.module_loading import import_string

from automigrate_ext.exceptions import UnsupportedDatabase

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

    from automigrate_ext.backends.base import Backend
    from automigrate_ext.backends.copies import Copies
    from automigrate_ext.backends.databases import Databases
    from automigrate_ext.backends.fingerprint import Fingerprints

BACKENDS = {
    "mysql": "automigrate_ext.backends.mysql.backend.MySQLBackend",
    "postgresql": "automigrate_ext.backends.postgresql.backend.PostgreSQLBackend",
    "sqlite": "automigrate_ext.backends.sqlite3.backend.SQLiteBackend",
}
#: The classes that copy whole databases.
COPIES = {
    "mysql": "automigrate_ext.backends.mysql.copies.MySQLCopies",
    "postgresql": "automigrate_ext.backends.postgresql.copies.PostgreSQLCopies",
    "sqlite": "automigrate_ext.backends.sqlite3.copies.SQLiteCopies",
}
#: The classes that take fingerprints of live tables.
FINGERPRINTS = {
    "mysql": "automigrate_ext.backends.mysql.fingerprint.MySQLFingerprints",
    "postgresql": "automigrate_ext.backends.postgresql.fingerprint.PostgreSQLFingerprints",
    "sqlite": "automigrate_ext.backends.sqlite3.fingerprint.SQLiteFingerprints",
}
#: The classes that create databases.
DATABASES = {
    "mysql": "automigrate_ext.backends.mysql.databases.MySQLDatabases",
    "postgresql": "automigrate_ext.backends.postgresql.databases.PostgreSQLDatabases",
    "sqlite": "automigrate_ext.backends.sqlite3.databases.SQLiteDatabases",
}
#: The class for the databases of any other server.
ANY_DATABASES = "automigrate_ext.backends.databases.Databases"
#: The class that every backend is a subclass of.
BASE = "automigrate_ext.backends.base.Backend"
#: The backend for any other database.
GENERIC = "automigrate_ext.backends.generic.GenericBackend"
#: The group of entry points by which packages provide backends, named by ENGINE or by vendor. See docs/backends.md.
GROUP = "automigrate_ext.backends"
#: The engines that Django brings along, which no package takes over.
DJANGOS = "django.db.backends."


def backend_for(alias: str) -> Backend:
    """Return the backend for a database alias.

    That is the one that a package provides for its ENGINE, unless it is one of Django's; else ours for its vendor,
    one that a package provides for the vendor, or the generic one. Raises `UnsupportedDatabase` where there is no
    database, and where a package provides something that is not a backend.
    """
    connection = connections[alias]
    engine, vendor = str(connection.settings_dict["ENGINE"]), connection.vendor
    if engine == f"{DJANGOS}dummy" or connection.SchemaEditorClass is None:
        raise UnsupportedDatabase(f"Database {alias!r} has no ENGINE with a schema editor. Nothing was done.")
    kind = provided_for_engine(engine) or ours(vendor) or provided_by_package(vendor) or import_string(GENERIC)
    backend: Backend = kind(connection)
    return backend


def databases_for(alias: str) -> Databases:
    """Return what finds out whether the database of an alias exists, and creates it."""
    connection = connections[alias]
    kind = import_string(DATABASES.get(connection.vendor, ANY_DATABASES))
    databases: Databases = kind(connection)
    return databases


def provided_for_engine(engine: str) -> type[Backend] | None:
    """Return the backend that a package provides for an ENGINE, of which Django's have none. Raises as below."""
    return None if engine.startswith(DJANGOS) else provided_by_package(engine)


def ours(vendor: str) -> type[Backend] | None:
    """Return the backend that comes with this package for a vendor."""
    kind: type[Backend] | None = import_string(BACKENDS[vendor]) if vendor in BACKENDS else None
    return kind


@cache
def provided() -> EntryPoints:
    """Return the entry points of the installed packages, once: finding them reads the metadata of all packages."""
    # Only for engines and vendors that are not Django's.
    from importlib.metadata import entry_points

    return entry_points(group=GROUP)


def provided_by_package(name: str) -> type[Backend] | None:
    """Return the backend that an installed package provides under a name.

    Raises `UnsupportedDatabase` where it is not a backend.
    """
    found = sorted(provided().select(name=name), key=where)
    if not found:
        return None
    if len({point.value for point in found}) > 1:
        packages = " and ".join(where(point) for point in found)
        raise UnsupportedDatabase(f"Both {packages} provide a backend {name!r} ({GROUP}). Uninstall one of them.")
    (point, *_) = found
    try:
        kind = point.load()
    except (ImportError, AttributeError) as error:
        raise UnsupportedDatabase(f"The backend {name!r} of {where(point)} cannot be loaded: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, import_string(BASE))):
        raise UnsupportedDatabase(f"The backend {name!r} of {where(point)} is {kind!r}, and not a subclass of {BASE}.")
    return kind


def where(point: EntryPoint) -> str:
    """Return the package of an entry point, and the object that it names."""
    package = point.dist.name if point.dist else "a package"
    return f"{package} ({point.value})"


def fingerprints_for(alias: str) -> Fingerprints | None:
    """Return what takes fingerprints of the tables of a database alias; None where its backend is not one of ours."""
    connection = connections[alias]
    is_ours = connection.vendor in BACKENDS and provided_for_engine(str(connection.settings_dict["ENGINE"])) is None
    return fingerprints_of(connection) if is_ours else None


def fingerprints_of(connection: BaseDatabaseWrapper) -> Fingerprints:
    """Return what takes fingerprints of the tables of a vendor's database, whoever compares them."""
    fingerprints: Fingerprints = import_string(FINGERPRINTS[connection.vendor])(connection)
    return fingerprints


def copies_for(connection: BaseDatabaseWrapper, notify: Callable[[str], None]) -> Copies:
    """Return the object that copies databases on the connection's server; `notify` is called while it waits.

    Raises `UnsupportedDatabase` where there is nothing for its vendor.
    """
    if connection.vendor not in COPIES:
        raise UnsupportedDatabase(
            f"Database {connection.alias!r} is {connection.display_name}, of which automigrate_ext makes no test "
            f"databases; it does for PostgreSQL, SQLite, MariaDB and MySQL. Run the tests without it."
        )
    copies: Copies = import_string(COPIES[connection.vendor])(connection, notify)
    return copies
