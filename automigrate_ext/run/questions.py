"""Questions of a plan that only a person can answer: values that rows lack, and the objects behind names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field

from automigrate_ext.declared.blueprint import kept_name
from automigrate_ext.declared.selection import models_of
from automigrate_ext.declared.wanted import wanted, why_unfit
from automigrate_ext.plan.codes import HazardCode
from automigrate_ext.plan.plan import Hazard, Judgement, MissingValue, Verdict
from automigrate_ext.schema.changes import AddColumn, AlterColumn, subject_of

#: The codes of refusals that a value resolves, and those that another value may resolve than the one given.
LACKING = frozenset({HazardCode.REQUIRED_COLUMN, HazardCode.NULL_VALUES})
FAULTY = frozenset({HazardCode.BAD_DEFAULT})
MISPLACED = frozenset({HazardCode.ORPHANS, HazardCode.VIOLATORS})

TableColumn = tuple[str, str]


def missing_values(
    judgements: Iterable[Judgement],
    fields: Mapping[TableColumn, Field[Any, Any]],
    given: Collection[TableColumn],
    connection: BaseDatabaseWrapper,
) -> tuple[MissingValue, ...]:
    """Return the values that rows lack, or for which those that are `given` are no good, one for each field.

    `fields` are the fields by table and column, and `given` the columns for which there are one-off values.
    """
    found: dict[str, MissingValue] = {}
    for judgement in judgements:
        for key, hazard in unfilled(judgement, given):
            field = fields.get(key)
            if field is not None and not field.model._meta.auto_created:
                label = label_of(field)
                fault = "" if hazard.code in LACKING else hazard.reason
                wants = wanted(field, connection)
                found.setdefault(label, MissingValue(field=label, wants=wants, rows=hazard.rows, fault=fault))
    return tuple(found.values())


def unfilled(judgement: Judgement, given: Collection[TableColumn]) -> Iterator[tuple[TableColumn, Hazard]]:
    """Yield the columns for which a change is refused that a value would resolve, each with the hazard."""
    if judgement.verdict is not Verdict.REFUSE:
        return
    change = judgement.change
    for hazard in judgement.hazards:
        if hazard.code in LACKING | FAULTY and isinstance(change, (AddColumn, AlterColumn)):
            yield (change.table, change.new.name), hazard
        elif hazard.code in MISPLACED:
            columns = subject_of(change).columns
            yield from (((change.table, name), hazard) for name in columns if (change.table, name) in given)


def label_of(field: Field[Any, Any]) -> str:
    """Return the field's label as `--default` and `defaults` take it: "todo.Todo.priority"."""
    return f"{field.model._meta.label}.{field.name}"


def fault_of(label: str, text: str) -> str:
    """Return why the field with a label does not take a text as a one-off value, or "" where it may."""
    place, _, name = label.rpartition(".")
    field = find_field(place, name)
    return "" if field is None else why_unfit(field, text)


def find_model(app_label: str, name: str) -> Any:
    """Return the model of an app, or None where the app has no such model."""
    try:
        return apps.get_model(app_label, name)
    except (LookupError, ValueError):
        return None


def find_field(place: str, name: str, alias: str = DEFAULT_DB_ALIAS) -> Field[Any, Any] | None:
    """Return the field of a model, by its name or attribute, or of a table's column in a database, or None."""
    for model in models_of(apps):
        label, table = model._meta.label, model._meta.db_table
        for field in (*model._meta.local_fields, *model._meta.local_many_to_many):
            column = kept_name(connections[alias], field.column) if field.column else None
            if (place, name) in ((label, field.name), (label, field.attname), (table, column)):
                return field
    return None
