"""Have Django make test databases from the models: its own ways of creating and cloning them, with other contents.

Only what is inside `create_test_db`, `clone_test_db` and `serialize_db_to_string` is replaced, so that settings,
mirrors, names, suffixes, third-party backends and everything that calls `setup_databases` stay as they are.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

from django.apps import apps
from django.conf import settings
from django.core import management, serializers
from django.db import router
from django.db.backends.base.creation import BaseDatabaseCreation

from automigrate_ext.backends import copies_for
from automigrate_ext.backends.fingerprint import short
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.run.migrations import Modules
from automigrate_ext.run.record_table import TABLE as RECORD
from automigrate_ext.testing import stamp
from automigrate_ext.testing.bootstrap import Bootstrap, load_soon
from automigrate_ext.testing.database import TestDatabase, is_in_memory
from automigrate_ext.testing.report import DatabaseReport
from automigrate_ext.testing.stamp import Stamp
from automigrate_ext.testing.tenants import tenants_from_models

if TYPE_CHECKING:
    from automigrate_ext.backends.sqlite3.copies import SQLiteCopies

#: How the names of files end that name a database to drop.
TO_DROP = ".drop"
#: Creates a database as Django does.
Create = Callable[[], str]
#: Django's own methods, whatever is put in their place later.
CREATE: Callable[..., str] = BaseDatabaseCreation.create_test_db
CLONE: Callable[..., None] = BaseDatabaseCreation.clone_test_db


@dataclass(slots=True, kw_only=True)
class TestRun:
    """One run of tests in one process, and what came of its databases.

    `identifier` is the same in all processes of the run. `worker` is the name of this process among several, by which
    the names of its databases end; `shared` is a directory that all of them see. `stays` is whether databases exist
    after the run, also where they are made again first. `outcomes` are reports in the order in which databases were
    made. `used` are the databases that are marked as in use until `release` is called, and `lasting` is what else lasts
    until then.
    """

    __test__ = False

    identifier: str = field(default_factory=lambda: uuid.uuid4().hex)
    worker: str = ""
    shared: Path | None = None
    stays: bool = False
    outcomes: list[DatabaseReport] = field(default_factory=list)
    used: list[TestDatabase] = field(default_factory=list)
    lasting: ExitStack = field(default_factory=ExitStack)
    modules: Modules = field(default_factory=lambda: settings.MIGRATION_MODULES)

    def template_of(self, name: str) -> str:
        """Return the database of which the worker's is a copy; its own name where it is none."""
        return name.removesuffix(f"_{self.worker}") if self.worker else name

    def stamp_path(self, alias: str) -> Path:
        """Return the file in which the processes find the stamp of the database that they copy, once it is made."""
        assert self.shared is not None
        return self.shared / f"{self.identifier}-{alias}.json"

    def leave_to_drop(self, database: TestDatabase) -> None:
        """Leave a database to the process that started the others, which drops it once all of them have ended."""
        assert self.shared is not None
        names = [database.alias, database.name]
        (self.shared / f"{short(names)}{TO_DROP}").write_text(json.dumps(names))

    def use(self, database: TestDatabase) -> None:
        """Mark a database that stays, to which its alias connects, as in use."""
        if database.stays:
            stamp.mark(database.alias)
            self.used.append(database)

    def begin(self) -> None:
        """Have packages for tenants make their schemas from the models, as tests ask for it, until `release`."""
        self.lasting.enter_context(tenants_from_models())

    def release(self) -> None:
        """Remove the marks from the kept databases: their tests have ended in good order."""
        self.lasting.close()
        for database in self.used:
            # Tests, or another run of them, may have dropped it.
            if database.copies.exists(database.name):
                with database.connected():
                    stamp.unmark(database.alias)
        self.used.clear()


def left_to_drop(shared: Path) -> Iterator[tuple[str, str]]:
    """Yield the alias and the name of each database that the processes which shared the directory have left to drop."""
    for path in shared.glob(f"*{TO_DROP}"):
        alias, name = json.loads(path.read_text())
        yield alias, name


@contextmanager
def bootstrapping(run: TestRun | None = None) -> Iterator[TestRun]:
    """Have Django make test databases from the models, and not by migrations, while the block runs.

    Yields the run, with a `DatabaseReport` for each database in `outcomes`. For test runners and fixtures of one's own:
    whatever calls `setup_databases` inside is concerned.
    """
    maker = Maker(run or TestRun())

    def create_test_db(creation: Any, *args: Any, **options: Any) -> str:
        return maker.create(creation, *args, **options)

    def clone_test_db(creation: Any, *args: Any, **options: Any) -> None:
        maker.clone(creation, *args, **options)

    with (
        mock.patch.object(BaseDatabaseCreation, "create_test_db", create_test_db),
        mock.patch.object(BaseDatabaseCreation, "clone_test_db", clone_test_db),
        mock.patch.object(BaseDatabaseCreation, "serialize_db_to_string", serialize),
    ):
        yield maker.run


class Maker:
    """Makes the test databases of a run."""

    def __init__(self, run: TestRun) -> None:
        self.run = run
        self.stamps: dict[str, Stamp] = {}

    def create(self, creation: Any, *args: Any, keepdb: bool = False, **options: Any) -> str:
        """Make one database, as `create_test_db` does: the only one, or a worker's copy."""
        name = str(creation._get_test_db_name())
        create = partial(CREATE, creation, *args, **options)
        copies = copies_for(creation.connection, creation.log)
        if is_in_memory(creation.connection, name):
            self.create_in_memory(TestDatabase(name=name, template=name, copies=copies), create)
            return name
        stays = keepdb or self.run.stays
        template = self.run.template_of(name)
        database = TestDatabase(name=name, template=template, copies=copies, keepdb=keepdb, stays=stays)
        create = partial(create, keepdb=keepdb)
        if database.is_copy:
            self.create_copy(database, create)
        else:
            with copies.lock(name):
                self.build(database, create)
                self.run.use(database)
        return name

    def create_copy(self, database: TestDatabase, create: Create) -> None:
        """Make a worker's copy: the first worker makes the template and writes its stamp, then all copy it at once."""
        copies, template = database.copies, evolve(database, name=database.template)
        copies.forbid_unfit(database.name)
        if not database.stays:
            # Its own process drops a copy, unless it is interrupted meanwhile.
            self.run.leave_to_drop(template)
            self.run.leave_to_drop(database)
        path = self.run.stamp_path(database.alias)
        with copies.lock(template.name, unless=path.exists) as share:
            if not path.exists():
                self.build_template(template, create)
                stamp.write_file(path, self.stamps[template.name])
            share()
            wanted = stamp.parse(path.read_text())
            self.copy(database, wanted)
        database.connect()
        database.connection.ensure_connection()
        self.take_up(database, wanted)

    def build_template(self, template: TestDatabase, create: Create) -> None:
        """Make the database that workers copy, and leave it, so that they can copy it, or make it if this failed."""
        try:
            with template.set_as_test_name():
                self.build(template, create)
        finally:
            template.copies.leave(template.name)

    def take_up(self, database: TestDatabase, wanted: Stamp | None) -> None:
        """Begin to use a copy, to which its alias connects. Raises `AutomigrateError` if it has another stamp."""
        if wanted is not None:
            copied, _ = stamp.read(stamp.look(database.alias, []))
            if copied is None or copied.version != wanted.version:
                raise AutomigrateError(
                    f"The test database {database.template!r} was changed by another run of tests while this one made "
                    f"copies of it. Let the runs follow each other, or give each databases of its own by TEST NAME in "
                    f"DATABASES."
                )
        self.run.use(database)

    def build(self, database: TestDatabase, create: Create) -> None:
        """Let Django create the database, and fill it from the models where it would have called `migrate`."""
        if not database.stays:
            load_soon(database.connection.vendor)
        bootstrap = Bootstrap(database, self.run.modules)
        with instead_of_migrate(bootstrap.fill):
            create()
        if database.stays or self.run.worker:  # in other runs nothing reads the stamp
            self.stamps[database.name] = bootstrap.write_stamp()
        self.run.outcomes.append(bootstrap.report())

    def create_in_memory(self, database: TestDatabase, create: Create) -> None:
        """Make a database in memory; of several processes one makes it, and the others read its copy."""
        if not self.run.worker or self.run.shared is None:
            self.build(database, create)
            return
        copies = cast("SQLiteCopies", database.copies)
        file = self.run.shared / f"{self.run.identifier}-{database.alias}.sqlite3"
        with copies.lock(str(file), unless=file.exists):
            if not file.exists():
                self.build(database, create)
                copies.save(database.connection.connection, str(file))
                return
        started = time.perf_counter()
        database.connect()
        copies.load(str(file))
        self.report_copy(database, str(file), started)

    def clone(
        self, creation: Any, suffix: str, verbosity: int = 1, autoclobber: bool = False, keepdb: bool = False
    ) -> None:
        """Make one process's copy, as `clone_test_db` does; an old one is used again only if it is the same."""
        source = str(creation.connection.settings_dict["NAME"])
        if is_in_memory(creation.connection, source):
            CLONE(creation, suffix, verbosity, autoclobber, keepdb)
            return
        if verbosity >= 1:
            shown = creation._get_database_display_str(verbosity, source)
            creation.log(f"Cloning test database for alias {shown}...")
        name = str(creation.get_test_db_clone_settings(suffix)["NAME"])
        copies, stays = copies_for(creation.connection, creation.log), keepdb or self.run.stays
        database = TestDatabase(name=name, template=source, copies=copies, keepdb=keepdb, stays=stays)
        copies.forbid_unfit(name)
        wanted = self.stamps.get(source)
        with copies.lock(source) as share:
            share()
            self.copy(database, wanted)
        with database.connected():
            self.take_up(database, wanted)

    def copy(self, database: TestDatabase, wanted: Stamp | None) -> None:
        """Copy the template, unless the database is a copy of what the template is now."""
        started = time.perf_counter()
        if database.keepdb and wanted is not None and is_copy(database, wanted):
            return
        database.copies.copy(database.template, database.name, RECORD)
        self.report_copy(database, database.template, started)

    def report_copy(self, database: TestDatabase, source: str, started: float) -> None:
        """Add a report of a copy to the outcomes."""
        seconds = time.perf_counter() - started
        self.run.outcomes.append(
            DatabaseReport(alias=database.alias, database=database.label, source=source, seconds=seconds)
        )


def is_copy(database: TestDatabase, wanted: Stamp) -> bool:
    """Return whether a database is a copy of what has this stamp, and still has the same tables and rows."""
    copies = database.copies
    if not copies.exists(database.name):
        return False
    with database.connected():
        found = stamp.look(database.alias, list(wanted.tables))
        copied, mark = stamp.read(found)
        if copied is None or copied.version != wanted.version or stamp.is_abandoned(mark):
            return False
        is_same = found.tables == wanted.tables and found.around == wanted.surroundings
        return is_same and wanted.is_complete(copies.rows(wanted.rows))


@contextmanager
def instead_of_migrate(migrate: Callable[[int], None]) -> Iterator[None]:
    """Call a function with the verbosity where `create_test_db` calls the command `migrate`."""
    call_command = management.call_command

    def call(command: Any, *args: Any, **options: Any) -> Any:
        if command != "migrate":
            return call_command(command, *args, **options)
        with mock.patch.object(management, "call_command", call_command):
            return migrate(options.get("verbosity", 0))

    with mock.patch.object(management, "call_command", call):
        yield


def serialize(creation: Any) -> str:
    """Return the rows of all models as JSON, for tests that need them back after a flush.

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
