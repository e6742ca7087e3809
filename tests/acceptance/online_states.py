"""Models before and after a run with everything that an online run does, for processes that are killed meanwhile."""

import os
import signal
import sys
import threading
import uuid
from collections import Counter

from django.db import connections, models
from django.db.models import Q
from django.db.models.functions import Random

from automigrate_ext import autoupdate
from tests.acceptance.helper import State

TEXT = models.CharField(max_length=20)

BEFORE = State(
    Group={"name": TEXT, "hits": models.IntegerField(default=0)},
    Tag={"code": models.IntegerField(primary_key=True), "other": models.IntegerField(), "hits": models.IntegerField()},
    Item={
        "name": models.CharField(max_length=20, null=True),
        "size": models.IntegerField(null=True),
        "code": models.CharField(max_length=20, db_index=True),
        "label": models.CharField(max_length=20, null=True),
        "gone": models.IntegerField(null=True, unique=True),
        "group": models.ForeignKey("Group", models.CASCADE, db_constraint=False),
        "Meta": {"constraints": [models.UniqueConstraint(fields=["code"], name="u")]},
    },
    Old={"name": TEXT},
)
#: Models with which those before can go on writing: what they do not name has a default, or is optional.
AFTER = State(
    Group={
        "name": TEXT,
        "hits": models.IntegerField(default=0),
        "rank": models.IntegerField(default=3),
        "token": models.UUIDField(default=uuid.uuid4, unique=True),
    },
    Tag={
        "code": models.IntegerField(),
        "other": models.IntegerField(primary_key=True),
        "hits": models.BigIntegerField(),
    },
    Item={
        "name": models.CharField(max_length=30, default="x"),
        "size": models.IntegerField(default=lambda: 5),
        "code": models.CharField(max_length=20),
        "title": models.CharField(max_length=20, null=True),
        "group": models.ForeignKey("Group", models.CASCADE),
        "rank": models.IntegerField(db_default=3),
        "chance": models.FloatField(db_default=Random()),
        "maybe": models.UUIDField(default=uuid.uuid4, null=True),
        "Meta": {
            "constraints": [
                models.UniqueConstraint(fields=["code", "size"], name="u"),
                models.UniqueConstraint(fields=["code"], name="v", deferrable=models.Deferrable.DEFERRED),
                models.CheckConstraint(condition=Q(size__gt=0), name="c"),
            ],
            "indexes": [models.Index(fields=["name"], name="i")],
        },
    },
    New={"item": models.ForeignKey("Item", models.CASCADE)},
)
RENAMES = {"shop_item.label": "title"}
CHANGES = ("ALTER ", "CREATE ", "DROP ", "UPDATE ", "COMMENT ")
#: Seconds after which the process dies that is killed during a statement.
MEANWHILE = 0.002


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run(number: int, during: str = "") -> None:
    """Make a run; die before the statement of this number that changes something, or while it runs.

    Of the batches that fill a column only the first two count, as their number depends on what is written meanwhile.
    """
    sent: list[str] = []
    batches: Counter[str] = Counter()

    def kill_at(execute, sql, params, many, context):
        is_tried = context["connection"].savepoint_ids or "pg_temp" in sql
        if sql.startswith(CHANGES) and not is_tried and "automigrate_ext" not in sql:
            what = sql.split(" = ")[0] if sql.startswith("UPDATE ") else sql
            batches[what] += 1
            if batches[what] > 2:
                return execute(sql, params, many, context)
            sent.append(what)
            if len(sent) == number:
                if not during:
                    die()
                threading.Timer(MEANWHILE, die).start()
        return execute(sql, params, many, context)

    with connections["default"].execute_wrapper(kill_at):
        autoupdate(apps=AFTER.apps, online=True, batch_size=15, renames=RENAMES)
    print(*sent, sep="\n", file=sys.stdout)
