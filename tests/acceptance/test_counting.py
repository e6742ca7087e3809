"""How the rows are asked: no more than needed, not for ever, and with examples of what is in the way."""

import datetime
import re
from contextlib import contextmanager

import pytest
from django.db import models
from django.db.models.functions import Cast
from django.db.models.lookups import Exact
from django.test.utils import CaptureQueriesContext

from automigrate_ext import Refused
from tests.acceptance.helper import Case, State, fingerprint, item
from tests.features import need

NAME = models.CharField(max_length=20)
SIZE = models.IntegerField(null=True)


@pytest.fixture
def case(connection):
    return Case(connection, "automigrate")


def rows(*sizes):
    return {"Item": [{"name": f"n{number}", "size": size} for number, size in enumerate(sizes)]}


def counting(case, state):
    """The queries of a plan that count rows to judge it; what it costs is another question."""
    with CaptureQueriesContext(case.connection) as captured:
        case.plan(state)
    queries = [query["sql"] for query in captured.captured_queries]
    return [sql for sql in queries if "count(" in sql and not sql.startswith("SELECT 0, count(*)")]


AFTER = item(
    name=NAME,
    size=models.IntegerField(),
    Meta={
        "constraints": [
            models.CheckConstraint(condition=models.Q(size__gt=0), name="c1"),
            models.CheckConstraint(condition=models.Q(size__lt=100), name="c2"),
        ]
    },
)


def test_one_query_for_all_that_is_asked_of_a_table(case):
    before = item(name=NAME, size=SIZE, gone=SIZE, lost=SIZE)
    case.build(before)
    case.insert(before, rows(1, 2))
    assert len(counting(case, AFTER)) == 1


def test_no_query_for_an_empty_table(case):
    case.build(item(name=NAME, size=SIZE, gone=SIZE))
    assert counting(case, AFTER) == []


def test_examples_are_the_first_five_keys(case):
    plan = case.refused(
        item(name=NAME, size=SIZE), item(name=NAME, size=models.IntegerField()), rows(1, *[None] * 7), "null-values"
    )
    (hazard,) = plan.refused[0].hazards
    assert (hazard.key, hazard.rows) == (("id",), 7)
    assert hazard.samples == ((2,), (3,), (4,), (5,), (6,))
    assert "it is NULL in 7 rows (id 2, 3, 4, 5, 6, ...). Give" in str(hazard)


def test_examples_of_a_key_of_several_columns(case):
    key = models.CompositePrimaryKey("a", "b")
    fields = {"pk": key, "a": models.IntegerField(), "b": models.DateField()}
    values = {"Item": [{"a": 1, "b": datetime.date(2024, 5, 6), "size": None}]}
    plan = case.refused(item(**fields, size=SIZE), item(**fields, size=models.IntegerField()), values, "null-values")
    assert "((a, b) (1, 2024-05-06))" in str(plan.refused[0].hazards[0])
    assert plan.as_dict()["changes"][0]["hazards"][0]["samples"] == [[1, "2024-05-06"]]


def test_examples_by_the_key_that_is_replaced(case):
    before = item(name=models.CharField(max_length=9, primary_key=True), size=SIZE)
    after = item(size=models.IntegerField(primary_key=True))
    case.build(before)
    case.insert(before, {"Item": [{"name": "a", "size": 1}, {"name": "b", "size": 1}]})
    (judgement,) = case.plan(after, accept_data_loss=True).refused
    assert judgement.hazards[0].samples == (("a",), ("b",))


def test_json_has_the_examples(case):
    before, after = item(name=NAME, size=SIZE), item(name=NAME, size=models.IntegerField())
    case.build(before)
    case.insert(before, rows(None))
    hazard = case.plan(after).as_dict()["changes"][0]["hazards"][0]
    assert (hazard["key"], hazard["samples"]) == (["id"], [[1]])


#: So many that no server counts them within a millisecond, nor before it notices that the millisecond is over.
MANY = 15_000 * 2**4


def many(case, state):
    """Put in `MANY` rows with sizes of their own."""
    model = state["Item"]
    number = 15_000
    model._base_manager.using(case.alias).bulk_create(
        [model(name=str(n), size=n) for n in range(number)], batch_size=200
    )
    while number < MANY:
        with case.connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO shop_item (name, size) SELECT name, size + {number} FROM shop_item")
        number *= 2


CHECKED = item(
    name=NAME, size=SIZE, Meta={"constraints": [models.CheckConstraint(condition=models.Q(size__gte=0), name="c")]}
)
UNIQUE = item(name=NAME, size=models.IntegerField(null=True, unique=True))
REQUIRED = item(name=NAME, size=models.IntegerField())
RETYPED = item(name=NAME, size=models.CharField(max_length=6, null=True))


@pytest.mark.parametrize("after", [CHECKED, UNIQUE, REQUIRED, RETYPED], ids=["check", "unique", "null", "type"])
def test_what_is_not_counted_in_time_is_refused(case, after):
    before = item(name=NAME, size=SIZE)
    case.build(before)
    many(case, before)
    trace = fingerprint(case.connection)
    with pytest.raises(Refused) as caught:
        case.run(after, count_timeout=0.001)
    (judgement,) = caught.value.plan.refused
    assert [hazard.code for hazard in judgement.hazards] == ["not-counted"]
    assert judgement.hazards[0].rows is None
    assert "--count-timeout" in str(caught.value)
    assert fingerprint(case.connection) == trace
    case.run(after, count_timeout=None)
    case.assert_settled(after)


def test_what_would_go_and_is_not_counted_in_time_is_kept(case):
    before = item(name=NAME, size=SIZE)
    case.build(before)
    many(case, before)
    plan = case.run(item(name=NAME), count_timeout=0.001)
    (judgement,) = plan.withheld
    assert "(values that were not counted in time)" in str(judgement.hazards[0])
    assert len(case.values("shop_item", "size")) == MANY


@contextmanager
def broken_counting(case):
    """Let the database fail on every question that counts."""

    def fail(execute, sql, params, many, context):
        return execute("SELECT broken" if "count(" in sql else sql, params, many, context)

    with case.connection.execute_wrapper(fail):
        yield


SIZED = item(name=NAME, size=SIZE)


@pytest.mark.parametrize(
    ("after", "table"),
    [(item(name=NAME), "shop_item"), (State(Other={"name": NAME}), "shop_item")],
    ids=["column", "table"],
)
def test_what_would_go_and_cannot_be_counted_is_kept(case, after, table):
    case.build(SIZED)
    case.insert(SIZED, rows(1, 2))
    with broken_counting(case):
        plan = case.plan(after)
    (judgement,) = plan.withheld
    assert "that could not be counted (" in str(judgement.hazards[0])
    assert judgement.hazards[0].rows is None


def test_what_a_type_would_lose_on_sqlite_and_cannot_be_counted_is_refused(sqlite):
    case = Case(sqlite, "automigrate")
    case.build(SIZED)
    case.insert(SIZED, rows(1, 2))
    with broken_counting(case):
        plan = case.plan(RETYPED)
    assert [hazard.code for hazard in plan.refused[0].hazards] == ["not-counted"]


@pytest.mark.parametrize("limit", [1e30, float("inf")])
def test_limit_longer_than_the_server_knows(case, limit):
    case.build(SIZED)
    case.insert(SIZED, rows(1, 2))
    plan = case.run(item(name=NAME), count_timeout=limit)
    assert [judgement.hazards[0].rows for judgement in plan.withheld] == [2]


def test_limit_ends_with_the_question(case):
    before = item(name=NAME, size=SIZE)
    case.build(before)
    case.insert(before, rows(1))
    case.run(REQUIRED, count_timeout=5)
    limits = {"postgresql": ("SHOW statement_timeout", "0")}
    if case.vendor == "mysql":
        variable = "max_statement_time" if case.connection.mysql_is_mariadb else "max_execution_time"
        limits["mysql"] = (f"SELECT @@{variable}", 0)
    if case.vendor in limits:
        limit, none = limits[case.vendor]
        assert case.query(limit) == [(none,)]


ROOM = models.IntegerField()


def bookings(*constraints):
    from django.contrib.postgres.fields import DateRangeField

    return item(room=ROOM, during=DateRangeField(), Meta={"constraints": constraints})


def test_conflicts_under_a_new_exclusion_constraint_refused(postgresql):
    from django.contrib.postgres.constraints import ExclusionConstraint

    case = Case(postgresql, "automigrate")
    need(case.connection, "extension btree_gist")
    case.execute("CREATE EXTENSION btree_gist")
    exclusion = ExclusionConstraint(
        name="x", expressions=[("during", "&&"), ("room", "=")], condition=models.Q(room__gt=0)
    )
    day = [datetime.date(2024, 1, number) for number in range(1, 9)]
    values = [
        (1, (day[0], day[2])),
        (1, (day[1], day[3])),
        (1, (day[4], day[5])),
        (0, (day[0], day[2])),
        (0, (day[0], day[2])),
        (2, (day[0], day[2])),
    ]
    rows = {"Item": [{"room": room, "during": during} for room, during in values]}
    plan = case.refused(bookings(), bookings(exclusion), rows, "violators")
    (hazard,) = plan.refused[0].hazards
    assert (hazard.rows, hazard.samples) == (2, ((1,), (2,)))
    case.execute("DELETE FROM shop_item WHERE id = 2")
    case.update(bookings(), bookings(exclusion), built=True)


def test_refusals_of_several_tables_come_at_once(case):
    before = State(Item={"size": SIZE}, Note={"size": SIZE})
    after = State(Item={"size": models.IntegerField()}, Note={"size": models.IntegerField(unique=True, null=True)})
    case.refused(
        before, after, {"Item": [{"size": None}], "Note": [{"size": 1}, {"size": 1}]}, "null-values", "duplicates"
    )


def failing(case):
    """An expression that the server cannot compute for some rows."""
    if case.connection.vendor == "postgresql":
        return 1 / models.F("size")
    return models.Func("name", models.Value("$"), function="json_array_length", output_field=SIZE)


#: Rows that `failing` cannot compute, and how they are corrected.
WRONG = {"Item": [{"name": "no JSON", "size": 0}, {"name": "[1]", "size": 1}]}
CORRECT = "UPDATE shop_item SET name = '[1, 2]', size = 2 WHERE size = 0"


RULES = {
    "check": lambda value: {"constraints": [models.CheckConstraint(condition=models.Q(Exact(value, value)), name="c")]},
    "unique": lambda value: {"constraints": [models.UniqueConstraint(value, name="c")]},
    "index": lambda value: {"indexes": [models.Index(value, name="c")]},
    "condition": lambda value: {
        "indexes": [models.Index(fields=["size"], name="c", condition=models.Q(Exact(value, value)))]
    },
}


NEEDS = {"unique": ["expression indexes"], "index": ["expression indexes"], "condition": ["partial indexes"]}


@pytest.mark.parametrize("kind", RULES)
def test_rows_for_which_an_expression_fails_are_refused(case, kind):
    """A dry run refuses what the run could not do, and nothing is touched."""
    need(case.connection, "atomic DDL", *NEEDS.get(kind, ()))
    before, after = item(name=NAME, size=SIZE), item(name=NAME, size=SIZE, Meta=RULES[kind](failing(case)))
    plan = case.refused(before, after, WRONG, "violators")
    (hazard,) = plan.refused[0].hazards
    assert hazard.rows is None
    assert re.search("shop_item has rows for which its .* cannot be computed: .*(zero|JSON)", hazard.message)
    case.execute(CORRECT)
    case.update(before, after, built=True)


def test_rows_that_an_index_leaves_out_are_not_computed(case):
    need(case.connection, "atomic DDL", "expression indexes", "partial indexes")
    value, condition = failing(case), models.Q(size__gt=0)
    rules = {
        "constraints": [models.UniqueConstraint(value, condition=condition, name="c")],
        "indexes": [models.Index(value, condition=condition, name="i")],
    }
    case.update(item(name=NAME, size=SIZE), item(name=NAME, size=SIZE, Meta=rules), WRONG)


def test_values_that_look_secret_are_not_shown_where_an_expression_fails(case):
    need(case.connection, "postgresql")
    check = models.CheckConstraint(condition=models.Q(Exact(Cast("token", SIZE), 1)), name="c")
    before = item(token=NAME)
    after = item(token=NAME, Meta={"constraints": [check]})
    plan = case.refused(before, after, {"Item": [{"token": "hunter2"}]}, "violators")
    assert "hunter2" not in str(plan.as_dict()) and "cannot be computed" in str(plan.as_dict())


def test_what_is_kept_is_said_once(case):
    """The first run says what it keeps, a later one nothing, and a plan that is only looked at always."""
    before = State(Item={"name": NAME, "size": SIZE}, Note={"name": NAME})
    after = State(Item={"name": NAME})
    case.run(before)
    case.insert(before, {"Item": [{"name": "a", "size": 1}], "Note": [{"name": "b"}]})
    assert len(case.run(after).withheld) == 2
    assert not case.run(after).judgements
    assert len(case.plan(after).withheld) == 2
    assert case.run(before).judgements == ()
    assert case.values("shop_item", "size") == [(1,)]
    assert len(case.run(after).withheld) == 2
