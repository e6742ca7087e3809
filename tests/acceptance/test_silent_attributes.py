"""What the models are silent about was set by somebody: no difference, and still there after a change."""

import pytest
from django.db import models
from django.db.models.functions import Now

from tests.acceptance.helper import State, create_models, item
from tests.features import is_mysql, need

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
    after = item(name=models.CharField(max_length=40, unique=True), size=models.IntegerField(null=True))
    case.update(state(), state(), changes=[], built=True)
    case.update(state(), after, ROWS, built=True)
    assert case.values("log", "name") == [("a",)]
    case.insert(after, {"Item": [{"name": "b"}]})
    assert case.values("log", "name") == [("a",), ("b",)]


def test_view_survives(case):
    case.run(state())
    case.execute("CREATE VIEW by_hand AS SELECT id, size FROM shop_item")
    after = item(name=models.CharField(max_length=40, unique=True), size=models.IntegerField(null=True))
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


# What a table made by Django still has, and no model declares any more


class Silent:
    """An attribute that the models before declare, with the words by which it is named and the change that drops it."""

    def __init__(self, field, words, change, *features, table=None):
        self.field, self.words, self.change, self.features, self.table = field, words, change, features, table


SILENT = {
    "number": Silent(
        {"size": models.IntegerField(db_default=5)},
        "default 5 of column shop_item.size",
        "Change column shop_item.size",
    ),
    "text": Silent(
        {"name": models.CharField(max_length=20, db_default="it's")},
        "default 'it''s'",
        "Change column shop_item.name",
    ),
    "function": Silent(
        {"made": models.DateTimeField(db_default=Now(), null=True)}, "default ", "Change column shop_item.made"
    ),
    "comment": Silent(
        {"size": models.IntegerField(db_comment="How big it's")},
        'comment "How big it\'s" of column shop_item.size',
        "Change column shop_item.size",
        "comments",
    ),
    "table comment": Silent(
        {}, "comment 'All items' of table shop_item", "Change table shop_item", "comments", table="All items"
    ),
    "key's comment": Silent(
        {"box": models.ForeignKey("Box", models.CASCADE, null=True, db_comment="Where")},
        "comment 'Where' of column shop_item.box_id",
        "Change column shop_item.box_id",
        "comments",
    ),
}
if hasattr(models, "DB_CASCADE"):
    for action in ("DB_CASCADE", "DB_SET_NULL"):
        words = action.removeprefix("DB_").replace("_", " ")
        SILENT[action] = Silent(
            {"box": models.ForeignKey("Box", getattr(models, action), null=True)},
            f"ON DELETE {words} of foreign key (box_id) to shop_box(id) on shop_item",
            "Drop foreign key (box_id) to shop_box(id)",
        )


def silent_state(more, table=None):
    fields = {
        "name": models.CharField(max_length=20),
        "size": models.IntegerField(),
        "made": models.DateTimeField(null=True),
        "box": models.ForeignKey("Box", models.CASCADE, null=True),
    }
    meta = {"Meta": {"db_table_comment": table}} if table else {}
    return State(Box={}, Item={**fields, **more, **meta})


@pytest.mark.parametrize("name", SILENT)
def test_attribute_that_no_model_declares_any_more(case, name):
    silent = SILENT[name]
    for feature in silent.features:
        need(case.connection, feature)
    before, after = silent_state(silent.field, silent.table), silent_state({})
    create_models(case.connection, before.managed())
    rows = {"Box": [{}], "Item": [{"name": "a", "size": 1, "box_id": 1}]}
    plan = case.update(before, after, rows, changes=[], built=True, exact=False)
    (kept,) = plan.foreign
    # MySQL prints a number as a text.
    words = silent.words.replace("default 5", "default '5'") if is_mysql(case.connection) else silent.words
    assert kept.startswith(words)
    assert plan.as_dict()["foreign"] == [kept]
    assert case.plan(after).foreign == (kept,)
    plan = case.plan(after, prune=True)
    assert plan.foreign == () and plan.changes[0].describe().startswith(silent.change)
    case.update(before, after, built=True, prune=True)
    assert case.plan(after).foreign == ()


def test_collation_that_no_model_declares_any_more(case):
    name = {"sqlite": "NOCASE", "postgresql": "C", "mysql": "utf8mb4_bin"}[case.vendor]

    def collated(collation):
        key = models.CharField(max_length=9, primary_key=True, db_collation=collation)
        text = models.CharField(max_length=20, db_collation=collation)
        box = models.ForeignKey("Box", models.CASCADE, null=True)
        return State(Box={"code": key}, Item={"name": text, "box": box})

    before, after = collated(name), collated(None)
    create_models(case.connection, before.managed())
    rows = {"Box": [{"code": "b"}], "Item": [{"name": "a", "box_id": "b"}]}
    plan = case.update(before, after, rows, changes=[], built=True, exact=False)
    assert f"collation {name} of column shop_item.name" in plan.foreign
    assert f"collation {name} of column shop_box.code" in plan.foreign
    assert len(plan.foreign) == len(set(plan.foreign))
    case.update(before, after, built=True, prune=True)


def test_attributes_of_several_tables_in_one_run(case):
    def state(**options):
        number = models.IntegerField(**options)
        return State(Item={"size": number, "tags": models.ManyToManyField("Tag")}, Tag={"size": number, "rank": number})

    before, after = state(db_default=3), state()
    create_models(case.connection, before.managed())
    plan = case.plan(after)
    default = "'3'" if is_mysql(case.connection) else "3"
    assert plan.foreign == tuple(
        f"default {default} of column {name}" for name in ("shop_item.size", "shop_tag.size", "shop_tag.rank")
    )
    case.update(before, after, built=True, prune=True)


def test_prune_leaves_what_the_models_declare(case):
    need(case.connection, "comments")
    declared = item(size=models.IntegerField(db_default=3, db_comment="x"), Meta={"db_table_comment": "y"})
    case.build(declared)
    assert not case.plan(declared, prune=True)


def test_storage_options_stay(pg):
    state = item(size=models.IntegerField(db_index=True))
    pg.build(state)
    pg.execute("ALTER TABLE shop_item SET (fillfactor = 70)")
    (index,) = pg.introspect(["shop_item"]).tables["shop_item"].indexes
    pg.execute(f'ALTER INDEX "{index.name}" SET (fillfactor = 70)')
    plan = pg.plan(state, prune=True)
    assert not plan and plan.foreign == ()
