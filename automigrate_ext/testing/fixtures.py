"""Fixtures for pytest, with pytest-django."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from automigrate_ext.testing.tables import tables_for


@pytest.fixture
def schema(db: None) -> Iterator[Callable[..., None]]:
    """A function that makes the tables of models until the test ends: `schema(ModelA, ModelB, using="default")`.

    See `automigrate_ext.testing.tables.tables_for` for what it does and raises.
    """
    with ExitStack() as stack:

        def make(*models: type[Model], using: str = DEFAULT_DB_ALIAS) -> None:
            stack.enter_context(tables_for(*models, using=using))

        yield make
