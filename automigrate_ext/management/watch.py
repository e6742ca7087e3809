"""Watch the files of a project, and run a command again in a process of its own whenever one is saved."""

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
from automigrate_ext.management import preload
from automigrate_ext.management.exit_status import INTERRUPTED
from automigrate_ext.process import WATCHED

#: Seconds between two scans of the files, and from the scan that found a change to the run: an editor that writes a
#: file in pieces is done by then.
PAUSE, SETTLE = 0.1, 0.03
#: The directories of Python's own and of installed libraries.
LIBRARIES = tuple({Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class SourceWatcher(StatReloader):
    """Django's reloader, which keeps the file that changed instead of ending the process.

    It watches the modules that are loaded, and all Python files of the apps; installed libraries are left out, so that
    a scan is quick enough to be done often.
    """

    @property
    def SLEEP_TIME(self) -> float:  # type: ignore[override]
        return PAUSE if self.changed is None else SETTLE

    def __init__(self) -> None:
        super().__init__()
        self.changed: Path | None = None
        self.modules = [path for path in iter_all_python_module_files() if is_project_file(path)]
        for app_config in apps.get_app_configs():
            if is_project_file(Path(app_config.path)):
                self.watch_dir(app_config.path, "**/*.py")

    def watched_files(self, include_globs: bool = True) -> Iterator[Path]:
        yield from self.modules
        for directory, patterns in self.directory_globs.items():
            for pattern in patterns:
                yield from directory.glob(pattern)

    def notify_file_changed(self, path: Any) -> None:
        self.changed = Path(path)


def is_project_file(path: Path) -> bool:
    """Return whether a file belongs to no library."""
    return not any(path.is_relative_to(library) for library in LIBRARIES)


def watch(command: Sequence[str], notify: Callable[[str], None]) -> int:
    """Run the command, and again after every change of a file, until Ctrl-C; return the exit status.

    A file that is saved while the command runs makes it run once more. A command that fails, as where a file has a
    syntax error, prints its own error, and the next change is waited for. `notify` is called with what is waited for.
    """
    heed_interrupts()
    watcher = SourceWatcher()
    scans = watcher.tick()
    process = CommandProcess(command)
    try:
        next(scans)
        while process.run() != INTERRUPTED:
            # Before the line is printed, so that Ctrl-C after it finds a process that is complete.
            process = CommandProcess(command)
            notify("Waiting for changes to the models; Ctrl-C ends it.")
            while watcher.changed is None:
                next(scans)
            notify(f"{relative_path(watcher.changed)} has changed.")
            watcher.changed = None
    except KeyboardInterrupt:
        pass
    finally:
        process.end()
    return INTERRUPTED


class CommandProcess:
    """A process for one run of a command, which loads libraries beforehand where it can wait for a pipe."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = command
        self.environment = {**os.environ, WATCHED: "1"}
        self.pipe: int | None = None
        self.process = self.preload() if os.name == "posix" else None

    def preload(self) -> subprocess.Popen[bytes]:
        """Start the process that loads libraries and waits."""
        python, *rest = self.command
        options = list(takewhile(lambda word: word.startswith(("-W", "-X")), rest))
        modules = ",".join(dict.fromkeys([*preload.MODULES, *database_modules()]))
        reading, self.pipe = os.pipe()
        try:
            words = [python, *options, "-m", preload.__name__, str(reading), modules, *rest[len(options) :]]
            return subprocess.Popen(words, env=self.environment, pass_fds=[reading], preexec_fn=ignore_interrupts)
        finally:
            os.close(reading)

    def run(self) -> int:
        """Run the command to its end; return the exit status. Ctrl-C ends the process too."""
        self.process = self.process or subprocess.Popen(self.command, env=self.environment)
        self.send(b"go")
        try:
            return self.process.wait()
        except KeyboardInterrupt:
            self.interrupt()
            raise

    def end(self) -> None:
        """Wait until the process ends, however often Ctrl-C is pressed; kill it where its command has not begun."""
        if self.process is None:
            return
        if self.pipe is not None:
            self.process.kill()
            self.send(b"")
        while self.process.returncode is None:
            try:
                self.process.wait()
            except KeyboardInterrupt:
                self.interrupt()

    def interrupt(self) -> None:
        """Pass Ctrl-C on, unless a terminal has done so: it signals all processes in the foreground."""
        if self.process is not None and not sys.stdin.isatty():
            self.process.send_signal(signal.SIGINT)

    def send(self, word: bytes) -> None:
        """Send the word that the process waits for, or none, and close the pipe.

        A process that failed to load its modules has closed its end.
        """
        if self.pipe is not None:
            with suppress(BrokenPipeError):
                os.write(self.pipe, word)
            os.close(self.pipe)
            self.pipe = None


def database_modules() -> Iterator[str]:
    """Yield the modules of Django and of this package that the project's databases need."""
    for alias in connections:
        connection = connections[alias]
        yield f"{connection.settings_dict['ENGINE']}.base"
        if connection.vendor in BACKENDS:
            yield BACKENDS[connection.vendor].rpartition(".")[0]


def heed_interrupts() -> None:
    """Have Ctrl-C raise `KeyboardInterrupt` in this process, also where a shell started it in the background.

    Such a process is started with Ctrl-C ignored, and would be left behind when everything else ends.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def ignore_interrupts() -> None:
    """Make a new process ignore Ctrl-C from its very beginning."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def relative_path(path: Path) -> str:
    """Return a path relative to the current directory, where it is below."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
