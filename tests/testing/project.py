"""A project of several apps with hundreds of generated migrations, and runs of pytest and `manage.py test` over it.

Each app's history adds one field a migration, and ends at what its models say.
"""

import os
import subprocess
import sys
from ast import literal_eval
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

SETTINGS = """\
import os
from database_url import parse_database_url

SECRET_KEY = "tests"
USE_TZ = True
SITE_ID = 1
ROOT_URLCONF = "urls"
STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.sites",
    *{apps},
    *filter(None, os.environ.get("MORE_APPS", "").split(",")),
]
CACHES = {{"default": {{"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cached"}}}}
DATABASES = {{"default": parse_database_url(os.environ["DATABASE_URL"])}}
DATABASES["default"]["TEST"] = {{"NAME": os.environ.get("TEST_NAME") or None}}
if os.environ.get("OTHER_URL"):
    DATABASES["other"] = parse_database_url(os.environ["OTHER_URL"])
    DATABASES["replica"] = {{**DATABASES["default"], "TEST": {{"MIRROR": "default"}}}}
AUTOMIGRATE = {{"AFTER": list(filter(None, [os.environ.get("AFTER")]))}}
TEST_RUNNER = os.environ.get("TEST_RUNNER", "automigrate_ext.testing.AutomigrateRunner")
"""

#: Runs SQL after the databases have been set up, as projects wrap the fixture to load rows, and says what was loaded.
CONFTEST = """\
import os
import sys

import pytest


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    from django.db import connection

    with django_db_blocker.unblock(), connection.cursor() as cursor:
        for sql in filter(None, os.environ.get("SQL", "").split(";")):
            cursor.execute(sql)
    if "DIE" in os.environ:
        os.kill(os.getpid(), 9)


def pytest_unconfigure():
    if "LOADED" in os.environ:
        print("loaded:", *(name for name in sys.modules if name.startswith(("automigrate_ext.", "rich"))))
"""

#: Everything that `migrate` leaves behind is there, and the tables are those of the models.
TESTS = """\
import os

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.contrib.sites.models import Site
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection

pytestmark = pytest.mark.django_db


def test_rows_of_receivers():
    assert Site.objects.get().domain == "example.com"
    for model in apps.get_models():
        kind = ContentType.objects.get_by_natural_key(model._meta.app_label, model._meta.model_name)
        assert Permission.objects.filter(content_type=kind).count() == 4


def test_cache_table():
    cache.set("key", "value")
    assert cache.get("key") == "value"


def test_migrations_are_clean():
    call_command("migrate", check_unapplied=True, verbosity=0)
    call_command("makemigrations", check_changes=True, verbosity=0)


@pytest.mark.parametrize("model", apps.get_models(include_auto_created=True), ids=lambda model: model.__name__)
def test_columns(model):
    with connection.cursor() as cursor:
        found = {c.name for c in connection.introspection.get_table_description(cursor, model._meta.db_table)}
    wanted = {field.column for field in model._meta.local_concrete_fields}
    assert wanted <= found
    assert wanted == found or "LENIENT" in os.environ
"""

#: The same for Django's runner, with rows that have to survive flushes.
UNIT_TESTS = """\
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import TestCase, TransactionTestCase


class Columns:
    def test_columns(self):
        for model in apps.get_models():
            list(model._default_manager.all())

    def test_rows_of_receivers(self):
        labels = {(kind.app_label, kind.model) for kind in ContentType.objects.all()}
        assert labels == {(model._meta.app_label, model._meta.model_name) for model in apps.get_models()}


class FirstTests(Columns, TestCase):
    pass


class SecondTests(Columns, TestCase):
    pass


class SerializedTests(Columns, TransactionTestCase):
    serialized_rollback = True


class MoreSerializedTests(Columns, TransactionTestCase):
    serialized_rollback = True
"""

MANAGE = """\
import os
import sys

from django.core.management import execute_from_command_line

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
execute_from_command_line(sys.argv)
"""

MODEL = """

class Model{number}(models.Model):
    name = models.CharField(max_length=50)
{fields}    parent = models.ForeignKey("{parent}", models.CASCADE, null=True, related_name="+")

    class Meta:
        indexes = [models.Index(fields=["name"], name="{app}_{number}_name")]
"""
FIELD = "    field{number} = models.IntegerField(null=True)\n"

MIGRATION = """\
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [{dependencies}]
    operations = [
{operations}    ]
"""
CREATE = """\
        migrations.CreateModel(
            "Model{number}",
            [
                ("id", models.BigAutoField(primary_key=True, serialize=False, auto_created=True, verbose_name="ID")),
                ("name", models.CharField(max_length=50)),
            ],
        ),
        migrations.AddIndex(
            "Model{number}", models.Index(fields=["name"], name="{app}_{number}_name")
        ),
"""
ADD = """\
        migrations.AddField("Model{model}", "field{number}", models.IntegerField(null=True)),
"""
POINT = """\
        migrations.AddField(
            "Model{model}", "parent",
            models.ForeignKey(null=True, on_delete=models.CASCADE, related_name="+", to="{parent}"),
        ),
"""


def generate(directory: Path, *, apps: int = 4, models: int = 2, fields: int = 24) -> Path:
    """Write the project: so many apps of so many models with so many fields, each added by a migration of its own."""
    names = [f"app{number}" for number in range(apps)]
    directory.mkdir(parents=True, exist_ok=True)
    files = {"settings": SETTINGS.format(apps=names), "urls": "urlpatterns = []\n", "manage": MANAGE}
    files |= {"conftest": CONFTEST, "test_project": TESTS, "tests": UNIT_TESTS}
    # The project has a module `tests` of its own.
    files["database_url"] = (ROOT / "tests" / "database_url.py").read_text()
    for name, text in files.items():
        (directory / f"{name}.py").write_text(text)
    for name in names:
        generate_app(directory / name, name, names[0], models, fields)
    return directory


def generate_app(directory: Path, app: str, first: str, models: int, fields: int) -> None:
    """Write one app, whose models point at those of the first app."""
    package = directory / "migrations"
    package.mkdir(parents=True)
    for where in (directory, package):
        (where / "__init__.py").touch()
    lines = "".join(FIELD.format(number=number) for number in range(fields))
    texts = [
        MODEL.format(app=app, number=number, fields=lines, parent=f"{first}.Model{number}") for number in range(models)
    ]
    (directory / "models.py").write_text("".join(["from django.db import models\n", *texts]))
    history = [
        "".join(CREATE.format(app=app, number=number) for number in range(models)),
        "".join(POINT.format(model=number, parent=f"{first}.model{number}") for number in range(models)),
    ]
    history += [ADD.format(model=model, number=number) for number in range(fields) for model in range(models)]
    for number, operations in enumerate(history):
        dependencies = [f'("{app}", "{number:04}_auto")'] if number else []
        if number == 1 and app != first:
            dependencies.append(f'("{first}", "0001_auto")')
        text = MIGRATION.format(dependencies=", ".join(dependencies), operations=operations)
        (package / f"{number + 1:04}_auto.py").write_text(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a process said, and how it ended."""

    status: int
    out: str

    def lines(self) -> list[str]:
        """What was said of test databases."""
        return [line for line in self.out.splitlines() if line.startswith("test database ")]

    def lines_with(self, text: str) -> list[str]:
        """Return the lines on test databases that have a text, of a process in which all tests have passed."""
        return [line for line in self.passed().lines() if text in line]

    def passed(self) -> "Result":
        """The result, of which all tests have passed."""
        assert self.status == 0, self.out[-6000:]
        return self

    def loaded(self) -> set[str]:
        """The modules of this package that were loaded, where the process was asked for them."""
        return set(self.out.rpartition("loaded: ")[2].split())

    def line(self) -> str:
        """The one thing that was said of a test database, after its name."""
        (line,) = self.passed().lines()
        return line.split("': ", 1)[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project in a directory and where its databases are."""

    directory: Path
    url: str
    test_name: str

    def environment(self, more: dict[str, str]) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "COV_"))}
        return {
            **inherited,
            "DATABASE_URL": self.url,
            "TEST_NAME": self.test_name,
            "DJANGO_SETTINGS_MODULE": "settings",
            "PYTHONPATH": os.pathsep.join([str(self.directory), str(ROOT)]),
            "PYTHONDONTWRITEBYTECODE": "",
            # Nothing here reads the warnings of these processes.
            "PYTHONDEVMODE": "",
            **more,
        }

    def start(self, *arguments: str, **more: str) -> "subprocess.Popen[str]":
        """Start a process in a group of its own."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.directory,
            env=self.environment(more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **more: str) -> Result:
        """Run a process to its end."""
        process = self.start(*arguments, **more)
        out, _ = process.communicate(timeout=240)
        return Result(status=process.returncode, out=out)

    def pytest(self, *options: str, **more: str) -> Result:
        """Run pytest; its settings are the project's own."""
        return self.run(*PYTEST, *options, **more)

    def manage(self, *arguments: str, **more: str) -> Result:
        """Run a management command."""
        return self.run("manage.py", *arguments, **more)

    def existing(self, *suffixes: str) -> list[str]:
        """Return those of the test databases with the suffixes that exist, asked by the project's own connection."""
        program = (
            "import sys, django; django.setup()\n"
            "from django.db import connection\n"
            "from automigrate_ext.backends import copies_for\n"
            "print(list(filter(copies_for(connection, print).exists, sys.argv[1:])))"
        )
        return literal_eval(self.run("-c", program, *(self.test_name + suffix for suffix in suffixes)).out)

    def add_field(self) -> None:
        """Add a field to a model."""
        field = "    other = models.IntegerField(null=True)\n"
        self.replace("app1/models.py", "class Model0(models.Model):\n", "class Model0(models.Model):\n" + field)

    def append_to_conftest(self, text: str) -> None:
        """Have pytest do more."""
        path = self.directory / "conftest.py"
        path.write_text(path.read_text() + text)

    def replace(self, file: str, old: str, new: str) -> None:
        """Change a text in a file of the project."""
        path = self.directory / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        # A change within the same second, of the same size, is not one to Python's cache of compiled modules.
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 2_000_000_000))


#: Without plugins that take long to load and have nothing to do.
PYTEST = (
    *("-m", "pytest", "-c", os.devnull, "--rootdir=."),
    *("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:pytest_cov"),
)
