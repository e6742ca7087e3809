"""All or nothing: whatever goes wrong, and at whichever statement, the database is as it was."""

import subprocess
import sys
from contextlib import contextmanager

import pytest
from django.db import DatabaseError, models, transaction
from django.db.models import F, Q

from automigrate_ext import AutomigrateError, NotConverged, automigrate
from automigrate_ext.backends import base
from tests.acceptance.helper import Case, State, fingerprint
from tests.features import need


class Stop(KeyboardInterrupt):
    """Ctrl-C, told from the one that somebody presses while the tests run."""


def before():
    return State(
        Shelf={"name": models.CharField(max_length=9, unique=True), "gone": models.TextField()},
        Item={
            "shelf": models.ForeignKey("Shelf", models.CASCADE),
            "size": models.IntegerField(null=True),
            "twice": models.GeneratedField(
                expression=F("size") * 2, output_field=models.IntegerField(), db_persist=True
            ),
            "tags": models.ManyToManyField("Shelf", related_name="+"),
            "Meta": {"indexes": [models.Index(fields=["size"], name="old")]},
        },
        Empty={"name": models.TextField()},
    )


def after():
    return State(
        Shelf={
            "id": models.CharField(max_length=12, primary_key=True),
            "name": models.TextField(unique=True, db_index=True),
        },
        Item={
            "shelf": models.ForeignKey("Shelf", models.CASCADE),
            "size": models.BigIntegerField(default=3),
            "twice": models.GeneratedField(
                expression=F("size") * 3, output_field=models.BigIntegerField(), db_persist=True
            ),
            "tags": models.ManyToManyField("Shelf", related_name="+"),
            "note": models.TextField(default="n"),
            "Meta": {
                "indexes": [models.Index(fields=["size"], name="new")],
                "constraints": [models.CheckConstraint(condition=Q(size__gt=0), name="c")],
            },
        },
        New={"item": models.ForeignKey("Item", models.CASCADE)},
    )


ROWS = {
    "Shelf": [{"name": "a", "gone": "g"}, {"name": "b", "gone": "h"}],
    "Item": [{"shelf_id": 1, "size": 1}, {"shelf_id": 2, "size": None}],
    "Item.tags": [{"item_id": 1, "shelf_id": 2}],
}


@pytest.fixture
def case(connection):
    case = Case(connection, "automigrate")
    case.build(before())
    case.insert(before(), ROWS)
    return case


@contextmanager
def failing(connection, number, error):
    """Let the statement of that number fail; yields the statements that came so far."""
    seen = []

    def wrapper(execute, sql, params, many, context):
        seen.append(sql)
        if len(seen) - 1 == number:
            raise error
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper):
        yield seen


def assert_no_trace(case, run, number, error, trace):
    """Let the statement fail; return it, or None where the run ends before its turn comes."""
    with failing(case.connection, number, error) as seen:
        try:
            run()
        except (DatabaseError, AutomigrateError, Stop):
            assert fingerprint(case.connection) == trace, f"after statement {number}: {seen[-1]}"
            assert not case.connection.in_atomic_block
            return seen[-1]
        assert len(seen) <= number, f"statement {number} failed and the run went on: {seen[number]}"
        return None


def fail_everywhere(case, run):
    """Interrupt the run at each statement, and let each that changes something fail; then let it end."""
    trace = fingerprint(case.connection)
    number = 0
    while (statement := assert_no_trace(case, run, number, Stop(), trace)) is not None:
        if statement.split()[0] in ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE"):
            assert assert_no_trace(case, run, number, DatabaseError("broken"), trace)
        number += 1
    assert number > 20


def test_error_or_interrupt_at_any_statement_of_autoupdate_leaves_no_trace(case):
    need(case.connection, "atomic DDL")
    fail_everywhere(case, lambda: case.run(after()))
    case.assert_settled(after(), exact=False)


def test_error_or_interrupt_at_any_statement_of_automigrate_leaves_no_trace(case):
    need(case.connection, "atomic DDL")
    fail_everywhere(case, lambda: automigrate(using=case.alias, apps=before().apps))
    assert case.values("shop_item", "id") == []


def test_run_that_does_not_converge_is_undone(case, monkeypatch):
    """A statement that is lost on its way is found missing, and the rest of the run undone."""
    need(case.connection, "atomic DDL")
    trace = fingerprint(case.connection)
    run = base.Backend.run

    def lose_one(self, steps):
        run(self, [step for step in steps if '"new"' not in step.sql or "INDEX" not in step.sql])

    backend = type(case.backend)
    monkeypatch.setattr(backend, "run", lose_one)
    with pytest.raises(NotConverged, match="new"):
        case.run(after())
    assert fingerprint(case.connection) == trace


def test_run_inside_a_transaction_of_the_caller_is_undone_with_it(case):
    need(case.connection, "changes in a transaction")
    trace = fingerprint(case.connection)
    with transaction.atomic(using=case.alias):
        case.run(after())
        transaction.set_rollback(True, using=case.alias)
    assert fingerprint(case.connection) == trace


KILLED = """
import os, sys
import django
from django.conf import settings
from tests.database_url import parse_database_url
settings.configure(
    DATABASES={"default": parse_database_url(sys.argv[1])},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
)
django.setup()
from django.db import connection
from tests.acceptance.test_atomicity import after
from automigrate_ext import autoupdate
seen = []
def wrapper(execute, sql, params, many, context):
    result = execute(sql, params, many, context)
    seen.append(sql)
    if 'INDEX "new"' in sql:
        os._exit(9)
    return result
with connection.execute_wrapper(wrapper):
    autoupdate(apps=after().apps)
"""


def test_killed_process_leaves_no_trace(case, database_url):
    need(case.connection, "atomic DDL")
    trace = fingerprint(case.connection)
    done = subprocess.run([sys.executable, "-c", KILLED, database_url], capture_output=True, text=True, timeout=60)
    assert done.returncode == 9, done.stderr
    assert fingerprint(case.connection) == trace
    case.run(after())
