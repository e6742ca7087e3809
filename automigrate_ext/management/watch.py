"""Follow the files of a project, and run a command anew in a process of its own whenever one is saved."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from django.apps import apps
from django.utils.autoreload import StatReloader, iter_all_python_module_files

from automigrate_ext.management.base import INTERRUPTED

#: Set in the environment of the processes that are run, for which --watch means nothing.
FOLLOWED = "AUTOMIGRATE_EXT_FOLLOWED"
#: Where Python keeps what is nobody's project.
LIBRARIES = tuple({Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class Follower(StatReloader):
    """Django's reloader, which says what changed instead of ending the process.

    It follows the modules that are loaded, and all Python files of the apps; libraries that are installed are left
    out, so that a look at all of them is quick enough to be taken often.
    """

    SLEEP_TIME: Any = 0.1

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
    try:
        next(looks)
        while run(command) != INTERRUPTED:
            tell("Waiting for changes to the models; Ctrl-C ends it.")
            while follower.changed is None:
                next(looks)
            tell(f"{display(follower.changed)} has changed.")
            follower.changed = None
    except KeyboardInterrupt:
        pass
    return INTERRUPTED


def run(command: Sequence[str]) -> int:
    """Run the command in a process of its own, which Ctrl-C ends too; returns its exit status."""
    process = subprocess.Popen(command, env={**os.environ, FOLLOWED: "1"})
    try:
        return process.wait()
    except KeyboardInterrupt:
        # A terminal tells all processes in front; from elsewhere only this one was told.
        if not sys.stdin.isatty():
            process.send_signal(signal.SIGINT)
        process.wait()
        raise


def display(path: Path) -> str:
    """A path as short as it can be."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
