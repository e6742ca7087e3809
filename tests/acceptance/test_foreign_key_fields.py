"""A field that becomes a foreign key, or stops being one, has another column; its values go along where told to."""

import pytest
from django.db import models

from automigrate_ext import AutomigrateError, Refused
from automigrate_ext.plan.plan import Verdict
from tests.acceptance.helper import State
from tests.acceptance.test_renames import likely

NAME = models.CharField(max_length=20)


def state(field, name="author", key=None, **more):
    author = {"name": NAME, **({"code": key} if key else {})}
    return State(Author=author, Item={"name": NAME, name: field, **more})


def to_author(kind=models.ForeignKey, **options):
    return kind("Author", models.CASCADE, related_name="+", **options)


PLAIN = {
    "integer": models.IntegerField(),
    "bigint": models.BigIntegerField(),
    "indexed": models.PositiveIntegerField(db_index=True),
    "text": models.CharField(max_length=10),
}
ROWS = {"Author": [{"name": "x"}, {"name": "y"}], "Item": [{"name": "a", "author": 2}]}


@pytest.mark.parametrize("name", PLAIN)
def test_field_turned_into_a_foreign_key(case, name):
    before, after = state(PLAIN[name]), state(to_author())
    case.build(before)
    case.insert(before, ROWS)
    with pytest.raises(Refused, match=r"Was shop\.Item\.author renamed to author_id\?") as caught:
        case.run(after)
    assert likely(caught.value.plan) == ["shop.Item.author=author_id"]
    assert caught.value.plan.as_dict()["likely_renames"][0]["option"] == "shop.Item.author=author_id"
    case.update(before, after, built=True, renames={"shop.Item.author": "author_id"})
    assert case.values("shop_item", "author_id") == [(2,)]
    assert not case.run(after, renames={"shop.Item.author": "author_id"})


def test_field_turned_into_a_one_to_one_field_that_allows_null(case):
    before, after = state(models.IntegerField(null=True)), state(to_author(models.OneToOneField, null=True))
    case.build(before)
    case.insert(before, {**ROWS, "Item": [{"name": "a", "author": 2}, {"name": "b"}]})
    assert likely(case.plan(after)) == ["shop.Item.author=author_id"]
    case.update(before, after, built=True, renames={"shop.Item.author": "author_id"})
    assert case.values("shop_item", "author_id") == [(None,), (2,)]


@pytest.mark.parametrize("name", PLAIN)
def test_foreign_key_turned_into_a_field(case, name):
    before, after = state(to_author()), state(PLAIN[name])
    case.build(before)
    case.insert(before, {**ROWS, "Item": [{"name": "a", "author_id": 2}]})
    with pytest.raises(Refused, match=r"Was shop\.Item\.author_id renamed to author\?") as caught:
        case.run(after)
    assert likely(caught.value.plan) == ["shop.Item.author_id=author"]
    case.update(before, after, built=True, renames={"shop.Item.author_id": "author"})
    assert [str(value) for (value,) in case.values("shop_item", "author")] == ["2"]


def test_foreign_key_to_a_text(case):
    key = models.CharField(max_length=9, primary_key=True)
    before, after = state(models.CharField(max_length=9), key=key), state(to_author(), key=key)
    case.build(before)
    case.insert(before, {"Author": [{"code": "x", "name": "x"}], "Item": [{"name": "a", "author": "x"}]})
    assert likely(case.plan(after)) == ["shop.Item.author=author_id"]
    case.update(before, after, built=True, renames={"shop.Item.author": "author_id"})
    assert case.values("shop_item", "author_id") == [("x",)]


@pytest.mark.parametrize("renames", [{"shop.Item.author": "author"}, {"shop_item.author": "author_id"}])
def test_other_ways_to_write_it(case, renames):
    case.update(state(models.IntegerField()), state(to_author()), ROWS, renames=renames)
    assert case.values("shop_item", "author_id") == [(2,)]


@pytest.mark.parametrize("new", ["writer", "writer_id"])
def test_field_renamed_and_turned_into_a_foreign_key(case, new):
    after = state(to_author(), name="writer")
    case.update(state(models.IntegerField()), after, ROWS, renames={"shop.Item.author": new})
    assert case.values("shop_item", "writer_id") == [(2,)]


def test_foreign_key_renamed_and_turned_into_a_field(case):
    before, after = state(to_author()), state(models.IntegerField(), name="number")
    rows = {**ROWS, "Item": [{"name": "a", "author_id": 2}]}
    case.update(before, after, rows, renames={"shop.Item.author": "number"})
    assert case.values("shop_item", "number") == [(2,)]


@pytest.mark.parametrize("hint", [{"author_id": "author"}, {"author_id": ("writer", "author")}])
def test_hint_at_a_field_turned_into_a_foreign_key(case, hint):
    after = state(to_author(), former_names=hint)
    case.update(state(models.IntegerField()), after, ROWS)
    assert case.values("shop_item", "author_id") == [(2,)]


def test_hint_at_a_foreign_key_turned_into_a_field(case):
    after = state(models.IntegerField(), former_names={"author": "author_id"})
    rows = {**ROWS, "Item": [{"name": "a", "author_id": 2}]}
    case.update(state(to_author()), after, rows)
    assert case.values("shop_item", "author") == [(2,)]


def test_values_that_are_no_keys_are_refused(case):
    before, after = state(models.IntegerField()), state(to_author())
    rows = {**ROWS, "Item": [{"name": "a", "author": 2}, {"name": "b", "author": 7}]}
    case.refused(before, after, rows, "orphans", renames={"shop.Item.author": "author_id"})


def test_foreign_key_in_a_child_model(case):
    def inheriting(field):
        return State(Author={"name": NAME}, Item={"name": NAME}, Child={"bases": ["Item"], "author": field})

    before, after = inheriting(models.IntegerField()), inheriting(to_author())
    case.build(before)
    case.insert(before, {"Author": [{"name": "x"}], "Child": [{"name": "a", "author": 1}]})
    assert likely(case.plan(after)) == ["shop.Child.author=author_id"]
    case.update(before, after, built=True, renames={"shop.Child.author": "author_id"})
    assert case.values("shop_child", "author_id") == [(1,)]


def test_both_columns_are_there(case):
    before, after = state(models.IntegerField()), state(to_author(null=True))
    case.build(before)
    case.insert(before, ROWS)
    assert [judgement.verdict for judgement in case.run(after).withheld] == [Verdict.WITHHOLD]
    with pytest.raises(AutomigrateError, match="both are there"):
        case.plan(after, renames={"shop.Item.author": "author_id"})
    (note,) = case.notes(case.plan(after, renames={"shop.Item.author": "author"}))
    assert "was not applied" in note and "shop_item.author and shop_item.author_id are both there" in note


def test_column_of_the_other_name_stays_where_the_rename_is_done(case):
    before, after = state(to_author(), name="box"), state(to_author(), name="crate")
    renames = {"shop.Item.box": "crate"}
    case.run(before)
    case.execute("ALTER TABLE shop_item ADD COLUMN box integer")
    assert case.run(after, renames=renames)
    again = case.run(after, renames=renames)
    assert not again and case.notes(again) == []
    assert case.introspect(["shop_item"]).tables["shop_item"].column("box")
