"""For pytest, on top of pytest-django: test databases made from the models. Quiet until it is asked for.

pytest loads this module in every project in whose environment the package is installed, and before pytest-django has
set Django up; so it imports neither Django nor pytest-django before a test asks for the database.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from automigrate_ext.testing.creation import TestRun

#: The fixture in which pytest-django, or a project in its stead, sets the databases up.
FIXTURE = "django_db_setup"
#: The fixture whose value is whether databases stay after the run.
STAYS = "django_db_keepdb"
#: The attribute in which a report carries the lines, and the entry of a worker's input with the shared directory.
LINES, SHARED = "automigrate_lines", "automigrate_shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("automigrate", "test databases made from the models (automigrate_ext)")
    group.addoption(
        "--automigrate",
        action="store_const",
        const=True,
        dest="automigrate",
        help="make test databases from the models, without migrations; --reuse-db brings kept ones up to date",
    )
    group.addoption(
        "--no-automigrate",
        action="store_const",
        const=False,
        dest="automigrate",
        help="make test databases as pytest-django does, whatever the ini file has",
    )
    parser.addini("automigrate", "make test databases from the models (see --automigrate)", type="bool", default=False)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    asked = config.getoption("automigrate")
    if not (config.getini("automigrate") if asked is None else asked):
        return
    if not config.pluginmanager.hasplugin("django"):
        raise pytest.UsageError("automigrate: pytest-django is needed to make test databases, and is not active.")
    sys.meta_path.insert(0, AsPythonDoes)
    config.add_cleanup(lambda: sys.meta_path.remove(AsPythonDoes))
    config.pluginmanager.import_plugin("automigrate_ext.testing.fixtures")
    config.pluginmanager.register(Databases(config), "automigrate-databases")


class AsPythonDoes:
    """Finds the modules of this package, so that they are loaded as they are outside of tests.

    pytest would load them as it does all modules of plugins, to explain their assertions: that takes half as long
    again, and many times as long where its bytecode cannot be written. See `AssertionRewritingHook` in pytest.
    """

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """Return where Python itself finds a module; None for those of other packages."""
        return PathFinder.find_spec(name, path, target) if name.startswith("automigrate_ext.") else None


class Databases:
    """The hooks of a run whose test databases are made from the models."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.lines: list[str] = []
        self.shared: Path | None = None

    @property
    def workerinput(self) -> dict[str, Any]:
        """The input that xdist gives a worker; empty in the process that starts the workers, or without xdist."""
        given: dict[str, Any] = getattr(self.config, "workerinput", {})
        return given

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Have the databases made from the models, whosever fixture sets them up."""
        __tracebackhide__ = True  # else every error in any fixture would show this
        if fixturedef.argname != FIXTURE:
            return (yield)
        # pytest loads this module in every project, before Django is set up.
        from automigrate_ext.testing.creation import bootstrapping

        run = self.new_run(request)
        with bootstrapping(run):
            result = yield
        run.begin()
        fixturedef.addfinalizer(lambda: self.release(run))
        self.lines += lines_of(run, self.config.option.verbose)
        return result

    def release(self, run: TestRun) -> None:
        """Record in the kept databases that the tests have ended."""
        with unblocked(self.config):
            run.release()

    def new_run(self, request: pytest.FixtureRequest) -> TestRun:
        """Return the run that this process is, or is a part of."""
        # See `pytest_fixture_setup`.
        from automigrate_ext.testing.creation import TestRun

        stays = bool(request.getfixturevalue(STAYS))
        if not self.workerinput:
            return TestRun(stays=stays)
        shared = Path(self.workerinput[SHARED])
        shared.mkdir(exist_ok=True)  # a worker on another host has none yet
        run, worker = self.workerinput["testrunuid"], self.workerinput["workerid"]
        return TestRun(identifier=run, worker=worker, shared=shared, stays=stays)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Send the lines along with the next report: that is how they get from a worker to the terminal."""
        report = yield
        if self.lines:
            setattr(report, LINES, self.lines)
            self.lines = []
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print the lines, where there is a terminal."""
        terminal = self.config.pluginmanager.getplugin("terminalreporter")
        lines = getattr(report, LINES, ())
        if lines and terminal and not self.workerinput and self.config.option.verbose >= 0:
            terminal.ensure_newline()
            writer = self.config.get_terminal_writer()
            if writer.width_of_current_line:  # with xdist the dots of others are no line of which the reporter knows
                writer.line()
            for line in lines:
                terminal.write_line(line)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Let the workers share a directory, which outlives all of them."""
        if self.shared is None:
            self.shared = Path(tempfile.mkdtemp(prefix="automigrate-"))
        node.workerinput[SHARED] = str(self.shared)

    def pytest_unconfigure(self) -> None:
        """Drop the databases that the workers copied, and the copies of interrupted workers, once all have ended."""
        if self.shared is None:
            return
        if any(self.shared.iterdir()):
            # See `pytest_fixture_setup`.
            from automigrate_ext.testing.creation import left_to_drop

            for alias, name in left_to_drop(self.shared):
                self.drop(alias, name)
        shutil.rmtree(self.shared)

    def drop(self, alias: str, name: str) -> None:
        """Drop a database; an error is printed, because the tests have ended and do not fail because of it."""
        # See `pytest_fixture_setup`.
        from django.db import DatabaseError, connections

        from automigrate_ext.backends import copies_for
        from automigrate_ext.waiting import ignore_message

        try:
            with unblocked(self.config):
                copies = copies_for(connections[alias], ignore_message)
                if copies.exists(name):
                    copies.drop(name)
        except DatabaseError as error:
            words = " ".join(str(error).split())
            self.config.get_terminal_writer().line(f"test database {name!r} could not be dropped: {words}")


@contextmanager
def unblocked(config: pytest.Config) -> Iterator[None]:
    """Have pytest-django allow the use of databases while the block runs."""
    # pytest-django is needed only where tests use databases.
    from pytest_django.plugin import blocking_manager_key

    with config.stash[blocking_manager_key].unblock():
        yield


def lines_of(run: TestRun, verbosity: int) -> Iterator[str]:
    """Yield a line for each database of a run; with -v also for copies, and with details of what was done."""
    for outcome in run.outcomes:
        if not outcome.source or verbosity >= 1:
            yield outcome.line()
        if verbosity >= 1:
            yield from outcome.details()
