"""Tables for models that only a test has, while a block runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Any

from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Model

from automigrate_ext.backends import backend_for
from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.work import Work
from automigrate_ext.declared.selection import why_detached, with_many_to_many
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.run.desired import read_desired
from automigrate_ext.schema.nouns import Schema


def tables_for(*models: type[Model], using: str = DEFAULT_DB_ALIAS) -> Tables:
    """Return a block, `with` or `async with`, in which the models have their tables, many-to-many tables included.

    Tables are made in the order that foreign keys need, and dropped at the end, also after an exception. Inside a
    transaction, such as that of a `TestCase`, the block is a savepoint, which an exception undoes with all that the
    block wrote. No signals are sent, and no entries of AUTOMIGRATE are run.

    Raises `AutomigrateError` before anything is made where a model has a table already, has none in this database, or
    points at a table that does not exist; `ScratchFailed` where the server does not accept a model; and on MariaDB and
    MySQL `ExecutionFailed` inside a transaction.
    """
    return Tables(models, using)


class Tables:
    """The block that `tables_for` returns; may be used once at a time."""

    def __init__(self, models: Sequence[type[Model]], using: str) -> None:
        self.models = models
        self.using = using
        self.block: AbstractContextManager[None] = nullcontext()

    def __enter__(self) -> None:
        self.block = tables_made(self.models, self.using)
        self.block.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return self.block.__exit__(kind, error, traceback)

    async def __aenter__(self) -> None:
        await sync_to_async(self.__enter__)()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await sync_to_async(self.__exit__)(kind, error, traceback)


@contextmanager
def tables_made(models: Sequence[type[Model]], using: str) -> Iterator[None]:
    """Make the tables, and drop them when the block ends."""
    backend = backend_for(using)
    backend.session.forbid_transaction()
    forbid_detached(models, using)
    with backend.session.guarded():
        create_extensions(backend, models)
        schema = read_desired(backend, with_many_to_many(dict.fromkeys(models), using)).schema
        forbid_taken(backend, schema)
        forbid_missing_targets(backend, schema)
    if backend.connection.in_atomic_block:
        with transaction.atomic(using=using):
            make(backend, schema)
            yield
            drop(backend, schema)
        return
    try:
        make(backend, schema)
        yield
    finally:
        drop(backend, schema)


def create_extensions(backend: Backend, models: Sequence[type[Model]]) -> None:
    """Create the extensions that the models need; they stay after the block."""
    missing = backend.extensions.missing(backend.extensions.needed(models))
    if missing:
        backend.extensions.create(missing)
        backend.extensions.register_types()


def make(backend: Backend, schema: Schema) -> None:
    """Make the tables: all or none, where the database can undo changes of tables."""
    steps = backend.compile_rebuild(Work(changes=(), current=Schema({}), desired=schema), ())
    with backend.session.guarded(), together(backend):
        backend.run(steps)


def drop(backend: Backend, schema: Schema) -> None:
    """Drop those of the tables that exist."""
    existing = backend.existing(list(schema.tables))
    left = Schema({name: table for name, table in schema.tables.items() if name in existing})
    if left.tables:
        with backend.session.guarded(), together(backend):
            backend.discard(left)


def together(backend: Backend) -> AbstractContextManager[Any]:
    """Return a transaction or savepoint, where the database can undo changes of tables; else a block without effect."""
    return transaction.atomic(using=backend.connection.alias) if backend.undoes_ddl else nullcontext()


def forbid_detached(models: Sequence[type[Model]], using: str) -> None:
    """Raise `AutomigrateError` with every model that has no table of its own in the database."""
    reasons = [f"{model._meta.label} is {why}" for model in models if (why := why_detached(model, using))]
    if reasons:
        raise AutomigrateError(f"No tables for these models in database {using!r}: {'; '.join(reasons)}.")


def forbid_taken(backend: Backend, schema: Schema) -> None:
    """Raise `AutomigrateError` where a model has its table already."""
    taken = sorted(backend.usable(list(schema.tables)))
    if taken:
        raise AutomigrateError(
            f"There is already a table {', '.join(map(repr, taken))} in database {backend.connection.alias!r}. Give "
            f"the model another name, app_label or db_table, or leave it out."
        )


def forbid_missing_targets(backend: Backend, schema: Schema) -> None:
    """Raise `AutomigrateError` where a foreign key points at a table that neither exists nor is made."""
    pointing = {key.to_table: table.name for table in schema for key in table.foreign_keys}
    others = [name for name in pointing if name not in schema.tables]
    missing = sorted(set(others) - backend.reachable(others)) if others else []
    if missing:
        reasons = (f"{pointing[name]} points at {name}" for name in missing)
        raise AutomigrateError(
            f"Tables that are not in database {backend.connection.alias!r}: {', '.join(reasons)}. Name the models of "
            f"these tables too."
        )
