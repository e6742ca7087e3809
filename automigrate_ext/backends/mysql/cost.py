"""The cost of changes on MariaDB and MySQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from automigrate_ext.backends.cost import Cost
from automigrate_ext.backends.mysql import schema
from automigrate_ext.backends.work import Work


class MySQLCost(Cost):
    """Estimates what work costs on MariaDB and MySQL."""

    def effects(self, work: Work, tables: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Name the kinds of statements; the server does not reveal beforehand how it carries out an ALTER TABLE."""
        found: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for step in self.backend.compile(work):
            if step.table in tables and (words := schema.effect(step)):
                found[step.table][words] = None
        return {table: tuple(words) for table, words in found.items()}
