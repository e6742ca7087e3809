"""Mistakes on a command line, and errors of the project's code, end in one line that names the way out."""

import pytest
from django.db.models.signals import post_migrate

from automigrate_ext import make_plan
from tests.demo import Demo
from tests.management.test_commands import run


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return Demo(tmp_path_factory.mktemp("demo"))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--acept-data-loss"], "unrecognized arguments: --acept-data-loss. Did you mean '--accept-data-loss'?"),
        (["--lock-wiat=3"], "unrecognized arguments: --lock-wiat=3. Did you mean '--lock-wait'?"),
        (["--nonsense"], "unrecognized arguments: --nonsense. --help"),
        (["--lock-wait", "soon"], "argument --lock-wait: 'soon' is not a number of seconds, 0 or more."),
        (["--count-timeout=-1"], "argument --count-timeout: '-1' is not a number of seconds, 0 or more."),
        (["--database", "defualt"], "argument --database: there is no database 'defualt' in DATABASES. Did you mean"),
        (["--database", "x"], "there is no database 'x' in DATABASES. DATABASES has 'default'."),
        (["--format", "yaml"], "argument --format: invalid choice: 'yaml'"),
        (["--jobs", "0"], "argument --jobs: '0' is not a whole number, 1 or more."),
        (["--max-failures", "few"], "argument --max-failures: 'few' is not a whole number, 1 or more."),
        (["--batch-size", "1.5"], "argument --batch-size: '1.5' is not a whole number, 1 or more."),
        (["--rewrite-limit", "-1"], "argument --rewrite-limit: '-1' is not a whole number, 0 or more."),
        (["--batch-pause", "a bit"], "argument --batch-pause: 'a bit' is not a number of seconds, 0 or more."),
        (["--rename"], "argument --rename: expected one argument."),
    ],
)
def test_mistake_on_a_command_line_is_one_line(demo, arguments, line):
    printed = demo.run("autoupdate", *arguments)
    assert printed.startswith("manage.py autoupdate: ") and line in printed
    assert printed.count("\n") == 1 and "usage" not in printed
    assert printed.endswith("--help lists all options.\n")


def test_two_values_for_one_name_are_a_mistake(demo):
    printed = demo.run("autoupdate", "--default", "todo.Todo.title=a", "--default", "todo.Todo.title=b")
    assert "--default todo.Todo.title=b: --default todo.Todo.title=a is given too." in printed
    printed = demo.run("autoupdate", "--rename", "todo.Todo.title=a", "--rename", "todo.Todo.title=desc")
    assert "--rename todo.Todo.title=desc: --rename todo.Todo.title=a is given too." in printed


def test_mistakes_in_names_get_one_guess(demo):
    assert "There is no app or model 'tood'. Did you mean 'todo'? Nothing was done." in demo.run("autoupdate", "tood")
    demo.run("autoupdate")
    printed = demo.run("autoupdate", "--default", "todo.Todo.tilte=x")
    assert "the models of this run have no such field. Did you mean 'todo.Todo.title'?" in printed


def test_error_of_a_receiver_is_one_line_unless_the_traceback_is_asked_for(connection):
    def receiver(**kwargs):
        raise LookupError("the moon\nis not there")

    post_migrate.connect(receiver)
    try:
        _, err, status = run("autoupdate", "todo", database=connection.alias)
        assert status == 2
        assert f"Database '{connection.alias}': LookupError: the moon is not there. --traceback shows where." in err
    finally:
        post_migrate.disconnect(receiver)


def test_plan_prints_as_its_text(connection):
    plan = make_plan("todo", using=connection.alias)
    printed = str(plan)
    assert printed.startswith("  + Create table todo_todolist (3 columns)\n")
    assert printed.endswith(f"\nDatabase '{connection.alias}': 3 changes to apply.")
    assert str(make_plan("todo", using=[connection.alias])) == f"Database '{connection.alias}'\n{printed}"
