"""Conditions under which a value certainly survives another type, so that one pass over the table proves most of them.

They are narrow on purpose: a value for which none holds is converted by the server, there and back (`hazards`). A text
is as the server prints the value of the new type, or differs from that in ways that `hazards.survives` allows.
"""

from __future__ import annotations

import re

from automigrate_ext.backends.mysql.parser import BOOLEAN, INTEGERS
from automigrate_ext.schema.nouns import Column

#: The number of bits of the integer types.
BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
UUID = "uuid"
NUMERIC = re.compile(r"^decimal\((\d+),(\d+)\)( unsigned)?$")
DATETIME = re.compile(r"^datetime(?:\((\d)\))?$")
VARCHAR = re.compile(r"^varchar\((\d+)\)$")
#: Types whose values are the texts that they print.
TEXT = re.compile(r"^(?:(?:var)?char\(\d+\)|(?:tiny|medium|long)?text)$")

# From the first character to the last, a line break at the end included, in capitals or not as it is written, whatever
# default_regex_flags and the collation say. There is no backslash in it, which sql_mode may give another meaning.
# Source: https://www.pcre.org/current/doc/html/pcre2pattern.html
MATCHES = "{column} REGEXP '(?s-im)^(?:{pattern})(?!.)'"
BETWEEN = "{column} BETWEEN {lowest} AND {highest}"
# Numbers with fewer digits than the greatest one need no comparison.
IN_RANGE = "(CHAR_LENGTH({column}) < {digits} OR CAST({column} AS DECIMAL(65,0)) BETWEEN {lowest} AND {highest})"
IS_BOOLEAN = "{column} IN (0, 1)"
IS_SHORT = "CHAR_LENGTH({column}) <= {length}"

INTEGER = "0|{sign}[1-9][0-9]{{0,{more}}}"
# The server prints no minus before a zero.
DECIMAL = "{sign}(?:0|[1-9][0-9]{{0,{more}}}){fraction}"
FRACTION_ONLY = "{sign}0{fraction}"
MINUS = "(?:-(?=[0-9.]*[1-9]))?"
FRACTION = "(?:[.][0-9]{{1,{digits}}})?"
# Without the years before 1000, and without the 29th of February.
DATE = "[1-9][0-9]{3}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
HEX = "[0-9a-fA-F]"
# With a version and the variant of RFC 9562: MariaDB refuses some others.
DASHED = f"{HEX}{{8}}-{HEX}{{4}}-[1-7]{HEX}{{3}}-[89abAB]{HEX}{{3}}-{HEX}{{12}}"
UUIDS = f"{DASHED}|{HEX}{{12}}[1-7]{HEX}{{3}}[89abAB]{HEX}{{15}}"


def survives_plainly(old: Column, new: Column, column: str) -> str:
    """Return a condition under which a value of the quoted column survives the new type; "" where there is none."""
    limits = integer_range(new.type)
    if TEXT.match(old.type):
        if limits:
            return text_in_range(column, limits)
        if is_short(old, new) and (length := VARCHAR.match(new.type)):
            return IS_SHORT.format(column=column, length=length[1])
        pattern = pattern_of(new.type)
        return MATCHES.format(column=column, pattern=pattern) if pattern else ""
    if limits and integer_range(old.type):
        if new.type == BOOLEAN:
            return IS_BOOLEAN.format(column=column)
        return BETWEEN.format(column=column, lowest=limits[0], highest=limits[1])
    return ""


def text_in_range(column: str, limits: tuple[int, int]) -> str:
    """Return the condition that a text is an integer within the limits, as the server prints it."""
    lowest, highest = limits
    digits = len(str(highest))
    pattern = INTEGER.format(sign="-?" if lowest else "", more=digits - 1)
    in_range = IN_RANGE.format(column=column, digits=digits, lowest=lowest, highest=highest)
    return f"{MATCHES.format(column=column, pattern=pattern)} AND {in_range}"


def is_short(old: Column, new: Column) -> bool:
    """Return whether two texts differ in nothing but their lengths."""
    return old.collation is not None and old.collation == new.collation


def pattern_of(kind: str) -> str:
    """Return the regular expression of texts that the type certainly keeps; "" where there is none."""
    if kind == "date":
        return DATE
    if kind == UUID:
        return UUIDS
    if found := DATETIME.match(kind):
        digits = int(found[1] or 0)
        fraction = FRACTION.format(digits=digits) if digits else ""
        return f"{DATE}(?:[ T]{TIME}{fraction})?"
    if found := NUMERIC.match(kind):
        digits, scale = int(found[1]), int(found[2])
        parts = {
            "sign": "" if found[3] else MINUS,
            "fraction": FRACTION.format(digits=scale) if scale else "",
            "more": digits - scale - 1,
        }
        return (DECIMAL if digits > scale else FRACTION_ONLY).format(**parts)
    return ""


def integer_range(kind: str) -> tuple[int, int] | None:
    """Return the smallest and the greatest value of an integer type."""
    name, _, sign = kind.partition(" ")
    name = name.partition("(")[0]
    if name not in INTEGERS or sign not in ("", "unsigned"):
        return None
    bits = BITS[name]
    return (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
