"""Comments on tables and columns."""

from itertools import pairwise

import pytest
from django.db import models

from tests.acceptance.helper import State, item
from tests.features import has, need


@pytest.fixture
def case(case):
    need(case.connection, "comments")
    return case


def state(table="", column="", kind=None):
    kind = kind or models.IntegerField
    return item(size=kind(db_comment=column), Meta={"db_table_comment": table})


ROWS = {"Item": [{"size": 1}]}
ODD = 'it\'s "odd" \\ é; --'


@pytest.mark.django
def test_comments_unchanged(case):
    case.unchanged(state("a table", "a column"), ROWS)


def test_comments_set_changed_cleared(case):
    states = [state(), state("t", "c"), state(ODD, ODD), state()]
    case.run(states[0])
    for before, after in pairwise(states):
        plan = case.update(
            before,
            after,
            changes=["Change table shop_item: comment to", "Change column shop_item.size: comment to"],
            built=True,
        )
        assert len(plan.statements) == (2 if has(case.connection, "comments as statements") else 1)


def test_comment_on_a_new_table_and_column(case):
    after = State(
        Item={"size": models.IntegerField(), "cost": models.IntegerField(default=1, db_comment=ODD)},
        Note={"text": models.TextField(db_comment="text"), "Meta": {"db_table_comment": ODD}},
    )
    case.update(item(size=models.IntegerField()), after, ROWS)


def test_comment_changed_together_with_the_type(case):
    before, after = state("", "old"), state("", "new", models.BigIntegerField)
    case.run(before)
    case.update(before, after, ROWS, built=True)


def test_comment_kept_when_the_type_changes(case):
    case.update(state("t", "c"), state("t", "c", models.BigIntegerField), ROWS)


def test_comment_of_a_generated_column(case):
    need(case.connection, "comments of generated columns")

    def generated(expression):
        return item(
            size=models.IntegerField(),
            made=models.GeneratedField(
                expression=expression,
                output_field=models.IntegerField(),
                db_persist=True,
                db_comment="computed",
            ),
        )

    before, after = generated(models.F("size") * 2), generated(models.F("size") * 3)
    case.unchanged(before, ROWS)
    case.update(before, after, built=True, altered=["shop_item.made"])


def test_comment_set_by_hand_is_no_difference(case):
    case.run(state())
    if has(case.connection, "comments as statements"):
        case.execute("COMMENT ON TABLE shop_item IS 'by hand'", "COMMENT ON COLUMN shop_item.size IS 'by hand'")
    else:
        case.execute("ALTER TABLE shop_item COMMENT = 'by hand', MODIFY size int NOT NULL COMMENT 'by hand'")
    case.update(state(), state(), changes=[], built=True, exact=False)
