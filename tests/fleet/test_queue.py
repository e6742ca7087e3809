"""Runs over many targets by workers of django.tasks."""

import importlib.util
import random
import signal
import time
from contextlib import ExitStack

import django
import psycopg
import pytest
from django.db import models, transaction

from automigrate_ext import AutomigrateError, automigrate, autoupdate
from automigrate_ext.backends.postgresql.session import TRY_PLACE, TRY_RUN, keys_of
from automigrate_ext.fleet.queue import is_worked_on
from automigrate_ext.fleet.targets import Target
from tests.acceptance.helper import item
from tests.conftest import url_of
from tests.fleet.shop import Shop, names

HAS_TASKS = django.VERSION >= (6, 0)
needs_tasks = pytest.mark.skipif(not HAS_TASKS, reason="django.tasks came with Django 6.0")
needs_workers = pytest.mark.skipif(
    not HAS_TASKS or importlib.util.find_spec("django_tasks_db") is None, reason="needs django-tasks-db"
)

IMMEDIATE, DUMMY = "django.tasks.backends.immediate.ImmediateBackend", "django.tasks.backends.dummy.DummyBackend"
DATABASE = 'EXTRA = ["django_tasks_db"]\nTASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}'
#: The packages of the workers change nothing in a tenant.
ROUTER = """
class Router:
    def allow_migrate(self, db, app_label, **hints):
        return app_label != "django_tasks_database"
"""
MAKE_TABLE = """
from django.db import connection
from django_tasks_db.models import DBTaskResult
with connection.schema_editor() as editor:
    editor.create_model(DBTaskResult)
"""
#: A run whose tasks count as lost after that many seconds.
RUN = """
import sys
from automigrate_ext import TargetsFailed, autoupdate
from automigrate_ext.fleet import queue
queue.do_by_queue.__kwdefaults__["patience"] = {patience}
{before}
try:
    report = autoupdate(targets=True, queue=True, notify=lambda text: print("NOTE", text, file=sys.stderr))
except TargetsFailed as failed:
    report = failed.report
for outcome in report.outcomes.values():
    print(outcome.target, outcome.status, outcome.reason)
"""


def statuses(child):
    return dict(line.split(" ", 1) for line in child.out.splitlines())


def backend(name):
    return f'EXTRA = []\nTASKS = {{"default": {{"BACKEND": "{name}"}}}}'


@pytest.fixture
def make_shop(postgresql, tmp_path):
    def make(extra):
        return Shop(tmp_path / "project", postgresql.alias, url_of(postgresql), extra)

    return make


@pytest.fixture
def shop(make_shop, postgresql):
    """The project with django-tasks-db."""
    shop = make_shop(f'{DATABASE}\nDATABASE_ROUTERS = ["shop.router.Router"]')
    (shop.directory / "shop" / "router.py").write_text(ROUTER)
    return shop


@pytest.fixture
def parent(shop):
    """A process that forks others with the models of the second step; the table of the tasks is in public."""
    with shop.forking(2) as parent:
        child = parent.fork(MAKE_TABLE)
        assert child.wait() == 0, child.err
        yield parent


@pytest.fixture
def workers(shop, parent):
    """Starts workers of the second step, which are ended after the test."""
    with ExitStack() as ends:

        def start(number, step=2):
            started = []
            for _ in range(number):
                worker = shop.start(step, "db_worker", "--interval", "0.05", "--no-startup-delay", "--no-reload")
                started.append(worker)
                ends.callback(worker.communicate)
                ends.callback(worker.kill)
            for worker in started:
                assert "Starting worker" in worker.stdout.readline()
            return started

        yield start


@needs_workers
def test_workers_do_the_batches(shop, parent, workers, postgresql):
    shop.make(names(120))
    workers(2)
    child = parent.command("autoupdate", "--tenants", "--queue")
    assert child.wait() == 0, child.err
    assert "120 targets: 120 changed" in child.out
    shop.assert_done(names(120))
    with postgresql.cursor() as cursor:
        cursor.execute(
            "SELECT status, count(*), count(DISTINCT worker_ids) FROM django_tasks_database_dbtaskresult GROUP BY 1"
        )
        assert cursor.fetchall() == [("SUCCESSFUL", 3, 2)]
        cursor.execute("SELECT args_kwargs::text FROM django_tasks_database_dbtaskresult LIMIT 1")
        assert "tenant_" in cursor.fetchone()[0]


@needs_workers
@pytest.mark.parametrize("seed", range(3))
def test_batch_of_a_killed_worker_is_done(shop, parent, workers, seed):
    """Its task stays RUNNING for ever."""
    chance = random.Random(seed)
    shop.make(names(120))
    first, _ = workers(2)
    child = parent.fork(RUN.format(before="", patience=1.5))
    time.sleep(chance.random() * 1.5)
    first.send_signal(signal.SIGKILL)
    assert child.wait() == 0, child.err
    ends = statuses(child)
    assert ends.keys() == set(names(120)) and set(ends.values()) <= {"changed ", "matches "}, child.err
    shop.assert_done(names(120))


@needs_workers
def test_killed_run_is_finished_by_the_next_one(shop, parent, workers):
    shop.make(names(60))
    workers(1)
    child = parent.command("autoupdate", "--tenants", "--queue")
    time.sleep(0.7)
    child.send(signal.SIGKILL)
    child.wait()
    again = parent.command("autoupdate", "--tenants", "--queue")
    assert again.wait() == 0, again.err
    shop.assert_done(names(60))


@needs_workers
def test_run_without_workers_does_the_work(shop, parent):
    shop.make(names(20))
    child = parent.fork(RUN.format(before="", patience=0.5))
    assert child.wait() == 0, child.err
    assert statuses(child) == dict.fromkeys(names(20), "changed ")
    assert "brought nothing for 0.5 s: sending it once more" in child.err
    assert "brought nothing for 0.5 s: doing it here" in child.err
    shop.assert_done(names(20))


@needs_workers
def test_task_that_comes_late_changes_nothing(shop, parent, workers, postgresql):
    """Tasks that nobody took up stay in the queue, while the tables go on."""
    shop.make(names(5))
    child = parent.fork(RUN.format(before="", patience=0.3))
    assert child.wait() == 0, child.err
    with postgresql.cursor() as cursor:
        cursor.execute("ALTER TABLE tenant_001.shop_thing DROP COLUMN code")
    postgresql.close()
    workers(1)
    deadline = time.monotonic() + 60
    while True:
        with postgresql.cursor() as cursor:
            cursor.execute("SELECT DISTINCT status FROM django_tasks_database_dbtaskresult")
            if cursor.fetchall() == [("SUCCESSFUL",)]:
                break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with postgresql.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM information_schema.columns WHERE table_name = 'shop_thing' AND column_name = 'code'"
        )
        assert cursor.fetchone() == (4,)


@needs_workers
def test_worker_with_other_models_leaves_the_work_to_the_run(shop, parent, workers):
    """A worker that was not restarted would make the tables of yesterday."""
    shop.make(names(10))
    workers(1, step=1)
    child = parent.fork(RUN.format(before="", patience=30))
    assert child.wait() == 0, child.err
    assert statuses(child) == dict.fromkeys(names(10), "changed ")
    assert "has other models, settings or versions than the run: doing it here" in child.err
    shop.assert_done(names(10))


@pytest.mark.parametrize("place", ["tenant_001", ""])
def test_lock_of_a_run_shows_that_a_target_is_worked_on(postgresql, place):
    """A task whose worker is at it is not lost, however long that takes."""
    target = Target(name="one", alias=postgresql.alias, schema="tenant_001")
    other = Target(name="other", alias=postgresql.alias, schema="tenant_002")
    with postgresql.cursor() as cursor:
        cursor.execute("CREATE SCHEMA tenant_001; CREATE SCHEMA tenant_002")
    parameters = postgresql.get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold"):
        parameters.pop(name, None)
    with psycopg.connect(**parameters) as connection, connection.cursor() as cursor:
        assert not is_worked_on(target)
        cursor.execute(TRY_PLACE if place else TRY_RUN, keys_of(place))
        assert is_worked_on(target)
        assert is_worked_on(other) == (place == "")
    assert not is_worked_on(target)


@needs_tasks
def test_backend_that_works_at_once(make_shop):
    shop = make_shop(backend(IMMEDIATE))
    shop.make(names(60))
    with shop.forking(2) as parent:
        child = parent.fork(RUN.format(before="", patience=30))
        assert child.wait() == 0, child.err
    assert statuses(child) == dict.fromkeys(names(60), "changed ")
    assert "NOTE" not in child.err
    shop.assert_done(names(60))


@needs_tasks
def test_backend_that_does_nothing(make_shop):
    shop = make_shop(backend(DUMMY))
    shop.make(names(6))
    with shop.forking(2) as parent:
        child = parent.fork(RUN.format(before="", patience=0.4))
        assert child.wait() == 0, child.err
    assert statuses(child) == dict.fromkeys(names(6), "changed ")
    assert "doing it here" in child.err
    shop.assert_done(names(6))


@needs_tasks
def test_task_that_fails_is_sent_once_more_and_then_done_here(make_shop):
    shop = make_shop(backend(IMMEDIATE))
    shop.make(names(6))
    before = """
from automigrate_ext.fleet import tasks
def fail(text):
    raise OSError("no paper")
tasks.worker_of = fail
"""
    with shop.forking(2) as parent:
        child = parent.fork(RUN.format(before=before, patience=30))
        assert child.wait() == 0, child.err
    assert statuses(child) == dict.fromkeys(names(6), "changed ")
    assert "failed (builtins.OSError): sending it once more" in child.err
    assert "failed (builtins.OSError): doing it here" in child.err
    shop.assert_done(names(6))


@needs_tasks
def test_task_that_cannot_be_sent_is_done_here(make_shop):
    shop = make_shop(backend(DUMMY))
    shop.make(names(6))
    before = """
from django.tasks.backends.dummy import DummyBackend
def enqueue(*args, **kwargs):
    raise OSError("no broker")
DummyBackend.enqueue = enqueue
"""
    with shop.forking(2) as parent:
        child = parent.fork(RUN.format(before=before, patience=30))
        assert child.wait() == 0, child.err
    assert statuses(child) == dict.fromkeys(names(6), "changed ")
    assert "could not be sent (OSError): doing it here" in child.err
    shop.assert_done(names(6))


@needs_tasks
def test_no_password_in_a_task(make_shop):
    shop = make_shop(backend(DUMMY))
    before = f"""
from automigrate_ext.fleet import call, targets
from automigrate_ext.backends.postgresql.session import TRY_PLACE, TRY_RUN, keys_of
from automigrate_ext.fleet.queue import is_worked_on
from automigrate_ext.fleet.targets import Target
def target(n):
    name = {str(shop.directory)!r} + f"/{{n}}.sqlite3"
    settings = {{"ENGINE": "django.db.backends.sqlite3", "NAME": name, "PASSWORD": "sesame"}}
    return Target(name=f"file_{{n}}", alias=f"file_{{n}}", settings=settings)
call.project_targets = targets.project_targets = lambda: tuple(target(n) for n in range(4))
from django.tasks import task_backends
from automigrate_ext.fleet import orders, tasks
import json
"""
    after = """
for result in task_backends["default"].results:
    assert "sesame" not in json.dumps(result.args)
    kept = orders.with_settings(result.args[1])
    print("task", kept["targets"][0]["settings"]["PASSWORD"])
"""
    for step, patience in ((1, 30), (2, 0.2)):
        with shop.forking(step) as parent:
            child = parent.fork(RUN.format(before=before, patience=patience) + after)
            assert child.wait() == 0, child.err
    found = statuses(child)
    assert found.pop("task") == "sesame"
    assert found == {f"file_{n}": "changed " for n in range(4)}


@needs_tasks
def test_refusals_come_back_from_the_task(make_shop, postgresql):
    shop = make_shop(backend(IMMEDIATE))
    shop.make(names(4))
    with postgresql.cursor() as cursor:
        cursor.execute("INSERT INTO tenant_002.shop_thing (title) SELECT title FROM tenant_002.shop_thing LIMIT 1")
    postgresql.close()
    models_file = shop.directory / "shop" / "models.py"
    models_file.write_text(models_file.read_text().replace("max_length=100)", "max_length=100, unique=True)"))
    with shop.forking(1) as parent:
        child = parent.fork(RUN.format(before="", patience=30))
        assert child.wait() == 0, child.err
    found = statuses(child)
    assert found.pop("tenant_002").startswith("refused ") and "title" in child.out
    assert found == {name: "changed " for name in names(4) if name != "tenant_002"}


# What cannot be done


@pytest.fixture
def target(tmp_path, sqlite):
    settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "one")}
    yield Target(name="one", alias="one", settings=settings)
    assert not (tmp_path / "one").exists()


@pytest.mark.skipif(HAS_TASKS, reason="django.tasks came with Django 6.0")
def test_not_before_django_6(target):
    with pytest.raises(AutomigrateError, match=r"came with Django 6\.0"):
        autoupdate(targets=[target], queue=True)


@needs_tasks
def test_automigrate_is_not_for_queues(target):
    with pytest.raises(AutomigrateError, match="twice"):
        automigrate(targets=[target], queue=True)


@needs_tasks
def test_not_within_a_transaction(target, sqlite):
    with transaction.atomic(using=sqlite.alias), pytest.raises(AutomigrateError, match="atomic"):
        autoupdate(targets=[target], queue=True)


@needs_tasks
def test_workers_have_no_models_of_the_callers(target):
    apps = item(name=models.CharField(max_length=20)).apps
    with pytest.raises(AutomigrateError, match="apps="):
        autoupdate(targets=[target], queue=True, apps=apps)


@needs_tasks
def test_defaults_that_json_does_not_hold(target):
    with pytest.raises(AutomigrateError, match="defaults"):
        autoupdate(targets=[target], queue=True, defaults={"todo.Todo.title": object()})


@needs_tasks
def test_backend_that_cannot_be_loaded(target, settings):
    settings.TASKS = {"default": {"BACKEND": "nowhere.Backend"}}
    with pytest.raises(AutomigrateError, match="'default' of TASKS"):
        autoupdate(targets=[target], queue=True)


def test_not_together_with_jobs(target):
    with pytest.raises(AutomigrateError, match="Leave out one"):
        autoupdate(targets=[target], queue=True, jobs=2)
