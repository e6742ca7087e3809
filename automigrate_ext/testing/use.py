"""A mark on a kept database while tests use it: if their process is killed, what they left in it is known for that."""

from __future__ import annotations

import os
import socket
import sys

from automigrate_ext.run.record_table import RecordTable

#: The mark's name among the notes.
NAME = "test database used by"


def mark(notes: RecordTable) -> None:
    """Say that this process uses the database."""
    notes.write_note(NAME, f"{os.getpid()} on {socket.gethostname()}")


def unmark(notes: RecordTable) -> None:
    """Say that nobody does."""
    notes.write_note(NAME, "")


def is_abandoned(note: str) -> bool:
    """Whether a process has marked the database so, and is gone without having taken it back.

    Of a process on another host that is not known, nor on Windows; then it counts as there.
    """
    process, _, host = note.partition(" on ")
    if not process or host != socket.gethostname() or sys.platform == "win32":
        return False
    return int(process) == os.getpid() or not is_alive(int(process))


def is_alive(process: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
