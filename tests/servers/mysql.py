"""A MySQL server: the program on the PATH, or one of another Debian in the folder that TEST_MYSQL_ROOT names."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers import OwnServer, ServerUnavailable, keeping, mariadb
from tests.servers.keeper import Home, program

#: The environment variable that names the folder, such as debootstrap makes it with the package mysql-server-core.
ROOT = "TEST_MYSQL_ROOT"

#: Nothing of value is kept on this server. Tables and rows have the settings of MySQL.
SETTINGS = (
    "auto-generate-certs=0",
    "caching-sha2-password-auto-generate-rsa-keys=0",
    "disable-log-bin",
    "innodb-buffer-pool-size=64M",
    "innodb-doublewrite=0",
    "innodb-flush-log-at-trx-commit=0",
    "innodb-flush-method=nosync",
    "innodb-redo-log-capacity=64M",
    "innodb-stats-persistent=0",
    "mysqlx=0",
    "performance-schema=0",
    "secure-file-priv=",
)


@contextmanager
def own_server(settings: Sequence[str] = ()) -> Iterator[OwnServer]:
    """Start a server with the given ``name=value`` settings beside the usual ones."""
    _program()
    with keeping(__name__, settings) as process:
        yield OwnServer(process)


@contextmanager
def temporary_server(settings: Sequence[str] = ()) -> Iterator[str]:
    """Start such a server and yield the URL of its database "mysql"."""
    with own_server(settings) as server:
        yield server.url


def _program() -> list[str | Path]:
    """Return the command that runs the server."""
    if given := os.environ.get(ROOT):
        return _program_in(Path(given))
    found = program("mysqld")
    # Packages of MariaDB have a program of this name too.
    version = subprocess.run([found, "--no-defaults", "--version"], capture_output=True, text=True, check=False).stdout
    if "MariaDB" in version:
        raise ServerUnavailable(f"mysqld is MariaDB's; {ROOT} may name a folder with MySQL")
    return [found, "--no-defaults"]


def _program_in(root: Path) -> list[str | Path]:
    """Return the command for the program in a folder, which is run with the libraries in there."""
    server = root / "usr/sbin/mysqld"
    loaders = sorted(root.glob("usr/lib*/ld-linux*.so.*"))
    libraries = ":".join(map(str, sorted(root.glob("usr/lib/*-linux-gnu*"))))
    if not server.exists() or not loaders:
        raise ServerUnavailable(f"{ROOT}: there is no usr/sbin/mysqld with its libraries in {root}")
    return [loaders[0], "--library-path", libraries, server, "--no-defaults", f"--basedir={root / 'usr'}"]


class Server(mariadb.Server):
    """A server whose data, log and socket have its name in one directory."""

    settings = SETTINGS

    def __init__(self, home: Home, name: str, settings: Sequence[str]) -> None:
        super().__init__(home, name, settings)
        self._command = _program()
        if home.as_user:
            self._use_program_in_reach()

    def command(self) -> list[str | Path]:
        return self._command

    def create(self) -> None:
        """Make the data of a server whose superuser has no password."""
        first, *rest = self._command
        options = (f"--{setting}" for setting in SETTINGS)
        self.home.run(Path(first), *map(str, rest), "--initialize-insecure", f"--datadir={self.data}", *options)

    def _use_program_in_reach(self) -> None:
        first, *rest = self._command
        try:
            self.home.run(Path(first), *map(str, rest), "--version")
        except (PermissionError, ServerUnavailable):
            if ROOT not in os.environ:
                raise
            # The folder is where only root may look, such as below /root.
            self._command = _program_in(_copy_of_needed(Path(os.environ[ROOT]), self.home.path / "root"))


def _copy_of_needed(source: Path, target: Path) -> Path:
    """Copy the server, its libraries and its texts."""
    for part in ("usr/lib", "usr/lib64", "usr/share/mysql"):
        if (source / part).exists():
            ignored = shutil.ignore_patterns("gcc", "python*", "systemd", "locale", "gconv", "perl*", "apt")
            shutil.copytree(source / part, target / part, symlinks=True, ignore=ignored)
    (target / "usr/sbin").mkdir(parents=True)
    shutil.copy2(source / "usr/sbin/mysqld", target / "usr/sbin")
    return target


if __name__ == "__main__":
    try:
        mariadb.keep_server(sys.argv[1:], Server, "mysql")
    except ServerUnavailable as error:
        sys.exit(str(error))
