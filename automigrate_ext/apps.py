"""The app's configuration."""

from django.apps import AppConfig
from django.core.checks import Tags, register
from django.db.models.signals import post_migrate
from django.utils.module_loading import import_string

from automigrate_ext import conf
from automigrate_ext.checks import check_databases, check_hints, check_pending_page
from automigrate_ext.seeds import seed_after_flush


class AutomigrateConfig(AppConfig):
    """Django's handle on the package."""

    name = "automigrate_ext"
    verbose_name = "Automigrate"

    def ready(self) -> None:
        register(check_hints, Tags.models)
        register(check_pending_page, Tags.security)
        register(check_databases, Tags.database)
        post_migrate.connect(seed_after_flush, dispatch_uid="automigrate_ext.seeds")
        if conf.starts():
            # Only now, because most projects' commands should not wait for what servers need.
            import_string("automigrate_ext.startup.hook")()
