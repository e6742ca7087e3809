"""Rows that get a value fire no trigger where the database can hold triggers back; elsewhere the plan names them."""

import itertools
import uuid

import pytest
from django.db import models
from django.db.models import F

from automigrate_ext import run_plan
from automigrate_ext.plan import text
from tests.acceptance.helper import State, item
from tests.features import need


@pytest.fixture
def route():
    """The tables come to be in one way: what fires does not depend on it."""
    return "automigrate"


NAME = models.CharField(max_length=20)
STAMP = models.IntegerField(default=0)
COUNTER = itertools.count(100)
ROWS = {"Item": [{"name": "a"}, {"name": "b"}]}


def number():
    return next(COUNTER)


def thing(**fields):
    return item(name=NAME, stamp=STAMP, **fields)


NULLABLE = thing(size=models.IntegerField(null=True))
LOGGED, STAMPED = 'log "it"', "stamp it"
QUOTED = "log 'it'"


def triggers(vendor, table="shop_item"):
    """Return the statements that make a trigger after and, where it may change the row, one before an update."""
    if vendor == "postgresql":
        return [
            "CREATE TABLE log (name text)",
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN INSERT INTO log VALUES (TG_NAME); RETURN NULL; END $$",
            "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN NEW.stamp = OLD.stamp + 1; RETURN NEW; END $$",
            f'CREATE TRIGGER "log ""it""" AFTER UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION note()',
            f'CREATE TRIGGER "stamp it" BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION stamp()',
        ]
    if vendor == "sqlite":
        return [
            "CREATE TABLE log (name text)",
            f'CREATE TRIGGER "log ""it"""  AFTER UPDATE ON {table} /* kept */ '
            "BEGIN INSERT INTO log VALUES (NEW.name); END",
            f'create trigger if not exists "stamp it" AFTER UPDATE ON {table} WHEN NEW.stamp = OLD.stamp '
            f"BEGIN UPDATE {table} SET stamp = stamp + 1 WHERE id = NEW.id; END",
        ]
    return [
        "CREATE TABLE log (name text)",
        f'CREATE TRIGGER "{QUOTED}" AFTER UPDATE ON {table} FOR EACH ROW INSERT INTO log VALUES (NEW.name)',
        f'CREATE TRIGGER "stamp it" BEFORE UPDATE ON {table} FOR EACH ROW SET NEW.stamp = OLD.stamp + 1',
    ]


def logged(case):
    return [name for (name,) in case.query("SELECT name FROM log")]


def fired(case, plan):
    """Return whether triggers fire on this database; its plan names them either way."""
    (remark,) = plan.remarks
    if case.vendor == "mysql":
        assert remark.fires == (STAMPED, QUOTED)
        assert f"fires the triggers {STAMPED} and {QUOTED}" in remark.effects
        return True
    assert remark.fires == ()
    assert f"does not fire the triggers {LOGGED} and {STAMPED}" in remark.effects
    return False


def update(case, before, after, rows=None, **options):
    """Update with triggers on the table, and check that these fire where the plan says so, and are there afterwards."""
    need(case.connection, "vendor's own")
    case.build(before)
    case.insert(before, ROWS if rows is None else rows)
    case.execute(*triggers(case.vendor))
    texts = definitions(case)
    plan = case.update(before, after, built=True, altered=["shop_item.stamp", "shop_item.size"], **options)
    if fired(case, plan):
        assert logged(case)
    else:
        assert logged(case) == []
        assert {stamp for (stamp,) in case.values("shop_item", "stamp")} == {0}
    assert definitions(case) == texts
    stamps = case.values("shop_item", "stamp")
    case.execute("DELETE FROM log", "UPDATE shop_item SET name = 'c'")
    assert logged(case)
    assert case.values("shop_item", "stamp") == [(stamp + 1,) for (stamp,) in stamps]
    return plan


def definitions(case):
    if case.vendor == "sqlite":
        return case.query("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name")
    if case.vendor == "postgresql":
        return case.query(
            "SELECT tgname, tgenabled::text, pg_get_triggerdef(oid) FROM pg_trigger "
            "WHERE NOT tgisinternal ORDER BY 1, 3"
        )
    return case.query("SELECT trigger_name, action_statement, created FROM information_schema.triggers ORDER BY 1")


FILLS = {
    "NULLs get one value": (NULLABLE, thing(size=models.IntegerField(default=4)), {}),
    "NULLs get a value each": (NULLABLE, thing(size=models.IntegerField(default=number)), {}),
    "NULLs get a value from outside": (
        NULLABLE,
        thing(size=models.IntegerField()),
        {"defaults": {"shop.Item.size": 4}},
    ),
    "NULLs get a value each while the type changes": (
        NULLABLE,
        thing(size=models.BigIntegerField(default=number), more=models.IntegerField(null=True)),
        {},
    ),
    "a new column with a value each": (thing(), thing(token=models.UUIDField(default=uuid.uuid4, unique=True)), {}),
    "a new nullable column with a value each": (
        thing(),
        thing(token=models.UUIDField(default=uuid.uuid4, null=True)),
        {},
    ),
    "two columns": (
        NULLABLE,
        thing(size=models.IntegerField(default=number), token=models.UUIDField(default=uuid.uuid4)),
        {},
    ),
}


@pytest.mark.parametrize("way", FILLS)
def test_fill_does_not_fire(case, way):
    before, after, options = FILLS[way]
    if case.vendor == "sqlite" and way in ("NULLs get one value", "NULLs get a value from outside"):
        pytest.skip("SQLite fills them as it copies the rows, which fires nothing")
    update(case, before, after, **options)


def test_rebuild_of_sqlite_fires_nothing(lite):
    lite.build(NULLABLE)
    lite.insert(NULLABLE, ROWS)
    lite.execute(*triggers("sqlite"))
    texts = definitions(lite)
    after = thing(size=models.IntegerField(default=4))
    plan = lite.update(NULLABLE, after, built=True, altered=["shop_item.size"])
    assert plan.remarks[0].effects == ("rebuilds the table",)
    assert (logged(lite), definitions(lite)) == ([], texts)


def test_default_of_a_new_column_fires_nothing(case):
    """One value for all rows of a new column is its default for a moment, which is no UPDATE."""
    need(case.connection, "vendor's own")
    case.build(thing())
    case.insert(thing(), ROWS)
    case.execute(*triggers(case.vendor))
    plan = case.update(thing(), thing(size=models.IntegerField(default=4)), built=True)
    assert logged(case) == []
    assert all(remark.fires == () for remark in plan.remarks)


def test_nullable_column_with_one_value(case):
    """A literal default that is dropped again, or on SQLite an UPDATE after ADD COLUMN."""
    need(case.connection, "vendor's own")
    case.build(thing())
    case.insert(thing(), ROWS)
    case.execute(*triggers(case.vendor))
    texts = definitions(case)
    case.update(thing(), thing(size=models.IntegerField(null=True, default=4)), built=True)
    assert (logged(case), definitions(case)) == ([], texts)
    assert case.values("shop_item", "size") == [(4,), (4,)]


def test_table_and_column_that_are_renamed_too(case):
    need(case.connection, "vendor's own")
    case.build(NULLABLE)
    case.insert(NULLABLE, ROWS)
    case.execute(*triggers(case.vendor))
    fields = {"name": NAME, "stamp": STAMP, "length": models.IntegerField(default=number)}
    after = State(Thing=fields)
    renames = {"shop.Item": "Thing", "shop.Item.size": "length"}
    plan = case.run(after, renames=renames)
    remarks = {remark.table: remark for remark in plan.remarks}
    if case.vendor == "mysql":
        assert remarks["shop_thing"].fires == (STAMPED, QUOTED)
    else:
        assert logged(case) == []
    assert not case.plan(after, renames=renames)


def test_trigger_of_a_many_to_many_table(case):
    need(case.connection, "vendor's own")
    through = {
        "item": models.ForeignKey("Item", models.CASCADE),
        "tag": models.ForeignKey("Tag", models.CASCADE),
        "stamp": STAMP,
    }

    def state(**more):
        tags = models.ManyToManyField("Tag", through="shop.Link")
        return State(Tag={"name": NAME}, Item={"name": NAME, "tags": tags}, Link={**through, **more})

    before = state()
    case.build(before)
    case.insert(before, {"Tag": [{"name": "t"}], "Item": [{"name": "a"}], "Link": [{"item_id": 1, "tag_id": 1}]})
    statements = [sql.replace("NEW.name", "'x'") for sql in triggers(case.vendor, "shop_link")]
    case.execute(*statements)
    plan = case.update(
        before,
        state(code=models.IntegerField(default=number, unique=True)),
        built=True,
        altered=["shop_link.stamp"],
    )
    assert bool(logged(case)) == fired(case, plan)


def test_triggers_of_other_tables_are_left_alone(case):
    need(case.connection, "vendor's own")

    def state(**fields):
        return State(Box={"name": NAME, "stamp": STAMP}, Item={"name": NAME, **fields})

    case.build(state())
    case.insert(state(), ROWS)
    case.execute(*triggers(case.vendor, "shop_box"))
    plan = case.update(state(), state(token=models.UUIDField(default=uuid.uuid4)), built=True)
    assert not any("riggers" in effect for remark in plan.remarks for effect in remark.effects)
    assert not any("TRIGGER" in statement for statement in plan.statements)


def test_line_in_text_and_json(case):
    need(case.connection, "vendor's own")
    before, after = thing(), thing(token=models.UUIDField(default=uuid.uuid4))
    case.build(before)
    case.insert(before, ROWS)
    case.execute(*triggers(case.vendor))
    plan = case.plan(after)
    (line,) = [str(line) for line in text.lines(plan) if str(line).startswith("  #")]
    (remark,) = plan.as_dict()["remarks"]
    if case.vendor == "mysql":
        assert "(2 rows), updates rows, " in line and line.endswith(f"fires the triggers {STAMPED} and {QUOTED}")
        assert remark["fires"] == [STAMPED, QUOTED]
    else:
        assert f"does not fire the triggers {LOGGED} and {STAMPED}" in line
        assert remark["fires"] == []


# PostgreSQL


def test_states_of_triggers_come_back(pg):
    before, after = thing(), thing(token=models.UUIDField(default=uuid.uuid4))
    pg.build(before)
    pg.insert(before, ROWS)
    pg.execute(*triggers("postgresql"))
    for name in ("always", "replica", "disabled", "statement"):
        scope = "STATEMENT" if name == "statement" else "ROW"
        pg.execute(f"CREATE TRIGGER by_{name} AFTER UPDATE ON shop_item FOR EACH {scope} EXECUTE FUNCTION note()")
    pg.execute(
        "CREATE CONSTRAINT TRIGGER by_deferral AFTER UPDATE ON shop_item DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION note()",
        "ALTER TABLE shop_item ENABLE ALWAYS TRIGGER by_always, ENABLE REPLICA TRIGGER by_replica, "
        "DISABLE TRIGGER by_disabled",
    )
    states = definitions(pg)
    assert {state for _, state, _ in states} == set("OARD")
    plan = pg.update(before, after, built=True)
    assert (logged(pg), definitions(pg)) == ([], states)
    assert "by_disabled" not in plan.sql()


def test_rules_do_not_rewrite_the_fill(pg):
    after = thing(size=models.IntegerField(default=number))
    pg.build(NULLABLE)
    pg.insert(NULLABLE, ROWS)
    pg.execute(
        "CREATE TABLE log (name text)",
        'CREATE RULE "a ""rule""" AS ON UPDATE TO shop_item DO ALSO INSERT INTO log VALUES (NEW.name)',
        "CREATE RULE nothing AS ON UPDATE TO shop_item WHERE OLD.name = 'a' DO INSTEAD NOTHING",
        "ALTER TABLE shop_item ENABLE ALWAYS RULE nothing",
    )
    query = "SELECT rulename, ev_enabled::text FROM pg_rewrite WHERE ev_class = 'shop_item'::regclass ORDER BY 1"
    states = pg.query(query)
    pg.update(NULLABLE, after, built=True, altered=["shop_item.size"])
    assert (logged(pg), pg.query(query)) == ([], states)


@pytest.mark.parametrize("kind", ["partitions", "inheritance"])
def test_triggers_of_tables_with_the_rows(pg, kind):
    after = item(id=models.IntegerField(primary_key=True), stamp=STAMP, size=models.IntegerField(default=4))
    columns = "(id integer NOT NULL PRIMARY KEY, stamp integer NOT NULL, size integer)"
    if kind == "partitions":
        pg.execute(
            f"CREATE TABLE shop_item {columns} PARTITION BY RANGE (id)",
            "CREATE TABLE part PARTITION OF shop_item FOR VALUES FROM (0) TO (10)",
        )
    else:
        pg.execute(f"CREATE TABLE shop_item {columns}", "CREATE TABLE part (PRIMARY KEY (id)) INHERITS (shop_item)")
    pg.execute(*triggers("postgresql"), "CREATE TRIGGER own AFTER UPDATE ON part EXECUTE FUNCTION note()")
    pg.execute("CREATE TRIGGER own_each AFTER UPDATE ON part FOR EACH ROW EXECUTE FUNCTION note()")
    pg.execute("ALTER TABLE part ENABLE ALWAYS TRIGGER own_each")
    pg.execute("INSERT INTO part (id, stamp, size) VALUES (1, 0, NULL), (2, 0, NULL)", "UPDATE part SET stamp = 0")
    pg.execute("DELETE FROM log")
    states = definitions(pg)
    stamps = pg.values("shop_item", "stamp")
    plan = pg.run(after)
    assert any(" ONLY part " in sql and "ENABLE ALWAYS TRIGGER own_each" in sql for sql in plan.statements)
    assert (logged(pg), definitions(pg)) == ([], states)
    assert pg.values("shop_item", "stamp", "size") == [(stamp, 4) for (stamp,) in stamps]
    assert not pg.plan(after)


def test_values_that_were_computed_are_written_down_in_silence(pg):
    need(pg.connection, "virtual generated columns")
    twice = models.GeneratedField(expression=F("stamp") * 2, output_field=models.IntegerField(), db_persist=False)
    before, after = thing(twice=twice), thing(twice=models.IntegerField())
    pg.build(before)
    pg.insert(before, ROWS)
    pg.execute(*triggers("postgresql"))
    states = definitions(pg)
    pg.update(before, after, built=True)
    assert (logged(pg), definitions(pg)) == ([], states)


def test_run_that_fails_leaves_triggers_as_they_were(pg):
    def fails():
        raise ValueError("no value")

    pg.build(NULLABLE)
    pg.insert(NULLABLE, ROWS)
    pg.execute(*triggers("postgresql"))
    states = definitions(pg)
    with pytest.raises(Exception, match="no value"):
        pg.run(thing(size=models.IntegerField(default=fails)))
    assert (logged(pg), definitions(pg)) == ([], states)


# MariaDB


@pytest.fixture
def maria(mariadb):
    from tests.acceptance.helper import Case

    need(mariadb, "vendor's own")
    return Case(mariadb, "automigrate")


@pytest.mark.parametrize("default", ["NOT NULL DEFAULT '2001-01-01'", "NULL DEFAULT NULL", "NULL DEFAULT '2001-01-01'"])
@pytest.mark.parametrize("way", ["NULLs get one value", "NULLs get a value each", "a new column with a value each"])
def test_columns_that_the_server_stamps_keep_their_values(maria, way, default):
    before, after, options = FILLS[way]
    maria.build(before)
    maria.execute(f'ALTER TABLE shop_item ADD COLUMN "seen at" timestamp {default} ON UPDATE current_timestamp()')
    maria.insert(before, ROWS)
    seen = maria.values("shop_item", "seen at")
    maria.update(before, after, built=True, exact=False, altered=["shop_item.size"], **options)
    assert maria.values("shop_item", "seen at") == seen
    maria.execute("UPDATE shop_item SET name = 'c'")
    assert maria.values("shop_item", "seen at") != seen


def test_texts_that_are_cut_off(maria):
    before, after = thing(), item(name=models.CharField(max_length=2), stamp=STAMP)
    maria.build(before)
    maria.execute(
        "ALTER TABLE shop_item ADD COLUMN seen timestamp NOT NULL DEFAULT '2001-01-01' ON UPDATE current_timestamp()"
    )
    maria.insert(before, {"Item": [{"name": "abc"}]})
    maria.execute(*triggers("mysql"))
    seen = maria.values("shop_item", "seen")
    plan = maria.run(after, accept_data_loss=True)
    assert fired(maria, plan)
    assert maria.values("shop_item", "name", "seen") == [("ab", *seen[0])]


def test_values_that_were_computed_with_a_stamp(maria):
    twice = models.GeneratedField(expression=F("stamp") * 2, output_field=models.IntegerField(), db_persist=False)
    before, after = thing(twice=twice), thing(twice=models.IntegerField())
    maria.build(before)
    maria.execute(
        "ALTER TABLE shop_item ADD COLUMN seen timestamp NOT NULL DEFAULT '2001-01-01' ON UPDATE current_timestamp()"
    )
    maria.insert(before, ROWS)
    seen = maria.values("shop_item", "seen")
    maria.update(before, after, built=True, exact=False)
    assert maria.values("shop_item", "seen") == seen


# Ways of carrying a plan out


@pytest.mark.parametrize("way", ["NULLs get a value each", "a new column with a value each", "two columns"])
def test_script_of_the_plan(case, way):
    need(case.connection, "vendor's own")
    before, after, _ = FILLS[way]
    case.build(before)
    case.insert(before, ROWS)
    case.execute(*triggers(case.vendor))
    texts = definitions(case)
    script = case.plan(after).sql()
    if case.vendor == "sqlite":
        case.connection.connection.executescript(script)
    elif case.vendor == "postgresql":
        case.execute(script)
    else:
        case.backend.run_script(script)
    assert definitions(case) == texts
    assert bool(logged(case)) == (case.vendor == "mysql")
    assert not case.plan(after)


def test_saved_plan(case):
    need(case.connection, "vendor's own")
    before, after, _ = FILLS["two columns"]
    case.build(before)
    case.insert(before, ROWS)
    case.execute(*triggers(case.vendor))
    saved = case.plan(after).as_json()
    run_plan(saved, apps=after.apps)
    assert bool(logged(case)) == (case.vendor == "mysql")
    assert not case.plan(after)


def test_no_transaction_ends_while_triggers_are_disabled(pg, monkeypatch):
    def state(**fields):
        return State(**{f"Item{number}": {"name": NAME, "stamp": STAMP, **fields} for number in range(4)})

    before, after = state(size=models.IntegerField(null=True)), state(size=models.IntegerField(default=number))
    pg.build(before)
    pg.insert(before, {f"Item{number}": [{"name": "a"}] for number in range(4)})
    for made in triggers("postgresql", "shop_item0")[:3]:
        pg.execute(made)
    for table in range(4):
        pg.execute(f"CREATE TRIGGER t AFTER UPDATE ON shop_item{table} FOR EACH ROW EXECUTE FUNCTION note()")
    monkeypatch.setattr("automigrate_ext.backends.postgresql.session.PostgreSQLSession.lock_budget", lambda self: 12)
    batches = []
    run = type(pg.backend).run
    monkeypatch.setattr(type(pg.backend), "run", lambda self, steps: batches.append(steps) or run(self, steps))
    pg.run(after)
    assert logged(pg) == []
    texts = ["\n".join(step.sql for step in batch) for batch in batches]
    disabling = [text for text in texts if "DISABLE TRIGGER" in text]
    assert len(disabling) > 1
    assert all(text.count("DISABLE TRIGGER") == text.count("ENABLE TRIGGER") for text in disabling)
    assert {state for _, state, _ in definitions(pg)} == {"O"}
