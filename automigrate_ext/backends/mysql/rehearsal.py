"""Rehearse a plan on MariaDB and MySQL: in a database of its own, through a connection of its own.

Every statement is committed at once, so that copies in the models' database would be seen, and the server has no
temporary tables with foreign keys or partitions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError, Error

from automigrate_ext.backends.mysql import faults
from automigrate_ext.backends.mysql.algorithms import COPY_LOCKED, Way, usual_ways
from automigrate_ext.backends.mysql.schema import CHECKED, UNCHECKED
from automigrate_ext.backends.mysql.server import server_of
from automigrate_ext.backends.mysql.session import SETTINGS, is_in_cluster, prefixed, put, read, try_lock_of
from automigrate_ext.backends.mysql.show import show
from automigrate_ext.backends.mysql.trial import Trial
from automigrate_ext.backends.rehearsal import Objection, Rehearsal, Scene, set_scene
from automigrate_ext.backends.session import growing
from automigrate_ext.backends.work import Step, Work

if TYPE_CHECKING:
    from automigrate_ext.backends.mysql.backend import MySQLBackend
    from automigrate_ext.backends.mysql.session import MySQLSession

PREFIX = "automigrate_ext_"
DATABASE = "SELECT DATABASE(), @@character_set_database, @@collation_database, CURRENT_USER()"
DROP_DATABASE = "DROP DATABASE IF EXISTS {name}"
CREATE_DATABASE = "CREATE DATABASE {name} CHARACTER SET {charset} COLLATE {collation}"
USE = "USE {name}"

TABLES_OF = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
#: The table by which a database is known as one that a rehearsal made; its engine keeps no file.
MARK = "automigrate_ext_rehearsal"
MAKE_MARK = f"CREATE TABLE {MARK} (made int) ENGINE=MEMORY"

IN_CLUSTER = "every node of the cluster would make the copies too"
FORBIDDEN = "the role may not make the database {name} for them (GRANT ALL ON `{pattern}`.* TO {role} lets it do so)"
TAKEN = "the database {name}, in which they would be made, is there and is no rehearsal's"
READS_ONLY = "the server is read-only"
WAITS = "Waiting for another rehearsal in database {name!r}"
IN_THE_WAY = (
    "Another rehearsal in database {name!r} did not end within the time that --lock-wait (lock_wait=) allows. Nothing "
    "was changed."
)


class MySQLRehearsal(Rehearsal):
    """Plays the statements in a database that is dropped afterwards, and finds out how the server carries them out."""

    backend: MySQLBackend
    session: MySQLSession

    def __init__(self, backend: MySQLBackend) -> None:
        super().__init__(backend)
        #: How the server carries out each statement that alters a table, as far as it has been played.
        self.ways: dict[str, Way] = {}

    def play(self, work: Work, steps: Sequence[Step]) -> tuple[Objection, ...]:
        scene = set_scene(work, [step.table for step in steps] + self.renamed(work))
        if scene is None:
            return ()
        with self.copies(scene) as stage:
            if stage is None:
                return ()
            played = self.played(scene)
            playing = (step for step in steps if step.table in played)
            return tuple(self.objections(playing, scene, partial(self.execute, stage)))

    @contextmanager
    def trial(self, work: Work) -> Iterator[Trial]:
        """Give the place where the statements of an online run are tried out while they are compiled."""
        scene = set_scene(work, [table for table, _ in self.backend.taken_off(work)] + self.renamed(work))
        if scene is None:
            yield Trial()
            return
        with self.copies(scene) as stage:
            yield Trial(stage, self.played(scene))

    def played(self, scene: Scene) -> set[str]:
        """Return the names of the tables of whose statements the server is asked, by their old names too."""
        # A name with a database in it leads there wherever it stands.
        here = [name for name in scene.played if "`" not in name]
        return {*here, *map(self.session.renaming.old_table, here)}

    @contextmanager
    def copies(self, scene: Scene) -> Iterator[BaseDatabaseWrapper | None]:
        """Give a connection to empty copies of the tables while the block runs; None where none can be made."""
        if is_in_cluster(self.connection):
            self.note(IN_CLUSTER)
            yield None
            return
        texts = list(self.definitions(scene.tables))
        with self.stage() as stage:
            if stage is not None and not self.is_copied(stage, texts):
                yield None
                return
            yield stage

    def is_copied(self, stage: BaseDatabaseWrapper, texts: Sequence[str]) -> bool:
        """Make empty tables of their definitions; return whether the server does that."""
        try:
            copy(stage, texts)
        except DatabaseError as error:
            self.raise_faults(error)
            self.note(f"their copies cannot be made ({faults.words(error)})")
            return False
        return True

    def renamed(self, work: Work) -> list[str]:
        """Return the tables, by their new names, that get new names or have columns that get some."""
        renaming = self.session.renaming
        old_names = ((name, renaming.old_table(name)) for name in work.current.tables)
        return [name for name, old in old_names if name != old or renaming.columns(old)]

    def definitions(self, names: Sequence[str]) -> Iterator[str]:
        """Return the definitions of the tables that are there, as the server prints them."""
        catalog = self.backend.catalog()
        there = (self.session.find(catalog, name) for name in names)
        return show(self.connection, [name for name in there if name is not None])

    @contextmanager
    def stage(self) -> Iterator[BaseDatabaseWrapper | None]:
        """Give a connection whose database is empty, and is dropped after the block; None where none can be had.

        Rehearsals on the same database wait for each other; what a killed one has left is dropped by the next.
        """
        with self.connection.cursor() as cursor:
            cursor.execute(DATABASE)
            database, charset, collation, role = cursor.fetchone()
        name = prefixed(PREFIX, database)
        quoted = self.connection.ops.quote_name(name)
        stage = self.connection.copy()
        stage.settings_dict["NAME"] = ""
        try:
            self.prepare(stage)
            self.wait_for_stage(stage, name)
            if is_of_another(stage, name):
                self.note(TAKEN.format(name=name))
                yield None
                return
            try:
                execute(
                    stage,
                    DROP_DATABASE.format(name=quoted),
                    CREATE_DATABASE.format(name=quoted, charset=charset, collation=collation),
                    USE.format(name=quoted),
                    MAKE_MARK,
                )
            except DatabaseError as error:
                self.note(self.why_forbidden(error, name, role))
                yield None
                return
            try:
                yield stage
            finally:
                # The first error is the one to report; the next rehearsal drops what a broken connection has left.
                with suppress(Error):
                    execute(stage, DROP_DATABASE.format(name=quoted))
        finally:
            stage.close()

    def why_forbidden(self, error: DatabaseError, name: str, role: str) -> str:
        """Return why the database cannot be made; raise the error again where that is not for want of permission."""
        if not faults.is_forbidden(error):
            raise error
        if faults.code_of(error) in faults.READ_ONLY:
            return READS_ONLY
        account = "'{}'@'{}'".format(*role.rsplit("@", 1))
        return FORBIDDEN.format(name=name, pattern=name.replace("_", r"\_"), role=account)

    def prepare(self, stage: BaseDatabaseWrapper) -> None:
        """Give the session the settings of a run, and those of the run's session on which definitions depend."""
        server = server_of(self.connection)
        values = read(self.connection, server.definition_settings)
        put(stage, {**SETTINGS, **server.settings, **values})

    def wait_for_stage(self, stage: BaseDatabaseWrapper, name: str) -> None:
        """Keep other rehearsals in the same database out until the connection ends. Raises `LockNotAvailable`."""
        self.session.wait(
            lambda _: try_lock_of(stage, name),
            limit=self.session.patience.lock_wait,
            spells=growing(self.session.first_pause),
            describe=lambda: WAITS.format(name=name),
            refuse=lambda: IN_THE_WAY.format(name=name),
        )

    def execute(self, stage: BaseDatabaseWrapper, step: Step) -> None:
        """Execute the statement of a step, in the quickest way that the server can take, and remember that way."""
        if not step.sql.startswith("ALTER TABLE"):
            execute(stage, step.sql)
            return
        for way in usual_ways(self.connection):
            try:
                execute(stage, f"{step.sql}, {way.order}")
            except DatabaseError as error:
                if faults.code_of(error) not in faults.NOT_SUPPORTED:
                    # It may be the order that the server objects to, so the statement itself decides.
                    break
            else:
                self.ways[step.sql] = way
                return
        execute(stage, step.sql)
        self.ways[step.sql] = COPY_LOCKED


def is_of_another(stage: BaseDatabaseWrapper, name: str) -> bool:
    """Return whether there is a database of the name that no rehearsal has left, which has tables and not the mark."""
    with stage.cursor() as cursor:
        cursor.execute(TABLES_OF, [name])
        tables = {table for (table,) in cursor.fetchall()}
    return bool(tables) and MARK not in tables


def copy(stage: BaseDatabaseWrapper, definitions: Sequence[str]) -> None:
    """Make empty tables of their definitions, in any order: they may point at each other, and at tables not there."""
    execute(stage, UNCHECKED, *definitions, CHECKED)


def execute(stage: BaseDatabaseWrapper, *statements: str) -> None:
    """Execute statements one after the other."""
    with stage.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
