"""The app's configuration, which every command waits for: what a function needs is loaded when it is called."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import AppConfig
from django.apps import apps as global_apps
from django.core.checks import CheckMessage, Tags, register
from django.db.models.signals import post_migrate

from automigrate_ext import conf


def check_hints(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Run the check of hints and of the setting."""
    # Most commands run no checks.
    from automigrate_ext.starts import checks

    return checks.check_hints(app_configs, **kwargs)


def check_pending_page(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Run the check of the pending page."""
    # Most commands run no checks.
    from automigrate_ext.starts import checks

    return checks.check_pending_page(app_configs, **kwargs)


def check_databases(
    app_configs: Sequence[AppConfig] | None, databases: Iterable[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Run the check of databases that are named."""
    # Most commands run no checks.
    from automigrate_ext.starts import checks

    return checks.check_databases(app_configs, databases, **kwargs)


def seed_after_flush(sender: Any, using: str, **kwargs: Any) -> None:
    """Seed again after a flush.

    `flush` sends `post_migrate` without a plan, once for each app with models; the last one counts.
    """
    if "plan" in kwargs:
        return
    senders = [config for config in global_apps.get_app_configs() if config.models_module is not None]
    if sender is senders[-1]:
        # Only tests and `flush` come here.
        from automigrate_ext.seeds import seed_again

        seed_again(using)


class AutomigrateConfig(AppConfig):
    """Django's handle on the package."""

    name = "automigrate_ext"
    verbose_name = "Automigrate"

    def ready(self) -> None:
        register(check_hints, Tags.models, conf.CHECKS_TAG)
        register(check_pending_page, Tags.security, conf.CHECKS_TAG)
        register(check_databases, Tags.database)
        post_migrate.connect(seed_after_flush, dispatch_uid="automigrate_ext.seeds")
        if conf.starts():
            # The handlers of servers come along, and most projects have no ON_START.
            from automigrate_ext import startup

            startup.install_handlers()
