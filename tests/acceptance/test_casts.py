"""Changes of type are tried on the values: what each of them survives goes through, by the right cast."""

import datetime
import decimal
import uuid

import pytest
from django.contrib.postgres.fields import ArrayField
from django.db import models

from tests.acceptance.helper import Case, State, item
from tests.features import need


@pytest.fixture
def route():
    """The tables come to be in one way: what becomes of values does not depend on it."""
    return "automigrate"


TEXT = models.TextField(null=True)
CHAR = models.CharField(max_length=40, null=True)
INTEGER = models.IntegerField(null=True)
BOOLEAN = models.BooleanField(null=True)
MOMENT = models.DateTimeField(null=True)
JSON = models.JSONField(null=True)
UUID = models.UUIDField(null=True)
BINARY = models.BinaryField(null=True)
ADDRESS = models.GenericIPAddressField(null=True)
INTEGERS = ArrayField(models.IntegerField(), null=True)
TEXTS = ArrayField(models.TextField(), null=True)
SHORT_TEXTS = ArrayField(models.CharField(max_length=3), null=True)
KEY = uuid.UUID("0f8fad5b-d9cb-469f-a165-70867728950e")

#: Before, after, and the values with what becomes of them.
SURVIVE = {
    "integer to boolean": (INTEGER, BOOLEAN, {0: False, 1: True, None: None}),
    "bigint to boolean": (models.BigIntegerField(), models.BooleanField(), {0: False, 1: True}),
    "boolean to integer": (BOOLEAN, INTEGER, {True: 1, False: 0, None: None}),
    "boolean to bigint": (models.BooleanField(), models.BigIntegerField(), {True: 1, False: 0}),
    "text to boolean": (CHAR, BOOLEAN, {"0": False, "1": True, None: None}),
    "text to integer": (TEXT, INTEGER, {"12": 12, "-9": -9, None: None}),
    "text to decimal": (
        TEXT,
        models.DecimalField(max_digits=6, decimal_places=2, null=True),
        {"1.5": decimal.Decimal("1.50"), "-3": decimal.Decimal("-3.00"), None: None},
    ),
    "text to float": (TEXT, models.FloatField(null=True), {"1.5": 1.5, "-3": -3.0, "0.1": 0.1}),
    "text to date": (TEXT, models.DateField(null=True), {"2024-02-29": datetime.date(2024, 2, 29), None: None}),
    "text to moment": (
        TEXT,
        MOMENT,
        {
            "2024-02-29 10:20:30": datetime.datetime(2024, 2, 29, 10, 20, 30, tzinfo=datetime.UTC),
            "2024-02-29T10:20:30.5": datetime.datetime(2024, 2, 29, 10, 20, 30, 500000, tzinfo=datetime.UTC),
            "2024-02-29": datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC),
        },
    ),
    "text to uuid": (CHAR, UUID, {str(KEY): KEY, None: None}),
    "capitals to uuid": (CHAR, UUID, {str(KEY).upper(): KEY}),
    "hex to uuid": (CHAR, UUID, {KEY.hex: KEY}),
    "text to json": (TEXT, JSON, {'{"a":  [1, 2]}': {"a": [1, 2]}, "3": 3, None: None}),
    "integer to text": (INTEGER, TEXT, {12: "12", None: None}),
    "date to moment": (
        models.DateField(null=True),
        MOMENT,
        {datetime.date(2024, 2, 29): datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC)},
    ),
    "moment to date": (
        MOMENT,
        models.DateField(null=True),
        {datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC): datetime.date(2024, 2, 29)},
    ),
    "float to integer": (models.FloatField(null=True), INTEGER, {3.0: 3, None: None}),
    "integer to float": (INTEGER, models.FloatField(null=True), {3: 3.0, None: None}),
}
SURVIVE_ON_POSTGRESQL = {
    "truth in words to boolean": (CHAR, BOOLEAN, {"true": True, "F": False}),
    "boolean to text": (BOOLEAN, TEXT, {True: "true", False: "false", None: None}),
    "integer to json": (INTEGER, JSON, {12: 12, None: None}),
    "json to integer": (JSON, INTEGER, {12: 12}),
    "json to text": (JSON, TEXT, {12: "12"}),
    "text to bytes": (TEXT, BINARY, {"a\\b": b"a\\b", "é": "é".encode(), None: None}),
    "bytes to text": (BINARY, TEXT, {b"a\\b": "a\\b", "é".encode(): "é", None: None}),
    "integer to array": (INTEGER, INTEGERS, {12: [12], None: None}),
    "text to array of one": (TEXT, TEXTS, {"a, b": ["a, b"], "": [""], None: None}),
    "text to array as written": (TEXT, TEXTS, {"{a,b}": ["a", "b"], "{}": [], None: None}),
    "text to array of integers as written": (TEXT, INTEGERS, {"{1,2}": [1, 2]}),
    "text to array of short texts": (CHAR, SHORT_TEXTS, {"abc": ["abc"], None: None}),
    "array of integers to array of texts": (INTEGERS, TEXTS, {(1, 2): ["1", "2"], None: None}),
    "array of texts to array of integers": (TEXTS, INTEGERS, {("1", "2"): [1, 2], None: None}),
    "array to json": (TEXTS, JSON, {("a", "b"): ["a", "b"], None: None}),
    "array to text as written": (TEXTS, TEXT, {("a", "b"): "{a,b}", (): "{}", None: None}),
    "array of one to integer": (INTEGERS, INTEGER, {(7,): 7, None: None}),
    "address to text": (ADDRESS, TEXT, {"192.168.0.1": "192.168.0.1", "2001:db8::1": "2001:db8::1", None: None}),
    "text to address": (CHAR, ADDRESS, {"192.168.0.1": "192.168.0.1", "2001:DB8::1": "2001:db8::1", None: None}),
    "text to moment as Python writes it": (
        TEXT,
        MOMENT,
        {
            "2024-02-29T10:20:30.120000+00:00": datetime.datetime(2024, 2, 29, 10, 20, 30, 120000, tzinfo=datetime.UTC),
            "2024-02-29 10:20:30.000000": datetime.datetime(2024, 2, 29, 10, 20, 30, tzinfo=datetime.UTC),
        },
    ),
    "text to json as Python writes it": (TEXT, JSON, {'{"\\u00e9": "\\u00fc:"}': {"é": "ü:"}, "1e2": 100}),
    "text of many digits to float": (TEXT, models.FloatField(null=True), {"9007199254740992": 2.0**53}),
    "float of many digits to decimal": (
        models.FloatField(null=True),
        models.DecimalField(max_digits=20, decimal_places=2, null=True),
        {2.0**53: decimal.Decimal("9007199254740992.00"), 1.5: decimal.Decimal("1.50")},
    ),
}
#: Before, after, values that stay, values that do not survive, and what the refusal is called.
REFUSED = {
    "integer to boolean": (INTEGER, BOOLEAN, [1, None], [5], "alters-values"),
    "text to boolean": (CHAR, BOOLEAN, ["1"], ["maybe"], "cast-fails"),
    "text to integer": (TEXT, INTEGER, ["1", None], ["one", "12abc"], "cast-fails"),
    "zeros in front": (CHAR, INTEGER, ["7"], ["007"], "alters-values"),
    "text to uuid": (CHAR, UUID, [str(KEY)], ["0f8fad5b"], "cast-fails"),
    "text to date": (TEXT, models.DateField(null=True), ["2024-02-29"], ["2024-02-30"], "cast-fails"),
    "text to json": (TEXT, JSON, ["3"], ["{"], "cast-fails"),
    "json to a short text": (JSON, models.CharField(max_length=4, null=True), [[1]], [[1, 2, 3]], "alters-values"),
    "float that would be rounded": (models.FloatField(null=True), INTEGER, [1.0], [1.5, 2.5], "alters-values"),
    "moment to date": (
        MOMENT,
        models.DateField(null=True),
        [datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC)],
        [datetime.datetime(2024, 2, 29, 1, tzinfo=datetime.UTC)],
        "alters-values",
    ),
    "zeros and blanks in front of a decimal": (
        CHAR,
        models.DecimalField(max_digits=6, decimal_places=2, null=True),
        ["-1.50", "0.5", "7", None],
        ["007", " 7", "+7", "7.", "1e2"],
        "alters-values",
    ),
    "text of more digits than a float has": (
        CHAR,
        models.FloatField(null=True),
        ["1.5"],
        ["9007199254740993"],
        "alters-values",
    ),
    "number of more digits than a float has": (
        models.BigIntegerField(null=True),
        models.FloatField(null=True),
        [2**53],
        [2**53 + 1],
        "alters-values",
    ),
    "too long": (CHAR, models.CharField(max_length=3, null=True), ["abc"], ["abcd"], "alters-values"),
}
REFUSED_ON_POSTGRESQL = {
    "too large": (models.BigIntegerField(null=True), INTEGER, [1], [2**40], "cast-fails"),
    "integer to uuid": (INTEGER, UUID, [None], [1, 2], "cast-fails"),
    "two keys of one name": (TEXT, JSON, ['{"a": 1}'], ['{"a": 1, "a": 2}'], "alters-values"),
    "two keys of one name and a long number": (TEXT, JSON, ['{"a": 1e8}'], ['{"a":1,"a":1e8}'], "alters-values"),
    "no number to json": (models.FloatField(null=True), JSON, [1.5], [float("nan"), float("inf")], "alters-values"),
    "array of several to integer": (INTEGERS, INTEGER, [[1]], [[1, 2], []], "alters-values"),
    "braces and none": (TEXT, TEXTS, ["a"], ["{a,b}"], "alters-values"),
    "bytes that are no text": (BINARY, TEXT, [b"a"], [b"\xff"], "cast-fails"),
    "decimals cut": (
        models.DecimalField(max_digits=8, decimal_places=4, null=True),
        models.DecimalField(max_digits=8, decimal_places=2, null=True),
        [decimal.Decimal("1.2")],
        [decimal.Decimal("1.2345")],
        "alters-values",
    ),
}


def filled(values):
    return {"Item": [{"a": list(value) if isinstance(value, tuple) else value} for value in values]}


def survives(case, before, after, values):
    case.update(item(a=before), item(a=after), filled(values), altered=["shop_item.a"])
    rows = item(a=after)["Item"]._base_manager.using(case.alias).order_by("pk")
    found = [bytes(row.a) if isinstance(row.a, memoryview) else row.a for row in rows]
    assert found == list(values.values())


@pytest.mark.parametrize("name", SURVIVE)
def test_values_survive(case, name):
    need(case.connection, *(["JSON"] if "json" in name else []))
    survives(case, *SURVIVE[name])


@pytest.mark.parametrize("name", SURVIVE_ON_POSTGRESQL)
def test_values_survive_on_postgresql(pg, name):
    survives(pg, *SURVIVE_ON_POSTGRESQL[name])


def is_refused(case, before, after, stay, lost, code):
    plan = case.refused(item(a=before), item(a=after), filled([*stay, *lost]), code)
    (hazard,) = plan.refused[0].hazards
    assert hazard.rows == len(lost)
    assert hazard.samples == tuple((len(stay) + number,) for number in range(1, len(lost) + 1))
    assert f"({hazard.examples})" in str(hazard) and "a=" in hazard.examples


@pytest.mark.parametrize("name", REFUSED)
def test_values_that_do_not_survive_counted(case, name):
    need(case.connection, *(["JSON"] if "json" in name else []))
    *states, code = REFUSED[name]
    if case.vendor == "sqlite":
        # It has no cast that fails, and checks JSON by a constraint.
        code = "violators" if name == "text to json" else "alters-values"
    if "uuid" in name and not case.connection.features.has_native_uuid_field:
        # Its type for them is a text, to which everything is cast.
        code = "alters-values"
    is_refused(case, *states, code)


@pytest.mark.parametrize("name", REFUSED_ON_POSTGRESQL)
def test_values_that_do_not_survive_counted_on_postgresql(pg, name):
    is_refused(pg, *REFUSED_ON_POSTGRESQL[name])


@pytest.mark.parametrize("name", SURVIVE_ON_POSTGRESQL)
def test_column_without_values_cast(pg, name):
    before, after, _ = SURVIVE_ON_POSTGRESQL[name]
    pg.update(item(a=before), item(a=after), {"Item": [{"a": None}]})


def test_number_becomes_the_automatic_key_and_back(case):
    need(case.connection, "numbered keys told apart")
    plain = item(id=models.BigIntegerField(primary_key=True), name=CHAR)
    counted = item(id=models.BigAutoField(primary_key=True), name=CHAR)
    case.update(plain, counted, {"Item": [{"id": 7, "name": "a"}]})
    made = counted["Item"]._base_manager.using(case.alias).create(name="b")
    assert made.pk == 8
    case.update(counted, plain, built=True)
    assert case.values("shop_item", "id") == [(7,), (8,)]


CONVERTED = models.TextField(), models.IntegerField()


def converted(**after):
    """Before and after of a text that becomes a number, with something new on top."""
    meta = after.pop("Meta", {})
    return item(a=CONVERTED[0]), item(a=after.pop("a", CONVERTED[1]), Meta=meta, **after)


def test_duplicates_of_converted_values_refused(case):
    before, after = converted(a=models.IntegerField(unique=True))
    plan = case.refused(before, after, filled(["1", "2", "1"]), "duplicates")
    assert plan.refused[0].hazards[0].samples == ((1,), (3,))


def test_violators_among_converted_values_refused(case):
    check = models.CheckConstraint(condition=models.Q(a__gt=5), name="c")
    before, after = converted(Meta={"constraints": [check]})
    # As texts, 10 is less than 5.
    plan = case.refused(before, after, filled(["10", "4"]), "violators")
    assert plan.refused[0].hazards[0].samples == ((2,),)
    case.execute("DELETE FROM shop_item WHERE a = '4'")
    case.update(before, after, built=True)


def test_duplicates_under_an_index_over_converted_values_refused(case):
    need(case.connection, "partial indexes")
    unique = models.UniqueConstraint(fields=["a"], condition=models.Q(a__gt=5), name="u")
    before, after = converted(Meta={"constraints": [unique]})
    case.refused(before, after, filled(["10", "10", "4", "4"]), "duplicates")


def test_orphans_among_converted_values_refused(case):
    before = State(Box={}, Item={"box": models.CharField(max_length=9, db_column="box_id")})
    after = State(Box={}, Item={"box": models.ForeignKey("Box", models.CASCADE)})
    plan = case.refused(before, after, {"Box": [{}], "Item": [{"box": "1"}, {"box": "2"}]}, "orphans")
    assert plan.refused[0].hazards[0].samples == ((2,),)
    case.execute("DELETE FROM shop_item WHERE box_id = '2'")
    case.update(before, after, built=True)


def test_violators_among_computed_values_refused(case):
    need(case.connection, "stored generated columns")
    check = models.CheckConstraint(condition=models.Q(twice__lt=10), name="c")
    twice = models.GeneratedField(expression=models.F("a") * 2, output_field=models.IntegerField(), db_persist=True)
    before = item(a=models.IntegerField())
    after = item(a=models.IntegerField(), twice=twice, Meta={"constraints": [check]})
    plan = case.refused(before, after, filled([1, 7]), "violators")
    assert plan.refused[0].hazards[0].samples == ((2,),)


STAYING = {
    "unique": ({"unique": True}, {}),
    "key": ({"primary_key": True}, {}),
    "index": ({}, {"constraints": [models.UniqueConstraint(fields=["a"], condition=models.Q(b=1), name="u")]}),
    "together": ({}, {"unique_together": {("a", "b")}}),
}


@pytest.mark.parametrize("name", STAYING)
def test_duplicates_under_what_stays_refused(case, name):
    """Two texts that are the same number."""
    if name == "index":
        need(case.connection, "partial indexes")
    options, meta = STAYING[name]
    b = models.IntegerField(default=1)
    before = item(a=models.CharField(max_length=9, **options), b=b, Meta=meta)
    after = item(a=models.DecimalField(max_digits=6, decimal_places=2, **options), b=b, Meta=meta)
    case.refused(before, after, filled(["1.0", "1", "2"]), "duplicates")
    case.execute("DELETE FROM shop_item WHERE a = '1'")
    case.update(before, after, built=True)


def test_text_in_a_check_over_a_converted_number_is_compared_as_text(case):
    """As texts, 12 is less than 5."""
    check = models.CheckConstraint(condition=models.Q(a__gte="5"), name="c")
    before, after = item(a=models.IntegerField()), item(a=models.TextField(), Meta={"constraints": [check]})
    plan = case.refused(before, after, filled([12, 6]), "violators")
    assert plan.refused[0].hazards[0].samples == ((1,),)


def test_infinity_is_no_decimal(case):
    need(case.connection, "infinite numbers")
    before = item(a=models.FloatField())
    after = item(a=models.DecimalField(max_digits=6, decimal_places=2))
    plan = case.refused(before, after, filled([1.5, float("inf")]), "cast-fails")
    assert plan.refused[0].hazards[0].samples == ((2,),)


def test_largest_number_is_no_float_on_sqlite(lite):
    is_refused(lite, models.BigIntegerField(), models.FloatField(), [2**62], [2**63 - 1], "alters-values")


def test_duplicates_that_arise_from_an_accepted_loss_refused(case):
    before = item(a=models.CharField(max_length=9, unique=True))
    after = item(a=models.CharField(max_length=3, unique=True))
    plan = case.refused(before, after, filled(["abcd", "abce", "b"]), "duplicates", accept_data_loss=True)
    assert plan.refused[0].hazards[0].samples == ((1,), (2,))


def test_rows_that_point_at_a_converted_key_follow(case):
    def state(key):
        return State(Box={"code": key}, Item={"box": models.ForeignKey("Box", models.CASCADE)})

    before = state(models.CharField(max_length=9, primary_key=True))
    after = state(models.IntegerField(primary_key=True))
    case.update(before, after, {"Box": [{"code": "7"}], "Item": [{"box_id": "7"}]})
    assert case.values("shop_item", "box_id") == [(7,)]


# UUIDs on MariaDB, where Django wrote them as 32 digits before the server had a type for them


class Digits(models.CharField):
    """A column of a fixed length, as Django made it for UUIDs."""

    def db_type(self, connection):
        return f"char({self.max_length})"


def digits(length=32, **options):
    return Digits(max_length=length, **options)


def own_uuid(**options):
    return models.UUIDField(**options)


OTHER_KEY = uuid.UUID(int=7)
WRITTEN = {
    "digits": (digits(), str(KEY.hex)),
    "capital digits": (digits(), KEY.hex.upper()),
    "dashes": (digits(36), str(KEY)),
    "binary collation": (digits(db_collation="utf8mb4_bin"), KEY.hex),
    "short text": (models.CharField(max_length=32), KEY.hex),
    "unique": (digits(unique=True), KEY.hex),
    "key": (digits(primary_key=True), KEY.hex),
}


@pytest.fixture
def maria(mariadb):
    return Case(mariadb, "automigrate")


@pytest.mark.parametrize("name", WRITTEN)
def test_digits_become_a_uuid(maria, name):
    field, value = WRITTEN[name]
    options = {"unique": field.unique and not field.primary_key, "primary_key": field.primary_key}
    before, after = item(a=field), item(a=own_uuid(**options))
    maria.update(before, after, {"Item": [{"a": value}, {"a": OTHER_KEY.hex}]}, altered=["shop_item.a"])
    assert {row.a for row in after["Item"].objects.using(maria.alias)} == {KEY, OTHER_KEY}


def keyed(field):
    """Models whose keys are UUIDs, and all that points at these."""
    return State(
        Shelf={"id": field.clone(), "code": field.__class__(**unkeyed(field), unique=True)},
        Item={
            "id": field.clone(),
            "shelf": models.ForeignKey("Shelf", models.CASCADE, null=True),
            "tags": models.ManyToManyField("Shelf", related_name="+"),
            "coded": models.ForeignKey("Shelf", models.CASCADE, to_field="code", null=True, related_name="+"),
        },
        Book={"bases": ["Item"], "pages": models.IntegerField(null=True)},
    )


def unkeyed(field):
    return {"max_length": field.max_length} if field.max_length and isinstance(field, Digits) else {}


def test_digits_that_are_pointed_at_become_uuids(maria):
    before, after = keyed(digits(primary_key=True)), keyed(own_uuid(primary_key=True))
    rows = {
        "Shelf": [{"id": KEY.hex, "code": OTHER_KEY.hex}],
        "Book": [{"id": OTHER_KEY.hex, "shelf_id": KEY.hex, "coded_id": OTHER_KEY.hex}],
        "Item.tags": [{"item_id": OTHER_KEY.hex, "shelf_id": KEY.hex}],
    }
    columns = ("item.id", "item.shelf_id", "item.coded_id", "shelf.id", "shelf.code", "book.item_ptr_id")
    links = ("item_tags.item_id", "item_tags.shelf_id")
    maria.update(before, after, rows, altered=[f"shop_{column}" for column in (*columns, *links)])
    book = after["Book"].objects.using(maria.alias).get()
    assert (book.pk, book.shelf_id, book.coded_id) == (OTHER_KEY, KEY, OTHER_KEY)
    assert [shelf.pk for shelf in book.tags.all()] == [KEY]


@pytest.mark.parametrize("value", [KEY.hex[:-1], f"{KEY.hex[:-1]}x", ""])
def test_digits_that_are_no_uuid(maria, value):
    before, after = item(a=digits()), item(a=own_uuid())
    plan = maria.refused(before, after, {"Item": [{"a": KEY.hex}, {"a": value}]}, "cast-fails")
    assert plan.refused[0].hazards[0].samples == ((2,),)


def test_digits_that_are_the_same_uuid(maria):
    """A binary collation tells capitals from small letters, which no UUID does."""
    before = item(a=digits(unique=True, db_collation="utf8mb4_bin"))
    after = item(a=own_uuid(unique=True))
    maria.refused(before, after, {"Item": [{"a": KEY.hex}, {"a": KEY.hex.upper()}]}, "duplicates")
