"""Two ways of recording migrations: one that adds what is missing, and one that removes others too."""

from django.db.migrations import RunPython, SeparateDatabaseAndState
from django.db.migrations.recorder import MigrationRecorder

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
    missing = migrations.record_all(connection, lines.append)
    assert missing == tuple(sorted(migrations.done({}) - {("auth", "0001_initial")}))
    before = {("auth", "0001_initial"), ("todo", "9999_of_another_branch")}
    assert migrations.applied(connection.alias) == before.union(missing)
    (line,) = lines
    assert line == (
        f"{len(missing)} migrations marked as applied without being run. RunPython or RunSQL is in "
        f"auth.0011_update_proxy_permissions, contenttypes.0002_remove_content_type_name."
    )
    assert migrations.record_all(connection, lines.append) == () and lines == [line]


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


def test_code_inside_of_other_operations_is_found():
    code = RunPython(RunPython.noop)
    assert migrations.has_code([SeparateDatabaseAndState(database_operations=[code])])
    assert not migrations.has_code([SeparateDatabaseAndState(state_operations=[code])])
