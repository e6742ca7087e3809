"""Renames of columns on MySQL, which renames none that a check, another column or an index over an expression reads.

In the statement that renames the column, what reads it is dropped and made again, or defined again. Pure.
Sources: https://dev.mysql.com/doc/refman/8.4/en/alter-table.html and the errors 3108, 3774, 3837 and 3959.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from automigrate_ext.backends.mysql.parser import names_in, tokenize
from automigrate_ext.schema.nouns import Check, Column, Index, Table

NOT_ENFORCED = " NOT ENFORCED"

#: Returns the definition of a column.
Define = Callable[[Column], str]
#: Returns a name as it is written in SQL.
Quote = Callable[[str], str]


def rename_clauses(table: Table, names: Mapping[str, str], define: Define, quote: Quote) -> Iterator[str]:
    """Yield the clauses that rename columns; `names` has their new names by the present ones, `table` the new ones."""
    renamed = set(names.values())
    checks = [c for c in table.constraints if isinstance(c, Check) and renamed & set(c.columns)]
    indexes = [index for index in table.indexes if renamed & expression_columns(index)]
    readers = {column.name: column for column in table.columns if reads(column, renamed)}
    yield from (f"DROP CONSTRAINT {quote(check.name)}" for check in checks)
    yield from (f"DROP INDEX {quote(index.name)}" for index in indexes)
    for old, new in names.items():
        reader = readers.pop(new, None)
        if reader:
            yield f"CHANGE {quote(old)} {quote(new)} {define(reader)}"
        else:
            yield f"RENAME COLUMN {quote(old)} TO {quote(new)}"
    yield from (f"MODIFY {quote(name)} {define(column)}" for name, column in readers.items())
    yield from (f"ADD {check_clause(check, quote)}" for check in checks)
    yield from (f"ADD {index_clause(index, quote)}" for index in indexes)


def copies(table: Table, names: Mapping[str, str]) -> bool:
    """Return whether the statement that renames columns of a table copies it, because something reads these."""
    renamed = set(names.values())
    return (
        any(isinstance(c, Check) and renamed & set(c.columns) for c in table.constraints)
        or any(renamed & expression_columns(index) for index in table.indexes)
        or any(reads(column, renamed) for column in table.columns)
    )


def expression_columns(index: Index) -> set[str]:
    """Return the columns that the expressions of an index read."""
    return {name for key in index.keys if key.expression for name in names_in(key.expression)}


def reads(column: Column, names: Collection[str]) -> bool:
    """Return whether a column is computed from one of some columns, or takes its default from one."""
    return not set(names).isdisjoint(column.reads) or not set(names).isdisjoint(names_in(column.default or ""))


def check_clause(check: Check, quote: Quote) -> str:
    """Return the clause that makes a check again, under the name that it has."""
    return f"CONSTRAINT {quote(check.name)} CHECK ({check.expression}){'' if check.enforced else NOT_ENFORCED}"


def index_clause(index: Index, quote: Quote) -> str:
    """Return the clause that makes an index again, under the name that it has."""
    keys = next(token.start for token in tokenize(index.sql) if token.kind == "open")
    return f"{'UNIQUE ' if index.unique else ''}KEY {quote(index.name)} {index.sql[keys:]}"
