"""Small disks that fill up, and a process that is for a while not the superuser."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: Whom nothing belongs to; the PostgreSQL server of the tests runs as this user where the tests run as root.
NOBODY = 65534


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A directory on a disk of that size; skips the test where none can be mounted."""
    with tempfile.TemporaryDirectory(prefix="automigrate-disk-") as directory:
        size = f"size={megabytes}m,mode=0777"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", size, "tmpfs", directory], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
        try:
            yield Path(directory)
        finally:
            subprocess.run(["umount", "--lazy", directory], check=True)


def read_only(disk: Path) -> None:
    """Make a disk one that may only be read."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Let the rights of files count, which the superuser passes over."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
