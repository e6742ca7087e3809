"""What the models are silent about was set by somebody: no difference, and still there after a change."""

from django.db import models

from tests.acceptance.helper import State, item

ROWS = {"Item": [{"name": "a", "size": 1}]}


def state(name=None, **more):
    return item(name=name or models.CharField(max_length=20), size=models.IntegerField(), **more)


def test_collation_set_by_hand(pg):
    pg.build(state())
    pg.execute('ALTER TABLE shop_item ALTER COLUMN name TYPE varchar(20) COLLATE "C"')
    pg.update(state(), state(), ROWS, changes=[], built=True, exact=False)
    after = state(models.CharField(max_length=40))
    pg.update(state(), after, built=True, exact=False)
    column = pg.introspect(["shop_item"]).tables["shop_item"].column("name")
    assert (column.type, column.collation) == ("character varying(40)", "C")


def test_default_set_by_hand(pg):
    pg.build(state())
    pg.execute("ALTER TABLE shop_item ALTER COLUMN size SET DEFAULT 5")
    pg.update(state(), state(), ROWS, changes=[], built=True, exact=False)
    pg.update(state(), state(models.TextField()), built=True, exact=False)
    assert pg.introspect(["shop_item"]).tables["shop_item"].column("size").default == "5"


def test_default_set_by_hand_survives_a_change_of_type(pg):
    pg.build(state())
    pg.execute("ALTER TABLE shop_item ALTER COLUMN size SET DEFAULT 5")
    after = item(name=models.CharField(max_length=20), size=models.BigIntegerField())
    pg.update(state(), after, ROWS, built=True, exact=False)
    assert pg.introspect(["shop_item"]).tables["shop_item"].column("size").default


def test_default_that_the_models_gave_goes_with_it(case):
    before = item(size=models.IntegerField(db_default=1))
    case.run(before)
    case.update(before, item(size=models.IntegerField()), {"Item": [{}]}, built=True)


def test_default_set_by_hand_on_sqlite(lite):
    lite.execute(
        'CREATE TABLE "shop_item" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, '
        '"name" varchar(20) NOT NULL DEFAULT \'x\', "size" integer NOT NULL DEFAULT 5)'
    )
    lite.update(state(), state(), ROWS, changes=[], built=True, exact=False)
    lite.update(state(), state(models.TextField()), built=True, exact=False)
    assert lite.introspect(["shop_item"]).tables["shop_item"].column("size").default == "5"


def test_storage_parameters_of_a_table(pg):
    pg.build(state())
    pg.execute("ALTER TABLE shop_item SET (fillfactor = 70)")
    pg.update(state(), state(models.TextField()), ROWS, built=True)
    assert pg.query("SELECT reloptions FROM pg_class WHERE relname = 'shop_item'") == [(["fillfactor=70"],)]


def test_column_made_by_hand(case):
    case.run(state())
    case.execute("ALTER TABLE shop_item ADD COLUMN by_hand integer")
    case.insert(state(), ROWS)
    case.execute("UPDATE shop_item SET by_hand = 9")
    plan = case.update(state(), state(), changes=[], built=True, exact=False)
    assert "column shop_item.by_hand" in plan.foreign
    after = item(name=models.TextField(), size=models.CharField(max_length=5))
    case.update(state(), after, built=True, exact=False)
    assert case.values("shop_item", "by_hand") == [(9,)]
    case.update(after, after, withheld=["Drop column shop_item.by_hand"], built=True, prune=True)
    case.update(
        after,
        after,
        changes=["Drop column shop_item.by_hand"],
        built=True,
        prune=True,
        accept_data_loss=True,
    )


TRIGGERS = {
    "postgresql": [
        "CREATE TABLE log (name text)",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO log VALUES (NEW.name); RETURN NEW; END $$",
        "CREATE TRIGGER by_hand AFTER INSERT ON shop_item FOR EACH ROW EXECUTE FUNCTION note()",
    ],
    "sqlite": [
        "CREATE TABLE log (name text)",
        "CREATE TRIGGER by_hand AFTER INSERT ON shop_item BEGIN INSERT INTO log VALUES (NEW.name); END",
    ],
    "mysql": [
        "CREATE TABLE log (name text)",
        "CREATE TRIGGER by_hand AFTER INSERT ON shop_item FOR EACH ROW INSERT INTO log VALUES (NEW.name)",
    ],
}


def test_trigger_survives(case):
    case.run(state())
    case.execute(*TRIGGERS[case.vendor])
    after = item(name=models.TextField(unique=True), size=models.IntegerField(null=True))
    case.update(state(), state(), changes=[], built=True)
    case.update(state(), after, ROWS, built=True)
    assert case.values("log", "name") == [("a",)]
    case.insert(after, {"Item": [{"name": "b"}]})
    assert case.values("log", "name") == [("a",), ("b",)]


def test_view_survives(case):
    case.run(state())
    case.execute("CREATE VIEW by_hand AS SELECT id, size FROM shop_item")
    after = item(name=models.TextField(unique=True), size=models.IntegerField(null=True))
    case.update(state(), after, ROWS, built=True)
    assert case.query("SELECT size FROM by_hand") == [(1,)]


def test_table_of_nobody_is_left_alone(case):
    case.run(state())
    case.execute("CREATE TABLE by_hand (id integer)", "INSERT INTO by_hand VALUES (1)")
    case.update(state(), state(), changes=[], built=True, prune=True)
    assert case.values("by_hand", "id") == [(1,)]


def test_full_text_table_is_left_alone(lite):
    lite.run(state())
    lite.execute("CREATE VIRTUAL TABLE words USING fts5(body)", "INSERT INTO words VALUES ('a b')")
    lite.update(state(), state(models.TextField()), built=True)
    assert lite.query("SELECT body FROM words WHERE words MATCH 'a'") == [("a b",)]


def test_foreign_key_column_declared_narrower_by_an_old_migration(lite):
    both = State(Shelf={}, Item={"shelf": models.ForeignKey("Shelf", models.CASCADE)})
    lite.run(both)
    lite.execute("DROP TABLE shop_item")
    lite.execute(
        'CREATE TABLE "shop_item" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "shelf_id" integer NOT NULL '
        'REFERENCES "shop_shelf" ("id") DEFERRABLE INITIALLY DEFERRED)',
        'CREATE INDEX "shop_item_shelf_id_old" ON "shop_item" ("shelf_id")',
    )
    lite.update(both, both, {"Shelf": [{}], "Item": [{"shelf_id": 1}]}, changes=[], built=True, exact=False)


def test_twin_of_a_declared_unique_constraint_stays_the_administrators(case):
    state = item(a=models.IntegerField(), b=models.IntegerField(), Meta={"unique_together": [("a", "b")]})
    case.build(state)
    case.execute("CREATE UNIQUE INDEX twin ON shop_item (a, b)")
    case.run(state)
    for _ in range(2):
        assert not case.run(state)
    assert {"twin"} <= {noun.name for table in case.introspect(["shop_item"]) for noun in all_objects(table)}


def all_objects(table):
    return (*table.constraints, *table.indexes)
