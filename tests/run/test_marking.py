"""Migrations are marked as applied in databases that no migration has touched, and `migrate` explains itself there."""

import re
import sys

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.db.utils import OperationalError
from django.test.utils import CaptureQueriesContext

from automigrate_ext import automigrate, autoupdate, conf
from automigrate_ext.run import migrations

#: A migration that does `operations` after the first one.
MIGRATION = """\
from django.db import migrations, models


def code(apps, editor):
    apps.get_model("todo", "TodoList").objects.using(editor.connection.alias).create(title="By a migration")


class Migration(migrations.Migration):
    dependencies = [("todo", "{before}")]
    operations = [{operations}]
    replaces = {replaces}
"""
CODE, TABLES = "migrations.RunPython(code)", 'migrations.AlterModelOptions("todo", {})'


class History:
    """The migrations of the demo's app, in a package of the test's own."""

    def __init__(self, directory):
        self.directory = directory

    def add(self, name, operations=TABLES, before="0001_initial", replaces=()):
        text = MIGRATION.format(before=before, operations=operations, replaces=list(replaces))
        (self.directory / f"{name}.py").write_text(text)

    def make(self):
        call_command("makemigrations", "todo", verbosity=0)


@pytest.fixture
def history(tmp_path, monkeypatch, settings):
    """An app with a package of migrations that is empty so far."""
    name = f"migrations_{tmp_path.name.replace('-', '_')}"
    directory = tmp_path / name
    directory.mkdir()
    (directory / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    settings.MIGRATION_MODULES = {"todo": name}
    yield History(directory)
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


def run(connection, models=None, verb=autoupdate, **options):
    """Run a verb, and return the lines that the caller is told."""
    lines = []
    verb(models, using=connection.alias, notify=lines.append, **options)
    return lines


def applied(connection, *labels):
    recorded = MigrationRecorder(connection).applied_migrations()
    return {name for app, name in recorded if app in labels} if labels else set(recorded)


def migrate(connection, *arguments, **options):
    call_command("migrate", *arguments, database=connection.alias, verbosity=0, **options)


@pytest.mark.parametrize("verb", [autoupdate, automigrate])
def test_migrate_has_nothing_to_do_in_a_new_database(connection, history, verb):
    history.make()
    (line,) = run(connection, verb=verb)
    assert re.fullmatch(r"\d\d migrations marked as applied without being run\.", line)
    assert applied(connection) == migrations.done(dict(conf.settings.MIGRATION_MODULES))
    migrate(connection, check_unapplied=True)
    with CaptureQueriesContext(connection) as queries:
        assert run(connection) == []
    assert len(queries) == 1


def test_dry_run_marks_nothing(sqlite):
    run(sqlite, dry_run=True)
    assert sqlite.introspection.table_names() == []


def test_database_of_migrations_is_left_alone(connection, history):
    history.make()
    migrate(connection, "contenttypes")
    before = applied(connection)
    for _ in range(2):
        assert run(connection) == []
    assert applied(connection) == before
    with CaptureQueriesContext(connection) as queries:
        run(connection)
    assert len(queries) == 1


def test_switched_off_by_option_and_setting_and_on_again(sqlite, settings):
    settings.AUTOMIGRATE = {"RECORD_MIGRATIONS": False}
    assert run(sqlite) == run(sqlite) == []
    settings.AUTOMIGRATE = {}
    assert run(sqlite, record_migrations=False) == []
    assert "django_migrations" not in sqlite.introspection.table_names()
    (line,) = run(sqlite)
    assert "marked as applied" in line
    assert run(sqlite) == []


def test_setting_marks_in_any_database(sqlite, settings, history):
    history.make()
    history.add("0002_code", CODE)
    migrate(sqlite, "contenttypes")
    settings.AUTOMIGRATE = {"RECORD_MIGRATIONS": True}
    (line,) = run(sqlite)
    assert line.endswith("These do more than change tables: todo.0002_code.")
    assert applied(sqlite, "todo") == {"0001_initial", "0002_code"}
    with CaptureQueriesContext(sqlite) as queries:
        assert run(sqlite) == []
    assert len(queries) == 1


@pytest.mark.parametrize("given", ["yes", 1, ["default"]])
def test_malformed_setting_is_a_problem(settings, given):
    settings.AUTOMIGRATE = {"RECORD_MIGRATIONS": given}
    (problem,) = conf.problems()
    assert problem == f"AUTOMIGRATE['RECORD_MIGRATIONS'] has to be True, False or None, and is {given!r}."
    assert conf.record_migrations() is None


def test_migrations_made_later_are_marked_by_the_next_run(connection, history):
    run(connection)
    assert applied(connection, "todo") == set()
    history.make()
    assert run(connection) == ["1 migration marked as applied without being run."]
    history.add("0002_options")
    assert run(connection, "sites") == []
    assert run(connection, "todo") == ["1 migration marked as applied without being run."]
    assert run(connection) == []
    migrate(connection, check_unapplied=True)


def test_code_that_rows_may_need_is_left_to_migrate(connection, history):
    history.make()
    run(connection)
    history.add("0002_code", CODE)
    history.add("0003_options", before="0002_code")
    for _ in range(2):
        (line,) = run(connection)
        assert line.startswith("2 migrations not marked as applied, because of what todo.0002_code does besides")
    assert applied(connection, "todo") == {"0001_initial"}
    migrate(connection, "todo", "0002")
    assert run(connection) == ["1 migration marked as applied without being run."]
    assert run(connection) == []
    with connection.cursor() as cursor:
        cursor.execute("SELECT title FROM todo_todolist")
        assert list(cursor.fetchall()) == [("By a migration",)]


def test_code_of_a_new_app_is_marked_and_named(sqlite, history):
    history.make()
    history.add("0002_code", CODE)
    (line,) = run(sqlite)
    assert line.endswith("These do more than change tables: todo.0002_code.")
    history.add("0003_code", CODE, before="0002_code")
    (line,) = run(sqlite, "todo", verb=automigrate)
    assert line == "1 migration marked as applied without being run. These do more than change tables: todo.0003_code."


def test_only_apps_that_a_run_deals_with_as_a_whole_are_marked(sqlite, history):
    history.make()
    assert run(sqlite, ["TodoList", "contenttypes"]) == ["2 migrations marked as applied without being run."]
    assert applied(sqlite, "todo") == set()
    assert run(sqlite, "todo") == ["1 migration marked as applied without being run."]


def test_migrations_wait_for_those_they_depend_on(sqlite, history):
    history.make()
    text = (history.directory / "0001_initial.py").read_text()
    depends = 'dependencies = [("sites", "0002_alter_domain_unique")'
    (history.directory / "0001_initial.py").write_text(re.sub(r"dependencies = \[", depends, text))
    assert run(sqlite, "todo") == []
    assert run(sqlite, "sites") == ["2 migrations marked as applied without being run."]
    assert run(sqlite, "todo") == ["1 migration marked as applied without being run."]


def test_squashed_migration_is_applied_with_those_that_it_replaces(sqlite, history):
    history.make()
    history.add("0002_code", CODE)
    run(sqlite)
    (history.directory / "0002_code.py").unlink()
    for squashed in ("0002_squashed", "0002_squashed_again"):
        history.add(squashed, CODE, replaces=[("todo", "0002_code")])
        assert run(sqlite) == [
            f"1 migration marked as applied without being run. These do more than change tables: todo.{squashed}."
        ]
        (history.directory / f"{squashed}.py").unlink()
    assert run(sqlite) == []


def test_migrations_that_cannot_be_read_are_no_reason_to_fail(sqlite, history):
    (history.directory / "0001_broken.py").write_text("raise LookupError('no such luck')\n")
    for _ in range(2):
        (line,) = run(sqlite)
        assert "LookupError: no such luck" in line and "RECORD_MIGRATIONS" in line
    assert applied(sqlite) == set()
    (history.directory / "0001_broken.py").unlink()
    history.make()
    (line,) = run(sqlite)
    assert line.startswith(f"{len(applied(sqlite))} migrations")


# `migrate` where nothing was marked


@pytest.fixture
def unmarked(connection, history, settings):
    """A database that runs have made, without a mark."""
    history.make()
    settings.AUTOMIGRATE = {"RECORD_MIGRATIONS": False}
    run(connection)
    return connection


def test_migrate_that_finds_its_work_done_names_the_way_out(unmarked):
    with pytest.raises(CommandError) as caught:
        migrate(unmarked)
    message = str(caught.value)
    assert message.startswith(f"Database {unmarked.alias!r}: ") and "django_content_type" in message
    assert f"`python manage.py autoupdate --record-migrations --database {unmarked.alias}`" in message
    assert not connections[unmarked.alias].execute_wrappers
    run(unmarked, record_migrations=True)
    migrate(unmarked)


def test_columns_that_are_there_already_are_explained_too(unmarked, history):
    run(unmarked, record_migrations=True)
    history.add("0002_again", 'migrations.AddField("todo", "again", models.IntegerField(null=True))')
    with unmarked.schema_editor() as editor:
        editor.execute(f"ALTER TABLE {editor.quote_name('todo_todo')} ADD COLUMN again integer")
    with pytest.raises(CommandError, match="autoupdate keeps the tables"):
        migrate(unmarked)


EXPECTS_A_TABLE = """\
from django.db import DatabaseError, migrations, transaction


def code(apps, editor):
    try:
        with transaction.atomic(using=editor.connection.alias), editor.connection.cursor() as cursor:
            cursor.execute("CREATE TABLE todo_todo (id integer)")
    except DatabaseError as error:
        assert error.args == error.__cause__.args


class Migration(migrations.Migration):
    dependencies = [("todo", "0001_initial")]
    operations = [migrations.RunPython(code)]
"""


def test_error_that_a_migration_expects_does_not_end_it(unmarked, history):
    run(unmarked, record_migrations=True)
    (history.directory / "0002_expects.py").write_text(EXPECTS_A_TABLE)
    migrate(unmarked)
    assert ("todo", "0002_expects") in applied(unmarked)


@pytest.mark.parametrize("option", ["fake", "fake_initial"])
def test_fake_migrations_are_nobodys_business(sqlite, history, option):
    run(sqlite, record_migrations=False)
    migrate(sqlite, "sessions", **{option: True})
    assert applied(sqlite) == {("sessions", "0001_initial")}
    assert not sqlite.execute_wrappers


def test_other_errors_of_a_migration_are_left_as_they_are(sqlite, history):
    history.make()
    run(sqlite)
    history.add("0002_wrong", 'migrations.RunSQL("SELECT no_such_column FROM todo_todo")')
    with pytest.raises(OperationalError, match="no_such_column"):
        migrate(sqlite)
