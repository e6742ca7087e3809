"""Tables come, go, change as a whole; what has a model's table name and is no table is an error."""

import pytest
from django.db import models

from automigrate_ext import AutomigrateError, ShadowedTable
from tests.acceptance.helper import State, item
from tests.features import need

NAME = models.CharField(max_length=20)


def test_table_created(case):
    after = State(Item={"name": NAME}, Note={"text": models.TextField()})
    plan = case.update(item(name=NAME), after, {"Item": [{"name": "a"}]}, changes=["Create table shop_note"])
    assert not any("shop_item" in statement for statement in plan.statements)


@pytest.mark.django
def test_table_unchanged(case):
    case.unchanged(item(name=NAME), {"Item": [{"name": "a"}]})


def test_table_without_fields_unchanged(case):
    case.unchanged(item())


def test_table_created_from_nothing(case):
    case.update(State(), item(name=NAME), changes=["Create table shop_item"])


def test_table_empty_and_recorded_dropped(case):
    both = State(Item={"name": NAME}, Note={"text": models.TextField()})
    case.run(both)
    case.update(both, item(name=NAME), changes=["Drop table shop_note"], built=True)
    assert "shop_note" not in case.backend.table_names()


def test_table_never_recorded_kept(case):
    both = State(Item={"name": NAME}, Note={"text": models.TextField()})
    case.route = "syncdb"
    case.update(both, item(name=NAME), changes=[])
    assert "shop_note" in case.backend.table_names()


def test_table_with_rows_withheld_then_dropped(case):
    both = State(Item={"name": NAME}, Note={"text": models.TextField()})
    one = item(name=NAME)
    case.run(both)
    rows = {"Note": [{"text": "a"}, {"text": "b"}]}
    plan = case.update(both, one, rows, changes=[], withheld=["Drop table shop_note"], built=True)
    (hazard,) = plan.withheld[0].hazards
    assert hazard.rows == 2
    assert "accept_data_loss" in hazard.remedy
    assert case.values("shop_note", "text") == [("a",), ("b",)]
    case.update(one, one, changes=["Drop table shop_note"], built=True, accept_data_loss=True)
    assert "shop_note" not in case.backend.table_names()


def test_tables_of_a_cycle_dropped(case):
    cycle = State(
        Egg={"hen": models.ForeignKey("Hen", models.CASCADE, null=True)},
        Hen={"egg": models.ForeignKey("Egg", models.CASCADE, null=True)},
    )
    case.run(cycle)
    case.update(cycle, State(), changes=["Drop table shop_egg", "Drop table shop_hen"], built=True)


def test_table_with_quoted_schema(case):
    need(case.connection, "schemas")
    case.execute("CREATE SCHEMA store")
    meta = {"db_table": '"store"."item"', "indexes": [models.Index(fields=["name"], name="item_name")]}
    before = State(
        Item={"name": models.CharField(max_length=20, unique=True), "Meta": meta},
        Note={"item": models.ForeignKey("Item", models.CASCADE)},
    )
    after = State(
        Item={
            "name": models.TextField(unique=True),
            "size": models.IntegerField(default=1, db_index=True),
            "Meta": {**meta, "indexes": []},
        },
        Note={"item": models.ForeignKey("Item", models.CASCADE)},
    )
    case.unchanged(before, {"Item": [{"name": "a"}]})
    plan = case.update(before, after, built=True)
    assert plan
    case.update(after, before, built=True, accept_data_loss=True)


def test_table_in_quoted_schema_does_not_meet_its_namesake(case):
    need(case.connection, "schemas")
    case.execute("CREATE SCHEMA store")
    state = State(
        Item={"name": NAME, "Meta": {"db_table": '"store"."item"'}},
        Other={"size": models.IntegerField(), "Meta": {"db_table": "item"}},
    )
    case.unchanged(state, {"Item": [{"name": "a"}], "Other": [{"size": 1}]})


@pytest.mark.parametrize("name", ["Item", "select", "with space", "ünï", "a" * 60])
def test_table_with_an_odd_name(case, name):
    need(case.connection, *(["names of 60 characters", "names of checks"] if len(name) == 60 else []))
    before = item(name=NAME, Meta={"db_table": name})
    after = item(
        name=models.CharField(max_length=30, unique=True),
        size=models.PositiveIntegerField(default=1),
        Meta={"db_table": name},
    )
    case.update(before, after, {"Item": [{"name": "a"}]})


@pytest.mark.parametrize("column", ["Name", "select", "with space", "naïve", "a" * 60])
def test_column_with_an_odd_name(case, column):
    need(case.connection, *(["names of 60 characters"] if len(column) == 60 else []))
    before = item(name=models.CharField(max_length=20, db_column=column))
    after = item(
        name=models.CharField(max_length=30, unique=True, db_column=column),
        size=models.PositiveIntegerField(default=1, db_column=f"{column[:50]}2"),
    )
    case.update(before, after, {"Item": [{"name": "a"}]})


def test_table_shadowed_by_a_view(case):
    need(case.connection, "views of nothing")
    case.execute("CREATE VIEW shop_item AS SELECT 1 AS id")
    with pytest.raises(ShadowedTable, match=r"'shop_item' is (not a table but )?a view"):
        case.run(item(name=NAME))
    with pytest.raises(ShadowedTable):
        case.plan(item(name=NAME))


def test_table_shadowed_by_a_materialised_view(case):
    need(case.connection, "materialised views")
    case.execute("CREATE MATERIALIZED VIEW shop_item AS SELECT 1 AS id")
    with pytest.raises(ShadowedTable, match="materialised view"):
        case.run(item(name=NAME))


def test_table_claimed_by_two_models(case):
    state = State(A={"Meta": {"db_table": "same"}}, B={"Meta": {"db_table": "same"}})
    with pytest.raises(AutomigrateError, match=r"shop\.A and shop\.B both have the table 'same'"):
        case.plan(state)


def test_unmanaged_and_proxy_models_passed_over(case):
    state = State(
        Item={"name": NAME},
        Outside={"name": NAME, "Meta": {"managed": False}},
        Kind={"bases": ["Item"], "Meta": {"proxy": True}},
    )
    case.update(State(), state, changes=["Create table shop_item"])


def test_order_with_respect_to_added_and_removed(case):
    item_field = models.ForeignKey("Item", models.CASCADE)
    before = State(Item={"name": NAME}, Line={"item": item_field})
    after = State(Item={"name": NAME}, Line={"item": item_field, "Meta": {"order_with_respect_to": "item"}})
    rows = {"Item": [{"name": "a"}], "Line": [{"item_id": 1}, {"item_id": 1}]}
    case.update(before, after, rows, changes=["Add column shop_line._order"])
    assert case.values("shop_line", "_order") == [(0,), (0,)]
    case.update(after, before, changes=["Drop column shop_line._order"], built=True, accept_data_loss=True)


def test_multi_table_inheritance_added(case):
    before = State(Item={"name": NAME})
    after = State(Item={"name": NAME}, Book={"bases": ["Item"], "pages": models.IntegerField()})
    case.update(before, after, {"Item": [{"name": "a"}]}, changes=["Create table shop_book"])


def test_multi_table_inheritance_changed(case):
    before = State(Item={"name": NAME}, Book={"bases": ["Item"], "pages": models.IntegerField()})
    after = State(
        Item={"name": models.TextField()},
        Book={"bases": ["Item"], "pages": models.BigIntegerField(null=True)},
    )
    case.unchanged(before)
    case.update(before, after, {"Book": [{"name": "a", "pages": 1}]}, built=True)


def test_multi_table_inheritance_key_of_parent_retyped(case):
    def state(key):
        return State(
            Item={"id": key, "name": NAME},
            Book={"bases": ["Item"], "pages": models.IntegerField()},
            Novel={"bases": ["Book"]},
        )

    before, after = state(models.AutoField(primary_key=True)), state(models.BigAutoField(primary_key=True))
    case.update(before, after, {"Novel": [{"name": "a", "pages": 1}]})


def test_tablespace_changed(case):
    need(case.connection, "tablespaces")
    # "pg_global" cannot be used and no directory may be assumed: the default one, by its name, is no difference.
    state = item(name=NAME, Meta={"db_tablespace": "pg_default"})
    case.unchanged(state)
    case.update(state, item(name=NAME), changes=[], built=True)


def test_empty_table_dropped_at_which_a_kept_table_points(case):
    both = State(
        Item={"name": NAME},
        Shelf={},
        Note={"shelf": models.ForeignKey("Shelf", models.CASCADE, null=True)},
    )
    case.run(both)
    case.update(
        both,
        item(name=NAME),
        {"Note": [{"shelf_id": None}]},
        changes=["Drop table shop_shelf"],
        withheld=["Drop table shop_note"],
        built=True,
    )
    case.update(item(name=NAME), item(name=NAME), built=True, accept_data_loss=True)


def test_table_at_which_an_outside_table_points_kept(case):
    both = State(Item={"name": NAME}, Shelf={})
    case.run(both)
    kind = "integer" if case.vendor == "sqlite" else "bigint"
    case.execute(f"CREATE TABLE outside (shelf {kind} REFERENCES shop_shelf (id))")
    plan = case.update(both, item(name=NAME), changes=[], withheld=["Drop table shop_shelf"], built=True)
    assert "outside" in str(plan.withheld[0].hazards[0])
    case.execute("DROP TABLE outside")
    case.update(both, item(name=NAME), changes=["Drop table shop_shelf"], built=True)


def test_key_retyped_at_which_a_kept_table_points(case):
    need(case.connection, "foreign keys between types")

    def state(pk, **more):
        return State(Shelf={"id": pk}, **more)

    note = {"shelf": models.ForeignKey("Shelf", models.CASCADE, null=True)}
    before = state(models.IntegerField(primary_key=True), Note=note)
    after = state(models.CharField(max_length=9, primary_key=True))
    case.run(before)
    rows = {"Shelf": [{"id": 5}], "Note": [{"shelf_id": 5}]}
    case.update(before, after, rows, withheld=["Drop table shop_note"], built=True)
