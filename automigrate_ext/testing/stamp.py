"""What a kept test database records about itself: a stamp of what is in it, and a mark while tests use it.

Both are notes in the record, so that a copy has them too.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import uuid
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.db import connections

from automigrate_ext.backends import fingerprints_of
from automigrate_ext.backends.fingerprint import TESTS, Look
from automigrate_ext.run.record_table import RecordTable

#: The names of the notes.
STAMP, MARK = TESTS, f"{TESTS} used by"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What a test database was made from, and what it was then.

    `basis` is a digest of what concerns all tables and rows: versions, settings, the names of models, permissions.
    `models` has a digest of what each model asks for, and `tables` one of each table as the server describes it, both
    by table, `surroundings` has those of what these depend on; `disk` is a digest of the migrations on disk, and
    `recorded` of those that are recorded as applied. `rows` are the numbers of rows that tables had. `version` is a new
    one whenever something was changed.
    """

    basis: str
    models: Mapping[str, str]
    tables: Mapping[str, str]
    surroundings: str
    disk: str
    recorded: str
    rows: Mapping[str, int]
    version: str = field(default_factory=lambda: uuid.uuid4().hex)

    def is_complete(self, rows: Mapping[str, int]) -> bool:
        """Return whether no table has fewer rows than it had."""
        return all(rows.get(name, 0) >= number for name, number in self.rows.items())


def look(alias: str, names: Collection[str]) -> Look:
    """Return what is in a database now, with the notes; nothing where it has no record, or cannot be read."""
    found = fingerprints_of(connections[alias]).look(names, [STAMP, MARK])
    return found or Look(tables={}, surroundings="", record="")


def read(found: Look) -> tuple[Stamp | None, str]:
    """Return the stamp and the mark of a database; None and "" where it has none."""
    return parse(found.notes.get(STAMP, "")), found.notes.get(MARK, "")


def write(alias: str, stamp: Stamp) -> None:
    """Put the stamp into the database."""
    RecordTable(alias).write_note(STAMP, render(stamp))


def write_file(path: Path, stamp: Stamp) -> None:
    """Put the stamp into a file, which exists only when it is whole."""
    part = path.with_suffix(".part")
    part.write_text(render(stamp))
    part.replace(path)


def parse(text: str) -> Stamp | None:
    """Return the stamp from its text; None where there is no text, or none of this version of the package."""
    try:
        facts: Any = json.loads(text or "{}")
    except ValueError:
        return None
    is_complete = isinstance(facts, dict) and facts.keys() == Stamp.__dataclass_fields__.keys()
    return Stamp(**facts) if is_complete else None


def render(stamp: Stamp) -> str:
    """Return the stamp as text."""
    return json.dumps(asdict(stamp), sort_keys=True)


def mark(alias: str) -> None:
    """Record that this process uses the database: if it is killed, its tests may have left rows behind."""
    RecordTable(alias).write_note(MARK, f"{os.getpid()} on {socket.gethostname()}")


def unmark(alias: str) -> None:
    """Record that no process uses the database."""
    RecordTable(alias).write_note(MARK, "")


def is_abandoned(note: str) -> bool:
    """Return whether the process that wrote this mark has ended without removing it.

    Processes on another host cannot be looked up, nor any on Windows; they count as running.
    """
    process, _, host = note.partition(" on ")
    if not process.isdecimal() or host != socket.gethostname() or sys.platform == "win32":
        return False
    return int(process) == os.getpid() or not is_alive(int(process))


def is_alive(process: int) -> bool:
    """Return whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
