"""Measure in one process what it costs to find nothing to do: ``python -m benchmarks.nothing``.

The project has 1,000 generated models, and its tables are as a run has left them. Measured by turns, the least of all
rounds: `is_actual()`, beside a comparison of the tables (`fingerprint=False`), and beside what it is made of: the query
for the fingerprint alone, and the digest of the models alone. Times are those of the clock, so that the server's are in
them. The exit status is 1 if a target was missed.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.databases import Database, running
from benchmarks.measure import Command, run_python
from benchmarks.project import generate_models
from benchmarks.report import facts, ratio, table

MODELS = 1000
PREPARATIONS = (("manage.py", "automigrate", "--noinput"), ("manage.py", "autoupdate", "--noinput"))
DATABASES = ("sqlite", "postgresql", "mariadb", "mysql")
#: At most so much of a comparison, by database.
TARGETS = {"sqlite": 0.4, "postgresql": 0.35, "mariadb": 0.35, "mysql": 0.35}
#: At most so much of the query and the digest together.
TARGET_OF_PARTS = 1.5
HEADINGS = (
    "database",
    "models",
    "`is_actual()`",
    "compared",
    "ratio",
    "target",
    "fingerprint",
    "digest",
    "ratio to both",
    "queries",
)


def in_process(rounds: int) -> dict[str, float]:
    """Return the least seconds that each side takes, and the number of queries; in a process of the project."""
    import django

    django.setup()
    from django.apps import apps
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from automigrate_ext import is_actual
    from automigrate_ext.backends import fingerprints_for
    from automigrate_ext.declared.selection import select
    from automigrate_ext.run import basis

    selection = select(None, "default", apps)
    names = [model._meta.db_table for model in selection.models]
    fingerprints = fingerprints_for("default")
    assert fingerprints is not None
    sides: dict[str, Callable[[], object]] = {
        "ours": is_actual,
        "compared": lambda: is_actual(fingerprint=False),
        "fingerprint": lambda: fingerprints.read(names, []),
        "digest": lambda: (basis.of_basis(selection), basis.of_models(selection)),
    }
    with CaptureQueriesContext(connection) as captured:
        assert is_actual()
    least = dict.fromkeys(sides, float("inf"))
    for _ in range(rounds + 1):  # the first of them loads and connects
        for name, side in sides.items():
            started = time.perf_counter()
            side()
            least[name] = min(least[name], time.perf_counter() - started)
    return {**least, "queries": len(captured)}


def measure(database: Database, directory: Path, models: int, rounds: int) -> tuple[bool, list[str]]:
    """Return whether the targets were reached, and the row of the table."""
    project = generate_models(directory / database.name, models)
    url = database.create("nothing")
    for arguments in PREPARATIONS:
        Command(arguments=arguments, project=project, prepare=lambda: url).run()
    done = run_python(("-m", "benchmarks.nothing", "--in-process", "--rounds", str(rounds)), project, url)
    database.drop("nothing")
    found = json.loads(done.output)
    of_comparison = found["ours"] / found["compared"]
    of_parts = found["ours"] / (found["fingerprint"] + found["digest"])
    target = TARGETS[database.name]
    times = [f"{1000 * found[name]:.0f} ms" for name in ("ours", "compared", "fingerprint", "digest")]
    row = [database.name, str(models), *times[:2], ratio(of_comparison), ratio(target), *times[2:], ratio(of_parts)]
    return of_comparison <= target and of_parts <= TARGET_OF_PARTS, [*row, str(int(found["queries"]))]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nothing", description=__doc__)
    parser.add_argument("--database", nargs="+", choices=DATABASES, default=DATABASES[:3])
    parser.add_argument("--models", type=int, default=MODELS)
    parser.add_argument("--rounds", type=int, default=5, help="how often each side is measured; the least counts")
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.in_process:
        print(json.dumps(in_process(options.rounds)))
        return 0
    rows, missed = [], False
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        databases = stack.enter_context(running(options.database, directory)).values()
        versions = [database.version() for database in databases]
        for database in databases:
            reached, row = measure(database, directory, options.models, options.rounds)
            rows.append(row)
            missed = missed or not reached
    print(", ".join(f"{name}: {value}" for name, value in facts(versions).items()), "\n")
    print(*table(HEADINGS, rows), sep="\n")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
