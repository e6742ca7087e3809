"""Attributes that somebody set by SQL outlive the changes of other things, and so do the values under them."""

import datetime
import hashlib
import uuid

import pytest
from django.db import models

from automigrate_ext import Refused
from tests.acceptance.helper import Case, State, fingerprint, item
from tests.features import need

WHEN = datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


@pytest.fixture
def maria(mariadb):
    return Case(mariadb, "automigrate")


# MariaDB: columns that follow each UPDATE

FILLS = {
    "constant": (models.IntegerField(null=True), models.IntegerField(default=7)),
    "a row each": (models.UUIDField(null=True), models.UUIDField(default=uuid.uuid4)),
    "retyped": (models.IntegerField(null=True), models.CharField(max_length=9, default="x")),
    "cut": (models.CharField(max_length=9, default="long text"), models.CharField(max_length=4, default="x")),
    "written down": (
        models.GeneratedField(expression=models.F("size") + 1, output_field=models.IntegerField(), db_persist=False),
        models.IntegerField(null=True),
    ),
    "new, a row each": (None, models.UUIDField(default=uuid.uuid4)),
}


@pytest.mark.parametrize(("old", "new"), FILLS.values(), ids=FILLS)
@pytest.mark.parametrize("kind", ["datetime(6) NULL", "datetime(6) NOT NULL DEFAULT now(6)", "timestamp(6) NOT NULL"])
def test_column_that_follows_updates_keeps_its_values(maria, kind, old, new):
    fields = {"size": models.IntegerField(), "at": models.DateTimeField(null=True)}
    before, after = item(**fields, **({"value": old} if old else {})), item(**fields, value=new)
    maria.build(before)
    maria.execute(
        f'ALTER TABLE shop_item ADD "by hand" {kind} ON UPDATE current_timestamp(6)',
        'ALTER TABLE shop_item MODIFY "at" datetime(6) NULL DEFAULT NULL ON UPDATE current_timestamp(6)',
    )
    maria.insert(before, {"Item": [{"size": 1, "at": WHEN}, {"size": 2, "at": WHEN}]})
    maria.execute("UPDATE shop_item SET \"by hand\" = '2020-01-01 00:00:00', at = at")
    assert maria.run(after, accept_data_loss=True)
    then = datetime.datetime(2020, 1, 1)
    assert maria.values("shop_item", "by hand", "at") == [(then, WHEN.replace(tzinfo=None))] * 2
    assert not maria.plan(after)


# PostgreSQL: checks that rows were never asked about

UNPROVEN = 'ALTER TABLE shop_item ADD CONSTRAINT "it\'s new" CHECK (size > 5) NOT VALID'


@pytest.fixture
def pg(postgresql):
    return Case(postgresql, "automigrate")


@pytest.mark.parametrize("name", [name for name in FILLS if name != "cut"])
def test_check_not_valid_while_rows_are_filled(pg, name):
    old, new = FILLS[name]
    if name == "written down":
        need(pg.connection, "virtual generated columns")
    size = models.IntegerField()
    before, after = item(size=size, **({"value": old} if old else {})), item(size=size, value=new)
    pg.build(before)
    pg.insert(before, {"Item": [{"size": 1}, {"size": 9}]})
    pg.execute(UNPROVEN)
    wanted = checks(pg)
    pg.update(before, after, built=True, exact=False, altered=["shop_item.value"])
    assert checks(pg) == wanted and "NOT VALID" in wanted[0][1]


def checks(pg):
    return pg.query(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0 ORDER BY 1"
    )


FILLED = {
    "retyped as well": {"size": models.BigIntegerField(), "value": models.IntegerField(default=7)},
    "another name as well": {"weight": models.IntegerField(), "value": models.IntegerField(default=7)},
}


@pytest.mark.parametrize("after", FILLED.values(), ids=FILLED)
def test_check_not_valid_over_a_column_that_changes_too(pg, after):
    before = item(size=models.IntegerField(), value=models.IntegerField(null=True))
    pg.build(before)
    pg.insert(before, {"Item": [{"size": 1}, {"size": 9}]})
    pg.execute(UNPROVEN)
    renames = {"shop.Item.size": "weight"} if "weight" in after else {}
    pg.update(before, item(**after), built=True, exact=False, renames=renames)
    ((name, definition),) = checks(pg)
    assert name == "it's new" and definition.endswith("NOT VALID")


def test_check_not_valid_that_the_models_drop(pg):
    size, check = models.IntegerField(), models.CheckConstraint(condition=models.Q(size__gt=5), name="large")
    before = item(size=size, value=models.IntegerField(null=True), Meta={"constraints": [check]})
    pg.build(before)
    pg.execute(
        "ALTER TABLE shop_item DROP CONSTRAINT large",
        "INSERT INTO shop_item (size) VALUES (1)",
        "ALTER TABLE shop_item ADD CONSTRAINT large CHECK (size > 5) NOT VALID",
    )
    pg.update(before, item(size=size, value=models.IntegerField(default=7)), built=True)
    assert checks(pg) == []


# SQLite: words of a definition that a rebuild has to repeat


@pytest.fixture
def lite(sqlite):
    return Case(sqlite, "automigrate")


WORDS = {
    "conflict clause": '"size" integer NOT NULL ON CONFLICT IGNORE',
    "name of NOT NULL": '"size" integer CONSTRAINT "it\'s ""always""" NOT NULL',
    "name of NULL": '"size" integer CONSTRAINT sometimes NULL',
    "name of a default": '"size" integer CONSTRAINT some DEFAULT 5 NOT NULL',
    "collation": '"size" INTEGER COLLATE BINARY NOT NULL',
    "everything": '"size" Integer CONSTRAINT a NOT NULL ON CONFLICT FAIL CONSTRAINT b DEFAULT (abs(-1))',
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_words_of_a_column(lite, words):
    size = models.IntegerField(null="NULL" in words and "NOT NULL" not in words)
    before = item(name=models.CharField(max_length=20), size=size)
    lite.run(before)
    lite.execute(
        "DROP TABLE shop_item",
        f'CREATE TABLE "shop_item" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, {words}, '
        '"name" varchar(20) NOT NULL)',
    )
    rows = {"Item": [{"name": "a", "size": 1}]}
    lite.update(before, item(name=models.CharField(max_length=40), size=size), rows, built=True, exact=False)
    ((sql,),) = lite.query("SELECT sql FROM sqlite_master WHERE name = 'shop_item'")
    assert f'AUTOINCREMENT, {words}, "name" varchar(40)' in sql


def test_words_of_a_column_that_changes(lite):
    before, after = item(size=models.IntegerField()), item(size=models.IntegerField(null=True))
    lite.build(before)
    lite.execute(
        "DROP TABLE shop_item",
        'CREATE TABLE "shop_item" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, '
        '"size" integer CONSTRAINT always NOT NULL ON CONFLICT IGNORE)',
    )
    lite.update(before, after, {"Item": [{"size": 1}]}, built=True)


def test_order_of_columns(lite):
    fields = {"name": models.CharField(max_length=20), "size": models.IntegerField(), "rank": models.IntegerField()}
    lite.build(item(**fields))
    lite.execute(
        "ALTER TABLE shop_item DROP COLUMN name",
        "ALTER TABLE shop_item ADD COLUMN by_hand integer",
        "ALTER TABLE shop_item ADD COLUMN name varchar(20) NOT NULL DEFAULT ''",
    )
    after = item(first=models.IntegerField(null=True), **{**fields, "rank": models.BigIntegerField()})
    lite.update(item(**fields), after, {"Item": [{"name": "a", "size": 1, "rank": 2}]}, built=True, exact=False)
    names = [row[1] for row in lite.query("PRAGMA table_info(shop_item)")]
    assert names == ["id", "size", "rank", "by_hand", "name", "first"]


def test_index_by_another_name(lite):
    def state(length):
        name = models.CharField(max_length=length, db_index=True)
        return item(name=name, size=models.IntegerField(), Meta={"unique_together": [("name", "size")]})

    lite.build(state(20))
    for (name,) in lite.query("SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'shop_%'"):
        lite.execute(f'DROP INDEX "{name}"')
    made = [
        'CREATE UNIQUE INDEX "by one""self" ON shop_item (name, size)',
        "CREATE INDEX renamed ON shop_item (name ASC)",
    ]
    lite.execute(*made)
    lite.update(state(20), state(40), {"Item": [{"name": "a", "size": 1}]}, built=True)
    assert sorted(sql for (sql,) in lite.query("SELECT sql FROM sqlite_master WHERE type = 'index'") if sql) == sorted(
        made
    )


# MariaDB: engines and indexes


@pytest.mark.parametrize("engine", ["Aria TRANSACTIONAL = 1", "Aria TRANSACTIONAL = 0", "MyISAM"])
@pytest.mark.parametrize("name", FILLS)
def test_rows_of_another_engine(maria, name, engine):
    old, new = FILLS[name]
    fields = {"size": models.IntegerField(), "text": models.CharField(max_length=20)}
    before = item(**fields, **({"value": old} if old else {}))
    maria.build(before)
    maria.execute(f"ALTER TABLE shop_item ENGINE = {engine}")
    value = ", 'long text'" if name == "cut" else ""
    columns = "size, text, value" if value else "size, text"
    maria.execute(f"INSERT INTO shop_item ({columns}) VALUES (1, 'a'{value}), (2, 'b'{value})")
    after = item(size=models.BigIntegerField(), text=models.CharField(max_length=20, unique=True), value=new)
    maria.run(after, accept_data_loss=True)
    maria.assert_settled(after)


def test_rows_of_another_engine_that_forbid_a_change(maria):
    before = item(text=models.CharField(max_length=20))
    maria.build(before)
    maria.execute("ALTER TABLE shop_item ENGINE = Aria TRANSACTIONAL = 1")
    after = item(text=models.CharField(max_length=20, unique=True))
    maria.execute("INSERT INTO shop_item (text) VALUES ('a'), ('a')")
    maria.refused(before, after, {}, "duplicates", built=True)


def indexed(**options):
    thing = models.UniqueConstraint if options.pop("unique", False) else models.Index
    name = models.CharField(max_length=20)
    things = {
        "constraints" if thing is models.UniqueConstraint else "indexes": [thing(fields=["name"], name="by_name")]
    }
    return item(name=name, size=models.IntegerField(), Meta=things)


@pytest.mark.parametrize("before", [indexed(unique=True), indexed()], ids=["unique", "index"])
@pytest.mark.parametrize("options", ["IGNORED", "COMMENT 'it''s ignored' IGNORED"])
def test_ignored_index_in_the_place_of_another(maria, before, options):
    maria.build(before)
    kind = "UNIQUE INDEX" if before["Item"]._meta.constraints else "INDEX"
    maria.execute(f"ALTER TABLE shop_item DROP INDEX by_name, ADD {kind} by_name (name, size) {options}")
    maria.update(before, before, {"Item": [{"name": "a", "size": 1}]}, built=True)
    assert maria.query("SHOW INDEX FROM shop_item WHERE key_name = 'by_name' AND ignored = 'YES'") == []


# All: a collation that the model gives, although it is the one that the column would have anyway

DEFAULT = {"sqlite": "BINARY", "postgresql": "default"}
OTHER = {"sqlite": "NOCASE", "postgresql": "C", "mysql": "utf8mb4_bin"}


def default_collation(case):
    if case.vendor in DEFAULT:
        return DEFAULT[case.vendor]
    ((name,),) = case.query("SELECT @@collation_database")
    return name


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def case(request):
    return Case(request.getfixturevalue(request.param), "syncdb")


@pytest.mark.parametrize("kind", [models.CharField(max_length=20, unique=True), models.TextField(null=True)])
def test_default_collation_that_the_model_names(case, kind):
    def state(collation):
        name = kind.clone()
        name.db_collation = collation
        return item(name=name, size=models.IntegerField())

    wanted, rows = state(default_collation(case)), {"Item": [{"name": "a", "size": 1}]}
    if case.vendor == "mysql" and not kind.max_length:
        rows = {"Item": [{"name": "a" * 300, "size": 1}]}
    case.build(state(OTHER[case.vendor]))
    case.update(wanted, wanted, rows, changes=["Change column shop_item.name"], built=True)


def test_default_collation_that_a_key_names(case):
    def state(collation):
        code = models.CharField(max_length=9, primary_key=True, db_collation=collation)
        shelf = models.ForeignKey("Shelf", models.CASCADE, null=True)
        return State(Shelf={"code": code}, Item={"shelf": shelf}, Book={"bases": ["Item"]})

    wanted = state(default_collation(case))
    case.build(state(OTHER[case.vendor]))
    case.update(wanted, wanted, {"Shelf": [{"code": "a"}], "Item": [{"shelf_id": "a"}]}, built=True)


# MariaDB: a foreign key made by hand, over a column that the models give an index


@pytest.mark.parametrize("prune", [False, True])
@pytest.mark.parametrize("earlier", [True, False], ids=["declared before", "by hand"])
def test_foreign_key_by_hand_over_an_index(maria, earlier, prune):
    def state(**options):
        shelf = models.ForeignKey("Shelf", models.CASCADE, null=True, **options)
        return State(Shelf={}, Item={"shelf": shelf, "size": models.IntegerField()})

    loose = state(db_constraint=False)
    before = state() if earlier else loose
    maria.build(before)
    if earlier:
        ((name,),) = maria.query(
            "SELECT constraint_name FROM information_schema.referential_constraints"
            " WHERE constraint_schema = DATABASE() AND table_name = 'shop_item'"
        )
        maria.execute(f'ALTER TABLE shop_item DROP FOREIGN KEY "{name}"')
    maria.execute("ALTER TABLE shop_item ADD CONSTRAINT by_hand FOREIGN KEY (shelf_id) REFERENCES shop_shelf (id)")
    rows = {"Shelf": [{}], "Item": [{"size": 1, "shelf_id": 1}]}
    maria.update(before, loose, rows, built=True, exact=prune, prune=prune)


# Names of columns that differ in nothing but their case, which MariaDB and SQLite do not tell apart


@pytest.mark.parametrize("name", ["SIZE", "Size"])
def test_default_of_a_column_that_is_spelled_otherwise(case, name):
    if case.vendor == "postgresql":
        pytest.skip("the server tells the spellings apart")
    before = item(size=models.CharField(max_length=9, db_default="x", db_index=True), kept=models.IntegerField())
    case.run(before)
    after = item(size=models.IntegerField(db_column=name, db_index=True), kept=models.IntegerField())
    case.update(before, after, {"Item": [{"size": "5", "kept": 1}]}, built=True)
    case.update(after, item(size=models.IntegerField(db_column=name), kept=models.IntegerField()), built=True)


def test_kept_column_that_is_spelled_otherwise(maria):
    before, without = item(size=models.IntegerField(), other=models.IntegerField()), item(other=models.IntegerField())
    maria.run(before)
    maria.insert(before, {"Item": [{"size": 1, "other": 2}]})
    maria.update(before, without, withheld=["Drop column shop_item.size"], built=True)
    maria.execute("ALTER TABLE shop_item RENAME COLUMN size TO SiZe")
    plan = maria.plan(without)
    assert [judgement.change.describe() for judgement in plan.withheld] == ["Drop column shop_item.SiZe"]


# Rows that came past a check while checks were switched off, which SQLite and MariaDB ask again as they write the rows

POSITIVE = models.CheckConstraint(condition=models.Q(size__gt=0), name="by_hand")
OFF = {"sqlite": "PRAGMA ignore_check_constraints = {}", "mariadb": "SET check_constraint_checks = {}"}


def checked(declared, **fields):
    fields = {"size": models.IntegerField(), "name": models.CharField(max_length=9), **fields}
    spare = fields.pop("spare", models.IntegerField(null=True))
    return item(**fields, spare=spare, Meta={"constraints": [POSITIVE] if declared else []})


@pytest.fixture(params=OFF)
def careless(request):
    """Return a case, and a function that puts in a row which no check is asked about."""
    case = Case(request.getfixturevalue(request.param), "automigrate")

    def put_in():
        off = OFF[request.param]
        number = [1, 0] if request.param == "sqlite" else [0, 1]
        row = "INSERT INTO shop_item (size, name) VALUES (-1, 'a')"
        case.execute(off.format(number[0]), row, off.format(number[1]))

    return case, put_in


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "by hand"])
@pytest.mark.parametrize(
    "change", [{"name": models.TextField()}, {"spare": models.IntegerField(default=3)}], ids=["retyped", "filled"]
)
def test_rows_that_violate_a_check(careless, declared, change):
    case, put_in = careless
    before, after = checked(True), checked(declared, **change)
    case.build(before if declared else checked(True))
    put_in()
    if not declared:
        # The constraint is the models' until they give it up, and goes then: that is no reason to refuse.
        case.update(before, after, built=True)
        return
    case.refused(before, after, {}, "violators", built=True)
    case.execute("UPDATE shop_item SET size = 1")
    case.update(before, after, built=True)


# PostgreSQL: values that are too long for an index

TEXT = models.TextField()
LONG = {
    "index": item(text=models.TextField(db_index=True), size=models.IntegerField()),
    "unique": item(text=models.TextField(unique=True), size=models.IntegerField()),
    "of two columns": item(
        text=TEXT, size=models.IntegerField(), Meta={"indexes": [models.Index(fields=["size", "text"], name="i")]}
    ),
    "covering": item(
        text=TEXT,
        size=models.IntegerField(),
        Meta={"constraints": [models.UniqueConstraint(fields=["size"], include=["text"], name="c")]},
    ),
}


@pytest.mark.parametrize("after", LONG.values(), ids=LONG)
def test_values_too_long_for_an_index(pg, after):
    before = item(text=TEXT, size=models.IntegerField())
    pg.build(before)
    random_text = "".join(chr(33 + (n * n * 7919 + n * 104729) % 40000) for n in range(3000))
    pg.insert(before, {"Item": [{"text": random_text, "size": 1}, {"text": "a" * 100_000, "size": 2}]})
    plan = pg.plan(after)
    assert {hazard.code for judgement in plan.refused for hazard in judgement.hazards} == {"violators"}
    assert {hazard.rows for judgement in plan.refused for hazard in judgement.hazards} == {1}
    trace = fingerprint(pg.connection)
    with pytest.raises(Refused):
        pg.run(after)
    assert fingerprint(pg.connection) == trace
    pg.execute("DELETE FROM shop_item WHERE size = 1")
    pg.update(before, after, built=True)


@pytest.mark.parametrize("length", [2600, 2690, 2750])
def test_values_at_the_limit_of_an_index(pg, length):
    before, after = item(data=models.BinaryField()), item(data=models.BinaryField(unique=True))
    pg.build(before)
    noise = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(100))
    pg.insert(before, {"Item": [{"data": noise[:length]}]})
    if pg.plan(after).refused:
        assert length > 2600
    else:
        pg.update(before, after, built=True)
