"""Many-to-many tables are named after their model's table and its fields, and their columns after both models."""

import pytest
from django.db import models

from automigrate_ext.schema.changes import CreateTable, DropTable
from tests.acceptance.helper import State
from tests.acceptance.test_renames import likely, sequences
from tests.features import need

TEXT = models.CharField(max_length=20)
ROWS = {"Tag": [{"name": "t"}, {"name": "u"}], "Item": [{"name": "a"}]}
PAIRS = {"Item.tags": [{"item_id": 1, "tag_id": 1}, {"item_id": 1, "tag_id": 2}]}


def many(to, **options):
    return models.ManyToManyField(to, related_name="+", **options)


def in_table(table, *, field="tags", **fields):
    """Return a state whose model has many-to-many tables and that table; the default one where it is empty."""
    meta = {"Meta": {"db_table": table}} if table else {}
    return State(Tag={"name": TEXT}, Item={"name": TEXT, field: many("Tag"), **fields, **meta})


def assert_moved(plan):
    assert not any(isinstance(change, (CreateTable, DropTable)) for change in plan.changes)


# The model's table has another name


@pytest.mark.parametrize("route", ["by option", "by setting"])
def test_table_renamed(case, settings, route):
    before, after = in_table("", friends=many("self")), in_table("things", friends=many("self"))
    renames = {"shop_item": "things"}
    if route == "by setting":
        settings.AUTOMIGRATE = {"RENAMES": renames}
    pairs = {**PAIRS, "Item.friends": [{"from_item_id": 1, "to_item_id": 1}]}
    plan = case.update(before, after, {**ROWS, **pairs}, **({"renames": renames} if route == "by option" else {}))
    assert_moved(plan)
    assert case.values("things_tags", "item_id", "tag_id") == [(1, 1), (1, 2)]
    assert case.values("things_friends", "from_item_id", "to_item_id") == [(1, 1)]


def test_table_renamed_to_the_default_name(case):
    plan = case.update(in_table("things"), in_table(""), {**ROWS, **PAIRS}, renames={"things": "shop_item"})
    assert_moved(plan)
    assert case.values("shop_item_tags", "item_id", "tag_id") == [(1, 1), (1, 2)]


@pytest.mark.parametrize("names", [("my items", "our things"), ("Einträge", "select"), ("it's", "they're")])
def test_table_with_a_name_to_quote(case, names):
    before, after = in_table(names[0]), in_table(names[1])
    assert_moved(case.update(before, after, {**ROWS, **PAIRS}, renames={names[0]: names[1]}))
    assert case.values(f"{names[1]}_tags", "item_id", "tag_id") == [(1, 1), (1, 2)]


def test_table_of_a_parent_renamed(case):
    def state(table):
        parent = {"name": TEXT, "tags": many("Tag"), "Meta": {"db_table": table}}
        return State(Tag={"name": TEXT}, Item=parent, Child={"bases": ["Item"], "marks": many("Tag")})

    rows = {"Tag": [{"name": "t"}], "Child": [{"name": "a"}]}
    before, after = state("shop_item"), state("things")
    case.build(before)
    case.insert(before, rows)
    case.insert(before, {"Item.tags": [{"item_id": 1, "tag_id": 1}], "Child.marks": [{"child_id": 1, "tag_id": 1}]})
    assert_moved(case.update(before, after, built=True, renames={"shop_item": "things"}))
    assert case.values("things_tags", "item_id", "tag_id") == [(1, 1)]
    assert case.values("shop_child_marks", "child_id", "tag_id") == [(1, 1)]


def test_table_and_field_renamed_at_once(case):
    before, after = in_table(""), in_table("things", field="labels")
    renames = {"shop.Item.tags": "labels", "shop_item": "things"}
    assert_moved(case.update(before, after, {**ROWS, **PAIRS}, renames=renames))
    assert case.values("things_labels", "item_id", "tag_id") == [(1, 1), (1, 2)]


def test_table_and_model_renamed_at_once(case):
    before = in_table("items")
    after = State(Tag={"name": TEXT}, Thing={"name": TEXT, "tags": many("Tag"), "Meta": {"db_table": "things"}})
    plan = case.update(before, after, {**ROWS, **PAIRS}, renames={"shop.Item": "Thing", "items": "things"})
    assert_moved(plan)
    assert case.values("things_tags", "thing_id", "tag_id") == [(1, 1), (1, 2)]


def test_tables_trade_names(case):
    def state(first, second):
        one = {"name": TEXT, "tags": many("Tag"), "Meta": {"db_table": first}}
        two = {"size": models.IntegerField(), "tags": many("Tag"), "Meta": {"db_table": second}}
        return State(Tag={"name": TEXT}, Item=one, Box=two)

    before, after = state("one", "two"), state("two", "one")
    case.build(before)
    rows = {**ROWS, "Box": [{"size": 1}], **PAIRS, "Box.tags": [{"box_id": 1, "tag_id": 2}]}
    case.insert(before, rows)
    renames = {"one": "two", "two": "one"}
    assert_moved(case.run(after, renames=renames))
    assert case.values("two_tags", "item_id", "tag_id") == [(1, 1), (1, 2)]
    assert case.values("one_tags", "box_id", "tag_id") == [(1, 2)]
    case.assert_settled(after)


def test_table_of_its_own_name_stays(case):
    def state(table):
        item = {"name": TEXT, "tags": many("Tag", db_table="links"), "Meta": {"db_table": table}}
        return State(Tag={"name": TEXT}, Item=item)

    renames = {"shop_item": "things"}
    plan = case.update(state("shop_item"), state("things"), {**ROWS, **PAIRS}, renames=renames)
    assert_moved(plan)
    assert case.notes(plan) == []
    assert case.values("links", "item_id", "tag_id") == [(1, 1), (1, 2)]


def test_long_names_are_cut(case):
    need(case.connection, "long names of tables")
    before, after = in_table("i" * 58), in_table("t" * 58)
    assert_moved(case.update(before, after, {**ROWS, **PAIRS}, renames={"i" * 58: "t" * 58}))


def test_sequences_and_record_follow(pg):
    pg.run(in_table(""))
    pg.run(in_table("things"), renames={"shop_item": "things"})
    assert sequences(pg) == ["shop_tag_id_seq", "things_id_seq", "things_tags_id_seq"]
    gone = ["Drop table things", "Drop table things_tags"]
    pg.update(in_table("things"), State(Tag={"name": TEXT}), changes=gone, built=True)


def test_table_moves_to_another_schema(pg):
    need(pg.connection, "schemas")
    pg.execute("CREATE SCHEMA apart")
    after = in_table('apart"."things')
    pg.build(in_table(""))
    pg.insert(in_table(""), {**ROWS, **PAIRS})
    assert_moved(pg.run(after, renames={"shop_item": 'apart"."things'}))
    assert pg.values('apart"."things_tags', "item_id", "tag_id") == [(1, 1), (1, 2)]
    assert not pg.plan(after)


def test_rename_asked_for_again_does_nothing(case):
    renames = {"shop_item": "things"}
    case.run(in_table(""))
    assert case.run(in_table("things"), renames=renames)
    again = case.run(in_table("things"), renames=renames)
    assert not again and case.notes(again) == []


def test_likely_rename_of_a_table_is_that_of_its_many_to_many_tables(case):
    before, after = in_table("items"), in_table("things")
    case.run(before)
    case.insert(before, {**ROWS, **PAIRS})
    assert likely(case.plan(after)) == ["items=things"]


# Models of one name in two apps


def state_of(name, other, *, reverse=False):
    """Return a state with a model of one app that has a many-to-many field to a model of another, or the reverse."""
    fields = {"name": TEXT, **({} if reverse else {"parts": many(f"parts.{other}")})}
    state = State(**{name: fields})
    theirs = {"name": TEXT, "Meta": {"app_label": "parts"}, **({"parts": many(f"shop.{name}")} if reverse else {})}
    state.models["Other"] = state.make(other, theirs)
    state.apps.clear_cache()
    return state


@pytest.mark.parametrize("reverse", [False, True], ids=["of the renamed model", "to the renamed model"])
@pytest.mark.parametrize(
    ("old", "new"), [("Item", "Thing"), ("Thing", "Item")], ids=["no longer alike", "alike from now on"]
)
def test_model_beside_one_of_the_same_name(case, old, new, reverse):
    before, after = state_of(old, "Item", reverse=reverse), state_of(new, "Item", reverse=reverse)
    case.build(before)
    case.insert(before, {old: [{"name": "a"}, {"name": "b"}], "Other": [{"name": "x"}]})
    through = before["Other" if reverse else old]._meta.get_field("parts").remote_field.through
    ends = [f.attname for f in through._meta.local_fields if f.is_relation]
    through._base_manager.using(case.alias).create(**dict(zip(ends, (1, 2) if reverse else (2, 1), strict=True)))
    plan = case.update(before, after, built=True, renames={f"shop.{old}": new})
    assert_moved(plan)
    through = after["Other" if reverse else new]._meta.get_field("parts").remote_field.through
    columns = [f.column for f in through._meta.local_fields if f.is_relation]
    assert case.values(through._meta.db_table, *columns) == [(1, 2) if reverse else (2, 1)]
    assert not case.run(after, renames={f"shop.{old}": new})


def test_both_models_of_one_name_renamed_to_another(case):
    before, after = state_of("Item", "Item"), state_of("Thing", "Thing")
    case.build(before)
    case.insert(before, {"Item": [{"name": "a"}, {"name": "b"}], "Other": [{"name": "x"}]})
    case.insert(before, {"Item.parts": [{"from_item_id": 2, "to_item_id": 1}]})
    assert_moved(case.update(before, after, built=True, renames={"shop.Item": "Thing", "parts.Item": "Thing"}))
    assert case.values("shop_thing_parts", "from_thing_id", "to_thing_id") == [(2, 1)]


def test_models_at_both_ends_trade_names(case):
    def state(first, second):
        return State(**{first: {"name": TEXT, "parts": many(second)}, second: {"size": models.IntegerField()}})

    before, after = state("A", "B"), state("B", "A")
    case.build(before)
    case.insert(before, {"A": [{"name": "x"}, {"name": "y"}], "B": [{"size": 1}]})
    case.insert(before, {"A.parts": [{"a_id": 2, "b_id": 1}]})
    assert_moved(case.run(after, renames={"shop.A": "B", "shop.B": "A"}))
    assert case.values("shop_b_parts", "b_id", "a_id") == [(2, 1)]
    case.assert_settled(after)


def test_hint_of_a_model_beside_one_of_the_same_name(case):
    before = state_of("Item", "Item")
    after = state_of("Thing", "Item")
    after["Thing"].former_names = {"Thing": ("Article", "Item")}
    case.build(before)
    case.insert(before, {"Item": [{"name": "a"}], "Other": [{"name": "x"}]})
    case.insert(before, {"Item.parts": [{"from_item_id": 1, "to_item_id": 1}]})
    case.update(before, after, built=True)
    assert case.values("shop_thing_parts", "thing_id", "item_id") == [(1, 1)]
