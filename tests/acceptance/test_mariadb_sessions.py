"""Settings of a session, or of the server, that would keep a run on MariaDB from reading or filling all rows."""

import uuid
from contextlib import contextmanager

import pytest
from django.db import models

from automigrate_ext import automigrate, is_actual
from automigrate_ext.api import rows_at_stake
from tests.acceptance.helper import Case, State, item

NAME = models.CharField(max_length=20, null=True)
SIZE = models.IntegerField(null=True)
BEFORE = State(Shelf={"name": NAME}, Item={"name": NAME, "size": SIZE})
ROWS = {
    "Shelf": [{"name": str(number)} for number in range(30)],
    "Item": [{"name": str(number), "size": number % 5 or None} for number in range(40)],
}
SETTINGS = {
    "join size": "SET SESSION max_join_size = 5, SESSION sql_big_selects = 0",
    "safe updates": "SET SESSION sql_safe_updates = 1",
    "select limit": "SET SESSION sql_select_limit = 2",
    "all": "SET SESSION max_join_size = 5, SESSION sql_big_selects = 0, SESSION sql_safe_updates = 1, "
    "SESSION sql_select_limit = 2, SESSION check_constraint_checks = 0, SESSION sql_auto_is_null = 1",
}
READ = (
    "SELECT @@max_join_size, @@sql_big_selects, @@sql_safe_updates, @@sql_select_limit, @@check_constraint_checks, "
    "@@sql_auto_is_null"
)
RESET = (
    "SET SESSION max_join_size = DEFAULT, SESSION sql_big_selects = DEFAULT, SESSION sql_safe_updates = DEFAULT, "
    "SESSION sql_select_limit = DEFAULT, SESSION check_constraint_checks = DEFAULT, SESSION sql_auto_is_null = 0"
)


@pytest.fixture
def case(mariadb):
    case = Case(mariadb, "automigrate")
    case.build(BEFORE)
    case.insert(BEFORE, ROWS)
    return case


@contextmanager
def limited(case, settings):
    """Have such settings while the block runs, which leaves them as they are."""
    case.execute(SETTINGS[settings])
    before = case.query(READ)
    yield
    assert case.query(READ) == before
    case.execute(RESET)


@pytest.mark.parametrize("settings", SETTINGS)
def test_rows_are_filled(case, settings):
    after = State(
        Shelf={"name": NAME},
        Item={
            "name": NAME,
            "size": models.IntegerField(default=9),
            "key": models.UUIDField(default=uuid.uuid4),
            "shelf": models.ForeignKey("Shelf", models.CASCADE, default=1),
        },
    )
    with limited(case, settings):
        case.run(after)
        assert is_actual(using=case.alias, apps=after.apps)
    assert case.query("SELECT count(*), count(DISTINCT `key`), sum(size = 9) FROM shop_item") == [(40, 40, 8)]


NOT_ALLOWED = {
    "duplicates": models.IntegerField(null=True, unique=True),
    "null-values": models.IntegerField(),
    "orphans": models.ForeignKey("Shelf", models.CASCADE, null=True, db_column="size"),
    "cast-fails": models.PositiveIntegerField(null=True),
}


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("code", NOT_ALLOWED)
def test_what_rows_do_not_allow_is_counted(case, settings, code):
    case.execute("UPDATE shop_item SET size = -1 WHERE size = 4")
    after = State(Shelf={"name": NAME}, Item={"name": NAME, "size": NOT_ALLOWED[code]})
    with limited(case, settings):
        plan = case.plan(after)
    found = {hazard.code: hazard.rows for judgement in plan.refused for hazard in judgement.hazards}
    assert found[code] == {"duplicates": 4, "null-values": 8, "orphans": 8, "cast-fails": 8}[code]


@pytest.mark.parametrize("settings", SETTINGS)
def test_drops_and_rebuilds(case, settings):
    after = item(name=NAME)
    with limited(case, settings):
        plan = case.run(after)
        assert rows_at_stake(using=case.alias, apps=BEFORE.apps) == {"shop_shelf": 30, "shop_item": 40}
        automigrate(using=case.alias, apps=BEFORE.apps)
    assert {hazard.rows for judgement in plan.withheld for hazard in judgement.hazards} == {30, 32}
