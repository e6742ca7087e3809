"""Measure what a rehearsal adds to a plan of some fifteen changes on three tables, in process; print Markdown.

The other side is the same plan without its rehearsal, in the same process and in turn. The exit status is 1 if a
rehearsal takes longer than its target.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import django
from django.apps.registry import Apps
from django.conf import settings
from django.db import connections, models

from automigrate_ext import automigrate, make_plan
from automigrate_ext.backends import backend_for
from benchmarks.databases import Database, Sqlite, mariadb, mysql, postgresql
from tests.database_url import parse_database_url

APP = "shop"
DATABASES = ("sqlite", "postgresql", "mariadb", "mysql")
#: Milliseconds that a rehearsal may take at the median.
TARGET = 30.0


def text(length: int, **options: Any) -> models.Field:
    return models.CharField(max_length=length, **options)


def number(**options: Any) -> models.Field:
    return models.IntegerField(**options)


def key(to: str, **options: Any) -> models.Field:
    return models.ForeignKey(to, models.CASCADE, **options)


def big(**options: Any) -> models.Field:
    return models.BigIntegerField(**options)


def registry(**definitions: dict[str, Any]) -> Apps:
    apps = Apps()
    for name, fields in definitions.items():
        meta = type("Meta", (), {"apps": apps, "app_label": APP})
        type(name, (models.Model,), {"__module__": __name__, "Meta": meta, **fields})
    return apps


def before() -> Apps:
    return registry(
        Colour={"name": text(20)},
        Shelf={"name": text(20), "size": number(), "old": number(null=True)},
        Item={"name": text(20), "shelf": key("Shelf"), "size": number()},
        Note={"text": models.TextField(), "item": key("Item"), "old": number(null=True)},
    )


def after() -> Apps:
    return registry(
        Colour={"name": text(20)},
        Shelf={"name": text(40), "size": big(db_index=True), "new": number(null=True)},
        Item={"name": text(30, unique=True), "shelf": key("Shelf", null=True), "size": big(), "new": number(default=3)},
        Note={"text": models.TextField(null=True), "item": key("Item"), "colour": key("Colour", null=True)},
    )


def milliseconds(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def measure(database: Database, runs: int) -> tuple[int, float, float]:
    """Return the number of changes, and the median milliseconds of a plan with its rehearsal and of one without."""
    alias = database.name
    connections.databases[alias] = parse_database_url(database.create("rehearsal"))
    connections.settings[alias] = connections.configure_settings({"default": {}, alias: connections.databases[alias]})[
        alias
    ]
    wanted = after()
    automigrate(using=alias, apps=before())
    rehearsal = type(backend_for(alias).rehearsal)
    with_it, without = [], []
    changes = len(make_plan(using=alias, apps=wanted).changes)
    for _ in range(runs):
        with_it.append(milliseconds(lambda: make_plan(using=alias, apps=wanted)))
        with mock.patch.object(rehearsal, "play", lambda *_: ()):
            without.append(milliseconds(lambda: make_plan(using=alias, apps=wanted)))
    connections[alias].close()
    return changes, statistics.median(with_it), statistics.median(without)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rehearsal", description=__doc__)
    parser.add_argument("--database", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--runs", type=int, default=30, help="plans of each kind, of which the median counts")
    options = parser.parse_args()
    settings.configure(DATABASES={}, INSTALLED_APPS=["automigrate_ext"], USE_TZ=True)
    django.setup()
    missed = False
    print("| database | changes | plan, ms | without its rehearsal, ms | the rehearsal, ms |\n|---|---|---|---|---|")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        makers: dict[str, Callable[[], Database]] = {
            "sqlite": lambda: Sqlite(directory),
            "postgresql": lambda: stack.enter_context(postgresql()),
            "mariadb": lambda: stack.enter_context(mariadb()),
            "mysql": lambda: stack.enter_context(mysql()),
        }
        for name in options.database:
            changes, plan, without = measure(makers[name](), options.runs)
            missed |= plan - without > TARGET
            print(f"| {name} | {changes} | {plan:.0f} | {without:.0f} | {plan - without:.0f} |")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
