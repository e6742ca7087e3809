"""Renames of fields, models, tables and columns keep the values; asked for again they do nothing."""

import pytest
from django.db import models

from automigrate_ext import AutomigrateError
from automigrate_ext.changes import AddColumn, CreateTable, DropColumn, DropTable
from tests.acceptance.helper import State, item

TEXT = models.CharField(max_length=20, db_index=True)


def test_field_renamed_keeps_its_values_and_index(case):
    plan = case.update(
        item(title=TEXT),
        item(name=TEXT),
        {"Item": [{"title": "a"}, {"title": "b"}]},
        changes=["Rename column shop_item.title to name"],
        renames={"shop.Item.title": "name"},
    )
    assert not any(isinstance(change, (AddColumn, DropColumn)) for change in plan.changes)
    assert case.values("shop_item", "name") == [("a",), ("b",)]


def test_field_renamed_and_changed_in_one_run(case):
    case.update(
        item(title=models.CharField(max_length=20, null=True)),
        item(number=models.IntegerField(default=5)),
        {"Item": [{"title": "7"}, {"title": None}]},
        altered=["shop_item.title"],
        renames={"shop.Item.title": "number"},
    )
    assert case.values("shop_item", "number") == [(5,), (7,)]


def test_foreign_key_renamed(case):
    def state(name):
        key = models.ForeignKey("shop.Box", models.CASCADE, related_name="+")
        return State(Box={"name": TEXT}, Item={name: key})

    before = state("box")
    case.build(before)
    case.execute("INSERT INTO shop_box (id, name) VALUES (1, 'a')", "INSERT INTO shop_item (id, box_id) VALUES (1, 1)")
    case.update(before, state("crate"), built=True, renames={"shop.Item.box": "crate"})
    assert case.values("shop_item", "crate_id") == [(1,)]


def test_model_renamed_takes_many_to_many_tables_along(case):
    def state(name, field):
        many = {
            field: models.ManyToManyField("shop.Tag", related_name="+"),
            "friends": models.ManyToManyField("self"),
            "title": TEXT,
        }
        others = {"items": models.ManyToManyField(f"shop.{name}", related_name="+")}
        return State(Tag={"name": TEXT}, **{name: many}, Box=others)

    before, after = state("Item", "tags"), state("Thing", "labels")
    case.build(before)
    case.execute(
        "INSERT INTO shop_tag (id, name) VALUES (1, 'x')",
        "INSERT INTO shop_item (id, title) VALUES (1, 'a')",
        "INSERT INTO shop_box (id) VALUES (1)",
        "INSERT INTO shop_item_tags (item_id, tag_id) VALUES (1, 1)",
        "INSERT INTO shop_item_friends (from_item_id, to_item_id) VALUES (1, 1)",
        "INSERT INTO shop_box_items (box_id, item_id) VALUES (1, 1)",
    )
    plan = case.update(before, after, built=True, renames={"shop.Item": "Thing", "shop.Item.tags": "labels"})
    assert not any(isinstance(change, (CreateTable, DropTable)) for change in plan.changes)
    assert case.values("shop_thing_labels", "thing_id", "tag_id") == [(1, 1)]
    assert case.values("shop_thing_friends", "from_thing_id", "to_thing_id") == [(1, 1)]
    assert case.values("shop_box_items", "box_id", "thing_id") == [(1, 1)]


def test_table_and_column_renamed_by_their_names_in_the_database(case):
    before = item(name=models.CharField(max_length=9, db_column="old"))
    after = State(Item={"name": models.CharField(max_length=9, db_column="new"), "Meta": {"db_table": "things"}})
    case.update(
        before,
        after,
        {"Item": [{"name": "a"}]},
        renames={"shop_item": "things", "things.old": "new"},
    )
    assert case.values("things", "new") == [("a",)]


def test_rename_asked_for_again_does_nothing(case):
    renames = {"shop.Item.title": "name"}
    case.build(item(title=TEXT))
    assert case.run(item(name=TEXT), renames=renames)
    assert not case.run(item(name=TEXT), renames=renames)


def test_rename_on_an_empty_database_creates_the_new_name(case):
    case.run(item(name=TEXT), renames={"shop.Item.title": "name"})
    assert case.values("shop_item", "name") == []


def test_rename_to_a_name_that_is_taken_is_an_error(case):
    state = item(title=TEXT, name=TEXT)
    case.build(state)
    with pytest.raises(AutomigrateError, match="both are there"):
        case.run(item(name=TEXT), renames={"shop.Item.title": "name"})
    assert case.introspect(["shop_item"]).tables["shop_item"].column("title")


@pytest.mark.parametrize("old", ["shop.Item.title", "shop.Nothing.title", "nothing", "shop.Nothing"])
def test_rename_of_something_unknown_is_an_error_that_names_it(case, old):
    case.build(item(title=TEXT))
    with pytest.raises(AutomigrateError, match=old):
        case.run(item(title=TEXT), renames={old: "missing"})


def test_dry_run_of_a_rename_changes_nothing(case):
    case.build(item(title=TEXT))
    before = case.introspect(["shop_item"])
    plan = case.run(item(name=TEXT), renames={"shop.Item.title": "name"}, dry_run=True)
    assert [change.describe() for change in plan.changes] == ["Rename column shop_item.title to name"]
    assert case.introspect(["shop_item"]) == before


def test_column_made_by_hand_stays_the_administrators_when_its_table_is_renamed(case):
    before = State(Item={"title": TEXT})
    after = State(Thing={"title": TEXT})
    case.run(before)
    case.execute("ALTER TABLE shop_item ADD COLUMN extra integer")
    case.run(after, renames={"shop.Item": "Thing"})
    assert not case.run(after)
    table = case.introspect(["shop_thing"]).tables["shop_thing"]
    assert table.column("extra")


def test_renamed_table_keeps_the_column_that_goes_with_values(case):
    before = State(Item={"title": TEXT, "old": models.IntegerField()})
    after = State(Thing={"title": TEXT})
    case.build(before)
    case.insert(before, {"Item": [{"title": "a", "old": 7}]})
    plan = case.run(after, renames={"shop.Item": "Thing"})
    assert [judgement.change.describe() for judgement in plan.withheld] == ["Drop column shop_thing.old"]
    assert case.values("shop_thing", "title", "old") == [("a", 7)]
