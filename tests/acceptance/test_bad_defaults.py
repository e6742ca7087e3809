"""A default that cannot be a value of its field is a refusal in one line, where rows need it and nowhere else."""

import datetime
import decimal

import pytest
from django.db import models

from automigrate_ext import Refused
from tests.acceptance.helper import State, item
from tests.features import need


@pytest.fixture
def route():
    """The tables come to be in one way: what becomes of values does not depend on it."""
    return "automigrate"


NAME = models.CharField(max_length=20)
ROWS = {"Item": [{"name": "a"}, {"name": "b"}]}


class Broken(Exception):
    """What a default of a project raises."""


def broken():
    raise Broken("no value today")


def words():
    return "too long"


def nothing():
    return None


def number():
    return "abc"


class Endless:
    """A value that does not fit into a line."""

    def __repr__(self):
        return "very\n" * 100


BAD = {
    "text that is too long": (models.CharField(max_length=2, default="toolong"), r"'toolong'.*7 characters.*takes 2"),
    "long text from a function": (models.CharField(max_length=2, default=words), r"words\(\).*8 characters"),
    "slug": (models.SlugField(max_length=2, default="toolong"), "'toolong'"),
    "file name": (models.FileField(max_length=2, default="toolong"), "'toolong'"),
    "word for a number": (models.IntegerField(default="abc"), "expected a number but got 'abc'"),
    "word for a number from a function": (models.IntegerField(default=number), "got 'abc'"),
    "large number": (models.SmallIntegerField(default=70000), "not between -32768 and 32767"),
    "number below zero": (models.PositiveIntegerField(default=-1), "not between 0 and"),
    "day that is none": (models.DateField(default="2020-13-01"), "2020-13-01.*correct format"),
    "moment that is none": (models.DateTimeField(default="soon"), "soon"),
    "word for a truth": (models.BooleanField(default="maybe"), "maybe"),
    "word for a key": (models.UUIDField(default="abc"), "abc"),
    "digits": (
        models.DecimalField(max_digits=5, decimal_places=2, default=decimal.Decimal("12345.6")),
        "more than 3 digits",
    ),
    "word for a decimal": (models.DecimalField(max_digits=5, decimal_places=2, default="x"), "decimal number"),
    "function that fails": (models.IntegerField(default=broken), r"broken\(\).*Broken: no value today"),
    "function that gives nothing": (models.IntegerField(default=nothing), "gave None"),
    "object": (models.IntegerField(default=Endless()), r"very very .*\.\.\..*expected a number"),
    "duration": (models.DurationField(default="long"), "long"),
    "json": (models.JSONField(default=Endless), "not JSON serializable"),
}


def assert_refused(case, before, after, rows=ROWS, words=None, left=(), **options):
    """The default is refused while there are rows; `left` are the codes for which it still is without them."""
    plan = case.refused(before, after, rows, "bad-default", **options)
    (judgement,) = plan.refused
    (hazard,) = judgement.hazards
    assert "shop.Item.added" in hazard.message and "\n" not in hazard.message
    assert "--default shop.Item.added=VALUE" in hazard.remedy
    with pytest.raises(Refused, match=words):
        case.run(after)
    assert case.plan(after).refused
    case.execute("DELETE FROM shop_item")
    assert [hazard.code for judgement in case.plan(after).refused for hazard in judgement.hazards] == [*left]


def forbid_unlimited(case, kind):
    """Skip a case of a number that the column's type holds."""
    limits = case.connection.ops.integer_field_range("SmallIntegerField" if kind == "large number" else "IntegerField")
    if limits[1] > 2**31:
        pytest.skip("its integers have no limits")


@pytest.mark.parametrize("kind", BAD)
def test_bad_default_of_a_new_column(case, kind):
    if kind == "json":
        need(case.connection, "JSON")
    field, words = BAD[kind]
    if kind in ("large number", "number below zero"):
        forbid_unlimited(case, kind)
    after = item(name=NAME, added=field)
    assert_refused(case, item(name=NAME), after, words=words)


@pytest.mark.parametrize("kind", ["text that is too long", "word for a number", "large number", "function that fails"])
def test_bad_default_for_nulls(case, kind):
    field, words = BAD[kind]
    if kind == "large number":
        forbid_unlimited(case, kind)
    nullable = field.clone()
    nullable.null, nullable.default = True, models.NOT_PROVIDED
    before, after = item(name=NAME, added=nullable), item(name=NAME, added=field)
    case.build(before)
    assert not case.plan(after).refused
    case.insert(before, {"Item": [{"name": "a", "added": None}]})
    with pytest.raises(Refused, match=words):
        case.run(after)
    case.execute("UPDATE shop_item SET added = 1")
    case.update(before, after, built=True)


def test_bad_default_of_the_database(case):
    need(case.connection, "any text as a value")
    after = item(name=NAME, added=models.CharField(max_length=2, db_default="toolong"))
    if case.vendor == "mysql":
        pytest.skip("MariaDB does not make a table with such a default at all")
    # PostgreSQL computes the default of a new column though there is no row.
    left = ["not-accepted"] if case.vendor == "postgresql" else []
    assert_refused(case, item(name=NAME), after, words="db_default 'toolong'.*7 characters", left=left)


def test_bad_default_of_a_reference(case):
    def state(**fields):
        return State(Ink={"name": NAME}, Item={"name": NAME, **fields})

    after = state(added=models.ForeignKey("Ink", models.CASCADE, default="black"))
    case.refused(state(), after, ROWS, "bad-default")


def test_bad_defaults_are_all_named_and_beside_other_reasons(case):
    after = item(
        name=models.CharField(max_length=20, unique=True),
        one=models.IntegerField(default="abc"),
        two=models.DateField(default="soon"),
    )
    rows = {"Item": [{"name": "a"}, {"name": "a"}]}
    case.refused(item(name=NAME), after, rows, "bad-default", "bad-default", "duplicates")


def test_one_off_value_in_the_place_of_a_bad_default(case):
    after = item(name=NAME, added=models.CharField(max_length=2, default="toolong"))
    case.update(item(name=NAME), after, ROWS, defaults={"shop.Item.added": "ok"})
    assert case.values("shop_item", "added") == [("ok",), ("ok",)]


def test_function_that_asks_a_missing_table(case):
    def count():
        return State(Missing={})["Missing"]._base_manager.using(case.alias).count()

    after = item(name=NAME, added=models.IntegerField(default=count))
    assert_refused(case, item(name=NAME), after, words="count.*(Programming|Operational|Database)Error")


def test_function_that_fails_for_a_later_row(case):
    values = iter([1, 2])

    def two():
        return next(values)

    before, after = item(name=NAME), item(name=NAME, added=models.IntegerField(default=two))
    case.build(before)
    case.insert(before, {"Item": [{"name": name} for name in "abc"]})
    with pytest.raises(Exception, match=r"two\(\) of shop\.Item\.added cannot be used: StopIteration"):
        case.run(after)


def test_good_values_at_the_edges(case):
    after = item(
        name=NAME,
        small=models.SmallIntegerField(default=-32768),
        big=models.BigIntegerField(default=2**63 - 1),
        text=models.CharField(max_length=2, default="é😀"),
        digits=models.DecimalField(max_digits=5, decimal_places=2, default=decimal.Decimal("999.994")),
        day=models.DateField(default=datetime.date.max),
        choice=models.CharField(max_length=5, default="other", choices={"one": "One"}),
    )
    case.update(item(name=NAME), after, ROWS)


@pytest.mark.parametrize("kind", ["array", "address", "range", "enumeration"])
def test_values_that_only_the_server_refuses(pg, kind):
    need(pg.connection, "postgresql")
    from django.contrib.postgres import fields

    class MoodField(models.TextField):
        def db_type(self, connection):
            return "mood"

    pg.execute("CREATE TYPE mood AS ENUM ('happy')")
    field = {
        "array": fields.ArrayField(models.CharField(max_length=2), default=["toolong"]),
        "address": models.GenericIPAddressField(default="here"),
        "range": fields.IntegerRangeField(default=(5, 1)),
        "enumeration": MoodField(default="sad"),
    }[kind]
    before, after = item(name=NAME), item(name=NAME, added=field)
    assert_refused(pg, before, after)


def test_value_from_a_function_that_only_the_server_refuses(pg):
    need(pg.connection, "postgresql")
    from django.contrib.postgres import fields

    def long():
        return ["toolong"]

    after = item(name=NAME, added=fields.ArrayField(models.CharField(max_length=2), default=long))
    assert_refused(pg, item(name=NAME), after, words=r"long\(\).*character varying\(2\)\[\]: value too long")
