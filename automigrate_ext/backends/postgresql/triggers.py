"""Triggers and rules that an UPDATE of PostgreSQL fires, and the statements that hold them back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext.backends.postgresql.names import identifier

# An UPDATE of a table reaches the rows of its partitions and of the tables that inherit from it, and fires the triggers
# of these. Those of foreign keys and of unique constraints, which the server made, have to fire. A rule rewrites the
# statement, which names the table alone. Sources: PostgreSQL's documentation of CREATE TRIGGER and of pg_trigger;
# TRIGGER_TYPE_UPDATE in its pg_trigger.h.
FIRED = """
WITH RECURSIVE filled (name, oid) AS (
    SELECT wanted.name, to_regclass(wanted.quoted)::oid FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted)
    UNION
    SELECT filled.name, i.inhrelid FROM filled JOIN pg_inherits i ON i.inhparent = filled.oid
)
SELECT filled.name, filled.oid::regclass::text, t.tgname::text, format('TRIGGER %%I', t.tgname), t.tgenabled::text
FROM filled JOIN pg_trigger t ON t.tgrelid = filled.oid AND t.tgtype & 16 <> 0 AND t.tgenabled <> 'D'
WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.oid = t.tgconstraint AND k.contype <> 't')
UNION ALL
SELECT wanted.name, r.ev_class::regclass::text, r.rulename::text, format('RULE %%I', r.rulename), r.ev_enabled::text
FROM unnest(%s::text[], %s::text[]) AS wanted (name, quoted)
JOIN pg_rewrite r ON r.ev_class = to_regclass(wanted.quoted) AND r.ev_type = '2' AND r.ev_enabled <> 'D'
ORDER BY 1, 2, 3, 4
"""
ALTER_TABLE = "ALTER TABLE ONLY {relation} {clauses}"
DISABLE = "DISABLE {trigger}"
ENABLE = "ENABLE {how}{trigger}"
#: The word by which a trigger or rule gets back the state that it was in.
STATES = {"O": "", "A": "ALWAYS ", "R": "REPLICA "}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A trigger or rule that fires for an UPDATE, and its state.

    `relation` is the name of the table that has it, as SQL, and `sql` the kind and the name.
    """

    relation: str
    name: str
    sql: str
    state: str


def fired(connection: BaseDatabaseWrapper, tables: Collection[str]) -> Mapping[str, Sequence[Trigger]]:
    """Return the triggers and rules that an UPDATE of each of the tables fires."""
    ordered = list(tables)
    quoted = [identifier(connection, name) for name in ordered]
    found: defaultdict[str, list[Trigger]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(FIRED, [ordered, quoted] * 2)
        for table, relation, name, sql, state in cursor.fetchall():
            found[table].append(Trigger(relation=relation, name=name, sql=sql, state=state))
    return found


def disable(triggers: Sequence[Trigger]) -> Iterator[str]:
    """Yield a statement for each relation that keeps its triggers from firing."""
    for relation, group in groupby(triggers, key=attrgetter("relation")):
        clauses = (DISABLE.format(trigger=trigger.sql) for trigger in group)
        yield ALTER_TABLE.format(relation=relation, clauses=", ".join(clauses))


def enable(triggers: Sequence[Trigger]) -> Iterator[str]:
    """Yield a statement for each relation that gives its triggers back the state that they were in."""
    for relation, group in groupby(triggers, key=attrgetter("relation")):
        clauses = (ENABLE.format(how=STATES[trigger.state], trigger=trigger.sql) for trigger in group)
        yield ALTER_TABLE.format(relation=relation, clauses=", ".join(clauses))
