"""The backend for PostgreSQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace as evolve
from functools import partial
from itertools import chain, groupby, repeat
from operator import attrgetter
from typing import Any

from django.contrib.postgres.signals import get_citext_oids, get_hstore_oids, register_type_handlers
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import split_identifier
from django.db.models import Model
from django.db.utils import Error, OperationalError
from psycopg.errors import QueryCanceled
from psycopg.pq import TransactionStatus

from automigrate_ext.backends.base import (
    Backend,
    Dependent,
    Loss,
    Part,
    Reference,
    RowFill,
    Step,
    T,
    Work,
    noun_columns,
)
from automigrate_ext.backends.postgresql import (
    extensions,
    faults,
    hazards,
    introspection,
    locks,
    remarks,
    schema,
    scratch,
    sequences,
)
from automigrate_ext.backends.postgresql.casts import never_loses
from automigrate_ext.backends.rows import TookTooLong
from automigrate_ext.declared.blueprint import Blueprint
from automigrate_ext.declared.editor import collecting_editor
from automigrate_ext.exceptions import ExecutionFailed, LockNotAvailable
from automigrate_ext.plan.cost import Size
from automigrate_ext.schema.adopt import TypeRules
from automigrate_ext.schema.changes import AlterColumn, Change, CreateTable, RenameSequence
from automigrate_ext.schema.nouns import Check, Column, Constraint, ForeignKey, Index, Schema, Table
from automigrate_ext.waiting import TELL_AFTER, Waiting, describe_sessions, seconds

#: How many statements that make tables go into one message.
STATEMENTS_A_MESSAGE = 200

SEE_ONE_STATE = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
# Source: PostgreSQL's documentation of max_locks_per_transaction.
LOCK_SPACE = """
SELECT current_setting('max_locks_per_transaction')::int
       * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int)
"""

REFERENCES = """
SELECT DISTINCT k.conrelid
FROM unnest(%s::text[]) AS wanted (quoted)
JOIN pg_constraint k ON k.confrelid = to_regclass(wanted.quoted) AND k.contype = 'f' AND k.conparentid = 0
WHERE k.conrelid <> ALL (ARRAY(SELECT to_regclass(q)::oid FROM unnest(%s::text[]) q
                               WHERE to_regclass(q) IS NOT NULL))
"""
REFERRING_NAMES = """
SELECT CASE WHEN pg_table_is_visible(c.oid) THEN c.relname::text ELSE format('"%%s"."%%s"', n.nspname, c.relname) END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY(%s::oid[])
"""

# A view may hang on a table by way of other views.
DEPENDENTS = """
WITH RECURSIVE hanging (name, oid) AS (
    SELECT wanted.name, to_regclass(wanted.quoted)::oid FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted)
    UNION
    SELECT hanging.name, r.ev_class
    FROM hanging
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = hanging.oid
                    AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite r ON r.oid = d.objid AND r.ev_class <> hanging.oid
)
SELECT hanging.name, CASE c.relkind WHEN 'm' THEN 'materialised view' ELSE 'view' END, c.oid::regclass::text
FROM hanging JOIN pg_class c ON c.oid = hanging.oid AND c.relkind IN ('v', 'm')
UNION ALL
SELECT wanted.name, 'trigger', t.tgname::text
FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted)
JOIN pg_trigger t ON t.tgrelid = to_regclass(wanted.quoted) AND NOT t.tgisinternal
UNION ALL
SELECT wanted.name, CASE p.relkind WHEN 'p' THEN 'partition' ELSE 'inheriting table' END, i.inhrelid::regclass::text
FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted)
JOIN pg_inherits i ON i.inhparent = to_regclass(wanted.quoted) JOIN pg_class p ON p.oid = i.inhparent
UNION ALL
SELECT wanted.name, CASE p.relkind WHEN 'p' THEN 'place among the partitions of' ELSE 'inheritance from' END,
       i.inhparent::regclass::text
FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted)
JOIN pg_inherits i ON i.inhrelid = to_regclass(wanted.quoted) JOIN pg_class p ON p.oid = i.inhparent
ORDER BY 1, 2, 3
"""

# set_config() with true lasts until the transaction or savepoint is undone; columns are computed from left to right.
LIMIT_TIME = "SELECT current_setting('statement_timeout'), set_config('statement_timeout', %s, true)"
# With row_security off, a query from which a policy hides rows is an error instead: PostgreSQL's documentation, "Row
# Security Policies". What is not seen is not counted, and would be lost.
SEE_ALL_ROWS = "SELECT current_setting('row_security'), set_config('row_security', %s, true)"
UPDATE_ROWS = (
    "UPDATE {table} AS filled SET {column} = given.value FROM (VALUES {values}) AS given ({names}) WHERE {joined}"
)
# What hangs on whole tables, columns or constraints: by a normal dependency, so that the server neither drops it
# along nor lets the thing change. Sources: PostgreSQL's documentation of pg_depend, and
# RememberAllDependentForRebuilding() in tablecmds.c. A table's row type and the sequences of its columns count as
# parts of it. Foreign keys, indexes, constraints and generated columns are none of it: the run takes these off and
# puts them back. A view that hangs on such a view has to go before it, and is named too.
DEPENDENTS_OF = """
WITH RECURSIVE wanted (number, relation, attribute, k) AS (
    SELECT w.number, to_regclass(w.quoted)::oid, a.attnum, k.oid
    FROM unnest(%s::text[], %s::text[], %s::text[]) WITH ORDINALITY AS w (quoted, attribute, k, number)
    LEFT JOIN pg_attribute a ON a.attrelid = to_regclass(w.quoted) AND a.attname = w.attribute
    LEFT JOIN pg_constraint k ON k.conrelid = to_regclass(w.quoted) AND k.conname = w.k
    WHERE (w.attribute = '' OR a.attnum IS NOT NULL) AND (w.k = '' OR k.oid IS NOT NULL)
), part (number, classid, objid, objsubid) AS (
    SELECT number, 'pg_class'::regclass, relation, attribute::int FROM wanted WHERE k IS NULL
    UNION ALL
    SELECT number, 'pg_constraint'::regclass, k, 0 FROM wanted WHERE k IS NOT NULL
    UNION ALL
    SELECT number, 'pg_type'::regclass, c.reltype, 0
    FROM wanted JOIN pg_class c ON c.oid = relation WHERE attribute IS NULL AND k IS NULL
    UNION ALL
    SELECT number, 'pg_class'::regclass, d.objid, NULL
    FROM wanted
    JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
                    AND d.refobjid = relation AND d.refobjsubid = coalesce(attribute, d.refobjsubid)
                    AND d.deptype IN ('a', 'i')
    JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
    WHERE k IS NULL
), hanging (number, classid, objid, depth) AS (
    SELECT part.number, coalesce(v.classid, d.classid), coalesce(v.objid, d.objid), 0
    FROM part
    JOIN pg_depend d ON d.refclassid = part.classid AND d.refobjid = part.objid
                    AND d.refobjsubid = coalesce(part.objsubid, d.refobjsubid) AND d.deptype = 'n'
    LEFT JOIN LATERAL (
        SELECT 'pg_class'::regclass AS classid, c.oid AS objid
        FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm')
        WHERE d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
    ) v ON true
    WHERE d.classid = ANY (ARRAY['pg_rewrite', 'pg_trigger', 'pg_policy', 'pg_publication_rel', 'pg_proc',
                                 'pg_attrdef', 'pg_class']::regclass[])
    UNION
    SELECT hanging.number, 'pg_class'::regclass, r.ev_class, depth + 1
    FROM hanging
    JOIN pg_depend d ON hanging.classid = 'pg_class'::regclass AND d.classid = 'pg_rewrite'::regclass
                    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = hanging.objid AND d.deptype = 'n'
    JOIN pg_rewrite r ON r.oid = d.objid AND r.ev_class <> hanging.objid
), holder (number, classid, objid, depth, relation) AS (
    SELECT number, classid, objid, max(depth), coalesce(
        (SELECT tgrelid FROM pg_trigger WHERE classid = 'pg_trigger'::regclass AND oid = objid),
        (SELECT polrelid FROM pg_policy WHERE classid = 'pg_policy'::regclass AND oid = objid),
        (SELECT prrelid FROM pg_publication_rel WHERE classid = 'pg_publication_rel'::regclass AND oid = objid),
        (SELECT adrelid FROM pg_attrdef WHERE classid = 'pg_attrdef'::regclass AND oid = objid),
        (SELECT ev_class FROM pg_rewrite WHERE classid = 'pg_rewrite'::regclass AND oid = objid),
        CASE WHEN classid = 'pg_class'::regclass THEN objid END)
    FROM hanging GROUP BY 1, 2, 3
)
SELECT number, replace(thing.type, 'materialized', 'materialised'), thing.identity
FROM holder CROSS JOIN LATERAL pg_identify_object(classid, objid, 0) AS thing
WHERE relation IS NULL
   OR (relation NOT IN (SELECT w.relation FROM wanted w WHERE w.attribute IS NULL AND w.k IS NULL)
       AND NOT (classid = 'pg_attrdef'::regclass
                AND relation = (SELECT w.relation FROM wanted w WHERE w.number = holder.number)))
ORDER BY number, depth, 2, 3
"""

TABLE_NAMES = """
SELECT CASE WHEN pg_table_is_visible(c.oid) THEN c.relname::text ELSE format('"%s"."%s"', n.nspname, c.relname) END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""

EXISTING = """
SELECT wanted.name FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted)
JOIN pg_class c ON c.oid = to_regclass(wanted.quoted) WHERE c.relkind IN ('r', 'p')
"""
# A name without a schema may lead to a table of a later schema of the search path, and several names to one table.
SPOKEN_FOR = """
SELECT found.name FROM (
    SELECT wanted.name, wanted.bare, n.nspname, c.oid, row_number() OVER (PARTITION BY c.oid ORDER BY number) AS nth
    FROM unnest(%s::text[], %s::text[], %s::boolean[]) WITH ORDINALITY AS wanted (name, quoted, bare, number)
    JOIN pg_class c ON c.oid = to_regclass(wanted.quoted)
    JOIN pg_namespace n ON n.oid = c.relnamespace
) found
WHERE found.bare AND found.nspname IS DISTINCT FROM current_schema() OR found.nth > 1
   OR found.oid IN (SELECT to_regclass(quoted)::oid FROM unnest(%s::text[]) AS claimed (quoted))
"""
FIRST_SCHEMA = "SELECT current_schema()"
# The server passes over schemas of the search path that are not there, and those that the role may not use.
HIDDEN_SCHEMAS = """
WITH path (part, number) AS (
    SELECT CASE part WHEN '"$user"' THEN current_user ELSE btrim(part, '"') END, number
    FROM regexp_split_to_table(current_setting('search_path'), '\\s*,\\s*') WITH ORDINALITY AS p (part, number)
)
SELECT quote_ident(current_user), current_setting('search_path'), current_schema(), ARRAY(
    SELECT quote_ident(n.nspname) FROM path JOIN pg_namespace n ON n.nspname = path.part
    WHERE NOT has_schema_privilege(n.oid, 'USAGE')
      AND number < coalesce((SELECT min(number) FROM path WHERE part = current_schema()), 9999)
    ORDER BY number)
"""
# A standby says of every transaction that it only reads.
READ_ONLY = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean"

PAGES = """
SELECT wanted.name, pg_relation_size(to_regclass(wanted.quoted)) / current_setting('block_size')::int
FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted) WHERE to_regclass(wanted.quoted) IS NOT NULL
"""
ESTIMATE = "EXPLAIN (FORMAT JSON) SELECT FROM {table}"
#: Tables up to this size, 64 MB, are counted; of larger ones the planner's estimate is said.
PAGES_TO_COUNT = 8192

#: PostgreSQL's integer types, from narrow to wide.
INTEGER_WIDTHS = {"smallint": 0, "integer": 1, "bigint": 2}


class PostgreSQLBackend(Backend):
    """What PostgreSQL answers."""

    type_rules = TypeRules(widths=INTEGER_WIDTHS)
    #: Seconds for which a look waits for a lock.
    look_limit: float | None = None

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__(connection)
        self.compiled: tuple[Work, schema.Compiler] | None = None

    def introspect(self, names: Collection[str]) -> Schema:
        return introspection.introspect(self.connection, names, known=self.known_names)

    def scratch(self, blueprints: Sequence[Blueprint]) -> Schema:
        return scratch.scratch(self.connection, blueprints)

    def table_names(self) -> frozenset[str]:
        with self.connection.cursor() as cursor:
            cursor.execute(TABLE_NAMES)
            return frozenset(name for (name,) in cursor.fetchall())

    def existing(self, names: Collection[str]) -> frozenset[str]:
        with self.connection.cursor() as cursor:
            cursor.execute(EXISTING, introspection.known_names(self.connection, names))
            return frozenset(name for (name,) in cursor.fetchall())

    def spoken_for(self, names: Sequence[str], claimed: Collection[str] = ()) -> frozenset[str]:
        bare = [not split_identifier(name)[0] for name in names]
        quoted = [self.quote(name) for name in claimed]
        with self.connection.cursor() as cursor:
            cursor.execute(SPOKEN_FOR, [*introspection.known_names(self.connection, names), bare, quoted])
            return frozenset(name for (name,) in cursor.fetchall())

    def references(self, names: Collection[str]) -> tuple[Reference, ...]:
        quoted = [self.quote(name) for name in names]
        with self.connection.cursor() as cursor:
            cursor.execute(REFERENCES, [quoted, quoted])
            oids = [oid for (oid,) in cursor.fetchall()]
            if not oids:
                return ()
            cursor.execute(REFERRING_NAMES, [oids])
            outside = [name for (name,) in cursor.fetchall()]
        wanted = set(names)
        return tuple(
            Reference(table=table.name, foreign_key=foreign_key)
            for table in self.introspect([*names, *outside])
            if table.name not in wanted
            for foreign_key in table.foreign_keys
            if foreign_key.to_table in wanted
        )

    def dependents(self, names: Collection[str]) -> tuple[Dependent, ...]:
        ordered = list(names)
        quoted = [self.quote(name) for name in ordered]
        with self.connection.cursor() as cursor:
            cursor.execute(DEPENDENTS, [ordered, quoted] * 4)
            return tuple(Dependent(table=table, kind=kind, name=name) for table, kind, name in cursor.fetchall())

    def dependents_of(self, parts: Sequence[Part]) -> Mapping[Part, Sequence[Dependent]]:
        found: defaultdict[Part, list[Dependent]] = defaultdict(list)
        tables, columns = [self.quote(part.table) for part in parts], [part.column for part in parts]
        with self.connection.cursor() as cursor:
            cursor.execute(DEPENDENTS_OF, [tables, columns, [part.constraint for part in parts]])
            for number, kind, name in cursor.fetchall():
                part = parts[number - 1]
                found[part].append(Dependent(table=part.table, kind=kind, name=name))
        return found

    def server_named(self, table: Table, noun: Constraint | Index) -> bool:
        return noun.name == chosen_name(table, noun)

    def following_sequences(self, changes: Sequence[Change]) -> tuple[RenameSequence, ...]:
        return sequences.following(self.connection, changes)

    def compile(self, work: Work) -> tuple[Step, ...]:
        return tuple(self.compiler(work).steps())

    def compiler(self, work: Work) -> schema.Compiler:
        """What turns the work into statements; the server is asked about the same work once."""
        if self.compiled is None or self.compiled[0] is not work:
            self.compiled = work, self.new_compiler(work)
        return self.compiled[1]

    def new_compiler(self, work: Work) -> schema.Compiler:
        touched = {change.table for change in work.changes if work.current.get(change.table)}
        references = self.references(touched) if touched else ()
        managed = {table.name for table in work.current}
        outside = [reference for reference in references if reference.table not in managed]
        casts = {**work.casts, **dict(self.casts_of_nothing(work))}
        if any(isinstance(change, CreateTable) for change in work.changes):
            self.forbid_hidden_schemas()
        return schema.Compiler(
            collecting_editor(self.connection), evolve(work, casts=casts), outside, self.first_schema
        )

    def first_schema(self) -> str:
        """The schema that new tables go to."""
        return str(self.ask(FIRST_SCHEMA))

    def forbid_hidden_schemas(self) -> None:
        """Raise `ExecutionFailed` where the server passes over a schema that the role may not use, or has none left.

        Tables in such a schema seem not to be there, and would be made anew in the next one.
        """
        with self.connection.cursor() as cursor:
            cursor.execute(HIDDEN_SCHEMAS)
            role, path, first, hidden = cursor.fetchone()
        where = f"The search_path of database {self.connection.alias!r} is {path}"
        if hidden:
            raise ExecutionFailed(
                f"{where}, and the role {role} may not use {' and '.join(hidden)}, so its tables cannot be seen. "
                f"Nothing was changed. GRANT USAGE ON SCHEMA {', '.join(hidden)} TO {role}, or leave it out of the "
                f"search_path."
            )
        if first is None:
            raise ExecutionFailed(
                f"{where}, and none of these schemas is there. Nothing was changed. CREATE SCHEMA the one that is "
                f"meant, or set another search_path in the OPTIONS of the database."
            )

    def casts_of_nothing(self, work: Work) -> Iterator[tuple[tuple[str, str], str]]:
        """How columns without values are converted."""
        for change in work.changes:
            if not isinstance(change, AlterColumn) or (change.table, change.new.name) in work.casts:
                continue
            old, new = change.old, change.new
            if old.type != new.type and not never_loses(old.type, new.type):
                yield (change.table, new.name), hazards.using_for_nothing(self.connection, old, new)

    def sizes(self, tables: Collection[str]) -> Mapping[str, Size]:
        ordered = list(tables)
        with self.connection.cursor() as cursor:
            cursor.execute(PAGES, [ordered, [self.quote(name) for name in ordered]])
            pages = dict(cursor.fetchall())
        small = [name for name in ordered if 0 < pages.get(name, 0) <= PAGES_TO_COUNT]
        large = [name for name in ordered if pages.get(name, 0) > PAGES_TO_COUNT]
        estimates = {name: Size(rows=self.estimate(name), exact=False) for name in large}
        return {**super().sizes(small), **estimates}

    def estimate(self, table: str) -> int:
        """The planner's estimate of how many rows a table has."""
        plan = self.ask(ESTIMATE, table=self.quote(table))
        return int(plan[0]["Plan"]["Plan Rows"])

    def effects(self, work: Work, tables: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        return remarks.effects(self.connection, self.compiler(work), tables)

    def compile_rebuild(
        self, work: Work, references: Sequence[Reference], *, cascade: bool = False
    ) -> tuple[Step, ...]:
        editor = collecting_editor(self.connection)
        self.forbid_hidden_schemas()
        locks = [schema.locks_of(table) for table in work.current]
        group = max(1, self.lock_budget() // max(locks)) if sum(locks) > self.lock_budget() else len(locks) or 1
        steps = schema.compile_rebuild(editor, work.current, work.desired, references, cascade=cascade, group=group)
        return tuple(steps)

    # Transactions and locks

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        waiting = Waiting(self.patience.lock_wait, self.patience.notify)
        pause = locks.PAUSE
        while True:
            # An attempt is a transaction of its own, so that waiting keeps no transaction open.
            with transaction.atomic(using=self.connection.alias):
                if locks.try_run(self.connection):
                    with locks.lock_timeout(self.connection, self.patience.lock_timeout):
                        yield waiting.waited
                    return
            self.forbid_waiting_for_oneself()
            if not waiting.pause(pause, self.other_runs):
                raise LockNotAvailable(self.run_in_the_way())
            pause = min(pause * 1.5, locks.LONGEST_PAUSE)

    def why_read_only(self) -> str:
        with self.connection.cursor() as cursor:
            cursor.execute(READ_ONLY)
            is_standby, only_reads = cursor.fetchone()
        if is_standby:
            return "the server is a standby"
        return "transactions only read there (default_transaction_read_only)" if only_reads else ""

    def other_runs(self) -> str:
        """What a run waits for that waits for another one."""
        holders = locks.sessions(self.connection, locks.RUNS, locks.RUN_KEY)
        return f"Waiting for another run on database {self.connection.alias!r}{describe_sessions(holders)}"

    def forbid_waiting_for_oneself(self) -> None:
        """Raise `LockNotAvailable` where this thread has the lock itself, in a transaction around the run."""
        others = {pid_of(other): other.alias for other in connections.all(initialized_only=True)}
        for holder in locks.sessions(self.connection, locks.RUNS, locks.RUN_KEY):
            if holder.pid in others:
                raise LockNotAvailable(
                    f"{others[holder.pid]!r} and {self.connection.alias!r} are in the same database, and a run on the "
                    f"former keeps others out until the transaction around it ends. Nothing was changed. Run them one "
                    f"after the other outside of atomic()."
                )

    def run_in_the_way(self) -> str:
        """Why a run ends that has waited for another one."""
        holders = locks.sessions(self.connection, locks.RUNS, locks.RUN_KEY)
        return (
            f"Another run on database {self.connection.alias!r}{describe_sessions(holders)} did not end within "
            f"{seconds(self.patience.lock_wait)}. Nothing was changed. Wait for it or raise --lock-wait (lock_wait=); "
            f"pg_terminate_backend() ends a session that hangs."
        )

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        outermost = not self.connection.in_atomic_block
        with super().snapshot():
            if outermost:
                with self.connection.cursor() as cursor:
                    cursor.execute(SEE_ONE_STATE)
            with locks.lock_timeout(self.connection, self.look_limit if outermost else None), self.all_rows():
                yield

    @contextmanager
    def all_rows(self) -> Iterator[None]:
        """Let no policy hide rows; for a block that is a savepoint of its own, which undoes the setting on errors."""
        with self.connection.cursor() as cursor:
            cursor.execute(SEE_ALL_ROWS, ["off"])
            (before, _) = cursor.fetchone()
        yield
        with self.connection.cursor() as cursor:
            cursor.execute(SEE_ALL_ROWS, [before])

    def steadily(self, read: Callable[[], T]) -> T:
        # Counting waits for a run that has the table; then it is that run which is to be waited for.
        limits = (TELL_AFTER, self.patience.lock_wait, self.patience.lock_timeout)
        self.look_limit = min(limit for limit in limits if limit is not None)
        return super().steadily(read)

    @contextmanager
    def trial(self) -> Iterator[None]:
        # What is tried out takes locks that two runs could have in the wrong order.
        with self.exclusive(), super().trial():
            yield

    def protect(self, tables: Collection[str], targets: Collection[str] = ()) -> None:
        for mode, names in ((locks.WHOLE, tables), (locks.SHARED, set(targets) - set(tables))):
            quoted = locks.existing(self.connection, sorted(map(self.quote, names))) if names else []
            if quoted:
                self.lock_tables(quoted, mode)

    def lock_tables(self, quoted: Sequence[str], mode: str) -> None:
        """Take the locks of the tables in attempts, between which others get theirs."""
        timeout, deadlock_timeout = locks.timeouts(self.connection)
        limit = timeout if self.patience.lock_timeout is None else self.patience.lock_timeout
        waiting = Waiting(limit, self.patience.notify)
        for length in chain(locks.SLICES, repeat(deadlock_timeout + locks.AFTER_DEADLOCK_CHECK)):
            if locks.try_tables(self.connection, quoted, mode, min(length, waiting.left)):
                return
            tables = self.tables_in_use(quoted)
            if not waiting.pause(min(length, locks.LONGEST_PAUSE), partial("Waiting for {}".format, tables)):
                raise LockNotAvailable(
                    f"Waited {seconds(limit)} for {tables}. Nothing was changed. Wait until they are free, or raise "
                    f"--lock-timeout (lock_timeout=)."
                )

    def tables_in_use(self, quoted: Sequence[str]) -> str:
        """What a run waits for that waits for the locks of tables."""
        holders = locks.sessions(self.connection, locks.HOLDERS, list(quoted))
        return f"tables of database {self.connection.alias!r} that are in use{describe_sessions(holders)}"

    # Faults

    def is_fault(self, error: Error) -> bool:
        return faults.is_fault(error)

    def is_locked(self, error: Error) -> bool:
        return faults.code_of(error) == faults.LOCK_NOT_AVAILABLE

    def is_disturbed(self, error: Error) -> bool:
        return self.is_locked(error) or faults.code_of(error) in faults.GONE

    def is_forbidden(self, error: Error) -> bool:
        return faults.is_forbidden(error)

    def way_out(self, error: Error) -> str:
        if not self.is_locked(error):
            return faults.advice(self.connection, error)
        statement = self.explain(error)
        holders = locks.sessions(self.connection, locks.NAMED_HOLDERS, statement, statement) or locks.sessions(
            self.connection, locks.NAMED_HOLDERS, "", ""
        )
        return (
            f"The tables are in use{describe_sessions(holders)}: wait until they are free, or raise --lock-timeout "
            f"(lock_timeout=)."
        )

    def lock_budget(self) -> int:
        """How many locks one transaction may take: half of what the server has room for."""
        with self.connection.cursor() as cursor:
            cursor.execute(LOCK_SPACE)
            return int(cursor.fetchone()[0]) // 2

    def batches(self, steps: Sequence[Step]) -> tuple[tuple[Step, ...], ...]:
        budget = self.lock_budget()
        if sum(step.locks for step in steps) <= budget:
            return (tuple(steps),)
        batches: list[list[Step]] = [[]]
        held: defaultdict[str, int] = defaultdict(int)
        for step in steps:
            held[step.table] = max(held[step.table], step.locks) if step.table else held[""] + step.locks
            if sum(held.values()) > budget and batches[-1]:
                batches.append([])
                held = defaultdict(int, {step.table: step.locks})
            batches[-1].append(step)
        return tuple(map(tuple, batches))

    def run(self, steps: Sequence[Step]) -> None:
        for makes_table, group in groupby(steps, key=attrgetter("makes_table")):
            if makes_table:
                for message in messages(list(group)):
                    with self.meter.statement(message[0].table, message[0].sql, count=len(message)):
                        self.execute(";\n".join(step.sql for step in message))
            else:
                super().run(list(group))

    def discard(self, tables: Schema) -> None:
        if self.connection.in_atomic_block:
            # The server drops no table of which checks are still to be made at the end of the transaction.
            self.connection.check_constraints()
        super().discard(tables)

    # What models cannot say

    def extensions_for(self, models: Iterable[type[Model]]) -> Mapping[str, str]:
        return extensions.needed(self.connection, models)

    def missing_extensions(self, wanted: Mapping[str, str]) -> tuple[str, ...]:
        return extensions.missing(self.connection, wanted)

    def extension_statement(self, name: str) -> str:
        return extensions.CREATE.format(name=self.quote(name))

    def create_extensions(self, names: Sequence[str]) -> None:
        for name in names:
            try:
                with transaction.atomic(using=self.connection.alias):
                    self.execute(self.extension_statement(name))
            except Error as error:
                if not self.is_forbidden(error):
                    raise
                raise ExecutionFailed(extensions.forbidden(self.connection, name, error)) from error

    def know_types(self) -> None:
        self.forget_types()
        register_type_handlers(self.connection)

    def forget_types(self) -> None:
        cached: tuple[Any, ...] = (get_hstore_oids, get_citext_oids)
        for oids in cached:
            oids.cache_clear()

    def run_script(self, text: str) -> None:
        self.execute(text)

    @contextmanager
    def code_of_others(self, label: str) -> Iterator[None]:
        with super().code_of_others(label):
            yield
            if self.connection.in_atomic_block and self.is_in_transaction():
                # So that rows which point at nothing are said of what wrote them, and no check that is still to be
                # made keeps the next entry from changing the table.
                self.connection.check_constraints()

    def is_in_transaction(self) -> bool:
        raw: Any = self.connection.connection
        return raw.info.transaction_status is not TransactionStatus.IDLE

    # Questions to the rows

    def count_lost(self, table: Table, old: Column, new: Column) -> Loss:
        return hazards.count_lost(self.rows, table, old, new)

    def typed(self, column: Column, value: str) -> str:
        collation = f" COLLATE {self.quote(column.collation)}" if column.collation else ""
        return f"({value})::{column.type}{collation}"

    @contextmanager
    def limited(self, seconds: float | None) -> Iterator[None]:
        """Let the server stop queries that take longer; for a block that is a savepoint of its own."""
        if not seconds:
            yield
            return
        with self.connection.cursor() as cursor:
            cursor.execute(LIMIT_TIME, [f"{max(1, round(min(seconds * 1000, locks.LONGEST_TIMEOUT)))}ms"])
            (before, _) = cursor.fetchone()
            try:
                yield
            except OperationalError as error:
                if isinstance(error.__cause__, QueryCanceled):
                    raise TookTooLong(f"not counted within {seconds:g} s") from error
                raise
            cursor.execute(LIMIT_TIME, [before])

    def row_statement(self, fill: RowFill, anything: str) -> str:
        return UPDATE_ROWS.format(
            table=self.quote(fill.table),
            column=self.quote(fill.column),
            values=anything,
            names=anything,
            joined=anything,
        )

    def update_rows(self, fill: RowFill, values: Sequence[tuple[tuple[str, ...], str]]) -> Iterator[str]:
        """One statement for all these rows; the first row of values says of which types they are."""
        names = [f"key_{number}" for number, _ in enumerate(fill.key)]
        rows = [(*key, value) for key, value in values]
        rows[0] = tuple(f"{text}::{kind}" for text, kind in zip(rows[0], (*fill.key_types, fill.type), strict=True))
        pairs = zip(fill.key, names, strict=True)
        yield UPDATE_ROWS.format(
            table=self.quote(fill.table),
            column=self.quote(fill.column),
            values=", ".join(f"({', '.join(row)})" for row in rows),
            names=", ".join((*names, "value")),
            joined=" AND ".join(f"filled.{self.quote(column)} = given.{name}" for column, name in pairs),
        )


def pid_of(connection: BaseDatabaseWrapper) -> int | None:
    """The server process of a connection, if it is one to PostgreSQL that is open."""
    raw = connection.connection if connection.vendor == "postgresql" else None
    return raw.info.backend_pid if raw is not None and not raw.closed else None


def messages(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    """Many statements at a time, to save round trips."""
    for start in range(0, len(steps), STATEMENTS_A_MESSAGE):
        yield steps[start : start + STATEMENTS_A_MESSAGE]


def chosen_name(table: Table, noun: Constraint | Index) -> str:
    """The name that the server chooses for a column's own constraint.

    Source: ChooseIndexName() and ChooseConstraintName() in PostgreSQL's indexcmds.c.
    """
    if isinstance(noun, Index):
        return ""
    kind = "check" if isinstance(noun, Check) else "fkey" if isinstance(noun, ForeignKey) else "key"
    return sequences.object_name(introspection.bare_name(table.name), "_".join(noun_columns(noun)), kind)
