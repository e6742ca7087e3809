"""Django's system check of databases that are asked for, which takes all that compares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.apps import apps as global_apps
from django.core.checks import CheckMessage, Warning
from django.core.exceptions import ImproperlyConfigured
from django.db.utils import Error as DatabaseError

from automigrate_ext.api import differences
from automigrate_ext.declared.selection import select
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.process import is_migrating, is_run_under_way
from automigrate_ext.run.several import set_aside, why_left_alone
from automigrate_ext.schema.changes import plural

#: How many differences a warning names.
NAMED = 5


def check_databases(
    app_configs: Sequence[AppConfig] | None, databases: Iterable[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """W001: a database does not match the models. W002: it cannot be compared.

    Asked only of databases that are named, as by `check --database default`, and not before a run of this package or a
    command of migrations, which are about to change what it would say. Databases that `--all-databases` leaves alone
    match.
    """
    if is_migrating() or is_run_under_way():
        return []
    labels = None if app_configs is None else [config.label for config in app_configs]
    aside = set_aside()
    return [warning for alias in databases or () if alias not in aside for warning in check_database(alias, labels)]


def check_database(alias: str, labels: Sequence[str] | None) -> Iterator[CheckMessage]:
    """What is to be said of one database."""
    try:
        selection = select(labels, alias, global_apps)
        found = [] if why_left_alone(selection) else differences(selection)
    except (AutomigrateError, DatabaseError, ImproperlyConfigured) as error:
        words = " ".join(str(error).split())
        yield Warning(f"Database {alias!r} could not be compared with the models: {words}", id="automigrate_ext.W002")
        return
    if found:
        named = "; ".join(found[:NAMED])
        more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
        command = " ".join(["manage.py autoupdate", *(labels or ()), "--database", alias])
        yield Warning(
            f"Database {alias!r} does not match the models in {plural(len(found), 'place')}: {named}{more}.",
            hint=f"Run {command}, or see with --dry-run what that would do.",
            id="automigrate_ext.W001",
        )
