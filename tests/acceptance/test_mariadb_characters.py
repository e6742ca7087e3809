"""Characters of four bytes on MariaDB, which prints `?` in their place."""

import pytest
from django.db import models, transaction
from django.db.models.functions import Concat

from automigrate_ext import is_actual
from tests.acceptance.helper import Case, State, item

FACE, OTHER_FACE = "\N{GRINNING FACE}", "\N{CRYING FACE}"
NAME = models.CharField(max_length=20)
ROWS = {"Item": [{"name": "a"}, {"name": "b"}]}


class Mood(models.CharField):
    """A column of one of a few values; a type that Django does not have."""

    def __init__(self, *values, kind="enum", **options):
        self.values, self.kind = values, kind
        super().__init__(max_length=99, **options)

    def deconstruct(self):
        name, path, _, options = super().deconstruct()
        options.pop("max_length", None)
        return name, path, self.values, {**options, "kind": self.kind}

    def db_type(self, connection):
        return f"{self.kind}({','.join(map(repr, self.values))})"


@pytest.fixture
def case(mariadb):
    return Case(mariadb, "automigrate")


def defaulted(text, **options):
    return models.CharField(max_length=30, db_default=text, **options)


TEXTS = {"alone": FACE, "with others": f"it's\n{FACE} \\ ?{FACE}", "question mark": "?"}


@pytest.mark.parametrize("text", TEXTS)
def test_default_of_a_new_column(case, text):
    after = item(name=NAME, more=defaulted(TEXTS[text]))
    case.update(item(name=NAME), after, ROWS)
    assert case.values("shop_item", "more") == [(TEXTS[text],), (TEXTS[text],)]
    case.execute("INSERT INTO shop_item (name) VALUES ('c')")
    assert case.values("shop_item", "more") == [(TEXTS[text],)] * 3
    case.unchanged(after)


def test_default_of_a_new_text_and_of_a_new_table(case):
    before = State(Item={"name": NAME})
    after = State(
        Item={"name": NAME, "more": models.TextField(db_default=FACE)},
        Box={"name": defaulted(FACE), "item": models.ForeignKey("Item", models.CASCADE, null=True)},
    )
    case.update(before, after, ROWS)
    case.execute("INSERT INTO shop_box () VALUES ()")
    assert case.values("shop_box", "name") == [(FACE,)]
    assert case.values("shop_item", "more") == [(FACE,), (FACE,)]


def test_default_stays_when_something_else_of_its_column_changes(case):
    before, after = (
        item(name=NAME, more=models.CharField(max_length=size, null=size > 30, db_default=FACE)) for size in (30, 40)
    )
    case.update(before, after, ROWS)
    case.update(after, before, built=True)
    case.execute("INSERT INTO shop_item (name) VALUES ('c')")
    assert case.values("shop_item", "more") == [(FACE,)] * 3


@pytest.mark.parametrize("table", ["shop_item", "shop item?"])
def test_default_made_by_hand_stays(case, table):
    meta = {"db_table": table}
    before = State(Item={"name": NAME, "Meta": meta})
    case.build(before)
    quote = case.connection.ops.quote_name
    with case.connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {quote(table)} ALTER COLUMN name SET DEFAULT '{FACE}?'")
    after = State(Item={"name": models.CharField(max_length=40, null=True), "Meta": meta})
    case.update(before, after, built=True, exact=False)
    with case.connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {quote(table)} () VALUES ()")
    assert case.values(table, "name") == [(f"{FACE}?",)]


def test_defaults_that_are_printed_alike_differ(case):
    before, after = item(more=defaulted(FACE)), item(more=defaulted(OTHER_FACE))
    case.update(before, after, changes=["Change column shop_item.more"])
    case.update(after, item(more=defaulted("?")), built=True, changes=["Change column shop_item.more"])


def test_default_in_a_column_of_another_character_set(case):
    case.build(item(name=NAME))
    case.execute(
        "ALTER TABLE shop_item MODIFY name varchar(20) CHARACTER SET utf16 NOT NULL DEFAULT '\N{GRINNING FACE}'"
    )
    case.run(item(name=models.CharField(max_length=40)))
    case.execute("INSERT INTO shop_item () VALUES ()")
    assert case.values("shop_item", "name") == [(FACE,)]


def test_expression_with_such_characters(case):
    more = models.GeneratedField(
        expression=Concat("name", models.Value(FACE)),
        output_field=models.CharField(max_length=40),
        db_persist=True,
    )
    check = models.CheckConstraint(condition=~models.Q(name=FACE), name="no_face")
    after = item(name=NAME, more=more, Meta={"constraints": [check]})
    case.update(item(name=NAME), after, ROWS)
    assert case.values("shop_item", "more") == [(f"a{FACE}",), (f"b{FACE}",)]


@pytest.mark.parametrize("kind", ["enum", "set"])
def test_members_of_a_type(case, kind):
    before = item(name=NAME)
    after = item(name=NAME, mood=Mood("?", FACE, "b", kind=kind, db_default=FACE))
    case.update(before, after, ROWS)
    assert case.values("shop_item", "mood") == [(FACE,), (FACE,)]
    nullable = item(name=NAME, mood=Mood("?", FACE, "b", kind=kind, null=True, db_default="b"))
    case.update(after, nullable, built=True)
    case.update(nullable, item(name=NAME, mood=Mood("?", FACE, "x", kind=kind, null=True)), built=True)
    assert case.values("shop_item", "mood") == [(FACE,), (FACE,)]


def test_inside_a_transaction_nothing_is_committed(case):
    state = item(name=NAME, more=defaulted(FACE))
    case.build(state)
    with transaction.atomic(using=case.alias):
        case.execute("INSERT INTO shop_item (name) VALUES ('c')")
        assert is_actual(using=case.alias, apps=state.apps)
        transaction.set_rollback(True, using=case.alias)
    assert case.values("shop_item", "name") == []
