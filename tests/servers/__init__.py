"""Servers for one run of the tests, each watched over by a process of its own.

The process stops its server and removes the files as soon as its standard input is closed: that happens however the
tests end, even if killed. What a server is made of is in the modules beside this one, which those processes run.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

#: How a line begins that answers a command; what else a keeper prints is why there is no answer.
ANSWER = "answer: "


class ServerUnavailable(Exception):
    """There is no such server to be had, for the reason given."""


class Kept:
    """What a keeper watches over; the first answer says where it is."""

    def __init__(self, keeper: "subprocess.Popen[str]") -> None:
        self.keeper = keeper
        self.where = self._answer()

    def ask(self, command: str) -> str:
        """Give a command to the keeper and return its answer."""
        assert self.keeper.stdin is not None
        self.keeper.stdin.write(f"{command}\n")
        self.keeper.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self.keeper.stdout is not None
        said = []
        for line in self.keeper.stdout:
            if line.startswith(ANSWER):
                return line.removeprefix(ANSWER).strip()
            said.append(line)
        raise ServerUnavailable("".join(said).strip())


class OwnServer(Kept):
    """A server that may be stopped and started."""

    @property
    def url(self) -> str:
        return self.where

    def stop(self) -> None:
        """Stop it at once, as if the power had failed."""
        self.ask("stop")

    def start(self) -> None:
        self.ask("start")


@contextmanager
def keeping(module: str, settings: Sequence[str]) -> Iterator["subprocess.Popen[str]"]:
    """Run a module of this package as the process that watches over a server with ``name=value`` settings."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *settings],
        cwd=Path(__file__).parent.parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C must not stop the server before the tests have ended
    )
    with process:
        yield process
        # Leaving the block closes the pipe and waits until the server is gone.
