"""Processes that are up at once: one that has loaded the demo project forks them on demand.

This file, run as a script, is that one. It dies with its standard input, and its children with it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: Runs a management command.
COMMAND = "from django.core.management import execute_from_command_line as run; run(['manage.py', *argv])"


def environment(database_url: str) -> dict[str, str]:
    """The environment of a process that works on the demo project in that database."""
    return {
        **os.environ,
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "todo_demo.settings",
        "PYTHONPATH": str(ROOT),
    }


class Child:
    """A forked process; its output goes to files."""

    def __init__(self, parent: "Parent", pid: int, output: Path) -> None:
        self.parent = parent
        self.pid = pid
        self.output = output

    @property
    def out(self) -> str:
        return self.output.with_suffix(".out").read_text()

    @property
    def err(self) -> str:
        return self.output.with_suffix(".err").read_text()

    def await_message(self, text: str, seconds: float = 60) -> str:
        """Wait until it has written the text to stderr; return all that it wrote."""
        deadline = time.monotonic() + seconds
        while text not in self.err:
            assert time.monotonic() < deadline, f"no {text!r} in {self.err!r}"
            time.sleep(0.02)
        return self.err

    def wait(self) -> int:
        """Wait for its end; its exit status, negative if a signal killed it."""
        return int(self.parent.ask({"wait": self.pid}))

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)


class Parent:
    """The process that forks."""

    def __init__(self, process: "subprocess.Popen[str]", directory: Path) -> None:
        self.process = process
        self.directory = directory
        self.number = 0

    def ask(self, question: dict[str, object]) -> str:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def fork(self, code: str, *argv: str) -> Child:
        """Start a process that runs the code, which finds its arguments in `argv`."""
        self.number += 1
        output = self.directory / f"child{self.number}"
        for suffix in (".out", ".err"):
            output.with_suffix(suffix).touch()
        pid = int(self.ask({"code": code, "argv": argv, "output": str(output)}))
        return Child(self, pid, output)

    def command(self, *argv: str) -> Child:
        """Start a process that runs a management command."""
        return self.fork(COMMAND, *argv)


@contextmanager
def forking(database_url: str, directory: Path, preload: Sequence[str] = (), **changed: str) -> Iterator[Parent]:
    """A process that forks others, which work on the demo project in that database.

    `changed` are variables of their environment, `preload` the modules that it loads for them.
    """
    process = subprocess.Popen(
        [sys.executable, __file__, *preload],
        env={**environment(database_url), **changed},
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        yield Parent(process, directory)


def serve() -> None:
    """Fork and wait as asked, until nobody can ask any more."""
    import django

    django.setup()
    # What the children would otherwise each load for themselves.
    from django.core.checks import run_checks

    import automigrate_ext.backends.postgresql.backend
    import automigrate_ext.backends.sqlite3.backend
    import automigrate_ext.management.commands.automigrate
    import automigrate_ext.management.commands.autoupdate
    import automigrate_ext.management.plan_printer
    import automigrate_ext.run.rebuild
    import automigrate_ext.run.update  # noqa: F401

    run_checks()
    for name in sys.argv[1:]:
        import_module(name)

    children: set[int] = set()
    for line in sys.stdin:
        question = json.loads(line)
        if "wait" in question:
            pid, status = os.waitpid(question["wait"], 0)
            children.discard(pid)
            print(os.waitstatus_to_exitcode(status), flush=True)
        else:
            pid = os.fork()
            if not pid:
                become(question)
            children.add(pid)
            print(pid, flush=True)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def become(question: dict[str, str]) -> None:
    """Be the child: run the code with the output in files, and end."""
    for descriptor, suffix in ((1, ".out"), (2, ".err")):
        file = os.open(f"{question['output']}{suffix}", os.O_WRONLY)
        os.dup2(file, descriptor)
    os.close(0)
    status = 0
    try:
        exec(question["code"], {"argv": question["argv"]})
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve()
