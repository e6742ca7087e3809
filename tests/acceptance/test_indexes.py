"""Indexes: every class and option unchanged; added, dropped, renamed, swapped, stale expressions renewed."""

import pytest
from django.contrib.postgres import indexes as pg_indexes
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower, Upper

from tests.acceptance.helper import State, item
from tests.features import COLLATIONS, need

Index = models.Index
ROWS = {"Item": [{"name": "a", "size": 1}, {"name": "b", "size": 2}]}


def indexed(*indexes, **more):
    return item(
        name=models.CharField(max_length=20),
        size=models.IntegerField(null=True),
        **more,
        Meta={"indexes": list(indexes)},
    )


#: Each index, and what a database needs to have for it.
INDEXES = {
    "plain": (Index(fields=["name"], name="i"), ()),
    "descending": (Index(fields=["-name", "size"], name="i"), ()),
    "unnamed": (Index(fields=["name", "-size"]), ()),
    "partial": (Index(fields=["name"], condition=Q(size__gt=3), name="i"), ("partial indexes",)),
    "partial in list": (
        Index(fields=["name"], condition=Q(name__in=["a", "b", "it's 100%"]), name="i"),
        ("partial indexes",),
    ),
    "partial not null": (
        Index(fields=["size"], condition=Q(size__isnull=False) & ~Q(name=""), name="i"),
        ("partial indexes",),
    ),
    "expression": (Index(Lower("name"), name="i"), ("expression indexes",)),
    "expressions": (Index(Lower("name").desc(), F("size").asc(), name="i"), ("expression indexes",)),
    "arithmetic": (Index(F("size") * 2 + 1, name="i"), ("expression indexes",)),
    "expression and condition": (
        Index(Upper("name"), condition=Q(size=1), name="i"),
        ("expression indexes", "partial indexes"),
    ),
    "collated": (Index(models.functions.Collate("name", "C"), name="i"), ("expression indexes",)),
}
POSTGRESQL_INDEXES = {
    "nulls first": Index(F("size").asc(nulls_first=True), name="i"),
    "nulls last": Index(F("size").desc(nulls_last=True), name="i"),
    "opclass": Index(fields=["name"], opclasses=["varchar_pattern_ops"], name="i"),
    "opclass of expression": Index(pg_indexes.OpClass(Lower("name"), "text_pattern_ops"), name="i"),
    "covering": Index(fields=["name"], include=["size"], name="i"),
    "tablespace": Index(fields=["name"], db_tablespace="pg_default", name="i"),
    "btree": pg_indexes.BTreeIndex(fields=["name"], fillfactor=70, name="i"),
    "btree without options": pg_indexes.BTreeIndex(fields=["name"]),
    "btree dedup": pg_indexes.BTreeIndex(fields=["name"], deduplicate_items=False, name="i"),
    "hash": pg_indexes.HashIndex(fields=["name"], fillfactor=50, name="i"),
    "brin": pg_indexes.BrinIndex(fields=["size"], autosummarize=True, pages_per_range=8, name="i"),
    "gin": pg_indexes.GinIndex(fields=["tags"], fastupdate=False, gin_pending_list_limit=4096, name="i"),
    "gin json": pg_indexes.GinIndex(fields=["data"], opclasses=["jsonb_path_ops"], name="i"),
    "gist": pg_indexes.GistIndex(fields=["words"], buffering=True, fillfactor=60, name="i"),
    "spgist": pg_indexes.SpGistIndex(fields=["name"], fillfactor=60, name="i"),
    "search expression": pg_indexes.GinIndex(
        models.expressions.CombinedExpression(F("words"), "||", F("words"), SearchVectorField()), name="i"
    ),
}
POSTGRESQL_FIELDS = {
    "tags": ArrayField(models.CharField(max_length=9), default=list),
    "data": models.JSONField(default=dict),
    "words": SearchVectorField(null=True),
}


def index_for(case, name):
    index, needs = INDEXES[name]
    need(case.connection, *needs)
    if name == "collated":
        return Index(models.functions.Collate("name", COLLATIONS[case.vendor]), name="i")
    return index


@pytest.mark.parametrize("name", INDEXES)
def test_index_added_unchanged_removed(case, name):
    index = index_for(case, name)
    plan = case.update(indexed(), indexed(index), ROWS, changes=["Add index"])
    assert len(plan.statements) == 1
    case.run(indexed(index))
    plan = case.update(indexed(index), indexed(), changes=["Drop index"], built=True)
    assert len(plan.statements) == 1


@pytest.mark.django
@pytest.mark.parametrize("name", INDEXES)
def test_index_unchanged(case, name):
    case.unchanged(indexed(index_for(case, name)), ROWS)


@pytest.mark.django
@pytest.mark.parametrize("name", POSTGRESQL_INDEXES)
def test_postgresql_index(pg, name):
    before, after = indexed(**POSTGRESQL_FIELDS), indexed(POSTGRESQL_INDEXES[name], **POSTGRESQL_FIELDS)
    pg.unchanged(after, ROWS)
    pg.run(after)
    pg.update(after, before, changes=["Drop index"], built=True)
    pg.update(before, after, changes=["Add index"], built=True)


@pytest.mark.parametrize("name", POSTGRESQL_INDEXES)
def test_postgresql_index_over_retyped_columns(pg, name):
    if name in ("opclass", "opclass of expression"):
        pytest.skip("the operator class does not take the other type")
    index = POSTGRESQL_INDEXES[name]
    before = item(
        name=models.CharField(max_length=20),
        size=models.IntegerField(null=True),
        **POSTGRESQL_FIELDS,
        Meta={"indexes": [index]},
    )
    after = item(
        name=models.TextField(),
        size=models.BigIntegerField(null=True),
        **{**POSTGRESQL_FIELDS, "tags": ArrayField(models.TextField(), default=list)},
        Meta={"indexes": [index]},
    )
    pg.update(before, after, ROWS)


def test_bloom_index(pg):
    need(pg.connection, "extension bloom")
    pg.execute("CREATE EXTENSION bloom")
    bloom = pg_indexes.BloomIndex(fields=["size", "other"], length=80, columns=[2, 4], name="i")
    pg.unchanged(indexed(bloom, other=models.IntegerField(default=1)))


def test_trigram_index(pg):
    need(pg.connection, "extension pg_trgm")
    pg.execute("CREATE EXTENSION pg_trgm")
    index = pg_indexes.GinIndex(fields=["name"], opclasses=["gin_trgm_ops"], name="i")
    upper = pg_indexes.GistIndex(pg_indexes.OpClass(Upper("name"), name="gist_trgm_ops(siglen=32)"), name="j")
    pg.unchanged(indexed(index))
    pg.update(indexed(index), indexed(index, upper), ROWS, changes=["Add index"], built=True)


def test_btree_gist_and_gin_index(pg):
    need(pg.connection, "extension btree_gist", "extension btree_gin")
    pg.execute("CREATE EXTENSION btree_gist", "CREATE EXTENSION btree_gin")
    pg.unchanged(
        indexed(pg_indexes.GistIndex(fields=["size"], name="i"), pg_indexes.GinIndex(fields=["size"], name="j"))
    )


def test_storage_option_changed(pg):
    before = indexed(pg_indexes.BTreeIndex(fields=["name"], fillfactor=70, name="i"))
    after = indexed(pg_indexes.BTreeIndex(fields=["name"], fillfactor=80, name="i"))
    pg.run(before)
    pg.update(before, after, ROWS, changes=["Drop index", "Add index"], built=True)
    pg.update(
        after,
        indexed(pg_indexes.BTreeIndex(fields=["name"], name="i")),
        changes=["Drop index", "Add index"],
        built=True,
    )


def test_db_index_added_and_removed(case):
    def state(**options):
        return item(name=models.CharField(max_length=20, **options), size=models.IntegerField(**options))

    before, after = state(), state(db_index=True)
    added = ["Add index"] * (3 if case.vendor == "postgresql" else 2)
    case.update(before, after, ROWS, changes=added)
    case.update(after, before, built=True)


def test_db_index_becomes_unique(case):
    before = item(name=models.CharField(max_length=20, db_index=True))
    after = item(name=models.CharField(max_length=20, unique=True))
    case.update(before, after, {"Item": [{"name": "a"}]})
    case.update(after, before, built=True)


def test_index_renamed(case):
    before, after = indexed(Index(fields=["name"], name="old")), indexed(Index(fields=["name"], name="new"))
    case.update(before, after, ROWS, changes=["Rename index old of shop_item to new"])


def test_indexes_swap_names(case):
    one, two = Index(fields=["name"], name="one"), Index(fields=["size"], name="two")
    after = indexed(Index(fields=["name"], name="two"), Index(fields=["size"], name="one"))
    case.update(indexed(one, two), after, ROWS, changes=["Rename index", "Rename index"])


def test_indexes_swap_names_in_a_ring_of_three(case):
    need(case.connection, "ordered indexes")
    fields = (["name"], ["size"], ["-size"])
    before = indexed(*(Index(fields=f, name=n) for f, n in zip(fields, "abc", strict=True)))
    after = indexed(*(Index(fields=f, name=n) for f, n in zip(fields, "bca", strict=True)))
    case.update(before, after, ROWS, changes=["Rename index"] * 3)


def test_index_takes_the_name_of_another_that_goes(case):
    before = indexed(Index(fields=["name"], name="one"), Index(fields=["size"], name="two"))
    after = indexed(Index(fields=["size"], name="one"))
    case.update(before, after, ROWS)


def test_index_changed_under_its_name(case):
    before, after = indexed(Index(fields=["name"], name="i")), indexed(Index(fields=["size"], name="i"))
    case.update(before, after, ROWS, changes=["Drop index", "Add index"])


def test_index_under_the_old_generated_name_is_no_difference(case):
    state = item(name=models.IntegerField(db_index=True))
    case.build(state)
    (name,) = [index.name for index in case.introspect(["shop_item"]).tables["shop_item"].indexes]
    by_hand = {
        "postgresql": [f'ALTER INDEX "{name}" RENAME TO shop_item_old'],
        "mysql": [f'ALTER TABLE shop_item RENAME INDEX "{name}" TO shop_item_old'],
        "firebird": [f'DROP INDEX "{name}"', "CREATE INDEX shop_item_old ON shop_item (name)"],
        "sqlite": [f'DROP INDEX "{name}"', "CREATE INDEX shop_item_old ON shop_item (name)"],
    }
    case.execute(*by_hand[case.vendor])
    case.update(state, state, changes=[], built=True)


def test_two_equal_indexes_unchanged(case):
    case.unchanged(indexed(Index(fields=["name"], name="one"), Index(fields=["name"], name="two")))


def test_one_of_two_equal_indexes_removed(case):
    both = indexed(Index(fields=["name"], name="one"), Index(fields=["name"], name="two"))
    case.run(both)
    case.update(both, indexed(Index(fields=["name"], name="two")), changes=["Drop index"], built=True)
    names = [index.name for index in case.introspect(["shop_item"]).tables["shop_item"].indexes]
    assert names == ["two"]


def test_equal_index_in_meta_and_on_field(case):
    before = item(size=models.IntegerField(db_index=True))
    after = item(size=models.IntegerField(db_index=True), Meta={"indexes": [Index(fields=["size"], name="i")]})
    case.run(before)
    case.update(before, after, changes=["Add index"], built=True)
    case.update(after, before, changes=["Drop index"], built=True)


def test_index_together_with_its_new_column(case):
    before = item(name=models.TextField())
    after = indexed(Index("size", Lower("name"), name="i"))
    case.update(before, after, {"Item": [{"name": "a"}]})


def test_index_goes_with_its_column(case):
    before = indexed(Index(fields=["size", "name"], name="i"))
    after = item(name=models.CharField(max_length=20))
    case.run(before)
    case.update(before, after, {"Item": [{"name": "a"}]}, built=True)


def test_index_over_retyped_column_has_no_old_casts(case):
    need(case.connection, "conditions in indexes", "keys of text expressions")
    index = [
        Index(fields=["size"], condition=Q(name__in=["a", "b"]), name="i"),
        Index(Lower("name"), name="j"),
    ]
    before = item(name=models.CharField(max_length=20), size=models.IntegerField(), Meta={"indexes": index})
    after = item(name=models.TextField(), size=models.IntegerField(), Meta={"indexes": index})
    case.update(before, after, ROWS)
    case.update(after, before, built=True)


def test_handmade_index_kept_and_pruned(case):
    state = indexed(Index(fields=["name"], name="i"))
    case.run(state)
    case.execute("CREATE INDEX by_hand ON shop_item (size)")
    plan = case.update(state, state, ROWS, changes=[], built=True, exact=False)
    assert any("by_hand" in line for line in plan.foreign)
    case.update(state, state, changes=["Drop index"], built=True, prune=True)


def test_handmade_index_with_expression_survives_retyping(case):
    need(case.connection, "expressions in handmade indexes")
    before, after = (
        item(name=models.CharField(max_length=20)),
        item(name=models.TextField(), size=models.IntegerField(default=1)),
    )
    case.run(before)
    case.execute("CREATE INDEX by_hand ON shop_item (lower(name)) WHERE name <> 'x'")
    case.update(before, after, {"Item": [{"name": "a"}]}, built=True, exact=False)
    assert "by_hand" in [i.name for i in case.introspect(["shop_item"]).tables["shop_item"].indexes]


def test_handmade_index_in_the_way_of_a_named_one(case):
    before, after = indexed(), indexed(Index(fields=["name"], name="i"))
    case.run(before)
    case.execute("CREATE INDEX i ON shop_item (size)")
    case.update(before, after, ROWS, changes=["Drop index", "Add index"], built=True)


def test_invalid_index_made_anew(pg):
    state = indexed(Index(fields=["name"], name="i"))
    pg.run(state)
    pg.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass")
    pg.update(state, state, ROWS, changes=["Drop index", "Add index"], built=True)


def test_storage_option_set_by_hand_is_no_difference(pg):
    state = indexed(Index(fields=["name"], name="i"))
    pg.build(state)
    pg.execute("ALTER INDEX i SET (fillfactor = 50)")
    pg.update(state, state, ROWS, changes=[], built=True, exact=False)


def test_index_of_long_names(case):
    need(case.connection, "names of 60 characters", "unique texts")
    column = "a" * 60
    state = State(Item={"name": models.CharField(max_length=9, db_index=True, db_column=column)})
    case.unchanged(state)
    case.run(state)
    case.update(state, State(Item={"name": models.TextField(unique=True, db_column=column)}), built=True)


def test_index_renamed_and_its_column_retyped(case):
    need(case.connection, "keys of text expressions")

    def state(name, index):
        return item(
            name=name,
            Meta={
                "indexes": [models.Index(Lower("name"), condition=Q(name__in=["a", "b"]), name=index)],
                "constraints": [models.CheckConstraint(condition=Q(name__in=["a", "b"]), name=f"{index}_c")],
            },
        )

    before, after = state(models.CharField(max_length=9), "old"), state(models.TextField(), "new")
    case.run(before)
    case.update(before, after, {"Item": [{"name": "a"}]}, built=True)


def test_equal_stale_indexes_keep_their_names(case):
    need(case.connection, "conditions in indexes")
    indexes = [Index(fields=["size"], condition=Q(name="a"), name=name) for name in ("one", "two")]
    before = item(name=models.CharField(max_length=9), size=models.IntegerField(), Meta={"indexes": indexes})
    after = item(name=models.TextField(), size=models.IntegerField(), Meta={"indexes": indexes})
    case.update(before, after, ROWS)


def test_field_index_stands_where_another_takes_its_name(case):
    before = item(name=models.IntegerField(), size=models.IntegerField(), Meta={"indexes": [Index("name", name="i")]})
    after = item(
        name=models.IntegerField(db_index=True),
        size=models.IntegerField(),
        Meta={"indexes": [Index(fields=["size"], name="i")]},
    )
    case.update(before, after)
    case.update(after, before, built=True)
