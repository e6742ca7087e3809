"""Tables made without asking the server first are those that it would have been found to want."""

import pytest

from automigrate_ext import is_actual, make_plan
from automigrate_ext.declared.selection import select
from automigrate_ext.run.make import Making
from automigrate_ext.run.options import Options
from tests.conftest import DATABASES
from tests.run.test_query_counts import many


@pytest.mark.parametrize("database", DATABASES)
def test_what_is_made_is_what_is_compared_later(request, database):
    connection = request.getfixturevalue(database)
    state = many(4)
    plan = Making(select(None, connection.alias, state.apps), Options()).run()
    assert {change.table for change in plan.changes} >= {"shop_m0", "shop_m0_friends"}
    assert "Create table shop_m0 (5 columns, 1 foreign key)" in map(str, (c.describe() for c in plan.changes))
    assert not make_plan(using=connection.alias, apps=state.apps)
    assert is_actual(using=connection.alias, apps=state.apps)
