"""Plans as text: abridged for a terminal, as tables of counts, and the progress of a run."""

import pytest

from automigrate_ext import Hazard, Judgement, Plan, RunProgress, Verdict
from automigrate_ext.plan.cost import Size
from automigrate_ext.plan.text import TABLES_SHOWN, abridged, branches, how_far, lines, losses, refusals
from automigrate_ext.schema.changes import CreateTable, DropTable
from automigrate_ext.schema.nouns import Schema, Table


def create(number):
    name = f"shop_{number:04}"
    return Judgement(change=CreateTable(table=name, new=Table(name=name, columns=())))


def drop(name, verdict, *hazards):
    return Judgement(change=DropTable(table=name, old=Table(name=name, columns=())), verdict=verdict, hazards=hazards)


def plan_of(*judgements):
    return Plan(alias="default", vendor="sqlite", schema=Schema({}), judgements=judgements)


KEPT = drop("old", Verdict.WITHHOLD, Hazard(code="drops-table", message="Drop table old", rows=3))


def test_many_tables_are_abridged_but_for_those_that_need_a_reader():
    plan = plan_of(*map(create, range(1000)), KEPT)
    shown, more = abridged(list(branches(plan)))
    assert len(shown) == TABLES_SHOWN + 1 == 26
    assert str(shown[-1].lines[0]) == "  = Drop table old"
    assert more == "... and 975 changes of 975 more tables; --verbosity 2 or a pipe shows all."
    assert len(list(lines(plan))) == 1001


def test_a_few_tables_more_than_are_shown_are_not_worth_a_line_about_them():
    found = list(branches(plan_of(*map(create, range(TABLES_SHOWN + 10)))))
    assert abridged(found) == (found, "")


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
