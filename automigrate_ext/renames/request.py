"""A rename as somebody wrote it, and the fields that it may be of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameRequest:
    """A rename as somebody wrote it.

    `old` is "app.Model", "app.Model.field", "table" or "table.column", and `new` the name in the models, which
    is "app.Model" for a model that was in another app.
    `hint` is the name of a hint in messages, and empty for a rename that was requested for this run.
    """

    old: str
    new: str
    hint: str = ""

    @property
    def label(self) -> str:
        """The name of the request in messages."""
        return self.hint or f"--rename {self.old}={self.new}"


def quoted(name: str) -> str:
    """Return a name in quotation marks."""
    return f'"{name}"'


def own_fields(model: type[Model]) -> dict[str, Any]:
    """Return the fields whose columns or tables belong to the model itself, by name; foreign keys by attribute too."""
    fields: Iterable[Any] = model._meta.local_fields
    keys = {f.attname: f for f in fields if f.is_relation}
    return {**keys, **{f.name: f for f in (*fields, *model._meta.local_many_to_many)}}
