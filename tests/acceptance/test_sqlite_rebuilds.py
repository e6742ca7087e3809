"""What a rebuild of a table of SQLite carries along: the words of the primary key, and the numbers of its rows."""

import pytest
from django.db import models

from automigrate_ext import Refused
from automigrate_ext.exceptions import AutomigrateError
from tests.acceptance.helper import State, fingerprint, item


@pytest.fixture
def route():
    """The tables are made by hand."""
    return "automigrate"


def keyed(length=9, kind=models.IntegerField, **fields):
    """A state whose key is the text `k`, with a column that changes."""
    key = models.CharField(max_length=length, primary_key=True)
    return item(k=key, n=kind(null=True), **fields)


def definition(case, table="shop_item"):
    ((sql,),) = case.query(f"SELECT sql FROM sqlite_master WHERE type = 'table' AND name = '{table}'")
    return sql


KEYS = {
    "collation": ('"k" varchar(9) NOT NULL', 'PRIMARY KEY ("k" COLLATE NOCASE)'),
    "name": ('"k" varchar(9) NOT NULL', 'CONSTRAINT "my ""key" PRIMARY KEY (k collate nocase DESC)'),
    "conflict": ('"k" varchar(9) NOT NULL', "PRIMARY KEY (k) ON CONFLICT REPLACE"),
    "order": ('"k" varchar(9) NOT NULL PRIMARY KEY DESC', ""),
    "all behind the column": ('"k" varchar(9) NOT NULL CONSTRAINT "it s" PRIMARY KEY DESC ON CONFLICT IGNORE', ""),
}


def make(case, key, options=""):
    column, clause = KEYS[key]
    parts = ", ".join(filter(None, [column, '"n" integer NULL', clause]))
    case.execute(f'CREATE TABLE "shop_item" ({parts}) {options}')


@pytest.mark.parametrize("options", ["", "WITHOUT ROWID"])
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("after", [keyed(kind=models.TextField), keyed(length=20)], ids=["other", "key"])
def test_words_of_the_key_are_kept(lite, key, options, after):
    make(lite, key, options)
    words = KEYS[key][1] or KEYS[key][0].partition("NOT NULL ")[2]
    plan = lite.update(keyed(), after, {"Item": [{"k": "a", "n": 1}, {"k": "b", "n": 2}]}, built=True)
    assert plan
    assert words in definition(lite)
    assert definition(lite).endswith(options)


def test_composite_keys_and_keys_of_renamed_columns_keep_their_words(lite):
    def state(kind, second="b", table="shop_item"):
        fields = {"a": models.CharField(max_length=9), second: models.IntegerField(), "n": kind(null=True)}
        key = models.CompositePrimaryKey("a", second)
        return item(pk=key, **fields, Meta={"db_table": table})

    lite.execute(
        'CREATE TABLE "shop_item" ("a" varchar(9) NOT NULL, "b" integer NOT NULL, "n" integer NULL, '
        'PRIMARY KEY (a COLLATE NOCASE, "b" DESC) ON CONFLICT FAIL)',
        "INSERT INTO shop_item VALUES ('x', 1, 1), ('x', 2, 2)",
    )
    lite.run(state(models.TextField, "c", "Thing"), renames={"shop.Item.b": "c", "shop_item": "Thing"})
    assert 'PRIMARY KEY (a COLLATE NOCASE, "c" DESC) ON CONFLICT FAIL' in definition(lite, "Thing")
    assert lite.values("Thing", "a", "c", "n") == [("x", 1, "1"), ("x", 2, "2")]
    lite.assert_settled(state(models.TextField, "c", "Thing"))


@pytest.mark.parametrize(
    ("before", "after", "words", "kept"),
    [
        (
            '"id" integer NOT NULL PRIMARY KEY ON CONFLICT REPLACE',
            models.AutoField(primary_key=True),
            "PRIMARY KEY ON CONFLICT REPLACE AUTOINCREMENT",
            models.IntegerField(primary_key=True),
        ),
        (
            '"id" integer NOT NULL PRIMARY KEY ON CONFLICT REPLACE AUTOINCREMENT',
            models.IntegerField(primary_key=True),
            "PRIMARY KEY ON CONFLICT REPLACE",
            models.AutoField(primary_key=True),
        ),
    ],
)
def test_key_that_is_numbered_from_now_on_or_no_longer(lite, before, after, words, kept):
    lite.execute(f'CREATE TABLE "shop_item" ({before}, "n" integer NULL)', "INSERT INTO shop_item VALUES (7, 1)")
    state = item(id=kept, n=models.IntegerField(null=True))
    lite.update(state, item(id=after, n=models.TextField(null=True)), built=True)
    assert words in definition(lite)
    assert ("AUTOINCREMENT" in definition(lite)) == words.endswith("AUTOINCREMENT")


def test_rows_replace_no_others_while_they_are_copied(lite):
    """Keys that are different texts, and the same to the key's own collation once they are cut off."""
    lite.execute(
        'CREATE TABLE "shop_item" ("k" varchar(9) NOT NULL, "n" integer NULL, '
        'PRIMARY KEY ("k" COLLATE NOCASE) ON CONFLICT REPLACE)',
        "INSERT INTO shop_item VALUES ('abX', 1), ('ABy', 2)",
    )
    with pytest.raises(AutomigrateError, match="UNIQUE constraint failed"):
        lite.run(keyed(length=2), accept_data_loss=True)
    assert lite.values("shop_item", "k") == [("ABy",), ("abX",)]


# The rows' own numbers


def search(case, table, column, word):
    found = f"SELECT rowid FROM words WHERE words MATCH '{word}'"
    return case.query(f"SELECT {column} FROM {table} WHERE rowid IN ({found})")


def index(case, table, column):
    case.execute(
        f"CREATE VIRTUAL TABLE words USING fts5({column}, content='{table}', content_rowid='rowid')",
        f"CREATE TRIGGER gone AFTER DELETE ON {table} BEGIN "
        f"INSERT INTO words (words, rowid, {column}) VALUES ('delete', old.rowid, old.{column}); END",
        "INSERT INTO words (words) VALUES ('rebuild')",
    )


@pytest.mark.parametrize("after", [keyed(length=20), keyed(kind=models.TextField)], ids=["key", "other"])
def test_rows_keep_their_numbers(lite, after):
    before = keyed()
    lite.build(before)
    lite.insert(before, {"Item": [{"k": key, "n": 1} for key in ("apple", "berry", "cherry", "date")]})
    lite.execute("DELETE FROM shop_item WHERE k IN ('apple', 'cherry')")
    index(lite, "shop_item", "k")
    numbers = lite.query("SELECT rowid, k FROM shop_item")
    lite.update(before, after, built=True)
    assert lite.query("SELECT rowid, k FROM shop_item") == numbers == [(2, "berry"), (4, "date")]
    assert search(lite, "shop_item", "k", "date") == [("date",)]
    lite.execute("DELETE FROM shop_item WHERE k = 'berry'", "INSERT INTO words (words) VALUES ('integrity-check')")


@pytest.mark.parametrize("count", [1, 2])
def test_rows_keep_their_numbers_under_another_name(lite, count):
    *names, own = ("rowid", "_ROWID_", "oid")[: count + 1]
    fields = {f"f{number}": models.IntegerField(db_column=name) for number, name in enumerate(names)}
    before, after = (
        item(k=models.CharField(max_length=length, primary_key=True), **fields, n=models.IntegerField())
        for length in (9, 19)
    )
    lite.build(before)
    lite.execute(f"INSERT INTO shop_item ({own}, k, {', '.join(names)}, n) VALUES (7, 'a'{', 5' * count}, 1)")
    lite.update(before, after, built=True)
    assert lite.query(f"SELECT {own} FROM shop_item") == [(7,)]


def test_tables_without_a_free_name_or_numbers_are_rebuilt(lite):
    names = {"f1": "rowid", "f2": "oid", "f3": "_rowid_"}

    def state(length):
        fields = {name: models.IntegerField(db_column=column) for name, column in names.items()}
        return item(k=models.CharField(max_length=length, primary_key=True), **fields)

    lite.update(state(9), state(19), {"Item": [{"k": "a", "f1": 1, "f2": 2, "f3": 3}]})


@pytest.mark.parametrize("order", ["", "DESC"])
def test_key_of_the_type_bigint_or_in_descending_order_is_no_number_of_the_row(lite, order):
    kind = "integer" if order else "bigint"
    lite.execute(
        f'CREATE TABLE "shop_item" ("id" {kind} NOT NULL PRIMARY KEY {order}, "n" integer NULL)',
        'INSERT INTO "shop_item" (rowid, id, n) VALUES (3, 70, 1), (9, 10, 2)',
    )
    key = (models.IntegerField if order else models.BigIntegerField)(primary_key=True)
    before, after = (item(id=key, n=kind(null=True)) for kind in (models.IntegerField, models.TextField))
    lite.update(before, after, built=True)
    assert sorted(lite.query("SELECT rowid, id FROM shop_item")) == [(3, 70), (9, 10)]


# Keys that are numbered from now on


def link():
    return models.OneToOneField("Other", models.CASCADE, primary_key=True, db_column="id", related_name="+")


KINDS = {
    "bigint": models.BigIntegerField(primary_key=True),
    "smallint": models.SmallIntegerField(primary_key=True),
    "positive": models.PositiveBigIntegerField(primary_key=True),
    "one to one": link(),
    "foreign key": models.ForeignKey("Other", models.CASCADE, primary_key=True, db_column="id"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("after", [models.BigAutoField, models.AutoField, models.SmallAutoField])
@pytest.mark.parametrize("name", KINDS)
def test_key_that_is_numbered_has_the_only_type_that_can_be(lite, name, after):
    def state(key, field="id"):
        return State(
            Other={"id": models.BigAutoField(primary_key=True)},
            Item={field: key, "n": models.IntegerField(null=True)},
            Child={"bases": ["Item"], "m": models.IntegerField(null=True)},
            Box={"items": models.ManyToManyField("Item"), "one": models.ForeignKey("Item", models.CASCADE, "+")},
        )

    before = state(KINDS[name], "id" if "key" not in name and "to" not in name else "other")
    lite.build(before)
    lite.execute(
        "INSERT INTO shop_other (id) VALUES (70)",
        "INSERT INTO shop_item (id, n) VALUES (70, 1)",
        "INSERT INTO shop_box (id, one_id) VALUES (1, 70)",
        "INSERT INTO shop_box_items (box_id, item_id) VALUES (1, 70)",
    )
    now = state(after(primary_key=True))
    lite.update(before, now, built=True)
    assert '"id" integer NOT NULL PRIMARY KEY AUTOINCREMENT' in definition(lite)
    assert now["Item"]._base_manager.using(lite.alias).create().pk == 71


# Tables that are STRICT


def strict(case, rows=True, options="STRICT"):
    case.execute(
        'CREATE TABLE "shop_item" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "a" text NOT NULL, '
        f'"gone" blob NULL) {options}'
    )
    if rows:
        case.execute("INSERT INTO shop_item (a) VALUES ('12')")


@pytest.mark.parametrize("rows", [True, False])
@pytest.mark.parametrize(
    "fields",
    [
        {"a": models.TextField(), "b": models.CharField(max_length=9, default="x")},
        {"a": models.CharField(max_length=9)},
        {"a": models.TextField(), "b": models.BooleanField(db_default=True)},
        {"a": models.TextField(), "b": models.ForeignKey("Item", models.CASCADE, null=True)},
        {"a": models.DecimalField(max_digits=5, decimal_places=2)},
    ],
)
def test_types_that_a_strict_table_cannot_have_are_foreseen(lite, rows, fields):
    strict(lite, rows)
    trace = fingerprint(lite.connection)
    state = item(**fields)
    (judgement,) = lite.plan(state).refused
    assert [hazard.code for hazard in judgement.hazards] == ["unable"]
    assert "shop_item is a STRICT table" in judgement.hazards[0].message
    with pytest.raises(Refused, match="without STRICT"):
        lite.run(state, accept_data_loss=True)
    assert fingerprint(lite.connection) == trace


@pytest.mark.parametrize("options", ["STRICT", "WITHOUT ROWID, strict"])
def test_types_that_a_strict_table_can_have_go_through(lite, options):
    if "ROWID" in options:
        lite.execute('CREATE TABLE "shop_item" ("id" integer NOT NULL PRIMARY KEY, "a" text NOT NULL) ' + options)
        lite.execute("INSERT INTO shop_item VALUES (1, '12')")
        key = models.IntegerField(primary_key=True)
    else:
        strict(lite)
        key = models.AutoField(primary_key=True)
    after = item(id=key, a=models.IntegerField(), b=models.FloatField(default=1), c=models.TextField(db_default="x"))
    lite.run(after)
    assert lite.query("SELECT a, b, c FROM shop_item") == [(12, 1.0, "x")]
    assert definition(lite).upper().endswith(options.upper())
    lite.assert_settled(after, exact=False)


def test_rows_of_tables_that_share_no_column_are_copied(case):
    before, after = item(k=models.CharField(max_length=9, primary_key=True)), item(n=models.IntegerField(null=True))
    case.build(before)
    case.insert(before, {"Item": [{"k": "a"}, {"k": "b"}]})
    case.run(after, accept_data_loss=True)
    assert case.values("shop_item", "id", "n") == [(1, None), (2, None)]
    case.assert_settled(after)
