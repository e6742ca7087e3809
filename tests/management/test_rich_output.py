"""Plans, questions and progress as a terminal with colours shows them, at a pseudo-terminal."""

import os
import pty
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from automigrate_ext import RunProgress
from automigrate_ext.management.progress_display import ProgressDisplay
from tests import readme
from tests.captures import PICTURES, PLAN, picture_of_plan, text_of
from tests.terminals import CTRL_C, at_terminal
from tests.test_docs import IS_COMPLETE, MODELS, Demo

ESCAPE = "\x1b["
ERASE_LINE = "\x1b[2K"
HIDE_CURSOR = "\x1b[?25l"
#: A default that takes longer than anybody waits.
SLOW = (
    (MODELS, "from django.db import models\n", "import time\nfrom django.db import models\n"),
    (MODELS, "class TodoList(", "def slow():\n    time.sleep(20)\n    return 1\n\n\nclass TodoList("),
    (MODELS, IS_COMPLETE, IS_COMPLETE + "    slow = models.IntegerField(default=slow)\n"),
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Return a demo with rows, and with the README's changes to its models."""
    demo = Demo(tmp_path_factory.mktemp("demo"))
    readme.follow(demo)
    return demo


@contextmanager
def showing(demo, *arguments, width=80, **environment):
    command = [sys.executable, "manage.py", *arguments]
    with at_terminal(command, demo.directory, demo.environment | environment, width=width) as terminal:
        yield terminal


def shown(demo, *arguments, **options):
    """Return what a command shows from its start to its end, and its exit status."""
    with showing(demo, *arguments, **options) as terminal:
        status = terminal.wait()
    return terminal.shown.replace("\r\n", "\n"), status


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


# Plans


def test_plan_is_a_tree_in_colours_that_keeps_within_the_terminal(filled):
    text, status = shown(filled, "autoupdate", "--dry-run", width=60)
    assert status == 2
    assert f"{ESCAPE}1;32m+" in text and f"{ESCAPE}1;31m!" in text
    lines = plain(text).splitlines()
    assert "├── + Add column todo_todo.due date" in lines
    assert "└── = Keep column todo_todolist.color (1 value, now" in lines and "      nullable)" in lines
    assert [line for line in lines if "--accept-data-loss" in line] == [
        "autoupdate --accept-data-loss drops what is kept."
    ]
    assert max(map(len, lines)) <= 60


def test_without_colours_a_terminal_shows_what_a_file_gets(filled):
    in_file = filled.run("autoupdate", "--dry-run")
    assert shown(filled, "autoupdate", "--dry-run", NO_COLOR="1") == (in_file, 2)
    assert shown(filled, "autoupdate", "--dry-run", "--no-color") == (in_file, 2)


def test_refused_run_shows_its_reasons_as_a_tree(filled):
    text, status = shown(filled, "autoupdate", "--noinput", width=100)
    assert status == 2
    lines = plain(text).splitlines()
    assert lines[:2] == [
        "todo_todo",
        "└── ! Column todo_todo.priority is required and the table has 2 rows without a value for it. Give",
    ]
    assert lines[-1] == "CommandError: Refused: 1 of 5 changes; nothing was done."


def test_picture_of_the_readme_is_what_a_terminal_shows(filled):
    assert text_of(PLAN.read_text()) == text_of(picture_of_plan(filled)), "run python -m tests.captures"


def test_pictures_load_nothing():
    for picture in PICTURES.rglob("*.svg"):
        assert re.findall(r"https?://[^\"' )]+", picture.read_text()) == ["http://www.w3.org/2000/svg"]


def test_question_of_automigrate_has_a_table_of_rows(filled):
    with showing(filled, "automigrate", "todo") as terminal:
        terminal.read_until("to cancel:")
        terminal.type("no\n")
        assert terminal.wait() == 0
    rows = [line.split() for line in plain(terminal.shown).splitlines()]
    assert ["todo_todolist", "1"] in rows and ["todo_todo", "2"] in rows and ["Total", "3"] in rows


# Progress


class Screen:
    """A terminal in this process, and what has been written to it."""

    def __init__(self):
        ours, theirs = pty.openpty()
        self.stream = os.fdopen(theirs, "w")
        self.text = ""
        self.ours = ours
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while True:
            try:
                piece = os.read(self.ours, 4096)
            except OSError:
                return
            self.text += piece.decode()

    def await_text(self, text):
        deadline = time.monotonic() + 30
        while text not in self.text:
            assert time.monotonic() < deadline, f"no {text!r} in {self.text!r}"
            time.sleep(0.01)

    def close(self):
        self.stream.close()
        self.reader.join(30)
        os.close(self.ours)


@pytest.fixture
def screen(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    made = Screen()
    yield made
    made.close()


def begun(finished=1, **rows):
    return RunProgress(
        alias="default", finished=finished, statements=3, table="todo_todo", sql='ALTER TABLE "todo_todo"', **rows
    )


def test_progress_is_shown_and_gone_at_the_end(screen):
    display = ProgressDisplay(screen.stream, colour=True, after=0)
    display.label = "[logs] "
    display(begun())
    screen.await_text("[logs] Statement 2 of 3 on todo_todo: running for 0:00:00")
    screen.await_text('ALTER TABLE "todo_todo"')
    display(begun(rows=10, rows_done=5))
    screen.await_text("5 of 10 rows, 0:00:0")
    screen.await_text("━━━")
    display(RunProgress(alias="default", finished=3, statements=3))
    assert display.timer is display.live is None
    screen.close = lambda: None
    screen.stream.close()
    screen.reader.join(30)
    assert screen.text.endswith(ERASE_LINE)
    assert HIDE_CURSOR not in screen.text
    os.close(screen.ours)


def test_short_run_shows_nothing(screen):
    display = ProgressDisplay(screen.stream, colour=True, after=30)
    display(begun())
    timer = display.timer
    display(RunProgress(alias="default", finished=3, statements=3))
    timer.join(30)
    assert screen.text == ""


def test_hidden_progress_comes_back_with_the_next_one(screen):
    display = ProgressDisplay(screen.stream, colour=False, after=0)
    display(begun())
    screen.await_text("Statement 2 of 3")
    display.hide()
    display(begun(2))
    screen.await_text("Statement 3 of 3")
    display.hide()
    display.hide()


def test_interrupted_run_leaves_the_terminal_clean(filled, tmp_path):
    demo = Demo(tmp_path)
    shutil.copy(filled.directory / "db.sqlite3", tmp_path)
    demo.edit(SLOW)
    with showing(demo, "autoupdate", "--noinput") as terminal:
        terminal.read_until("Statement ")
        terminal.type(CTRL_C)
        assert terminal.wait() == 130
    before, _, after = terminal.shown.rpartition(ERASE_LINE)
    assert " on todo_todo: " in before
    assert plain(after).strip() == "Interrupted; nothing was changed."
    assert HIDE_CURSOR not in terminal.shown


# Completion


@pytest.mark.parametrize(
    ("command", "typed", "completed"), [("autoupdate", "--ren", "--rename="), ("automigrate", "--casc", "--cascade")]
)
def test_shell_completes_options(command, typed, completed):
    environment = os.environ | {
        "DJANGO_AUTO_COMPLETE": "1",
        "COMP_WORDS": f"manage.py {command} {typed}",
        "COMP_CWORD": "2",
        "DJANGO_SETTINGS_MODULE": "todo_demo.settings",
    }
    done = subprocess.run([sys.executable, "manage.py"], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == [completed]
