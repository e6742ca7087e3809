"""What is owned by the models, and what is adopted from the database because they do not declare it."""

from dataclasses import replace

import pytest

from automigrate_ext.schema.adopt import TypeRules, adopt
from automigrate_ext.schema.nouns import Column, ForeignKey, Index, IndexKey, PrimaryKey, Schema, Table, Unique
from automigrate_ext.schema.ownership import OwnedTable, Ownership, owned_table

ID = Column(name="id", type="integer", null=False)
NAME = Column(name="name", type="text", null=False, collatable=True)
RULES = TypeRules(widths={"smallint": 0, "integer": 1, "bigint": 2})


def table(*columns, name="t", **more):
    return Table(name=name, columns=columns or (ID, NAME), primary_key=PrimaryKey(columns=("id",)), **more)


def adopted(desired, current, ownership=None, *others):
    schemas = [Schema({table.name: table for table in tables}) for tables in ([desired], [current])]
    return adopt(*schemas, ownership or Ownership(), RULES).tables[desired.name]


def recorded(**more):
    return Ownership(tables={"t": OwnedTable(name="t", owner="a.T", **more)})


def test_table_that_is_not_there_is_as_declared():
    desired = table()
    assert adopt(Schema({"t": desired}), Schema({}), Ownership(), RULES).tables["t"] is desired


@pytest.mark.parametrize(("attribute", "value"), [("default", "'x'"), ("collation", "C"), ("comment", "by hand")])
def test_attribute_set_by_hand_adopted(attribute, value):
    current = table(ID, replace(NAME, **{attribute: value}))
    assert adopted(table(), current).column("name") == current.column("name")
    assert adopted(table(), current, recorded(columns={"name": ()})).column("name") == current.column("name")


@pytest.mark.parametrize("attribute", ["default", "collation", "comment"])
def test_attribute_that_the_models_gave_not_adopted(attribute):
    current = table(ID, replace(NAME, **{attribute: "x"}))
    ownership = recorded(columns={"name": (attribute,)})
    assert adopted(table(), current, ownership).column("name") == NAME


@pytest.mark.parametrize("attribute", ["default", "collation", "comment"])
def test_attribute_that_the_models_give_now_not_adopted(attribute):
    desired = table(ID, replace(NAME, **{attribute: "new"}))
    current = table(ID, replace(NAME, **{attribute: "old"}))
    assert adopted(desired, current).column("name") == desired.column("name")


def test_collation_not_adopted_by_a_type_that_has_none():
    desired = table(ID, Column(name="name", type="integer", null=False))
    current = table(ID, replace(NAME, collation="C"))
    assert adopted(desired, current).column("name").collation is None


def test_table_comment_adopted_unless_owned():
    current = table(comment="by hand")
    assert adopted(table(), current).comment == "by hand"
    assert adopted(table(), current, recorded(attributes=("comment",))).comment == ""


def test_wider_automatic_key_adopted():
    wide = replace(ID, type="bigint")
    assert adopted(table(automatic_key=True), table(wide, NAME)).column("id").type == "bigint"


def test_narrower_automatic_key_and_wider_declared_key_not_adopted():
    wide, narrow = replace(ID, type="bigint"), replace(ID, type="smallint")
    assert adopted(table(automatic_key=True), table(narrow, NAME)).column("id").type == "integer"
    assert adopted(table(), table(wide, NAME)).column("id").type == "integer"


def test_reference_follows_a_kept_automatic_key():
    key = ForeignKey(columns=("t_id",), to_table="t", to_columns=("id",))
    pointer = Column(name="t_id", type="integer", null=True)
    child = table(ID, pointer, name="child", constraints=(key,), automatic_key=True)
    desired = Schema({"t": table(automatic_key=True), "child": child})
    wide = replace(child, columns=(ID, replace(pointer, type="bigint")))
    current = Schema({"t": table(replace(ID, type="bigint"), NAME), "child": wide})
    result = adopt(desired, current, Ownership(), RULES)
    assert result.tables["child"].column("t_id").type == "bigint"


def test_on_delete_set_by_hand_adopted():
    declared = ForeignKey(columns=("id",), to_table="o", to_columns=("id",), name="fk")
    by_hand = replace(declared, on_delete="CASCADE")
    (taken,) = adopted(table(constraints=(declared,)), table(constraints=(by_hand,))).constraints
    assert taken == by_hand
    ownership = recorded(objects={"fk": ("on_delete",)})
    (taken,) = adopted(table(constraints=(declared,)), table(constraints=(by_hand,)), ownership).constraints
    assert taken == declared


def test_index_options_set_by_hand_adopted():
    declared = Index(keys=(IndexKey(column="name"),), name="i")
    by_hand = replace(declared, options=("fillfactor=50",))
    (taken,) = adopted(table(indexes=(declared,)), table(indexes=(by_hand,))).indexes
    assert taken == by_hand


def test_reordered_unique_adopted_on_automatic_tables_only():
    declared, other = Unique(columns=("id", "name"), name="u"), Unique(columns=("name", "id"), name="u")
    for automatic in (True, False):
        desired = table(constraints=(declared,), automatic=automatic)
        (taken,) = adopted(desired, table(constraints=(other,))).constraints
        assert (taken == other) is automatic


def test_every_column_of_an_unrecorded_table_is_owned():
    assert Ownership().owns_column(table(), NAME)
    assert not recorded(columns={"id": ()}).owns_column(table(), NAME)
    assert recorded(columns={"id": ()}, kept=("name",)).owns_column(table(), NAME)


def test_objects_of_an_unrecorded_table_are_told_by_their_names():
    index = Index(keys=(IndexKey(column="name"),), name="i")
    assert not Ownership().owns_object(table(), index)
    assert Ownership(django_named=lambda table, noun: noun.name == "i").owns_object(table(), index)
    assert Ownership(server_named=lambda table, noun: noun.name == "i").owns_object(table(), index)


def test_objects_of_a_recorded_table_are_told_by_the_record():
    index = Index(keys=(IndexKey(column="name"),), name="i")
    assert recorded(objects={"i": ()}).owns_object(table(), index)
    assert not recorded().owns_object(table(), index)
    ownership = replace(recorded(), server_named=lambda table, noun: True)
    assert not ownership.owns_object(table(), index)


def test_record_of_a_table():
    declared = table(ID, replace(NAME, default="'x'"), comment="c", owner="a.T")
    extra = Column(name="gone", type="text", null=True)
    before = OwnedTable(name="t", owner="a.T", columns={"id": (), "gone": ()})
    by_hand = Column(name="by_hand", type="text", null=True)
    current = table(ID, NAME, extra, by_hand)
    record = owned_table(declared, declared, current, before)
    assert record.columns == {"id": (), "name": ("default",)}
    assert record.attributes == ("comment",)
    assert record.kept == ("gone",)
    assert owned_table(declared, declared, current, None).kept == ("by_hand", "gone")


def test_record_names_objects_as_the_database_does():
    declared = table(indexes=(Index(keys=(IndexKey(column="name"),), name="new", options=("x=1",)),))
    current = table(indexes=(Index(keys=(IndexKey(column="name"),), name="old", options=("x=1",)),))
    assert owned_table(declared, declared, current, None).objects == {"old": ("options",)}


def test_record_does_not_claim_a_second_equal_index():
    index = Index(keys=(IndexKey(column="name"),), name="i")
    declared, current = table(indexes=(index,)), table(indexes=(replace(index, name="by_hand"), index))
    before = OwnedTable(name="t", owner="a.T", columns={}, objects={"i": ()})
    assert owned_table(declared, declared, current, before).objects == {"i": ()}
