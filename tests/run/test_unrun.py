"""A run that makes an app's tables from nothing names the migrations that do more than that, once."""

import io
import json
import sys
from itertools import count

import pytest
from django.core.management import call_command
from django.test import override_settings

from automigrate_ext import automigrate, autoupdate, is_actual, make_plan
from automigrate_ext.plan import text
from automigrate_ext.plan.plan import CodedMigration
from tests.acceptance.helper import APP, item
from tests.plan_shape import assert_shape

NUMBERS = count(1)
HEAD = "from django.db import migrations\n\n\ndef code(apps, editor):\n    raise AssertionError\n\n\n"
CLASS = "class Migration(migrations.Migration):\n    replaces = {replaces}\n    operations = [{operations}]\n"
PYTHON, SQL = "migrations.RunPython(code)", 'migrations.RunSQL("SELECT 1")'


def migration(operations="", replaces=()):
    return HEAD + CLASS.format(operations=operations, replaces=list(replaces))


FILES = {
    "0001_initial": migration(),
    "0002_rows": migration(PYTHON),
    "0003_view": migration(f"migrations.SeparateDatabaseAndState(database_operations=[{SQL}, {PYTHON}])"),
    "0004_nothing": migration("migrations.RunPython(migrations.RunPython.noop, code)"),
}
FOUND = (
    CodedMigration(app="todo", name="0002_rows", operations=("RunPython",)),
    CodedMigration(app="todo", name="0003_view", operations=("RunSQL", "RunPython")),
)


@pytest.fixture
def package(tmp_path, monkeypatch, settings):
    """Return a function that makes a package of migrations, which is that of an app from then on."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(files=FILES, label="todo"):
        name = f"unrun_migrations_{next(NUMBERS)}"
        (tmp_path / name).mkdir()
        for module, source in {"__init__": "", **files}.items():
            (tmp_path / name / f"{module}.py").write_text(source)
        settings.MIGRATION_MODULES = {**settings.MIGRATION_MODULES, label: name}
        return name

    return make


def is_loaded(name):
    return any(module.startswith(f"{name}.") for module in sys.modules)


def test_fresh_run_names_them_and_the_next_does_not_load_them(connection, package):
    package()
    plan = make_plan(using=connection.alias)
    assert plan.migrations == FOUND
    assert_shape(plan)
    assert autoupdate(using=connection.alias).migrations == FOUND
    again = package()
    assert autoupdate(using=connection.alias).migrations == make_plan(using=connection.alias).migrations == ()
    assert is_actual(using=connection.alias)
    assert not is_loaded(again)


def test_app_of_its_own(connection, package):
    package()
    autoupdate(["auth", "contenttypes"], using=connection.alias)
    plan = autoupdate("todo", using=connection.alias)
    assert plan.migrations == FOUND
    assert automigrate("todo", using=connection.alias).migrations == FOUND


def test_app_of_which_some_tables_are_there(connection, package):
    name = package()
    options = {"using": connection.alias, "record_migrations": False}
    autoupdate("todo.TodoList", **options)
    assert autoupdate(**options).migrations == ()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE todo_todo")
    assert autoupdate(**options).migrations == ()
    assert not is_loaded(name)


def test_registry_of_ones_own_has_no_migrations(connection, package):
    name = package(label=APP)
    assert autoupdate(using=connection.alias, apps=item().apps).migrations == ()
    assert not is_loaded(name)


def test_replaced_and_broken_migrations(sqlite, package):
    files = {
        "0001_squashed": migration(SQL, replaces=[("todo", "0001_old"), ("todo", "0002_old")]),
        "0001_old": migration(PYTHON),
        "0002_old": migration(PYTHON),
        "0003_broken": "raise LookupError('no such thing')\n",
        "0004_empty": "",
    }
    package(files)
    plan = make_plan("todo", using=sqlite.alias)
    assert plan.migrations == (
        CodedMigration(app="todo", name="0001_squashed", operations=("RunSQL",)),
        CodedMigration(app="todo", name="0003_broken", error="cannot be loaded (LookupError: no such thing)"),
        CodedMigration(
            app="todo",
            name="0004_empty",
            error=f"cannot be loaded (AttributeError: module {plan_module(plan)!r} has no attribute 'Migration')",
        ),
    )
    assert [str(line) for line in text.lines(plan)][-4:-1] == [
        text.NOT_RUN,
        "  * todo: 0001_squashed (RunSQL)",
        "  * todo.0003_broken: cannot be loaded (LookupError: no such thing)",
    ]
    assert_shape(plan)


def plan_module(plan):
    return plan.migrations[-1].error.split("'")[1]


@pytest.mark.parametrize("extension", ["unaccent", "hstore"])
def test_extension_counts_where_the_run_does_not_make_it(connection, package, settings, extension):
    settings.AUTOMIGRATE = {"EXTENSIONS": {connection.alias: ["hstore"]}}
    operation = f"operations.CreateExtension({extension!r})"
    package({"0001_initial": f"from django.contrib.postgres import operations\n{migration(operation)}"})
    found = make_plan("todo", using=connection.alias).migrations
    assert [m.operations for m in found] == [("CreateExtension",)] * (
        extension == "unaccent" and connection.vendor == "postgresql"
    )


def test_no_migrations_at_all(sqlite, settings):
    settings.MIGRATION_MODULES = {"todo": None}
    assert make_plan("todo", using=sqlite.alias).migrations == ()


@pytest.fixture
def tableless(tmp_path, monkeypatch):
    """An installed app whose tables are made by its migrations alone."""
    name = f"unrun_app_{next(NUMBERS)}"
    (tmp_path / name).mkdir()
    model = "from django.db import models\n\n\nclass Job(models.Model):\n    class Meta:\n        managed = False\n"
    for module, source in {"__init__": "", "models": model}.items():
        (tmp_path / name / f"{module}.py").write_text(source)
    (tmp_path / name / "migrations").mkdir()
    for module, source in {"__init__": "", "0001_initial": migration(SQL)}.items():
        (tmp_path / name / "migrations" / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_app_without_tables_of_its_own_counts_where_all_is_new(connection, tableless, settings):
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, tableless]):
        found = CodedMigration(app=tableless, name="0001_initial", operations=("RunSQL",))
        assert make_plan("auth", using=connection.alias).migrations == ()
        assert autoupdate(using=connection.alias).migrations == (found,)
        assert make_plan(using=connection.alias).migrations == ()


class NotHere:
    def allow_migrate(self, db, app_label, **hints):
        return "model" in hints or not app_label.startswith("unrun_app")


def test_app_without_tables_that_the_routers_keep_away(sqlite, tableless, settings):
    routers = [f"{__name__}.NotHere"]
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, tableless], DATABASE_ROUTERS=routers):
        assert make_plan(using=sqlite.alias).migrations == ()


def printed(sqlite, *arguments):
    out = io.StringIO()
    call_command(*arguments, database=[sqlite.alias], stdout=out)
    return out.getvalue()


def test_commands_print_them(sqlite, package, settings):
    settings.DEBUG = True
    package()
    lines = f"{text.NOT_RUN}\n  * todo: 0002_rows, 0003_view (RunPython, RunSQL)\n"
    assert lines in printed(sqlite, "autoupdate", "--dry-run")
    found = json.loads(printed(sqlite, "autoupdate", "--dry-run", "--format", "json"))["migrations"]
    assert found[0] == {"app": "todo", "name": "0002_rows", "operations": ["RunPython"], "error": ""}
    assert lines in printed(sqlite, "autoupdate")
    assert text.NOT_RUN not in printed(sqlite, "autoupdate")
    assert lines in printed(sqlite, "automigrate", "--noinput")
