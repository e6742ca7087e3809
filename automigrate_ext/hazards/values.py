"""Try the values that rows without one are to get, before anything is touched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import nullcontext
from dataclasses import replace as evolve

from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.rows import Source, TookTooLong
from automigrate_ext.backends.work import Fill
from automigrate_ext.exceptions import UnusableValue
from automigrate_ext.hazards.forecast import Forecast
from automigrate_ext.plan.codes import HazardCode
from automigrate_ext.plan.plan import Hazard, Judgement, Verdict, refused_for
from automigrate_ext.schema.changes import AddColumn, AlterColumn
from automigrate_ext.schema.nouns import Column

TableColumn = tuple[str, str]

COUNT_ON = "Pass --count-timeout with more seconds (count_timeout=), or 0 for no limit."


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
        shown = "" if backend.rows.hides(key[0], filled[key]) else f": {words}"
        faults[key] = f"{fills[key].origin} does not fit {'.'.join(key)}, which is {filled[key].type}{shown}"
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


def misfits(
    backend: Backend, values: Mapping[TableColumn, tuple[Column, str]], source: Source | None = None
) -> dict[TableColumn, str]:
    """Return the server's words on each value that its column does not take; with a source, from one of its rows."""
    tried = {key: (key[0], column, value) for key, (column, value) in values.items()}
    if not tried or not backend.why_unfit(list(tried.values()), source):
        return {}
    return {key: words for key, value in tried.items() if (words := backend.why_unfit([value], source))}


def refuse_computed(backend: Backend, forecast: Forecast, judgements: Sequence[Judgement]) -> tuple[Judgement, ...]:
    """Refuse the changes after which a generated column would not take what its expression gives for some row.

    These are new ones, and those that are computed again as their expression or a column that it reads changes.
    """
    hazards: defaultdict[int, list[Hazard]] = defaultdict(list)
    for table, future in forecast.futures.items():
        applied = [j for j in judgements if j.change.table == table and j.verdict is Verdict.APPLY]
        causes = {name: cause for name in future.generated if (cause := cause_of(applied, name, forecast))}
        for name, hazard in not_taken(backend, forecast, table, causes).items():
            hazards[id(causes[name])].append(hazard)
    return tuple(refused_for(judgement, hazards[id(judgement)]) for judgement in judgements)


def cause_of(judgements: Sequence[Judgement], name: str, forecast: Forecast) -> Judgement | None:
    """Return the judgement on the change for which a generated column is computed, of those on its table, or None."""
    for judgement in judgements:
        match judgement.change:
            case AddColumn(new=new) | AlterColumn(new=new) if new.name == name:
                return judgement
    for judgement in judgements:
        match judgement.change:
            case AlterColumn(table=table, new=new) if name in forecast.moved(table, new.name):
                return judgement
    return None


def not_taken(backend: Backend, forecast: Forecast, table: str, causes: Mapping[str, Judgement]) -> dict[str, Hazard]:
    """Return the hazards of a table's generated columns that do not take what their expressions give."""
    known = [name for name in causes if forecast.is_known(table, [name])]
    columns = {name: column for name in known if (column := column_after(forecast, table, causes[name], name))}
    values = {(table, name): (column, backend.rows.quote(name)) for name, column in columns.items()}
    try:
        found = misfits(backend, values, forecast.source(table, columns))
    except TookTooLong:
        return {name: not_computed(table, column) for name, column in columns.items()}
    hidden = {name for name, column in columns.items() if backend.rows.hides(table, column)}
    return {name: misfit(table, columns[name], "" if name in hidden else words) for (_, name), words in found.items()}


def column_after(forecast: Forecast, table: str, cause: Judgement, name: str) -> Column | None:
    """Return a generated column as the changes leave it."""
    change = cause.change
    if isinstance(change, (AddColumn, AlterColumn)) and change.new.name == name:
        return change.new
    return forecast.current.tables[table].column(name)


def misfit(table: str, column: Column, words: str) -> Hazard:
    """Return the hazard of a generated column for which a row gives what it does not take, with the server's words."""
    message = f"Column {table}.{column.name}, which is {column.type}, does not take what a row gives for it"
    return Hazard(
        code=HazardCode.CAST_FAILS,
        message=f"{message}: {words}" if words else message,
        advice="Change the values first, or give the field another output_field.",
    )


def not_computed(table: str, column: Column) -> Hazard:
    """Return the hazard of a generated column whose values were not computed within the time."""
    message = f"Whether {table}.{column.name} takes what each row gives for it was not found out in time"
    return Hazard(code=HazardCode.NOT_COUNTED, message=message, advice=COUNT_ON)


def refuse(judgement: Judgement, faults: Mapping[TableColumn, str], field_name: Callable[[str, str], str]) -> Judgement:
    """Refuse a change whose rows have no value that could be used."""
    change = judgement.change
    if not isinstance(change, (AddColumn, AlterColumn)) or (change.table, change.new.name) not in faults:
        return judgement
    hazard = Hazard(
        code=HazardCode.BAD_DEFAULT,
        message=faults[change.table, change.new.name],
        advice="Correct it in the model.",
        option=f"--default {field_name(change.table, change.new.name)}=VALUE",
    )
    return refused_for(judgement, [hazard])
