"""Columns of MariaDB whose values the server compresses."""

import pytest
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Concat

from automigrate_ext import is_actual
from tests.acceptance.helper import Case, State, item

TEXT = models.TextField(null=True)
NAME = models.CharField(max_length=20, null=True)
BYTES = models.BinaryField(null=True)
BEFORE = item(text=TEXT, name=NAME, data=BYTES)
ROWS = {"Item": [{"text": "a" * 300, "name": "b", "data": b"c" * 300}, {"text": None}]}


@pytest.fixture
def case(mariadb):
    case = Case(mariadb, "automigrate")
    case.build(BEFORE)
    case.execute(
        "ALTER TABLE shop_item MODIFY text longtext COMPRESSED NULL",
        "ALTER TABLE shop_item MODIFY name varchar(20) COMPRESSED CHARACTER SET latin1 DEFAULT 'it''s' COMMENT '*/'",
        "ALTER TABLE shop_item MODIFY data longblob COMPRESSED=zlib INVISIBLE NULL",
    )
    return case


def line_of(case, column):
    ((_, printed),) = case.query("SHOW CREATE TABLE shop_item")
    return next(line.strip(" ,") for line in printed.split("\n") if line.startswith(f"  `{column}`"))


def test_compressed_column_is_no_difference(case):
    assert is_actual(using=case.alias, apps=BEFORE.apps)


AFTER = {
    "filled": item(text=models.TextField(default="x"), name=models.CharField(max_length=20, default="y"), data=BYTES),
    "longer": item(text=models.TextField(null=True, db_comment="x"), name=models.CharField(max_length=90, null=True),
                   data=models.BinaryField(default=b"")),
    "other types": item(text=models.CharField(max_length=900, null=True), name=TEXT, data=BYTES),
    "default": item(text=models.TextField(null=True, db_default="x"),
                    name=models.CharField(max_length=20, null=True, db_default="z"), data=BYTES),
}  # fmt: skip


@pytest.mark.parametrize("after", AFTER)
def test_changed_column_stays_compressed(case, after):
    case.update(BEFORE, AFTER[after], ROWS, built=True, exact=False)
    assert all("/*M!100301 COMPRESSED*/" in line_of(case, column) for column in ("text", "name", "data"))
    assert "INVISIBLE" in line_of(case, "data")


def test_renamed_column_stays_compressed(case):
    after = item(title=models.CharField(max_length=40, null=True), text=TEXT, data=BYTES)
    case.insert(BEFORE, ROWS)
    case.run(after, renames={"shop_item.name": "title"})
    assert line_of(case, "title").startswith("`title` varchar(40) /*M!100301 COMPRESSED*/ ")


def test_type_that_cannot_be_compressed(case):
    case.execute("ALTER TABLE shop_item ALTER COLUMN name SET DEFAULT '7'")
    after = item(text=TEXT, name=models.IntegerField(null=True), data=BYTES)
    case.update(BEFORE, after, {"Item": [{"name": "12", "text": "x"}]}, built=True, exact=False)
    assert "COMPRESSED" not in line_of(case, "name")
    assert case.values("shop_item", "name") == [(12,)]


def test_check_and_generated_column_over_a_compressed_one(case):
    fields = {"text": TEXT, "name": models.CharField(max_length=30, null=True), "data": BYTES}
    double = models.GeneratedField(
        expression=Concat("name", models.Value("!")), output_field=models.CharField(max_length=40), db_persist=True
    )
    check = models.CheckConstraint(condition=~Q(name="x"), name="no_x")
    case.update(BEFORE, item(**fields, double=double, Meta={"constraints": [check]}), ROWS, built=True, exact=False)
    assert "COMPRESSED" in line_of(case, "name")


KEYS = {
    "index": {"indexes": [models.Index(fields=["name"], name="by_name")]},
    "unique": {"constraints": [models.UniqueConstraint(fields=["id", "name"], name="once")]},
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("rows", [{}, {"Item": [{"name": "a"}]}], ids=["empty", "filled"])
def test_key_over_a_compressed_column_is_refused(case, key, rows):
    after = item(text=TEXT, name=NAME, data=BYTES, Meta=KEYS[key])
    plan = case.refused(BEFORE, after, rows, "unable", built=True)
    assert "COMPRESSED" in plan.refused[0].hazards[0].message
    case.execute("ALTER TABLE shop_item MODIFY name varchar(20)")
    case.run(after)


def test_foreign_key_of_a_compressed_column_is_refused(case):
    after = State(
        Shelf={"code": models.CharField(max_length=20, primary_key=True)},
        Item={
            "text": TEXT,
            "name": models.ForeignKey("Shelf", models.CASCADE, null=True, db_column="name"),
            "data": BYTES,
        },
    )
    case.refused(BEFORE, after, {}, "unable", built=True)


def test_compressed_generated_column(case):
    def doubled(length):
        name = models.CharField(max_length=length)
        twice = models.GeneratedField(expression=Concat("name", F("name")), output_field=name, db_persist=False)
        return item(text=TEXT, name=NAME, data=BYTES, twice=twice)

    case.execute(
        "ALTER TABLE shop_item ADD COLUMN twice varchar(40) COMPRESSED "
        "GENERATED ALWAYS AS (concat(coalesce(`name`, ''), coalesce(`name`, ''))) VIRTUAL"
    )
    case.run(doubled(40))
    case.insert(doubled(40), {"Item": [{"name": "a"}]})
    case.run(doubled(60))
    assert is_actual(using=case.alias, apps=doubled(60).apps)
    assert case.values("shop_item", "twice") == [("aa",)]
