"""Scratch tables of the models on PostgreSQL: temporary ones, read back and rolled back.

Building every table would cost twenty times what reading the catalog costs, so each definition is
used once: the distinct columns of all plain tables go into a few wide tables, an index over plain
columns is built once for all columns of these types, and only a table with generated columns, checks,
expressions or conditions is built as a whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.ddl_references import Columns, Statement
from django.db.backends.ddl_references import Table as TableReference
from django.db.backends.utils import split_identifier
from django.db.utils import DatabaseError, Error

from automigrate_ext.backends.postgresql import faults
from automigrate_ext.backends.postgresql.definitions import create_index
from automigrate_ext.backends.postgresql.introspection import introspect, rename_columns
from automigrate_ext.declared.blueprint import (
    Blueprint,
    ColumnBlueprint,
    draw,
    is_alter_table_add,
    kept_name,
)
from automigrate_ext.declared.editor import SQL, SchemaEditor, collecting_editor
from automigrate_ext.declared.unwritten import has_automatic_key
from automigrate_ext.exceptions import ScratchFailed
from automigrate_ext.schema.nouns import Check, Column, Constraint, Index, PrimaryKey, Schema, Table, Unique

# Temporary tables require no privilege but TEMP, which every role has by default, and write no WAL. Engines for tenants
# set the search path anew for every cursor, so this goes before the statements of each, in one message with them.
TEMPORARY_FIRST = """
SELECT set_config('search_path', 'pg_temp, ' || regexp_replace(current_setting('search_path'), '^pg_temp, ', ''), true);
{sql}
"""

#: PostgreSQL allows 1,600 columns in a table; fewer keep clear of the limits of the row type.
WIDEST = 800
#: The number of scratch tables that one savepoint may lock before it is rolled back.
BATCH = 100

ColumnKey = tuple[str, str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One scratch table: its name, the statements that create it, and the models' tables that it stands for.

    `suspects` are statements for its parts, each with the model that it comes from.
    """

    name: str
    statements: tuple[str, ...]
    owners: tuple[str, ...]
    suspects: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexProbe:
    """An index over plain columns, reduced to the properties that the server decides on."""

    text: str
    types: tuple[str, ...]
    columns: tuple[str, ...]
    statement: Statement


def follow(connection: BaseDatabaseWrapper, blueprints: Sequence[Blueprint]) -> tuple[list[Blueprint], list[str]]:
    """Return the blueprints, and notes on the statements of an engine's editor that cannot be compared.

    Such a statement names the table as it likes, so the temporary one has the same name, and one with a schema in its
    name is not tried: the statement would reach the live table.
    """
    added = {blueprint.name: blueprint for blueprint in blueprints if blueprint.extras}
    probes = [probe_extras(connection, blueprint) for name, blueprint in added.items() if not split_identifier(name)[0]]
    tables = accepted(connection, probes)
    engine = connection.settings_dict["ENGINE"]
    notes = [
        f"Not compared: what the schema editor of {engine} adds for {blueprint.owner}: {'; '.join(blueprint.extras)}"
        for name, blueprint in added.items()
        if name not in tables or count_extras(blueprint, tables[name]) < len(blueprint.extras)
    ]
    followed = [
        evolve(blueprint, follows_extras=blueprint.name in tables) if blueprint.extras else blueprint
        for blueprint in blueprints
    ]
    return followed, notes


def accepted(connection: BaseDatabaseWrapper, probes: Sequence[Probe]) -> dict[str, Table]:
    """Return the scratch tables that the server accepts, tried one by one where it does not accept all together."""
    try:
        return build(connection, probes)
    except ScratchFailed:
        if len(probes) == 1:
            return {}
    return {name: table for probe in probes for name, table in accepted(connection, [probe]).items()}


def probe_extras(connection: BaseDatabaseWrapper, blueprint: Blueprint) -> Probe:
    """Return the model's own table under its own name, with what the engine's editor adds to it."""
    again = draw(scratch_editor(connection, {}), blueprint.model)
    return Probe(
        name=blueprint.name,
        statements=(again.create_sql(), *blueprint.extras, *map(str, again.objects)),
        owners=(blueprint.owner,),
    )


def count_extras(blueprint: Blueprint, answer: Table) -> int:
    """Return how many constraints and indexes come from the engine's editor."""
    known = {blueprint.name_of(statement) for statement in blueprint.objects}
    columns = dict(zip((c.name for c in answer.columns), blueprint.columns, strict=True))
    constraints = [noun for noun in answer.constraints if decorate_constraint(blueprint, noun, columns) is noun]
    return len(constraints) + sum(index.name not in known for index in answer.indexes)


def scratch(connection: BaseDatabaseWrapper, blueprints: Sequence[Blueprint]) -> Schema:
    """Return the tables that the server makes of the blueprints, with the foreign keys of the models.

    Raises `ScratchFailed` with the server's message and the model that it rejects.
    """
    plain = [blueprint for blueprint in blueprints if is_reducible(blueprint)]
    whole = [blueprint for blueprint in blueprints if not is_reducible(blueprint)]
    columns, column_probes = probe_columns(connection, plain)
    indexes, index_probes = probe_indexes(connection, plain)
    whole_probes = [probe_whole(connection, blueprint, n) for n, blueprint in enumerate(whole)]
    read = build(connection, [*column_probes, *index_probes, *whole_probes])
    known = Known(columns=columns, indexes=indexes, read=read)
    tables = {blueprint.name: assemble(blueprint, known) for blueprint in plain}
    for blueprint, probe in zip(whole, whole_probes, strict=True):
        tables[blueprint.name] = decorate(blueprint, read[probe.name])
    return Schema({blueprint.name: tables[blueprint.name] for blueprint in blueprints})


def build(connection: BaseDatabaseWrapper, probes: Sequence[Probe]) -> dict[str, Table]:
    """Create the scratch tables, read them and roll everything back, a batch at a time."""
    read: dict[str, Table] = {}
    for start in range(0, len(probes), BATCH):
        try:
            read.update(build_batch(connection, probes[start : start + BATCH]))
        except Error as error:
            # Outside of the savepoint, where the search path is as before, so that the server can be asked.
            words = " ".join(str(error).split())
            raise ScratchFailed(
                f"The models cannot be compared, because that takes temporary tables: {words}. "
                f"{faults.advice(connection, error)}".strip()
            ) from error
    return read


def build_batch(connection: BaseDatabaseWrapper, batch: Sequence[Probe]) -> dict[str, Table]:
    """Create, read and roll back one batch of scratch tables."""
    with transaction.atomic(using=connection.alias):
        try:
            try_out(connection, ";\n".join(sql for probe in batch for sql in probe.statements))
        except DatabaseError as error:
            if faults.is_fault(error):
                raise
            raise blame(connection, batch, error) from error
        read = introspect(connection, [probe.name for probe in batch], namespace="pg_temp").tables
        transaction.set_rollback(True, using=connection.alias)
    return dict(read)


def try_out(connection: BaseDatabaseWrapper, sql: str) -> None:
    """Execute statements whose names lead to temporary tables first, all or none of them."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(TEMPORARY_FIRST.format(sql=sql))


def blame(connection: BaseDatabaseWrapper, batch: Sequence[Probe], error: DatabaseError) -> ScratchFailed:
    """Find the statement that the server rejected, and return an error that names its model."""
    words = " ".join(str(error).split())
    for probe in batch:
        for owner, statement in probe.suspects or [(probe.owners[0], ";\n".join(probe.statements))]:
            try:
                with transaction.atomic(using=connection.alias):
                    try_out(connection, statement)
                    transaction.set_rollback(True, using=connection.alias)
            except DatabaseError as again:
                words = " ".join(str(again).split())
                return ScratchFailed(f"The server does not accept {owner}: {words} It was asked for: {statement}")
    return ScratchFailed(f"The server does not accept the models: {words}")


# Columns


def probe_columns(
    connection: BaseDatabaseWrapper, blueprints: Iterable[Blueprint]
) -> tuple[dict[ColumnKey, tuple[str, int]], list[Probe]]:
    """Put each distinct column definition into a wide table; return the tables, and the place of each definition."""
    seen: dict[ColumnKey, str] = {}
    for blueprint in blueprints:
        for column in blueprint.columns:
            seen.setdefault(column_key(column), blueprint.owner)
    wide: list[list[ColumnKey]] = []
    copies: defaultdict[str, int] = defaultdict(int)
    for key in seen:
        number = copies[key[0]]
        while number < len(wide) and len(wide[number]) >= WIDEST:
            number += 1
        copies[key[0]] = number + 1
        if number == len(wide):
            wide.append([])
        wide[number].append(key)
    places = {key: (f"probe_columns_{n}", i) for n, keys in enumerate(wide) for i, key in enumerate(keys)}
    probes = [
        Probe(
            name=f"probe_columns_{n}",
            statements=(create_table(connection, f"probe_columns_{n}", (column_sql(connection, key) for key in keys)),),
            owners=tuple(dict.fromkeys(seen[key] for key in keys)),
            suspects=tuple(
                (seen[key], create_table(connection, "probe_suspect", [column_sql(connection, key)])) for key in keys
            ),
        )
        for n, keys in enumerate(wide)
    ]
    return places, probes


def column_key(column: ColumnBlueprint) -> ColumnKey:
    """Return a key that is the same for equal column definitions."""
    return column.name, column.definition, column.check


def column_sql(connection: BaseDatabaseWrapper, key: ColumnKey) -> str:
    """Return the column as a clause of CREATE TABLE."""
    name, definition, check = key
    sql = f"{connection.ops.quote_name(name)} {definition}"
    return f"{sql} CHECK ({check})" if check else sql


def create_table(connection: BaseDatabaseWrapper, name: str, columns: Iterable[str]) -> str:
    """Return a CREATE TABLE statement."""
    return f"CREATE TEMPORARY TABLE {connection.ops.quote_name(name)} ({', '.join(columns)})"


# Indexes over plain columns


def is_reducible(blueprint: Blueprint) -> bool:
    """Return whether the table can be assembled from its columns and indexes, each tried in another table."""
    return (
        blueprint.plain
        and not blueprint.extras
        and all(is_alter_table_add(statement) or is_plain_index(statement) for statement in blueprint.objects)
    )


def is_plain_index(statement: SQL) -> bool:
    """Return whether a CREATE INDEX contains nothing but columns."""
    return (
        isinstance(statement, Statement)
        and isinstance(statement.parts.get("columns"), Columns)
        and not str(statement.parts.get("condition") or "")
        and "name" in statement.parts
    )


def reduce_index(blueprint: Blueprint, statement: Statement) -> IndexProbe:
    """Return the index with neutral names: for equal texts over equal types the server makes equal indexes."""
    types = {column.field.column: column.type_sql for column in blueprint.columns}
    columns = tuple(dict.fromkeys(mentioned_columns(statement)))
    return IndexProbe(
        text=str(reshape(statement, "t", '"i"', neutral_names(columns))),
        types=tuple(types[column] for column in columns),
        columns=columns,
        statement=statement,
    )


def neutral_names(columns: Sequence[str]) -> dict[str, str]:
    """Return columns by their names in a probe."""
    return {column: f"c{n}" for n, column in enumerate(columns)}


def mentioned_columns(statement: Statement) -> Iterator[str]:
    """Yield the columns in the parts of a statement."""
    for part in statement.parts.values():
        if isinstance(part, Columns):
            yield from part.columns
        elif isinstance(part, Statement):
            yield from mentioned_columns(part)


def reshape(statement: Statement, table: str, name: str, columns: Mapping[str, str]) -> Statement:
    """Return a statement for another table with other columns."""
    parts = {key: reshape_part(part, table, name, columns) for key, part in statement.parts.items()}
    return Statement(statement.template, **{**parts, **({"name": name} if "name" in parts else {})})


def reshape_part(part: Any, table: str, name: str, columns: Mapping[str, str]) -> Any:
    """Return one part of a statement for another table; see `reshape`."""
    if isinstance(part, Statement):
        return reshape(part, table, name, columns)
    if not isinstance(part, TableReference):
        return part
    part = copy(part)
    part.table = table
    if isinstance(part, Columns):
        part.columns = [columns[column] for column in part.columns]
    return part


def probe_indexes(
    connection: BaseDatabaseWrapper, blueprints: Iterable[Blueprint]
) -> tuple[dict[int, tuple[IndexProbe, str]], list[Probe]]:
    """Return a scratch table for each distinct shape of index, and the shape and table of each statement."""
    tables: dict[tuple[str, tuple[str, ...]], str] = {}
    places: dict[int, tuple[IndexProbe, str]] = {}
    probes: list[Probe] = []
    for blueprint in blueprints:
        for statement in plain_indexes(blueprint):
            probe = reduce_index(blueprint, statement)
            shape = (probe.text, probe.types)
            if shape not in tables:
                tables[shape] = f"probe_index_{len(probes)}"
                probes.append(index_probe(connection, tables[shape], probe, blueprint.owner))
            places[id(statement)] = probe, tables[shape]
    return places, probes


def plain_indexes(blueprint: Blueprint) -> Iterator[Statement]:
    """Yield the CREATE INDEX statements of a reducible table."""
    for statement in blueprint.objects:
        if isinstance(statement, Statement) and not is_alter_table_add(statement):
            yield statement


def index_probe(connection: BaseDatabaseWrapper, name: str, probe: IndexProbe, owner: str) -> Probe:
    """Return the scratch table with the index on it."""
    neutral = neutral_names(probe.columns)
    columns = (f"{neutral[column]} {kind}" for column, kind in zip(probe.columns, probe.types, strict=True))
    index = reshape(probe.statement, name, connection.ops.quote_name(f"{name}_i"), neutral)
    return Probe(name=name, statements=(create_table(connection, name, columns), str(index)), owners=(owner,))


# Whole tables


def probe_whole(connection: BaseDatabaseWrapper, blueprint: Blueprint, number: int) -> Probe:
    """Return the model's own table, without its foreign keys, under a name without a schema."""
    if blueprint.extras and blueprint.follows_extras:
        return probe_extras(connection, blueprint)
    name = f"probe_table_{number}"
    again = draw(scratch_editor(connection, {blueprint.name: name}), blueprint.model)
    return Probe(
        name=name,
        statements=(again.create_sql(), *map(str, again.objects)),
        owners=(blueprint.owner,),
    )


def scratch_editor(connection: BaseDatabaseWrapper, names: Mapping[str, str]) -> SchemaEditor:
    """Return a collecting editor that writes other table names."""
    editor = collecting_editor(connection)
    quote_name = editor.quote_name

    def quote_renamed(name: str) -> str:
        return str(quote_name(names.get(name, name)))

    editor.quote_name = quote_renamed
    editor.sql_create_table = editor.sql_create_table.replace("CREATE TABLE", "CREATE TEMPORARY TABLE", 1)
    return editor


# Assembling the tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The scratch tables that were read, and the place of each column and index in them.

    `decorated` are the columns that are done, so that equal ones of several tables are one value.
    """

    columns: Mapping[ColumnKey, tuple[str, int]]
    indexes: Mapping[int, tuple[IndexProbe, str]]
    read: Mapping[str, Table]
    decorated: dict[Hashable, Column] = field(default_factory=dict)

    def column(self, blueprint: ColumnBlueprint, answer: Column) -> Column:
        """Return the server's column with Django's SQL for it."""
        key = column_key(blueprint), blueprint.default_sql, blueprint.field.db_comment, blueprint.names_collation
        if key not in self.decorated:
            self.decorated[key] = decorate_column(blueprint, answer)
        return self.decorated[key]


def assemble(blueprint: Blueprint, known: Known) -> Table:
    """Assemble a plain table from the server's columns and indexes."""
    columns: list[Column] = []
    checks: list[Constraint] = []
    for column in blueprint.columns:
        probe, position = known.columns[column_key(column)]
        answer = known.read[probe].columns[position]
        columns.append(known.column(column, answer))
        if column.check:
            checks.extend(
                evolve(check, name="", sql=f"CHECK ({column.check})")
                for check in known.read[probe].constraints
                if isinstance(check, Check) and check.columns == (answer.name,)
            )
    return Table(
        name=blueprint.name,
        columns=tuple(columns),
        primary_key=primary_key(blueprint),
        constraints=(*checks, *merged_uniques(blueprint), *blueprint.foreign_keys),
        indexes=tuple(assemble_index(blueprint, statement, known) for statement in plain_indexes(blueprint)),
        **facts(blueprint),  # type: ignore[arg-type]
    )


def merged_uniques(blueprint: Blueprint) -> Iterator[Unique]:
    """Yield the unique constraints, without those that CREATE TABLE merges with another.

    The constraint that stays has the name that was given; one over the primary key's columns is left out.
    Source: transformIndexConstraints() in PostgreSQL's parse_utilcmd.c.
    """
    apart = {blueprint.name_of(statement) for statement in blueprint.objects}
    inline = [unique for unique in blueprint.uniques if unique.name not in apart]
    yield from (unique for unique in blueprint.uniques if unique.name in apart)
    distinct: dict[Unique, Unique] = {}
    for unique in inline:
        if unique not in distinct or (unique.named and not distinct[unique].named):
            distinct[unique] = unique
    distinct.pop(Unique(columns=blueprint.primary_key), None)
    yield from distinct.values()


def assemble_index(blueprint: Blueprint, statement: Statement, known: Known) -> Index:
    """Return an index over plain columns, by the server's index of the same shape."""
    probe, table = known.indexes[id(statement)]
    (answer,) = known.read[table].indexes
    real = {
        neutral: kept_name(blueprint.connection, column) for column, neutral in neutral_names(probe.columns).items()
    }
    return decorate_index(blueprint, rename_columns(answer, real), statement)


def facts(blueprint: Blueprint) -> dict[str, object]:
    """Return the properties of a table for which the server is not asked."""
    model = blueprint.model
    return {
        "comment": model._meta.db_table_comment or "",
        "owner": blueprint.owner,
        "automatic": bool(model._meta.auto_created),
        "automatic_key": has_automatic_key(model),
        "sql": (blueprint.create, *blueprint.extras, *map(str, blueprint.objects), *blueprint.comments),
    }


def primary_key(blueprint: Blueprint) -> PrimaryKey:
    """Return the primary key that the model declares."""
    return PrimaryKey(columns=blueprint.primary_key)


def decorate_column(blueprint: ColumnBlueprint, answer: Column) -> Column:
    """Return the server's column with Django's SQL for it."""
    comment = blueprint.field.db_comment or ""
    return evolve(
        answer,
        sql=blueprint.definition,
        default_sql=blueprint.default_sql,
        comment=comment,
        names_collation=blueprint.names_collation,
    )


def decorate_index(blueprint: Blueprint, answer: Index, statement: SQL) -> Index:
    """Return the server's index with its own name and statement."""
    name = blueprint.name_of(statement)
    return evolve(answer, name=name, named=name in blueprint.given_names, sql=str(statement))


def decorate(blueprint: Blueprint, answer: Table) -> Table:
    """Return a table that was built as a whole, with Django's SQL for its parts."""
    checks = [column.check for column in blueprint.columns if column.check]
    quote = blueprint.connection.ops.quote_name
    statements: dict[str, SQL] = {
        index.name: create_index(quote, blueprint.name, index) for index in answer.indexes if blueprint.extras
    }
    statements.update({blueprint.name_of(statement): statement for statement in blueprint.objects})
    positions = dict(zip((c.name for c in answer.columns), blueprint.columns, strict=True))
    constraints = [decorate_constraint(blueprint, constraint, positions) for constraint in answer.constraints]
    assert len(checks) <= len(constraints)
    return Table(
        name=blueprint.name,
        columns=tuple(decorate_column(positions[column.name], column) for column in answer.columns),
        primary_key=answer.primary_key and evolve(answer.primary_key, name="", sql=""),
        constraints=(*constraints, *blueprint.foreign_keys),
        indexes=tuple(
            decorate_index(blueprint, index, statements.get(index.name, index.sql)) for index in answer.indexes
        ),
        tablespace=answer.tablespace,
        **facts(blueprint),  # type: ignore[arg-type]
    )


def decorate_constraint(blueprint: Blueprint, answer: Constraint, columns: Mapping[str, ColumnBlueprint]) -> Constraint:
    """Return the server's constraint with Django's clause, and without a name that the server gave it."""
    if answer.name in blueprint.clauses:
        return evolve(answer, named=True, sql=blueprint.clauses[answer.name])
    if isinstance(answer, Unique):
        clause = next((unique.sql for unique in blueprint.uniques if unique.columns == answer.columns), "")
        return evolve(answer, name="", sql=clause)
    if isinstance(answer, Check) and len(answer.columns) == 1 and columns[answer.columns[0]].check:
        return evolve(answer, name="", sql=f"CHECK ({columns[answer.columns[0]].check})")
    return answer
