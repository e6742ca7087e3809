"""A project of several apps with hundreds of generated migrations, for runs of pytest and `manage.py test` over it.

Each app's history adds one field or index a migration, and ends at what its models say.
"""

from pathlib import Path

SETTINGS = """\
import os
from todo_demo.database_url import parse_database_url

SECRET_KEY = "tests"
USE_TZ = True
SITE_ID = 1
ROOT_URLCONF = "urls"
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
TEST_RUNNER = os.environ.get("TEST_RUNNER", "automigrate_ext.testing.AutomigrateRunner")
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
{fields}    parent = models.ForeignKey("{parent}", models.CASCADE, null=True)

    class Meta:
        indexes = [models.Index(fields=["name"], name="{app}_{number}_name")]
"""
FIELD = "    field{number} = models.IntegerField(null=True)\n"

MIGRATION = """\
from django.db import migrations, models
import django.db.models.deletion


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
            models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, to="{parent}"),
        ),
"""


def generate(directory: Path, *, apps: int = 5, models: int = 12, fields: int = 5) -> Path:
    """Write the project: so many apps of so many models with so many fields, each added by a migration of its own."""
    names = [f"app{number}" for number in range(apps)]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "settings.py").write_text(SETTINGS.format(apps=names))
    (directory / "urls.py").write_text("urlpatterns = []\n")
    (directory / "manage.py").write_text(MANAGE)
    for name in names:
        generate_app(directory / name, name, names[0], models, fields)
    return directory


def generate_app(directory: Path, app: str, first: str, models: int, fields: int) -> None:
    """Write one app: the models of all but the first one point at those of the first."""
    package = directory / "migrations"
    package.mkdir(parents=True)
    for where in (directory, package):
        (where / "__init__.py").touch()
    lines = "".join(FIELD.format(number=number) for number in range(fields))
    (directory / "models.py").write_text(
        "from django.db import models\n"
        + "".join(
            MODEL.format(app=app, number=number, fields=lines, parent=f"{first}.Model{number}")
            for number in range(models)
        )
    )
    creating = "".join(CREATE.format(app=app, number=number) for number in range(models))
    pointing = "".join(POINT.format(model=number, parent=f"{first}.model{number}") for number in range(models))
    history = [creating, pointing]
    history += [ADD.format(model=model, number=number) for number in range(fields) for model in range(models)]
    for number, operations in enumerate(history):
        dependencies = f'("{app}", "{number:04}_auto")' if number else ""
        if number == 1 and app != first:
            dependencies += f', ("{first}", "0001_auto")'
        (package / f"{number + 1:04}_auto.py").write_text(
            MIGRATION.format(dependencies=dependencies, operations=operations)
        )
