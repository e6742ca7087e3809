"""Rows without a value get one: from the model, from the caller, one for all or one each."""

import datetime
import decimal
import itertools
import json
import uuid
from contextlib import nullcontext

import pytest
from django.db import connections, models
from django.db.models import F

from automigrate_ext import AutomigrateError, make_plan
from automigrate_ext.backends import filler
from tests.acceptance.helper import State, item
from tests.features import has, need


@pytest.fixture
def route():
    """The tables come to be in one way: what becomes of values does not depend on it."""
    return "automigrate"


NAME = models.CharField(max_length=20)
COUNTER = itertools.count(100)


def number():
    """A value that nobody else gets."""
    return next(COUNTER)


def nothing():
    return None


def named(*names):
    return {"Item": [{"name": name} for name in names]}


def distinct(case, column):
    values = [value for (value,) in case.values("shop_item", column)]
    assert None not in values
    assert len(set(values)) == len(values)
    return values


def test_unique_column_added_with_a_value_for_each_row(case):
    after = item(name=NAME, token=models.UUIDField(default=uuid.uuid4, unique=True))
    case.update(item(name=NAME), after, named("a", "b", "c"), changes=["Add column shop_item.token", "Add unique"])
    assert len(distinct(case, "token")) == 3
    assert all(isinstance(row.token, uuid.UUID) for row in after["Item"].objects.using(case.alias).all())


MIXED = {
    "texts": (models.CharField(max_length=20), ["a", "B", "b ", "ß", "it's", "100%", "\\n", "", "1e3", "007"]),
    "integers": (models.BigIntegerField(), [0, -1, 2**63 - 1, -(2**63), 2**53 + 1]),
    "decimals": (
        models.DecimalField(max_digits=12, decimal_places=4),
        [decimal.Decimal(text) for text in ("0", "1.5", "-0.0001", "12345678.1234", "7.10")],
    ),
    "floats": (models.FloatField(), [0.1, 1e-7, 1e300, 2.0, -3.25]),
    "bytes": (models.BinaryField(), [b"", b"a", b"\x00\xff'", b"%s"]),
    "documents": (models.JSONField(), [{"a": 1}, [1, "x"], "text", 1.5, {"b": None}]),
    "times": (
        models.DateTimeField(),
        [datetime.datetime(2024, 1, 2, 3, 4, 5, n, tzinfo=datetime.UTC) for n in (0, 1, 999999)],
    ),
    "booleans": (models.BooleanField(), [True, False]),
}
KEYS = {
    "numbers": (models.BigAutoField(primary_key=True), [1, 2, 30, 2**40]),
    "texts": (models.CharField(max_length=20, primary_key=True), ["a", "it's", "ß", "%s", "x y"]),
    "uuids": (models.UUIDField(primary_key=True), [uuid.UUID(int=n) for n in (1, 2, 2**127)]),
    "dates": (models.DateField(primary_key=True), [datetime.date(2024, 1, day) for day in (1, 2)]),
    "bytes": (models.IntegerField(primary_key=True), [-5, 0, 5]),
}


@pytest.mark.parametrize("name", MIXED)
def test_values_of_all_kinds_for_rows_together(case, name):
    """One statement for many rows gives each the very value that it would get alone."""
    field, values = MIXED[name]
    given = itertools.cycle(values)
    made = field.clone()
    made.default = lambda: next(given)
    state = State(Item={"name": NAME, "given": made})
    case.build(item(name=NAME))
    case.insert(item(name=NAME), named(*(str(number) for number in range(3 * len(values)))))
    case.run(state)
    found = [value for (value,) in state["Item"].objects.using(case.alias).order_by("pk").values_list("given")]
    found = [bytes(value) for value in found] if name == "bytes" else found
    # The first value is drawn once more, to be tried beforehand.
    assert found in [[values[(start + n) % len(values)] for n in range(len(found))] for start in range(len(values))]
    case.assert_settled(state)


@pytest.mark.parametrize("name", KEYS)
def test_rows_of_all_kinds_of_keys_together(case, name):
    key, values = KEYS[name]
    before = item(id=key, name=NAME)
    after = item(id=key, name=NAME, code=models.IntegerField(default=number, unique=True))
    rows = {"Item": [{"id": value, "name": str(number)} for number, value in enumerate(values)]}
    case.update(before, after, rows)
    assert len(distinct(case, "code")) == len(values)


def test_rows_of_a_composite_key_together(case):
    columns = {"a": models.IntegerField(), "b": models.CharField(max_length=9)}
    pk = models.CompositePrimaryKey("a", "b")
    before = item(pk=pk, **columns)
    after = item(pk=pk, **columns, code=models.IntegerField(default=number, unique=True))
    case.update(before, after, {"Item": [{"a": a, "b": b} for a in (1, 2) for b in ("x", "it's")]})
    assert len(distinct(case, "code")) == 4


def test_value_for_each_row_in_batches(case, monkeypatch):
    monkeypatch.setattr(filler, "ROWS_A_STATEMENT", 3)
    after = item(name=NAME, code=models.IntegerField(default=number, unique=True))
    case.update(item(name=NAME), after, named(*map(str, range(10))))
    assert len(distinct(case, "code")) == 10


def test_nulls_filled_with_a_value_for_each_row(case):
    before = item(name=NAME, code=models.IntegerField(null=True))
    after = item(name=NAME, code=models.IntegerField(default=number, unique=True))
    rows = {"Item": [{"name": "a", "code": 7}, {"name": "b", "code": None}, {"name": "c", "code": None}]}
    case.update(before, after, rows)
    assert 7 in distinct(case, "code")


def test_nulls_filled_with_a_value_for_each_row_while_the_type_changes(case):
    before = item(name=NAME, code=models.CharField(max_length=9, null=True))
    after = item(name=NAME, code=models.IntegerField(default=number, unique=True))
    rows = {"Item": [{"name": "a", "code": "7"}, {"name": "b", "code": None}, {"name": "c", "code": None}]}
    case.update(before, after, rows)
    assert 7 in distinct(case, "code")


def test_nullable_column_added_with_a_value_for_each_row(case):
    after = item(name=NAME, token=models.UUIDField(default=uuid.uuid4, null=True))
    plan = case.update(item(name=NAME), after, named("a", "b"))
    assert not any("new__" in statement for statement in plan.statements)
    assert len(distinct(case, "token")) == 2


def test_column_with_a_value_for_each_row_and_everything_else_at_once(case):
    need(case.connection, "stored generated columns")
    before = item(name=NAME, size=models.IntegerField(null=True), gone=models.IntegerField(null=True))
    after = item(
        name=models.TextField(),
        size=models.BigIntegerField(default=number),
        token=models.UUIDField(default=uuid.uuid4, unique=True, db_column="The Token"),
        twice=models.GeneratedField(expression=F("size") * 2, output_field=models.BigIntegerField(), db_persist=True),
        Meta={"indexes": [models.Index(fields=["token", "size"], name="both")]},
    )
    rows = {"Item": [{"name": "a", "size": 1}, {"name": "b", "size": None}, {"name": "c", "size": None}]}
    case.update(before, after, rows)
    assert len(distinct(case, "The Token")) == 3
    assert all(twice == 2 * size for twice, size in case.values("shop_item", "twice", "size"))


def test_primary_key_replaced_by_a_value_for_each_row(case):
    before = item(name=NAME)
    after = item(id=models.UUIDField(primary_key=True, default=uuid.uuid4), name=NAME)
    with pytest.raises(AutomigrateError):
        # The old numbers are no UUIDs: they are not given up for new ones unasked.
        case.build(before)
        case.insert(before, named("a", "b"))
        case.run(after)
    case.update(
        before,
        item(key=models.UUIDField(primary_key=True, default=uuid.uuid4), name=NAME),
        built=True,
        accept_data_loss=True,
    )
    assert len(distinct(case, "key")) == 2


def test_rows_that_others_point_at_get_a_value_each(case):
    def state(**fields):
        return State(Box={"name": NAME, **fields}, Item={"box": models.ForeignKey("Box", models.CASCADE)})

    token = models.UUIDField(default=uuid.uuid4, unique=True)
    rows = {"Box": [{"name": "a"}, {"name": "b"}], "Item": [{"box_id": 1}, {"box_id": 2}]}
    case.update(state(), state(token=token), rows)


def test_default_that_gives_nothing_is_an_error(case):
    case.build(item(name=NAME))
    case.insert(item(name=NAME), named("a"))
    with pytest.raises(AutomigrateError, match="gave None"):
        case.run(item(name=NAME, size=models.IntegerField(default=nothing)))


def test_value_for_each_row_of_a_table_without_a_key_is_an_error(case):
    before = item(name=NAME)
    case.build(before)
    case.execute("DROP TABLE shop_item", "CREATE TABLE shop_item (id bigint, name varchar(20) NOT NULL)")
    case.execute("INSERT INTO shop_item VALUES (1, 'a')")
    with pytest.raises(AutomigrateError, match="no primary key"):
        case.run(item(name=NAME, code=models.IntegerField(default=number)))


def test_duplicates_among_values_for_each_row_leave_no_trace(case):
    def seven():
        return 7

    before = item(name=NAME)
    case.build(before)
    case.insert(before, named("a", "b"))
    with pytest.raises(AutomigrateError):
        case.run(item(name=NAME, code=models.IntegerField(default=seven, unique=True)))
    added = case.introspect(["shop_item"]).tables["shop_item"].column("code")
    assert (added is None) == has(case.connection, "atomic DDL")


def test_default_is_called_for_rows_only(case):
    calls = []

    def count():
        calls.append(1)
        return len(calls)

    before, after = item(name=NAME), item(name=NAME, code=models.IntegerField(default=count))
    case.build(before)
    case.insert(before, named("a", "b", "c"))
    assert case.run(after)
    assert len(calls) == 3
    assert not case.run(after)
    assert len(calls) == 3


def test_plan_that_is_shown_holds_the_values(case):
    need(case.connection, "rows among changes of tables")
    before, after = item(name=NAME), item(name=NAME, token=models.UUIDField(default=uuid.uuid4, unique=True))
    case.build(before)
    case.insert(before, named("a", "b"))
    plan = case.plan(after)
    case.need_ability(plan, after)
    run_by_hand(case, plan)
    assert len(distinct(case, "token")) == 2
    case.assert_settled(after)


def run_by_hand(case, plan):
    """Execute the plan's statements as a script does; one for an online run is many transactions."""
    together = nullcontext() if plan.online else case.backend.exclusive()
    with together, connections[case.alias].cursor() as cursor:
        for statement in plan.statements:
            cursor.execute(statement)


def test_plan_over_very_many_rows_does_not_hold_the_values(case, monkeypatch):
    monkeypatch.setattr(filler, "ROWS_WRITTEN_OUT", 1)
    before, after = item(name=NAME), item(name=NAME, token=models.UUIDField(default=uuid.uuid4))
    case.build(before)
    case.insert(before, named("a", "b"))
    planned = case.plan(after).sql()
    case.run(after)
    assert "-- UPDATE shop_item: a value of its own in token for each row" in planned
    assert len(distinct(case, "token")) == 2


def test_one_off_value_instead_of_one_for_each_row(case):
    after = item(name=NAME, code=models.IntegerField(default=number))
    case.update(item(name=NAME), after, named("a", "b"), defaults={"shop.Item.code": 5})
    assert case.values("shop_item", "code") == [(5,), (5,)]


def inked(**fields):
    return State(Ink={"name": NAME}, Item={"name": NAME, **fields})


REFERENCE = models.ForeignKey("Ink", models.CASCADE)
INK = {"shop.Item.ink": 1}


def test_one_off_reference_that_no_row_needs_is_not_asked_about(case):
    """Its target has no table yet, then no rows; nor do the rows need it that have a value."""
    after = inked(ink=REFERENCE)
    case.update(item(name=NAME), after, defaults=INK)
    case.update(after, after, built=True, defaults=INK)
    case.drop(after)
    optional = inked(ink=models.ForeignKey("Ink", models.CASCADE, null=True))
    rows = {"Ink": [{"id": 7, "name": "x"}], "Item": [{"name": "a", "ink_id": 7}]}
    case.update(optional, after, rows, defaults=INK)


def test_one_off_reference_to_a_table_that_the_run_makes_refused(case):
    for label in ("shop.Item.ink", "shop.Item.ink_id"):
        plan = case.refused(item(name=NAME), inked(ink=REFERENCE), named("a"), "orphans", defaults={label: 1})
        assert "1 row that points at nothing" in plan.refused[0].hazards[0].message
        case.drop(item(name=NAME))


def test_one_off_reference_to_a_table_without_rows_refused(case):
    case.refused(inked(), inked(ink=REFERENCE), named("a", "b"), "orphans", defaults=INK)
    case.insert(inked(), {"Ink": [{"id": 1, "name": "x"}]})
    case.update(inked(), inked(ink=REFERENCE), built=True, defaults=INK)


def test_one_off_reference_is_no_value_of_its_key(case):
    case.build(inked())
    case.insert(inked(), named("a"))
    with pytest.raises(AutomigrateError, match=r"shop\.Item\.ink=black"):
        case.plan(inked(ink=REFERENCE), defaults={"shop.Item.ink": "black"})


def test_called_default_of_a_foreign_key(case):
    def first():
        return 1

    def state(**fields):
        return State(Box={"name": NAME}, Item={"name": NAME, **fields})

    after = state(box=models.ForeignKey("Box", models.CASCADE, default=first))
    case.update(state(), after, {"Box": [{"name": "x"}], **named("a", "b")})
    assert case.values("shop_item", "box_id") == [(1,), (1,)]


def test_orphans_made_by_a_default_refused(case):
    def state(**fields):
        return State(Box={"name": NAME}, Item={"name": NAME, **fields})

    after = state(box=models.ForeignKey("Box", models.CASCADE, default=9))
    case.refused(state(), after, named("a", "b"), "orphans")


def test_orphans_made_by_a_default_under_a_foreign_key_that_stays_refused(case):
    def state(**options):
        return State(Box={}, Item={"box": models.ForeignKey("Box", models.CASCADE, **options)})

    rows = {"Box": [{}], "Item": [{"box_id": 1}, {"box_id": None}]}
    plan = case.refused(state(null=True), state(default=9), rows, "orphans")
    assert plan.refused[0].hazards[0].samples == ((2,),)
    case.update(state(null=True), state(default=1), built=True)


def test_database_default_of_null_fills_nothing(case):
    need(case.connection, "default of NULL that is forbidden")
    after = item(name=NAME, size=models.IntegerField(db_default=None))
    case.refused(item(name=NAME), after, named("a"), "required-column")
    case.execute("DELETE FROM shop_item")
    nullable = item(name=NAME, size=models.IntegerField(null=True))
    case.update(item(name=NAME), nullable, built=True)
    case.refused(nullable, after, named("b"), "null-values", built=True)


def test_violators_made_by_a_default_refused(case):
    need(case.connection, "checks that are seen")
    check = models.CheckConstraint(condition=models.Q(size__gt=10), name="c")
    after = item(name=NAME, size=models.IntegerField(default=5), Meta={"constraints": [check]})
    case.refused(item(name=NAME), after, named("a"), "violators")


def test_duplicates_made_by_a_default_refused(case):
    after = item(name=NAME, size=models.IntegerField(default=5, unique=True))
    plan = case.refused(item(name=NAME), after, named("a", "b"), "duplicates")
    assert plan.refused[0].hazards[0].samples == ((1,), (2,))


def test_single_row_with_a_default_under_a_new_unique(case):
    after = item(name=NAME, size=models.IntegerField(default=5, unique=True))
    case.update(item(name=NAME), after, named("a"))


def test_array_column_added_with_a_value_for_each_row(pg):
    need(pg.connection, "postgresql")
    from django.contrib.postgres.fields import ArrayField

    def two():
        return [number(), number()]

    after = item(name=NAME, codes=ArrayField(models.IntegerField(), default=two))
    pg.update(item(name=NAME), after, named("a", "b"))
    assert len({tuple(codes) for (codes,) in pg.values("shop_item", "codes")}) == 2


def facts():
    return {"a": "it's 100%", "b": None, 'c"\\': "d"}


WAYS = {
    "one default": (facts(), None),
    "a default that is called": (facts, None),
    "a type as the default": (dict, None),
    "a one-off value": (models.NOT_PROVIDED, facts()),
    "a one-off value as text": (models.NOT_PROVIDED, json.dumps(facts())),
}


@pytest.mark.parametrize("extension", ["made by the run", "made since the connection was", "there before it"])
@pytest.mark.parametrize("way", WAYS)
def test_values_of_the_type_of_an_extension(pg, way, extension):
    need(pg.connection, "extension hstore")
    from django.contrib.postgres.fields import ArrayField, HStoreField

    if extension != "made by the run":
        pg.execute("CREATE EXTENSION hstore")
    if extension == "there before it":
        pg.connection.close()
        register_types(pg)
    default, value = WAYS[way]
    after = item(name=NAME, facts=HStoreField(default=default), more=ArrayField(HStoreField(), default=list))
    options = {"defaults": {"shop.Item.facts": value}} if value else {}
    pg.update(item(name=NAME), after, named("a", "b"), **options)
    expected = {} if default is dict else facts()
    assert [row.facts for row in after["Item"].objects.using(pg.alias).all()] == [expected] * 2


def register_types(pg):
    pg.backend.extensions.forget_types()
    pg.connection.ensure_connection()


@pytest.mark.parametrize("way", WAYS)
def test_nulls_filled_with_values_of_the_type_of_an_extension(pg, way):
    need(pg.connection, "extension hstore")
    from django.contrib.postgres.fields import HStoreField

    pg.execute("CREATE SCHEMA extensions", "CREATE EXTENSION hstore SCHEMA extensions")
    pg.execute("SET search_path = public, extensions")
    default, value = WAYS[way]
    before, after = item(facts=HStoreField(null=True)), item(facts=HStoreField(default=default))
    pg.build(before)
    pg.execute("INSERT INTO shop_item (facts) VALUES (NULL), ('a=>b')")
    options = {"defaults": {"shop.Item.facts": value}} if value else {}
    pg.update(before, after, built=True, altered={"shop_item.facts"}, **options)
    expected = {} if default is dict else facts()
    found = [row.facts for row in after["Item"].objects.using(pg.alias).order_by("pk")]
    assert found == [expected, {"a": "b"}]


class Colour:
    """A value that no driver adapts."""

    def __init__(self, *parts):
        self.parts = tuple(map(int, parts))

    def __eq__(self, other):
        return isinstance(other, Colour) and self.parts == other.parts

    __hash__ = None


def black():
    return Colour(0, 0, 0)


class ColourField(models.Field):
    """A field that adapts its values where rows are saved, and nowhere else."""

    def db_type(self, connection):
        return "varchar(40)"

    def to_python(self, value):
        return Colour(*value.split("/")) if isinstance(value, str) else value

    def from_db_value(self, value, expression, connection):
        return self.to_python(value)

    def get_prep_value(self, value):
        return value

    def get_db_prep_save(self, value, connection):
        return None if value is None else "/".join(map(str, value.parts))


@pytest.mark.parametrize("before", ["no column", "NULL"])
@pytest.mark.parametrize(
    ("default", "value"),
    [
        (black(), None),
        (black, None),
        (models.NOT_PROVIDED, black()),
        (models.NOT_PROVIDED, "0/0/0"),
    ],
)
def test_values_that_only_the_field_adapts(case, before, default, value):
    fields = {} if before == "no column" else {"colour": ColourField(null=True)}
    after = item(name=NAME, colour=ColourField(default=default))
    options = {"defaults": {"shop.Item.colour": value}} if value else {}
    case.update(item(name=NAME, **fields), after, named("a", "b"), **options)
    assert [row.colour for row in after["Item"].objects.using(case.alias)] == [black()] * 2


def test_reference_filled_with_a_key_that_only_the_field_adapts(case):
    def state(**fields):
        return State(Ink={"colour": ColourField(primary_key=True)}, Item={"name": NAME, **fields})

    ink = models.ForeignKey("Ink", models.CASCADE, default=black)
    case.update(state(), state(ink=ink), {"Ink": [{"colour": black()}], **named("a", "b")})
    assert case.values("shop_item", "ink_id") == [("0/0/0",), ("0/0/0",)]


def test_values_of_types_that_only_postgresql_has(pg):
    need(pg.connection, "postgresql")
    from django.contrib.postgres import fields
    from django.db.backends.postgresql.psycopg_any import DateRange, NumericRange

    days = DateRange(datetime.date(2024, 1, 2), None)
    values = {
        "sizes": (fields.IntegerRangeField(default=NumericRange(1, 5)), NumericRange(1, 5)),
        "days": (fields.ArrayField(fields.DateRangeField(), default=[days]), [days]),
        "keys": (fields.ArrayField(models.UUIDField(), default=[uuid.UUID(int=1)]), [uuid.UUID(int=1)]),
        "data": (fields.ArrayField(models.JSONField(), default=[{"a": "%"}]), [{"a": "%"}]),
        "none": (fields.ArrayField(models.JSONField(), default=list), []),
        "host": (models.GenericIPAddressField(default="::1"), "::1"),
        "hosts": (fields.ArrayField(models.GenericIPAddressField(), default=["10.0.0.1"]), ["10.0.0.1"]),
    }
    after = item(name=NAME, **{name: field for name, (field, _) in values.items()})
    pg.update(item(name=NAME), after, named("a"))
    row = after["Item"].objects.using(pg.alias).get()
    assert {name: getattr(row, name) for name in values} == {name: value for name, (_, value) in values.items()}


def test_nothing_is_drawn_for_a_plan_that_is_refused(case):
    before = item(name=NAME)
    case.build(before)
    case.insert(before, named("a", "b"))
    after = item(
        name=models.CharField(max_length=20, unique=True),
        code=models.IntegerField(),
        token=models.IntegerField(default=nothing),
    )
    assert make_plan(using=case.alias, apps=after.apps).refused
    with pytest.raises(AutomigrateError, match="required"):
        case.run(after)
