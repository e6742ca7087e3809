"""The cost of changes on MariaDB and MySQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from automigrate_ext.backends.cost import Cost
from automigrate_ext.backends.mysql import schema
from automigrate_ext.backends.mysql.algorithms import UNKNOWN
from automigrate_ext.backends.work import Work

if TYPE_CHECKING:
    from automigrate_ext.backends.mysql.backend import MySQLBackend


class MySQLCost(Cost):
    """Estimates what work costs on MariaDB and MySQL, where a trigger cannot be kept from firing."""

    backend: MySQLBackend

    fires_triggers = True

    def effects(self, work: Work, tables: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Name the kinds of statements, and how the server alters a table where that was found out in a rehearsal."""
        found: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for step in self.backend.compile(work):
            way = self.backend.rehearsal.ways.get(step.sql, UNKNOWN)
            if step.table in tables and (words := schema.effect(step, way.words)):
                found[step.table][words] = None
        return {table: tuple(words) for table, words in found.items()}

    def triggers(self, work: Work, tables: Collection[str]) -> Mapping[str, Sequence[str]]:
        updated = {step.table for step in self.backend.compile(work) if step.updates_rows}
        return self.backend.update_triggers([name for name in tables if name in updated])
