"""Fingerprints of PostgreSQL's tables: one query over the rows of the catalog, as they are stored."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from automigrate_ext.backends.fingerprint import FINGERPRINT, TESTS, Fingerprints, Look
from automigrate_ext.backends.postgresql.names import OWN_TABLE, own_names

# What `introspection` prints is here as it is stored, which is quicker; the names of what a definition refers to by
# number are in it too. A copy of the database has the same numbers.
QUERY = """
WITH wanted (name, oid) AS MATERIALIZED (
    SELECT name, {own_table}::oid FROM unnest(%(names)s::text[], %(quoted)s::text[]) AS asked (name, quoted)
), facts (name, fact) AS (
    SELECT w.name, concat_ws(' ', 'table', c.relkind, {elsewhere}, c.relname, c.reltablespace,
                             c.relpersistence, c.relispartition, c.reloptions, c.relam)
    FROM wanted w JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
    UNION ALL
    SELECT w.name, concat_ws(' ', 'comment', d.objsubid, d.description)
    FROM wanted w JOIN pg_description d ON d.objoid = w.oid AND d.classoid = 'pg_class'::regclass
    UNION ALL
    SELECT w.name, concat_ws(' ', 'column', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attidentity,
                             a.attgenerated, a.attcollation, a.attinhcount, a.attislocal, d.adbin)
    FROM wanted w
    JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    UNION ALL
    SELECT w.name, concat_ws(' ', 'sequence', own.refobjsubid, s.relname, {elsewhere})
    FROM wanted w
    JOIN pg_depend own ON own.refclassid = 'pg_class'::regclass AND own.refobjid = w.oid AND own.deptype = 'a'
                      AND own.classid = 'pg_class'::regclass
    JOIN pg_class s ON s.oid = own.objid AND s.relkind = 'S'
    JOIN pg_namespace n ON n.oid = s.relnamespace
    UNION ALL
    SELECT w.name, concat_ws(' ', 'default reads', d.adnum, s.relname, {elsewhere})
    FROM wanted w
    JOIN pg_attrdef d ON d.adrelid = w.oid
    JOIN pg_depend uses ON uses.classid = 'pg_attrdef'::regclass AND uses.objid = d.oid
                       AND uses.refclassid = 'pg_class'::regclass AND uses.refobjid <> w.oid
    JOIN pg_class s ON s.oid = uses.refobjid
    JOIN pg_namespace n ON n.oid = s.relnamespace
    UNION ALL
    SELECT w.name, concat_ws(' ', 'constraint', k.conname, k.contype, k.condeferrable, k.condeferred, k.convalidated,
                             k.confdeltype, k.confupdtype, k.conkey, k.confkey, k.conbin, k.conexclop, k.coninhcount,
                             k.connoinherit, k.conparentid <> 0, {enforced}, ic.relname, t.relname, {elsewhere},
                             pg_table_is_visible(t.oid), {target_columns})
    FROM wanted w
    JOIN pg_constraint k ON k.conrelid = w.oid
    LEFT JOIN pg_class ic ON ic.oid = k.conindid AND k.contype <> 'f'
    LEFT JOIN pg_class t ON t.oid = k.confrelid AND k.contype = 'f'
    LEFT JOIN pg_namespace n ON n.oid = t.relnamespace
    UNION ALL
    SELECT w.name, concat_ws(' ', 'index', ic.relname, ic.relam, ic.reltablespace, ic.reloptions, ic.relkind,
                             ic.relispartition, i.indisunique, {nulls_not_distinct}, i.indisprimary, i.indisexclusion,
                             i.indimmediate, i.indisvalid, i.indnkeyatts, i.indkey, i.indcollation, i.indclass,
                             i.indoption, i.indexprs, i.indpred)
    FROM wanted w JOIN pg_index i ON i.indrelid = w.oid JOIN pg_class ic ON ic.oid = i.indexrelid
    UNION ALL
    SELECT w.name, concat_ws(' ', 'options of index', ia.attnum, ia.attoptions, i.indexprs, i.indkey)
    FROM wanted w
    JOIN pg_index i ON i.indrelid = w.oid
    JOIN pg_attribute ia ON ia.attrelid = i.indexrelid AND ia.attoptions IS NOT NULL
), surroundings (fact) AS (
    SELECT concat_ws(' ', {settings})
    UNION ALL SELECT concat_ws(' ', 'database', datcollate, datctype, encoding, {locale})
    FROM pg_database WHERE datname = current_database()
    UNION ALL SELECT concat_ws(' ', 'extension', extname, extversion) FROM pg_extension
    UNION ALL SELECT concat_ws(' ', 'tablespace', oid, spcname) FROM pg_tablespace
    UNION ALL SELECT concat_ws(' ', 'method', oid, amname) FROM pg_am WHERE oid >= {first_own}
    UNION ALL
    SELECT concat_ws(' ', 'type', oid, typname, typnamespace, typcollation, typbasetype, typtypmod, typnotnull)
    FROM pg_type WHERE oid >= {first_own} AND typrelid = 0 AND typcategory <> 'A'
    UNION ALL SELECT concat_ws(' ', 'collation', oid, collname, collnamespace)
    FROM pg_collation WHERE oid >= {first_own}
    UNION ALL SELECT concat_ws(' ', 'class', oid, opcname, opcnamespace, opcdefault)
    FROM pg_opclass WHERE oid >= {first_own}
    UNION ALL SELECT concat_ws(' ', 'operator', oid, oprname, oprnamespace) FROM pg_operator WHERE oid >= {first_own}
    UNION ALL SELECT concat_ws(' ', 'function', oid, proname, pronamespace) FROM pg_proc WHERE oid >= {first_own}
    UNION ALL SELECT concat_ws(' ', 'configuration', oid, cfgname) FROM pg_ts_config WHERE oid >= {first_own}
    UNION ALL SELECT concat_ws(' ', 'schema', oid, nspname)
    FROM pg_namespace WHERE oid >= {first_own} AND nspname !~ '^pg_(toast_)?temp_'
), record (fact) AS (
    SELECT concat_ws(' ', 'record', n.nspname = current_schema())
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = to_regclass('automigrate_ext_owned')
    UNION ALL
    SELECT concat_ws(' ', 'recorded', name, owner, md5(objects_owned)) FROM automigrate_ext_owned
    WHERE owner <> '' OR (name NOT LIKE '{fingerprint}%%' AND name NOT LIKE '{tests}%%')
)
SELECT 'table', name, md5(string_agg(fact, chr(10) ORDER BY fact COLLATE "C")) FROM facts GROUP BY name
UNION ALL
SELECT 'surroundings', '', md5(string_agg(fact, chr(10) ORDER BY fact COLLATE "C")) FROM surroundings
UNION ALL
SELECT 'record', '', md5(string_agg(fact, chr(10) ORDER BY fact COLLATE "C")) FROM record
UNION ALL
SELECT 'note', name, objects_owned FROM automigrate_ext_owned WHERE name = ANY(%(notes)s)
"""
# The names of the columns that a foreign key points at, where these are not in the fingerprint of their own table.
TARGET_COLUMNS = """
CASE WHEN k.contype = 'f' AND k.confrelid NOT IN (SELECT oid FROM wanted WHERE oid IS NOT NULL)
     THEN ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = k.confrelid AND a.attnum = ANY(k.confkey)
                ORDER BY a.attnum) END
"""
#: The schema of a table or sequence; nothing where that is the first one, so that tables of two schemas may be alike.
ELSEWHERE = "nullif(n.nspname, (SELECT current_schema()))"
#: The settings on which it depends what the server makes of a definition, and how it prints one.
SETTINGS = (
    "search_path",
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


class PostgreSQLFingerprints(Fingerprints):
    """Fingerprints of the tables to which the names lead on the search path."""

    def read(self, names: Collection[str], notes: Collection[str]) -> Look:
        found: dict[str, dict[str, str]] = {kind: {} for kind in ("table", "surroundings", "record", "note")}
        quoted = own_names(self.connection, names)
        with self.connection.cursor() as cursor:
            cursor.execute(self.query(), {"names": list(names), "quoted": quoted, "notes": list(notes)})
            for kind, name, text in cursor.fetchall():
                found[kind][name] = text
        return Look(
            tables=found["table"],
            surroundings=found["surroundings"][""],
            record=found["record"][""],
            notes=found["note"],
        )

    def query(self) -> str:
        """Return the query for the server's version.

        NULLS NOT DISTINCT and the provider of a database's locale came with PostgreSQL 15, NOT ENFORCED with 18.
        """
        version: Any = self.connection.pg_version  # type: ignore[attr-defined]
        settings = ", ".join(f"current_setting('{name}')" for name in SETTINGS)
        return QUERY.format(
            own_table=OWN_TABLE.format(quoted="quoted"),
            enforced="k.conenforced" if version >= 18_00_00 else "true",
            nulls_not_distinct="i.indnullsnotdistinct" if version >= 15_00_00 else "false",
            locale="datlocprovider" if version >= 15_00_00 else "'c'",
            settings=f"{settings}, current_schemas(false), current_schema()",
            elsewhere=ELSEWHERE,
            target_columns=TARGET_COLUMNS,
            first_own=FIRST_OWN,
            fingerprint=FINGERPRINT,
            tests=TESTS,
        )
