"""Packages that give each tenant a schema of its own: a run for one of them leaves public and the others alone."""

import importlib.util

import pytest

from tests.packages.playing import play

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
THING = """\
from customers.models import Client
from django.db import models

class Thing(models.Model):
    name = models.CharField(max_length={length})
    client = models.ForeignKey(Client, models.CASCADE)
"""
CHANGED = f"{THING.format(length=40)}    size = models.IntegerField(default=3, db_index=True)\n"
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
from django_tenants.models import DomainMixin, TenantMixin

class Client(TenantMixin):
    auto_create_schema = False

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
from django_pgschemas.models import TenantModel
from django_pgschemas.routing.models import DomainModel

class Client(TenantModel):
    auto_create_schema = False

class Domain(DomainModel):
    pass
""",
    ),
}


@pytest.mark.parametrize("name", PROJECTS)
@pytest.mark.parametrize("limit", ["", "TENANT_LIMIT_SET_CALLS = PGSCHEMAS_LIMIT_SET_CALLS = True\n"])
def test_tenants(name, limit, postgresql, tmp_path):
    module, engine, more, customers = PROJECTS[name]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{name} is not installed: see the environment `packages` of tox.ini")
    directory = tmp_path / "project"
    for app in ("shop", "customers"):
        (directory / app).mkdir(parents=True)
        (directory / app / "__init__.py").touch()
    (directory / "customers" / "models.py").write_text(customers)
    (directory / "urls.py").write_text("urlpatterns = []\n")
    names = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
    entry = {key: postgresql.settings_dict[key] for key in names}
    settings = SETTINGS.format(module=module, engine=engine, entry=entry)
    (directory / "project.py").write_text(settings + more + limit)
    play(directory, THING.format(length=20), "play_tenants", "before")
    play(directory, CHANGED, "play_tenants", "after")
