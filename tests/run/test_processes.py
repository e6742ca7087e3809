"""Runs as processes of their own: killed in the middle, several at once, waiting for each other."""

import signal

import pytest
from django.core.management import call_command

from automigrate_ext.backends import backend_for
from automigrate_ext.schema.nouns import canonical
from tests.conftest import mysql_url
from tests.features import has, need
from tests.forks import forking

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs fork and SIGKILL")

TOGETHER = 10

#: Changes the demo's models: renames of a model with a many-to-many table and of a field, fills, constraints, a key.
CHANGED = """
import os, signal, sys, time
import django
from django.apps import apps
from django.db import connection, models
from todo_demo.todo.models import Todo, TodoList, TodoListImage
models.IntegerField(default=3).contribute_to_class(Todo, "priority")
models.CharField(max_length=7, unique=True, null=True).contribute_to_class(TodoList, "code")
models.ManyToManyField(TodoList, related_name="+").contribute_to_class(Todo, "others")
Todo._meta.get_field("title").max_length = 50
Todo._meta.get_field("desc").db_column = "notes"
Todo._meta.get_field("desc").column = "notes"
Todo._meta.indexes.append(models.Index(fields=["title"], name="title_index"))
class Extra(models.Model):
    todo = models.ForeignKey(Todo, models.CASCADE)
    class Meta:
        app_label = "todo"
apps.clear_cache()
VERBS = {"ALTER", "CREATE", "DROP", "INSERT", "UPDATE", "DELETE"}
"""

#: Updates, and kills itself before the statement that changes the database for the n-th time, or at the end.
KILLED = f"""{CHANGED}
TodoListImage._meta.db_table = "todo_picture"
# A server that is left alone may have done any part of a message, so each statement is one.
from automigrate_ext.backends.mysql.session import MySQLSession
MySQLSession.statements_a_message = 1
changes = 0
def kill_at(execute, sql, params, many, context):
    global changes
    words = sql.split()
    if words and words[0] in VERBS and "TEMPORARY" not in words:
        changes += 1
        if changes == int(argv[0]):
            os.kill(os.getpid(), signal.SIGKILL)
    return execute(sql, params, many, context)
if argv[0] == "end":
    from automigrate_ext.run.update import Update
    conclude = Update.settle
    def settle(self, prepared, reached):
        conclude(self, prepared, reached)
        os.kill(os.getpid(), signal.SIGKILL)
    Update.settle = settle
    argv[0] = 0
from automigrate_ext import autoupdate
with connection.execute_wrapper(kill_at):
    plan = autoupdate("todo", renames={{"todo_todo.desc": "notes", "todo_todolistimage": "todo_picture"}})
assert plan or argv[1:] == ["again"]
print(changes)
"""

#: Updates, and stops before the statement that changes the database for the second time.
HOLDING = f"""{CHANGED}
changes = 0
def hold(execute, sql, params, many, context):
    global changes
    if sql.split()[0] in VERBS and "TEMPORARY" not in sql.split():
        changes += 1
        if changes == 2:
            print("holding", file=sys.stderr, flush=True)
            time.sleep(600)
    return execute(sql, params, many, context)
from automigrate_ext import autoupdate
with connection.execute_wrapper(hold):
    autoupdate("todo")
"""


@pytest.fixture
def processes(connection, database_url, tmp_path):
    """Forks processes that work on the database of the test."""
    connection.close()
    with forking(database_url, tmp_path) as parent:
        yield parent


def everything(connection):
    """All tables and their rows."""
    backend = backend_for(connection.alias)
    schema = backend.introspect(sorted(backend.table_names()))
    contents = {}
    with connection.cursor() as cursor:
        for table in schema:
            # Marks of migrations have the time in them.
            columns = "app, name" if table.name == "django_migrations" else "*"
            cursor.execute(f"SELECT {columns} FROM {connection.ops.quote_name(table.name)}")
            rows = map(repr, cursor.fetchall())
            # Seals and past runs in the record have the time in them.
            contents[table.name] = sorted(row for row in rows if "'fingerprint " not in row and "('run " not in row)
    connection.close()
    return canonical(schema), contents


def fill(connection):
    """The tables of the demo project with a few rows."""
    call_command("autoupdate", database=connection.alias, verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO todo_todolist (title, color) VALUES ('Home', 'red')")
        description = connection.ops.quote_name("desc")
        cursor.execute(
            f"INSERT INTO todo_todo (title, {description}, is_complete, todo_list_id) "
            "SELECT 'Buy milk', 'two litres', false, id FROM todo_todolist"
        )
    connection.close()


def test_killed_at_any_statement_leaves_the_database_as_it_was(connection, processes):
    need(connection, "atomic DDL")
    fill(connection)
    before = everything(connection)
    number = 0
    while True:
        number += 1
        child = processes.fork(KILLED, str(number))
        status = child.wait()
        if status == 0:
            break
        assert status == -signal.SIGKILL, child.err
        assert everything(connection) == before, f"killed before statement {number}"
        if number == 1:
            assert processes.fork(KILLED, "end").wait() == -signal.SIGKILL
            assert everything(connection) == before, "killed before the end"
    assert number == int(child.out) + 1 > 15
    assert everything(connection) != before


@pytest.mark.timeout(300)
@pytest.mark.parametrize("database", ["mariadb", "mysql"])
def test_killed_at_any_statement_is_finished_by_the_next_run(request, database, tmp_path):
    """Whatever had been done by then, the next run leaves the same tables and rows as one that nobody ends."""
    connection, server = request.getfixturevalue(database), request.getfixturevalue(f"{database}_server")
    url = mysql_url(connection.settings_dict)
    boundaries, wanted, number = 0, None, 0
    while number <= boundaries:
        connection.close()
        server.empty_database(connection.settings_dict["NAME"])
        with forking(url, tmp_path) as parent:
            fill(connection)
            if number:
                assert parent.fork(KILLED, str(number)).wait() == -signal.SIGKILL
            last = parent.fork(KILLED, "0", "again" if number else "")
            assert last.wait() == 0, f"killed before statement {number}: {last.err}"
        found = everything(connection)
        if not number:
            boundaries, wanted = int(last.out), found
        assert found == wanted, f"killed before statement {number}"
        number += 1
    assert boundaries > 15


@pytest.mark.parametrize("filled", [False, True], ids=["empty", "full"])
@pytest.mark.parametrize("command", [["autoupdate"], ["automigrate", "--noinput"]], ids=lambda words: words[0])
def test_processes_starting_together_all_succeed(connection, processes, command, filled):
    if filled:
        fill(connection)
    prepare = CHANGED if filled else ""
    code = f"{prepare}\nfrom django.core.management import execute_from_command_line as run\nrun(['manage.py', *argv])"
    children = [processes.fork(code, *command) for _ in range(TOGETHER)]
    results = [(child.wait(), child.out, child.err) for child in children]
    failed = [f"{status}: {err}" for status, _, err in results if status]
    assert not failed, "\n".join(failed)
    if command == ["autoupdate"]:
        done = [out for _, out, _ in results if "applied" in out]
        idle = [out for _, out, _ in results if "matches the models" in out]
        assert (len(done), len(idle)) == (1, TOGETHER - 1), results
    check = processes.fork(code, "autoupdate", "--check")
    assert check.wait() == 0, check.out + check.err


def test_killed_holder_lets_one_of_those_that_wait_do_the_work(connection, processes):
    holder = processes.fork(HOLDING)
    holder.await_message("holding")
    waiting = [processes.command("autoupdate", "todo") for _ in range(3)]
    for child in waiting:
        message = child.await_message("Waiting for another run")
        if connection.vendor == "postgresql":
            assert f"session {backend_pid(connection)}" in message
    holder.send(signal.SIGKILL)
    assert holder.wait() == -signal.SIGKILL
    assert [child.wait() for child in waiting] == [0] * 3
    assert sorted("applied" in child.out for child in waiting) == [False, False, True]
    assert all(child.err.count("Waiting") == 1 for child in waiting)


def backend_pid(connection):
    """The session of the run that holds the lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
            "WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()"
        )
        ((pid,),) = cursor.fetchall()
    connection.close()
    return pid


def test_interrupted_while_waiting(connection, processes):
    holder = processes.fork(HOLDING)
    holder.await_message("holding")
    waiting = processes.command("autoupdate")
    waiting.await_message("Waiting for another run")
    waiting.send(signal.SIGINT)
    assert waiting.wait() == 130
    assert "nothing was changed" in waiting.err
    holder.send(signal.SIGKILL)
    holder.wait()
    assert connection.introspection.table_names() == made_before_the_second_change(connection)


def made_before_the_second_change(connection):
    """What is left of the one that held the lock."""
    return [] if has(connection, "atomic DDL") else ["automigrate_ext_owned"]


def test_time_to_wait_for_another_run_is_limited(connection, processes):
    holder = processes.fork(HOLDING)
    holder.await_message("holding")
    for limit in ("0", "0.3"):
        child = processes.command("autoupdate", "--lock-wait", limit)
        assert child.wait() == 2
        assert f"did not end within {limit} s" in child.err and "--lock-wait" in child.err
        assert "Waiting" not in child.err
    holder.send(signal.SIGKILL)
    holder.wait()
    assert connection.introspection.table_names() == made_before_the_second_change(connection)
