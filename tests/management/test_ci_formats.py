"""--format github and --format gitlab: findings at the lines of the models."""

import json
import re
from pathlib import Path

import pytest
from django.core.management import load_command_class
from django.db import connections

from automigrate_ext.management.annotations import findings_of, root_of
from automigrate_ext.plan.findings import Finding, Severity, report
from automigrate_ext.plan.plan import HookStep, Judgement, Plan
from automigrate_ext.schema.changes import CreateExtension, DropTable
from automigrate_ext.schema.nouns import Schema, Table
from tests.documents import fences
from tests.features import is_generic
from tests.management.test_commands import run
from tests.several import databases, memory

ROOT = Path(__file__).resolve().parents[2]
MODELS = "todo_demo/todo/models.py"
COMMAND = re.compile(r"::(error|warning|notice) (?:file=([^,]+),line=(\d+),)?title=([^:]*)::(.*)")


def line_of(text, path=MODELS):
    """The number of the line that has this text."""
    (number,) = [number for number, line in enumerate((ROOT / path).read_text().splitlines(), 1) if text in line]
    return number


@pytest.fixture
def alias(connection):
    run("autoupdate", database=connection.alias)
    return connection.alias


def execute(alias, *statements):
    with connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def commands(output):
    return [COMMAND.fullmatch(line).groups() for line in output.splitlines()]


def test_nothing_to_do(alias):
    assert run("autoupdate", check=True, format="github", database=alias) == ("", "", 0)
    out, err, status = run("autoupdate", check=True, format="gitlab", database=alias)
    assert (json.loads(out), err, status) == ([], "", 0)


def test_field_and_model(alias):
    execute(alias, "ALTER TABLE todo_todolist DROP COLUMN color", "DROP TABLE todo_todolistimage")
    title = f"autoupdate of database '{alias}'"
    for severity, option, status in (("error", "check", 1), ("warning", "dry_run", 0)):
        out, _, found = run("autoupdate", format="github", database=alias, **{option: True})
        assert found == status
        (table, column) = sorted(commands(out), key=lambda each: "Add column" in each[4])
        assert table[:4] == (severity, MODELS, str(line_of("class TodoListImage(")), title)
        assert column[:4] == (severity, MODELS, str(line_of("color = models.CharField(")), title)
        assert table[4].startswith("Create table todo_todolistimage") and "%0A" not in table[4]
        assert column[4].startswith("Add column todo_todolist.color")


def test_gitlab(alias):
    execute(alias, "ALTER TABLE todo_todolist DROP COLUMN color")
    out, _, status = run("autoupdate", check=True, format="gitlab", database=alias)
    (entry,) = json.loads(out)
    assert status == 1
    assert entry["check_name"] == "automigrate_ext.AddColumn" and entry["severity"] == "major"
    assert entry["location"] == {"path": MODELS, "lines": {"begin": line_of("color = models.CharField(")}}
    assert re.fullmatch("[0-9a-f]{64}", entry["fingerprint"])
    assert entry["description"].startswith(f"autoupdate of database '{alias}': Add column todo_todolist.color")
    assert run("autoupdate", check=True, format="gitlab", database=alias)[0] == out


def test_third_party_model_is_at_its_app_in_the_settings(sqlite):
    run("autoupdate", database=sqlite.alias)
    execute(sqlite.alias, "ALTER TABLE auth_user DROP COLUMN first_name")
    ((_, path, line, _, message),) = commands(run("autoupdate", check=True, format="github", database=sqlite.alias)[0])
    assert message.startswith("Add column auth_user.first_name")
    assert (path, int(line)) == ("tests/settings.py", line_of('"django.contrib.auth"', "tests/settings.py"))


def test_refusal_what_is_kept_and_what_is_asked(sqlite):
    run("autoupdate", "todo", database=sqlite.alias)
    execute(
        sqlite.alias,
        "INSERT INTO todo_todolist (title, color) VALUES ('Home', 'green')",
        "ALTER TABLE todo_todolist RENAME COLUMN title TO heading",
        "UPDATE automigrate_ext_owned SET objects_owned = replace(objects_owned, '\"title\"', '\"heading\"')"
        " WHERE name = 'todo_todolist'",
    )
    options = {"format": "github", "database": sqlite.alias}
    out, err, status = run("autoupdate", "todo", check=True, **options)
    kept, refused, asked = sorted(commands(out), key=lambda each: ("Keep" not in each[4], "?" in each[4]))
    assert status == 1 and err == ""
    assert kept[:3] == ("notice", MODELS, str(line_of("class TodoList(")))
    assert refused[0] == "error" and "--default todo.TodoList.title=VALUE" in refused[4]
    titles = [n for n, line in enumerate((ROOT / MODELS).read_text().splitlines(), 1) if " title = models" in line]
    assert int(refused[2]) in titles and (asked[0], asked[2]) == ("notice", refused[2])
    assert asked[4].startswith("Was todo.TodoList.heading renamed to title?")
    out, err, status = run("autoupdate", "todo", dry_run=True, **{**options, "format": "gitlab"})
    severities = {entry["check_name"]: entry["severity"] for entry in json.loads(out)}
    assert status == 2 and "Nothing was done" in err
    assert severities == {
        "automigrate_ext.drops-column": "info",
        "automigrate_ext.required-column": "blocker",
        "automigrate_ext.likely-rename": "info",
    }
    strict = commands(run("autoupdate", "todo", check=True, strict=True, **options)[0])
    assert [each[0] for each in strict if "Keep" in each[4]] == ["error"]


def test_several_databases_are_one_report(django_db_blocker, tmp_path):
    entries = {alias: {**memory(), "NAME": str(tmp_path / f"{alias}.sqlite3")} for alias in ("default", "logs")}
    entries["gone"] = {**memory(), "NAME": str(tmp_path / "no" / "gone.sqlite3")}
    with databases(django_db_blocker, entries):
        run("autoupdate", "todo", database="logs")
        options = {"check": True, "database": ["default", "logs", "gone"]}
        out, _, status = run("autoupdate", "todo", format="gitlab", **options)
        found = json.loads(out)
        assert status == 2 and len(found) == 4
        assert len([entry for entry in found if entry["check_name"] == "automigrate_ext.CreateTable"]) == 3
        (failed,) = [entry for entry in found if entry["check_name"] == "automigrate_ext.failed"]
        assert failed["location"] == {"path": "manage.py", "lines": {"begin": 1}}
        assert "gone" in failed["description"] and "unable to open" in failed["description"]
        assert [each[0] for each in commands(run("autoupdate", "todo", format="github", **options)[0])] == ["error"] * 4


def test_targets(postgresql):
    if is_generic(postgresql):
        pytest.skip("many schemas are for PostgreSQL's own backend")
    execute(postgresql.alias, "CREATE SCHEMA acme", "CREATE SCHEMA globex")
    options = {"schemas": ["acme", "globex"], "database": postgresql.alias, "check": True}
    out, _, status = run("autoupdate", "todo", format="gitlab", **options)
    assert status == 1 and {entry["location"]["path"] for entry in json.loads(out)} <= {MODELS, "tests/settings.py"}


@pytest.mark.parametrize("output", ["github", "gitlab"])
def test_only_for_what_changes_nothing(sqlite, output):
    out, err, status = run("autoupdate", format=output, database=sqlite.alias)
    assert (out, err, status) == ("", f"--format {output}: pass --check or --dry-run with it.", 2)
    assert run("autoupdate", history=True, format=output, database=sqlite.alias)[2] == 2
    assert sqlite.introspection.table_names() == []


def finding(**facts):
    given = {"severity": Severity.ERROR, "check": "c", "title": "a: b, c", "message": "50 %\nmore", "identity": "i"}
    return Finding(**{**given, **facts})


def test_what_would_end_a_command_is_escaped():
    assert finding().for_github() == "::error title=a%3A b%2C c::50 %25%0Amore"
    assert finding(path="a,b.py", line=7).for_github().startswith("::error file=a%2Cb.py,line=7,title=")


def test_no_two_entries_have_one_fingerprint():
    assert len(report([finding(), finding(), finding(identity="j")])) == 2


def test_what_has_no_model_is_in_the_settings():
    plan = Plan(
        alias="default",
        vendor="sqlite",
        schema=Schema({}),
        judgements=(
            Judgement(change=CreateExtension(name="hstore")),
            Judgement(change=DropTable(table="gone", old=Table(name="gone", columns=()))),
        ),
        hooks=(HookStep(when="after", name="sql/views.sql", statement="SELECT 1"),),
    )
    found = findings_of(plan, fails=True, strict=False)
    assert {each.path for each in found} == {"tests/settings.py"} and len(found) == 3


def test_root_is_that_of_the_repository(tmp_path):
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert root_of(below) == below.resolve()
    (tmp_path / ".git").write_text("gitdir: elsewhere")
    assert root_of(below) == tmp_path.resolve()


def test_hook_for_pre_commit():
    yaml = pytest.importorskip("yaml")
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert (hook["id"], hook["language"], hook["pass_filenames"]) == ("automigrate-check", "system", False)
    command, *options = hook["entry"].removeprefix("python manage.py ").split()
    assert load_command_class("automigrate_ext", command).create_parser("manage.py", command).parse_args(options).check


def test_workflows_of_the_guide_are_yaml():
    yaml = pytest.importorskip("yaml")
    workflow, pipeline, hooks = map(yaml.safe_load, fences(ROOT / "docs" / "how-to.md", "yaml"))
    assert workflow["jobs"]["tables"]["steps"][-1]["run"] == "python manage.py autoupdate --dry-run --format github"
    assert pipeline["tables"]["artifacts"]["reports"]["codequality"] in pipeline["tables"]["script"][-1]
    assert hooks["repos"][0]["hooks"] == [{"id": "automigrate-check"}]
