"""The state of this process: its command, whether tests run in it, whether a run is under way, what is up to date."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.db.models import Model

#: The commands that change tables themselves, or describe how they would.
MIGRATING = frozenset(
    {"makemigrations", "migrate", "optimizemigration", "showmigrations", "sqlmigrate", "squashmigrations"}
)

#: Set in the environment of the processes that --watch runs, which ignore the option themselves.
WATCHED = "AUTOMIGRATE_EXT_WATCHED"

#: The models whose tables this process has brought up to date, each with the alias of the database.
up_to_date: set[tuple[type[Model], str]] = set()

_thread = threading.local()
_origin: ContextVar[str] = ContextVar("automigrate_ext_origin", default="python")


def is_migrating() -> bool:
    """Return whether the process was started for one of Django's commands of migrations, as in `manage.py migrate`.

    The command is the first argument, as for `django.core.management.ManagementUtility`.
    """
    return sys.argv[1:2] != [] and sys.argv[1] in MIGRATING


def is_watched() -> bool:
    """Return whether `--watch` runs this process."""
    return WATCHED in os.environ


def is_testing() -> bool:
    """Return whether tests run in this process.

    Django's `setup_test_environment` makes `django.core.mail.outbox`. pytest sets PYTEST_VERSION, which processes that
    tests start inherit, so pytest has to be loaded too.
    """
    mail = sys.modules.get("django.core.mail")
    return hasattr(mail, "outbox") or ("PYTEST_VERSION" in os.environ and "pytest" in sys.modules)


def in_event_loop() -> bool:
    """Return whether this thread runs an event loop, in which Django refuses to send queries."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@contextmanager
def run_under_way() -> Iterator[None]:
    """Mark this thread as one that works on tables for the package, so that no other run starts in the block."""
    before = is_run_under_way()
    _thread.run = True
    try:
        yield
    finally:
        _thread.run = before


def is_run_under_way() -> bool:
    """Return whether this thread works on tables for the package."""
    return getattr(_thread, "run", False)


@contextmanager
def started_by(name: str) -> Iterator[None]:
    """Mark what starts the runs of the block, as the history of runs has it: "command", "start" and so on."""
    token = _origin.set(name)
    try:
        yield
    finally:
        _origin.reset(token)


def origin() -> str:
    """Return what starts the runs of this context: "python", a call of a function, where nothing else is marked."""
    return _origin.get()
