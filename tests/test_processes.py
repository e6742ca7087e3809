"""Runs as processes of their own: killed in the middle, and several at once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command

from automigrate_ext.backends import backend_for
from automigrate_ext.schema import canonical

ROOT = Path(__file__).parent.parent

#: Adds to the demo's models, updates, and kills itself at the statement that changes the database for the n-th time.
KILLED = """
import os, signal, sys
import django
django.setup()
from django.db import connection, models
from todo_demo.todo.models import Todo, TodoList
models.IntegerField(default=3).contribute_to_class(Todo, "priority")
models.CharField(max_length=7, unique=True, null=True).contribute_to_class(TodoList, "code")
Todo._meta.get_field("title").max_length = 50
Todo._meta.indexes.append(models.Index(fields=["desc"], name="desc_index"))
class Extra(models.Model):
    todo = models.ForeignKey(Todo, models.CASCADE)
    class Meta:
        app_label = "todo"
changes = 0
def kill_at(execute, sql, params, many, context):
    global changes
    words = sql.split()
    if words and words[0] in {"ALTER", "CREATE", "DROP", "INSERT", "UPDATE"} and "TEMPORARY" not in words:
        changes += 1
        if changes == int(sys.argv[1]):
            if sys.argv[2] == "after":
                execute(sql, params, many, context)
            os.kill(os.getpid(), signal.SIGKILL)
    return execute(sql, params, many, context)
from automigrate_ext import autoupdate
with connection.execute_wrapper(kill_at):
    plan = autoupdate("todo")
assert plan
print(changes)
"""


def environment(database_url):
    """The environment of a process that works on the demo project in the database of the test."""
    return {
        **os.environ,
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "todo_demo.settings",
        "PYTHONPATH": str(ROOT),
    }


def start(database_url, *arguments):
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=environment(database_url),
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def everything(connection):
    """All tables and their rows."""
    backend = backend_for(connection.alias)
    schema = backend.introspect(sorted(backend.table_names()))
    contents = {}
    with connection.cursor() as cursor:
        for table in schema:
            cursor.execute(f'SELECT * FROM "{table.name}"')
            contents[table.name] = sorted(map(repr, cursor.fetchall()))
    return canonical(schema), contents


def test_killed_at_any_statement_leaves_the_database_as_it_was(connection, database_url):
    call_command("autoupdate", database=connection.alias, verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO todo_todolist (title, color) VALUES ('Home', 'red')")
    connection.close()
    before = everything(connection)
    connection.close()
    number = -1
    while True:
        number += 2
        when = "before" if number % 4 == 1 else "after"
        process = start(database_url, "-c", KILLED, str(number), when)
        out, err = process.communicate(timeout=60)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, err
        assert everything(connection) == before, f"killed {when} statement {number}"
        connection.close()
    assert number > int(out) > 5


@pytest.mark.parametrize("command", [["autoupdate"], ["automigrate", "--noinput"]])
def test_processes_starting_together_all_succeed(connection, database_url, command):
    connection.close()
    processes = [start(database_url, "manage.py", *command) for _ in range(4)]
    results = [(*process.communicate(timeout=120), process.returncode) for process in processes]
    assert [status for _, _, status in results] == [0] * 4, results
    if command == ["autoupdate"]:
        done = [out for out, _, _ in results if "changes applied in" in out]
        idle = [out for out, _, _ in results if "Nothing to do" in out]
        assert (len(done), len(idle)) == (1, 3)
    check = start(database_url, "manage.py", "autoupdate", "--check")
    out, err = check.communicate(timeout=60)
    assert check.returncode == 0, out + err
