"""The pytest plugin beside all that pytest-django offers, on SQLite, and quiet where it is not asked for."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from django.db import OperationalError

from automigrate_ext.testing import pytest_plugin
from tests.testing.project import PYTEST, Project, generate

LOADED = """
import sys
import automigrate_ext.testing.pytest_plugin
print([name for name in sys.modules if name.split(".")[0] in ("django", "pytest_django", "rich")])
"""

#: What pytest-django offers, in one session, on databases of which one is a mirror of another.
OFFERS = """
from urllib.request import urlopen

import pytest
from app0.models import Model0
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.contrib.sites.models import Site
from django.db import connection, connections
from django.test import TestCase


def rows():
    return [kind.objects.count() for kind in (ContentType, Permission, Site)]


@pytest.mark.parametrize("number", range(3))
def test_serialized_rollback(transactional_db, django_db_serialized_rollback, number):
    assert min(rows()) > 0 and Model0.objects.count() == 0
    Model0.objects.create(name="gone at the end")


def test_fixture(db):
    Model0.objects.create(name="gone at the end")


def test_transaction(transactional_db):
    assert Model0.objects.count() == 0
    Model0.objects.create(name="gone at the end")


@pytest.mark.django_db(transaction=True, reset_sequences=True)
@pytest.mark.parametrize("number", range(2))
def test_reset_sequences(number):
    assert Model0.objects.create(name="first").pk == 1


def test_live_server(live_server):
    from urllib.error import HTTPError

    with pytest.raises(HTTPError, match="404"):
        urlopen(live_server.url)


@pytest.mark.django_db(databases=["default", "other", "replica"])
def test_several_databases():
    Model0.objects.using("other").create(name="there")
    assert Model0.objects.count() == 0
    assert connections["replica"].settings_dict["NAME"] == connections["default"].settings_dict["NAME"]


class Tests(TestCase):
    databases = {"default", "other"}

    def test_both(self):
        for alias in self.databases:
            assert ContentType.objects.using(alias).count() > 0
"""

#: A conftest in which a project has its own ideas.
REPLACED = """
import pytest
from django.test.utils import setup_databases, teardown_databases

@pytest.fixture(scope="session")
def django_db_setup(django_test_environment, django_db_blocker, django_db_modify_db_settings):
    with django_db_blocker.unblock():
        config = setup_databases(0, False)
    yield
    with django_db_blocker.unblock():
        teardown_databases(config, 0)
"""
KEEPING = """
import pytest

@pytest.fixture(scope="session")
def django_db_keepdb():
    return True

@pytest.fixture(scope="session")
def django_db_modify_db_settings():
    from django.conf import settings
    settings.DATABASES["default"]["TEST"]["NAME"] += "_mine"
"""
OWN_FIXTURE = """
import pytest

@pytest.fixture(scope="session", autouse=True)
def my_databases(django_db_blocker):
    from automigrate_ext.testing import bootstrapping
    from django.test.utils import setup_databases

    with django_db_blocker.unblock(), bootstrapping() as run:
        setup_databases(0, False)
    print([outcome.line() for outcome in run.outcomes])

@pytest.fixture(scope="session")
def django_db_setup(my_databases):
    pass
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small project, with test databases in memory unless a test says otherwise."""
    directory = generate(tmp_path_factory.mktemp("small") / "project", apps=1, models=1, fields=1)
    (directory / "test_offers.py").write_text(OFFERS)
    return Project(directory=directory, url="sqlite:///default.sqlite3", test_name="")


def test_plugin_imports_no_django():
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_plugin_is_quiet_until_asked_for(small: Project, tmp_path: Path):
    assert small.pytest("test_project.py").passed().lines() == []
    settings = tmp_path / "pytest.ini"
    settings.write_text("[pytest]\nautomigrate = true\n")
    with_settings = (*PYTEST[:2], "-c", str(settings), *PYTEST[4:], "test_project.py")
    assert "tables created in " in small.run(*with_settings).line()
    assert small.run(*with_settings, "--no-automigrate").passed().lines() == []
    missing = small.pytest("--automigrate", "-p", "no:django", "test_offers.py")
    assert missing.status == pytest.ExitCode.USAGE_ERROR
    assert "pytest-django is needed" in missing.out


def test_all_offers_of_pytest_django(small: Project):
    for options in ((), ("--nomigrations",), ("-n", "2", "--dist=each")):
        result = small.pytest("--automigrate", *options, "test_offers.py", OTHER_URL="sqlite:///other.sqlite3").passed()
        made = [line.split(": ")[1] for line in result.lines()]
        assert sorted(line.split("'")[1] for line in result.lines()) == [":memory: (default)", ":memory: (other)"], made


def test_suffixes_and_overridden_fixtures(small: Project, tmp_path: Path):
    conftest = small.directory / "conftest.py"
    kept = Project(directory=small.directory, url=small.url, test_name=str(tmp_path / "test"))
    before = conftest.read_text()
    try:
        conftest.write_text(KEEPING)
        assert f"'{tmp_path}/test_mine'" in kept.pytest("--automigrate", "test_project.py").passed().lines()[0]
        assert kept.pytest("--automigrate", "--reuse-db", "test_project.py").line().startswith("up to date")
        conftest.write_text(REPLACED)
        made = kept.pytest("--automigrate", "test_project.py", TOX_PARALLEL_ENV="py").passed()
        assert f"'{tmp_path}/test_py'" in made.lines()[0]
        made = kept.pytest("--automigrate", "-n", "2", "-k", "columns", "test_project.py", TOX_PARALLEL_ENV="py")
        assert f"'{tmp_path}/test_py'" in made.passed().lines()[0]
        assert {path.name for path in tmp_path.iterdir()} == {"test_mine"}
        conftest.write_text(OWN_FIXTURE)
        made = small.pytest("-s", "test_project.py").passed()
        assert "test database ':memory: (default)': " in made.out
    finally:
        conftest.write_text(before)


def test_without_migrations_then_with_them(small: Project, tmp_path: Path):
    kept = Project(directory=small.directory, url=small.url, test_name=str(tmp_path / "test"))
    options = ("--reuse-db", "test_project.py")
    assert "tables created" in kept.pytest("--automigrate", "--nomigrations", *options, "-k", "not migrations").line()
    assert kept.pytest(*options).passed().lines() == []
    assert "up to date" in kept.pytest("--automigrate", *options).line()


def test_app_that_is_no_longer_installed_is_forgotten(small: Project, tmp_path: Path):
    kept = Project(directory=small.directory, url=small.url, test_name=str(tmp_path / "test"))
    options = ("--automigrate", "--reuse-db", "test_project.py")
    more = {"MORE_APPS": "django.contrib.redirects"}
    assert "tables created" in kept.pytest(*options, **more).line()
    assert "1 change applied" in kept.pytest(*options).line()
    assert "1 table created" in kept.pytest(*options, **more).line()
    assert kept.pytest(*options).line().startswith("1 change applied")
    assert kept.pytest("--reuse-db", "test_project.py", **more).passed().lines() == []
    assert kept.pytest(*options, **more).line().startswith("up to date")


def test_table_with_seeds_of_an_app_that_is_no_longer_installed_goes(small: Project, tmp_path: Path):
    kept = Project(directory=small.directory, url=small.url, test_name=str(tmp_path / "test"))
    seeds = tmp_path / "seeds.sql"
    seeds.write_text(
        "INSERT INTO django_redirect (id, site_id, old_path, new_path) VALUES (1, 1, '/a', '/b') "
        "ON CONFLICT (id) DO NOTHING;"
    )
    options = ("--automigrate", "--reuse-db", "-k", "cache", "test_project.py")
    both = {"AFTER": str(seeds), "MORE_APPS": "automigrate_ext,django.contrib.redirects"}
    assert "tables created" in kept.pytest(*options, **both).line()
    assert kept.pytest(*options, MORE_APPS="automigrate_ext").line().startswith("1 change applied")
    assert kept.pytest(*options, MORE_APPS="automigrate_ext").line().startswith("up to date")


def test_seeds_are_part_of_a_kept_database(small: Project, tmp_path: Path):
    kept = Project(directory=small.directory, url=small.url, test_name=str(tmp_path / "test"))
    seeds = tmp_path / "seeds.sql"
    options = ("--automigrate", "--reuse-db", "-k", "cache", "test_project.py")
    more = {"AFTER": str(seeds), "MORE_APPS": "automigrate_ext"}

    def seed(name: str) -> None:
        seeds.write_text(f"INSERT INTO app0_model0 (id, name) VALUES (1, '{name}') ON CONFLICT (id) DO NOTHING;")

    seed("first")
    assert "tables created" in kept.pytest(*options, **more).line()
    assert "up to date" in kept.pytest(*options, SQL="DELETE FROM app0_model0", **more).line()
    assert "up to date" in kept.pytest(*options, **more).line()
    with closing(sqlite3.connect(kept.test_name)) as database:
        assert database.execute("SELECT name FROM app0_model0").fetchall() == [("first",)]
    seed("second")
    assert kept.pytest(*options, **more).line().startswith("1 hook run in ")


def test_a_database_that_cannot_be_dropped_is_said(sqlite, pytestconfig, monkeypatch):
    said = []

    class Used:
        def exists(self, name):
            return True

        def drop(self, name):
            raise OperationalError(f'database "{name}" is being\naccessed by other users')

    class Writer:
        line = said.append

    monkeypatch.setattr("automigrate_ext.backends.copies_for", lambda *args: Used())
    monkeypatch.setattr(pytestconfig, "get_terminal_writer", Writer)
    pytest_plugin.Databases(pytestconfig).drop(sqlite.alias, "shop")
    assert said == ["test database 'shop' could not be dropped: database \"shop\" is being accessed by other users"]
