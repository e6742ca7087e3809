"""The statement that creates an index, from what the catalog shows of it."""

from __future__ import annotations

from collections.abc import Callable

from automigrate_ext.schema.nouns import Index, IndexKey

Quote = Callable[[str], str]

CREATE_INDEX = "CREATE {unique}INDEX{name} ON {table} USING {method} ({keys}){rest}"


def create_index(quote: Quote, table: str, index: Index, *, named: bool = True) -> str:
    """Return the statement for an index of a table; if not `named`, the server chooses the name."""
    rest = [
        f"INCLUDE ({', '.join(map(quote, index.include))})" if index.include else "",
        "" if index.nulls_distinct else "NULLS NOT DISTINCT",
        f"WITH ({', '.join(index.options)})" if index.options else "",
        f"TABLESPACE {quote(index.tablespace)}" if index.tablespace else "",
        f"WHERE {index.condition}" if index.condition else "",
    ]
    return CREATE_INDEX.format(
        unique="UNIQUE " if index.unique else "",
        name=f" {quote(index.name)}" if named else "",
        table=quote(table),
        method=quote(index.method),
        keys=", ".join(key_sql(quote, key) for key in index.keys),
        rest="".join(f" {clause}" for clause in rest if clause),
    )


def key_sql(quote: Quote, key: IndexKey) -> str:
    """Return one key of an index."""
    words = [
        quote(key.column) if key.column else f"({key.expression})",
        f"COLLATE {quote(key.collation)}" if key.collation else "",
        key.opclass or "",
        key.order,
    ]
    return " ".join(filter(None, words))
