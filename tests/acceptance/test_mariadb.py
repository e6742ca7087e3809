"""What only MariaDB and MySQL do: comments and collations that MODIFY forgets, commits in between, loose modes."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.db import connections, models, transaction
from django.db.models.functions import Lower

from automigrate_ext import ExecutionFailed, autoupdate, is_actual
from automigrate_ext.backends.mysql import session
from tests.acceptance.helper import Case, State, item

NAME = models.CharField(max_length=20)
SIZE = models.IntegerField(null=True)
BEFORE = item(name=NAME, size=SIZE)
ROWS = {"Item": [{"name": "a", "size": 1}, {"name": "b", "size": 2}]}


@pytest.fixture
def case(mariadb):
    return Case(mariadb, "automigrate")


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
    assert "CHECK (`size` >= 0)" in line_of(case, "size")


def test_charset_engine_and_collation_of_a_table_are_nobodys_difference(case):
    case.build(BEFORE)
    case.execute("ALTER TABLE shop_item CONVERT TO CHARACTER SET latin1 COLLATE latin1_german1_ci, ENGINE=Aria")
    assert is_actual(using=case.alias, apps=BEFORE.apps)
    after = item(name=models.CharField(max_length=30), size=SIZE, more=models.TextField(null=True))
    case.update(BEFORE, after, ROWS, built=True, exact=False)
    assert "ENGINE=Aria" in printed(case)
    assert "COLLATE=latin1_german1_ci" in printed(case)
    assert "utf8" not in printed(case)


def test_collation_that_the_model_names_is_a_difference(case):
    after = item(name=models.CharField(max_length=20, db_collation="utf8mb4_bin"), size=SIZE)
    case.update(BEFORE, after, ROWS, altered=["shop_item.name"])
    case.update(after, BEFORE, built=True, altered=["shop_item.name"])


def test_attribute_that_no_model_has_outlives_a_change(case):
    case.build(BEFORE)
    case.execute("ALTER TABLE shop_item MODIFY size int INVISIBLE DEFAULT NULL")
    case.run(item(name=NAME, size=models.BigIntegerField(null=True)))
    assert line_of(case, "size") == "`size` bigint(20) INVISIBLE DEFAULT NULL"


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


def test_driver_that_sends_one_statement_at_a_time(case):
    case.connection.close()
    case.connection.settings_dict["OPTIONS"]["multi_statements"] = False
    try:
        case.update(BEFORE, item(name=NAME, size=models.BigIntegerField(null=True)), ROWS)
    finally:
        case.connection.settings_dict["OPTIONS"].pop("multi_statements")


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
