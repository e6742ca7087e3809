"""MariaDB wants both ends of a foreign key to have one collation: what points at a column takes that which it has."""

import pytest
from django.db import models

from automigrate_ext import autoupdate
from tests.acceptance.helper import Case, State

CODE = models.CharField(max_length=9, unique=True)
TEXT_KEY = models.CharField(max_length=9, primary_key=True)


@pytest.fixture
def case(mariadb):
    return Case(mariadb, "automigrate")


def key(to="Shelf", **options):
    return models.ForeignKey(to, models.CASCADE, **options)


SHELF = {"code": CODE, "name": models.CharField(max_length=9, null=True)}
KEYED = {"code": TEXT_KEY}
#: Models before and after; the rows are those of the table that is pointed at.
ADDED = {
    "column": (State(Shelf=SHELF, Item={}), State(Shelf=SHELF, Item={"shelf": key(to_field="code", null=True)})),
    "required column": (
        State(Shelf=SHELF, Item={}),
        State(Shelf=SHELF, Item={"shelf": key(to_field="code", default="a")}),
    ),
    "table": (State(Shelf=SHELF), State(Shelf=SHELF, Item={"shelf": key(to_field="code")})),
    "table that points at itself": (
        State(Shelf=SHELF),
        State(Shelf=SHELF, Item={"shelf": key(to_field="code", unique=True), "next": key("self", to_field="shelf")}),
    ),
    "many to many": (
        State(Shelf=KEYED, Item={}),
        State(Shelf=KEYED, Item={"shelves": models.ManyToManyField("Shelf")}),
    ),
    "inheritance": (State(Shelf=KEYED), State(Shelf=KEYED, Rack={"bases": ["Shelf"], "size": models.IntegerField()})),
    "chain": (
        State(Shelf=KEYED),
        State(
            Shelf=KEYED,
            Rack={"bases": ["Shelf"], "size": models.IntegerField()},
            Item={"rack": key("Rack", null=True), "self_": key("self", null=True)},
            Box={"shelf": models.OneToOneField("Shelf", models.CASCADE, primary_key=True), "next": key("Box")},
        ),
    ),
    "constraint": (
        State(Shelf=SHELF, Item={"shelf": models.CharField(max_length=9, db_column="shelf_id", null=True)}),
        State(Shelf=SHELF, Item={"shelf": key(to_field="code", null=True, db_index=False)}),
    ),
    "another target": (
        State(Shelf=SHELF, Rack={"code": CODE}, Item={"shelf": key("Rack", to_field="code", null=True)}),
        State(Shelf=SHELF, Rack={"code": CODE}, Item={"shelf": key("Shelf", to_field="code", null=True)}),
    ),
}
MODIFY = "ALTER TABLE shop_shelf MODIFY code varchar(9) CHARACTER SET {} COLLATE {} NOT NULL"
#: How somebody gave the target a collation of its own.
BY_HAND = {
    "collation": (MODIFY.format("utf8mb4", "utf8mb4_bin"),),
    "character set": (MODIFY.format("latin1", "latin1_german1_ci"),),
    "table": ("ALTER TABLE shop_shelf CONVERT TO CHARACTER SET latin1 COLLATE latin1_swedish_ci",),
    "database": ("ALTER DATABASE CHARACTER SET utf8mb3 COLLATE utf8mb3_unicode_ci",),
}
by_hand = pytest.mark.parametrize("statements", BY_HAND.values(), ids=BY_HAND)


@pytest.fixture
def restored(case):
    """Give the database back the character set that it had."""
    ((charset, collation),) = case.query("SELECT @@character_set_database, @@collation_database")
    yield
    case.execute(f"ALTER DATABASE CHARACTER SET {charset} COLLATE {collation}")


@by_hand
@pytest.mark.parametrize("name", ADDED)
def test_new_end_of_a_foreign_key(case, restored, name, statements):
    before, after = ADDED[name]
    case.build(before)
    case.execute(*statements)
    items = {"Item": [{}]} if "Item" in before.models else {}
    case.insert(before, {"Shelf": [{"code": "a"}, {"code": "B"}], **items})
    case.update(before, after, built=True, exact=False)
    assert any(table.foreign_keys for table in case.introspect(after.tables()))


@by_hand
def test_end_outside_the_run(case, restored, statements):
    before, after = ADDED["table"]
    case.build(before)
    case.execute(*statements)
    autoupdate("shop.Item", using=case.alias, apps=after.apps)
    case.assert_settled(after, exact=False)


def test_text_that_the_other_character_set_does_not_have(case):
    before, after = ADDED["constraint"]
    case.build(before)
    case.execute(*BY_HAND["character set"])
    case.refused(before, after, {"Item": [{"shelf": "\u4e2d"}]}, "orphans", built=True)


def test_collation_of_the_models_goes_and_tables_have_different_ones(case):
    """The target takes that of its table, and so does what points at it."""

    def state(**options):
        code = models.CharField(max_length=9, unique=True, **options)
        return State(Shelf={"code": code}, Item={"shelf": key(to_field="code")})

    before, after = state(db_collation="utf8mb4_bin"), state()
    case.build(before)
    case.execute("ALTER TABLE shop_shelf DEFAULT CHARACTER SET latin1 COLLATE latin1_german1_ci")
    rows = {"Shelf": [{"code": "a"}], "Item": [{"shelf_id": "a"}]}
    case.update(before, after, rows, built=True, exact=False)
