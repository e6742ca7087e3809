"""Online runs beside the work of others: nothing that they write is lost, and nobody waits for long."""

import json
import threading
import time
import uuid
from contextlib import closing, contextmanager, suppress

import psycopg
import pytest
from django.db import models, transaction
from django.db.models import Q

from automigrate_ext import ExecutionFailed, LockNotAvailable, autoupdate, make_plan, run_plan
from automigrate_ext.backends.postgresql.online_session import PostgreSQLOnline
from automigrate_ext.backends.postgresql.session import RUN_KEY
from automigrate_ext.run import stages
from tests.acceptance.helper import Case, State, item
from tests.acceptance.test_online import (
    AFTER_ALL,
    BEFORE_ALL,
    CASES,
    CHANGES,
    NAME,
    PLAIN,
    REMNANTS,
    ROWS,
    ROWS_ALL,
    SIZE,
    recorded,
    with_constraint,
    with_index,
)
from tests.acceptance.test_scripts import psql

pytestmark = pytest.mark.timeout(180)

INDEXED = with_index(models.Index(fields=["size"], name="i"))
CHECKED = with_constraint(models.CheckConstraint(condition=Q(size__gt=0), name="c"))


@pytest.fixture
def case(postgresql):
    return Case(postgresql, "automigrate")


@pytest.fixture
def filled(case):
    recorded(case, PLAIN)
    case.insert(PLAIN, ROWS)
    return case


def parameters(case):
    given = {**case.connection.get_connection_params(), "application_name": "importer"}
    names = ("dbname", "user", "password", "host", "port", "application_name")
    return {name: given[name] for name in names if name in given}


@contextmanager
def another(case, **options):
    """Another session on the same database."""
    with closing(psycopg.connect(**parameters(case), **options)) as other:
        yield other


@contextmanager
def as_sent(case, words, act, *, after=False):
    """Call a function once, as a statement with these words is sent, or once it is over."""
    left = [act]

    def wrapper(execute, sql, params, many, context):
        hits = left and all(word in sql for word in words)
        if hits and not after:
            left.pop()()
        result = execute(sql, params, many, context)
        if hits and after:
            left.pop()()
        return result

    with case.connection.execute_wrapper(wrapper):
        yield
    assert not left, "no statement has these words"


@pytest.fixture
def hasty(monkeypatch):
    """Attempts that follow each other at once."""
    monkeypatch.setattr(stages, "PAUSES", (0.01, 0.02))


# Writers


class Writer(threading.Thread):
    """Puts rows in and counts them up, as the models were before; counts what the server has acknowledged."""

    def __init__(self, case, number):
        super().__init__()
        self.parameters = parameters(case)
        self.number = number
        self.over = threading.Event()
        self.inserted, self.counted, self.slowest = 0, 0, 0.0
        self.error = None

    def run(self):
        try:
            with closing(psycopg.connect(**self.parameters, autocommit=True)) as session:
                while not self.over.is_set():
                    began = time.perf_counter()
                    session.execute(
                        "INSERT INTO shop_item (name, size, code, group_id) VALUES ('w', 1, %s, 1)",
                        [f"{self.number}-{self.inserted}"],
                    )
                    self.inserted += 1
                    session.execute("UPDATE shop_item SET size = size + 1 WHERE code = %s", [f"c{self.number + 1}"])
                    self.counted += 1
                    self.slowest = max(self.slowest, time.perf_counter() - began)
        except Exception as error:
            self.error = error


#: Models that those before can live with: what they do not name has a default.
AFTER_SAFE = State(
    Group={"name": NAME},
    Item={
        "name": models.CharField(max_length=30, default="x"),
        "size": models.BigIntegerField(null=True) if False else models.IntegerField(default=lambda: 5),
        "code": models.CharField(max_length=10),
        "note": models.UUIDField(null=True),
        "rank": models.IntegerField(db_default=3),
        "chance": models.FloatField(db_default=models.functions.Random()),
        "group": models.ForeignKey("Group", models.CASCADE),
        "Meta": {
            "constraints": [
                models.UniqueConstraint(fields=["code"], name="u"),
                models.UniqueConstraint(fields=["code", "size"], name="v"),
                models.CheckConstraint(condition=Q(size__gt=0), name="c"),
            ],
            "indexes": [models.Index(fields=["name"], name="i")],
        },
    },
    Old={"name": NAME},
)


def test_nothing_is_lost_that_others_write(case):
    recorded(case, BEFORE_ALL)
    case.insert(BEFORE_ALL, ROWS_ALL)
    case.execute(
        "INSERT INTO shop_item (name, size, code, group_id) "
        "SELECT NULL, nullif(n % 3, 0), 'n' || n, 1 FROM generate_series(1, 5000) n"
    )
    writers = [Writer(case, number) for number in range(4)]
    for writer in writers:
        writer.start()
    try:
        time.sleep(0.3)
        case.run(AFTER_SAFE, online=True, batch_size=200)
        time.sleep(0.3)
    finally:
        for writer in writers:
            writer.over.set()
            writer.join()
    assert [writer.error for writer in writers] == [None] * 4
    for number, writer in enumerate(writers):
        assert writer.inserted > 10
        assert case.query(f"SELECT count(*) FROM shop_item WHERE code LIKE '{number}-%'") == [(writer.inserted,)]
        found = case.query(f"SELECT size FROM shop_item WHERE code = 'c{number + 1}'")
        assert found == [(number + 1 + writer.counted,)]
    assert case.query("SELECT count(*) FROM shop_item WHERE name IS NULL OR size IS NULL OR chance IS NULL") == [(0,)]
    assert case.query(REMNANTS) == []
    case.assert_settled(AFTER_SAFE)


def test_value_that_somebody_else_has_written_stays(case):
    before = item(name=models.CharField(max_length=20, null=True), size=SIZE)
    after = item(name=models.CharField(max_length=20, default=lambda: "drawn"), size=SIZE)
    recorded(case, before)
    case.insert(before, {"Item": [{"name": None, "size": n} for n in range(3)]})

    def write():
        with another(case, autocommit=True) as other:
            other.execute("UPDATE shop_item SET name = 'written' WHERE size = 1")

    with as_sent(case, ["UPDATE", "given.value"], write):
        case.run(after, online=True)
    assert case.values("shop_item", "name") == [("drawn",), ("drawn",), ("written",)]
    case.assert_settled(after)


@pytest.mark.parametrize("default", ["x", lambda: "y"], ids=["constant", "per row"])
def test_row_that_is_put_in_after_the_fill_is_filled_too(case, default):
    before = item(name=models.CharField(max_length=20, null=True), size=models.IntegerField(null=True))
    after = item(name=models.CharField(max_length=20, default=default), size=models.IntegerField(default=lambda: 4))
    recorded(case, before)
    case.insert(before, {"Item": [{"name": None, "size": None}]})

    def put_in():
        with another(case, autocommit=True) as other:
            other.execute("INSERT INTO shop_item (name, size) VALUES (NULL, NULL)")

    with as_sent(case, ["NOT NULL", "NOT VALID"], put_in):
        case.run(after, online=True)
    assert case.values("shop_item", "size") == [(4,), (4,)]
    assert len(set(case.values("shop_item", "name"))) == 1
    case.assert_settled(after)


@pytest.mark.parametrize("null", [False, True])
def test_fill_ends_although_rows_are_put_in_all_the_while(case, null):
    after = item(name=NAME, size=SIZE, code=models.UUIDField(default=uuid.uuid4, null=null))
    recorded(case, PLAIN)
    case.insert(PLAIN, {"Item": [{"name": "a", "size": n} for n in range(9)]})
    batches = []
    with another(case, autocommit=True) as other:

        def put_in(execute, sql, params, many, context):
            if sql.startswith("UPDATE"):
                batches.append(sql)
                assert len(batches) < 20
                # Before PostgreSQL 18 a check holds new rows to it in the meantime.
                with suppress(psycopg.errors.NotNullViolation, psycopg.errors.CheckViolation):
                    other.execute("INSERT INTO shop_item (name, size) VALUES ('late', 0)")
            return execute(sql, params, many, context)

        with case.connection.execute_wrapper(put_in):
            case.run(after, online=True, batch_size=3)
    missing = case.query("SELECT count(*) FROM shop_item WHERE code IS NULL AND name <> 'late'")
    assert missing == [(0,)]
    case.assert_settled(after)


def test_value_that_turns_up_in_a_column_that_goes(case):
    before = item(name=NAME, size=SIZE, gone=models.IntegerField(null=True, db_default=None))
    recorded(case, before)
    case.insert(before, ROWS)

    def write():
        with another(case, autocommit=True) as other:
            other.execute("UPDATE shop_item SET gone = 7 WHERE size = 1")

    with as_sent(case, ["ADD CONSTRAINT", "IS NULL"], write), pytest.raises(ExecutionFailed):
        case.run(PLAIN, online=True)
    plan = case.run(PLAIN, online=True)
    assert [judgement.change.describe() for judgement in plan.withheld] == ["Drop column shop_item.gone"]
    assert case.values("shop_item", "gone") == [(None,), (None,), (7,)]
    assert case.query(REMNANTS) == []
    case.assert_settled(PLAIN, exact=False)


def test_row_that_turns_up_in_a_table_that_goes(case):
    before = State(Item={"name": NAME}, Old={"name": NAME})
    after = State(Item={"name": NAME})
    recorded(case, before)

    def write():
        with another(case, autocommit=True) as other:
            other.execute("INSERT INTO shop_old (name) VALUES ('late')")

    with as_sent(case, ["LOCK TABLE"], write), pytest.raises(ExecutionFailed, match="1 row"):
        case.run(after, online=True)
    assert case.values("shop_old", "name") == [("late",)]


def test_unique_index_over_duplicates_that_turn_up(case):
    recorded(case, PLAIN)
    case.insert(PLAIN, ROWS)
    after = item(name=NAME, size=models.IntegerField(unique=True))

    def write():
        with another(case, autocommit=True) as other:
            other.execute("INSERT INTO shop_item (name, size) VALUES ('twice', 1)")

    with as_sent(case, ["CREATE UNIQUE INDEX"], write), pytest.raises(ExecutionFailed):
        case.run(after, online=True)
    assert case.query(REMNANTS) == []
    plan = case.plan(after)
    assert [hazard.code for judgement in plan.refused for hazard in judgement.hazards] == ["duplicates"]
    case.execute("DELETE FROM shop_item WHERE name = 'twice'")
    case.run(after, online=True)
    case.assert_settled(after)


def test_rows_that_violate_what_an_interrupted_run_has_added(case):
    recorded(case, PLAIN)
    case.insert(PLAIN, ROWS)

    def stop():
        with another(case, autocommit=True) as other:
            other.execute("INSERT INTO shop_item (name, size) VALUES ('bad', -1)")

    with as_sent(case, ["ADD CONSTRAINT", "NOT VALID"], stop), pytest.raises(ExecutionFailed):
        case.run(CHECKED, online=True)
    for online in (True, False):
        plan = case.plan(CHECKED, online=online)
        assert [hazard.code for judgement in plan.refused for hazard in judgement.hazards] == ["violators"]
    case.execute("DELETE FROM shop_item WHERE size < 0")
    case.run(CHECKED)
    assert case.query(REMNANTS) == []
    case.assert_settled(CHECKED)


@pytest.mark.timeout(900)
def test_session_that_ends_at_any_statement(case):
    """The next run finishes, as after `kill -9`: the server undoes what was not committed, and lets go of the locks."""
    number, is_over = 0, False
    while not is_over:
        number += 1
        recorded(case, BEFORE_ALL)
        case.insert(BEFORE_ALL, ROWS_ALL)
        try:
            with ending_at(case, number, []):
                case.run(AFTER_ALL, online=True, batch_size=2)
            is_over = True
        except ExecutionFailed as error:
            assert "connection" in str(error)
            case.connection.close()
        case.run(AFTER_ALL, online=True)
        assert case.query(REMNANTS) == [], number
        for column in ("key", "chance", "maybe", "perhaps"):
            assert len({value for (value,) in case.values("shop_item", column)} - {None}) == 5, (number, column)
        case.assert_settled(AFTER_ALL)
        case.drop(AFTER_ALL)
        case.execute("DROP TABLE automigrate_ext_owned")
    assert number > 20


def ending_at(case, number, sent):
    """End the session before a statement that changes something, by its number; collect those that are sent."""

    def end_session(execute, sql, params, many, context):
        if sql.startswith(CHANGES) and "pg_temp" not in sql and "automigrate_ext" not in sql:
            sent.append(sql)
            if len(sent) == number:
                with another(case, autocommit=True) as other:
                    pid = case.connection.connection.info.backend_pid
                    other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        return execute(sql, params, many, context)

    return case.connection.execute_wrapper(end_session)


OUTSIDE_KEYS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE contype = 'f' AND confrelid = 'shop_shelf'::regclass ORDER BY 1
"""


@pytest.mark.parametrize("online", [True, False], ids=["online", "ordinary"])
def test_foreign_keys_of_tables_outside_are_put_back_by_the_next_run(case, online):
    """Of a table that no model has, and of one whose model is not among those of the run."""

    def state(key):
        return State(Shelf={"id": key, "name": NAME}, Book={"shelf": models.ForeignKey("Shelf", models.CASCADE)})

    before, after = state(models.AutoField(primary_key=True)), state(models.BigAutoField(primary_key=True))
    number, is_over = 0, False
    while not is_over:
        number += 1
        recorded(case, before)
        case.insert(before, {"Shelf": [{"name": "s"}], "Book": [{"shelf_id": 1}]})
        case.execute(
            "CREATE TABLE theirs (shelf integer REFERENCES shop_shelf ON DELETE CASCADE DEFERRABLE)",
            "INSERT INTO theirs VALUES (1)",
        )
        wanted = case.query(OUTSIDE_KEYS)
        try:
            with ending_at(case, number, []):
                autoupdate("Shelf", using=case.alias, apps=after.apps, online=True)
            is_over = True
        except ExecutionFailed:
            case.connection.close()
        autoupdate("Shelf", using=case.alias, apps=after.apps, online=online)
        assert case.query(OUTSIDE_KEYS) == wanted, number
        assert not make_plan("Shelf", using=case.alias, apps=after.apps)
        record = case.query("SELECT * FROM automigrate_ext_owned")
        assert "theirs" not in str([row for row in record if not row[0].startswith("run ")])
        case.run(after, online=online)
        case.assert_settled(after)
        case.execute("DROP TABLE theirs")
        case.drop(after)
        case.execute("DROP TABLE automigrate_ext_owned")
    assert number > 5


# Made by hand


def test_what_is_not_valid_by_hand_is_left_alone(filled):
    filled.execute(
        "ALTER TABLE shop_item ADD CONSTRAINT mine CHECK (size > 1) NOT VALID",
        "ALTER TABLE shop_item ADD CONSTRAINT c CHECK (size > 0) NOT VALID",
        "CREATE INDEX spoilt ON shop_item (name)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'spoilt'::regclass",
    )
    after = item(
        name=NAME,
        size=SIZE,
        more=models.IntegerField(default=lambda: 3),
        Meta={"constraints": [models.CheckConstraint(condition=Q(size__gt=0), name="c")]},
    )
    filled.run(after, online=True)
    assert sorted(filled.query(REMNANTS)) == [("c",), ("mine",), ("spoilt",)]
    assert filled.values("shop_item", "more") == [(3,)] * 3


# Locks


def test_claimed_locks_are_those_that_are_taken(case, monkeypatch):
    # So that locks can be seen after the statement that takes them.
    monkeypatch.setattr(PostgreSQLOnline, "at_once", PostgreSQLOnline.transaction)
    recorded(case, BEFORE_ALL)
    case.insert(BEFORE_ALL, ROWS_ALL)
    plan = case.plan(AFTER_ALL, online=True)
    claimed = {step.sql: step.manner.lock.replace(" ", "") + "Lock" for step in plan.online if step.manner.lock}
    taken = {}
    with another(case, autocommit=True) as other, case.connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()

        def wrapper(execute, sql, params, many, context):
            result = execute(sql, params, many, context)
            if sql in claimed and "CONCURRENTLY" not in sql:
                modes = other.execute(
                    "SELECT mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation "
                    "WHERE pid = %s AND c.relkind = 'r' AND c.relname LIKE 'shop%%' AND granted",
                    [pid],
                ).fetchall()
                taken[sql] = {mode for (mode,) in modes}
            return result

        with case.connection.execute_wrapper(wrapper):
            case.run(AFTER_ALL, online=True)
    assert len(taken) > 10
    strengths = ["RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareRowExclusiveLock", "AccessExclusiveLock"]
    for sql, modes in taken.items():
        strongest = max((mode for mode in modes if mode in strengths), key=strengths.index)
        assert strongest.upper() == claimed[sql].upper(), sql


def test_run_waits_and_goes_on(filled, hasty):
    said = []
    with another(filled) as other:
        other.execute("SELECT FROM shop_item")

        def hear(words):
            said.append(words)
            other.close()

        after = item(name=NAME, size=SIZE, more=models.IntegerField(null=True))
        filled.run(after, online=True, lock_timeout=0.05, notify=hear)
    assert "importer" in said[0] and "SELECT FROM shop_item" in said[0] and "ADD COLUMN" in said[0]
    filled.assert_settled(after)


def test_step_that_never_gets_its_lock(filled, hasty):
    after = item(
        name=NAME,
        size=SIZE,
        more=models.IntegerField(null=True),
        Meta={"indexes": [models.Index(fields=["size"], name="i")]},
    )
    after_more = State(Item={"name": NAME, "size": SIZE, "more": models.IntegerField(null=True)}, Other={"name": NAME})
    with another(filled) as other:
        other.execute("SELECT FROM shop_item")
        with pytest.raises(LockNotAvailable) as caught:
            filled.run(after_more, online=True, lock_timeout=0.05)
    assert "importer" in str(caught.value)
    assert "Of the 2 statements 1 are done, and stay" in str(caught.value)
    assert "CREATE TABLE" in caught.value.applied[0] and "ADD COLUMN" in caught.value.pending[0]
    filled.run(after, online=True)
    filled.assert_settled(after, exact=True)


def test_index_waits_for_old_transactions(filled, hasty, monkeypatch):
    monkeypatch.setattr("automigrate_ext.backends.postgresql.online_session.PATIENCE_BESIDE", 2)
    with another(filled) as other:
        other.execute("UPDATE shop_item SET size = size WHERE size = 1")
        with pytest.raises(LockNotAvailable, match=r"within 0\.1 s.*importer"):
            filled.run(INDEXED, online=True, lock_timeout=0.05)
    filled.run(INDEXED, online=True)
    assert filled.query(REMNANTS) == []
    filled.assert_settled(INDEXED)


def test_other_runs_are_kept_out_until_the_end(filled):
    tried = []

    def try_lock():
        with another(filled, autocommit=True) as other:
            tried.append(other.execute("SELECT pg_try_advisory_lock(%s)", [RUN_KEY]).fetchone())

    with as_sent(filled, ["CREATE INDEX CONCURRENTLY"], try_lock):
        filled.run(INDEXED, online=True)
    try_lock()
    assert tried == [(False,), (True,)]


def test_session_that_is_another_one_by_now(filled):
    def take_away():
        with filled.connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock_all()")

    away = as_sent(filled, ["ADD CONSTRAINT"], take_away, after=True)
    with away, pytest.raises(ExecutionFailed, match="pooler"):
        filled.run(CHECKED, online=True)


def test_inside_a_transaction(filled):
    with pytest.raises(ExecutionFailed, match="outside of atomic"), transaction.atomic(using=filled.alias):
        filled.run(INDEXED, online=True)


SETTINGS = "SELECT name, setting FROM pg_settings WHERE name ~ '_timeout$|_role$|^synchronous_commit$'"


def test_settings_of_the_session_are_what_they_were(filled):
    filled.execute("SET statement_timeout = '90s'", "SET synchronous_commit = 'local'")
    before = filled.query(SETTINGS)
    filled.run(INDEXED, online=True, lock_timeout=7)
    assert filled.query(SETTINGS) == before


SLOW = """
CREATE FUNCTION slow(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(0.25); RETURN $1; END $$
"""


@pytest.mark.parametrize("way", ["CREATE INDEX CONCURRENTLY", "VALIDATE"])
def test_statement_timeout_is_not_for_long_statements(case, way):
    field = models.F("size")
    slow = models.Func(field, function="slow", output_field=models.IntegerField())
    after = {
        "CREATE INDEX CONCURRENTLY": with_index(models.Index(slow, name="i")),
        "VALIDATE": with_constraint(models.CheckConstraint(condition=models.lookups.GreaterThan(slow, 0), name="c")),
    }[way]
    recorded(case, PLAIN)
    case.insert(PLAIN, ROWS)
    case.execute(SLOW, "SET statement_timeout = '500ms'")
    plan = case.run(after, online=True)
    assert any(way in step.sql for step in plan.online)
    case.execute("SET statement_timeout = 0", "DROP TABLE shop_item", "DROP FUNCTION slow")


# Triggers

LOG = """
CREATE TABLE log (what text);
CREATE FUNCTION log_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO log VALUES (TG_OP); RETURN NEW; END $$;
CREATE TRIGGER log_it AFTER UPDATE ON shop_item FOR EACH ROW EXECUTE FUNCTION log_it();
"""


@pytest.mark.parametrize("state", ["", "ALWAYS "])
def test_triggers(case, state):
    before = item(name=models.CharField(max_length=20, null=True), size=SIZE)
    after = item(name=models.CharField(max_length=20, default="x"), size=SIZE)
    recorded(case, before)
    case.insert(before, {"Item": [{"name": None, "size": 1}]})
    case.execute(LOG, f"ALTER TABLE shop_item ENABLE {state}TRIGGER log_it")
    plan = case.plan(after, online=True)
    assert plan.remarks[0].fires == (("log_it",) if state else ())
    assert ("fires the trigger log_it" in plan.remarks[0].effects) == bool(state)
    case.run(after, online=True)
    assert case.query("SELECT count(*) FROM log") == [(1 if state else 0,)]
    case.execute("DROP TABLE log", "DROP FUNCTION log_it CASCADE")


def test_rule_that_is_always_in_force_rewrites_no_fill(case):
    before = item(name=models.CharField(max_length=20, null=True), size=SIZE)
    after = item(name=models.CharField(max_length=20, default="x"), size=SIZE)
    recorded(case, before)
    case.insert(before, {"Item": [{"name": None, "size": 1}]})
    case.execute(
        "CREATE RULE nothing AS ON UPDATE TO shop_item WHERE OLD.size = 1 DO INSTEAD NOTHING",
        "ALTER TABLE shop_item ENABLE ALWAYS RULE nothing",
    )
    (refused,) = case.plan(after, online=True, rewrite_limit=0).refused
    assert "the rule nothing" in str(refused.hazards[0])
    case.run(after, online=True)
    assert case.values("shop_item", "name") == [("x",)]
    case.assert_settled(after)


# What is shown


def test_script(case, tmp_path):
    recorded(case, BEFORE_ALL)
    case.insert(BEFORE_ALL, ROWS_ALL)
    path = tmp_path / "online.sql"
    path.write_text(case.plan(AFTER_ALL, online=True).sql())
    case.connection.close()
    psql(case.connection, path)
    assert case.query(REMNANTS) == []
    case.assert_settled(AFTER_ALL)


@pytest.mark.parametrize("name", CASES)
def test_script_of_a_case(case, name, tmp_path):
    before, after, _ = CASES[name]
    recorded(case, before)
    case.insert(before, ROWS)
    path = tmp_path / "online.sql"
    path.write_text(case.plan(after, online=True).sql())
    case.connection.close()
    psql(case.connection, path)
    assert case.query(REMNANTS) == []
    case.assert_settled(after)


def test_saved_plan(case):
    recorded(case, BEFORE_ALL)
    case.insert(BEFORE_ALL, ROWS_ALL)
    saved = json.loads(make_plan(using=case.alias, apps=AFTER_ALL.apps, online=True).as_json())
    assert saved["request"]["online"] is True
    plan = run_plan(saved, apps=AFTER_ALL.apps, batch_size=2)
    assert plan.online
    assert case.query(REMNANTS) == []
    case.assert_settled(AFTER_ALL)


def test_dry_run_lists_locks_and_effects(filled):
    from automigrate_ext.plan.text import lines

    shown = [str(line) for line in lines(filled.plan(CHECKED, online=True))]
    at = shown.index("Transactions, one after the other")
    assert shown[at + 1 :] == [
        '  % 1. ACCESS EXCLUSIVE lock, catalog only: ALTER TABLE "shop_item" ADD CONSTRAINT "c" CHECK ("size" > 0) '
        "NOT VALID",
        '  % 2. SHARE UPDATE EXCLUSIVE lock, reads the table: ALTER TABLE "shop_item" VALIDATE CONSTRAINT "c"',
    ]


def test_ordinary_plan_has_no_online_part(filled):
    plan = filled.plan(CHECKED)
    assert plan.online == () and plan.as_dict()["online"] == []
    assert plan.as_dict()["request"]["online"] is False


# Asked for elsewhere


def test_setting(filled, settings):
    settings.AUTOMIGRATE = {"ONLINE": [filled.alias]}
    assert make_plan(using=filled.alias, apps=CHECKED.apps).online
    assert not make_plan(using=filled.alias, apps=CHECKED.apps, online=False).online
    settings.AUTOMIGRATE = {"ONLINE": True}
    assert make_plan(using=filled.alias, apps=CHECKED.apps).online


def test_sqlite_has_nothing_to_gain(lite):
    lite.build(PLAIN)
    said = []
    autoupdate(using=lite.alias, apps=CHECKED.apps, online=True, notify=said.append)
    assert ["nothing to gain" in words for words in said] == [True]
    lite.assert_settled(CHECKED)
