"""Hand-made checks, indexes, defaults and generated columns over a column whose type changes on PostgreSQL."""

import pytest
from django.db import models

from tests.acceptance.helper import State, item


@pytest.fixture
def case(pg):
    return pg


class MoodField(models.CharField):
    """A field of an enumerated type."""

    def db_type(self, connection):
        return "mood"

    def db_parameters(self, connection):
        return {"type": "mood", "check": None, "collation": None}


ENUM = ("CREATE TYPE mood AS ENUM ('glad', 'sad')",)
MOOD, TEXT, NUMBER = MoodField(max_length=9), models.CharField(max_length=20), models.IntegerField()
MOMENT = models.DateTimeField()

#: What an administrator made over a column, the types before and after, and how the refusal names it.
UNFIT = {
    "check over an enum": (
        MOOD, TEXT, "ALTER TABLE shop_item ADD CONSTRAINT c CHECK (kind <> 'sad'::mood)", "check constraint c",
    ),
    "check not valid": (
        MOOD, TEXT, "ALTER TABLE shop_item ADD CONSTRAINT c CHECK (kind <> 'sad') NOT VALID", "check constraint c",
    ),
    "partial index over an enum": (
        MOOD, TEXT, "CREATE INDEX i ON shop_item (other) WHERE kind = 'sad'", "index i",
    ),
    "partial unique index, quoted": (
        MOOD, TEXT, """CREATE UNIQUE INDEX "an ""i" ON shop_item (kind) WHERE kind = 'sad'""", 'index an "i',
    ),
    "generated column": (
        MOOD, TEXT,
        "ALTER TABLE shop_item ADD COLUMN g boolean GENERATED ALWAYS AS (kind = 'sad') STORED", "generated column g",
    ),
    "exclusion": (
        MOOD, TEXT,
        "ALTER TABLE shop_item ADD CONSTRAINT x EXCLUDE (other WITH =) WHERE (kind = 'sad')", "exclusion constraint x",
    ),
    "operator class": (TEXT, NUMBER, "CREATE INDEX i ON shop_item (kind varchar_pattern_ops)", "index i"),
    "check of a number": (
        NUMBER, TEXT, "ALTER TABLE shop_item ADD CONSTRAINT c CHECK (kind > 0)", "check constraint c",
    ),
    "check of two columns": (
        NUMBER, TEXT, "ALTER TABLE shop_item ADD CONSTRAINT c CHECK (kind > other)", "check constraint c",
    ),
    "no order": (TEXT, models.JSONField(), "CREATE INDEX i ON shop_item USING hash (kind varchar_ops)", "index i"),
    "default": (TEXT, NUMBER, "ALTER TABLE shop_item ALTER kind SET DEFAULT '7'", "default '7'::character varying"),
}  # fmt: skip

FIT = {
    "check of a text": (
        TEXT, models.TextField(), "ALTER TABLE shop_item ADD CONSTRAINT c CHECK (kind IN ('sad', 'glad', '7'))",
    ),
    "check of a number": (
        NUMBER, models.BigIntegerField(), "ALTER TABLE shop_item ADD CONSTRAINT c CHECK (kind > other)",
    ),
    "partial index": (NUMBER, models.FloatField(), "CREATE INDEX i ON shop_item (other DESC) WHERE kind > 0"),
    "plain index of an enum": (MOOD, TEXT, "CREATE UNIQUE INDEX i ON shop_item (kind) INCLUDE (other)"),
    "check by way of text": (
        MOOD, TEXT, "ALTER TABLE shop_item ADD CONSTRAINT c CHECK (kind::text <> 'sad')",
    ),
    "expression": (TEXT, models.TextField(), 'CREATE INDEX i ON shop_item (upper(kind) COLLATE "C" text_pattern_ops)'),
    "expression over text": (TEXT, NUMBER, "CREATE INDEX i ON shop_item (upper(kind))"),
    "default": (NUMBER, models.BigIntegerField(), "ALTER TABLE shop_item ALTER kind SET DEFAULT 7"),
    "exclusion": (
        TEXT, models.TextField(), "ALTER TABLE shop_item ADD CONSTRAINT x EXCLUDE (kind WITH =) WHERE (other > 1)",
    ),
}  # fmt: skip


def states(before, after):
    other = models.IntegerField(default=0)
    return item(kind=before, other=other), item(kind=after, other=other)


def value(field):
    return "glad" if isinstance(field, MoodField) else 7


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("name", UNFIT)
def test_part_that_does_not_fit_is_named(case, name, rows):
    old, new, statement, words = UNFIT[name]
    before, after = states(old, new)
    case.execute(*ENUM)
    case.build(before)
    case.run(before)
    case.execute(statement)
    if isinstance(new, models.JSONField):
        rows = 0
    plan = case.refused(before, after, {"Item": [{"kind": value(old)}] * rows}, "dependent", built=True)
    message = plan.refused[0].hazards[-1].message
    assert message == f"Column shop_item.kind cannot be changed, because {words} depends on it"


@pytest.mark.parametrize("name", FIT)
def test_part_that_fits_stays(case, name):
    old, new, statement = FIT[name]
    before, after = states(old, new)
    case.execute(*ENUM)
    case.build(before)
    case.run(before)
    case.execute(statement)
    case.update(before, after, {"Item": [{"kind": value(old)}]}, built=True, exact=False)


def test_part_that_fits_after_both_of_its_columns_change(case):
    before = item(a=models.IntegerField(), b=models.IntegerField())
    half = item(a=models.CharField(max_length=9), b=models.IntegerField())
    after = item(a=models.CharField(max_length=9), b=models.CharField(max_length=9))
    case.build(before)
    case.run(before)
    case.execute("ALTER TABLE shop_item ADD CONSTRAINT c CHECK (a <> b)")
    case.refused(before, half, {"Item": [{"a": 1, "b": 2}]}, "dependent", built=True)
    case.update(before, after, built=True, exact=False)


def test_pruned_part_is_in_the_way_of_nothing(case):
    before, after = states(MOOD, TEXT)
    case.execute(*ENUM)
    case.build(before)
    case.run(before)
    case.execute(UNFIT["check over an enum"][2], UNFIT["partial index over an enum"][2])
    case.update(before, after, {"Item": [{"kind": "glad"}]}, built=True, prune=True)


def test_several_parts_and_tables(case):
    def state(field):
        return State(One={"kind": field}, Two={"kind": field})

    case.execute(*ENUM)
    case.build(state(MOOD))
    case.run(state(MOOD))
    case.execute(
        "ALTER TABLE shop_one ADD CONSTRAINT c CHECK (kind <> 'sad')",
        "CREATE INDEX i ON shop_one (id) WHERE kind = 'sad'",
        "ALTER TABLE shop_two ADD CONSTRAINT c CHECK (kind <> 'sad')",
    )
    plan = case.refused(state(MOOD), state(TEXT), {}, "dependent", "dependent", built=True)
    assert "because check constraint c, index i depend on it" in plan.refused[0].hazards[0].message


def test_hand_made_foreign_key_that_does_not_fit(case):
    def state(item_type, key):
        return State(Group={"code": key(primary_key=True)}, Item={"kind": item_type(null=True)})

    before = state(models.IntegerField, models.IntegerField)
    case.build(before)
    case.run(before)
    case.execute("ALTER TABLE shop_item ADD CONSTRAINT k FOREIGN KEY (kind) REFERENCES shop_group (code)")
    after = state(models.TextField, models.IntegerField)
    plan = case.refused(before, after, {}, "dependent", built=True)
    assert "because foreign key k depends" in plan.refused[0].hazards[0].message
    case.update(before, state(models.TextField, models.TextField), built=True, exact=False)
