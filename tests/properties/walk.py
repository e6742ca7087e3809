"""Walk from one random state to another with rows in the tables, and say what does not hold."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, models, transaction
from django.db.utils import DataError

from automigrate_ext import Plan, Refused
from automigrate_ext.schema.changes import AlterColumn
from tests.acceptance.helper import Case, State, fingerprint

UTC = datetime.UTC
#: Values to try, at the edges of their types too, of which a unique column takes the distinct ones only. A text is cut
#: off at the length of its field, so that the long one fills it.
VALUES: dict[str, tuple[Any, ...]] = {
    "CharField": ("1", "abcdefghij", "", "B", "b", "😀é ", "a\x00b", "x" * 50, " 7"),
    "SlugField": ("1", "abcdefghij", "", "b", "B", "x" * 50),
    "TextField": ("12", "a", "0", "2024-01-02", "", "é😀\x01", "a\x00b", "long " * 300, "A"),
    "BooleanField": (True, False),
    "FloatField": (1.5, 2.0, 0.0, -0.0, 1.7976931348623157e308, 5e-324, -1e15),
    "DateField": (datetime.date(2024, 1, 2), datetime.date.min, datetime.date.max),
    "DateTimeField": (
        datetime.datetime(2024, 1, 2, tzinfo=UTC),
        datetime.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        datetime.datetime.min.replace(tzinfo=UTC),
        datetime.datetime.max.replace(tzinfo=UTC),
    ),
    "TimeField": (datetime.time(1, 2), datetime.time.min, datetime.time.max),
    "UUIDField": (uuid.UUID(int=1), uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)),
    "BinaryField": (b"", b"\x00a", bytes(range(256))),
    "JSONField": ({"a": 1}, [], "x", {"é😀": [None, 1.5, 2**60, {"b": ""}]}, "", 0, False),
    "DurationField": (
        datetime.timedelta(1),
        datetime.timedelta(microseconds=5),
        datetime.timedelta(days=-99999999),
        datetime.timedelta(days=99999999, microseconds=1),
        datetime.timedelta(0),
    ),
    "GenericIPAddressField": ("127.0.0.1", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "0.0.0.0"),
    "ArrayField": ([], ["1"], ["a", "b"], ["", "é😀", "{},\\"]),
    "IntegerRangeField": ((1, 3), (5, 9), (None, None), (-(2**31), 2**31 - 1)),
}
NUMBERS = (1, 2, 300, -4)


def pool_of(case: Case, field: models.Field) -> tuple[Any, ...]:
    """Return the values to try in a field, those at both ends of its type among them."""
    if isinstance(field, models.DecimalField):
        most = decimal.Decimal(10**field.max_digits - 1).scaleb(-field.decimal_places)
        least = decimal.Decimal(1).scaleb(-field.decimal_places)
        return (decimal.Decimal("1.25").quantize(least), decimal.Decimal(12), most, -most, least, decimal.Decimal(0))
    if isinstance(field, models.IntegerField):
        ends = case.connection.ops.integer_field_range(field.get_internal_type())
        return (*NUMBERS, *(end for end in ends if end is not None), 0)
    return VALUES.get(type(field).__name__, NUMBERS)


SAME_FAMILY = (
    {"integer", "bigint", "smallint", "integer unsigned", "bigint unsigned", "smallint unsigned"},
    {"int", "bigint", "smallint"},
    {"text", "character varying", "varchar"},
    {"longtext", "varchar"},
)


def reset(case: Case) -> None:
    """Empty the database."""
    if case.vendor == "sqlite":
        case.connection.close()
        Path(case.connection.settings_dict["NAME"]).unlink(missing_ok=True)
    elif case.vendor == "mysql":
        name = case.connection.settings_dict["NAME"]
        case.execute(f"DROP DATABASE {name}", f"CREATE DATABASE {name} CHARACTER SET utf8mb4", f"USE {name}")
    else:
        case.execute("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")


#: The table into which triggers write.
LOG = "written"
ROWID = "rowid"


def watch(case: Case, state: State) -> None:
    """Make triggers that write down which rows are put in or deleted, as no run is to do."""
    case.execute(f"CREATE TABLE {LOG} (what varchar(80))")
    if case.vendor == "postgresql":
        case.execute(
            f"CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN INSERT INTO {LOG} VALUES (TG_TABLE_NAME || TG_OP); RETURN NULL; END $$"
        )
    for table in state.tables():
        for number, event in enumerate(("INSERT", "DELETE")):
            name = f"{case.connection.ops.quote_name(f'watch {table} {number}'[:60])} AFTER {event} ON {table}"
            note = f"INSERT INTO {LOG} VALUES ('{table} {event}')"
            body = {
                "postgresql": "FOR EACH ROW EXECUTE FUNCTION note()",
                "sqlite": f"BEGIN {note}; END",
                "mysql": f"FOR EACH ROW {note}",
            }[case.vendor]
            case.execute(f"CREATE TRIGGER {name} {body}")


def numbers_of_rows(case: Case, state: State) -> dict[str, list[tuple[Any, ...]]]:
    """Return the numbers that SQLite gives to the rows, with the keys, of tables whose key is another one."""
    found = {}
    for model in state.managed() if case.vendor == "sqlite" else ():
        key = model._meta.pk
        if (
            not isinstance(key, (models.IntegerField, models.CompositePrimaryKey))
            and key.get_internal_type() != "ForeignKey"
        ):
            table = model._meta.db_table
            found[table] = case.query(f'SELECT {ROWID} FROM "{table}" ORDER BY 1')
    return found


def assert_numbers_stay(case: Case, places: dict[str, list[tuple[Any, ...]]]) -> None:
    """Assert that tables which still have numbers besides their key have the same ones."""
    there = set(case.backend.table_names())
    for table, numbers in places.items():
        if table in there:
            columns = case.query(f'PRAGMA table_info("{table}")')
            if not any(row[5] and row[2] == "integer" for row in columns):
                assert case.query(f'SELECT {ROWID} FROM "{table}" ORDER BY 1') == numbers


def fill(case: Case, state: State, counts: dict[str, int]) -> None:
    """Put in the rows that the models allow."""
    for name, model in state.models.items():
        for number in range(counts[name]):
            values = {
                field.attname: value_for(case, field, number + counts["from"])
                for field in model._meta.local_concrete_fields
                if not (field.primary_key and isinstance(field, models.AutoField)) and not field.generated
            }
            create(case, model, values)
        for field in model._meta.local_many_to_many:
            link(case, model, field)


def create(case: Case, model: type[models.Model], values: dict[str, Any]) -> None:
    try:
        with transaction.atomic(using=case.alias):
            model._base_manager.using(case.alias).create(**values)
            case.connection.check_constraints()
    except (IntegrityError, DataError):
        pass
    except ValueError as error:
        # PostgreSQL's driver says so of a text with NUL in it.
        assert "NUL" in str(error) or "\\u0000" in str(error), error


def value_for(case: Case, field: models.Field, number: int) -> Any:
    if field.null and number % 3 == 2:
        return None
    if field.remote_field:
        keys = list(field.related_model._base_manager.using(case.alias).values_list("pk", flat=True))
        return keys[number % len(keys)] if keys else None
    pool = pool_of(case, field)
    value = pool[number % len(pool)]
    if type(field).__name__ == "ArrayField" and isinstance(field.base_field, models.IntegerField):
        return [number]
    return value[: field.max_length] if isinstance(value, str) and field.max_length else value


def link(case: Case, model: type[models.Model], field: models.ManyToManyField) -> None:
    for one in model._base_manager.using(case.alias).all()[:2]:
        for other in field.related_model._base_manager.using(case.alias).all()[:2]:
            getattr(one, field.name).add(other)


def step(case: Case, before: State, after: State, *, accept: bool) -> None:
    """Go from one state to the next; where rows forbid it, see that nothing happened and go without them."""
    kept, places = case.survivors(before), numbers_of_rows(case, before)
    trace = fingerprint(case.connection)
    plan = case.plan(after, accept_data_loss=accept)
    if plan.refused:
        with pytest.raises(Refused):
            case.run(after, accept_data_loss=accept)
        assert fingerprint(case.connection) == trace
        go_without_rows(case, before, after)
    else:
        plan = case.run_as_planned(after, accept_data_loss=accept)
        case.assert_rewrites_once(plan)
        assert_survived(case, kept, plan)
        assert_numbers_stay(case, places)
        assert case.query(f"SELECT * FROM {LOG}") == []
        case.assert_settled(after, exact=not plan.withheld, accept_data_loss=accept)


def go_without_rows(case: Case, before: State, after: State) -> None:
    """Nothing is refused where there are no rows."""
    tables = [name for name in case.backend.table_names() if name.startswith("shop_")]
    quoted = [case.connection.ops.quote_name(name) for name in tables]
    if case.vendor == "sqlite":
        case.execute(
            "PRAGMA foreign_keys = OFF", *(f"DELETE FROM {name}" for name in quoted), "PRAGMA foreign_keys = ON"
        )
    elif case.vendor == "mysql":
        with case.connection.constraint_checks_disabled():
            case.execute(*(f"DELETE FROM {name}" for name in quoted))
    elif quoted:
        case.execute(f"TRUNCATE {', '.join(quoted)}")
    plan = case.run(after)
    assert not plan.withheld
    case.assert_settled(after)


def assert_survived(case: Case, kept: dict[str, list[dict[str, Any]]], plan: Plan) -> None:
    """No row is gone, and no value is another that the plan did not name as altered."""
    retyped = {
        (change.table, change.new.name)
        for change in plan.changes
        if isinstance(change, AlterColumn) and (change.regenerates or not is_same_family(change))
    }
    allowed = {
        (judgement.change.table, judgement.change.new.name)
        for judgement in plan.judgements
        if isinstance(judgement.change, AlterColumn) and judgement.hazards
    }
    for table in case.introspect(kept):
        was = kept[table.name]
        now = case.rows_of(table.name, [column.name for column in table.columns])
        assert len(was) == len(now), f"{table.name} had {len(was)} rows and has {len(now)}"
        for column in table.columns:
            if was and column.name in was[0] and (table.name, column.name) not in retyped | allowed:
                before = Counter(repr(row[column.name]) for row in was if row[column.name] is not None)
                after = Counter(repr(row[column.name]) for row in now)
                if is_renumbered(plan, table.name, column.name):
                    continue
                assert before <= after, f"{table.name}.{column.name}: {before} became {after}"


def is_same_family(change: AlterColumn) -> bool:
    if change.old.type == change.new.type:
        return True
    bases = {change.old.type.partition("(")[0], change.new.type.partition("(")[0]}
    return any(bases <= family for family in SAME_FAMILY)


def is_renumbered(plan: Plan, table: str, column: str) -> bool:
    """Whether the column follows a key that was converted to another family, and so reads differently."""
    return any(
        isinstance(change, AlterColumn) and change.table == table and change.new.name == column and change.retypes
        for change in plan.changes
    ) and not all(
        is_same_family(change) for change in plan.changes if isinstance(change, AlterColumn) and change.table == table
    )


def contents(case: Case, state: State) -> list[list[tuple[str, ...]]]:
    """The rows of all tables, in the order in which the models declare them, whatever they are called."""
    found = []
    for model in state.managed():
        columns = [str(field.column) for field in model._meta.local_fields if field.column]
        found.append([tuple(map(repr, row)) for row in case.values(model._meta.db_table, *columns)])
    return found
