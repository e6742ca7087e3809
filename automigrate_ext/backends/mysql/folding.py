"""Checks that MySQL prints in two ways: as they were written, and once the table was copied with constants computed.

`a >= -(5)` becomes `a >= -5` where the column is a bigint, and `_utf8mb4'x'` becomes `_latin1'x'` where it is compared
with text of this character set. Whoever alters the table brings that about, and the columns' types decide about it, so
the server is asked whether two texts are one check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace as evolve

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError

from automigrate_ext.backends.mysql.introspection import read_texts
from automigrate_ext.declared.editor import MARK
from automigrate_ext.schema.nouns import Check, Constraint, Schema, Table

PROBE = "automigrate_ext_checks"
OTHER = "automigrate_ext_check_{number}"
MODE = "SELECT @@SESSION.sql_mode"
SET_MODE = "SET SESSION sql_mode = %s"
CREATE = "CREATE TEMPORARY TABLE {table} {definition}{options}"
#: The texts of the table have this collation, which decides about what they are compared with.
COLLATED = " COLLATE={collation}"
ADD = "ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({expression})"
COPY = "ALTER TABLE {table} FORCE, ALGORITHM=COPY"


def as_printed(connection: BaseDatabaseWrapper, current: Schema, declared: Schema) -> Schema:
    """Return tables that were read with checks as they are printed for the models, where they are the same ones."""
    tables = current.tables.items()
    return Schema({name: table_as_printed(connection, table, declared.get(name)) for name, table in tables})


def table_as_printed(connection: BaseDatabaseWrapper, table: Table, declared: Table | None) -> Table:
    """Return one table with checks as they are printed for its model; the server is asked only where texts differ."""
    theirs, mine = checks_of(declared), checks_of(table)
    others = [check for check in mine if check.expression not in {other.expression for other in theirs}]
    wanted = [check for check in theirs if check.expression not in {other.expression for other in mine}]
    if declared is None or not others or not wanted:
        return table
    forms = folded(connection, declared, table.collation, [*others, *wanted])
    printed = {forms[check.expression]: check.expression for check in wanted if check.expression in forms}
    same = {check.expression: printed[form] for check in others if (form := forms.get(check.expression)) in printed}
    return evolve(table, constraints=tuple(with_expression(noun, same) for noun in table.constraints))


def checks_of(table: Table | None) -> list[Check]:
    """Return the checks of a table."""
    return [noun for noun in table.constraints if isinstance(noun, Check)] if table else []


def with_expression(noun: Constraint, same: Mapping[str, str]) -> Constraint:
    """Return a check with another text for its expression, if there is one; any other constraint as it is."""
    if not isinstance(noun, Check) or noun.expression not in same:
        return noun
    return evolve(noun, expression=same[noun.expression])


def folded(connection: BaseDatabaseWrapper, table: Table, collation: str, checks: Sequence[Check]) -> Mapping[str, str]:
    """Return what is printed for checks, by their texts, once a table that has them was copied.

    That takes a connection of its own, because altering commits a transaction even where the table is temporary.
    """
    probe = connection.ops.quote_name(PROBE)
    create = table.sql[0].replace(MARK, "")
    options = COLLATED.format(collation=collation) if collation else ""
    with connection.cursor() as cursor:
        cursor.execute(MODE)
        mode = cursor.fetchone()
    with closing(connection.copy()) as beside, beside.cursor() as cursor:
        cursor.execute(SET_MODE, mode)
        definition = create[create.index("(", create.index(table.name) + len(table.name)) :]
        cursor.execute(CREATE.format(table=probe, definition=definition, options=options))
        for number, check in enumerate(checks):
            name = connection.ops.quote_name(OTHER.format(number=number))
            # One that reads a column that the models do not have is none of theirs.
            with suppress(DatabaseError):
                cursor.execute(ADD.format(table=probe, name=name, expression=check.expression))
        cursor.execute(COPY.format(table=probe))
        (text,) = read_texts(beside, [PROBE])
    forms = {check.name: check.expression for check in checks_of(text.table)}
    names = {OTHER.format(number=number): check.expression for number, check in enumerate(checks)}
    return {expression: forms[name] for name, expression in names.items() if name in forms}
