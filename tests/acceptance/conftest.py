"""The fixtures by which a case gets its database."""

import os
from zlib import crc32

import pytest

pytest.register_assert_rewrite("tests.acceptance.helper")

from tests.acceptance.helper import ROUTES, Case  # noqa: E402

# Each case is played by one of the routes, the same one each time; by all of them in a thorough run.
EACH_ROUTE = ROUTES if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else ("either",)


@pytest.fixture(params=EACH_ROUTE)
def route(request):
    """How the tables come to be."""
    if request.param == "either":
        return ROUTES[crc32(request.node.nodeid.encode()) % len(ROUTES)]
    return request.param


@pytest.fixture
def case(connection, route):
    """A case on each database."""
    return Case(connection, route)


@pytest.fixture
def pg(postgresql, route):
    """A case on PostgreSQL only."""
    return Case(postgresql, route)


@pytest.fixture
def lite(sqlite, route):
    """A case on SQLite only."""
    return Case(sqlite, route)
