"""The effect of a change of type on values, as far as Django's fields show it: a wider type loses none."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext.backends.generic.introspection import TypeFacts

#: The fields of texts: one without a length holds all values of one with a length.
TEXTS = ("CharField", "TextField")
NOT_TOLD = (
    "Django's introspection does not show what the server would make of its values. Add a field of the new type, copy "
    "the values, and remove the old one"
)

RESTS_ON = "Column {table}.{column} would have to be recreated, and a key, constraint or index rests on it"

KEYED = "{database} renames no column on which a key rests, as {column}"

KEYS_NAME = "{name} is what the primary key of {table} is called, and no schema editor renames one"


def never_loses(connection: BaseDatabaseWrapper, old: TypeFacts, new: TypeFacts) -> bool:
    """Return whether the new type holds every value of the old one."""
    return widens_text(old, new) or widens_integer(connection, old, new) or widens_decimal(old, new)


def widens_text(old: TypeFacts, new: TypeFacts) -> bool:
    """Return whether both are texts, and the new one is as long or has no length."""
    if old.field not in TEXTS or new.field not in TEXTS:
        return False
    if new.field == "TextField":
        return True
    length, longer = old.params.get("max_length"), new.params.get("max_length")
    if length is None or longer is None:
        return False
    return old.field == "CharField" and old.code == new.code and bool(length <= longer)


def widens_integer(connection: BaseDatabaseWrapper, old: TypeFacts, new: TypeFacts) -> bool:
    """Return whether both are integers, and the new one's range includes the old one's."""
    if not (is_integer(old) and is_integer(new)):
        return False
    try:
        ranges = [connection.ops.integer_field_range(facts.field) for facts in (old, new)]
    except KeyError:
        return False
    ends: list[Any] = [end for pair in ranges for end in pair]
    low, high, lower, higher = ends
    if not is_as_large(old, new):
        return False
    if None in (low, high, lower, higher):
        # Without ends, as on SQLite, each type holds all values of the other.
        return True
    return bool(lower <= low and high <= higher)


def is_integer(facts: TypeFacts) -> bool:
    """Return whether a type is that of an integer: SQLite's backend gives every type the range of one."""
    kind = getattr(models, facts.field, None)
    return isinstance(kind, type) and issubclass(kind, models.IntegerField)


def is_as_large(old: TypeFacts, new: TypeFacts) -> bool:
    """Return whether no number of the type in introspection is smaller: MariaDB's `bool` is an integer to Django."""
    pairs: list[Any] = list(zip(old.sizes, new.sizes, strict=True))
    return all(larger is not None and size <= larger for size, larger in pairs if size is not None)


def widens_decimal(old: TypeFacts, new: TypeFacts) -> bool:
    """Return whether both are decimals, and the new one has as many digits on either side of the point."""
    if (old.field, new.field) != ("DecimalField", "DecimalField"):
        return False
    try:
        digits, scale, more_digits, more_scale = (
            facts.params[name] for facts in (old, new) for name in ("max_digits", "decimal_places")
        )
    except KeyError:
        return False
    return bool(scale <= more_scale and digits - scale <= more_digits - more_scale)
