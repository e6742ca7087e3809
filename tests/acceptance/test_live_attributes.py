"""Attributes that somebody set by SQL outlive the changes of other things, and so do the values under them."""

import datetime
import uuid

import pytest
from django.db import models

from tests.acceptance.helper import Case, item

WHEN = datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


@pytest.fixture
def maria(mariadb):
    return Case(mariadb, "automigrate")


# MariaDB: columns that follow each UPDATE

FILLS = {
    "constant": (models.IntegerField(null=True), models.IntegerField(default=7)),
    "a row each": (models.UUIDField(null=True), models.UUIDField(default=uuid.uuid4)),
    "retyped": (models.IntegerField(null=True), models.CharField(max_length=9, default="x")),
    "cut": (models.CharField(max_length=9, default="long text"), models.CharField(max_length=4, default="x")),
    "written down": (
        models.GeneratedField(expression=models.F("size") + 1, output_field=models.IntegerField(), db_persist=False),
        models.IntegerField(null=True),
    ),
    "new, a row each": (None, models.UUIDField(default=uuid.uuid4)),
}


@pytest.mark.parametrize(("old", "new"), FILLS.values(), ids=FILLS)
@pytest.mark.parametrize("kind", ["datetime(6) NULL", "datetime(6) NOT NULL DEFAULT now(6)", "timestamp(6) NOT NULL"])
def test_column_that_follows_updates_keeps_its_values(maria, kind, old, new):
    fields = {"size": models.IntegerField(), "at": models.DateTimeField(null=True)}
    before, after = item(**fields, **({"value": old} if old else {})), item(**fields, value=new)
    maria.build(before)
    maria.execute(
        f'ALTER TABLE shop_item ADD "by hand" {kind} ON UPDATE current_timestamp(6)',
        'ALTER TABLE shop_item MODIFY "at" datetime(6) NULL DEFAULT NULL ON UPDATE current_timestamp(6)',
    )
    maria.insert(before, {"Item": [{"size": 1, "at": WHEN}, {"size": 2, "at": WHEN}]})
    maria.execute("UPDATE shop_item SET \"by hand\" = '2020-01-01 00:00:00', at = at")
    assert maria.run(after, accept_data_loss=True)
    then = datetime.datetime(2020, 1, 1)
    assert maria.values("shop_item", "by hand", "at") == [(then, WHEN.replace(tzinfo=None))] * 2
    assert not maria.plan(after)
