"""What rows do to a plan: what they do not allow is refused and leaves no trace; nothing is truncated."""

import datetime
import decimal
import uuid

import pytest
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from automigrate_ext import AutomigrateError, Refused
from tests.acceptance.helper import State, fingerprint, item
from tests.features import need

NAME = models.CharField(max_length=20)
SIZE = models.IntegerField(null=True)


def rows(*values):
    return {"Item": [{"name": name, "size": size} for name, size in values]}


def thing(name=NAME, size=SIZE, **meta):
    return item(name=name, size=size, Meta=meta)


TWO = rows(("a", 1), ("b", None))
TWINS = rows(("a", 1), ("a", 1))


def test_required_column_refused(case):
    plan = case.refused(
        item(name=NAME), thing(size=models.IntegerField()), {"Item": [{"name": "a"}]}, "required-column"
    )
    assert "shop.Item.size" in plan.refused[0].hazards[0].remedy


def test_null_rows_refused(case):
    plan = case.refused(thing(), thing(size=models.IntegerField()), TWO, "null-values")
    assert plan.refused[0].hazards[0].rows == 1


def test_duplicates_refused(case):
    after = thing(models.CharField(max_length=20, unique=True))
    case.refused(thing(), after, TWINS, "duplicates")


UNIQUES = {
    "constraint": (models.UniqueConstraint(fields=["name", "size"], name="u"), ()),
    "partial": (models.UniqueConstraint(fields=["name"], condition=Q(size=1), name="u"), ("partial indexes",)),
    "expression": (models.UniqueConstraint(Lower("name"), name="u"), ("expression indexes",)),
}


@pytest.mark.parametrize("name", UNIQUES)
def test_duplicates_of_a_constraint_refused(case, name):
    unique, needs = UNIQUES[name]
    need(case.connection, *needs)
    case.refused(thing(), thing(constraints=[unique]), TWINS, "duplicates")


def test_duplicate_nulls_refused_where_they_are_not_distinct(case):
    need(case.connection, "nulls distinct")
    constraint = models.UniqueConstraint(fields=["size"], nulls_distinct=False, name="u")
    case.refused(thing(), thing(constraints=[constraint]), rows(("a", None), ("b", None)), "duplicates")


def test_duplicate_nulls_allowed(case):
    case.update(thing(), thing(size=models.IntegerField(null=True, unique=True)), rows(("a", None), ("b", None)))


def test_unique_together_duplicates_refused(case):
    case.refused(thing(), thing(unique_together={("name", "size")}), TWINS, "duplicates")


def test_duplicates_that_only_arise_from_the_fill(case):
    after = thing(size=models.IntegerField(default=1, unique=True))
    case.build(thing())
    case.insert(thing(), rows(("a", None), ("b", None)))
    with pytest.raises(AutomigrateError):
        case.run(after)


def test_duplicates_that_arise_from_a_one_off_value_leave_no_trace(case):
    before, after = item(name=NAME), item(name=NAME, code=models.IntegerField(default=1, unique=True))
    case.build(before)
    case.insert(before, {"Item": [{"name": "a"}, {"name": "b"}]})
    trace = fingerprint(case.connection)
    with pytest.raises(AutomigrateError):
        case.run(after)
    assert fingerprint(case.connection) == trace


def test_violators_refused(case):
    need(case.connection, "checks that are seen")
    check = models.CheckConstraint(condition=Q(size__gt=1), name="c")
    case.refused(thing(), thing(constraints=[check]), TWO, "violators")


def test_null_satisfies_a_check(case):
    check = models.CheckConstraint(condition=Q(size__gt=0), name="c")
    case.update(thing(), thing(constraints=[check]), TWO)


#: MariaDB's positive numbers are a type of their own besides the check.
NEGATIVE = {"sqlite": "violators", "postgresql": "violators", "mysql": "cast-fails"}


def test_negative_numbers_refused(case):
    need(case.connection, "checks that are seen")
    case.refused(thing(), thing(size=models.PositiveIntegerField(null=True)), rows(("a", -1)), NEGATIVE[case.vendor])


def test_negative_numbers_refused_when_the_type_widens(case):
    need(case.connection, "checks that are seen")
    after = thing(size=models.PositiveBigIntegerField(null=True))
    case.refused(thing(), after, rows(("a", -1)), NEGATIVE[case.vendor])


def test_duplicates_refused_when_the_type_widens(case):
    after = thing(size=models.BigIntegerField(unique=True, null=True))
    case.refused(thing(), after, TWINS, "duplicates")


def test_orphans_refused(case):
    before = State(Shelf={}, Item={"shelf": models.ForeignKey("Shelf", models.CASCADE, db_constraint=False)})
    after = State(Shelf={}, Item={"shelf": models.ForeignKey("Shelf", models.CASCADE)})
    case.refused(before, after, {"Item": [{"shelf_id": 9}]}, "orphans")


def test_orphans_of_a_foreign_key_aimed_elsewhere_refused(case):
    def state(to):
        return State(Shelf={}, Rack={}, Item={"place": models.ForeignKey(to, models.CASCADE)})

    case.refused(state("Shelf"), state("Rack"), {"Shelf": [{}], "Item": [{"place_id": 1}]}, "orphans")


def test_rows_that_cannot_point_at_a_new_table_refused(case):
    before = State(Shelf={}, Item={"place": models.ForeignKey("Shelf", models.CASCADE)})
    after = State(Shelf={}, New={}, Item={"place": models.ForeignKey("New", models.CASCADE)})
    case.refused(before, after, {"Shelf": [{}], "Item": [{"place_id": 1}]}, "orphans")


def test_rows_that_point_at_nothing_in_a_table_that_was_not_named_refused(case):
    before = State(Shelf={}, Item={"place": models.ForeignKey("Shelf", models.CASCADE, db_constraint=False)})
    after = State(Shelf={}, Item={"place": models.ForeignKey("Shelf", models.CASCADE)})
    case.run(before)
    case.insert(before, {"Item": [{"place_id": 1}]})
    with pytest.raises(Refused, match=r"points? at nothing"):
        case.run(after, models="Item")


# SQLite stores decimals as they come: its types have no precision, so there is nothing to narrow.
NARROWED_DECIMAL = (
    models.DecimalField(max_digits=8, decimal_places=4),
    models.DecimalField(max_digits=8, decimal_places=2),
    decimal.Decimal("1.2345"),
)
NARROWED = {
    "char": (models.CharField(max_length=20), models.CharField(max_length=3), "abcdef"),
    "text to char": (models.TextField(), models.CharField(max_length=3), "abcdef"),
    "float to integer": (models.FloatField(), models.IntegerField(), 1.5),
    "datetime to date": (
        models.DateTimeField(),
        models.DateField(),
        datetime.datetime(2024, 1, 2, 3, 4, tzinfo=datetime.UTC),
    ),
}


@pytest.mark.parametrize("name", NARROWED)
def test_narrowing_refused(case, name):
    old, new, value = NARROWED[name]
    case.refused(item(a=old), item(a=new), {"Item": [{"a": value}]}, "alters-values")


def test_decimal_narrowing_refused(pg):
    old, new, value = NARROWED_DECIMAL
    pg.refused(item(a=old), item(a=new), {"Item": [{"a": value}]}, "alters-values")


CAST_FAILS = {
    "text to integer": (models.TextField(), models.IntegerField(), "x"),
    "text to date": (models.TextField(), models.DateField(), "x"),
    "text to uuid": (models.TextField(), models.UUIDField(), "x"),
    "bigint to integer": (models.BigIntegerField(), models.IntegerField(), 2**40),
    "integer to smallint": (models.IntegerField(), models.SmallIntegerField(), 2**20),
    "integer to uuid": (models.IntegerField(), models.UUIDField(), 5),
}


@pytest.mark.parametrize("name", CAST_FAILS)
def test_failing_cast_refused(pg, name):
    old, new, value = CAST_FAILS[name]
    pg.refused(item(a=old), item(a=new), {"Item": [{"a": value}]}, "cast-fails")


@pytest.mark.parametrize("name", CAST_FAILS)
def test_failing_cast_of_null_or_nothing_applied(case, name):
    old, new, _ = CAST_FAILS[name]
    old, new = old.clone(), new.clone()
    case.update(item(a=old), item(a=new))
    old.null = new.null = True
    case.drop(item(a=new))
    case.update(item(a=old), item(a=new), {"Item": [{"a": None}]})


@pytest.mark.parametrize("name", ["text to integer", "text to date", "text to uuid"])
def test_text_that_does_not_fit_refused_on_sqlite(lite, name):
    old, new, value = CAST_FAILS[name]
    plan = lite.plan(item(a=old))
    assert plan
    lite.build(item(a=old))
    lite.insert(item(a=old), {"Item": [{"a": value}]})
    assert lite.plan(item(a=new)).refused


def test_narrowing_accepted(case):
    before, after = item(a=models.CharField(max_length=20)), item(a=models.CharField(max_length=3))
    case.update(before, after, {"Item": [{"a": "abcdef"}]}, accept_data_loss=True, altered=["shop_item.a"])
    assert case.values("shop_item", "a") == [("abc",)]


def test_several_reasons_named_at_once(case):
    after = item(
        name=models.CharField(max_length=20, unique=True),
        size=models.IntegerField(),
        cost=models.IntegerField(),
    )
    case.refused(thing(), after, rows(("a", 1), ("a", None)), "duplicates", "null-values", "required-column")


def test_one_refusal_holds_back_everything(case):
    before = State(Item={"size": SIZE}, Note={"text": NAME})
    after = State(Item={"size": models.IntegerField()}, Note={"text": models.TextField(null=True)}, New={})
    case.refused(before, after, {"Item": [{"size": None}], "Note": [{"text": "a"}]}, "null-values")


def test_default_fills_are_python_values(case):
    need(case.connection, "bytes as a value", "JSON")
    after = item(
        name=NAME,
        moment=models.DateTimeField(default=datetime.datetime(2024, 5, 6, 7, 8, tzinfo=datetime.UTC)),
        day=models.DateField(default=datetime.date(2024, 5, 6)),
        span=models.DurationField(default=datetime.timedelta(hours=1, microseconds=5)),
        price=models.DecimalField(max_digits=6, decimal_places=2, default=decimal.Decimal("1.5")),
        key=models.UUIDField(default=uuid.UUID(int=3)),
        raw=models.BinaryField(default=b"\x00%s'"),
        flag=models.BooleanField(default=True),
        data=models.JSONField(default=dict),
    )
    case.update(item(name=NAME), after, {"Item": [{"name": "a"}]})
    row = after["Item"]._base_manager.using(case.alias).get()
    assert (row.moment, row.day) == (
        datetime.datetime(2024, 5, 6, 7, 8, tzinfo=datetime.UTC),
        datetime.date(2024, 5, 6),
    )
    assert (row.span, row.price) == (datetime.timedelta(hours=1, microseconds=5), decimal.Decimal("1.5"))
    assert (row.key, bytes(row.raw), row.flag, row.data) == (uuid.UUID(int=3), b"\x00%s'", True, {})


def test_one_off_value_for_an_unknown_field(case):
    with pytest.raises(AutomigrateError, match="no such field"):
        case.plan(item(name=NAME), defaults={"shop.Item.nothing": 1})


def test_one_off_value_that_does_not_fit(case):
    with pytest.raises(AutomigrateError, match="size"):
        case.plan(thing(), defaults={"shop.Item.size": "x"})


def test_one_off_value_with_quotes(case):
    need(case.connection, "any text as a value")
    after = item(name=NAME, note=models.TextField())
    text = 'it\'s 100% \\ "x" é'
    case.update(item(name=NAME), after, {"Item": [{"name": "a"}]}, defaults={"shop.Item.note": text})
    assert case.values("shop_item", "note") == [(text,)]


def test_dropped_values_counted(case):
    before = item(name=NAME, size=SIZE, other=models.TextField(null=True))
    row_values = [{"name": "a", "size": 1}, {"name": "b", "size": None}, {"name": "c", "size": 3}]
    plan = case.update(
        before,
        item(name=NAME),
        {"Item": row_values},
        changes=["Drop column shop_item.other"],
        withheld=["Drop column shop_item.size"],
    )
    assert plan.withheld[0].hazards[0].rows == 2


def test_withheld_column_with_unique_and_check(case):
    before = item(name=NAME, code=models.PositiveIntegerField(unique=True))
    case.update(before, item(name=NAME), {"Item": [{"name": "a", "code": 1}]}, withheld=["Drop column shop_item.code"])
    case.insert(item(name=NAME), {"Item": [{"name": "b"}, {"name": "c"}]})
    case.update(before, item(name=NAME), built=True, accept_data_loss=True)


def test_value_for_a_foreign_key_by_the_name_that_the_refusal_gives(case):
    def state(**more):
        return State(Box={"name": NAME}, Item={"name": NAME, **more})

    before, after = state(), state(box=models.ForeignKey("shop.Box", models.CASCADE, related_name="+"))
    rows = {"Box": [{"name": "b"}], "Item": [{"name": "a"}]}
    case.refused(before, after, rows, "required-column")
    words = r'pass --default shop\.Item\.box_id=VALUE \(defaults=\{"shop\.Item\.box_id": VALUE\}\)\.'
    with pytest.raises(Refused, match=words):
        case.run(after)
    with pytest.raises(AutomigrateError):
        case.run(after, defaults={"shop.Item.box_id": "x"})
