"""Read everything that a database's catalog has about the tables, by queries of the tests' own.

The result maps facts, `(catalog, object, attribute)`, to values. Nothing here comes from what the package reads: every
column of every catalog is a fact, but for those that are named here with the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from tests.acceptance.helper import Case

Fact = tuple[str, str, str]
Facts = dict[Fact, Any]


def read(case: Case) -> Facts:
    """Return all facts about the tables of the models and whatever is on them."""
    return READERS[case.vendor](case.connection)


def changed(before: Facts, after: Facts) -> Facts:
    """Return the facts that differ, with their values afterwards; None where there is none any more."""
    return {fact: after.get(fact) for fact in before.keys() | after.keys() if before.get(fact) != after.get(fact)}


# PostgreSQL

#: What is no attribute of an object, or is an attribute in another form, which is read instead.
MEASURED = "the server counts or estimates it"
IDENTIFIER = "an identifier, which is read as a name or as a definition"
DERIVED = "follows from the others"

#: Of each catalog: the name of an object, further facts as SQL by name, the condition, and the columns left out.
IN_PUBLIC = "c.relnamespace = 'public'::regnamespace AND c.relname NOT LIKE 'automigrate_ext_%%'"
POSTGRESQL: dict[str, tuple[str, dict[str, str], str, dict[str, str]]] = {
    "pg_class": (
        "c.relname",
        {
            "type": "(SELECT typname FROM pg_type WHERE oid = c.reloftype)",
            "owner": "pg_get_userbyid(c.relowner)",
            "method": "(SELECT amname FROM pg_am WHERE oid = c.relam)",
            "tablespace": "(SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace)",
            "toast options": "(SELECT reloptions::text FROM pg_class t WHERE t.oid = c.reltoastrelid)",
            "view": "CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END",
            "partitioned by": "pg_get_partkeydef(c.oid)",
            "bound": "pg_get_expr(c.relpartbound, c.oid)",
            "comment": "obj_description(c.oid, 'pg_class')",
        },
        f"FROM pg_class c WHERE {IN_PUBLIC}",
        {
            "oid": IDENTIFIER,
            "relname": IDENTIFIER,
            "relnamespace": IDENTIFIER,
            "reltype": IDENTIFIER,
            "reloftype": IDENTIFIER,
            "relowner": IDENTIFIER,
            "relam": IDENTIFIER,
            "relfilenode": IDENTIFIER,
            "reltablespace": IDENTIFIER,
            "reltoastrelid": IDENTIFIER,
            "relrewrite": IDENTIFIER,
            "relpartbound": IDENTIFIER,
            "relpages": MEASURED,
            "reltuples": MEASURED,
            "relallvisible": MEASURED,
            "relallfrozen": MEASURED,
            "relfrozenxid": MEASURED,
            "relminmxid": MEASURED,
            "relnatts": DERIVED,
            "relchecks": DERIVED,
            "relhasindex": DERIVED,
            "relhasrules": DERIVED,
            "relhastriggers": DERIVED,
            "relhassubclass": DERIVED,
            "relispopulated": DERIVED,
        },
    ),
    "pg_attribute": (
        "c.relname || '.' || CASE WHEN c.relkind IN ('i', 'I') THEN a.attnum::text ELSE a.attname END",
        {
            "type": "format_type(a.atttypid, a.atttypmod)",
            "collation": "(SELECT collname FROM pg_collation WHERE oid = a.attcollation)",
            "default": "(SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE (adrelid, adnum) = (c.oid, a.attnum))",
            "comment": "col_description(c.oid, a.attnum)",
            "acl": "a.attacl::text",
        },
        f"FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
        f"WHERE {IN_PUBLIC} AND a.attnum > 0 AND NOT attisdropped",
        {
            "attrelid": IDENTIFIER,
            "attname": IDENTIFIER,
            "atttypid": IDENTIFIER,
            "atttypmod": IDENTIFIER,
            "attcollation": IDENTIFIER,
            "attacl": IDENTIFIER,
            "attlen": DERIVED,
            "attbyval": DERIVED,
            "attalign": DERIVED,
            "attcacheoff": MEASURED,
            "atthasmissing": "how the server keeps the values of a new column",
            "attmissingval": "how the server keeps the values of a new column",
            "atthasdef": DERIVED,
            "attisdropped": "dropped columns are left out",
            "attfdwoptions": "only columns of foreign tables have any",
            "attislocal": DERIVED,
        },
    ),
    "pg_constraint": (
        "c.relname || '.' || k.conname",
        {
            "definition": "pg_get_constraintdef(k.oid)",
            "comment": "obj_description(k.oid, 'pg_constraint')",
            "target": "k.confrelid::regclass::text",
        },
        f"FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE {IN_PUBLIC}",
        {
            "oid": IDENTIFIER,
            "conname": IDENTIFIER,
            "connamespace": IDENTIFIER,
            "conrelid": IDENTIFIER,
            "contypid": IDENTIFIER,
            "conindid": IDENTIFIER,
            "conparentid": IDENTIFIER,
            "confrelid": IDENTIFIER,
            "conkey": IDENTIFIER,
            "confkey": IDENTIFIER,
            "confdelsetcols": IDENTIFIER,
            "conpfeqop": IDENTIFIER,
            "conppeqop": IDENTIFIER,
            "conffeqop": IDENTIFIER,
            "conexclop": IDENTIFIER,
            "conbin": IDENTIFIER,
            "conislocal": DERIVED,
        },
    ),
    "pg_index": (
        "c.relname",
        {
            "definition": "pg_get_indexdef(i.indexrelid)",
            "extension": "(SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid"
            " WHERE d.objid = i.indexrelid AND d.deptype = 'x')",
        },
        f"FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE {IN_PUBLIC}",
        {
            "indexrelid": IDENTIFIER,
            "indrelid": IDENTIFIER,
            "indkey": IDENTIFIER,
            "indcollation": IDENTIFIER,
            "indclass": IDENTIFIER,
            "indoption": IDENTIFIER,
            "indexprs": IDENTIFIER,
            "indpred": IDENTIFIER,
            "indnatts": DERIVED,
            "indnkeyatts": DERIVED,
            "indisprimary": DERIVED,
            "indisexclusion": DERIVED,
            "indcheckxmin": MEASURED,
            "indisready": "set while an index is being made",
            "indislive": "unset while an index is being dropped",
        },
    ),
    "pg_trigger": (
        "c.relname || '.' || CASE WHEN t.tgisinternal THEN (SELECT conname FROM pg_constraint k"
        " WHERE k.oid = t.tgconstraint) || ' ' || t.tgtype ELSE t.tgname END",
        {
            "definition": "CASE WHEN NOT t.tgisinternal THEN pg_get_triggerdef(t.oid) END",
            "comment": "obj_description(t.oid, 'pg_trigger')",
        },
        f"FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE {IN_PUBLIC}",
        {
            "oid": IDENTIFIER,
            "tgname": IDENTIFIER,
            "tgrelid": IDENTIFIER,
            "tgfoid": IDENTIFIER,
            "tgconstrrelid": IDENTIFIER,
            "tgconstrindid": IDENTIFIER,
            "tgconstraint": IDENTIFIER,
            "tgparentid": IDENTIFIER,
            "tgattr": IDENTIFIER,
            "tgqual": IDENTIFIER,
            "tgargs": IDENTIFIER,
            "tgnargs": DERIVED,
            "tgisinternal": DERIVED,
        },
    ),
    "pg_rewrite": (
        "c.relname || '.' || r.rulename",
        {"definition": "pg_get_ruledef(r.oid)", "comment": "obj_description(r.oid, 'pg_rewrite')"},
        f"FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE {IN_PUBLIC}",
        {
            "oid": IDENTIFIER,
            "rulename": IDENTIFIER,
            "ev_class": IDENTIFIER,
            "ev_qual": IDENTIFIER,
            "ev_action": IDENTIFIER,
        },
    ),
    "pg_policy": (
        "c.relname || '.' || p.polname",
        {
            "roles": "ARRAY(SELECT pg_get_userbyid(r) FROM unnest(p.polroles) r)::text",
            "condition": "pg_get_expr(p.polqual, p.polrelid)",
            "check": "pg_get_expr(p.polwithcheck, p.polrelid)",
            "comment": "obj_description(p.oid, 'pg_policy')",
        },
        f"FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE {IN_PUBLIC}",
        {
            "oid": IDENTIFIER,
            "polname": IDENTIFIER,
            "polrelid": IDENTIFIER,
            "polroles": IDENTIFIER,
            "polqual": IDENTIFIER,
            "polwithcheck": IDENTIFIER,
        },
    ),
    "pg_statistic_ext": (
        "c.relname || '.' || s.stxname",
        {"definition": "pg_get_statisticsobjdef(s.oid)", "comment": "obj_description(s.oid, 'pg_statistic_ext')"},
        f"FROM pg_statistic_ext s JOIN pg_class c ON c.oid = s.stxrelid WHERE {IN_PUBLIC}",
        {
            "oid": IDENTIFIER,
            "stxname": IDENTIFIER,
            "stxrelid": IDENTIFIER,
            "stxnamespace": IDENTIFIER,
            "stxowner": IDENTIFIER,
            "stxkeys": IDENTIFIER,
            "stxexprs": IDENTIFIER,
        },
    ),
    "pg_inherits": (
        "c.relname || '.' || h.inhparent::regclass",
        {"there": "true"},
        f"FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid WHERE {IN_PUBLIC}",
        {"inhrelid": IDENTIFIER, "inhparent": IDENTIFIER, "inhdetachpending": "set while a partition is detached"},
    ),
    "pg_sequence": (
        "c.relname",
        {
            "type": "format_type(q.seqtypid, NULL)",
            "owner": "(SELECT refobjid::regclass || '.' || refobjsubid FROM pg_depend d WHERE d.objid = c.oid"
            " AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))",
            "last": "(SELECT last_value FROM pg_sequences s WHERE s.sequencename = c.relname"
            " AND s.schemaname = 'public')",
        },
        f"FROM pg_sequence q JOIN pg_class c ON c.oid = q.seqrelid WHERE {IN_PUBLIC}",
        {"seqrelid": IDENTIFIER, "seqtypid": IDENTIFIER},
    ),
    "pg_publication_rel": (
        "c.relname || '.' || (SELECT pubname FROM pg_publication b WHERE b.oid = p.prpubid)",
        {
            "condition": "pg_get_expr(p.prqual, p.prrelid)",
            "columns": "ARRAY(SELECT attname FROM pg_attribute WHERE attrelid = c.oid AND attnum = ANY(p.prattrs))::text",
        },
        f"FROM pg_publication_rel p JOIN pg_class c ON c.oid = p.prrelid WHERE {IN_PUBLIC}",
        {
            "oid": IDENTIFIER,
            "prpubid": IDENTIFIER,
            "prrelid": IDENTIFIER,
            "prqual": IDENTIFIER,
            "prattrs": IDENTIFIER,
        },
    ),
}
ALIASES = {
    "pg_class": "c",
    "pg_attribute": "a",
    "pg_constraint": "k",
    "pg_index": "i",
    "pg_trigger": "t",
    "pg_rewrite": "r",
    "pg_policy": "p",
    "pg_statistic_ext": "s",
    "pg_inherits": "h",
    "pg_sequence": "q",
    "pg_publication_rel": "p",
}
ONE_CATALOG = (
    "SELECT '{catalog}', {name}, to_jsonb({alias}) - '{{{skipped}}}'::text[] || jsonb_build_object({more}) {source}"
)


#: A number that PostgreSQL 15.20 keeps among the options of a column, and changes by itself.
OWN_OPTION = "pg_attver="


def read_postgresql(connection: BaseDatabaseWrapper) -> Facts:
    """Return the facts of PostgreSQL's catalogs."""
    parts = [
        ONE_CATALOG.format(
            catalog=catalog,
            name=name,
            alias=ALIASES[catalog],
            skipped=",".join(skipped),
            more=", ".join(f"'{key}', {value}" for key, value in more.items()),
            source=source,
        )
        for catalog, (name, more, source, skipped) in POSTGRESQL.items()
    ]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts).replace("%%", "%"))
        rows = cursor.fetchall()
    facts: Facts = {}
    for catalog, name, values in rows:
        loaded = values if isinstance(values, dict) else json.loads(values)
        if loaded.get("attoptions"):
            loaded["attoptions"] = [o for o in loaded["attoptions"] if not o.startswith(OWN_OPTION)] or None
        facts.update({(catalog, name, attribute): value for attribute, value in loaded.items() if value is not None})
    return facts


# MariaDB

OF_THE_SERVER = "a setting of the session or server"
#: Of each table of information_schema: the columns that name an object, the condition, and the columns left out.
MARIADB: dict[str, tuple[tuple[str, ...], str, dict[str, str]]] = {
    "tables": (
        ("table_name",),
        "table_schema = DATABASE()",
        {
            "table_catalog": IDENTIFIER,
            "table_schema": IDENTIFIER,
            "table_name": IDENTIFIER,
            "version": MEASURED,
            "table_rows": MEASURED,
            "avg_row_length": MEASURED,
            "data_length": MEASURED,
            "max_data_length": MEASURED,
            "index_length": MEASURED,
            "data_free": MEASURED,
            "max_index_length": MEASURED,
            "create_time": MEASURED,
            "update_time": MEASURED,
            "check_time": MEASURED,
            "checksum": MEASURED,
            "auto_increment": "read from SHOW CREATE TABLE",
            "temporary": "no table of a model is temporary",
        },
    ),
    "columns": (
        ("table_name", "column_name"),
        "table_schema = DATABASE()",
        {
            "table_catalog": IDENTIFIER,
            "table_schema": IDENTIFIER,
            "table_name": IDENTIFIER,
            "column_name": IDENTIFIER,
            "ordinal_position": "read as the column that comes before",
            "column_key": DERIVED,
            "privileges": "those of the user",
        },
    ),
    "statistics": (
        ("table_name", "index_name", "seq_in_index"),
        "table_schema = DATABASE()",
        {
            "table_catalog": IDENTIFIER,
            "table_schema": IDENTIFIER,
            "table_name": IDENTIFIER,
            "index_schema": IDENTIFIER,
            "index_name": IDENTIFIER,
            "seq_in_index": IDENTIFIER,
            "cardinality": MEASURED,
            "nullable": DERIVED,
        },
    ),
    "table_constraints": (
        ("table_name", "constraint_name"),
        "table_schema = DATABASE()",
        dict.fromkeys(
            ("constraint_catalog", "constraint_schema", "constraint_name", "table_schema", "table_name"), IDENTIFIER
        ),
    ),
    "check_constraints": (
        ("table_name", "constraint_name"),
        "constraint_schema = DATABASE()",
        dict.fromkeys(("constraint_catalog", "constraint_schema", "table_name", "constraint_name"), IDENTIFIER),
    ),
    "referential_constraints": (
        ("table_name", "constraint_name"),
        "constraint_schema = DATABASE()",
        dict.fromkeys(
            (
                "constraint_catalog",
                "constraint_schema",
                "constraint_name",
                "unique_constraint_catalog",
                "unique_constraint_schema",
                "table_name",
            ),
            IDENTIFIER,
        ),
    ),
    "triggers": (
        ("event_object_table", "trigger_name"),
        "trigger_schema = DATABASE()",
        {
            "trigger_catalog": IDENTIFIER,
            "trigger_schema": IDENTIFIER,
            "trigger_name": IDENTIFIER,
            "event_object_catalog": IDENTIFIER,
            "event_object_schema": IDENTIFIER,
            "event_object_table": IDENTIFIER,
            "created": MEASURED,
            "character_set_client": OF_THE_SERVER,
            "collation_connection": OF_THE_SERVER,
            "database_collation": OF_THE_SERVER,
        },
    ),
    "views": (
        ("table_name",),
        "table_schema = DATABASE()",
        {
            "table_catalog": IDENTIFIER,
            "table_schema": IDENTIFIER,
            "table_name": IDENTIFIER,
            "character_set_client": OF_THE_SERVER,
            "collation_connection": OF_THE_SERVER,
        },
    ),
    "partitions": (
        ("table_name", "partition_name"),
        "table_schema = DATABASE() AND partition_name IS NOT NULL",
        {
            "table_catalog": IDENTIFIER,
            "table_schema": IDENTIFIER,
            "table_name": IDENTIFIER,
            "partition_name": IDENTIFIER,
            "table_rows": MEASURED,
            "avg_row_length": MEASURED,
            "data_length": MEASURED,
            "max_data_length": MEASURED,
            "index_length": MEASURED,
            "data_free": MEASURED,
            "create_time": MEASURED,
            "update_time": MEASURED,
            "check_time": MEASURED,
            "checksum": MEASURED,
        },
    ),
    "table_privileges": (
        ("table_name", "grantee", "privilege_type"),
        "table_schema = DATABASE()",
        dict.fromkeys(("table_catalog", "table_schema", "table_name"), IDENTIFIER),
    ),
    "column_privileges": (
        ("table_name", "column_name", "grantee", "privilege_type"),
        "table_schema = DATABASE()",
        dict.fromkeys(("table_catalog", "table_schema", "table_name", "column_name"), IDENTIFIER),
    ),
}
#: What a column's definition in SHOW CREATE TABLE has besides what information_schema shows.
PRINTED = re.compile(r"/\*M?!\d* *(.*?)\*/|(ZEROFILL|WITHOUT SYSTEM VERSIONING|REF_SYSTEM_ID = \d+)", re.I)


def read_mariadb(connection: BaseDatabaseWrapper) -> Facts:
    """Return the facts of MariaDB's information_schema, and what SHOW CREATE TABLE prints besides."""
    facts: Facts = {}
    with connection.cursor() as cursor:
        for catalog, (keys, condition, skipped) in MARIADB.items():
            cursor.execute(f"SELECT * FROM information_schema.{catalog} WHERE {condition}")
            names = [column[0].lower() for column in cursor.description]
            for values in cursor.fetchall():
                row = dict(zip(names, values, strict=True))
                if str(row.get("table_name", "")).startswith("automigrate_ext_"):
                    continue
                name = ".".join(str(row[key]) for key in keys)
                facts[catalog, name, "there"] = True
                facts.update({(catalog, name, key): value for key, value in row.items() if key not in skipped})
        cursor.execute("SHOW FULL TABLES")
        tables = [name for name, kind in cursor.fetchall() if kind in ("BASE TABLE", "SYSTEM VERSIONED")]
        for table in tables:
            if not table.startswith("automigrate_ext_"):
                cursor.execute(f"SHOW CREATE TABLE `{table}`")
                facts.update(printed_facts(table, cursor.fetchone()[1]))
    return facts


def printed_facts(table: str, text: str) -> Facts:
    """Return each line of SHOW CREATE TABLE as a fact, columns with the one before them."""
    facts: Facts = {}
    body, _, options = text.rpartition("\n)")
    last = ""
    for line in body.splitlines()[1:]:
        words = line.strip().rstrip(",")
        if words.startswith("`"):
            name = words.split("`")[1]
            facts["printed", f"{table}.{name}", "definition"] = words
            facts["printed", f"{table}.{name}", "after"] = last
            last = name
        else:
            kind = words.split("`")[0] if "`" in words else words
            name = words.split("`")[1] if "`" in words and not words.startswith("PRIMARY") else ""
            facts["printed", f"{table} {kind.split('(')[0]}{name}", "definition"] = words
    for word in re.findall(r"`?\w+`?=(?:'[^']*'|\S+)", options.split("PARTITION BY")[0]):
        key, _, value = word.partition("=")
        facts["printed", table, key] = value
    facts["printed", table, "rest"] = re.sub(r"`?\w+`?=(?:'[^']*'|\S+)", "", options)
    return facts


# SQLite


def read_sqlite(connection: BaseDatabaseWrapper) -> Facts:
    """Return what SQLite's pragmas show, and the text of everything that is no table."""
    facts: Facts = {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'automigrate_ext_%%'")
        objects = cursor.fetchall()
        for kind, name, table, sql in objects:
            if kind != "table":
                if sql is not None:
                    facts[kind, f"{table}.{name}", "sql"] = sql
                continue
            for pragma, keys in PRAGMAS.items():
                add_pragma(cursor, facts, pragma, keys, name)
            facts.update(clauses_of(name, sql or ""))
            rows = cursor.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchall()
            if rows:
                for (seq,) in cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [name]).fetchall():
                    facts["sequence", name, "seq"] = seq
    return facts


PRAGMAS = {
    "table_list": ("type", "wr", "strict"),
    "table_xinfo": ("type", "notnull", "dflt_value", "pk", "hidden"),
    "foreign_key_list": ("table", "to", "on_update", "on_delete", "match"),
    "index_list": ("unique", "origin", "partial"),
}


def add_pragma(cursor: Any, facts: Facts, pragma: str, keys: tuple[str, ...], table: str) -> None:
    cursor.execute(f'PRAGMA {pragma}("{table}")')
    names = [column[0] for column in cursor.description]
    last = ""
    for values in cursor.fetchall():
        row = dict(zip(names, values, strict=True))
        if pragma == "foreign_key_list":
            name = f"{table}.{row['from']}>{row['table']}"
        elif pragma == "index_list" and row["origin"] != "c":
            cursor.execute(f'PRAGMA index_xinfo("{row["name"]}")')
            key_parts = [(c[2], c[3], c[4]) for c in cursor.fetchall() if c[5]]
            facts[pragma, f"{table}.{row['origin']} {sorted(p[0] or '' for p in key_parts)}", "keys"] = key_parts
            continue
        else:
            name = f"{table}.{row['name']}"
        facts.update({(pragma, name, key): row[key] for key in keys})
        if pragma == "table_xinfo":
            facts[pragma, name, "after"] = last
            last = row["name"]


#: Attributes that no pragma shows, and that stand in the text of a column or constraint.
WORDS = re.compile(
    r"\bON\s+CONFLICT\s+\w+|\bCOLLATE\s+\"?\w+\"?|\bAUTOINCREMENT\b|\bDEFERRABLE(?:\s+INITIALLY\s+\w+)?"
    r"|\bNOT\s+DEFERRABLE\b|\bMATCH\s+\w+|\bCONSTRAINT\s+\"?\w+\"?|\bCHECK\b|\bDESC\b|\bAS\s*\(|\bSTORED\b|\bVIRTUAL\b",
    re.I,
)


def clauses_of(table: str, sql: str) -> Facts:
    """Return how often each attribute that only the text shows occurs in a table's definition."""
    facts: Facts = {}
    for word in WORDS.findall(sql):
        fact = ("text", table, " ".join(word.upper().replace('"', "").split()))
        facts[fact] = facts.get(fact, 0) + 1
    return facts


READERS: dict[str, Callable[[BaseDatabaseWrapper], Facts]] = {
    "postgresql": read_postgresql,
    "mysql": read_mariadb,
    "sqlite": read_sqlite,
}

#: The attributes that no statement changes which a mutation could be made of, with the reasons.
UNREACHED: dict[str, dict[tuple[str, str], str]] = {
    "sqlite": {},
    "postgresql": {("pg_class", "relisshared"): "set for the server's own catalogs only"},
    "mariadb": {},
}
