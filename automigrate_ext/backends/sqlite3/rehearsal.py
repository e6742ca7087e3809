"""Rehearse a plan on SQLite: in a database in memory with the same definitions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace as evolve
from functools import partial

from django.db.utils import DatabaseError

from automigrate_ext.backends.rehearsal import Objection, Rehearsal, set_scene
from automigrate_ext.backends.sqlite3.health import examine
from automigrate_ext.backends.sqlite3.introspection import Catalog, Entry, read_catalog, unquoted
from automigrate_ext.backends.sqlite3.scratch import memory
from automigrate_ext.backends.sqlite3.session import may_break
from automigrate_ext.backends.sqlite3.tokens import fold
from automigrate_ext.backends.work import Step, Work
from automigrate_ext.schema.changes import (
    AlterPrimaryKey,
    Change,
    DropColumn,
    DropConstraint,
    DropIndex,
    DropTable,
)

#: The changes that may take away a key at which foreign keys point.
LOSES_KEYS = (AlterPrimaryKey, DropColumn, DropConstraint, DropIndex, DropTable)

NAMES = "SELECT name FROM sqlite_master"
UNENFORCED = "COMMIT", "PRAGMA foreign_keys = OFF", "BEGIN"


class SQLiteRehearsal(Rehearsal):
    """Plays the statements in a database in memory, where foreign keys are not enforced, as in a run."""

    def play(self, work: Work, steps: Sequence[Step]) -> tuple[Objection, ...]:
        scene = set_scene(work)
        if scene is None:
            return ()
        with self.connection.cursor() as cursor:
            catalog = read_catalog(cursor)
        steps = self.backend.compile(evolve(work, changes=scene.changes))
        with memory(self.connection) as database:
            try:
                copy(database, catalog, (*scene.tables, *pointing(catalog, scene.changes)))
            except sqlite3.Error as error:
                self.note(f"their copies cannot be made ({error})")
                return ()
            before = examine(database) if any(may_break(step.sql) for step in steps) else None
            found = tuple(self.objections(steps, scene, partial(execute, database)))
            if found or before is None:
                return found
            return tuple(Objection(words=f"after it {words}") for words in examine(database).worse(before))


def copy(database: sqlite3.Connection, catalog: Catalog, names: Iterable[str]) -> None:
    """Make the named tables, all views and triggers, and what these may read. Raises `sqlite3.Error`."""
    for statement in UNENFORCED:
        database.execute(statement)
    readers = (*catalog.views.values(), *catalog.all_triggers)
    texts = fold("\n".join(entry.sql for entry in readers))
    for entry in mentioned(catalog.virtual, texts):
        database.execute(entry.sql)
    # A virtual table makes the tables in which it keeps its data.
    there = {fold(name) for (name,) in database.execute(NAMES)}
    wanted = {key: catalog.tables[key] for name in names if (key := fold(unquoted(name))) in catalog.tables}
    for entry in (*wanted.values(), *mentioned(catalog.tables, texts)):
        if (key := fold(entry.name)) in there:
            continue
        there.add(key)
        for sql in (entry.sql, *(index.sql for index in catalog.indexes.get(key, ()))):
            database.execute(sql)
    for entry in readers:
        database.execute(entry.sql)


def pointing(catalog: Catalog, changes: Iterable[Change]) -> Iterator[str]:
    """Yield the tables whose foreign keys may lose the key that they point at, as far as the names in them show."""
    losing = {fold(unquoted(change.table)) for change in changes if isinstance(change, LOSES_KEYS)}
    for entry in catalog.tables.values() if losing else ():
        text = fold(entry.sql)
        if "references" in text and any(name.replace('"', '""') in text or name in text for name in losing):
            yield entry.name


def mentioned(entries: Mapping[str, Entry], texts: str) -> Iterator[Entry]:
    """Yield the tables whose names occur in the texts, be it as the names of something else."""
    return (entry for key, entry in entries.items() if key.replace('"', '""') in texts or key in texts)


def execute(database: sqlite3.Connection, step: Step) -> None:
    """Execute the statement of a step. Raises `DatabaseError` where SQLite does not accept it."""
    try:
        database.execute(step.sql)
    except sqlite3.Error as error:
        raise DatabaseError(str(error)) from error
