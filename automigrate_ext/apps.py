"""The app's configuration, which every command waits for: what a function needs is loaded when it is called."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import AppConfig
from django.apps import apps as global_apps
from django.core.checks import CheckMessage, Tags, register
from django.db.models.signals import post_migrate, pre_migrate

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


def senders() -> list[AppConfig]:
    """Return the apps of which `pre_migrate` and `post_migrate` are sent, in this order."""
    return [config for config in global_apps.get_app_configs() if config.models_module is not None]


def seed_after_flush(sender: Any, using: str, **kwargs: Any) -> None:
    """Seed again after a flush.

    `flush` sends `post_migrate` without a plan, once for each app with models; the last one counts.
    """
    if "plan" not in kwargs and sender is senders()[-1]:
        # Only tests and `flush` come here.
        from automigrate_ext.seeds import seed_again

        seed_again(using)


def explain_migrate(sender: Any, using: str, plan: Any = (), **kwargs: Any) -> None:
    """Have what fails in a run of `migrate` explained; runs of this package and `flush` have no plan."""
    if plan and sender is senders()[0]:
        # Few databases have migrations to run.
        from automigrate_ext.starts import unapplied

        unapplied.offer(using, plan)


def end_of_migrate(sender: Any, using: str, plan: Any = (), **kwargs: Any) -> None:
    """Explain nothing more once `migrate` has come to its end."""
    if plan:
        # As in `explain_migrate`.
        from automigrate_ext.starts import unapplied

        unapplied.withdraw(using)


class AutomigrateConfig(AppConfig):
    """Django's handle on the package."""

    name = "automigrate_ext"
    verbose_name = "Automigrate"

    def ready(self) -> None:
        register(check_hints, Tags.models, conf.CHECKS_TAG)
        register(check_pending_page, Tags.security, conf.CHECKS_TAG)
        register(check_databases, Tags.database)
        post_migrate.connect(seed_after_flush, dispatch_uid="automigrate_ext.seeds")
        pre_migrate.connect(explain_migrate, dispatch_uid="automigrate_ext.unapplied")
        post_migrate.connect(end_of_migrate, dispatch_uid="automigrate_ext.applied")
        if conf.starts():
            # The handlers of servers come along, and most projects have no ON_START.
            from automigrate_ext import startup

            startup.install_handlers()
