"""automigrate: exactly the named tables are made anew, and nothing goes along that was not named."""

import pytest
from django.db import models

from automigrate_ext import Refused, automigrate
from tests.acceptance.helper import State, fingerprint
from tests.features import need

NAME = models.CharField(max_length=20)


def shop():
    return State(
        Shelf={"name": NAME},
        Item={
            "shelf": models.ForeignKey("Shelf", models.CASCADE, null=True),
            "tags": models.ManyToManyField("Tag"),
        },
        Tag={"name": NAME},
        Lone={"name": NAME},
    )


ROWS = {
    "Shelf": [{"name": "s"}],
    "Tag": [{"name": "t"}],
    "Item": [{"shelf_id": 1}],
    "Item.tags": [{"item_id": 1, "tag_id": 1}],
    "Lone": [{"name": "l"}],
}


@pytest.fixture
def case(case):
    case.build(shop())
    case.insert(shop(), ROWS)
    return case


def rebuild(case, state, models=None, **options):
    return automigrate(models, using=case.alias, apps=state.apps, **options)


def count(case, table):
    return case.query(f"SELECT count(*) FROM {table}")[0][0]


def test_all_tables_made_anew(case):
    rebuild(case, shop())
    assert [count(case, table) for table in shop().tables()] == [0] * 5
    case.assert_settled(shop())


def test_running_again(case):
    rebuild(case, shop())
    rebuild(case, shop())
    case.assert_settled(shop())


def test_only_the_named_table(case):
    state = shop()
    plan = rebuild(case, state, "Lone")
    assert [change.table for change in plan.changes] == ["shop_lone", "shop_lone"]
    assert count(case, "shop_lone") == 0
    assert count(case, "shop_item") == 1
    case.assert_settled(state)


def test_named_model_takes_its_many_to_many_table(case):
    rebuild(case, shop(), [shop()["Item"]])
    assert (count(case, "shop_item"), count(case, "shop_item_tags")) == (0, 0)
    assert (count(case, "shop_shelf"), count(case, "shop_tag")) == (1, 1)
    case.assert_settled(shop())


def test_tables_of_another_state_made_anew(case):
    after = State(Shelf={"colour": models.IntegerField()}, Item={}, Tag={}, Lone={})
    rebuild(case, shop(), ["Item"])
    rebuild(case, after, ["Shelf", "Item"])
    live = case.introspect(["shop_shelf"]).tables["shop_shelf"]
    assert [column.name for column in live.columns] == ["id", "colour"]


@pytest.mark.parametrize(("name", "by"), [("Shelf", "shop_item"), ("Tag", "shop_item_tags")])
def test_rows_pointing_from_unnamed_tables_refused(case, name, by):
    trace = fingerprint(case.connection)
    with pytest.raises(Refused) as caught:
        rebuild(case, shop(), name)
    assert by in str(caught.value)
    assert f"shop_{name.lower()}" in str(caught.value)
    assert fingerprint(case.connection) == trace


def test_foreign_key_without_rows_put_back(case):
    case.execute("UPDATE shop_item SET shelf_id = NULL")
    rebuild(case, shop(), "Shelf")
    assert count(case, "shop_shelf") == 0
    assert count(case, "shop_item") == 1
    case.assert_settled(shop())


def test_cycle(case):
    cycle = State(
        Egg={"hen": models.ForeignKey("Hen", models.CASCADE, null=True)},
        Hen={"egg": models.ForeignKey("Egg", models.CASCADE, null=True)},
        Self={"parent": models.ForeignKey("self", models.CASCADE, null=True)},
    )
    rebuild(case, cycle)
    case.insert(cycle, {"Egg": [{}], "Hen": [{"egg_id": 1}]})
    case.execute("UPDATE shop_egg SET hen_id = 1")
    rebuild(case, cycle)
    case.assert_settled(cycle)


def test_cycle_rows_from_the_other_half_refused(case):
    cycle = State(
        Egg={"hen": models.ForeignKey("Hen", models.CASCADE, null=True)},
        Hen={"egg": models.ForeignKey("Egg", models.CASCADE, null=True)},
    )
    rebuild(case, cycle)
    case.insert(cycle, {"Egg": [{}], "Hen": [{"egg_id": 1}]})
    with pytest.raises(Refused, match="shop_hen"):
        rebuild(case, cycle, "Egg")
    rebuild(case, cycle, "Hen")
    case.assert_settled(cycle)


def test_view_of_a_name_looks_at_the_new_table(case):
    need(case.connection, "views of a name")
    case.execute("CREATE VIEW lone_names AS SELECT name FROM shop_lone")
    rebuild(case, shop(), "Lone")
    case.insert(shop(), {"Lone": [{"name": "new"}]})
    assert case.query("SELECT name FROM lone_names") == [("new",)]


def test_view_refused_then_cascaded(case):
    need(case.connection, "views of a table")
    case.execute("CREATE VIEW lone_names AS SELECT name FROM shop_lone")
    trace = fingerprint(case.connection)
    with pytest.raises(Refused, match="lone_names") as refused:
        rebuild(case, shop(), "Lone")
    (hazard,) = refused.value.plan.refused[0].hazards
    assert hazard.option == "--cascade"
    assert hazard.remedy == "Drop it first and make it again afterwards, or pass --cascade (cascade=True)."
    assert fingerprint(case.connection) == trace
    rebuild(case, shop(), "Lone", cascade=True)
    assert count(case, "shop_lone") == 0
    case.assert_settled(shop())


def test_materialised_view_refused_then_cascaded(case):
    need(case.connection, "materialised views")
    case.execute("CREATE MATERIALIZED VIEW lone_names AS SELECT name FROM shop_lone")
    with pytest.raises(Refused, match="materialised view lone_names"):
        rebuild(case, shop(), "Lone")
    rebuild(case, shop(), "Lone", cascade=True)
    case.assert_settled(shop())


TRIGGERS = {
    "postgresql": [
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
        "CREATE TRIGGER by_hand BEFORE INSERT ON shop_lone FOR EACH ROW EXECUTE FUNCTION nothing()",
    ],
    "sqlite": ["CREATE TRIGGER by_hand BEFORE INSERT ON shop_lone BEGIN SELECT 1; END"],
    "mysql": ["CREATE TRIGGER by_hand BEFORE INSERT ON shop_lone FOR EACH ROW SET @seen = 1"],
}


def test_trigger_refused_then_cascaded(case):
    case.execute(*TRIGGERS[case.vendor])
    with pytest.raises(Refused, match="by_hand"):
        rebuild(case, shop(), "Lone")
    rebuild(case, shop(), "Lone", cascade=True)
    case.assert_settled(shop())


def test_dry_run_changes_nothing(case):
    trace = fingerprint(case.connection)
    plan = rebuild(case, shop(), dry_run=True)
    assert plan.statements
    assert fingerprint(case.connection) == trace


def test_dry_run_says_what_a_run_does(case):
    assert rebuild(case, shop(), dry_run=True).statements == rebuild(case, shop()).statements


def test_nothing_named(case):
    trace = fingerprint(case.connection)
    assert not rebuild(case, shop(), [])
    assert fingerprint(case.connection) == trace


def test_outside_table_pointing_at_a_named_one(case):
    kind = "integer" if case.vendor == "sqlite" else "bigint"
    case.execute(f"CREATE TABLE outside (lone {kind} REFERENCES shop_lone (id))", "INSERT INTO outside VALUES (1)")
    with pytest.raises(Refused, match="outside"):
        rebuild(case, shop(), "Lone")
    case.execute("DELETE FROM outside")
    rebuild(case, shop(), "Lone")
    (foreign_key,) = case.introspect(["outside"]).tables["outside"].foreign_keys
    assert foreign_key.to_table == "shop_lone"
