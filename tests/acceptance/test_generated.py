"""Generated columns: stored and virtual ones added, changed, made plain; what they read retyped."""

import re

import pytest
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce, Concat, Lower, NullIf, Upper

from tests.acceptance.helper import item
from tests.features import need

ROWS = {"Item": [{"name": "Ab", "size": 2}, {"name": "c", "size": 3}]}
KINDS = ["stored", "virtual"]


def generated(kind, expression=None, output=None):
    expression = F("size") * 2 if expression is None else expression
    return models.GeneratedField(
        expression=expression, output_field=output or models.IntegerField(), db_persist=kind == "stored"
    )


def state(extra=None, name=None, size=None, **meta):
    fields = {"name": name or models.CharField(max_length=20), "size": size or models.IntegerField()}
    if extra:
        fields["made"] = extra
    return item(**fields, Meta=meta)


@pytest.fixture(params=KINDS)
def kind(request, case):
    need(case.connection, f"{request.param} generated columns")
    return request.param


EXPRESSIONS = {
    "arithmetic": (F("size") * 2 + 1, models.IntegerField()),
    "text": (Lower("name"), models.CharField(max_length=20)),
    "percent": (Concat("name", Value(" 100% 'x'")), models.TextField()),
    "coalesce": (Coalesce(F("size"), 0), models.BigIntegerField()),
    "condition": (
        models.Case(models.When(Q(size__gt=2), then=Value("big")), default=Value("small")),
        models.CharField(max_length=9),
    ),
    "boolean": (models.lookups.GreaterThan(F("size"), 2), models.BooleanField()),
    "null": (F("size"), models.IntegerField(null=True)),
    "indexed": (F("size"), models.IntegerField(db_index=True)),
    "unique": (F("size"), models.IntegerField(unique=True)),
}


@pytest.mark.django
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_generated_column_unchanged(case, kind, name):
    expression, output = EXPRESSIONS[name]
    if kind == "virtual" and output.unique | output.db_index:
        need(case.connection, "indexed virtual columns")
    made = generated(kind, expression, output)
    made.db_index, made._unique = output.db_index, output.unique
    case.unchanged(state(made), ROWS)


def test_generated_column_added_and_removed(case, kind):
    case.update(state(), state(generated(kind)), ROWS, changes=["Add column shop_item.made"])
    assert case.values("shop_item", "made") == [(4,), (6,)]
    plan = case.update(state(generated(kind)), state(), changes=["Drop column shop_item.made"], built=True)
    assert not plan.withheld


def test_generated_expression_changed(case, kind):
    before, after = state(generated(kind)), state(generated(kind, F("size") * 3))
    case.update(before, after, ROWS, changes=["Change column shop_item.made"], altered=["shop_item.made"])
    assert case.values("shop_item", "made") == [(6,), (9,)]


def test_generated_type_changed(case, kind):
    after = state(generated(kind, output=models.BigIntegerField()))
    case.update(state(generated(kind)), after, ROWS)


def test_column_that_a_generated_one_reads_retyped(case, kind):
    before = state(generated(kind))
    after = state(generated(kind), size=models.BigIntegerField())
    case.update(before, after, ROWS)
    case.update(after, before, built=True)


def test_text_column_that_a_generated_one_reads_retyped(case, kind):
    made = generated(kind, Concat(Upper("name"), Value("x")), models.TextField())
    case.update(state(made), state(made, name=models.TextField()), ROWS)


def test_generated_column_and_what_it_reads_change(case, kind):
    before = state(generated(kind))
    after = state(generated(kind, F("size") * 5), size=models.BigIntegerField(null=True))
    case.update(before, after, ROWS, altered=["shop_item.made"])
    assert case.values("shop_item", "made") == [(10,), (15,)]


def test_generated_column_becomes_plain(case, kind):
    before, after = state(generated(kind)), state(models.IntegerField(null=True))
    case.update(before, after, ROWS)
    assert case.values("shop_item", "made") == [(4,), (6,)]


def test_generated_column_becomes_required_and_of_another_type(case, kind):
    before, after = state(generated(kind)), state(models.BigIntegerField(db_index=True))
    case.update(before, after, ROWS)
    assert case.values("shop_item", "made") == [(4,), (6,)]


def test_plain_column_becomes_generated_refused_then_accepted(case, kind):
    before, after = state(models.IntegerField(null=True)), state(generated(kind))
    rows = {"Item": [{"name": "a", "size": 2, "made": 1}]}
    case.refused(before, after, rows, "overwrites-column")
    case.update(before, after, built=True, accept_data_loss=True, altered=["shop_item.made"])
    assert case.values("shop_item", "made") == [(4,)]


def test_empty_plain_column_becomes_generated(case, kind):
    before, after = state(models.IntegerField(null=True)), state(generated(kind))
    case.update(before, after, ROWS, altered=["shop_item.made"])


def test_stored_becomes_virtual(case):
    need(case.connection, "stored generated columns", "virtual generated columns")
    before, after = state(generated("stored")), state(generated("virtual"))
    case.update(before, after, ROWS)
    case.update(after, before, built=True)


def test_generated_column_with_constraint_and_index(case):
    made = generated("stored")
    before = state(made)
    after = state(
        made,
        constraints=[models.CheckConstraint(condition=Q(made__gt=0), name="c")],
        indexes=[models.Index(fields=["made", "name"], name="i")],
    )
    case.update(before, after, ROWS)
    wider = state(
        made,
        size=models.BigIntegerField(),
        constraints=[models.CheckConstraint(condition=Q(made__gt=0), name="c")],
        indexes=[models.Index(fields=["made", "name"], name="i")],
    )
    case.update(after, wider, built=True)


def test_column_that_a_generated_one_reads_dropped_with_it(case, kind):
    before = item(name=models.TextField(), size=models.IntegerField(null=True), made=generated(kind))
    case.run(before)
    case.update(before, item(name=models.TextField()), built=True)


def test_column_that_a_generated_one_reads_goes_and_the_expression_changes(case, kind):
    need(case.connection, "numbered columns in expressions")
    before = item(name=models.TextField(), size=models.IntegerField(null=True), made=generated(kind))
    after = item(name=models.TextField(), made=generated(kind, F("id") + 1))
    case.run(before)
    case.update(before, after, {"Item": [{"name": "a"}]}, built=True, altered=["shop_item.made"])


def test_generated_column_over_a_new_column(case, kind):
    after = item(name=models.TextField(), size=models.IntegerField(default=4), made=generated(kind))
    case.update(item(name=models.TextField()), after, {"Item": [{"name": "a"}]})
    assert case.values("shop_item", "made") == [(8,)]


def test_generated_column_with_everything_on_it_made_anew(case):
    def everything(made, size=None):
        return state(
            made,
            size=size,
            constraints=[
                models.CheckConstraint(condition=Q(made__gt=0), name="c"),
                models.UniqueConstraint(fields=["made", "name"], name="u"),
            ],
            indexes=[
                models.Index(fields=["made"], name="i"),
                models.Index(fields=["name"], condition=Q(made__gt=1), name="j"),
            ],
        )

    before = everything(generated("stored"))
    after = everything(generated("stored", F("size") * 3))
    case.update(before, after, ROWS, altered=["shop_item.made"])
    case.update(after, everything(generated("stored", F("size") * 3), models.BigIntegerField()), built=True)


def test_handmade_index_on_a_generated_column_made_anew(case):
    before, after = state(generated("stored")), state(generated("stored", F("size") * 3))
    case.run(before)
    case.execute("CREATE INDEX by_hand ON shop_item (made)")
    case.update(before, after, ROWS, altered=["shop_item.made"], built=True, exact=False)
    assert "by_hand" in [index.name for index in case.introspect(["shop_item"]).tables["shop_item"].indexes]


def test_virtual_column_with_a_check_becomes_plain(case):
    need(case.connection, "virtual generated columns")
    checks = [models.CheckConstraint(condition=Q(made__gt=0), name="c")]
    before = state(generated("virtual"), constraints=checks)
    after = state(models.IntegerField(null=True), constraints=checks)
    case.update(before, after, ROWS)


def test_expression_reads_a_column_that_comes_in_the_same_run(case):
    def state(of, **fields):
        twice = models.GeneratedField(expression=F(of) * 2, output_field=models.IntegerField(), db_persist=True)
        return item(a=models.IntegerField(), twice=twice, **fields)

    after = state("b", b=models.IntegerField(default=4))
    case.update(state("a"), after, {"Item": [{"a": 1}]}, altered=["shop_item.twice"])
    assert case.values("shop_item", "a", "b", "twice") == [(1, 4, 8)]


def test_generated_column_becomes_plain_and_gets_what_is_missing(case, kind):
    name = models.CharField(max_length=20, null=True)
    made = generated(kind, Lower("name"), models.CharField(max_length=20, null=True))
    after = state(models.CharField(max_length=20, default="none"), name)
    rows = {"Item": [{"name": "Ab", "size": 2}, {"name": None, "size": 3}]}
    case.update(state(made, name), after, rows)
    assert case.values("shop_item", "made") == [("ab",), ("none",)]


def test_generated_column_becomes_plain_of_another_type(case, kind):
    case.update(state(generated(kind)), state(models.CharField(max_length=9)), ROWS)
    assert case.values("shop_item", "made") == [("4",), ("6",)]


def test_generated_values_that_a_plain_column_does_not_hold_refused(case, kind):
    rows = {"Item": [{"name": "a", "size": 2}, {"name": "b", "size": 50}]}
    code = "alters-values"
    plan = case.refused(state(generated(kind)), state(models.CharField(max_length=2)), rows, code)
    assert plan.refused[0].hazards[0].samples == ((2,),)


RULES = {
    "unique": (models.UniqueConstraint(fields=["made"], name="u"), "duplicates"),
    "check": (models.CheckConstraint(condition=Q(made__lt=0), name="c"), "violators"),
}


@pytest.mark.parametrize("name", RULES)
def test_rule_over_what_is_computed_from_filled_values_refused(case, name):
    rule, code = RULES[name]
    made = generated("stored", F("size") * 2, models.IntegerField(null=True))
    before = state(made, size=models.IntegerField(null=True), constraints=[rule])
    after = state(made, size=models.IntegerField(default=0), constraints=[rule])
    rows = {"Item": [{"name": "a", "size": None}, {"name": "b", "size": None}, {"name": "c", "size": -3}]}
    plan = case.refused(before, after, rows, code)
    assert plan.refused[0].hazards[0].samples == ((1,), (2,))


UNFIT = {
    "out of range": (F("size") * 2, models.IntegerField()),
    "too many digits": (F("size") * 2, models.DecimalField(max_digits=6, decimal_places=2)),
    "too long": (Concat("name", Value("cdefghij")), models.CharField(max_length=8)),
}
BIG = {"Item": [{"name": "a", "size": 2}, {"name": "b", "size": 2**31 - 1}]}
BIG_SIZE = models.BigIntegerField()


@pytest.mark.parametrize("name", UNFIT)
def test_new_generated_column_that_does_not_take_what_a_row_gives_refused(case, kind, name):
    need(case.connection, "types that limit values")
    after = state(generated(kind, *UNFIT[name]), size=BIG_SIZE)
    plan = case.refused(state(size=BIG_SIZE), after, BIG, "cast-fails")
    message = plan.refused[0].hazards[0].message
    assert "shop_item.made, which is" in message
    assert re.search("out of range|overflow|too long", message, re.IGNORECASE)


@pytest.mark.parametrize("name", UNFIT)
def test_expression_that_gives_what_the_column_does_not_take_refused(case, kind, name):
    need(case.connection, "types that limit values")
    expression, output = UNFIT[name]
    fits = Value("a") if isinstance(output, models.CharField) else F("size") * 0
    before = state(generated(kind, fits, output), size=BIG_SIZE)
    case.refused(before, state(generated(kind, expression, output), size=BIG_SIZE), BIG, "cast-fails")


def test_fill_from_which_a_generated_column_gets_what_it_does_not_take_refused(case, kind):
    need(case.connection, "types that limit values")
    made = generated(kind, F("size") * 2, models.IntegerField(null=True))
    before = state(made, size=models.BigIntegerField(null=True))
    after = state(made, size=models.BigIntegerField(default=2**31 - 1))
    case.refused(before, after, {"Item": [{"name": "a", "size": None}, {"name": "b", "size": 2}]}, "cast-fails")


def test_two_generated_columns_of_which_one_takes_what_rows_give(case, kind):
    need(case.connection, "types that limit values")
    after = item(
        name=models.CharField(max_length=20),
        size=BIG_SIZE,
        made=generated(kind, F("size") * 2, models.BigIntegerField()),
        less=generated(kind, F("size") * 2, models.SmallIntegerField()),
    )
    plan = case.refused(state(size=BIG_SIZE), after, BIG, "cast-fails")
    assert [judgement.change.new.name for judgement in plan.refused] == ["less"]


@pytest.mark.parametrize("expression", [F("size") * 2, NullIf("size", Value(2))], ids=["twice", "null"])
def test_new_generated_column_that_takes_what_all_rows_give(case, kind, expression):
    rows = {"Item": [{"name": "a", "size": 2}, {"name": "b", "size": 2**30 - 1}]}
    case.update(state(size=BIG_SIZE), state(generated(kind, expression), size=BIG_SIZE), rows)


def test_generated_column_that_the_server_cannot_compute_for_a_row_refused(case, kind):
    """SQLite's JSON functions fail at a text that is none; the others have a type for it."""
    need(case.connection, "JSON in texts")
    size = models.TextField()
    made = generated(kind, KT("size__a"), models.TextField())
    rows = {"Item": [{"name": "a", "size": "{}"}, {"name": "b", "size": "no JSON"}]}
    plan = case.refused(state(size=size), state(made, size=size), rows, "cast-fails")
    assert "malformed JSON" in plan.refused[0].hazards[0].message
