"""Values that SQLite's functions and affinities treat in a way of their own are kept as they are, or counted."""

import uuid

import pytest
from django.db import models

from tests.acceptance.helper import State, item


class Custom(models.TextField):
    """A field whose declared type is the given one."""

    def __init__(self, kind="text", **options):
        self.kind = kind
        super().__init__(**options)

    def deconstruct(self):
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {"kind": self.kind, **kwargs}

    def db_type(self, connection):
        return self.kind


def filled(*values):
    return {"Item": [{"a": value} for value in values]}


# NUL


@pytest.mark.parametrize("after", [models.CharField(max_length=3), models.CharField(max_length=200), Custom("clob(9)")])
def test_text_with_nul_is_copied_as_it_is(lite, after):
    values = ["A\x00B", "\x00", "ä\x00😀", "\\\x00\\", ""]
    lite.update(item(a=models.TextField()), item(a=after), filled(*values))
    assert {value for (value,) in lite.values("shop_item", "a")} == set(values)


def test_text_behind_nul_is_counted(lite):
    before, after = item(a=models.TextField()), item(a=models.CharField(max_length=3))
    lite.refused(before, after, filled("A\x00B", "A\x00BC", "\x00\x00\x00\x00"), "alters-values")


@pytest.mark.parametrize(
    ("after", "good", "bad"),
    [
        (models.DateField(null=True), "2024-02-29", "2024-02-29\x00junk"),
        (models.UUIDField(null=True), uuid.UUID(int=1).hex, uuid.UUID(int=1).hex + "\x00"),
        (models.IntegerField(null=True), "7", "7\x001"),
    ],
)
def test_what_follows_nul_belongs_to_the_value(lite, after, good, bad):
    lite.refused(item(a=models.TextField(null=True)), item(a=after), filled(good, bad), "alters-values")


def test_keys_with_nul_are_kept_with_what_points_at_them(lite):
    def state(key):
        return State(
            Tag={"name": key},
            Item={"tags": models.ManyToManyField("Tag"), "first": models.ForeignKey("Tag", models.CASCADE, "+")},
        )

    before = state(models.CharField(max_length=9, primary_key=True))
    lite.build(before)
    tags = [before["Tag"]._base_manager.using(lite.alias).create(name=name) for name in ("A\x00B", "A\x00C")]
    one = before["Item"]._base_manager.using(lite.alias).create(first=tags[0])
    one.tags.set(tags)
    lite.update(before, state(models.CharField(max_length=3, primary_key=True)), built=True)
    assert lite.values("shop_item_tags", "tag_id") == [("A\x00B",), ("A\x00C",)]
    assert lite.values("shop_item", "first_id") == [("A\x00B",)]


# Affinities


@pytest.mark.parametrize("before", [models.TextField(), models.CharField(max_length=40), Custom("")])
@pytest.mark.parametrize("kind", ["money", "my point", "citext_number"])
def test_texts_that_another_affinity_makes_numbers_of_are_counted(lite, before, kind):
    kind = "numeral" if kind == "citext_number" else kind
    values = ["007", "1e3", "12345678901234567890", " 7", "1.50", "12", "-1.5", "word", "0x10", ""]
    plan = lite.refused(item(a=before), item(a=Custom(kind)), filled(*values), "alters-values")
    assert plan.refused[0].hazards[0].rows == 5


def test_texts_that_stay_the_same_in_another_affinity_go_through(lite):
    lite.update(item(a=models.TextField()), item(a=Custom("money")), filled("12", "-1.5", "word", "0x10", "", "7 €"))
    kinds = lite.query("SELECT typeof(a), CAST(a AS TEXT) FROM shop_item ORDER BY id")
    assert kinds[:3] == [("integer", "12"), ("real", "-1.5"), ("text", "word")]


def test_texts_become_numbers_where_that_is_accepted(lite):
    before, after = item(a=models.TextField()), item(a=Custom("money"))
    lite.update(before, after, filled("007", "word"), altered=["shop_item.a"], accept_data_loss=True)
    assert lite.query("SELECT a FROM shop_item ORDER BY id") == [(7,), ("word",)]
