"""The app's configuration."""

from django.apps import AppConfig


class PgschemasConfig(AppConfig):
    """Brings the command; has no models."""

    name = "automigrate_ext.tenants.pgschemas"
    label = "automigrate_ext_pgschemas"
