"""Read tables from PostgreSQL's catalog, all of them with a handful of queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import replace as evolve
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper, split_identifier

from automigrate_ext.backends.postgresql.names import OWN_TABLE, identifier, own_names
from automigrate_ext.exceptions import ShadowedTable
from automigrate_ext.schema.nouns import (
    Check,
    Column,
    Constraint,
    Exclusion,
    ForeignKey,
    Generated,
    Index,
    IndexKey,
    PrimaryKey,
    Schema,
    Table,
    Unique,
)

RELATIONS = f"""
SELECT wanted.name, c.oid, c.relkind, obj_description(c.oid, 'pg_class'), t.spcname,
       c.relnamespace::regnamespace::text, c.relname
FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted)
JOIN pg_class c ON c.oid = {OWN_TABLE.format(quoted="wanted.quoted")}
LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace
"""

# Each table is looked up by itself, by indexes, so that no catalog of ten thousand schemas is read as a whole: the
# server does not merge a subquery that has an OFFSET with the query around it, and does not hash one that gives an
# array or a single value. Of an array that comes from a subquery it expects ten elements, so that the plan is the same
# for any number of tables, and no time goes into compiling it (jit). Source: estimate_array_length() in selfuncs.c.
GIVEN = "unnest((SELECT %s::oid[])) AS given (oid)"

# A serial column is one whose default reads a sequence that depends on it (deptype 'a'); Django before
# 4.1 made such columns, and they are treated as identity columns ("by default").
COLUMNS = f"""
SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       a.attnotnull AND a.attnum = ANY(wanted.not_valid),
       CASE WHEN a.atthasdef THEN (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
                                   WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum) END,
       a.attgenerated, a.attidentity,
       (SELECT co.collname FROM pg_type ty JOIN pg_collation co ON co.oid = a.attcollation
        WHERE ty.oid = a.atttypid AND ty.typcollation <> a.attcollation),
       a.attcollation <> 0,
       (SELECT d.description FROM pg_description d
        WHERE d.objoid = a.attrelid AND d.classoid = 'pg_class'::regclass AND d.objsubid = a.attnum),
       CASE WHEN a.atthasdef AND a.attgenerated = '' THEN (
           SELECT own.objid::regclass::text
           FROM pg_attrdef d
           JOIN pg_depend uses ON uses.classid = 'pg_attrdef'::regclass AND uses.objid = d.oid
                              AND uses.refclassid = 'pg_class'::regclass
           JOIN pg_depend own ON own.classid = 'pg_class'::regclass AND own.objid = uses.refobjid
                             AND own.refclassid = 'pg_class'::regclass AND own.refobjid = a.attrelid
                             AND own.refobjsubid = a.attnum AND own.deptype = 'a'
           WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum
           LIMIT 1
       ) END,
       a.attnum, a.attinhcount > 0
FROM (SELECT given.oid, {{not_null_not_valid}} FROM {GIVEN} OFFSET 0) AS wanted (oid, not_valid)
CROSS JOIN LATERAL (
    SELECT * FROM pg_attribute WHERE attrelid = wanted.oid AND attnum > 0 AND NOT attisdropped OFFSET 0
) AS a
ORDER BY a.attrelid, a.attnum
"""

NOT_NULL_NOT_VALID = """ARRAY(SELECT n.conkey[1] FROM pg_constraint n
                              WHERE n.conrelid = given.oid AND n.contype = 'n' AND NOT n.convalidated)"""

GENERATED_FROM = f"""
SELECT d.adrelid, d.adnum, reads.number
FROM {GIVEN}
CROSS JOIN LATERAL (
    SELECT d.oid, d.adrelid, d.adnum
    FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    WHERE d.adrelid = given.oid AND a.attgenerated <> '' OFFSET 0
) AS d
CROSS JOIN LATERAL (
    SELECT refobjsubid FROM pg_depend
    WHERE classid = 'pg_attrdef'::regclass AND objid = d.oid AND refclassid = 'pg_class'::regclass
      AND refobjid = d.adrelid AND refobjsubid NOT IN (0, d.adnum) OFFSET 0
) AS reads (number)
ORDER BY d.adrelid, d.adnum, reads.number
"""

# A foreign key that points at a partitioned table has a twin for each partition, and is itself its parent.
CONSTRAINTS = f"""
SELECT k.conrelid, k.contype, k.conname, k.conkey, k.confrelid, k.confkey, k.confdeltype,
       k.condeferrable, k.condeferred,
       CASE k.contype WHEN 'c' THEN pg_get_expr(k.conbin, k.conrelid, true) END,
       CASE WHEN k.contype IN ('x', 'f', 'c', 'u', 'p') THEN pg_get_constraintdef(k.oid) END,
       i.nulls_not_distinct, i.indnkeyatts, i.indkey::int2[], i.spcname,
       CASE k.contype WHEN 'x' THEN ARRAY(SELECT pg_get_indexdef(k.conindid, n, true)
                                          FROM generate_series(1, cardinality(k.conexclop)) n) END,
       CASE k.contype WHEN 'x' THEN ARRAY(SELECT format('OPERATOR(%%I.%%s)', n.nspname, o.oprname)
                                          FROM unnest(k.conexclop) WITH ORDINALITY AS e (oid, position)
                                          JOIN pg_operator o ON o.oid = e.oid
                                          JOIN pg_namespace n ON n.oid = o.oprnamespace
                                          ORDER BY e.position) END,
       CASE k.contype WHEN 'x' THEN (SELECT pg_get_expr(x.indpred, x.indrelid, true) FROM pg_index x
                                     WHERE x.indexrelid = k.conindid) END,
       k.coninhcount > 0, k.convalidated, k.confupdtype,
       {{enforced}},
       CASE k.contype WHEN 'x' THEN ARRAY(SELECT DISTINCT dep.refobjsubid::int2 FROM pg_depend dep
                                          WHERE dep.classid = 'pg_class'::regclass AND dep.objid = k.conindid
                                            AND dep.refclassid = 'pg_class'::regclass AND dep.refobjid = k.conrelid
                                            AND dep.refobjsubid > 0) END
FROM {GIVEN}
CROSS JOIN LATERAL (
    SELECT * FROM pg_constraint WHERE conrelid = given.oid AND contype IN ('p', 'u', 'c', 'x', 'f') OFFSET 0
) AS k
LEFT JOIN LATERAL (
    SELECT {{nulls_not_distinct}}, i.indnkeyatts, i.indkey, (
        SELECT t.spcname FROM pg_class ic JOIN pg_tablespace t ON t.oid = ic.reltablespace WHERE ic.oid = i.indexrelid
    )
    FROM pg_index i WHERE i.indexrelid = k.conindid OFFSET 0
) AS i (nulls_not_distinct, indnkeyatts, indkey, spcname) ON k.contype IN ('p', 'u')
WHERE k.conparentid = 0
   OR (SELECT whole.conrelid FROM pg_constraint whole WHERE whole.oid = k.conparentid) IS DISTINCT FROM k.conrelid
ORDER BY k.conrelid, k.conname
"""

# The parts of an index are read one by one, because pg_get_indexdef() prints the table's schema. In the statement that
# makes it again the table is named as the search path finds it, with its partitions.
INDEXES = f"""
SELECT i.indrelid, ic.relname, am.amname, i.indisunique, i.indnkeyatts, i.indkey::int2[],
       ARRAY(SELECT pg_get_indexdef(i.indexrelid, n, true) FROM generate_series(1, i.indnkeyatts) n),
       ARRAY(SELECT CASE WHEN NOT oc.opcdefault OR ia.attoptions IS NOT NULL
                         THEN oc.opcname || COALESCE('(' || array_to_string(ia.attoptions, ', ') || ')', '')
                    END
             FROM generate_series(1, i.indnkeyatts) n
             JOIN pg_attribute ia ON ia.attrelid = i.indexrelid AND ia.attnum = n
             JOIN pg_opclass oc ON oc.oid = i.indclass[n - 1]
             ORDER BY n),
       ARRAY(SELECT CASE WHEN i.indkey[n - 1] <> 0 AND i.indcollation[n - 1] <> ta.attcollation
                           OR i.indkey[n - 1] = 0 AND i.indcollation[n - 1] NOT IN (0, 100)
                         THEN co.collname END
             FROM generate_series(1, i.indnkeyatts) n
             LEFT JOIN pg_attribute ta ON ta.attrelid = i.indrelid AND ta.attnum = i.indkey[n - 1]
             LEFT JOIN pg_collation co ON co.oid = i.indcollation[n - 1]
             ORDER BY n),
       i.indoption::int2[], pg_get_expr(i.indpred, i.indrelid, true), ic.reloptions, t.spcname,
       i.indisvalid, {{nulls_not_distinct}},
       format('CREATE %%sINDEX %%I ON %%s', kind.words, ic.relname, i.indrelid::regclass)
       || substr(pg_get_indexdef(i.indexrelid), 1 + length(
              format('CREATE %%sINDEX %%I ON %%s%%I.%%I', kind.words, ic.relname, kind.only_, c.nspname, c.relname))),
       ARRAY(SELECT DISTINCT dep.refobjsubid::int2 FROM pg_depend dep
             WHERE dep.classid = 'pg_class'::regclass AND dep.objid = i.indexrelid
               AND dep.refclassid = 'pg_class'::regclass AND dep.refobjid = i.indrelid
               AND dep.refobjsubid > 0),
       ic.relispartition
FROM {GIVEN}
CROSS JOIN LATERAL (
    SELECT c.oid, c.relname, (SELECT nspname FROM pg_namespace WHERE oid = c.relnamespace), ARRAY(
        SELECT k.conindid FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x')
    )
    FROM pg_class c WHERE c.oid = given.oid OFFSET 0
) AS c (oid, relname, nspname, of_constraints)
CROSS JOIN LATERAL (
    SELECT * FROM pg_index WHERE indrelid = c.oid AND indexrelid <> ALL (c.of_constraints) OFFSET 0
) AS i
CROSS JOIN LATERAL (
    SELECT relname, relam, relkind, relispartition, reloptions, reltablespace FROM pg_class
    WHERE oid = i.indexrelid OFFSET 0
) AS ic
CROSS JOIN LATERAL (
    SELECT CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END AS words,
           CASE ic.relkind WHEN 'I' THEN 'ONLY ' ELSE '' END AS only_
) kind
JOIN pg_am am ON am.oid = ic.relam
LEFT JOIN pg_tablespace t ON t.oid = ic.reltablespace
ORDER BY i.indrelid, ic.relname
"""

COLUMN_NAMES = """
SELECT a.attrelid, a.attnum, a.attname FROM pg_attribute a
WHERE a.attrelid = ANY(%s::oid[]) AND a.attnum > 0
"""

# The models may give the schema although the name alone would be enough. A name alone is that of the table to which it
# leads once the tables are there that are still missing: they will hide those that it leads to now.
RELATION_NAMES = """
SELECT c.oid, coalesce((SELECT min(known.name) FROM unnest(%s::text[], %s::text[]) AS known (name, quoted)
                        WHERE to_regclass(known.quoted) = c.oid),
                       CASE WHEN pg_table_is_visible(c.oid) AND NOT will_hide.it
                            THEN c.relname::text ELSE format('"%%s"."%%s"', n.nspname, c.relname) END),
       CASE WHEN will_hide.it THEN c.oid::regclass::text END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT c.oid IN (SELECT to_regclass(missing)::oid FROM unnest(%s::text[]) AS missing
                     WHERE to_regclass(missing) IS NOT NULL) AS it
) will_hide
WHERE c.oid = ANY(%s::oid[])
"""

#: The values of `pg_class.relkind`; source: PostgreSQL's documentation, "pg_class".
KINDS = {
    "v": "view",
    "m": "materialised view",
    "f": "foreign table",
    "S": "sequence",
    "i": "index",
    "I": "index",
    "c": "composite type",
    "t": "TOAST table",
}
#: The values of `pg_constraint.confdeltype` and `confupdtype`; NO ACTION is the default of a foreign key.
ACTIONS = {"a": None, "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A table that exists under a wanted name."""

    name: str
    oid: int
    comment: str
    tablespace: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogNames:
    """The names behind the object identifiers of the catalog: of relations and columns.

    `passing` are the names that the server prints for relations to which these will not lead once all tables exist.
    """

    relations: Mapping[int, str]
    columns: Mapping[tuple[int, int], str]
    passing: Mapping[int, str]

    def of(self, relation: int, numbers: Iterable[int]) -> tuple[str, ...]:
        """Return the names of the columns of a relation with these numbers."""
        return tuple(self.columns[relation, number] for number in numbers if number > 0)


def introspect(
    connection: BaseDatabaseWrapper,
    names: Collection[str],
    *,
    namespace: str | None = None,
    known: Collection[str] = (),
) -> Schema:
    """Read those of the named tables that exist: in `namespace` if that is given, else in the first schema.

    Tables at which their foreign keys point get their names in `known`, if they are there, or the name alone if that
    will still lead to them once all named tables exist. Raises `ShadowedTable` where something other than a table has
    the name.
    """
    with connection.cursor() as cursor:
        relations = find_relations(cursor, connection, names, namespace)
        if not relations:
            return Schema({})
        oids = [relation.oid for relation in relations]
        columns = fetch_grouped(cursor, versioned(connection, COLUMNS), oids)
        constraints = fetch_grouped(cursor, versioned(connection, CONSTRAINTS), oids)
        indexes = fetch_grouped(cursor, versioned(connection, INDEXES), oids)
        reads = generated_from(cursor, oids)
        found = {relation.name for relation in relations}
        missing = [identifier(connection, name) for name in names if name not in found]
        known_tables = [*known_names(connection, known), missing]
        read_names = fetch_names(cursor, relations, columns, constraints, known_tables)
    tables = {}
    for relation in relations:
        oid = relation.oid
        keys, others = split_keys(as_constraint(row, read_names) for row in constraints[oid])
        tables[relation.name] = Table(
            name=relation.name,
            columns=tuple(as_column(row, reads, read_names) for row in columns[oid]),
            primary_key=keys[0] if keys else None,
            constraints=others,
            indexes=tuple(as_index(row, read_names) for row in indexes[oid]),
            comment=relation.comment,
            tablespace=relation.tablespace,
        )
    return Schema(tables)


def known_names(connection: BaseDatabaseWrapper, known: Collection[str]) -> list[list[str]]:
    """Return names of tables, and the same names as they are written in SQL."""
    return [list(known), [identifier(connection, name) for name in known]]


def find_relations(
    cursor: CursorWrapper, connection: BaseDatabaseWrapper, names: Collection[str], namespace: str | None
) -> list[Relation]:
    """Return the tables that exist under the names, in the order of the names."""
    ordered = list(names)
    if namespace:
        quoted = [f"{namespace}.{identifier(connection, name)}" for name in ordered]
    else:
        quoted = own_names(connection, ordered)
    cursor.execute(RELATIONS, [ordered, quoted])
    rows = {row[0]: row for row in cursor.fetchall()}
    relations = []
    for name in ordered:
        if name not in rows:
            continue
        _, oid, kind, comment, tablespace, schema, relname = rows[name]
        if kind not in ("r", "p"):
            raise ShadowedTable(
                f"{name!r} is not a table but a {KINDS.get(kind, kind)} ({schema}.{relname}). Rename or drop it, "
                f"or give the model another db_table."
            )
        relations.append(Relation(name=name, oid=oid, comment=comment or "", tablespace=tablespace))
    return relations


def versioned(connection: BaseDatabaseWrapper, sql: str) -> str:
    """Return the query for the server's version.

    NULLS NOT DISTINCT came with PostgreSQL 15, NOT ENFORCED, and NOT VALID for NOT NULL, with 18.
    """
    version: Any = connection.pg_version  # type: ignore[attr-defined]
    return (
        sql.replace("{nulls_not_distinct}", "i.indnullsnotdistinct" if version >= 15_00_00 else "false")
        .replace("{not_null_not_valid}", NOT_NULL_NOT_VALID if version >= 18_00_00 else "'{}'::int2[]")
        .replace("{enforced}", "k.conenforced" if version >= 18_00_00 else "true")
    )


def fetch_grouped(cursor: CursorWrapper, sql: str, oids: list[int]) -> defaultdict[int, list[Any]]:
    """Return the rows of a query by their first column, the table's object identifier."""
    cursor.execute(sql, [oids])
    grouped: defaultdict[int, list[Any]] = defaultdict(list)
    for row in cursor.fetchall():
        grouped[row[0]].append(row)
    return grouped


def generated_from(cursor: CursorWrapper, oids: list[int]) -> dict[tuple[int, int], list[int]]:
    """Return which columns each generated column reads."""
    cursor.execute(GENERATED_FROM, [oids])
    reads: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for relation, number, read in cursor.fetchall():
        reads[relation, number].append(read)
    return dict(reads)


def fetch_names(
    cursor: CursorWrapper,
    relations: list[Relation],
    columns: Mapping[int, list[Any]],
    constraints: Mapping[int, list[Any]],
    known: list[list[str]],
) -> CatalogNames:
    """Return the names of the tables read and of those that their foreign keys point at, with their columns.

    `known` are the first parameters of `RELATION_NAMES`.
    """
    relation_names = {relation.oid: relation.name for relation in relations}
    column_names = {(oid, row[12]): row[1] for oid, rows in columns.items() for row in rows}
    passing: dict[int, str] = {}
    outside = sorted({row[4] for rows in constraints.values() for row in rows} - {0} - set(relation_names))
    if outside:
        cursor.execute(RELATION_NAMES, [*known, outside])
        for oid, name, printed in cursor.fetchall():
            relation_names[oid] = name
            if printed:
                passing[oid] = printed
        cursor.execute(COLUMN_NAMES, [outside])
        column_names.update({(oid, number): name for oid, number, name in cursor.fetchall()})
    return CatalogNames(relations=relation_names, columns=column_names, passing=passing)


def as_column(row: Any, reads: Mapping[tuple[int, int], list[int]], names: CatalogNames) -> Column:
    """Return a row of `COLUMNS` as a column."""
    (
        oid,
        name,
        kind,
        not_null,
        forbids_new_nulls,
        default,
        generated,
        identity,
        collation,
        collatable,
        comment,
        serial,
        number,
        inherited,
    ) = row
    return Column(
        name=name,
        type=kind,
        null=not not_null or forbids_new_nulls,
        forbids_new_nulls=forbids_new_nulls,
        default=None if generated or serial else default,
        generated=Generated(expression=default, stored=generated == "s") if generated else None,
        collation=collation,
        identity="by default" if serial or identity == "d" else "always" if identity == "a" else None,
        comment=comment or "",
        reads=names.of(oid, reads.get((oid, number), ())),
        collatable=collatable,
        sequence=serial,
        inherited=inherited,
    )


def as_constraint(row: Any, names: CatalogNames) -> Constraint | PrimaryKey:
    """Return a row of `CONSTRAINTS` as a constraint or primary key."""
    (oid, kind, name, numbers, target, target_numbers, on_delete, deferrable, deferred) = row[:9]
    expression, definition, nulls_not_distinct, key_count, index_numbers, tablespace = row[9:15]
    excluded, operators, condition, inherited, valid, on_update, enforced, used = row[15:]
    columns = names.of(oid, numbers or ())
    when = "deferred" if deferred else "immediate" if deferrable else None
    sql = f"CONSTRAINT {quote(name)} {definition}"
    if kind == "p":
        return PrimaryKey(columns=columns, tablespace=tablespace, name=name, sql=sql)
    if kind == "u":
        return Unique(
            columns=columns,
            include=names.of(oid, index_numbers[key_count:]),
            nulls_distinct=not nulls_not_distinct,
            deferrable=when,
            tablespace=tablespace,
            name=name,
            sql=sql,
            inherited=inherited,
        )
    if kind == "c":
        return Check(
            expression=expression,
            columns=columns,
            enforced=enforced,
            name=name,
            sql=sql,
            inherited=inherited,
            valid=valid,
        )
    if kind == "x":
        return Exclusion(
            definition=definition,
            columns=tuple(dict.fromkeys((*columns, *names.of(oid, used)))),
            elements=tuple(zip(excluded, operators, strict=True)),
            condition=condition,
            name=name,
            sql=sql,
            inherited=inherited,
        )
    if target in names.passing:
        sql = sql.replace(f" REFERENCES {names.passing[target]}(", f" REFERENCES {names.relations[target]}(", 1)
    return ForeignKey(
        columns=columns,
        to_table=names.relations[target],
        to_columns=names.of(target, target_numbers),
        on_delete=ACTIONS[on_delete],
        on_update=ACTIONS.get(on_update),
        deferrable=when,
        enforced=enforced,
        name=name,
        sql=sql,
        inherited=inherited,
        valid=valid,
    )


def split_keys(
    constraints: Iterable[Constraint | PrimaryKey],
) -> tuple[list[PrimaryKey], tuple[Constraint, ...]]:
    """Return the primary key (one at most) and the other constraints."""
    keys: list[PrimaryKey] = []
    others: list[Constraint] = []
    for constraint in constraints:
        if isinstance(constraint, PrimaryKey):
            keys.append(constraint)
        else:
            others.append(constraint)
    return keys, tuple(others)


def as_index(row: Any, names: CatalogNames) -> Index:
    """Return a row of `INDEXES` as an index."""
    (oid, name, method, unique, key_count, numbers, printed, opclasses, collations, options) = row[:10]
    condition, reloptions, tablespace, valid, nulls_not_distinct, definition, used, inherited = row[10:]
    keys = tuple(
        IndexKey(
            column=names.columns[oid, number] if number else None,
            expression=None if number else text,
            opclass=opclass,
            collation=collation,
            order=as_order(option),
        )
        for number, text, opclass, collation, option in zip(
            numbers[:key_count], printed, opclasses, collations, options, strict=True
        )
    )
    return Index(
        keys=keys,
        unique=unique,
        method=method,
        include=names.of(oid, numbers[key_count:]),
        condition=condition,
        nulls_distinct=not nulls_not_distinct,
        options=tuple(sorted(reloptions or ())),
        tablespace=tablespace,
        valid=valid,
        name=name,
        sql=definition,
        columns=names.of(oid, used),
        inherited=inherited,
    )


def as_order(option: int) -> str:
    """Return a key's place in `pg_index.indoption`: bit 0 is DESC, bit 1 NULLS FIRST (the default under DESC)."""
    return {0: "", 1: "DESC NULLS LAST", 2: "NULLS FIRST", 3: "DESC"}[option]


def quote(name: str) -> str:
    """Return a catalog name as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def rename_columns(index: Index, names: Mapping[str, str]) -> Index:
    """Return the index over other columns."""
    return evolve(
        index,
        keys=tuple(evolve(key, column=names[key.column]) if key.column else key for key in index.keys),
        include=tuple(names[column] for column in index.include),
        columns=tuple(names[column] for column in index.columns),
    )


def bare_name(name: str) -> str:
    """Return a model's table name without the schema that it may be quoted with."""
    return split_identifier(name)[1].strip('"')
