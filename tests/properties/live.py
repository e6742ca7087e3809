"""The models whose live tables are mutated by SQL, their rows, and the changes of the models that follow."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

from django.db import models
from django.db.models import F, Q

from tests.acceptance.helper import State

WHEN = datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
#: What another change is made of: columns that no mutation touches.
BYSTANDERS = {
    "other": models.CharField(max_length=10),
    "tally": models.IntegerField(),
    "former": models.IntegerField(null=True),
    "spare": models.IntegerField(null=True),
    "gone": models.IntegerField(null=True),
}
# A strict table of SQLite can have these types.
OF_LOG = {**BYSTANDERS, "other": models.IntegerField(), "tally": models.IntegerField()}


def retyped(fields: dict[str, Any]) -> None:
    """Give two columns other types."""
    if isinstance(fields["other"], models.CharField):
        fields |= {"other": models.CharField(max_length=30), "tally": models.BigIntegerField()}
    else:
        fields["other"] = models.FloatField()


def renamed(fields: dict[str, Any]) -> None:
    """Give a column another name."""
    fields["later"] = fields.pop("former")


def filled(fields: dict[str, Any]) -> None:
    """Have a column forbid NULL, for which rows get a value."""
    fields["spare"] = models.IntegerField(default=7)


def added(fields: dict[str, Any]) -> None:
    """Add a column with a default of the database."""
    fields["added"] = models.IntegerField(db_default=5)


def dropped(fields: dict[str, Any]) -> None:
    """Drop a column that holds nothing."""
    del fields["gone"]


#: Changes of columns that mutations are about, by name: the columns and what they become.
OTHERS: dict[str, dict[str, models.Field]] = {
    "weight is wider": {"weight": models.BigIntegerField()},
    "name is longer": {"name": models.CharField(max_length=40)},
    "name is any text": {"name": models.TextField()},
    "size is wider": {"size": models.BigIntegerField()},
    "note is required": {"note": models.TextField(default="")},
    "made is required": {"made": models.DateTimeField(default=WHEN)},
    "told may be NULL": {"told": models.IntegerField(null=True)},
    "level has no default": {"level": models.IntegerField()},
    "level has another default": {"level": models.IntegerField(db_default=4)},
    "coded is compared otherwise": {"coded": models.CharField(max_length=9)},
    "tag has no index": {"tag": models.CharField(max_length=9)},
    "tag is unique": {"tag": models.CharField(max_length=9, unique=True)},
    "price has more digits": {"price": models.DecimalField(max_digits=12, decimal_places=3)},
    "positive may be negative": {"positive": models.IntegerField()},
    "flag is a number": {"flag": models.SmallIntegerField()},
    "total is computed otherwise": {
        "total": models.GeneratedField(expression=F("size") * 3, output_field=models.IntegerField(), db_persist=True)
    },
    "shelf is required": {
        "shelf": models.ForeignKey("Shelf", models.CASCADE, to_field="code", related_name="+", default="a")
    },
    "shelf without a key": {
        "shelf": models.ForeignKey(
            "Shelf", models.CASCADE, null=True, to_field="code", related_name="+", db_constraint=False
        )
    },
}
CHANGES = {"retyped": retyped, "renamed": renamed, "filled": filled, "added": added, "dropped": dropped}
TABLES = {"shop_item": "Item", "shop_log": "Log"}


def state(*changes: str, of: tuple[str, ...] = ("Item", "Log"), vendor: str = "", **more: models.Field) -> State:
    """Return the models, after some of the changes to each of the named ones; `more` are fields of Item."""
    bystanders = {"Item": dict(BYSTANDERS), "Log": dict(OF_LOG)}
    for name in of:
        for change in changes:
            CHANGES[change](bystanders[name])
    comment = {"db_comment": "as declared"} if vendor != "sqlite" else {}
    binary = {"sqlite": "BINARY", "postgresql": "C", "mysql": "utf8mb4_bin"}.get(vendor, "C")
    item = {
        "name": models.CharField(max_length=20),
        "size": models.IntegerField(),
        "price": models.DecimalField(max_digits=9, decimal_places=2),
        "weight": models.IntegerField(),
        "note": models.TextField(null=True),
        "made": models.DateTimeField(null=True),
        "flag": models.BooleanField(default=False),
        "level": models.IntegerField(db_default=3),
        "told": models.IntegerField(**comment),
        "total": models.GeneratedField(expression=F("size") * 2, output_field=models.IntegerField(), db_persist=True),
        "coded": models.CharField(max_length=9, db_collation=binary),
        "tag": models.CharField(max_length=9, db_index=True),
        "positive": models.PositiveIntegerField(),
        "shelf": models.ForeignKey("Shelf", models.CASCADE, null=True, to_field="code", related_name="+"),
        "shelves": models.ManyToManyField("Shelf", related_name="+"),
    }
    meta = {
        "indexes": [models.Index(fields=["weight"], name="by_weight")],
        "constraints": [
            models.UniqueConstraint(fields=["name", "size"], name="one_name"),
            models.CheckConstraint(condition=Q(weight__gte=0), name="weight_check"),
        ],
    }
    return State(
        Shelf={"code": models.CharField(max_length=9, unique=True), "rank": models.IntegerField(null=True)},
        Item={**item, **more, **bystanders["Item"], "Meta": meta},
        Log={"text": models.TextField(), "number": models.IntegerField(), **bystanders["Log"]},
    )


ROWS = {
    "Shelf": [{"code": "a"}, {"code": "b", "rank": 1}],
    "Item": [
        {
            "name": name,
            "size": size,
            "price": decimal.Decimal("1234567.89"),
            "weight": size,
            "note": "a\x01 😀",
            "made": WHEN,
            "flag": True,
            "told": size,
            "coded": name,
            "tag": name,
            "positive": size,
            "shelf_id": "a",
            "other": "0123456789",
            "tally": 2147483647,
            "former": size,
        }
        for name, size in (("one", 1), ("Two", 2))
    ],
    "Log": [{"text": text, "number": 1, "other": 8, "tally": -1, "former": 4} for text in ("é", "f", "g")],
}
