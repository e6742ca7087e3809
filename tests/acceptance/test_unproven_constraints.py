"""Constraints that PostgreSQL 18 does not hold the rows to: NOT ENFORCED, and NOT NULL that is NOT VALID."""

import pytest
from django.db import models
from django.db.models import Q

from tests.acceptance.helper import State, item
from tests.features import need

NAME = models.CharField(max_length=20)
SIZE = models.IntegerField(null=True)


@pytest.fixture
def case(pg):
    need(pg.connection, "unproven constraints")
    return pg


def checked(name="c"):
    check = models.CheckConstraint(condition=Q(size__gt=0), name=name)
    return item(name=NAME, size=SIZE, Meta={"constraints": [check]})


def pointing(**options):
    return State(
        Group={"name": NAME},
        Item={"name": NAME, "group": models.ForeignKey("Group", models.CASCADE, null=True, **options)},
    )


def unenforce(case, table, condition="true"):
    """Have the server not care about the table's constraints, under the names that they have."""
    found = case.query(
        f"SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = '{table}'::regclass "
        f"AND contype IN ('c', 'f') AND {condition}"
    )
    assert found
    for name, definition in found:
        definition = definition.replace(" NOT VALID", "")
        case.execute(
            f'ALTER TABLE {table} DROP CONSTRAINT "{name}"',
            f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition} NOT ENFORCED',
        )


def test_check_not_enforced(case):
    state = checked()
    case.build(state)
    unenforce(case, "shop_item")
    case.update(
        state, state, {"Item": [{"size": 1}]}, changes=["Drop unenforced check (size > 0)", "Add check"], built=True
    )


def test_check_not_enforced_and_violated(case):
    state = checked()
    case.build(state)
    unenforce(case, "shop_item")
    plan = case.refused(state, state, {"Item": [{"size": 0}, {"size": 1}]}, "violators", built=True)
    assert plan


def test_check_of_a_field_not_enforced(case):
    state = item(size=models.PositiveIntegerField())
    case.build(state)
    unenforce(case, "shop_item")
    case.refused(state, state, {"Item": [{"size": -1}]}, "violators", built=True)
    case.execute("UPDATE shop_item SET size = 1")
    case.update(state, state, built=True)


def test_hand_made_check_not_enforced_stays(case):
    state = item(name=NAME, size=models.IntegerField(null=True))
    case.build(state)
    case.execute("ALTER TABLE shop_item ADD CONSTRAINT mine CHECK (size > 0) NOT ENFORCED")
    case.run(state)
    after = item(name=NAME, size=models.BigIntegerField(null=True))
    case.update(state, after, {"Item": [{"size": -1}]}, built=True, exact=False)
    assert case.query("SELECT conenforced FROM pg_constraint WHERE conname = 'mine'") == [(False,)]
    case.update(after, after, changes=["Drop unenforced check"], built=True, prune=True)


def test_check_wanted_beside_a_hand_made_one_not_enforced(case):
    case.build(item(name=NAME, size=SIZE))
    case.execute("ALTER TABLE shop_item ADD CONSTRAINT mine CHECK (size > 0) NOT ENFORCED")
    case.update(item(name=NAME, size=SIZE), checked(), {"Item": [{"size": 1}]}, built=True, exact=False)


@pytest.mark.parametrize("on_delete", [None, getattr(models, "DB_CASCADE", None)])
def test_foreign_key_not_enforced(case, on_delete):
    state = pointing()
    if on_delete:
        state = State(
            Group={"name": NAME}, Item={"name": NAME, "group": models.ForeignKey("Group", on_delete, null=True)}
        )
    case.build(state)
    unenforce(case, "shop_item")
    rows = {"Group": [{"name": "a"}], "Item": [{"group_id": 1}]}
    case.update(state, state, rows, changes=["Drop unenforced foreign key", "Add foreign key"], built=True)


def test_foreign_key_not_enforced_with_orphans(case):
    state = pointing()
    case.build(state)
    unenforce(case, "shop_item")
    case.refused(state, state, {"Item": [{"group_id": 7}]}, "orphans", built=True)


def test_foreign_keys_of_a_many_to_many_table_not_enforced(case):
    state = State(Tag={"name": NAME}, Item={"name": NAME, "tags": models.ManyToManyField("Tag")})
    case.build(state)
    unenforce(case, "shop_item_tags")
    case.refused(state, state, {"Item.tags": [{"item_id": 7, "tag_id": 8}]}, "orphans", "orphans", built=True)
    case.execute("DELETE FROM shop_item_tags")
    case.update(state, state, {"Tag": [{"name": "t"}], "Item": [{"name": "i"}]}, built=True)


def test_foreign_key_not_enforced_whose_type_changes(case):
    before = State(
        Group={"code": models.IntegerField(primary_key=True)},
        Item={"group": models.ForeignKey("Group", models.CASCADE)},
    )
    after = State(
        Group={"code": models.BigIntegerField(primary_key=True)},
        Item={"group": models.ForeignKey("Group", models.CASCADE)},
    )
    case.build(before)
    unenforce(case, "shop_item")
    case.update(before, after, {"Group": [{"code": 1}], "Item": [{"group_id": 1}]}, built=True)


def test_foreign_key_without_constraint_is_not_made(case):
    state = pointing(db_constraint=False)
    case.build(state)
    case.update(state, state, {"Item": [{"group_id": 7}]}, changes=[], built=True)


# NOT NULL


def half_required(case, rows, field=NAME, **more):
    """Tables of a model whose column had NULLs when the server was told to forbid them."""
    optional = field.clone()
    optional.null = True
    before = item(name=optional, **more)
    case.build(before)
    case.insert(before, {"Item": rows})
    case.execute("ALTER TABLE shop_item ADD CONSTRAINT told NOT NULL name NOT VALID")
    return before, item(name=field, **more)


def test_not_null_not_valid_over_values(case):
    before, after = half_required(case, [{"name": "a"}])
    case.update(before, after, changes=["Change column shop_item.name: forbid NULL"], built=True)


def test_not_null_not_valid_over_nulls(case):
    before, after = half_required(case, [{"name": "a"}, {"name": None}])
    case.refused(before, after, {}, "null-values", built=True)
    case.update(before, before, changes=["Change column shop_item.name: allow NULL"], built=True)


@pytest.mark.parametrize("default", ["x", lambda: "y"], ids=["constant", "per row"])
@pytest.mark.parametrize("other", [models.IntegerField(null=True), models.IntegerField(default=lambda: 7)])
def test_not_null_not_valid_is_filled(case, default, other):
    field = models.CharField(max_length=20, default=default)
    before, _ = half_required(case, [{"name": "a"}, {"name": None}], field, size=models.IntegerField(null=True))
    after = item(name=field, size=other, more=models.IntegerField(default=lambda: 8))
    case.update(before, after, altered=["shop_item.name", "shop_item.size"], built=True)
    assert sorted(case.values("shop_item", "name")) == sorted([("a",), (default if default == "x" else "y",)])


def test_not_null_not_valid_of_another_type(case):
    before, _ = half_required(case, [{"name": "1"}, {"name": None}])
    case.refused(before, item(name=models.IntegerField()), {}, "null-values", built=True)
    case.update(before, item(name=models.IntegerField(default=2)), altered=["shop_item.name"], built=True)


def test_withheld_column_whose_not_null_is_not_valid(case):
    before, _ = half_required(case, [{"name": "a"}, {"name": None}], size=SIZE)
    case.update(before, item(size=SIZE), withheld=["Drop column shop_item.name"], built=True)
    case.insert(item(size=SIZE), {"Item": [{"size": 1}]})
