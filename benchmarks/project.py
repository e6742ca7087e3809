"""Generate the Django projects that are measured."""

from pathlib import Path

MANAGE = """\
import os
import sys

from django.core.management import execute_from_command_line

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
execute_from_command_line(sys.argv)
"""

SETTINGS = """\
import os

from tests.database_url import parse_database_url

SECRET_KEY = "benchmark"
DEBUG = False
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    *([] if "BENCHMARK_WITHOUT_PACKAGE" in os.environ else ["automigrate_ext"]),
    "generated",
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": parse_database_url(os.environ["DATABASE_URL"])}
"""

MODEL = """\


class Model{number}(models.Model):
    code = models.CharField(max_length=50)
    text = models.TextField(blank=True)
    number = models.IntegerField(null=True)
    active = models.BooleanField(default=True)
    created = models.DateTimeField()
    day = models.DateField(null=True)
    price = models.DecimalField(max_digits=10, decimal_places=2)
    quantity = models.PositiveIntegerField(default=0)
    parent = models.ForeignKey("Model{parent}", models.CASCADE, null=True)

    class Meta:
        indexes = [
            models.Index(fields=["code"], name="model{number}_code"),
            models.Index(fields=["created", "number"], name="model{number}_created_number"),
        ]
"""

# Each of the three changes of type makes PostgreSQL write the whole table anew.
CHANGES = """\
from django.db import models

BEFORE = {
    "code": models.IntegerField(),
    "amount": models.DecimalField(max_digits=10, decimal_places=2),
    "counter": models.SmallIntegerField(),
}
AFTER = {
    "code": models.BigIntegerField(),
    "amount": models.DecimalField(max_digits=14, decimal_places=4),
    "counter": models.IntegerField(),
}
"""

MEASUREMENT_MODEL = """\
import os

from django.db import models
from generated import changes

state = getattr(changes, os.environ.get("BENCHMARK_STATE", "BEFORE"))


class Measurement(models.Model):
    code = state["code"]
    amount = state["amount"]
    counter = state["counter"]
    name = models.CharField(max_length=50)
    created = models.DateTimeField()
    note = models.TextField()

    class Meta:
        indexes = [
            models.Index(fields=["code"], name="measurement_code"),
            models.Index(fields=["created"], name="measurement_created"),
        ]
"""

# Filled before it is measured, by a query that fits the model in the state "BEFORE".
MEASUREMENT_ROWS = """\
    INSERT INTO generated_measurement (code, amount, counter, name, created, note)
    SELECT n, n % 100000 / 100.0, n % 1000, 'name ' || n, timestamptz '2020-01-01Z' + n * interval '1 minute',
           repeat('x', 60)
    FROM generate_series(1, {rows}) n
"""


def generate_models(directory: Path, count: int) -> Path:
    """Make a project with ``count`` models of ten columns, two indexes and a foreign key each."""
    # The foreign keys form a tree, but for the first two models, which point at each other.
    models = (MODEL.format(number=number, parent=number // 2 or 1 - number) for number in range(count))
    return _generate(directory, "from django.db import models\n" + "".join(models))


def generate_measurement(directory: Path) -> Path:
    """Make a project with one model; the environment variable BENCHMARK_STATE says which types it has."""
    _generate(directory, MEASUREMENT_MODEL)
    (directory / "generated" / "changes.py").write_text(CHANGES)
    return directory


def _generate(directory: Path, models: str) -> Path:
    package = directory / "generated"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models.py").write_text(models)
    (directory / "settings.py").write_text(SETTINGS)
    (directory / "manage.py").write_text(MANAGE)
    return directory
