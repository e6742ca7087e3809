"""The fixtures by which a case gets its database."""

import pytest

pytest.register_assert_rewrite("tests.acceptance.helper")

from tests.acceptance.helper import ROUTES, Case  # noqa: E402
from tests.features import need  # noqa: E402

# Tables of our own making are what Django's are, which each case proves at its end, and have a record besides, which is
# the same on every server. So a case is played on them on one database: see `is_played_elsewhere` in tests/conftest.py.
MARKS = {"automigrate": pytest.mark.again, "syncdb": ()}


@pytest.fixture(autouse=True, scope="session")
def expands(pytestconfig):
    """Whether updates are made in two steps."""
    Case.expands = pytestconfig.getoption("expand")


@pytest.fixture(params=[pytest.param(route, marks=MARKS[route]) for route in ROUTES])
def route(request):
    """How the tables come to be."""
    return request.param


@pytest.fixture
def case(connection, route):
    """A case on each database."""
    return Case(connection, route)


@pytest.fixture
def pg(postgresql, route):
    """A case on PostgreSQL only."""
    need(postgresql, "vendor's own")
    return Case(postgresql, route)


@pytest.fixture
def lite(sqlite, route):
    """A case on SQLite only."""
    need(sqlite, "vendor's own")
    return Case(sqlite, route)
