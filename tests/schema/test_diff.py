"""Two schemas in, the changes out."""

import pytest

from automigrate_ext.schema import changes
from automigrate_ext.schema.diff import diff, foreign_objects
from automigrate_ext.schema.nouns import (
    Check,
    Column,
    ForeignKey,
    Generated,
    Index,
    IndexKey,
    PrimaryKey,
    Schema,
    Table,
    Unique,
    canonical,
)
from automigrate_ext.schema.ownership import OwnedTable, Ownership

KEY = PrimaryKey(columns=("id",))
ID = Column(name="id", type="integer", null=False)
NAME = Column(name="name", type="text", null=False)
INDEX = Index(keys=(IndexKey(column="name"),), name="i", named=True)
UNIQUE = Unique(columns=("name",), name="u", named=True)
CHECK = Check(expression="name <> ''", columns=("name",), name="c", named=True)


def table(*columns, **more):
    return Table(name="t", columns=columns or (ID, NAME), primary_key=more.pop("primary_key", KEY), **more)


def found(old, new, ownership=None, **options):
    current = Schema({old.name: old} if old else {})
    desired = Schema({new.name: new} if new else {})
    return [change.describe() for change in diff(current, desired, ownership or Ownership(), **options)]


def owning(**more):
    columns = dict.fromkeys(["id", "name"], ())
    return Ownership(tables={"t": OwnedTable(name="t", owner="a.T", columns=columns, **more)})


def test_equal_tables():
    assert found(table(indexes=(INDEX,)), table(indexes=(INDEX,))) == []


def test_order_of_columns():
    assert found(table(ID, NAME), table(NAME, ID)) == []


def test_table_created():
    assert found(None, table()) == ["Create table t (2 columns)"]


def test_table_dropped():
    assert found(table(), None) == ["Drop table t"]


def test_column_added():
    assert found(table(ID), table()) == ["Add column t.name text not null"]


def test_column_dropped():
    assert found(table(), table(ID)) == ["Drop column t.name"]


def test_column_of_others_kept():
    ownership = Ownership(tables={"t": OwnedTable(name="t", owner="a.T", columns={"id": ()})})
    assert found(table(), table(ID), ownership) == []
    assert found(table(), table(ID), ownership, prune=True) == ["Drop column t.name"]


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [
        ("type", "bigint", "type text to bigint"),
        ("null", True, "allow NULL"),
        ("default", "'x'", "default none to 'x'"),
        ("collation", "C", "collation default to C"),
        ("identity", "always", "identity none to always"),
        ("comment", "new", "comment to 'new'"),
        ("generated", Generated(expression="id", stored=True), "generated as id"),
    ],
)
def test_column_altered(attribute, value, words):
    new = Column(**{"name": "name", "type": "text", "null": False, attribute: value})
    assert found(table(), table(ID, new)) == [f"Change column t.name: {words}"]


@pytest.mark.parametrize("attribute", ["sql", "default_sql", "sequence"])
def test_how_a_column_is_made_is_no_difference(attribute):
    new = Column(**{"name": "name", "type": "text", "null": False, attribute: "something else"})
    assert found(table(), table(ID, new)) == []


def test_primary_key_altered():
    new = table(primary_key=PrimaryKey(columns=("name", "id")))
    assert found(table(), new) == ["Change primary key of t from (id) to (name, id)"]


def test_table_comment_altered():
    assert found(table(), table(comment="x")) == ["Change table t: comment to 'x'"]


@pytest.mark.parametrize(
    ("option", "noun", "words", "name"),
    [
        ("indexes", INDEX, "index (name)", " i"),
        ("constraints", UNIQUE, "unique constraint (name)", " u"),
        ("constraints", CHECK, "check (name <> '')", " c"),
        (
            "constraints",
            ForeignKey(columns=("id",), to_table="o", to_columns=("id",)),
            "foreign key (id) to o(id)",
            "",
        ),
    ],
)
def test_object_added_and_dropped(option, noun, words, name):
    one, other = table(), table(**{option: (noun,)})
    dropped = f"Drop {words} from t" + (f":{name}" if name else "")
    assert found(one, other) == [f"Add {words}{name} to t"]
    assert found(other, one, owning(objects={noun.identity: ()})) == [dropped]
    assert found(other, one, owning()) == []
    assert found(other, one, owning(), prune=True) == [dropped]


def test_generated_name_is_no_difference():
    one = Index(keys=(IndexKey(column="name"),), name="t_name_1234")
    other = Index(keys=(IndexKey(column="name"),), name="t_name_abcd")
    assert found(table(indexes=(one,)), table(indexes=(other,))) == []


def test_given_name_is_a_rename():
    other = Index(keys=(IndexKey(column="name"),), name="j", named=True)
    assert found(table(indexes=(INDEX,)), table(indexes=(other,))) == ["Rename index i of t to j"]


def test_two_indexes_swap_names():
    one = [Index(keys=(IndexKey(column=c),), name=n, named=True) for c, n in (("id", "i"), ("name", "j"))]
    other = [Index(keys=(IndexKey(column=c),), name=n, named=True) for c, n in (("id", "j"), ("name", "i"))]
    renames = found(table(indexes=tuple(one)), table(indexes=tuple(other)))
    assert sorted(renames) == ["Rename index i of t to j", "Rename index j of t to i"]


def test_equal_objects_pair_by_name_first():
    equal = [Index(keys=(IndexKey(column="name"),), name=name, named=True) for name in ("i", "j", "k")]
    ownership = owning(objects=dict.fromkeys("ijk", ()))
    assert found(table(indexes=tuple(equal)), table(indexes=(equal[2], equal[0])), ownership) == [
        "Drop index (name) from t: j"
    ]


def test_object_of_others_in_the_way_goes():
    of_others = Index(keys=(IndexKey(column="id"),), name="i", named=True)
    assert found(table(indexes=(of_others,)), table(indexes=(INDEX,)), owning()) == [
        "Drop index (id) from t: i",
        "Add index (name) i to t",
    ]


def test_constraint_in_the_way_of_an_index_goes():
    in_the_way = Unique(columns=("id",), name="i")
    assert found(table(constraints=(in_the_way,)), table(indexes=(INDEX,)), owning()) == [
        "Drop unique constraint (id) from t: i",
        "Add index (name) i to t",
    ]


def test_nameless_index_does_not_take_one_whose_name_is_given_to_another():
    nameless = Index(keys=(IndexKey(column="id"),), name="t_id_1234")
    old = Index(keys=(IndexKey(column="id"),), name="i")
    assert found(table(indexes=(old,)), table(indexes=(nameless, INDEX)), owning()) == [
        "Drop index (id) from t: i",
        "Add index (name) i to t",
        "Add index (id) to t",
    ]


def test_foreign_objects_listed():
    extra = Column(name="extra", type="text", null=True)
    current = Schema({"t": table(ID, NAME, extra, indexes=(INDEX,), constraints=(UNIQUE,))})
    desired = Schema({"t": table()})
    listed = [noun.name for _, noun in foreign_objects(current, desired, owning(objects={"u": ()}))]
    assert listed == ["extra", "i"]


def test_changes_say_which_way_they_go():
    assert [kind.sign for kind in (changes.AddColumn, changes.DropColumn, changes.AlterColumn)] == ["+", "-", "~"]


def test_canonical_knows_no_order_and_no_generated_names():
    one = Schema({"t": table(ID, NAME, indexes=(INDEX, Index(keys=(IndexKey(column="id"),), name="x")))})
    other = Schema({"t": table(NAME, ID, indexes=(Index(keys=(IndexKey(column="id"),), name="y"), INDEX))})
    assert canonical(one) == canonical(other)
    assert canonical(one) != canonical(Schema({"t": table(ID)}))
