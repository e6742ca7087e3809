"""`autoupdate --online` on MariaDB and MySQL: each ALTER TABLE names its algorithm, and nobody waits for long."""

import pytest
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from tests.acceptance.helper import Case, State, item

pytestmark = pytest.mark.timeout(180)

NAME = models.CharField(max_length=20)
NULLABLE = models.CharField(max_length=20, null=True)
SIZE = models.IntegerField()
VALUES = [{"name": "a", "size": 1}, {"name": "b", "size": 2}, {"name": "c", "size": 3}]
PLAIN = {"name": NAME, "size": SIZE}


@pytest.fixture(params=["mariadb", "mysql"])
def case(request):
    return Case(request.getfixturevalue(request.param), "automigrate")


def with_index(index):
    return {**PLAIN, "Meta": {"indexes": [index]}}


def generated(persist):
    return models.GeneratedField(expression=F("size") * 2, output_field=models.IntegerField(), db_persist=persist)


INSTANT, BESIDE, COPY = "ALGORITHM=INSTANT", "LOCK=NONE", "ALGORITHM=COPY"
#: Whatever lets others write.
ANY = None
#: Models before and after, and the orders of the statements.
CASES = {
    "Column": (PLAIN, {**PLAIN, "more": models.IntegerField(null=True)}, [INSTANT]),
    "Required": (PLAIN, {**PLAIN, "more": models.IntegerField(default=7)}, [INSTANT, INSTANT]),
    "Default": (PLAIN, {**PLAIN, "more": models.IntegerField(db_default=7)}, [INSTANT]),
    "Moment": (PLAIN, {**PLAIN, "at": models.DateTimeField(db_default=Now())}, ANY),
    "Text": (PLAIN, {**PLAIN, "text": models.TextField(default="it's")}, ANY),
    "Dropped": ({**PLAIN, "gone": models.IntegerField(null=True)}, PLAIN, ANY),
    "Index": (PLAIN, with_index(models.Index(fields=["size"], name="i")), [BESIDE]),
    "NoIndex": (with_index(models.Index(fields=["size"], name="i")), PLAIN, [BESIDE]),
    "OtherIndex": (
        with_index(models.Index(fields=["size"], name="i")),
        with_index(models.Index(fields=["name"], name="i")),
        [BESIDE],
    ),
    "RenamedIndex": (
        with_index(models.Index(fields=["size"], name="i")),
        with_index(models.Index(fields=["size"], name="j")),
        ANY,
    ),
    "UniqueField": (PLAIN, {"name": NAME, "size": models.IntegerField(unique=True)}, [BESIDE]),
    "Unique": (
        PLAIN,
        {**PLAIN, "Meta": {"constraints": [models.UniqueConstraint(fields=["name", "size"], name="u")]}},
        [BESIDE],
    ),
    "Check": (
        PLAIN,
        {**PLAIN, "Meta": {"constraints": [models.CheckConstraint(condition=Q(size__gt=0), name="c")]}},
        [COPY],
    ),
    "NotNull": ({"name": NULLABLE, "size": SIZE}, PLAIN, [BESIDE]),
    "Null": (PLAIN, {"name": NULLABLE, "size": SIZE}, [BESIDE]),
    "Wider": (PLAIN, {"name": models.CharField(max_length=30), "size": SIZE}, ANY),
    "Narrower": (PLAIN, {"name": models.CharField(max_length=10), "size": SIZE}, [COPY]),
    "Number": (PLAIN, {"name": NAME, "size": models.BigIntegerField()}, [COPY]),
    "Comment": (PLAIN, {"name": models.CharField(max_length=20, db_comment="x"), "size": SIZE}, [INSTANT]),
    "Computed": (PLAIN, {**PLAIN, "twice": generated(persist=False)}, [INSTANT]),
    "Stored": (PLAIN, {**PLAIN, "twice": generated(persist=True)}, [COPY]),
    # Together these would copy the table, on one of the servers or on both.
    "ComputedAndColumn": (
        PLAIN,
        {**PLAIN, "twice": generated(persist=False), "more": models.IntegerField(null=True)},
        ANY,
    ),
    "ComputedAndNotNull": (
        {"name": NULLABLE, "size": SIZE},
        {**PLAIN, "twice": generated(persist=False)},
        [INSTANT, BESIDE],
    ),
}
BEFORE = State(**{name: before for name, (before, *_) in CASES.items()})
AFTER = State(**{name: after for name, (_, after, _) in CASES.items()})


@pytest.fixture
def filled(case):
    case.build(BEFORE)
    case.insert(BEFORE, dict.fromkeys(CASES, VALUES))
    return case


def test_orders(filled):
    """The server takes them for tables with rows too, and the tables are what an ordinary run makes of them."""
    plan = filled.plan(AFTER, online=True)
    for name, (_, _, orders) in CASES.items():
        altered = [step.sql for step in plan.online if step.sql.startswith(f"ALTER TABLE `shop_{name.lower()}`")]
        if orders is ANY:
            assert altered and all(INSTANT in sql or BESIDE in sql for sql in altered), altered
        else:
            assert len(altered) == len(orders), altered
            assert all(order in sql for order, sql in zip(orders, altered, strict=True)), altered
    kept = filled.survivors(BEFORE)
    done = filled.run_as_planned(AFTER, online=True)
    assert done.statements == plan.statements
    filled.assert_survived(kept, plan, set())
    filled.assert_settled(AFTER)


def test_what_others_would_wait_for(filled):
    """Above the limit it is refused, and the change is named that is to blame."""
    plan = filled.plan(AFTER, online=True, rewrite_limit=2)
    reasons = {judgement.change.table: judgement.hazards for judgement in plan.refused}
    assert sorted(reasons) == ["shop_check", "shop_narrower", "shop_number", "shop_stored"]
    assert {hazard.code for hazards in reasons.values() for hazard in hazards} == {"rewrites-table"}
    assert "copies the table while writes wait (3 rows)" in reasons["shop_number"][0].message
    assert "--rewrite-limit" in reasons["shop_number"][0].advice


def test_the_change_to_blame_among_others(case):
    before = item(**PLAIN)
    after = item(name=NULLABLE, size=models.BigIntegerField(), more=models.IntegerField(null=True))
    case.build(before)
    case.insert(before, {"Item": VALUES})
    (judgement,) = case.plan(after, online=True, rewrite_limit=2).refused
    assert judgement.change.new.name == "size"
    case.run(after, online=True)
    case.assert_settled(after)
