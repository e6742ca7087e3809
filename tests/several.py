"""Settings of several databases for a test, and a router that says which of them a model belongs to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from pytest_django.plugin import DjangoDbBlocker


class Homes:
    """A router: apps and models by name with the aliases that they belong to; all others belong to "default"."""

    homes: ClassVar[dict[str, set[str]]] = {}

    def allow_migrate(self, db, app_label, model_name=None, **hints):
        homes = self.homes.get(model_name) or self.homes.get(app_label) or {"default"}
        return db in homes


@contextmanager
def databases(blocker: DjangoDbBlocker, entries: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Let these be all the databases of the project; an in-memory "default" makes no difference if it is not given."""
    before = dict(connections.settings)
    forget()
    try:
        connections.settings.clear()
        connections.settings.update(connections.configure_settings({"default": memory(), **entries}))
        with blocker.unblock():
            yield
    finally:
        forget()
        connections.settings.clear()
        connections.settings.update(before)


def forget() -> None:
    """Close all connections and let Django make new ones when next asked."""
    for alias in connections:
        try:
            # SQLite's own method leaves databases in memory open.
            BaseDatabaseWrapper.close(connections[alias])
        finally:
            del connections[alias]


def memory() -> dict[str, Any]:
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}


def tables(alias: str) -> list[str]:
    """The tables of a database, but for the record."""
    names = connections[alias].introspection.table_names()
    return sorted(name for name in names if name != "automigrate_ext_owned")


def execute(alias: str, *statements: str) -> None:
    with connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
