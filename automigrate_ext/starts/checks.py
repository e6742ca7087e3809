"""Django's system checks: of hints, of the setting and of the pending page, and of databases where these are named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.apps import apps as global_apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.db.utils import Error as DatabaseError

from automigrate_ext.declared.selection import select
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.process import is_migrating, is_run_under_way
from automigrate_ext.renames import hints
from automigrate_ext.words import plural

PENDING_PAGE = "automigrate_ext.middleware.PendingPageMiddleware"
#: How many differences a warning names.
NAMED = 5


def check_hints(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Return E001 where a model's former_names are malformed, and E002 where the setting AUTOMIGRATE is."""
    configs = global_apps.get_app_configs() if app_configs is None else app_configs
    messages: list[CheckMessage] = []
    for model in (model for config in configs for model in config.get_models()):
        messages += [Error(problem, obj=model, id="automigrate_ext.E001") for problem in hints.problems_of(model)]
    if app_configs is None:
        messages += [Error(problem, id="automigrate_ext.E002") for problem in hints.setting_problems()]
    return messages


def check_pending_page(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Return W003 where the pending page is switched on and nobody could see it."""
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
    """Return W001 for each database that does not match the models, and W002 for each that cannot be compared.

    Only databases that are named are compared, as by `check --database default`, and none before a run of this package
    or a command of migrations, after which the answer would be another. Databases that `--all-databases` leaves alone
    match.
    """
    if is_migrating() or is_run_under_way():
        return []
    # All that compares comes along, and most commands run the other checks alone.
    from automigrate_ext.run.several import set_aside

    labels = None if app_configs is None else [config.label for config in app_configs]
    aside = set_aside()
    return [warning for alias in databases or () if alias not in aside for warning in check_database(alias, labels)]


def check_database(alias: str, labels: Sequence[str] | None) -> Iterator[CheckMessage]:
    """Yield the warning about one database, if there is one."""
    try:
        differences, is_expanded = differences_in(alias, labels)
    except (AutomigrateError, DatabaseError, ImproperlyConfigured) as error:
        words = " ".join(str(error).split())
        yield Warning(f"Database {alias!r} could not be compared with the models: {words}", id="automigrate_ext.W002")
        return
    if differences:
        named = "; ".join(differences[:NAMED])
        more = f"; and {len(differences) - NAMED} more" if len(differences) > NAMED else ""
        command = " ".join(["manage.py autoupdate", *(labels or ()), "--database", alias])
        words = f"does not match the models in {plural(len(differences), 'place')}"
        if is_expanded:
            words = f"is expanded, with {plural(len(differences), 'change')} to contract"
            command = f"{command} --contract"
        after = " once the last process of the old code has ended" if is_expanded else ""
        yield Warning(
            f"Database {alias!r} {words}: {named}{more}.",
            hint=f"Run {command}{after}, or see with --dry-run what that would do.",
            id="automigrate_ext.W001",
        )


def differences_in(alias: str, labels: Sequence[str] | None) -> tuple[list[str], bool]:
    """Return what differs in a database, in words, and whether an expand has left just that.

    Nothing differs where `--all-databases` would leave it alone.
    """
    # As in `check_databases`.
    from automigrate_ext.run.one import differences
    from automigrate_ext.run.several import why_left_alone

    selection = select(labels, alias, global_apps)
    return ([], False) if why_left_alone(selection) else differences(selection)
