"""Django's system checks of hints, of the setting and of the pending page, which run with most commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.apps import apps as global_apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from automigrate_ext.renames import hints

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
