"""The fields of django.contrib.postgres: unchanged, added, changed."""

import pytest
from django.contrib.postgres import fields as pg_fields
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.search import SearchVectorField
from django.db import models

from tests.acceptance.helper import State, item
from tests.features import need

FIELDS = {
    "array": ArrayField(models.IntegerField()),
    "array of text": ArrayField(models.CharField(max_length=12), size=3, null=True),
    "array nested": ArrayField(ArrayField(models.DecimalField(max_digits=6, decimal_places=2), size=2), size=2),
    "array of unlimited text": ArrayField(models.TextField(), db_index=True, default=list),
    "array unique": ArrayField(models.IntegerField(), unique=True, null=True),
    "array with db_default": ArrayField(models.IntegerField(), db_default=[1, 2]),
    "array of positive": ArrayField(models.PositiveIntegerField()),
    "array of collated": ArrayField(models.CharField(max_length=9, db_collation="C"), null=True),
    "array of uuid": ArrayField(models.UUIDField(), null=True),
    "array of json": ArrayField(models.JSONField(), null=True),
    "array of datetime": ArrayField(models.DateTimeField(), null=True),
    "integer range": pg_fields.IntegerRangeField(),
    "big integer range": pg_fields.BigIntegerRangeField(null=True, db_index=True),
    "decimal range": pg_fields.DecimalRangeField(),
    "date range": pg_fields.DateRangeField(),
    "datetime range": pg_fields.DateTimeRangeField(db_default=None, null=True),
    "search vector": SearchVectorField(null=True),
    "json": models.JSONField(db_default=models.Value([], models.JSONField())),
}


@pytest.mark.django
@pytest.mark.parametrize("name", FIELDS)
def test_field_unchanged(pg, name):
    pg.unchanged(item(a=FIELDS[name]))


@pytest.mark.parametrize("name", FIELDS)
def test_field_added_and_removed(pg, name):
    before, after = item(name=models.TextField()), item(name=models.TextField(), a=FIELDS[name])
    pg.update(before, after)
    pg.update(after, before, built=True)


def test_hstore_field(pg):
    need(pg.connection, "extension hstore")
    pg.execute("CREATE EXTENSION hstore")
    state = item(a=pg_fields.HStoreField(default=dict), b=pg_fields.HStoreField(null=True))
    pg.unchanged(state)
    pg.update(state, item(a=pg_fields.HStoreField(null=True)), built=True, accept_data_loss=True)


class CaseInsensitiveField(models.TextField):
    """What CITextField was before Django removed it."""

    def db_type(self, connection):
        return "citext"


def test_citext_field(pg):
    need(pg.connection, "extension citext")
    pg.execute("CREATE EXTENSION citext")
    before, after = item(a=models.CharField(max_length=9, unique=True)), item(a=CaseInsensitiveField(unique=True))
    pg.unchanged(after)
    pg.run(after)
    pg.update(after, before, {"Item": [{"a": "x"}]}, built=True)
    pg.update(before, after, built=True)


def test_extension_in_another_schema(pg):
    need(pg.connection, "extension hstore")
    pg.execute("CREATE SCHEMA extensions", "CREATE EXTENSION hstore SCHEMA extensions")
    pg.execute("SET search_path TO public, extensions")
    pg.unchanged(item(a=pg_fields.HStoreField()))


CHANGED = {
    "array longer": (ArrayField(models.CharField(max_length=5)), ArrayField(models.CharField(max_length=9)), ["a"]),
    "array to text": (ArrayField(models.CharField(max_length=5)), ArrayField(models.TextField()), ["a"]),
    "array of integers to text": (ArrayField(models.IntegerField()), ArrayField(models.TextField()), [1]),
    "array size": (ArrayField(models.IntegerField(), size=2), ArrayField(models.IntegerField()), [1]),
    "array bigger": (ArrayField(models.IntegerField()), ArrayField(models.BigIntegerField()), [1]),
}


@pytest.mark.parametrize("name", CHANGED)
def test_array_changed(pg, name):
    old, new, value = CHANGED[name]
    altered = ["shop_item.a"] if name == "array of integers to text" else []
    pg.update(item(a=old), item(a=new), {"Item": [{"a": value}]}, altered=altered)


def test_array_narrowed_refused(pg):
    old, new = ArrayField(models.CharField(max_length=9)), ArrayField(models.CharField(max_length=2))
    pg.refused(item(a=old), item(a=new), {"Item": [{"a": ["abcdef"]}]}, "alters-values")


def test_array_default_filled(pg):
    after = item(name=models.TextField(), a=ArrayField(models.CharField(max_length=9), default=list))
    pg.update(item(name=models.TextField()), after, {"Item": [{"name": "x"}]})
    assert pg.values("shop_item", "a") == [([],)]
    filled = item(
        name=models.TextField(),
        a=ArrayField(models.CharField(max_length=9), default=list),
        b=ArrayField(models.TextField(), default=lambda: ["it's", "100%"]),
    )
    pg.update(after, filled, built=True)
    assert pg.values("shop_item", "b") == [(["it's", "100%"],)]


def test_range_changed(pg):
    before, after = item(a=pg_fields.IntegerRangeField()), item(a=pg_fields.BigIntegerRangeField())
    pg.update(before, after)


def test_domain_as_custom_field(pg):
    class Domain(models.Field):
        def db_type(self, connection):
            return "shop_code"

    pg.execute("CREATE DOMAIN shop_code AS varchar(9) CHECK (VALUE <> '')")
    pg.unchanged(item(a=Domain()))


def test_field_without_a_column(case):
    class Nothing(models.Field):
        def db_type(self, connection):
            return None

    case.unchanged(State(Item={"name": models.TextField(), "nothing": Nothing(null=True)}))


def test_custom_field_with_check_and_suffix(case):
    class Even(models.IntegerField):
        def db_check(self, connection):
            return f"{connection.ops.quote_name(self.column)} % 2 = 0"

    before, after = item(a=models.IntegerField()), item(a=Even())
    case.unchanged(after)
    case.run(after)
    case.update(after, before, {"Item": [{"a": 2}]}, built=True)
    case.update(before, after, built=True)
