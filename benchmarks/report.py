"""Results as Markdown tables and as JSON."""

import json
import os
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.cases import Comparison

HEADINGS = (
    "case",
    "database",
    "size",
    "this package",
    "Django",
    "time ratio",
    "processor time",
    "Django's",
    "ratio",
    "target",
    "memory",
    "Django's memory",
    "memory ratio",
    "target",
    "queries",
)


def facts(servers: Sequence[str]) -> dict[str, str]:
    """Return what the numbers depend on, without naming the machine."""
    return {
        "Python": platform.python_version(),
        "Django": version("Django"),
        "databases": ", ".join(servers),
        "processors": str(os.cpu_count()),
    }


def markdown(comparisons: Sequence[Comparison], servers: Sequence[str]) -> str:
    lines = [", ".join(f"{name}: {value}" for name, value in facts(servers).items()), ""]
    lines += table(HEADINGS, [row(comparison) for comparison in comparisons])
    references = [comparison for comparison in comparisons if comparison.reference]
    if references:
        lines += ["", "For scale, in the same runs:", ""]
        headings = ("database", "size", "`django.setup()` alone", "plain queries for the whole catalog")
        lines += table(headings, list(map(reference_row, references)))
    return "\n".join(lines)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for cells in rows:
        yield f"| {' | '.join(cells)} |"


def row(comparison: Comparison) -> list[str]:
    django = comparison.django
    return [
        comparison.case,
        comparison.database,
        comparison.size,
        seconds(comparison.ours.seconds),
        seconds(django.seconds if django else None),
        ratio(comparison.time_ratio),
        seconds(comparison.ours.processor),
        seconds(django.processor if django else None),
        ratio(comparison.processor_ratio),
        ratio(comparison.time_target),
        megabytes(comparison.ours.peak_memory),
        megabytes(django.peak_memory if django else None),
        ratio(comparison.memory_ratio),
        ratio(comparison.memory_target),
        "" if comparison.queries is None else str(comparison.queries),
    ]


def reference_row(comparison: Comparison) -> list[str]:
    reference = comparison.reference or {}
    return [
        comparison.database,
        comparison.size,
        *map(seconds, (reference["start-up"], reference["catalog"])),
    ]


def seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"


def megabytes(value: float | None) -> str:
    return "" if value is None else f"{value / 1e6:.0f} MB"


def ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def write_json(path: Path, comparisons: Sequence[Comparison], servers: Sequence[str]) -> None:
    content = {"facts": facts(servers), "results": [as_json(comparison) for comparison in comparisons]}
    path.write_text(json.dumps(content, indent=2) + "\n")


def as_json(comparison: Comparison) -> dict[str, object]:
    return {
        "case": comparison.case,
        "database": comparison.database,
        "size": comparison.size,
        "ours": comparison.ours.as_json(),
        "django": comparison.django.as_json() if comparison.django else None,
        "time_ratio": comparison.time_ratio,
        "processor_ratio": comparison.processor_ratio,
        "time_target": comparison.time_target,
        "memory_ratio": comparison.memory_ratio,
        "memory_target": comparison.memory_target,
        "queries": comparison.queries,
        "reference": comparison.reference,
        "reached": comparison.reached,
    }
