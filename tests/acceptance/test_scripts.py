"""A plan as a script of SQL: run as it stands by the database's own shell, it does what a run does."""

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Lower

from tests.acceptance.helper import Case, State, fingerprint, item
from tests.features import need


@pytest.fixture
def route():
    """The tables come to be in one way: a script does what a run does."""
    return "automigrate"


NAME = models.CharField(max_length=20)
SIZE = models.IntegerField(null=True)
BEFORE = item(name=NAME, size=SIZE)
ROWS = {"Item": [{"name": "a", "size": 1}, {"name": "b", "size": 2}]}
#: What could end a statement, a text, a comment, or stand for something else in a shell.
NASTY = "it's 100% \\ \\n %s %(x)s; -- :name :'name' /* \"{}\"\n.quit\n\\q\n/\ngo\n$1 $$ é"
FILLED = models.CharField(max_length=200, default=NASTY)
PAIR = {"Target": {"name": NAME}, "Item": {"name": NAME, "to": models.ForeignKey("Target", models.CASCADE)}}
PAIR_ROWS = {"Target": [{"name": "t"}], "Item": [{"name": "a", "to_id": 1}]}


def generated():
    return models.GeneratedField(expression=F("size") * 2, output_field=models.IntegerField(), db_persist=True)


def meta(**options):
    return item(name=NAME, size=SIZE, Meta=options)


#: Models before and after, and the rows in between.
CHANGES = {
    "from_nothing": (State(), BEFORE, {}),
    "tables_that_refer_to_each_other": (
        State(),
        State(
            One={"two": models.ForeignKey("Two", models.CASCADE), "many": models.ManyToManyField("Two")},
            Two={"one": models.ForeignKey("One", models.CASCADE, related_name="+")},
        ),
        {},
    ),
    "added_columns": (BEFORE, item(name=NAME, size=SIZE, a=models.DateField(null=True), b=generated()), ROWS),
    "converted_columns": (BEFORE, item(name=models.TextField(), size=models.BigIntegerField(null=True)), ROWS),
    "forbidden_null": (BEFORE, item(name=NAME, size=models.IntegerField(default=7)), {"Item": [{"name": "a"}]}),
    "objects": (
        BEFORE,
        meta(
            indexes=[
                models.Index(Lower("name"), name="i"),
                models.Index(fields=["size"], name="j", condition=Q(size=1)),
            ],
            constraints=[
                models.UniqueConstraint(fields=["name"], name="u"),
                models.CheckConstraint(condition=Q(size__gt=0), name="c"),
            ],
        ),
        ROWS,
    ),
    "dropped_objects": (
        item(
            name=models.CharField(max_length=20, unique=True),
            size=models.IntegerField(null=True, db_index=True),
            Meta={"unique_together": [("name", "size")]},
        ),
        BEFORE,
        ROWS,
    ),
    "another_key": (
        State(**PAIR),
        State(Target={"id": models.AutoField(primary_key=True), "name": NAME}, Item=PAIR["Item"]),
        PAIR_ROWS,
    ),
    "added_key": (
        State(Target=PAIR["Target"], Item={"name": NAME, "to": models.BigIntegerField(db_column="to_id")}),
        State(**PAIR),
        {"Target": [{"name": "t"}], "Item": [{"name": "a", "to": 1}]},
    ),
    "nasty_value": (BEFORE, item(name=NAME, size=SIZE, note=FILLED), ROWS),
    "nasty_default": (BEFORE, item(name=NAME, size=SIZE, note=models.TextField(db_default=Value(NASTY))), ROWS),
    "nasty_check": (
        BEFORE,
        meta(constraints=[models.CheckConstraint(condition=~Q(name=NASTY) & ~Q(name__contains="%;"), name="c")]),
        ROWS,
    ),
    "nasty_names": (
        BEFORE,
        item(name=NAME, size=SIZE, note=models.IntegerField(null=True, db_column="a;b -- c\\")),
        ROWS,
    ),
    "withheld": (BEFORE, item(name=NAME, more=models.IntegerField(null=True)), ROWS),
}
ON_POSTGRESQL = {
    "nasty_comments": (
        BEFORE,
        # Django's own editor, which makes what the outcome is compared with, cannot do percent signs here.
        item(name=models.CharField(max_length=20, db_comment=NASTY.replace("%", "")), size=SIZE),
        ROWS,
    ),
    "becomes_identity": (
        item(id=models.IntegerField(primary_key=True), name=NAME),
        item(id=models.AutoField(primary_key=True), name=NAME),
        {"Item": [{"id": 4, "name": "a"}]},
    ),
}


def psql(connection, path):
    """Run a script as the reference says."""
    found = shutil.which("psql")
    if not found:
        pytest.skip("psql is not installed")
    settings = connection.settings_dict
    variables = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD", "PGDATABASE": "NAME"}
    given = {name: str(settings[key]) for name, key in variables.items() if settings[key]}
    given |= {f"PG{name.upper()}": str(value) for name, value in settings["OPTIONS"].items() if name == "host"}
    arguments = [found, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(path)]
    done = subprocess.run(arguments, env={**os.environ, **given}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def sqlite_shell(connection, path):
    """Run a script as the reference says."""
    found = shutil.which("sqlite3")
    if not found:
        pytest.skip("the sqlite3 shell is not installed")
    with path.open() as script:
        arguments = [found, "-batch", "-bail", str(connection.settings_dict["NAME"])]
        done = subprocess.run(arguments, stdin=script, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr


def mariadb_shell(connection, path):
    """Run a script as the reference says."""
    found = shutil.which("mariadb")
    if not found:
        pytest.skip("the mariadb shell is not installed")
    settings = connection.settings_dict
    where = "socket" if settings["HOST"].startswith("/") else "host"
    options = {where: "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD"}
    given = [f"--{name}={settings[key]}" for name, key in options.items() if settings[key]]
    with path.open() as script:
        arguments = [found, "--no-defaults", "--default-character-set=utf8mb4", *given, str(settings["NAME"])]
        done = subprocess.run(arguments, stdin=script, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def executescript(connection, path):
    """Run a script with Python's own module."""
    database = sqlite3.connect(connection.settings_dict["NAME"])
    try:
        database.executescript(path.read_text())
    finally:
        database.close()


def play(case, shell, change, tmp_path):
    before, after, rows = change
    case.build(before)
    case.insert(before, rows)
    kept = case.survivors(before)
    plan = case.plan(after)
    assert not plan.refused
    path = Path(tmp_path / "changes.sql")
    path.write_text(plan.sql())
    case.connection.close()
    shell(case.connection, path)
    case.assert_survived(kept, plan, {"shop_item.size"})
    case.assert_settled(after, exact=not plan.withheld)
    return plan


@pytest.mark.parametrize("name", [*CHANGES, *ON_POSTGRESQL])
def test_psql(pg, name, tmp_path):
    play(pg, psql, {**CHANGES, **ON_POSTGRESQL}[name], tmp_path)


@pytest.mark.parametrize("shell", [sqlite_shell, executescript])
@pytest.mark.parametrize("name", CHANGES)
def test_sqlite(lite, shell, name, tmp_path):
    play(lite, shell, CHANGES[name], tmp_path)


@pytest.mark.parametrize("name", CHANGES)
def test_mariadb(mariadb, name, tmp_path):
    play(Case(mariadb, "automigrate"), mariadb_shell, CHANGES[name], tmp_path)


def test_the_value_that_was_asked_for(case, tmp_path):
    shells = {"postgresql": psql, "sqlite": executescript, "mysql": mariadb_shell}
    play(case, shells[case.vendor], CHANGES["nasty_value"], tmp_path)
    assert case.values("shop_item", "note") == [(NASTY,), (NASTY,)]


def test_failing_script_changes_nothing(case, tmp_path):
    need(case.connection, "atomic DDL")
    case.build(BEFORE)
    case.insert(BEFORE, ROWS)
    script = case.plan(item(name=models.TextField(), size=models.IntegerField(default=3))).sql()
    trace = fingerprint(case.connection)
    path = Path(tmp_path / "changes.sql")
    path.write_text(script.replace("COMMIT;", "SELECT no_such_thing;\nCOMMIT;"))
    case.connection.close()
    with pytest.raises(AssertionError, match="no_such_thing"):
        (psql if case.vendor == "postgresql" else sqlite_shell)(case.connection, path)
    assert fingerprint(case.connection) == trace


def test_costs_and_withheld_are_comments(case):
    case.build(BEFORE)
    case.insert(BEFORE, ROWS)
    script = case.plan(item(name=models.CharField(max_length=10), more=models.IntegerField(null=True))).sql()
    costs = {
        "postgresql": "-- shop_item: rewrites the table (2 rows), takes an exclusive lock\n",
        "sqlite": "-- shop_item: rebuilds the table (2 rows)\n",
        "mysql": "-- shop_item: copies the table while writes wait (2 rows)\n",
    }
    assert costs[case.vendor] in script
    assert script.startswith("-- Keep column shop_item.size (2 values)\n")


def test_refused_script_is_nothing_but_comments(case):
    """Not even a text with line breaks gets out of them."""
    case.build(BEFORE)
    case.insert(BEFORE, {"Item": [{"name": NASTY[:20], "size": 1}]})
    condition = Q(name=Value("\n; DROP TABLE shop_item;\r\n-- "))
    after = meta(constraints=[models.CheckConstraint(condition=condition, name="c")])
    script = case.plan(after).sql()
    assert "DROP TABLE" in script
    lines = script.replace("\r", "\n").split("\n")
    assert all(line.startswith("--") for line in lines if line.strip())


def test_partial_unique_constraint_without_text(case):
    need(case.connection, "covering indexes")
    script = case.plan(meta(constraints=[models.UniqueConstraint(fields=["name"], include=["size"], name="u")])).sql()
    assert script.count("CREATE UNIQUE INDEX") == 1
