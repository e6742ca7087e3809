"""What this process is: the command that it was started for, whether it tests, whether a run is under way in it."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.db.models import Model

#: The commands that look after the tables themselves, or describe how to.
MIGRATING = frozenset(
    {"makemigrations", "migrate", "optimizemigration", "showmigrations", "sqlmigrate", "squashmigrations"}
)

#: The models whose tables this process has brought up to date, each with the alias of the database.
up_to_date: set[tuple[type[Model], str]] = set()

_here = threading.local()


def is_migrating() -> bool:
    """Whether the process was started for one of Django's commands of migrations, as in `manage.py migrate`.

    The command is the first argument, as for `django.core.management.ManagementUtility`.
    """
    return sys.argv[1:2] != [] and sys.argv[1] in MIGRATING


def is_testing() -> bool:
    """Whether tests run in this process, as Django's `setup_test_environment` and pytest leave their mark.

    The one makes `django.core.mail.outbox`, the other sets PYTEST_VERSION, which processes that tests start inherit.
    """
    mail = sys.modules.get("django.core.mail")
    return hasattr(mail, "outbox") or ("PYTEST_VERSION" in os.environ and "pytest" in sys.modules)


def in_event_loop() -> bool:
    """Whether this thread runs an event loop, so that Django sends no query from it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@contextmanager
def run_under_way() -> Iterator[None]:
    """A block in which this thread works on tables for the package, so that nothing is to start another run."""
    before = is_run_under_way()
    _here.run = True
    try:
        yield
    finally:
        _here.run = before


def is_run_under_way() -> bool:
    """Whether this thread works on tables for the package."""
    return getattr(_here, "run", False)
