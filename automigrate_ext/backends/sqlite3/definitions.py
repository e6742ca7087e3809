"""Definitions of tables, columns and constraints as SQL, with their present text as long as that is still valid."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace as evolve
from functools import partial
from itertools import pairwise
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

    Parts that the table has already keep their text, and columns their order.
    """
    key = key_clause(new, old)
    behind = key if new.primary_key and len(new.primary_key.columns) == 1 and not has_brackets(key) else ""
    definitions = [
        *(column_with_key(column, new, old, behind) for column in in_live_order(new, old)),
        *([key] if key and not behind else []),
        *(constraint(c, new, old) for c in new.constraints if not is_index(c)),
    ]
    suffix = ", ".join(options)
    return f"CREATE TABLE {quote_name(name)} ({', '.join(definitions)}) {suffix}".rstrip()


def in_live_order(new: Table, old: Table) -> list[Column]:
    """Return the columns of a table: first those that it has already, in their order."""
    places = {column.name: place for place, column in enumerate(old.columns)}
    return sorted(new.columns, key=lambda column: places.get(column.name, len(places)))


def column_with_key(noun: Column, table: Table, old: Table, key: str) -> str:
    """Return a column's definition, with the clause of the primary key after it where it is the column of the key."""
    sql = column(noun, table, old)
    return f"{sql} {key}" if key and table.primary_key and table.primary_key.columns == (noun.name,) else sql


def key_clause(new: Table, old: Table) -> str:
    """Return the clause of the primary key, "" for none: in the words that it has, as long as its columns stay."""
    key, live = new.primary_key, old.primary_key
    if key is None:
        return ""
    numbered = any(column.identity and column.name in key.columns for column in new.columns)
    if live != key or not live.sql:
        return clause(key.name, *plain_key_words(key, numbered=numbered))
    tokens = tokenize(live.sql)
    words = [token.value if token.kind == "word" else "" for token in tokens]
    name = "" if words[0] == "CONSTRAINT" else live.name
    if ("AUTOINCREMENT" in words) == numbered:
        return clause(name, live.sql)
    conflict = " ".join(words[words.index("ON") :][:3]) if "ON" in words else ""
    if numbered:
        return clause(live.name, "PRIMARY KEY", conflict, "AUTOINCREMENT")
    return clause(name, " ".join(token.text for token in tokens if token.value != "AUTOINCREMENT"))


def numbers_rows(new: Table, old: Table) -> bool:
    """Return whether the primary key is SQLite's own number of a row; one that is written `PRIMARY KEY DESC` is not."""
    columns = new.primary_key.columns if new.primary_key else ()
    key = new.column(columns[0]) if len(columns) == 1 else None
    words = [token.value for token in tokenize(key_clause(new, old))] if key and key.type == "integer" else ["DESC"]
    return "DESC" not in words or "(" in words


def plain_key_words(key: PrimaryKey, *, numbered: bool) -> tuple[str, ...]:
    """Return the words of a primary key without a collation, an order or a conflict clause."""
    if len(key.columns) > 1:
        return (f"PRIMARY KEY ({', '.join(map(quote_name, key.columns))})",)
    return "PRIMARY KEY", "AUTOINCREMENT" if numbered else ""


def resolves_conflicts(create: str) -> bool:
    """Return whether a definition says what becomes of rows that its constraints reject."""
    words = [token.value if token.kind == "word" else "" for token in tokenize(create)]
    return ("ON", "CONFLICT") in pairwise(words)


def has_brackets(sql: str) -> bool:
    """Return whether a clause of a primary key names its columns, as it does where it stands behind all of them."""
    return any(is_operator(token, "(") for token in tokenize(sql))


def column(noun: Column, table: Table, old: Table | None = None) -> str:
    """Return a column's definition, without the constraints after it: in its present words, if these are still valid.

    They may have more than models do, such as the conflict clause or the name of NOT NULL.
    """
    names = names_of(table)
    live = old.column(noun.name) if old else None
    for sql in (live.sql if live else "", noun.sql):
        parsed = read(partial(parse_column, sql, names)) if sql else None
        if parsed is not None and facts(parsed) == facts(noun):
            return sql
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
    return respelled(parsed, noun) == noun


def respelled(parsed: Constraint, noun: Constraint) -> Constraint:
    """Return a foreign key with the names as another one has them, where they differ in nothing but their case."""
    if not isinstance(parsed, ForeignKey) or not isinstance(noun, ForeignKey):
        return parsed
    ours, theirs = ((fold(unquoted(key.to_table)), *map(fold, key.to_columns)) for key in (parsed, noun))
    return evolve(parsed, to_table=noun.to_table, to_columns=noun.to_columns) if ours == theirs else parsed


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
