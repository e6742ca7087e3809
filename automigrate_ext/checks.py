"""Django's system checks: of hints and the setting, of the pending page, and of databases that are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.apps import apps as global_apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.db.utils import Error as DatabaseError

from automigrate_ext import hints
from automigrate_ext.api import differences
from automigrate_ext.changes import plural
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.process import is_migrating, is_run_under_way
from automigrate_ext.selection import select
from automigrate_ext.several import set_aside, why_left_alone

#: How many differences a warning names.
NAMED = 5

PENDING_PAGE = "automigrate_ext.middleware.PendingPageMiddleware"


def check_hints(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E001: a model's former_names are malformed. E002: the setting AUTOMIGRATE is."""
    configs = global_apps.get_app_configs() if app_configs is None else app_configs
    found: list[CheckMessage] = []
    for model in (model for config in configs for model in config.get_models()):
        found += [Error(problem, obj=model, id="automigrate_ext.E001") for problem in hints.problems_of(model)]
    if app_configs is None:
        found += [Error(problem, id="automigrate_ext.E002") for problem in hints.setting_problems()]
    return found


def check_pending_page(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """W003: the pending page is switched on, and nobody could see it."""
    if not settings.DEBUG or settings.INTERNAL_IPS or PENDING_PAGE not in settings.MIDDLEWARE:
        return []
    return [
        Warning(
            "The pending page is never shown, because INTERNAL_IPS is empty.",
            hint='Add the addresses that developers come from: INTERNAL_IPS = ["127.0.0.1", "::1"].',
            id="automigrate_ext.W003",
        )
    ]


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
