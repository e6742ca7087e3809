"""Going over to migrations is warned of as long as the database keeps what no migration has."""

import pytest
from django.db import models

from automigrate_ext import automigrate
from tests.acceptance.helper import State

NAME = models.CharField(max_length=20)
SIZE = models.IntegerField(null=True)


@pytest.fixture
def route():
    """The tables come to be in one way: the record is the same."""
    return "automigrate"


def warnings(case, state, **options):
    """Run with migrations recorded, and return the lines about what is kept."""
    lines = []
    case.run(state, record_migrations=True, notify=lines.append, **options)
    return [line for line in lines if line.startswith("Kept")]


def state(item=None, **others):
    return State(Item={"name": NAME, "tags": models.ManyToManyField("Tag"), **(item or {})}, Tag={}, **others)


def test_kept_columns_and_tables_are_warned_of_until_they_are_dropped(case):
    before, after = state({"size": SIZE}, Note={"text": NAME}), state()
    case.build(before)
    assert warnings(case, before) == []
    case.insert(before, {"Item": [{"name": "a", "size": 1}], "Note": [{"text": "b"}]})
    for _ in range(2):  # as it is kept, and while nothing else is to be done
        (line,) = warnings(case, after)
        assert "column shop_item.size" in line and "table shop_note" in line
        assert "--accept-data-loss" in line
    (line,) = warnings(case, state({"more": SIZE}))
    assert "column shop_item.size" in line
    case.run(after)
    assert warnings(case, after, accept_data_loss=True) == []
    assert warnings(case, after) == []


def test_columns_made_by_hand_are_warned_of(case):
    case.build(state())
    case.execute('ALTER TABLE shop_item ADD COLUMN "by_hand" integer')
    (line,) = warnings(case, state())
    assert "column shop_item.by_hand" in line
    assert warnings(case, state(), prune=True) == []


def test_empty_columns_and_tables_made_anew_are_not_warned_of(case):
    before = state({"size": SIZE}, Note={"text": NAME})
    case.build(before)
    assert warnings(case, state()) == []
    lines = []
    automigrate(using=case.alias, apps=before.apps, record_migrations=True, notify=lines.append)
    assert not [line for line in lines if line.startswith("Kept")]
