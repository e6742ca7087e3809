"""Measure for how long others wait while a large table changes, with --online and without; print Markdown.

A table with a million rows gets a column, an index, a foreign key, a check, a unique constraint and NOT NULL, for which
a tenth of the rows is filled. A process of its own writes to it all the while, another one reads. The other side is the
same run without --online. The exit status is 1 if somebody waits for longer than the target, or the run takes longer.
"""

import argparse
import multiprocessing
import multiprocessing.synchronize
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import django
import psycopg
from django.apps.registry import Apps
from django.conf import settings
from django.db import connections, models
from django.db.models import Q

from automigrate_ext import automigrate, autoupdate
from automigrate_ext.backends import backend_for
from automigrate_ext.schema.nouns import canonical
from benchmarks.databases import Postgresql, postgresql
from benchmarks.rehearsal import registry
from todo_demo.database_url import parse_database_url

ALIAS = "postgresql"
#: Milliseconds that a write and a read may take at most, and how many times as long as the other a run with --online.
WRITE_TARGET, READ_TARGET, TIME_TARGET = 50.0, 10.0, 2.0
ROWS = """
INSERT INTO shop_item (name, size, code, "group_id")
SELECT CASE WHEN n % 10 > 0 THEN 'name ' || n END, n, 'code ' || n, 1 + n % 100 FROM generate_series(1, {rows}) n
"""
GROUPS = "INSERT INTO shop_group (name) SELECT 'group ' || n FROM generate_series(1, 100) n"
WRITE = "UPDATE shop_item SET size = size + 1 WHERE id = %s"
READ = "SELECT name FROM shop_item WHERE id = %s"


def before() -> Apps:
    return registry(
        Group={"name": models.CharField(max_length=20)},
        Item={
            "name": models.CharField(max_length=20, null=True),
            "size": models.IntegerField(),
            "code": models.CharField(max_length=20),
            "group": models.ForeignKey("Group", models.CASCADE, db_constraint=False, db_index=False),
        },
    )


def after() -> Apps:
    apps = registry(Group={"name": models.CharField(max_length=20)})
    meta = type(
        "Meta",
        (),
        {
            "apps": apps,
            "app_label": "shop",
            "indexes": [models.Index(fields=["size"], name="by_size")],
            "constraints": [
                models.CheckConstraint(condition=Q(size__gt=0), name="positive"),
                models.UniqueConstraint(fields=["code"], name="one_code"),
            ],
        },
    )
    fields = {
        "name": models.CharField(max_length=20, default="none"),
        "size": models.IntegerField(),
        "code": models.CharField(max_length=20),
        "group": models.ForeignKey("Group", models.CASCADE, db_index=False),
        "rank": models.IntegerField(default=0, db_default=0),
    }
    type("Item", (models.Model,), {"__module__": __name__, "Meta": meta, **fields})
    return apps


@dataclass(frozen=True, slots=True, kw_only=True)
class Stalls:
    """How long a run took, in seconds, and the longest write and read meanwhile, in milliseconds."""

    seconds: float
    write: float
    read: float


def go_on(
    url: str,
    statement: str,
    rows: int,
    begun: multiprocessing.synchronize.Event,
    over: multiprocessing.synchronize.Event,
    longest: "multiprocessing.Queue[float]",
) -> None:
    """Execute a statement for one row after the other until it is over; report the longest time, in milliseconds."""
    worst, number = 0.0, 0
    with psycopg.connect(url, autocommit=True) as connection:
        begun.set()
        while not over.is_set():
            number = number % rows + 1
            start = time.perf_counter()
            connection.execute(statement, [number])
            worst = max(worst, (time.perf_counter() - start) * 1000)
    longest.put(worst)


@contextmanager
def process(url: str, statement: str, rows: int) -> Iterator["multiprocessing.Queue[float]"]:
    """Let a process execute a statement while the block runs."""
    context = multiprocessing.get_context("spawn")
    begun, over = context.Event(), context.Event()
    longest: multiprocessing.Queue[float] = context.Queue()
    worker = context.Process(target=go_on, args=(url, statement, rows, begun, over, longest))
    worker.start()
    begun.wait()
    try:
        yield longest
    finally:
        over.set()


def measure(database: Postgresql, rows: int, *, online: bool) -> tuple[Stalls, object]:
    """Return the stalls of one run, and the schema that it has led to."""
    url = database.create("online")
    connections.databases[ALIAS] = parse_database_url(url)
    connections.settings[ALIAS] = connections.configure_settings({"default": {}, ALIAS: connections.databases[ALIAS]})[
        ALIAS
    ]
    automigrate(using=ALIAS, apps=before())
    wanted = after()
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(GROUPS)
        cursor.execute(ROWS.format(rows=rows))
        cursor.execute("VACUUM ANALYZE shop_item")
        cursor.execute("CHECKPOINT")
    with process(url, WRITE, rows) as writes, process(url, READ, rows) as reads:
        start = time.perf_counter()
        autoupdate(using=ALIAS, apps=wanted, online=online)
        seconds = time.perf_counter() - start
    stalls = Stalls(seconds=seconds, write=writes.get(), read=reads.get())
    schema = canonical(backend_for(ALIAS).introspect(["shop_group", "shop_item"]))
    connections[ALIAS].close()
    del connections[ALIAS]
    database.drop("online")
    return stalls, schema


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.online", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    settings.configure(DATABASES={}, INSTALLED_APPS=["automigrate_ext"], USE_TZ=True)
    django.setup()
    with postgresql() as database:
        ordinary, schema = measure(database, options.rows, online=False)
        online, reached = measure(database, options.rows, online=True)
    print("| run | seconds | longest write, ms | longest read, ms |\n|---|---|---|---|")
    for name, stalls in (("autoupdate", ordinary), ("autoupdate --online", online)):
        print(f"| {name} | {stalls.seconds:.1f} | {stalls.write:.0f} | {stalls.read:.0f} |")
    if schema != reached:
        print("the schemas differ", file=sys.stderr)
    slow = online.write > WRITE_TARGET or online.read > READ_TARGET or online.seconds > TIME_TARGET * ordinary.seconds
    return int(slow or schema != reached)


if __name__ == "__main__":
    sys.exit(main())
