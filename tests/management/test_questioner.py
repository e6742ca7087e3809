"""The questions of autoupdate at a terminal, asked of the demo project through a pseudo-terminal."""

import contextlib
import fcntl
import os
import pty
import select
import sqlite3
import subprocess
import sys
import termios
import time
from dataclasses import dataclass

import pytest
from django.db import models

from automigrate_ext import Answers, Refused, autoupdate, is_actual
from tests.acceptance.helper import State, fingerprint, item
from tests.test_docs import ADMIN, IS_COMPLETE, MODELS, ROWS, Demo

SECONDS = 60
#: Seconds until Ctrl-C is pressed again.
PATIENCE = 10
RENAMED = ((MODELS, "    desc = ", "    notes = "), (ADMIN, '"desc"', '"notes"'))
PRIORITY = ((MODELS, IS_COMPLETE, IS_COMPLETE + "    priority = models.PositiveSmallIntegerField()\n"),)
REQUIRED = ((MODELS, "        null=True,\n        blank=True,\n", ""),)
WAS_RENAMED = "Was todo.Todo.desc renamed to todo.Todo.notes (a TextField)? [y/N] "
CTRL_C, CTRL_D = "\x03", "\x04"


@dataclass(frozen=True, kw_only=True)
class Session:
    """The output of a command at a terminal, and its exit status."""

    out: str
    err: str
    status: int


@pytest.fixture
def demo(tmp_path):
    made = Demo(tmp_path)
    made.run("autoupdate")
    assert "Traceback" not in made.run("shell", "-c", ROWS)
    return made


def at_terminal(demo, *arguments, answers=()):
    """Run a command whose standard input is a terminal; answer each prompt that is waited for."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=demo.directory,
        env=demo.environment,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    try:
        err = ""
        for prompt, answer in answers:
            err += read_until(process.stderr, prompt)
            os.write(ours, (answer if answer in (CTRL_C, CTRL_D) else f"{answer}\n").encode())
        if answers and answers[-1][1] == CTRL_C:
            press_until_it_ends(process, ours)
        out, rest = process.communicate(timeout=SECONDS)
    finally:
        os.close(ours)
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
    return Session(out=out.decode(), err=err + rest.decode(), status=process.returncode)


def press_until_it_ends(process, terminal):
    """Press Ctrl-C again, as a person would: Python drops it between the prompt and the reading."""
    for _ in range(SECONDS // PATIENCE):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=PATIENCE)
            return
        os.write(terminal, CTRL_C.encode())


def read_until(stream, text):
    """Return what a stream brings until it ends with a text."""
    found = b""
    end = time.monotonic() + SECONDS
    while not found.endswith(text.encode()):
        ready, _, _ = select.select([stream], [], [], end - time.monotonic())
        piece = os.read(stream.fileno(), 4096) if ready else b""
        assert piece, f"{text!r} did not come, but {found.decode()!r}"
        found += piece
    return found.decode()


def columns(demo):
    with sqlite3.connect(demo.directory / "db.sqlite3") as database:
        found = [row[1] for row in database.execute("PRAGMA table_info(todo_todo)")]
    database.close()
    return found


def values(demo, column):
    with sqlite3.connect(demo.directory / "db.sqlite3") as database:
        found = sorted(database.execute(f"SELECT {column} FROM todo_todo"))
    database.close()
    return [value for (value,) in found]


def test_yes_to_a_likely_rename(demo):
    demo.edit(RENAMED)
    session = at_terminal(demo, "autoupdate", answers=[(WAS_RENAMED, "y")])
    assert session.status == 0, session.err
    assert "~ Rename column todo_todo.desc to notes" in session.out
    assert "renamed" not in session.out
    assert session.err.startswith(WAS_RENAMED)
    assert values(demo, "notes") == ["", "two litres"]


def test_no_to_a_likely_rename(demo):
    demo.edit(RENAMED)
    session = at_terminal(demo, "autoupdate", answers=[(WAS_RENAMED, "n")])
    assert session.status == 0
    assert {"desc", "notes"} <= set(columns(demo))


def test_rename_and_value_one_after_the_other(demo):
    demo.edit((*RENAMED, *PRIORITY))
    answers = [(WAS_RENAMED, "y"), ("Select an option: ", "1"), (">>> ", "nonsense"), (">>> ", "2 + 3")]
    session = at_terminal(demo, "autoupdate", answers=answers)
    assert session.status == 0, session.err
    assert "Column todo_todo.priority is required and the table has 2 rows without a value for it." in session.err
    assert "NameError" in session.err
    assert values(demo, "priority") == [5, 5]
    assert values(demo, "notes") == ["", "two litres"]


def test_value_where_null_is_to_be_forbidden(demo):
    demo.edit(REQUIRED)
    session = at_terminal(demo, "autoupdate", answers=[("Select an option: ", "1"), (">>> ", "lambda: 1")])
    assert session.status == 0, session.err
    assert "Column todo_todo.todo_list_id is to forbid NULL, and it is NULL in 1 row (id 2)." in session.err
    assert values(demo, "todo_list_id") == [1, 1]


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ([("Select an option: ", "2")], 2),
        ([("Select an option: ", "1"), (">>> ", "exit")], 2),
        ([("Select an option: ", CTRL_C)], 130),
        ([("Select an option: ", "1"), (">>> ", CTRL_C)], 130),
        ([("Select an option: ", CTRL_D)], 2),
    ],
    ids=["quit", "exit", "interrupted", "interrupted at the value", "end"],
)
def test_leaving_a_question_changes_nothing(demo, answers, status):
    demo.edit(PRIORITY)
    before = columns(demo)
    session = at_terminal(demo, "autoupdate", answers=answers)
    assert session.status == status, session.err
    assert "Traceback" not in session.err
    assert "othing was" in session.err
    assert columns(demo) == before


def test_interrupt_at_a_likely_rename_changes_nothing(demo):
    demo.edit(RENAMED)
    session = at_terminal(demo, "autoupdate", answers=[(WAS_RENAMED, CTRL_C)])
    assert session.status == 130
    assert "nothing was changed" in session.err
    assert "notes" not in columns(demo)


def test_value_that_does_not_fit_is_an_error(demo):
    demo.edit(PRIORITY)
    session = at_terminal(demo, "autoupdate", answers=[("Select an option: ", "1"), (">>> ", "'much'")])
    assert session.status == 2
    assert "--default todo.Todo.priority=much" in session.err
    assert "priority" not in columns(demo)


@pytest.mark.parametrize("option", ["--noinput", "--dry-run", "--check", "--format=json"])
def test_nobody_is_asked(demo, option):
    demo.edit(RENAMED)
    session = at_terminal(demo, "autoupdate", option)
    assert "Was todo.Todo.desc renamed to todo.Todo.notes" not in session.err
    assert session.status == (1 if option == "--check" else 0)


def test_renamed_model(demo):
    demo.edit(((MODELS, "class TodoListImage", "class TodoListPicture"),))
    path = demo.directory / ADMIN
    path.write_text(path.read_text().replace("TodoListImage", "TodoListPicture"))
    row = "INSERT INTO todo_todolistimage (value, todo_list_id) SELECT 'x', id FROM todo_todolist"
    with sqlite3.connect(demo.directory / "db.sqlite3") as database:
        database.execute(row)
    database.close()
    question = "Was the model todo.TodoListImage renamed to TodoListPicture? [y/N] "
    session = at_terminal(demo, "autoupdate", answers=[(question, "yes")])
    assert session.status == 0, session.err
    assert "Rename table todo_todolistimage to todo_todolistpicture" in session.out


# The function that is asked


def filled(connection, state):
    autoupdate(using=connection.alias, apps=state.apps)
    state["Item"].objects.using(connection.alias).create(**{state["Item"]._meta.local_fields[1].name: "a"})


def test_ask_is_shown_the_plan_until_there_is_nothing_new(connection):
    filled(connection, item(title=models.CharField(max_length=9)))
    after = item(name=models.CharField(max_length=9), size=models.IntegerField())
    plans = []

    def ask(plan):
        plans.append(plan)
        if plan.likely_renames:
            return Answers(renames={likely.old: likely.new for likely in plan.likely_renames})
        return Answers(defaults={"shop.Item.size": 7})

    plan = autoupdate(using=connection.alias, apps=after.apps, ask=ask)
    assert [len(seen.refused) for seen in plans] == [2, 1, 0]
    assert not plan.refused
    assert list(after["Item"].objects.using(connection.alias).values_list("name", "size")) == [("a", 7)]


def test_ask_is_left_alone_where_nothing_differs_or_nothing_is_done(connection):
    state = item(title=models.CharField(max_length=9))

    def ask(plan):
        raise AssertionError("asked")

    autoupdate(using=connection.alias, apps=state.apps)
    autoupdate(using=connection.alias, apps=state.apps, ask=ask)
    autoupdate(using=connection.alias, apps=State(Other={}).apps, ask=ask, dry_run=True)
    assert is_actual(using=connection.alias, apps=state.apps)


def test_ask_without_an_answer_leaves_the_run_refused(connection):
    filled(connection, item(title=models.CharField(max_length=9)))
    before = fingerprint(connection)
    after = item(name=models.CharField(max_length=9))
    with pytest.raises(Refused):
        autoupdate(using=connection.alias, apps=after.apps, ask=lambda plan: None)
    assert fingerprint(connection) == before
