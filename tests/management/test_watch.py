"""`autoupdate --watch`: what a save of the models does to the database, in a real process."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from automigrate_ext.management.watch import SourceWatcher, is_project_file
from tests.management.test_commands import run
from tests.terminals import at_terminal

ROOT = Path(__file__).parent.parent.parent
SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ["automigrate_ext", "shelf"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# No run needs what requests are answered by.
ROOT_URLCONF = "shelf.there_is_no_such_module"
"""
MODELS = "from django.db import models\n\n\nclass Book(models.Model):\n    title = models.CharField(max_length=50)\n"
WAITING = "Waiting for changes"
WATCH = [sys.executable, "-m", "django", "autoupdate", "--watch"]


class Shelf:
    """A project whose only app has one model."""

    def __init__(self, directory):
        self.directory = directory
        (directory / "shelf").mkdir()
        (directory / "shelf" / "__init__.py").touch()
        (directory / "shelf_settings.py").write_text(SETTINGS)
        self.models = directory / "shelf" / "models.py"
        self.models.write_text(MODELS)
        paths = os.pathsep.join([str(directory), str(ROOT)])
        self.environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "shelf_settings", "PYTHONPATH": paths}

    def execute(self, statement):
        with closing(sqlite3.connect(self.directory / "db.sqlite3")) as connection, connection:
            return connection.execute(statement).fetchall()


class Watched(Shelf):
    """The project, and the process that watches it."""

    def __init__(self, directory, *options, preexec_fn=None):
        super().__init__(directory)
        self.runs = 0
        self.output = directory / "output"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [*WATCH, *options],
                env=self.environment,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=preexec_fn,
            )

    def done(self):
        """Return what the next run prints, once it is done."""
        self.runs += 1
        return self.await_text(WAITING, self.runs).split(WAITING)[self.runs - 1]

    def await_text(self, text, number=1):
        """Return all that was printed, once the text is in it so many times."""
        deadline = time.monotonic() + 60
        while (found := self.output.read_text()).count(text) < number:
            assert self.process.poll() is None and time.monotonic() < deadline, found
            time.sleep(0.02)
        return found

    def save(self, text):
        """Save the models; return what the run prints that follows."""
        self.models.write_text(text)
        return self.done()


@pytest.fixture
def watched(tmp_path):
    started = []

    def start(*options, **arguments):
        started.append(Watched(tmp_path, *options, **arguments))
        return started[0]

    yield start
    for each in started:
        if each.process.poll() is None:
            os.killpg(each.process.pid, signal.SIGKILL)
        each.process.wait()


def test_saves_are_followed_by_a_run(watched):
    project = watched()
    assert "Create table shelf_book" in project.done()
    project.execute("INSERT INTO shelf_book (title) VALUES ('Emma')")

    pages = f"{MODELS}    pages = models.IntegerField(null=True)\n"
    said = project.save(pages)
    assert "models.py has changed" in said and "+ Add column shelf_book.pages" in said
    assert project.execute("SELECT title, pages FROM shelf_book") == [("Emma", None)]

    assert "SyntaxError" in project.save(f"{pages}    author = models.CharField(\n")

    said = project.save(f"{pages}    author = models.CharField(max_length=50)\n")
    assert "Column shelf_book.author is required" in said and "Nothing was done" in said

    project.execute("UPDATE shelf_book SET pages = 474")
    assert "= Keep column shelf_book.pages (1 value)" in project.save(MODELS)
    assert project.execute("SELECT pages FROM shelf_book") == [(474,)]

    # As a terminal does it; the next process is loading libraries.
    os.killpg(project.process.pid, signal.SIGINT)
    assert project.process.wait(timeout=60) == 130
    assert "KeyboardInterrupt" not in project.output.read_text()


def test_questions_are_asked_at_a_terminal(tmp_path):
    project = Shelf(tmp_path)
    with at_terminal(WATCH, tmp_path, project.environment) as terminal:
        terminal.read_until(WAITING)
        project.execute("INSERT INTO shelf_book (title) VALUES ('Emma')")

        renamed = MODELS.replace("title", "name")
        project.models.write_text(renamed)
        terminal.read_until("Was shelf.Book.title renamed to shelf.Book.name (a CharField)? [y/N]")
        terminal.type("y\n")
        terminal.read_until("Rename column shelf_book.title to name")
        terminal.read_until(WAITING, 2)
        assert project.execute("SELECT name FROM shelf_book") == [("Emma",)]

        project.models.write_text(f"{renamed}    pages = models.IntegerField()\n")
        terminal.read_until("1 row needs a value of shelf.Book.pages. It takes a whole number.")
        terminal.read_until("shelf.Book.pages = ")
        terminal.type("474\n")
        terminal.read_until(WAITING, 3)
        assert project.execute("SELECT name, pages FROM shelf_book") == [("Emma", 474)]
        assert "autoupdate --default shelf.Book.pages=474" in terminal.shown

        project.models.write_text(f"{renamed}    leaves = models.IntegerField()\n")
        terminal.read_until("Was shelf.Book.pages renamed")
        assert terminal.interrupt() == 130
    assert "Interrupted; nothing was changed." in terminal.shown
    assert project.execute("SELECT name, pages FROM shelf_book") == [("Emma", 474)]


def test_interrupt_ends_a_run_that_waits(watched):
    project = watched()
    with closing(sqlite3.connect(project.directory / "db.sqlite3", isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        project.await_text("Waiting for another run")
        project.process.send_signal(signal.SIGINT)
        assert project.process.wait(timeout=60) == 130
        assert "Interrupted; nothing was changed." in project.output.read_text()


def test_interrupt_ends_a_process_in_the_background(watched):
    # A shell without job control starts what ends in "&" with Ctrl-C ignored, and Python leaves that as it is.
    project = watched(preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    project.done()
    os.killpg(project.process.pid, signal.SIGINT)
    assert project.process.wait(timeout=60) == 130
    assert "KeyboardInterrupt" not in project.output.read_text()


#: Is in the middle of something that Ctrl-C does not end at once.
DEAF = """
import os, signal, time

if "AUTOMIGRATE_EXT_WATCHED" in os.environ:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("deaf", flush=True)
    time.sleep(2)
"""


def test_interrupt_again_waits_for_the_end_too(watched):
    project = watched()
    project.done()
    project.models.write_text(MODELS + DEAF)
    project.await_text("deaf")
    for _ in range(3):
        project.process.send_signal(signal.SIGINT)
        time.sleep(0.4)
    assert project.process.wait(timeout=60) == 130
    assert "KeyboardInterrupt" not in project.output.read_text()


def test_dry_run_only_says(watched):
    project = watched("--dry-run")
    assert "Create table shelf_book" in project.done()
    assert "Add" not in project.save(f"{MODELS}    pages = models.IntegerField(null=True)\n")
    assert project.execute("SELECT name FROM sqlite_master") == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"check": True}, "leave out --check"),
        ({"plan": "plan.json", "format": "json"}, "leave out --plan, --format"),
        ({}, "for the command line"),
    ],
)
def test_watch_goes_with_neither_check_nor_plan_nor_machines(options, words):
    _, err, status = run("autoupdate", watch=True, **options)
    assert status == 2
    assert words in err


def test_what_is_loaded_beforehand_is_what_a_run_loads(tmp_path):
    program = (
        "import django, sys; from automigrate_ext.management.preload import MODULES\n"
        "from django.core.management import call_command\n"
        "django.setup(); call_command('autoupdate', verbosity=0, skip_checks=False)\n"
        "assert not {*MODULES} - {*sys.modules}, {*MODULES} - {*sys.modules}"
    )
    environment = {"DJANGO_SETTINGS_MODULE": "todo_demo.settings", "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_watcher_scans_the_project_alone():
    files = set(SourceWatcher().watched_files())
    assert ROOT / "todo_demo" / "todo" / "models.py" in files
    assert all(map(is_project_file, files))
    assert not is_project_file(Path(pytest.__file__))
