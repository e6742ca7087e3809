"""A plan as text for people. Pure: no database, no settings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from automigrate_ext.changes import CreateExtension, CreateTable, DropTable, plural
from automigrate_ext.plan import Judgement, Plan, Verdict
from automigrate_ext.remarks import Remark

NOTHING_TO_DO = "Nothing to do: the database matches the models."
#: Changes that say themselves what they are about, so that they need no heading.
WHOLE = (CreateExtension, CreateTable, DropTable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a plan.

    "+" comes, "-" goes, "~" changes, "=" is kept, "!" is refused, "?" asks, "#" says what it costs, ">" runs,
    "" is a heading.
    """

    sign: str
    text: str

    def __str__(self) -> str:
        return f"  {self.sign} {self.text}" if self.sign else self.text


def lines(plan: Plan, *, verbosity: int = 1, done: bool = False) -> Iterator[Line]:
    """The plan, grouped by table; at verbosity 2 with what is left alone and with the SQL."""
    yield from hook_lines(plan, "before")
    for table, remark, judgements in tables(plan):
        if not speaks_for_itself(remark, judgements):
            yield Line(sign="", text=table)
        if remark:
            yield Line(sign="#", text=str(remark))
        for judgement in judgements:
            yield from judgement_lines(judgement)
    yield from hook_lines(plan, "after")
    yield from (Line(sign="?", text=likely.question(done=done)) for likely in plan.likely_renames)
    if verbosity < 2:
        return
    if plan.foreign:
        yield Line(sign="", text="Left alone (--prune drops it)")
        yield from (Line(sign="=", text=text) for text in plan.foreign)
    if plan.statements:
        yield Line(sign="", text="SQL")
        yield from (Line(sign="", text=f"  {statement};") for statement in plan.statements)


def tables(plan: Plan) -> Iterator[tuple[str, Remark | None, list[Judgement]]]:
    """Each table with what a run costs it and what happens to it."""
    by_table: defaultdict[str, list[Judgement]] = defaultdict(list)
    for judgement in plan.judgements:
        by_table[judgement.change.table].append(judgement)
    remarks = {remark.table: remark for remark in plan.remarks}
    for table in dict.fromkeys((*by_table, *remarks)):
        yield table, remarks.get(table), by_table[table]


def speaks_for_itself(remark: Remark | None, judgements: list[Judgement]) -> bool:
    """Whether what happens to a table needs no heading, since its name is all that it is about."""
    return remark is None and all(isinstance(judgement.change, WHOLE) for judgement in judgements)


def hook_lines(plan: Plan, when: str) -> Iterator[Line]:
    """The entries of the setting AUTOMIGRATE that are carried out before or after the tables."""
    yield from (Line(sign=">", text=hook.describe()) for hook in plan.hooks if hook.when == when)


def judgement_lines(judgement: Judgement) -> Iterator[Line]:
    """One change with the verdict on it."""
    if judgement.verdict is Verdict.APPLY:
        yield Line(sign=judgement.change.sign, text=judgement.change.describe())
        yield from (Line(sign="!", text=str(hazard)) for hazard in judgement.hazards)
    else:
        sign = "=" if judgement.verdict is Verdict.WITHHOLD else "!"
        yield from (Line(sign=sign, text=str(hazard)) for hazard in judgement.hazards)


def summary(plan: Plan, *, done: bool, seconds: float | None = None) -> str:
    """One line on what was done, or would be."""
    if plan.refused:
        return f"Refused: {len(plan.refused)} of {plural(len(plan.judgements), 'change')}; nothing was done."
    withheld = f"{plural(len(plan.withheld), 'change')} withheld" if plan.withheld else ""
    if not plan:
        return f"{NOTHING_TO_DO} {withheld}.".replace(" .", "")
    applied = f"{plural(len(plan.changes), 'change')} {'applied' if done else 'to apply'}" if plan.changes else ""
    hooks = f"{plural(len(plan.hooks), 'hook')} {'run' if done else 'to run'}" if plan.hooks else ""
    took = f" in {seconds:.2f} s" if seconds is not None else ""
    words = ", ".join(filter(None, (applied, hooks, withheld)))
    return f"Database {plan.alias!r}: {words}{took}."


def report(plan: Plan) -> str:
    """What was done as one text for a log, the summary first."""
    return "\n".join([summary(plan, done=True), *map(str, lines(plan, done=True))])
