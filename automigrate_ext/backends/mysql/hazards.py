"""The effect of a change of type on values: the server converts them in a temporary table, and back again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace as evolve

from django.db.utils import DatabaseError

from automigrate_ext.backends.mysql import faults
from automigrate_ext.backends.mysql.parser import BOOLEAN, JSON, is_text
from automigrate_ext.backends.mysql.plain import NUMERIC, UUID, integer_range, survives_plainly
from automigrate_ext.backends.mysql.rows import MySQLRows
from automigrate_ext.backends.mysql.schema import NOTHING, bare, cut, define, is_cut
from automigrate_ext.backends.mysql.server import server_of
from automigrate_ext.backends.rows import SAMPLE_SIZE, Source, TookTooLong, samples
from automigrate_ext.backends.work import Loss, Samples, Step
from automigrate_ext.exceptions import ExecutionFailed
from automigrate_ext.schema.changes import AlterColumn, Change, DropColumn, DropTable
from automigrate_ext.schema.nouns import Column, Table
from automigrate_ext.words import plural

PROBE = "automigrate_ext_values"
#: The columns with each value as it was and converted back, and with the keys. The one between them has the name of the
#: column that it is tried for, so that the server's messages are about that.
WAS, BACK, KEY = "automigrate_ext_was", "automigrate_ext_back", "automigrate_ext_key_{number}"
CREATE = "CREATE TEMPORARY TABLE {probe} ({columns})"
DROP = "DROP TEMPORARY TABLE IF EXISTS {probe}"
# With IGNORE a value is changed until it fits, where strict mode would end the statement.
CONVERT = "INSERT {ignore}INTO {probe} ({names}) SELECT {values} FROM {source} AS asked WHERE {condition}"
HAS_VALUE = "{column} IS NOT NULL"
# The server gives NULL for a text that its regular expressions cannot read.
IN_DOUBT = "{column} IS NOT NULL AND ({plain}) IS NOT TRUE"
IS_ANY_IN_DOUBT = "SELECT EXISTS (SELECT 1 FROM {source} AS asked WHERE {condition})"
EMPTY = "DELETE FROM {probe}"
CAST_NOTHING = f"UPDATE {{probe}} SET {{made}} = {WAS}"
CONVERT_BACK = f"UPDATE IGNORE {{probe}} SET {BACK} = {{made}}"
LOST = "SELECT count(*) FROM {probe} WHERE NOT ({survives})"
SAMPLE = "SELECT {terms} FROM {probe} WHERE NOT ({survives}) ORDER BY {key} LIMIT {limit}"

# A value survives if it is the same after the conversion back.
SAME = f"BINARY {WAS} <=> BINARY {BACK}"
# 1.5 is converted back from a decimal(6,2) as 1.50, 2024-01-02T10:20:30+00:00 from a datetime(6) as 2024-01-02
# 10:20:30.000000, and a UUID with dashes and in small letters.
NO_ZEROS = "IF(LOCATE('.', {text}), TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM {text})), {text})"
UNIVERSAL = "TRIM(TRAILING '+00:00' FROM REPLACE({text}, 'T', ' '))"
MIDNIGHT = "TRIM(TRAILING ' 00:00:00' FROM {text})"
BARE = bare("{text}")
ALIKE = "BINARY {was} <=> BINARY {back}"
ENDS_IN_POINT = f"{WAS} LIKE '%.'"
IS_BOOLEAN = "{made} IN (0, 1)"
IS_JSON = "json_valid({column})"
# Of two keys of one name in a document MySQL keeps one, and of a number no more digits than a double has: the text gets
# shorter. It also does where white space goes, or a character is written as itself and not as its number.
# Source: https://dev.mysql.com/doc/refman/8.4/en/json.html
BLANKS = "REGEXP_REPLACE({text}, '[[:space:]]', '')"
AS_LONG = f"CHAR_LENGTH({BLANKS.format(text=WAS)}) = CHAR_LENGTH({BLANKS.format(text=BACK)})"
HAS_ESCAPES = f"LOCATE(CONCAT(CHAR(92), 'u'), {WAS}) > 0"
SAME_DOCUMENT = f"({AS_LONG} OR {HAS_ESCAPES})"
IS_BARE_UUID = "{made} REGEXP '^[0-9a-f]{{32}}$'"

LENGTH = re.compile(r"^(char|varchar|binary|varbinary)\((\d+)\)$")
#: Types that texts are cast to, and that MySQL does not have: https://mariadb.com/kb/en/cast/
ADDRESSES = ("inet4", "inet6")
#: The type that Django has for a UUID where the server has none.
BARE_UUID = "char(32)"
#: A type for the text of any value.
ANY_TEXT = "longtext"
FRACTION = re.compile(r"^(datetime|time|timestamp)(?:\((\d)\))?$")
#: Texts, and bytes; each type holds all values of those before it.
TEXTS = ("tinytext", "text", "mediumtext", "longtext")
BLOBS = ("tinyblob", "blob", "mediumblob", "longblob")


def count_lost(rows: MySQLRows, table: Table, old: Column, new: Column) -> Loss:
    """Count the stored values that the change of type would alter; none where it provably keeps them."""
    if never_loses(old, new):
        return Loss(using=value(new, rows.quote(old.name)))
    old, new = rows.in_table(table.name, old), rows.in_table(table.name, new)
    try:
        return tried(rows, table, old, new)
    except TookTooLong:
        return Loss(rows=None, using=value(new, rows.quote(old.name)))


def tried(rows: MySQLRows, table: Table, old: Column, new: Column) -> Loss:
    """Return the loss: none where each value plainly survives, else that of the values in doubt."""
    source = rows.stored(table)
    column = rows.quote(old.name)
    condition = HAS_VALUE.format(column=column)
    if server_of(rows.connection).proves_plainly and (plain := survives_plainly(old, new, column)):
        condition = IN_DOUBT.format(column=column, plain=plain)
        (is_any,) = rows.try_row(IS_ANY_IN_DOUBT.format(source=source.sql, condition=condition))
        if not is_any:
            return Loss(using=value(new, column))
    return converted(rows, table, source, Conversion(old=old, new=new, condition=condition))


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """The change of a column's type, and the condition of the values that the server is to convert."""

    old: Column
    new: Column
    condition: str


def converted(rows: MySQLRows, table: Table, source: Source, conversion: Conversion) -> Loss:
    """Return the loss, by a temporary table that holds each value as it was, as it would be, and converted back."""
    old, new = conversion.old, conversion.new
    column = rows.quote(old.name)
    with probed(rows, table, old, new) as keys:
        ways = [column, *([cut(column, new)] if is_cut(new) else [])]
        if is_bare_uuid(rows, new):
            ways = [bare(column)]
        errors = []
        for way in ways:
            error = convert(rows, source, conversion, keys, way)
            if not error:
                break
            errors.append(error)
        else:
            return unconvertible(rows, source, conversion, keys, errors[0])
        execute(rows, CONVERT_BACK.format(probe=PROBE, made=column))
        (count,) = rows.try_row(LOST.format(probe=PROBE, survives=survives(rows, old, new, column)))
        found = sampled(rows, source, conversion, keys) if count else Samples()
    return Loss(rows=count, using=value(new, way) if way == column else way, samples=found)


def unconvertible(rows: MySQLRows, source: Source, conversion: Conversion, keys: Sequence[str], error: str) -> Loss:
    """Return the loss where the server refuses to convert: the values that it refuses, none if there are no values."""
    old, new = conversion.old, conversion.new
    column = rows.quote(old.name)
    values = rows.answer(rows.values(source, [old.name]))
    if values.rows == 0:
        return Loss(using=NOTHING)
    if new.type == JSON:
        refused = evolve(rows.violators(source, IS_JSON.format(column=column)), shows=rows.shown(source, [old]))
        return Loss(rows=rows.answer(refused).rows, error=error, samples=rows.sample(refused))
    if convert(rows, source, conversion, keys, column, ignore="IGNORE "):
        return Loss(rows=values.rows, error=error)
    execute(rows, CONVERT_BACK.format(probe=PROBE, made=column))
    (count,) = rows.try_row(LOST.format(probe=PROBE, survives=survives(rows, old, new, column)))
    return Loss(rows=count, error=error, samples=sampled(rows, source, conversion, keys))


def is_bare_uuid(rows: MySQLRows, column: Column) -> bool:
    """Return whether a column holds UUIDs as text, as Django has them where the server has no type for them."""
    return column.type == BARE_UUID and not rows.connection.features.has_native_uuid_field


def survives(rows: MySQLRows, old: Column, new: Column, made: str) -> str:
    """Return the condition that a value is the same after it was converted and converted back."""
    if is_bare_uuid(rows, new):
        return f"{IS_BARE_UUID.format(made=made)} AND {alike(BARE)}"
    if new.type == JSON and is_text(old.type) and server_of(rows.connection).parses_json:
        return SAME_DOCUMENT
    if not is_text(old.type):
        return f"{SAME} AND {IS_BOOLEAN.format(made=made)}" if new.type == BOOLEAN else SAME
    if new.type.startswith(("decimal", "double", "float")):
        return f"{alike(NO_ZEROS)} AND NOT {ENDS_IN_POINT}"
    if new.type.startswith("datetime"):
        return alike(MIDNIGHT.format(text=NO_ZEROS.format(text=UNIVERSAL)))
    return alike(BARE) if new.type == UUID else SAME


def alike(form: str) -> str:
    """Return the condition that a text is the same after that, in some form."""
    return ALIKE.format(was=form.format(text=WAS), back=form.format(text=BACK))


def is_castable(rows: MySQLRows, old: Column, new: Column) -> bool:
    """Return whether the server converts between the types at all."""
    nothing = Table(name=PROBE, columns=())
    with probed(rows, nothing, old, new):
        try:
            execute(rows, CAST_NOTHING.format(probe=PROBE, made=rows.quote(old.name)))
        except DatabaseError as error:
            if faults.is_fault(error):
                raise
            return False
    return True


@contextmanager
def probed(rows: MySQLRows, table: Table, old: Column, new: Column) -> Iterator[tuple[str, ...]]:
    """Give a temporary table while the block runs; gives the names of its key columns."""
    types = {column.name: column for column in table.columns}
    keys = tuple(column for column in (table.primary_key.columns if table.primary_key else ()))
    columns = [f"{KEY.format(number=number)} {define(plain(types[name]))}" for number, name in enumerate(keys)]
    tried = ((WAS, old), (rows.quote(old.name), new), (BACK, written_back(old, new)))
    columns += [f"{name} {define(plain(column))}" for name, column in tried]
    execute(rows, DROP.format(probe=PROBE))
    execute(rows, CREATE.format(probe=PROBE, columns=", ".join(columns)))
    try:
        yield tuple(KEY.format(number=number) for number, _ in enumerate(keys))
    finally:
        execute(rows, DROP.format(probe=PROBE))


def written_back(old: Column, new: Column) -> Column:
    """Return the column for the values converted back: that of before, or a text.

    UUIDs have dashes when they are converted back, and bytes, dates and texts that were cut off are no JSON.
    """
    is_uuid = new.type == UUID and is_text(old.type)
    is_document = old.type == JSON
    return evolve(old, type=ANY_TEXT) if is_uuid or is_document else old


def plain(column: Column) -> Column:
    """Return a column of the same type without constraints."""
    return Column(name=column.name, type=column.type, null=True, collation=column.collation)


def convert(
    rows: MySQLRows, source: Source, conversion: Conversion, keys: Sequence[str], way: str, *, ignore: str = ""
) -> str:
    """Fill the temporary table; return the server's message where it refuses a value, else ""."""
    column = rows.quote(conversion.old.name)
    sql = CONVERT.format(
        ignore=ignore,
        probe=PROBE,
        names=", ".join([*keys, WAS, column]),
        values=", ".join([*source.key, column, way]),
        source=source.sql,
        condition=conversion.condition,
    )
    execute(rows, EMPTY.format(probe=PROBE))
    try:
        execute(rows, sql)
    except DatabaseError as error:
        if faults.is_fault(error):
            raise
        return faults.words(error).replace(PROBE, source.table)
    return ""


def sampled(rows: MySQLRows, source: Source, conversion: Conversion, keys: Sequence[str]) -> Samples:
    """Return some rows whose values do not survive, by the temporary table that holds each as it was."""
    if not keys:
        return Samples()
    old, new = conversion.old, conversion.new
    is_shown = rows.shown(source, [old])
    shows = (evolve(rows.shown_value(evolve(old, name=WAS)), name=old.name),) if is_shown else ()
    terms = [*keys, *(term for shown in shows for term in shown.terms)]
    sql = SAMPLE.format(
        terms=", ".join(terms),
        key=", ".join(keys),
        probe=PROBE,
        survives=survives(rows, old, new, rows.quote(old.name)),
        limit=SAMPLE_SIZE,
    )
    return samples(rows.fetch(sql), len(keys), shows)


def execute(rows: MySQLRows, sql: str) -> None:
    """Execute one statement, for as long as a question may take."""
    with rows.session.limited(rows.limit), rows.connection.cursor() as cursor:
        cursor.execute(sql)


# Rows and values that were written since the rows were counted


def at_stake(step: Step) -> list[Change]:
    """Return the changes by which a step may lose values."""
    return [change for change in step.at_stake if is_at_stake(change)]


def forbid_loss(rows: MySQLRows, change: Change) -> None:
    """Raise `ExecutionFailed` where the change would lose values that were not there when they were counted."""
    count = turned_up(rows, change)
    if count == 0:
        return
    noun = "row" if isinstance(change, DropTable) else "value"
    found = f"{noun}s that cannot be counted" if count is None else plural(count, noun)
    raise ExecutionFailed(
        f"{change.describe()} would lose {found}, written by somebody else since the rows were counted. The run "
        f"ended before that: what it did until then stays done, and the next one judges the rows again."
    )


def is_at_stake(change: Change) -> bool:
    """Return whether the change may lose values that were not counted."""
    return not isinstance(change, AlterColumn) or change.new.generated is not None or loses(change)


def loses(change: AlterColumn) -> bool:
    """Return whether values may get lost on their way to another type."""
    return not never_loses(change.old, change.new)


def turned_up(rows: MySQLRows, change: Change) -> int | None:
    """Count the rows or values that the change would destroy or alter now; None if they were not counted in time."""
    table = Table(name=change.table, columns=())
    source = rows.stored(table)
    match change:
        case DropTable():
            return rows.answer(rows.every_row(source)).counted
        case AlterColumn(old=old, new=new) if not new.generated:
            loss = count_lost(rows, table, old, new)
            return (loss.rows or None) if loss.error else loss.rows
        case DropColumn(old=old) | AlterColumn(old=old):
            return rows.answer(rows.values(source, [old.name])).counted
    raise TypeError(change)


# Types that hold all values of others


def never_loses(old: Column, new: Column) -> bool:
    """Return whether the new type holds every value of the old one, without asking the server."""
    if old.collation != new.collation:
        return False
    return old.type == new.type or any(
        widens(old.type, new.type) for widens in (widens_integer, widens_length, widens_numeric, widens_fraction, grows)
    )


def widens_integer(old: str, new: str) -> bool:
    """Return whether both are integers and the new type's range includes the old one's."""
    found = [integer_range(kind) for kind in (old, new)]
    if found[0] is None or found[1] is None:
        return False
    return found[1][0] <= found[0][0] and found[0][1] <= found[1][1]


def widens_length(old: str, new: str) -> bool:
    """Return whether both are the same kind of text or bytes and the new one is as long, or has no length."""
    before, after = LENGTH.match(old), LENGTH.match(new)
    if not before or before[1] not in ("varchar", "varbinary"):
        return False
    if after:
        return before[1] == after[1] and int(before[2]) <= int(after[2])
    return new == ("longtext" if before[1] == "varchar" else "longblob")


def widens_numeric(old: str, new: str) -> bool:
    """Return whether both are decimals and the new one has as many digits on either side of the point."""
    before, after = NUMERIC.match(old), NUMERIC.match(new)
    if not before or not after or before[3] != after[3]:
        return False
    digits, scale, more_digits, more_scale = (int(found[n]) for found in (before, after) for n in (1, 2))
    return scale <= more_scale and digits - scale <= more_digits - more_scale


def widens_fraction(old: str, new: str) -> bool:
    """Return whether both are the same kind of time and the new one has as many digits of a second."""
    before, after = FRACTION.match(old), FRACTION.match(new)
    if not before or not after:
        return False
    return before[1] == after[1] and int(before[2] or 0) <= int(after[2] or 0)


def grows(old: str, new: str) -> bool:
    """Return whether both are texts, or both bytes, without a length of their own, and the new one holds as much."""
    return any(old in kinds and new in kinds[kinds.index(old) :] for kinds in (TEXTS, BLOBS))


# Values as they will be


def value(column: Column, sql: str) -> str:
    """Return a value as it will be in a column, as SQL."""
    kind = column.type
    if integer_range(kind) is not None:
        return f"CAST({sql} AS {'UNSIGNED' if kind.endswith('unsigned') else 'SIGNED'})"
    if kind.startswith("decimal"):
        return f"CAST({sql} AS {kind.removesuffix(' unsigned')})"
    if kind.startswith(("datetime", "date", "time(")) or kind in ("time", "double"):
        return f"CAST({sql} AS {kind})"
    if kind == UUID or kind in ADDRESSES:
        return f"CAST({sql} AS {kind})"
    if column.collatable:
        return as_text(column, sql)
    return sql


def as_text(column: Column, sql: str) -> str:
    """Return a text with the collation by which it will be compared; the database's own where the column has none."""
    if not column.collation:
        return f"CAST({sql} AS CHAR)"
    charset = column.collation.partition("_")[0]
    return f"CONVERT({sql} USING {charset}) COLLATE {column.collation}"
