"""Dependents of tables, columns and constraints on PostgreSQL, and foreign keys that point at tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext.backends.work import Dependent, Part

# No index of pg_constraint has the tables that foreign keys point at. A foreign key depends on each column that it
# points at; source: CreateConstraintEntry() in PostgreSQL's pg_constraint.c.
REFERENCES = """
WITH wanted (oid) AS MATERIALIZED (
    SELECT to_regclass(quoted)::oid FROM unnest((SELECT %s::text[])) AS named (quoted)
    WHERE to_regclass(quoted) IS NOT NULL
)
SELECT DISTINCT k.conrelid
FROM wanted
CROSS JOIN LATERAL (
    SELECT DISTINCT d.objid FROM pg_depend d
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = wanted.oid AND d.classid = 'pg_constraint'::regclass
    OFFSET 0
) AS d
CROSS JOIN LATERAL (
    SELECT conrelid FROM pg_constraint
    WHERE oid = d.objid AND confrelid = wanted.oid AND contype = 'f' AND conparentid = 0 OFFSET 0
) AS k
WHERE k.conrelid <> ALL (ARRAY(SELECT oid FROM wanted))
"""
REFERRING_NAMES = """
SELECT CASE n.nspname WHEN current_schema() THEN c.relname::text ELSE format('"%%s"."%%s"', n.nspname, c.relname) END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY(%s::oid[])
"""

# A view may depend on a table by way of other views.
DEPENDENTS = """
WITH RECURSIVE hanging (name, oid) AS (
    SELECT wanted.name, to_regclass(wanted.quoted)::oid FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted)
    UNION
    SELECT hanging.name, r.ev_class
    FROM hanging
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = hanging.oid
                    AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite r ON r.oid = d.objid AND r.ev_class <> hanging.oid
)
SELECT hanging.name, CASE c.relkind WHEN 'm' THEN 'materialised view' ELSE 'view' END, c.oid::regclass::text
FROM hanging JOIN pg_class c ON c.oid = hanging.oid AND c.relkind IN ('v', 'm')
UNION ALL
SELECT wanted.name, 'trigger', t.tgname::text
FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted)
JOIN pg_trigger t ON t.tgrelid = to_regclass(wanted.quoted) AND NOT t.tgisinternal
UNION ALL
SELECT wanted.name, CASE p.relkind WHEN 'p' THEN 'partition' ELSE 'inheriting table' END, i.inhrelid::regclass::text
FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted)
JOIN pg_inherits i ON i.inhparent = to_regclass(wanted.quoted) JOIN pg_class p ON p.oid = i.inhparent
UNION ALL
SELECT wanted.name, CASE p.relkind WHEN 'p' THEN 'place among the partitions of' ELSE 'inheritance from' END,
       i.inhparent::regclass::text
FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted)
JOIN pg_inherits i ON i.inhrelid = to_regclass(wanted.quoted) JOIN pg_class p ON p.oid = i.inhparent
ORDER BY 1, 2, 3
"""

# The dependents of whole tables, columns or constraints by a normal dependency, so that the server neither drops them
# along nor lets the object change. Sources: PostgreSQL's documentation of pg_depend, and
# RememberAllDependentForRebuilding() in tablecmds.c. A table's row type and the sequences of its columns count as
# parts of it. Foreign keys, indexes, constraints and generated columns are left out: the run drops these and adds them
# again. A view that depends on such a view has to go before it, and is named too.
DEPENDENTS_OF = """
WITH RECURSIVE wanted (number, relation, attribute, k) AS (
    SELECT w.number, to_regclass(w.quoted)::oid, a.attnum, k.oid
    FROM unnest(%s::text[], %s::text[], %s::text[]) WITH ORDINALITY AS w (quoted, attribute, k, number)
    LEFT JOIN pg_attribute a ON a.attrelid = to_regclass(w.quoted) AND a.attname = w.attribute
    LEFT JOIN pg_constraint k ON k.conrelid = to_regclass(w.quoted) AND k.conname = w.k
    WHERE (w.attribute = '' OR a.attnum IS NOT NULL) AND (w.k = '' OR k.oid IS NOT NULL)
), part (number, classid, objid, objsubid) AS (
    SELECT number, 'pg_class'::regclass, relation, attribute::int FROM wanted WHERE k IS NULL
    UNION ALL
    SELECT number, 'pg_constraint'::regclass, k, 0 FROM wanted WHERE k IS NOT NULL
    UNION ALL
    SELECT number, 'pg_type'::regclass, c.reltype, 0
    FROM wanted JOIN pg_class c ON c.oid = relation WHERE attribute IS NULL AND k IS NULL
    UNION ALL
    SELECT number, 'pg_class'::regclass, d.objid, NULL
    FROM wanted
    JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
                    AND d.refobjid = relation AND d.refobjsubid = coalesce(attribute, d.refobjsubid)
                    AND d.deptype IN ('a', 'i')
    JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
    WHERE k IS NULL
), hanging (number, classid, objid, depth) AS (
    SELECT part.number, coalesce(v.classid, d.classid), coalesce(v.objid, d.objid), 0
    FROM part
    JOIN pg_depend d ON d.refclassid = part.classid AND d.refobjid = part.objid
                    AND d.refobjsubid = coalesce(part.objsubid, d.refobjsubid) AND d.deptype = 'n'
    LEFT JOIN LATERAL (
        SELECT 'pg_class'::regclass AS classid, c.oid AS objid
        FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm')
        WHERE d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
    ) v ON true
    WHERE d.classid = ANY (ARRAY['pg_rewrite', 'pg_trigger', 'pg_policy', 'pg_publication_rel', 'pg_proc',
                                 'pg_attrdef', 'pg_class']::regclass[])
    UNION
    SELECT hanging.number, 'pg_class'::regclass, r.ev_class, depth + 1
    FROM hanging
    JOIN pg_depend d ON hanging.classid = 'pg_class'::regclass AND d.classid = 'pg_rewrite'::regclass
                    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = hanging.objid AND d.deptype = 'n'
    JOIN pg_rewrite r ON r.oid = d.objid AND r.ev_class <> hanging.objid
), holder (number, classid, objid, depth, relation) AS (
    SELECT number, classid, objid, max(depth), coalesce(
        (SELECT tgrelid FROM pg_trigger WHERE classid = 'pg_trigger'::regclass AND oid = objid),
        (SELECT polrelid FROM pg_policy WHERE classid = 'pg_policy'::regclass AND oid = objid),
        (SELECT prrelid FROM pg_publication_rel WHERE classid = 'pg_publication_rel'::regclass AND oid = objid),
        (SELECT adrelid FROM pg_attrdef WHERE classid = 'pg_attrdef'::regclass AND oid = objid),
        (SELECT ev_class FROM pg_rewrite WHERE classid = 'pg_rewrite'::regclass AND oid = objid),
        CASE WHEN classid = 'pg_class'::regclass THEN objid END)
    FROM hanging GROUP BY 1, 2, 3
)
SELECT number, replace(thing.type, 'materialized', 'materialised'), thing.identity
FROM holder CROSS JOIN LATERAL pg_identify_object(classid, objid, 0) AS thing
WHERE relation IS NULL
   OR (relation NOT IN (SELECT w.relation FROM wanted w WHERE w.attribute IS NULL AND w.k IS NULL)
       AND NOT (classid = 'pg_attrdef'::regclass
                AND relation = (SELECT w.relation FROM wanted w WHERE w.number = holder.number)))
ORDER BY number, depth, 2, 3
"""


def referring(connection: BaseDatabaseWrapper, names: Collection[str]) -> list[str]:
    """Return the names of the other tables whose foreign keys point at these."""
    quoted = list(map(connection.ops.quote_name, names))
    with connection.cursor() as cursor:
        cursor.execute(REFERENCES, [quoted])
        oids = [oid for (oid,) in cursor.fetchall()]
        if not oids:
            return []
        cursor.execute(REFERRING_NAMES, [oids])
        return [name for (name,) in cursor.fetchall()]


def dependents(connection: BaseDatabaseWrapper, names: Collection[str]) -> tuple[Dependent, ...]:
    """Return the views, triggers, partitions and inheriting tables that depend on the tables."""
    ordered = list(names)
    quoted = list(map(connection.ops.quote_name, ordered))
    with connection.cursor() as cursor:
        cursor.execute(DEPENDENTS, [ordered, quoted] * 4)
        return tuple(Dependent(table=table, kind=kind, name=name) for table, kind, name in cursor.fetchall())


def dependents_of(connection: BaseDatabaseWrapper, parts: Sequence[Part]) -> Mapping[Part, Sequence[Dependent]]:
    """Return what keeps the server from dropping or converting parts of tables."""
    found: defaultdict[Part, list[Dependent]] = defaultdict(list)
    tables = [connection.ops.quote_name(part.table) for part in parts]
    columns, constraints = [part.column for part in parts], [part.constraint for part in parts]
    with connection.cursor() as cursor:
        cursor.execute(DEPENDENTS_OF, [tables, columns, constraints])
        for number, kind, name in cursor.fetchall():
            part = parts[number - 1]
            found[part].append(Dependent(table=part.table, kind=kind, name=name))
    return found
