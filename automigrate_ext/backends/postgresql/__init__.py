"""PostgreSQL 14 and later, through psycopg 3."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import attrgetter

from django.db import transaction

from automigrate_ext.backends.base import Backend, Dependent, Loss, Reference, Step, Work, noun_columns
from automigrate_ext.backends.postgresql import hazards, introspection, schema, scratch
from automigrate_ext.blueprint import Blueprint, collecting_editor
from automigrate_ext.changes import AlterColumn
from automigrate_ext.ownership import TypeRules
from automigrate_ext.schema import Check, Column, Constraint, ForeignKey, Index, Schema, Table

# The lock is given back with the transaction, by a killed client too, and needs no session of its own.
TRY_LOCK = "SELECT pg_try_advisory_xact_lock(%s)"
#: Any fixed number will do, as long as no other program in the database takes the same.
LOCK_KEY = 6_171_309_204_113
#: Seconds between two attempts to get the lock.
LOCK_PAUSE = 0.05

#: How many statements that make tables go into one message.
STATEMENTS_A_MESSAGE = 200

LOCK_TABLES = "LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"
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
ORDER BY 1, 2, 3
"""

TABLE_NAMES = """
SELECT CASE WHEN pg_table_is_visible(c.oid) THEN c.relname::text ELSE format('"%s"."%s"', n.nspname, c.relname) END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""

#: PostgreSQL's integer types, from narrow to wide.
INTEGER_WIDTHS = {"smallint": 0, "integer": 1, "bigint": 2}
#: The longest identifier, NAMEDATALEN - 1.
LONGEST_NAME = 63


class PostgreSQLBackend(Backend):
    """What PostgreSQL answers."""

    type_rules = TypeRules(widths=INTEGER_WIDTHS)

    def introspect(self, names: Collection[str]) -> Schema:
        return introspection.introspect(self.connection, names)

    def scratch(self, blueprints: Sequence[Blueprint]) -> Schema:
        return scratch.scratch(self.connection, blueprints)

    def table_names(self) -> frozenset[str]:
        with self.connection.cursor() as cursor:
            cursor.execute(TABLE_NAMES)
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
            for table in introspection.introspect(self.connection, [*names, *outside])
            if table.name not in wanted
            for foreign_key in table.foreign_keys
            if foreign_key.to_table in wanted
        )

    def dependents(self, names: Collection[str]) -> tuple[Dependent, ...]:
        ordered = list(names)
        quoted = [self.quote(name) for name in ordered]
        with self.connection.cursor() as cursor:
            cursor.execute(DEPENDENTS, [ordered, quoted, ordered, quoted])
            return tuple(Dependent(table=table, kind=kind, name=name) for table, kind, name in cursor.fetchall())

    def server_named(self, table: Table, noun: Constraint | Index) -> bool:
        return noun.name == chosen_name(table, noun)

    def compile(self, work: Work) -> tuple[Step, ...]:
        touched = {change.table for change in work.changes if work.current.get(change.table)}
        references = self.references(touched) if touched else ()
        managed = {table.name for table in work.current}
        outside = [reference for reference in references if reference.table not in managed]
        blank = frozenset(
            (change.table, change.new.name)
            for change in work.changes
            if isinstance(change, AlterColumn) and not hazards.can_cast(self.connection, change.old, change.new)
        )
        return schema.compile_changes(collecting_editor(self.connection), work, outside, blank)

    def compile_rebuild(
        self, work: Work, references: Sequence[Reference], *, cascade: bool = False
    ) -> tuple[Step, ...]:
        editor = collecting_editor(self.connection)
        locks = [schema.locks_of(table) for table in work.current]
        group = max(1, self.lock_budget() // max(locks)) if sum(locks) > self.lock_budget() else len(locks) or 1
        steps = schema.compile_rebuild(editor, work.current, work.desired, references, cascade=cascade, group=group)
        return tuple(steps)

    # Transactions and locks

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with transaction.atomic(using=self.connection.alias):
            self.take_lock()
            yield

    def take_lock(self) -> None:
        """Wait until no other run holds the advisory lock."""
        with self.connection.cursor() as cursor:
            while True:
                cursor.execute(TRY_LOCK, [LOCK_KEY])
                if cursor.fetchone()[0]:
                    return
                time.sleep(LOCK_PAUSE)

    def protect(self, tables: Collection[str]) -> None:
        if tables:
            with self.connection.cursor() as cursor:
                cursor.execute(LOCK_TABLES.format(tables=", ".join(map(self.quote, sorted(tables)))))

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
        for sql in messages(steps):
            self.execute(sql)

    # Questions to the rows

    def count_lost(self, table: str, old: Column, new: Column) -> Loss:
        return hazards.count_lost(self.connection, table, old, new)


def messages(steps: Sequence[Step]) -> Iterator[str]:
    """The statements as they are sent: those that make new tables many at a time, to save round trips."""
    for makes_table, group in groupby(steps, key=attrgetter("makes_table")):
        statements = [step.sql for step in group]
        size = STATEMENTS_A_MESSAGE if makes_table else 1
        for start in range(0, len(statements), size):
            yield ";\n".join(statements[start : start + size])


def chosen_name(table: Table, noun: Constraint | Index) -> str:
    """The name that the server chooses for a column's own constraint.

    Source: ChooseIndexName(), ChooseConstraintName() and makeObjectName() in PostgreSQL's indexcmds.c.
    """
    if isinstance(noun, Index):
        return ""
    kind = "check" if isinstance(noun, Check) else "fkey" if isinstance(noun, ForeignKey) else "key"
    first, second = introspection.bare_name(table.name), "_".join(noun_columns(noun))
    room = LONGEST_NAME - len(kind) - 2
    while len(first) + len(second) > room:
        if len(first) > len(second):
            first = first[:-1]
        else:
            second = second[:-1]
    return f"{first}_{second}_{kind}"
