"""The casts from one PostgreSQL type to another: the expression of USING, and the condition that a value survives it.

Types are as format_type() prints them. In the texts `{c}` stands for the column, `{v}` for its new value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# Types that hold every value of another one. Source: PostgreSQL's documentation, chapter "Data types"
# (ranges of the numeric types; varchar and text hold the same strings).
WIDER = {
    "smallint": {"integer", "bigint", "numeric", "real", "double precision"},
    "integer": {"bigint", "numeric", "double precision"},
    "bigint": {"numeric"},
    "real": {"double precision"},
    "character varying": {"text"},
    "date": {"timestamp without time zone"},
}
INTEGERS = frozenset(("smallint", "integer", "bigint"))
FAMILIES = {
    "smallint": "number",
    "integer": "number",
    "bigint": "number",
    "numeric": "number",
    "real": "number",
    "double precision": "number",
    "character varying": "text",
    "character": "text",
    "text": "text",
    "citext": "text",
    "date": "moment",
    "timestamp without time zone": "moment",
    "timestamp with time zone": "moment",
    "json": "json",
    "jsonb": "json",
    "inet": "address",
}

# This uses the value, so that a cast that fails does fail.
ALWAYS = "({v}) IS NOT NULL"
COMES_BACK = "({v})::{old}::text = {c}::text"
READS_THE_SAME = "({v})::text = {c}::text"
# 1.50 is the number 1.5; 007 and " 7" are more than the number 7.
SAME_NUMBER = (
    "({v})::text = {c}::text OR CASE WHEN {c}::text ~ '^-?(0|[1-9][0-9]*)([.][0-9]+)?$' "
    "THEN {c}::numeric = ({v})::text::numeric ELSE false END"
)
# Python formats a moment with T or a blank, with Z or +00:00, and a fraction with zeros at its end.
MOMENT = (
    "regexp_replace(regexp_replace(translate({c}::text, 'T', ' '), '(Z|[+]00(:?00)?)$', ''), "
    "'([.][0-9]*[1-9])0+$|[.]0+$', '\\1')"
)
SAME_MOMENT = f"replace(({{v}})::text, '+00', '') IN ({MOMENT}, {{c}}::text || ' 00:00:00')"
# The server keeps neither spaces nor the order of keys, nor the spelling of numbers and letters, and only the last of
# duplicate keys: the text between strings and numbers shows whether there are any.
STRUCTURE = r"""regexp_replace(regexp_replace({text}, '"([^"\\]|\\.)*"', '', 'g'), '[^][{}:,]', '', 'g')"""
SAME_JSON = f"length({STRUCTURE.replace('{text}', '({v})::text')}) = length({STRUCTURE.replace('{text}', '{c}::text')})"
TRUE_OR_FALSE = "({v}) IS NOT NULL AND lower({c}::text) IN ('true', 'false', 't', 'f', '1', '0')"
FIRST = "({c})[array_lower({c}, 1)]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """One way to convert values: the expression that does it, and the condition that nothing of one is lost."""

    using: str = "{c}::{new}"
    survives: str = COMES_BACK

    def value(self, column: str, new: str) -> str:
        """Return the expression for a column that becomes one of type `new`."""
        return self.using.replace("{c}", column).replace("{new}", new)

    def lost(self, column: str, old: str, new: str) -> str:
        """Return the condition that something of a value of the column is lost."""
        survives = self.survives.replace("{v}", self.value(column, new)).replace("{c}", column).replace("{old}", old)
        return f"{column} IS NOT NULL AND ({survives}) IS NOT TRUE"


def casts(old: str, new: str) -> Iterator[Cast]:
    """Yield the casts to try, best first; the server may have none of them."""
    old_family, new_family = family(old), family(new)
    if special := SPECIAL.get((old_family, new_family)):
        yield special
    elif new_family == "json":
        yield Cast(using="to_jsonb({c})::{new}", survives=ALWAYS)
    elif new_family == "array" and old_family != "array":
        yield from casts_to_array(old_family)
    elif old_family == "array" and new_family not in ("array", "text"):
        yield Cast(using=f"{FIRST}::{{new}}", survives=f"cardinality({{c}}) = 1 AND ({{v}})::text = {FIRST}::text")
    elif old_family == "json" and new_family != "text":
        yield Cast(survives="to_jsonb({v}) = {c}::jsonb")
    else:
        yield Cast(survives=READS_THE_SAME if new_family == "text" else COMES_BACK)
        yield Cast(using="{c}::text::{new}", survives=READS_THE_SAME)
        # numeric has 15 digits of a double precision; its text has all.
        if old_family == new_family == "number":
            yield Cast(using="{c}::text::{new}")


#: Casts that are better than a plain one, by the families of the types.
#: The text of an inet has a mask even if none was given; abbrev() leaves out a mask of the whole address: PostgreSQL's
#: documentation, "Network Address Functions and Operators".
SPECIAL = {
    ("number", "json"): Cast(using="to_jsonb({c})::{new}", survives="jsonb_typeof(to_jsonb({c})) = 'number'"),
    ("text", "address"): Cast(survives="abbrev({v}) = lower({c}::text) OR ({v})::text = lower({c}::text)"),
    ("address", "text"): Cast(using="abbrev({c})::{new}", survives="({v})::text = abbrev({c})"),
    ("number", "boolean"): Cast(using="({c} <> 0)", survives="{c} IN (0, 1)"),
    ("boolean", "number"): Cast(using="{c}::integer::{new}", survives=ALWAYS),
    ("text", "boolean"): Cast(survives=TRUE_OR_FALSE),
    ("text", "number"): Cast(survives=SAME_NUMBER),
    ("text", "moment"): Cast(survives=SAME_MOMENT),
    ("text", "uuid"): Cast(survives=ALWAYS),
    ("text", "json"): Cast(survives=SAME_JSON),
    ("json", "json"): Cast(survives=SAME_JSON),
    ("text", "bytea"): Cast(using="convert_to({c}, 'UTF8')", survives=ALWAYS),
    ("bytea", "text"): Cast(using="convert_from({c}, 'UTF8')::{new}", survives="convert_to(({v})::text, 'UTF8') = {c}"),
}


def casts_to_array(old_family: str) -> Iterator[Cast]:
    """Yield the casts to an array: a text as an array literal, and any value as the only element."""
    if old_family == "text":
        yield Cast(survives=ALWAYS)
    # A text that begins with a brace is more likely an array literal.
    yield Cast(
        using="CASE WHEN {c} IS NOT NULL THEN ARRAY[{c}]::{new} END",
        survives="({v})[1]::text = {c}::text AND left({c}::text, 1) <> '{'",
    )


def family(printed: str) -> str:
    """Return the family of a type: a name that `SPECIAL` contains, or the type's own name."""
    if printed.endswith("[]"):
        return "array"
    base, _ = split_modifiers(printed)
    return FAMILIES.get(base, base)


def never_loses(old: str, new: str) -> bool:
    """Return whether every value of the old type is one of the new type, judging by the types alone."""
    old_base, old_modifiers = split_modifiers(old)
    new_base, new_modifiers = split_modifiers(new)
    if new_base in WIDER.get(old_base, ()):
        return not new_modifiers
    if old_base != new_base:
        return False
    if not new_modifiers:
        return True
    if old_base == "character varying":
        return bool(old_modifiers) and old_modifiers[0] <= new_modifiers[0]
    if old_base == "numeric" and len(old_modifiers) == len(new_modifiers) == 2:
        whole = new_modifiers[0] - new_modifiers[1] >= old_modifiers[0] - old_modifiers[1]
        return whole and new_modifiers[1] >= old_modifiers[1]
    return False


def widens(old: str, new: str) -> bool:
    """Return whether code reads and writes values of both types in the same form, and the new one holds all of the old.

    Numbers stay integers or decimals, which are other values to Python.
    """
    bases = [split_modifiers(printed)[0] for printed in (old, new)]
    is_alike = bases[0] == bases[1] or set(bases) <= INTEGERS or tuple(bases) == ("character varying", "text")
    return is_alike and never_loses(old, new)


def split_modifiers(printed: str) -> tuple[str, tuple[int, ...]]:
    """Split a type as format_type() prints it, such as "numeric(10,2)", into its name and its modifiers."""
    name, bracket, rest = printed.partition("(")
    if not bracket or not rest.endswith(")"):
        return printed, ()
    modifiers = rest[:-1].split(",")
    if not all(modifier.lstrip("-").isdigit() for modifier in modifiers):
        return printed, ()
    return name, tuple(map(int, modifiers))
