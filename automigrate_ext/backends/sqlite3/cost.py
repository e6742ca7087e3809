"""The cost of changes on SQLite."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from automigrate_ext.backends.cost import Cost
from automigrate_ext.backends.work import Work

if TYPE_CHECKING:
    from automigrate_ext.backends.sqlite3.backend import SQLiteBackend


class SQLiteCost(Cost):
    """Estimates what work costs on SQLite."""

    backend: SQLiteBackend

    def effects(self, work: Work, tables: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        compiler = self.backend.compiler(work)
        found = {name: compiler.alteration(name, compiler.by_table[name]).effects() for name in tables}
        return {name: words for name, words in found.items() if words}

    def triggers(self, work: Work, tables: Collection[str]) -> Mapping[str, Sequence[str]]:
        compiler = self.backend.compiler(work)
        updated = {step.table for step in compiler.steps() if step.updates_rows}
        return {
            name: [trigger.name for trigger in compiler.alteration(name, compiler.by_table[name]).triggers]
            for name in tables
            if name in updated
        }
