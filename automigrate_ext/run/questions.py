"""Questions of a plan that only a person can answer: values that rows lack, and the objects behind names."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Field

from automigrate_ext.declared.blueprint import kept_name
from automigrate_ext.declared.selection import models_of
from automigrate_ext.plan.codes import HazardCode
from automigrate_ext.plan.plan import Judgement, Plan
from automigrate_ext.schema.changes import AddColumn, AlterColumn, Change

#: The codes of refusals that a one-off value resolves.
NEEDS_VALUE = frozenset({HazardCode.REQUIRED_COLUMN, HazardCode.NULL_VALUES})


def fields_without_value(plan: Plan) -> list[tuple[Judgement, Field[Any, Any]]]:
    """Return the fields for which rows lack a value, with the refused changes; none if there are other refusals."""
    lacking = [j for j in plan.refused if all(hazard.code in NEEDS_VALUE for hazard in j.hazards)]
    if len(lacking) < len(plan.refused):
        return []
    return [(judgement, field) for judgement in lacking if (field := field_of(plan, judgement.change)) is not None]


def label_of(field: Field[Any, Any]) -> str:
    """Return the field's label as `--default` and `defaults` take it: "todo.Todo.priority"."""
    return f"{field.model._meta.label}.{field.name}"


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


def field_of(plan: Plan, change: Change) -> Field[Any, Any] | None:
    """Return the field of the column that a change adds or alters, or None."""
    if not isinstance(change, (AddColumn, AlterColumn)):
        return None
    return find_field(change.table, change.new.name, plan.alias)
