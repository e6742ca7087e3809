"""Behind a transaction pooler: nothing that a run needs is lost with the session."""

import os
import signal

import pytest
from django.db import models

from automigrate_ext import LockNotAvailable, automigrate, is_actual
from tests.acceptance.helper import Case, State
from tests.conftest import scratch
from tests.fleet import schemas as fleets
from tests.fleet.schemas import Fleet
from tests.forks import forking
from tests.pooler import PoolerUnavailable, pooler
from tests.run.test_processes import HOLDING

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def entry(postgresql_server):
    """An entry of DATABASES for a pooler before the server of the tests."""
    try:
        with pooler(postgresql_server.url) as entry:
            yield entry
    except PoolerUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture
def pooled(postgresql, entry, django_db_blocker):
    """A connection by way of the pooler to an empty database."""
    name = postgresql.settings_dict["NAME"]
    postgresql.close()
    with scratch("postgresql_scratch", entry | {"NAME": name}, django_db_blocker) as connection:
        yield connection


@pytest.fixture
def processes(pooled, tmp_path):
    settings = pooled.settings_dict
    url = f"postgresql://{settings['USER']}@/{settings['NAME']}?host={settings['HOST']}&port={settings['PORT']}"
    with forking(url, tmp_path) as parent:
        yield parent


def before():
    return State(
        Shelf={"name": models.CharField(max_length=9, unique=True)},
        Item={"name": models.CharField(max_length=9, db_default="x"), "size": models.IntegerField(null=True)},
    )


def after():
    return State(
        Shelf={"title": models.CharField(max_length=9, unique=True)},
        Item={
            "name": models.TextField(db_default="y"),
            "size": models.BigIntegerField(default=3),
            "shelf": models.ForeignKey("Shelf", models.CASCADE, null=True),
            "others": models.ManyToManyField("Shelf", related_name="+"),
            "Meta": {
                "indexes": [models.Index(models.functions.Lower("name"), name="lower_name")],
                "constraints": [models.CheckConstraint(condition=models.Q(size__gt=0), name="size_positive")],
            },
        },
    )


def test_session_is_forgotten(pooled):
    """What the other tests rest on."""
    with pooled.cursor() as cursor:
        cursor.execute("SET lock_timeout = '7s'")
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)


def test_automigrate_and_autoupdate(pooled):
    case = Case(pooled, "automigrate")
    automigrate(using=case.alias, apps=before().apps)
    case.insert(before(), {"Shelf": [{"name": "a"}], "Item": [{"name": "b", "size": None}]})
    renames = {"shop.Shelf.name": "title"}
    assert case.plan(after(), renames=renames)
    assert case.run(after(), renames=renames, lock_wait=9, lock_timeout=9)
    assert case.values("shop_item", "name", "size") == [("b", 3)]
    assert case.values("shop_shelf", "title") == [("a",)]
    assert is_actual(using=case.alias, apps=after().apps)
    assert not case.run(after())


def test_ten_processes_together(processes):
    children = [processes.command("autoupdate") for _ in range(10)]
    results = [(child.wait(), child.out, child.err) for child in children]
    assert [status for status, _, _ in results] == [0] * 10, results
    assert sum("applied" in out for _, out, _ in results) == 1


def test_other_run_is_waited_for(pooled, processes):
    case = Case(pooled, "automigrate")
    holder = processes.fork(HOLDING)
    holder.await_message("holding")
    with pytest.raises(LockNotAvailable, match=r"Another run.*session \d+"):
        case.run(before(), lock_wait=0.2)
    holder.send(signal.SIGKILL)
    holder.wait()
    case.run(before())


def test_many_schemas(pooled):
    """The search path of each target ends with its transaction, as the next one may have another session."""
    fleet = Fleet(pooled)
    fleet.build(fleets.before())
    fleet.fill(fleets.before())
    rows = fleet.rows("shop_item", "name")
    report = fleet.update(fleets.after())
    assert set(fleet.statuses(report).values()) == {"changed"}
    assert fleet.rows("shop_item", "name") == rows
    assert not fleet.update(fleets.after())
    fleet.assert_settled(fleets.after())
    with pooled.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        assert cursor.fetchone() == ("public",)
