"""`autoupdate --online` on MariaDB and MySQL: each ALTER TABLE names its algorithm, and nobody waits for long."""

import uuid
from contextlib import closing, contextmanager

import MySQLdb
import pytest
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from automigrate_ext import ExecutionFailed, LockNotAvailable, Refused
from automigrate_ext.run import stages
from tests.acceptance.helper import Case, State, item

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

#: One change of each kind, so that a run has statements of each.
BEFORE_ALL = State(
    Group={"name": NAME},
    Item={
        "name": NULLABLE,
        "size": models.IntegerField(null=True),
        "code": models.CharField(max_length=10, db_index=True),
        "gone": models.IntegerField(null=True),
        "group": models.ForeignKey("Group", models.CASCADE, db_constraint=False),
        "Meta": {"constraints": [models.UniqueConstraint(fields=["code"], name="u")]},
    },
    Old={"name": NAME},
)
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
    """The next run finishes, online or not; MySQL is asked at every third statement."""
    number, is_over = 0, False
    while not is_over:
        number += 1 if case.connection.mysql_is_mariadb else 3
        case.build(BEFORE_ALL)
        case.run(BEFORE_ALL)
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


def test_column_that_was_set_aside_goes_with_the_next_run(going):
    def stop():
        raise KeyboardInterrupt

    with as_sent(going, "automigrate_ext_proof", stop), pytest.raises(KeyboardInterrupt):
        going.run(item(**PLAIN), online=True)
    going.run(item(**PLAIN), online=True)
    going.assert_settled(item(**PLAIN))
