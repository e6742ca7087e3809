"""What only MySQL does: names that are fixed by what reads columns, names that checks share, types that keys fix."""

import itertools
import json
import re
import uuid

import pytest
from django.db import models, transaction
from django.db.models import F, Q

from automigrate_ext import Refused, autoupdate, is_actual
from tests.acceptance.helper import Case, State, fingerprint, item

NAME = models.CharField(max_length=20)
SIZE = models.IntegerField(null=True)


numbers = itertools.count(100)


def another_number():
    """Another number each time."""
    return next(numbers)


@pytest.fixture
def case(mysql):
    return Case(mysql, "automigrate")


def printed(case, table="shop_item"):
    ((_, text),) = case.query(f'SHOW CREATE TABLE "{table}"')
    return text


def line_of(case, column):
    return next(line.strip(" ,") for line in printed(case).split("\n") if line.startswith(f"  `{column}`"))


# Columns that others read


def read(name, **more):
    """A model whose column of that name is read by everything that can read one."""
    column = models.PositiveIntegerField(db_column=name)
    return item(
        size=column,
        other=models.IntegerField(null=True),
        stored=models.GeneratedField(expression=F("size") * 2, output_field=models.BigIntegerField(), db_persist=True),
        virtual=models.GeneratedField(
            expression=F("size") * 3, output_field=models.BigIntegerField(), db_persist=False
        ),
        Meta={
            "constraints": [
                models.CheckConstraint(condition=Q(size__lt=100), name="size"),
                models.CheckConstraint(condition=Q(size__lt=100) | Q(stored__gt=F("virtual")), name="sizes"),
                models.UniqueConstraint(F("size") * 7, name='unique " size'),
            ],
            "indexes": [models.Index(F("size") + F("size"), name="(sum)"), models.Index(fields=["stored"], name="s")],
        },
        **more,
    )


@pytest.mark.parametrize("new", ["length", "odd ' name", "Size"])
def test_column_that_everything_reads_is_renamed(case, new):
    before, after = read("size"), read(new)
    case.build(before)
    case.execute("ALTER TABLE shop_item ALTER other SET DEFAULT (size + 1)")
    case.execute("INSERT INTO shop_item (size) VALUES (3), (4)")
    case.run(after, renames={"shop_item.size": new})
    assert line_of(case, "other") == f"`other` int DEFAULT ((`{new}` + 1))"
    case.execute("ALTER TABLE shop_item ALTER other DROP DEFAULT")
    case.assert_settled(after)
    assert case.values("shop_item", new, "stored", "virtual", "other") == [(3, 6, 9, 4), (4, 8, 12, 5)]


def test_table_and_column_with_a_check_are_renamed(case):
    """The server renames the checks that it has named along with their table."""

    def state(model, column, **more):
        return State(**{model: {column: models.PositiveIntegerField(), "more": models.PositiveIntegerField(), **more}})

    before, after = state("Item", "size"), state("Thing", "length", name=models.CharField(max_length=9, default="x"))
    case.build(before)
    case.execute("ALTER TABLE shop_item ADD CONSTRAINT shop_item_chk_9 CHECK (size < 50)")
    case.insert(before, {"Item": [{"size": 1, "more": 2}]})
    case.run(after, renames={"shop.Item": "Thing", "shop.Item.size": "length"})
    assert "CONSTRAINT `shop_thing_chk_9` CHECK ((`length` < 50))" in printed(case, "shop_thing")
    case.execute("ALTER TABLE shop_thing DROP CONSTRAINT shop_thing_chk_9")
    case.assert_settled(after)
    assert case.values("shop_thing", "length", "more") == [(1, 2)]


@pytest.mark.parametrize("key", ["shop.Item.box", "shop.Box.code", "both"])
def test_columns_of_foreign_keys_and_others_that_are_read_are_renamed(case, key):
    """The statement copies the table, and then renames no column of a foreign key."""

    def state(box, code, size):
        shelf = {"size": models.PositiveIntegerField(), code: models.CharField(max_length=9, unique=True)}
        constraint = models.CheckConstraint(condition=Q(**{f"{code}__gt": "a"}), name="coded")
        box_field = models.ForeignKey("Box", models.CASCADE, to_field=code, related_name="+")
        return State(
            Box={**shelf, "Meta": {"constraints": [constraint]}},
            Item={box: box_field, size: models.PositiveIntegerField(), "boxes": models.ManyToManyField("Box")},
        )

    renames = {"shop.Item.size": "length"}
    renames |= {"shop.Item.box": "crate"} if key != "shop.Box.code" else {}
    renames |= {"shop.Box.code": "name"} if key != "shop.Item.box" else {}
    before = state("box", "code", "size")
    after = state("crate" if key != "shop.Box.code" else "box", "name" if key != "shop.Item.box" else "code", "length")
    rows = {
        "Box": [{"code": "b", "size": 1}],
        "Item": [{"box_id": "b", "size": 2}],
        "Item.boxes": [{"item_id": 1, "box_id": 1}],
    }
    case.update(before, after, rows, renames=renames)


def test_columns_that_read_each_other_swap_names(case):
    def state(one, two):
        return item(
            one=models.PositiveIntegerField(db_column=one),
            two=models.GeneratedField(
                expression=F("one") + 1, output_field=models.IntegerField(), db_persist=True, db_column=two
            ),
            Meta={"constraints": [models.CheckConstraint(condition=Q(two__gt=F("one")), name="c")]},
        )

    before, after = state("a", "b"), state("b", "a")
    case.build(before)
    case.insert(before, {"Item": [{"one": 3}]})
    case.run(after, renames={"shop_item.a": "b", "shop_item.b": "a"})
    case.assert_settled(after)
    assert case.values("shop_item", "b", "a") == [(3, 4)]


# Keys that others point at


@pytest.mark.parametrize("kind", [models.AutoField, models.BigAutoField, models.SmallAutoField])
def test_key_that_is_pointed_at_becomes_numbered_and_back(case, kind):
    def state(key):
        return State(
            Box={"id": key},
            Item={"box": models.ForeignKey("Box", models.CASCADE), "boxes": models.ManyToManyField("Box")},
            Crate={"bases": ["Box"], "size": SIZE},
        )

    plain = {
        models.AutoField: models.IntegerField,
        models.BigAutoField: models.BigIntegerField,
        models.SmallAutoField: models.SmallIntegerField,
    }[kind]
    before, after = state(plain(primary_key=True)), state(kind(primary_key=True))
    rows = {"Box": [{"id": 4}], "Crate": [{"id": 7, "size": 1}], "Item": [{"box_id": 4}]}
    case.update(before, after, rows)
    case.update(after, before, built=True)


# Types that the server does not have, or keeps in a way of its own


def test_uuids_are_written_without_dashes(case):
    before = item(a=models.CharField(max_length=40, null=True), b=models.TextField(unique=False))
    after = item(a=models.UUIDField(null=True, unique=True), b=models.UUIDField())
    one, two = uuid.UUID(int=2**127 + 5), uuid.UUID(int=7)
    rows = {"Item": [{"a": str(one), "b": str(two).upper()}, {"a": two.hex.upper(), "b": one.hex}, {"b": str(one)}]}
    case.update(before, after, rows, altered=["shop_item.a", "shop_item.b"])
    assert set(after["Item"].objects.using(case.alias).values_list("a", "b")) == {(one, two), (two, one), (None, one)}


@pytest.mark.parametrize("value", ["1", "0f8fad5b", uuid.UUID(int=7).hex[:-1] + "x", ""])
def test_texts_that_are_no_uuids(case, value):
    before, after = item(a=models.CharField(max_length=40)), item(a=models.UUIDField())
    case.refused(before, after, {"Item": [{"a": uuid.UUID(int=7).hex}, {"a": value}]}, "alters-values")


def test_numbers_are_no_uuids(case):
    before, after = item(a=models.BigIntegerField()), item(a=models.UUIDField())
    case.refused(before, after, {"Item": [{"a": 5}]}, "alters-values")


DOCUMENTS = ['{"a":  [1, 2]}', '{"bb":1,"a":2}', '"a  b"', "1234567890123456789", '{"a":"\\u00e9"}', "null"]
SPOILT = ['{"a":1,"a":2}', "0.12345678901234567890", "12345678901234567890123", "[1, {}, 0.1000000000000000055]"]


def test_documents_of_json(case):
    before, after = item(a=models.TextField()), item(a=models.JSONField())
    case.update(before, after, {"Item": [{"a": text} for text in DOCUMENTS]}, altered=["shop_item.a"])
    found = after["Item"].objects.using(case.alias).order_by("id").values_list("a", flat=True)
    assert list(found) == [json.loads(text) for text in DOCUMENTS]


@pytest.mark.parametrize("text", SPOILT)
def test_documents_of_which_json_keeps_a_part(case, text):
    before, after = item(a=models.TextField()), item(a=models.JSONField())
    plan = case.refused(before, after, {"Item": [{"a": "1"}, {"a": text}]}, "alters-values")
    assert plan.refused[0].hazards[0].samples == ((2,),)


def test_key_that_a_table_outside_the_run_points_at(case):
    before, after = item(id=models.IntegerField(primary_key=True)), item(id=models.AutoField(primary_key=True))
    case.build(before)
    case.execute(
        "CREATE TABLE outside (item_id int, CONSTRAINT pointing FOREIGN KEY (item_id) REFERENCES shop_item (id))"
    )
    plan = case.refused(before, after, {"Item": [{"id": 1}]}, "unable", built=True)
    assert "foreign key pointing of outside points at the column" in plan.refused[0].hazards[0].message
    case.execute("DROP TABLE outside")
    case.update(before, after, built=True)


# Checks


def bounded(field, condition, name="bounds"):
    return item(size=field, name=NAME, Meta={"constraints": [models.CheckConstraint(condition=condition, name=name)]})


FOLDED = {
    "negative": (models.BigIntegerField(), Q(size__gte=-5), "-5"),
    "between": (models.BigIntegerField(null=True), Q(size__range=(-5, -1)) | Q(size__isnull=True), "-1"),
    "both signs": (models.BigIntegerField(), Q(size__in=[-1]) | Q(size__gt=-(2**40)), "-1"),
}


@pytest.mark.parametrize("name", FOLDED)
def test_check_that_was_printed_again_is_the_same(case, name):
    """Whoever has a table copied has its checks stored with constants computed."""
    field, condition, words = FOLDED[name]
    before = bounded(field, condition)
    case.build(before)
    made = printed(case)
    case.execute("ALTER TABLE shop_item FORCE, ALGORITHM=COPY")
    assert printed(case) != made and words in printed(case)
    case.assert_settled(before)
    after = bounded(field, condition, "renamed")
    case.update(before, after, changes=["Rename check"], built=True)
    case.update(after, item(size=models.IntegerField(null=True), name=NAME), built=True)


def test_check_that_was_printed_again_inside_a_transaction(case):
    state = bounded(models.BigIntegerField(), Q(size__gte=-5))
    case.build(state)
    case.execute("ALTER TABLE shop_item FORCE, ALGORITHM=COPY")
    with transaction.atomic(using=case.alias):
        case.insert(state, {"Item": [{"size": 1, "name": "a"}]})
        assert is_actual(using=case.alias, apps=state.apps)
        transaction.set_rollback(True, using=case.alias)
    assert case.values("shop_item", "size") == []


def test_other_check_of_the_same_name_is_a_difference(case):
    before, after = (bounded(models.BigIntegerField(), Q(size__gte=limit)) for limit in (-5, -6))
    case.build(before)
    case.execute("ALTER TABLE shop_item FORCE, ALGORITHM=COPY")
    case.update(before, after, changes=["Drop check", "Add check"], built=True)


def test_folded_check_under_another_name_of_its_column(case):
    before = bounded(models.BigIntegerField(), Q(size__gte=-5))
    after = bounded(models.BigIntegerField(db_column="length"), Q(size__gte=-5))
    case.build(before)
    case.execute("ALTER TABLE shop_item FORCE, ALGORITHM=COPY")
    case.update(before, after, changes=["Rename column"], built=True, renames={"shop_item.size": "length"})


@pytest.mark.parametrize("size", [1, 100])
def test_check_that_is_not_enforced(case, size):
    state = bounded(SIZE, Q(size__lt=50))
    case.build(state)
    case.execute("ALTER TABLE shop_item ALTER CHECK bounds NOT ENFORCED")
    rows = {"Item": [{"size": size, "name": "a"}]}
    if size == 100:
        case.refused(state, state, rows, "violators", built=True)
    else:
        case.update(state, state, rows, changes=["Drop unenforced check", "Add check"], built=True)
        assert "NOT ENFORCED" not in printed(case)


def test_unenforced_check_by_hand_follows_its_column(case):
    before, after = item(size=SIZE), item(length=SIZE)
    case.build(before)
    case.execute("ALTER TABLE shop_item ADD CONSTRAINT by_hand CHECK (size < 50) NOT ENFORCED")
    case.update(before, after, {"Item": [{"size": 100}]}, built=True, exact=False, renames={"shop.Item.size": "length"})
    assert "CONSTRAINT `by_hand` CHECK ((`length` < 50)) /*!80016 NOT ENFORCED */" in printed(case)


def test_names_of_checks_change_tables(case):
    """No two tables of a database have checks of the same name."""

    def state(first, second):
        def model(name):
            constraint = models.CheckConstraint(condition=Q(size__gt=0), name=name)
            return {"size": SIZE, "Meta": {"constraints": [constraint] if name else []}}

        return State(Alpha=model(first), Omega=model(second))

    rows = {"Alpha": [{"size": 1}], "Omega": [{"size": 2}]}
    case.update(state("one", "two"), state("two", "one"), rows)
    case.update(state("two", "one"), state("", "two"), built=True)
    case.update(state("", "two"), state("two", ""), built=True)
    case.update(
        state("two", ""),
        State(
            Beta={"size": SIZE, "Meta": {"constraints": [models.CheckConstraint(condition=Q(size__gt=1), name="two")]}},
            Alpha={"size": SIZE},
            Omega={"size": SIZE},
        ),
        built=True,
    )


@pytest.mark.parametrize("length", [58, 59])
def test_check_without_a_name_of_a_table_with_a_long_one(case, length):
    name = "a" * length
    before = item(name=NAME, Meta={"db_table": name})
    after = item(name=NAME, size=models.PositiveIntegerField(default=1), Meta={"db_table": name})
    if length == 58:
        case.update(before, after, {"Item": [{"name": "a"}]})
        return
    case.build(before)
    trace = fingerprint(case.connection)
    for state in (after, item(size=models.PositiveIntegerField(), Meta={"db_table": "b" * length})):
        with pytest.raises(Refused, match="shorter db_table"):
            autoupdate(using=case.alias, apps=state.apps)
    assert fingerprint(case.connection) == trace


def test_documents_and_bytes(case):
    before, after = item(a=models.JSONField()), item(a=models.BinaryField())
    case.update(before, after, {"Item": [{"a": {"a": [1, "é"]}}]}, altered=["shop_item.a"])
    assert [json.loads(bytes(value)) for (value,) in case.values("shop_item", "a")] == [{"a": [1, "é"]}]
    case.refused(after, before, {}, "cast-fails", built=True)
    case.execute("DELETE FROM shop_item")
    case.update(after, before, built=True)


# A column that much rests on


def loaded(field, *, persisted=True, **more):
    """A model with a column that has an index, a unique constraint, a check and a generated column on it."""
    return item(
        size=field,
        twice=models.GeneratedField(
            expression=F("size") * 2, output_field=models.BigIntegerField(), db_persist=persisted
        ),
        **more,
        Meta={
            "constraints": [
                models.CheckConstraint(condition=Q(size__gt=0), name="positive"),
                models.CheckConstraint(condition=Q(size__gt=0) & Q(twice__lt=1000), name="both"),
                models.UniqueConstraint(fields=["size"], name="once"),
            ],
            "indexes": [models.Index(fields=["-size"], name="down"), models.Index(F("size") + 1, name="next")],
        },
    )


@pytest.mark.parametrize("persisted", [True, False])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (models.IntegerField(), models.BigIntegerField()),
        (models.BigIntegerField(), models.SmallIntegerField(null=True)),
        (models.IntegerField(), models.DecimalField(max_digits=9, decimal_places=0)),
        (models.IntegerField(), models.PositiveIntegerField()),
        (models.CharField(max_length=9), models.IntegerField()),
        (models.IntegerField(null=True), models.BigIntegerField(default=another_number)),
    ],
    ids=["wider", "narrower", "decimal", "positive", "text to number", "filled"],
)
def test_type_of_a_column_with_everything_on_it_changes(case, before, after, persisted):
    name = models.CharField(max_length=9, default="x")
    case.update(
        loaded(before, persisted=persisted, gone=SIZE),
        loaded(after, persisted=persisted, name=name),
        {"Item": [{"size": 1}, {"size": 2}]},
    )
    assert {"positive", "both"} <= set(re.findall("CONSTRAINT `(.*)` CHECK", printed(case)))
    case.update(
        loaded(after, persisted=persisted, name=name), loaded(before, persisted=persisted, name=name), built=True
    )
    assert {"positive", "both"} <= set(re.findall("CONSTRAINT `(.*)` CHECK", printed(case)))


@pytest.mark.parametrize("persisted", [True, False])
def test_generated_column_becomes_plain_and_back_under_its_checks(case, persisted):
    def state(twice):
        checks = [
            models.CheckConstraint(condition=Q(twice__gt=0), name="alone"),
            models.CheckConstraint(condition=Q(twice__gt=F("size")), name="beside"),
        ]
        return item(size=models.IntegerField(), twice=twice, Meta={"constraints": checks})

    generated = models.GeneratedField(
        expression=F("size") * 2, output_field=models.BigIntegerField(), db_persist=persisted
    )
    plain = models.BigIntegerField()
    case.update(state(generated), state(plain), {"Item": [{"size": 1}, {"size": 2}]})
    case.update(state(plain), state(generated), built=True, accept_data_loss=True)
    assert case.values("shop_item", "size", "twice") == [(1, 2), (2, 4)]


def test_column_without_values_is_made_again_under_its_check(case):
    """A type that the server does not convert to; without a word it would drop the check with the column."""

    def state(field, name="c"):
        check = models.CheckConstraint(condition=Q(when__isnull=True) | Q(name__gt="a"), name=name)
        return item(name=NAME, when=field, Meta={"constraints": [check]})

    case.update(
        state(models.JSONField(null=True)), state(models.DateField(null=True)), {"Item": [{"name": "b", "when": None}]}
    )
    case.update(state(models.DateField(null=True)), state(models.BinaryField(null=True), "d"), built=True)


@pytest.mark.parametrize(
    "field", [models.CharField(max_length=9, db_default="NULL"), models.TextField(db_default="NULL")]
)
def test_default_that_is_the_word_null(case, field):
    before = item(name=NAME)
    case.update(before, item(name=NAME, text=field), {"Item": [{"name": "a"}]})
    assert case.values("shop_item", "text") == [("NULL",)]
    case.update(item(name=NAME, text=field), before, built=True, accept_data_loss=True)


@pytest.mark.parametrize("default", ["DEFAULT 'NULL'", "DEFAULT ('NULL')", "DEFAULT NULL", "DEFAULT (NULL)"])
def test_default_made_by_hand_that_is_the_word_null(case, default):
    """What the models leave open stays, also where the column changes."""
    before, after = (
        item(name=models.CharField(max_length=9, null=True)),
        item(name=models.CharField(max_length=30, null=True)),
    )
    case.build(before)
    case.execute(f"ALTER TABLE shop_item MODIFY name varchar(9) NULL {default}")
    case.run(before)
    assert is_actual(using=case.alias, apps=before.apps)
    case.run(after)
    case.execute("INSERT INTO shop_item () VALUES ()")
    assert case.values("shop_item", "name") == [("NULL" if "'" in default else None,)]


def test_same_columns_indexed_twice(case):
    state = item(
        size=models.IntegerField(db_index=True),
        Meta={"indexes": [models.Index(fields=["size"], name="one"), models.Index(fields=["size"], name="two")]},
    )
    case.unchanged(state)
    case.execute("CREATE INDEX by_hand ON shop_item (size)")
    case.update(state, item(size=models.BigIntegerField()), built=True, exact=False)
    assert "by_hand" in printed(case) and "`one`" not in printed(case)


def test_index_over_an_expression_made_by_hand_stays(case):
    before, after = item(name=NAME, size=SIZE), item(name=models.CharField(max_length=40), length=SIZE)
    case.build(before)
    case.execute("CREATE UNIQUE INDEX by_hand ON shop_item ((lower(name)), size DESC, ((size + 1)))")
    case.insert(before, {"Item": [{"name": "A", "size": 1}, {"name": "b", "size": 2}]})
    case.run(after, renames={"shop.Item.size": "length"})
    assert "UNIQUE KEY `by_hand` ((lower(`name`)),`length` DESC,((`length` + 1)))" in printed(case)
    case.run(after, prune=True)
    case.assert_settled(after)


OUT_OF_DOCUMENTS = {
    "number": (models.IntegerField(), [5, 7], "x"),
    "text": (models.TextField(), [{"a": 1}, "b", 1], None),
    "moment": (models.DateTimeField(), [], "2024-01-02 03:04:05"),
    "day": (models.DateField(), [], "2024-01-02"),
    "time": (models.TimeField(), [], "03:04:05"),
    "float": (models.FloatField(), [1.5, 2], "x"),
    "uuid": (models.UUIDField(), [], "x"),
}


@pytest.mark.parametrize("name", OUT_OF_DOCUMENTS)
def test_documents_become_something_else(case, name):
    """What is the same as text stays; all else is refused, and is no error of the server."""
    field, stay, lost = OUT_OF_DOCUMENTS[name]
    before, after = item(a=models.JSONField()), item(a=field)
    if stay:
        case.update(before, after, {"Item": [{"a": value} for value in stay]})
        case.drop(after)
    if lost is not None:
        case.build(before)
        case.insert(before, {"Item": [{"a": lost}]})
        trace = fingerprint(case.connection)
        with pytest.raises(Refused):
            case.run(after)
        assert fingerprint(case.connection) == trace
