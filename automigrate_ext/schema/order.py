"""The order in which tables are created, and names are changed, so that each step has what it needs.

Tables come after those that their foreign keys point at. Renames in a chain start at its free end, and names
that are swapped go through a third one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import count

from automigrate_ext.schema.nouns import ForeignKey, Table

#: A change of a name: the old one and the new one.
Move = tuple[str, str]
#: How many characters of a name may be kept before a suffix, within the limit of every database.
ROOM = 50


def in_order(moves: Mapping[str, str], taken: Collection[str], *, swaps: Collection[str] = ()) -> list[Move]:
    """Return the moves from old names to new ones, each to a name that is free by then.

    `taken` are the existing names, `swaps` the old names that may be swapped. A move to a name that
    does not become free is left out.
    """
    waiting, occupied = dict(moves), set(taken)
    steps: list[Move] = []
    while (old := next((old for old, new in waiting.items() if new not in occupied), None)) is not None:
        steps.append((old, waiting.pop(old)))
        occupied = occupied - {old} | {steps[-1][1]}
    for cycle in cycles(waiting):
        if all(old in swaps for old, _ in cycle):
            between = free_name(cycle[0][1], occupied)
            steps += [(cycle[0][0], between), *reversed(cycle[1:]), (between, cycle[0][1])]
    return steps


def cycles(moves: Mapping[str, str]) -> Iterable[list[Move]]:
    """Yield the closed rings among moves, in each of which every new name is the old name of another move."""
    seen: set[str] = set()
    for start in moves:
        ring: list[Move] = []
        old = start
        while old in moves and old not in seen:
            seen.add(old)
            ring.append((old, moves[old]))
            old = moves[old]
        if ring and old == start:
            yield ring


def free_name(name: str, taken: Collection[str]) -> str:
    """Return a temporary name that nothing else has."""
    names = (f"{name[:ROOM]}__moved{number or ''}" for number in count())
    return next(name for name in names if name not in taken)


def in_dependency_order(tables: Sequence[Table]) -> list[Table]:
    """Sort tables, each after those that its foreign keys point at, except in cycles."""
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
    """Return whether the foreign key's target is still to be visited."""
    target = foreign_key.to_table
    return target in by_name and target not in done and target not in visiting
