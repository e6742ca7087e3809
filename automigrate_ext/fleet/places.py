"""Working in a target: the schema that its connection uses, and aliases that exist as long as that takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.apps import apps
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext.exceptions import MissingTarget
from automigrate_ext.fleet.packages import entered
from automigrate_ext.fleet.targets import Target
from automigrate_ext.waiting import connect

READ_PLACE = "SELECT current_schema()::text"
READ_PATH = "SELECT current_setting('search_path')"
#: The setting ends with the transaction, so that a pooler may give the server's session to somebody else after it.
SET_PATH = "SELECT set_config('search_path', %s, true)"
#: The managers of Django's that keep rows in memory by their keys, which differ from schema to schema.
CACHES = (("contenttypes", "ContentType"), ("sites", "Site"))


@contextmanager
def at(target: Target) -> Iterator[BaseDatabaseWrapper]:
    """Work in a target while the block runs; yield its connection.

    In a schema, the block is one transaction, in which the names of tables lead to the schema first.
    """
    with known(target):
        connection = connections[target.alias]
        if target.schema is None:
            with closed_again(connection):
                yield connection
            return
        connect(connection)
        try:
            with transaction.atomic(using=target.alias), within(connection, target):
                forget_cached_rows()
                yield connection
        finally:
            forget_cached_rows()


@contextmanager
def closed_again(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Close the connection after the block, if it was not open before: a thousand databases are not open at once."""
    was_open = connection.connection is not None
    try:
        yield
    finally:
        if not was_open and not connection.in_atomic_block:
            connection.close()


@contextmanager
def within(connection: BaseDatabaseWrapper, target: Target) -> Iterator[None]:
    """Let the names of tables lead to the target's schema while the block runs, in a transaction."""
    assert target.schema is not None
    context = entered(connection, target.schema, target.kind)
    if context is not None:
        with context:
            forbid_other_place(connection, target)
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute(READ_PATH)
        (before,) = cursor.fetchone()
        cursor.execute(SET_PATH, [search_path(connection, target)])
    forbid_other_place(connection, target)
    yield
    # An error undoes the setting along with the transaction or savepoint.
    with connection.cursor() as cursor:
        cursor.execute(SET_PATH, [before])


def forbid_other_place(connection: BaseDatabaseWrapper, target: Target) -> None:
    """Raise `MissingTarget` where new tables would be made elsewhere, as the server passes over a missing schema."""
    with connection.cursor() as cursor:
        cursor.execute(READ_PLACE)
        (place,) = cursor.fetchone()
    if place != target.schema:
        raise MissingTarget(
            f"Schema {target.schema!r} of database {target.alias!r} is not there, or this role may not use it. Nothing "
            f"was done in it."
        )


def search_path(connection: BaseDatabaseWrapper, target: Target) -> str:
    """Return the search path of a target as the setting has it."""
    names = (target.schema or "", *(name for name in target.path if name != target.schema))
    return ", ".join(map(quoted, names))


def quoted(name: str) -> str:
    """Return the name of a schema as it is written in SQL."""
    return '"{}"'.format(name.replace('"', '""'))


@contextmanager
def known(target: Target) -> Iterator[None]:
    """Let Django know the target's alias while the block runs, where the settings do not have it."""
    if target.settings is None or target.alias in connections.settings:
        yield
        return
    connections.settings[target.alias] = connections.configure_settings(
        {"default": {}, target.alias: {**target.settings}}
    )[target.alias]
    try:
        yield
    finally:
        for connection in connections.all(initialized_only=True):
            if connection.alias == target.alias:
                connection.close()
                del connections[target.alias]
        del connections.settings[target.alias]


def forget_cached_rows() -> None:
    """Let Django's managers read rows again that they keep in memory: those of another schema have other keys."""
    for label, name in CACHES:
        if apps.is_installed(f"django.contrib.{label}"):
            apps.get_model(label, name).objects.clear_cache()
