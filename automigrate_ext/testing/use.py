"""A mark on a kept database while tests use it: if their process is killed, what they left in it is known for that."""

from __future__ import annotations

import os
import socket
import sys

from automigrate_ext.record import Record

#: The mark's name among the notes of the record.
NAME = "test database used by"


def mark(record: Record) -> None:
    """Say that this process uses the database."""
    record.write_note(NAME, f"{os.getpid()} on {socket.gethostname()}")


def unmark(record: Record) -> None:
    """Say that nobody does."""
    record.write_note(NAME, "")


def is_abandoned(record: Record) -> bool:
    """Whether a process has used the database, and is gone without having said so.

    Of a process on another host that is not known, nor on Windows; then it counts as there.
    """
    process, _, host = record.note(NAME).partition(" on ")
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
