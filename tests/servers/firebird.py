"""Firebird databases: Debian's engine (package firebird3.0-server-core) in the tests' own process, and django-firebird.

It is the engine of the server; without a server there are no ports, passwords and processes to look after.
"""

import importlib.util
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django

from tests.servers import ServerUnavailable
from tests.servers.keeper import memory

ENGINES = ("/usr/lib/*/firebird/3.0/plugins/libEngine12.so", "/opt/firebird/plugins/libEngine1*.so")
#: The Django for which the released backend is made: it needs what Django's editor and introspection have since.
DJANGO = (6, 1)


def available() -> None:
    """Raise ServerUnavailable where there is no engine, no driver, or another Django than the driver's."""
    if django.VERSION < DJANGO:
        raise ServerUnavailable("django-firebird 5.1 is made for Django 6.1")
    if importlib.util.find_spec("django_firebird") is None:
        raise ServerUnavailable("the package django-firebird is not installed")
    if not any(list(Path("/").glob(pattern.lstrip("/"))) for pattern in ENGINES):
        raise ServerUnavailable("firebird3.0-server-core is not installed")


@contextmanager
def directory() -> Iterator[Path]:
    """A directory for databases, and for what processes that use them have in common."""
    with tempfile.TemporaryDirectory(prefix="automigrate-firebird-", dir=memory()) as path:
        # Read by the engine when it is loaded.
        os.environ.setdefault("FIREBIRD_LOCK", path)
        yield Path(path)


def create(path: Path) -> dict[str, Any]:
    """Make an empty database; return its entry of DATABASES."""
    import firebird.driver

    path.unlink(missing_ok=True)
    firebird.driver.create_database(str(path), user="SYSDBA", charset="UTF8").close()
    # The backend would write a colon before a NAME without a HOST.
    return {
        "ENGINE": "django_firebird",
        "NAME": str(path),
        "USER": "SYSDBA",
        "PASSWORD": "",
        "HOST": "",
        "PORT": "",
        "OPTIONS": {"database": str(path)},
    }
