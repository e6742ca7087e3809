"""What is read from a SQLite database, and what its scratch makes of models."""

import pytest
from django.apps.registry import Apps
from django.db import models
from django.db.backends.signals import connection_created
from django.db.models.functions import Lower, Upper

from automigrate_ext.backends.sqlite3 import scratch
from automigrate_ext.backends.sqlite3.introspection import SHADOW_SUFFIXES, read_catalog, shadow_tables
from automigrate_ext.backends.work import Dependent
from automigrate_ext.exceptions import ScratchFailed, ShadowedTable
from automigrate_ext.schema.nouns import ForeignKey, Index, IndexKey, Unique, canonical
from tests.backends.sqlite3_helper import Database, is_empty, model


@pytest.fixture
def database(sqlite):
    return Database(sqlite)


def test_table_that_is_not_there(database):
    assert is_empty(database.read("t"))


def test_table_is_found_whatever_its_case(database):
    database.execute('CREATE TABLE "Todo" (a)')
    assert database.read("TODO").tables["TODO"].name == "TODO"


def test_table_with_a_quoted_name(database):
    database.execute('CREATE TABLE "my ""table" (a)')
    assert [c.name for c in database.read('"my ""table"').tables['"my ""table"'].columns] == ["a"]


def test_table_with_its_indexes(database):
    database.execute(
        "CREATE TABLE t (a text, b int UNIQUE)",
        "CREATE INDEX i ON T (a)",
        "CREATE UNIQUE INDEX u ON t (A, b)",
        "CREATE INDEX other ON t (lower(a))",
    )
    table = database.read("t").tables["t"]
    assert table.indexes == (Index(keys=(IndexKey(column="a"),)), Index(keys=(IndexKey(expression='LOWER("a")'),)))
    assert table.constraints == (Unique(columns=("b",)), Unique(columns=("a", "b")))
    assert [noun.name for noun in (*table.constraints, *table.indexes)] == ["", "u", "i", "other"]
    assert table.sql == (
        "CREATE TABLE t (a text, b int UNIQUE)",
        "CREATE INDEX i ON T (a)",
        "CREATE UNIQUE INDEX u ON t (A, b)",
        "CREATE INDEX other ON t (lower(a))",
    )


def test_table_after_alter_table(database):
    database.execute(
        "CREATE TABLE t (a int CHECK (a > 0))",
        "ALTER TABLE t ADD COLUMN b text DEFAULT 'x' NOT NULL",
        "ALTER TABLE t RENAME COLUMN a TO c",
        "ALTER TABLE t RENAME TO s",
    )
    table = database.read("s").tables["s"]
    assert [(c.name, c.default) for c in table.columns] == [("c", None), ("b", "'x'")]
    assert table.constraints[0].expression == '"c" > 0'


def test_table_made_from_a_query(database):
    assert [c.name for c in database.read_one("CREATE TABLE t AS SELECT 1 AS a, 'x' AS [b c]").columns] == ["a", "b c"]


def test_view_of_that_name(database):
    database.execute("CREATE VIEW V AS SELECT 1 AS a")
    with pytest.raises(ShadowedTable, match="'v' is a view in the database"):
        database.read("v")


def test_virtual_table_of_that_name(database):
    database.execute("CREATE VIRTUAL TABLE v USING fts5(a)")
    with pytest.raises(ShadowedTable, match="'v' is a virtual table"):
        database.read("v")


def test_table_names(database):
    database.execute(
        "CREATE TABLE Notes (id integer PRIMARY KEY AUTOINCREMENT, a)",
        "CREATE TABLE notes_fts_config_of_mine (a)",
        "CREATE VIRTUAL TABLE notes_fts USING fts5(a)",
        "CREATE VIEW v AS SELECT 1",
    )
    assert database.backend.table_names() == {"Notes", "notes_fts_config_of_mine"}


def test_shadow_tables_of_a_server_that_cannot_tell(database):
    database.execute("CREATE VIRTUAL TABLE f USING fts5(a)", "CREATE VIRTUAL TABLE r USING rtree(a, b, c)")
    with database.connection.cursor() as cursor:
        catalog = read_catalog(cursor)
        asked = shadow_tables(cursor, catalog, lists_tables=True)
        assert shadow_tables(cursor, catalog, lists_tables=False) == asked
    assert {name.partition("_")[2] for name in asked} <= set(SHADOW_SUFFIXES)


def test_foreign_key_without_columns_points_at_the_primary_key(database):
    database.execute("CREATE TABLE p (a int, b int, PRIMARY KEY (b, a))")
    table = database.read_one("CREATE TABLE t (x int, y int, FOREIGN KEY (x, y) REFERENCES P)")
    assert table.constraints == (ForeignKey(columns=("x", "y"), to_table="P", to_columns=("b", "a")),)


def test_foreign_key_without_columns_to_a_table_that_is_not_there(database):
    table = database.read_one("CREATE TABLE t (x int REFERENCES p)")
    assert table.constraints == (ForeignKey(columns=("x",), to_table="p", to_columns=()),)


def test_references_from_tables_that_are_not_named(database):
    database.execute(
        "CREATE TABLE p (id integer PRIMARY KEY)",
        "CREATE TABLE Outside (p_id int REFERENCES P, note text DEFAULT 'references')",
        "CREATE TABLE inside (p_id int REFERENCES p (id))",
        "CREATE TABLE elsewhere (q_id int REFERENCES q (id))",
    )
    (reference,) = database.backend.references(["p", "inside"])
    assert reference.table == "Outside"
    assert reference.foreign_key == ForeignKey(columns=("p_id",), to_table="p", to_columns=("id",))


def test_dependents_are_the_triggers_on_the_tables(database):
    trigger = "CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END"
    database.execute(
        "CREATE TABLE T (a)",
        "CREATE TABLE other (a)",
        "CREATE VIEW v AS SELECT a FROM t",
        trigger,
        "CREATE TRIGGER elsewhere AFTER INSERT ON other BEGIN INSERT INTO t VALUES (1); END",
    )
    assert database.backend.dependents(["t"]) == (Dependent(table="t", kind="trigger", name="tr", sql=trigger),)


# Scratch


def everything():
    apps = Apps()
    parent = model("Parent", apps=apps, code=models.CharField(max_length=20, unique=True))
    child = model(
        "Child",
        {
            "unique_together": [("name", "size")],
            "indexes": [
                models.Index(fields=["-size", "name"], name="ordered"),
                models.Index(Lower("name").desc(), models.F("size"), name="lowered"),
                models.Index(fields=["size"], condition=models.Q(size__gt=5), name="partial"),
            ],
            "constraints": [
                models.CheckConstraint(condition=~models.Q(name="a 'b', (c"), name="not_abc"),
                models.UniqueConstraint(fields=["size"], name="size_once"),
                models.UniqueConstraint(Upper("name"), name="name_once"),
                models.UniqueConstraint(fields=["name"], condition=models.Q(size=1), name="small_once"),
            ],
        },
        apps=apps,
        name=models.CharField(max_length=30, db_collation="nocase", db_index=True),
        size=models.PositiveSmallIntegerField(db_default=7),
        data=models.JSONField(null=True),
        double=models.GeneratedField(
            expression=models.F("size") * 2, output_field=models.IntegerField(), db_persist=True
        ),
        shout=models.GeneratedField(
            expression=Upper("name"), output_field=models.CharField(max_length=30), db_persist=False
        ),
        parent=models.ForeignKey(parent, models.CASCADE, to_field="code"),
        me=models.OneToOneField("self", models.SET_NULL, null=True),
        parents=models.ManyToManyField(parent, related_name="+"),
        key=models.UUIDField(unique=True),
        loose=models.ForeignKey(parent, models.CASCADE, db_constraint=False, related_name="+"),
    )
    return parent, child, child._meta.get_field("parents").remote_field.through


def test_scratch_is_what_django_makes(database):
    parent, child, through = everything()
    before = database.scratch(parent, child, through)
    database.create(parent, child)
    after = database.scratch(parent, child, through)
    assert canonical(before) == canonical(after) == canonical(database.read(*before.tables))


def test_scratch_leaves_nothing_behind(database):
    database.scratch(*everything())
    assert database.definitions() == {}


def test_scratch_says_what_the_models_say(database):
    schema = database.scratch(*everything())
    child, through = schema.tables["x_child"], schema.tables["x_child_parents"]
    assert (child.owner, child.automatic, child.automatic_key) == ("x.Child", False, True)
    assert (through.owner, through.automatic) == ("x.Child", True)
    named = {noun.name for noun in (*child.constraints, *child.indexes) if noun.named}
    assert named == {"ordered", "lowered", "partial", "not_abc", "size_once", "name_once", "small_once"}
    assert child.sql[0].startswith('CREATE TABLE "x_child" (')
    assert child.column("id").identity == "autoincrement"


def test_scratch_builds_only_what_is_not_there(database, monkeypatch):
    parent, child, through = everything()
    database.create(parent, child)
    built = []
    monkeypatch.setattr(scratch, "create", lambda _, draft: built.append(draft.name))
    database.scratch(parent, child, through)
    assert built == []


def test_scratch_takes_nothing_from_a_table_that_has_more(database):
    one = model("One", a=models.IntegerField())
    database.create(one)
    database.execute("CREATE INDEX by_hand ON x_one (a)")
    assert database.scratch(one).tables["x_one"].indexes == ()


def test_scratch_in_batches(database, monkeypatch):
    monkeypatch.setattr(scratch, "BATCH", 2)
    some = [model(f"M{n}") for n in range(5)]
    assert list(database.scratch(*some).tables) == [f"x_m{n}" for n in range(5)]


def test_scratch_of_what_the_server_does_not_accept(database):
    wrong = model("Wrong", a=models.CharField(max_length=3, db_collation="nowhere"), meta={"db_table": "w"})
    wrong._meta.indexes = [models.Index(fields=["a"], name="w_a")]
    with pytest.raises(ScratchFailed, match=r"x\.Wrong declares of the table 'w': no such collation sequence: nowhere"):
        database.scratch(wrong)


def test_scratch_knows_functions_of_receivers(database):
    def add_function(connection, **kwargs):
        connection.connection.create_function("twice", 1, lambda value: value * 2, deterministic=True)

    class Twice(models.Func):
        function = "twice"
        output_field = models.IntegerField()

    twice = models.GeneratedField(expression=Twice("a"), output_field=models.IntegerField(), db_persist=True)
    connection_created.connect(add_function)
    try:
        table = database.scratch(model("One", a=models.IntegerField(), b=twice)).tables["x_one"]
    finally:
        connection_created.disconnect(add_function)
    assert table.column("b").generated.expression == 'TWICE("a")'


def test_number_of_queries_does_not_depend_on_the_number_of_tables(database, django_assert_num_queries):
    parent, child, through = everything()
    database.create(parent, child)
    names = [m._meta.db_table for m in (parent, child, through)]
    with django_assert_num_queries(1, connection=database.connection):
        assert len(database.read(*names)) == 3
    with django_assert_num_queries(1, connection=database.connection):
        database.scratch(parent, child, through)
