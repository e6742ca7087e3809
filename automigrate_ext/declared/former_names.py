"""The attribute `former_names` of models: what a model, or a field of it, was called before."""

from __future__ import annotations

from collections.abc import Mapping

from django.db.models import Model

ATTRIBUTE = "former_names"


def former_names(model: type[Model]) -> dict[object, object]:
    """Return the former names that the model and its bases declare; the nearer class counts."""
    names: dict[object, object] = {}
    for base in reversed(model.__mro__):
        names.update(names_at(base) or {})
    return names


def names_at(base: type) -> Mapping[object, object] | None:
    """Return the former names that one class declares; a field or method of the attribute's name is no hint."""
    value = vars(base).get(ATTRIBUTE)
    return value if isinstance(value, Mapping) else None
