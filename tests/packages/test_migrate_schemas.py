"""django-tenants' own command and what runs when a tenant is saved make tables from the models."""

from functools import partial

import pytest

from tests.packages.playing import ROOT, play
from tests.packages.tenancy import make_project

EXECUTOR = 'GET_EXECUTOR_FUNCTION = "automigrate_ext.tenants.get_executor"\n'
COMMAND = 'TENANT_BASE_MIGRATE_COMMAND = "automigrate_ext.tenants.MigrateCommand"\n'
EXTRA = 'PG_EXTRA_SEARCH_PATHS = ["extensions"]\n'
LIMIT = "TENANT_LIMIT_SET_CALLS = True\n"
TYPES = """\
HAS_MULTI_TYPE_TENANTS, MULTI_TYPE_DATABASE_FIELD = True, "type"
TENANT_TYPES = {
    "public": {"APPS": SHARED_APPS, "URLCONF": "urls"},
    "tenant": {"APPS": TENANT_APPS, "URLCONF": "urls"},
    "small": {"APPS": BOTH, "URLCONF": "urls"},
}
"""
CLONES = 'TENANT_CREATION_FAKES_MIGRATIONS, TENANT_BASE_SCHEMA = True, "template"\n'
THING = """\
from django.db import models

class Thing(models.Model):
    name = models.CharField(max_length=20, db_index=True)
"""
SIZE = f"{THING}    size = models.IntegerField(null=True)\n"
REQUIRED = f"{THING}    size = models.IntegerField()\n"
OTHER = f"{THING}\nclass Other(models.Model):\n    name = models.CharField(max_length=20)\n"
NOTE = "\nclass Note(models.Model):\n    title = models.CharField(max_length=20, null=True)\n"
REQUIRED_NOTE = NOTE.replace(", null=True", "") + "    size = models.IntegerField()\n"


@pytest.fixture
def project(postgresql, tmp_path):
    """Return a function that writes a project of django-tenants, and one that plays a case in it."""
    directory = tmp_path / "project"

    def make(settings=EXECUTOR):
        make_project("django-tenants", directory, postgresql.settings_dict, more=settings, create=True)
        return partial(play_case, directory)

    return make


def play_case(directory, case, models=THING, customers=""):
    path = directory / "customers" / "models.py"
    text = path.read_text().partition("\nclass Note")[0]
    path.write_text(text + customers)
    return play(directory, models, "play_migrate_schemas", case)


@pytest.mark.parametrize("setting", [EXECUTOR, COMMAND])
def test_settings_are_those_of_the_page(setting):
    assert setting in (ROOT / "docs" / "how-to.md").read_text()


@pytest.mark.parametrize("limit", ["", LIMIT, EXTRA])
@pytest.mark.parametrize("case", ["everything", "saved", "spoilt"])
def test_case(project, case, limit):
    project(EXECUTOR + limit)(case)


@pytest.mark.parametrize("executor", ["", "standard", "multiprocessing"])
def test_base_command(project, executor, monkeypatch):
    if executor:
        monkeypatch.setenv("EXECUTOR", executor)
    project(COMMAND + (EXECUTOR if executor else ""))("commanded")


@pytest.mark.parametrize("settings", [EXECUTOR, COMMAND])
def test_options_of_migrations(project, settings):
    project(settings)("forbidden")


@pytest.mark.parametrize("limit", ["", LIMIT])
def test_refused_by_the_rows_of_one(project, limit):
    case = project(EXECUTOR + limit)
    case("rows")
    case("refused", REQUIRED)


def test_dropped_meanwhile(project):
    case = project()
    case("rows")
    case("dropped", SIZE)


def test_looking_only(project):
    case = project()
    case("two")
    case("looks", SIZE)


def test_error_in_public(project):
    case = project()
    case("public_first", customers=NOTE)
    case("public_failed", SIZE, customers=REQUIRED_NOTE)


def test_types(project, tmp_path):
    case = project(EXECUTOR + TYPES)
    path = tmp_path / "project" / "customers" / "models.py"
    column = "\n    type = models.CharField(max_length=20)\n"
    path.write_text(
        path.read_text().replace("    auto_create_schema = True\n", f"    auto_create_schema = True{column}")
    )
    case("types")


def test_keys_of_content_types(project):
    case = project()
    case("keys")
    case("keys_after", OTHER)


def test_clones(project):
    case = project(EXECUTOR + CLONES)
    case("two")
    case("cloned")
    case("cloned_after", SIZE)


@pytest.mark.parametrize("limit", ["", LIMIT])
def test_tenants_are_listed_once_public_is_done(project, tmp_path, limit):
    case = project(EXECUTOR + limit)
    case("listed")
    path = tmp_path / "project" / "customers" / "models.py"
    column = (
        "    rank = models.GeneratedField(\n        expression=0 - models.F('id'), output_field=models.IntegerField(), "
    )
    column += "db_persist=True\n    )\n"
    path.write_text(path.read_text().replace("    auto_create", f"{column}    auto_create"))
    with (tmp_path / "project" / "project.py").open("a") as settings:
        settings.write('TENANT_MIGRATION_ORDER = ["rank"]\n')
    case("listed_after", SIZE)
