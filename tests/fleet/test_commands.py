"""The commands on many targets: what they print, and the status they exit with."""

import io
import json
import re

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.models.signals import post_migrate
from django.test import override_settings

from automigrate_ext import Target, autoupdate, is_actual
from automigrate_ext.fleet.places import at
from automigrate_ext.fleet.report import FleetProgress
from automigrate_ext.management.commands.autoupdate import Command
from automigrate_ext.management.fleet import FleetCommand
from tests.fleet.schemas import Fleet
from tests.several import databases

NAMES = ("shop_acme", "shop_beta", "shop_core")


@pytest.fixture
def fleet(postgresql, django_db_blocker):
    """Schemas of the default database, with the tables of the demo's models but for one column in one of them."""
    with databases(django_db_blocker, {"default": postgresql.settings_dict}):
        fleet = Fleet(connections["default"], NAMES)
        autoupdate("todo", targets=fleet.targets)
        yield fleet


@pytest.fixture
def changed(fleet):
    with at(fleet.target("shop_beta")):
        fleet.case.execute("ALTER TABLE todo_todo DROP COLUMN todo_list_id")
    return fleet


def run(*arguments, status=0, **options):
    """Call the command; return what it printed on stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command(*arguments, stdout=out, stderr=err, **options)
        found = 0
    except SystemExit as end:
        found = end.code
    except CommandError as error:
        found = error.returncode
        err.write(str(error))
    assert found == status, out.getvalue() + err.getvalue()
    return out.getvalue(), err.getvalue()


def test_nothing_to_do(fleet):
    out, err = run("autoupdate", "todo", schemas=["shop_*"])
    assert re.fullmatch(r"3 targets: 3 match in \d+\.\d\d s\.\n", out) and not err


def test_check(changed):
    out, _ = run("autoupdate", "todo", schemas=["shop_*"], check=True, status=1)
    assert out.splitlines()[-1] == "2 of 3 targets match; 1 differs in 1 way: shop_beta."
    run("autoupdate", "todo", schemas=["shop_*"], exclude=["*_beta"], check=True)


def test_check_after_an_expand(changed):
    with at(changed.target("shop_acme")):
        changed.case.execute("ALTER TABLE todo_todolist DROP COLUMN color")
    out, _ = run("autoupdate", "todo", schemas=["shop_*"], expand=True)
    assert "For the contract: 1 change" in out
    run("autoupdate", "todo", schemas=["shop_*"], expand=True, check=True)
    out, _ = run("autoupdate", "todo", schemas=["shop_*"], check=True, status=4)
    assert out.splitlines()[-1] == "2 of 3 targets match; 1 is expanded: shop_acme."
    run("autoupdate", "todo", schemas=["shop_*"], contract=True)
    run("autoupdate", "todo", schemas=["shop_*"], check=True)


def test_dry_run_then_run(changed):
    out, _ = run("autoupdate", "todo", schemas=["shop_*"], dry_run=True)
    first, table, column, *_, last = out.splitlines()
    assert [first, table, column, last] == [
        "Target shop_beta",
        "todo_todo",
        "  + Add column todo_todo.todo_list_id bigint",
        "3 targets: 2 match, 1 differs.",
    ]
    out, _ = run("autoupdate", "todo", schemas=["shop_*"])
    assert out.splitlines()[:3] == [first, table, column]
    assert "2 match, 1 changed in" in out
    assert is_actual("todo", targets=changed.targets)


def test_names_at_verbosity_2_and_nothing_at_0(changed):
    out, _ = run("autoupdate", "todo", schemas=["shop_*"], dry_run=True, verbosity=2)
    assert "  shop_core: matches" in out.splitlines() and "  shop_beta: differs" in out.splitlines()
    assert run("autoupdate", "todo", schemas=["shop_*"], dry_run=True, verbosity=0) == ("", "")


def test_json(changed):
    out, err = run("autoupdate", "todo", schemas=["shop_*", "gone"], dry_run=True, format="json")
    report = json.loads(out)
    assert report["counts"] == {"matches": 2, "differs": 1, "absent": 1} and report["absent"] == ["gone"]
    (shape,) = report["shapes"]
    assert shape["targets"] == ["shop_beta"] and shape["outcomes"] == {"differs": 1}
    assert shape["plan"]["changes"][0]["description"] == "Add column todo_todo.todo_list_id bigint"
    assert not err


def test_sql(changed):
    out, _ = run("autoupdate", "todo", schemas=["shop_*"], dry_run=True, format="sql")
    assert out.splitlines()[0] == "-- Target shop_beta"
    assert any(line.startswith("ALTER TABLE") for line in out.splitlines())


def test_one_is_refused(fleet):
    with at(fleet.target("shop_core")):
        fleet.case.execute(
            "ALTER TABLE todo_todolist DROP COLUMN title", "INSERT INTO todo_todolist (color) VALUES ('x')"
        )
    out, _ = run("autoupdate", "todo", schemas=["shop_*"], status=2)
    assert "3 targets: 2 match, 1 refused" in out
    assert any(line.startswith("shop_core: ") and "--default" in line for line in out.splitlines())


def test_project_targets(changed):
    targets = f"{__name__}.two_targets"
    with override_settings(AUTOMIGRATE={"TARGETS": targets}):
        out, _ = run("autoupdate", "todo", tenants=[])
        assert "2 targets: 1 matches, 1 changed" in out
        out, _ = run("autoupdate", "todo", tenants=["acme"])
        assert "1 target: 1 matches" in out
        _, err = run("autoupdate", "todo", tenants=["acne"], status=2)
        assert "did you mean 'acme'?" in err


def two_targets():
    return [Target(name=name, schema=f"shop_{name}") for name in ("acme", "beta")]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"jobs": 2}, "--jobs: name targets too"),
        ({"max_failures": 2, "create": True}, "--max-failures, --create: name targets too"),
        ({"schemas": ["shop_*"], "tenants": []}, "cannot be given together"),
        ({"tenants": [], "database": ["default"]}, "leave out --database"),
        ({"schemas": ["shop_*"], "all_databases": True}, "leave out --database"),
        ({"schemas": ["none_*"]}, "No schema of database 'default' matches 'none_*'"),
        ({"schemas": ["shop_*"], "plan": "x.json"}, "--plan: leave it out"),
        ({"schemas": ["shop_*"], "first": "few"}, "first='few'"),
        ({"schemas": ["shop_*"], "jobs": 0}, "jobs=0"),
    ],
)
def test_options_that_do_not_go_together(fleet, options, words):
    _, err = run("autoupdate", **options, status=2)
    assert words in err


def test_schemas_of_a_database_that_has_none(sqlite, django_db_blocker):
    with databases(django_db_blocker, {"default": sqlite.settings_dict}):
        _, err = run("autoupdate", schemas=["shop_*"], status=2)
    assert "only PostgreSQL does" in err


def test_error_of_the_projects_own_code_is_one_line_for_all_targets(changed):
    def fail(**options):
        raise ValueError("out of ink")

    post_migrate.connect(fail)
    try:
        out, err = run("autoupdate", "todo", schemas=["shop_*"], status=2)
    finally:
        post_migrate.disconnect(fail)
    (line,) = (line for line in out.splitlines() if "out of ink" in line)
    assert f"ValueError: out of ink ({__file__}, line " in line
    assert "Traceback" not in out + err


class TestAutomigrate:
    @pytest.fixture
    def rows(self, fleet):
        for name in NAMES:
            with at(fleet.target(name)):
                fleet.case.execute("INSERT INTO todo_todolist (title, color) VALUES ('x', '')")

    def test_rows_of_all_are_counted(self, fleet, rows):
        with override_settings(DEBUG=False):
            _, err = run("automigrate", "todo", schemas=["shop_*"], status=2)
        assert "3 rows of 1 table would be lost" in err
        with at(fleet.target("shop_acme")):
            assert len(fleet.case.query("SELECT * FROM todo_todolist")) == 1

    def test_confirmed(self, fleet, rows):
        name = connections["default"].settings_dict["NAME"]
        with override_settings(DEBUG=False):
            out, _ = run("automigrate", "todo", schemas=["shop_*"], confirm=[name])
        assert "3 targets: 3 changed" in out
        with at(fleet.target("shop_acme")):
            assert not fleet.case.query("SELECT * FROM todo_todolist")

    def test_dry_run(self, fleet, rows):
        out, _ = run("automigrate", "todo", schemas=["shop_*"], dry_run=True)
        assert "  - Drop table todo_todolist" in out.splitlines() and "3 targets: 3 differ." in out


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (FleetProgress(done=0, failed=0, total=5), "0 of 5 targets done, some time left"),
        (FleetProgress(done=1, failed=1, total=3), "1 of 3 targets done, 1 failed, 0:00:20 left"),
    ],
)
def test_progress_in_words(progress, words):
    assert progress.describe(10) == words


def test_progress_is_one_line_that_is_written_over(monkeypatch):
    command = Command(stderr=io.StringIO())
    work = FleetCommand(command, {})
    work.watch(FleetProgress(done=1, failed=0, total=9))
    assert command.bare_stderr.getvalue() == "", "a short run shows nothing"
    work.began -= 60
    work.watch(FleetProgress(done=2, failed=1, total=9))
    work.watch(FleetProgress(done=3, failed=1, total=9))
    work.watch(FleetProgress(done=9, failed=1, total=9))
    assert command.bare_stderr.getvalue() == "\r\x1b[K2 of 9 targets done, 1 failed, 0:03:30 left\r\x1b[K"
