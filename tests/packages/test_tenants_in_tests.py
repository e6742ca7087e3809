"""Test databases of projects with tenants: public schema and tenants of tests come from the models, not migrations."""

import os
import subprocess
import sys

import pytest

from tests.packages.playing import ROOT
from tests.packages.tenancy import make_project

#: A migration that nothing may run.
MIGRATION = """
from django.db import migrations

def fail(apps, schema_editor):
    raise AssertionError("migrated")

class Migration(migrations.Migration):
    initial = True
    operations = [migrations.RunPython(fail)]
"""
THING = """\
from django.db import models

class Thing(models.Model):
    name = models.CharField(max_length=20)
"""
SIZE = "    size = models.IntegerField(default=3)\n"
CHECK = '''\
from django.db import connection
from shop.models import Thing

COLUMNS = """
SELECT attname FROM pg_attribute WHERE attrelid = 'shop_thing'::regclass AND attnum > 0 ORDER BY attnum
"""
FIELDS = [field.column for field in Thing._meta.fields]


def check(schema):
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        assert cursor.fetchone() == (schema,)
        cursor.execute(COLUMNS)
        assert [column for (column,) in cursor.fetchall()] == FIELDS
        tables = connection.introspection.table_names(cursor)
    assert "auth_permission" in tables and "django_migrations" not in tables, tables
    Thing.objects.create(name="of a test")
    assert Thing.objects.count() == 1
'''
OF_DJANGO_TENANTS = f"""{CHECK}
from django_tenants.test.cases import FastTenantTestCase, TenantTestCase


class Own(TenantTestCase):
    def test_one(self):
        check("test")

    def test_two(self):
        check("test")


class Fast(FastTenantTestCase):
    def test_one(self):
        check("fast_test")


class FastAgain(FastTenantTestCase):
    def test_one(self):
        check("fast_test")
"""
OF_DJANGO_PGSCHEMAS = f"""{CHECK}
from customers.models import Client
from django.test import TestCase
from django_pgschemas.schema import Schema


class Static(TestCase):
    def test_one(self):
        with Schema.create("www"):
            check("www")

    def test_reference(self):
        with Schema.create("sample"):
            check("sample")


class Own(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.tenant = Client(schema_name="acme")
        cls.tenant.save(verbosity=0)

    def test_one(self):
        with self.tenant:
            check("acme")
"""
SCHEMAS = """
TENANTS["www"] = {"APPS": TENANT_APPS, "URLCONF": "urls", "DOMAINS": ["www"]}
TENANTS["default"]["CLONE_REFERENCE"] = "sample"
"""
CASES = {"django-tenants": ("", OF_DJANGO_TENANTS), "django-pgschemas": (SCHEMAS, OF_DJANGO_PGSCHEMAS)}
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--ds=project", "--automigrate", "-n", "0", "test_shop.py")
RUNNER = 'TEST_RUNNER = "automigrate_ext.testing.AutomigrateRunner"\n'
DJANGO = ("-m", "django", "test", "--settings=project", "--verbosity=0", "--noinput")


@pytest.fixture(params=CASES)
def directory(request, postgresql, tmp_path):
    """The directory of a project of one of the packages, whose test database is dropped afterwards."""
    settings, text = CASES[request.param]
    path = tmp_path / "project"
    make_project(request.param, path, postgresql.settings_dict, more=settings + RUNNER, create=True)
    for app in ("shop", "customers"):
        (path / app / "migrations").mkdir()
        (path / app / "migrations" / "__init__.py").touch()
        (path / app / "migrations" / "0001_initial.py").write_text(MIGRATION)
    (path / "test_shop.py").write_text(text)
    yield path
    with postgresql.cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "test_{postgresql.settings_dict["NAME"]}" WITH (FORCE)')


def run(directory, *arguments, models=THING):
    (directory / "shop" / "models.py").write_text(models)
    environment = {**os.environ, "PYTHONPATH": f"{directory}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_pytest(directory):
    assert "passed" in run(directory, *PYTEST)
    # A kept database, in which the tenants of tests may have stayed, follows the models.
    run(directory, *PYTEST, "--reuse-db")
    printed = run(directory, *PYTEST, "--reuse-db", models=THING + SIZE)
    assert "passed" in printed and "failed" not in printed


def test_runner(directory):
    run(directory, *DJANGO)
    run(directory, *DJANGO, "--keepdb")
    run(directory, *DJANGO, "--keepdb", models=THING + SIZE)


def test_migrations_are_run_where_nobody_asks_for_the_models(directory):
    with pytest.raises(AssertionError, match="migrated"):
        run(directory, *(argument for argument in PYTEST if argument != "--automigrate"))
