"""Constraints: unique, check, exclusion; added, dropped, renamed, changed; stale casts renewed."""

import pytest
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, IntegerRangeField, RangeOperators
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Length, Lower

from tests.acceptance.helper import State, item
from tests.features import need

Unique = models.UniqueConstraint
ROWS = {"Item": [{"name": "a", "size": 1}, {"name": "b", "size": 2}]}


def constrained(*constraints, **meta):
    return item(
        name=models.CharField(max_length=20),
        size=models.IntegerField(null=True),
        Meta={"constraints": list(constraints), **meta},
    )


def check(condition, name="c"):
    return models.CheckConstraint(condition=condition, name=name)


CONSTRAINTS = {
    "unique": (Unique(fields=["name"], name="u"), ()),
    "unique of two": (Unique(fields=["size", "name"], name="u"), ()),
    "unique partial": (Unique(fields=["name"], condition=Q(size__gt=1), name="u"), ("partial indexes",)),
    "unique expression": (Unique(Lower("name"), name="u"), ("expression indexes",)),
    "unique expressions": (Unique(Lower("name").desc(), "size", name="u"), ("expression indexes",)),
    "unique expression partial": (
        Unique(Lower("name"), condition=Q(size=1), name="u"),
        ("expression indexes", "partial indexes"),
    ),
    "unique deferred": (
        Unique(fields=["name"], deferrable=models.Deferrable.DEFERRED, name="u"),
        ("deferrable uniques",),
    ),
    "unique deferrable": (
        Unique(fields=["name"], deferrable=models.Deferrable.IMMEDIATE, name="u"),
        ("deferrable uniques",),
    ),
    "unique covering": (Unique(fields=["name"], include=["size"], name="u"), ("covering indexes",)),
    "unique covering partial": (
        Unique(fields=["name"], include=["size"], condition=Q(size=1), name="u"),
        ("covering indexes",),
    ),
    "unique opclass": (
        Unique(fields=["name"], opclasses=["varchar_pattern_ops"], name="u"),
        ("postgresql",),
    ),
    "unique nulls not distinct": (
        Unique(fields=["size"], nulls_distinct=False, name="u"),
        ("nulls distinct",),
    ),
    "unique nulls not distinct partial": (
        Unique(fields=["size"], nulls_distinct=False, condition=Q(name="a"), name="u"),
        ("nulls distinct",),
    ),
    "unique nulls distinct": (Unique(fields=["size"], nulls_distinct=True, name="u"), ("nulls distinct",)),
    "check": (check(Q(size__gt=0)), ()),
    "check of two": (check(Q(size__gt=0) | Q(name="x")), ()),
    "check in list": (check(Q(name__in=["a", "b", "it's 100%"])), ("any text as a value",)),
    "check of columns": (check(Q(size__lt=F("id") + 1000)), ["numbered columns in expressions"]),
    "check of function": (check(models.lookups.GreaterThan(Length("name"), 0)), ()),
    "check lookup": (check(Q(name__startswith="a") | Q(name__contains="b")), ()),
    "check range": (check(Q(size__range=(0, 10))), ()),
    "check between nulls": (check(Q(size__isnull=True) | Q(size__gte=-5)), ()),
}


@pytest.mark.django
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraint_unchanged(case, name):
    constraint, needs = CONSTRAINTS[name]
    need(case.connection, *needs)
    case.unchanged(constrained(constraint), ROWS)


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraint_added_and_removed(case, name):
    constraint, needs = CONSTRAINTS[name]
    need(case.connection, *needs, *(["checks that are seen"] if "check" in name else []))
    case.update(constrained(), constrained(constraint), ROWS, changes=["Add"])
    case.update(constrained(constraint), constrained(), changes=["Drop"], built=True)


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraint_over_retyped_columns(case, name):
    constraint, needs = CONSTRAINTS[name]
    need(case.connection, *needs, "checks that are seen" if "check" in name else "unique texts")
    if name == "unique opclass":
        pytest.skip("the operator class belongs to the type")
    before = constrained(constraint)
    after = item(name=models.TextField(), size=models.BigIntegerField(null=True), Meta={"constraints": [constraint]})
    case.update(before, after, ROWS)
    case.update(after, before, built=True)


def test_constraint_renamed(case):
    need(case.connection, "texts of checks")
    before = constrained(check(Q(size__gt=0), "old_c"), Unique(fields=["name"], name="old_u"))
    after = constrained(check(Q(size__gt=0), "new_c"), Unique(fields=["name"], name="new_u"))
    case.update(
        before,
        after,
        ROWS,
        changes=[
            "Rename check old_c of shop_item to new_c",
            "Rename unique old_u of shop_item to new_u",
        ],
    )


def test_constraints_swap_names(case):
    need(case.connection, "texts of checks")
    before = constrained(check(Q(size__gt=0), "a"), check(Q(size__lt=9), "b"))
    after = constrained(check(Q(size__gt=0), "b"), check(Q(size__lt=9), "a"))
    case.update(before, after, ROWS, changes=["Rename", "Rename"])


def test_unique_and_index_swap_names(case):
    before = constrained(Unique(fields=["name"], name="a"), indexes=[models.Index(fields=["size"], name="b")])
    after = constrained(Unique(fields=["name"], name="b"), indexes=[models.Index(fields=["size"], name="a")])
    case.update(before, after, ROWS)


def test_partial_uniques_swap_names(case):
    before = constrained(
        Unique(fields=["name"], condition=Q(size=1), name="a"),
        Unique(fields=["name"], condition=Q(size=2), name="b"),
    )
    after = constrained(
        Unique(fields=["name"], condition=Q(size=1), name="b"),
        Unique(fields=["name"], condition=Q(size=2), name="a"),
    )
    case.update(before, after, ROWS)


def test_constraint_changed_under_its_name(case):
    need(case.connection, "texts of checks")
    before = constrained(check(Q(size__gt=0)), Unique(fields=["name"], name="u"))
    after = constrained(check(Q(size__gt=-1)), Unique(fields=["name", "size"], name="u"))
    case.update(before, after, ROWS, changes=["Drop", "Drop", "Add", "Add"])


def test_unique_constraint_becomes_index_of_that_name(case):
    before = constrained(Unique(fields=["name"], name="u"))
    after = constrained(indexes=[models.Index(fields=["name"], name="u")])
    case.update(before, after, ROWS)
    case.update(after, before, built=True)


def test_unique_constraint_becomes_partial_and_back(case):
    need(case.connection, "partial indexes")
    before = constrained(Unique(fields=["name"], name="u"))
    after = constrained(Unique(fields=["name"], condition=Q(size=1), name="u"))
    case.update(before, after, ROWS)
    case.update(after, before, built=True)


def test_unique_together_set_changed_cleared(case):
    none = constrained()
    first = constrained(unique_together={("name", "size")})
    second = constrained(unique_together={("size", "name")})
    both = constrained(unique_together={("size", "name"), ("name", "id")})
    case.build(none)
    case.insert(none, ROWS)
    for before, after in ((none, first), (first, second), (second, both), (both, none)):
        case.update(before, after, built=True)


def test_unique_together_becomes_constraint(case):
    before = constrained(unique_together={("name", "size")})
    after = constrained(Unique(fields=["name", "size"], name="u"))
    case.update(before, after, ROWS)
    case.update(after, before, built=True)


def test_index_takes_the_name_of_a_unique_that_goes(case):
    before = constrained(Unique(fields=["name"], name="u"), indexes=[models.Index(fields=["size"], name="i")])
    after = constrained(indexes=[models.Index(fields=["size"], name="u")])
    case.run(before)
    case.update(before, after, ROWS, changes=["Drop unique", "Rename index"], built=True)


def test_unique_over_the_primary_key_unchanged(case):
    need(case.connection, "several constraints on the same columns")
    case.unchanged(constrained(Unique(fields=["id"], name="u")), ROWS)
    case.update(constrained(Unique(fields=["id"], name="u")), constrained(), built=True)


def test_index_takes_the_name_of_a_unique_over_the_primary_key(case):
    need(case.connection, "several constraints on the same columns")
    before = constrained(Unique(fields=["id"], name="u"))
    after = constrained(indexes=[models.Index(fields=["size"], name="u")])
    case.update(before, after, ROWS)
    case.update(after, before, built=True)


def test_unique_field_stands_where_an_index_takes_the_name(case):
    need(case.connection, "expression indexes")
    before = constrained(Unique(fields=["size"], name="u"))
    after = item(
        name=models.CharField(max_length=20),
        size=models.IntegerField(null=True, unique=True),
        Meta={"constraints": [Unique(Lower("name"), name="u")]},
    )
    case.update(before, after, ROWS)
    case.update(after, before, built=True)


def test_unique_set_and_cleared(case):
    before = item(name=models.CharField(max_length=20), size=models.IntegerField(unique=True))
    after = item(name=models.CharField(max_length=20, unique=True), size=models.IntegerField())
    case.update(before, after, ROWS)
    case.update(after, before, built=True)


def test_unique_beside_equal_constraint(case):
    need(case.connection, "several constraints on the same columns")

    def state(*constraints, unique=True):
        return item(name=models.CharField(max_length=20, unique=unique), Meta={"constraints": list(constraints)})

    constraint = Unique(fields=["name"], name="u")
    rows = {"Item": [{"name": "a"}]}
    case.unchanged(state(constraint), rows)
    case.run(state(constraint))
    case.update(state(constraint), state(), built=True)
    case.update(state(), state(constraint), built=True)
    case.update(state(constraint), state(constraint, unique=False), built=True)


def test_positive_check_set_and_cleared(case):
    before, after = item(size=models.IntegerField()), item(size=models.PositiveIntegerField())
    rows = {"Item": [{"size": 1}]}
    case.update(before, after, rows)
    case.update(after, before, built=True)


def test_positive_beside_equal_check(case):
    condition = check(Q(size__gte=0))
    case.unchanged(item(size=models.PositiveIntegerField(), Meta={"constraints": [condition]}))


def test_check_names_a_new_column(case):
    after = item(
        name=models.CharField(max_length=20),
        size=models.IntegerField(null=True),
        cost=models.IntegerField(default=1),
        Meta={"constraints": [check(Q(cost__gt=F("size") - 10)), Unique(fields=["name", "cost"], name="u")]},
    )
    case.update(constrained(), after, ROWS)


def test_constraints_go_with_their_columns(case):
    need(case.connection, "checks that are seen")
    before = constrained(check(Q(size__gt=0) | Q(name="z")), Unique(fields=["name", "size"], name="u"))
    after = item(name=models.CharField(max_length=20))
    case.run(before)
    case.update(before, after, ROWS, built=True, accept_data_loss=True)


def test_handmade_constraint_kept_and_pruned(case):
    need(case.connection, "checks that are seen")
    state = constrained()
    if case.vendor == "sqlite":
        case.execute(
            'CREATE TABLE "shop_item" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, '
            '"name" varchar(20) NOT NULL, "size" integer NULL, CONSTRAINT by_hand CHECK (size < 100))'
        )
    else:
        case.run(state)
        case.execute("ALTER TABLE shop_item ADD CONSTRAINT by_hand CHECK (size < 100)")
    plan = case.update(state, state, ROWS, changes=[], built=True, exact=False)
    assert any("by_hand" in line for line in plan.foreign)
    after = item(name=models.TextField(), size=models.BigIntegerField(null=True))
    case.update(state, after, built=True, exact=False)
    assert any("by_hand" in line for line in case.plan(after).foreign)
    case.update(after, after, changes=["Drop check"], built=True, prune=True)


def test_not_null_constraints_of_postgresql_18_unchanged(pg):
    state = item(name=models.CharField(max_length=20))
    pg.run(state)
    pg.update(state, item(name=models.CharField(max_length=20, null=True)), built=True)
    pg.update(state, state, changes=["Change column shop_item.name: forbid NULL"], built=True)


def test_constraint_not_valid_by_hand(pg):
    state = constrained(check(Q(size__gt=0)))
    pg.run(state)
    pg.execute(
        "ALTER TABLE shop_item DROP CONSTRAINT c",
        "ALTER TABLE shop_item ADD CONSTRAINT c CHECK (size > 0) NOT VALID",
    )
    pg.update(state, state, built=True)


def exclusion(name="e", **options):
    expressions = options.pop("expressions", [("span", RangeOperators.OVERLAPS)])
    return ExclusionConstraint(name=name, expressions=expressions, **options)


EXCLUSIONS = {
    "range": exclusion(),
    "partial": exclusion(condition=Q(cancelled=False)),
    "deferred": exclusion(deferrable=models.Deferrable.DEFERRED),
    "spgist": exclusion(index_type="SPGIST"),
    "included": exclusion(include=["cancelled"]),
    "opclass": exclusion(
        expressions=[
            (models.F("span"), RangeOperators.ADJACENT_TO),
        ]
    ),
}


def booking(*constraints, span=None):
    return State(
        Item={
            "span": span or IntegerRangeField(null=True),
            "cancelled": models.BooleanField(default=False),
            "Meta": {"constraints": list(constraints)},
        }
    )


@pytest.mark.parametrize("name", EXCLUSIONS)
def test_exclusion_constraint(pg, name):
    constraint = EXCLUSIONS[name]
    rows = {"Item": [{"span": (1, 3)}, {"span": (5, 8)}]}
    pg.unchanged(booking(constraint), rows)
    pg.run(booking(constraint))
    pg.update(booking(constraint), booking(), changes=["Drop exclusion"], built=True)
    pg.update(booking(), booking(constraint), changes=["Add exclusion"], built=True)


def test_exclusion_constraint_of_room_and_time(pg):
    need(pg.connection, "extension btree_gist")
    pg.execute("CREATE EXTENSION btree_gist")
    constraint = exclusion(
        expressions=[("room", RangeOperators.EQUAL), ("span", RangeOperators.OVERLAPS)],
        condition=Q(room__gt=0),
    )

    def state(room):
        return State(Item={"room": room, "span": DateTimeRangeField(), "Meta": {"constraints": [constraint]}})

    pg.unchanged(state(models.IntegerField()))
    pg.update(state(models.IntegerField()), state(models.BigIntegerField()), built=True)


def test_exclusion_constraint_renamed(pg):
    pg.run(booking(exclusion("old")))
    pg.update(booking(exclusion("old")), booking(exclusion("new")), changes=["Rename exclusion"], built=True)
