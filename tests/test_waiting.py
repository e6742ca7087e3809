"""Waiting: for how long, with which messages, and how a session is described."""

import pytest

from automigrate_ext.waiting import LONGEST_QUERY, Session, Waiting, describe_sessions


@pytest.fixture
def clock(monkeypatch):
    """A clock that only sleeping moves."""
    now = [100.0]

    def sleep(seconds):
        now[0] += seconds

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", sleep)
    return now


def test_tells_once_after_a_second(clock):
    told = []
    waiting = Waiting(None, told.append)
    for _ in range(10):
        assert waiting.pause(0.3, lambda: "Waiting for it")
        assert bool(told) == (clock[0] - 0.3 >= 101)
    assert told == ["Waiting for it..."]
    assert waiting.waited


def test_is_over_on_time(clock):
    waiting = Waiting(0.5, print)
    assert waiting.pause(0.3, str)
    assert waiting.pause(0.3, str)
    assert clock[0] == pytest.approx(100.5)
    assert not waiting.pause(0.3, str)


def test_does_not_wait_at_all(clock):
    waiting = Waiting(0, print)
    assert not waiting.pause(0.3, str)
    assert (clock[0], waiting.waited) == (100.0, False)


def test_session_is_described_in_one_line():
    session = Session(
        pid=7, user="bob", application="psql", kind="client backend", state="active", since="2026", query="SELECT\n 1"
    )
    assert session.describe() == "session 7, user 'bob', app 'psql', active, since 2026, query: SELECT 1"
    autovacuum = Session(pid=8, kind="autovacuum worker", query="x" * 200)
    assert autovacuum.describe() == f"session 8, autovacuum worker, query: {'x' * LONGEST_QUERY}..."
    assert describe_sessions((session, Session(pid=None))).endswith("; a prepared transaction, see pg_prepared_xacts)")
    assert describe_sessions(()) == ""
