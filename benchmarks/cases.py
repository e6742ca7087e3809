"""What is measured: each case yields the rows of its table."""

import shutil
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.databases import Database, Postgresql
from benchmarks.measure import Command, Run, Runs, alternate, run_python
from benchmarks.project import MEASUREMENT_ROWS, generate_measurement, generate_models

SYNCDB = ("manage.py", "migrate", "--run-syncdb")
AUTOMIGRATE = ("manage.py", "automigrate", "--noinput")
AUTOUPDATE = ("manage.py", "autoupdate", "--noinput")
START_UP = ("-c", "import django; django.setup()")
COUNT_QUERIES = ("-m", "benchmarks.count_queries")
ALTER_FIELDS = ("-m", "benchmarks.alter_fields")
#: What is to be reached from empty with at least so many models, by the database: PostgreSQL takes a millisecond for a
#: table, whoever makes it. With fewer models, starting the interpreter and Django decides.
FROM_EMPTY = {"sqlite": 0.35, "mariadb": 0.35, "postgresql": 0.45}
MANY = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A command of this package beside what Django offers for the same."""

    case: str
    database: str
    size: str
    ours: Runs
    django: Runs | None = None
    time_target: float | None = None
    memory_target: float | None = None
    queries: int | None = None
    reference: dict[str, float] | None = None  # seconds of something else, for scale

    @property
    def time_ratio(self) -> float | None:
        return self.ours.seconds / self.django.seconds if self.django else None

    @property
    def processor_ratio(self) -> float | None:
        return self.ours.processor / self.django.processor if self.django and self.django.processor else None

    @property
    def memory_ratio(self) -> float | None:
        return self.ours.peak_memory / self.django.peak_memory if self.django else None

    @property
    def reached(self) -> bool:
        pairs = ((self.time_ratio, self.time_target), (self.memory_ratio, self.memory_target))
        return all(ratio is None or target is None or ratio <= target for ratio, target in pairs)


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def project_of(directory: Path, models: int) -> Iterator[Path]:
    project = generate_models(directory / f"project{models}", models)
    try:
        yield project
    finally:
        shutil.rmtree(project)


def nothing_to_do(database: Database, directory: Path, models: int, runs: int) -> Comparison:
    """Compare `autoupdate` with `migrate --run-syncdb` on a database where everything is there."""
    progress(f"nothing to do: {models} models on {database.name}")
    with project_of(directory, models) as project:
        url = database.create("nothing")
        run_python(SYNCDB, project, url)
        run_python(AUTOUPDATE, project, url)  # makes the table of its own
        ours = Command(arguments=AUTOUPDATE, project=project, prepare=lambda: url)
        theirs = Command(arguments=SYNCDB, project=project, prepare=lambda: url)
        start_up = Command(arguments=START_UP, project=project, prepare=lambda: url)
        alternate({"ours": ours, "django": theirs}, 1)  # warm up
        results = alternate({"ours": ours, "django": theirs, "start-up": start_up}, runs)
        counted = run_python([*COUNT_QUERIES, *AUTOUPDATE[1:]], project, url)
        catalog = statistics.median(database.read_catalog("nothing") for _ in range(runs))
        database.drop("nothing")
    return Comparison(
        case="nothing to do",
        database=database.name,
        size=f"{models} models",
        ours=results["ours"],
        django=results["django"],
        time_target=1.0,
        memory_target=1.5,
        queries=int(counted.output.split()[-1]),
        reference={"start-up": results["start-up"].seconds, "catalog": catalog},
    )


def from_empty(database: Database, directory: Path, models: int, runs: int) -> Sequence[Comparison]:
    """Compare `automigrate`, and a first `autoupdate`, with `migrate --run-syncdb` on an empty database.

    That is Django without this package, whose system check would compare the tables before it makes them.
    """
    progress(f"from empty: {models} models on {database.name}")
    with project_of(directory, models) as project:
        command = partial(Command, project=project, prepare=lambda: database.create("empty"))
        commands = {
            "automigrate": command(arguments=AUTOMIGRATE),
            "autoupdate": command(arguments=AUTOUPDATE),
            "django": command(arguments=SYNCDB, environment={"BENCHMARK_WITHOUT_PACKAGE": "1"}),
        }
        results = alternate(commands, runs)
        database.drop("empty")
    return [
        Comparison(
            case=f"from empty, {verb}",
            database=database.name,
            size=f"{models} models",
            ours=results[verb],
            django=results["django"],
            time_target=FROM_EMPTY.get(database.name) if models >= MANY else None,
        )
        for verb in ("automigrate", "autoupdate")
    ]


def many_tables(database: Postgresql, directory: Path, tables: int) -> Comparison:
    """Create, and create again, more tables than one transaction can lock on a server's default settings."""
    progress(f"many tables: {tables} on {database.name}")
    with project_of(directory, tables) as project:
        url = database.create("many")
        runs = Runs([run_python(AUTOMIGRATE, project, url)])
        progress("many tables: again, over the ones that are there")
        run_python([*AUTOMIGRATE, "--confirm", url.rpartition("/")[2]], project, url)
        run_python(["manage.py", "autoupdate", "--check"], project, url)
        database.drop("many")
    return Comparison(case="many tables", database=database.name, size=f"{tables} tables", ours=runs)


def changed_types(database: Postgresql, directory: Path, rows: int, runs: int) -> Comparison:
    """Compare `autoupdate` with three AlterField operations on identical tables."""
    progress(f"three type changes: {rows} rows on {database.name}")
    project = generate_measurement(directory / "measurement")
    url = database.create("rows")
    run_python(SYNCDB, project, url)
    run_python(AUTOUPDATE, project, url)
    run_python(["-c", FILL.format(rows=rows)], project, url)

    def copy() -> str:
        return database.create("changed", template="rows")

    after = {"BENCHMARK_STATE": "AFTER"}
    commands = {
        "ours": Command(arguments=AUTOUPDATE, project=project, prepare=copy, environment=after),
        "django": Command(arguments=ALTER_FIELDS, project=project, prepare=copy),
    }
    results = alternate(commands, runs)
    check_types(project, database.url_of("changed"))
    database.drop("changed")
    database.drop("rows")
    shutil.rmtree(project)
    return Comparison(
        case="three type changes",
        database=database.name,
        size=f"{rows} rows",
        ours=results["ours"],
        django=results["django"],
        time_target=0.45,
    )


FILL = f"""
import django
django.setup()
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute({MEASUREMENT_ROWS!r})
    cursor.execute("VACUUM ANALYZE generated_measurement")
"""


def check_types(project: Path, url: str) -> Run:
    """Fail unless both sides have done the same work: nothing is left to do for the models."""
    return run_python(["manage.py", "autoupdate", "--check"], project, url, {"BENCHMARK_STATE": "AFTER"})
