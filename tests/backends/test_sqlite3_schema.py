"""The statements that change SQLite tables: when the table is made anew, and what survives it."""

import sqlite3
from contextlib import closing
from dataclasses import replace as evolve

import pytest
from django.apps.registry import Apps
from django.db import models
from django.db.models.functions import Lower, Now
from django.db.utils import IntegrityError

from automigrate_ext.backends.sqlite3 import schema
from automigrate_ext.backends.work import Fill, Work
from automigrate_ext.exceptions import ExecutionFailed
from automigrate_ext.schema.changes import AddColumn, CreateTable, DropTable, RenameColumn, RenameTable
from automigrate_ext.schema.diff import diff_table
from automigrate_ext.schema.nouns import Schema
from automigrate_ext.schema.ownership import Ownership
from tests.backends.sqlite3_helper import Database, model


@pytest.fixture
def database(sqlite):
    return Database(sqlite)


def one(meta=None, **fields):
    """The model of most tests."""
    return model("One", meta, **fields)


def char(**options):
    return models.CharField(max_length=20, **options)


def rebuilds(statements):
    """How many tables are made anew."""
    return sum(statement.startswith('INSERT INTO "new__') for statement in statements)


# What needs no rebuild


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (char(null=True), 'ALTER TABLE "x_one" ADD COLUMN "b" varchar(20) NULL'),
        (models.IntegerField(db_default=5), 'ALTER TABLE "x_one" ADD COLUMN "b" integer DEFAULT 5 NOT NULL'),
        (models.IntegerField(db_default=-5), 'ALTER TABLE "x_one" ADD COLUMN "b" integer DEFAULT -5 NOT NULL'),
        (
            models.PositiveIntegerField(null=True),
            'ALTER TABLE "x_one" ADD COLUMN "b" integer unsigned NULL CHECK ("b" >= 0)',
        ),
        (
            models.ForeignKey("self", models.CASCADE, null=True, db_column="b", db_index=False),
            'ALTER TABLE "x_one" ADD COLUMN "b" bigint NULL REFERENCES "x_one" ("id") DEFERRABLE INITIALLY DEFERRED',
        ),
        (
            models.GeneratedField(expression=Lower("a"), output_field=models.TextField(), db_persist=False),
            'ALTER TABLE "x_one" ADD COLUMN "b" text GENERATED ALWAYS AS (LOWER("a")) VIRTUAL',
        ),
    ],
)
def test_column_added_without_rebuild(database, field, expected):
    database.create(one(a=char()))
    database.execute("INSERT INTO x_one (a) VALUES ('A')")
    assert database.update(one(a=char(), b=field.clone())) == [expected]


def test_column_added_with_a_value_for_the_rows(database):
    database.create(one(a=char()))
    database.execute("INSERT INTO x_one (a) VALUES ('A')")
    after = one(a=char(), b=char(null=True, default="it's"), c=models.IntegerField(null=True, default=2))
    statements = database.update(after, fills={("x_one", "b"): Fill(sql="'it''s'"), ("x_one", "c"): Fill(sql="2")})
    assert statements[2:] == ["""UPDATE "x_one" SET "b" = 'it''s', "c" = 2"""]
    assert database.query("SELECT b, c FROM x_one") == [("it's", 2)]


def test_unique_column_added_without_rebuild(database):
    database.create(one(a=char()))
    statements = database.update(one(a=char(), b=char(null=True, unique=True)))
    assert rebuilds(statements) == 0
    assert statements[1].startswith('CREATE UNIQUE INDEX "x_one_b_')
    assert statements[1].endswith('_uniq" ON "x_one" ("b")')


def test_unique_constraint_added_and_dropped_without_rebuild(database):
    plain = one(a=char(), b=char())
    database.create(plain)
    unique = one({"constraints": [models.UniqueConstraint(fields=["a", "b"], name="ab")]}, a=char(), b=char())
    assert database.update(unique) == ['CREATE UNIQUE INDEX "ab" ON "x_one" ("a", "b")']
    assert database.update(plain) == ['DROP INDEX "ab"']


def test_unique_constraint_whose_name_an_index_has(database):
    index = models.Index(fields=["b"], name="ab")
    database.create(one({"indexes": [index]}, a=char(), b=char()))
    unique = models.UniqueConstraint(fields=["a", "b"], name="ab")
    statements = database.update(one({"indexes": [index], "constraints": [unique]}, a=char(), b=char()))
    assert rebuilds(statements) == 1


def test_indexes_added_dropped_and_renamed_without_rebuild(database):
    before = [
        models.Index(fields=["a"], name="old"),
        models.Index(Lower("a"), name="gone"),
        models.Index(fields=["b"], name="first"),
        models.Index(fields=["-b"], name="second"),
    ]
    after = [
        models.Index(fields=["a"], name="new"),
        models.Index(fields=["b"], name="second"),
        models.Index(fields=["-b"], name="first"),
        models.Index(fields=["a", "b"], name="added", condition=models.Q(b="x")),
    ]
    database.create(one({"indexes": before}, a=char(), b=char()))
    statements = database.update(one({"indexes": after}, a=char(), b=char()))
    assert sorted(statements) == [
        'CREATE INDEX "added" ON "x_one" ("a", "b") WHERE "b" = \'x\'',
        'CREATE INDEX "first" ON "x_one" ("b" DESC)',
        'CREATE INDEX "new" ON "x_one" ("a")',
        'CREATE INDEX "second" ON "x_one" ("b")',
        'DROP INDEX "first"',
        'DROP INDEX "gone"',
        'DROP INDEX "old"',
        'DROP INDEX "second"',
    ]


def test_index_that_changes_its_table(database):
    def state(of_a, of_b):
        apps = Apps()
        index = models.Index(fields=["a"], name="wandering")
        return (
            model("A", {"indexes": [index] if of_a else []}, apps, a=char()),
            model("B", {"indexes": [index] if of_b else []}, apps, a=char(null=of_b)),
        )

    database.create(*state(True, False))
    assert rebuilds(database.update(*state(False, True))) == 1
    database.update(*state(True, False), fills={("x_b", "a"): Fill(sql="''")})


def test_plain_column_dropped_without_rebuild(database):
    database.create(one(a=char(), b=char(db_index=True), c=char()))
    statements = database.update(one(a=char(), c=char()))
    assert statements[0].startswith('DROP INDEX "x_one_b_')
    assert statements[1:] == ['ALTER TABLE "x_one" DROP COLUMN "b"']


@pytest.mark.parametrize(
    "field",
    [
        char(unique=True),
        models.PositiveIntegerField(),
        models.ForeignKey("self", models.CASCADE, null=True, db_column="b"),
        models.GeneratedField(expression=Lower("a"), output_field=models.TextField(), db_persist=True),
    ],
)
def test_column_with_a_constraint_dropped(database, field):
    database.create(one(a=char(), b=field.clone()))
    database.update(one(a=char()))


@pytest.mark.parametrize("version", [(3, 34), (3, 40)])
def test_column_dropped_by_old_servers_and_beside_views(database, monkeypatch, version):
    database.create(one(a=char(), b=char()))
    if version > schema.DROPS_COLUMNS:
        database.execute("CREATE VIEW v AS SELECT a FROM x_one")
    monkeypatch.setattr(type(database.backend), "version", version)
    assert rebuilds(database.update(one(a=char()))) == 1


def test_several_columns_dropped_at_once(database):
    database.create(one(a=char(), b=char(), c=char()))
    assert rebuilds(database.update(one(a=char()))) == 1


# The rebuild


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (char(), models.CharField(max_length=30)),
        (char(), char(null=True)),
        (char(), char(db_default="x")),
        (char(), char(db_collation="nocase")),
        (char(), models.IntegerField()),
        (models.IntegerField(), models.PositiveIntegerField()),
        (models.PositiveIntegerField(), models.IntegerField()),
        (char(unique=True), char()),
        (char(), models.JSONField()),
    ],
)
def test_column_changed_by_a_rebuild(database, before, after):
    database.create(one(a=before.clone()))
    assert rebuilds(database.update(one(a=after.clone()))) == 1


@pytest.mark.parametrize(
    "field",
    [
        char(default=""),
        models.DateTimeField(db_default=Now()),
        models.ForeignKey("self", models.CASCADE, db_column="b", db_default=1),
        models.GeneratedField(expression=Lower("a"), output_field=models.TextField(), db_persist=True),
    ],
)
def test_column_added_by_a_rebuild(database, field):
    database.create(one(a=char()))
    database.execute("INSERT INTO x_one (id, a) VALUES (1, 'A')")
    fills = {("x_one", "b"): Fill(sql="''")} if field.default == "" else {}
    statements = database.update(one(a=char(), b=field.clone()), fills=fills)
    assert rebuilds(statements) == 1
    assert database.query("SELECT b IS NULL FROM x_one") == [(0,)]


def test_many_changes_of_a_table_are_one_rebuild(database):
    check = models.CheckConstraint(condition=models.Q(b__gt=0), name="positive")
    database.create(one({"constraints": [check]}, a=char(unique=True), b=models.IntegerField(db_index=True), c=char()))
    database.execute("INSERT INTO x_one (a, b, c) VALUES ('1', 2, 'x'), ('3', 4, 'y')")
    after = one({"unique_together": [("a", "d")]}, a=models.IntegerField(), b=char(), d=char(null=True), e=char())
    statements = database.update(after, fills={("x_one", "e"): Fill(sql="'new'")})
    assert statements == [
        'CREATE TABLE "new__x_one" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "a" integer NOT NULL, '
        '"b" varchar(20) NOT NULL, "d" varchar(20) NULL, "e" varchar(20) NOT NULL)',
        "INSERT INTO sqlite_sequence (name, seq) SELECT 'new__x_one', seq FROM sqlite_sequence "
        "WHERE name = 'x_one' COLLATE NOCASE",
        statements[2],
        'DROP TABLE "x_one"',
        "PRAGMA legacy_alter_table = ON",
        'ALTER TABLE "new__x_one" RENAME TO "x_one"',
        "PRAGMA legacy_alter_table = OFF",
        statements[7],
    ]
    assert database.query("SELECT id, a, b, d, e FROM x_one") == [(1, 1, "2", None, "new"), (2, 3, "4", None, "new")]
    assert database.query("SELECT typeof(a), typeof(b) FROM x_one LIMIT 1") == [("integer", "text")]


def test_null_is_filled(database):
    database.create(one(a=char(null=True)))
    database.execute("INSERT INTO x_one (a) VALUES (NULL), ('x')")
    database.update(one(a=char()), fills={("x_one", "a"): Fill(sql="'filled'")})
    assert database.query("SELECT a FROM x_one ORDER BY id") == [("filled",), ("x",)]


def test_null_without_a_value_is_refused_and_undone(database):
    database.create(one(a=char(null=True)))
    database.execute("INSERT INTO x_one (a) VALUES (NULL)")
    before = database.definitions()
    with pytest.raises(IntegrityError, match="NOT NULL"):
        database.update(one(a=char()))
    assert database.definitions() == before
    assert database.query("SELECT a FROM x_one") == [(None,)]


def test_rebuild_goes_on_numbering(database):
    database.create(one(a=char()))
    database.execute("INSERT INTO x_one (a) VALUES ('x'), ('y')", "DELETE FROM x_one")
    database.update(one(a=models.TextField()))
    database.execute("INSERT INTO x_one (a) VALUES ('z')")
    assert database.query("SELECT id FROM x_one") == [(3,)]
    assert database.query("SELECT name, seq FROM sqlite_sequence WHERE name LIKE '%one'") == [("x_one", 3)]


def test_rebuild_beside_a_table_of_the_temporary_name(database):
    database.create(one(a=char()))
    database.execute('CREATE TABLE "New__x_one" (precious)')
    assert 'CREATE TABLE "new__new__x_one"' in database.update(one(a=models.TextField()))[0]


def test_rebuild_keeps_options(database):
    database.execute("CREATE TABLE x_one (a text NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID")
    database.update(one(a=models.TextField(primary_key=True), b=models.TextField(db_default=Lower(models.Value("X")))))
    assert database.definitions()["x_one"].endswith(") STRICT, WITHOUT ROWID")


def test_rebuild_keeps_what_is_not_of_the_models(database):
    database.create(one(a=char()))
    database.execute(
        "ALTER TABLE x_one ADD COLUMN noted text DEFAULT (lower('X')) COLLATE nocase",
        "ALTER TABLE x_one ADD COLUMN counted int NOT NULL DEFAULT 7 CONSTRAINT big CHECK (x_one.counted > 1.5)",
        "ALTER TABLE x_one ADD COLUMN other int REFERENCES x_one (id) ON UPDATE CASCADE",
        "ALTER TABLE x_one ADD COLUMN doubled int AS (counted * 2)",
        "CREATE INDEX by_hand ON x_one (noted DESC) WHERE counted > 3",
        "CREATE UNIQUE INDEX once ON x_one (counted, noted)",
        "INSERT INTO x_one (a, noted, counted, other) VALUES ('x', 'N', 9, 1)",
    )
    before = database.read("x_one").tables["x_one"]
    statements = database.update(one(a=models.TextField()), owned=False)
    after = database.read("x_one").tables["x_one"]
    assert rebuilds(statements) == 1
    assert [c for c in after.columns if c.name != "a"] == [c for c in before.columns if c.name != "a"]
    assert set(after.constraints) == set(before.constraints)
    assert (after.indexes, after.indexes[0].sql) == (before.indexes, before.indexes[0].sql)
    assert "ON UPDATE CASCADE" in database.definitions()["x_one"]
    assert database.query("SELECT a, noted, counted, other, doubled FROM x_one") == [("x", "N", 9, 1, 18)]


def test_rebuild_keeps_views_triggers_and_references(database):
    database.create(one(a=char()))
    database.execute(
        "CREATE TABLE log (a)",
        "CREATE TABLE child (one_id int REFERENCES x_one (id))",
        "CREATE VIEW v AS SELECT a, 'x_one' AS t FROM x_one",
        "CREATE VIEW w AS SELECT * FROM v",
        "CREATE TRIGGER logs AFTER INSERT ON X_One BEGIN INSERT INTO log VALUES (new.a); END",
        "CREATE TRIGGER feeds AFTER INSERT ON child BEGIN INSERT INTO x_one (a) VALUES ('fed'); END",
        "INSERT INTO x_one (a) VALUES ('x')",
    )
    before = database.definitions()
    database.update(one(a=models.TextField()))
    after = database.definitions()
    assert before.keys() == after.keys()
    assert {name: sql for name, sql in after.items() if sql != before[name]}.keys() == {"x_one"}
    database.execute("INSERT INTO child VALUES (1)")
    assert database.query("SELECT a FROM w") == [("x",), ("fed",)]
    assert database.query("SELECT a FROM log") == [("x",), ("fed",)]


def test_rebuild_beside_a_view_that_is_broken_anyway(database):
    database.create(one(a=char()))
    database.execute("CREATE VIEW broken AS SELECT * FROM nowhere")
    database.update(one(a=models.TextField()))


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        ("CREATE VIEW v AS SELECT b FROM x_one", "view v fails: no such column: b"),
        (
            "CREATE TRIGGER tr AFTER UPDATE ON x_one BEGIN UPDATE x_one SET a = new.b; END",
            "a trigger of table x_one fails: no such column: new.b",
        ),
    ],
)
def test_column_that_a_view_or_trigger_needs_is_not_dropped(database, thing, message):
    database.create(one(a=char(), b=char()))
    database.execute(thing)
    before = database.definitions()
    with pytest.raises(ExecutionFailed, match=message):
        database.update(one(a=char()))
    assert database.definitions() == before


def test_rows_stay_where_no_column_does(database):
    database.execute("CREATE TABLE x_one (a text NOT NULL PRIMARY KEY)", "INSERT INTO x_one VALUES ('x')")
    before = database.read("x_one").tables["x_one"]
    (column,) = before.columns
    added = evolve(column, name="b", default="lower('Y')", sql="")
    after = evolve(before, columns=(added,), primary_key=evolve(before.primary_key, columns=("b",)))
    work = Work(
        changes=(AddColumn(table="x_one", new=added),),
        current=Schema({"x_one": before}),
        desired=Schema({"x_one": after}),
    )
    with database.backend.exclusive():
        database.backend.run(database.backend.compile(work))
    assert database.query("SELECT * FROM x_one") == [("y",)]


# Keys


def test_primary_key_replaced(database):
    database.create(one(a=models.IntegerField(), b=char(unique=True)))
    database.execute("INSERT INTO x_one (id, a, b) VALUES (5, 6, 'x')")
    after = one({}, a=models.IntegerField(), b=char(primary_key=True))
    assert rebuilds(database.update(after)) == 1
    assert database.query("SELECT a, b FROM x_one") == [(6, "x")]


def test_composite_primary_key(database):
    database.create(one(a=models.IntegerField(), b=models.IntegerField()))
    database.execute("INSERT INTO x_one (a, b) VALUES (1, 2)")
    after = one({}, pk=models.CompositePrimaryKey("b", "a"), a=models.IntegerField(), b=models.IntegerField())
    database.update(after)
    assert database.read("x_one").tables["x_one"].primary_key.columns == ("b", "a")
    database.update(one(a=models.IntegerField(), b=models.IntegerField()))
    assert database.query("SELECT id, a, b FROM x_one") == [(1, 1, 2)]


def test_rows_that_point_at_a_table_keep_pointing(database):
    def state(key):
        apps = Apps()
        parent = model("Parent", apps=apps, id=key)
        return parent, model("Child", apps=apps, parent=models.ForeignKey(parent, models.CASCADE))

    database.create(*state(models.AutoField(primary_key=True)))
    database.execute("INSERT INTO x_parent (id) VALUES (1)", "INSERT INTO x_child (parent_id) VALUES (1)")
    database.update(*state(models.CharField(max_length=9, primary_key=True)))
    assert database.query("SELECT typeof(p.id) FROM x_parent p JOIN x_child c ON c.parent_id = p.id") == [("text",)]
    assert database.query("PRAGMA foreign_key_check") == []


# Whole tables and renames


def test_tables_created_and_dropped(database):
    old = model("Old", {"indexes": [models.Index(fields=["a"], name="taken")]}, a=char())
    new = model("New", {"indexes": [models.Index(fields=["a"], name="taken")]}, a=char())
    database.create(old)
    was, will = database.read("x_old").tables["x_old"], database.scratch(new).tables["x_new"]
    work = Work(
        changes=(CreateTable(table="x_new", new=will), DropTable(table="x_old", old=was)),
        current=Schema({"x_old": was}),
        desired=Schema({"x_new": will}),
    )
    with database.backend.exclusive():
        database.backend.run(database.backend.compile(work))
    assert database.definitions().keys() >= {"x_new", "taken"}
    assert "x_old" not in database.definitions()


def test_renames_come_first_and_triggers_follow(database):
    database.create(model("Old", {"indexes": [models.Index(fields=["a"], name="ia")]}, a=char(), keep=char()))
    database.execute(
        "CREATE TABLE log (a)",
        "CREATE TRIGGER logs AFTER INSERT ON x_old BEGIN INSERT INTO log VALUES (new.a); END",
        "CREATE VIEW v AS SELECT a FROM x_old",
        "INSERT INTO x_old (a, keep) VALUES ('x', 'y')",
    )
    new = model("New", {"indexes": [models.Index(fields=["b"], name="ia")]}, b=models.TextField(), keep=char())
    declared = database.scratch(new)
    old = database.read("x_old").tables["x_old"]
    renamed = evolve(
        old,
        name="x_new",
        columns=tuple(evolve(c, name="b") if c.name == "a" else c for c in old.columns),
        indexes=declared.tables["x_new"].indexes,
    )
    changes = (
        RenameTable(table="x_old", new_name="x_new"),
        RenameColumn(table="x_new", old_name="a", new_name="b"),
        *database_changes(renamed, declared.tables["x_new"]),
    )
    work = Work(changes=changes, current=Schema({"x_new": renamed}), desired=declared)
    steps = database.backend.compile(work)
    assert [step.sql for step in steps[:2]] == [
        'ALTER TABLE "x_old" RENAME TO "x_new"',
        'ALTER TABLE "x_new" RENAME COLUMN "a" TO "b"',
    ]
    with database.backend.exclusive():
        database.backend.run(steps)
    assert database.differences(new) == ()
    database.execute("INSERT INTO x_new (b, keep) VALUES ('z', 'y')")
    assert database.query("SELECT * FROM v") == [("x",), ("z",)]
    assert database.query("SELECT a FROM log") == [("x",), ("z",)]


def database_changes(old, new):
    return tuple(diff_table(old, new, Ownership(), prune=False))


def test_automigrate_drops_and_creates(database):
    def state(**fields):
        apps = Apps()
        parent = model("Parent", apps=apps, child=models.ForeignKey("Child", models.CASCADE), **fields)
        return parent, model("Child", apps=apps, parent=models.ForeignKey(parent, models.CASCADE, null=True))

    before = state()
    database.create(*before)
    database.execute("INSERT INTO x_child (id) VALUES (1)", "INSERT INTO x_parent (child_id) VALUES (1)")
    database.execute("CREATE VIEW v AS SELECT id FROM x_parent")
    desired = database.scratch(*state(a=char(db_index=True)))
    work = Work(changes=(), current=database.read("x_parent", "x_child"), desired=desired)
    steps = database.backend.compile_rebuild(work, ())
    with database.backend.exclusive():
        database.backend.run(steps)
    assert database.differences(*state(a=char(db_index=True))) == ()
    assert database.query("SELECT * FROM v") == []


def test_statements_run_as_a_script(database, tmp_path):
    database.create(one(a=char()))
    database.execute(
        "CREATE TABLE log (a)",
        "CREATE TRIGGER logs AFTER INSERT ON x_one BEGIN INSERT INTO log VALUES (new.a); END",
        "INSERT INTO x_one (a) VALUES ('?'), ('%s')",
    )
    after = one(a=models.TextField(db_default="50% of %s; -- ?"), b=char(), c=models.JSONField(null=True))
    script = "".join(f"{step.sql};\n" for step in database.compile(after, fills={("x_one", "b"): Fill(sql="'%s'")}))
    with closing(sqlite3.connect(tmp_path / "copy.sqlite3")) as copy:
        database.connection.connection.backup(copy)
        copy.executescript(script)
        copied = dict(copy.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall())
        rows = copy.execute("SELECT * FROM x_one").fetchall()
    database.update(after, fills={("x_one", "b"): Fill(sql="'%s'")})
    assert database.definitions() == copied
    assert database.query("SELECT * FROM x_one") == rows == [(1, "?", "%s", None), (2, "%s", "%s", None)]
    assert database.read("x_one").tables["x_one"].column("a").default == "'50% of %s; -- ?'"
