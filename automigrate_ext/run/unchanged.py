"""The plan of a run that has nothing to do, and what was asked for, as plans have it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.db import connections

from automigrate_ext.declared.selection import Selection
from automigrate_ext.plan.plan import Plan, Request
from automigrate_ext.run.options import Options
from automigrate_ext.run.standing import Seal, Standing
from automigrate_ext.schema.nouns import Schema, Table, TablesOnDemand


def unchanged(standing: Standing, seal: Seal, read: Callable[[], Mapping[str, Table]]) -> Plan:
    """Return the plan of a run that has nothing to do, according to a seal; `read` returns its tables on demand."""
    selection = standing.selection
    is_own = standing.is_own(seal)
    return Plan(
        alias=selection.alias,
        vendor=connections[selection.alias].vendor,
        schema=Schema(TablesOnDemand(read, digest=seal.schema if is_own else "")),
        foreign=seal.foreign,
        notes=(*selection.notes, *seal.notes),
        tables=seal.count if is_own else len(selection.models),
        request=request_of("autoupdate", selection, standing.options),
        left=seal.left,
    )


def request_of(command: str, selection: Selection, options: Options) -> Request:
    """Return what was asked for, as far as it decides about a plan."""
    return Request(
        command=command,
        models=selection.labels,
        renames=options.renames,
        defaults=options.defaults,
        accept_data_loss=options.accept_data_loss,
        prune=options.prune,
        cascade=options.cascade,
        expand=options.expand,
        contract=options.contract,
        online=options.online,
        rewrite_limit=options.rewrite_limit if options.online else None,
    )
