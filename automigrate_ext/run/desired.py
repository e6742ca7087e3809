"""The desired schema: the tables that the server would create from the models."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import DateTimeField, Field, Model, Value
from django.db.models.fields.proxy import OrderWrt
from django.db.models.functions import Now

from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.work import Fill
from automigrate_ext.declared.blueprint import Blueprint, draw, kept_name, kept_table_name
from automigrate_ext.declared.editor import SchemaEditor, collecting_editor
from automigrate_ext.declared.values import as_sql, called, worded
from automigrate_ext.declared.wanted import cleaned
from automigrate_ext.exceptions import AutomigrateError, UnusableValue
from automigrate_ext.schema.nouns import Schema
from automigrate_ext.words import did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """The desired schema, and the fields of its columns."""

    schema: Schema
    fields: Mapping[tuple[str, str], Field[Any, Any]]
    editor: BaseDatabaseSchemaEditor
    #: One-off values by table and column, each alone in a tuple.
    one_off: Mapping[tuple[str, str], tuple[Any]] = field(default_factory=dict)
    #: The blueprints of the tables, by name.
    drawn: Mapping[str, Blueprint] = field(default_factory=dict)

    def fill(self, table: str, column: str) -> Fill | None:
        """Return the fill for rows that have no value, or None where the field has nothing to fill in.

        That is a one-off value, the field's default, called for each row if it can be called, or the value
        that Django itself fills in: "" for blank strings, now for auto_now.
        """
        key = table, column
        model_field = self.fields.get(key)
        if model_field is None or model_field.generated:
            return None
        try:
            return self.value_of(model_field, *self.one_off.get(key, ()))
        except UnusableValue as error:
            return Fill(fault=str(error))

    def value_of(self, model_field: Field[Any, Any], *one_off: Any) -> Fill | None:
        """Return the fill of a field, with the one-off value if there is one. Raises `UnusableValue`."""
        if one_off:
            return self.constant_fill(model_field, f"The value for {model_field}", lambda: one_off[0])
        if model_field.has_db_default():
            return self.database_default(model_field)
        if isinstance(model_field, OrderWrt):
            return Fill(sql="0")  # as the migration operation AlterOrderWithRespectTo fills in
        if has_default_per_row(model_field):
            return Fill(draw=partial(self.default_as_sql, model_field), origin=origin(model_field))
        if model_field.has_default():
            return self.constant_fill(model_field, origin(model_field), model_field.get_default)
        value: Any = self.editor.effective_default(model_field)
        return None if value is None else Fill(sql=self.editor.quote_value(value))

    def database_default(self, model_field: Field[Any, Any]) -> Fill | None:
        """Return the fill with a field's database default. Raises `UnusableValue`."""
        sql = default_expression(self.editor, model_field)
        if sql == "NULL":
            return None
        given: Any = model_field.db_default
        given = given.value if isinstance(given, Value) else given
        if hasattr(given, "resolve_expression"):
            return Fill(sql=sql)
        where = worded("db_default", given, model_field)
        as_sql(self.editor, model_field, given, where)
        return Fill(sql=sql, origin=where)

    def constant_fill(self, model_field: Field[Any, Any], where: str, value: Callable[[], Any]) -> Fill | None:
        """Return a fill with one value for all rows, or None where the value is None. Raises `UnusableValue`."""
        sql = as_sql(self.editor, model_field, called(value, where), where)
        return None if sql == "NULL" else Fill(sql=sql, origin=where)

    def standing_default(self, table: str, column: str) -> str:
        """Return the SQL of a default of the database by which rows get what the field would give them; "" for none.

        Values of functions that are called for each row have none. Where Django writes the present time, that is the
        time at which a row is put in.
        """
        fill = self.fill(table, column)
        if fill is None or fill.fault or fill.draw:
            return ""
        if not self.is_momentary(table, column):
            return fill.sql
        moment = copy.copy(self.fields[table, column])
        if type(moment) is not DateTimeField:
            return ""
        vars(moment).pop("_db_default_expression", None)
        moment.db_default = Now()
        return default_expression(self.editor, moment)

    def is_momentary(self, table: str, column: str) -> bool:
        """Return whether the one value for all rows is the present time."""
        model_field: Any = self.fields[table, column]
        if (table, column) in self.one_off or model_field.has_db_default() or model_field.has_default():
            return False
        return bool(getattr(model_field, "auto_now", False) or getattr(model_field, "auto_now_add", False))

    def default_as_sql(self, model_field: Field[Any, Any]) -> str:
        """Call a field's default, and return its value as SQL.

        Raises `UnusableValue` where the default fails, and for a value that the field does not take, or a NULL not
        allowed.
        """
        where = origin(model_field)
        value = called(model_field.get_default, where)
        if value is None and not model_field.null:
            raise UnusableValue(f"{where} gave None, and the field does not allow NULL.")
        return as_sql(self.editor, model_field, value, where)


def has_default_per_row(model_field: Field[Any, Any]) -> bool:
    """Return whether the field's default is called for each row. Types such as `dict` always return equal values."""
    default: object = model_field.default if model_field.has_default() else None
    return callable(default) and not (isinstance(default, type) and default.__module__ == "builtins")


def origin(model_field: Field[Any, Any]) -> str:
    """Return a field's default in words, at the start of a sentence."""
    default: Any = model_field.default
    if callable(default):
        return f"The default {getattr(default, '__qualname__', type(default).__name__)}() of {model_field}"
    return worded("default", default, model_field)


def default_expression(editor: BaseDatabaseSchemaEditor, model_field: Field[Any, Any]) -> str:
    """Return the SQL of a field's database default."""
    sql, params = editor.db_default_sql(model_field)
    return sql % tuple(map(editor.quote_value, params)) if params else sql


def read_desired(backend: Backend, models: Iterable[type[Model]], defaults: Mapping[str, Any] | None = None) -> Desired:
    """Have the server build the models' tables in scratch, and read them back.

    `defaults` are one-off values by "app.Model.field". Raises `ScratchFailed` where the server does not
    accept a model, `AutomigrateError` where two models have one table or a one-off value does not fit.
    """
    with uncollected():
        editor, blueprints = draw_all(backend, models)
        schema = backend.scratch(blueprints) if blueprints else Schema({})
    fields = {(bp.name, column.name): column.field for bp in blueprints for column in bp.columns}
    return Desired(
        schema=schema,
        fields=fields,
        editor=editor,
        one_off=one_off_values(blueprints, defaults or {}),
        drawn={blueprint.name: blueprint for blueprint in blueprints},
    )


@contextmanager
def uncollected() -> Iterator[None]:
    """Let the garbage collector rest while the block builds values that stay.

    It looks through all of them each time that they have grown by a quarter, and finds nothing: with 1,000 models that
    is a tenth of the run. Source: https://docs.python.org/3/library/gc.html#gc.set_threshold
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def draw_all(backend: Backend, models: Iterable[type[Model]]) -> tuple[SchemaEditor, list[Blueprint]]:
    """Return the editor and the blueprints of the models' tables. Raises as `forbid_shared_tables` does."""
    editor = collecting_editor(backend.connection)
    blueprints = [draw(editor, model) for model in models]
    forbid_unquotable(backend, blueprints)
    forbid_shared_tables(backend, blueprints)
    return editor, blueprints


def forbid_unquotable(backend: Backend, blueprints: Iterable[Blueprint]) -> None:
    """Raise `AutomigrateError` for names that Django cannot quote: it does not double the mark in them."""
    mark = backend.quote("x")[0]
    for blueprint in blueprints:
        columns = ((f"column of {{}}.{column.field.name}", column.name) for column in blueprint.columns)
        for owner, name in (("table of {}", blueprint.name), *columns):
            # "schema"."table" with its outer marks or without, as Django passes it on.
            if mark in name and mark in bare(name, mark).replace(f"{mark}.{mark}", "", 1):
                raise AutomigrateError(
                    f"The name {name!r} of the {owner.format(blueprint.model._meta.label)} has a {mark} in it, which "
                    f"Django does not double in SQL as {backend.connection.display_name} needs it. Give it another "
                    f"name (db_table, db_column)."
                )


def bare(name: str, mark: str) -> str:
    """Return a name without the quotation marks around it, if it has them."""
    return name[1:-1] if name[0] == name[-1] == mark and len(name) > 1 else name


def forbid_shared_tables(backend: Backend, blueprints: Iterable[Blueprint]) -> None:
    """Raise `AutomigrateError` where two managed models have the same table, or names that the server cuts alike."""
    owners: dict[str, Blueprint] = {}
    for blueprint in blueprints:
        key = backend.name_key(kept_table_name(blueprint.connection, blueprint.name))
        other = owners.setdefault(key, blueprint)
        if other is not blueprint:
            raise AutomigrateError(
                f"{other.model._meta.label} and {blueprint.model._meta.label} both have the table {blueprint.name!r}"
                f"{cut_alike(other.name, blueprint.name)}. Make one of them unmanaged or a proxy, or give it another "
                f"db_table."
            )
        forbid_shared_names(blueprint)


def forbid_shared_names(blueprint: Blueprint) -> None:
    """Raise `AutomigrateError` where the server cuts the names of two columns, or of two other parts, alike."""
    parts = (*blueprint.model._meta.indexes, *blueprint.model._meta.constraints)
    for kind, names in (
        ("columns", [str(column.field.column) for column in blueprint.columns]),
        ("indexes or constraints", [part.name for part in parts]),
    ):
        whole: dict[str, str] = {}
        for name in names:
            other = whole.setdefault(kept_name(blueprint.connection, name), name)
            if other != name:
                raise AutomigrateError(
                    f"{blueprint.owner} has the {kind} {other!r} and {name!r}{cut_alike(other, name)}. Give one of "
                    f"them a shorter name."
                )


def cut_alike(one: str, other: str) -> str:
    """Return why two different names are one to the server, or "" where they are equal."""
    return "" if one == other else f", because the server cuts {one!r} and {other!r} off at the same characters"


def one_off_values(blueprints: Iterable[Blueprint], defaults: Mapping[str, Any]) -> dict[tuple[str, str], tuple[Any]]:
    """Return the one-off values by table and column, cleaned by their fields. Raises `AutomigrateError`."""
    if not defaults:
        return {}
    blueprints = list(blueprints)
    known = {
        f"{blueprint.model._meta.label}.{name}".lower(): (blueprint.name, column)
        for blueprint in blueprints
        for column in blueprint.columns
        for name in (column.name, column.field.name)
    }
    written = [f"{blueprint.model._meta.label}.{c.field.name}" for blueprint in blueprints for c in blueprint.columns]
    values = {}
    for label, value in defaults.items():
        if label.lower() not in known:
            raise AutomigrateError(
                f"--default {label}: the models of this run have no such field."
                f"{did_you_mean(label, written) or ' Write app.Model.field=VALUE.'}"
            )
        table, column = known[label.lower()]
        try:
            values[table, column.name] = (cleaned(column.field, value),)
        except ValidationError as error:
            raise AutomigrateError(f"--default {label}={value}: {' '.join(error.messages)}") from error
    return values
