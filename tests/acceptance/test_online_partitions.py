"""Online runs over tables with partitions: each gets its index, and that of the whole takes these over."""

import pytest
from django.db import models
from django.db.models.functions import Lower

from tests.acceptance.helper import Case, State
from tests.acceptance.test_online import REMNANTS, recorded, statements_of

NAME = models.CharField(max_length=20)
GROUP = {"name": NAME}
KEY = models.CompositePrimaryKey("number", "size")
FIELDS = {"pk": KEY, "number": models.IntegerField(), "size": models.IntegerField(), "name": NAME}


def state(*, constrained, **meta):
    key = models.ForeignKey("Group", models.CASCADE, db_constraint=constrained, db_index=False)
    return State(Group=GROUP, Item={**FIELDS, "group": key, "Meta": meta})


BEFORE = state(constrained=False)
AFTER = state(
    constrained=True,
    indexes=[
        models.Index(fields=["name"], name="plain"),
        models.Index(Lower("name").desc(), name="expression", condition=models.Q(size__gt=1)),
    ],
    constraints=[
        models.UniqueConstraint(fields=["number", "size", "name"], name="together"),
        models.UniqueConstraint(fields=["size", "number"], name="late", deferrable=models.Deferrable.DEFERRED),
        models.UniqueConstraint(fields=["number", "size"], name="some", condition=models.Q(size__gt=2)),
        models.CheckConstraint(condition=models.Q(size__gt=0), name="positive"),
    ],
)
#: A table with a partition, and one that has partitions of its own.
PARTITIONS = (
    "DROP TABLE shop_item",
    "CREATE TABLE shop_item (number integer NOT NULL, size integer NOT NULL, name varchar(20) NOT NULL,"
    " group_id bigint NOT NULL, PRIMARY KEY (number, size)) PARTITION BY RANGE (number)",
    "CREATE TABLE few PARTITION OF shop_item FOR VALUES FROM (0) TO (3)",
    'CREATE TABLE "M any" PARTITION OF shop_item FOR VALUES FROM (3) TO (99) PARTITION BY HASH (size)',
    'CREATE TABLE many_0 PARTITION OF "M any" FOR VALUES WITH (modulus 2, remainder 0)',
    'CREATE TABLE many_1 PARTITION OF "M any" FOR VALUES WITH (modulus 2, remainder 1)',
)
ROWS = (
    "INSERT INTO shop_group (name) VALUES ('g')",
    "INSERT INTO shop_item SELECT n, 1 + n % 4, 'name ' || n, 1 FROM generate_series(0, 9) n",
)
#: How many indexes the partitions have, and how many of them belong to one of the whole.
LEAF_INDEXES = """
SELECT count(*), count(*) FILTER (WHERE x.relispartition) FROM pg_index i
JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relname IN ('few', 'many_0', 'many_1')
"""
LEAVES = 3
#: The primary key, two indexes, and three unique constraints, one of which is an index.
INDEXES = 6


@pytest.fixture
def case(postgresql):
    return Case(postgresql, "automigrate")


def build(case):
    recorded(case, BEFORE)
    case.execute(*PARTITIONS)
    case.run(BEFORE)
    case.execute(*ROWS)


def assert_finished(case, what=""):
    assert case.query(REMNANTS) == [], what
    assert case.query(LEAF_INDEXES) == [(LEAVES * INDEXES, LEAVES * INDEXES)], what
    assert not case.plan(AFTER), what


def test_indexes_are_built_one_partition_after_the_other(case):
    build(case)
    plan = case.plan(AFTER, online=True, rewrite_limit=0)
    refused = [hazard.message for judgement in plan.refused for hazard in judgement.hazards]
    if case.connection.pg_version < 18_00_00:
        assert len(refused) == 1 and "foreign key" in refused[0] and "(10 rows)" in refused[0]
    else:
        assert refused == []
    files = case.files()
    done = case.run(AFTER, online=True)
    built = [step for step in done.online if "CONCURRENTLY" in step.sql]
    assert len(built) == LEAVES * (INDEXES - 1)
    assert {step.manner.effect for step in done.online} <= {"catalog", "build", "scan"}
    if case.connection.pg_version >= 18_00_00:
        # Before, writes wait while rows are asked for the foreign key, which squawk finds too.
        case.assert_beside(done, files)
    assert_finished(case)
    case.assert_settled(AFTER, exact=False)


def test_cost_is_that_of_all_partitions(case):
    build(case)
    assert [remark.size.rows for remark in case.plan(AFTER).remarks if remark.table == "shop_item"] == [10]


def test_index_of_partitions_is_dropped_with_that_of_the_whole(case):
    build(case)
    case.run(AFTER, online=True)
    case.run(BEFORE, online=True)
    assert case.query(LEAF_INDEXES) == [(LEAVES, LEAVES)]
    case.assert_settled(BEFORE, exact=False)


@pytest.mark.parametrize("online", [True, False], ids=["online", "ordinary"])
def test_next_run_finishes_what_was_interrupted(case, online):
    """At every third statement; the runs with the other remainders begin elsewhere."""
    number, is_over = int(online) + 1, False
    while not is_over:
        build(case)
        try:
            statements_of(case, AFTER, stop=(number, "before"))
            is_over = True
        except KeyboardInterrupt:
            pass
        if not is_over:
            case.run(AFTER, online=online)
            assert case.query(REMNANTS) == [], number
            assert not case.plan(AFTER), number
            # An ordinary run builds the unique constraint of a partition again of which there is only the index.
            ((indexes, taken_over),) = case.query(LEAF_INDEXES)
            assert taken_over == LEAVES * INDEXES and indexes - taken_over <= (0 if online else 1), number
        case.drop(AFTER)
        case.execute("DROP TABLE automigrate_ext_owned")
        number += 3
    assert number > 20


def test_what_is_not_valid_is_built_again(case):
    build(case)
    with pytest.raises(KeyboardInterrupt):
        statements_of(case, AFTER, stop=(3, "after"))
    ((name,),) = case.query(
        "SELECT relname FROM pg_class c WHERE relname LIKE '%\\_part' AND relkind = 'i' "
        "AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = c.oid)"
    )
    case.execute(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{name}'::regclass")
    plan = case.run(AFTER, online=True)
    assert sum(step.sql.startswith("DROP INDEX CONCURRENTLY") for step in plan.online) == 1
    assert_finished(case)
