"""Copies of models for the schema editor: under other names, alone in a registry, reduced to what is needed."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.apps.registry import Apps
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import NOT_PROVIDED, Model
from django.utils.functional import cached_property


class GivenTypeField(models.Field):  # type: ignore[type-arg]
    """The field of a column that no model has, and of which only the name and type are known."""

    def __init__(self, *args: Any, given_type: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.given_type = given_type

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return self.given_type

    def get_internal_type(self) -> str:
        return "GivenTypeField"


def model_named(db_table: str, fields: Mapping[str, Any], **options: Any) -> type[Model]:
    """Return a model in a registry of its own, so that no other model is affected."""
    meta = {"apps": Apps(), "app_label": "automigrate_ext", "db_table": db_table, **options}
    body = {"__module__": __name__, "Meta": type("Meta", (), meta), **fields}
    return type("Copied", (models.Model,), body)


def copied(
    model: type[Model],
    db_table: str = "",
    *,
    given_names: Mapping[str, str] | None = None,
    indexed_references: Collection[str] | None = None,
) -> type[Model]:
    """Return a model with the columns, constraints and indexes of another one, and nothing else of it.

    `given_names` maps the names of constraints and indexes to others. With `indexed_references` foreign keys are not
    constraints of the database, and those of them that it names have indexes.
    """
    opts = model._meta
    fields = {field.name: copy.deepcopy(field) for field in own_fields(model)}
    for name, field in fields.items():
        if field.remote_field and indexed_references is not None:
            fields[name] = altered(field, db_constraint=False, db_index=name in indexed_references)
    return model_named(
        db_table or opts.db_table,
        fields,
        app_label=opts.app_label,
        db_tablespace=opts.db_tablespace,
        db_table_comment=opts.db_table_comment,
        unique_together=opts.unique_together,
        indexes=list(renamed(opts.indexes, given_names)),
        constraints=list(renamed(opts.constraints, given_names)),
    )


def own_fields(model: type[Model]) -> Iterable[Any]:
    """Return the fields of a model's own table, a composite primary key among them."""
    opts: Any = model._meta
    composite = [field for field in opts.local_fields if field.column is None and field.primary_key]
    return [*(field for field in opts.local_fields if field.column), *composite]


def renamed(things: Iterable[Any], names: Mapping[str, str] | None) -> Iterable[Any]:
    """Yield copies of indexes or constraints under other names."""
    for thing in things:
        other = copy.copy(thing)
        other.name = (names or {}).get(thing.name, thing.name)
        yield other


def without_default(field: Any, **attributes: Any) -> Any:
    """Return a copy of a field for which Django's schema editor finds no value but a default of the database."""
    never = {name: False for name in ("auto_now", "auto_now_add") if hasattr(field, name)}
    return altered(field, default=NOT_PROVIDED, blank=False, empty_strings_allowed=False, **never, **attributes)


def altered(field: Any, **attributes: Any) -> Any:
    """Return a copy of a field with other attributes, and no values computed from the former ones."""
    other = copy.deepcopy(field)
    for name in [name for name in vars(other) if isinstance(getattr(type(other), name, None), cached_property)]:
        del other.__dict__[name]
    for name, value in attributes.items():
        setattr(other, name, value)
    return other


def with_parameters(field: Any, **parameters: Any) -> Any:
    """Return a field whose column has other parameters (`type`, `check`, `collation`) than those of its class."""
    found = field.db_parameters

    def db_parameters(connection: BaseDatabaseWrapper) -> dict[str, Any]:
        return {**found(connection=connection), **parameters}

    field.db_parameters = db_parameters
    if "type" in parameters:
        field.db_type = lambda connection: parameters["type"]
    return field
