"""Pair the constraints and indexes of the database with those of the models: by structure, then by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Generic, TypeVar

from automigrate_ext.schema.nouns import Constraint, Index

Noun = TypeVar("Noun", Constraint, Index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match(Generic[Noun]):
    """The objects of one kind of two tables, current and desired, paired by structure.

    `paired` are the objects that both have, `renamed` those pairs whose name matters and differs.
    """

    paired: tuple[tuple[Noun, Noun], ...]
    renamed: tuple[tuple[Noun, Noun], ...]
    added: tuple[Noun, ...]
    removed: tuple[Noun, ...]


def match_objects(current: Sequence[Noun], desired: Sequence[Noun]) -> Match[Noun]:
    """Pair equal objects, each with one other: first those of the same name, then the rest in their order.

    A pair whose names differ is a rename where the model gave the name, and no difference elsewhere. So an
    object with a name that the model gives to another one is never paired with one whose name does not matter.
    """
    by_structure: defaultdict[Noun, list[Noun]] = defaultdict(list)
    for old in current:
        by_structure[old].append(old)
    paired: list[tuple[Noun, Noun]] = []
    rest: list[Noun] = []
    for new in desired:
        namesake = take(by_structure[new], new.name) if new.name else None
        if namesake is None:
            rest.append(new)
        else:
            paired.append((namesake, new))
    given = {new.name for new in rest if new.named}
    added: list[Noun] = []
    renamed: list[tuple[Noun, Noun]] = []
    for new in sorted(rest, key=lambda noun: not noun.named):
        same = take(by_structure[new], avoid=frozenset() if new.named else given)
        if same is None:
            added.append(new)
            continue
        paired.append((same, new))
        if new.named:
            renamed.append((same, new))
    removed = [old for candidates in by_structure.values() for old in candidates]
    return Match(paired=tuple(paired), renamed=tuple(renamed), added=tuple(added), removed=tuple(removed))


def take(candidates: list[Noun], name: str | None = None, avoid: Set[str] = frozenset()) -> Noun | None:
    """Remove from the list, and return, the candidate of that name; without a name, the first with no name to avoid."""
    for position, candidate in enumerate(candidates):
        if candidate.name not in avoid if name is None else candidate.name == name:
            return candidates.pop(position)
    return None
