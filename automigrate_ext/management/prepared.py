"""A process that loads what a command needs of libraries, and runs it once it is told to.

Run as `python -m automigrate_ext.management.prepared FD MODULES COMMAND...`: a byte from the pipe FD lets it go on with
the command, a script or `-m` and a module; the end of the pipe ends it. None of the project's own files is read before.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from importlib import import_module
from pathlib import Path

#: What every run loads, and most projects.
MODULES = (
    "automigrate_ext.management.commands.autoupdate",
    "django.core.handlers.asgi",
    "django.core.management.commands.check",
    "django.core.management.commands.migrate",
    "django.db.migrations.writer",
    "django.forms",
    "django.middleware.csrf",
    "django.template.backends.django",
    "django.template.defaulttags",
    "django.template.loader_tags",
    "django.views.debug",
    "django.views.generic",
)


def main() -> None:
    """Get ready, wait, and run the command as Python would have."""
    descriptor, modules, *command = sys.argv[1:]
    for name in modules.split(","):
        import_module(name)
    if os.read(int(descriptor), 1):
        # Until now Ctrl-C was not for this process, which was started with it ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        run(command)


def run(command: list[str]) -> None:
    """Run a script, or `-m` and a module, with its arguments."""
    if command[0] == "-m":
        sys.argv = command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = command
        sys.path[0] = str(Path(command[0]).resolve().parent)
        runpy.run_path(command[0], run_name="__main__")


if __name__ == "__main__":
    main()
