"""What hangs on a column or table: PostgreSQL's views, rules, triggers, policies and publications are named."""

import pytest
from django.db import models
from django.db.models import F

from automigrate_ext import autoupdate, is_actual, make_plan
from tests.acceptance.helper import State, fingerprint, item
from tests.features import need


@pytest.fixture
def route():
    """The tables come to be in one way: what hangs on a table does not depend on it."""
    return "automigrate"


NAME = models.CharField(max_length=20)
SIZE = models.IntegerField(default=0)
BEFORE = item(name=NAME, size=SIZE)
RETYPED = item(name=NAME, size=models.TextField(default="0"))
DROPPED = item(name=NAME)
ROWS = {"Item": [{"name": "a", "size": 1}, {"name": "b", "size": 2}]}

FUNCTION = "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
TRIGGER = "BEFORE UPDATE {} ON shop_item FOR EACH ROW {} EXECUTE FUNCTION touch()"

#: What an administrator made, and how the refusal names it.
DEPENDENTS = {
    "view": (("CREATE VIEW v AS SELECT size FROM shop_item",), "view public.v depends"),
    "view_with_condition": (("CREATE VIEW v AS SELECT id FROM shop_item WHERE size > 0",), "view public.v depends"),
    "materialised_view": (
        ("CREATE MATERIALIZED VIEW m AS SELECT size FROM shop_item",),
        "materialised view public.m depends",
    ),
    "views_on_views": (
        ("CREATE VIEW v AS SELECT size FROM shop_item", "CREATE VIEW odd AS SELECT * FROM v"),
        "view public.v, view public.odd depend",
    ),
    "quoted_name": (('CREATE VIEW "my \'view" AS SELECT size FROM shop_item',), 'view public."my \'view" depends'),
    "other_schema": (
        ("CREATE SCHEMA reports", "CREATE VIEW reports.v AS SELECT size FROM shop_item"),
        "view reports.v depends",
    ),
    "rule": (
        ("CREATE RULE r AS ON UPDATE TO shop_item WHERE NEW.size > 9 DO INSTEAD NOTHING",),
        "rule r on public.shop_item depends",
    ),
    "trigger_of_column": (
        (FUNCTION, "CREATE TRIGGER t " + TRIGGER.format("OF size", "")),
        "trigger t on public.shop_item depends",
    ),
    "trigger_with_condition": (
        (FUNCTION, "CREATE TRIGGER t " + TRIGGER.format("", "WHEN (NEW.size > 9)")),
        "trigger t on public.shop_item depends",
    ),
    "policy": (("CREATE POLICY p ON shop_item USING (size > 0)",), "policy p on public.shop_item depends"),
    "function": (
        ("CREATE FUNCTION total() RETURNS bigint BEGIN ATOMIC SELECT sum(size) FROM shop_item; END",),
        "function public.total() depends",
    ),
}
PUBLICATIONS = {
    "columns": "CREATE PUBLICATION p FOR TABLE shop_item (id, size)",
    "condition": "CREATE PUBLICATION p FOR TABLE shop_item WHERE (size > 0) WITH (publish = 'insert')",
}

dependents = pytest.mark.parametrize("name", DEPENDENTS)


def reason(plan):
    return plan.refused[0].hazards[-1].message


@dependents
def test_retyped_column(pg, name):
    statements, words = DEPENDENTS[name]
    pg.build(BEFORE)
    pg.execute(*statements)
    plan = pg.refused(BEFORE, RETYPED, ROWS, "dependent", built=True)
    assert reason(plan) == f"Column shop_item.size cannot be changed, because {words} on it"
    assert "and make" in plan.refused[0].hazards[0].remedy
    assert not is_actual(using=pg.alias, apps=RETYPED.apps)


@dependents
def test_dropped_column(pg, name):
    statements, words = DEPENDENTS[name]
    before = item(name=NAME, size=models.IntegerField(null=True))
    pg.build(before)
    pg.execute(*statements)
    plan = pg.refused(before, DROPPED, {"Item": [{"name": "a"}]}, "dependent", built=True)
    assert words in reason(plan)


@dependents
def test_the_way_out(pg, name):
    """Once nothing hangs on the column, the same run goes through."""
    statements, _ = DEPENDENTS[name]
    pg.build(BEFORE)
    pg.execute(*statements)
    assert pg.plan(RETYPED).refused
    pg.execute("DROP VIEW IF EXISTS odd, v", "DROP SCHEMA IF EXISTS reports CASCADE", 'DROP VIEW IF EXISTS "my \'view"')
    pg.execute("DROP MATERIALIZED VIEW IF EXISTS m", "DROP FUNCTION IF EXISTS touch() CASCADE")
    pg.execute("DROP RULE IF EXISTS r ON shop_item", "DROP POLICY IF EXISTS p ON shop_item")
    pg.execute("DROP FUNCTION IF EXISTS total()")
    pg.update(BEFORE, RETYPED, ROWS, built=True)


@pytest.mark.parametrize("name", PUBLICATIONS)
def test_publication(pg, name):
    need(pg.connection, "nulls distinct")  # as old as what is published of a table
    pg.build(BEFORE)
    # Publications are in no schema, so that emptying the database would leave this one.
    pg.execute("DROP PUBLICATION IF EXISTS p", PUBLICATIONS[name])
    plan = pg.refused(BEFORE, RETYPED, ROWS, "dependent", built=True)
    pg.execute("DROP PUBLICATION p")
    assert "publication relation public.shop_item in publication p depends" in reason(plan)


@dependents
def test_other_columns_are_free(pg, name):
    statements, _ = DEPENDENTS[name]
    pg.build(BEFORE)
    pg.execute(*statements)
    pg.update(BEFORE, item(name=models.TextField(), size=SIZE, more=models.IntegerField(default=3)), ROWS, built=True)


def test_withheld_column_is_free(pg):
    pg.build(BEFORE)
    pg.execute("CREATE VIEW v AS SELECT size FROM shop_item")
    pg.update(BEFORE, DROPPED, ROWS, built=True, withheld=["Drop column shop_item.size"])


def test_accepted_loss_does_not_take_a_view_along(pg):
    pg.build(BEFORE)
    pg.execute("CREATE VIEW v AS SELECT size FROM shop_item")
    pg.refused(BEFORE, DROPPED, ROWS, "dependent", built=True, accept_data_loss=True)


def test_changed_collation(pg):
    pg.build(BEFORE)
    pg.execute("CREATE VIEW v AS SELECT name FROM shop_item")
    after = item(name=models.CharField(max_length=20, db_collation="C"), size=SIZE)
    assert "Column shop_item.name" in reason(pg.refused(BEFORE, after, ROWS, "dependent", built=True))


@pytest.mark.parametrize("persist", [True, False])
def test_column_becomes_generated(pg, persist):
    need(pg.connection, *([] if persist else ["virtual generated columns"]))
    pg.build(BEFORE)
    pg.execute("CREATE VIEW v AS SELECT size FROM shop_item")
    generated = models.GeneratedField(expression=F("id") + 0, output_field=models.IntegerField(), db_persist=persist)
    after = item(name=NAME, size=generated)
    pg.refused(BEFORE, after, ROWS, "dependent", built=True, accept_data_loss=True)


def doubled(output=SIZE):
    generated = models.GeneratedField(expression=F("size") * 2, output_field=models.BigIntegerField(), db_persist=True)
    return item(name=NAME, size=output, double=generated)


def test_column_that_reads_a_retyped_one(pg):
    before, after = doubled(), doubled(models.BigIntegerField(default=0))
    pg.build(before)
    pg.execute("CREATE VIEW v AS SELECT double FROM shop_item")
    plan = pg.refused(before, after, ROWS, "dependent", built=True)
    assert reason(plan).startswith("Column shop_item.double cannot be changed, because view public.v")


def test_column_stops_being_generated(pg):
    before = doubled()
    after = item(name=NAME, size=SIZE, double=models.BigIntegerField(null=True))
    pg.build(before)
    pg.execute("CREATE VIEW v AS SELECT double FROM shop_item")
    pg.update(before, after, ROWS, built=True)


def test_renamed_column_takes_the_view_along(case):
    need(case.connection, "views of renamed columns")
    case.build(BEFORE)
    case.execute("CREATE VIEW v AS SELECT size FROM shop_item")
    after = item(name=NAME, length=SIZE)
    case.update(BEFORE, after, ROWS, built=True, renames={"shop.Item.size": "length"})
    assert sorted(case.query("SELECT * FROM v")) == [(1,), (2,)]


def test_renamed_and_retyped_column(pg):
    pg.build(BEFORE)
    pg.execute("CREATE VIEW v AS SELECT size FROM shop_item")
    after = item(name=NAME, length=models.TextField(default="0"))
    plan = pg.refused(BEFORE, after, ROWS, "dependent", built=True, renames={"shop.Item.size": "length"})
    assert reason(plan).startswith("Column shop_item.length")


def test_replaced_primary_key(pg):
    """A view that groups by a key hangs on the key."""
    before = item(id=models.IntegerField(primary_key=True), name=NAME, code=models.IntegerField())
    after = item(id=models.IntegerField(), name=NAME, code=models.IntegerField(primary_key=True))
    pg.build(before)
    pg.execute("CREATE VIEW v AS SELECT id, name FROM shop_item GROUP BY id")
    plan = pg.refused(before, after, {"Item": [{"id": 1, "name": "a", "code": 1}]}, "dependent", built=True)
    assert "of shop_item cannot be dropped, because view public.v depends on it" in reason(plan)


# Tables

TWO = State(Item={"name": NAME}, Gone={"name": NAME, "kind": models.IntegerField(default=0)})
ONE = State(Item={"name": NAME})


@pytest.fixture
def recorded(pg):
    """A case whose tables are known to have been declared."""
    autoupdate(using=pg.alias, apps=TWO.apps)
    return pg


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("CREATE VIEW v AS SELECT name FROM shop_gone", "view public.v depends on it"),
        ("CREATE TABLE holds (one shop_gone)", "table public.holds depends on it"),
        ("CREATE TABLE below () INHERITS (shop_gone)", "table public.below depends on it"),
        ("CREATE FUNCTION f(shop_gone) RETURNS int LANGUAGE sql AS 'SELECT 1'", "function public.f("),
        (
            "CREATE TABLE counts (n bigint DEFAULT nextval('shop_gone_id_seq'))",
            "default value for public.counts.n depends on it",
        ),
        (
            "CREATE POLICY p ON shop_item USING (EXISTS (SELECT FROM shop_gone g WHERE g.name = shop_item.name))",
            "policy p on public.shop_item depends on it",
        ),
    ],
)
def test_dropped_table(recorded, statement, words):
    recorded.execute(statement)
    trace = fingerprint(recorded.connection)
    plan = make_plan(using=recorded.alias, apps=ONE.apps)
    assert [hazard.code for judgement in plan.refused for hazard in judgement.hazards] == ["dependent"]
    assert reason(plan).startswith("Table shop_gone cannot be dropped, because ")
    assert words in reason(plan)
    assert fingerprint(recorded.connection) == trace


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE POLICY p ON shop_gone USING (kind > 0)",
        "CREATE RULE r AS ON UPDATE TO shop_gone WHERE NEW.kind > 9 DO INSTEAD NOTHING",
        "CREATE INDEX by_hand ON shop_gone (kind)",
    ],
)
def test_what_is_a_tables_own_goes_with_it(recorded, statement):
    recorded.execute(statement)
    autoupdate(using=recorded.alias, apps=ONE.apps)
    assert "shop_gone" not in recorded.connection.introspection.table_names()


def test_tables_that_go_together(recorded):
    recorded.execute("CREATE POLICY p ON shop_item USING (EXISTS (SELECT FROM shop_gone))")
    none = State(Other={"name": NAME})
    autoupdate(using=recorded.alias, apps=none.apps)
    assert "shop_item" not in recorded.connection.introspection.table_names()


def test_sqlite_keeps_the_view(lite):
    """There a rebuild leaves views alone, and a run that breaks one is undone."""
    lite.build(BEFORE)
    lite.execute("CREATE VIEW v AS SELECT size FROM shop_item")
    lite.update(BEFORE, RETYPED, ROWS, built=True)
    assert sorted(map(str, (size for (size,) in lite.query("SELECT size FROM v")))) == ["1", "2"]
