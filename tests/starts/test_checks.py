"""The system check of databases: its warnings, for which databases, and when there is none."""

import sys

import pytest
from django.core.management import call_command
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from automigrate_ext import autoupdate
from automigrate_ext.starts.checks import check_databases
from tests.management.test_commands import run
from tests.several import Homes, databases

pytestmark = pytest.mark.django


def test_differences_are_a_warning_with_the_command_that_resolves_them(connection):
    alias = connection.alias
    autoupdate(using=alias)
    assert run("check", databases=[alias]) == ("System check identified no issues (0 silenced).\n", "", 0)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE todo_todolist DROP COLUMN color")
    _, err, status = run("check", databases=[alias])
    assert status == 0
    assert f"(automigrate_ext.W001) Database '{alias}' does not match the models in 1 place: Add column" in err
    assert f"HINT: Run manage.py autoupdate --database {alias}" in err
    assert run("check", databases=[alias], fail_level="WARNING")[2] == 1
    assert run("check", "todo", databases=[alias])[1].count("manage.py autoupdate todo --database") == 1
    assert "W001" not in run("check", "sites", databases=[alias])[1]


def test_long_list_is_cut(sqlite):
    (warning,) = check_databases(None, databases=[sqlite.alias])
    assert warning.msg.count("Create table") == 5
    assert warning.msg.endswith("; and 7 more.")


def test_database_that_cannot_be_read_is_a_warning(sqlite, tmp_path):
    sqlite.close()
    sqlite.settings_dict["NAME"] = str(tmp_path / "nowhere" / "db.sqlite3")
    (warning,) = check_databases(None, databases=[sqlite.alias])
    assert warning.id == "automigrate_ext.W002"
    assert "unable to open database file" in warning.msg


def test_what_an_expand_has_left_is_a_warning_with_the_command_that_contracts(sqlite):
    autoupdate(using=sqlite.alias)
    with sqlite.cursor() as cursor:
        cursor.execute("ALTER TABLE todo_todolist DROP COLUMN color")
    autoupdate(using=sqlite.alias, expand=True)
    err = run("check", databases=[sqlite.alias])[1]
    assert f"Database '{sqlite.alias}' is expanded, with 1 change to contract: Change column todo_todolist.color" in err
    assert f"Run manage.py autoupdate --database {sqlite.alias} --contract once the last process of the old" in err


def test_only_databases_that_are_named_are_asked(sqlite, monkeypatch):
    with CaptureQueriesContext(sqlite) as captured:
        assert run("check")[2] == 0
        assert check_databases(None) == []
    assert len(captured) == 0


def test_commands_that_change_tables_are_not_preceded_by_it(sqlite, monkeypatch):
    _, err, _ = run("autoupdate", database=sqlite.alias, dry_run=True, skip_checks=False)
    assert "W001" not in err
    monkeypatch.setattr(sys, "argv", ["manage.py", "migrate"])
    assert check_databases(None, databases=[sqlite.alias]) == []


def test_replicas_and_databases_without_models_are_passed_over(tmp_path, django_db_blocker, monkeypatch):
    engine = {"ENGINE": "django.db.backends.sqlite3"}
    entries = {alias: {**engine, "NAME": str(tmp_path / alias)} for alias in ("default", "spare")}
    entries["replica"] = {**entries["default"], "TEST": {"MIRROR": "default"}}
    monkeypatch.setattr(Homes, "homes", {})
    with override_settings(DATABASE_ROUTERS=["tests.several.Homes"]), databases(django_db_blocker, entries):
        found = check_databases(None, databases=["spare", "replica", "default"])
        assert [warning.id for warning in found] == ["automigrate_ext.W001"]
        call_command("autoupdate", verbosity=0)
        assert check_databases(None, databases=list(entries)) == []
