"""The one way that all acceptance cases go: build, fill, plan, update, compare with a fresh build, plan again.

A case states the models before and after, the rows in between and the differences that it expects. What
every case must show is asked here, so that no case can forget it.
"""

from __future__ import annotations

import decimal
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.apps.registry import Apps
from django.db import DEFAULT_DB_ALIAS, connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.state import AppConfigStub
from django.db.utils import IntegrityError, OperationalError

from automigrate_ext import AutomigrateError, Plan, Refused, automigrate, autoupdate, is_actual, make_plan
from automigrate_ext.backends import backend_for
from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.mysql.faults import DEADLOCK
from automigrate_ext.plan.online import Effect
from automigrate_ext.schema.changes import AlterColumn, Change, DropTable, RenameColumn, RenameTable
from automigrate_ext.schema.nouns import Check, Schema, canonical
from tests import squawk
from tests.features import has, is_generic, is_mysql, need
from tests.plan_shape import assert_shape
from tests.servers import firebird

APP = "shop"
ROUTES = ("automigrate", "syncdb")

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


class State:
    """The models of one moment, in a registry of their own: `State(Item={"name": CharField(...)})`.

    Each keyword is a model: its fields by name, and under "Meta" its options. Fields, indexes and
    constraints are cloned, so that two states may be given the same ones. `bases` under "bases" are names
    of models of the same state. Models are in the app "shop" unless "Meta" has another "app_label".
    """

    def __init__(self, **definitions: Mapping[str, Any]) -> None:
        meta = [definition.get("Meta", {}) for definition in definitions.values()]
        self.apps = Apps([AppConfigStub(label) for label in {APP, *(m["app_label"] for m in meta if "app_label" in m)}])
        self.models: dict[str, type[models.Model]] = {}
        for name, definition in definitions.items():
            self.models[name] = self.make(name, definition)
        self.apps.clear_cache()

    def make(self, name: str, definition: Mapping[str, Any]) -> type[models.Model]:
        meta = {"apps": self.apps, "app_label": APP, **definition.get("Meta", {})}
        for key in ("indexes", "constraints"):
            if key in meta:
                meta[key] = [thing.clone() for thing in meta[key]]
        body = {"__module__": __name__, "Meta": type("Meta", (), meta)}
        for attribute, value in definition.items():
            if attribute not in ("Meta", "bases"):
                body[attribute] = value.clone() if isinstance(value, models.Field) else value
        bases = tuple(self.models[base] if isinstance(base, str) else base for base in definition.get("bases", ()))
        return type(name, bases or (models.Model,), body)

    def __getitem__(self, name: str) -> type[models.Model]:
        return self.models[name]

    def managed(self) -> list[type[models.Model]]:
        """The models that have a table of their own, many-to-many tables included."""
        found = []
        for model in self.models.values():
            if model._meta.managed and not model._meta.proxy:
                found.append(model)
                throughs = (field.remote_field.through for field in model._meta.local_many_to_many)
                found += [through for through in throughs if through._meta.auto_created]
        return found

    def tables(self) -> list[str]:
        return [model._meta.db_table for model in self.managed()]


def item(**fields: Any) -> State:
    """A state of one model, `Item`."""
    return State(Item=fields)


class Case:
    """A database on which a case is played, and the route by which its tables come to be."""

    #: Whether updates are made in two steps, where that is possible: by `--expand`.
    expands = False

    def __init__(self, connection: BaseDatabaseWrapper, route: str) -> None:
        self.connection = connection
        self.alias = connection.alias
        self.vendor = connection.vendor
        self.route = route
        if is_generic(connection) and not has(connection, "atomic DDL"):
            # The lock of runs stays there once there has been a run, and is no trace of one that was refused.
            backend: Any = self.backend
            backend.session.lock.make()

    @property
    def backend(self) -> Backend:
        return backend_for(self.alias)

    def __repr__(self) -> str:
        return f"<Case {self.vendor} by {self.route}>"

    # Building and filling

    def build(self, state: State) -> None:
        """Make the tables of the state, by this case's route."""
        if self.route == "automigrate":
            automigrate(using=self.alias, apps=state.apps)
        elif self.route == "autoupdate":
            autoupdate(using=self.alias, apps=state.apps)
        else:
            create_models(self.connection, state.managed())

    def drop(self, state: State) -> None:
        """Drop the tables of the state, and what Django makes with them, by its schema editor."""
        with self.connection.schema_editor() as editor:
            for model in reversed(state.managed()):
                editor.delete_model(model)

    def execute(self, *statements: str) -> None:
        """Run SQL by hand, as an administrator would; names may be quoted as the standard has it."""
        with self.connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(self.quoted(statement))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(self.quoted(sql))
            return list(cursor.fetchall())

    def quoted(self, sql: str) -> str:
        """The statement with names quoted as the database has it."""
        if self.vendor == "firebird":
            # Django's backend writes all names in capitals.
            sql = re.sub(r'"[^"]+"', lambda found: found[0].upper(), sql)
            return sql.replace(" ADD COLUMN ", " ADD ")
        return sql.replace('"', "`") if self.vendor == "mysql" else sql

    def insert(self, state: State, rows: Rows) -> None:
        """Put rows in: by model name, or for many-to-many tables by "Model.field" as pairs of keys."""
        for name, values in rows.items():
            model_name, _, field = name.partition(".")
            model = state[model_name]
            if field:
                model = model._meta.get_field(field).remote_field.through
            for row in values:
                model._base_manager.using(self.alias).create(**row)

    def values(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        """The values of the columns in all rows, in a fixed order."""
        quote = self.connection.ops.quote_name
        rows = self.query(f"SELECT {', '.join(map(quote, columns))} FROM {quote(table)}")
        return sorted(rows, key=lambda row: tuple((value is not None, str(value)) for value in row))

    # Asking

    def plan(self, state: State, **options: Any) -> Plan:
        """Plan by comparing the tables."""
        plan = make_plan(using=self.alias, apps=state.apps, fingerprint=False, **options)
        assert_shape(plan)
        return plan

    def plan_by_fingerprint(self, state: State, **options: Any) -> Plan:
        """Plan by the fingerprint of the tables, where a run has recorded that."""
        return make_plan(using=self.alias, apps=state.apps, **options)

    def notes(self, plan: Plan) -> list[str]:
        """The notes of a plan, but for that on what the generic backend does not compare."""
        return [note for note in plan.notes if not note.startswith("Not compared")]

    def run(self, state: State, **options: Any) -> Plan:
        try:
            return autoupdate(using=self.alias, apps=state.apps, **options)
        except Refused as refusal:
            if is_unable(refusal.plan):
                need(self.connection, "every change")
            raise

    def run_as_planned(self, state: State, **options: Any) -> Plan:
        """Run what a plan has found acceptable: the dry run and the run agree."""
        try:
            return self.run(state, **options)
        except AutomigrateError as error:
            raise AssertionError(f"a plan found acceptable what the run fails at: {error}") from error

    def introspect(self, names: Iterable[str]) -> Schema:
        return self.backend.introspect(list(names))

    def fresh(self, state: State) -> Schema:
        """What Django's own schema editor makes of the state in an empty place; leaves nothing behind."""
        with empty_place(self.connection, state) as (connection, backend):
            create_models(connection, state.managed())
            return backend.introspect(state.tables())

    def comparable(self, schema: Schema) -> Schema:
        """The schema with one type for all references whose values are stored alike, as SQLite's integers are."""
        same = self.backend.type_rules.same_storage
        tables = {}
        for table in schema:
            references = {column for foreign_key in table.foreign_keys for column in foreign_key.columns}
            columns = [
                replace(column, type="integer")
                if column.name in references and same(column.type, "integer")
                else column
                for column in table.columns
            ]
            # MySQL prints -(5) as -5 once it has copied the table.
            constraints = [
                replace(noun, expression=re.sub(r"-\((\d+)\)", r"-\1", noun.expression))
                if isinstance(noun, Check) and is_mysql(self.connection)
                else noun
                for noun in table.constraints
            ]
            tables[table.name] = replace(table, columns=tuple(columns), constraints=tuple(constraints))
        return Schema(tables)

    # The whole of a case

    def update(
        self,
        before: State,
        after: State,
        rows: Rows | None = None,
        *,
        changes: Iterable[str] | None = None,
        withheld: Iterable[str] = (),
        altered: Iterable[str] = (),
        exact: bool = True,
        built: bool = False,
        **options: Any,
    ) -> Plan:
        """Go from one state to another and check all that every update promises.

        `changes` and `withheld` are how the plan's descriptions start; `altered` names the columns
        ("table.column") whose values the case means to change. `exact=False` where something stays
        that the models do not have. `built` says that the case has made the tables itself.
        """
        if not built:
            self.build(before)
        self.insert(before, rows or {})
        kept = self.survivors(before)
        plan = self.plan(after, **options)
        self.need_ability(plan, after, **options)
        assert not plan.refused, [str(h) for judgement in plan.refused for h in judgement.hazards]
        if changes is not None:
            assert_starts(described(change for change in plan.changes), changes)
        assert_starts(described(judgement.change for judgement in plan.withheld), withheld)
        assert plan.withheld or options or self.agrees(after, bool(plan))
        files = self.files() if plan.online else {}
        is_expanded = self.expands and self.expand(before, after, plan, **options)
        done = self.run_as_planned(after, **options)
        if plan.online and not is_expanded:
            self.assert_beside(plan, files)
        if not is_expanded and not any(statement.startswith("-- UPDATE") for statement in done.statements):
            assert masked(done.statements) == masked(plan.statements)
        self.assert_rewrites_once(plan)
        self.assert_survived(kept, plan, set(altered))
        self.assert_settled(after, exact=exact and not plan.withheld, **options)
        return plan

    def expand(self, before: State, after: State, plan: Plan, **options: Any) -> bool:
        """Make what an expand makes of a plan, if it has one, and show that both sides' models go on; return whether.

        Renames have none, nor have the few changes that are refused as such.
        """
        options = {name: value for name, value in options.items() if name not in ("accept_data_loss", "prune")}
        if any(isinstance(change, (RenameTable, RenameColumn)) for change in plan.changes):
            return False
        expanding = self.plan(after, expand=True, **options)
        if expanding.refused:
            codes = {hazard.code for judgement in expanding.refused for hazard in judgement.hazards}
            assert "no-expand" in codes, str(expanding)
            return False
        copied = [model for model in before.managed() if self.copies_a_row(model)]
        self.assert_rewrites_once(expanding)
        self.run_as_planned(after, expand=True, **options)
        again = self.plan(after, expand=True, **options)
        assert not again, again.sql()
        for model in copied:
            assert self.copies_a_row(model), f"old code cannot insert into {model._meta.db_table}"
        for model in before.managed():
            for row in model._base_manager.using(self.alias).all():
                row.save(using=self.alias)
        for model in after.managed():
            list(model._base_manager.using(self.alias).all())
        return True

    def copies_a_row(self, model: type[models.Model]) -> bool:
        """Put a row in that is like another, and take it out again; return whether that was possible."""
        row = model._base_manager.using(self.alias).first()
        if row is None or not isinstance(model._meta.pk, models.AutoField):
            return False
        row.pk, row._state.adding = None, True
        try:
            with transaction.atomic(using=self.alias):
                row.save(using=self.alias, force_insert=True)
        except IntegrityError:
            return False
        model._base_manager.using(self.alias).filter(pk=row.pk)._raw_delete(self.alias)
        return True

    def need_ability(self, plan: Plan, after: State, **options: Any) -> None:
        """Skip the case where the backend says that it cannot make a change; it must have left no trace then."""
        if is_unable(plan):
            trace = fingerprint(self.connection)
            with pytest.raises(Refused):
                autoupdate(using=self.alias, apps=after.apps, **options)
            assert fingerprint(self.connection) == trace
            need(self.connection, "every change")

    def unchanged(self, state: State, rows: Rows | None = None) -> None:
        """The state is built and nothing is to be done about it."""
        self.update(state, state, rows, changes=[])

    def refused(
        self, before: State, after: State, rows: Rows, *codes: str, built: bool = False, **options: Any
    ) -> Plan:
        """The update is refused for these reasons, and leaves no trace."""
        if not built:
            self.build(before)
        self.insert(before, rows)
        trace = fingerprint(self.connection)
        with pytest.raises(Refused) as caught:
            autoupdate(using=self.alias, apps=after.apps, **options)
        assert fingerprint(self.connection) == trace
        plan = caught.value.plan
        self.need_ability(plan, after, **options)
        assert_shape(plan)
        found = Counter(hazard.code for judgement in plan.refused for hazard in judgement.hazards)
        assert found == Counter(codes), str(caught.value)
        for judgement in plan.refused:
            for hazard in judgement.hazards:
                assert hazard.message in str(caught.value)
        return plan

    def assert_settled(self, state: State, *, exact: bool = True, **options: Any) -> None:
        """The database is what a fresh build of the state is, and nothing is left to do."""
        if exact:
            live, fresh = self.introspect(state.tables()), self.fresh(state)
            assert canonical(self.comparable(live)) == canonical(self.comparable(fresh))
            assert given_names(live, state) == given_names(fresh, state)
        again = self.plan(state, **options)
        assert not again, again.sql()
        assert [change.describe() for change in again.changes] == []
        assert self.agrees(state, bool(again))
        assert self.plan_by_fingerprint(state, **options) == again

    def agrees(self, state: State, differs: bool) -> bool:
        """Return whether `is_actual`, which asks the rows in a way of its own, agrees with a plan.

        It has to agree by comparing the tables, and by their fingerprint, where a run has recorded that.
        """
        answers = [is_actual(using=self.alias, apps=state.apps, fingerprint=way) for way in (False, True)]
        return answers == [not differs, not differs]

    def survivors(self, state: State) -> dict[str, list[dict[str, Any]]]:
        """All rows of the state's tables."""
        return {
            table.name: self.rows_of(table.name, [column.name for column in table.columns])
            for table in self.introspect(state.tables())
        }

    def rows_of(self, table: str, columns: Sequence[str]) -> list[dict[str, Any]]:
        return [dict(zip(columns, row, strict=True)) for row in self.values(table, *columns)]

    def assert_survived(self, kept: Mapping[str, list[dict[str, Any]]], plan: Plan, altered: set[str]) -> None:
        """The tables that the plan did not drop hold the values that they held, column by column."""
        dropped = {change.table for change in plan.changes if isinstance(change, DropTable)}
        retyped = {
            (change.table, change.new.name)
            for change in plan.changes
            if isinstance(change, AlterColumn) and (change.retypes or change.regenerates)
        }
        for table in self.introspect(kept.keys() - dropped):
            was = kept[table.name]
            now_columns = {column.name for column in table.columns}
            now = self.rows_of(table.name, sorted(now_columns))
            assert len(now) == len(was), f"{table.name} had {len(was)} rows and has {len(now)}"
            for column in (was[0].keys() & now_columns) if was else ():
                if f"{table.name}.{column}" in altered:
                    continue
                as_text = (table.name, column) in retyped
                before = Counter(plain(row[column], as_text) for row in was if row[column] is not None)
                after = Counter(plain(row[column], as_text) for row in now)
                assert before <= after, f"{table.name}.{column} held {before} and holds {after}"

    def files(self) -> dict[int, int | None]:
        """The files of PostgreSQL's tables, by the tables' numbers; None of a table with partitions."""
        return {oid: file for _, oid, file in self.query(FILES)}

    def assert_beside(self, plan: Plan, files: Mapping[int, int | None]) -> None:
        """An online run rewrote what it said it would, and squawk finds no fault with its script."""
        tables = {name: (oid, file) for name, oid, file in self.query(FILES)}
        rewritten = {name for name, (oid, file) in tables.items() if files.get(oid, file) != file}
        announced = {step.table for step in plan.online if step.manner.effect is Effect.REWRITE}

        def is_empty(name: str) -> bool:
            return name not in tables or not self.query(f'SELECT FROM "{name}" LIMIT 1')

        assert {name for name in rewritten if not is_empty(name)} <= announced
        if squawk.PROGRAM.exists():
            server = squawk.Server(
                is_empty=is_empty,
                is_rewritten=rewritten.__contains__,
                is_partitioned=lambda name: tables[name][1] is None,
            )
            assert squawk.complaints(plan, server) == []

    def assert_rewrites_once(self, plan: Plan) -> None:
        """No table is rewritten twice: one ALTER TABLE with column clauses, one rebuild on SQLite."""
        if not has(self.connection, "one statement a table"):
            return
        if fills_while_it_retypes(plan) and not has(self.connection, "filling and retyping at once"):
            return
        assert all(count == 1 for count in rewrites(self.vendor, plan.statements).values()), plan.sql()


def fills_while_it_retypes(plan: Plan) -> bool:
    """Whether a column comes to forbid NULL and gets another type."""
    altered = [change for change in plan.changes if isinstance(change, AlterColumn)]
    return any(change.old.null and not change.new.null and change.retypes for change in altered)


def rewrites(vendor: str, statements: Iterable[str]) -> Counter[str]:
    """How often each table is rewritten, or on a server altered in a way that may rewrite it."""
    may_rewrite = {"sqlite": begins_rebuild, "postgresql": rewrites_on_postgresql, "mysql": rewrites_on_mysql}[vendor]
    return Counter(statement.split()[2] for statement in statements if may_rewrite(statement))


def begins_rebuild(statement: str) -> bool:
    return statement.startswith('CREATE TABLE "new__')


def rewrites_on_postgresql(statement: str) -> bool:
    return (
        alters_table(statement)
        and any(text in statement for text in (" TYPE ", "ADD COLUMN"))
        and not adds_empty_column(statement)
    )


def is_unable(plan: Plan | None) -> bool:
    """Whether the backend has no way to make a change of the plan, whatever rows there are."""
    refused = plan.refused if plan else ()
    return any(hazard.code == "unable" for judgement in refused for hazard in judgement.hazards)


def rewrites_on_mysql(statement: str) -> bool:
    words = re.sub(r"`(?:[^`]|``)*`|'(?:[^'\\]|''|\\.)*'", "``", statement)
    clause = re.search(r" (ADD COLUMN|MODIFY|CHANGE|DROP COLUMN|DROP ``|ADD ``) ?", words)
    return alters_table(statement) and clause is not None and not adds_empty_column_on_mysql(words)


def alters_table(statement: str) -> bool:
    return statement.split()[:2] == ["ALTER", "TABLE"]


def adds_empty_column(statement: str) -> bool:
    """Whether a statement only adds a column for values that come later, which changes the catalog alone."""
    plain = re.fullmatch(r'ALTER TABLE \S+ ADD COLUMN "[^"]+" [^,"]+(\(\d+(,\d+)?\))?(\[\])?', statement)
    return plain is not None and not any(word in statement for word in (" NULL", " DEFAULT ", " GENERATED "))


def adds_empty_column_on_mysql(words: str) -> bool:
    """The same of a statement without its names and texts."""
    return (
        re.fullmatch(r"ALTER TABLE `` ADD COLUMN `` \w+(\([\d, ]+\))?( unsigned)?( COLLATE \S+)? NULL", words)
        is not None
    )


def described(changes: Iterable[Change]) -> list[str]:
    """What the changes say of themselves, without the numbers that the generic backend adds to types."""
    return [re.sub(r" \[[\d, ]+\]", "", change.describe()) for change in changes]


def assert_starts(found: Sequence[str], expected: Iterable[str]) -> None:
    """Each text found starts as one expected, and the other way round."""
    rest = list(found)
    for start in expected:
        match = next((text for text in rest if text.startswith(start)), None)
        assert match is not None, f"nothing starts with {start!r} in {found}"
        rest.remove(match)
    assert not rest, f"not expected: {rest}"


def masked(statements: Iterable[str]) -> list[str]:
    """The statements without the times of day in them, which are another at each planning."""
    return [re.sub(r"\d\d:\d\d:\d\d\.\d+", "", statement) for statement in statements]


def plain(value: Any, as_text: bool) -> Any:
    """A value that can be counted; numbers of another type count as equal."""
    if as_text:
        try:
            return decimal.Decimal(str(value)).normalize()
        except decimal.InvalidOperation:
            return str(value)
    return repr(value) if isinstance(value, (list, dict, memoryview)) else value


def given_names(schema: Schema, state: State) -> set[tuple[str, str]]:
    """The names of indexes and constraints that the models give, as far as the schema has them."""
    given = {thing.name for model in state.managed() for thing in (*model._meta.indexes, *model._meta.constraints)}
    return {
        (table.name, noun.name)
        for table in schema
        for noun in (*table.constraints, *table.indexes)
        if noun.name in given
    }


# Building with Django's own schema editor


def create_models(connection: BaseDatabaseWrapper, managed: Iterable[type[models.Model]]) -> None:
    """Make the tables as `migrate --run-syncdb` does."""
    with connection.schema_editor() as editor:
        for model in managed:
            if not model._meta.auto_created:
                editor.create_model(model)
        # Beside a database default Django also defers a constraint that it leaves out on MariaDB, and that is None.
        editor.deferred_sql = [statement for statement in editor.deferred_sql if statement is not None]


@contextmanager
def empty_place(connection: BaseDatabaseWrapper, state: State) -> Iterator[tuple[BaseDatabaseWrapper, Backend]]:
    """Somewhere on the same kind of database where the state's tables are not; undone at the end."""
    if connection.vendor in SECOND:
        with SECOND[connection.vendor](connection) as second:
            yield second, backend_for(second.alias)
        return
    quote = connection.ops.quote_name
    with transaction.atomic(using=connection.alias):
        with connection.cursor() as cursor:
            for table in state.tables():
                cursor.execute(f"DROP TABLE IF EXISTS {quote(table)} CASCADE")
        yield connection, backend_for(connection.alias)
        transaction.set_rollback(True, using=connection.alias)


@contextmanager
def second_sqlite(connection: BaseDatabaseWrapper) -> Iterator[BaseDatabaseWrapper]:
    """Another, empty SQLite database under an alias of its own."""
    with under_alias(connection, {**connections.settings[DEFAULT_DB_ALIAS], "NAME": ":memory:"}) as second:
        yield second


DEFAULTS = "SELECT @@character_set_database, @@collation_database"


@contextmanager
def second_mysql(connection: BaseDatabaseWrapper) -> Iterator[BaseDatabaseWrapper]:
    """Another, empty database of the same server, with the same defaults, under an alias of its own."""
    name = f"{connection.settings_dict['NAME']}_fresh"
    with connection.cursor() as cursor:
        cursor.execute(DEFAULTS)
        charset, collation = cursor.fetchone()
        cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")
        cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET {charset} COLLATE {collation}")
        try:
            with under_alias(connection, {**connection.settings_dict, "NAME": name}) as second:
                yield second
        finally:
            cursor.execute(f"DROP DATABASE `{name}`")


@contextmanager
def second_firebird(connection: BaseDatabaseWrapper) -> Iterator[BaseDatabaseWrapper]:
    """Another, empty file, under an alias of its own."""
    path = Path(connection.settings_dict["NAME"]).with_name("fresh.fdb")
    entry = {**connections.settings[DEFAULT_DB_ALIAS], **firebird.create(path)}
    with under_alias(connection, entry) as second:
        yield second


SECOND = {"sqlite": second_sqlite, "mysql": second_mysql, "firebird": second_firebird}


@contextmanager
def under_alias(connection: BaseDatabaseWrapper, entry: dict[str, Any]) -> Iterator[BaseDatabaseWrapper]:
    """A connection to another database, under an alias of its own."""
    alias = f"{connection.alias}_fresh"
    connections.settings[alias] = entry
    try:
        yield connections[alias]
    finally:
        # The wrapper of an in-memory database does not close its connection when asked to.
        if connections[alias].connection is not None:
            connections[alias].connection.close()
        del connections[alias]
        del connections.settings[alias]


# Proving that nothing was touched

#: The tables with their numbers, and the files that these have until they are rewritten.
FILES = """
SELECT relname, oid::bigint, pg_relation_filenode(oid)::bigint FROM pg_class
WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace
"""
POSTGRESQL_OBJECTS = """
SELECT 'class', n.nspname, c.relname, c.oid::text, c.relfilenode::text, c.relkind::text,
       array_to_string(c.reloptions, ','), obj_description(c.oid, 'pg_class')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^(pg_|information_schema)'
UNION ALL
SELECT 'column', a.attrelid::text, a.attname, a.attnum::text, format_type(a.atttypid, a.atttypmod),
       concat(a.attnotnull, a.attidentity, a.attgenerated, a.attcollation, a.attisdropped),
       pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum)
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^(pg_|information_schema)'
UNION ALL
SELECT 'constraint', conrelid::text, conname, oid::text, pg_get_constraintdef(oid), '', '', ''
FROM pg_constraint WHERE conrelid <> 0
UNION ALL
SELECT 'index', i.indrelid::text, i.indexrelid::text, pg_get_indexdef(i.indexrelid), i.indisvalid::text, '', '', ''
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^(pg_|information_schema)'
UNION ALL
SELECT 'trigger', tgrelid::text, tgname, tgenabled::text, pg_get_triggerdef(oid), '', '', ''
FROM pg_trigger WHERE NOT tgisinternal
"""
POSTGRESQL_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|information_schema)' ORDER BY 1
"""


MYSQL_OBJECTS = """
SELECT 'table', name, table_id, NULL, NULL, NULL, NULL FROM information_schema.{innodb_tables}
WHERE SUBSTRING_INDEX(name, '/', 1) = DATABASE()
UNION ALL
SELECT 'view', table_name, view_definition, check_option, definer, security_type, NULL
FROM information_schema.views WHERE table_schema = DATABASE()
UNION ALL
SELECT 'trigger', trigger_name, event_object_table, action_order, CONCAT_WS(' ', action_timing, event_manipulation),
       action_statement, created
FROM information_schema.triggers WHERE trigger_schema = DATABASE()
UNION ALL
SELECT 'routine', routine_name, routine_type, routine_definition, definer, security_type, last_altered
FROM information_schema.routines WHERE routine_schema = DATABASE()
UNION ALL
SELECT 'event', event_name, event_definition, definer, status, NULL, last_altered
FROM information_schema.events WHERE event_schema = DATABASE()
UNION ALL
SELECT 'database', schema_name, default_character_set_name, default_collation_name, NULL, NULL, NULL
FROM information_schema.schemata WHERE schema_name = DATABASE()
"""
MYSQL_TABLES = """
SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type <> 'VIEW' ORDER BY 1
"""


def fingerprint(connection: BaseDatabaseWrapper) -> str:
    """A digest of all that the database holds: every object, down to where it is stored, and every row."""
    digest = hashlib.sha256()
    with connection.cursor() as cursor:
        objects, tables = CONTENTS.get(connection.vendor, contents_of_any)(connection, cursor)
        digest.update(repr(sorted(map(repr, objects))).encode())
        for table in tables:
            cursor.execute(f"SELECT * FROM {table}")
            digest.update(repr((table, sorted(map(repr, cursor.fetchall())))).encode())
    return digest.hexdigest()


def contents_of_sqlite(connection: BaseDatabaseWrapper, cursor: Any) -> tuple[list[Any], list[str]]:
    cursor.execute("SELECT type, name, tbl_name, rootpage, sql FROM sqlite_master")
    objects = cursor.fetchall()
    return objects, [connection.ops.quote_name(name) for kind, name, *_ in objects if kind == "table"]


def contents_of_postgresql(connection: BaseDatabaseWrapper, cursor: Any) -> tuple[list[Any], list[str]]:
    cursor.execute(POSTGRESQL_OBJECTS)
    objects = cursor.fetchall()
    cursor.execute(POSTGRESQL_TABLES)
    return objects, [name for (name,) in cursor.fetchall()]


def contents_of_mysql(connection: BaseDatabaseWrapper, cursor: Any) -> tuple[list[Any], list[str]]:
    tables = "innodb_sys_tables" if connection.mysql_is_mariadb else "innodb_tables"
    objects = in_spite_of_others(cursor, MYSQL_OBJECTS.format(innodb_tables=tables))
    cursor.execute(MYSQL_TABLES)
    tables = [connection.ops.quote_name(name) for (name,) in cursor.fetchall()]
    for table in tables:
        cursor.execute(f"SHOW CREATE TABLE {table}")
        # The next number is not in it: rows that came and went leave another one behind.
        objects.append(re.sub(r" AUTO_INCREMENT=\d+", "", cursor.fetchone()[1]))
    return objects, tables


def in_spite_of_others(cursor: Any, sql: str) -> list[Any]:
    """The rows of a query to MySQL's dictionary, which ends in a deadlock where other tests make tables meanwhile."""
    for attempts_left in range(4, -1, -1):
        try:
            cursor.execute(sql)
            return list(cursor.fetchall())
        except OperationalError as error:
            if error.args[0] != DEADLOCK or not attempts_left:
                raise
    raise AssertionError("unreachable")


def contents_of_any(connection: BaseDatabaseWrapper, cursor: Any) -> tuple[list[Any], list[str]]:
    """All that Django's introspection shows, but for the lock of runs, which stays once there has been one."""
    show = connection.introspection
    names = sorted(name for name in show.table_names(cursor, include_views=True) if name != "automigrate_ext_lock")
    objects = [(name, show.get_table_description(cursor, name), show.get_constraints(cursor, name)) for name in names]
    return objects, [connection.ops.quote_name(name) for name in names]


CONTENTS = {"sqlite": contents_of_sqlite, "postgresql": contents_of_postgresql, "mysql": contents_of_mysql}
