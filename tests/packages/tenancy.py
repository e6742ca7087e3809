"""Projects of the packages that give each tenant a schema, to be played in processes of their own."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

SETTINGS = """\
SECRET_KEY = "tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
BOTH = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "automigrate_ext"]
SHARED_APPS = [{module!r}, "customers", *BOTH]
TENANT_APPS = [*BOTH, "shop"]
INSTALLED_APPS = [*SHARED_APPS, "shop"]
ROOT_URLCONF = "urls"
DATABASES = {{"default": {entry}}}
DATABASES["default"]["ENGINE"] = {engine!r}
"""
#: By package: its module, its engine, the rest of the settings, and the models of an app that all tenants share.
PROJECTS = {
    "django-tenants": (
        "django_tenants",
        "django_tenants.postgresql_backend",
        """
TENANT_MODEL, TENANT_DOMAIN_MODEL = "customers.Client", "customers.Domain"
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
""",
        """
from django.db import models
from django_tenants.models import DomainMixin, TenantMixin

class Client(TenantMixin):
    auto_create_schema = {create}

class Domain(DomainMixin):
    pass
""",
    ),
    "django-pgschemas": (
        "django_pgschemas",
        "django_pgschemas.postgresql",
        """
TENANTS = {
    "public": {"APPS": SHARED_APPS},
    "default": {
        "TENANT_MODEL": "customers.Client", "DOMAIN_MODEL": "customers.Domain", "APPS": TENANT_APPS, "URLCONF": "urls"
    },
}
DATABASE_ROUTERS = ["django_pgschemas.routers.TenantAppsRouter"]
""",
        """
from django.db import models
from django_pgschemas.models import TenantModel
from django_pgschemas.routing.models import DomainModel

class Client(TenantModel):
    auto_create_schema = {create}

class Domain(DomainModel):
    pass
""",
    ),
}


def make_project(
    name: str, directory: Path, database: Mapping[str, Any], *, more: str = "", create: bool = False
) -> None:
    """Write the project of a package, with more settings; skips the test where the package is not installed.

    `create` is whether a tenant that is saved gets its schema.
    """
    module, engine, settings, customers = PROJECTS[name]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{name} is not installed: see the environment `packages` of tox.ini")
    for app in ("shop", "customers"):
        (directory / app).mkdir(parents=True)
        (directory / app / "__init__.py").touch()
    (directory / "customers" / "models.py").write_text(customers.format(create=create))
    (directory / "urls.py").write_text("urlpatterns = []\n")
    entry = {key: database[key] for key in ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")}
    text = SETTINGS.format(module=module, engine=engine, entry=entry)
    (directory / "project.py").write_text(text + settings + more)
