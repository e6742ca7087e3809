"""Fixtures for pytest, with pytest-django."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django.db.models import Model


@pytest.fixture
def schema(db: None) -> Iterator[Callable[..., None]]:
    """Yield a function that makes the tables of models until the test ends: `schema(ModelA, ModelB, using="default")`.

    See `automigrate_ext.testing.tables.tables_for` for details and errors.
    """
    # Imported here, because this module is loaded in every run, and few tests have models of their own.
    from automigrate_ext.testing.tables import tables_for

    with ExitStack() as stack:

        def make(*models: type[Model], using: str = "default") -> None:
            stack.enter_context(tables_for(*models, using=using))

        yield make
