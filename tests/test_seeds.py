"""Seed rows come back after the flush that ends each TransactionTestCase."""

import unittest

import pytest
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections
from django.db.models.signals import post_migrate
from django.test import TransactionTestCase

from automigrate_ext import ExecutionFailed, autoupdate, is_actual
from automigrate_ext.apps import seed_after_flush
from automigrate_ext.seeds import seed_again
from tests.seeds import called
from todo_demo.todo.models import TodoList

LIST = """
DELETE FROM todo_todolist WHERE title = 'Inbox';
INSERT INTO todo_todolist (title, color) VALUES ('Inbox', 'blue');
"""


@pytest.fixture
def seeded(connection, settings, tmp_path):
    """Return the alias of a database with the project's tables, a list and a group."""
    (tmp_path / "list.sql").write_text(LIST)
    entries = [str(tmp_path / "list.sql"), "tests.seeds.group_of_writers", "tests.seeds.note"]
    settings.AUTOMIGRATE = {"AFTER": {connection.alias: entries}}
    autoupdate(using=connection.alias)
    called.clear()
    return connection.alias


def rows(alias):
    groups = Group.objects.using(alias).values_list("name", "permissions__codename")
    return list(TodoList.objects.using(alias).values_list("title", flat=True)), list(groups)


SEEDED = (["Inbox"], [("writers", "add_todo")])


def run(tests):
    result = unittest.TestResult()
    unittest.TestSuite(tests).run(result)
    assert not [*result.errors, *result.failures, *result.skipped], result.errors + result.failures
    assert result.testsRun == len(tests)


def case_of(alias, **attributes):
    """Return a real TransactionTestCase of two tests, each of which has to find the seeds and then spoils them."""

    def spoil(self):
        self.assertEqual(rows(alias), SEEDED)
        TodoList.objects.using(alias).create(title="Of a test", color="red")
        Group.objects.using(alias).all().delete()

    tests = {"test_one": spoil, "test_two": spoil}
    return type("SpoilingTest", (TransactionTestCase,), {"databases": {alias}, **tests, **attributes})


def test_seeds_survive_transaction_test_cases(seeded):
    kind = case_of(seeded)
    run([kind("test_one"), kind("test_two")])
    assert rows(seeded) == SEEDED and called == [seeded, seeded]
    assert is_actual(using=seeded)


def test_flush_without_the_signal_leaves_it_to_the_runner(seeded):
    call_command("flush", database=seeded, interactive=False, verbosity=0, inhibit_post_migrate=True)
    assert rows(seeded) == ([], []) and called == []
    with pytest.raises(ExecutionFailed, match="group_of_writers raised AssertionError: no permission to give"):
        seed_again(seeded)
    undone = ([], []) if connections[seeded].features.can_rollback_ddl else (["Inbox"], [("writers", None)])
    assert rows(seeded) == undone
    ContentType.objects.clear_cache()
    call_command("flush", database=seeded, interactive=False, verbosity=0)
    assert rows(seeded) == SEEDED
    seed_again(seeded)
    assert rows(seeded) == SEEDED


def test_entry_that_no_run_has_run_is_not_run_after_a_flush(seeded, settings):
    settings.AUTOMIGRATE = {"AFTER": {seeded: ["tests.seeds.note"]}, "BEFORE": {seeded: ["tests.seeds.note_before"]}}
    call_command("flush", database=seeded, interactive=False, verbosity=0)
    assert called == [seeded]
    settings.AUTOMIGRATE = {"AFTER": {seeded: ["tests.seeds.note_before"]}}
    call_command("flush", database=seeded, interactive=False, verbosity=0)
    assert called == [seeded]


def test_migrate_does_not_seed(seeded):
    sent = []
    for using_plan in ({"plan": []}, {}):
        sent.append(using_plan)
        seed_after_flush(None, seeded, **using_plan)
    assert len(sent) == 2 and called == []
    assert seed_after_flush in [receiver() for _, receiver, *_ in post_migrate.receivers]
