"""What a plan says of the time that it takes, and that it is true: the server itself is watched."""

import uuid

import pytest
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now, Random
from django.test.utils import CaptureQueriesContext

from automigrate_ext.plan import text
from automigrate_ext.plan.cost import Remark, Size
from tests.acceptance.helper import Case, State, item
from tests.features import need


@pytest.fixture
def route():
    """The tables come to be in one way: what a plan costs does not depend on it."""
    return "automigrate"


NAME = models.CharField(max_length=20)
SIZE = models.IntegerField(null=True)
BEFORE = item(name=NAME, size=SIZE)
ROWS = {"Item": [{"name": "a", "size": 1}, {"name": "b", "size": 2}]}


def thing(name=NAME, size=SIZE, **more):
    return item(name=name, size=size, **more)


def generated(persist=True):
    return models.GeneratedField(expression=F("size") * 2, output_field=models.IntegerField(), db_persist=persist)


CHECKED = {"constraints": [models.CheckConstraint(condition=Q(size__gt=0), name="c")]}
UNIQUE = {"constraints": [models.UniqueConstraint(fields=["name"], name="u")]}
INDEXED = {"indexes": [models.Index(fields=["size"], name="i"), models.Index(fields=["name"], name="j")]}
REWRITES, CHECKS = "rewrites the table", "reads the whole table to check it"
LOCKS = "takes an exclusive lock"
INSTANTLY, IN_PLACE = "changes the table instantly", "changes the table in place while others write"

#: Models after a change to `BEFORE`, and what the plan says of it on PostgreSQL and SQLite.
AFTER = {
    "widened_text": (thing(models.CharField(max_length=30)), [LOCKS], ["rebuilds the table"]),
    "text_without_limit": (thing(models.TextField()), [LOCKS], ["rebuilds the table"]),
    "narrowed_text": (thing(models.CharField(max_length=10)), [REWRITES, LOCKS], ["rebuilds the table"]),
    "widened_integer": (thing(size=models.BigIntegerField(null=True)), [REWRITES, LOCKS], ["rebuilds the table"]),
    "integer_to_text": (thing(size=models.TextField(null=True)), [REWRITES, LOCKS], ["rebuilds the table"]),
    "forbidden_null": (thing(size=models.IntegerField()), [CHECKS, LOCKS], ["rebuilds the table"]),
    "allowed_null": (thing(models.CharField(max_length=20, null=True)), [LOCKS], ["rebuilds the table"]),
    "filled_null": (
        thing(size=models.IntegerField(default=3)),
        [CHECKS, LOCKS],  # there is none, so nothing is filled in
        ["rebuilds the table"],
    ),
    "added_column": (thing(more=models.IntegerField(null=True)), [LOCKS], []),
    "added_constant": (thing(more=models.IntegerField(default=3)), [LOCKS], ["rebuilds the table"]),
    "added_database_default": (thing(more=models.IntegerField(db_default=3)), [LOCKS], []),
    "added_moment": (thing(more=models.DateTimeField(db_default=Now())), [LOCKS], ["rebuilds the table"]),
    "added_stored_column": (thing(more=generated()), [REWRITES, LOCKS], ["rebuilds the table"]),
    "dropped_empty_column": (item(name=NAME), [LOCKS], ["rewrites the table"]),
    "check": (thing(Meta=CHECKED), [CHECKS, LOCKS], ["rebuilds the table"]),
    "unique": (thing(Meta=UNIQUE), ["builds an index", LOCKS], ["builds an index"]),
    "indexes": (thing(Meta=INDEXED), ["builds 2 indexes", LOCKS], ["builds 2 indexes"]),
    "conversion_under_a_rebuilt_column": (
        thing(size=models.BigIntegerField(null=True), more=models.IntegerField(null=True)),
        [REWRITES, LOCKS],
        ["rebuilds the table"],
    ),
}


def effects(plan):
    return {remark.table: list(remark.effects) for remark in plan.remarks}


@pytest.mark.parametrize("name", AFTER)
def test_effects(case, name):
    after, on_postgresql, on_sqlite = AFTER[name]
    rows = {"Item": [{"name": "a"}, {"name": "b"}]} if name == "dropped_empty_column" else ROWS
    need(case.connection, "foreseeable rewrites")
    expected = on_postgresql if case.vendor == "postgresql" else on_sqlite
    plan = case.update(BEFORE, after, rows, altered=["shop_item.size"])
    assert effects(plan) == ({"shop_item": expected} if expected else {})
    assert all(remark.size == Size(rows=2) for remark in plan.remarks)


@pytest.mark.parametrize("name", AFTER)
def test_a_table_is_rewritten_exactly_where_the_plan_says_so(pg, name):
    after, *_ = AFTER[name]
    pg.build(BEFORE)
    pg.insert(BEFORE, {"Item": [{"name": "a", **({} if name == "dropped_empty_column" else {"size": 1})}]})
    file = pg.query("SELECT pg_relation_filenode('shop_item')")
    plan = pg.run(after)
    assert (pg.query("SELECT pg_relation_filenode('shop_item')") != file) == (REWRITES in effects(plan)["shop_item"])


@pytest.mark.parametrize("name", AFTER)
def test_empty_tables_get_no_remark(case, name):
    after, *_ = AFTER[name]
    assert case.update(BEFORE, after).remarks == ()


def test_virtual_column_costs_nothing(pg):
    need(pg.connection, "virtual generated columns")
    assert effects(pg.update(BEFORE, thing(more=generated(persist=False)), ROWS)) == {"shop_item": [LOCKS]}


def test_column_that_is_made_anew(pg):
    before, after = thing(more=generated()), thing(size=models.BigIntegerField(null=True), more=generated())
    assert effects(pg.update(before, after, ROWS)) == {"shop_item": [REWRITES, LOCKS]}


def test_filled_null(pg):
    after = thing(size=models.IntegerField(default=3))
    plan = pg.update(BEFORE, after, {"Item": [{"name": "a"}]}, altered=["shop_item.size"])
    assert effects(plan) == {"shop_item": [CHECKS, "updates rows that have no value", LOCKS]}


def test_value_of_its_own_for_each_row(case):
    after = thing(more=models.UUIDField(default=uuid.uuid4))
    words = {
        "postgresql": [CHECKS, "updates every row", LOCKS],
        "sqlite": ["rebuilds the table", "updates every row"],
        "mysql": [INSTANTLY, "updates rows", IN_PLACE],
    }
    assert effects(case.update(BEFORE, after, ROWS)) == {"shop_item": words[case.vendor]}


def test_value_of_its_own_for_each_row_without_one(case):
    after = thing(size=models.IntegerField(default=lambda: 7))
    plan = case.update(BEFORE, after, {"Item": [{"name": "a"}]}, altered=["shop_item.size"])
    words = "updates rows" if case.vendor == "mysql" else "updates rows that have no value"
    assert words in effects(plan)["shop_item"]


def test_moment_that_is_called_for_each_row(pg):
    """A volatile default is the server's to know."""
    random = models.FloatField(db_default=Random())
    assert effects(pg.update(BEFORE, thing(more=random), ROWS)) == {"shop_item": [REWRITES, LOCKS]}


def test_foreign_key_reads_both_tables(pg):
    own = {"name": NAME, "to": models.BigIntegerField()}
    before = State(Target={"name": NAME}, Item=own)
    key = models.ForeignKey("Target", models.CASCADE, db_column="to", db_index=False)
    after = State(Target={"name": NAME}, Item={"name": NAME, "to": key})
    plan = pg.update(before, after, {"Target": [{"name": "t"}], "Item": [{"name": "a", "to": 1}]})
    assert effects(plan) == {
        "shop_item": ["reads the whole table to check a foreign key", LOCKS],
        "shop_target": ["is read to check a foreign key, while writes wait"],
    }
    lines = [str(line) for line in text.lines(plan)]
    assert lines[-2:] == ["shop_target", "  # is read to check a foreign key, while writes wait (1 row)"]


@pytest.mark.parametrize("database", ["mariadb", "mysql"])
def test_foreign_key_copies_the_table(request, database):
    """The server itself refuses to check one in another way."""
    case = Case(request.getfixturevalue(database), "automigrate")
    own = {"name": NAME, "to": models.BigIntegerField()}
    before = State(Target={"name": NAME}, Item=own)
    key = models.ForeignKey("Target", models.CASCADE, db_column="to", db_index=False)
    after = State(Target={"name": NAME}, Item={"name": NAME, "to": key})
    case.build(before)
    case.insert(before, {"Target": [{"name": "t"}], "Item": [{"name": "a", "to": 1}]})
    plan = case.plan(after)
    assert effects(plan) == {"shop_item": ["copies the table while writes wait"]}
    (statement,) = plan.statements
    with pytest.raises(Exception, match="ALGORITHM"):
        case.execute(f"{statement}, ALGORITHM=INPLACE")
    case.update(before, after, built=True)


def test_comment_lets_everybody_pass(pg):
    after = item(name=NAME, size=SIZE, Meta={"db_table_comment": "things"})
    assert pg.update(BEFORE, after, ROWS).remarks == ()


def test_renamed_index(pg):
    def indexed(name):
        return thing(Meta={"indexes": [models.Index(fields=["size"], name=name)]})

    assert pg.update(indexed("one"), indexed("two"), ROWS).remarks == ()


def test_renamed_column(pg):
    plan = pg.update(BEFORE, item(title=NAME, size=SIZE), ROWS, renames={"shop.Item.name": "title"})
    assert effects(plan) == {"shop_item": [LOCKS]}


def test_refused_plan_has_no_remarks(case):
    plan = case.refused(BEFORE, thing(more=models.IntegerField()), ROWS, "required-column")
    assert plan.remarks == ()


def test_one_probe_for_all_that_is_alike(pg):
    many = {f"n{number}": models.IntegerField(null=True) for number in range(30)}
    wide = {name: models.BigIntegerField(null=True) for name in many}
    before, after = item(**many), item(**wide)
    pg.build(before)
    pg.insert(before, {"Item": [{"n0": 1}]})
    pg.plan(after)
    with CaptureQueriesContext(pg.connection) as captured:
        assert pg.plan(after).remarks
    probes = [query for query in captured.captured_queries if "TEMPORARY TABLE automigrate_ext_probe" in query["sql"]]
    assert len(probes) == 1


def test_large_table_is_estimated(pg, monkeypatch):
    monkeypatch.setattr("automigrate_ext.backends.postgresql.cost.PAGES_TO_COUNT", 10)
    pg.build(BEFORE)
    pg.execute("INSERT INTO shop_item (name, size) SELECT 'x', n FROM generate_series(1, 10000) n", "ANALYZE shop_item")
    (remark,) = pg.plan(thing(size=models.BigIntegerField(null=True))).remarks
    assert remark.size == Size(rows=10_000, exact=False)
    assert str(remark) == "rewrites the table (about 10,000 rows), takes an exclusive lock"


def test_line_in_text(case):
    case.build(BEFORE)
    case.insert(BEFORE, ROWS)
    lines = [str(line) for line in text.lines(case.plan(thing(size=models.BigIntegerField(null=True))))]
    words = {
        "postgresql": "rewrites the table (2 rows), takes an exclusive lock",
        "sqlite": "rebuilds the table (2 rows)",
        "mysql": "copies the table while writes wait (2 rows)",
    }
    assert lines[:2] == ["shop_item", f"  # {words[case.vendor]}"]


def test_words():
    remark = Remark(table="t", effects=("rewrites the table",), size=Size(rows=12_345_678))
    assert str(remark) == "rewrites the table (12,345,678 rows)"
