"""SQLite's type of decimals holds no digits, so Django checks them when it reads: what would not fit is counted."""

import decimal

import pytest
from django.db import models

from automigrate_ext import is_actual
from tests.acceptance.helper import State, item

D = decimal.Decimal


def decimals(total, places, **options):
    return models.DecimalField(max_digits=total, decimal_places=places, **options)


def filled(*values):
    return {"Item": [{"a": value} for value in values]}


def read(case, state):
    return list(state["Item"]._base_manager.using(case.alias).order_by("pk").values_list("a", flat=True))


@pytest.mark.parametrize(
    ("before", "after", "values", "code"),
    [
        (decimals(12, 2), decimals(5, 2), [D("1.50"), D("123456789.50")], "cast-fails"),
        (decimals(12, 2, null=True), decimals(5, 2, null=True), [D("1.50"), D("123456789.50"), None], "alters-values"),
        (decimals(12, 4), decimals(12, 2), [D("1.2345"), D("1.25")], "alters-values"),
        (decimals(12, 2), decimals(5, 2), [D("-999.99"), D("-1000")], "cast-fails"),
        (decimals(8, 3), decimals(5, 2), [D("999.995")], "cast-fails"),
        (models.IntegerField(), decimals(4, 2), [12, 123456], "cast-fails"),
        (models.BigIntegerField(), decimals(21, 2), [12, 1234567890123456789], "alters-values"),
        (models.FloatField(), decimals(8, 2), [1.5, 1e20], "cast-fails"),
        (models.FloatField(), decimals(8, 2), [1.5, 1.234], "alters-values"),
        (models.TextField(), decimals(4, 2), ["1.50", "123.5"], "cast-fails"),
        (models.CharField(max_length=20), decimals(4, 2), ["1.5", "1.234"], "alters-values"),
        (models.BooleanField(), decimals(2, 2), [True, False], "cast-fails"),
    ],
)
def test_numbers_that_do_not_fit_are_counted(lite, before, after, values, code):
    plan = lite.refused(item(a=before), item(a=after), filled(*values), code)
    (judgement,) = plan.refused
    assert "Change column shop_item.a: type " in judgement.change.describe()
    assert [hazard.samples for hazard in judgement.hazards] or code == "cast-fails"


@pytest.mark.parametrize(
    ("before", "after", "values"),
    [
        (decimals(12, 2), decimals(5, 2), [D("999.99"), D("-999.99"), D("0.1")]),
        (decimals(12, 4), decimals(6, 2), [D("1.2500"), D("9999.99")]),
        (decimals(5, 2), decimals(12, 4), [D("999.99")]),
        (models.IntegerField(), decimals(4, 2), [99, -99]),
        (models.BigIntegerField(), decimals(20, 2), [123456789012345, -(10**15)]),
        (models.FloatField(), decimals(8, 2), [1.1, 123456.78]),
        (models.TextField(), decimals(4, 2), ["1.50", "-99.9", "7"]),
    ],
)
def test_numbers_that_fit_go_through(lite, before, after, values):
    lite.update(item(a=before), item(a=after), filled(*values))
    assert read(lite, item(a=after)) == [D(str(value)) for value in values]


def test_values_are_rounded_where_that_is_accepted(lite):
    before, after = item(a=decimals(12, 4)), item(a=decimals(6, 2))
    lite.update(
        before,
        after,
        filled(D("1.2345"), D("1.25")),
        changes=["Change column shop_item.a: type decimal"],
        altered=["shop_item.a"],
        accept_data_loss=True,
    )
    assert lite.values("shop_item", "a") == [(1.23,), (1.25,)]
    assert read(lite, after) == [D("1.23"), D("1.25")]


def test_what_cannot_be_read_becomes_null_where_that_is_accepted(lite):
    before, after = item(a=decimals(12, 2, null=True)), item(a=decimals(5, 2, null=True))
    lite.update(before, after, filled(D("123456789.5"), None), altered=["shop_item.a"], accept_data_loss=True)
    assert read(lite, after) == [None, None]


def test_unique_constraint_sees_the_rounded_values(lite):
    before, after = item(a=decimals(6, 4, unique=True)), item(a=decimals(4, 2, unique=True))
    lite.refused(before, after, filled(D("1.2345"), D("1.2301")), "duplicates", accept_data_loss=True)


def test_digits_of_keys_inherited_and_renamed_columns(lite):
    def state(total, name="price", **options):
        return State(
            Base={"id": decimals(total, 2, primary_key=True)},
            Child={"bases": ["Base"], name: decimals(total, 2)},
            Link={"base": models.ForeignKey("Base", models.CASCADE), "odd": decimals(total, 2, db_column="o'd d%")},
        )

    before = state(12)
    lite.build(before)
    lite.insert(before, {"Child": [{"id": 1, "price": D("123456.5")}]})
    base = before["Base"]._base_manager.using(lite.alias).create(id=D("1234567.5"))
    lite.insert(before, {"Link": [{"base": base, "odd": D("9999999")}]})
    plan = lite.plan(state(6, "cost"), renames={"shop.Child.price": "cost"})
    assert {(j.change.table, j.change.new.name) for j in plan.refused} == {
        ("shop_base", "id"),
        ("shop_child", "cost"),
        ("shop_link", "base_id"),
        ("shop_link", "o'd d%"),
    }


def test_nothing_is_asked_of_rows_once_the_digits_are_recorded(lite):
    state = item(a=decimals(12, 2))
    lite.build(state)
    lite.insert(state, filled(D("1.5")))
    lite.run(state)
    lite.execute('UPDATE "shop_item" SET "a" = 1.23456')  # as an expression in an update may leave it
    assert is_actual(using=lite.alias, apps=state.apps)
    wider = item(a=decimals(14, 3))
    assert is_actual(using=lite.alias, apps=wider.apps)
