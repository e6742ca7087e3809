"""What kind of value a field takes, in words."""

import pytest
from django.db import models

from automigrate_ext.declared.wanted import wanted, why_unfit
from tests.acceptance.helper import State

COLOURS = [("r", "Red"), ("Cold", [("b", "Blue"), ("g", "Green")])]


class OwnField(models.Field):
    pass


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (models.CharField(max_length=5), "a text of at most 5 characters"),
        (models.TextField(), "a text"),
        (models.SlugField(), "a slug: letters, digits, hyphens and underscores of at most 50 characters"),
        (models.EmailField(), "an e-mail address of at most 254 characters"),
        (models.CharField(max_length=1, choices=COLOURS), "one of r, b, g"),
        (models.IntegerField(choices=[(n, n) for n in range(11)]), "one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ..."),
        (models.BooleanField(), "True or False"),
        (models.FloatField(), "a number"),
        (models.DecimalField(max_digits=5, decimal_places=2), "a decimal number of up to 5 digits, 2 of them after"),
        (models.DateField(), "a date, such as 2026-03-02"),
        (models.DateTimeField(), "a date and time, such as 2026-03-02 14:30"),
        (models.TimeField(), "a time, such as 14:30"),
        (models.UUIDField(), "a UUID"),
        (OwnField(), "what an OwnField reads"),
        (models.ForeignKey("shop.Item", models.CASCADE), "the id of a shop.Item, a whole number"),
        (models.ForeignKey("shop.Item", models.CASCADE, to_field="code"), "the code of a shop.Item, a text of at"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, models.Field) else "",
)
def test_kind_of_value(sqlite, field, words):
    state = State(Item={"code": models.CharField(max_length=9, unique=True)}, Part={"f": field})
    assert wanted(state["Part"]._meta.get_field("f"), sqlite).startswith(words)


def test_range_of_whole_numbers(connection):
    state = State(Item={"f": models.PositiveSmallIntegerField()})
    low, high = connection.ops.integer_field_range("PositiveSmallIntegerField")
    words = wanted(state["Item"]._meta.get_field("f"), connection)
    expected = f"a whole number from {low} to {high}" if connection.vendor != "sqlite" else "a whole number, 0 or more"
    assert words == expected
    assert not why_unfit(state["Item"]._meta.get_field("f"), "7")
    assert why_unfit(state["Item"]._meta.get_field("f"), "seven") == "“seven” value must be an integer."
