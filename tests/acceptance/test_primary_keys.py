"""Primary keys: retyped with all that points at them, replaced, composed of columns and composed anew."""

import itertools
import uuid

import pytest
from django.db import models

from tests.acceptance.helper import State, item
from tests.features import need

NAME = models.CharField(max_length=20)

KEYS = {
    "small auto": models.SmallAutoField(primary_key=True),
    "auto": models.AutoField(primary_key=True),
    "big auto": models.BigAutoField(primary_key=True),
    "integer": models.IntegerField(primary_key=True),
    "char": models.CharField(max_length=20, primary_key=True),
    "text": models.TextField(primary_key=True),
    "decimal": models.DecimalField(max_digits=9, decimal_places=0, primary_key=True),
}


def web(pk):
    """A model that is pointed at in every way."""
    return State(
        Item={"id": pk, "name": NAME, "parent": models.ForeignKey("self", models.CASCADE, null=True)},
        Note={"item": models.ForeignKey("Item", models.CASCADE)},
        Badge={"item": models.OneToOneField("Item", models.CASCADE, primary_key=True)},
        Medal={"badge": models.ForeignKey("Badge", models.CASCADE)},
        Book={"bases": ["Item"]},
        Tag={"items": models.ManyToManyField("Item")},
    )


ROWS = {
    "Book": [{"id": 3, "name": "a"}],
    "Item": [{"id": 4, "name": "b", "parent_id": 3}],
    "Note": [{"item_id": 4}],
    "Badge": [{"item_id": 4}],
    "Medal": [{"badge_id": 4}],
    "Tag": [{}],
    "Tag.items": [{"tag_id": 1, "item_id": 3}, {"tag_id": 1, "item_id": 4}],
}


@pytest.mark.django
@pytest.mark.parametrize("name", KEYS)
def test_key_unchanged(case, name):
    need(case.connection, *(["text keys"] if name == "text" else []))
    case.unchanged(web(KEYS[name]), ROWS)


@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(KEYS, 2)))
def test_key_retyped_and_carried_through(case, old, new):
    need(case.connection, *(["text keys"] if "text" in (old, new) else []))
    case.update(web(KEYS[old]), web(KEYS[new]), ROWS)
    assert len(case.query("SELECT 1 FROM shop_note JOIN shop_item ON shop_item.id = shop_note.item_id")) == 1


def test_key_becomes_uuid(case):
    before, after = item(name=NAME), item(id=models.UUIDField(primary_key=True, default=uuid.uuid4), name=NAME)
    case.update(before, after)
    case.update(after, before, built=True)


def test_automatic_key_replaced_by_a_unique_column(case):
    before = item(code=models.CharField(max_length=5, unique=True), name=NAME)
    after = item(code=models.CharField(max_length=5, primary_key=True), name=NAME)
    rows = {"Item": [{"code": "x", "name": "a"}, {"code": "y", "name": "b"}]}
    case.update(before, after, rows, accept_data_loss=True)
    case.update(after, after, changes=[], built=True)


def test_automatic_key_kept_when_replaced(case):
    before = item(code=models.CharField(max_length=5, unique=True), name=NAME)
    after = item(code=models.CharField(max_length=5, primary_key=True), name=NAME)
    rows = {"Item": [{"code": "x", "name": "a"}, {"code": "y", "name": "b"}]}
    case.update(before, after, rows, withheld=["Drop column shop_item.id"])
    case.insert(after, {"Item": [{"code": "z", "name": "c"}]})


def test_natural_key_replaced_by_an_automatic_one(case):
    before = item(code=models.CharField(max_length=5, primary_key=True), name=NAME)
    after = item(code=models.CharField(max_length=5, unique=True), name=NAME)
    case.update(before, after)
    case.update(after, before, built=True)


def test_natural_key_replaced_by_an_automatic_one_with_rows(case):
    before = item(code=models.CharField(max_length=5, primary_key=True), name=NAME)
    after = item(code=models.CharField(max_length=5, unique=True), name=NAME)
    rows = {"Item": [{"code": "x", "name": "a"}, {"code": "y", "name": "b"}]}
    case.update(before, after, rows)
    assert case.values("shop_item", "id") == [(1,), (2,)]
    case.insert(after, {"Item": [{"code": "z", "name": "c"}]})


def composite(*columns, **more):
    return item(
        pk=models.CompositePrimaryKey(*columns),
        shop=models.IntegerField(),
        number=models.IntegerField(),
        year=models.IntegerField(default=1),
        **more,
    )


PAIR = {"Item": [{"shop": 1, "number": 1}, {"shop": 1, "number": 2}, {"shop": 2, "number": 1}]}


@pytest.mark.django
def test_composite_key_unchanged(case):
    case.unchanged(composite("shop", "number"), PAIR)


@pytest.mark.parametrize("columns", [("number", "shop"), ("shop", "number", "year")])
def test_composite_key_composed_anew(case, columns):
    before, after = composite("shop", "number"), composite(*columns)
    case.update(before, after, PAIR, changes=["Change primary key of shop_item"])
    case.update(after, before, built=True)


def test_composite_key_refused_over_duplicates(case):
    before, after = composite("shop", "number", "year"), composite("shop", "year")
    case.refused(before, after, PAIR, "duplicates")


def test_composite_key_column_retyped(case):
    before = composite("shop", "number")
    after = item(
        pk=models.CompositePrimaryKey("shop", "number"),
        shop=models.BigIntegerField(),
        number=models.CharField(max_length=9),
        year=models.IntegerField(default=1),
    )
    case.update(before, after, PAIR)


def test_single_key_becomes_composite(case):
    before = item(shop=models.IntegerField(), number=models.IntegerField(), year=models.IntegerField(default=1))
    case.update(before, composite("shop", "number"), PAIR, withheld=["Drop column shop_item.id"])
    case.insert(composite("shop", "number"), {"Item": [{"shop": 9, "number": 9}]})


def test_composite_key_with_foreign_key(case):
    def state(*columns):
        return State(
            Shelf={"name": NAME},
            Item={
                "pk": models.CompositePrimaryKey(*columns),
                "shelf": models.ForeignKey("Shelf", models.CASCADE),
                "number": models.IntegerField(),
            },
        )

    rows = {"Shelf": [{"name": "s"}], "Item": [{"shelf_id": 1, "number": 1}]}
    case.unchanged(state("shelf_id", "number"), rows)
    case.update(state("shelf_id", "number"), state("number", "shelf_id"), built=True)
