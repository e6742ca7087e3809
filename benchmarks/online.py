"""Measure for how long others wait while a large table changes, with --online and without; print Markdown.

A table with a million rows gets a column, an index, a foreign key, a check, a unique constraint and NOT NULL, for which
a tenth of the rows is filled. On MariaDB and MySQL, which copy the table for a check, it gets none. A process of its
own writes to it all the while, another one reads. The other sides are the same run without --online, as much time in
which nothing changes, and on PostgreSQL migrations by django-pg-zero-downtime-migrations where --zero-downtime names
the Python of an environment that has it (the extra `packages`). The exit status is 1 if somebody waits for longer than
the target, or the run takes longer.
"""

import argparse
import multiprocessing
import multiprocessing.synchronize
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django
from django.apps.registry import Apps
from django.conf import settings
from django.db import connections, models
from django.db.models import Q

from automigrate_ext import automigrate, autoupdate
from automigrate_ext.backends import backend_for
from automigrate_ext.schema.nouns import canonical
from benchmarks.databases import Mariadb, Postgresql, mariadb, mysql, postgresql
from benchmarks.rehearsal import registry
from tests.database_url import parse_database_url

ALIAS = "online"
DATABASES = {"postgresql": postgresql, "mariadb": mariadb, "mysql": mysql}
ZERO_DOWNTIME, SCRIPT = "django-pg-zero-downtime-migrations", Path(__file__).with_name("zero_downtime.py")
#: Milliseconds that a write and a read may take at most, and how many times as long as the other a run with --online.
WRITE_TARGET, READ_TARGET, TIME_TARGET = 50.0, 10.0, 2.0
ROWS = """
INSERT INTO shop_item (name, size, code, group_id)
SELECT CASE WHEN n % 10 > 0 THEN concat('name ', n) END, n, concat('code ', n), 1 + n % 100 FROM ({numbers}) numbers
"""
GROUPS = "INSERT INTO shop_group (name) SELECT concat('group ', n) FROM ({numbers}) numbers WHERE n <= 100"
NUMBERS = "SELECT 1 + a.n + 1000 * b.n AS n FROM thousand a CROSS JOIN thousand b WHERE 1000 * b.n + a.n < {rows}"
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


def after(*, check: bool) -> Apps:
    apps = registry(Group={"name": models.CharField(max_length=20)})
    meta = type(
        "Meta",
        (),
        {
            "apps": apps,
            "app_label": "shop",
            "indexes": [models.Index(fields=["size"], name="by_size")],
            "constraints": [
                *([models.CheckConstraint(condition=Q(size__gt=0), name="positive")] if check else []),
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
    configure(url)
    with connections[ALIAS].cursor() as cursor:
        begun.set()
        while not over.is_set():
            number = number % rows + 1
            start = time.perf_counter()
            cursor.execute(statement, [number])
            worst = max(worst, (time.perf_counter() - start) * 1000)
    longest.put(worst)


def configure(url: str) -> None:
    """Make the database of the URL that of the alias, in this process."""
    if not settings.configured:
        settings.configure(DATABASES={}, INSTALLED_APPS=["automigrate_ext"], USE_TZ=True)
        django.setup()
    connections.databases[ALIAS] = parse_database_url(url)
    connections.settings[ALIAS] = connections.configure_settings({"default": {}, ALIAS: connections.databases[ALIAS]})[
        ALIAS
    ]


def fill(cursor: Any, rows: int) -> None:
    """Put the rows in."""
    cursor.execute("CREATE TABLE thousand (n integer PRIMARY KEY)")
    cursor.executemany("INSERT INTO thousand VALUES (%s)", [(n,) for n in range(1000)])
    numbers = NUMBERS.format(rows=rows)
    cursor.execute(GROUPS.format(numbers=NUMBERS.format(rows=100)))
    cursor.execute(ROWS.format(numbers=numbers))
    cursor.execute("DROP TABLE thousand")


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


def by_autoupdate(*, online: bool, check: bool) -> Callable[[str], float]:
    """Return what brings the database of a URL up to date, and returns the seconds that it took."""
    wanted = after(check=check)

    def update(url: str) -> float:
        start = time.perf_counter()
        autoupdate(using=ALIAS, apps=wanted, online=online)
        return time.perf_counter() - start

    return update


def by_migrations(python: str) -> Callable[[str], float]:
    """Return the same by django-pg-zero-downtime-migrations, in a process of that Python."""

    def update(url: str) -> float:
        return float(subprocess.run([python, SCRIPT, url], check=True, capture_output=True, text=True).stdout)

    return update


def nothing(seconds: float) -> Callable[[str], float]:
    """Return what changes nothing for that time: how long others wait then is due to the machine."""

    def wait(url: str) -> float:
        time.sleep(seconds)
        return seconds

    return wait


def measure(database: Postgresql | Mariadb, rows: int, update: Callable[[str], float]) -> tuple[Stalls, object]:
    """Return the stalls of one run, and the schema that it has led to."""
    url = database.create("online")
    configure(url)
    automigrate(using=ALIAS, apps=before())
    is_postgresql = connections[ALIAS].vendor == "postgresql"
    with connections[ALIAS].cursor() as cursor:
        fill(cursor, rows)
        for statement in ("VACUUM ANALYZE shop_item", "CHECKPOINT") if is_postgresql else ("ANALYZE TABLE shop_item",):
            cursor.execute(statement)
    with process(url, WRITE, rows) as writes, process(url, READ, rows) as reads:
        seconds = update(url)
    stalls = Stalls(seconds=seconds, write=writes.get(), read=reads.get())
    schema = canonical(backend_for(ALIAS).introspect(["shop_group", "shop_item"]))
    connections[ALIAS].close()
    del connections[ALIAS]
    database.drop("online")
    return stalls, schema


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.online", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", choices=DATABASES, default="postgresql")
    parser.add_argument("--zero-downtime", metavar="PYTHON", help="the Python that has that package; on PostgreSQL")
    options = parser.parse_args()
    is_postgresql = options.database == "postgresql"
    settings.configure(DATABASES={}, INSTALLED_APPS=["automigrate_ext"], USE_TZ=True)
    django.setup()
    with DATABASES[options.database]() as database:
        print(database.version())
        ordinary, schema = measure(database, options.rows, by_autoupdate(online=False, check=is_postgresql))
        online, reached = measure(database, options.rows, by_autoupdate(online=True, check=is_postgresql))
        idle, _ = measure(database, options.rows, nothing(online.seconds))
        lines = {"autoupdate": ordinary, "autoupdate --online": online, "nothing": idle}
        if is_postgresql and options.zero_downtime:
            lines[ZERO_DOWNTIME], _ = measure(database, options.rows, by_migrations(options.zero_downtime))
        elif is_postgresql:
            print(f"without {ZERO_DOWNTIME}: name a Python that has it by --zero-downtime", file=sys.stderr)
    print("| run | seconds | longest write, ms | longest read, ms |\n|---|---|---|---|")
    for name, stalls in lines.items():
        print(f"| {name} | {stalls.seconds:.1f} | {stalls.write:.0f} | {stalls.read:.0f} |")
    if schema != reached:
        print("the schemas differ", file=sys.stderr)
    slow = online.write > WRITE_TARGET or online.read > READ_TARGET or online.seconds > TIME_TARGET * ordinary.seconds
    return int(slow or schema != reached)


if __name__ == "__main__":
    sys.exit(main())
