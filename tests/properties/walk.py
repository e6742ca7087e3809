"""Walk from one random state to another with rows in the tables, and say what does not hold."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from django.db import IntegrityError, models, transaction
from django.db.utils import DataError

from automigrate_ext import Plan, Refused
from automigrate_ext.schema.changes import AlterColumn
from tests.acceptance.helper import Case, State, fingerprint

#: Values to try, of which a unique column takes the distinct ones only.
VALUES: dict[str, tuple[Any, ...]] = {
    "CharField": ("1", "abcdefghij", "", "B"),
    "SlugField": ("1", "abcdefghij", "", "b"),
    "TextField": ("12", "a", "0", "2024-01-02"),
    "BooleanField": (True, False),
    "DecimalField": (decimal.Decimal("1.25"), decimal.Decimal("12"), decimal.Decimal("0")),
    "FloatField": (1.5, 2.0, 0.0),
    "DateField": (datetime.date(2024, 1, 2), datetime.date(1, 1, 1)),
    "DateTimeField": (
        datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC),
        datetime.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC),
    ),
    "TimeField": (datetime.time(1, 2), datetime.time(23, 59, 59)),
    "UUIDField": (uuid.UUID(int=1), uuid.UUID(int=2)),
    "BinaryField": (b"", b"\x00a"),
    "JSONField": ({"a": 1}, [], "x"),
    "DurationField": (datetime.timedelta(1), datetime.timedelta(microseconds=5)),
    "GenericIPAddressField": ("127.0.0.1", "::1"),
    "ArrayField": ([], ["1"], ["a", "b"]),
    "IntegerRangeField": ((1, 3), (5, 9)),
}
NUMBERS = (1, 2, 300, -4)

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


def value_for(case: Case, field: models.Field, number: int) -> Any:
    if field.null and number % 3 == 2:
        return None
    if field.remote_field:
        keys = list(field.related_model._base_manager.using(case.alias).values_list("pk", flat=True))
        return keys[number % len(keys)] if keys else None
    kind = type(field).__name__
    pool = VALUES.get(kind, NUMBERS)
    value = pool[number % len(pool)]
    if kind == "ArrayField" and isinstance(field.base_field, models.IntegerField):
        return [number]
    return value[: field.max_length] if isinstance(value, str) and field.max_length else value


def link(case: Case, model: type[models.Model], field: models.ManyToManyField) -> None:
    for one in model._base_manager.using(case.alias).all()[:2]:
        for other in field.related_model._base_manager.using(case.alias).all()[:2]:
            getattr(one, field.name).add(other)


def step(case: Case, before: State, after: State, *, accept: bool) -> None:
    """Go from one state to the next; where rows forbid it, see that nothing happened and go without them."""
    kept = case.survivors(before)
    trace = fingerprint(case.connection)
    try:
        plan = case.run(after, accept_data_loss=accept)
    except Refused as refusal:
        assert refusal.plan.refused
        assert fingerprint(case.connection) == trace
        go_without_rows(case, before, after)
    else:
        case.assert_rewrites_once(plan)
        assert_survived(case, kept, plan)
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
