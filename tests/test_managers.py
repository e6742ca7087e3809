"""Managers that bring their model's table up to date: when, how often, and when not."""

import asyncio
import pickle
import sys
import threading
import timeit
from collections import Counter
from contextlib import nullcontext

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, models, transaction
from django.db.migrations.state import ModelState, ProjectState
from django.test.utils import CaptureQueriesContext

from automigrate_ext import (
    AutomigrateError,
    ExecutionFailed,
    LockNotAvailable,
    Refused,
    autoupdate,
    is_actual,
    managers,
)
from automigrate_ext.managers import (
    AutoUpdateManager,
    AutoUpdateManagerMixin,
    AutoUpdateQuerySet,
    AutoUpdateQuerySetMixin,
)
from automigrate_ext.starts import first_query
from tests.acceptance.helper import State
from tests.features import need

pytestmark = pytest.mark.django


class Titled(AutoUpdateQuerySetMixin, models.QuerySet):
    def titled(self, title):
        return self.filter(title=title)


class Recent(AutoUpdateManagerMixin, models.Manager):
    def get_queryset(self):
        return super().get_queryset().filter(title__gt="a")


def shop(manager=AutoUpdateManager, **fields):
    """Return models of a shop's items with tags; the shop and the tags have Django's managers."""
    return State(
        Shop={"name": models.CharField(max_length=20)},
        Tag={"name": models.CharField(max_length=20)},
        Item={
            "title": models.CharField(max_length=20),
            "shop": models.ForeignKey("Shop", models.CASCADE, null=True, related_name="items"),
            "tags": models.ManyToManyField("Tag"),
            "objects": manager(),
            **fields,
        },
        Other={"name": models.CharField(max_length=20)},
    )


@pytest.fixture(autouse=True)
def forgotten():
    """Forget which tables are up to date, before and after a test."""
    managers.forget()
    yield
    managers.forget()


@pytest.fixture
def runs(monkeypatch):
    """Count how often which model was compared, and whether anything was done."""
    counted = Counter()
    update = first_query.update

    def counting(model, alias, *limits):
        changed = update(model, alias, *limits)
        counted[model._meta.object_name, changed] += 1
        return changed

    monkeypatch.setattr(first_query, "update", counting)
    return counted


def items(state, connection):
    return state.apps.get_model("shop", "Item").objects.using(connection.alias)


def tables(connection):
    return {name for name in connection.introspection.table_names() if name.startswith("shop_")}


QUERIES = {
    "iteration": list,
    "count": lambda items: items.count(),
    "exists": lambda items: items.exists(),
    "aggregate": lambda items: items.aggregate(models.Max("pk")),
    "create": lambda items: items.create(title="a"),
    "bulk_create": lambda items: items.bulk_create([items.model(title="a")]),
    "get_or_create": lambda items: items.get_or_create(title="a"),
    "update_or_create": lambda items: items.update_or_create(title="a", defaults={"title": "b"}),
    "bulk_update": lambda items: items.bulk_update([items.model(pk=1, title="a")], ["title"]),
    "in_bulk": lambda items: items.in_bulk([1]),
    "update": lambda items: items.update(title="b"),
    "delete": lambda items: items.all().delete(),
    "first": lambda items: items.first(),
    "iterator": lambda items: list(items.iterator()),
    "values_list": lambda items: list(items.values_list("title")),
    "select_related": lambda items: list(items.select_related("shop")),
    "explain": lambda items: items.explain(),
    "raw": lambda items: list(items.raw("SELECT id FROM shop_item")),
    "union": lambda items: list(items.union(items.all())),
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_any_query_brings_the_table_up_to_date_once(sqlite, runs, query):
    found = items(shop(), sqlite)
    assert tables(sqlite) == set()
    query(found)
    assert runs == {("Item", True): 1}
    query(found)
    assert runs == {("Item", True): 1}


def test_table_comes_with_what_it_needs(connection, runs):
    state = shop()
    item = items(state, connection).create(title="a")
    assert tables(connection) == {"shop_item", "shop_item_tags", "shop_shop", "shop_tag"}
    item.tags.create(name="new")
    assert items(state, connection).filter(tags__name="new").count() == 1
    assert runs == {("Item", True): 1}


def test_changed_table_keeps_its_rows_and_others_are_left_alone(connection):
    items(shop(), connection).create(title="a")
    managers.forget()
    state = shop(size=models.IntegerField(default=3))
    state.apps.get_model("shop", "Shop").add_to_class("street", models.CharField(max_length=9, default=""))
    assert items(state, connection).get().size == 3
    labels = {label: is_actual(label, using=connection.alias, apps=state.apps) for label in ("shop.Item", "shop.Shop")}
    assert labels == {"shop.Item": True, "shop.Shop": False}


def test_each_database_by_itself(sqlite, postgresql, runs):
    state = shop()
    assert items(state, sqlite).count() == items(state, postgresql).count() == 0
    assert runs == {("Item", True): 2}


def test_inherited_tables_and_proxies(connection, runs):
    state = State(
        Place={"name": models.CharField(max_length=20)},
        Bar={"bases": ("Place",), "taps": models.IntegerField(), "objects": AutoUpdateManager()},
        Pub={"bases": ("Bar",), "Meta": {"proxy": True}},
    )
    pubs = state["Pub"].objects.using(connection.alias)
    assert pubs.count() == 0
    assert tables(connection) == {"shop_place", "shop_bar"}
    assert runs == {("Pub", True): 1}


def test_refused_plan_raises_with_its_reasons_until_it_can_be_done(connection):
    items(shop(), connection).create(title="a")
    managers.forget()
    state = shop(size=models.IntegerField())
    for _ in range(2):
        with pytest.raises(Refused, match=r"shop_item\.size is required") as refused:
            items(state, connection).count()
        assert refused.value.__notes__ == ["This was for the first query of shop.Item in this process."]
    with pytest.raises(AutomigrateError) as within, transaction.atomic(connection.alias):
        items(state, connection).count()
    # Only what a transaction stands in the way of has advice about transactions.
    assert ("atomic()" in within.value.__notes__[0]) is not isinstance(within.value, Refused)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM shop_item")
    assert items(state, connection).count() == 0


def test_rolled_back_table_is_made_again(connection, runs):
    need(connection, "atomic DDL")
    state = shop()
    with transaction.atomic(using=connection.alias):
        items(state, connection).create(title="a")
        items(state, connection).create(title="b")
        assert runs == {("Item", True): 1}
        transaction.set_rollback(True, using=connection.alias)
    assert tables(connection) == set()
    with transaction.atomic(using=connection.alias):
        with transaction.atomic(using=connection.alias):
            items(state, connection).create(title="c")
            transaction.set_rollback(True, using=connection.alias)
        assert items(state, connection).count() == 0
    assert runs == {("Item", True): 3}
    assert items(state, connection).count() == 0
    assert runs == {("Item", True): 3}


def test_what_cannot_be_done_within_atomic_is_a_clear_error(connection):
    items(shop(), connection).create(title="a")
    managers.forget()
    state = shop(title=models.CharField(max_length=30, null=True))
    if connection.vendor != "postgresql":
        with transaction.atomic(using=connection.alias), pytest.raises(ExecutionFailed, match="atomic") as failed:
            items(state, connection).count()
        assert "query outside of it first" in failed.value.__notes__[-1]
    with nullcontext() if connection.vendor != "postgresql" else transaction.atomic(using=connection.alias):
        assert items(state, connection).count() == 1


def test_threads_that_query_together(connection, runs):
    state, counts, errors = shop(), [], []
    barrier = threading.Barrier(8)

    def query():
        barrier.wait()
        try:
            counts.append(items(state, connection).count())
        except Exception as error:
            errors.append(error)
        finally:
            connections[connection.alias].close()

    threads = [threading.Thread(target=query) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (errors, counts) == ([], [0] * 8)
    assert runs == {("Item", True): 1}


def test_thread_that_does_not_end_is_an_error(sqlite, monkeypatch):
    monkeypatch.setattr(managers, "LOCK_WAIT", 0.05)
    with first_query._locks[sqlite.alias], pytest.raises(LockNotAvailable, match=r"did not end within 0\.05 s"):
        items(shop(), sqlite).count()


def test_async_queries(connection, runs):
    state = shop()

    async def query():
        found = items(state, connection)
        titles = [item.title async for item in found.aiterator()]
        item = await found.acreate(title="a")
        titles += [item.title async for item in found.all()]
        assert await found.acount() == 1 and await found.aget(pk=item.pk)
        await sync_to_async(lambda: connections[connection.alias].close())()
        return titles

    assert asyncio.run(query()) == ["a"]
    assert runs == {("Item", True): 1}


@pytest.mark.parametrize("manager", [Recent, managers.AutoUpdateManager.from_queryset(Titled), Titled.as_manager])
def test_custom_managers(sqlite, runs, manager):
    found = items(shop(manager), sqlite)
    assert isinstance(found, AutoUpdateQuerySetMixin)
    found.create(title="b")
    assert found.count() == 1 and runs == {("Item", True): 1}


def test_related_managers(sqlite, runs):
    state = shop()
    autoupdate(["shop.Shop"], using=sqlite.alias, apps=state.apps)
    owner = state.apps.get_model("shop", "Shop").objects.using(sqlite.alias).create(name="x")
    assert owner.items.count() == 0
    assert runs == {("Item", True): 1}


def test_manager_of_another_queryset_is_an_error():
    with pytest.raises(TypeError, match="let that begin with the mixin"):

        class Wrong(AutoUpdateManagerMixin, models.Manager.from_queryset(type("Plain", (models.QuerySet,), {}))):
            pass


def test_querysets_can_be_pickled(sqlite):
    from todo_demo.todo.models import Todo

    found = AutoUpdateQuerySet(Todo, using=sqlite.alias)
    assert pickle.loads(pickle.dumps(found.query)).model is Todo
    assert list(pickle.loads(pickle.dumps(found))) == []


# When not


def test_table_that_is_up_to_date_is_compared_once(connection, runs):
    state = shop()
    autoupdate(using=connection.alias, apps=state.apps)
    assert items(state, connection).count() == 0
    assert runs == {("Item", False): 1}
    with CaptureQueriesContext(connection) as captured:
        items(state, connection).count()
    assert len(captured) == 1


def test_making_a_queryset_asks_nothing(sqlite, runs):
    found = items(shop(), sqlite).filter(title="a").order_by("pk")[:3]
    assert "SELECT" in str(found.query)
    assert runs == {}


def test_instances_are_saved_by_another_manager(sqlite, runs):
    item = shop().apps.get_model("shop", "Item")(title="a")
    with pytest.raises(Exception, match="no such table"):
        item.save(using=sqlite.alias)
    assert runs == {}


def test_models_of_migrations_are_passed_over(sqlite, runs):
    state = ProjectState()
    name = models.CharField(max_length=9)
    state.add_model(ModelState("shop", "Item", [("id", models.AutoField(primary_key=True)), ("title", name)]))
    model = state.apps.get_model("shop", "Item")
    assert AutoUpdateQuerySet(model, using=sqlite.alias).db == sqlite.alias
    assert runs == {}


@pytest.mark.parametrize("command", ["migrate", "makemigrations"])
def test_commands_of_migrations_update_nothing(sqlite, runs, monkeypatch, command):
    monkeypatch.setattr(sys, "argv", ["manage.py", command])
    with pytest.raises(Exception, match="no such table"):
        items(shop(), sqlite).count()
    assert runs == {}


def test_runs_of_the_package_start_no_other(sqlite, runs):
    state = shop()
    seen = []

    def receive(using, **kwargs):
        seen.append(items(state, sqlite).count())

    models.signals.post_migrate.connect(receive, weak=False, dispatch_uid="test")
    try:
        autoupdate(using=sqlite.alias, apps=state.apps)
    finally:
        models.signals.post_migrate.disconnect(dispatch_uid="test")
    assert set(seen) == {0}
    assert runs == {}


def test_afterwards_a_query_costs_next_to_nothing(sqlite):
    state = shop()
    found = items(state, sqlite)
    found.count()
    plain = models.QuerySet(found.model, using=sqlite.alias)
    with CaptureQueriesContext(sqlite) as captured:
        more = min(timeit.repeat(lambda: found.db, number=10_000, repeat=5)) / 10_000
        less = min(timeit.repeat(lambda: plain.db, number=10_000, repeat=5)) / 10_000
    assert len(captured) == 0
    assert more - less < 20e-6, "a query is some hundred of these"
