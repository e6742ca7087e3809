"""Refuse changes that the server would not make because of views, rules, triggers or policies that depend on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.work import Dependent, Part
from automigrate_ext.plan.codes import HazardCode
from automigrate_ext.plan.plan import Hazard, Judgement, Verdict, refused_for
from automigrate_ext.schema.changes import (
    AlterColumn,
    AlterPrimaryKey,
    Change,
    DropColumn,
    DropTable,
    RenameColumn,
    RenameTable,
)
from automigrate_ext.schema.nouns import Schema


def refuse_dependents(
    backend: Backend, current: Schema, desired: Schema, judgements: Iterable[Judgement]
) -> tuple[Judgement, ...]:
    """Return the judgements; changes that the server would not make because of dependents are refused."""
    judgements = tuple(judgements)
    parts = {
        id(judgement): tuple(parts_of(judgement.change, current, renamed=not backend.dependents_follow))
        for judgement in judgements
        if judgement.verdict is not Verdict.WITHHOLD
    }
    wanted = dict.fromkeys(part for of_change in parts.values() for part in of_change)
    found = dict(backend.dependents_of(tuple(wanted))) if wanted else {}
    applied = [judgement.change for judgement in judgements if judgement.verdict is not Verdict.WITHHOLD]
    for part, unfit in backend.unfit(current, desired, applied).items():
        found[part] = (*found.get(part, ()), *unfit)
    if not found:
        return judgements
    return tuple(with_dependents(judgement, parts.get(id(judgement), ()), found) for judgement in judgements)


def parts_of(change: Change, current: Schema, *, renamed: bool = False) -> Iterator[Part]:
    """Yield the parts of a table that a change drops, recreates or converts; if `renamed`, renamed ones too."""
    match change:
        case RenameTable() if renamed:
            yield Part(table=change.table, verb="renamed")
        case RenameColumn() if renamed:
            yield Part(table=change.table, column=change.old_name, verb="renamed")
        case DropTable():
            yield Part(table=change.table)
        case DropColumn():
            yield Part(table=change.table, column=change.old.name)
        case AlterPrimaryKey(old=old) if old is not None:
            yield Part(table=change.table, constraint=old.name)
        case AlterColumn() if is_disturbed(change):
            yield Part(table=change.table, column=change.new.name, verb="changed")
            table = current.get(change.table)
            for column in table.columns if table else ():
                # Recreated because it reads a column that is; see the compiler of the PostgreSQL backend.
                if column.generated and change.new.name in column.reads:
                    yield Part(table=change.table, column=column.name, verb="changed")


def is_disturbed(change: AlterColumn) -> bool:
    """Return whether the column is converted or recreated; one that only stops being generated keeps its values."""
    if change.retypes:
        return True
    old, new = change.old.generated, change.new.generated
    return change.regenerates and not (old is not None and old.stored and new is None)


def with_dependents(
    judgement: Judgement, parts: Sequence[Part], found: Mapping[Part, Sequence[Dependent]]
) -> Judgement:
    """Return the judgement, refused if anything depends on the parts; other reasons for a refusal stay."""
    return refused_for(judgement, (dependent_hazard(part, found[part]) for part in parts if part in found))


def dependent_hazard(part: Part, dependents: Sequence[Dependent]) -> Hazard:
    """Return the hazard that names what depends on a part of a table."""
    names = ", ".join(f"{dependent.kind} {dependent.name}" for dependent in dependents)
    depends = "depends" if len(dependents) == 1 else "depend"
    return Hazard(
        code=HazardCode.DEPENDENT,
        message=f"{part.describe()} cannot be {part.verb}, because {names} {depends} on it",
        advice="Drop what depends on it first, and make that again afterwards.",
    )
