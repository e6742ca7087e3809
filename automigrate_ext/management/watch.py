"""Follow the files of a project, and run a command anew in a process of its own whenever one is saved."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import connections
from django.utils.autoreload import StatReloader, iter_all_python_module_files

from automigrate_ext.backends import BACKENDS
from automigrate_ext.management import prepared
from automigrate_ext.management.base import INTERRUPTED

#: Seconds between two looks at the files, and from the one that found a change to the run: who writes a file in pieces
#: is done by then.
PAUSE, SETTLE = 0.1, 0.03
#: Set in the environment of the processes that are run, for which --watch means nothing.
FOLLOWED = "AUTOMIGRATE_EXT_FOLLOWED"
#: Where Python keeps what is nobody's project.
LIBRARIES = tuple({Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class Follower(StatReloader):
    """Django's reloader, which says what changed instead of ending the process.

    It follows the modules that are loaded, and all Python files of the apps; libraries that are installed are left
    out, so that a look at all of them is quick enough to be taken often.
    """

    @property
    def SLEEP_TIME(self) -> float:  # type: ignore[override]
        return PAUSE if self.changed is None else SETTLE

    def __init__(self) -> None:
        super().__init__()
        self.changed: Path | None = None
        self.modules = [path for path in iter_all_python_module_files() if is_of_project(path)]
        for app_config in apps.get_app_configs():
            if is_of_project(Path(app_config.path)):
                self.watch_dir(app_config.path, "**/*.py")

    def watched_files(self, include_globs: bool = True) -> Iterator[Path]:
        yield from self.modules
        for directory, patterns in self.directory_globs.items():
            for pattern in patterns:
                yield from directory.glob(pattern)

    def notify_file_changed(self, path: Any) -> None:
        self.changed = Path(path)


def is_of_project(path: Path) -> bool:
    """Whether a file is none of a library's."""
    return not any(path.is_relative_to(library) for library in LIBRARIES)


def follow(command: Sequence[str], tell: Callable[[str], None]) -> int:
    """Run the command, and again after every change of a file, until Ctrl-C; returns the exit status.

    What is saved while it runs makes it run once more. A command that fails, as where a file has a syntax error,
    says so itself, and the next change is waited for.
    """
    follower = Follower()
    looks = follower.tick()
    process = Process(command)
    try:
        next(looks)
        while process.run() != INTERRUPTED:
            # In this order, so that a Ctrl-C after the line finds a process that is complete.
            process = Process(command)
            tell("Waiting for changes to the models; Ctrl-C ends it.")
            while follower.changed is None:
                next(looks)
            tell(f"{display(follower.changed)} has changed.")
            follower.changed = None
    except KeyboardInterrupt:
        pass
    finally:
        process.end()
    return INTERRUPTED


class Process:
    """A process for one run of a command, which loads libraries beforehand where a pipe can tell it when to go on."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = command
        self.environment = {**os.environ, FOLLOWED: "1"}
        self.pipe: int | None = None
        self.process = self.prepare() if os.name == "posix" else None

    def prepare(self) -> subprocess.Popen[bytes]:
        """Start the process that waits."""
        python, *rest = self.command
        options = list(takewhile(lambda word: word.startswith(("-W", "-X")), rest))
        modules = ",".join(dict.fromkeys([*prepared.MODULES, *drivers()]))
        reading, self.pipe = os.pipe()
        try:
            words = [python, *options, "-m", prepared.__name__, str(reading), modules, *rest[len(options) :]]
            return subprocess.Popen(words, env=self.environment, pass_fds=[reading], preexec_fn=ignore_interrupts)
        finally:
            os.close(reading)

    def run(self) -> int:
        """Let it run; returns the exit status. Ctrl-C ends it too."""
        self.process = self.process or subprocess.Popen(self.command, env=self.environment)
        self.tell(b"go")
        try:
            return self.process.wait()
        except KeyboardInterrupt:
            self.interrupt()
            raise

    def end(self) -> None:
        """Wait for its end, however often Ctrl-C is pressed; one that has not been told to run is ended."""
        if self.process is None:
            return
        if self.pipe is not None:
            self.process.kill()
            self.tell(b"")
        while self.process.returncode is None:
            try:
                self.process.wait()
            except KeyboardInterrupt:
                self.interrupt()

    def interrupt(self) -> None:
        """Let it know of Ctrl-C: a terminal tells all processes in front; from elsewhere only this one was told."""
        if self.process is not None and not sys.stdin.isatty():
            self.process.send_signal(signal.SIGINT)

    def tell(self, word: bytes) -> None:
        """Send the one word that it waits for, or none, and close the pipe; one that failed to load listens no more."""
        if self.pipe is not None:
            with suppress(BrokenPipeError):
                os.write(self.pipe, word)
            os.close(self.pipe)
            self.pipe = None


def drivers() -> Iterator[str]:
    """The modules that speak to the project's databases, Django's and ours."""
    for alias in connections:
        connection = connections[alias]
        yield f"{connection.settings_dict['ENGINE']}.base"
        if connection.vendor in BACKENDS:
            yield BACKENDS[connection.vendor].rpartition(".")[0]


def ignore_interrupts() -> None:
    """Let Ctrl-C pass a new process by, from its very beginning."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def display(path: Path) -> str:
    """A path as short as it can be."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
