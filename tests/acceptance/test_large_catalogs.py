"""A catalog of PostgreSQL that is large because of other schemas: none of its tables is read as a whole."""

import pytest
from django.db import models, transaction

from tests.acceptance.helper import Case, State

NAME = models.CharField(max_length=20)
TABLES = 30
COLUMNS = 100
CHECKS = 80
KEYS = 10
#: The tables of the catalog that have many rows then. Others, pg_class among them, have so few that the server may well
#: read all of them.
GROWING = ("pg_attrdef", "pg_attribute", "pg_constraint", "pg_depend")
#: How often this transaction has read them as a whole.
READ = f"SELECT relname, seq_scan FROM pg_stat_xact_sys_tables WHERE relname IN {GROWING} ORDER BY 1"
STATISTICS = [f"ANALYZE pg_catalog.{name}" for name in GROWING]


@pytest.fixture
def case(postgresql):
    """A database with a schema of few tables whose columns, constraints and keys are many."""
    columns = [f"c{n} integer NOT NULL DEFAULT {n}" for n in range(COLUMNS)]
    checks = [f"CHECK (c{n} > 0)" for n in range(CHECKS)]
    keys = [f"UNIQUE (c{n})" for n in range(KEYS)]
    case = Case(postgresql, "autoupdate")
    case.execute("CREATE SCHEMA other")
    for number in range(TABLES):
        before = [f"FOREIGN KEY (c0) REFERENCES other.t{number - 1} (c0)"] if number else []
        case.execute(f"CREATE TABLE other.t{number} ({', '.join([*columns, *checks, *keys, *before])})")
    return case


def before():
    return State(
        Group={"name": models.CharField(max_length=20, unique=True), "size": models.IntegerField(default=1)},
        Item={"name": NAME, "size": models.IntegerField(), "group": models.ForeignKey("shop.Group", models.CASCADE)},
        Old={"name": NAME},
    )


def after():
    return State(
        Group={"name": models.CharField(max_length=30, db_index=True), "size": models.BigIntegerField(default=1)},
        Item={"name": NAME, "group": models.ForeignKey("shop.Group", models.SET_NULL, null=True)},
        New={"name": NAME, "item": models.ForeignKey("shop.Item", models.CASCADE)},
    )


@pytest.mark.parametrize("statistics", [[], STATISTICS], ids=["guessed", "analyzed"])
@pytest.mark.parametrize("state", [before, after])
def test_no_table_of_the_catalog_is_read_as_a_whole(case, state, statistics):
    case.run(before())
    case.execute(*statistics)
    with transaction.atomic(using=case.connection.alias):
        reads = case.query(READ)
        plan = case.plan(state(), accept_data_loss=True)
        assert case.query(READ) == reads
    assert bool(plan) == (state is after)
