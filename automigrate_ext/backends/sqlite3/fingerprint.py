"""Fingerprints of SQLite's tables: digests of the texts of all definitions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from automigrate_ext.backends.fingerprint import HISTORY, UNCOVERED, Fingerprints, Look, short

QUERY = f"""
SELECT 'main', type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL
UNION ALL
SELECT 'temp', type, name, tbl_name, sql FROM sqlite_temp_master WHERE sql IS NOT NULL
UNION ALL
SELECT 'record', owner, name, '', objects_owned FROM automigrate_ext_owned
WHERE owner <> '' OR name NOT LIKE '{HISTORY}%'
"""

#: The beginning of the names of SQLite's own tables, which come and go with ANALYZE and the first numbered row.
OWN = "sqlite_"


class SQLiteFingerprints(Fingerprints):
    """Fingerprints of the tables of one file or memory.

    All definitions are part of the surroundings: a view may take a table's name, and a foreign key that names no
    columns points at the primary key of any table.
    """

    def read(self, names: Collection[str], notes: Collection[str]) -> Look:
        with self.connection.cursor() as cursor:
            cursor.execute(QUERY)
            rows = cursor.fetchall()
        wanted = {bare(name): name for name in names}
        tables: defaultdict[str, list[str]] = defaultdict(list)
        others: list[str] = []
        recorded: list[str] = []
        found: dict[str, str] = {}
        for place, kind, name, table, text in rows:
            if place == "record":
                if name in notes:
                    found[name] = text
                if kind or not name.startswith(UNCOVERED):
                    recorded.append(f"{kind} {name} {text}")
                continue
            if name.startswith(OWN):
                continue
            others.append(f"{place} {kind} {name} {table} {text}")
            if place == "main" and kind in ("table", "index") and table.lower() in wanted:
                tables[wanted[table.lower()]].append(text)
        return Look(
            tables={name: short(sorted(texts)) for name, texts in tables.items()},
            surroundings=short(sorted(others)),
            record=short(sorted(recorded)),
            notes=found,
        )


def bare(name: str) -> str:
    """Return a table's name as SQLite compares it."""
    return name.strip('"').lower()
