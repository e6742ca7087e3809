"""What only MariaDB and MySQL do: comments and collations that MODIFY forgets, commits in between, loose modes."""

import itertools
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, ProgrammingError, connections, models, transaction
from django.db.models import F
from django.db.models.functions import Lower

from automigrate_ext import ExecutionFailed, LockNotAvailable, autoupdate, is_actual
from automigrate_ext.backends.mysql import faults, scratch, session, show
from automigrate_ext.exceptions import ScratchFailed
from automigrate_ext.schema.changes import AddConstraint
from tests.acceptance.helper import Case, State, fingerprint, item
from tests.features import is_mysql, need

NAME = models.CharField(max_length=20)
SIZE = models.IntegerField(null=True)
BEFORE = item(name=NAME, size=SIZE)
ROWS = {"Item": [{"name": "a", "size": 1}, {"name": "b", "size": 2}]}


@pytest.fixture(params=["mariadb", "mysql"])
def case(request):
    return Case(request.getfixturevalue(request.param), "automigrate")


def printed(case, table="shop_item"):
    ((_, text),) = case.query(f"SHOW CREATE TABLE {table}")
    return text


def line_of(case, column):
    return next(line.strip(" ,") for line in printed(case).split("\n") if line.startswith(f"  `{column}`"))


def test_null_change_keeps_what_else_a_column_has(case):
    case.build(BEFORE)
    case.execute(
        "ALTER TABLE shop_item MODIFY name varchar(20) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL "
        "DEFAULT 'x' COMMENT 'by hand'"
    )
    case.insert(BEFORE, ROWS)
    after = item(name=models.CharField(max_length=20, null=True), size=SIZE)
    case.update(BEFORE, after, built=True, exact=False)
    assert line_of(case, "name") == (
        "`name` varchar(20) CHARACTER SET latin1 COLLATE latin1_bin DEFAULT 'x' COMMENT 'by hand'"
    )


def test_check_of_a_column_outlives_a_null_change(case):
    before = item(size=models.PositiveIntegerField())
    after = item(size=models.PositiveIntegerField(null=True))
    case.update(before, after, {"Item": [{"size": 1}]})
    if is_mysql(case.connection):
        assert "CHECK ((`size` >= 0))" in printed(case)
    else:
        assert "CHECK (`size` >= 0)" in line_of(case, "size")


def test_charset_engine_and_collation_of_a_table_are_nobodys_difference(case):
    case.build(BEFORE)
    case.execute("ALTER TABLE shop_item CONVERT TO CHARACTER SET latin1 COLLATE latin1_german1_ci, ENGINE=MyISAM")
    assert is_actual(using=case.alias, apps=BEFORE.apps)
    after = item(name=models.CharField(max_length=30), size=SIZE, more=models.TextField(null=True))
    case.update(BEFORE, after, ROWS, built=True, exact=False)
    assert "ENGINE=MyISAM" in printed(case)
    assert "COLLATE=latin1_german1_ci" in printed(case)
    assert "utf8" not in printed(case)


def test_default_made_by_hand_outlives_filling(case):
    case.build(BEFORE)
    case.execute("ALTER TABLE shop_item ALTER COLUMN size SET DEFAULT 7")
    case.insert(BEFORE, {"Item": [{"name": "a", "size": None}]})
    case.update(BEFORE, item(name=NAME, size=models.IntegerField(default=1)), built=True, exact=False)
    assert line_of(case, "size").replace("int(11)", "int").replace("'7'", "7") == "`size` int NOT NULL DEFAULT 7"


def test_collation_that_the_model_names_is_a_difference(case):
    after = item(name=models.CharField(max_length=20, db_collation="utf8mb4_bin"), size=SIZE)
    case.update(BEFORE, after, ROWS, altered=["shop_item.name"])
    case.update(after, BEFORE, built=True, altered=["shop_item.name"])


def test_attribute_that_no_model_has_outlives_a_change(case):
    case.build(BEFORE)
    case.execute("ALTER TABLE shop_item MODIFY size int INVISIBLE DEFAULT NULL")
    case.run(item(name=NAME, size=models.BigIntegerField(null=True)))
    words = (
        "bigint DEFAULT NULL /*!80023 INVISIBLE */"
        if is_mysql(case.connection)
        else "bigint(20) INVISIBLE DEFAULT NULL"
    )
    assert line_of(case, "size") == f"`size` {words}"


def test_required_column_is_not_invented(case):
    """The server would fill in 0 even in strict mode."""
    case.refused(BEFORE, item(name=NAME, size=SIZE, more=models.IntegerField()), ROWS, "required-column")


def test_constraint_that_django_leaves_out_beside_a_database_default(case):
    """Django's own schema editor executes the text "None" here."""
    after = item(
        name=models.CharField(max_length=20, db_default="x"),
        size=SIZE,
        Meta={"constraints": [models.UniqueConstraint(Lower("name"), name="u")]},
    )
    case.update(BEFORE, after, ROWS)
    case.update(after, BEFORE, built=True)


def test_strict_whatever_the_session_is(case):
    case.build(BEFORE)
    case.insert(BEFORE, {"Item": [{"name": "abcdef", "size": 1}]})
    case.execute("SET SESSION sql_mode = 'ANSI_QUOTES', SESSION sql_quote_show_create = 0")
    plan = case.plan(item(name=models.CharField(max_length=3), size=SIZE))
    assert [hazard.code for hazard in plan.refused[0].hazards] == ["alters-values"]
    case.run(item(name=models.CharField(max_length=30), size=SIZE))
    assert case.query("SELECT @@sql_mode, @@sql_quote_show_create") == [("ANSI_QUOTES", 0)]


def refusing_models(name, meta=None):
    """Models with a text column of this name, and after that one of other types."""
    column = models.TextField(null=True, db_column=name)
    kinds = [
        models.IntegerField(null=True, db_column=name),
        models.JSONField(null=True, db_column=name),
        models.DateField(null=True, db_column=name),
        models.UUIDField(null=True, db_column=name),
        models.BooleanField(null=True, db_column=name),
        models.DecimalField(max_digits=4, decimal_places=2, null=True, db_column=name),
    ]
    options = {"Meta": meta} if meta else {}
    return item(value=column, **options), [item(value=kind, **options) for kind in kinds]


@pytest.mark.parametrize("name", ["value", "was", "made", "back", "key_0", "Odd na'me", "automigrate_ext"])
def test_message_of_the_server_names_the_column(case, name):
    """And not the place where the values were tried."""
    before, afters = refusing_models(name, {"db_table": "Shop items"})
    case.build(before)
    case.insert(before, {"Item": [{"value": "abc" * 99}]})
    for after in afters:
        plan = case.refused(before, after, {}, "cast-fails", built=True)
        ((hazard,),) = (judgement.hazards for judgement in plan.refused)
        assert hazard.rows == 1
        assert len(hazard.samples) == 1
        assert "automigrate_ext_" not in hazard.message
        assert hazard.message.startswith(f"Cannot change Shop items.{name} from longtext to ")
        said = hazard.message.partition(": ")[2]
        names = (f"`{name}`", f"`Shop items.{name}`", f"'{name}'", f"'Shop items.{name}'", "incorrect")
        assert any(words in said for words in names)


def test_message_of_the_server_names_the_models_table(case):
    after = item(name=NAME, more=models.CharField(max_length=20, db_default="x" * 99))
    with pytest.raises(ScratchFailed) as caught:
        case.run(after)
    assert "automigrate_ext_" not in str(caught.value)


def test_row_numbered_zero_stays(case):
    before, after = item(id=models.IntegerField(primary_key=True), name=NAME), item(name=NAME)
    case.update(before, after, {"Item": [{"id": 0, "name": "a"}, {"id": 7, "name": "b"}]})
    assert case.values("shop_item", "id") == [(0,), (7,)]


def test_zero_dates_stay(case):
    case.build(item(day=models.DateField(null=True), name=NAME))
    case.execute("SET SESSION sql_mode = ''", "INSERT INTO shop_item (day, name) VALUES ('0000-00-00', 'a')")
    case.run(item(day=models.DateField(null=True), name=models.CharField(max_length=40)))
    assert case.query("SELECT CAST(day AS CHAR) FROM shop_item") == [("0000-00-00",)]


def test_index_that_only_a_foreign_key_needs(case):
    """It goes when another one covers it, and comes back with that one's end."""
    key = {"shelf": models.ForeignKey("Shelf", models.CASCADE), "size": SIZE}
    covering = {"indexes": [models.Index(fields=["shelf", "size"], name="covering")]}
    bare, covered = State(Shelf={}, Item=key), State(Shelf={}, Item={**key, "Meta": covering})
    case.update(bare, covered, {"Shelf": [{}], "Item": [{"shelf_id": 1, "size": 1}]})
    case.update(covered, bare, built=True)
    assert len(case.introspect(["shop_item"]).tables["shop_item"].foreign_keys) == 1


def test_inside_a_transaction(case):
    case.build(BEFORE)
    case.insert(BEFORE, ROWS)
    after = item(name=NAME, size=SIZE, more=models.IntegerField(null=True))
    with transaction.atomic(using=case.alias):
        case.execute("DELETE FROM shop_item")
        assert is_actual(using=case.alias, apps=BEFORE.apps)
        assert case.plan(after)
        with pytest.raises(ExecutionFailed, match=r"Run it outside of atomic\(\)"):
            case.run(after)
        transaction.set_rollback(True, using=case.alias)
    assert len(case.values("shop_item", "id")) == 2


def test_lock_is_the_sessions(case):
    other = connections.create_connection(case.alias)
    try:
        assert session.try_lock(other)
        with pytest.raises(Exception, match="did not end within 0 s"):
            case.run(BEFORE, lock_wait=0)
    finally:
        other.close()
    case.run(BEFORE, lock_wait=10)


def test_driver_that_sends_one_statement_at_a_time_does_so_again_after_a_run(case):
    case.connection.close()
    case.connection.settings_dict["OPTIONS"]["multi_statements"] = False
    try:
        case.update(BEFORE, item(name=NAME, size=models.BigIntegerField(null=True)), ROWS)
        with case.connection.cursor() as cursor, pytest.raises(ProgrammingError):
            cursor.execute("SELECT 1; SELECT 2")
    finally:
        case.connection.settings_dict["OPTIONS"].pop("multi_statements")
        case.connection.close()


def test_driver_that_takes_one_statement_alone(case, monkeypatch):
    """As PyMySQL does by default: its connections have a `client_flag` without the bit, and no `set_server_option`."""
    alone = SimpleNamespace(ensure_connection=lambda: None, connection=SimpleNamespace(client_flag=0))
    many = show.many_statements
    for module in (scratch, session, show):
        monkeypatch.setattr(module, "many_statements", lambda connection: many(alone))
    sent = []

    def wrapper(execute, sql, params, many, context):
        sent.append(sql)
        return execute(sql, params, many, context)

    with case.connection.execute_wrapper(wrapper):
        case.update(State(), State(One={"name": NAME}, Two={"name": NAME}))
    assert len([sql for sql in sent if sql.startswith("CREATE TABLE `shop_")]) == 2
    assert not [sql for sql in sent if isinstance(sql, str) and ";" in sql]


def test_failed_run_says_what_was_done(mariadb, capsys):
    """And the next one does the rest."""
    call_command("autoupdate", "todo", database=mariadb.alias, verbosity=0)
    with mariadb.cursor() as cursor:
        cursor.execute("ALTER TABLE todo_todo DROP COLUMN title")
        cursor.execute("ALTER TABLE todo_todolist DROP COLUMN color")

    def broken(execute, statement, params, many, context):
        if statement.startswith("ALTER TABLE") and "color" in statement:
            statement += " nonsense"
        return execute(statement, params, many, context)

    with mariadb.execute_wrapper(broken), pytest.raises(CommandError) as caught:
        call_command("autoupdate", "todo", format="json", default=["todo.Todo.title=x"], database=mariadb.alias)
    done = json.loads(capsys.readouterr().out)
    assert done["error"] == str(caught.value)
    assert done["applied"] + done["pending"] == done["statements"]
    assert done["pending"]
    autoupdate("todo", using=mariadb.alias, defaults={"todo.Todo.title": "x"})
    assert is_actual("todo", using=mariadb.alias)


# Others who write while a run is on

PRICE = models.DecimalField(max_digits=6, decimal_places=2, null=True)
STOCKED = State(Item={"name": NAME, "size": SIZE, "price": PRICE}, Box={"name": NAME})
STOCK = {"Item": [{"name": "a", "price": "1.50"}]}


def stocked(**changed):
    """The models of `STOCKED` with these fields of `Item`; None stands for one that is gone."""
    fields = {"name": NAME, "size": SIZE, "price": PRICE, **changed}
    return State(Item={name: field for name, field in fields.items() if field}, Box={"name": NAME})


@dataclass(frozen=True, kw_only=True)
class Late:
    """Models whose run destroys what `sql` writes after the rows were counted, what of it stays and what is said."""

    after: State
    sql: str = "UPDATE shop_item SET size = 7"
    kept: tuple[str, str, object] = ("shop_item", "size", 7)
    words: str
    options: dict[str, object] = field(default_factory=dict)


LATE = {
    "column": Late(after=stocked(size=None), words="Drop column shop_item.size would lose 1 value, written by"),
    "beside a rename": Late(
        after=stocked(size=None, name=None, title=NAME),
        words="Drop column shop_item.size would lose 1 value",
        options={"renames": {"shop_item.name": "title"}},
    ),
    "table": Late(
        after=State(Item={"name": NAME, "size": SIZE, "price": PRICE}),
        sql="INSERT INTO shop_box (name) VALUES ('late')",
        kept=("shop_box", "name", "late"),
        words="Drop table shop_box would lose 2 rows",
    ),
    "converted": Late(
        after=stocked(price=models.DecimalField(max_digits=6, decimal_places=1, null=True)),
        sql="UPDATE shop_item SET price = 1.25",
        kept=("shop_item", "price", Decimal("1.25")),
        words="Change column shop_item.price: type decimal(6,2) to decimal(6,1) would lose 1 value",
    ),
    "converted and filled": Late(
        after=stocked(price=models.DecimalField(max_digits=6, decimal_places=1, default=3)),
        sql="UPDATE shop_item SET price = 1.25",
        kept=("shop_item", "price", Decimal("1.25")),
        words="would lose 1 value",
    ),
    "made anew": Late(after=stocked(size=models.UUIDField(null=True)), words="would lose 1 value"),
    "computed": Late(
        after=stocked(
            size=models.GeneratedField(expression=F("price") + 1, output_field=SIZE.clone(), db_persist=True)
        ),
        words="would lose 1 value",
    ),
}


@pytest.fixture
def other(case):
    """Another session on the same database, which waits for no lock."""
    connection = connections.create_connection(case.alias)
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION lock_wait_timeout = 0")
    yield connection
    connection.close()


@contextmanager
def interrupted(case, is_moment, write):
    """Call a function right before the statements of the run for which the moment is right."""

    def wrapper(execute, statement, params, many, context):
        if is_moment(statement):
            write()
        return execute(statement, params, many, context)

    with case.connection.execute_wrapper(wrapper):
        yield


def is_lock(statement):
    return statement.startswith("LOCK TABLES")


def is_destroying(statement):
    words = ("DROP COLUMN `size`", "DROP TABLE `shop_box`", "MODIFY `price`")
    return any(word in statement for word in words) and "RENAME" not in statement


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
def test_value_written_after_the_counting_stays(case, other, late):
    case.build(STOCKED)
    case.insert(STOCKED, STOCK)

    def write():
        with other.cursor() as cursor:
            cursor.execute(late.sql)

    with interrupted(case, is_lock, write), pytest.raises(ExecutionFailed) as caught:
        case.run(late.after, **late.options)
    assert late.words in str(caught.value) and "written by somebody else" in str(caught.value)
    assert caught.value.pending and (*caught.value.applied, *caught.value.pending) == caught.value.plan.statements
    table, column, value = late.kept
    assert {found for (found,) in case.values(table, column)} == {value}
    write()  # nothing is locked any more


@pytest.mark.parametrize("late", [LATE["column"], LATE["table"], LATE["converted"]], ids=["column", "table", "type"])
def test_nobody_else_writes_while_values_are_destroyed(case, other, late):
    case.build(STOCKED)
    case.insert(STOCKED, STOCK)
    errors = []

    def write():
        with pytest.raises(OperationalError) as caught, other.cursor() as cursor:
            cursor.execute(late.sql)
        errors.append(caught.value.args[0])

    with interrupted(case, is_destroying, write):
        case.run(late.after)
    assert errors == [faults.LOCK_WAIT_TIMEOUT]
    case.assert_settled(late.after)


def test_loss_that_was_accepted_needs_no_lock(case):
    case.build(STOCKED)
    case.insert(STOCKED, STOCK)
    with interrupted(case, is_lock, lambda: pytest.fail("locked")):
        case.run(stocked(size=None, price=None), accept_data_loss=True)


def test_lock_that_cannot_be_had_is_found_out_before_anything_is_changed(case, other):
    case.build(STOCKED)
    case.insert(STOCKED, STOCK)
    trace = fingerprint(case.connection)
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute("SELECT * FROM shop_item")
    after = State(Item={"name": NAME, "price": PRICE}, Box={"name": models.TextField()})
    with pytest.raises(LockNotAvailable, match="before it changed a table"):
        case.run(after, lock_timeout=1)
    other.rollback()
    assert fingerprint(case.connection) == trace
    case.run(after, lock_timeout=1)


# Views and triggers

KEPT = stocked()
READERS = {
    "view": ("CREATE VIEW v AS SELECT id, size FROM shop_item", "view v depends"),
    "view that selects all": ("CREATE VIEW v AS SELECT * FROM shop_item", "view v depends"),
    "condition of a view": ("CREATE VIEW v AS SELECT id FROM shop_item WHERE size > 0", "view v depends"),
    "view under an alias": ("CREATE VIEW v AS SELECT x.size FROM shop_box b, shop_item x", "view v depends"),
    "subquery of a view": ("CREATE VIEW v AS SELECT (SELECT max(size) FROM shop_item) AS most", "view v depends"),
    "quoted view": ("CREATE VIEW `my 'view` AS SELECT size AS `100 %` FROM shop_item", "view my 'view depends"),
}
ON_MARIADB = {
    "trigger": (
        "CREATE TRIGGER t BEFORE UPDATE ON shop_item FOR EACH ROW SET NEW.size = coalesce(NEW.size, 0)",
        "trigger t depends",
    ),
    "trigger's old row": (
        "CREATE TRIGGER t AFTER DELETE ON shop_item FOR EACH ROW "
        "BEGIN INSERT INTO shop_box (name) VALUES (OLD.size); END",
        "trigger t depends",
    ),
}
readers = pytest.mark.parametrize("name", [*READERS, *ON_MARIADB])


def reader(case, name):
    """The statement that makes something which reads a column, and the words by which it is named."""
    if name in ON_MARIADB:
        need(case.connection, "triggers that are read again")
    return (READERS | ON_MARIADB)[name]


def hazards_of(plan):
    return [hazard.message for judgement in plan.refused for hazard in judgement.hazards]


@readers
def test_what_reads_a_dropped_column(case, name):
    statement, words = reader(case, name)
    case.build(KEPT)
    case.execute(statement)
    plan = case.refused(KEPT, stocked(size=None), STOCK, "dependent", built=True)
    assert hazards_of(plan) == [f"Column shop_item.size cannot be dropped, because {words} on it"]
    case.execute("DROP VIEW IF EXISTS v, `my 'view`", "DROP TRIGGER IF EXISTS t")
    case.update(KEPT, stocked(size=None), built=True)


@readers
def test_what_reads_a_renamed_column(case, name):
    statement, words = reader(case, name)
    case.build(KEPT)
    case.execute(statement)
    after, renames = stocked(size=None, weight=SIZE), {"shop_item.size": "weight"}
    plan = case.refused(KEPT, after, STOCK, "dependent", built=True, renames=renames)
    assert hazards_of(plan) == [f"Column shop_item.size cannot be renamed, because {words} on it"]
    case.execute("DROP VIEW IF EXISTS v, `my 'view`", "DROP TRIGGER IF EXISTS t")
    case.run(after, renames=renames)


@pytest.mark.parametrize("query", ["SELECT name FROM shop_box", "SELECT count(*) FROM shop_box"])
def test_view_of_a_table_that_goes(case, query):
    without = State(Item={"name": NAME, "size": SIZE, "price": PRICE})
    case.build(KEPT)
    case.execute(f"CREATE VIEW v AS {query}", "CREATE VIEW other AS SELECT name FROM shop_item")
    plan = case.refused(KEPT, without, STOCK, "dependent", built=True)
    assert hazards_of(plan) == ["Table shop_box cannot be dropped, because view v depends on it"]
    renamed = State(Item={"name": NAME, "size": SIZE, "price": PRICE}, Chest={"name": NAME})
    plan = case.plan(renamed, renames={"shop_box": "shop_chest"})
    assert hazards_of(plan) == ["Table shop_box cannot be renamed, because view v depends on it"]
    case.execute("DROP VIEW v")
    case.run(renamed, renames={"shop_box": "shop_chest"})


def test_what_reads_something_else_stays_and_works(case):
    """A view that did not work before is nobody's reason either."""
    case.build(KEPT)
    case.insert(KEPT, STOCK)
    case.execute(
        "CREATE TABLE gone (size int)",
        "CREATE VIEW broken AS SELECT i.size FROM gone g, shop_item i",
        "DROP TABLE gone",
        "CREATE VIEW v AS SELECT name, price AS size FROM shop_item",
        "CREATE TRIGGER t BEFORE UPDATE ON shop_item FOR EACH ROW SET NEW.name = upper(NEW.name)",
        "CREATE VIEW joined AS SELECT name FROM v",
    )
    case.run(
        stocked(size=None, price=models.DecimalField(max_digits=9, decimal_places=2)), defaults={"shop.Item.price": 1}
    )
    case.execute("UPDATE shop_item SET name = 'b'")
    assert case.query("SELECT name, size FROM v JOIN joined USING (name)") == [("B", Decimal("1.50"))]


def test_views_of_another_database(case):
    name = case.connection.settings_dict["NAME"]
    case.build(KEPT)
    case.execute(f"CREATE DATABASE `{name}_reports`")
    try:
        case.execute(f"CREATE VIEW `{name}_reports`.v AS SELECT size FROM `{name}`.shop_item")
        plan = case.plan(stocked(size=None))
    finally:
        case.execute(f"DROP DATABASE `{name}_reports`")
    assert hazards_of(plan) == [f"Column shop_item.size cannot be dropped, because view {name}_reports.v depends on it"]
    assert case.plan(stocked(size=None)).changes and not case.plan(stocked(size=None)).refused


def test_view_and_what_is_dropped_are_seen_inside_a_transaction(case):
    case.build(KEPT)
    case.execute("CREATE VIEW v AS SELECT size FROM shop_item")
    with transaction.atomic(using=case.alias):
        case.execute("INSERT INTO shop_box (name) VALUES ('undone')")
        assert case.plan(stocked(size=None)).refused
        transaction.set_rollback(True, using=case.alias)
    assert case.values("shop_box", "name") == []


# Foreign keys made by hand, and runs that are ended halfway

CODE, WIDER_CODE = models.CharField(max_length=10), models.CharField(max_length=20)
CODED = State(
    Item={"code": models.CharField(max_length=10, unique=True), "size": SIZE},
    Box={"code": CODE, "size": SIZE},
)
CODED_WIDER = State(
    Item={"code": models.CharField(max_length=20, unique=True), "size": SIZE},
    Box={"code": WIDER_CODE, "size": models.BigIntegerField(null=True)},
)
CODES = {"Item": [{"code": "a"}], "Box": [{"code": "a"}]}
BY_HAND = "ALTER TABLE shop_box ADD CONSTRAINT by_hand FOREIGN KEY (code) REFERENCES shop_item (code) ON DELETE CASCADE"
CONSTRAINT = "CONSTRAINT `by_hand`"
VERBS = ("ALTER", "CREATE TABLE", "DROP TABLE", "INSERT", "UPDATE", "DELETE")


@contextmanager
def cut_off(case, other, number):
    """The server ends the run's session before the statement that changes something for the n-th time."""
    count = itertools.count(1)
    with interrupted(case, lambda sql: sql.startswith(VERBS) and next(count) == number, lambda: kill(case, other)):
        yield


def kill(case, other):
    with other.cursor() as cursor:
        cursor.execute("KILL %s", [case.connection.connection.thread_id()])


def test_foreign_key_made_by_hand_outlives_a_session_ended_at_any_statement(case, other):
    case.build(CODED)
    case.insert(CODED, CODES)
    case.execute(BY_HAND)
    wanted = [line for line in printed(case, "shop_box").splitlines() if CONSTRAINT in line]
    for number in itertools.count(1):
        with cut_off(case, other, number):
            try:
                case.run(CODED_WIDER)
            except ExecutionFailed as error:
                assert "connection to the server was lost" in str(error)
            else:
                break
        case.connection.close()
        plan = case.run(CODED_WIDER)
        assert [line for line in printed(case, "shop_box").splitlines() if CONSTRAINT in line] == wanted, plan.sql()
        case.assert_settled(CODED_WIDER, exact=False)
        case.run(CODED)
    assert number > 8
    case.execute("ALTER TABLE shop_box DROP FOREIGN KEY by_hand")
    assert is_actual(using=case.alias, apps=CODED_WIDER.apps)
    assert case.values("shop_box", "code") == [("a",)]


def test_foreign_key_made_by_hand_waits_for_a_run_that_has_both_its_tables(case, other):
    case.build(CODED)
    case.insert(CODED, CODES)
    case.execute(BY_HAND)
    with (
        interrupted(case, lambda sql: "MODIFY `code`" in sql, lambda: kill(case, other)),
        pytest.raises(ExecutionFailed),
    ):
        case.run(CODED_WIDER)
    case.connection.close()
    assert CONSTRAINT not in printed(case, "shop_box")
    autoupdate("shop.Box", using=case.alias, apps=CODED_WIDER.apps)
    assert CONSTRAINT not in printed(case, "shop_box")
    plan = case.run(CODED_WIDER)
    assert [change.new.name for change in plan.changes if isinstance(change, AddConstraint)] == ["by_hand"]
    assert CONSTRAINT in printed(case, "shop_box")
    assert is_actual(using=case.alias, apps=CODED_WIDER.apps)


def test_character_set_of_a_column_stays(case):
    state = item(name=models.CharField(max_length=20))
    case.build(state)
    case.execute(
        "ALTER TABLE shop_item CONVERT TO CHARACTER SET latin1",
        "ALTER TABLE shop_item MODIFY name varchar(20) CHARACTER SET utf8mb4 NOT NULL",
    )
    case.insert(state, {"Item": [{"name": "😀"}]})
    assert not case.plan(state, prune=True)
    assert case.values("shop_item", "name") == [("😀",)]
