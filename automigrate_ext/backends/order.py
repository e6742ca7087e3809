"""In which order tables are made whose foreign keys point at each other. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from automigrate_ext.schema import ForeignKey, Table


def in_dependency_order(tables: Sequence[Table]) -> list[Table]:
    """The tables, each after those that its foreign keys point at, as far as there are no cycles."""
    by_name = {table.name: table for table in tables}
    done: dict[str, Table] = {}
    for start in tables:
        path = [(start, iter(start.foreign_keys))]
        visiting = {start.name}
        if start.name in done:
            continue
        while path:
            table, rest = path[-1]
            target = next((by_name[fk.to_table] for fk in rest if waits_for(fk, by_name, done, visiting)), None)
            if target is None:
                done[table.name] = table
                path.pop()
            else:
                visiting.add(target.name)
                path.append((target, iter(target.foreign_keys)))
    return list(done.values())


def waits_for(foreign_key: ForeignKey, by_name: dict[str, Table], done: dict[str, Table], visiting: set[str]) -> bool:
    """Whether the foreign key's target is still to be visited."""
    target = foreign_key.to_table
    return target in by_name and target not in done and target not in visiting
