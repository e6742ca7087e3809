"""Plans as text: abridged for a terminal, as tables of counts, and the progress of a run."""

from dataclasses import replace as evolve

import pytest

from automigrate_ext import Hazard, Judgement, Plan, RunProgress, Verdict
from automigrate_ext.plan import text
from automigrate_ext.plan.cost import Size
from automigrate_ext.plan.plan import ACCEPT_DATA_LOSS
from automigrate_ext.plan.text import TABLES_SHOWN, abridged, branches, how_far, lines, losses, refusals
from automigrate_ext.schema.changes import CreateTable, DropColumn, DropTable
from automigrate_ext.schema.nouns import Column, Schema, Table


def create(number):
    name = f"shop_{number:04}"
    return Judgement(change=CreateTable(table=name, new=Table(name=name, columns=())))


def drop(name, verdict, *hazards):
    return Judgement(change=DropTable(table=name, old=Table(name=name, columns=())), verdict=verdict, hazards=hazards)


def plan_of(*judgements):
    return Plan(alias="default", vendor="sqlite", schema=Schema({}), judgements=judgements)


KEPT = drop("old", Verdict.WITHHOLD, Hazard(code="drops-table", message="Keep table old", rows=3))


def test_many_tables_are_abridged_but_for_those_that_need_a_reader():
    plan = plan_of(*map(create, range(1000)), KEPT)
    shown, more = abridged(list(branches(plan)))
    assert len(shown) == TABLES_SHOWN + 1 == 26
    assert str(shown[-1].lines[0]) == "  = Keep table old"
    assert more == "... and 975 changes of 975 more tables; --verbosity 2 or a pipe shows all."
    assert len(list(lines(plan))) == 1001


def test_a_few_tables_more_than_are_shown_are_not_worth_a_line_about_them():
    found = list(branches(plan_of(*map(create, range(TABLES_SHOWN + 10)))))
    assert abridged(found) == (found, "")


def kept_column(name, *instead):
    change = DropColumn(table="shop_item", old=Column(name=name, type="text", null=True))
    hazard = Hazard(code="drops-column", message=f"Keep column shop_item.{name}", rows=1, option=ACCEPT_DATA_LOSS)
    return Judgement(change=change, verdict=Verdict.WITHHOLD, hazards=(hazard,), instead=instead)


OPTIONAL = kept_column("a", CreateTable(table="any", new=Table(name="any", columns=())))


@pytest.mark.parametrize(
    ("judgements", "statements", "planned", "made"),
    [
        ((), (), text.NOTHING_TO_DO, text.NOTHING_TO_DO),
        ((KEPT,), (), *["Database 'default' matches the models; 1 table kept."] * 2),
        (
            (kept_column("a"), kept_column("b"), KEPT),
            (),
            *["Database 'default' matches the models; 2 columns and 1 table kept."] * 2,
        ),
        (
            (create(1), OPTIONAL),
            ("SQL",),
            "Database 'default': 1 change to apply, 1 column to make nullable, 1 column kept.",
            "Database 'default': 1 change applied, 1 column made nullable, 1 column kept.",
        ),
        (
            (OPTIONAL, kept_column("b")),
            ("SQL",),
            "Database 'default': 1 column to make nullable, 2 columns kept.",
            "Database 'default': 1 column made nullable, 2 columns kept.",
        ),
    ],
)
def test_summary_counts_what_is_done_and_what_is_kept(judgements, statements, planned, made):
    plan = evolve(plan_of(*judgements), statements=statements)
    assert text.summary(plan, done=False) == planned
    assert text.summary(plan, done=True) == made


def test_option_that_drops_what_is_kept_is_named_once():
    printed = list(map(str, lines(plan_of(kept_column("a"), kept_column("b")))))
    assert printed == [
        "shop_item",
        "  = Keep column shop_item.a",
        "  = Keep column shop_item.b",
        "autoupdate --accept-data-loss drops what is kept.",
    ]
    assert text.DROPS_KEPT not in map(str, lines(plan_of(KEPT, create(1))))


def test_losses_of_many_tables_are_those_of_the_largest():
    counts = losses({f"shop_{number}": number for number in range(1, 101)})
    assert counts.rows[0] == ("shop_100", "100")
    assert counts.rows[-1] == ("... and 75 more tables", f"{sum(range(1, 76)):,}")
    assert counts.total == "5,050"


def test_losses_of_few_tables_are_in_their_order():
    assert losses({"b": 1, "a": 2000}).rows == (("b", "1"), ("a", "2,000"))


def test_refusals_have_their_reasons_and_rows():
    uncounted = drop("b", Verdict.REFUSE, Hazard(code="dependent", message=""))
    plan = plan_of(create(1), drop("a", Verdict.REFUSE, Hazard(code="referenced", message="", rows=1234)), uncounted)
    assert refusals(plan).rows == (("a", "referenced", "1,234"), ("b", "dependent", ""))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"rows": 4000, "rows_done": 1000}, "1,000 of 4,000 rows, 0:03:00 left"),
        ({"rows": 4000, "rows_done": 0}, "0 of 4,000 rows"),
        ({"size": Size(rows=2_000_000, exact=False)}, "about 2,000,000 rows, running for 0:01:00"),
        ({}, "running for 0:01:00"),
    ],
)
def test_how_far_a_statement_is(told, words):
    assert how_far(RunProgress(alias="default", finished=0, statements=1, **told), 60) == words
