"""A project of two steps whose tables are in many schemas, played by processes of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connections, models

from automigrate_ext.backends import backend_for
from automigrate_ext.schema.nouns import canonical
from tests.acceptance.helper import State, create_models
from tests.forks import ROOT, Parent, environment, forking

SETTINGS = """
from todo_demo.settings import *
INSTALLED_APPS = ["django.contrib.contenttypes", "automigrate_ext", "shop", *EXTRA]
MIDDLEWARE = []
ROOT_URLCONF = "shop.urls"
AUTOMIGRATE = {"TARGETS": "shop.targets.targets"}
"""
MODELS = """
import os
from django.db import models
class Thing(models.Model):
    title = models.CharField(max_length=100)
    if os.environ["STEP"] == "2":
        code = models.CharField(max_length=20, default="new")
        class Meta:
            indexes = [models.Index(fields=["title"], name="thing_title")]
class Note(models.Model):
    thing = models.ForeignKey(Thing, models.CASCADE)
    text = models.TextField()
if os.environ["STEP"] == "2":
    class Extra(models.Model):
        thing = models.ForeignKey(Thing, models.CASCADE)
"""
#: The same models as values.
CHARS, KEY = models.CharField(max_length=100), models.ForeignKey("Thing", models.CASCADE)
NOTE = {"thing": KEY, "text": models.TextField()}
INDEX = {"indexes": [models.Index(fields=["title"], name="thing_title")]}
CODE = models.CharField(max_length=20, default="new")
TARGETS = """
from automigrate_ext.fleet.targets import Target, schema_targets
def targets():
    return schema_targets(["tenant_*"])
"""
ROWS = 5


class Shop:
    """The project in a directory, on the database of a connection."""

    def __init__(self, directory: Path, alias: str, database_url: str, extra: str = "EXTRA = []") -> None:
        self.directory = directory
        self.alias = alias
        self.database_url = database_url
        (directory / "shop").mkdir(parents=True)
        (directory / "fleet_settings.py").write_text(f"{extra}\n{SETTINGS}")
        (directory / "shop" / "__init__.py").touch()
        (directory / "shop" / "urls.py").write_text("urlpatterns = []")
        (directory / "shop" / "models.py").write_text(MODELS)
        (directory / "shop" / "targets.py").write_text(TARGETS)

    def environment(self, step: int) -> dict[str, str]:
        return {
            **environment(self.database_url),
            "DJANGO_SETTINGS_MODULE": "fleet_settings",
            "PYTHONPATH": f"{self.directory}{os.pathsep}{ROOT}",
            "PYTHONUNBUFFERED": "1",
            "STEP": str(step),
        }

    @contextmanager
    def forking(self, step: int) -> Iterator[Parent]:
        """A process that forks others, which have the models of that step."""
        with forking(self.database_url, self.directory, **self.environment(step)) as parent:
            yield parent

    def start(self, step: int, *argv: str) -> "subprocess.Popen[str]":
        """Start a process that runs a management command."""
        return subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), *argv],
            env=self.environment(step),
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    # What is there

    def make(self, names: list[str]) -> None:
        """Make schemas with the tables of the first step, as Django does, and some rows in them."""
        state = State(Thing={"title": CHARS}, Note=NOTE)
        for name in names:
            self.build(name, state)
        with connections[self.alias].cursor() as cursor:
            for name in names:
                cursor.execute(
                    f"INSERT INTO {name}.shop_thing (title) SELECT 'thing ' || n FROM generate_series(1, {ROWS}) n"
                )
                cursor.execute(
                    f"INSERT INTO {name}.shop_note (thing_id, text) SELECT id, 'of it' FROM {name}.shop_thing"
                )
        connections[self.alias].close()

    def build(self, name: str, state: State) -> None:
        """Make a schema with the tables of a state."""
        connection = connections[self.alias]
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE SCHEMA {name}; SET search_path TO {name}, public")
            create_models(connection, state.managed())
            cursor.execute("RESET search_path")

    def schema(self, name: str) -> str:
        """The tables of a schema, in a form that is the same for equal ones."""
        connection = connections[self.alias]
        with connection.cursor() as cursor:
            cursor.execute(f"SET search_path TO {name}, public")
            found = canonical(backend_for(self.alias).introspect(["shop_thing", "shop_note", "shop_extra"]))
            cursor.execute("RESET search_path")
        return repr(found).replace(name, "SCHEMA")

    def assert_done(self, names: list[str]) -> None:
        """All tables are those of a fresh build of the second step, and all rows are there."""
        connection = connections[self.alias]
        thing = {"title": CHARS, "code": CODE, "Meta": INDEX}
        self.build("fresh", State(Thing=thing, Note=NOTE, Extra={"thing": KEY}))
        wanted = self.schema("fresh")
        assert "shop_extra" in wanted
        with connection.cursor() as cursor:
            for name in names:
                assert self.schema(name) == wanted, name
                cursor.execute(
                    f"SELECT count(*), count(*) FILTER (WHERE t.code = 'new'), count(n.id) "
                    f"FROM {name}.shop_thing t JOIN {name}.shop_note n ON n.thing_id = t.id"
                )
                assert cursor.fetchone() == (ROWS, ROWS, ROWS), name
            cursor.execute("SELECT to_regclass('public.shop_thing') IS NULL")
            assert cursor.fetchone() == (True,)
            cursor.execute("DROP SCHEMA fresh CASCADE")
        connection.close()


def names(number: int) -> list[str]:
    return [f"tenant_{n:03}" for n in range(number)]
