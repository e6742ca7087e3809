"""Run processes and measure them: wall time and peak memory, in turn and several times."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# ru_maxrss counts kilobytes on Linux and bytes on macOS.
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class CommandFailed(Exception):
    """A measured command ended with another status than zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a process."""

    seconds: float
    peak_memory: int  # bytes
    output: str
    processor: float = 0.0  # seconds, of the process and those that it started


@dataclass(slots=True)
class Runs:
    """Several runs of the same process."""

    runs: list[Run] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return statistics.median(run.seconds for run in self.runs)

    @property
    def processor(self) -> float:
        return statistics.median(run.processor for run in self.runs)

    @property
    def peak_memory(self) -> float:
        return statistics.median(run.peak_memory for run in self.runs)

    def as_json(self) -> dict[str, object]:
        return {
            "seconds": [round(run.seconds, 4) for run in self.runs],
            "processor": [round(run.processor, 4) for run in self.runs],
            "peak_memory": [run.peak_memory for run in self.runs],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A process to measure, and what is done before each of its runs."""

    arguments: Sequence[str]
    project: Path
    prepare: Callable[[], str]  # returns the URL of the database
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self) -> Run:
        return run_python(self.arguments, self.project, self.prepare(), self.environment)


def run_python(arguments: Sequence[str], project: Path, url: str, environment: Mapping[str, str] | None = None) -> Run:
    """Run the interpreter in a project and measure the process."""
    # The peak memory of a child is at least that of its parent, so this process must stay the smaller one:
    # it must not import Django.
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=project,
            env=variables_of(project, url) | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise CommandFailed(f"{' '.join(arguments)} ended with status {process.returncode}:\n{text[-4000:]}")
    return Run(
        seconds=seconds,
        peak_memory=usage.ru_maxrss * MAXRSS_UNIT,
        output=text,
        processor=usage.ru_utime + usage.ru_stime,
    )


def variables_of(project: Path, url: str) -> dict[str, str]:
    """The environment of a process in a project."""
    path = os.pathsep.join([str(project), str(ROOT)])
    variables = os.environ | {"DATABASE_URL": url, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "settings"}
    # Whoever installs a package has it compiled; with this variable every process would compile ours again.
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    return variables


def alternate(commands: Mapping[str, Command], times: int) -> dict[str, Runs]:
    """Run the commands in turn, ``times`` times each, so that all meet the same weather."""
    results = {name: Runs() for name in commands}
    for _ in range(times):
        for name, command in commands.items():
            results[name].runs.append(command.run())
    return results
