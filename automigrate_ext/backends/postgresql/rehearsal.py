"""Rehearse a plan on PostgreSQL: on temporary copies of the tables, inside a savepoint that is undone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace as evolve
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.backends.utils import split_identifier
from django.db.utils import DatabaseError

from automigrate_ext.backends.postgresql import schema
from automigrate_ext.backends.postgresql.names import identifier
from automigrate_ext.backends.postgresql.scratch import try_out
from automigrate_ext.backends.rehearsal import Objection, Rehearsal, Scene, is_played, set_scene
from automigrate_ext.backends.work import Step, Work

if TYPE_CHECKING:
    from automigrate_ext.backends.postgresql.backend import PostgreSQLBackend
    from automigrate_ext.backends.postgresql.session import PostgreSQLSession

# The statements that copy tables, in the order in which they run. LIKE leaves out foreign keys and names of indexes,
# takes the sequences of serial columns from the live table, and makes those of identity columns for bigint; and
# pg_get_indexdef() prints the live table, in a form that ruleutils.c of PostgreSQL makes of its parts. Foreign keys of
# temporary tables point at such tables only. Tables with columns that hold rows of a table as values keep it from being
# rewritten; they are found by what depends on the type of the rows, since no index has the types of columns. The server
# expects ten elements of an array that comes from a subquery, as in `introspection.GIVEN`, and looks each table up.
COPIES = """
WITH wanted AS (
    SELECT w.number, w.altered, c.oid, c.relname, c.relkind, c.reltype, n.nspname
    FROM unnest((SELECT %s::text[]), (SELECT %s::boolean[])) WITH ORDINALITY AS w (quoted, altered, number)
    JOIN pg_class c ON c.oid = to_regclass(w.quoted) AND c.relkind IN ('r', 'p')
    JOIN pg_namespace n ON n.oid = c.relnamespace
)
SELECT 1, number, 0::oid, format(
    'CREATE TEMPORARY TABLE %%I (LIKE %%I.%%I%%s)%%s', relname, nspname, relname,
    CASE WHEN altered
         THEN ' INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY EXCLUDING COMMENTS EXCLUDING STATISTICS' ELSE '' END,
    ' PARTITION BY ' || CASE WHEN altered THEN pg_get_partkeydef(oid) END
)
FROM wanted
UNION ALL
SELECT place, number, s.oid, CASE place
    WHEN 2 THEN format('CREATE TEMPORARY SEQUENCE %%I OWNED BY pg_temp.%%I.%%I', s.relname, w.relname, a.attname)
    ELSE format(
        'ALTER TABLE pg_temp.%%I ALTER COLUMN %%I SET DEFAULT nextval(%%L)', w.relname, a.attname,
        format('pg_temp.%%I', s.relname)
    )
END
FROM wanted w
JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
                AND d.refobjid = w.oid AND d.deptype = 'a'
JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum = d.refobjsubid
CROSS JOIN (VALUES (2), (3)) AS places (place)
WHERE w.altered
UNION ALL
SELECT 3, number, 0::oid, format(
    'ALTER TABLE pg_temp.%%I ALTER COLUMN %%I ADD GENERATED %%s AS IDENTITY', w.relname, a.attname,
    CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END
)
FROM wanted w
JOIN pg_attribute a ON a.attrelid = w.oid AND a.attidentity <> ''
WHERE w.altered
UNION ALL
SELECT 4, number, x.oid, format('CREATE %%sINDEX %%I ON pg_temp.%%I', uniq, x.relname, w.relname)
       || substr(definition, 1 + length(
              format('CREATE %%sINDEX %%I ON %%s%%I.%%I', uniq, x.relname, only_, w.nspname, w.relname)))
FROM wanted w
JOIN pg_index i ON i.indrelid = w.oid AND (w.altered OR i.indisunique)
CROSS JOIN LATERAL (SELECT oid, relname, relkind FROM pg_class WHERE oid = i.indexrelid OFFSET 0) AS x
CROSS JOIN LATERAL (
    SELECT CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END AS uniq,
           CASE x.relkind WHEN 'I' THEN 'ONLY ' ELSE '' END AS only_, pg_get_indexdef(x.oid) AS definition
) parts
WHERE x.oid <> ALL (ARRAY(SELECT k.conindid FROM pg_constraint k
                          WHERE k.conrelid = w.oid AND k.contype IN ('p', 'u', 'x')))
UNION ALL
SELECT CASE k.contype WHEN 'f' THEN 6 ELSE 5 END, number, k.oid,
       format('ALTER TABLE pg_temp.%%I ADD CONSTRAINT %%I %%s', w.relname, k.conname, pg_get_constraintdef(k.oid))
FROM wanted w
JOIN pg_constraint k ON k.conrelid = w.oid
WHERE k.contype IN ('p', 'u') OR w.altered AND (k.contype = 'x' OR k.contype = 'f' AND k.conparentid = 0)
UNION ALL
SELECT 7, number, u.oid, format(
    'CREATE TEMPORARY TABLE %%I (%%I pg_temp.%%I%%s)', u.relname, a.attname, w.relname,
    CASE a.atttypid WHEN t.typarray THEN '[]' ELSE '' END
)
FROM wanted w
JOIN pg_type t ON t.oid = w.reltype
CROSS JOIN LATERAL (
    SELECT DISTINCT d.classid, d.objid, d.objsubid FROM pg_depend d
    WHERE d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.oid, t.typarray) OFFSET 0
) AS d
JOIN pg_attribute a ON d.classid = 'pg_class'::regclass AND a.attrelid = d.objid AND a.attnum = d.objsubid
                   AND a.atttypid IN (t.oid, t.typarray)
JOIN pg_class u ON u.oid = a.attrelid AND u.relkind IN ('r', 'p', 'm') AND u.oid NOT IN (SELECT oid FROM wanted)
WHERE w.altered
ORDER BY 1, 2, 3
"""


# Copies are not published. Whether a published table takes a statement, whatever rows there are, the server decides as
# it begins it: CheckCmdReplicaIdentity() in PostgreSQL's execReplication.c.
PUBLISHED = """
SELECT wanted.name
FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted)
JOIN pg_class c ON c.oid = to_regclass(wanted.quoted)
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (n.nspname, c.relname) IN (SELECT schemaname, tablename FROM pg_publication_tables)
"""
TRY_UPDATE = "EXPLAIN UPDATE {table} SET {column} = {column} WHERE false"
#: The number of copies from which on the server is asked whether it has room for their locks.
MANY = 50
ELSEWHERE = "{tables} {is_or_are} in another schema than new tables, or {points} at one that is"
NO_ROOM = "the server has no room for the locks of so many copies (max_locks_per_transaction)"


class PostgreSQLRehearsal(Rehearsal):
    """Plays the statements on temporary tables, which the search path finds first and no other session sees."""

    backend: PostgreSQLBackend
    session: PostgreSQLSession

    def play(self, work: Work, steps: Sequence[Step]) -> tuple[Objection, ...]:
        return (*self.refused_updates(work, steps), *self.play_scene(work, steps))

    def refused_updates(self, work: Work, steps: Sequence[Step]) -> Iterator[Objection]:
        """Yield the objections to statements that give rows values, by tables that are published."""
        updated = {step.table: step for step in steps if step.sql.startswith("UPDATE ")}
        names = [name for name in updated if work.current.get(name)]
        for name in self.published(names) if names else ():
            column = next(column.name for column in work.current.tables[name].columns if not column.generated)
            sql = TRY_UPDATE.format(table=self.backend.quote(name), column=self.backend.quote(column))
            try:
                with transaction.atomic(using=self.connection.alias), self.connection.cursor() as cursor:
                    cursor.execute(sql)
                    transaction.set_rollback(True, using=self.connection.alias)
            except DatabaseError as error:
                self.raise_faults(error)
                words = " ".join(self.faults.words(error).split())
                yield Objection(words=words, table=name, sql=updated[name].sql)

    def published(self, names: Sequence[str]) -> list[str]:
        """Return those of the tables that belong to a publication."""
        with self.connection.cursor() as cursor:
            cursor.execute(PUBLISHED, [list(names), [identifier(self.connection, name) for name in names]])
            return [name for (name,) in cursor.fetchall()]

    def play_scene(self, work: Work, steps: Sequence[Step]) -> tuple[Objection, ...]:
        """Play the steps on copies of the tables."""
        scene = set_scene(work, [step.table for step in steps])
        scene = scene and self.without_other_schemas(scene)
        if scene is None:
            return ()
        compiler = self.rehearsal_compiler(work, scene)
        played = [step for step in compiler.steps() if is_played(step)]
        outside = {reference.table for reference in compiler.references if is_bare(reference.table)}
        outside &= {step.table for step in played}
        altered = (*scene.altered, *sorted(outside))
        # One statement may drop several tables.
        there = {*altered, *scene.made, ""}
        played = [step for step in played if step.table in there]
        if len(altered) > MANY and sum(step.locks for step in played) > self.session.lock_budget():
            self.note(NO_ROOM)
            return ()
        return self.play_on_copies(scene, altered, played)

    def without_other_schemas(self, scene: Scene) -> Scene | None:
        """Return the scene without the tables whose names, or those of what they point at, have a schema in them.

        Such a name leads to the live table wherever it stands.
        """
        away = {name for name in scene.played if not all(map(is_bare, (name, *scene.points_at.get(name, ()))))}
        if not away:
            return scene
        one = len(away) == 1
        words = {"is_or_are": "is" if one else "are", "points": "points" if one else "point"}
        self.note(ELSEWHERE.format(tables=" and ".join(sorted(away)), **words))
        return evolve(
            scene,
            changes=tuple(change for change in scene.changes if change.table not in away),
            altered=tuple(name for name in scene.altered if name not in away),
            made=tuple(name for name in scene.made if name not in away),
            targets=tuple(filter(is_bare, scene.targets)),
        )

    def rehearsal_compiler(self, work: Work, scene: Scene) -> schema.Compiler:
        """Return the compiler of the statements as they are played: names lead to the copies."""
        compiler = self.backend.compiler(work)
        played = evolve(compiler.work, changes=scene.changes)
        return schema.Compiler(compiler.editor, played, compiler.references)

    def play_on_copies(self, scene: Scene, altered: Sequence[str], steps: Sequence[Step]) -> tuple[Objection, ...]:
        """Make the copies, play the steps all at once or, where that fails, one by one, and undo everything."""
        with transaction.atomic(using=self.connection.alias):
            copies = self.copies(altered, [name for name in scene.targets if name not in altered])
            try:
                try_out(self.connection, ";\n".join(copies))
            except DatabaseError as error:
                self.raise_faults(error)
                self.note(f"their copies cannot be made ({' '.join(self.faults.words(error).split())})")
                found: tuple[Objection, ...] = ()
            else:
                found = self.objections_to(steps, scene)
            transaction.set_rollback(True, using=self.connection.alias)
        return found

    def copies(self, altered: Sequence[str], targets: Sequence[str]) -> list[str]:
        """Return the statements that copy the tables; of targets, only what foreign keys require is copied."""
        quoted = [identifier(self.connection, name) for name in (*altered, *targets)]
        with self.connection.cursor() as cursor:
            cursor.execute(COPIES, [quoted, [True] * len(altered) + [False] * len(targets)])
            return [sql for *_, sql in cursor.fetchall()]

    def objections_to(self, steps: Sequence[Step], scene: Scene) -> tuple[Objection, ...]:
        try:
            try_out(self.connection, ";\n".join(step.sql for step in steps))
        except DatabaseError as error:
            self.raise_faults(error)
            return tuple(self.objections(steps, scene, lambda step: try_out(self.connection, step.sql)))
        return ()


def is_bare(name: str) -> bool:
    """Return whether a table's name has no schema in it."""
    return not split_identifier(name)[0]
