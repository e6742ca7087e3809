"""Definitions of tables, columns and constraints as SQL, with their present text as long as that is still valid."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from automigrate_ext.backends.sqlite3.introspection import unquoted
from automigrate_ext.backends.sqlite3.parser import (
    IndexReader,
    KeyedUnique,
    clause,
    key_sql,
    parse_column,
    parse_constraint,
)
from automigrate_ext.backends.sqlite3.tokens import (
    Names,
    Token,
    UnreadableSQL,
    collation_word,
    fold,
    is_operator,
    quote_name,
    tokenize,
)
from automigrate_ext.schema.nouns import (
    Check,
    Column,
    Constraint,
    ForeignKey,
    Index,
    IndexKey,
    PrimaryKey,
    Table,
    Unique,
)

Parsed = TypeVar("Parsed")


def create_table(new: Table, old: Table, name: str, options: Iterable[str]) -> str:
    """Return the CREATE TABLE statement of a table under another name, without its indexes.

    Parts that the table has already keep their text.
    """
    definitions = [
        *(column_with_key(column, new) for column in new.columns),
        *([primary_key(new.primary_key)] if new.primary_key and len(new.primary_key.columns) > 1 else []),
        *(constraint(c, new, old) for c in new.constraints if not is_index(c)),
    ]
    suffix = ", ".join(options)
    return f"CREATE TABLE {quote_name(name)} ({', '.join(definitions)}) {suffix}".rstrip()


def column_with_key(noun: Column, table: Table) -> str:
    """Return a column's definition, with the primary key after it where it is the only column of the key."""
    sql = column(noun, table)
    key = table.primary_key
    if key is None or key.columns != (noun.name,):
        return sql
    return f"{sql} {clause(key.name, 'PRIMARY KEY', 'AUTOINCREMENT' if noun.identity else '')}"


def primary_key(key: PrimaryKey) -> str:
    """Return a primary key as a clause of its table."""
    return clause(key.name, f"PRIMARY KEY ({', '.join(map(quote_name, key.columns))})")


def column(noun: Column, table: Table) -> str:
    """Return a column's definition, without the constraints after it."""
    names = names_of(table)
    parsed = read(lambda: parse_column(noun.sql, names)) if noun.sql else None
    if parsed is not None and facts(parsed) == facts(noun):
        return noun.sql
    parts = [quote_name(noun.name), noun.type]
    if noun.default is not None:
        parts.append(f"DEFAULT {noun.default if is_literal(noun.default) else f'({noun.default})'}")
    if noun.collation:
        parts.append(f"COLLATE {collation_word(noun.collation)}")
    if noun.generated:
        kind = "STORED" if noun.generated.stored else "VIRTUAL"
        parts.append(f"GENERATED ALWAYS AS ({noun.generated.expression}) {kind}")
    if not noun.null:
        parts.append("NOT NULL")
    elif not noun.generated:
        parts.append("NULL")
    return " ".join(part for part in parts if part)


def facts(noun: Column) -> tuple[object, ...]:
    """Return the properties that are part of a column's own definition."""
    return noun.name, noun.type, noun.null, noun.default, noun.collation, noun.generated


def is_literal(default: str) -> bool:
    """Return whether a default in canonical form is a single literal."""
    tokens = tokenize(default)
    if len(tokens) == 2:
        return is_operator(tokens[0], "-") and tokens[1].kind == "number"
    return len(tokens) == 1 and is_constant(tokens[0])


def is_constant(token: Token) -> bool:
    """Return whether a token is constant; SQLite adds no column with the current time to a table."""
    return token.kind in ("number", "string", "blob") or token.value in ("TRUE", "FALSE")


def constraint(noun: Constraint, new: Table, old: Table | None = None) -> str:
    """Return a constraint as a clause of its table."""
    live = [same.sql for same in old.constraints if is_same(same, noun)] if old else []
    names = names_of(new)
    for sql in (*live, noun.sql):
        if is_clause(sql, noun, names):
            return sql
    return composed(noun)


def is_same(old: Constraint, new: Constraint) -> bool:
    """Return whether a constraint can stay as it is."""
    return old == new and (old.name == new.name or not new.named)


def is_clause(sql: str, noun: Constraint, names: Names) -> bool:
    """Return whether a text still defines the constraint."""
    if not sql or is_index_sql(sql):
        return False
    parsed = read(lambda: parse_constraint(sql, names))
    if parsed is None or (noun.named and parsed.name != noun.name):
        return False
    return parsed == noun


def composed(noun: Constraint) -> str:
    """Return a constraint as SQL composed from its properties."""
    match noun:
        case Check():
            return clause(noun.name, f"CHECK ({noun.expression})")
        case ForeignKey():
            own = ", ".join(map(quote_name, noun.columns))
            return clause(noun.name, f"FOREIGN KEY ({own})", reference(noun))
        case Unique():
            return clause(noun.name, f"UNIQUE ({', '.join(map(key_sql, unique_keys(noun)))})")
    raise TypeError(f"SQLite has no {noun.kind}")


def reference(noun: ForeignKey) -> str:
    """Return the part of a foreign key that names its target."""
    columns = f" ({', '.join(map(quote_name, noun.to_columns))})" if noun.to_columns else ""
    parts = [f"REFERENCES {quote_name(unquoted(noun.to_table))}{columns}"]
    if noun.on_delete:
        parts.append(f"ON DELETE {noun.on_delete}")
    if noun.deferrable:
        parts.append(f"DEFERRABLE INITIALLY {noun.deferrable.upper()}")
    return " ".join(parts)


def behind_column(noun: Check | ForeignKey, table: Table) -> str:
    """Return a constraint as it is written after its only column."""
    if isinstance(noun, Check):
        return constraint(noun, table)
    return clause(noun.name, reference(noun))


def is_index(noun: Constraint) -> bool:
    """Return whether a constraint is made, and dropped, as a unique index."""
    return isinstance(noun, Unique) and is_index_sql(noun.sql)


def is_index_sql(sql: str) -> bool:
    """Return whether a statement makes an index, as opposed to a clause of a table."""
    return sql[:6].upper() == "CREATE"


def index(noun: Index | Unique, table: Table) -> str:
    """Return the CREATE INDEX statement of an index, or of a unique constraint that is to be made as one."""
    names = names_of(table)
    parsed = read(lambda: IndexReader(noun.sql, names).index()) if is_index_sql(noun.sql) else None
    same_table = parsed is not None and fold(parsed.table) == fold(unquoted(table.name))
    if parsed is not None and same_table and parsed.noun == noun and parsed.noun.name == noun.name:
        return noun.sql
    unique = "UNIQUE " if isinstance(noun, Unique) or noun.unique else ""
    keys = noun.keys if isinstance(noun, Index) else unique_keys(noun)
    where = f" WHERE {noun.condition}" if isinstance(noun, Index) and noun.condition else ""
    on = quote_name(unquoted(table.name))
    return f"CREATE {unique}INDEX {quote_name(noun.name)} ON {on} ({', '.join(map(key_sql, keys))}){where}"


def unique_keys(noun: Unique) -> tuple[IndexKey, ...]:
    """Return the keys of a unique constraint."""
    return noun.keys if isinstance(noun, KeyedUnique) else tuple(IndexKey(column=column) for column in noun.columns)


def names_of(table: Table) -> Names:
    """Return the names that the table's expressions may use."""
    return Names.of(unquoted(table.name), [(column.name, column.collation) for column in table.columns])


def read(parse: Callable[[], Parsed]) -> Parsed | None:
    """Parse a text that may not be valid any more; return None where it is not."""
    try:
        return parse()
    except UnreadableSQL:
        return None
