"""Kept databases through changes of models, switches of branches, and runs with and without the plugin by turns."""

import signal

import pytest

ADD_COLUMN = """\
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("app1", "0050_auto")]
    operations = [migrations.AddField("Model0", "other", models.CharField(max_length=9, default=""))]
"""

OURS = ("--automigrate", "--reuse-db")


def go_to_other_branch(project):
    """Models and migrations as another branch has them."""
    (project.directory / "app1/migrations/0051_other.py").write_text(ADD_COLUMN)
    project.replace("app1/models.py", "class Model0(models.Model):\n", "class Model0(models.Model):\n" + OTHER)


def come_back(project):
    (project.directory / "app1/migrations/0051_other.py").unlink()
    project.replace("app1/models.py", OTHER, "")


OTHER = '    other = models.CharField(max_length=9, default="")\n'


def test_kept_database_follows_models_and_modes(project):
    assert " tables created in " in project.pytest(*OURS).line()
    again = project.pytest(*OURS, LOADED="1")
    assert again.line().startswith("up to date, ")
    # Every run of tests waits for what is loaded before it is known that nothing differs.
    heavy = ("schema", "plan", "backends.base", "api", "run.record")
    assert not again.loaded() & {f"automigrate_ext.{name}" for name in heavy}
    assert "automigrate_ext.testing.stamp" in again.loaded() and "rich" not in again.loaded()
    assert project.pytest("--reuse-db").passed().lines() == []

    # Each branch with the plugin, and the migration of the other one is recorded only while it is there.
    go_to_other_branch(project)
    assert project.pytest(*OURS).line().startswith("1 change applied in ")
    come_back(project)
    result = project.pytest(*OURS, "-v", SQL="INSERT INTO app1_model0 (id, name) VALUES (7, 'kept')")
    assert "1 change applied in " in result.line() and "- Drop column app1_model0.other" in result.out

    # By migrations to the other branch, where there is a row now; the plugin finds nothing to do there.
    go_to_other_branch(project)
    assert project.pytest("--reuse-db").passed().lines() == []
    assert "up to date" in project.pytest(*OURS).line()

    # What was done by hand is noticed.
    dropped = "ALTER TABLE app1_model1 DROP COLUMN field3"
    assert "up to date" in project.pytest(*OURS, "-k", "cache_table", SQL=dropped).line()
    assert "1 change applied in " in project.pytest(*OURS).line()

    # What the rows stand against is made anew.
    come_back(project)
    required = "    code = models.CharField(max_length=5, unique=True)\n"
    project.replace("app1/models.py", "class Model0(models.Model):\n", "class Model0(models.Model):\n" + required)
    line = project.pytest(*OURS, "-k", "not migrations").line()
    assert line.startswith("rebuilt with ") and "because its rows are in the way: " in line
    assert " tables created in " in project.pytest(*OURS, "--create-db", "-k", "not migrations").line()


def test_database_made_by_migrations_is_adopted(on_sqlite):
    assert on_sqlite.pytest("--reuse-db").passed().lines() == []
    assert on_sqlite.pytest(*OURS).line().startswith("up to date, ")
    assert on_sqlite.pytest("--reuse-db").passed().lines() == []


def test_rows_of_tables_that_stayed_do_not_belong_to_a_database(on_sqlite):
    on_sqlite.pytest(*OURS, SQL="INSERT INTO app1_model1 (id, name) VALUES (7, 'of a fixture')").passed()
    on_sqlite.replace("app1/models.py", "class Model0(models.Model):\n", "class Model0(models.Model):\n" + OTHER)
    line = on_sqlite.pytest(*OURS, "-k", "not migrations", SQL="DELETE FROM app1_model1").line()
    assert line.startswith("1 change applied in ")
    assert on_sqlite.pytest(*OURS, "-k", "not migrations").line().startswith("up to date, ")


#: A receiver that is connected where `migrate` looks for them, and says which others are told with it.
RECEIVER = """\
from django.db.models.signals import post_migrate

from automigrate_ext.signals import do_nothing, receiver_of


def write_down(sender, **options):
    if sender.label == "app0":
        told = [entry for entry in post_migrate.receivers if receiver_of(entry) is not do_nothing]
        with open("told.txt", "a") as file:
            file.write(f"{len(told)}\\n")


post_migrate.connect(write_down)
"""


def test_receivers_of_a_project_are_told_in_each_run(on_sqlite):
    management = on_sqlite.directory / "app0/management"
    management.mkdir()
    (management / "__init__.py").write_text(RECEIVER)
    for _ in range(3):
        on_sqlite.pytest(*OURS).passed()
    made, *kept = (on_sqlite.directory / "told.txt").read_text().split()
    assert int(made) > 1 and kept == ["1", "1"]  # Django's receivers have nothing to write then


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_what_a_killed_run_left_is_not_met_again(project):
    options = (*OURS, "-k", "columns")
    left = "INSERT INTO app1_model0 (id, name) VALUES (7, 'left behind')"
    assert project.pytest(*options, SQL=left, DIE="1").status == -signal.SIGKILL
    line = project.pytest(*options, SQL=left).line()
    assert line.startswith("rebuilt with ") and line.endswith("because the run before was killed while it used it")
    assert project.pytest(*options).line().startswith("up to date, ")
