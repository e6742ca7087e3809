"""The fixtures by which a case gets its database."""

import pytest

pytest.register_assert_rewrite("tests.acceptance.helper")

from tests.acceptance.helper import ROUTES, Case  # noqa: E402


@pytest.fixture(params=ROUTES)
def case(connection, request):
    """A case on each database, its tables made by each route."""
    return Case(connection, request.param)


@pytest.fixture(params=ROUTES)
def pg(postgresql, request):
    """A case on PostgreSQL only, its tables made by each route."""
    return Case(postgresql, request.param)


@pytest.fixture(params=ROUTES)
def lite(sqlite, request):
    """A case on SQLite only, its tables made by each route."""
    return Case(sqlite, request.param)
