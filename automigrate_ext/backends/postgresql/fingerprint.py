"""Fingerprints of PostgreSQL's tables: one query over the rows of the catalog, as they are stored.

The same query takes the fingerprints of one schema, which is where the connection makes tables, or of many at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.db.backends.utils import split_identifier
from psycopg import sql

from automigrate_ext.backends.fingerprint import UNCOVERED, Fingerprints, Look, short
from automigrate_ext.backends.postgresql.names import identifier

RECORD = "automigrate_ext_owned"

# A place is a schema together with the search path that begins with it. `own` is its number, `path` those of the whole
# path as current_schemas(true) has it: with the server's own schema, first unless the path has it elsewhere, and
# without those that do not exist or that the role may not use. Tables of the session are nobody's.
OWN_PLACE = """
SELECT '', (SELECT oid FROM pg_namespace WHERE nspname = current_schema()),
       ARRAY(SELECT n.oid FROM unnest(current_schemas(true)) WITH ORDINALITY AS step (name, number)
             JOIN pg_namespace n ON n.nspname = step.name WHERE n.oid <> pg_my_temp_schema() ORDER BY number)
"""
MANY_PLACES = """
SELECT n.nspname::text, n.oid,
       CASE WHEN 'pg_catalog' = ANY(%(rest)s::text[]) THEN '{}' ELSE ARRAY['pg_catalog'::regnamespace::oid] END
       || n.oid || ARRAY(SELECT p.oid FROM unnest(%(rest)s::text[]) WITH ORDINALITY AS step (name, number)
                         JOIN pg_namespace p ON p.nspname = step.name
                         WHERE p.oid <> n.oid AND has_schema_privilege(p.oid, 'USAGE') ORDER BY step.number)
FROM pg_namespace n WHERE n.nspname = ANY(%(schemas)s::text[])
"""
# What `introspection` prints is here as it is stored, which is quicker; the names of what a definition refers to by
# number are in it too. A copy of the database has the same numbers. Each table is looked up by itself, by indexes, so
# that no catalog of ten thousand schemas is read as a whole.
TABLES = """
places (place, own, path) AS MATERIALIZED ({places}
), asked (name, bare, quoted) AS MATERIALIZED (
    SELECT * FROM unnest(%(names)s::text[], %(bare)s::text[], %(quoted)s::text[])
), wanted (place, own, path, name, oid) AS MATERIALIZED (
    SELECT p.place, p.own, p.path, a.name, c.oid
    FROM places p CROSS JOIN asked a CROSS JOIN LATERAL (
        SELECT oid FROM pg_class WHERE relname = a.bare::name AND relnamespace = p.own OFFSET 0
    ) AS c
    UNION ALL
    SELECT p.place, p.own, p.path, a.name, to_regclass(a.quoted)::oid
    FROM places p CROSS JOIN asked a WHERE a.bare IS NULL AND to_regclass(a.quoted) IS NOT NULL
), spaces (oid, digest) AS MATERIALIZED (
    SELECT o.space, md5(string_agg(o.fact, chr(10) ORDER BY o.fact COLLATE "C"))
    FROM ({objects}) AS o (class, oid, space, fact) WHERE o.space IN (SELECT unnest(path) FROM places) GROUP BY o.space
)
"""
TABLE_ROWS = """
SELECT 'table', w.place, w.name, md5(concat_ws(chr(10), (
    SELECT concat_ws(' ', 'table', c.relkind, {elsewhere}, c.relname, c.reltablespace, c.relpersistence,
                          c.relispartition, c.reloptions, c.relam)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = w.oid
), array_to_string(ARRAY(
    SELECT concat_ws(' ', 'comment', d.objsubid, d.description)
    FROM pg_description d WHERE d.objoid = w.oid AND d.classoid = 'pg_class'::regclass ORDER BY d.objsubid
), chr(10)), array_to_string(ARRAY(
    SELECT concat_ws(' ', 'column', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attidentity,
                          a.attgenerated, a.attcollation, a.attinhcount, a.attislocal,
                          CASE WHEN a.atthasdef THEN (
                              SELECT {default_tree} FROM pg_attrdef d
                              WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum
                          ) END)
    FROM pg_attribute a WHERE a.attrelid = w.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
), chr(10)), array_to_string(ARRAY(
    SELECT concat_ws(' ', 'sequence', own.refobjsubid, s.relname, {elsewhere})
    FROM pg_depend own
    JOIN pg_class s ON s.oid = own.objid AND s.relkind = 'S'
    JOIN pg_namespace n ON n.oid = s.relnamespace
    WHERE own.refclassid = 'pg_class'::regclass AND own.refobjid = w.oid AND own.deptype = 'a'
      AND own.classid = 'pg_class'::regclass
    ORDER BY s.relname, n.nspname
), chr(10)), array_to_string(ARRAY(
    SELECT concat_ws(' ', 'default reads', d.adnum, s.relname, {elsewhere})
    FROM pg_attrdef d
    JOIN pg_depend uses ON uses.classid = 'pg_attrdef'::regclass AND uses.objid = d.oid
                       AND uses.refclassid = 'pg_class'::regclass AND uses.refobjid <> w.oid
    JOIN pg_class s ON s.oid = uses.refobjid
    JOIN pg_namespace n ON n.oid = s.relnamespace
    WHERE d.adrelid = w.oid ORDER BY d.adnum, s.relname, n.nspname
), chr(10)), array_to_string(ARRAY(
    SELECT concat_ws(' ', 'constraint', k.conname, k.contype, k.condeferrable, k.condeferred, k.convalidated,
                          k.confdeltype, k.confupdtype, k.conkey, k.confkey, k.conbin, k.conexclop, k.coninhcount,
                          k.connoinherit, k.conparentid <> 0, {enforced},
                          CASE WHEN k.contype = 'f' THEN (
                              SELECT concat_ws(' ', t.relname, {elsewhere}, {is_visible}, {target_columns})
                              FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
                              WHERE t.oid = k.confrelid
                          ) WHEN k.conindid <> 0 THEN (SELECT relname FROM pg_class WHERE oid = k.conindid) END)
    FROM pg_constraint k WHERE k.conrelid = w.oid ORDER BY k.conname
), chr(10)), array_to_string(ARRAY(
    SELECT concat_ws(' ', 'index', ic.relname, ic.relam, ic.reltablespace, ic.reloptions, ic.relkind,
                          ic.relispartition, i.indisunique, {nulls_not_distinct}, i.indisprimary, i.indisexclusion,
                          i.indimmediate, i.indisvalid, i.indnkeyatts, i.indkey, i.indcollation, i.indclass,
                          i.indoption, i.indexprs, i.indpred,
                          ARRAY(SELECT concat_ws(' ', ia.attnum, ia.attoptions) FROM pg_attribute ia
                                WHERE ia.attrelid = i.indexrelid AND ia.attoptions IS NOT NULL ORDER BY ia.attnum))
    FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid WHERE i.indrelid = w.oid ORDER BY ic.relname
), chr(10))))
FROM wanted w
UNION ALL
SELECT 'path', p.place, '',
       (SELECT string_agg(concat_ws(' ', CASE WHEN step.oid <> p.own THEN step.oid::regnamespace::text END, s.digest),
                          chr(10) ORDER BY step.number)
        FROM unnest(p.path) WITH ORDINALITY AS step (oid, number) LEFT JOIN spaces s ON s.oid = step.oid)
FROM places p
"""
# What the whole database has, whatever the place: among it the objects of schemas of which another one uses any.
DATABASE_ROWS = """
SELECT 'database', '', '', md5(string_agg(fact, chr(10) ORDER BY fact COLLATE "C")) FROM (
    SELECT concat_ws(' ', {settings})
    UNION ALL SELECT concat_ws(' ', 'database', datcollate, datctype, encoding, {locale})
    FROM pg_database WHERE datname = current_database()
    UNION ALL SELECT concat_ws(' ', 'extension', extname, extversion) FROM pg_extension
    UNION ALL SELECT concat_ws(' ', 'tablespace', oid, spcname) FROM pg_tablespace
    UNION ALL SELECT concat_ws(' ', 'method', oid, amname) FROM pg_am WHERE oid >= {first_own}
    UNION ALL SELECT concat_ws(' ', 'used', n.nspname, o.fact)
    FROM ({objects}) AS o (class, oid, space, fact) JOIN pg_namespace n ON n.oid = o.space
    WHERE o.space IN (SELECT o.space FROM ({objects}) AS o (class, oid, space, fact) WHERE {is_used})
) AS surroundings (fact)
"""
# Whatever a definition may refer to beside tables, by its schema. Types of rows and of arrays follow the others.
OBJECTS = """
SELECT 'pg_type'::regclass::oid, oid, typnamespace, concat_ws(' ', 'type', oid, typname, typcollation, typbasetype,
                                                              typtypmod, typnotnull)
FROM pg_type WHERE oid >= {first_own} AND typrelid = 0 AND typcategory <> 'A'
UNION ALL SELECT 'pg_collation'::regclass, oid, collnamespace, concat_ws(' ', 'collation', oid, collname)
FROM pg_collation WHERE oid >= {first_own}
UNION ALL SELECT 'pg_opclass'::regclass, oid, opcnamespace, concat_ws(' ', 'class', oid, opcname, opcdefault)
FROM pg_opclass WHERE oid >= {first_own}
UNION ALL SELECT 'pg_operator'::regclass, oid, oprnamespace, concat_ws(' ', 'operator', oid, oprname)
FROM pg_operator WHERE oid >= {first_own}
UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace, concat_ws(' ', 'function', oid, proname)
FROM pg_proc WHERE oid >= {first_own}
UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgnamespace, concat_ws(' ', 'configuration', oid, cfgname)
FROM pg_ts_config WHERE oid >= {first_own}
"""
# Whether something of another schema refers to an object, or to the arrays of a type.
IS_USED = """
(SELECT true FROM pg_depend d
 LEFT JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
 LEFT JOIN pg_class c ON c.oid = CASE d.classid WHEN 'pg_class'::regclass THEN d.objid ELSE f.adrelid END
 LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
 LEFT JOIN pg_type t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
 WHERE d.refclassid = o.class
   AND d.refobjid = ANY(o.oid || ARRAY(SELECT typarray FROM pg_type WHERE o.class = tableoid AND oid = o.oid))
   AND coalesce(c.relnamespace, k.connamespace, t.typnamespace) <> o.space
 LIMIT 1)
"""
RECORD_FACTS = """
SELECT concat_ws(' ', 'recorded', name, owner, md5(objects_owned)) FROM {record}
WHERE owner <> '' OR NOT ({uncovered})
"""
OWN_RECORD_ROWS = """
SELECT 'record', '', '', md5(string_agg(fact, chr(10) ORDER BY fact COLLATE "C")) FROM (
    SELECT concat_ws(' ', 'record', n.nspname = current_schema())
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass('{record}')
    UNION ALL {facts}
) AS record (fact)
UNION ALL
SELECT 'note', '', name, objects_owned FROM {record} WHERE name = ANY(%(notes)s)
"""
# Schemas whose record the role may read.
HAVING_RECORDS = """
SELECT n.nspname::text FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = %(record)s
WHERE n.nspname = ANY(%(schemas)s::text[]) AND c.relkind = 'r' AND has_schema_privilege(n.oid, 'USAGE')
  AND has_table_privilege(c.oid, 'SELECT')
"""
RECORD_ROWS = """
(SELECT 'record', {{place}}, '', md5(string_agg(fact, chr(10) ORDER BY fact COLLATE "C")) FROM (
    SELECT 'record t' UNION ALL {facts}
) AS record (fact)
UNION ALL
SELECT 'note', {{place}}, name, objects_owned FROM {{record}} WHERE name = ANY(%(notes)s))
"""
# The names of the columns that a foreign key points at, where these are not in the fingerprint of their own table.
TARGET_COLUMNS = """
CASE WHEN (w.place, k.confrelid) NOT IN (SELECT place, oid FROM wanted)
     THEN ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = k.confrelid AND a.attnum = ANY(k.confkey)
                ORDER BY a.attnum) END
"""
#: Whether the table at which a foreign key points is found by its bare name.
IS_VISIBLE = """
t.relnamespace = w.own OR t.oid = (
     SELECT o.oid FROM unnest(w.path) WITH ORDINALITY AS step (oid, number)
     JOIN pg_class o ON o.relname = t.relname AND o.relnamespace = step.oid ORDER BY step.number LIMIT 1)
"""
#: The schema of a table or sequence; nothing where that is the place's, so that tables of two places may be alike.
ELSEWHERE = "CASE WHEN n.oid <> w.own THEN n.nspname END"
# A default that takes numbers from a sequence holds its number; without it, as 'default reads' has the name, tables of
# two places may be alike. Source: outDatum() in PostgreSQL's outfuncs.c, which prints the bytes as signed ones.
DEFAULT_TREE = """
coalesce((
    SELECT replace(d.adbin::text,
                   format('4 [ %%s %%s %%s %%s 0 0 0 0 ]', {bytes}), 'sequence')
    FROM (SELECT min(uses.refobjid::bigint) FROM pg_depend uses
          WHERE uses.classid = 'pg_attrdef'::regclass AND uses.objid = d.oid
            AND uses.refclassid = 'pg_class'::regclass AND uses.refobjid <> w.oid
          HAVING count(DISTINCT uses.refobjid) = 1) AS read (oid)
), d.adbin::text)
""".format(bytes=", ".join(f"((read.oid >> {bits} & 255) + 128) %% 256 - 128" for bits in (0, 8, 16, 24)))
#: The settings on which it depends what the server makes of a definition, and how it prints one.
SETTINGS = (
    "default_tablespace",
    "default_table_access_method",
    "TimeZone",
    "DateStyle",
    "IntervalStyle",
    "extra_float_digits",
    "bytea_output",
    "lc_monetary",
    "quote_all_identifiers",
    "standard_conforming_strings",
    "default_text_search_config",
    "server_version",
)
#: The first identifier of what can be renamed and dropped, as it is not pinned: FirstUnpinnedObjectId in transam.h.
FIRST_OWN = 12000

#: Text by kind and name, for each place.
Found = dict[str, dict[str, dict[str, str]]]


class PostgreSQLFingerprints(Fingerprints):
    """Fingerprints of tables, each of the schema in which its place makes tables."""

    def read(self, names: Collection[str], notes: Collection[str]) -> Look:
        query = f"WITH {TABLES} {TABLE_ROWS} UNION ALL {DATABASE_ROWS} UNION ALL {OWN_RECORD_ROWS}"
        found = self.ask(self.written(query, OWN_PLACE), {**self.named(names), "notes": list(notes)})[""]
        return Look(
            tables=found.get("table", {}),
            surroundings=short((found["database"][""], found["path"][""] or "")),
            record=found["record"][""],
            notes=found.get("note", {}),
        )

    def database(self) -> str:
        return self.ask(self.written(DATABASE_ROWS), None)[""]["database"][""]

    def look_at(
        self, schemas: Sequence[str], rest: Sequence[str], names: Collection[str], notes: Collection[str], database: str
    ) -> dict[str, Look]:
        parameters = {**self.named(names), "schemas": list(schemas), "rest": list(rest)}
        found = self.ask(self.written(f"WITH {TABLES} {TABLE_ROWS}", MANY_PLACES), parameters)
        records = self.records(found, notes)
        return {
            schema: Look(
                tables=of.get("table", {}),
                surroundings=short((database, of["path"][""] or "")),
                record=records.get(schema, {}).get("record", {}).get("", ""),
                notes=records.get(schema, {}).get("note", {}),
            )
            for schema, of in found.items()
        }

    def records(self, schemas: Iterable[str], notes: Collection[str]) -> dict[str, dict[str, dict[str, str]]]:
        """Return the digests of the records of those schemas that have one, and some of their notes."""
        with self.connection.cursor() as cursor:
            cursor.execute(HAVING_RECORDS, {"schemas": list(schemas), "record": RECORD})
            having = [name for (name,) in cursor.fetchall()]
        if not having:
            return {}
        query = sql.SQL(" UNION ALL ").join(self.record_rows(schema) for schema in having)
        return self.ask(query.as_string(None), {"notes": list(notes)})

    def record_rows(self, schema: str) -> sql.Composed:
        """Return the query for the record of one schema."""
        written = RECORD_ROWS.format(facts=record_facts("{record}"))
        return sql.SQL(written).format(place=sql.Literal(schema), record=sql.Identifier(schema, RECORD))

    def ask(self, query: str, parameters: Mapping[str, Any] | None) -> Found:
        """Return the texts of a query by place, kind and name."""
        found: Found = {}
        with self.connection.cursor() as cursor:
            cursor.execute(query, parameters or {})
            for kind, place, name, text in cursor.fetchall():
                found.setdefault(place, {}).setdefault(kind, {})[name] = text
        return found

    def named(self, names: Collection[str]) -> dict[str, list[Any]]:
        """Return the names of tables as parameters: bare, or quoted with the schema that they have in them."""
        written = [identifier(self.connection, name) for name in names]
        bare = [None if split_identifier(name)[0] else unquoted(self.connection.ops.quote_name(name)) for name in names]
        return {"names": list(names), "bare": bare, "quoted": written}

    def written(self, query: str, places: str = "") -> str:
        """Return a query for the server's version.

        NULLS NOT DISTINCT and the provider of a database's locale came with PostgreSQL 15, NOT ENFORCED with 18.
        """
        version: Any = self.connection.pg_version  # type: ignore[attr-defined]
        return query.format(
            places=places,
            objects=OBJECTS.format(first_own=FIRST_OWN),
            enforced="k.conenforced" if version >= 18_00_00 else "true",
            nulls_not_distinct="i.indnullsnotdistinct" if version >= 15_00_00 else "false",
            locale="datlocprovider" if version >= 15_00_00 else "'c'",
            settings=", ".join(f"current_setting('{name}')" for name in SETTINGS),
            default_tree=DEFAULT_TREE,
            elsewhere=ELSEWHERE,
            is_visible=IS_VISIBLE,
            target_columns=TARGET_COLUMNS,
            is_used=IS_USED,
            first_own=FIRST_OWN,
            record=RECORD,
            facts=record_facts(RECORD),
        )


def record_facts(record: str) -> str:
    """Return the query for the facts of a record, without the notes that are not covered."""
    uncovered = " OR ".join(f"name LIKE '{beginning}%%'" for beginning in UNCOVERED)
    return RECORD_FACTS.format(record=record, uncovered=uncovered)


def unquoted(name: str) -> str:
    """Return what stands between the marks of a quoted name."""
    return name[1:-1]
