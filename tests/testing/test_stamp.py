"""What a kept test database records about itself, as text and as values."""

import os
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from automigrate_ext import autoupdate
from automigrate_ext.testing import stamp
from automigrate_ext.testing.stamp import Stamp

WRITTEN = Stamp(
    basis="b",
    models={"item": "m"},
    tables={"item": "t"},
    surroundings="s",
    disk="d",
    recorded="r",
    rows={"item": 2},
)


def read(connection):
    return stamp.read(stamp.look(connection.alias, []))


def test_stamp_and_mark_are_notes_of_their_database(connection):
    assert read(connection) == (None, "")
    autoupdate(using=connection.alias)
    assert read(connection) == (None, "")
    stamp.write(connection.alias, replace(WRITTEN, version="of before"))
    stamp.write(connection.alias, WRITTEN)
    stamp.mark(connection.alias)
    assert read(connection) == (WRITTEN, f"{os.getpid()} on {socket.gethostname()}")
    stamp.unmark(connection.alias)
    assert read(connection) == (WRITTEN, "")


def test_stamp_in_a_file(tmp_path):
    path = tmp_path / "stamp.json"
    stamp.write_file(path, WRITTEN)
    assert stamp.parse(path.read_text()) == WRITTEN
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "{}", "not json", "[]", "5", '{"basis": "of another version", "more": 1}'])
def test_stamp_of_another_version_counts_as_none(text):
    assert stamp.parse(text) is None


def test_stamp_is_complete_while_no_table_has_fewer_rows():
    assert WRITTEN.is_complete({"item": 2}) and WRITTEN.is_complete({"item": 3, "other": 0})
    assert not WRITTEN.is_complete({"item": 1}) and not WRITTEN.is_complete({})


@pytest.mark.skipif(sys.platform == "win32", reason="no process is looked up there")
def test_mark_is_abandoned_once_its_process_has_ended():
    host = socket.gethostname()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert stamp.is_abandoned(f"{ended.pid} on {host}")
    # This process writes its mark later, so that one with its number is of an earlier process.
    assert stamp.is_abandoned(f"{os.getpid()} on {host}")
    assert not stamp.is_abandoned(f"{os.getppid()} on {host}")
    assert not stamp.is_abandoned(f"{ended.pid} on another.{host}")
    assert not stamp.is_abandoned("") and not stamp.is_abandoned(f"x on {host}")
