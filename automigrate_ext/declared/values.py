"""Values of fields as SQL, and why a value cannot be one of its field's."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.core.exceptions import ValidationError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import format_number
from django.db.models import CharField, DecimalField, Field, IntegerField, Model

from automigrate_ext import conf
from automigrate_ext.declared.editor import SchemaEditor
from automigrate_ext.exceptions import UnusableValue

#: Up to how many characters a value is shown.
LONGEST = 60


def called(function: Callable[[], Any], where: str) -> Any:
    """Return what a function of the project's returns. Raises `UnusableValue`, whose message begins with `where`."""
    try:
        return function()
    except Exception as error:
        raise unusable(where, error) from error


def as_sql(editor: SchemaEditor, model_field: Field[Any, Any], value: Any, where: str) -> str:
    """Return a value as SQL, adapted as where it is saved; "NULL" for None.

    Raises `UnusableValue`, whose message begins with `where`, for a value that the field does not take, or that is too
    long or too large for the type of the column, whether the database would store it or not.
    """
    connection = editor.connection
    try:
        saved = model_field.get_db_prep_save(value, connection)
        if saved is None:
            return "NULL"
        reason = misfit(model_field, value, saved, connection)
        quoted = str(editor.quote_value(saved if reason else rounded(model_field, saved)))
    except Exception as error:
        if looks_secret(model_field):
            # Messages of Django quote the value.
            raise UnusableValue(f"{where} cannot be used: the field does not take it.") from None
        raise unusable(where, error) from error
    if reason:
        raise UnusableValue(f"{where} cannot be used: {reason}")
    return quoted


def unusable(where: str, error: Exception) -> UnusableValue:
    """Return the error about a value, with the reason that Django or the project's code gave."""
    if isinstance(error, ValidationError):
        reason = " ".join(error.messages)
    elif isinstance(error, (TypeError, ValueError)):
        reason = str(error)
    else:
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")
    return UnusableValue(f"{where} cannot be used: {' '.join(reason.split())}")


def looks_secret(model_field: Any) -> bool:
    """Return whether messages must not show a field's values: its name or column looks secret, or that it points at."""
    names = (model_field.name, model_field.column or "")
    targets = getattr(model_field, "foreign_related_fields", ()) if model_field.remote_field else ()
    return any(map(conf.hides, names)) or any(target != model_field and looks_secret(target) for target in targets)


def secret_columns(models: Iterable[type[Model]]) -> Iterator[tuple[str, str]]:
    """Yield the columns, each after its table, of the fields whose values messages must not show."""
    for model in models:
        for model_field in model._meta.local_concrete_fields:
            if looks_secret(model_field):
                yield model._meta.db_table, str(model_field.column)


def worded(kind: str, value: Any, model_field: Field[Any, Any]) -> str:
    """Return a value of a field in words, at the start of a sentence: "The default 'x' of todo.Todo.title"."""
    words = kind if looks_secret(model_field) else f"{kind} {shown(value)}"
    return f"The {words} of {model_field}"


def shown(value: Any) -> str:
    """Return a value for a message, in one line and cut to a readable length."""
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def misfit(model_field: Any, value: Any, saved: Any, connection: BaseDatabaseWrapper) -> str:
    """Return why a value, `saved` as it is written to the database, is beyond the type of its column; else ""."""
    while model_field.remote_field:
        model_field = model_field.target_field
    if isinstance(model_field, IntegerField):
        return beyond_range(model_field, saved, connection)
    if isinstance(model_field, DecimalField):
        return beyond_digits(model_field, model_field.to_python(value))
    return beyond_length(model_field, saved, connection)


def beyond_range(model_field: Any, saved: Any, connection: BaseDatabaseWrapper) -> str:
    """Return why a number is beyond the range of the type that Django has for the field's kind of integers."""
    kind = model_field.get_internal_type()
    if kind not in connection.ops.integer_field_ranges or not isinstance(saved, int):
        return ""
    low, high = tuple[Any, Any](connection.ops.integer_field_range(kind))  # None for no limit on some databases
    if (low is not None and saved < low) or (high is not None and saved > high):
        return f"it is not between {low} and {high}."
    return ""


def beyond_digits(model_field: Any, value: Any) -> str:
    """Return why a number has more digits before its point than the field's type."""
    digits, places = model_field.max_digits, model_field.decimal_places
    if digits is None or places is None:
        return ""
    try:
        format_number(value, digits, places)
    except decimal.InvalidOperation:
        return f"it has more than {digits - places} digits before the decimal point."
    return ""


def rounded(model_field: Any, saved: Any) -> Any:
    """Return a decimal with the places of its field, to which not every server rounds it; any other value as it is."""
    digits, places = getattr(model_field, "max_digits", None), getattr(model_field, "decimal_places", None)
    if not isinstance(saved, decimal.Decimal) or not saved.is_finite() or digits is None or places is None:
        return saved
    value = decimal.Decimal(str(format_number(saved, digits, places)))
    return saved if value == saved else value


def beyond_length(model_field: Any, saved: Any, connection: BaseDatabaseWrapper) -> str:
    """Return why a text is longer than the type of its column, where that is the type of a `CharField`."""
    limit = getattr(model_field, "max_length", None)
    if limit is None or not isinstance(saved, str) or len(saved) <= limit:
        return ""
    if model_field.db_type(connection) != CharField(max_length=limit).db_type(connection):
        return ""
    return f"it has {len(saved)} characters, and the column takes {limit}."
