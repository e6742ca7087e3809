"""The desired schema: the tables that the server would create from the models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Field, Model
from django.db.models.fields.proxy import OrderWrt

from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.work import Fill
from automigrate_ext.declared.blueprint import Blueprint, draw
from automigrate_ext.declared.editor import SchemaEditor, collecting_editor
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.schema.nouns import Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """The desired schema, and the fields of its columns."""

    schema: Schema
    fields: Mapping[tuple[str, str], Field[Any, Any]]
    editor: BaseDatabaseSchemaEditor
    one_off: Mapping[tuple[str, str], Any] = field(default_factory=dict)

    def fill(self, table: str, column: str) -> Fill | None:
        """Return the fill for rows that have no value, or None where the field has nothing to fill in.

        That is a one-off value, the field's default, called for each row if it can be called, or the value
        that Django itself fills in: "" for blank strings, now for auto_now.
        """
        key = table, column
        model_field = self.fields.get(key)
        if model_field is None or model_field.generated:
            return None
        if key in self.one_off:
            return self.constant_fill(model_field.get_db_prep_save(self.one_off[key], self.editor.connection))
        if model_field.has_db_default():
            sql = default_expression(self.editor, model_field)
            return None if sql == "NULL" else Fill(sql=sql)
        if isinstance(model_field, OrderWrt):
            return self.constant_fill(0)  # as the migration operation AlterOrderWithRespectTo fills in
        if has_default_per_row(model_field):
            return Fill(draw=partial(self.default_as_sql, model_field))
        return self.constant_fill(self.editor.effective_default(model_field))

    def constant_fill(self, value: Any) -> Fill | None:
        """Return a fill with one value for all rows, or None where the value is None."""
        return None if value is None else Fill(sql=self.editor.quote_value(value))

    def is_momentary(self, table: str, column: str) -> bool:
        """Return whether the one value for all rows is the present time."""
        model_field: Any = self.fields[table, column]
        if (table, column) in self.one_off or model_field.has_db_default() or model_field.has_default():
            return False
        return bool(getattr(model_field, "auto_now", False) or getattr(model_field, "auto_now_add", False))

    def default_as_sql(self, model_field: Field[Any, Any]) -> str:
        """Call a field's default, and return its value as SQL. Raises `AutomigrateError` for a NULL not allowed."""
        value: Any = self.editor.effective_default(model_field)
        if value is None and not model_field.null:
            raise AutomigrateError(f"The default of {model_field} gave None, and the field does not allow NULL.")
        return "NULL" if value is None else self.editor.quote_value(value)


def has_default_per_row(model_field: Field[Any, Any]) -> bool:
    """Return whether the field's default is called for each row. Types such as `dict` always return equal values."""
    default: object = model_field.default if model_field.has_default() else None
    return callable(default) and not (isinstance(default, type) and default.__module__ == "builtins")


def default_expression(editor: BaseDatabaseSchemaEditor, model_field: Field[Any, Any]) -> str:
    """Return the SQL of a field's database default."""
    sql, params = editor.db_default_sql(model_field)
    return sql % tuple(map(editor.quote_value, params)) if params else sql


def read_desired(backend: Backend, models: Iterable[type[Model]], defaults: Mapping[str, Any] | None = None) -> Desired:
    """Have the server build the models' tables in scratch, and read them back.

    `defaults` are one-off values by "app.Model.field". Raises `ScratchFailed` where the server does not
    accept a model, `AutomigrateError` where two models have one table or a one-off value does not fit.
    """
    editor, blueprints = draw_all(backend, models)
    fields = {(bp.name, column.name): column.field for bp in blueprints for column in bp.columns}
    return Desired(
        schema=backend.scratch(blueprints) if blueprints else Schema({}),
        fields=fields,
        editor=editor,
        one_off=one_off_values(blueprints, defaults or {}),
    )


def draw_all(backend: Backend, models: Iterable[type[Model]]) -> tuple[SchemaEditor, list[Blueprint]]:
    """Return the editor and the blueprints of the models' tables. Raises as `forbid_shared_tables` does."""
    editor = collecting_editor(backend.connection)
    blueprints = [draw(editor, model) for model in models]
    forbid_shared_tables(backend, blueprints)
    return editor, blueprints


def forbid_shared_tables(backend: Backend, blueprints: Iterable[Blueprint]) -> None:
    """Raise `AutomigrateError` where two managed models have the same table."""
    owners: dict[str, str] = {}
    for blueprint in blueprints:
        label = blueprint.model._meta.label
        key = backend.name_key(blueprint.name)
        if key in owners:
            raise AutomigrateError(
                f"{owners[key]} and {label} both have the table {blueprint.name!r}. Make one of them "
                f"unmanaged or a proxy, or give it another db_table."
            )
        owners[key] = label


def one_off_values(blueprints: Iterable[Blueprint], defaults: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """Return the one-off values by table and column, cleaned by their fields. Raises `AutomigrateError`."""
    known = {
        f"{blueprint.model._meta.label}.{name}".lower(): (blueprint.name, column)
        for blueprint in blueprints
        for column in blueprint.columns
        for name in (column.name, column.field.name)
    }
    values = {}
    for label, value in defaults.items():
        if label.lower() not in known:
            raise AutomigrateError(
                f"--default {label}: no such field in the models of this run. Write app.Model.field=VALUE."
            )
        table, column = known[label.lower()]
        try:
            values[table, column.name] = column.field.clean(value, None)
        except ValidationError as error:
            raise AutomigrateError(f"--default {label}={value}: {' '.join(error.messages)}") from error
    return values
