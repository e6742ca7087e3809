"""`autoupdate --online` on MariaDB and MySQL: each ALTER TABLE names its algorithm, and nobody waits for long."""

import json
import threading
import time
import uuid
from contextlib import closing, contextmanager
from functools import partial

import pytest
from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from automigrate_ext import ExecutionFailed, LockNotAvailable, Refused, run_plan
from automigrate_ext.backends.mysql.rehearsal import MySQLRehearsal
from automigrate_ext.backends.mysql.session import lock_name
from automigrate_ext.plan.text import lines
from automigrate_ext.run import stages
from tests.acceptance.helper import Case, State, item
from tests.acceptance.test_online import BEFORE_ALL

MySQLdb = pytest.importorskip("MySQLdb")

pytestmark = pytest.mark.timeout(180)

NAME = models.CharField(max_length=20)
NULLABLE = models.CharField(max_length=20, null=True)
SIZE = models.IntegerField()
VALUES = [{"name": "a", "size": 1}, {"name": "b", "size": 2}, {"name": "c", "size": 3}]
PLAIN = {"name": NAME, "size": SIZE}


@pytest.fixture(params=["mariadb", "mysql"])
def case(request):
    return Case(request.getfixturevalue(request.param), "automigrate")


def with_index(index):
    return {**PLAIN, "Meta": {"indexes": [index]}}


def generated(persist):
    return models.GeneratedField(expression=F("size") * 2, output_field=models.IntegerField(), db_persist=persist)


INSTANT, BESIDE, COPY = "ALGORITHM=INSTANT", "LOCK=NONE", "ALGORITHM=COPY"
#: Whatever lets others write.
ANY = None
#: Models before and after, and the orders of the statements.
CASES = {
    "Column": (PLAIN, {**PLAIN, "more": models.IntegerField(null=True)}, [INSTANT]),
    "Required": (PLAIN, {**PLAIN, "more": models.IntegerField(default=7)}, [INSTANT, INSTANT]),
    "Default": (PLAIN, {**PLAIN, "more": models.IntegerField(db_default=7)}, [INSTANT]),
    "Moment": (PLAIN, {**PLAIN, "at": models.DateTimeField(db_default=Now())}, ANY),
    "Text": (PLAIN, {**PLAIN, "text": models.TextField(default="it's")}, ANY),
    "OptionalText": (PLAIN, {**PLAIN, "text": models.TextField(default="it's", null=True)}, ANY),
    "Dropped": ({**PLAIN, "gone": models.IntegerField(null=True)}, PLAIN, ANY),
    "Index": (PLAIN, with_index(models.Index(fields=["size"], name="i")), [BESIDE]),
    "NoIndex": (with_index(models.Index(fields=["size"], name="i")), PLAIN, [BESIDE]),
    "OtherIndex": (
        with_index(models.Index(fields=["size"], name="i")),
        with_index(models.Index(fields=["name"], name="i")),
        [BESIDE],
    ),
    "RenamedIndex": (
        with_index(models.Index(fields=["size"], name="i")),
        with_index(models.Index(fields=["size"], name="j")),
        ANY,
    ),
    "UniqueField": (PLAIN, {"name": NAME, "size": models.IntegerField(unique=True)}, [BESIDE]),
    "Unique": (
        PLAIN,
        {**PLAIN, "Meta": {"constraints": [models.UniqueConstraint(fields=["name", "size"], name="u")]}},
        [BESIDE],
    ),
    "Check": (
        PLAIN,
        {**PLAIN, "Meta": {"constraints": [models.CheckConstraint(condition=Q(size__gt=0), name="c")]}},
        [COPY],
    ),
    "NotNull": ({"name": NULLABLE, "size": SIZE}, PLAIN, [BESIDE]),
    "Null": (PLAIN, {"name": NULLABLE, "size": SIZE}, [BESIDE]),
    "Wider": (PLAIN, {"name": models.CharField(max_length=30), "size": SIZE}, ANY),
    "Narrower": (PLAIN, {"name": models.CharField(max_length=10), "size": SIZE}, [COPY]),
    "Number": (PLAIN, {"name": NAME, "size": models.BigIntegerField()}, [COPY]),
    "Comment": (PLAIN, {"name": models.CharField(max_length=20, db_comment="x"), "size": SIZE}, [INSTANT]),
    "Computed": (PLAIN, {**PLAIN, "twice": generated(persist=False)}, [INSTANT]),
    "Stored": (PLAIN, {**PLAIN, "twice": generated(persist=True)}, [COPY]),
    # Together these would copy the table, on one of the servers or on both.
    "ComputedAndColumn": (
        PLAIN,
        {**PLAIN, "twice": generated(persist=False), "more": models.IntegerField(null=True)},
        ANY,
    ),
    "ComputedAndNotNull": (
        {"name": NULLABLE, "size": SIZE},
        {**PLAIN, "twice": generated(persist=False)},
        [INSTANT, BESIDE],
    ),
}
BEFORE = State(**{name: before for name, (before, *_) in CASES.items()})
AFTER = State(**{name: after for name, (_, after, _) in CASES.items()})


@pytest.fixture
def filled(case):
    case.build(BEFORE)
    case.insert(BEFORE, dict.fromkeys(CASES, VALUES))
    return case


def test_orders(filled):
    """The server takes them for tables with rows too, and the tables are what an ordinary run makes of them."""
    plan = filled.plan(AFTER, online=True)
    for name, (_, _, orders) in CASES.items():
        altered = [step.sql for step in plan.online if step.sql.startswith(f"ALTER TABLE `shop_{name.lower()}`")]
        if orders is ANY:
            assert altered and all(INSTANT in sql or BESIDE in sql for sql in altered), altered
        else:
            assert len(altered) == len(orders), altered
            assert all(order in sql for order, sql in zip(orders, altered, strict=True)), altered
    kept = filled.survivors(BEFORE)
    done = filled.run_as_planned(AFTER, online=True)
    assert done.statements == plan.statements
    filled.assert_survived(kept, plan, set())
    filled.assert_settled(AFTER)


def test_what_others_would_wait_for(filled):
    """Above the limit it is refused, and the change is named that is to blame."""
    plan = filled.plan(AFTER, online=True, rewrite_limit=2)
    reasons = {judgement.change.table: judgement.hazards for judgement in plan.refused}
    assert sorted(reasons) == ["shop_check", "shop_narrower", "shop_number", "shop_stored"]
    assert {hazard.code for hazards in reasons.values() for hazard in hazards} == {"rewrites-table"}
    assert "copies the table while writes wait (3 rows)" in reasons["shop_number"][0].message
    assert "--rewrite-limit" in reasons["shop_number"][0].advice


def test_the_change_to_blame_among_others(case):
    before = item(**PLAIN)
    after = item(name=NULLABLE, size=models.BigIntegerField(), more=models.IntegerField(null=True))
    case.build(before)
    case.insert(before, {"Item": VALUES})
    (judgement,) = case.plan(after, online=True, rewrite_limit=2).refused
    assert judgement.change.new.name == "size"
    case.run(after, online=True)
    case.assert_settled(after)


# Runs that end early

#: One change of each kind from `BEFORE_ALL`, so that a run has statements of each.
AFTER_ALL = State(
    Group={"name": NAME, "rank": models.IntegerField(default=3)},
    Item={
        "name": models.CharField(max_length=30, default="x"),
        "size": models.IntegerField(default=lambda: 5),
        "code": models.CharField(max_length=10),
        "key": models.UUIDField(default=uuid.uuid4, unique=True),
        "text": models.TextField(default="t"),
        "maybe": models.UUIDField(default=uuid.uuid4, null=True),
        "group": models.ForeignKey("Group", models.CASCADE),
        "Meta": {
            "constraints": [
                models.UniqueConstraint(fields=["code", "size"], name="u"),
                models.CheckConstraint(condition=Q(size__gt=0), name="c"),
            ],
            "indexes": [models.Index(fields=["name"], name="i")],
        },
    },
    New={"item": models.ForeignKey("Item", models.CASCADE)},
)
ROWS_ALL = {
    "Group": [{"name": "g"}],
    "Item": [{"name": None if n % 2 else "a", "size": n or None, "code": f"c{n}", "group_id": 1} for n in range(5)],
}
CHANGES = ("ALTER ", "CREATE ", "DROP ", "UPDATE ", "SET @", "SET foreign", "LOCK ", "UNLOCK ")


def parameters(case):
    given = case.connection.get_connection_params()
    return {name: given[name] for name in ("user", "db", "unix_socket", "database", "passwd") if name in given}


@contextmanager
def another(case):
    """Another session on the same database, each of whose statements is a transaction."""
    with closing(MySQLdb.connect(**parameters(case), autocommit=True)) as other, closing(other.cursor()) as cursor:
        yield cursor


def end_at(case, number, sent):
    """End the session at the statement of that number, before the server gets it or, for every other one, after."""

    def wrapper(execute, sql, params, many, context):
        counts = sql.startswith(CHANGES) and "automigrate_ext_" not in sql.replace("automigrate_ext_proof", "")
        if counts:
            sent.append(sql)
        ends = counts and len(sent) == number
        result = execute(sql, params, many, context) if not ends or number % 2 else None
        if ends:
            with another(case) as other:
                other.execute(f"KILL CONNECTION {case.connection.connection.thread_id()}")
            return execute("SELECT 1", None, False, context)
        return result

    return case.connection.execute_wrapper(wrapper)


@pytest.mark.timeout(900)
def test_session_that_ends_at_any_statement(case):
    """The next run finishes, online or not; on MySQL it is every fifth statement."""
    number, is_over = 0, False
    while not is_over:
        number += 1 if case.connection.mysql_is_mariadb else 5
        case.build(BEFORE_ALL)
        case.insert(BEFORE_ALL, ROWS_ALL)
        sent = []
        try:
            with end_at(case, number, sent):
                case.run(AFTER_ALL, online=True, batch_size=2)
            is_over = True
        except ExecutionFailed as error:
            assert "connection" in str(error)
            case.connection.close()
        case.run(AFTER_ALL, online=number % 4 < 2, batch_size=2)
        for column in ("key", "maybe"):
            assert len({value for (value,) in case.values("shop_item", column)} - {None}) == 5, (number, column, sent)
        assert len(case.query("SELECT * FROM shop_item WHERE text = 't' AND size > 0 AND name <> ''")) == 5, number
        case.assert_settled(AFTER_ALL)
        case.drop(AFTER_ALL)
        case.execute("DROP TABLE automigrate_ext_owned")
    assert number > 20


def test_ordinary_run_that_ends_before_new_columns_are_filled(case):
    """They allow NULL, so that only the record has that they were to get values."""
    after = item(**PLAIN, maybe=models.UUIDField(default=uuid.uuid4, null=True))
    case.build(item(**PLAIN))
    case.insert(item(**PLAIN), {"Item": VALUES})

    def stop():
        raise KeyboardInterrupt

    with as_sent(case, "UPDATE `shop_item` SET `maybe`", stop), pytest.raises(KeyboardInterrupt):
        case.run(after)
    case.run(after)
    assert len({value for (value,) in case.values("shop_item", "maybe")} - {None}) == 3
    case.assert_settled(after)


@pytest.mark.parametrize("online", [False, True])
def test_expand_that_ends_before_required_columns_are_filled(case, online):
    """New code finds no NULL in rows from before the expand, once it has ended."""
    after = item(**PLAIN, token=models.UUIDField(default=uuid.uuid4))
    case.build(item(**PLAIN))
    case.insert(item(**PLAIN), {"Item": VALUES})

    def stop():
        raise KeyboardInterrupt

    with as_sent(case, "UPDATE `shop_item` SET `token`", stop), pytest.raises(KeyboardInterrupt):
        case.run(after, expand=True, online=online)
    assert not case.plan(after).expanded
    case.run(after, expand=True)
    assert len({value for (value,) in case.values("shop_item", "token")} - {None}) == 3
    assert not case.plan(after, expand=True) and case.plan(after).expanded
    case.run(after, contract=True)
    case.assert_settled(after)


# Foreign keys

LINKED = State(Group={"name": NAME}, Item={"group": models.ForeignKey("Group", models.CASCADE)})
UNLINKED = State(Group={"name": NAME}, Item={"group": models.ForeignKey("Group", models.CASCADE, db_constraint=False)})
LINKS = {"Group": [{"name": "g"}, {"name": "h"}], "Item": [{"group_id": 1}, {"group_id": 2}]}


@contextmanager
def as_sent(case, word, act):
    """Call a function once, as a statement with this word is sent."""
    left = [act]

    def wrapper(execute, sql, params, many, context):
        if left and word in sql:
            left.pop()()
        return execute(sql, params, many, context)

    with case.connection.execute_wrapper(wrapper):
        yield
    assert not left, "no statement has this word"


@pytest.mark.parametrize("default", [1, lambda: 1], ids=["constant", "per row"])
def test_key_stays_while_its_column_comes_to_forbid_null(case, default):
    before = State(Group={"name": NAME}, Item={"group": models.ForeignKey("Group", models.CASCADE, null=True)})
    after = State(Group={"name": NAME}, Item={"group": models.ForeignKey("Group", models.CASCADE, default=default)})
    case.build(before)
    case.insert(before, {"Group": [{"name": "g"}], "Item": [{"group_id": 1}, {"group_id": None}]})
    plan = case.run(after, online=True)
    assert "FOREIGN KEY" not in plan.sql()
    assert case.values("shop_item", "group_id") == [(1,), (1,)]
    case.assert_settled(after)


@pytest.fixture
def linked(case):
    case.build(UNLINKED)
    case.insert(UNLINKED, LINKS)
    return case


def test_row_that_points_at_none_by_the_time_of_the_key(linked):
    """The run fails, and so does each one after it, online or not, until there is no such row."""

    def write():
        with another(linked) as other:
            other.execute("INSERT INTO shop_item (group_id) VALUES (77)")

    with (
        as_sent(linked, "SET foreign_key_checks = 0", write),
        pytest.raises(ExecutionFailed, match="row is in the way"),
    ):
        linked.run(LINKED, online=True)
    assert linked.query("SELECT @@foreign_key_checks") == [(1,)]
    for online in (True, False):
        plan = linked.plan(LINKED, online=online)
        assert [hazard.code for judgement in plan.refused for hazard in judgement.hazards] == ["orphans"]
    linked.execute("DELETE FROM shop_item WHERE group_id = 77")
    for online in (True, False):
        (judgement,) = linked.plan(LINKED, online=online).judgements
        assert judgement.change.describe().startswith("Validate")
    linked.run(LINKED)
    linked.assert_settled(LINKED)


def test_transaction_that_deletes_what_a_key_points_at(linked, monkeypatch):
    """It has begun before the key is there, and is not over when the rows are asked: MariaDB adds the key beside it."""
    monkeypatch.setattr(stages, "PAUSES", (0.01,))
    with another(linked) as other:
        other.execute("BEGIN")
        other.execute("DELETE FROM shop_group WHERE id = 2")
        with pytest.raises(LockNotAvailable) as caught:
            linked.run(LINKED, online=True, lock_timeout=1)
        assert str(other.connection.thread_id()) in str(caught.value)
        other.execute("COMMIT")
    with pytest.raises(Refused, match="1 row"):
        linked.run(LINKED, online=True)


# Columns that go


GOING = item(**PLAIN, gone=models.IntegerField(null=True, db_index=True))


@pytest.fixture
def going(case):
    case.build(GOING)
    case.run(GOING)
    case.insert(GOING, {"Item": VALUES})
    return case


def test_value_that_turns_up_in_a_column_that_goes(going):
    def write():
        with another(going) as other:
            other.execute("UPDATE shop_item SET gone = 7 WHERE size = 1")

    with as_sent(going, "RENAME COLUMN", write), pytest.raises(ExecutionFailed, match="row is in the way"):
        going.run(item(**PLAIN), online=True)
    going.run(item(**PLAIN), online=True)
    plan = going.plan(item(**PLAIN))
    assert [judgement.change.describe() for judgement in plan.withheld] == ["Drop column shop_item.gone"]
    assert going.values("shop_item", "gone") == [(None,), (None,), (7,)]


def test_query_for_values_that_does_not_get_its_lock_at_once(going, monkeypatch):
    """It is asked again under the name that nobody writes to."""
    monkeypatch.setattr(stages, "PAUSES", (0.01,))
    with another(going) as other:
        lock = partial(other.execute, "LOCK TABLES shop_item WRITE")
        with as_sent(going, "automigrate_ext_proof", lock):
            going.run(item(**PLAIN), online=True, lock_timeout=1, notify=lambda _: other.execute("UNLOCK TABLES"))
    going.assert_settled(item(**PLAIN))


def test_column_whose_index_a_foreign_key_needs(case):
    """It is counted under the lock, and refused above the limit."""
    group = models.ForeignKey("Group", models.CASCADE, db_index=False)
    index = {"indexes": [models.Index(fields=["group", "gone"], name="i")]}
    before = State(Group={"name": NAME}, Item={"group": group, "gone": models.IntegerField(null=True), "Meta": index})
    after = State(Group={"name": NAME}, Item={"group": group})
    case.build(before)
    case.insert(before, LINKS)
    plan = case.plan(after, online=True, rewrite_limit=1)
    assert {judgement.hazards[0].code for judgement in plan.refused} == {"rewrites-table"}
    case.run(after, online=True)
    case.assert_settled(after)


def test_columns_with_long_names_that_begin_alike(case):
    names = [f"{'gone' * 13}_{letter}" for letter in "ab"]
    case.build(item(**PLAIN, **{name: models.IntegerField(null=True) for name in names}))
    case.insert(item(**PLAIN), {"Item": VALUES})
    case.run(item(**PLAIN), online=True)
    case.assert_settled(item(**PLAIN))


def test_column_that_was_set_aside_goes_with_the_next_run(going):
    def stop():
        raise KeyboardInterrupt

    with as_sent(going, "automigrate_ext_proof", stop), pytest.raises(KeyboardInterrupt):
        going.run(item(**PLAIN), online=True)
    going.run(item(**PLAIN), online=True)
    going.assert_settled(item(**PLAIN))


# Beside others

EMPTY_NAME = item(name=NULLABLE, size=SIZE)
WITH_NAME = item(name=models.CharField(max_length=20, default="x"), size=SIZE)


@pytest.fixture
def maria(mariadb):
    return Case(mariadb, "automigrate")


class Writer(threading.Thread):
    """Puts rows in, with a name and without, and counts one up; counts what the server has acknowledged."""

    def __init__(self, case):
        super().__init__()
        self.case = case
        self.over = threading.Event()
        self.inserted, self.counted, self.slowest = 0, 0, 0.0
        self.error = None

    def run(self):
        try:
            with another(self.case) as cursor:
                while not self.over.is_set():
                    began = time.perf_counter()
                    names = ("name, ", "'w', ") if self.inserted % 2 else ("", "")
                    cursor.execute(f"INSERT INTO shop_item ({names[0]}size, code) VALUES ({names[1]}1, 'w')")
                    self.inserted += 1
                    cursor.execute("UPDATE shop_item SET size = size + 1 WHERE id = 2")
                    self.counted += 1
                    self.slowest = max(self.slowest, time.perf_counter() - began)
        except MySQLdb.Error as error:
            self.error = error


#: Models that those before can live with: what they do not name has a default.
BEFORE_WRITERS = item(name=NULLABLE, size=SIZE, code=models.CharField(max_length=10, null=True))
AFTER_WRITERS = item(
    name=models.CharField(max_length=20, db_default="x", db_index=True),
    size=SIZE,
    code=models.CharField(max_length=20, null=True),
    rank=models.IntegerField(db_default=3),
    note=models.UUIDField(default=uuid.uuid4, null=True),
)


def test_nothing_is_lost_that_others_write(maria):
    maria.build(BEFORE_WRITERS)
    maria.insert(BEFORE_WRITERS, {"Item": [{"name": None, "size": 1, "code": "a"}, {"name": "b", "size": 1}]})
    copied = "INSERT INTO shop_item (name, size, code) SELECT NULL, 0, 'c' FROM shop_item"
    maria.execute(*[copied] * 10)
    writer = Writer(maria)
    writer.start()
    try:
        time.sleep(0.2)
        maria.run(AFTER_WRITERS, online=True, batch_size=500, defaults={"shop.Item.name": "filled"})
        time.sleep(0.2)
    finally:
        writer.over.set()
        writer.join()
    assert writer.error is None and writer.inserted > 10
    assert maria.query("SELECT count(*) FROM shop_item WHERE code = 'w'") == [(writer.inserted,)]
    assert maria.query("SELECT size FROM shop_item WHERE id = 2") == [(1 + writer.counted,)]
    assert maria.query("SELECT count(*) FROM shop_item WHERE code = 'c' AND name <> 'filled'") == [(0,)]
    maria.assert_settled(AFTER_WRITERS)


@pytest.mark.parametrize("null", [False, True])
def test_fill_ends_although_rows_are_put_in_all_the_while(case, null, monkeypatch):
    monkeypatch.setattr(stages, "PAUSES", (0.01,) * 5)
    after = item(**PLAIN, code=models.UUIDField(default=uuid.uuid4, null=null))
    case.build(item(**PLAIN))
    case.insert(item(**PLAIN), {"Item": VALUES})
    batches, late = [], 0 if null else 5
    with another(case) as other:

        def put_in(execute, sql, params, many, context):
            if sql.startswith("UPDATE `shop_item`"):
                batches.append(sql)
                assert len(batches) < 20
                # Before a NOT NULL the last row without a value has to have been put in.
                if null or len(batches) <= late:
                    other.execute("INSERT INTO shop_item (name, size) VALUES ('late', 0)")
            return execute(sql, params, many, context)

        with case.connection.execute_wrapper(put_in):
            case.run(after, online=True, batch_size=3)
    assert case.query("SELECT count(*) FROM shop_item WHERE code IS NULL AND name <> 'late'") == [(0,)]
    case.assert_settled(after)


@pytest.mark.parametrize("default", ["x", lambda: "y"], ids=["constant", "per row"])
def test_row_that_is_put_in_after_the_last_fill(case, default, monkeypatch):
    """The server refuses the NOT NULL, and the rows are filled again."""
    monkeypatch.setattr(stages, "PAUSES", (0.01,))
    after = item(name=models.CharField(max_length=20, default=default), size=SIZE)
    case.build(EMPTY_NAME)
    case.insert(EMPTY_NAME, {"Item": [{"name": None, "size": 1}, {"name": "a", "size": 2}]})
    said = []

    def put_in():
        with another(case) as other:
            other.execute("INSERT INTO shop_item (name, size) VALUES (NULL, 3)")

    with as_sent(case, "NOT NULL, ALGORITHM=INPLACE", put_in):
        case.run(after, online=True, notify=said.append)
    assert "Others put in rows without a value in shop_item.name" in said[0]
    name = "x" if default == "x" else "y"
    assert case.values("shop_item", "name") == [("a",), (name,), (name,)]
    case.assert_settled(after)


def test_new_rows_get_the_default_of_their_column(case):
    """The value that is given for rows without one is not for theirs."""
    case.build(item(name=NAME, size=models.IntegerField(null=True, db_default=5)))
    case.insert(item(name=NAME), {"Item": [{"name": "a"}]})
    case.execute("UPDATE shop_item SET size = NULL")

    def put_in():
        with another(case) as other:
            other.execute("INSERT INTO shop_item (name) VALUES ('b')")

    after = item(name=NAME, size=models.IntegerField(db_default=5))
    with as_sent(case, "UPDATE `shop_item` SET `size`", put_in):
        case.run(after, online=True, defaults={"shop.Item.size": "9"})
    assert case.values("shop_item", "name", "size") == [("a", 9), ("b", 5)]
    case.assert_settled(after)


def test_value_that_somebody_else_has_written_stays(maria):
    maria.build(EMPTY_NAME)
    maria.insert(EMPTY_NAME, {"Item": [{"name": None, "size": n} for n in range(3)]})

    def write():
        with another(maria) as other:
            other.execute("UPDATE shop_item SET name = 'written' WHERE size = 1")

    with as_sent(maria, "UPDATE `shop_item` SET `name`", write):
        maria.run(item(name=models.CharField(max_length=20, default=lambda: "drawn"), size=SIZE), online=True)
    assert maria.values("shop_item", "name") == [("drawn",), ("drawn",), ("written",)]


@pytest.mark.parametrize("default", ["x", lambda: "y"], ids=["constant", "per row"])
def test_composite_key(case, default):
    key = models.CompositePrimaryKey("one", "two")
    fields = {"pk": key, "one": models.IntegerField(), "two": models.CharField(max_length=9)}
    before = item(**fields, name=NULLABLE)
    after = item(**fields, name=models.CharField(max_length=20, default=default))
    case.build(before)
    case.insert(before, {"Item": [{"one": n % 3, "two": f"it's {n // 3}", "name": None} for n in range(9)]})
    reports = []
    case.run(after, online=True, batch_size=2, progress=reports.append)
    assert case.values("shop_item", "name") == [("x" if default == "x" else "y",)] * 9
    assert {report.rows_done for report in reports} >= {0, 2, 4, 6, 8, 9}
    case.assert_settled(after)


def test_step_that_never_gets_its_lock(case, monkeypatch):
    """The run ends with what is done and what is left, names who is in the way, and nobody has waited for long."""
    monkeypatch.setattr(stages, "PAUSES", (0.01,))
    more = item(**PLAIN, more=models.IntegerField(null=True))
    after = State(Item={**PLAIN, "more": models.IntegerField(null=True)}, Other={"name": NAME})
    case.build(item(**PLAIN))
    case.insert(item(**PLAIN), {"Item": VALUES})
    before = case.query("SELECT @@lock_wait_timeout, @@innodb_lock_wait_timeout, @@sql_mode")
    with another(case) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM shop_item")
        with pytest.raises(LockNotAvailable) as caught:
            case.run(after, online=True, lock_timeout=0.05)
        assert f"session {other.connection.thread_id()}" in str(caught.value)
        assert "Could not get a lock within 1 s" in str(caught.value)
    assert "Of the 2 statements 1 are done, and stay" in str(caught.value)
    assert "CREATE TABLE" in caught.value.applied[0] and "ADD COLUMN" in caught.value.pending[0]
    assert case.query("SELECT @@lock_wait_timeout, @@innodb_lock_wait_timeout, @@sql_mode") == before
    case.run(more, online=True)
    case.assert_settled(more)


def test_other_runs_are_kept_out_until_the_end(maria):
    maria.build(item(**PLAIN))
    maria.insert(item(**PLAIN), {"Item": VALUES})
    after, tried = item(**with_index(models.Index(fields=["size"], name="i"))), []

    def try_lock():
        with another(maria) as other:
            other.execute("SELECT IS_FREE_LOCK(%s)", [lock_name(maria.connection.settings_dict["NAME"])])
            tried.append(other.fetchone())

    with as_sent(maria, "ALGORITHM=NOCOPY", try_lock):
        maria.run(after, online=True)
    try_lock()
    assert tried == [(0,), (1,)]


def test_session_that_is_another_one_by_now(maria):
    maria.build(item(**PLAIN))
    maria.insert(item(**PLAIN), {"Item": VALUES})

    def take_away():
        maria.execute("DO RELEASE_ALL_LOCKS()")

    after = item(**PLAIN, more=models.IntegerField(default=7))
    with as_sent(maria, "ADD COLUMN `more`", take_away), pytest.raises(ExecutionFailed, match="another session"):
        maria.run(after, online=True)


def test_inside_a_transaction(maria):
    maria.build(item(**PLAIN))
    with pytest.raises(ExecutionFailed, match="outside of atomic"), transaction.atomic(using=maria.alias):
        maria.run(item(name=NAME), online=True)


# What is shown


def test_dry_run_lists_locks_and_effects(maria):
    maria.build(UNLINKED)
    maria.insert(UNLINKED, LINKS)
    shown = [str(line) for line in lines(maria.plan(LINKED, online=True))]
    steps = shown[shown.index("Transactions, one after the other") + 1 :]
    assert [line.partition(": ")[0] for line in steps] == [
        "  % 1. LOCK=NONE, catalog only",
        "  % 2. no lock on a table in use, catalog only",
        "  % 3. LOCK=NONE, builds an index",
        "  % 4. no lock on a table in use, catalog only",
        "  % 5. READ lock, catalog only",
        "  % 6. no lock on a table in use, catalog only",
        "  % 7. no lock on a table in use, reads the table",
    ]
    assert steps[2].endswith("..., ALGORITHM=NOCOPY, LOCK=NONE")


def test_where_nothing_can_be_tried_out(maria, monkeypatch):
    """As for a role that may not make a database for the copies: each ALTER TABLE may be a copy."""

    @contextmanager
    def nowhere(rehearsal):
        rehearsal.note("nobody lets it")
        yield None

    monkeypatch.setattr(MySQLRehearsal, "stage", nowhere)
    maria.build(UNLINKED)
    maria.insert(UNLINKED, LINKS)
    reasons = [judgement.hazards[0].message for judgement in maria.plan(LINKED, online=True, rewrite_limit=1).refused]
    assert reasons and all("may copy it while writes wait (2 rows)" in reason for reason in reasons)
    plan = maria.run(LINKED, online=True)
    assert "ALGORITHM" not in plan.sql() and "Not rehearsed" in plan.notes[0]
    maria.assert_settled(LINKED)


@pytest.mark.parametrize("way", ["script", "saved plan"])
def test_plan_carried_out_later(case, way):
    case.build(BEFORE_ALL)
    case.run(BEFORE_ALL)
    case.insert(BEFORE_ALL, ROWS_ALL)
    plan = case.plan(AFTER_ALL, online=True)
    if way == "script":
        script = plan.sql()
        assert "BEGIN" not in script and "ALGORITHM=INSTANT" in script
        case.backend.run_script(script)
    else:
        done = run_plan(json.loads(plan.as_json()), apps=AFTER_ALL.apps, batch_size=2)
        assert done.online
    case.assert_settled(AFTER_ALL)
