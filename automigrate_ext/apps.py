"""The app's configuration."""

from django.apps import AppConfig
from django.core.checks import Tags, register

from automigrate_ext.checks import check_hints, check_pending_page


class AutomigrateConfig(AppConfig):
    """Django's handle on the package."""

    name = "automigrate_ext"
    verbose_name = "Automigrate"

    def ready(self) -> None:
        register(check_hints, Tags.models)
        register(check_pending_page, Tags.security)
