"""Many-to-many tables: made with their owner, switched to a model of one's own and back, re-keyed."""

import pytest
from django.db import models

from tests.acceptance.helper import State
from tests.features import need

NAME = models.CharField(max_length=20)
ROWS = {"Tag": [{"name": "t"}, {"name": "u"}], "Item": [{"name": "a"}]}
PAIRS = {"Item.tags": [{"item_id": 1, "tag_id": 1}, {"item_id": 1, "tag_id": 2}]}


def tagged(field=None, **models_):
    return State(Tag={"name": NAME}, Item={"name": NAME, **({"tags": field} if field else {})}, **models_)


M2M = models.ManyToManyField
FIELDS = {
    "plain": M2M("Tag"),
    "self": M2M("self"),
    "asymmetrical": M2M("self", symmetrical=False),
    "table": M2M("Tag", db_table="item_has_tag"),
    "without constraint": M2M("Tag", db_constraint=False),
    "long": M2M("Tag", db_table="t" * 70),
}


@pytest.mark.django
@pytest.mark.parametrize("name", FIELDS)
def test_many_to_many_unchanged(case, name):
    need(case.connection, *(["long names of tables"] if name == "long" else []))
    case.unchanged(tagged(FIELDS[name]))


@pytest.mark.parametrize("name", FIELDS)
def test_many_to_many_added_and_removed(case, name):
    need(case.connection, *(["long names of tables"] if name == "long" else []))
    case.update(tagged(), tagged(FIELDS[name]), ROWS, changes=["Create table"])
    case.update(tagged(FIELDS[name]), tagged(), changes=["Drop table"], built=True)


def test_many_to_many_with_rows_withheld(case):
    case.run(tagged(M2M("Tag")))
    case.update(
        tagged(M2M("Tag")),
        tagged(),
        {**ROWS, **PAIRS},
        changes=[],
        withheld=["Drop table shop_item_tags"],
        built=True,
    )
    assert case.values("shop_item_tags", "item_id", "tag_id") == [(1, 1), (1, 2)]


def through(**more):
    return {
        "item": models.ForeignKey("Item", models.CASCADE),
        "tag": models.ForeignKey("Tag", models.CASCADE),
        **more,
    }


def test_automatic_table_becomes_a_model_and_back(case):
    own = {"db_table": "shop_item_tags", "unique_together": {("item", "tag")}}
    before = tagged(M2M("Tag"))
    after = tagged(
        M2M("Tag", through="Link"),
        Link=through(rank=models.IntegerField(default=1), Meta=own),
    )
    case.update(before, after, {**ROWS, **PAIRS})
    assert case.values("shop_item_tags", "rank") == [(1,), (1,)]
    case.update(after, before, built=True, accept_data_loss=True)
    assert case.values("shop_item_tags", "item_id", "tag_id") == [(1, 1), (1, 2)]


def test_automatic_table_replaced_by_another_table(case):
    before = tagged(M2M("Tag"))
    after = tagged(M2M("Tag", through="Link"), Link=through())
    case.run(before)
    case.update(
        before,
        after,
        {**ROWS, **PAIRS},
        changes=["Create table shop_link"],
        withheld=["Drop table shop_item_tags"],
        built=True,
    )


def test_key_of_the_owner_retyped(case):
    def state(pk):
        return State(Tag={"name": NAME}, Item={"id": pk, "name": NAME, "tags": M2M("Tag")})

    before = state(models.AutoField(primary_key=True))
    after = state(models.BigAutoField(primary_key=True))
    case.update(before, after, {**ROWS, **PAIRS})
    case.update(after, before, built=True)


def test_key_of_the_target_becomes_text(case):
    def state(pk):
        return State(Tag={"code": pk}, Item={"name": NAME, "tags": M2M("Tag"), "more": M2M("self")})

    before = state(models.IntegerField(primary_key=True))
    after = state(models.CharField(max_length=9, primary_key=True))
    rows = {"Tag": [{"code": 5}], "Item": [{"name": "a"}], "Item.tags": [{"item_id": 1, "tag_id": 5}]}
    case.update(before, after, rows)
    assert case.values("shop_item_tags", "tag_id") == [("5",)]


def test_unique_columns_in_other_order_are_no_difference(pg):
    state = tagged(M2M("Tag"))
    pg.build(state)
    (unique,) = [
        c for c in pg.introspect(["shop_item_tags"]).tables["shop_item_tags"].constraints if c.kind == "unique"
    ]
    columns = ", ".join(reversed(unique.columns))
    pg.execute(
        f'ALTER TABLE shop_item_tags DROP CONSTRAINT "{unique.name}"',
        f'ALTER TABLE shop_item_tags ADD CONSTRAINT "{unique.name}" UNIQUE ({columns})',
    )
    pg.update(state, state, {**ROWS, **PAIRS}, changes=[], built=True, exact=False)


def test_automatic_id_wider_or_narrower_than_the_models_ask(case):
    state = tagged(M2M("Tag"))
    case.build(state)
    if case.vendor == "sqlite":
        case.update(state, state, {**ROWS, **PAIRS}, changes=[], built=True)
        return
    narrower = {
        "postgresql": "ALTER TABLE shop_item_tags ALTER COLUMN id TYPE integer",
        "mysql": "ALTER TABLE shop_item_tags MODIFY id integer NOT NULL AUTO_INCREMENT",
    }
    case.execute(narrower[case.vendor])
    case.update(state, state, {**ROWS, **PAIRS}, changes=["Change column shop_item_tags.id"], built=True)


def test_automatic_id_wider_than_the_models_ask_is_kept(pg, settings):
    settings.DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
    before = tagged(M2M("Tag"))
    pg.build(before)
    pg.insert(before, {**ROWS, **PAIRS})
    settings.DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
    after = tagged(M2M("Tag"))
    pg.update(before, after, changes=[], built=True, exact=False)


def test_many_to_many_aimed_elsewhere(case):
    def state(to):
        return State(Tag={"name": NAME}, Mark={"name": NAME}, Item={"name": NAME, "tags": M2M(to)})

    case.run(state("Tag"))
    case.update(state("Tag"), state("Mark"), ROWS, built=True)


def test_many_to_many_with_rows_aimed_elsewhere_is_refused(case):
    def state(to):
        return State(Tag={"name": NAME}, Mark={"name": NAME}, Item={"name": NAME, "tags": M2M(to)})

    plan = case.refused(state("Tag"), state("Mark"), {**ROWS, **PAIRS}, "required-column")
    hazard = plan.refused[0].hazards[0]
    assert hazard.message.endswith("without a value for it: it links to shop_tag, and is to link to shop_mark")
    assert hazard.remedy.startswith("If a model was renamed or moved to another app, pass --rename OLD=NEW")
    assert hazard.option == "--accept-data-loss"


ENDS = {
    "another": ("Tag", "Mark"),
    "self": ("Tag", "self"),
    "from self": ("self", "Tag"),
    "parent": ("Child", "Tag"),
    "named table": ("Tag", "Mark", {"db_table": "links"}),
    "without constraint": ("Tag", "Mark", {"db_constraint": False}),
}


@pytest.mark.parametrize("name", ENDS)
def test_many_to_many_with_rows_aimed_elsewhere_is_made_again(case, name):
    old, new, *options = ENDS[name]

    def state(to):
        field = M2M(to, related_name="+", **(options[0] if options else {}))
        child = {"bases": ["Tag"], "size": models.IntegerField()}
        return State(Tag={"name": NAME}, Mark={"name": NAME}, Child=child, Item={"name": NAME, "tags": field})

    before, after = state(old), state(new)
    case.build(before)
    case.insert(before, {"Item": [{"name": "a"}, {"name": "b"}], "Child": [{"name": "c", "size": 1}]})
    through = before["Item"]._meta.get_field("tags").remote_field.through
    ends = [f.attname for f in through._meta.local_fields if f.is_relation]
    through._base_manager.using(case.alias).create(**dict.fromkeys(ends, 1))
    table = through._meta.db_table
    wanted = [f"Drop table {table}", f"Create table {table}"]
    codes = ["required-column"] * (2 if "self" in (old, new) else 1)
    case.refused(before, after, {}, *codes, built=True)
    case.update(before, after, built=True, changes=wanted, accept_data_loss=True)
    through = after["Item"]._meta.get_field("tags").remote_field.through
    assert through._base_manager.using(case.alias).count() == 0
    assert case.values("shop_item", "name") == [("a",), ("b",)]
    ends = [f.attname for f in through._meta.local_fields if f.is_relation]
    target = through._meta.get_field(ends[1].removesuffix("_id")).related_model
    target._base_manager.using(case.alias).get_or_create(name="z")
    through._base_manager.using(case.alias).create(**dict.fromkeys(ends, 1))


def namesakes(to):
    state = State(Item={"name": NAME, "tags": M2M(to, related_name="+")}, Tag={"name": NAME})
    state.models["Other"] = state.make("Tag", {"name": NAME, "Meta": {"app_label": "other"}})
    state.apps.clear_cache()
    return state


def test_many_to_many_aimed_at_a_model_of_the_same_name(case):
    # The keys of both tables are the same numbers, so that no row would point at nothing.
    before, after = namesakes("shop.Tag"), namesakes("other.Tag")
    case.build(before)
    case.insert(before, {**ROWS, "Other": [{"name": "x"}, {"name": "y"}], **PAIRS})
    plan = case.refused(before, after, {}, "retargeted", built=True)
    (hazard,) = (hazard for judgement in plan.refused for hazard in judgement.hazards)
    assert hazard.option == "--accept-data-loss"
    assert hazard.remedy.startswith("If a model was renamed or moved to another app, pass --rename OLD=NEW")
    assert hazard.remedy.endswith("or pass --accept-data-loss (accept_data_loss=True).")
    message = "shop_item_tags has 2 rows that link to shop_tag, and is to link to other_tag"
    assert plan.refused[0].hazards[0].message == message
    case.update(before, after, built=True, accept_data_loss=True)
    assert case.values("shop_item_tags", "item_id", "tag_id") == []
    assert case.values("shop_tag", "name") == [("t",), ("u",)]


def test_empty_many_to_many_aimed_at_a_model_of_the_same_name(case):
    case.update(namesakes("shop.Tag"), namesakes("other.Tag"), ROWS, accept_data_loss=True)


def test_several_many_to_many_tables_aimed_elsewhere(case):
    def state(one, two, **fields):
        many = {"tags": M2M(one, related_name="+"), "marks": M2M(two, related_name="+")}
        return State(Tag={"name": NAME}, Mark={"name": NAME}, Item={"name": NAME, **many, **fields})

    before, after = state("Tag", "Mark"), state("Mark", "Tag", size=models.IntegerField(default=3))
    rows = {**ROWS, "Mark": [{"name": "m"}], **PAIRS, "Item.marks": [{"item_id": 1, "mark_id": 1}]}
    plan = case.update(before, after, rows, accept_data_loss=True)
    assert [hazard.code for j in plan.judgements for hazard in j.hazards] == ["drops-table", "drops-table"]
    assert case.values("shop_item", "size") == [(3,)]


def test_many_to_many_of_a_renamed_model_aimed_elsewhere(case):
    def state(name, to):
        return State(Tag={"name": NAME}, Mark={"name": NAME}, **{name: {"name": NAME, "tags": M2M(to)}})

    case.update(
        state("Item", "Tag"),
        state("Thing", "Mark"),
        {**ROWS, **PAIRS},
        renames={"shop.Item": "Thing"},
        accept_data_loss=True,
        exact=True,
    )


def test_many_to_many_that_others_point_at_is_not_made_again(case):
    def state(to):
        return State(Tag={"name": NAME}, Mark={"name": NAME}, Item={"name": NAME, "tags": M2M(to)})

    case.run(state("Tag"))
    kind = case.introspect(["shop_item_tags"]).tables["shop_item_tags"].column("id").type
    case.execute(
        f'CREATE TABLE by_hand (id integer, link_id {kind}, FOREIGN KEY (link_id) REFERENCES "shop_item_tags" ("id"))'
    )
    case.refused(state("Tag"), state("Mark"), {**ROWS, **PAIRS}, "referenced", built=True, accept_data_loss=True)


def test_likely_rename_where_the_target_was_renamed(case):
    before = tagged(M2M("Tag"))
    after = State(Mark={"name": NAME}, Item={"name": NAME, "tags": M2M("Mark")})
    case.run(before)
    case.insert(before, {**ROWS, **PAIRS})
    assert [rename.option for rename in case.plan(after).likely_renames] == ["shop.Tag=Mark"]
    case.update(before, after, built=True, renames={"shop.Tag": "Mark"})
    assert case.values("shop_item_tags", "item_id", "mark_id") == [(1, 1), (1, 2)]


def test_composite_unique_beside_through(case):
    link = through(Meta={"constraints": [models.UniqueConstraint(fields=["item", "tag"], name="once")]})
    case.unchanged(tagged(M2M("Tag", through="Link"), Link=link))
