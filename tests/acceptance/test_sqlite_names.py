"""Names that differ in nothing but their case are one name on SQLite: in tables, in the record, in foreign keys."""

import pytest
from django.db import models

from automigrate_ext import AutomigrateError, automigrate, autoupdate
from tests.acceptance.helper import State


@pytest.fixture
def route():
    """What the record has depends on it."""
    return "automigrate"


def shop(item=None, link=None, **item_fields):
    def meta(table, **more):
        return {"Meta": {**({"db_table": table} if table else {}), **more}}

    return State(
        Tag={"name": models.CharField(max_length=9)},
        Item={
            "name": models.CharField(max_length=9),
            "tags": models.ManyToManyField("Tag", **({"db_table": link} if link else {})),
            **item_fields,
            **meta(item),
        },
        Child={"bases": ["Item"], "n": models.IntegerField()},
        Link={"item": models.ForeignKey("Item", models.CASCADE), "other": models.ForeignKey("Tag", models.CASCADE)},
    )


def fill(case, state):
    tag = state["Tag"]._base_manager.using(case.alias).create(name="t")
    child = state["Child"]._base_manager.using(case.alias).create(name="a", n=1)
    child.item_ptr.tags.add(tag)
    state["Link"]._base_manager.using(case.alias).create(item=child.item_ptr, other=tag)


def recorded(case):
    rows = case.query("SELECT name FROM automigrate_ext_owned WHERE owner <> '' AND name LIKE '%item%' ORDER BY name")
    return [name for (name,) in rows]


@pytest.mark.parametrize("rows", [True, False])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (shop("Shop_Item", "SHOP_item_Tags"), shop()),
        (shop(), shop("SHOP_ITEM", "Shop_Item_tags")),
        (shop('"Shop_Item"'), shop("shop_item")),
    ],
)
def test_spelling_of_a_table_is_no_difference(lite, before, after, rows):
    lite.build(before)
    if rows:
        fill(lite, before)
    plan = lite.plan(after)
    assert not plan and not plan.withheld and not plan.refused, plan.sql()
    assert [change.describe() for change in plan.changes] == []
    lite.run(after, accept_data_loss=True)
    assert len(lite.values("shop_item", "name")) == rows == len(lite.values("shop_item_tags", "tag_id"))
    assert recorded(lite) == sorted([after["Item"]._meta.db_table, after["Item"].tags.field.m2m_db_table()])
    lite.assert_settled(after, exact=False)
    lite.run(before)
    assert recorded(lite) == sorted([before["Item"]._meta.db_table, before["Item"].tags.field.m2m_db_table()])


def test_what_the_models_gave_stays_theirs_under_another_spelling(lite):
    fields = {"n": models.IntegerField(null=True)}
    index = {"indexes": [models.Index(fields=["n"], name="by_n")]}

    def state(table, **meta):
        return State(Item={**fields, "m": models.IntegerField(db_default=3), "Meta": {"db_table": table, **meta}})

    lite.build(state("Shop_Item", **index))
    lite.execute("CREATE INDEX by_hand ON shop_item (m)")
    after = State(Item={**fields, "m": models.IntegerField(), "Meta": {"db_table": "shop_ITEM"}})
    plan = lite.run(after)
    assert sorted(change.describe() for change in plan.changes) == [
        "Change column shop_ITEM.m: default 3 to none",
        "Drop index (n) from shop_ITEM: by_n",
    ]
    indexes = lite.query("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    assert indexes == [("by_hand",)]
    lite.assert_settled(after, exact=False)


def test_table_that_another_model_has_now_under_another_spelling(lite):
    lite.build(State(Old={"n": models.IntegerField(), "Meta": {"db_table": "Thing"}}))
    lite.execute('INSERT INTO "Thing" (n) VALUES (1)')
    after = State(New={"n": models.IntegerField(), "Meta": {"db_table": "thing"}})
    assert not lite.plan(after).changes
    autoupdate("shop.New", using=lite.alias, apps=after.apps, accept_data_loss=True)
    assert lite.values("thing", "n") == [(1,)]


def test_column_and_table_change_their_spelling_at_once(lite):
    def state(table, column):
        key = models.ForeignKey("Item", models.CASCADE, to_field="n", null=True)
        return State(
            Item={"n": models.IntegerField(db_column=column, unique=True), "Meta": {"db_table": table}},
            Link={"item": key, "other": models.ForeignKey("Item", models.CASCADE, related_name="+", null=True)},
        )

    lite.build(state("Shop_Item", "Number"))
    lite.execute('INSERT INTO "Shop_Item" ("Number") VALUES (1)')
    lite.run(state("shop_item", "number"))
    assert lite.values("shop_item", "number") == [(1,)]
    lite.assert_settled(state("shop_item", "number"), exact=False)


def test_words_of_a_foreign_key_under_another_spelling_are_kept(lite):
    def state(kind):
        return State(
            Tag={"name": models.CharField(max_length=9)},
            Item={"tag": models.ForeignKey("Tag", models.CASCADE, db_index=False), "n": kind(null=True)},
        )

    lite.execute(
        'CREATE TABLE "SHOP_TAG" ("ID" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "name" varchar(9) NOT NULL)',
        'CREATE TABLE "shop_item" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "n" integer NULL, "tag_id" bigint '
        "NOT NULL REFERENCES Shop_Tag (iD) ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED)",
    )
    lite.run(state(models.IntegerField))
    lite.run(state(models.TextField))
    ((sql,),) = lite.query("SELECT sql FROM sqlite_master WHERE name = 'shop_item'")
    assert "ON UPDATE CASCADE" in sql
    lite.assert_settled(state(models.TextField), exact=False)


def test_target_outside_the_run_under_another_spelling(lite):
    lite.build(shop("Shop_Item"))
    after = shop()
    plan = lite.plan(after, models=["shop.Link"])
    assert not plan.changes


def test_index_is_no_other_by_the_spelling_of_its_name(lite):
    def state(name):
        options = {"indexes": [models.Index(fields=["n"], name=name)]}
        return State(Item={"n": models.IntegerField(), "Meta": options})

    lite.build(state("By_N"))
    lite.run(state("by_n"))
    lite.assert_settled(state("by_n"))


def test_automigrate_under_another_spelling(lite):
    lite.build(shop("Shop_Item", "SHOP_item_Tags"))
    automigrate(using=lite.alias, apps=shop().apps)
    assert recorded(lite) == ["shop_item", "shop_item_tags"]
    lite.assert_settled(shop())


def test_two_models_with_one_table_in_two_spellings(lite):
    state = State(
        A={"n": models.IntegerField(), "Meta": {"db_table": "Thing"}},
        B={"n": models.IntegerField(), "Meta": {"db_table": "thing"}},
    )
    with pytest.raises(AutomigrateError, match="both have the table 'thing'"):
        lite.plan(state)
