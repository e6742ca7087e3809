"""A PgBouncer in transaction mode, which forgets all of a session after each transaction."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import psycopg

from tests.database_url import parse_database_url
from tests.disks import NOBODY

#: Few connections, so that processes get each other's; DISCARD ALL after each transaction, so that what a session was
#: told is lost even where the next transaction comes by the same connection.
CONFIGURATION = """
[databases]
* = {target}

[pgbouncer]
listen_addr =
unix_socket_dir = {directory}
listen_port = {port}
auth_type = any
pool_mode = transaction
default_pool_size = 3
server_reset_query = DISCARD ALL
server_reset_query_always = 1
ignore_startup_parameters = extra_float_digits,options
logfile = {directory}/log
"""
PORT = 6432


class PoolerUnavailable(Exception):
    """There is no PgBouncer here."""


@contextmanager
def pooler(url: str) -> Iterator[dict[str, object]]:
    """Start one before the server of the URL; yield an entry of DATABASES."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        raise PoolerUnavailable("pgbouncer is not installed")
    entry = parse_database_url(url)
    with tempfile.TemporaryDirectory(prefix="automigrate-pooler-", ignore_cleanup_errors=True) as directory:
        configuration = Path(directory) / "pgbouncer.ini"
        keys = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD"}
        target = " ".join(f"{key}='{entry[name]}'" for key, name in keys.items() if entry[name])
        configuration.write_text(CONFIGURATION.format(target=target, directory=directory, port=PORT))
        as_user: dict[str, object] = {}
        if os.geteuid() == 0:  # as which PgBouncer refuses to run
            os.chown(directory, NOBODY, NOBODY)
            as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        process = subprocess.Popen(
            [program, "--quiet", str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **as_user,  # type: ignore[call-overload]
        )
        with process:
            try:
                where = {"host": directory, "port": PORT, "user": entry["USER"]}
                await_connections(f"postgresql:///postgres?{urlencode(where)}", Path(directory) / "log")
                yield entry | {"HOST": directory, "PORT": str(PORT), "OPTIONS": {}}
            finally:
                process.terminate()


def await_connections(url: str, log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise PoolerUnavailable(log.read_text() if log.exists() else str(error)) from error
            time.sleep(0.05)
