"""The app's configuration."""

from collections.abc import Callable
from typing import Any

from django.apps import AppConfig
from django.apps import apps as global_apps
from django.core.checks import Tags, register
from django.db.models.signals import post_migrate
from django.utils.module_loading import import_string

from automigrate_ext import conf


def loaded_late(path: str) -> Callable[..., Any]:
    """A function that is loaded when it is called: most commands call none of these, and should not wait for them."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return import_string(path)(*args, **kwargs)

    return call


def seed_after_flush(sender: Any, using: str, **kwargs: Any) -> None:
    """A receiver of `post_migrate`, which `flush` sends without a plan, once for each app: seed after the last one."""
    if "plan" in kwargs:
        return
    told = [config for config in global_apps.get_app_configs() if config.models_module is not None]
    if sender is told[-1]:
        loaded_late("automigrate_ext.seeds.seed_again")(using)


class AutomigrateConfig(AppConfig):
    """Django's handle on the package."""

    name = "automigrate_ext"
    verbose_name = "Automigrate"

    def ready(self) -> None:
        register(loaded_late("automigrate_ext.starts.checks.check_hints"), Tags.models)
        register(loaded_late("automigrate_ext.starts.checks.check_pending_page"), Tags.security)
        register(loaded_late("automigrate_ext.starts.database_checks.check_databases"), Tags.database)
        post_migrate.connect(seed_after_flush, dispatch_uid="automigrate_ext.seeds")
        if conf.starts():
            loaded_late("automigrate_ext.startup.hook")()
