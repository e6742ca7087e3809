"""The order of renames: no object ever gets a name that another one has."""

from hypothesis import given
from hypothesis import strategies as st

from automigrate_ext.schema.order import free_name, in_order

NAMES = st.sampled_from("abcdef")


def carried_out(steps, taken):
    """Return the names after the moves, by the names before them."""
    now = {name: name for name in taken}
    for old, new in steps:
        assert new not in now
        now[new] = now.pop(old)
    return {before: name for name, before in now.items()}


def test_chain_starts_at_its_free_end():
    assert in_order({"a": "b", "b": "c"}, "ab") == [("b", "c"), ("a", "b")]


def test_move_to_a_name_that_stays_taken_is_left_out():
    assert in_order({"a": "b"}, "ab") == []
    assert in_order({"a": "b", "b": "c"}, "abc") == []


def test_swap_needs_leave():
    assert in_order({"a": "b", "b": "a"}, "ab", swaps="a") == []
    assert in_order({"a": "b", "b": "a"}, "ab", swaps="ab") == [("a", "b__moved"), ("b", "a"), ("b__moved", "b")]


def test_third_name_is_free():
    assert free_name("a", {"a__moved"}) == "a__moved1"
    assert len(free_name("a" * 70, ())) < 63


@given(st.dictionaries(NAMES, NAMES, min_size=1), st.frozensets(NAMES))
def test_everything_ends_where_it_was_to_go(wanted, others):
    targets = set()
    moves = {}
    for old, new in wanted.items():
        if old != new and new not in targets:
            moves[old] = new
            targets.add(new)
    taken = {*moves, *others}
    after = carried_out(in_order(moves, taken, swaps=moves), taken)
    stuck = taken - set(moves)
    blocked = {old for old in moves if ends_at(moves, old) in stuck}
    for old in taken:
        assert after[old] == (moves[old] if old in moves and old not in blocked else old)


def ends_at(moves, name):
    """Return the end of a chain of moves, or the name itself for a ring."""
    place = moves[name]
    while place in moves and place != name:
        place = moves[place]
    return place
