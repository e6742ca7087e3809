"""Measure how long tests wait for their database, made in every way there is: ``python -m benchmarks.bootstrap``.

The projects are a generated one and, where they are installed, Wagtail and Oscar
(``pip install wagtail django-oscar easy_thumbnails``).
What is measured is the set-up of the first test, as pytest times it; with four processes, that of the slowest one.
Beside it stands the processor time that this takes in the test process, which says more than seconds where others use
the machine, and leaves out what the server does. The exit status is 1 if a target was missed.
"""

import argparse
import json
import re
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.databases import PREFIX, Database, Sqlite, mariadb, mysql, postgresql
from benchmarks.measure import run_python
from benchmarks.report import facts, ratio, seconds, table
from tests.testing.project import generate

#: An app whose model has a field more or less, as the environment says, in each of the projects.
CHANGING = """\
import os

from django.db import models


class Changing(models.Model):
    name = models.CharField(max_length=50)
    if os.environ.get("BENCHMARK_EXTRA") == "1":
        extra = models.IntegerField(null=True)
"""

TESTS = """\
import pytest
from changing.models import Changing


@pytest.mark.django_db
@pytest.mark.parametrize("number", range(8))
def test_row(number):
    Changing.objects.create(name="one")
    assert list(Changing.objects.values_list("name", flat=True)) == ["one"]
"""

#: Writes down the longest set-up, which is that of a worker's first test, and the processor time of making databases.
CONFTEST = """\
import os
import time

import pytest

longest = 0.0
processor = 0.0


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(fixturedef):
    global processor
    before = time.process_time()
    try:
        return (yield)
    finally:
        if fixturedef.argname == "django_db_setup":
            processor = time.process_time() - before


def pytest_runtest_logreport(report):
    global longest
    if report.when == "setup":
        longest = max(longest, report.duration)


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        print(f"\\nlongest set-up: {longest:.4f} processor: {processor:.4f}")
"""

DATABASE = """
import os as _os
from tests.database_url import parse_database_url as _parse

SECRET_KEY = "benchmark"
USE_TZ = True
STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": _parse(_os.environ["DATABASE_URL"])}
DATABASES["default"]["TEST"] = {"NAME": _os.environ["TEST_NAME"]}
INSTALLED_APPS = [*INSTALLED_APPS, "changing"]
"""

WAGTAIL = """\
INSTALLED_APPS = [
    "wagtail.contrib.forms", "wagtail.contrib.redirects", "wagtail.contrib.settings", "wagtail.embeds",
    "wagtail.sites", "wagtail.users", "wagtail.snippets", "wagtail.documents", "wagtail.images", "wagtail.search",
    "wagtail.admin", "wagtail", "modelcluster", "taggit", "django.contrib.admin", "django.contrib.auth",
    "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.messages",
    "django.contrib.staticfiles",
]
WAGTAIL_SITE_NAME = "benchmark"
WAGTAILADMIN_BASE_URL = "http://localhost"
"""

OSCAR = """\
from oscar.defaults import *

INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    "django.contrib.messages", "django.contrib.staticfiles", "django.contrib.sites", "django.contrib.flatpages",
    "oscar.config.Shop", "oscar.apps.analytics.apps.AnalyticsConfig", "oscar.apps.checkout.apps.CheckoutConfig",
    "oscar.apps.address.apps.AddressConfig", "oscar.apps.shipping.apps.ShippingConfig",
    "oscar.apps.catalogue.apps.CatalogueConfig", "oscar.apps.catalogue.reviews.apps.CatalogueReviewsConfig",
    "oscar.apps.communication.apps.CommunicationConfig", "oscar.apps.partner.apps.PartnerConfig",
    "oscar.apps.basket.apps.BasketConfig", "oscar.apps.payment.apps.PaymentConfig",
    "oscar.apps.offer.apps.OfferConfig", "oscar.apps.order.apps.OrderConfig",
    "oscar.apps.customer.apps.CustomerConfig", "oscar.apps.search.apps.SearchConfig",
    "oscar.apps.voucher.apps.VoucherConfig", "oscar.apps.wishlists.apps.WishlistsConfig",
    "oscar.apps.dashboard.apps.DashboardConfig",
    *(
        f"oscar.apps.dashboard.{name}.apps.{name.capitalize()}DashboardConfig"
        for name in (
            "reports", "users", "orders", "catalogue", "offers", "partners", "pages", "ranges", "reviews", "vouchers",
            "communications", "shipping",
        )
    ),
    "widget_tweaks", "haystack", "treebeard", "easy_thumbnails", "django_tables2",
]
HAYSTACK_CONNECTIONS = {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}}
SITE_ID = 1
"""

#: The projects by their names: which package they need, and their settings.
APPLICATIONS = {"wagtail": ("wagtail", WAGTAIL), "oscar": ("oscar", OSCAR)}

OURS = "--automigrate"
#: The ways to a test database: the options of pytest.
MODES: Mapping[str, Sequence[str]] = {
    "migrations": (),
    "--nomigrations": ("--nomigrations",),
    "fresh": (OURS,),
    "--reuse-db with migrations": ("--reuse-db",),
    "kept, unchanged": (OURS, "--reuse-db"),
    "kept, one model changed": (OURS, "--reuse-db"),
}
#: The ways that run migrations, be it only once.
MIGRATING = ("migrations", "--reuse-db with migrations")
#: The ways that take long, and of which one run says enough.
SLOW = ("migrations",)
WORKERS = ("-n", "4")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """One set-up: its seconds, the processor time of this process, and what was said of databases."""

    seconds: float
    processor: float
    built: float | None = None
    copied: tuple[float, ...] = ()


@dataclass(slots=True, kw_only=True)
class Results:
    """The set-ups of each way in one project on one database, by whether four processes share the work."""

    project: str
    database: str
    serial: dict[str, list[SetUp]] = field(default_factory=dict)
    parallel: dict[str, list[SetUp]] = field(default_factory=dict)

    def median(self, mode: str, *, parallel: bool = False) -> float | None:
        """The median of the seconds, None where the way was not measured."""
        found = (self.parallel if parallel else self.serial).get(mode)
        return statistics.median(taken.seconds for taken in found) if found else None

    def processor(self, mode: str) -> float | None:
        """The median of the processor time, for one process."""
        found = self.serial.get(mode)
        return statistics.median(taken.processor for taken in found) if found else None

    def targets(self) -> Iterator[tuple[str, float, float, float]]:
        """What is to be reached: the words for it, seconds and processor time as measured, and the limit."""
        for words, limit, measured in TARGETS:
            wall, processor = measured(self.median), measured(self.processor)
            if wall is not None and processor is not None:
                yield words, wall, processor, limit

    def shared_out(self) -> Iterator[tuple[str, float]]:
        """What the processes said of one database: how long it took to be built, and to be copied."""
        every = [taken for found in self.parallel.values() for taken in found]
        for words, found in (
            ("built", [taken.built for taken in every if taken.built]),
            ("copied", [second for taken in every for second in taken.copied]),
        ):
            if found:
                yield words, statistics.median(found)


#: What becomes of a database for several processes.
SHARED = ("built", "copied")

Measured = Callable[[str], float | None]


def part(measured: Measured, above: str, below: str, without: str = "") -> float | None:
    """The share that one way has of another, after the time of a third was taken off."""
    upper, lower, less = measured(above), measured(below), measured(without) if without else 0.0
    return None if upper is None or lower is None or less is None else (upper - less) / lower


#: What is to be reached: the words for it, the limit, and how it is worked out.
TARGETS: Sequence[tuple[str, float, Callable[[Measured], float | None]]] = (
    ("fresh / `--nomigrations`", 0.75, lambda of: part(of, "fresh", "--nomigrations")),
    ("kept / `--reuse-db` with migrations", 0.3, lambda of: part(of, "kept, unchanged", "--reuse-db with migrations")),
    (
        "(changed - kept) / `--nomigrations`",
        0.1,
        lambda of: part(of, "kept, one model changed", "--nomigrations", "kept, unchanged"),
    ),
)


def write_project(directory: Path, name: str) -> Path:
    """Write one of the projects, with the app that changes and the tests."""
    project = directory / name
    if name == "generated":
        generate(project, apps=5, models=12, fields=5)
        apps = (project / "settings.py").read_text().partition("DATABASES =")[0]
        (project / "tests.py").unlink()
        (project / "test_project.py").unlink()
    else:
        project.mkdir()
        apps = APPLICATIONS[name][1]
    (project / "settings.py").write_text(apps + DATABASE)
    (project / "urls.py").write_text("urlpatterns = []\n")
    (project / "conftest.py").write_text(CONFTEST)
    (project / "test_first.py").write_text(TESTS)
    package = project / "changing"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "models.py").write_text(CHANGING)
    return project


def measure(project: Path, database: Database, name: Callable[[str], str], runs: int, modes: Sequence[str]) -> Results:
    """Measure the ways in turn."""
    results = Results(project=project.name, database=database.name)
    url = database.create("production")
    for parallel, found in ((False, results.serial), (True, results.parallel)):
        # What is kept has to be there before it is kept.
        for mode in modes:
            if "--reuse-db" in MODES[mode]:
                setup(project, url, mode, name, "0", parallel=parallel)
        for number in range(runs):
            for mode in modes:
                if mode in SLOW and number:
                    continue
                extra = str((number + 1) % 2) if mode == "kept, one model changed" else "0"
                taken = setup(project, url, mode, name, extra, parallel=parallel)
                found.setdefault(mode, []).append(taken)
                print(f"{project.name} {database.name} {mode} {parallel}: {taken}", file=sys.stderr, flush=True)
    return results


def setup(project: Path, url: str, mode: str, name: Callable[[str], str], extra: str, *, parallel: bool) -> SetUp:
    """Run pytest and return the longest set-up. Raises where more than one process built."""
    options = (*MODES[mode], *(WORKERS if parallel else ()))
    base = ("-m", "pytest", "-v", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir=.", "-s", "test_first.py")
    slug = f"{'n' if parallel else ''}{list(MODES).index(mode)}"
    environment = {"TEST_NAME": name(f"{project.name}_{slug}"), "BENCHMARK_EXTRA": extra, "PYTEST_ADDOPTS": ""}
    run = run_python([*base, *options], project, url, environment)
    built = re.findall(r"tables? created in ([\d.]+) s", run.output)
    changed = re.findall(r"changes? applied in", run.output)
    assert len(built) + len(changed) <= 1, run.output
    taken, _, processor = run.output.rpartition("longest set-up: ")[2].split()
    return SetUp(
        seconds=float(taken),
        processor=float(processor),
        built=float(built[0]) if built else None,
        copied=tuple(map(float, re.findall(r"copied from '.*' in ([\d.]+) s", run.output))),
    )


def markdown(all_results: Sequence[Results], servers: Sequence[str]) -> str:
    """The measurements as tables."""
    lines = [", ".join(f"{name}: {value}" for name, value in facts(servers).items()), ""]
    headings = ["project", "database", "processes", *MODES]
    rows = [
        [
            results.project,
            results.database,
            words,
            *(seconds(results.median(mode, parallel=parallel)) for mode in MODES),
        ]
        for results in all_results
        for words, parallel in (("1", False), ("4", True))
    ]
    lines += table(headings, rows)
    lines += ["", "Processor time of the test process in this, for one process:", ""]
    rows = [[r.project, r.database, *(seconds(r.processor(mode)) for mode in MODES)] for r in all_results]
    lines += table(["project", "database", *MODES], rows)
    targets = [
        [results.project, results.database, words, ratio(wall), ratio(processor), ratio(limit)]
        for results in all_results
        for words, wall, processor, limit in results.targets()
    ]
    lines += ["", *table(("project", "database", "ratio", "seconds", "processor time", "target"), targets)]
    shared = [[r.project, r.database, *(seconds(dict(r.shared_out()).get(w)) for w in SHARED)] for r in all_results]
    lines += ["", "With four processes:", "", *table(("project", "database", *SHARED), shared)]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bootstrap", description=__doc__)
    known = ["generated", *(name for name, (package, _) in APPLICATIONS.items() if find_spec(package))]
    parser.add_argument("--project", nargs="+", choices=known, default=known)
    databases_known = ("sqlite", "postgresql", "mariadb", "mysql")
    parser.add_argument("--database", nargs="+", choices=databases_known, default=["postgresql"])
    parser.add_argument("--without-migrations", action="store_true", help="leave out the ways that run migrations")
    parser.add_argument("--runs", type=int, default=3, help="runs of each way, of which the median counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all measurements to a file")
    options = parser.parse_args()
    modes = [mode for mode in MODES if not (options.without_migrations and mode in MIGRATING)]
    all_results, servers = [], []
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        projects = [write_project(directory, name) for name in options.project]
        databases: list[tuple[Database, Callable[[str], str]]] = []
        if "sqlite" in options.database:
            databases.append((Sqlite(directory), lambda slug: str(directory / f"{slug}.sqlite3")))
        if "postgresql" in options.database:
            databases.append((stack.enter_context(postgresql()), lambda slug: PREFIX + slug))
        if "mariadb" in options.database:
            databases.append((stack.enter_context(mariadb()), lambda slug: PREFIX + slug))
        if "mysql" in options.database:
            databases.append((stack.enter_context(mysql()), lambda slug: PREFIX + slug))
        for database, name in databases:
            servers.append(database.version())
            all_results += [measure(project, database, name, options.runs, modes) for project in projects]
    print(markdown(all_results, servers))
    if options.json:
        content: list[Any] = [asdict(results) for results in all_results]
        options.json.write_text(json.dumps(content, indent=2) + "\n")
    missed = [words for results in all_results for words, wall, _, limit in results.targets() if wall > limit]
    for words in missed:
        print(f"missed: {words}", file=sys.stderr)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
