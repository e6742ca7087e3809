"""The backend for PostgreSQL."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace as evolve
from functools import partial
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import Error
from psycopg.pq import TransactionStatus

from automigrate_ext import conf
from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.naming import is_generated_name, noun_columns
from automigrate_ext.backends.postgresql import (
    dependents,
    hazards,
    introspection,
    refitting,
    schema,
    scratch,
    sequences,
    triggers,
)
from automigrate_ext.backends.postgresql.casts import never_loses, widens
from automigrate_ext.backends.postgresql.cost import PostgreSQLCost
from automigrate_ext.backends.postgresql.extensions import PostgreSQLExtensions
from automigrate_ext.backends.postgresql.faults import PostgreSQLFaults
from automigrate_ext.backends.postgresql.filler import PostgreSQLFiller
from automigrate_ext.backends.postgresql.names import IS_BARE, OWN_TABLE, own_names
from automigrate_ext.backends.postgresql.online_session import PostgreSQLOnline
from automigrate_ext.backends.postgresql.rehearsal import PostgreSQLRehearsal
from automigrate_ext.backends.postgresql.rows import PostgreSQLRows
from automigrate_ext.backends.postgresql.session import PostgreSQLSession
from automigrate_ext.backends.rows import Source
from automigrate_ext.backends.work import Dependent, Loss, Part, Reference, Step, Work
from automigrate_ext.declared.blueprint import Blueprint
from automigrate_ext.declared.editor import collecting_editor
from automigrate_ext.exceptions import AmbiguousSchema, ExecutionFailed
from automigrate_ext.schema.adopt import TypeRules
from automigrate_ext.schema.changes import AlterColumn, Change, CreateTable, RenameSequence
from automigrate_ext.schema.nouns import Check, Column, Constraint, ForeignKey, Index, PrimaryKey, Schema, Table, Unique

#: The bytes of the longest entry of a B-tree, and types whose values never come near it. A value is as long there as it
#: is in its row, where the server has compressed it if it could.
# Source: BTMaxItemSize in src/include/access/nbtree.h, and index_form_tuple() in indextuple.c.
LONGEST_ENTRY = 2680
SHORT_TYPE = re.compile(
    r"^(smallint|integer|bigint|boolean|real|double precision|numeric.*|date|time.*|uuid|inet|interval"
    r"|character varying\([1-5]?\d?\d\)|\w*range)$"
)

TABLE_NAMES = """
SELECT CASE n.nspname WHEN current_schema() THEN c.relname::text ELSE format('"%s"."%s"', n.nspname, c.relname) END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""

EXISTING = f"""
SELECT wanted.name FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted)
JOIN pg_class c ON c.oid = {OWN_TABLE.format(quoted="wanted.quoted")} WHERE c.relkind IN ('r', 'p')
"""
REACHABLE = """
SELECT wanted.name FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted)
JOIN pg_class c ON c.oid = to_regclass(wanted.quoted) WHERE c.relkind IN ('r', 'p')
"""
# What queries find under names that new tables would take: Django's introspection lists views and foreign tables too.
HIDDEN = f"""
SELECT wanted.name, c.relname, quote_ident(n.nspname), quote_ident(current_schema())
FROM unnest(%s::text[], %s::text[], %s::text[]) AS wanted (name, own, quoted)
JOIN pg_class c ON c.oid = to_regclass(wanted.quoted) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname <> current_schema()
WHERE {IS_BARE.format(quoted="wanted.own")} AND {OWN_TABLE.format(quoted="wanted.own")} IS NULL
"""
# Several names may lead to one table.
SPOKEN_FOR = f"""
SELECT found.name FROM (
    SELECT wanted.name, named.oid, row_number() OVER (PARTITION BY named.oid ORDER BY number) AS nth
    FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS wanted (name, quoted, number)
    CROSS JOIN LATERAL (SELECT {OWN_TABLE.format(quoted="wanted.quoted")}::oid AS oid) named
    WHERE named.oid IS NOT NULL
) found
WHERE found.nth > 1
   OR found.oid IN (SELECT {OWN_TABLE.format(quoted="claimed.quoted")}::oid FROM unnest(%s::text[]) AS claimed (quoted))
"""
# As a column takes them, and not as a cast does, which cuts texts off.
MAKE_TRIED = "CREATE TEMPORARY TABLE automigrate_ext_tried ({columns})"
TRY_VALUES = "INSERT INTO pg_temp.automigrate_ext_tried VALUES ({values})"
# What each row gives is converted, and none but the first is kept.
TRY_ROWS = (
    "INSERT INTO pg_temp.automigrate_ext_tried SELECT {values}, 1 FROM {source} AS asked ON CONFLICT (one) DO NOTHING"
)
ONE = "one integer PRIMARY KEY"
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
#: The number of tables that the error about hidden ones names.
NAMED = 10
HIDING = (
    "The first schema of the search_path of database {alias!r} is {first}, and these tables are not in it, but in "
    "{where}: {tables}. A run would make them again in {first}, empty, and hide those. Nothing was changed. If those "
    "are the models' tables, put {where} first in the search_path, or move them (ALTER TABLE ... SET SCHEMA {first}). "
    "If {first} is to have tables of its own, as a tenant's schema has, add {alias!r} to "
    "AUTOMIGRATE['TENANT_SCHEMAS'], and keep models whose tables all tenants share out of the run by a database router."
)
#: PostgreSQL's integer types, from narrow to wide.
INTEGER_WIDTHS = {"smallint": 0, "integer": 1, "bigint": 2}


class PostgreSQLBackend(Backend):
    """PostgreSQL: a transaction undoes changes of tables, and texts are printed by the server."""

    faults_class = PostgreSQLFaults
    session_class = PostgreSQLSession
    filler_class = PostgreSQLFiller
    extensions_class = PostgreSQLExtensions
    cost_class = PostgreSQLCost
    rows_class = PostgreSQLRows
    rehearsal_class = PostgreSQLRehearsal
    online_class = PostgreSQLOnline
    session: PostgreSQLSession

    type_rules = TypeRules(widths=INTEGER_WIDTHS)

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__(connection)
        self.compiled: tuple[Work, schema.Compiler] | None = None
        #: The models' names of columns, by what the server keeps of them.
        self.whole_names: dict[str, str] = {}

    def introspect(self, names: Collection[str]) -> Schema:
        return introspection.introspect(self.connection, names, known=self.known_names)

    def scratch(self, blueprints: Sequence[Blueprint]) -> Schema:
        columns = (column for blueprint in blueprints for column in blueprint.columns)
        self.whole_names.update({c.name: str(c.field.column) for c in columns if c.name != c.field.column})
        followed, notes = scratch.follow(self.connection, blueprints)
        self.notes = tuple(dict.fromkeys((*self.notes, *notes)))
        return scratch.scratch(self.connection, followed)

    def table_names(self) -> frozenset[str]:
        with self.connection.cursor() as cursor:
            cursor.execute(TABLE_NAMES)
            return frozenset(name for (name,) in cursor.fetchall())

    def existing(self, names: Collection[str]) -> frozenset[str]:
        with self.connection.cursor() as cursor:
            cursor.execute(EXISTING, [list(names), own_names(self.connection, names)])
            return frozenset(name for (name,) in cursor.fetchall())

    def reachable(self, names: Collection[str]) -> frozenset[str]:
        with self.connection.cursor() as cursor:
            cursor.execute(REACHABLE, introspection.known_names(self.connection, names))
            return frozenset(name for (name,) in cursor.fetchall())

    def usable(self, names: Collection[str]) -> frozenset[str]:
        own = self.existing(names)
        missing = [name for name in names if name not in own]
        return own.union(self.hidden_places(missing)) if missing else own

    def hidden_places(self, names: Collection[str]) -> dict[str, tuple[str, str]]:
        """Return, by name, the schema of each table that a new one would hide, and the schema of the new one.

        There is none where the project asks for tables in front of others: by the setting, or by an engine whose
        introspection lists the first schema alone, as those of django-tenants and django-pgschemas do.
        """
        if conf.has_tenant_schemas(self.connection.alias):
            return {}
        own, known = own_names(self.connection, names), introspection.known_names(self.connection, names)
        with self.connection.cursor() as cursor:
            cursor.execute(HIDDEN, [known[0], own, known[1]])
            found = cursor.fetchall()
        seen = set(self.connection.introspection.table_names(include_views=True)) if found else set()
        return {name: (schema, first) for name, relation, schema, first in found if relation in seen}

    def forbid_hiding(self, names: Collection[str]) -> None:
        places = self.hidden_places(names)
        if not places:
            return
        ((_, first), *_) = places.values()
        where = " and ".join(sorted({schema for schema, _ in places.values()}))
        tables = ", ".join(sorted(places)[:NAMED])
        more = f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
        raise AmbiguousSchema(
            HIDING.format(first=first, alias=self.connection.alias, where=where, tables=f"{tables}{more}")
        )

    def spoken_for(self, names: Sequence[str], claimed: Collection[str]) -> frozenset[str]:
        own = partial(own_names, self.connection)
        with self.connection.cursor() as cursor:
            cursor.execute(SPOKEN_FOR, [list(names), own(names), own(claimed)])
            return frozenset(name for (name,) in cursor.fetchall())

    def references(self, names: Collection[str]) -> tuple[Reference, ...]:
        outside = dependents.referring(self.connection, names)
        if not outside:
            return ()
        wanted = set(names)
        return tuple(
            Reference(table=table.name, foreign_key=foreign_key)
            for table in self.introspect([*names, *outside])
            if table.name not in wanted
            for foreign_key in table.foreign_keys
            if foreign_key.to_table in wanted
        )

    def dependents(self, names: Collection[str]) -> tuple[Dependent, ...]:
        return dependents.dependents(self.connection, names)

    def dependents_of(self, parts: Sequence[Part]) -> Mapping[Part, Sequence[Dependent]]:
        return dependents.dependents_of(self.connection, parts)

    def unfit(self, current: Schema, desired: Schema, changes: Sequence[Change]) -> Mapping[Part, Sequence[Dependent]]:
        found: defaultdict[Part, list[Dependent]] = defaultdict(list)
        for table, column, dependent in refitting.unfit(self.connection, current, desired, changes):
            found[Part(table=table, column=column, verb="changed")].append(dependent)
        return found

    def fits_index(self, table: Table, noun: Constraint | Index | PrimaryKey) -> str:
        if not isinstance(noun, (Index, Unique, PrimaryKey)):
            return ""
        if isinstance(noun, Index):
            columns = [key.column for key in noun.keys]
            if noun.method != "btree" or noun.condition or None in columns:
                return ""
        names = (*noun.columns, *getattr(noun, "include", ()))
        long = [column for name in names if (column := table.column(name)) and not SHORT_TYPE.match(column.type)]
        sizes = " + ".join(f"coalesce(pg_column_size({self.connection.ops.quote_name(c.name)}), 0)" for c in long)
        return f"{sizes} <= {LONGEST_ENTRY}" if sizes else ""

    def django_named(self, table: Table, noun: Constraint | Index) -> bool:
        return is_generated_name(self.connection, table, noun, self.whole_names)

    def server_named(self, table: Table, noun: Constraint | Index) -> bool:
        return noun.name == chosen_name(table, noun)

    def widens(self, old: Column, new: Column) -> bool:
        return widens(old.type, new.type)

    def optional(self, column: Column) -> Column:
        return evolve(column, null=True, sql=schema.bare_definition(column, self.quote))

    def with_default(self, column: Column, value: str) -> Column | None:
        return evolve(column, default=value, default_sql=value, sql=f"{column.sql} DEFAULT {value}")

    def following_sequences(self, changes: Sequence[Change]) -> tuple[RenameSequence, ...]:
        return sequences.following(self.connection, changes)

    def compile(self, work: Work) -> tuple[Step, ...]:
        return tuple(self.compiler(work).steps())

    def taken_off(self, work: Work) -> tuple[tuple[str, ForeignKey], ...]:
        return self.compiler(work).detach().back

    def compiler(self, work: Work) -> schema.Compiler:
        """Return the compiler of the work; the last one is kept, so that the server is asked once."""
        if self.compiled is None or self.compiled[0] is not work:
            self.compiled = work, self.new_compiler(work)
        return self.compiled[1]

    def new_compiler(self, work: Work, kind: type[schema.Compiler] = schema.Compiler) -> schema.Compiler:
        """Return a compiler of the work, of this class."""
        touched = {change.table for change in work.changes if work.current.get(change.table)}
        references = self.references(touched) if touched else ()
        managed = {table.name for table in work.current}
        outside = [reference for reference in references if reference.table not in managed]
        casts = {**work.casts, **dict(self.casts_of_nothing(work))}
        if any(isinstance(change, CreateTable) for change in work.changes):
            self.forbid_hidden_schemas()
        return kind(
            collecting_editor(self.connection),
            evolve(work, casts=casts),
            outside,
            self.first_schema,
            partial(triggers.fired, self.connection),
        )

    def first_schema(self) -> str:
        """Return the schema in which new tables are created."""
        return str(self.ask(FIRST_SCHEMA))

    def forbid_hidden_schemas(self) -> None:
        """Raise `ExecutionFailed` where the server passes over a schema that the role may not use, or has none left.

        Tables in such a schema are not visible, and would be made again in the next one.
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
        """Yield the columns without values with the SQL that converts them."""
        for change in work.changes:
            if not isinstance(change, AlterColumn) or (change.table, change.new.name) in work.casts:
                continue
            old, new = change.old, change.new
            if old.type != new.type and not never_loses(old.type, new.type):
                yield (change.table, new.name), hazards.using_for_nothing(self.connection, old, new)

    def compile_rebuild(
        self, work: Work, references: Sequence[Reference], *, cascade: bool = False
    ) -> tuple[Step, ...]:
        editor = collecting_editor(self.connection)
        self.forbid_hidden_schemas()
        locks = [schema.locks_of(table) for table in work.current]
        group = len(locks) or 1
        if sum(locks) > self.session.lock_budget():
            group = max(1, self.session.lock_budget() // max(locks))
        steps = schema.compile_rebuild(editor, work.current, work.desired, references, cascade=cascade, group=group)
        return tuple(steps)

    # Running

    def exclusive(self) -> AbstractContextManager[bool]:
        return self.session.exclusive()

    def discard(self, tables: Schema) -> None:
        if self.connection.in_atomic_block:
            # The server does not drop a table with checks that are deferred to the end of the transaction.
            self.connection.check_constraints()
        super().discard(tables)

    def run_script(self, text: str) -> None:
        self.session.execute(text)

    def is_in_transaction(self) -> bool:
        raw: Any = self.connection.connection
        return raw.info.transaction_status is not TransactionStatus.IDLE

    # Values

    def count_lost(self, table: Table, old: Column, new: Column) -> Loss:
        return hazards.count_lost(self.rows, table, old, new)

    def why_unfit(self, values: Sequence[tuple[str, Column, str]], source: Source | None = None) -> str:
        columns = [f"c{number} {column.type}" for number, (_, column, _) in enumerate(values)]
        tried = ", ".join(value for *_, value in values)
        insert = TRY_ROWS.format(values=tried, source=source.sql) if source else TRY_VALUES.format(values=tried)
        try:
            with transaction.atomic(using=self.connection.alias):
                self.session.execute(MAKE_TRIED.format(columns=", ".join([*columns, ONE] if source else columns)))
                with self.session.limited(self.rows.limit):
                    self.session.execute(insert)
                transaction.set_rollback(True, using=self.connection.alias)
        except Error as error:
            if self.faults.is_fault(error):
                raise
            return " ".join(self.faults.words(error).split())
        return ""

    def typed(self, column: Column, value: str) -> str:
        collation = f" COLLATE {self.quote(column.collation)}" if column.collation else ""
        return f"({value})::{column.type}{collation}"


def chosen_name(table: Table, noun: Constraint | Index) -> str:
    """Return the name that the server chooses for a column's own constraint.

    Source: ChooseIndexName() and ChooseConstraintName() in PostgreSQL's indexcmds.c.
    """
    if isinstance(noun, Index):
        return ""
    kind = "check" if isinstance(noun, Check) else "fkey" if isinstance(noun, ForeignKey) else "key"
    return sequences.object_name(introspection.bare_name(table.name), "_".join(noun_columns(noun)), kind)
