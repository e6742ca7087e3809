"""Have Django make test databases from the models: its own ways of creating and cloning them, with other contents.

Only what is inside `create_test_db`, `clone_test_db` and `serialize_db_to_string` is replaced, so that settings,
mirrors, names, suffixes, third-party backends and everything that calls `setup_databases` stay as they are.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

from django.apps import apps
from django.conf import settings
from django.core import management, serializers
from django.db import connections, router
from django.db.backends.base.creation import BaseDatabaseCreation

from automigrate_ext.backends import copies_for
from automigrate_ext.backends.copies import Copies, short
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.run.migrations import Modules
from automigrate_ext.run.record_table import TABLE as RECORD
from automigrate_ext.run.record_table import RecordTable
from automigrate_ext.testing import stamp, use
from automigrate_ext.testing.bootstrap import ANEW, Bootstrap, load_soon, reason
from automigrate_ext.testing.outcome import Outcome
from automigrate_ext.testing.stamp import Stamp
from automigrate_ext.waiting import tell_nobody

#: How the names of files end that name a database to drop.
TO_DROP = ".drop"
#: Django's own methods, whatever is put in their place later.
CREATE: Callable[..., str] = BaseDatabaseCreation.create_test_db
CLONE: Callable[..., None] = BaseDatabaseCreation.clone_test_db


@dataclass(slots=True, kw_only=True)
class TestRun:
    """One run of tests in one process, and what came of its databases.

    `identifier` is the same in all processes of the run. `worker` is the name of this one among several, by which the
    names of its databases end; `shared` is a directory that all of them see. `stays` says that databases are there
    after the run, also where they are made anew. `used` are those of them, by alias, that are marked as in use until
    `release` is called.
    """

    __test__ = False

    identifier: str = field(default_factory=lambda: uuid.uuid4().hex)
    worker: str = ""
    shared: Path | None = None
    stays: bool = False
    outcomes: list[Outcome] = field(default_factory=list)
    used: list[tuple[str, str]] = field(default_factory=list)
    modules: Modules = field(default_factory=lambda: settings.MIGRATION_MODULES)

    def template_of(self, name: str) -> str:
        """The database of which the worker's is a copy; its own name where it is none."""
        return name.removesuffix(f"_{self.worker}") if self.worker else name

    def note(self, alias: str) -> Path:
        """Where the processes tell each other what the database has that they copy, once it is there."""
        assert self.shared is not None
        return self.shared / f"{self.identifier}-{alias}.json"

    def leave_to_drop(self, alias: str, name: str) -> None:
        """Note for the process that started the others that this database is to be dropped, once all have ended."""
        assert self.shared is not None
        (self.shared / f"{short([alias, name])}{TO_DROP}").write_text(json.dumps([alias, name]))

    def release(self) -> None:
        """Say in the kept databases that the tests have ended in good order."""
        for alias, name in self.used:
            # Tests, or another run of them, may have dropped it.
            if copies_for(connections[alias], tell_nobody).exists(name):
                with at(connections[alias], name):
                    use.unmark(RecordTable(alias))
        self.used.clear()


def left_to_drop(shared: Path) -> Iterator[tuple[str, str]]:
    """The databases, by alias, that the processes which shared the directory have left to drop."""
    for path in shared.glob(f"*{TO_DROP}"):
        alias, name = json.loads(path.read_text())
        yield alias, name


@contextmanager
def bootstrapping(run: TestRun | None = None) -> Iterator[TestRun]:
    """Have Django make test databases from the models, and not by migrations, while the block lasts.

    Gives the run, with an `Outcome` for each database in `outcomes`. For test runners and fixtures of one's own:
    whatever calls `setup_databases` inside is concerned.
    """
    made = Maker(run or TestRun())

    def create_test_db(creation: Any, *args: Any, **options: Any) -> str:
        return made.create(creation, *args, **options)

    def clone_test_db(creation: Any, *args: Any, **options: Any) -> None:
        made.clone(creation, *args, **options)

    with (
        mock.patch.object(BaseDatabaseCreation, "create_test_db", create_test_db),
        mock.patch.object(BaseDatabaseCreation, "clone_test_db", clone_test_db),
        mock.patch.object(BaseDatabaseCreation, "serialize_db_to_string", serialize),
    ):
        yield made.run


class Maker:
    """Makes the test databases of a run."""

    def __init__(self, run: TestRun) -> None:
        self.run = run
        self.stamps: dict[str, Stamp] = {}

    def create(self, creation: Any, *args: Any, keepdb: bool = False, **options: Any) -> str:
        """Make one database, as `create_test_db` does: the only one, or a worker's copy."""
        name = str(creation._get_test_db_name())
        if is_in_memory(creation, name):
            return self.create_in_memory(creation, args, options)
        copies = copies_for(creation.connection, creation.log)
        template = self.run.template_of(name)
        options["keepdb"] = keepdb
        stays = keepdb or self.run.stays
        if template != name:
            copies.forbid_unfit(name)
            self.create_copy(creation, copies, template, name, args, options, stays=stays)
            return name
        with copies.lock(name):
            self.build(creation, args, options, stays=stays)
            self.mark(creation.connection, name, stays=stays)
        return name

    def create_copy(
        self,
        creation: Any,
        copies: Copies,
        template: str,
        name: str,
        args: tuple[Any, ...],
        options: dict[str, Any],
        *,
        stays: bool,
    ) -> None:
        """Make a worker's copy: the first one makes what is copied and notes that, and then all copy it at once."""
        # Its own process drops a copy, unless it is interrupted meanwhile.
        for database in () if stays else (template, name):
            self.run.leave_to_drop(creation.connection.alias, database)
        note = self.run.note(creation.connection.alias)
        with copies.lock(template, unless=note.exists) as share:
            if not note.exists():
                with left(copies, template), test_name(creation, template):
                    self.build(creation, args, options, stays=stays)
                stamp.note(note, self.stamps[template])
            share()
            wanted = stamp.parse(note.read_text())
            self.copy(copies, template, name, wanted, keepdb=options["keepdb"])
        connect_to(creation.connection, name)
        creation.connection.ensure_connection()
        self.take_up(creation.connection, template, name, wanted, stays=stays)

    def take_up(self, connection: Any, source: str, target: str, wanted: Stamp | None, *, stays: bool) -> None:
        """Begin to use a copy, to which the connection is. Raises `AutomigrateError` if it is one of something else."""
        if wanted is not None:
            found, _ = stamp.read(connection.alias, [RECORD])
            if found is None or found.version != wanted.version:
                raise AutomigrateError(
                    f"The test database {source!r} was changed by another run of tests while this one made copies of "
                    f"it. Let the runs follow each other, or give each databases of its own by TEST NAME in DATABASES."
                )
        self.mark(connection, target, stays=stays)

    def mark(self, connection: Any, name: str, *, stays: bool) -> None:
        """Say in a database that stays, to which the connection is, that tests use it."""
        if stays:
            use.mark(RecordTable(connection.alias))
            self.run.used.append((connection.alias, name))

    def build(self, creation: Any, args: tuple[Any, ...], options: dict[str, Any], *, stays: bool) -> None:
        """Let Django create the database, and fill it from the models where it would have called `migrate`."""
        if not stays:
            load_soon(creation.connection.vendor)
        bootstrap = Bootstrap(alias=creation.connection.alias, modules=self.run.modules)
        remade = ""

        def migrate(verbosity: int) -> None:
            nonlocal remade
            bootstrap.verbosity = verbosity
            remade = fill(creation, bootstrap, keepdb=options.get("keepdb", False), stays=stays)

        with instead_of_migrate(migrate):
            name = CREATE(creation, *args, **options)
        if stays or self.run.worker:  # nobody else looks for it
            self.stamps[name] = bootstrap.write_stamp()
        self.run.outcomes.append(bootstrap.outcome(shown(creation, name), remade))

    def create_in_memory(self, creation: Any, args: tuple[Any, ...], options: dict[str, Any]) -> str:
        """Make a database in memory; of several processes one makes it, and the others read its copy."""
        name = str(creation._get_test_db_name())
        if not self.run.worker or self.run.shared is None:
            self.build(creation, args, options, stays=False)
            return name
        # Another database's backend takes time to load, and tests wait for it.
        from automigrate_ext.backends.sqlite3.copies import SQLiteCopies

        copies = SQLiteCopies(creation.connection, creation.log)
        copy = self.run.shared / f"{self.run.identifier}-{creation.connection.alias}.sqlite3"
        with copies.lock(str(copy), unless=copy.exists):
            if not copy.exists():
                self.build(creation, args, options, stays=False)
                copies.save(creation.connection.connection, str(copy))
                return name
        started = time.perf_counter()
        connect_to(creation.connection, name)
        copies.load(str(copy))
        self.copied(creation.connection, shown(creation, name), str(copy), started)
        return name

    def clone(
        self, creation: Any, suffix: str, verbosity: int = 1, autoclobber: bool = False, keepdb: bool = False
    ) -> None:
        """Make one process's copy, as `clone_test_db` does; an old one is used again only if it is the same."""
        source = str(creation.connection.settings_dict["NAME"])
        if is_in_memory(creation, source):
            CLONE(creation, suffix, verbosity, autoclobber, keepdb)
            return
        if verbosity >= 1:
            shown = creation._get_database_display_str(verbosity, source)
            creation.log(f"Cloning test database for alias {shown}...")
        target = str(creation.get_test_db_clone_settings(suffix)["NAME"])
        copies = copies_for(creation.connection, creation.log)
        copies.forbid_unfit(target)
        wanted = self.stamps.get(source)
        with copies.lock(source) as share:
            share()
            self.copy(copies, source, target, wanted, keepdb=keepdb)
        with at(creation.connection, target):
            self.take_up(creation.connection, source, target, wanted, stays=keepdb or self.run.stays)

    def copy(self, copies: Copies, source: str, target: str, wanted: Stamp | None, *, keepdb: bool) -> None:
        """Make the target a copy of the source, unless it is one of what the source is now."""
        started = time.perf_counter()
        if keepdb and wanted is not None and self.is_copy(copies, target, wanted):
            return
        copies.copy(source, target, RECORD)
        self.copied(copies.connection, target, source, started)

    def copied(self, connection: Any, name: str, source: str, started: float) -> None:
        """Keep in mind that a copy was made."""
        seconds = time.perf_counter() - started
        self.run.outcomes.append(Outcome(alias=connection.alias, database=name, source=source, seconds=seconds))

    def is_copy(self, copies: Copies, name: str, wanted: Stamp) -> bool:
        """Whether the database is a copy of what was stamped so, and still has the same tables and rows."""
        if not copies.exists(name):
            return False
        with at(copies.connection, name):
            tables = copies.tables([RECORD, *wanted.tables])
            found, mark = stamp.read(copies.connection.alias, tables)
            if found is None or found.version != wanted.version or use.is_abandoned(mark):
                return False
            del tables[RECORD]
            return tables == wanted.tables and wanted.is_complete(copies.rows(wanted.rows))


def fill(creation: Any, bootstrap: Bootstrap, *, keepdb: bool, stays: bool) -> str:
    """Make the tables, or make them current; returns why a kept database had to be made anew, or ""."""
    if not keepdb:
        bootstrap.make(kept=stays)
        return ""
    why = make_current(bootstrap)
    if not why:
        return ""
    recreate(creation, why)
    bootstrap.make(kept=True)
    return why


def make_current(bootstrap: Bootstrap) -> str:
    """Bring a kept database up to date; returns why that cannot be done, or ""."""
    bootstrap.look()
    if bootstrap.is_abandoned():
        return "the run before was killed while it used it"
    try:
        bootstrap.make_current()
    except ANEW as error:
        return reason(error)
    return "" if bootstrap.complete() else "rows are gone that belong to it"


def recreate(creation: Any, why: str) -> None:
    """Put an empty database in the place of the one that the connection is to."""
    connection = creation.connection
    name = str(connection.settings_dict["NAME"])
    copies = copies_for(connection, creation.log)
    if not copies.may_create():
        raise AutomigrateError(
            f"The test database {name!r} has to be made anew, because {why}, and the role may not create databases. "
            f"Let somebody who may do that."
        )
    copies.drop(name)
    with test_name(creation, name):
        creation._create_test_db(verbosity=0, autoclobber=True, keepdb=False)
    connection.close()


def shown(creation: Any, name: str) -> str:
    """What a database is called in messages."""
    return f":memory: ({creation.connection.alias})" if is_in_memory(creation, name) else name


@contextmanager
def instead_of_migrate(migrate: Callable[[int], None]) -> Iterator[None]:
    """Do something else where `create_test_db` calls the command `migrate`; it is told the verbosity."""
    call_command = management.call_command

    def call(command: Any, *args: Any, **options: Any) -> Any:
        if command != "migrate":
            return call_command(command, *args, **options)
        with mock.patch.object(management, "call_command", call_command):
            return migrate(options.get("verbosity", 0))

    with mock.patch.object(management, "call_command", call):
        yield


@contextmanager
def test_name(creation: Any, name: str) -> Iterator[None]:
    """Let the settings say that the test database has this name."""
    with mock.patch.dict(creation.connection.settings_dict["TEST"], NAME=name):
        yield


@contextmanager
def left(copies: Copies, name: str) -> Iterator[None]:
    """Leave a database in the end, so that others can copy it, or make it anew where the block failed."""
    try:
        yield
    finally:
        copies.leave(name)


@contextmanager
def at(connection: Any, name: str) -> Iterator[None]:
    """Connect to the database of this name, for a while."""
    connection.close()
    with mock.patch.dict(connection.settings_dict, NAME=name):
        try:
            yield
        finally:
            connection.close()


def connect_to(connection: Any, name: str) -> None:
    """Connect to the database of this name from now on, as `create_test_db` sees to it."""
    connection.close()
    settings.DATABASES[connection.alias]["NAME"] = name
    connection.settings_dict["NAME"] = name


def is_in_memory(creation: Any, name: str) -> bool:
    """Whether the database is SQLite's in memory."""
    return bool(creation.connection.vendor == "sqlite" and creation.is_in_memory_db(name))


def serialize(creation: Any) -> str:
    """The rows of all models, for tests that want them back after a flush.

    Django's own method leaves out apps without migrations, and then their rows are lost with the first flush: content
    types and permissions, where the tests run without migrations.
    """
    connection = creation.connection

    def objects() -> Iterator[Any]:
        for config in apps.get_app_configs():
            if config.models_module is None or config.name in settings.TEST_NON_SERIALIZED_APPS:
                continue
            for model in config.get_models():
                if model._meta.can_migrate(connection) and router.allow_migrate_model(connection.alias, model):
                    queryset: Any = model._base_manager.using(connection.alias).order_by(model._meta.pk.name)
                    chunks = 2000 if queryset._prefetch_related_lookups else None
                    yield from queryset.iterator(chunk_size=chunks)

    text = StringIO()
    serializers.serialize("json", objects(), stream=text)
    return text.getvalue()
