"""Refuse what would keep others from a large table for as long as it takes, in a run that is to be beside them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.online import Online
from automigrate_ext.backends.work import Work
from automigrate_ext.hazards.rehearsal import judgement_of
from automigrate_ext.plan.codes import HazardCode
from automigrate_ext.plan.plan import Hazard, Judgement, refused_for

REMEDY = (
    "Run it without --online (online=False) while nobody uses the table, or raise --rewrite-limit (rewrite_limit=), "
    "which is {limit:,} rows."
)


def refuse_blocking(
    backend: Backend, online: Online, work: Work, used: Collection[str], judgements: Sequence[Judgement], limit: int
) -> tuple[Judgement, ...]:
    """Refuse the changes during which others wait, of tables with more rows than the limit."""
    found = online.blocking(work, used)
    sizes = backend.cost.sizes({change.table for change, _ in found}) if found else {}
    against: defaultdict[int, list[Hazard]] = defaultdict(list)
    for change, why in found:
        size = sizes.get(change.table)
        if size is None or size.rows <= limit:
            continue
        message = f"{change.describe()}: that {why} ({size}), and others wait meanwhile"
        hazard = Hazard(
            code=HazardCode.REWRITES_TABLE, message=message, rows=size.rows, advice=REMEDY.format(limit=limit)
        )
        against[id(judgement_of(change, judgements))].append(hazard)
    return tuple(refused_for(judgement, against[id(judgement)]) for judgement in judgements)
