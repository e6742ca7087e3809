"""Databases that packages' migrations have made match the models; a run changes them, and makes them from nothing."""

import importlib.util
import json
import os
from contextlib import ExitStack

import pytest

from tests.packages.playing import play
from tests.packages.projects import PROJECTS

ALIASES = ("default", "fresh", "made")
SETTINGS = """\
SECRET_KEY = "tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.sites",
    *{apps},
    "automigrate_ext",
    "shop",
]
SITE_ID = 1
ROOT_URLCONF = "urls"
DATABASES = {databases}
{more}
"""
CASES = [
    pytest.param(name, database, id=f"{name}-{database}")
    for name, project in PROJECTS.items()
    for database in project.databases
]


@pytest.fixture
def databases(request, tmp_path):
    """Return a function that gives the entry of each alias for a kind of database."""
    with ExitStack() as stack:

        def entries(kind):
            if kind == "sqlite":
                return {
                    alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / f"{alias}.sqlite3")}
                    for alias in ALIASES
                }
            server = request.getfixturevalue(f"{kind}_server")
            found = {}
            for alias in ALIASES:
                name = server.create_database(f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{alias}")
                stack.callback(server.drop_database, name)
                found[alias] = server.entry(name)
            return found

        yield entries


@pytest.mark.parametrize(("name", "database"), CASES)
def test_package(name, database, databases, tmp_path):
    project = PROJECTS[name]
    if importlib.util.find_spec(project.module) is None:
        pytest.skip(f"{name} is not installed: see the environment `packages` of tox.ini")
    directory = tmp_path / "project"
    (directory / "shop" / "migrations").mkdir(parents=True)
    for path in ("shop/__init__.py", "shop/migrations/__init__.py"):
        (directory / path).touch()
    (directory / "urls.py").write_text("urlpatterns = []\n")
    settings = SETTINGS.format(apps=list(project.apps), databases=databases(database), more=project.settings)
    (directory / "project.py").write_text(settings)
    unmigrated = json.dumps(project.unmigrated)
    play(directory, project.before, "play", "before", project.rows, unmigrated)
    printed = play(directory, project.after, "play", "after", project.kept, unmigrated)
    found = json.loads(printed.splitlines()[-1])
    for alias in ("fresh", "default"):
        for table, expected in found["made"].items():
            for part, value in expected.items():
                assert found[alias][table][part] == value, f"{part} of {table} in {alias}"
