"""What runs write to the logger "automigrate_ext"."""

import json
import logging

import pytest
from django.db import models

from automigrate_ext import (
    Answers,
    Declined,
    ExecutionFailed,
    Refused,
    automigrate,
    autoupdate,
    is_actual,
    make_plan,
    run_plan,
)
from automigrate_ext.run.log import logger
from tests.acceptance.helper import State, item
from tests.management.test_commands import run

TITLE = models.CharField(max_length=9)


@pytest.fixture
def lines(caplog):
    """Return a function that returns the level and text of each record since its last call."""
    caplog.set_level(logging.INFO, "automigrate_ext")

    def take():
        found = [(record.levelname, record.message) for record in caplog.records if record.name == "automigrate_ext"]
        caplog.clear()
        return found

    return take


def texts(records, level="INFO"):
    return [message.partition(": ")[2] for found, message in records if found == level]


def build(connection):
    state = item(title=TITLE, size=models.IntegerField())
    autoupdate(using=connection.alias, apps=state.apps)
    state["Item"].objects.using(connection.alias).create(title="a", size=1)


def test_each_change_and_the_run(connection, lines):
    build(connection)
    (first, last) = lines()
    assert first[1].startswith(f"autoupdate of database '{connection.alias}': Create table shop_item (3 columns")
    assert last[0] == "INFO" and "1 change applied in " in last[1]
    after = item(title=TITLE, due=models.DateField(null=True))
    autoupdate(using=connection.alias, apps=after.apps)
    records = lines()
    assert texts(records, "WARNING") == ["Keep column shop_item.size (1 value, now nullable)."]
    added, optional, counts = texts(records)
    assert added.startswith("Add column shop_item.due") and optional.startswith("Change column shop_item.size")
    assert counts.startswith("1 change applied, 1 column made nullable, 1 column kept in ")
    autoupdate(using=connection.alias, apps=after.apps)
    assert [text.partition(" in ")[0] for text in texts(lines())] in (["1 column kept."], ["nothing to do."])


def test_refused_run(connection, lines):
    build(connection)
    lines()
    with pytest.raises(Refused):
        autoupdate(
            using=connection.alias, apps=item(title=TITLE, size=models.IntegerField(), n=models.IntegerField()).apps
        )
    reason, end = texts(lines(), "WARNING")
    assert reason.startswith("Refused: Column shop_item.n is required and the table has 1 row without a value for it.")
    assert end == "refused for 1 of its changes; nothing was done."


def test_run_that_fails(connection, lines, monkeypatch):
    def fail(*args, **options):
        raise ExecutionFailed("The disk is full.")

    monkeypatch.setattr("automigrate_ext.run.update.execute", fail)
    with pytest.raises(ExecutionFailed):
        autoupdate(using=connection.alias, apps=item(title=TITLE).apps)
    assert texts(lines(), "ERROR") == ["failed: The disk is full."]


def test_run_that_is_called_off_has_no_time(connection, lines):
    def decline(plan):
        raise Declined("No.")

    state = item(title=TITLE)
    with pytest.raises(Declined):
        autoupdate(using=connection.alias, apps=state.apps, ask=decline)
    assert texts(lines()) == ["called off; no table was changed."]
    autoupdate(using=connection.alias, apps=state.apps, ask=lambda plan: Answers(exactly=True))
    assert texts(lines())[-1] == "1 change applied."


def test_what_only_looks_writes_nothing(connection, lines):
    state = item(title=TITLE)
    make_plan(using=connection.alias, apps=state.apps)
    is_actual(using=connection.alias, apps=state.apps)
    autoupdate(using=connection.alias, apps=state.apps, dry_run=True)
    automigrate(using=connection.alias, apps=state.apps, dry_run=True)
    assert lines() == []


def test_saved_plans_and_automigrate(connection, lines):
    state = item(title=TITLE)
    run_plan(make_plan(using=connection.alias, apps=state.apps), apps=state.apps)
    assert len(lines()) == 2
    automigrate(using=connection.alias, apps=state.apps)
    *_, last = lines()
    assert last[1].startswith(f"automigrate of database '{connection.alias}': 2 changes applied in ")


def test_commands_write_the_same(connection, lines, caplog):
    out, _, status = run("autoupdate", "todo", database=connection.alias, format="json")
    assert status == 0 and json.loads(out)["statements"]
    assert {(record.database, record.command) for record in caplog.records} == {(connection.alias, "autoupdate")}
    assert len(texts(lines())) == 4


def test_nothing_is_printed_where_the_project_has_no_handler(connection, lines, capfd, monkeypatch):
    monkeypatch.setattr(logger, "propagate", False)
    build(connection)
    autoupdate(using=connection.alias, apps=State(Item={"title": TITLE}).apps)
    captured = capfd.readouterr()
    assert (captured.out, captured.err, lines()) == ("", "", [])
