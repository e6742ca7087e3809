"""The questions of autoupdate at a terminal, asked of the demo project through a pseudo-terminal."""

import contextlib
import fcntl
import os
import pty
import re
import select
import sqlite3
import subprocess
import sys
import termios
import time
from dataclasses import dataclass

import pytest
from django.db import models

from automigrate_ext import Answers, Refused, UnusablePlan, autoupdate, is_actual
from tests.acceptance.helper import State, fingerprint, item
from tests.test_docs import ADMIN, IS_COMPLETE, MODELS, ROWS, Demo

SECONDS = 60
#: Seconds until Ctrl-C is pressed again.
PATIENCE = 10
RENAMED = ((MODELS, "    desc = ", "    notes = "), (ADMIN, '"desc"', '"notes"'))
PRIORITY = ((MODELS, IS_COMPLETE, IS_COMPLETE + "    priority = models.PositiveSmallIntegerField()\n"),)
REQUIRED = ((MODELS, "        null=True,\n        blank=True,\n", ""),)
WAS_RENAMED = "Was todo.Todo.desc renamed to todo.Todo.notes (a TextField)? [y/N] "
PRIORITY_IS, LIST_IS = "todo.Todo.priority = ", "todo.Todo.todo_list = "
AGAIN = "The same without questions: python manage.py autoupdate"
SETTINGS = "todo_demo/settings.py"
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


def at_terminal(demo, *arguments, answers=(), pause=0):
    """Run a command whose standard input is a terminal; answer each prompt that is waited for, after a pause.

    An answer that is a function is called for the text.
    """
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
            time.sleep(pause)
            answer = answer() if callable(answer) else answer
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
    assert session.err.index("+ Add column todo_todo.notes") < session.err.index(WAS_RENAMED)
    assert "Then pass" not in session.err
    assert values(demo, "notes") == ["", "two litres"]
    assert session.err.endswith(f"{AGAIN} --rename todo.Todo.desc=notes\n")


def test_no_to_a_likely_rename(demo):
    demo.edit(RENAMED)
    session = at_terminal(demo, "autoupdate", answers=[(WAS_RENAMED, "maybe"), (WAS_RENAMED, "No")])
    assert session.status == 0
    assert "Please answer yes or no." in session.err and AGAIN not in session.err
    assert {"desc", "notes"} <= set(columns(demo))


def test_rename_and_value_one_after_the_other(demo):
    demo.edit((*RENAMED, *PRIORITY))
    answers = [(WAS_RENAMED, "y"), (PRIORITY_IS, "much"), (PRIORITY_IS, "-1"), (PRIORITY_IS, "5")]
    session = at_terminal(demo, "autoupdate", answers=answers)
    assert session.status == 0, session.err
    assert "2 rows need a value of todo.Todo.priority. It takes a whole number, 0 or more." in session.err
    assert "must be an integer" in session.err and "greater than or equal to 0" in session.err
    assert values(demo, "priority") == [5, 5]
    assert values(demo, "notes") == ["", "two litres"]
    assert session.err.endswith(f"{AGAIN} --rename todo.Todo.desc=notes --default todo.Todo.priority=5\n")


def test_value_where_null_is_to_be_forbidden(demo):
    demo.edit(REQUIRED)
    session = at_terminal(demo, "autoupdate", answers=[(LIST_IS, "77"), (LIST_IS, "1")])
    assert session.status == 0, session.err
    assert "Column todo_todo.todo_list_id is to forbid NULL, and it is NULL in 1 row (id 2)." in session.err
    assert (
        "1 row needs a value of todo.Todo.todo_list. It takes the id of a todo.TodoList, a whole number" in session.err
    )
    assert "at nothing through its foreign key" in session.err
    assert values(demo, "todo_list_id") == [1, 1]


def test_value_is_asked_for_beside_what_no_answer_resolves(demo):
    """What has to be unique is refused; the answer is kept in the command that is printed."""
    demo.edit((*PRIORITY, (MODELS, IS_COMPLETE, IS_COMPLETE.replace("default=False", "default=False, unique=True"))))
    session = at_terminal(demo, "autoupdate", answers=[(PRIORITY_IS, "5")])
    assert session.status == 2
    assert "the same values for its unique constraint" in session.err
    assert session.err.rstrip().endswith(f"{AGAIN} --default todo.Todo.priority=5")
    assert "priority" not in columns(demo)


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ([("todo.Todo.priority = ", "")], 2),
        ([("todo.Todo.priority = ", "much"), ("todo.Todo.priority = ", "")], 2),
        ([("todo.Todo.priority = ", CTRL_C)], 130),
        ([("todo.Todo.priority = ", CTRL_D)], 2),
    ],
    ids=["left", "left after a wrong value", "interrupted", "end"],
)
def test_leaving_a_question_changes_nothing(demo, answers, status):
    demo.edit(PRIORITY)
    before = columns(demo)
    session = at_terminal(demo, "autoupdate", answers=answers)
    assert session.status == status, session.err
    assert "Traceback" not in session.err and AGAIN not in session.err
    assert "othing was" in session.err
    assert columns(demo) == before


def test_interrupt_at_a_likely_rename_changes_nothing(demo):
    demo.edit(RENAMED)
    session = at_terminal(demo, "autoupdate", answers=[(WAS_RENAMED, CTRL_C)])
    assert session.status == 130
    assert "nothing was changed" in session.err
    assert "notes" not in columns(demo)


# Whether to carry it out


def test_plan_is_carried_out_if_the_answer_is_yes(demo):
    demo.edit(((MODELS, IS_COMPLETE, IS_COMPLETE + "    due = models.DateField(null=True)\n"),))
    session = at_terminal(demo, "autoupdate", "--ask", answers=[("Apply this change? [y/N] ", "n")])
    assert session.status == 0 and session.err.endswith("Cancelled; no table was changed.\n")
    assert session.err.index("+ Add column todo_todo.due") < session.err.index("Apply this")
    assert "due" not in columns(demo) and not session.out
    session = at_terminal(demo, "autoupdate", "--ask", answers=[("Apply this change? [y/N] ", "y")])
    assert session.status == 0 and "1 change applied" in session.out
    assert "due" in columns(demo)
    assert at_terminal(demo, "autoupdate", "--ask").status == 0


def test_setting_asks_and_answering_takes_no_time_of_the_run(demo):
    demo.edit((*RENAMED, (SETTINGS, "INSTALLED_APPS = [", 'AUTOMIGRATE = {"ASK": True}\nINSTALLED_APPS = [')))
    answers, pause = [(WAS_RENAMED, "y"), ("Apply this change? [y/N] ", "yes")], 4
    session = at_terminal(demo, "autoupdate", answers=answers, pause=pause)
    assert session.status == 0, session.err
    assert 0 < float(re.search(r"applied in (.*) s", session.out)[1]) < pause
    assert at_terminal(demo, "autoupdate", "--noinput").status == 0


def test_nothing_is_asked_without_need(demo):
    demo.edit(((MODELS, IS_COMPLETE, IS_COMPLETE + "    due = models.DateField(null=True)\n"),))
    session = at_terminal(demo, "autoupdate")
    assert (session.status, session.err) == (0, "")


def test_plan_is_not_carried_out_if_the_database_has_changed_at_the_question(demo):
    demo.edit(((MODELS, IS_COMPLETE, IS_COMPLETE + "    due = models.DateField(null=True)\n"),))

    def meanwhile():
        with sqlite3.connect(demo.directory / "db.sqlite3") as database:
            database.execute("ALTER TABLE todo_todolist DROP COLUMN color")
        database.close()
        return "y"

    session = at_terminal(demo, "autoupdate", "--ask", answers=[("Apply this change? [y/N] ", meanwhile)])
    assert session.status == 2
    assert "The plan no longer holds" in session.err and "todo_todolist.color" in session.err
    assert "due" not in columns(demo)


@pytest.mark.parametrize("options", [["--ask"], ["--ask", "--noinput"], ["--ask", "--format", "json"]])
def test_ask_where_nobody_can_answer_is_an_error(demo, options):
    demo.edit(((MODELS, IS_COMPLETE, IS_COMPLETE + "    due = models.DateField(null=True)\n"),))
    printed = demo.run("autoupdate", *options)
    assert "--ask: there is nobody to answer" in printed and "Traceback" not in printed
    assert "due" not in columns(demo)


def test_ask_changes_nothing_of_what_only_looks(demo):
    assert "--ask" not in demo.run("autoupdate", "--ask", "--dry-run")


# Who is not asked


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


def test_ask_is_called_again_for_a_value_that_is_no_good(connection):
    filled(connection, item(title=models.CharField(max_length=9)))
    after = item(title=models.CharField(max_length=9), first=models.ForeignKey("self", models.CASCADE))
    first, faults = after["Item"].objects.using(connection.alias).values_list("pk", flat=True).get(), []

    def ask(plan):
        (missing,) = plan.missing_values or (None,)
        faults.append(missing and missing.fault)
        return missing and Answers(defaults={missing.field: first if len(faults) > 1 else 77})

    autoupdate(using=connection.alias, apps=after.apps, ask=ask)
    assert len(faults) == 3 and faults[0] == "" and faults[2] is None
    assert "shop_item has 1 row that points at nothing through its foreign key" in faults[1]
    assert after["Item"].objects.using(connection.alias).get().first_id == first


def test_ask_for_the_plan_as_it_was_shown(connection):
    filled(connection, item(title=models.CharField(max_length=9)))
    after = item(title=models.CharField(max_length=9), size=models.IntegerField(default=1))
    seen = []

    def ask(plan):
        seen.append(plan)
        return Answers(exactly=True)

    plan = autoupdate(using=connection.alias, apps=after.apps, ask=ask)
    assert len(seen) == 1 and plan.statements == seen[0].statements
    assert is_actual(using=connection.alias, apps=after.apps)


def test_plan_that_changes_after_it_was_shown_is_not_carried_out(connection):
    filled(connection, item(title=models.CharField(max_length=9)))
    after = item(title=models.CharField(max_length=9), size=models.IntegerField(default=1))

    def ask(plan):
        # Somebody else is faster.
        autoupdate(using=connection.alias, apps=item(title=models.CharField(max_length=90)).apps)
        return Answers(exactly=True)

    with pytest.raises(UnusablePlan, match="no longer holds"):
        autoupdate(using=connection.alias, apps=after.apps, ask=ask)
    assert not is_actual(using=connection.alias, apps=after.apps)


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
