"""Try the values that rows without one are to get, before anything is touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import nullcontext
from dataclasses import replace as evolve

from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.work import Fill
from automigrate_ext.exceptions import UnusableValue
from automigrate_ext.plan.codes import HazardCode
from automigrate_ext.plan.plan import Hazard, Judgement, Verdict
from automigrate_ext.schema.changes import AddColumn, AlterColumn
from automigrate_ext.schema.nouns import Column

TableColumn = tuple[str, str]


def refuse_values(
    backend: Backend,
    judgements: Sequence[Judgement],
    fills: MutableMapping[TableColumn, Fill],
    field_name: Callable[[str, str], str],
) -> tuple[Judgement, ...]:
    """Refuse the changes for which the `fills` have no value that the column takes.

    Defaults that are functions are called once, for the first row, unless the plan is refused anyway; so `fills` may
    be changed. `field_name` returns the name of the field of a column.
    """
    filled = dict(filter(None, (filled_by(judgement, fills) for judgement in judgements)))
    refused = any(judgement.verdict is Verdict.REFUSE for judgement in judgements)
    values: dict[TableColumn, str] = {}
    for key in filled:
        if fills[key].draw and not refused:
            fills[key], values[key] = drawn(backend, fills[key])
        elif fills[key].origin and not fills[key].draw:
            values[key] = fills[key].sql
    faults = {key: fills[key].fault for key in filled if fills[key].fault}
    sound = {key: (filled[key], value) for key, value in values.items() if key not in faults}
    for key, words in misfits(backend, sound).items():
        faults[key] = f"{fills[key].origin} does not fit {'.'.join(key)}, which is {filled[key].type}: {words}"
    return tuple(refuse(judgement, faults, field_name) for judgement in judgements)


def drawn(backend: Backend, fill: Fill) -> tuple[Fill, str]:
    """Return the fill with its first value drawn, or with a fault, and that value."""
    try:
        # A default that fails as it asks the database would end the transaction.
        with backend.session.inconsequential() if backend.connection.in_atomic_block else nullcontext():
            return fill.drawn()
    except UnusableValue as error:
        return evolve(fill, fault=str(error)), ""


def filled_by(judgement: Judgement, fills: Mapping[TableColumn, Fill]) -> tuple[TableColumn, Column] | None:
    """Return the column, with its table's name, whose rows get a value by a change, or None."""
    change = judgement.change
    if not isinstance(change, (AddColumn, AlterColumn)):
        return None
    key = change.table, change.new.name
    return (key, change.new) if key in fills else None


def misfits(backend: Backend, values: Mapping[TableColumn, tuple[Column, str]]) -> dict[TableColumn, str]:
    """Return the server's words on each value that its column does not take."""
    tried = {key: (key[0], column, value) for key, (column, value) in values.items()}
    if not tried or not backend.why_unfit(list(tried.values())):
        return {}
    return {key: words for key, value in tried.items() if (words := backend.why_unfit([value]))}


def refuse(judgement: Judgement, faults: Mapping[TableColumn, str], field_name: Callable[[str, str], str]) -> Judgement:
    """Refuse a change whose rows have no value that could be used."""
    change = judgement.change
    if not isinstance(change, (AddColumn, AlterColumn)) or (change.table, change.new.name) not in faults:
        return judgement
    hazard = Hazard(
        code=HazardCode.BAD_DEFAULT,
        message=faults[change.table, change.new.name],
        remedy=f"Correct it in the model, or pass --default {field_name(change.table, change.new.name)}=VALUE.",
    )
    return judgement.against([hazard])
