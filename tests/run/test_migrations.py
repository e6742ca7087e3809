"""Two ways of recording migrations: one that adds what is missing, and one that removes others too."""

import pytest
from django.db import models
from django.db.migrations import (
    AddIndex,
    CreateModel,
    DeleteModel,
    RenameField,
    RunPython,
    RunSQL,
    SeparateDatabaseAndState,
)
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder

from automigrate_ext.backends import backend_for
from automigrate_ext.run import migrations

#: A squashed migration, which is imported to read what it replaces.
SQUASHED = """\
from django.db import migrations


class Migration(migrations.Migration):
    replaces = [("todo", "0001_first"), ("todo", "0002_second")]
"""
#: A migration that fails where it is imported.
BROKEN = "raise LookupError\n"


def test_record_all_adds_what_is_missing(connection):
    lines = []
    recorder = MigrationRecorder(connection)
    recorder.ensure_schema()
    recorder.record_applied("todo", "9999_of_another_branch")
    recorder.record_applied("auth", "0001_initial")
    missing = migrations.record_all(backend_for(connection.alias), lines.append)
    assert missing == tuple(sorted(migrations.done({}) - {("auth", "0001_initial")}))
    before = {("auth", "0001_initial"), ("todo", "9999_of_another_branch")}
    assert migrations.applied(connection.alias) == before.union(missing)
    (line,) = lines
    assert line == f"{len(missing)} migrations marked as applied without being run."
    assert migrations.record_all(backend_for(connection.alias), lines.append) == () and lines == [line]


def test_record_exactly_removes_others_of_installed_and_gone_apps(connection):
    recorder = MigrationRecorder(connection)
    recorder.ensure_schema()
    for app in ("todo", "gone", "other"):
        recorder.record_applied(app, "9999_of_another_branch")
    migrations.record_exactly(connection, {}, {"gone"})
    assert migrations.applied(connection.alias) == migrations.done({}) | {("other", "9999_of_another_branch")}


def test_only_squashed_migrations_are_imported(tmp_path, monkeypatch):
    package = tmp_path / "squashed_migrations"
    package.mkdir()
    for name, text in (("__init__", ""), ("0001_squashed", SQUASHED), ("0003_third", BROKEN), ("_helper", BROKEN)):
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    modules = {"todo": "squashed_migrations", "auth": None, "contenttypes": None, "sessions": None, "sites": None}
    assert migrations.on_disk(modules) == {("todo", "0001_squashed"), ("todo", "0003_third")}
    assert migrations.done(modules) == migrations.on_disk(modules) | {("todo", "0001_first"), ("todo", "0002_second")}


def code(apps, editor):
    raise AssertionError("no migration is run")


class Own(Operation):
    """An operation of which nobody knows what it does."""


class OfTables(CreateModel):
    pass


class Extension(Operation):
    def __init__(self, name):
        self.name = name


# As CreateExtension is, which needs psycopg.
CreateExtension = type("CreateExtension", (Extension,), {"__module__": "django.contrib.postgres.operations"})
TrigramExtension = type("TrigramExtension", (CreateExtension,), {"__module__": "django.contrib.postgres.operations"})


@pytest.mark.parametrize(
    ("operations", "found"),
    [
        ([RunPython(code)], ["RunPython"]),
        ([RunPython(RunPython.noop, code)], []),
        ([RunSQL("SELECT 1"), RunPython(code)], ["RunSQL", "RunPython"]),
        ([RunSQL(RunSQL.noop, "SELECT 1"), RunSQL([])], []),
        ([SeparateDatabaseAndState(database_operations=[RunSQL("SELECT 1")])], ["RunSQL"]),
        ([SeparateDatabaseAndState([SeparateDatabaseAndState([RunPython(code)])])], ["RunPython"]),
        ([SeparateDatabaseAndState(state_operations=[RunSQL("SELECT 1")])], []),
        ([Own()], ["Own"]),
        ([OfTables("Thing", []), DeleteModel("Thing"), RenameField("thing", "a", "b")], []),
        ([AddIndex("thing", models.Index(fields=["a"], name="i"))], []),
        ([CreateExtension("unaccent"), CreateExtension("hstore")], ["CreateExtension"]),
        ([TrigramExtension("unaccent"), TrigramExtension("hstore")], ["TrigramExtension"]),
    ],
)
def test_operations_that_do_more_than_change_tables(operations, found):
    assert list(migrations.code_in(operations, ["hstore"])) == found


def test_extensions_of_django_are_known_by_name():
    pytest.importorskip("psycopg")
    from django.contrib.postgres import operations

    made = operations.HStoreExtension(), operations.CreateCollation("c", "und"), operations.UnaccentExtension()
    assert list(migrations.code_in(made, ["hstore"])) == ["CreateCollation", "UnaccentExtension"]
    checked = operations.ValidateConstraint("thing", "c")
    concurrent = operations.AddIndexConcurrently("thing", models.Index(fields=["a"], name="i"))
    assert list(migrations.code_in([checked, concurrent])) == []


@pytest.mark.parametrize("key", migrations.HARMLESS)
def test_harmless_migrations_are_there_and_have_code(key):
    found = MigrationLoader(None).disk_migrations[key]
    assert list(migrations.code_in(found.operations))
    assert migrations.coded_operations(key, found) == ()
