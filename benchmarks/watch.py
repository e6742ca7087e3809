"""Measure how long it takes from a save to the end of the run under --watch: ``python -m benchmarks.watch``.

The project has 60 generated models and Django's own apps, and each save adds a field to one of the models. What counts
is the time on the clock until the command waits for changes again. The exit status is 1 if the median missed the
target.
"""

import argparse
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.databases import Database, Sqlite, postgresql
from benchmarks.measure import variables_of
from benchmarks.project import generate_models
from benchmarks.report import facts, seconds, table

MODELS = 60
#: Seconds from save to done.
TARGET = 1.0
#: Seconds until the next save, in which the process for it gets ready.
REST = 2.0
APPS = """
from todo_demo import settings as _demo

INSTALLED_APPS = [*[name for name in _demo.INSTALLED_APPS if name != "todo_demo.todo"], "generated"]
MIDDLEWARE, TEMPLATES, STATIC_URL = _demo.MIDDLEWARE, _demo.TEMPLATES, _demo.STATIC_URL
"""
WAITING = "Waiting for changes"


class Watched:
    """A project, and the process that follows it."""

    def __init__(self, project: Path, url: str) -> None:
        self.models = project / "generated" / "models.py"
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "autoupdate", "--watch"],
            cwd=project,
            env=variables_of(project, url) | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def await_end(self) -> str:
        """What the run prints that ends next."""
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            if line.startswith(WAITING):
                return "".join(said)
            said.append(line)
        raise RuntimeError(f"--watch ended: {''.join(said)}")

    def save(self, number: int) -> float:
        """Add a field to the last model; returns the seconds until that is done."""
        text = f"{self.models.read_text()}\n    extra{number} = models.IntegerField(null=True)\n"
        start = time.perf_counter()
        self.models.write_text(text)
        said = self.await_end()
        took = time.perf_counter() - start
        if f"Add column generated_model{MODELS - 1}.extra{number}" not in said:
            raise RuntimeError(f"The save was not carried out: {said}")
        return took


@contextmanager
def watching(database: Database, directory: Path) -> Iterator[Watched]:
    """A project on a new database, once its tables are there."""
    project = generate_models(directory / database.name, MODELS)
    with (project / "settings.py").open("a") as settings:
        settings.write(APPS)
    watched = Watched(project, database.create("watch"))
    try:
        watched.await_end()
        yield watched
    finally:
        watched.process.send_signal(signal.SIGINT)
        watched.process.communicate()
        database.drop("watch")


def measure(database: Database, directory: Path, saves: int) -> list[float]:
    """The seconds of each save."""
    with watching(database, directory) as watched:
        found = []
        for number in range(saves):
            time.sleep(REST)
            found.append(watched.save(number))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watch", description=__doc__)
    parser.add_argument("--database", nargs="+", choices=("sqlite", "postgresql"), default=["sqlite", "postgresql"])
    parser.add_argument("--saves", type=int, default=10, help="how often the models are saved")
    options = parser.parse_args()
    rows, servers, missed = [], [], False
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        for name in options.database:
            database = Sqlite(directory) if name == "sqlite" else stack.enter_context(postgresql())
            servers.append(database.version())
            found = measure(database, directory, options.saves)
            rows.append([name, str(len(found)), *map(seconds, (min(found), statistics.median(found), max(found)))])
            missed = missed or statistics.median(found) > TARGET
    print(", ".join(f"{name}: {value}" for name, value in facts(servers).items()), "\n")
    print(*table(("database", "saves", "least", "median", "most"), rows), sep="\n")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
