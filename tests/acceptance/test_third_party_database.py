"""A database for which there is no backend of its own: Firebird, through django-firebird and the generic backend."""

import itertools
import threading
import uuid
from contextlib import contextmanager

import pytest
from django.db import connections, models
from django.db.models import Q

from automigrate_ext import ExecutionFailed, LockNotAvailable, autoupdate, is_actual
from automigrate_ext.backends import BACKENDS, backend_for
from automigrate_ext.backends.generic import GenericBackend
from automigrate_ext.backends.generic.introspection import SCRATCH
from automigrate_ext.backends.generic.models import model_named
from automigrate_ext.schema.nouns import canonical
from tests.acceptance.helper import Case, State, item

char, integer = models.CharField, models.IntegerField


@pytest.fixture
def fire(firebird):
    """A case on Firebird."""
    return Case(firebird, "autoupdate")


@pytest.fixture
def generic(connection, monkeypatch):
    """A connection to each database, with the generic backend for it."""
    for vendor in tuple(BACKENDS):
        monkeypatch.delitem(BACKENDS, vendor)
    return connection


def test_firebird_follows_its_models(fire):
    first = State(
        Shop={"name": char(max_length=50)},
        Item={
            "name": char(max_length=10),
            "shop": models.ForeignKey("Shop", models.CASCADE),
            "size": integer(null=True),
            "price": models.DecimalField(max_digits=6, decimal_places=2),
            "empty": integer(null=True),
            "Meta": {"indexes": [models.Index(fields=["name"], name="by_name")]},
        },
    )
    second = State(
        Shop={"name": char(max_length=80, unique=True)},
        Item={
            "name": char(max_length=20),
            "shop": models.ForeignKey("Shop", models.CASCADE),
            "size": integer(default=3),
            "price": models.DecimalField(max_digits=8, decimal_places=3, null=True),
            "code": models.UUIDField(default=uuid.uuid4),
            "rank": integer(db_default=7),
            "Meta": {"indexes": [models.Index(fields=["name", "size"], name="by_both")]},
        },
    )
    fire.build(first)
    shop = first["Shop"].objects.using(fire.alias).create(name="a")
    for number in (1, 2):
        first["Item"].objects.using(fire.alias).create(name=f"n{number}", shop=shop, price=number)
    plan = fire.update(first, second, built=True, altered=["shop_item.size"])
    assert {"Drop column shop_item.empty", "Drop index (name) from shop_item: by_name"} <= {
        change.describe() for change in plan.changes
    }
    assert fire.values("shop_item", "size", "rank") == [(3, 7), (3, 7)]
    assert len(set(fire.values("shop_item", "code"))) == 2


def test_firebird_refuses_what_rows_do_not_allow(fire):
    before = item(name=char(max_length=5, null=True), size=integer())
    after = item(name=char(max_length=5), size=integer(unique=True), more=integer())
    rows = {"Item": [{"name": None, "size": 1}, {"name": "a", "size": 1}]}
    fire.refused(before, after, rows, "null-values", "duplicates", "required-column")


def test_firebird_keeps_values_and_says_what_it_cannot_change(fire):
    before = item(name=char(max_length=9), size=integer())
    fire.build(before)
    fire.insert(before, {"Item": [{"name": "a", "size": 1}]})
    kept = fire.run(item(name=char(max_length=9)))
    assert [judgement.hazards[0].code for judgement in kept.withheld] == ["drops-column"]
    plan = fire.plan(item(name=char(max_length=4)))
    assert [hazard.code for judgement in plan.refused for hazard in judgement.hazards] == ["unable"]
    assert fire.values("shop_item", "name", "size") == [("a", 1)]


def test_firebird_names_what_is_not_compared(fire):
    constraint = models.CheckConstraint(condition=Q(size__lt=9), name="small")
    state = item(size=models.PositiveIntegerField(), Meta={"constraints": [constraint]})
    fire.build(state)
    plan = fire.plan(state)
    assert not plan
    assert plan.as_dict()["notes"] == [
        "Not compared, because Django's introspection of Firebird does not show it: the check of column "
        "shop_item.size; check small of shop_item; which keys the database numbers."
    ]


#: What changes something, of a run and not of its scratch tables.
VERBS = ("ALTER", "CREATE", "DROP", "INSERT", "UPDATE", "DELETE")


def shop(**item):
    """A state of which little is left as it was."""
    key = models.ForeignKey("Shelf", models.CASCADE)
    return State(Shelf={"name": char(max_length=9)}, Item={"shelf": key, "name": char(max_length=9), **item})


def before_the_end():
    return shop(size=integer(null=True), gone=integer(null=True), Meta={"indexes": [models.Index("size", name="old")]})


def after_the_end():
    state = shop(
        name=char(max_length=20, unique=True),
        size=models.BigIntegerField(default=2**40),
        code=models.UUIDField(default=uuid.uuid4, unique=True),
        stock=models.PositiveIntegerField(default=1),
        Meta={"indexes": [models.Index(fields=["size"], name="new")]},
    )
    state.models["New"] = state.make("New", {"item": models.OneToOneField("Item", models.CASCADE)})
    return state


@contextmanager
def ended(connection, number):
    """The server ends the session before the statement that changes something for the n-th time."""
    count, other = itertools.count(1), connection.copy()

    def wrapper(execute, sql, params, many, context):
        changes = sql.lstrip().startswith(VERBS) and SCRATCH not in sql and "automigrate_ext_lock" not in sql
        if changes and next(count) == number:
            with other.cursor() as cursor:
                cursor.execute("KILL %s", [connection.connection.thread_id()])
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper):
        yield
    other.close()


def test_run_that_dies_at_any_statement_is_finished_by_the_next(mariadb, monkeypatch):
    """On a database that commits each change of a table, and for which there is no backend of its own."""
    for vendor in tuple(BACKENDS):
        monkeypatch.delitem(BACKENDS, vendor)
    case, rows = Case(mariadb, "automigrate"), [("a", 5), ("b", 2**40)]
    assert type(case.backend) is GenericBackend
    wanted = canonical(case.fresh(after_the_end()))
    for number in itertools.count(1):
        case.build(before_the_end())
        items = [{"name": "a", "size": 5, "shelf_id": 1}, {"name": "b", "size": None, "shelf_id": 1}]
        case.insert(before_the_end(), {"Shelf": [{"name": "s"}], "Item": items})
        with ended(mariadb, number):
            try:
                case.run(after_the_end())
            except ExecutionFailed:
                died = True
            else:
                died = False
        mariadb.close()
        plan = case.run(after_the_end())
        assert canonical(case.introspect(after_the_end().tables())) == wanted, plan.sql()
        assert case.values("shop_item", "name", "size") == rows, plan.sql()
        assert len(set(case.values("shop_item", "code"))) == 2
        if not died:
            break
        case.execute("DROP TABLE shop_new")
    case.assert_settled(after_the_end())
    assert number > 15


def test_scratch_tables_of_a_killed_run_dropped_by_the_next(generic):
    state = item(size=integer())
    name = f"{SCRATCH}dead_0"
    with generic.schema_editor() as editor:
        editor.create_model(model_named(name, {"id": integer(primary_key=True)}))
    assert autoupdate(using=generic.alias, apps=state.apps)
    assert is_actual(using=generic.alias, apps=state.apps)
    left = [table for table in generic.introspection.table_names() if table.startswith(SCRATCH)]
    assert left == []
    assert name not in backend_for(generic.alias).table_names()


def test_second_run_waits_for_the_first(generic):
    state, backend = item(size=integer()), backend_for(generic.alias)
    assert type(backend) is GenericBackend
    autoupdate(using=generic.alias, apps=state.apps)
    after = item(size=integer(), more=integer(null=True))
    found = []

    def second():
        try:
            found.append(autoupdate(using=generic.alias, apps=after.apps, lock_wait=0.2))
        except LockNotAvailable as error:
            found.append(error)
        finally:
            connections[generic.alias].close()

    with backend.session.guarded(), backend.exclusive():
        waits = threading.Thread(target=second)
        waits.start()
        waits.join(3)
        meanwhile = list(found)
    waits.join(60)
    assert not any(isinstance(outcome, tuple) for outcome in meanwhile)
    if generic.features.has_select_for_update_nowait:
        assert "Another run on database" in str(found[0])
    assert isinstance(found[0], LockNotAvailable) or is_actual(using=generic.alias, apps=after.apps)
