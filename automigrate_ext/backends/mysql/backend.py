"""What the parts of the backend for MariaDB and MySQL answer together."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace as evolve

from django.db.utils import DatabaseError, Error

from automigrate_ext.backends.base import Dependent, Loss, Part, Reference, Step, T, Work, noun_columns
from automigrate_ext.backends.mysql import dependents, faults, hazards, introspection, schema, scratch, session
from automigrate_ext.backends.mysql.introspection import Catalog
from automigrate_ext.backends.mysql.parser import INTEGERS
from automigrate_ext.backends.mysql.renames import Renaming
from automigrate_ext.backends.renamed import RenamedBackend
from automigrate_ext.backends.rows import TookTooLong
from automigrate_ext.declared.blueprint import Blueprint
from automigrate_ext.declared.editor import collecting_editor
from automigrate_ext.exceptions import ExecutionFailed, LockNotAvailable
from automigrate_ext.schema.adopt import TypeRules
from automigrate_ext.schema.changes import AlterColumn, Change, DropTable, plural
from automigrate_ext.schema.nouns import Check, Column, Constraint, ForeignKey, Index, Schema, Table, Unique
from automigrate_ext.waiting import Waiting, describe_sessions, seconds

#: Seconds between two attempts to get the lock, at first and at most.
PAUSE, LONGEST_PAUSE = 0.05, 1.0
#: The longest time limit that MariaDB knows, in seconds: https://mariadb.com/kb/en/aborting-statements/
LONGEST_LIMIT = 31_536_000
#: The names that the servers give to checks, and to a second unique key over the same column.
SERVER_NAMED = re.compile(r"^(CONSTRAINT_\d+|.*_chk_\d+)$")


class MySQLBackend(RenamedBackend):
    """MariaDB and MySQL: every DDL statement is committed at once, and texts are what SHOW CREATE TABLE prints."""

    type_rules = TypeRules(widths={kind: width for width, kind in enumerate(INTEGERS)})
    opening = (f"SET SESSION sql_mode = '{session.SQL_MODE}'",)
    closing = ()
    dependents_follow = False
    undoes_ddl = False
    renaming_class = Renaming

    # Reading

    def catalog(self) -> Catalog:
        """The names of all tables."""
        return Catalog(self.connection)

    def introspect(self, names: Collection[str]) -> Schema:
        catalog = self.catalog()
        found = {name: self.find(catalog, name) for name in names}
        there = {name: spelled for name, spelled in found.items() if spelled is not None}
        texts = introspection.read_texts(self.connection, list(there.values()))
        return Schema({name: self.named(name, text.table, catalog) for name, text in zip(there, texts, strict=True)})

    def named(self, name: str, table: Table, catalog: Catalog) -> Table:
        """A table that was read, as the models spell its name and those of the tables that it points at."""
        renamed = self.renaming.table(table)
        return introspection.respelled(renamed, name, catalog)

    def scratch(self, blueprints: Sequence[Blueprint]) -> Schema:
        catalog = self.catalog()
        there = {blueprint.name: self.find(catalog, blueprint.name) for blueprint in blueprints}
        return scratch.scratch(self.connection, blueprints, {new: old for new, old in there.items() if old})

    def statements(self, blueprint: Blueprint) -> tuple[str, ...]:
        return scratch.statements(blueprint)

    def references(self, names: Collection[str]) -> tuple[Reference, ...]:
        inside = {self.renaming.old_table(name): name for name in names}
        outside = [name for name in introspection.referring(self.connection, inside) if name not in inside]
        return tuple(
            Reference(table=text.table.name, foreign_key=key)
            for text in introspection.read_texts(self.connection, outside)
            for key in self.renaming.table(text.table).foreign_keys
            if key.to_table in names
        )

    def dependents(self, names: Collection[str]) -> tuple[Dependent, ...]:
        """The triggers on the tables. Views stay when a table goes, and work again with the next one."""
        return tuple(
            Dependent(table=table, kind="trigger", name=name)
            for table, name in introspection.triggers(self.connection, names)
        )

    def dependents_of(self, parts: Sequence[Part]) -> Mapping[Part, Sequence[Dependent]]:
        """What minds that parts are converted, dropped or renamed.

        Of foreign keys from outside, the columns would have to be converted along, which is nobody's wish. Views and
        triggers know columns and tables by their names, and the server lets these go without a word.
        """
        found = self.pointing_keys(parts)
        for part, of_part in self.readers(parts).items():
            found[part] += of_part
        return found

    def readers(self, parts: Sequence[Part]) -> Mapping[Part, Sequence[Dependent]]:
        """The views and triggers that would not find a part any more; MySQL is not asked."""
        catalog = self.catalog()
        by_part = {
            evolve(part, table=table): part
            for part in parts
            if part.verb != "changed" and not part.constraint and (table := self.find_now(catalog, part.table))
        }
        if not by_part or not self.is_mariadb:
            return {}
        tables = sorted({part.table for part in by_part})
        texts = introspection.read_texts(self.connection, tables)
        columns = {table: [c.name for c in text.table.columns] for table, text in zip(tables, texts, strict=True)}
        there = [part for part in by_part if not part.column or part.column in columns[part.table]]
        found = dependents.dependents_of(self.connection, there, columns)
        return {by_part[part]: of_part for part, of_part in found.items()}

    def find_now(self, catalog: Catalog, name: str) -> str | None:
        """The present name of a table, by that or by the one that it will have."""
        return catalog.find(self.renaming.old_table(name))

    def pointing_keys(self, parts: Sequence[Part]) -> defaultdict[Part, list[Dependent]]:
        """The foreign keys of other tables that point at columns which are converted or dropped."""
        found: defaultdict[Part, list[Dependent]] = defaultdict(list)
        parts = [part for part in parts if part.verb != "renamed"]
        wanted = [part for part in parts if part.column]
        for reference in self.references({part.table for part in parts}) if wanted else ():
            key = reference.foreign_key
            for part in wanted:
                if part.table == key.to_table and part.column in key.to_columns:
                    name = f"{key.name} of {reference.table}"
                    found[part].append(Dependent(table=part.table, kind="foreign key", name=name))
        return found

    def table_names(self) -> frozenset[str]:
        names = self.catalog().engines
        new = self.renaming.new_tables
        return frozenset(new.get(name, name) for name in names)

    def server_named(self, table: Table, noun: Constraint | Index) -> bool:
        if not noun.name:
            return True
        if isinstance(noun, Check):
            return SERVER_NAMED.match(noun.name) is not None
        is_unique = isinstance(noun, Unique) or (isinstance(noun, Index) and noun.unique)
        return is_unique and re.fullmatch(rf"{re.escape(noun_columns(noun)[0])}(_\d+)?", noun.name) is not None

    # Writing

    def column_names(self, table: str) -> Sequence[str]:
        (text,) = introspection.read_texts(self.connection, [table])
        return [column.name for column in text.table.columns]

    def compile(self, work: Work) -> tuple[Step, ...]:
        return tuple(self.compiler(work).steps())

    def taken_off(self, work: Work) -> tuple[tuple[str, ForeignKey], ...]:
        return tuple(self.compiler(work).put_back())

    def compiler(self, work: Work) -> schema.Compiler:
        """What turns the work into statements."""
        casts = {**work.casts, **dict(self.casts_of_nothing(work))}
        return schema.Compiler(
            collecting_editor(self.connection),
            evolve(work, casts=casts),
            schema.Neighbours(own_indexes=self.own_indexes(work)),
            default_in_brackets=not self.is_mariadb,
        )

    def casts_of_nothing(self, work: Work) -> Iterator[tuple[tuple[str, str], str]]:
        """The columns without values between whose types the server converts nothing."""
        for change in work.changes:
            if not isinstance(change, AlterColumn) or (change.table, change.new.name) in work.casts:
                continue
            old, new = change.old, change.new
            if old.generated or hazards.never_loses(old, new) or hazards.is_castable(self.rows, old, new):
                continue
            yield (change.table, new.name), schema.NOTHING

    def effects(self, work: Work, tables: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """What the statements are; how the server carries an ALTER TABLE out, it does not tell beforehand."""
        found: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for step in self.compile(work):
            if step.table in tables and (words := schema.effect(step)):
                found[step.table][words] = None
        return {table: tuple(words) for table, words in found.items()}

    def own_indexes(self, work: Work) -> Mapping[str, frozenset[str]]:
        """The indexes that the server made for foreign keys of the tables that change."""
        catalog = self.catalog()
        altered = [name for name in {change.table for change in work.changes} if work.current.get(name)]
        there = {name: old for name in altered if (old := self.find(catalog, name))}
        texts = introspection.read_texts(self.connection, list(there.values()))
        return {name: text.own_indexes for name, text in zip(there, texts, strict=True)}

    @property
    def is_mariadb(self) -> bool:
        """Whether the server is MariaDB, and not MySQL."""
        return bool(self.connection.mysql_is_mariadb)  # type: ignore[attr-defined]

    def compile_rebuild(
        self, work: Work, references: Sequence[Reference], *, cascade: bool = False
    ) -> tuple[Step, ...]:
        return tuple(schema.compile_rebuild(collecting_editor(self.connection), work))

    def make_sure(self, steps: Sequence[Step]) -> None:
        """Lock the tables of which a statement may lose values for a moment, to learn whether that can be done."""
        names = dict.fromkeys(step.table for step in steps if self.at_stake(step))
        there = self.existing(names) if names else ()
        for name in names:
            if name in there:
                with self.locked(name):
                    pass

    def run(self, steps: Sequence[Step]) -> None:
        """Execute the steps; where one may lose values, count these once more while nobody else can write any."""
        for step in steps:
            if not self.at_stake(step):
                super().run([step])
                continue
            with self.locked(step.table):
                for change in self.at_stake(step):
                    self.forbid_loss(change)
                super().run([step])

    def at_stake(self, step: Step) -> list[Change]:
        """The changes by which a step may lose values."""
        return [change for change in step.at_stake if hazards.is_at_stake(change)]

    def forbid_loss(self, change: Change) -> None:
        """Raise `ExecutionFailed` where the change would lose values that were not there when they were counted."""
        count = hazards.turned_up(self.rows, change)
        if count == 0:
            return
        noun = "row" if isinstance(change, DropTable) else "value"
        found = f"{noun}s that cannot be counted" if count is None else plural(count, noun)
        raise ExecutionFailed(
            f"{change.describe()} would lose {found}, written by somebody else since the rows were counted. The run "
            f"ended before that: what it did until then stays done, and the next one judges the rows anew."
        )

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Keep other sessions from a table; this is the only lock that outlives a statement that alters them.

        The node of a cluster would wait for itself: what others write has to reach the table before it is altered.
        """
        if session.is_in_cluster(self.connection):
            yield
            return
        self.execute(session.LOCK_TABLES.format(table=self.quote(table)))
        try:
            yield
        finally:
            if self.connection.connection is not None and self.connection.is_usable():
                self.execute(session.UNLOCK_TABLES)

    def run_script(self, text: str) -> None:
        # The server splits it, and each statement's outcome has to be asked for.
        with self.connection.cursor() as cursor:
            cursor.execute(text)
            while cursor.nextset():
                pass

    def is_in_transaction(self) -> bool:
        return bool(self.connection.in_atomic_block)

    def batches(self, steps: Sequence[Step]) -> tuple[tuple[Step, ...], ...]:
        return tuple((step,) for step in steps)

    # Sessions

    @contextmanager
    def guarded(self) -> Iterator[None]:
        with super().guarded(), self.strict():
            yield

    def why_read_only(self) -> str:
        return "the server is read-only (read_only)" if session.is_read_only(self.connection) else ""

    @contextmanager
    def strict(self) -> Iterator[None]:
        """The settings of a run, whatever the server's default is."""
        wanted: dict[str, str | int] = dict(session.SETTINGS)
        if self.patience.lock_timeout is not None:
            # The server takes whole seconds, and one at least.
            wanted["lock_wait_timeout"] = wanted["innodb_lock_wait_timeout"] = max(1, round(self.patience.lock_timeout))
        with session.settings(self.connection, wanted):
            yield

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Hold the lock of a run. Raises `ExecutionFailed` inside a transaction, which DDL would commit."""
        self.forbid_transaction()
        with self.strict():
            waited = self.take_lock()
            try:
                yield waited
            finally:
                self.free_lock()

    def take_lock(self) -> bool:
        """Try until the lock is had; says whether it had to be waited for. Raises `LockNotAvailable`."""
        waiting = Waiting(self.patience.lock_wait, self.patience.notify)
        pause = PAUSE
        while not session.try_lock(self.connection):
            if not waiting.pause(pause, self.other_runs):
                raise LockNotAvailable(self.run_in_the_way())
            pause = min(pause * 1.5, LONGEST_PAUSE)
        return waiting.waited

    def free_lock(self) -> None:
        """Give the lock back, which a connection that broke has not any more."""
        if self.connection.connection is not None and self.connection.is_usable():
            session.free_lock(self.connection)

    def other_runs(self) -> str:
        """What a run waits for that waits for another one."""
        holders = describe_sessions(session.holders(self.connection))
        return f"Waiting for another run on database {self.connection.alias!r}{holders}"

    def run_in_the_way(self) -> str:
        """Why a run ends that has waited for another one."""
        holders = describe_sessions(session.holders(self.connection))
        return (
            f"Another run on database {self.connection.alias!r}{holders} did not end within "
            f"{seconds(self.patience.lock_wait)}. Nothing was changed. Wait for it or raise --lock-wait (lock_wait=); "
            f"KILL ends a session that hangs."
        )

    def steadily(self, read: Callable[[], T]) -> T:
        """What `read` finds; where a run changed the tables under its eyes, what it finds after that run."""
        try:
            return read()
        except Error as error:
            if not self.is_disturbed(error) or self.connection.in_atomic_block:
                raise
        with self.exclusive():
            return read()

    # Questions to the rows

    def count_lost(self, table: Table, old: Column, new: Column) -> Loss:
        return hazards.count_lost(self.rows, table, old, new)

    def typed(self, column: Column, value: str) -> str:
        return hazards.value(column, value)

    @contextmanager
    def limited(self, seconds: float | None) -> Iterator[None]:
        """Let the server stop statements that take longer; MySQL stops those that read."""
        if not seconds:
            yield
            return
        seconds = min(seconds, LONGEST_LIMIT)
        milliseconds = max(1, round(seconds * 1000))
        limit: dict[str, str | int | float] = (
            {"max_statement_time": seconds} if self.is_mariadb else {"max_execution_time": min(milliseconds, 2**32 - 1)}
        )
        with session.settings(self.connection, limit):
            try:
                yield
            except DatabaseError as error:
                if faults.code_of(error) in (faults.STATEMENT_TIMEOUT, faults.MYSQL_TIMEOUT):
                    raise TookTooLong(f"not counted within {seconds:g} s") from error
                raise

    # Faults

    def explain(self, error: Error) -> str:
        return " ".join(" ".join([faults.words(error), *getattr(error, "__notes__", ())]).split())

    def is_fault(self, error: Error) -> bool:
        return faults.is_fault(error)

    def is_locked(self, error: Error) -> bool:
        return faults.code_of(error) == faults.LOCK_WAIT_TIMEOUT

    def is_disturbed(self, error: Error) -> bool:
        return faults.code_of(error) in faults.GONE

    def is_forbidden(self, error: Error) -> bool:
        return faults.is_forbidden(error)

    def way_out(self, error: Error) -> str:
        return faults.advice(self.connection, error)
