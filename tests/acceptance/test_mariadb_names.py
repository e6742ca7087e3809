"""Names on MariaDB: those of columns, constraints and indexes are the same in any case, those of tables are not."""

import pytest
from django.db import models
from django.db.models import F, Q

from automigrate_ext import is_actual
from automigrate_ext.run.record_table import TABLE
from tests.acceptance.helper import Case, State, item

NAME = models.CharField(max_length=20)
SIZE = models.IntegerField(null=True)


@pytest.fixture
def case(mariadb):
    return Case(mariadb, "automigrate")


def full(name="name", size="size", prefix="shop"):
    """Models whose columns are part of all that a table may have."""
    return State(
        Shelf={"code": models.CharField(max_length=9, primary_key=True, db_column=name)},
        Item={
            "name": models.CharField(max_length=20, db_column=name, unique=True, null=True),
            "size": models.PositiveIntegerField(db_column=size, null=True, db_comment="x"),
            "shelf": models.ForeignKey("Shelf", models.CASCADE, null=True, db_column=f"{name}_shelf"),
            "double": models.GeneratedField(
                expression=F("size") * 2, output_field=models.IntegerField(null=True), db_persist=True
            ),
            "Meta": {
                "indexes": [models.Index(fields=["size", "name"], name=f"{prefix}_both")],
                "constraints": [
                    models.CheckConstraint(condition=~Q(name="x"), name=f"{prefix}_check"),
                    models.UniqueConstraint(fields=["size", "shelf"], name=f"{prefix}_unique"),
                ],
            },
        },
    )


def test_column_in_another_case_is_no_difference(case):
    case.build(item(name=NAME, size=SIZE))
    case.execute("ALTER TABLE shop_item CHANGE name Name varchar(20) NOT NULL")
    after = item(name=NAME, size=SIZE)
    assert is_actual(using=case.alias, apps=after.apps)
    case.update(after, after, {"Item": [{"name": "a", "size": 1}]}, changes=[], built=True, exact=False)


def test_column_in_another_case_that_no_run_has_recorded(case):
    case.execute(
        "CREATE TABLE shop_item (ID bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, NAME varchar(20) NOT NULL, Size int)",
        "INSERT INTO shop_item (name, size) VALUES ('a', 1)",
    )
    after = item(name=NAME, size=SIZE)
    assert not case.run(after)
    assert is_actual(using=case.alias, apps=after.apps)
    wider = item(name=models.CharField(max_length=40), size=models.BigIntegerField(null=True))
    case.update(after, wider, built=True, exact=False, changes=["Change column shop_item.name", "Change"])
    assert case.values("shop_item", "NAME", "SIZE") == [("a", 1)]


def test_everything_in_another_case_is_no_difference(case):
    rows = {
        "Shelf": [{"code": "one"}, {"code": "two"}],
        "Item": [{"name": "a", "size": 1, "shelf_id": "one"}, {"name": "b", "size": None}],
    }
    before, after = full(), full("Name", "SIZE", "SHOP")
    case.update(before, after, rows, changes=[], exact=False)
    case.update(after, before, built=True, changes=[], exact=False)


def test_change_beside_names_in_another_case(case):
    before, after = full(), full("Name", "SIZE", "SHOP")
    case.build(before)
    case.insert(before, {"Shelf": [{"code": "one"}], "Item": [{"name": "a", "size": 1, "shelf_id": "one"}]})
    changed = full("NAME", "Size", "Shop")
    changed["Item"]._meta.get_field("name").max_length = 50
    changed["Shelf"]._meta.get_field("code").max_length = 50
    case.run(changed)
    assert is_actual(using=case.alias, apps=changed.apps)
    case.run(after, accept_data_loss=True)
    assert case.values("shop_item", "name", "size", "double", "name_shelf") == [("a", 1, 2, "one")]
    case.run(State(Shelf={"code": models.CharField(max_length=9, primary_key=True, db_column="NAME")}))
    assert case.values("shop_item", "name", "size") == [("a", 1)]


def test_column_dropped_and_renamed_whatever_its_case(case):
    case.build(full("Name", "Size"))
    after = item(title=models.CharField(max_length=20, null=True))
    case.run(after, renames={"shop_item.Name": "title"})
    case.assert_settled(after, exact=False)


def test_index_made_by_hand_under_the_name_in_another_case(case):
    case.build(item(name=NAME, size=SIZE))
    case.execute("CREATE INDEX BY_SIZE ON shop_item (name)")
    after = item(name=NAME, size=SIZE, Meta={"indexes": [models.Index(fields=["size"], name="by_size")]})
    case.update(after, after, built=True)


def two(**changed):
    """Models whose tables differ in the case of their names alone."""
    fields = {"name": NAME, **changed}
    return State(
        Item={**fields, "Meta": {"db_table": "shop_item"}},
        Other={"size": SIZE, "Meta": {"db_table": "shop_Item"}},
        Third={"size": SIZE, "Meta": {"db_table": "shop_\N{LATIN SMALL LETTER I WITH DIAERESIS}tem"}},
    )


def test_tables_whose_names_differ_in_case_alone(case):
    rows = {"Item": [{"name": "a"}], "Other": [{"size": 1}, {"size": 2}], "Third": [{"size": 3}]}
    case.run(two())
    assert {"shop_item", "shop_Item", "shop_\xeftem"} <= {name for (name,) in case.query(f"SELECT name FROM {TABLE}")}
    case.update(two(), two(more=models.IntegerField(default=1)), rows, built=True)
    without = State(Item={"name": NAME, "more": models.IntegerField(default=1)})
    plan = case.run(without)
    assert sorted(judgement.change.table for judgement in plan.withheld) == ["shop_Item", "shop_\xeftem"]
    case.run(without, accept_data_loss=True)
    case.assert_settled(without)


def test_one_of_two_such_tables_does_not_exist(case):
    case.run(State(Item={"name": NAME}))
    case.update(State(Item={"name": NAME}), two(), {"Item": [{"name": "a"}]}, built=True)
    case.run(State(Item={"name": NAME}))
    assert [table.name for table in case.introspect(["shop_item", "shop_Item"])] == ["shop_item"]


def test_trigger_and_foreign_key_of_the_other_table(case):
    state = two()
    case.run(state)
    case.execute("CREATE TRIGGER other BEFORE INSERT ON shop_Item FOR EACH ROW SET NEW.size = NEW.id")
    case.execute("ALTER TABLE shop_Item ADD COLUMN mine bigint, ADD FOREIGN KEY (mine) REFERENCES shop_Item (id)")
    assert not case.backend.dependents(["shop_item"]) and not case.backend.references(["shop_item"])
    case.update(state, two(name=models.CharField(max_length=9, null=True)), built=True, exact=False)


def test_record_of_an_earlier_version(case):
    """It has the collation of the database, by which such names are the same."""
    case.run(State(Item={"name": NAME}))
    case.execute(f"ALTER TABLE {TABLE} CONVERT TO CHARACTER SET latin1 COLLATE latin1_swedish_ci")
    case.update(State(Item={"name": NAME}), two(), {"Item": [{"name": "a"}]}, built=True)
