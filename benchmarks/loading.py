"""Measure what a project waits for until `is_actual()` sends its first query: ``python -m benchmarks.loading``.

The project has 60 generated models and Django's own apps. What counts is processor time, and the least of all runs: in
a process from the end of `django.setup()` to the first query, beside `django.setup()` itself; and of the whole process
`autoupdate --check`, which finds nothing to do, beside `migrate --check`. The exit status is 1 if a target was missed.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.databases import Database, running
from benchmarks.measure import Command, alternate
from benchmarks.project import generate_models
from benchmarks.report import facts, ratio, table

MODELS = 60
#: Milliseconds from the end of `django.setup()` to the first query.
TARGET = 60.0
FIRST_QUERY = ("-m", "benchmarks.first_query")
CHECK = ("manage.py", "autoupdate", "--check")
DJANGO_CHECK = ("manage.py", "migrate", "--check")
#: What is done before the measurements: the tables, and the record of both sides.
PREPARATIONS = (("manage.py", "migrate", "--run-syncdb"), ("manage.py", "autoupdate", "--noinput"))
DATABASES = ("sqlite", "postgresql", "mariadb", "mysql")
HEADINGS = (
    "database",
    "`django.setup()`",
    "to the first query",
    "modules",
    "`autoupdate --check`",
    "`migrate --check`",
    "ratio",
)


def measure(database: Database, directory: Path, runs: int) -> tuple[float, list[str]]:
    """Return the milliseconds to the first query, and the row of the table."""
    project = generate_models(directory / database.name, MODELS)
    url = database.create("loading")
    for arguments in PREPARATIONS:
        Command(arguments=arguments, project=project, prepare=lambda: url).run()
    sides = {"first": FIRST_QUERY, "ours": CHECK, "django": DJANGO_CHECK}
    commands = {name: Command(arguments=words, project=project, prepare=lambda: url) for name, words in sides.items()}
    results = alternate(commands, runs)
    database.drop("loading")
    found = [json.loads(run.output) for run in results["first"].runs]
    set_up, first_query, modules = (min(each[name] for each in found) for name in ("set_up", "first_query", "modules"))
    ours, theirs = (1000 * min(run.processor for run in results[name].runs) for name in ("ours", "django"))
    cells = [*map(milliseconds, (set_up, first_query)), str(modules), *map(milliseconds, (ours, theirs))]
    return first_query, [database.name, *cells, ratio(ours / theirs)]


def milliseconds(value: float) -> str:
    return f"{value:.0f} ms"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading", description=__doc__)
    parser.add_argument("--database", nargs="+", choices=DATABASES, default=DATABASES[:3])
    parser.add_argument("--runs", type=int, default=15, help="how often each process is run; the least counts")
    options = parser.parse_args(arguments)
    rows, missed = [], False
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        databases = stack.enter_context(running(options.database, directory)).values()
        versions = [database.version() for database in databases]
        for database in databases:
            first_query, row = measure(database, directory, options.runs)
            rows.append(row)
            missed = missed or first_query > TARGET
    print(", ".join(f"{name}: {value}" for name, value in facts(versions).items()), "\n")
    print(*table(HEADINGS, rows), sep="\n")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
