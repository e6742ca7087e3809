"""A cluster of MariaDB servers on this machine, by Debian's package galera-4."""

import importlib.util
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.servers import Kept, ServerUnavailable, keeping
from tests.servers.keeper import home, program, serve
from tests.servers.mariadb import Server

NODES = 2

#: Where distributions put the library, and what the script needs that copies the first node's data to the others.
PROVIDERS = (Path("/usr/lib/galera/libgalera_smm.so"), Path("/usr/lib64/galera-4/libgalera_smm.so"))
TRANSFER = ("wsrep_sst_rsync", "rsync")

LOOPBACK = "127.0.0.1"

SETTINGS = ("binlog-format=ROW", "innodb-autoinc-lock-mode=2", "wsrep-on=ON", "wsrep-cluster-name=automigrate")

#: A machine that is busy for a while must not count as one that is gone.
PATIENCE = "evs.inactive_check_period=PT5S;evs.suspect_timeout=PT30S;evs.inactive_timeout=PT60S"

STATUS = "SHOW STATUS WHERE variable_name IN ('wsrep_cluster_size', 'wsrep_local_state_comment', 'wsrep_ready')"


class Cluster(Kept):
    """A cluster of which every node knows all others and has their data."""

    @property
    def urls(self) -> list[str]:
        """The URLs of the nodes' databases "mysql"."""
        return self.where.split()


@contextmanager
def own_cluster() -> Iterator[Cluster]:
    """Start a cluster; raise ServerUnavailable where it cannot be had."""
    if importlib.util.find_spec("MySQLdb") is None:
        raise ServerUnavailable("the package mysqlclient is not installed")
    _provider()
    for name in ("mariadbd", *TRANSFER):
        program(name)
    with keeping(__name__, ()) as process:
        yield Cluster(process)


def _provider() -> Path:
    for path in PROVIDERS:
        if path.exists():
            return path
    raise ServerUnavailable("galera-4 is not installed")


def keep_cluster() -> None:
    """Run a cluster until standard input is closed."""
    with home() as place, ExitStack() as stack:
        ports = free_ports(3 * NODES)
        nodes = [Node(Server(place, f"node{n}", SETTINGS), ports[n::NODES]) for n in range(NODES)]
        for number, node in enumerate(nodes):
            stack.callback(node.server.stop)
            node.server.create()
            node.join(nodes[:number])
        for node in nodes:
            node.server.wait_until(partial(node.is_synced, NODES))
        urls = " ".join(node.server.url for node in nodes)
        serve(urls, lambda command: urls)


class Node:
    """A server and the ports by which the other nodes reach it."""

    def __init__(self, server: Server, ports: list[int]) -> None:
        self.server = server
        self.group, self.increments, self.transfer = (f"{LOOPBACK}:{port}" for port in ports)

    def join(self, others: "list[Node]") -> None:
        """Start, alone or with those that run already, and wait until it has all that they have."""
        self.server.start(
            f"--wsrep-provider={_provider()}",
            f"--wsrep-cluster-address=gcomm://{','.join(node.group for node in others)}",
            f"--wsrep-node-address={self.group}",
            f"--wsrep-node-name={self.server.data.name}",
            "--wsrep-sst-method=rsync",
            f"--wsrep-sst-receive-address={self.transfer}",
            f"--wsrep-provider-options=gmcast.listen_addr=tcp://{self.group};ist.recv_addr={self.increments};"
            f"gcache.size=16M;pc.recovery=false;{PATIENCE}",
        )
        self.server.wait_until(lambda: self.is_synced(len(others) + 1))

    def is_synced(self, size: int) -> bool:
        """Whether it is ready and has what the other nodes of a cluster of that size have."""
        import MySQLdb

        try:
            connection = MySQLdb.connect(user="root", unix_socket=str(self.server.socket))
        except MySQLdb.OperationalError:  # it takes connections only when it is ready
            return False
        with connection, connection.cursor() as cursor:
            cursor.execute(STATUS)
            status = dict(cursor.fetchall())
        return status == {
            "wsrep_cluster_size": str(size),
            "wsrep_local_state_comment": "Synced",
            "wsrep_ready": "ON",
        }


def free_ports(number: int) -> list[int]:
    """Return ports of the loopback interface that nobody listens at."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(number)]
        for listener in listeners:
            listener.bind((LOOPBACK, 0))
        return [int(listener.getsockname()[1]) for listener in listeners]


if __name__ == "__main__":
    try:
        keep_cluster()
    except ServerUnavailable as error:
        sys.exit(str(error))
