"""Columns: every field class unchanged; added, dropped, retyped, defaulted, in one statement a table."""

import datetime
import decimal
import uuid
from itertools import pairwise

import pytest
from django.db import models
from django.db.models.functions import Lower, Now

from automigrate_ext.schema.changes import AddColumn, DropColumn
from tests.acceptance.helper import Case, State, assert_starts, item
from tests.features import COLLATIONS, has, need

NAME = models.CharField(max_length=20)
ROWS = {"Item": [{"name": "a"}, {"name": "b"}]}


def new_uuid():
    return uuid.uuid4()


FIELDS = {
    "auto": {"id": models.AutoField(primary_key=True)},
    "big_auto": {"id": models.BigAutoField(primary_key=True)},
    "small_auto": {"id": models.SmallAutoField(primary_key=True)},
    "big_integer": {"a": models.BigIntegerField()},
    "binary": {"a": models.BinaryField()},
    "binary_max_length": {"a": models.BinaryField(max_length=10, unique=True)},
    "boolean": {"a": models.BooleanField()},
    "char": {"a": models.CharField(max_length=10)},
    "char_unique": {"a": models.CharField(max_length=10, unique=True)},
    "char_indexed": {"a": models.CharField(max_length=10, db_index=True)},
    "char_unlimited_or_long": {"a": models.CharField(max_length=10_000)},
    "char_choices": {"a": models.CharField(max_length=10, choices={"a": "A"})},
    "date": {"a": models.DateField(auto_now_add=True)},
    "datetime": {"a": models.DateTimeField(auto_now=True, db_index=True)},
    "decimal": {"a": models.DecimalField(max_digits=12, decimal_places=3)},
    "duration": {"a": models.DurationField()},
    "email": {"a": models.EmailField(unique=True)},
    "file": {"a": models.FileField()},
    "file_path": {"a": models.FilePathField()},
    "float": {"a": models.FloatField()},
    "generic_ip": {"a": models.GenericIPAddressField(null=True, unique=True)},
    "ip_v4": {"a": models.GenericIPAddressField(protocol="IPv4", db_index=True)},
    "integer": {"a": models.IntegerField(null=True)},
    "json": {"a": models.JSONField(default=dict)},
    "json_null": {"a": models.JSONField(null=True, db_default=models.Value({}, models.JSONField()))},
    "null_char": {"a": models.CharField(max_length=3, null=True, unique=True)},
    "positive_big": {"a": models.PositiveBigIntegerField()},
    "positive": {"a": models.PositiveIntegerField(unique=True)},
    "positive_small": {"a": models.PositiveSmallIntegerField(db_index=True)},
    "slug": {"a": models.SlugField()},
    "small": {"a": models.SmallIntegerField()},
    "text": {"a": models.TextField()},
    "text_indexed": {"a": models.TextField(db_index=True)},
    "text_unique": {"a": models.TextField(unique=True)},
    "time": {"a": models.TimeField()},
    "url": {"a": models.URLField(unique=True)},
    "uuid": {"a": models.UUIDField(default=new_uuid, unique=True)},
    "uuid_key": {"id": models.UUIDField(primary_key=True, default=new_uuid)},
    "char_key": {"code": models.CharField(max_length=8, primary_key=True)},
    "decimal_key": {"code": models.DecimalField(max_digits=8, decimal_places=2, primary_key=True)},
    "db_column": {"a": models.IntegerField(db_column="Other Name", db_index=True)},
    "db_default_int": {"a": models.IntegerField(db_default=3)},
    "db_default_negative": {"a": models.IntegerField(db_default=-3)},
    "db_default_text": {"a": models.CharField(max_length=40, db_default='it\'s 100% \\ "so"')},
    "db_default_empty": {"a": models.TextField(db_default="")},
    "db_default_null": {"a": models.TextField(null=True, db_default=None)},
    "db_default_boolean": {"a": models.BooleanField(db_default=True)},
    "db_default_decimal": {
        "a": models.DecimalField(max_digits=5, decimal_places=2, db_default=decimal.Decimal("1.50"))
    },
    "db_default_float": {"a": models.FloatField(db_default=1.5)},
    "db_default_date": {"a": models.DateField(db_default=datetime.date(2024, 2, 29))},
    "db_default_duration": {"a": models.DurationField(db_default=datetime.timedelta(days=1, hours=2))},
    "db_default_now": {"a": models.DateTimeField(db_default=Now())},
    "db_default_function": {"a": models.CharField(max_length=9, db_default=Lower(models.Value("ABC")))},
    "db_default_uuid": {"a": models.UUIDField(db_default=uuid.UUID(int=7))},
    "db_default_binary": {"a": models.BinaryField(db_default=b"\x00a'")},
    "collation": {"a": models.CharField(max_length=9, db_collation="C", unique=True)},
    "order": {"a": models.IntegerField(), "b": models.IntegerField(), "c": models.IntegerField()},
}


NEEDS = {
    "binary_max_length": "unique texts",
    "char_unlimited_or_long": "long varchars",
    "collation": "names in small letters",
    "db_column": "names in small letters",
    "db_default_function": "any default",
    "db_default_now": "any default",
    "db_default_text": "any default",
    "json": "JSON",
    "json_null": "JSON",
    "text_unique": "unique texts",
}


def needs(name: str) -> list[str]:
    return [NEEDS[name]] if name in NEEDS else []


def fields_for(case: Case, name: str) -> dict[str, models.Field]:
    fields = {key: field.clone() for key, field in FIELDS[name].items()}
    for field in fields.values():
        if getattr(field, "db_collation", None):
            field.db_collation = COLLATIONS[case.vendor]
        if name == "db_default_binary" and not has(case.connection, "binary defaults"):
            field.db_default = models.Value(b"abc")
    return fields


@pytest.mark.django
@pytest.mark.parametrize("name", FIELDS)
def test_field_unchanged(case, name):
    need(case.connection, *needs(name))
    case.unchanged(item(**fields_for(case, name)))


@pytest.mark.parametrize("name", [n for n in FIELDS if "key" not in n and "auto" not in n])
def test_field_added_and_removed(case, name):
    need(case.connection, *needs(name))
    before, after = item(name=NAME), item(name=NAME, **fields_for(case, name))
    columns = [field.column for field in after["Item"]._meta.fields if field.column not in ("id", "name")]
    plan = case.update(before, after)
    assert_starts(described(plan, AddColumn), [f"Add column shop_item.{name}" for name in columns])
    plan = case.update(after, before, built=True)
    assert_starts(described(plan, DropColumn), [f"Drop column shop_item.{name}" for name in columns])


def described(plan, kind):
    return [change.describe() for change in plan.changes if isinstance(change, kind)]


def test_all_fields_on_one_table_added_in_one_statement(case):
    fields = {}
    for name in FIELDS:
        if "key" not in name and "auto" not in name and all(has(case.connection, n) for n in needs(name)):
            fields |= {f"{name}_{key}": field for key, field in fields_for(case, name).items()}
    for field in fields.values():
        field.db_column = None
    after = item(name=NAME, **fields)
    plan = case.update(item(name=NAME), after)
    if case.vendor != "sqlite" and has(case.connection, "one statement a table"):
        assert sum("ADD COLUMN" in statement for statement in plan.statements) == 1


def test_nullable_column_added(case):
    after = item(name=NAME, size=models.IntegerField(null=True))
    plan = case.update(item(name=NAME), after, ROWS, changes=["Add column shop_item.size"])
    assert len(plan.statements) == 1
    assert not any("new__" in statement for statement in plan.statements)
    assert case.values("shop_item", "size") == [(None,), (None,)]


def test_column_added_with_default(case):
    after = item(name=NAME, size=models.IntegerField(default=7))
    plan = case.update(item(name=NAME), after, ROWS, changes=["Add column shop_item.size"])
    assert case.values("shop_item", "size") == [(7,), (7,)]
    if case.vendor == "postgresql" and has(case.connection, "one statement a table"):
        add, drop_default = plan.statements
        assert "ADD COLUMN" in add
        assert drop_default.endswith("DROP DEFAULT")


@pytest.mark.parametrize(
    "field",
    [
        models.IntegerField(default=7, null=True),
        models.CharField(max_length=9, default="x", null=True),
        models.TextField(default="x", null=True),
        models.BinaryField(default=b"x", null=True),
        models.JSONField(default=dict, null=True),
    ],
    ids=["integer", "char", "text", "binary", "json"],
)
def test_column_added_with_default_that_allows_null(case, field):
    """The rows get the value, and INSERTs that do not name the column get NULL."""
    case.build(item(name=NAME))
    case.insert(item(name=NAME), ROWS)
    case.run(item(name=NAME, more=field))
    case.assert_settled(item(name=NAME, more=field))
    case.execute("INSERT INTO shop_item (name) VALUES ('c')")
    assert [value is None for _, value in case.values("shop_item", "name", "more")] == [False, False, True]


def test_column_added_with_callable_default(case):
    after = item(name=NAME, size=models.IntegerField(default=lambda: 8))
    case.update(item(name=NAME), after, ROWS)
    assert case.values("shop_item", "size") == [(8,), (8,)]


def test_column_added_with_db_default(case):
    after = item(name=NAME, size=models.IntegerField(db_default=9))
    case.update(item(name=NAME), after, ROWS)
    assert case.values("shop_item", "size") == [(9,), (9,)]


def test_column_added_with_default_and_db_default(case):
    after = item(name=NAME, size=models.IntegerField(default=1, db_default=9))
    case.update(item(name=NAME), after, ROWS)
    assert case.values("shop_item", "size") == [(9,), (9,)]


def test_blank_text_column_added(case):
    after = item(name=NAME, note=models.TextField(blank=True))
    case.update(item(name=NAME), after, ROWS)
    assert case.values("shop_item", "note") == [("",), ("",)]


def test_nullable_column_added_with_default(case):
    after = item(name=NAME, size=models.IntegerField(null=True, default=7))
    case.update(item(name=NAME), after, ROWS)
    assert case.values("shop_item", "size") == [(7,), (7,)]


def test_column_added_with_one_off_value(case):
    after = item(name=NAME, size=models.IntegerField())
    case.update(item(name=NAME), after, ROWS, defaults={"shop.Item.size": "5"})
    assert case.values("shop_item", "size") == [(5,), (5,)]


def test_datetime_column_added_with_auto_now(case):
    after = item(name=NAME, seen=models.DateTimeField(auto_now=True))
    case.update(item(name=NAME), after, ROWS)
    assert all(value for (value,) in case.values("shop_item", "seen"))


def test_text_default_with_percent_and_quotes(case):
    need(case.connection, "any text as a value")
    text = "50% 'off' \\ %s \"x\" ; é"
    after = item(name=NAME, note=models.TextField(default=text))
    case.update(item(name=NAME), after, ROWS)
    assert case.values("shop_item", "note") == [(text,), (text,)]


def test_json_default(case):
    need(case.connection, "JSON")
    after = item(name=NAME, data=models.JSONField(default=list))
    case.update(item(name=NAME), after, ROWS)
    assert [row.data for row in after["Item"].objects.using(case.alias).all()] == [[], []]


def test_required_column_added_to_empty_table(case):
    after = item(name=NAME, size=models.IntegerField())
    case.update(item(name=NAME), after, changes=["Add column shop_item.size"])


def test_several_columns_changed_at_once(case):
    need(case.connection, "unique texts")
    before = item(
        a=models.CharField(max_length=10),
        b=models.IntegerField(),
        c=models.IntegerField(null=True),
        d=models.TextField(),
        e=models.IntegerField(db_default=1),
    )
    after = item(
        a=models.CharField(max_length=20),
        b=models.BigIntegerField(null=True),
        c=models.IntegerField(default=3),
        d=models.TextField(unique=True),
        e=models.IntegerField(db_default=2),
        f=models.IntegerField(default=4),
        g=models.PositiveIntegerField(null=True),
    )
    rows = {"Item": [{"a": "x", "b": 1, "c": None, "d": "u"}, {"a": "y", "b": 2, "c": 5, "d": "v"}]}
    case.update(before, after, rows)
    assert case.values("shop_item", "a", "b", "c", "d", "e", "f", "g") == [
        ("x", 1, 3, "u", 1, 4, None),
        ("y", 2, 5, "v", 1, 4, None),
    ]


def test_null_allowed(case):
    before, after = item(size=models.IntegerField()), item(size=models.IntegerField(null=True))
    case.update(before, after, {"Item": [{"size": 1}]}, changes=["Change column shop_item.size: allow NULL"])


def test_null_forbidden_without_null_rows(case):
    before, after = item(size=models.IntegerField(null=True)), item(size=models.IntegerField())
    case.update(before, after, {"Item": [{"size": 1}]}, changes=["Change column shop_item.size: forbid NULL"])


@pytest.mark.parametrize(
    "field",
    [models.IntegerField(default=3), models.IntegerField(db_default=3)],
    ids=["default", "db_default"],
)
def test_null_forbidden_with_null_rows_filled(case, field):
    before, after = item(size=models.IntegerField(null=True)), item(size=field)
    case.update(before, after, {"Item": [{"size": 1}, {"size": None}]})
    assert case.values("shop_item", "size") == [(1,), (3,)]


def test_null_forbidden_beside_the_check_of_a_field(case):
    before, after = item(size=models.PositiveIntegerField(null=True)), item(size=models.PositiveIntegerField())
    case.update(before, after, {"Item": [{"size": 1}]}, changes=["Change column shop_item.size: forbid NULL"])


def test_null_forbidden_with_one_off_value(case):
    before, after = item(size=models.IntegerField(null=True)), item(size=models.IntegerField())
    rows = {"Item": [{"size": 1}, {"size": None}]}
    case.update(before, after, rows, defaults={"shop.item.SIZE": 4})
    assert case.values("shop_item", "size") == [(1,), (4,)]


def test_null_forbidden_and_type_changed_with_fill(case):
    before = item(size=models.IntegerField(null=True))
    after = item(size=models.BigIntegerField(default=2**40))
    case.update(before, after, {"Item": [{"size": 1}, {"size": None}]})
    assert case.values("shop_item", "size") == [(1,), (2**40,)]


RETYPED = {
    "char wider": (models.CharField(max_length=5), models.CharField(max_length=50), "abc"),
    "char narrower": (models.CharField(max_length=50), models.CharField(max_length=5), "abc"),
    "char to text": (models.CharField(max_length=5), models.TextField(), "abc"),
    "text to char": (models.TextField(), models.CharField(max_length=5), "abc"),
    "integer to bigint": (models.IntegerField(), models.BigIntegerField(), 5),
    "bigint to integer": (models.BigIntegerField(), models.IntegerField(), 5),
    "bigint to smallint": (models.BigIntegerField(), models.SmallIntegerField(), 5),
    "integer to positive": (models.IntegerField(), models.PositiveIntegerField(), 5),
    "positive to integer": (models.PositiveIntegerField(), models.IntegerField(), 5),
    "positive to positive big": (models.PositiveIntegerField(), models.PositiveBigIntegerField(), 5),
    "integer to char": (models.IntegerField(), models.CharField(max_length=5), 12),
    "char to integer": (models.CharField(max_length=5), models.IntegerField(), "12"),
    "integer to decimal": (models.IntegerField(), models.DecimalField(max_digits=9, decimal_places=0), 12),
    "decimal finer": (
        models.DecimalField(max_digits=5, decimal_places=2),
        models.DecimalField(max_digits=8, decimal_places=3),
        decimal.Decimal("1.25"),
    ),
    "integer to float": (models.IntegerField(), models.FloatField(), 12),
    "date to char": (models.DateField(), models.CharField(max_length=10), datetime.date(2024, 1, 2)),
    "char to date": (models.CharField(max_length=10), models.DateField(), "2024-01-02"),
    "uuid to char": (models.UUIDField(), models.CharField(max_length=36), uuid.UUID(int=5)),
    "text to json": (models.TextField(), models.JSONField(), '{"a": 1}'),
}


@pytest.mark.parametrize("name", RETYPED)
@pytest.mark.parametrize("option", ["", "null", "db_index", "unique"])
def test_type_changed(case, name, option):
    old, new, value = RETYPED[name]
    old, new = old.clone(), new.clone()
    if option:
        for field in (old, new):
            setattr(field, "_unique" if option == "unique" else option, True)
    if option == "unique" and "text" in name:
        need(case.connection, "unique texts")
    if name == "text to json":
        need(case.connection, "unique JSON" if option == "unique" else "JSON")
    rows = {"Item": [{"a": value}] + ([{"a": None}] if option == "null" else [])}
    case.update(item(a=old), item(a=new), rows)


def test_char_and_its_indexes_switched(case):
    need(case.connection, "unique texts")
    char = models.CharField
    states = [
        item(a=char(max_length=5)),
        item(a=char(max_length=5, db_index=True)),
        item(a=char(max_length=5, unique=True)),
        item(a=models.TextField(unique=True)),
        item(a=models.IntegerField(unique=True)),
        item(a=models.IntegerField(db_index=True)),
        item(a=char(max_length=9, db_index=True)),
        item(a=models.TextField()),
    ]
    case.build(states[0])
    case.insert(states[0], {"Item": [{"a": "1"}, {"a": "2"}]})
    for before, after in zip(states, [*states[1:], states[0]], strict=True):
        case.update(before, after, built=True)


def test_db_default_added_changed_removed(case):
    states = [
        item(a=models.IntegerField()),
        item(a=models.IntegerField(db_default=1)),
        item(a=models.IntegerField(db_default=2)),
        item(a=models.CharField(max_length=5, db_default="x")),
        item(a=models.CharField(max_length=5)),
    ]
    case.run(states[0])
    case.insert(states[0], {"Item": [{"a": 5}]})
    for before, after in pairwise(states):
        case.update(before, after, built=True)


def test_collation_changed(pg):
    before = item(a=models.CharField(max_length=5, unique=True))
    after = item(a=models.CharField(max_length=5, unique=True, db_collation="C"))
    pg.run(before)
    pg.update(before, after, {"Item": [{"a": "x"}]}, built=True)
    pg.update(after, before, built=True)


def test_collation_changed_on_sqlite(lite):
    before = item(a=models.CharField(max_length=5, db_index=True))
    after = item(a=models.CharField(max_length=5, db_index=True, db_collation="nocase"))
    lite.run(before)
    lite.update(before, after, {"Item": [{"a": "x"}]}, built=True)
    lite.update(after, before, built=True)


def test_nondeterministic_collation_set_on_indexed_column(pg):
    need(pg.connection, "ICU collations")
    pg.execute("CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    before = item(a=models.CharField(max_length=5, unique=True), b=models.TextField(db_index=True))
    after = item(
        a=models.CharField(max_length=5, unique=True, db_collation="ci"),
        b=models.TextField(db_index=True, db_collation="ci"),
    )
    pg.run(before)
    pg.update(before, after, {"Item": [{"a": "x", "b": "y"}]}, built=True)
    pg.update(after, before, built=True)


def test_identity_instead_of_serial_unchanged(pg):
    pg.execute(
        "CREATE TABLE shop_item (id bigserial PRIMARY KEY, name varchar(20) NOT NULL)",
        "INSERT INTO shop_item (name) VALUES ('a')",
    )
    state = item(name=NAME)
    pg.update(state, state, changes=[], built=True)


def test_serial_widened_with_its_sequence(pg):
    pg.execute(
        "CREATE TABLE shop_item (id serial PRIMARY KEY, name varchar(20) NOT NULL)",
        "INSERT INTO shop_item (name) VALUES ('a')",
    )
    after = item(id=models.BigAutoField(primary_key=True), name=NAME)
    pg.update(item(name=NAME), after, changes=["Change column shop_item.id: type"], built=True)
    assert pg.query("SELECT data_type::text FROM pg_sequences") == [("bigint",)]
    pg.insert(after, {"Item": [{"name": "b"}]})
    numbers = pg.values("shop_item", "id")
    # In two steps, rows of old code have come and gone in between.
    assert numbers == [(1,), (2,)] or (pg.expands and len(numbers) == 2)


def test_identity_always_becomes_by_default(pg):
    pg.execute("CREATE TABLE shop_item (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name varchar(20) NOT NULL)")
    state = item(name=NAME)
    pg.update(state, state, changes=["Change column shop_item.id: identity"], built=True)


def test_autofield_becomes_plain_and_back(case):
    need(case.connection, "numbered keys told apart")
    plain = item(id=models.IntegerField(primary_key=True), name=NAME)
    auto = item(id=models.AutoField(primary_key=True), name=NAME)
    case.update(plain, auto, {"Item": [{"id": 5, "name": "a"}]})
    case.insert(auto, {"Item": [{"name": "b"}]})
    assert case.values("shop_item", "id") == [(5,), (6,)]
    case.update(auto, plain, built=True)


@pytest.mark.parametrize("keys", [(0,), (-5, -1), (-5, 7)])
def test_plain_key_without_positive_numbers_becomes_automatic(case, keys):
    need(case.connection, "numbered keys told apart")
    auto = item(id=models.AutoField(primary_key=True), name=NAME)
    rows = {"Item": [{"id": key, "name": "a"} for key in keys]}
    case.update(item(id=models.IntegerField(primary_key=True), name=NAME), auto, rows)
    case.insert(auto, {"Item": [{"name": "b"}]})
    assert {key for (key,) in case.values("shop_item", "id")} == {*keys, max(0, *keys) + 1}


def test_column_renamed_case_is_another_column_or_the_same(case):
    before = item(name=models.CharField(max_length=20, null=True, db_column="name"))
    after = item(name=models.CharField(max_length=20, null=True, db_column="NAME"))
    if has(case.connection, "names told apart by case"):
        case.run(before)
        case.update(before, after, built=True)
    else:
        case.update(before, after, exact=False)


def test_order_of_columns_is_no_difference(case):
    before = item(a=models.IntegerField(), b=models.TextField())
    after = item(b=models.TextField(), a=models.IntegerField())
    case.update(before, after, changes=[])


def test_column_kept_and_relaxed_then_dropped(case):
    before = item(name=NAME, size=models.IntegerField())
    after = item(name=NAME)
    rows = {"Item": [{"name": "a", "size": 1}]}
    plan = case.update(before, after, rows, changes=[], withheld=["Drop column shop_item.size"])
    assert plan.statements
    case.insert(after, {"Item": [{"name": "b"}]})
    assert case.values("shop_item", "size") == [(None,), (1,)]
    plan = case.plan(after)
    assert not plan
    assert [judgement.change.describe() for judgement in plan.withheld] == ["Drop column shop_item.size"]
    done = case.update(after, after, changes=["Drop column shop_item.size"], built=True, accept_data_loss=True)
    assert done.judgements[0].hazards[0].rows == 1


def test_kept_column_comes_back(case):
    before = item(name=NAME, size=models.IntegerField())
    case.update(
        before,
        item(name=NAME),
        {"Item": [{"name": "a", "size": 1}]},
        withheld=["Drop column shop_item.size"],
    )
    case.update(before, before, changes=["Change column shop_item.size: forbid NULL"], built=True)
    assert case.values("shop_item", "size") == [(1,)]


def test_column_without_values_dropped(case):
    before, after = item(name=NAME, size=models.IntegerField(null=True)), item(name=NAME)
    case.update(before, after, ROWS, changes=["Drop column shop_item.size"])


def test_kept_column_with_default_is_not_relaxed(case):
    before, after = item(name=NAME, size=models.IntegerField(db_default=3)), item(name=NAME)
    plan = case.update(before, after, ROWS, changes=[], withheld=["Drop column shop_item.size"])
    assert not plan.statements
    assert case.values("shop_item", "size") == [(3,), (3,)]


def test_kept_columns_with_key_and_index(case):
    before = State(
        Item={"name": NAME},
        Note={
            "item": models.ForeignKey("Item", models.CASCADE),
            "code": models.CharField(max_length=5, unique=True),
            "size": models.PositiveIntegerField(db_index=True),
        },
    )
    after = State(Item={"name": NAME}, Note={"text": models.TextField(default="t")})
    rows = {"Item": [{"name": "a"}], "Note": [{"item_id": 1, "code": "c", "size": 3}]}
    withheld = [f"Drop column shop_note.{name}" for name in ("item_id", "code", "size")]
    case.update(before, after, rows, withheld=withheld)
    case.insert(after, {"Note": [{"text": "b"}]})
    case.update(after, after, built=True, accept_data_loss=True)
