"""The app's configuration."""

from django.apps import AppConfig


class AutomigrateConfig(AppConfig):
    """Django's handle on the package."""

    name = "automigrate_ext"
    verbose_name = "Automigrate"
