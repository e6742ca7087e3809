"""The commands of a deployment in which old and new code serve together: what they print, and their exit statuses."""

import json

import pytest

from automigrate_ext import autoupdate
from tests.management.test_commands import run

LEFT = "  | Change column todo_todolist.color: default"


@pytest.fixture
def old(sqlite):
    """The tables of the demo's models, without a column that the models have by now."""
    autoupdate("todo", using=sqlite.alias)
    execute(sqlite, "ALTER TABLE todo_todolist DROP COLUMN color")
    return sqlite


def execute(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


def command(connection, **options):
    return run("autoupdate", "todo", database=connection.alias, **options)


def test_both_steps_and_the_checks_between_them(old):
    alias = old.alias
    assert command(old, check=True)[2] == 1
    assert command(old, check=True, expand=True)[2] == 1
    out, _, status = command(old, expand=True)
    assert status == 0 and "For the contract: 1 change" in out and LEFT in out
    assert "1 change applied, 1 change for the contract" in out
    execute(old, "INSERT INTO todo_todolist (title) VALUES ('Home')")
    out, _, status = command(old, check=True)
    assert (out.splitlines()[-1], status) == (f"Database '{alias}': expanded; 1 change to contract.", 4)
    out, _, status = command(old, check=True, expand=True)
    assert out.splitlines()[-1] == f"Database '{alias}': nothing to expand; 1 change for the contract."
    assert status == 0
    out, _, status = command(old, expand=True)
    assert out.splitlines()[-1] == f"Database '{alias}': nothing to expand; 1 change for the contract."
    out, err, status = command(old, contract=True)
    assert status == 0 and "1 change applied" in out and "not expanded" not in err
    assert command(old, check=True)[2] == 0
    assert command(old, check=True, expand=True)[2] == 0


def test_json_and_script(old):
    plan = json.loads(command(old, expand=True, dry_run=True, format="json")[0])
    assert [change["verdict"] for change in plan["changes"]] == ["apply", "postpone"]
    assert (plan["actual"], plan["expanded"], plan["request"]["expand"]) == (False, False, True)
    script = command(old, expand=True, dry_run=True, format="sql")[0]
    assert "-- For the contract: Change column todo_todolist.color: default" in script
    command(old, expand=True)
    plan = json.loads(command(old, expand=True, dry_run=True, format="json")[0])
    assert not plan["actual"] and not plan["statements"]
    plan = json.loads(command(old, check=True, format="json")[0])
    assert plan["expanded"] and [change["verdict"] for change in plan["changes"]] == ["apply"]


def test_finding_of_what_is_left_for_the_contract_fails_nothing(old):
    command(old, expand=True)
    out, _, status = command(old, check=True, expand=True, format="github")
    assert status == 0 and out.startswith("::notice ") and "::For the contract: Change column" in out
    out, _, status = command(old, check=True, format="github")
    assert status == 4 and out.startswith("::error ") and "::Change column" in out


def test_saved_plan_of_an_expand(old, tmp_path):
    saved = tmp_path / "plan.json"
    saved.write_text(command(old, expand=True, dry_run=True, format="json")[0])
    assert run("autoupdate", plan=str(saved))[2] == 0
    assert command(old, check=True)[2] == 4
    _, err, status = run("autoupdate", plan=str(saved))
    assert status == 2 and "no longer holds" in err


def test_contract_without_an_expand_says_so(old):
    _, err, status = command(old, contract=True)
    assert status == 0
    assert "was not expanded first: --expand would make 1 change, and this run makes them too" in err


def test_options_that_do_not_go_with_an_expand(old):
    for beside in ("accept_data_loss", "prune", "record_migrations"):
        _, err, status = command(old, expand=True, **{beside: True})
        assert status == 2 and f"expand and {beside}: " in err
