"""Names that PostgreSQL cuts off: it keeps 63 bytes of each, and reports that in a notice only."""

import pytest
from django.db import models
from django.db.models import F, Q

from automigrate_ext import AutomigrateError
from tests.acceptance.helper import State, item

LONG_MODEL = "PurchaseOrderConfirmationAcknowledgementDocumentAttachmentRevision"
#: Short of 63 characters, and longer than 63 bytes: Django's checks count characters.
WIDE_MODEL = "Auftragsbestätigungsänderungsübermittlungsprüfungsergebnisüber"
LONG = "_".join(["description"] * 6)
WIDE = "ж" * 40
NAME = models.CharField(max_length=20)


@pytest.fixture
def case(pg):
    return pg


def linked(model, table, *fields):
    tags = {f"tags{n}": field for n, field in enumerate(fields)}
    return State(Tag={"name": NAME}, **{model: {"name": NAME, **tags, "Meta": {"db_table": table}}})


FIELDS = {
    "plain": models.ManyToManyField("Tag", db_table="links"),
    "self": models.ManyToManyField("self", db_table="links"),
    "without constraint": models.ManyToManyField("Tag", db_table="links", db_constraint=False),
}


@pytest.mark.parametrize("model", [LONG_MODEL, WIDE_MODEL])
@pytest.mark.parametrize("name", FIELDS)
def test_many_to_many_of_a_model_with_a_long_name(case, model, name):
    assert len(f"{model.lower()}_id".encode()) > 63
    before, after = linked(model, "orders"), linked(model, "orders", FIELDS[name])
    case.update(before, after, {model: [{"name": "a"}]}, changes=["Create table"])
    case.update(after, after, changes=[], built=True)
    case.update(after, before, changes=["Drop table"], built=True)


def test_many_to_many_of_a_table_with_a_long_name(case):
    before = linked(LONG_MODEL, "t" * 70)
    after = linked(LONG_MODEL, "t" * 70, models.ManyToManyField("Tag", db_table="ж" * 70))
    case.update(before, after, {LONG_MODEL: [{"name": "a"}]}, changes=["Create table"])
    case.update(after, after, changes=[], built=True)


@pytest.mark.parametrize("name", [LONG, WIDE])
@pytest.mark.parametrize(
    "field",
    [
        models.CharField(max_length=20, default="x"),
        models.CharField(max_length=20, unique=True, null=True),
        models.CharField(max_length=20, db_index=True, default="x"),
        models.PositiveIntegerField(default=7),
        models.ForeignKey("self", models.CASCADE, null=True),
        models.GeneratedField(expression=F("name"), output_field=models.CharField(max_length=20), db_persist=True),
        models.TextField(db_comment="long", db_default="x"),
    ],
    ids=lambda field: type(field).__name__,
)
def test_column_with_a_long_name(case, name, field):
    before, after = item(name=NAME), item(name=NAME, **{name: field})
    # The names that Django gives to an index and to its twin for LIKE are one name to the server.
    exact = not (name == WIDE and field.db_index)
    case.update(before, after, {"Item": [{"name": "a"}]}, exact=exact)
    case.update(after, after, changes=[], built=True, exact=exact)
    case.update(after, before, built=True, accept_data_loss=True)


@pytest.mark.parametrize(("name", "indexed"), [(LONG, True), (WIDE, False)])
def test_column_with_a_long_name_altered(case, name, indexed):
    before = item(**{name: models.CharField(max_length=20, null=True, db_index=indexed)})
    after = item(**{name: models.TextField(default="none", db_index=indexed)})
    case.update(
        before,
        after,
        {"Item": [{name: "a"}, {name: None}]},
        altered=[f"shop_item.{name.encode()[:63].decode(errors='ignore')}"],
    )


@pytest.mark.parametrize("name", [LONG, WIDE])
def test_key_with_a_long_name_that_others_follow(case, name):
    def state(key):
        return State(
            Item={name: key(primary_key=True)},
            Part={"item": models.ForeignKey("Item", models.CASCADE)},
            Whole={"items": models.ManyToManyField("Item")},
        )

    rows = {"Item": [{name: 1}], "Part": [{"item_id": 1}]}
    case.update(state(models.IntegerField), state(models.BigIntegerField), rows)


@pytest.mark.parametrize("name", [LONG, WIDE])
def test_constraints_over_columns_with_long_names(case, name):
    meta = {
        "unique_together": {("name", name)},
        "indexes": [models.Index(fields=["name", f"-{name}"], name="both"), models.Index(F(name), name="expression")],
        "constraints": [
            models.UniqueConstraint(fields=[name], condition=Q(name="a"), name="conditional"),
            models.UniqueConstraint(fields=[name], name="plain", deferrable=models.Deferrable.DEFERRED),
            models.CheckConstraint(condition=Q(**{f"{name}__gt": ""}), name="filled"),
        ],
    }
    fields = {"name": NAME, name: models.CharField(max_length=20)}
    case.update(item(**fields), item(**fields, Meta=meta), {"Item": [{"name": "a", name: "b"}]})
    case.update(item(**fields, Meta=meta), item(**fields), built=True)


def test_rename_to_and_from_a_long_name(case):
    before, after = item(name=NAME), item(**{LONG: NAME})
    case.update(before, after, {"Item": [{"name": "a"}]}, changes=["Rename column"], renames={"shop.Item.name": LONG})
    case.update(after, before, changes=["Rename column"], built=True, renames={f"shop.Item.{LONG}": "name"})
    assert case.values("shop_item", "name") == [("a",)]


def test_one_off_value_for_a_column_with_a_long_name(case):
    after = item(name=NAME, **{LONG: models.CharField(max_length=20)})
    case.update(item(name=NAME), after, {"Item": [{"name": "a"}]}, defaults={f"shop.Item.{LONG}": "x"})
    assert case.values("shop_item", LONG) == [("x",)]


def test_child_of_a_model_with_a_long_name(case):
    def state(**more):
        return State(
            **{LONG_MODEL: {"name": NAME, "Meta": {"db_table": "orders"}}}, Child={"bases": (LONG_MODEL,), **more}
        )

    case.update(state(), state(size=models.IntegerField(null=True)), {"Child": [{"name": "a"}]})


SHARED = {
    "tables": (
        State(One={"Meta": {"db_table": f"{'t' * 63}one"}}, Two={"Meta": {"db_table": f"{'t' * 63}two"}}),
        "both have the table",
    ),
    "columns": (item(**{f"{LONG}_one": NAME, f"{LONG}_two": NAME}), "has the columns"),
    "constraints": (
        item(
            a=NAME,
            b=NAME,
            Meta={
                "constraints": [
                    models.UniqueConstraint(fields=[column], name=f"{'u' * 63}{column}") for column in ("a", "b")
                ]
            },
        ),
        "has the indexes or constraints",
    ),
}


@pytest.mark.parametrize("kind", SHARED)
def test_names_that_are_cut_alike_are_refused(case, kind):
    state, words = SHARED[kind]
    with pytest.raises(AutomigrateError, match=f"{words} .*cuts .* off at the same characters"):
        case.plan(state)


def test_sequence_follows_a_table_with_a_long_name(case):
    before, after = (item(name=NAME, Meta={"db_table": table}) for table in (WIDE, "ü" * 40))
    case.update(before, after, {"Item": [{"name": "a"}]}, renames={WIDE: "ü" * 40})
    case.build(item(name=NAME, Meta={"db_table": WIDE}))
    named = "SELECT pg_get_serial_sequence('\"{}\"', 'id')"
    (old,), (new,) = (case.query(named.format(table))[0] for table in (WIDE, "ü" * 40))
    assert new == old.replace("ж", "ü")
