"""A key that changes its type takes all that points at it along, also where only its model was named."""

import pytest
from django.db import models

from automigrate_ext import autoupdate, is_actual
from tests.acceptance.helper import State

KEYS = {
    "integer": models.AutoField(primary_key=True),
    "bigint": models.BigAutoField(primary_key=True),
    "text": models.CharField(max_length=12, primary_key=True),
}


def state(key):
    return State(
        Tag={"id": KEYS[key]},
        Sub={"bases": ["Tag"], "note": models.CharField(max_length=5)},
        Item={
            "tag": models.ForeignKey("shop.Tag", models.CASCADE, null=True, related_name="+"),
            "sub": models.OneToOneField("shop.Sub", models.CASCADE, null=True, related_name="+"),
            "tags": models.ManyToManyField("shop.Tag", related_name="+"),
            "name": models.CharField(max_length=5, null=True),
        },
    )


def fill(case):
    case.execute(
        "INSERT INTO shop_tag (id) VALUES (1)",
        "INSERT INTO shop_sub (tag_ptr_id, note) VALUES (1, 'a')",
        "INSERT INTO shop_item (id, tag_id, sub_id) VALUES (1, 1, 1)",
        "INSERT INTO shop_item_tags (item_id, tag_id) VALUES (1, 1)",
    )


@pytest.mark.parametrize("labels", [None, "shop.Tag"])
@pytest.mark.parametrize(("old", "new"), [("integer", "bigint"), ("integer", "text"), ("text", "integer")])
def test_key_type_is_carried_through_every_reference(case, old, new, labels):
    before, after = state(old), state(new)
    case.build(before)
    fill(case)
    autoupdate(labels, using=case.alias, apps=after.apps)
    assert is_actual(using=case.alias, apps=after.apps)
    # SQLite keeps integers alike, whatever the width that a reference declares.
    case.assert_settled(after, exact=not (case.vendor == "sqlite" and new == "bigint"))
    one = "1" if new == "text" else 1
    assert case.values("shop_item", "tag_id", "sub_id") == [(one, one)]
    assert case.values("shop_item_tags", "tag_id") == [(one,)]


def test_nothing_else_of_a_table_that_was_not_named_is_touched(case):
    before, after = state("integer"), state("text")
    after["Item"]._meta.get_field("name").max_length = 50
    case.build(before)
    fill(case)
    autoupdate("shop.Tag", using=case.alias, apps=after.apps)
    assert is_actual("shop.Tag", using=case.alias, apps=after.apps)
    assert not is_actual("shop.Item", using=case.alias, apps=after.apps)
