"""Renames of fields, models, tables and columns keep the values; asked for again they do nothing."""

import pytest
from django.db import models

from automigrate_ext import AutomigrateError, Refused
from automigrate_ext.schema.changes import AddColumn, CreateTable, DropColumn, DropTable
from tests.acceptance.helper import State, item
from tests.features import need

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


def people(name, **more):
    """A state of one model of that name with a text."""
    return State(**{name: {"title": TEXT, **more}})


# Chains, swaps and spelling


def test_chain_of_columns_in_one_run(case):
    before, after = item(a=TEXT, b=TEXT), item(b=TEXT, c=TEXT)
    renames = {"shop.Item.a": "b", "shop.Item.b": "c"}
    case.update(before, after, {"Item": [{"a": "1", "b": "2"}]}, altered=["shop_item.b"], renames=renames)
    assert case.values("shop_item", "b", "c") == [("1", "2")]


def test_columns_trade_names(case):
    state = item(a=TEXT, b=models.CharField(max_length=20, unique=True))
    after = item(b=TEXT, a=models.CharField(max_length=20, unique=True))
    case.build(state)
    case.insert(state, {"Item": [{"a": "1", "b": "2"}]})
    case.run(after, renames={"shop.Item.a": "b", "shop.Item.b": "a"})
    assert case.values("shop_item", "a", "b") == [("2", "1")]
    case.assert_settled(after)


def test_chain_of_models_with_a_new_one_in_the_first_place(case):
    many = {"tags": models.ManyToManyField("shop.Tag", related_name="+")}
    before = State(Tag={"name": TEXT}, A={"title": TEXT, **many}, B={"size": models.IntegerField(db_index=True)})
    after = State(
        Tag={"name": TEXT},
        A={"title": TEXT, **many},
        B={"title": TEXT, **many},
        C={"size": models.IntegerField(db_index=True)},
    )
    case.build(before)
    case.insert(before, {"A": [{"title": "a"}], "B": [{"size": 1}], "Tag": [{"name": "t"}]})
    case.insert(before, {"A.tags": [{"a_id": 1, "tag_id": 1}]})
    case.run(after, renames={"shop.A": "B", "shop.B": "C"})
    assert case.values("shop_a", "title") == []
    assert case.values("shop_b", "title") == [("a",)]
    assert case.values("shop_b_tags", "b_id", "tag_id") == [(1, 1)]
    assert case.values("shop_c", "size") == [(1,)]
    case.assert_settled(after, renames={"shop.A": "B", "shop.B": "C"})
    case.insert(after, {"A": [{"title": "new"}], "C": [{"size": 2}]})


def test_models_trade_names(case):
    before = State(A={"title": TEXT}, B={"size": models.IntegerField()})
    after = State(B={"title": TEXT}, A={"size": models.IntegerField()})
    case.build(before)
    case.insert(before, {"A": [{"title": "a"}], "B": [{"size": 1}]})
    case.run(after, renames={"shop.A": "B", "shop.B": "A"})
    assert case.values("shop_b", "title") == [("a",)]
    assert case.values("shop_a", "size") == [(1,)]
    case.assert_settled(after)
    case.insert(after, {"A": [{"size": 2}], "B": [{"title": "b"}]})


def test_chain_of_models_with_many_to_many_fields_and_back(case):
    def state(one, two):
        key = models.ForeignKey(one, models.CASCADE, related_name="+")
        fields = {"a": key, "tags": models.ManyToManyField(one, related_name="+")}
        return State(**{one: fields, two: fields})

    before, after = state("One", "Two"), state("Two", "Three")
    case.build(before)
    case.run(after, renames={"shop.One": "Two", "shop.Two": "Three"})
    case.assert_settled(after)
    case.run(before, renames={"shop.Two": "One", "shop.Three": "Two"})
    case.assert_settled(before)


@pytest.mark.parametrize("kind", ["constraint", "index"])
def test_constraint_takes_the_name_that_a_key_has(case, kind):
    # PostgreSQL gives a key the name of a unique constraint over the same column, as it does to "one_c" here.

    def state(first, second):
        own = models.UniqueConstraint(fields=["id"], name=f"{first.lower()}_c")
        name = f"{second.lower()}_c"
        other = {
            "constraint": {"constraints": [models.UniqueConstraint(fields=["size"], name=name)]},
            "index": {"indexes": [models.Index(fields=["size"], name=name)]},
        }[kind]
        size = models.IntegerField()
        return State(**{first: {"size": size, "Meta": {"constraints": [own]}}, second: {"size": size, "Meta": other}})

    before, after = state("One", "Two"), state("Three", "One")
    case.build(before)
    case.insert(before, {"One": [{"size": 1}], "Two": [{"size": 2}]})
    case.run(after, renames={"shop.One": "Three", "shop.Two": "One"})
    assert case.values("shop_three", "size") == [(1,)]
    assert case.values("shop_one", "size") == [(2,)]
    case.assert_settled(after)


def test_case_of_a_name_changes(lite):
    lite.update(
        item(Title=TEXT),
        item(title=TEXT),
        {"Item": [{"Title": "a"}]},
        changes=["Rename column shop_item.Title to title"],
    )
    assert lite.values("shop_item", "title") == [("a",)]


def test_case_of_a_name_changes_with_the_type(lite):
    lite.update(
        item(Size=models.CharField(max_length=9)),
        item(size=models.IntegerField()),
        {"Item": [{"Size": "7"}]},
        altered=["shop_item.Size"],
    )
    assert lite.values("shop_item", "size") == [(7,)]


def test_case_of_a_name_changes_where_the_server_tells_it(pg):
    pg.update(
        item(Title=TEXT),
        item(title=TEXT),
        {"Item": [{"Title": "a"}]},
        changes=["Rename column shop_item.Title to title"],
        renames={"shop.Item.Title": "title"},
    )


def test_case_of_a_table_changes(case):
    need(case.connection, "names in small letters")
    after = item(title=TEXT, Meta={"db_table": "Shop_Item"})
    case.build(item(title=TEXT))
    case.insert(item(title=TEXT), {"Item": [{"title": "a"}]})
    case.run(after, renames={"shop_item": "Shop_Item"})
    assert case.values("Shop_Item", "title") == [("a",)]
    assert not case.plan(after, renames={"shop_item": "Shop_Item"})


# Renames with changes on top


def test_renamed_field_with_type_null_and_default_in_one_run(case):
    case.update(
        item(count=models.IntegerField(null=True)),
        item(total=models.BigIntegerField(db_default=3)),
        {"Item": [{"count": 7}, {"count": None}]},
        altered=["shop_item.count"],
        renames={"shop.Item.count": "total"},
    )
    assert case.values("shop_item", "total") == [(3,), (7,)]


def test_renamed_field_loses_its_index_and_constraint(case):
    case.update(
        item(title=models.CharField(max_length=9, unique=True), rank=models.IntegerField(db_index=True)),
        item(name=models.CharField(max_length=9), place=models.IntegerField()),
        {"Item": [{"title": "a", "rank": 1}]},
        renames={"shop.Item.title": "name", "shop.Item.rank": "place"},
    )


def rich(name):
    """A state whose field of that name is part of everything that a table can have."""
    return item(
        **{name: models.IntegerField()},
        size=models.IntegerField(),
        double=models.GeneratedField(
            expression=models.F(name) * 2, output_field=models.IntegerField(), db_persist=True
        ),
        Meta={
            "unique_together": [(name, "size")],
            "indexes": [
                models.Index(fields=[name, "-size"], name="by_both"),
                models.Index(models.F(name) + 1, name="by_next"),
                models.Index(fields=["size"], name="some", condition=models.Q(**{f"{name}__gt": 3})),
            ],
            "constraints": [
                models.CheckConstraint(condition=models.Q(**{f"{name}__gt": 0}), name="positive"),
                models.UniqueConstraint(fields=["size"], condition=models.Q(**{f"{name}__lt": 9}), name="small"),
            ],
        },
    )


def test_renamed_field_in_constraints_indexes_and_expressions(case):
    need(case.connection, "stored generated columns")
    rows = {"Item": [{"old": 1, "size": 2}, {"old": 5, "size": 6}]}
    case.update(
        rich("old"), rich("new"), rows, changes=["Rename column shop_item.old to new"], renames={"shop.Item.old": "new"}
    )
    assert case.values("shop_item", "new", "double") == [(1, 2), (5, 10)]


def test_renamed_primary_key_that_others_point_at(case):
    def state(name):
        box = {name: models.CharField(max_length=9, primary_key=True)}
        return State(Box=box, Item={"box": models.ForeignKey("shop.Box", models.CASCADE, related_name="+")})

    before = state("code")
    case.build(before)
    case.execute("INSERT INTO shop_box (code) VALUES ('a')", "INSERT INTO shop_item (id, box_id) VALUES (1, 'a')")
    case.update(before, state("label"), built=True, renames={"shop.Box.code": "label"})
    assert case.values("shop_item", "box_id") == [("a",)]


def test_renamed_parent_of_models_that_inherit(case):
    def state(name):
        return State(**{name: {"title": TEXT}, "Child": {"bases": [name], "size": models.IntegerField()}})

    before, after = state("Parent"), state("Base")
    case.build(before)
    case.insert(before, {"Child": [{"title": "a", "size": 1}]})
    case.update(before, after, built=True, renames={"shop.Parent": "Base"})
    assert case.values("shop_child", "base_ptr_id", "size") == [(1, 1)]
    assert case.values("shop_base", "title") == [("a",)]


def test_renamed_field_of_a_parent(case):
    def state(name):
        return State(Parent={name: TEXT}, Child={"bases": ["Parent"], "size": models.IntegerField()})

    case.update(
        state("title"),
        state("name"),
        {"Child": [{"title": "a", "size": 1}]},
        renames={"shop.Parent.title": "name"},
    )
    assert case.values("shop_parent", "name") == [("a",)]


def test_renamed_model_between_which_a_model_of_its_own_stands(case):
    def state(name, through):
        key = models.ForeignKey(f"shop.{name}", models.CASCADE, related_name="+")
        tag = models.ForeignKey("shop.Tag", models.CASCADE, related_name="+")
        tags = models.ManyToManyField("shop.Tag", through=f"shop.{through}", related_name="+")
        return State(**{"Tag": {"name": TEXT}, name: {"tags": tags}, through: {name.lower(): key, "tag": tag}})

    before, after = state("Item", "ItemTag"), state("Thing", "ThingTag")
    case.build(before)
    case.execute(
        "INSERT INTO shop_tag (id, name) VALUES (1, 'x')",
        "INSERT INTO shop_item (id) VALUES (1)",
        "INSERT INTO shop_itemtag (id, item_id, tag_id) VALUES (1, 1, 1)",
    )
    renames = {"shop.Item": "Thing", "shop.ItemTag": "ThingTag", "shop.ItemTag.item": "thing"}
    plan = case.update(before, after, built=True, renames=renames)
    assert not any(isinstance(change, (CreateTable, DropTable)) for change in plan.changes)
    assert case.values("shop_thingtag", "thing_id", "tag_id") == [(1, 1)]


def test_model_that_keeps_its_table_takes_many_to_many_columns_along(case):
    def state(name):
        tags = models.ManyToManyField("shop.Tag", related_name="+")
        return State(**{"Tag": {"name": TEXT}, name: {"tags": tags, "Meta": {"db_table": "shop_item"}}})

    before, after = state("Item"), state("Thing")
    case.build(before)
    case.insert(before, {"Item": [{}], "Tag": [{"name": "t"}], "Item.tags": [{"item_id": 1, "tag_id": 1}]})
    case.update(before, after, built=True, renames={"shop.Item": "Thing"})
    assert case.values("shop_item_tags", "thing_id", "tag_id") == [(1, 1)]


def test_tables_outside_the_run_follow_a_renamed_model(case):
    def state(name):
        items = models.ManyToManyField(f"shop.{name}", related_name="+")
        return State(**{name: {"title": TEXT}, "Box": {"items": items}})

    before, after = state("Item"), state("Thing")
    case.build(before)
    case.insert(before, {"Item": [{"title": "a"}], "Box": [{}], "Box.items": [{"box_id": 1, "item_id": 1}]})
    case.run(after, models="shop.Thing", renames={"shop.Item": "Thing"})
    assert case.values("shop_box_items", "box_id", "thing_id") == [(1, 1)]
    assert case.values("shop_thing", "title") == [("a",)]


def test_model_and_column_renamed_at_once_by_their_names_in_the_database(case):
    before = item(name=models.CharField(max_length=9, db_column="old"), Meta={"db_table": "things"})
    after = State(Thing={"label": models.CharField(max_length=20, db_column="new"), "Meta": {"db_table": "objects"}})
    case.build(before)
    case.insert(before, {"Item": [{"name": "a"}]})
    renames = {"things": "objects", "objects.old": "new"}
    case.run(after, renames=renames)
    assert case.values("objects", "new") == [("a",)]
    case.assert_settled(after, renames=renames)


def test_model_and_field_renamed_by_the_models_old_name(case):
    before, after = people("Item"), State(Thing={"name": models.CharField(max_length=30, db_index=True)})
    case.build(before)
    case.insert(before, {"Item": [{"title": "a"}]})
    case.run(after, renames={"shop.Item": "Thing", "shop.Item.title": "name"})
    assert case.values("shop_thing", "name") == [("a",)]
    case.assert_settled(after)


def test_new_field_takes_the_name_of_a_renamed_one_and_points_elsewhere(case):
    def state(**keys):
        made = {name: models.ForeignKey(to, models.CASCADE, null=True, related_name="+") for name, to in keys.items()}
        return State(Box={"name": TEXT}, Tag={"name": TEXT}, Item=made)

    before, after = state(box="shop.Box"), state(crate="shop.Box", box="shop.Tag")
    case.build(before)
    case.insert(before, {"Box": [{"name": "b"}], "Item": [{"box_id": 1}]})
    case.run(after, renames={"shop.Item.box": "crate"})
    assert case.values("shop_item", "crate_id", "box_id") == [(1, None)]
    case.assert_settled(after)


# Sequences


def sequences(case):
    return [name for (name,) in case.query("SELECT relname FROM pg_class WHERE relkind = 'S' ORDER BY 1")]


def test_sequence_follows_a_renamed_model_and_key(pg):
    pg.build(people("Item"))
    pg.run(
        people("Thing", key=models.AutoField(primary_key=True)), renames={"shop.Item": "Thing", "shop.Item.id": "key"}
    )
    assert sequences(pg) == ["shop_thing_key_seq"]
    pg.insert(people("Thing", key=models.AutoField(primary_key=True)), {"Thing": [{"title": "a"}]})


def test_old_serial_sequence_follows(pg):
    pg.execute("CREATE TABLE shop_item (id bigserial PRIMARY KEY, title varchar(20) NOT NULL)")
    pg.run(people("Thing"), renames={"shop.Item": "Thing"})
    assert sequences(pg) == ["shop_thing_id_seq"]
    pg.assert_settled(people("Thing"))
    pg.insert(people("Thing"), {"Thing": [{"title": "a"}]})


def test_sequence_with_a_name_of_its_own_or_without_room_stays(pg):
    pg.build(State(Item={"title": TEXT}, Box={"title": TEXT}))
    pg.execute("ALTER SEQUENCE shop_item_id_seq RENAME TO numbers", "CREATE SEQUENCE shop_crate_id_seq")
    after = State(Thing={"title": TEXT}, Crate={"title": TEXT})
    pg.run(after, renames={"shop.Item": "Thing", "shop.Box": "Crate"})
    assert sequences(pg) == ["numbers", "shop_box_id_seq", "shop_crate_id_seq"]
    pg.insert(after, {"Thing": [{"title": "a"}], "Crate": [{"title": "a"}]})


def test_numbers_go_on_after_a_rename(case):
    before, after = people("Item"), people("Thing")
    case.build(before)
    case.insert(before, {"Item": [{"title": "a"}, {"title": "b"}]})
    case.execute("DELETE FROM shop_item")
    case.run(after, renames={"shop.Item": "Thing"})
    case.insert(after, {"Thing": [{"title": "c"}]})
    assert case.values("shop_thing", "id") == [(3,)]


# What nobody spoke of


def likely(plan):
    return [rename.option for rename in plan.likely_renames]


def test_likely_rename_of_a_column_with_values(case):
    before = item(title=TEXT, old=models.IntegerField(null=True))
    case.build(before)
    case.insert(before, {"Item": [{"title": "a"}]})
    after = item(name=models.CharField(max_length=20, default=""), new=models.IntegerField(null=True))
    assert likely(case.plan(after)) == ["shop.Item.title=name"]
    assert case.plan(after).as_dict()["likely_renames"] == [
        {"old": "shop.Item.title", "new": "name", "option": "shop.Item.title=name"}
    ]
    assert likely(case.run(after)) == ["shop.Item.title=name"]
    assert likely(case.plan(item(name=TEXT, title2=models.CharField(max_length=20, default="")))) == []


def test_likely_renames_prefer_similar_names(case):
    before = item(first_name=TEXT, last_name=TEXT)
    case.build(before)
    case.insert(before, {"Item": [{"first_name": "a", "last_name": "b"}]})
    empty = models.CharField(max_length=20, default="")
    plan = case.plan(item(forename=empty, surname=empty, size=models.IntegerField(default=0)))
    assert likely(plan)[0] == "shop.Item.first_name=forename"
    assert len(likely(plan)) == 4


def test_likely_rename_of_a_foreign_key_has_the_same_target(case):
    def state(**keys):
        made = {name: models.ForeignKey(to, models.CASCADE, null=True, related_name="+") for name, to in keys.items()}
        return State(Box={"name": TEXT}, Tag={"name": TEXT}, Item=made)

    before = state(box="shop.Box")
    case.build(before)
    case.insert(before, {"Box": [{"name": "b"}], "Item": [{"box_id": 1}]})
    assert likely(case.plan(state(crate="shop.Box"))) == ["shop.Item.box=crate"]
    assert likely(case.plan(state(tag="shop.Tag"))) == []


def test_likely_rename_of_a_column_by_its_name_in_the_database(case):
    before = item(name=TEXT)
    case.build(before)
    case.insert(before, {"Item": [{"name": "a"}]})
    after = item(name=models.CharField(max_length=20, db_column="label", default=""))
    assert likely(case.plan(after)) == ["shop_item.name=label"]
    case.update(before, after, built=True, renames={"shop_item.name": "label"})


def test_column_made_by_hand_is_no_likely_rename(case):
    state = item(size=models.IntegerField())
    case.run(state)
    case.insert(state, {"Item": [{"size": 1}]})
    case.execute("ALTER TABLE shop_item ADD COLUMN extra varchar(20)")
    case.execute("UPDATE shop_item SET extra = 'x'")
    after = item(size=models.IntegerField(), title=models.CharField(max_length=20, null=True))
    assert likely(case.plan(after)) == []
    assert likely(case.plan(after, prune=True)) == []


def test_likely_rename_of_a_model_with_its_many_to_many_tables(case):
    def state(name):
        return State(Tag={"name": TEXT}, **{name: {"tags": models.ManyToManyField("shop.Tag", related_name="+")}})

    before, after = state("Item"), state("Thing")
    case.run(before)
    case.insert(before, {"Item": [{}], "Tag": [{"name": "t"}], "Item.tags": [{"item_id": 1, "tag_id": 1}]})
    assert likely(case.plan(after)) == ["shop.Item=Thing"]
    case.run(after, renames={"shop.Item": "Thing"})
    case.assert_settled(after)


def test_likely_rename_of_a_model_whose_new_name_is_part_of_a_column(case):
    before, after = State(Tag={"label": TEXT}), State(Label={"label": TEXT})
    case.run(before)
    case.insert(before, {"Tag": [{"label": "a"}]})
    assert likely(case.plan(after)) == ["shop.Tag=Label"]


def test_likely_rename_of_a_table_and_of_a_many_to_many_field(case):
    def state(table, field):
        tags = {field: models.ManyToManyField("shop.Tag", related_name="+")}
        return State(Tag={"name": TEXT}, Item=tags, Box={"size": TEXT, "Meta": {"db_table": table}})

    before, after = state("boxes", "tags"), state("crates", "labels")
    case.run(before)
    rows = {"Item": [{}], "Tag": [{"name": "t"}], "Item.tags": [{"item_id": 1, "tag_id": 1}], "Box": [{"size": "1"}]}
    case.insert(before, rows)
    assert sorted(likely(case.plan(after))) == ["boxes=crates", "shop.Item.tags=labels"]
    case.run(after, renames={"boxes": "crates", "shop.Item.tags": "labels"})
    case.assert_settled(after)


def test_what_was_kept_before_is_no_likely_rename(case):
    before = State(Item={"title": TEXT, "size": models.IntegerField(null=True)}, Box={"name": TEXT})
    case.run(before)
    case.insert(before, {"Item": [{"title": "a"}], "Box": [{"name": "b"}]})
    case.run(State(Item={"size": models.IntegerField(null=True)}))
    after = State(
        Item={"size": models.IntegerField(null=True), "name": models.CharField(max_length=20, default="")},
        Crate={"name": TEXT},
    )
    assert likely(case.plan(after)) == []


def test_refusal_mentions_the_likely_rename(case):
    before = item(title=TEXT)
    case.build(before)
    case.insert(before, {"Item": [{"title": "a"}]})
    with pytest.raises(Refused, match=r"Was shop\.Item\.title renamed to name") as caught:
        case.run(item(name=TEXT))
    assert likely(caught.value.plan) == ["shop.Item.title=name"]


def test_rename_of_what_was_never_there_is_noted(case):
    case.build(item(title=TEXT))
    assert case.notes(case.plan(item(title=TEXT), renames={"shop.Item.desc": "title"})) == []
    (note,) = case.notes(case.plan(item(title=TEXT, name=TEXT), renames={"shop.Item.desc": "name"}))
    assert note == (
        f'--rename shop.Item.desc=name found nothing to rename in database "{case.alias}": there is neither a column '
        f"shop_item.desc nor shop_item.name."
    )


def test_rename_to_a_column_that_the_models_lack_is_an_error(case):
    case.build(item(title=TEXT))
    with pytest.raises(AutomigrateError, match="no column 'nothing'"):
        case.plan(item(title=TEXT), renames={"shop_item.title": "nothing"})
