"""The backend for MariaDB and MySQL."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace as evolve
from itertools import groupby

from django.db.models import Model
from django.db.utils import Error

from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.mysql import (
    check_names,
    dependents,
    folding,
    hazards,
    history,
    introspection,
    parser,
    schema,
    scratch,
)
from automigrate_ext.backends.mysql.cost import MySQLCost
from automigrate_ext.backends.mysql.faults import MySQLFaults
from automigrate_ext.backends.mysql.filler import MySQLFiller
from automigrate_ext.backends.mysql.introspection import Catalog
from automigrate_ext.backends.mysql.online_session import MySQLOnline
from automigrate_ext.backends.mysql.parser import INTEGERS
from automigrate_ext.backends.mysql.rehearsal import MySQLRehearsal
from automigrate_ext.backends.mysql.renaming import as_spelled
from automigrate_ext.backends.mysql.rows import MySQLRows
from automigrate_ext.backends.mysql.server import Server, server_of
from automigrate_ext.backends.mysql.session import SCRIPT_SETTINGS, MySQLSession
from automigrate_ext.backends.mysql.storage import Storage
from automigrate_ext.backends.naming import noun_columns
from automigrate_ext.backends.rows import Source
from automigrate_ext.backends.work import Dependent, Loss, Part, Reference, Step, Work
from automigrate_ext.declared.blueprint import Blueprint, draw
from automigrate_ext.declared.editor import collecting_editor
from automigrate_ext.schema.adopt import TypeRules
from automigrate_ext.schema.changes import AddColumn, AddConstraint, AddIndex, AlterColumn, AlterPrimaryKey, Change
from automigrate_ext.schema.nouns import Check, Column, Constraint, ForeignKey, Index, Schema, Table, Unique

#: The record holds names and texts of all languages, whatever the character set of the database.
RECORD_OPTIONS = "CHARACTER SET utf8mb4 COLLATE {collation}"
COMPRESSED_KEY = (
    "the server allows no key over {column}, which is COMPRESSED. Let it store the column as it is (ALTER TABLE "
    "... MODIFY without that word)"
)
FIXED_FROM_OUTSIDE = (
    "foreign key {key} of {table} points at the column, and that table has no part in this run. Name its model too, or "
    "drop the key for the run"
)
#: The names that the servers give to checks.
SERVER_NAMED = re.compile(r"^(CONSTRAINT_\d+|.*_chk_\d+)$")
# None of these commits a transaction.
MAKE_TRIED = "CREATE TEMPORARY TABLE automigrate_ext_tried ({columns})"
TRY_VALUES = "INSERT INTO automigrate_ext_tried VALUES ({values})"
# What each row gives is converted, and none but the first is kept.
TRY_ROWS = "INSERT INTO automigrate_ext_tried SELECT {values}, 1 FROM {source} AS asked ON DUPLICATE KEY UPDATE one = 1"
ONE = "one int PRIMARY KEY"
DROP_TRIED = "DROP TEMPORARY TABLE IF EXISTS automigrate_ext_tried"


def compressed_key(change: Change, current: Schema) -> str:
    """Return why a key or index over a compressed column cannot be made; "" for any other change."""
    table = current.get(change.table)
    noun = change.new if isinstance(change, (AddConstraint, AddIndex, AlterPrimaryKey)) else None
    if table is None or noun is None or isinstance(noun, Check):
        return ""
    compressed = [column.name for column in table.columns if parser.COMPRESSED.search(column.extra)]
    keys = [name for name in noun_columns(noun) if name in compressed]
    return COMPRESSED_KEY.format(column=keys[0]) if keys else ""


class MySQLBackend(Backend):
    """MariaDB and MySQL: every DDL statement is committed at once, and texts are what SHOW CREATE TABLE prints."""

    faults_class = MySQLFaults
    session_class = MySQLSession
    rows_class = MySQLRows
    filler_class = MySQLFiller
    cost_class = MySQLCost
    rehearsal_class = MySQLRehearsal
    online_class = MySQLOnline
    session: MySQLSession
    rows: MySQLRows
    filler: MySQLFiller
    rehearsal: MySQLRehearsal

    type_rules = TypeRules(
        widths={kind: width for width, kind in enumerate(INTEGERS)},
        forgotten_actions=frozenset({"SET DEFAULT"}),
        keys_have_indexes=True,
    )
    opening = (SCRIPT_SETTINGS,)
    closing = ()
    dependents_follow = False
    frees_names = False
    undoes_ddl = False
    shows_unproven = False
    keys_have_one_collation = True
    #: How tables are stored, and the tables as they were read at that time.
    stored: tuple[Schema, Storage] | None = None

    @property
    def server(self) -> Server:
        """The ways of the server, which is asked for its version once it is connected."""
        return server_of(self.connection)

    # Reading

    def catalog(self) -> Catalog:
        """Read the names of all tables."""
        self.rows.catalog = Catalog(self.connection)
        return self.rows.catalog

    def introspect(self, names: Collection[str]) -> Schema:
        catalog = self.catalog()
        found = {name: self.session.find(catalog, name) for name in names}
        there = {name: spelled for name, spelled in found.items() if spelled is not None}
        texts = introspection.read_texts(self.connection, list(there.values()))
        tables = (text.table for text in texts)
        return Schema({name: self.named(name, table, catalog) for name, table in zip(there, tables, strict=True)})

    def named(self, name: str, table: Table, catalog: Catalog) -> Table:
        """Return a table that was read, as the models spell its name and those of the tables that it points at."""
        renamed = self.session.renaming.table(table)
        return introspection.respelled(renamed, name, catalog)

    def as_spelled(self, current: Schema, declared: Schema) -> Schema:
        spelled = as_spelled(current, declared)
        return folding.as_printed(self.connection, spelled, declared) if self.server.folds_checks else spelled

    def asks_checks_again(self, change: Change) -> bool:
        return isinstance(change, AlterColumn) and (change.retypes or change.old.null != change.new.null)

    def part_key(self, name: str) -> str:
        return name.lower()

    def scratch(self, blueprints: Sequence[Blueprint]) -> Schema:
        catalog = self.catalog()
        there = {blueprint.name: self.session.find(catalog, blueprint.name) for blueprint in blueprints}
        return scratch.scratch(self.connection, blueprints, {new: old for new, old in there.items() if old})

    def statements(self, blueprint: Blueprint) -> tuple[str, ...]:
        return scratch.statements(blueprint)

    def references(self, names: Collection[str]) -> tuple[Reference, ...]:
        inside = {self.session.renaming.old_table(name): name for name in names}
        outside = [name for name in introspection.referring(self.connection, inside) if name not in inside]
        return tuple(
            Reference(table=text.table.name, foreign_key=key)
            for text in introspection.read_texts(self.connection, outside)
            for key in self.session.renaming.table(text.table).foreign_keys
            if key.to_table in names
        )

    def dependents(self, names: Collection[str]) -> tuple[Dependent, ...]:
        """Return the triggers on the tables. Views stay when a table is dropped, and work again with the next one."""
        return tuple(
            Dependent(table=table, kind="trigger", name=name)
            for table, name in introspection.triggers(self.connection, names)
        )

    def update_triggers(self, names: Collection[str]) -> Mapping[str, Sequence[str]]:
        """Return the triggers, by table, that an UPDATE fires, in the order in which they fire."""
        catalog = self.catalog()
        by_present_name = {old: name for name in names if (old := self.session.find(catalog, name))}
        found: defaultdict[str, list[str]] = defaultdict(list)
        sql = introspection.UPDATE_TRIGGERS
        for table, trigger in introspection.triggers(self.connection, by_present_name, sql):
            found[by_present_name.get(table, table)].append(trigger)
        return found

    def dependents_of(self, parts: Sequence[Part]) -> Mapping[Part, Sequence[Dependent]]:
        """Return the dependents that would break where parts are converted, dropped or renamed.

        The columns of foreign keys from outside would have to be converted along, which nobody asked for. Views and
        triggers refer to columns and tables by name, and the server drops these without an error.
        """
        found = self.pointing_keys(parts)
        for part, of_part in self.readers(parts).items():
            found[part] += of_part
        return found

    def readers(self, parts: Sequence[Part]) -> Mapping[Part, Sequence[Dependent]]:
        """Return the views that would not find a part any more, and the triggers where the server shows these."""
        catalog = self.catalog()
        by_part = {
            evolve(part, table=table): part
            for part in parts
            if part.verb != "changed" and not part.constraint and (table := self.find_now(catalog, part.table))
        }
        if not by_part:
            return {}
        tables = sorted({part.table for part in by_part})
        texts = introspection.read_texts(self.connection, tables)
        columns = {table: [c.name for c in text.table.columns] for table, text in zip(tables, texts, strict=True)}
        there = [part for part in by_part if not part.column or part.column in columns[part.table]]
        triggers = self.server.rereads_triggers
        found = dependents.dependents_of(self.connection, there, columns, triggers=triggers)
        return {by_part[part]: of_part for part, of_part in found.items()}

    def find_now(self, catalog: Catalog, name: str) -> str | None:
        """Return the present name of a table, given that or its name to come."""
        return catalog.find(self.session.renaming.old_table(name))

    def pointing_keys(self, parts: Sequence[Part]) -> defaultdict[Part, list[Dependent]]:
        """Return the foreign keys of other tables that point at columns which are converted or dropped."""
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
        new = self.session.renaming.new_tables
        return frozenset(new.get(name, name) for name in names)

    def existing(self, names: Collection[str]) -> frozenset[str]:
        if len(names) == 1:
            catalog = Catalog(self.connection, self.session.renaming.old_table(*names))
        else:
            catalog = self.catalog()
        there = {name: self.session.find(catalog, name) for name in names if self.is_table(catalog, name)}
        return frozenset(name for name, old in there.items() if old is not None)

    def is_table(self, catalog: Catalog, name: str) -> bool:
        """Return whether a name is not that of a view."""
        return catalog.spelling.get(catalog.fold(self.session.renaming.old_table(name))) not in catalog.others

    def server_named(self, table: Table, noun: Constraint | Index) -> bool:
        if not noun.name:
            return True
        if isinstance(noun, Check):
            return SERVER_NAMED.match(noun.name) is not None
        is_unique = isinstance(noun, Unique) or (isinstance(noun, Index) and noun.unique)
        return is_unique and re.fullmatch(rf"{re.escape(noun_columns(noun)[0])}(_\d+)?", noun.name) is not None

    # Writing

    def widens(self, old: Column, new: Column) -> bool:
        return hazards.never_loses(old, new)

    def with_default(self, column: Column, value: str) -> Column | None:
        default = schema.default_clause(server_of(self.connection), column, value)
        return evolve(column, default=default, default_sql=default, sql="")

    def unable(self, change: Change, current: Schema) -> str:
        if reason := compressed_key(change, current):
            return reason
        if self.server.checks_share_names and (reason := check_names.too_long(change)):
            return reason
        if self.server.keys_fix_numbering and (reason := self.fixed_from_outside(change, current)):
            return reason
        if self.rows.is_versioned(change.table) and (reason := history.unable(self.rows, change, current)):
            return reason
        if self.stored is None or self.stored[0] is not current:
            self.stored = current, Storage(self.connection, self.session.renaming)
        return self.stored[1].why_not(change)

    def fixed_from_outside(self, change: Change, current: Schema) -> str:
        """Return why a column cannot become a numbered one, or cease to be: a key that the run does not take off."""
        if not isinstance(change, AlterColumn) or change.old.identity == change.new.identity:
            return ""
        for reference in self.references(current.tables.keys()):
            key = reference.foreign_key
            if key.to_table == change.table and change.new.name in key.to_columns:
                return FIXED_FROM_OUTSIDE.format(key=key.name, table=reference.table)
        return ""

    def compile(self, work: Work) -> tuple[Step, ...]:
        return tuple(self.compiler(work).steps())

    def taken_off(self, work: Work) -> tuple[tuple[str, ForeignKey], ...]:
        return tuple(self.compiler(work).taken_off())

    def filled_later(self, work: Work) -> tuple[tuple[str, str], ...]:
        added = ((change.table, change.new) for change in work.changes if isinstance(change, AddColumn))
        return tuple(
            (table, new.name)
            for table, new in added
            if new.null and (fill := work.fills.get((table, new.name))) and fill.draw
        )

    def compiler(self, work: Work, kind: type[schema.Compiler] = schema.Compiler) -> schema.Compiler:
        """Return the compiler of the work."""
        casts = {**work.casts, **dict(self.casts_of_nothing(work))}
        return kind(
            collecting_editor(self.connection),
            evolve(work, casts=casts),
            schema.Neighbours(
                server=self.server,
                own_indexes=self.own_indexes(work),
                versioned=frozenset(change.table for change in work.changes if self.rows.is_versioned(change.table)),
            ),
        )

    def casts_of_nothing(self, work: Work) -> Iterator[tuple[tuple[str, str], str]]:
        """Yield the columns without values whose change of type the server cannot convert."""
        for change in work.changes:
            if not isinstance(change, AlterColumn) or (change.table, change.new.name) in work.casts:
                continue
            old, new = change.old, change.new
            if old.generated or hazards.never_loses(old, new) or hazards.is_castable(self.rows, old, new):
                continue
            yield (change.table, new.name), schema.NOTHING

    def own_indexes(self, work: Work) -> Mapping[str, Mapping[str, str]]:
        """Return the indexes that belong to foreign keys, by the keys' names, of the tables that change."""
        catalog = self.catalog()
        altered = [name for name in {change.table for change in work.changes} if work.current.get(name)]
        there = {name: old for name in altered if (old := self.session.find(catalog, name))}
        texts = introspection.read_texts(self.connection, list(there.values()))
        return {name: text.own_indexes for name, text in zip(there, texts, strict=True)}

    def compile_rebuild(
        self, work: Work, references: Sequence[Reference], *, cascade: bool = False
    ) -> tuple[Step, ...]:
        return tuple(schema.compile_rebuild(collecting_editor(self.connection), work))

    # Running

    def exclusive(self) -> AbstractContextManager[bool]:
        return self.session.exclusive()

    def run(self, steps: Sequence[Step]) -> None:
        """Execute the steps; where one may lose values, count these once more while nobody else can write any."""
        for loses, group in groupby(steps, key=lambda step: bool(hazards.at_stake(step))):
            if not loses:
                super().run(list(group))
                continue
            for step in group:
                with self.session.locked(step.table):
                    for change in hazards.at_stake(step):
                        hazards.forbid_loss(self.rows, change)
                    super().run([step])

    def run_script(self, text: str) -> None:
        # The server splits the text, and the result of each statement has to be fetched.
        with self.connection.cursor() as cursor:
            cursor.execute(text)
            while cursor.nextset():
                pass

    def is_in_transaction(self) -> bool:
        return bool(self.connection.in_atomic_block)

    def create_record(self, model: type[Model]) -> None:
        editor = collecting_editor(self.connection)
        options = RECORD_OPTIONS.format(collation=self.record_collation())
        sql = f"{draw(editor, model).create_sql()} {options}"
        self.run([Step(sql=sql, table=model._meta.db_table)])

    def adjust_record(self, model: type[Model]) -> bool:
        collation, catalog, name = self.record_collation(), self.catalog(), model._meta.db_table
        if catalog.collations.get(catalog.find(name) or name) == collation:
            return False
        clause = f"CONVERT TO {RECORD_OPTIONS.format(collation=collation)}"
        self.run([Step(sql=schema.ALTER_TABLE.format(table=self.quote(name), clauses=clause), table=name)])
        return True

    def record_collation(self) -> str:
        """Return the collation by which no two names are the same, not even where spaces at their end differ."""
        return self.server.record_collation

    # Values

    def in_table(self, table: str, column: Column) -> Column:
        return self.rows.in_table(table, column)

    def count_lost(self, table: Table, old: Column, new: Column) -> Loss:
        return hazards.count_lost(self.rows, table, old, new)

    def why_unfit(self, values: Sequence[tuple[str, Column, str]], source: Source | None = None) -> str:
        plain = (hazards.plain(self.in_table(table, column)) for table, column, _ in values)
        columns = [f"c{number} {schema.define(column)}" for number, column in enumerate(plain)]
        tried = ", ".join(value for *_, value in values)
        insert = TRY_ROWS.format(values=tried, source=source.sql) if source else TRY_VALUES.format(values=tried)
        self.session.execute(MAKE_TRIED.format(columns=", ".join([*columns, ONE] if source else columns)))
        try:
            with self.session.limited(self.rows.limit):
                self.session.execute(insert)
        except Error as error:
            if self.faults.is_fault(error):
                raise
            return self.faults.words(error)
        finally:
            self.session.execute(DROP_TRIED)
        return ""

    def typed(self, column: Column, value: str) -> str:
        return hazards.value(column, value)
