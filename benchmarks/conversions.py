"""Measure on MariaDB how long the verdict on a change of type takes, beside one regular expression over the same rows.

    python -m benchmarks.conversions [--rows 1000000] [--runs 3]

The server is the one that TEST_MARIADB_URL names, or else one with the settings of the tests. The exit status is 1
where a verdict takes more than three times as long as `SELECT count(*) ... WHERE c REGEXP`, in the same session.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import django
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

from benchmarks.databases import mariadb
from tests.database_url import parse_database_url

#: The values of a row by its number, the type that they are converted to, and the pattern of the query beside it.
CASES = {
    "text -> int": ("n * 7919 % 1000000000", "int", "^-?[0-9]+$"),
    "text -> int, up to the greatest": ("n * 7919 % 2147483647 + 1", "int", "^-?[0-9]+$"),
    "text -> bigint": ("n * 7919", "bigint", "^-?[0-9]+$"),
    "text -> decimal(12,2)": ("concat(n, '.', lpad(n % 100, 2, '0'))", "decimal(12,2)", "^-?[0-9]+([.][0-9]+)?$"),
    "text -> date": ("date_add('1970-01-01', INTERVAL n % 20000 DAY)", "date", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
    "text -> uuid": (
        "insert(insert(insert(insert(insert(insert(md5(n), 13, 1, '4'), 17, 1, '8'), 21, 0, '-'), 17, 0, '-'), "
        "13, 0, '-'), 9, 0, '-')",
        "uuid",
        "^[0-9a-f-]{32,36}$",
    ),
    "text -> int, one of them none": ("if(n = 1, 'abc', n)", "int", "^-?[0-9]+$"),
}
TARGET = 3.0
MAKE = "CREATE TABLE measured (id integer PRIMARY KEY AUTO_INCREMENT, v varchar(60) NOT NULL)"
FILL = "INSERT INTO measured (v) SELECT {value} FROM (SELECT seq AS n FROM seq_1_to_{rows}) AS numbers"
BESIDE = "SELECT count(*) FROM measured WHERE v REGEXP '{pattern}'"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conversions", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3, help="runs of each, of which the median counts")
    return parser.parse_args()


def seconds(work: Callable[[], object], runs: int) -> float:
    """Return the median time of some runs."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> int:
    options = parse_arguments()
    with mariadb() as server:
        url = server.create("conversions")
        settings.configure(DATABASES={DEFAULT_DB_ALIAS: parse_database_url(url)}, USE_TZ=True)
        django.setup()
        try:
            return measure(DEFAULT_DB_ALIAS, options.rows, options.runs)
        finally:
            connections[DEFAULT_DB_ALIAS].close()
            server.drop("conversions")


def measure(alias: str, rows: int, runs: int) -> int:
    """Print a row of a table for each case; return 1 where the target of one was missed."""
    from automigrate_ext.backends import backend_for
    from automigrate_ext.backends.mysql import hazards
    from automigrate_ext.schema.nouns import Column

    backend = backend_for(alias)
    missed = False
    print(f"| {rows:,} rows | verdict | converting each value | regular expression | ratio | lost |")
    print("|---|---|---|---|---|---|")
    for name, (value, kind, pattern) in CASES.items():
        fill = FILL.format(value=value, rows=rows)
        execute(alias, "DROP TABLE IF EXISTS measured", MAKE, fill, "ANALYZE TABLE measured")
        table = backend.introspect(["measured"]).tables["measured"]
        old, new = table.columns[1], Column(name="v", type=kind, null=False)
        conversion = hazards.Conversion(old=old, new=new, condition=hazards.HAS_VALUE.format(column="v"))
        loss = hazards.count_lost(backend.rows, table, old, new)
        beside = seconds(partial(execute, alias, BESIDE.format(pattern=pattern)), runs)
        ours = seconds(partial(hazards.count_lost, backend.rows, table, old, new), runs)
        each = seconds(partial(hazards.converted, backend.rows, table, backend.rows.stored(table), conversion), 1)
        ratio = ours / beside
        print(f"| {name} | {ours:.2f} s | {each:.1f} s | {beside:.2f} s | {ratio:.1f} | {loss.rows} |", flush=True)
        missed |= ratio > TARGET and not loss.rows
    return int(missed)


def execute(alias: str, *statements: str) -> None:
    """Execute statements, and fetch what they return."""
    with connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
            if cursor.description:
                cursor.fetchall()


if __name__ == "__main__":
    sys.exit(main())
