"""The effect of a change of type on values: which of them survive, and how they are converted.

SQLite stores any value in any column, so that a changed declaration changes no value and checks none:
https://sqlite.org/datatype3.html. Django decides which values a column of each type is to hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from automigrate_ext.backends.rows import FILLED, TABLES_A_QUERY, Question, Rows, TookTooLong, batched
from automigrate_ext.backends.sqlite3.parser import affinity
from automigrate_ext.backends.work import Loss
from automigrate_ext.schema.nouns import Column, Schema, Table

ANY_LOST = "EXISTS (SELECT 1 FROM {table} AS asked WHERE {lost})"
LOST = "{column} IS NOT NULL AND ({survives}) IS NOT TRUE"
IMPOSSIBLE = "{column} IS NOT NULL AND ({value}) IS NULL"

INTEGERS = frozenset(("int", "integer", "tinyint", "smallint", "mediumint", "bigint"))
#: Types whose values have a form of their own, by Django's names for them on SQLite.
FAMILIES = {
    "bool": "bool",
    "boolean": "bool",
    "date": "date",
    "datetime": "datetime",
    "time": "time",
    "decimal": "numeric",
    "numeric": "numeric",
    "char(32)": "uuid",
}
#: Families whose values all survive as numbers, whatever they are, and as text of any length.
WHOLE = frozenset(("integer", "bool"))
WRITTEN = frozenset(("integer", "bool", "date", "datetime", "time", "uuid", "text"))

# 1.50 is the number 1.5; 007 and " 7" are more than the number 7. More than 15 digits may not all be kept.
NUMBER = (
    "typeof({c}) = 'text' AND {c} = CAST({c} AS NUMERIC) AND (CAST(CAST({c} AS NUMERIC) AS TEXT) = {c} "
    "OR (length({c}) <= 16 AND {c} NOT GLOB '*[^0-9.-]*' AND ltrim({c}, '-') GLOB '[0-9]*' AND {c} GLOB '*[0-9]' "
    "AND ltrim({c}, '-') NOT GLOB '0[0-9]*'))"
)
WHOLE_NUMBER = (
    "CASE typeof({c}) WHEN 'integer' THEN 1 WHEN 'real' THEN {c} = CAST({c} AS INTEGER) "
    "WHEN 'text' THEN CAST(CAST({c} AS INTEGER) AS TEXT) = {c} END"
)
# length, substr and GLOB end at the first NUL: https://sqlite.org/nulinstr.html. What is no text as a whole has none.
NO_NUL = "instr({c}, char(0)) = 0"
# JSON writes NUL as six other characters; without backslashes in the text, nothing else looks like them.
CHARACTERS = (
    f"CASE WHEN {NO_NUL} THEN length({{c}}) ELSE length(json_extract("
    "replace(json_quote(replace({c}, '\\', '/')), '\\u0000', ' '), '$')) END"
)
# The modifier makes SQLite compute the date, so that the 30th of February does not equal itself.
DATE = f"typeof({{c}}) = 'text' AND {NO_NUL} AND " + "date(substr({c}, 1, 10), '+0 days') = substr({c}, 1, 10)"
CLOCK = "time(substr({c}, {at}, 8)) = substr({c}, {at}, 8) AND substr({c}, {after}) NOT GLOB '*[^0-9.]*'"
TIME = f"typeof({{c}}) = 'text' AND {NO_NUL} AND " + CLOCK.replace("{at}", "1").replace("{after}", "9")
MOMENT = f"{DATE} AND substr({{c}}, 11, 1) IN (' ', 'T') AND " + CLOCK.replace("{at}", "12").replace("{after}", "20")
HEX = "lower(replace({c}, '-', ''))"
UUID = f"typeof({{c}}) = 'text' AND {NO_NUL} AND length({HEX}) = 32 AND {HEX} NOT GLOB '*[^0-9a-f]*'"
ZERO_OR_ONE = "CAST({c} AS TEXT) IN ('0', '1', '0.0', '1.0')"
AS_TEXT = "CASE typeof({c}) WHEN 'blob' THEN 0 WHEN 'real' THEN CAST(CAST({c} AS TEXT) AS REAL) = {c} ELSE 1 END"

AS_NUMBER = "CAST({c} AS NUMERIC)"
#: Django reads decimals with 15 significant digits: `get_decimalfield_converter` in sqlite3/operations.py.
AS_READ = f"CAST(printf('%.15g', {AS_NUMBER}) AS NUMERIC)"
NUMERIC_AFFINITIES = frozenset(("INTEGER", "NUMERIC"))
#: A comparison with a number applies the affinity that storing does.
STAYS_TEXT = (
    f"CASE WHEN typeof({{c}}) = 'text' AND {{c}} = {AS_NUMBER} THEN CAST({AS_NUMBER} AS TEXT) = {{c}} ELSE 1 END"
)
IS_NUMBER = "typeof({c}) IN ('integer', 'real')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """A conversion of values: the condition that one survives, and the value that is stored. `{c}` is the column."""

    survives: str
    value: str


CONVERSIONS = {
    "integer": Conversion(
        survives=WHOLE_NUMBER,
        value=f"CASE WHEN {WHOLE_NUMBER} THEN CAST({{c}} AS INTEGER) "
        "WHEN typeof({c}) = 'real' THEN CAST(round({c}) AS INTEGER) END",
    ),
    "numeric": Conversion(
        survives=f"typeof({{c}}) = 'integer' OR (typeof({{c}}) = 'real' AND abs({{c}}) < 9e999) OR ({NUMBER})",
        value="CASE WHEN {c} = CAST({c} AS NUMERIC) THEN CAST({c} AS NUMERIC) END",
    ),
    "real": Conversion(
        survives="typeof({c}) = 'real' OR (typeof({c}) = 'integer' AND CAST({c} AS REAL) = {c}) "
        f"OR ({NUMBER} AND CAST({{c}} AS REAL) = CAST({{c}} AS NUMERIC))",
        value="CASE WHEN {c} = CAST({c} AS NUMERIC) THEN CAST({c} AS REAL) END",
    ),
    "bool": Conversion(
        survives=ZERO_OR_ONE,
        value=f"CASE WHEN {ZERO_OR_ONE} THEN CAST({{c}} AS INTEGER) "
        "WHEN typeof({c}) IN ('integer', 'real') THEN {c} <> 0 END",
    ),
    "date": Conversion(
        survives=f"{DATE} AND substr({{c}}, 11) IN ('', ' 00:00:00', 'T00:00:00')",
        value=f"CASE WHEN {DATE} THEN substr({{c}}, 1, 10) END",
    ),
    "datetime": Conversion(
        survives=f"({DATE} AND length({{c}}) = 10) OR ({MOMENT})",
        value=f"CASE WHEN {DATE} AND length({{c}}) = 10 THEN {{c}} || ' 00:00:00' "
        f"WHEN {MOMENT} THEN replace({{c}}, 'T', ' ') END",
    ),
    "time": Conversion(
        survives=TIME,
        value=f"CASE WHEN {TIME} THEN {{c}} WHEN {MOMENT} THEN substr({{c}}, 12) END",
    ),
    "uuid": Conversion(survives=UUID, value=f"CASE WHEN {UUID} THEN {HEX} END"),
    "blob": Conversion(survives="typeof({c}) IN ('blob', 'text')", value="CAST({c} AS BLOB)"),
}


def count_lost(rows: Rows, table: Table, old: Column, new: Column) -> Loss:
    """Count the values that the change of type would alter; none where all are kept as they are."""
    needed = conversion(old, new)
    if needed is None:
        return Loss()
    column, source = rows.quote(old.name), rows.now(table)
    condition = lost_condition(column, needed)
    lost = Question(source=source, condition=condition, shows=rows.shown(source, [old]))
    using = needed.value.format(c=column)
    count = rows.answer(lost).counted
    if not count:
        return Loss(rows=count, using=using)
    samples = rows.sample(lost)
    if new.null:
        return Loss(rows=count, using=using, samples=samples)
    impossible = Question(source=source, condition=IMPOSSIBLE.format(column=column, value=using))
    return Loss(rows=count, using=using, samples=samples, error=why_impossible(rows, impossible, new))


def lost_condition(column: str, needed: Conversion) -> str:
    """Return the condition that a column's value does not survive; that of equal texts is not left to a collation."""
    return LOST.format(column=column, survives=needed.survives.format(c=f"({column} COLLATE BINARY)"))


def why_impossible(rows: Rows, impossible: Question, new: Column) -> str:
    """Return why a column that forbids NULL cannot be converted, where values would become NULL."""
    count = rows.answer(impossible).counted
    if count == 0:
        return ""
    number = "some" if count is None else count
    return f"the values of {number} of its rows are no {new.type}, and it forbids NULL"


def conversion(old: Column, new: Column) -> Conversion | None:
    """Return the conversion of a column's values to its new type; None where all are kept as they are."""
    before, target = family(old.type), family(new.type)
    if digits := digits_of(new):
        return decimal_conversion(before, old, digits)
    if target == "text":
        return text_conversion(before, length_limit(old.type), length_limit(new.type))
    if target == "other":
        return stored_conversion(affinity(old.type), affinity(new.type))
    if before == target or (before in WHOLE and target == "numeric"):
        return None
    if before == "bool" and target == "integer":
        return None
    return CONVERSIONS[target]


def widens(old: Column, new: Column) -> bool:
    """Return whether both are texts or both decimals, and the new one holds every value of the old one as it is."""
    kinds = {family(old.type), family(new.type)}
    return kinds in ({"text"}, {"numeric"}) and conversion(old, new) is None


def decimal_conversion(before: str, old: Column, digits: tuple[int, int]) -> Conversion | None:
    """Return the conversion of values to decimals of so many digits.

    Texts that a decimal column holds (SQLite keeps any) are left alone.
    """
    total, places = digits
    formerly = digits_of(old) if before == "numeric" else None
    if formerly and formerly[1] <= places and formerly[0] - formerly[1] <= total - places:
        return None
    # What is rounded up to one digit more is too large as well.
    limit = Decimal(10) ** (total - places) - Decimal(5).scaleb(-places - 1)
    fits = f"abs({AS_NUMBER}) < {limit:f}"
    survives = f"{fits} AND {keeps_places(before, formerly, places)}"
    if before == "numeric":
        survives = f"CASE WHEN {IS_NUMBER} THEN {survives} ELSE 1 END"
        kept = "{c}"
    else:
        survives = f"({CONVERSIONS['numeric'].survives}) AND {survives}"
        kept = AS_NUMBER
    rounded = f"WHEN {{c}} = {AS_NUMBER} AND {fits} THEN round({AS_NUMBER}, {places})"
    return Conversion(survives=survives, value=f"CASE WHEN {survives} THEN {kept} {rounded} END")


def keeps_places(before: str, formerly: tuple[int, int] | None, places: int) -> str:
    """Return the condition that Django reads the same number with so many decimal places."""
    if formerly:
        kept = f"round({AS_NUMBER}, {formerly[1]}) = round({AS_NUMBER}, {places})"
        return kept if places < formerly[1] else "1"
    kept = f"(typeof({AS_NUMBER}) = 'integer' OR round({AS_READ}, {places}) = {AS_READ})"
    return kept if before == "numeric" else f"{AS_READ} = {AS_NUMBER} AND {kept}"


def digits_of(column: Column) -> tuple[int, int] | None:
    """Return the digits that a column's values are to have, as its field or its type has them; None for no limit."""
    if column.digits or family(column.type) != "numeric":
        return column.digits
    total, _, places = column.type.partition("(")[2].rstrip(")").partition(",")
    return (int(total), int(places or 0)) if total.isdigit() and (places or "0").isdigit() else None


def columns_over_digits(rows: Rows, current: Schema, desired: Schema) -> tuple[tuple[str, str], ...]:
    """Return the columns, each after its table, that hold values of more digits than the desired column is to have.

    Asks only about columns whose digits became fewer, or were never recorded; where that cannot be answered, about all
    of them there is doubt.
    """
    lost: dict[tuple[str, str], str] = {}
    for table in desired:
        now = current.get(table.name)
        for new in table.columns if now else ():
            old = now.column(new.name) if now and new.digits else None
            needed = conversion(old, new) if old and old.type == new.type else None
            if needed:
                column = rows.quote(new.name)
                condition = lost_condition(column, needed)
                lost[table.name, new.name] = ANY_LOST.format(table=rows.relation(table.name), lost=condition)
    found: list[tuple[str, str]] = []
    for some in batched(lost, TABLES_A_QUERY):
        try:
            answers = rows.try_row(FILLED.format(terms=", ".join(map(lost.__getitem__, some))))
        except TookTooLong:
            answers = (1,) * len(some)
        found += [place for place, answer in zip(some, answers, strict=True) if answer]
    return tuple(found)


def stored_conversion(old: str, new: str) -> Conversion | None:
    """Return what becomes of values in a column of another affinity, which makes numbers of texts that look like some.

    Source: https://sqlite.org/datatype3.html#type_affinity
    """
    if new not in NUMERIC_AFFINITIES or old not in ("TEXT", "BLOB"):
        return None
    return Conversion(survives=STAYS_TEXT, value="{c}")


def text_conversion(before: str, old_limit: int | None, limit: int | None) -> Conversion | None:
    """Return the conversion of values to text of at most `limit` characters."""
    if limit is None:
        return None if before in WRITTEN else Conversion(survives=AS_TEXT, value="CAST({c} AS TEXT)")
    if before in ("text", "uuid") and old_limit is not None and old_limit <= limit:
        return None
    survives = f"({AS_TEXT}) AND ({CHARACTERS}) <= {limit}"
    return Conversion(
        survives=survives,
        value=f"CASE WHEN {survives} THEN CAST({{c}} AS TEXT) ELSE substr(CAST({{c}} AS TEXT), 1, {limit}) END",
    )


def family(type_name: str) -> str:
    """Return the family of values that a declared type is to hold; "other" for types that Django does not use."""
    if type_name in FAMILIES:
        return FAMILIES[type_name]
    words = type_name.partition("(")[0].split()
    if words and words[0] in INTEGERS:
        return "integer"
    if words and words[0] in ("decimal", "numeric"):
        return "numeric"
    if not words:
        return "other"
    return {"TEXT": "text", "REAL": "real", "BLOB": "blob"}.get(affinity(type_name), "other")


def length_limit(type_name: str) -> int | None:
    """Return the length in characters that a declared type such as varchar(30) gives, or None."""
    size = type_name.partition("(")[2].rstrip(")")
    return int(size) if size.isdigit() else None
