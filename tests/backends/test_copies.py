"""Databases of tests: the lock on their names, had alone or shared, and what stands in the way of making them."""

from contextlib import ExitStack

import pytest

from automigrate_ext import AutomigrateError
from automigrate_ext.backends import copies_for

NAME = "automigrate_test_shared"


@pytest.fixture
def processes(connection, tmp_path):
    """Three times what copies databases, each with a connection of its own, and the name of one to lock."""
    name = str(tmp_path / NAME) if connection.vendor == "sqlite" else NAME
    others = [connection.copy() for _ in range(3)]
    yield [copies_for(other, print) for other in others], name
    for other in others:
        other.close()


def test_a_lock_is_had_alone_or_shared_by_several(processes):
    (first, second, third), name = processes
    with first.key(name) as one, second.key(name) as two, third.key(name) as three:
        assert one.take()
        assert not two.take() and not two.share()
        # Who shares what it had alone lets others share it too, and nobody have it alone.
        assert one.share() and two.share() and three.share()
        assert not three.take()
    with first.key(name) as one, second.key(name) as two:
        assert two.share() and not one.take()
    with first.key(name) as one:
        assert one.take()


def test_nobody_waits_for_what_is_done(processes):
    (first, second, third), name = processes
    done = []
    with ExitStack() as stack:
        share = stack.enter_context(first.lock(name))
        looks = iter([False, False, True])
        stack.enter_context(second.lock(name, unless=lambda: next(looks) and not done.append(1)))
        assert done
        share()
        share_too = stack.enter_context(third.lock(name, unless=lambda: True))
        share_too()
    with second.lock(name):  # all of it was given back
        pass


def test_names_that_postgresql_would_cut_off(postgresql):
    copies = copies_for(postgresql, print)
    copies.forbid_unfit("n" * 63)
    with pytest.raises(AutomigrateError, match="has more than 63 bytes"):
        copies.forbid_unfit("\u00fc" * 32)


def test_who_may_create_no_database_drops_none(postgresql):
    role, name = "automigrate_test_no_createdb", postgresql.settings_dict["NAME"]
    with postgresql.cursor() as cursor:
        cursor.execute(f"DROP ROLE IF EXISTS {role}")
        cursor.execute(f"CREATE ROLE {role} NOCREATEDB")
    other = postgresql.copy()
    other.settings_dict["OPTIONS"] = {**other.settings_dict["OPTIONS"], "options": f"-c role={role}"}
    try:
        assert copies_for(postgresql, print).may_create()
        with pytest.raises(AutomigrateError, match="the role may not create databases"):
            copies_for(other, print).copy("template1", name, "last")
        assert copies_for(postgresql, print).exists(name)
    finally:
        other.close()
        with postgresql.cursor() as cursor:
            cursor.execute(f"DROP ROLE {role}")


def test_directory_of_a_file_has_to_be_there(sqlite, tmp_path):
    name = str(tmp_path / "nowhere" / "test.sqlite3")
    with (
        pytest.raises(AutomigrateError, match="There is no directory for the test database"),
        copies_for(sqlite, print).lock(name),
    ):
        pass
