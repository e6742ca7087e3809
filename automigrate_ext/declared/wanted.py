"""What kind of value a field takes, in words, and why it does not take a text that somebody typed."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import (
    BinaryField,
    BooleanField,
    CharField,
    DateField,
    DateTimeField,
    DecimalField,
    DurationField,
    EmailField,
    Field,
    FloatField,
    GenericIPAddressField,
    IntegerField,
    JSONField,
    SlugField,
    TextField,
    TimeField,
    URLField,
    UUIDField,
)

from automigrate_ext.words import with_article

#: The number of choices that are listed.
CHOICES_SHOWN = 10
#: The largest number of 64 bits: whoever types a value needs no such limit.
LARGEST = 2**63 - 1
#: The words for each kind of field; a kind comes before those that it is derived from.
KINDS: tuple[tuple[type[Field[Any, Any]], str], ...] = (
    (BooleanField, "True or False"),
    (FloatField, "a number"),
    (DateTimeField, "a date and time, such as 2026-03-02 14:30"),
    (DateField, "a date, such as 2026-03-02"),
    (TimeField, "a time, such as 14:30"),
    (DurationField, "a duration, such as 1 12:30:00 for a day and a half and 30 minutes"),
    (UUIDField, "a UUID"),
    (GenericIPAddressField, "an IP address"),
    (BinaryField, "bytes, written in base64"),
    (JSONField, "a text, which becomes a text in JSON"),
    (EmailField, "an e-mail address"),
    (URLField, "a URL"),
    (SlugField, "a slug: letters, digits, hyphens and underscores"),
    (TextField, "a text"),
)


def wanted(field: Any, connection: BaseDatabaseWrapper) -> str:
    """Return the kind of value that a field takes, in words: "a whole number from 0 to 32767"."""
    if field.remote_field:
        target = field.target_field
        return f"the {target.name} of a {target.model._meta.label}, {wanted(target, connection)}"
    if field.choices:
        values = [str(value) for value, _ in field.flatchoices if value is not None]
        more = ", ..." if len(values) > CHOICES_SHOWN else ""
        return f"one of {', '.join(values[:CHOICES_SHOWN])}{more}"
    if isinstance(field, IntegerField):
        return whole_number(field, connection)
    if isinstance(field, DecimalField):
        return decimal_number(field)
    words = next((words for kind, words in KINDS if isinstance(field, kind)), "")
    if isinstance(field, (CharField, TextField)):
        limit = f" of at most {field.max_length} characters" if field.max_length else ""
        return f"{words or 'a text'}{limit}"
    return words or f"what {with_article(type(field).__name__)} reads"


def whole_number(field: Any, connection: BaseDatabaseWrapper) -> str:
    """Return the kind of value that a field of whole numbers takes, with the range of its column where it has one."""
    kind = field.get_internal_type()
    if kind not in connection.ops.integer_field_ranges:
        return "a whole number"
    low, high = tuple[Any, Any](connection.ops.integer_field_range(kind))  # None for no limit on some databases
    if low is None or high is None or high >= LARGEST:
        return "a whole number, 0 or more" if low == 0 else "a whole number"
    return f"a whole number from {low} to {high}"


def decimal_number(field: Any) -> str:
    """Return the kind of value that a field of decimal numbers takes."""
    if field.max_digits is None or field.decimal_places is None:
        return "a decimal number"
    return f"a decimal number of up to {field.max_digits} digits, {field.decimal_places} of them after the point"


def cleaned(field: Any, value: Any) -> Any:
    """Return a value as the field has it. Raises `ValidationError`.

    Whether there is a row for a reference to point at is asked once rows need the value: the table may not exist yet,
    and Django asks the database from which the routers let the target be read.
    """
    if field.remote_field:
        return field.to_python(value)
    return field.clean(value, None)


def why_unfit(field: Any, text: str) -> str:
    """Return why a field does not take a text, or "" where it does."""
    try:
        cleaned(field, text)
    except ValidationError as error:
        return " ".join(error.messages)
    return ""
