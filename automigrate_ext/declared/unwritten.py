"""What a comparison reads from models and no statement has: digits of numbers, keys that are Django's, given names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import DecimalField, ForeignKey, Model

from automigrate_ext.declared.former_names import former_names


def unwritten(model: type[Model]) -> Iterator[str]:
    """Yield whatever a comparison reads from a model besides the statements that make its table."""
    opts: Any = model._meta
    yield from (opts.label, (opts.auto_created or model)._meta.label, str(has_automatic_key(model)))
    yield repr(former_names(model))
    yield from (given.name for given in (*opts.indexes, *opts.constraints))
    for field in opts.local_fields:
        if digits := digits_of_field(field):
            yield f"{field.column} {digits}"


def has_automatic_key(model: type[Model]) -> bool:
    """Return whether Django made the primary key, rather than the model or one that it inherits from."""
    pk = model._meta.pk
    return bool(getattr(pk, "auto_created", False)) and not getattr(pk, "remote_field", None)


def digits_of_field(field: Any) -> tuple[int, int] | None:
    """Return the digits of a decimal field, or of the one at which a foreign key points; None for others.

    SQLite's type has no place for them: Django rounds values to them when it reads, and fails for larger ones.
    Source: `get_decimalfield_converter` in django/db/backends/sqlite3/operations.py.
    """
    while isinstance(field, ForeignKey):
        field = field.target_field
    digits: tuple[Any, Any] = (getattr(field, "max_digits", None), getattr(field, "decimal_places", None))
    return digits if isinstance(field, DecimalField) and None not in digits else None
