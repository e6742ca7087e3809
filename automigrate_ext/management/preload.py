"""A process that loads the libraries which a command needs, and then waits for its parent to let the command run.

Run as `python -m automigrate_ext.management.preload FD MODULES COMMAND...`: at a byte from the pipe FD the process runs
the command, a script or `-m` and a module; at the end of the pipe it ends. It reads no file of the project before.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from importlib import import_module
from pathlib import Path

#: The modules that every run loads, and those that most projects load.
MODULES = (
    "automigrate_ext.management.commands.autoupdate",
    "automigrate_ext.management.plan_printer",
    "automigrate_ext.run.update",
    "django.forms",
    "django.middleware.csrf",
    "django.template.backends.django",
    "django.template.defaulttags",
    "django.template.loader_tags",
    "django.views.debug",
    "django.views.generic",
)


def main() -> None:
    """Load the modules, wait, and run the command as Python would have."""
    descriptor, modules, *command = sys.argv[1:]
    for name in modules.split(","):
        # By name, because the parent adds the modules of the project's databases.
        import_module(name)
    if os.read(int(descriptor), 1):
        # The process is started with Ctrl-C ignored, because while it waits Ctrl-C is for its parent alone.
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
