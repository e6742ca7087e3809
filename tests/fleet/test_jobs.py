"""Runs over many targets by several processes of this machine."""

import os
import random
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from django.db import connections, models, transaction

from automigrate_ext import AutomigrateError, autoupdate
from automigrate_ext.fleet.targets import Target
from tests.acceptance.helper import item
from tests.conftest import url_of
from tests.fleet.shop import Shop, names

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="sees processes in /proc")

#: What the run in a process prints: the statuses of all targets.
RUN = """
import sys
from automigrate_ext import TargetsFailed, autoupdate
{before}
try:
    report = autoupdate(targets=True, jobs={jobs}, notify=lambda text: print("NOTE", text, file=sys.stderr))
except TargetsFailed as failed:
    report = failed.report
for outcome in report.outcomes.values():
    print(outcome.target, outcome.status, outcome.reason)
"""


@pytest.fixture
def shop(postgresql, tmp_path):
    return Shop(tmp_path / "project", postgresql.alias, url_of(postgresql))


def children(pid):
    """The processes that a process has started."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def statuses(child):
    return dict(line.split(" ", 1) for line in child.out.splitlines())


class Counter(threading.Thread):
    """Counts the connections to the database of a test besides its own, until it is stopped."""

    def __init__(self, alias):
        super().__init__(daemon=True)
        self.parameters = connections[alias].get_connection_params()
        self.most = 0
        self.is_over = threading.Event()

    def run(self):
        keys = {"dbname", "host", "port", "user", "password"}
        with psycopg.connect(**{key: self.parameters[key] for key in keys & self.parameters.keys()}) as connection:
            while not self.is_over.is_set():
                self.most = max(self.most, others(connection))

    def stop(self):
        self.is_over.set()
        self.join()


def others(connection):
    """How many sessions there are in the database besides this one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        number = cursor.fetchone()[0]
    connection.commit()
    return number


def await_no_session(connection):
    """Wait until nobody else is connected: what a run has begun is done or undone then."""
    deadline = time.monotonic() + 20
    while others(connection):
        assert time.monotonic() < deadline, "a session stays"
        time.sleep(0.05)
    connection.close()


def test_no_more_connections_than_jobs(shop, postgresql):
    shop.make(names(60))
    counter = Counter(shop.alias)
    with shop.forking(2) as parent:
        counter.start()
        child = parent.command("autoupdate", "--tenants", "--jobs", "3")
        assert child.wait() == 0, child.err
    counter.stop()
    assert counter.most == 3
    assert "60 targets: 60 changed" in child.out
    shop.assert_done(names(60))


def test_nothing_to_do_starts_no_process(shop):
    shop.make(names(3))
    before = "import multiprocessing.process as p; p.BaseProcess.start = None"
    with shop.forking(1) as parent:
        for jobs in (1, 3):
            child = parent.fork(RUN.format(before=before, jobs=jobs))
            assert child.wait() == 0, child.err
    assert statuses(child) == dict.fromkeys(names(3), "matches ")


def test_process_with_threads_starts_new_ones(shop):
    """A fork copies no thread, and whatever lock it has stays held."""
    shop.make(names(8))
    before = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"
    with shop.forking(2) as parent:
        child = parent.fork(RUN.format(before=before, jobs=2))
        assert child.wait() == 0, child.err
    assert statuses(child) == dict.fromkeys(names(8), "changed ")
    assert "Warning" not in child.err
    shop.assert_done(names(8))


@pytest.mark.parametrize("seed", range(3))
def test_killed_job_is_replaced(shop, seed):
    chance = random.Random(seed)
    shop.make(names(40))
    killed = 0
    with shop.forking(2) as parent:
        child = parent.command("autoupdate", "--tenants", "--jobs", "2")
        while not (jobs := children(child.pid)):
            time.sleep(0.005)
        time.sleep(chance.random() * 0.3)
        for job in children(child.pid)[: 1 + seed % 2]:
            with suppress(ProcessLookupError):
                os.kill(job, signal.SIGKILL)
                killed += 1
        assert jobs
        assert child.wait() == 0, child.err
    assert killed or "40 changed" in child.out
    shop.assert_done(names(40))


@pytest.mark.parametrize("seed", range(3))
def test_killed_run_is_finished_by_the_next_one(shop, postgresql, seed):
    chance = random.Random(seed)
    shop.make(names(40))
    with shop.forking(2) as parent:
        child = parent.command("autoupdate", "--tenants", "--jobs", "2")
        while not (jobs := children(child.pid)):
            time.sleep(0.005)
        time.sleep(chance.random() * 0.3)
        child.send(signal.SIGKILL)
        child.wait()
        await_no_session(postgresql)
        assert not [job for job in jobs if Path(f"/proc/{job}").exists() and not is_zombie(job)]
        again = parent.command("autoupdate", "--tenants", "--jobs", "2")
        assert again.wait() == 0, again.err
    shop.assert_done(names(40))


def is_zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_interrupted_run_ends_its_processes_and_reports(shop, postgresql):
    shop.make(names(60))
    with shop.forking(2) as parent:
        child = parent.command("autoupdate", "--tenants", "--jobs", "2")
        while not children(child.pid):
            time.sleep(0.005)
        time.sleep(0.1)
        child.send(signal.SIGINT)
        assert child.wait() == 130, child.err
        assert "60 targets:" in child.out and "not begun" in child.out
        assert "Traceback" not in child.err
        await_no_session(postgresql)
        again = parent.command("autoupdate", "--tenants", "--jobs", "2")
        assert again.wait() == 0, again.err
    shop.assert_done(names(60))


def test_target_that_ends_processes_fails_alone(shop):
    shop.make(names(15))
    before = """
import os, signal
from automigrate_ext.fleet.work import Worker
repeat = Worker.repeat
def fatal(self, target, recipe, *, creates):
    if target.name == "tenant_007":
        os.kill(os.getpid(), signal.SIGKILL)
    return repeat(self, target, recipe, creates=creates)
Worker.repeat = fatal
"""
    with shop.forking(2) as parent:
        child = parent.fork(RUN.format(before=before, jobs=2))
        assert child.wait() == 0, child.err
    found = statuses(child)
    reason = found.pop("tenant_007")
    assert reason.startswith("failed") and "SIGKILL" in reason
    others = [name for name in names(15) if name != "tenant_007"]
    assert found.keys() == set(others) and not [end for end in found.values() if end.startswith("failed")]
    shop.assert_done(others)


def test_error_that_nobody_expects_fails_the_targets_with_it(shop):
    shop.make(names(15))
    before = """
from automigrate_ext.fleet.work import Worker
repeat = Worker.repeat
def broken(self, target, recipe, *, creates):
    if target.name == "tenant_007":
        raise ValueError("out of ink")
    return repeat(self, target, recipe, creates=creates)
Worker.repeat = broken
"""
    with shop.forking(2) as parent:
        child = parent.fork(RUN.format(before=before, jobs=2))
        assert child.wait() == 0, child.err
    found = statuses(child)
    assert found["tenant_007"] == "failed ValueError: out of ink"
    assert found.keys() == set(names(15))
    assert "Traceback" in child.err


def test_server_with_fewer_connections_than_jobs(shop, postgresql):
    role = f"few_{postgresql.settings_dict['NAME']}"
    database = postgresql.ops.quote_name(postgresql.settings_dict["NAME"])
    with postgresql.cursor() as cursor:
        cursor.execute(f'CREATE ROLE "{role}" LOGIN CONNECTION LIMIT 2')
        cursor.execute(f'GRANT ALL ON DATABASE {database} TO "{role}"')
        cursor.execute(f'GRANT ALL ON SCHEMA public TO "{role}"')
    try:
        shop.make(names(40))
        with postgresql.cursor() as cursor:
            for name in names(40):
                cursor.execute(f'ALTER SCHEMA {name} OWNER TO "{role}"')
            cursor.execute("SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname LIKE 'tenant%'")
            for (table,) in cursor.fetchall():
                cursor.execute(f'ALTER TABLE {table} OWNER TO "{role}"')
        postgresql.close()
        before = f"from django.db import connections; connections['default'].settings_dict['USER'] = {role!r}"
        with shop.forking(2) as parent:
            child = parent.fork(RUN.format(before=before, jobs=4))
            assert child.wait() == 0, child.err
        assert statuses(child) == dict.fromkeys(names(40), "changed "), child.err
        assert "going on with 2 processes" in child.err
        shop.assert_done(names(40))
    finally:
        await_no_session(postgresql)
        with postgresql.cursor() as cursor:
            cursor.execute(f'REASSIGN OWNED BY "{role}" TO CURRENT_USER; DROP OWNED BY "{role}"; DROP ROLE "{role}"')


def test_databases_made_at_run_time(shop, postgresql):
    before = f"""
from automigrate_ext.fleet import call
from automigrate_ext.fleet.targets import Target
def target(n):
    settings = {{"ENGINE": "django.db.backends.sqlite3", "NAME": {str(shop.directory)!r} + f"/{{n}}.sqlite3"}}
    return Target(name=f"file_{{n}}", alias=f"file_{{n}}", settings=settings)
call.project_targets = lambda: tuple(target(n) for n in range(7))
from multiprocessing.process import BaseProcess
start = BaseProcess.start
def loud_start(self):
    print("PROCESS", file=sys.stderr)
    start(self)
BaseProcess.start = loud_start
"""
    after = """
for shape in report.shapes.values():
    print(sorted(shape.targets), "with a plan" if shape.plan else "", file=sys.stderr)
"""
    files = [f"file_{n}" for n in range(7)]
    for step, end in ((1, "changed "), (2, "changed "), (2, "matches ")):
        with shop.forking(step) as parent:
            child = parent.fork(RUN.format(before=before, jobs=3) + after)
            assert child.wait() == 0, child.err
        assert statuses(child) == dict.fromkeys(files, end), child.err
        if end == "changed ":
            assert child.err == "PROCESS\n" * 3 + f"{files} with a plan\n"


# What cannot be done


def file_target(name):
    return Target(name="one", alias="one", settings={"ENGINE": "django.db.backends.sqlite3", "NAME": str(name)})


def test_not_within_a_transaction(tmp_path, sqlite):
    with transaction.atomic(using=sqlite.alias), pytest.raises(AutomigrateError, match="atomic"):
        autoupdate(targets=[file_target(tmp_path / "one")], jobs=2)
    assert not (tmp_path / "one").exists()


def test_not_in_memory(sqlite):
    with pytest.raises(AutomigrateError, match="'one' is in the memory of this process"):
        autoupdate(targets=[file_target(":memory:")], jobs=2)


@pytest.mark.parametrize("number", [0, -1])
def test_number_of_jobs(tmp_path, sqlite, number):
    with pytest.raises(AutomigrateError, match="1 or more"):
        autoupdate(targets=[file_target(tmp_path / "one")], jobs=number)


def test_other_models_need_a_fork(tmp_path, sqlite):
    models_of = item(name=models.CharField(max_length=20)).apps
    is_over = threading.Event()
    other = threading.Thread(target=is_over.wait)
    other.start()
    try:
        with pytest.raises(AutomigrateError, match="threads"):
            autoupdate(targets=[file_target(tmp_path / "one")], jobs=2, apps=models_of)
    finally:
        is_over.set()
        other.join()
    assert not (tmp_path / "one").exists()
