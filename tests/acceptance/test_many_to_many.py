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
    assert plan.refused[0].hazards[0].remedy.startswith("If a model was renamed, say so with --rename;")


def test_composite_unique_beside_through(case):
    link = through(Meta={"constraints": [models.UniqueConstraint(fields=["item", "tag"], name="once")]})
    case.unchanged(tagged(M2M("Tag", through="Link"), Link=link))
