"""Databases that packages' migrations have made match the models; a run changes them, and makes them from nothing."""

import importlib.util
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.packages.projects import PROJECTS

ROOT = Path(__file__).parent.parent.parent
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


def play(directory, half, models, code, unmigrated):
    """Play one half of a case in a process of its own, and return what it prints."""
    (directory / "shop" / "models.py").write_text(models)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.packages.play", half, code, json.dumps(unmigrated)],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, f"{half}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


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
    play(directory, "before", project.before, project.rows, project.unmigrated)
    printed = play(directory, "after", project.after, project.kept, project.unmigrated)
    found = json.loads(printed.splitlines()[-1])
    for alias in ("fresh", "default"):
        for table, expected in found["made"].items():
            for part, value in expected.items():
                assert found[alias][table][part] == value, f"{part} of {table} in {alias}"
