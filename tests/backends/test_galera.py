"""A Galera cluster: what one node is told the other one has, under inserts there, and with a run on each at once."""

import itertools
import os
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest
from django.db import OperationalError, connections, models

from automigrate_ext import AutomigrateError, automigrate, autoupdate, is_actual
from automigrate_ext.backends import BACKENDS
from tests.acceptance.helper import item
from tests.conftest import scratch
from tests.servers import ServerUnavailable
from tests.servers.galera import own_cluster

ER = pytest.importorskip("MySQLdb.constants.ER")

pytestmark = pytest.mark.timeout(120)

needs_backend = pytest.mark.skipif("mysql" not in BACKENDS, reason="there is no backend for MariaDB yet")

DATABASE = "automigrate_test_galera"
ALIASES = ("mariadb_scratch", "mariadb_other_node")

BEFORE = item(
    name=models.CharField(max_length=20),
    size=models.IntegerField(null=True),
    unused=models.TextField(null=True),
)
AFTER = item(
    name=models.CharField(max_length=40, db_index=True),
    size=models.BigIntegerField(null=True),
    kind=models.CharField(max_length=5, db_default="plain"),
    Meta={
        "indexes": [models.Index(fields=["size", "name"], name="by_size")],
        "constraints": [models.CheckConstraint(condition=models.Q(size__gte=0), name="positive")],
    },
)


@pytest.fixture(scope="module")
def cluster(mariadb_server):
    """The nodes of a cluster, where there is a MariaDB at all."""
    try:
        with own_cluster() as cluster:
            yield [type(mariadb_server)(url, "0") for url in cluster.urls]
    except ServerUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no Galera cluster: {error}")


@pytest.fixture
def nodes(cluster, django_db_blocker):
    """The aliases of an empty database, one for each node."""
    cluster[0].empty_database(DATABASE)
    wait_for_others(cluster)
    with ExitStack() as stack:
        for alias, node in zip(ALIASES, cluster, strict=True):
            stack.enter_context(scratch(alias, node.entry(DATABASE), django_db_blocker))
        yield ALIASES


def wait_for_others(cluster):
    """Until each node has what the others have been told."""
    for node in cluster:
        with node.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION wsrep_sync_wait = 15")
            cursor.execute("SHOW TABLES FROM mysql")


def query(alias, statement, *parameters):
    with connections[alias].cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall()) if cursor.description else []


def contents(alias):
    """The definition and the rows of every table, as that node has them."""
    query(alias, "SET SESSION wsrep_sync_wait = 15")
    tables = [name for (name,) in query(alias, "SHOW TABLES")]
    quoted = [connections[alias].ops.quote_name(name) for name in tables]
    return {
        name: (query(alias, f"SHOW CREATE TABLE {name}")[0][1], sorted(query(alias, f"SELECT * FROM {name}"), key=repr))
        for name in quoted
    }


def assert_equal_nodes(nodes):
    one, other = map(contents, nodes)
    # Each node counts its automatic keys in steps of its own.
    assert {name: rows for name, (_, rows) in one.items()} == {name: rows for name, (_, rows) in other.items()}
    assert {name: definition(sql) for name, (sql, _) in one.items()} == {
        name: definition(sql) for name, (sql, _) in other.items()
    }


def definition(sql):
    head, _, options = sql.rpartition("\n")
    return head, [option for option in options.split() if not option.startswith("AUTO_INCREMENT=")]


class Inserts(threading.Thread):
    """Somebody who inserts rows on one node all the time."""

    def __init__(self, alias):
        super().__init__()
        self.alias = alias
        self.committed = []
        self.over = threading.Event()

    def run(self):
        try:
            for number in itertools.count():
                if self.over.is_set():
                    return
                self.insert(f"row {number}")
        finally:
            connections[self.alias].close()

    def insert(self, name):
        try:
            query(self.alias, "INSERT INTO shop_item (name, size) VALUES (%s, 1)", name)
        except OperationalError as error:
            # What comes behind a change of its table is turned down as a deadlock, and who asked for it knows.
            assert error.args[0] == ER.LOCK_DEADLOCK, error
        else:
            self.committed.append(name)

    def wait_for_more(self):
        """Until some more rows are there."""
        enough = len(self.committed) + 50
        deadline = time.monotonic() + 60
        while len(self.committed) < enough:
            assert self.is_alive() and time.monotonic() < deadline
            time.sleep(0.01)


@contextmanager
def inserting(alias):
    """Insert rows on a node before, while and after something is done."""
    inserts = Inserts(alias)
    inserts.start()
    try:
        inserts.wait_for_more()
        yield inserts
        inserts.wait_for_more()
    finally:
        inserts.over.set()
        inserts.join(60)


def test_what_one_node_is_told_the_other_has(nodes):
    one, other = nodes
    query(one, "CREATE TABLE shop_item (id integer AUTO_INCREMENT PRIMARY KEY, name varchar(20), size integer)")
    query(other, "SET SESSION wsrep_sync_wait = 15")
    assert query(other, "SHOW TABLES") == [("shop_item",)]
    with inserting(other) as inserts:
        for number in range(50):
            query(one, "INSERT INTO shop_item (name) VALUES (%s)", f"mine {number}")
        query(one, "ALTER TABLE shop_item ADD COLUMN more integer DEFAULT 3")
    assert_equal_nodes(nodes)
    rows = query(other, "SELECT name, more FROM shop_item")
    assert sorted(rows) == sorted([(f"mine {n}", 3) for n in range(50)] + [(name, 3) for name in inserts.committed])


def test_lock_of_one_node_is_free_on_the_other(nodes):
    for alias in nodes:
        assert query(alias, "SELECT GET_LOCK('automigrate', 0)") == [(1,)]


def run_on(alias, verb, state, outcomes):
    try:
        outcomes[alias] = verb(using=alias, apps=state.apps)
    except AutomigrateError as error:
        outcomes[alias] = error
    finally:
        connections[alias].close()


@needs_backend
def test_autoupdate_under_inserts_on_the_other_node(nodes):
    one, other = nodes
    automigrate(using=one, apps=BEFORE.apps)
    wait_until_seen(other, "shop_item")
    with inserting(other) as inserts:
        assert autoupdate(using=one, apps=AFTER.apps)
    assert_equal_nodes(nodes)
    rows = query(one, "SELECT name, size, kind FROM shop_item")
    assert sorted(rows) == sorted((name, 1, "plain") for name in inserts.committed)
    for alias in nodes:
        assert is_actual(using=alias, apps=AFTER.apps)


@needs_backend
@pytest.mark.parametrize("attempt", range(3))
def test_runs_on_both_nodes_at_once(nodes, attempt):
    """The nodes order their statements; what the later run finds done already stops it, and the next run finishes."""
    one, other = nodes
    automigrate(using=one, apps=BEFORE.apps)
    wait_until_seen(other, "shop_item")
    for number in range(20):
        query(one, "INSERT INTO shop_item (name, size) VALUES (%s, 1)", f"row {number}")
    outcomes = {}
    runs = [threading.Thread(target=run_on, args=(alias, autoupdate, AFTER, outcomes)) for alias in nodes]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert set(outcomes) == set(nodes)
    for alias in nodes:
        query(alias, "SET SESSION wsrep_sync_wait = 15")
        autoupdate(using=alias, apps=AFTER.apps)
        assert is_actual(using=alias, apps=AFTER.apps)
    assert_equal_nodes(nodes)
    rows = query(other, "SELECT name, size, kind FROM shop_item")
    assert sorted(rows) == sorted((f"row {number}", 1, "plain") for number in range(20))


@needs_backend
def test_automigrate_on_one_node(nodes):
    one, other = nodes
    for state in (BEFORE, AFTER):
        automigrate(using=one, apps=state.apps)
        wait_until_seen(other, "shop_item")
        assert is_actual(using=other, apps=state.apps)
        assert_equal_nodes(nodes)


def wait_until_seen(alias, table):
    """Until the node has what was done on the other before."""
    query(alias, "SET SESSION wsrep_sync_wait = 15")
    assert (table,) in query(alias, "SHOW TABLES")
    query(alias, "SET SESSION wsrep_sync_wait = 0")
