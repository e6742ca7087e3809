"""A MariaDB server from the programs installed on this machine, such as Debian's package mariadb-server."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.servers import OwnServer, ServerUnavailable, keeping
from tests.servers.keeper import START_TIMEOUT, Home, home, program, serve

#: Nothing of value is kept on this server. The character set is Debian's, not the latin1 that MariaDB was built with.
SETTINGS = (
    "character-set-server=utf8mb4",
    "innodb-buffer-pool-size=64M",
    "innodb-doublewrite=0",
    "innodb-flush-log-at-trx-commit=0",
    "innodb-log-file-size=16M",
    "innodb-stats-persistent=0",
    "loose-innodb-flush-method=nosync",
    "sync-frm=0",
)

#: How a server is made known to clients that are not in its directory.
URL = "mysql://root@/mysql?unix_socket={socket}"


@contextmanager
def own_server(settings: Sequence[str] = ()) -> Iterator[OwnServer]:
    """Start a server with the given ``name=value`` settings beside the usual ones."""
    program("mariadbd")
    with keeping(__name__, settings) as process:
        yield OwnServer(process)


@contextmanager
def temporary_server(settings: Sequence[str] = ()) -> Iterator[str]:
    """Start such a server and yield the URL of its database "mysql"."""
    with own_server(settings) as server:
        yield server.url


def keep_server(settings: Sequence[str], kind: "type[Server] | None" = None, name: str = "mariadb") -> None:
    """Run a server until standard input is closed; commands are answered by its URL."""
    # Every change of a table is synced to disk, which takes no time where the disk is memory.
    with home() as place:
        server = (kind or Server)(place, name, settings)
        try:
            server.create()
            serve(server.start(), lambda command: _obey(command, server))
        finally:
            server.stop()


def _obey(command: str, server: "Server") -> str:
    if command == "start":
        return server.start()
    server.stop()
    return server.url


class Server:
    """A server whose data, log and socket have its name in one directory."""

    settings: Sequence[str] = SETTINGS

    def __init__(self, home: Home, name: str, settings: Sequence[str]) -> None:
        self.home = home
        self.data = home.path / name
        self.log = home.path / f"{name}.log"
        self.socket = home.path / f"{name}.sock"
        self.options = [f"--{setting}" for setting in (*self.settings, *settings)]
        self.url = URL.format(socket=quote(str(self.socket)))
        self.process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        """Make the data of a server whose superuser has no password."""
        self.home.run(
            program("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={self.data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            *(f"--{setting}" for setting in SETTINGS),
        )

    def command(self) -> list[str | Path]:
        """Return the program with the options by which it uses no files of others."""
        return [program("mariadbd"), "--no-defaults"]

    def start(self, *options: str) -> str:
        """Start it, wait until it accepts connections and return its URL."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self.command(),
                    "--skip-networking",
                    "--skip-name-resolve",
                    f"--datadir={self.data}",
                    f"--socket={self.socket}",
                    f"--pid-file={self.data / 'pid'}",
                    f"--tmpdir={self.home.path}",
                    *self.options,
                    *options,
                ],
                cwd=self.home.path,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self.home.as_user,
            )
        self.wait_until(self._greets)
        return self.url

    def stop(self) -> None:
        """Stop it at once, as if the power had failed."""
        if self.process is not None and self.process.poll() is None:
            # It leads a group of its own, so that what it has started ends with it.
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        """Ask until the answer is yes; raise ServerUnavailable where the server ends or takes too long."""
        assert self.process is not None
        deadline = time.monotonic() + START_TIMEOUT
        while not is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise ServerUnavailable(f"{self.data.name} failed: {self.log.read_text(errors='replace')}")
            time.sleep(0.01)

    def _greets(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(START_TIMEOUT)
            try:
                client.connect(str(self.socket))
                return bool(client.recv(1))
            except OSError:
                return False


if __name__ == "__main__":
    try:
        keep_server(sys.argv[1:])
    except ServerUnavailable as error:
        sys.exit(str(error))
