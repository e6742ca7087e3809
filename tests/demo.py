"""A copy of the demo project that a test may edit, and its development server."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
#: Seconds until a server has started, or started anew.
START_TIMEOUT = 60


class Demo:
    """A copy of the demo project with a SQLite database of its own, or on the one of a URL."""

    def __init__(self, directory, database_url=None):
        self.directory = directory
        shutil.copytree(ROOT / "todo_demo", directory / "todo_demo", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "manage.py", directory)
        kept = {
            name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "DEBUG", "FORCE_COLOR")
        }
        self.environment = {
            **kept,
            "DJANGO_SETTINGS_MODULE": "todo_demo.settings",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            **({"DATABASE_URL": database_url} if database_url else {}),
        }

    def run(self, *arguments, answer=""):
        """What a command prints, errors included, in the order in which it does."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.directory,
            env=self.environment,
            input=answer,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
        ).stdout

    def edit(self, edits):
        for name, old, new in edits:
            path = self.directory / name
            text = path.read_text()
            assert old in text, f"{name} lacks {old!r}"
            path.write_text(text.replace(old, new, 1))


def execute(demo, *command):
    """What a program prints, which has to end well."""
    path = os.pathsep.join([str(Path(sys.executable).parent), demo.environment["PATH"]])
    done = subprocess.run(
        command,
        cwd=demo.directory,
        env=demo.environment | {"PATH": path},
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def shell(demo, script):
    return execute(demo, "bash", "-euc", script)


class DemoServer:
    """The development server of a copy of the demo, which it reloads when that is edited."""

    def __init__(self, demo):
        self.demo = demo
        self.log = demo.directory / "server.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "runserver", "127.0.0.1:0"],
                cwd=demo.directory,
                env=demo.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.await_start(1)

    def addresses(self):
        """Where it has listened, the latest last."""
        return re.findall(r"Starting .*development server at (http://\S+)", self.log.read_text())

    def await_start(self, number):
        """Wait until it has started for the n-th time."""
        deadline = time.monotonic() + START_TIMEOUT
        while len(self.addresses()) < number:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    @property
    def address(self):
        return self.addresses()[-1]

    def edit(self, edits):
        """Edit the demo's files, and wait until the server has them."""
        before = len(self.addresses())
        self.demo.edit(edits)
        self.await_start(before + 1)

    def stop(self):
        # The one that reloads leads a group of its own, with the one that serves.
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def serving(demo) -> Iterator[DemoServer]:
    """Yield the demo's development server, which runs until the block ends."""
    server = DemoServer(demo)
    try:
        yield server
    finally:
        server.stop()
