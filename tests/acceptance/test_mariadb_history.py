"""System-versioned tables of MariaDB: the rows of their history are values like others."""

import uuid

import pytest
from django.core.management import CommandError, call_command
from django.db import models

from automigrate_ext import automigrate, autoupdate, is_actual
from automigrate_ext.api import rows_at_stake
from tests.acceptance.helper import Case, State, item

NAME = models.CharField(max_length=20, null=True)
SIZE = models.IntegerField(null=True)
BEFORE = item(name=NAME, size=SIZE)
BOTH = State(Item={"name": NAME, "size": SIZE}, Box={"name": NAME})


@pytest.fixture
def case(mariadb):
    return Case(mariadb, "automigrate")


@pytest.fixture
def keeping(case):
    """The case, in a session that may alter the history."""
    case.execute("SET SESSION system_versioning_alter_history = KEEP")
    yield case
    case.execute("SET SESSION system_versioning_alter_history = DEFAULT")


def version(case, state=BEFORE, *, period="", rows=(("long name", 7),)):
    """Make the tables, version that of items, and move rows into its history."""
    case.build(state)
    case.execute(f"ALTER TABLE shop_item {period} ADD SYSTEM VERSIONING")
    for name, size in rows:
        with case.connection.cursor() as cursor:
            cursor.execute("INSERT INTO shop_item (name, size) VALUES (%s, %s)", [name, size])
            cursor.execute("DELETE FROM shop_item")


PERIODS = {
    "hidden": "",
    "declared": "ADD COLUMN `from` timestamp(6) GENERATED ALWAYS AS ROW START, "
    "ADD COLUMN `until` timestamp(6) GENERATED ALWAYS AS ROW END, ADD PERIOD FOR SYSTEM_TIME (`from`, `until`),",
}


@pytest.mark.parametrize("period", PERIODS)
def test_versioned_table_is_no_difference(case, period):
    version(case, period=PERIODS[period])
    assert is_actual(using=case.alias, apps=BEFORE.apps)
    assert not case.run(BEFORE)


@pytest.mark.parametrize("period", PERIODS)
def test_table_with_rows_in_its_history_alone_is_withheld(case, period):
    case.run(BOTH)
    version(case, BOTH, period=PERIODS[period])
    case.run(BOTH)
    after = State(Box={"name": NAME})
    plan = case.run(after)
    assert [hazard.rows for judgement in plan.withheld for hazard in judgement.hazards] == [1]
    assert is_actual(using=case.alias, apps=after.apps)
    assert case.query("SELECT name FROM shop_item FOR SYSTEM_TIME ALL") == [("long name",)]
    case.run(after, accept_data_loss=True)
    assert case.introspect(["shop_item"]).get("shop_item") is None


@pytest.mark.parametrize("period", PERIODS)
def test_column_with_values_in_the_history_alone_is_withheld(keeping, period):
    case = keeping
    version(case, period=PERIODS[period])
    after = item(name=NAME)
    plan = case.run(after)
    assert [hazard.rows for judgement in plan.withheld for hazard in judgement.hazards] == [1]
    assert is_actual(using=case.alias, apps=after.apps)
    assert case.query("SELECT size FROM shop_item FOR SYSTEM_TIME ALL") == [(7,)]
    case.run(after, accept_data_loss=True)
    case.assert_settled(after)


def test_column_renamed_beside_history(keeping):
    case = keeping
    version(case)
    after = item(title=NAME)
    plan = case.run(after, renames={"shop_item.name": "title"})
    assert [judgement.change.old.name for judgement in plan.withheld] == ["size"]
    assert case.query("SELECT title, size FROM shop_item FOR SYSTEM_TIME ALL") == [("long name", 7)]


def test_cast_that_the_history_does_not_survive(keeping):
    version(keeping)
    after = item(name=models.CharField(max_length=4, null=True), size=SIZE)
    keeping.refused(BEFORE, after, {}, "alters-values", built=True)
    after = item(name=models.IntegerField(null=True), size=SIZE)
    keeping.refused(BEFORE, after, {}, "cast-fails", built=True)


def test_null_in_the_history_forbids_a_required_column(keeping):
    version(keeping, rows=[(None, 1)])
    after = item(name=models.CharField(max_length=20, default="x"), size=SIZE)
    keeping.refused(BEFORE, after, {}, "unable", built=True)
    keeping.execute("DELETE HISTORY FROM shop_item")
    keeping.update(BEFORE, after, built=True)


def test_required_column_is_not_invented_for_the_history(keeping):
    version(keeping)
    keeping.refused(BEFORE, item(name=NAME, size=SIZE, more=models.IntegerField()), {}, "required-column", built=True)
    after = item(name=NAME, size=SIZE, more=models.IntegerField(default=4))
    keeping.update(BEFORE, after, built=True)
    assert keeping.query("SELECT more FROM shop_item FOR SYSTEM_TIME ALL") == [(4,)]


def test_value_for_each_row_beside_history(keeping):
    version(keeping)
    keeping.insert(BEFORE, {"Item": [{"name": "a"}, {"name": "b"}]})
    after = item(name=NAME, size=SIZE, more=models.UUIDField(default=uuid.uuid4))
    with pytest.raises(Exception, match="rows of its history would have no value"):
        keeping.run(after)
    after = item(name=NAME, size=SIZE, more=models.UUIDField(default=uuid.uuid4, null=True))
    keeping.update(BEFORE, after, built=True)


@pytest.mark.parametrize("period", PERIODS)
def test_key_over_rows_that_ended_together(keeping, period):
    version(keeping, period=PERIODS[period], rows=[("a", 1), ("a", 2)])
    after = item(name=models.CharField(max_length=20, null=True, unique=True), size=SIZE)
    keeping.update(BEFORE, after, built=True)
    keeping.update(after, BEFORE, built=True)
    keeping.insert(BEFORE, {"Item": [{"name": "a"}, {"name": "a"}]})
    keeping.execute("DELETE FROM shop_item")
    keeping.refused(BEFORE, after, {}, "unable", built=True)


CHANGES = {
    "new column": item(name=NAME, size=SIZE, more=models.IntegerField(null=True)),
    "other type": item(name=NAME, size=models.BigIntegerField(null=True)),
    "less": item(name=NAME),
    "comment": item(name=models.CharField(max_length=20, null=True, db_comment="x"), size=SIZE),
    "unique": item(name=NAME, size=models.IntegerField(null=True, unique=True)),
    "check": item(name=NAME, size=models.PositiveIntegerField(null=True)),
    "required": item(name=NAME, size=models.IntegerField(default=1)),
}
ALLOWED = {
    "index": item(name=NAME, size=models.IntegerField(null=True, db_index=True)),
    "named check": State(
        Item={
            "name": NAME,
            "size": SIZE,
            "Meta": {"constraints": [models.CheckConstraint(condition=models.Q(size__gt=0), name="positive")]},
        }
    ),
    "table comment": State(Item={"name": NAME, "size": SIZE, "Meta": {"db_table_comment": "x"}}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_that_the_server_does_not_allow_is_refused_beforehand(case, change):
    version(case, rows=[(None, None)])
    after = CHANGES[change]
    plan = case.refused(BEFORE, after, {}, *(["unable"] * (2 if change == "check" else 1)), built=True)
    assert "system_versioning_alter_history" in plan.refused[0].hazards[0].message
    case.execute("SET SESSION system_versioning_alter_history = KEEP", "DELETE HISTORY FROM shop_item")
    try:
        case.update(BEFORE, after, built=True)
    finally:
        case.execute("SET SESSION system_versioning_alter_history = DEFAULT")


@pytest.mark.parametrize("change", ALLOWED)
def test_change_that_the_history_has_no_part_in(case, change):
    version(case)
    case.update(BEFORE, ALLOWED[change], built=True)
    case.update(ALLOWED[change], BEFORE, built=True)


def test_unique_key_goes_without_further_ado(case):
    before = CHANGES["unique"]
    version(case, before)
    case.update(before, BEFORE, built=True)


def test_other_models_can_be_named(case):
    version(case, BOTH)
    after = State(
        Item={"name": NAME, "size": SIZE, "more": SIZE}, Box={"name": models.CharField(max_length=40, null=True)}
    )
    with pytest.raises(Exception, match="name only the models"):
        case.run(after)
    assert autoupdate("Box", using=case.alias, apps=after.apps)


def test_automigrate_counts_the_history(case):
    version(case)
    assert rows_at_stake(using=case.alias, apps=BEFORE.apps) == {"shop_item": 1}
    automigrate(using=case.alias, apps=BEFORE.apps)
    assert case.query("SELECT count(*) FROM shop_item") == [(0,)]


def test_many_to_many_table_with_history(case):
    both = State(Tag={"name": NAME}, Item={"name": NAME, "tags": models.ManyToManyField("Tag")})
    case.run(both)
    case.execute("ALTER TABLE shop_item_tags ADD SYSTEM VERSIONING")
    case.insert(both, {"Tag": [{}], "Item": [{}], "Item.tags": [{"item_id": 1, "tag_id": 1}]})
    case.execute("DELETE FROM shop_item_tags")
    after = State(Tag={"name": NAME}, Item={"name": NAME})
    plan = case.run(after)
    assert [judgement.change.table for judgement in plan.withheld] == ["shop_item_tags"]
    assert case.query("SELECT count(*) FROM shop_item_tags FOR SYSTEM_TIME ALL") == [(1,)]
    assert is_actual(using=case.alias, apps=after.apps)


def test_command_refuses_with_the_way_out(mariadb):
    autoupdate("todo", using=mariadb.alias)
    with mariadb.cursor() as cursor:
        cursor.execute("ALTER TABLE todo_todo ADD SYSTEM VERSIONING")
        cursor.execute("ALTER TABLE todo_todolist DROP COLUMN color")
        cursor.execute("SET SESSION system_versioning_alter_history = KEEP")
        cursor.execute("ALTER TABLE todo_todo DROP COLUMN title")
        cursor.execute("SET SESSION system_versioning_alter_history = DEFAULT")
    with pytest.raises(CommandError, match="init_command") as caught:
        call_command("autoupdate", "todo", database=mariadb.alias, verbosity=0)
    assert caught.value.returncode == 2
    call_command("autoupdate", "todo.TodoList", database=mariadb.alias, verbosity=0)
