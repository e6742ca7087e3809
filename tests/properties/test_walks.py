"""From any models to any others and back, with rows: exact, converged, and nothing lost unasked."""

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from tests.acceptance.helper import Case, create_models
from tests.conftest import DATABASES
from tests.properties import strategies, walk


@pytest.fixture(params=DATABASES)
def case(request):
    return Case(request.getfixturevalue(request.param), "automigrate")


def is_virtual(case):
    return case.connection.features.supports_virtual_generated_columns


@given(data=st.data())
def test_walk_there_and_back(case, data):
    states = strategies.state(case.vendor, is_virtual(case))
    first, second = data.draw(states, "first"), data.draw(states, "second")
    counts, accept = data.draw(strategies.rows(), "rows"), data.draw(st.booleans(), "accept_data_loss")
    walk.reset(case)
    one, two = strategies.build(first), strategies.build(second)
    case.build(one)
    walk.fill(case, one, counts)
    walk.watch(case, one)
    note("there")
    walk.step(case, one, two, accept=accept)
    walk.fill(case, two, counts)
    case.execute(f"DELETE FROM {walk.LOG}")
    note("and back")
    walk.step(case, two, strategies.build(first), accept=accept)


@given(data=st.data())
def test_nothing_to_do_after_either_route(case, data):
    specs = data.draw(strategies.state(case.vendor, is_virtual(case)), "models")
    walk.reset(case)
    state = strategies.build(specs)
    create_models(case.connection, state.managed())
    case.assert_settled(state)
    walk.reset(case)
    case.build(state)
    case.assert_settled(state)


@given(data=st.data())
def test_renames_there_and_back(case, data):
    specs = strategies.by_one_spelling(data.draw(strategies.state(case.vendor, is_virtual(case)), "models"))
    names, counts = data.draw(strategies.new_names(specs), "names"), data.draw(strategies.rows(), "rows")
    walk.reset(case)
    one, two = strategies.build(specs), strategies.build(strategies.renamed(specs, names))
    case.build(one)
    walk.fill(case, one, counts)
    before = walk.contents(case, one)
    for state, asked in ((two, names), (one, strategies.turned_round(names))):
        plan = case.run(state, renames=strategies.requests(asked))
        assert all(type(change).__name__.startswith("Rename") for change in plan.changes), plan.sql()
        assert walk.contents(case, state) == before
        case.assert_settled(state)
