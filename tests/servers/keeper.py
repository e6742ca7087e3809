"""What the processes that watch over servers have in common: a directory, a user, and commands to obey."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers import ANSWER, ServerUnavailable

START_TIMEOUT = 120  # seconds

#: Where Debian keeps servers, which a user's PATH lacks.
SBIN = ("/usr/sbin", "/usr/local/sbin")

SHARED_MEMORY = Path("/dev/shm")
ENOUGH_MEMORY = 2 << 30  # bytes


class Home:
    """The directory of a server and the user that it runs as: not root, as which servers refuse to run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.as_user: dict[str, Any] = {}
        if platform.system() != "Windows" and os.geteuid() == 0:
            import pwd

            nobody = pwd.getpwnam("nobody")
            self.as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(path, nobody.pw_uid, nobody.pw_gid)

    def run(self, program: Path, *arguments: str, check: bool = True, **environment: str) -> None:
        """Run a program to its end; raise ServerUnavailable with its words where it fails."""
        # A file, not a pipe: a server may keep the handle, and a pipe would never come to its end.
        with (self.path / f"{program.name}.log").open("w+") as output:
            try:
                subprocess.run(
                    [program, *arguments],
                    check=check,
                    cwd=self.path,
                    env=os.environ | environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    **self.as_user,
                )
            except subprocess.CalledProcessError as error:
                output.seek(0)
                raise ServerUnavailable(f"{program.name} failed: {output.read()}") from error


@contextmanager
def home() -> Iterator[Home]:
    """Make a directory for a server, in memory or else among temporary files; remove it at the end.

    Each new table is three files or more, and what a disk takes for these hides everything else.
    """
    with tempfile.TemporaryDirectory(prefix="automigrate-", dir=memory(), ignore_cleanup_errors=True) as directory:
        yield Home(Path(directory))


def memory() -> Path | None:
    """Where files are kept in memory, if there is room for those of a server."""
    if not os.access(SHARED_MEMORY, os.W_OK):
        return None
    return SHARED_MEMORY if shutil.disk_usage(SHARED_MEMORY).free >= ENOUGH_MEMORY else None


def program(name: str) -> Path:
    """Return the path of an installed program; raise ServerUnavailable where there is none."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *SBIN]))
    if found is None:
        raise ServerUnavailable(f"{name} is not installed")
    return Path(found)


def serve(answer: str, obey: Callable[[str], str]) -> None:
    """Print the answer, then that to each line of standard input, until it is closed."""
    print(f"{ANSWER}{answer}", flush=True)
    for line in sys.stdin:
        print(f"{ANSWER}{obey(line.strip())}", flush=True)
