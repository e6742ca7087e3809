"""Scratch tables of the models on MariaDB and MySQL: temporary ones, each printed and dropped again.

A temporary table is made in a third of a millisecond and commits nothing, as long as all of it is in one
CREATE TEMPORARY TABLE: ALTER TABLE and CREATE INDEX would commit the caller's transaction.
Source: https://dev.mysql.com/doc/refman/8.4/en/implicit-commit.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from dataclasses import replace as evolve

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.ddl_references import Statement
from django.db.utils import DatabaseError, Error, OperationalError

from automigrate_ext.backends.mysql import faults
from automigrate_ext.backends.mysql.introspection import read_texts
from automigrate_ext.backends.mysql.parser import is_plain_index_over
from automigrate_ext.backends.mysql.show import many_statements
from automigrate_ext.declared.blueprint import (
    Blueprint,
    ColumnBlueprint,
    as_clause,
    is_alter_table_add,
)
from automigrate_ext.declared.editor import MARK, SQL, collecting_editor
from automigrate_ext.declared.unwritten import has_automatic_key
from automigrate_ext.exceptions import ScratchFailed
from automigrate_ext.schema.nouns import Check, Column, Constraint, Index, Schema, Table, Unique

PROBE = "automigrate_ext_probe_{number}"
CREATE_TABLE = "CREATE TABLE "
CREATE_PROBE = "CREATE TEMPORARY TABLE {name} {definition}{options}"
DROP_PROBES = "DROP TEMPORARY TABLE IF EXISTS {names}"
OPTIONS = " ENGINE={engine} DEFAULT CHARSET={charset} COLLATE={collation}"
#: The beginnings of the schema editor's templates for indexes, and of the same clauses inside CREATE TABLE.
CREATE_INDEX = re.compile(r"^CREATE (\w+ )?INDEX %\(name\)s ON %\(table\)s")
INSIDE = r"\1INDEX %(name)s"
#: The engine of probes with an index that InnoDB does not allow on temporary tables, and InnoDB's error.
# Source: https://mariadb.com/kb/en/full-text-index-overview/ and ER_INNODB_NO_FT_TEMP_TABLE.
OTHER_ENGINE, NO_SUCH_INDEX = "MyISAM", 1796
#: The number of scratch tables at a time.
BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One scratch table: its blueprint, its name and its parts."""

    blueprint: Blueprint
    name: str
    definition: str
    options: str

    def sql(self, connection: BaseDatabaseWrapper) -> str:
        """Return the statement that creates the table."""
        name = connection.ops.quote_name(self.name)
        return CREATE_PROBE.format(name=name, definition=self.definition, options=self.options)


def scratch(connection: BaseDatabaseWrapper, blueprints: Sequence[Blueprint], present: Mapping[str, str]) -> Schema:
    """Return the tables that the server makes of the blueprints, with the foreign keys of the models.

    `present` maps to the present names of the tables that exist already: each decides on the engine, character set
    and collation of its probe, so that both are printed alike. Raises `ScratchFailed` with the server's message
    and the model that it rejects.
    """
    options = live_options(connection, present)
    probes = [
        Probe(
            blueprint=blueprint,
            name=PROBE.format(number=number),
            definition=definition(blueprint),
            options=options.get(blueprint.name, ""),
        )
        for number, blueprint in enumerate(blueprints)
    ]
    tables: dict[str, Table] = {}
    for start in range(0, len(probes), BATCH):
        tables.update(build(connection, probes[start : start + BATCH]))
    return Schema(tables)


def live_options(connection: BaseDatabaseWrapper, present: Mapping[str, str]) -> Mapping[str, str]:
    """Return the options of the existing tables, by the names of the models' tables."""
    texts = read_texts(connection, list(present.values()))
    return {
        name: OPTIONS.format(engine=text.engine, charset=text.charset, collation=text.collation)
        for name, text in zip(present, texts, strict=True)
        if text.charset and text.collation
    }


def definition(blueprint: Blueprint) -> str:
    """Return the definitions of the table's columns, in brackets."""
    sql = complete(blueprint).replace(MARK, "")
    return sql[sql.index("(", len(CREATE_TABLE)) :]


def complete(blueprint: Blueprint) -> str:
    """Return the CREATE TABLE statement including the keys that Django makes by statements of their own."""
    clauses = [clause for statement in blueprint.objects if (clause := inside(statement))]
    return blueprint.create_sql([*clauses, MARK]).replace(f", {MARK}", MARK)


def inside(statement: SQL) -> str:
    """Return a statement that makes a key as a clause of CREATE TABLE; "" where it cannot be one."""
    if is_alter_table_add(statement):
        return as_clause(statement)
    if not isinstance(statement, Statement) or not CREATE_INDEX.match(statement.template):
        return ""
    return CREATE_INDEX.sub(INSIDE, statement.template) % statement.parts


def build(connection: BaseDatabaseWrapper, probes: Sequence[Probe]) -> Iterator[tuple[str, Table]]:
    """Create some of the scratch tables, read them and drop them."""
    with dropped_again(connection, probes):
        try:
            create(connection, probes)
        except DatabaseError as error:
            if faults.is_fault(error):
                words = faults.words(error)
                advice = faults.advice(connection, error)
                raise ScratchFailed(
                    f"The models cannot be compared, because that takes temporary tables: {words}. {advice}".strip()
                ) from error
            create_one_by_one(connection, probes)
        texts = list(read_texts(connection, [probe.name for probe in probes]))
    for probe, text in zip(probes, texts, strict=True):
        yield probe.blueprint.name, decorate(probe.blueprint, text.table)


@contextmanager
def dropped_again(connection: BaseDatabaseWrapper, probes: Sequence[Probe]) -> Iterator[None]:
    """Drop the probes after the block, and before it those that a reused connection still has."""
    names = ", ".join(connection.ops.quote_name(probe.name) for probe in probes)
    with connection.cursor() as cursor:
        cursor.execute(DROP_PROBES.format(names=names))
    try:
        yield
    except BaseException:
        # The first error is to be reported, not a broken connection; the end of the session drops them too.
        with suppress(Error), connection.cursor() as cursor:
            cursor.execute(DROP_PROBES.format(names=names))
        raise
    with connection.cursor() as cursor:
        cursor.execute(DROP_PROBES.format(names=names))


def create(connection: BaseDatabaseWrapper, probes: Sequence[Probe]) -> None:
    """Create all probes, in one message if the driver can."""
    statements = [probe.sql(connection) for probe in probes]
    with many_statements(connection) as takes_many, connection.cursor() as cursor:
        for message in [";\n".join(statements)] if takes_many else statements:
            cursor.execute(message)
            while cursor.nextset():
                pass


def create_one_by_one(connection: BaseDatabaseWrapper, probes: Sequence[Probe]) -> None:
    """Create each probe by itself. Raises `ScratchFailed` with the model that the server rejects."""
    with connection.cursor() as cursor:
        cursor.execute(DROP_PROBES.format(names=", ".join(connection.ops.quote_name(probe.name) for probe in probes)))
        for probe in probes:
            try:
                create_probe(connection, probe)
            except DatabaseError as error:
                message = faults.words(error).replace(probe.name, probe.blueprint.name)
                raise ScratchFailed(
                    f"The server does not accept {probe.blueprint.owner}: {message} It was asked for: "
                    f"{complete(probe.blueprint).replace(MARK, '')}"
                ) from error


def create_probe(connection: BaseDatabaseWrapper, probe: Probe) -> None:
    """Create one probe, with another engine where that supports all its indexes and InnoDB does not."""
    with connection.cursor() as cursor:
        try:
            cursor.execute(probe.sql(connection))
        except OperationalError as error:
            if faults.code_of(error) != NO_SUCH_INDEX:
                raise
            options = re.sub(r" ENGINE=\w+", "", probe.options)
            cursor.execute(evolve(probe, options=f"{options} ENGINE={OTHER_ENGINE}").sql(connection))


# Assembling the tables


def decorate(blueprint: Blueprint, answer: Table) -> Table:
    """Return the table of the server completed from its model."""
    model = blueprint.model
    columns = {column.name: column for column in blueprint.columns}
    comment = model._meta.db_table_comment or ""
    uniques = list(blueprint.uniques)
    return evolve(
        answer,
        name=blueprint.name,
        columns=tuple(decorate_column(columns[column.name], column) for column in answer.columns),
        constraints=(
            *(decorate_constraint(blueprint, constraint, uniques) for constraint in answer.constraints),
            *blueprint.foreign_keys,
        ),
        indexes=tuple(decorate_index(blueprint, index) for index in answer.indexes if not is_keys(blueprint, index)),
        comment=comment,
        owner=blueprint.owner,
        automatic=bool(model._meta.auto_created),
        automatic_key=has_automatic_key(model),
        sql=statements(blueprint),
    )


def statements(blueprint: Blueprint) -> tuple[str, ...]:
    """Return the statements that create the table, as much as possible in the first one."""
    create = complete(blueprint)
    if comment := blueprint.model._meta.db_table_comment:
        create += f" COMMENT={collecting_editor(blueprint.connection).quote_value(comment)}"
    return (create, *(str(statement) for statement in blueprint.objects if not inside(statement)))


def decorate_column(blueprint: ColumnBlueprint, answer: Column) -> Column:
    """Return the server's column with its default as the model's SQL has it."""
    if blueprint.default_sql is None and not blueprint.names_collation:
        return answer
    return evolve(answer, default_sql=blueprint.default_sql, names_collation=blueprint.names_collation)


def decorate_constraint(blueprint: Blueprint, answer: Constraint, uniques: list[Unique]) -> Constraint:
    """Return the server's constraint with Django's clause, and without a name that the server gave it."""
    if answer.name in blueprint.clauses:
        return evolve(answer, named=True, sql=blueprint.clauses[answer.name])
    if isinstance(answer, Unique):
        known = next((unique for unique in uniques if unique == answer and not unique.named), None)
        if known is None:
            return answer
        uniques.remove(known)
        return evolve(answer, name=known.name, sql=known.sql)
    if isinstance(answer, Check):
        return evolve(answer, name="", sql=f"CHECK ({answer.expression})")
    return answer


def is_keys(blueprint: Blueprint, index: Index) -> bool:
    """Return whether the index belongs to a foreign key, as it would if the server had made it."""
    if index.name in blueprint.given_names:
        return False
    return any(is_plain_index_over(index, key.columns) for key in blueprint.foreign_keys)


def decorate_index(blueprint: Blueprint, answer: Index) -> Index:
    """Return the server's index, which has the name that Django gave it."""
    return evolve(answer, named=True) if answer.name in blueprint.given_names else answer
