"""Processes at a terminal of their own, of a given size."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

SECONDS = 60
#: Seconds until Ctrl-C is pressed again.
PATIENCE = 10
CTRL_C = "\x03"


class Terminal:
    """What a process shows at its terminal, and what is typed there."""

    def __init__(self, ours: int, process: "subprocess.Popen[bytes]") -> None:
        self.ours = ours
        self.process = process
        self.shown = ""

    def read_until(self, text: str, number: int = 1) -> None:
        """Wait until the text is shown, for the n-th time."""
        deadline = time.monotonic() + SECONDS
        while self.shown.count(text) < number:
            assert self.read(deadline), f"{text!r} did not come, but {self.shown!r}"

    def read(self, deadline: float) -> bool:
        """Read on; False at the end, or when the time is up."""
        ready, _, _ = select.select([self.ours], [], [], max(0.0, deadline - time.monotonic()))
        try:
            piece = os.read(self.ours, 65536) if ready else b""
        except OSError:  # so Linux says that nobody has the other side any more
            piece = b""
        self.shown += piece.decode()
        return bool(piece)

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def wait(self) -> int:
        """Wait for the end of the process; its exit status."""
        deadline = time.monotonic() + SECONDS
        while self.read(deadline):
            pass
        return self.process.wait(timeout=SECONDS)

    def interrupt(self) -> int:
        """Press Ctrl-C, again as a person would until it is heard: Python is deaf between a prompt and the reading."""
        for _ in range(SECONDS // PATIENCE):
            self.type(CTRL_C)
            deadline = time.monotonic() + PATIENCE
            while self.read(deadline):
                pass
            if time.monotonic() < deadline:
                break
        return self.process.wait(timeout=SECONDS)


@contextmanager
def at_terminal(
    command: Sequence[str], directory: Path, environment: Mapping[str, str], *, width: int = 80, height: int = 24
) -> Iterator[Terminal]:
    """Run a command whose standard streams are a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    process = subprocess.Popen(
        command,
        cwd=directory,
        # The size is said by the terminal, and by no variable that the tests run with.
        env={
            "TERM": "xterm-256color",
            "PYTHONUTF8": "1",
            **{name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")},
        },
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        os.close(ours)
        process.kill()
        process.wait()
