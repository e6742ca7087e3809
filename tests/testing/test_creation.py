"""Test databases in several processes: made once, copied again when a copy is stale, whole or not there."""

import os
import signal

import pytest

from automigrate_ext.backends import copies_for
from automigrate_ext.testing.creation import TestRun
from automigrate_ext.testing.database import TestDatabase

WORKERS = ("-v", "-n", "2", "--dist=each", "-k", "columns")
OURS = ("--automigrate", "--reuse-db", *WORKERS)

#: Kills the process, with all that belong to it, in the middle of the n-th copy.
KILLER = """
import os, signal

if os.environ.get("KILL"):
    from automigrate_ext.backends.mysql import copies as mysql
    from automigrate_ext.backends.postgresql import copies as postgresql
    from automigrate_ext.backends.sqlite3 import copies as sqlite3

    def kill(*args, **options):
        os.killpg(0, signal.SIGKILL)

    mysql.Copying.make_programs = kill
    sqlite3.os.replace = kill
    postgresql.PostgreSQLCopies.drop = kill
"""


def test_workers_share_one_build(project):
    # Nothing is kept: one builds, both copy, and nothing is left.
    result = project.pytest("--automigrate", *WORKERS)
    assert len(result.lines_with(" tables created in ")) == 1
    assert len(result.lines_with(" copied from ")) == 2
    assert project.existing("", "_gw0", "_gw1") == []

    # Kept: a copy is made again only when what it is of has changed.
    result = project.pytest(*OURS)
    assert len(result.lines_with(" tables created in ")) == 1 and len(result.lines_with(" copied from ")) == 2
    result = project.pytest(*OURS)
    assert len(result.lines_with(" up to date, ")) == 1 and not result.lines_with(" copied from ")
    project.add_field()
    assert "1 change applied in " in project.pytest("--automigrate", "--reuse-db", "-k", "columns").line()
    result = project.pytest(*OURS)
    assert len(result.lines_with(" up to date, ")) == 1 and len(result.lines_with(" copied from ")) == 2

    # A copy that something happened to is not used.
    dropped = "ALTER TABLE app1_model1 DROP COLUMN field3"
    project.pytest(*OURS, "-k", "cache", SQL=dropped).passed()
    result = project.pytest(*OURS)
    assert len(result.lines_with(" up to date, ")) == 1 and len(result.lines_with(" copied from ")) == 2


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_while_copying_leaves_no_half_of_a_copy(project):
    project.append_to_conftest(KILLER)
    assert project.pytest(*OURS, KILL="1").status == -signal.SIGKILL
    result = project.pytest(*OURS)
    assert len(result.lines_with(" copied from ")) == 2
    again = project.pytest(*OURS)
    assert len(again.lines_with(" up to date, ")) == 1 and not again.lines_with(" copied from ")


def test_made_anew_and_kept(project):
    # pytest-django says nothing of keeping to those who make databases then.
    anew = ("--automigrate", "--reuse-db", "--create-db", *WORKERS)
    project.pytest("--automigrate", "--reuse-db").passed()
    result = project.pytest(*anew)
    assert len(result.lines_with(" tables created in ")) == 1 and len(result.lines_with(" copied from ")) == 2
    assert len(project.existing("", "_gw0", "_gw1")) == 3
    result = project.pytest(*OURS)
    assert len(result.lines_with(" up to date, ")) == 1 and not result.lines_with(" copied from ")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_after_making_anew(on_sqlite):
    left = "INSERT INTO app1_model0 (id, name) VALUES (7, 'left behind')"
    on_sqlite.pytest("--automigrate", "--reuse-db", "--create-db", "-k", "columns", SQL=left, DIE="1")
    line = on_sqlite.pytest("--automigrate", "--reuse-db", "-k", "columns", SQL=left).line()
    assert line.endswith("because the run before was killed while it used it")


#: Presses Ctrl-C when the databases are there, as a terminal does.
INTERRUPTED = """
import os, signal

import pytest

if os.environ.get("INTERRUPT"):

    @pytest.fixture(scope="session", autouse=True)
    def interrupted(django_db_setup):
        os.killpg(0, signal.SIGINT)
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_interrupted_run_leaves_nothing(project):
    project.append_to_conftest(INTERRUPTED)
    result = project.pytest("--automigrate", *WORKERS, INTERRUPT="1")
    assert result.status == 2 and "KeyboardInterrupt" in result.out
    assert project.existing("", "_gw0", "_gw1") == []


#: A receiver of an app that fails.
FAILING = """
from django.db.models.signals import post_migrate


def fail(**options):
    raise LookupError("there is no such shop")


post_migrate.connect(fail)
"""


def test_each_worker_says_why_the_build_failed(project):
    (project.directory / "app0/management").mkdir()
    (project.directory / "app0/management/__init__.py").write_text(FAILING)
    result = project.pytest("--automigrate", *WORKERS)
    assert result.status == 1
    assert "there is no such shop" in result.out and "SystemExit" not in result.out
    assert project.existing("", "_gw0", "_gw1") == []


MEDDLER = """
import os

if os.environ.get("MEDDLE"):
    from dataclasses import replace
    from automigrate_ext.testing import stamp

    write_file = stamp.write_file

    def meddle(path, written):
        write_file(path, replace(written, version="of another run"))

    stamp.write_file = meddle
"""


def test_copy_of_what_another_run_has_changed_is_an_error(on_sqlite):
    on_sqlite.append_to_conftest(MEDDLER)
    result = on_sqlite.pytest("--automigrate", *WORKERS, MEDDLE="1")
    assert result.status == 1
    assert "was changed by another run of tests while this one made copies of it. Let the runs" in result.out


def test_release_passes_over_a_database_that_is_gone(connection, tmp_path):
    gone = str(tmp_path / "gone") if connection.vendor == "sqlite" else "automigrate_test_gone"
    run = TestRun(used=[TestDatabase(name=gone, template=gone, copies=copies_for(connection, print), stays=True)])
    run.release()
    assert not run.used
