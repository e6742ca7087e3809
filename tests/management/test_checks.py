"""The system checks before the two commands: which of them run, and that the URL configuration is not imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.checks import Error, register
from django.core.checks.registry import registry
from django.urls.resolvers import _get_cached_resolver

from automigrate_ext import is_actual
from tests.management.test_commands import run
from tests.several import databases

pytestmark = pytest.mark.django

ROOT = Path(__file__).parent.parent.parent
MIDDLEWARE = "automigrate_ext.middleware.PendingPageMiddleware"
COMMANDS = [
    ("autoupdate", {}),
    ("autoupdate", {"dry_run": True}),
    ("autoupdate", {"dry_run": True, "format": "json"}),
    ("automigrate", {"interactive": False}),
    ("automigrate", {"dry_run": True}),
]
SEVERAL = [{"database": ["default", "other"]}, {"all_databases": True}]


@pytest.fixture
def nowhere(settings):
    """Name a URL configuration that cannot be imported."""
    settings.ROOT_URLCONF = "tests.there_is_no_such_module"
    _get_cached_resolver.cache_clear()


@pytest.fixture
def two(tmp_path, django_db_blocker):
    engine = {"ENGINE": "django.db.backends.sqlite3"}
    with databases(
        django_db_blocker, {name: {**engine, "NAME": str(tmp_path / name)} for name in ("default", "other")}
    ):
        yield


@pytest.fixture(autouse=True)
def unmarked(settings):
    """Print nothing of migrations that runs mark as applied."""
    settings.AUTOMIGRATE = {"RECORD_MIGRATIONS": False}


@pytest.fixture
def check():
    """Register a check that fails; return a list of the databases for which it was run."""
    calls = []

    def failing(app_configs, databases=None, **kwargs):
        calls.append(databases)
        return [Error("It fails.", id="tests.E001")]

    def register_with(*tags):
        register(failing, *tags)
        return calls

    yield register_with
    registry.registered_checks.discard(failing)


@pytest.mark.parametrize(("command", "options"), COMMANDS)
def test_url_configuration_is_not_imported(nowhere, connection, command, options):
    _, err, status = run(command, database=connection.alias, skip_checks=False, **options)
    assert (err, status) == ("", 0)


@pytest.mark.parametrize("status", [1, 0])
def test_url_configuration_is_not_imported_to_compare(nowhere, connection, status):
    if not status:
        assert run("autoupdate", database=connection.alias)[2] == 0
    _, err, found = run("autoupdate", database=connection.alias, check=True, skip_checks=False)
    assert (err, found) == ("", status)


@pytest.mark.parametrize("chosen", SEVERAL)
@pytest.mark.parametrize(("command", "options"), COMMANDS)
def test_url_configuration_is_not_imported_for_several_databases(nowhere, two, command, options, chosen):
    _, err, status = run(command, skip_checks=False, **chosen, **options)
    assert (err, status) == ("", 0)
    assert is_actual(using=["default", "other"]) != ("dry_run" in options)


@pytest.mark.parametrize("tags", [(), ("urls",), ("admin",), ("templates",), ("security", "caches"), ("of_a_project",)])
@pytest.mark.parametrize("command", ["autoupdate", "automigrate"])
def test_other_checks_do_not_stop_a_command(sqlite, check, tags, command):
    calls = check(*tags)
    _, err, status = run(command, database=sqlite.alias, interactive=False, skip_checks=False)
    assert (err, status, calls) == ("", 0, [])
    assert run("check")[2] == 1


@pytest.mark.parametrize("tags", [("models",), ("database",), ("automigrate_ext",), ("urls", "models")])
@pytest.mark.parametrize("command", ["autoupdate", "automigrate"])
def test_checks_of_models_and_databases_stop_a_command(sqlite, check, tags, command):
    calls = check(*tags)
    _, err, status = run(command, database=sqlite.alias, skip_checks=False)
    assert "(tests.E001) It fails." in err
    assert (status, calls) == (2, [[sqlite.alias]])
    _, err, status = run(command, database=sqlite.alias, skip_checks=True)
    assert (err, status, len(calls)) == ("", 0, 1)


@pytest.mark.parametrize("options", [{}, {"check": True}, {"dry_run": True}])
def test_error_of_a_model_stops_a_command(monkeypatch, connection, options):
    monkeypatch.setattr("todo_demo.todo.models.Todo._meta.ordering", ["nothing"])
    _, err, status = run("autoupdate", database=connection.alias, skip_checks=False, **options)
    assert "todo.Todo: (models.E015)" in err
    assert status == 2
    assert not connection.introspection.table_names()


def test_error_in_the_setting_stops_a_command(settings, sqlite):
    settings.AUTOMIGRATE = {"WAIT_FOR_DB": "long"}
    _, err, status = run("automigrate", database=sqlite.alias, skip_checks=False)
    assert "automigrate_ext.E002" in err
    assert status == 2


def test_warning_of_the_package_is_printed(settings, sqlite):
    settings.DEBUG, settings.MIDDLEWARE = True, [MIDDLEWARE]
    _, err, status = run("autoupdate", database=sqlite.alias, skip_checks=False)
    assert err.count("automigrate_ext.W003") == 1
    assert status == 0


def test_package_has_a_tag_for_the_checks_that_query_nothing(settings, sqlite):
    settings.DEBUG, settings.MIDDLEWARE, settings.AUTOMIGRATE = True, [MIDDLEWARE], {"WAIT_FOR_DB": "long"}
    _, err, status = run("check", tags=["automigrate_ext"])
    assert "automigrate_ext.E002" in err and "automigrate_ext.W003" in err and "W001" not in err
    assert status == 1


# A project whose admin, templates and URLs are broken, from the command line

SETTINGS = """
SECRET_KEY = "x"
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.messages",
    "automigrate_ext", "shop",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"string_if_invalid": 1}}]
DATABASES = {
    name: {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{name}.sqlite3"} for name in ("default", "other")
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTOMIGRATE = {"ON_START": "autoupdate", "RECORD_MIGRATIONS": False}
"""
FILES = {
    "shop/__init__.py": "",
    "shop/models.py": "from django.db import models\n\n\nclass Item(models.Model):\n    pass\n",
    "shop/admin.py": "from django.contrib import admin\n\nfrom shop.models import Item\n\n\n"
    "@admin.register(Item)\nclass ItemAdmin(admin.ModelAdmin):\n    list_display = ['nothing']\n",
    "shop/urls.py": "raise ImportError('The URL configuration was imported.')\n",
    "shop_settings.py": SETTINGS,
}


@pytest.fixture
def manage(tmp_path):
    """Make the project; return a function that runs a command in it and returns its errors and exit status."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "shop_settings", "PYTHONPATH": paths}

    def manage(*words):
        done = subprocess.run(
            [sys.executable, "-m", "django", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.stderr, done.returncode

    return manage


def test_broken_admin_does_not_keep_the_tables_from_following(manage):
    assert manage("autoupdate", "--all-databases") == ("", 0)
    assert manage("autoupdate", "--check", "--database", "default", "--database", "other") == ("", 0)
    assert manage("automigrate", "shop", "--noinput", "--dry-run") == ("", 0)
    err, status = manage("check", "--tag", "admin", "--tag", "templates")
    assert "admin.E108" in err and "templates.E002" in err and status == 1
    assert "The URL configuration was imported." in manage("migrate", "--plan")[0]
