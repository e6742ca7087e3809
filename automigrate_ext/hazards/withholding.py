"""Which drops a run withholds because of what they would lose: one rule, and one query for any number of tables."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace as evolve

from automigrate_ext.backends.base import Backend
from automigrate_ext.schema.changes import AlterColumn, Change, DropColumn, DropTable
from automigrate_ext.schema.nouns import Schema


def is_withheld(
    change: DropColumn | DropTable, pointed_at: Container[str], *, holds: bool, accept_data_loss: bool
) -> bool:
    """Return whether a run keeps what a change would drop.

    `holds` is whether there is a row in the table or a value in the column; what was not counted in time counts as
    held. `pointed_at` are the tables that foreign keys of tables outside the run reference; no flag drops these.
    """
    if isinstance(change, DropTable) and change.table in pointed_at:
        return True
    return holds and not accept_data_loss


def keeping(change: Change) -> list[Change]:
    """Return the changes that let a column stay although the models no longer write it."""
    if not isinstance(change, DropColumn):
        return []
    # SQLite numbers only a primary key, and a column that no model declares is not the primary key any longer.
    if change.old.needs_value or change.old.identity == "autoincrement":
        optional = evolve(change.old, null=True, forbids_new_nulls=False, identity=None)
        return [AlterColumn(table=change.table, old=change.old, new=optional)]
    return []


def unsettled(backend: Backend, current: Schema, changes: Sequence[Change], *, accept_data_loss: bool) -> list[Change]:
    """Return the changes that a run has to carry out or refuse: all but the drops that it withholds as they are.

    Sends one query to the rows, however many tables and columns would be dropped.
    """
    pointed_at = pointed_at_from_outside(backend, current, changes)
    drops = [change for change in changes if isinstance(change, (DropColumn, DropTable)) and not keeping(change)]
    held = backend.rows.held([place for change in drops if (place := place_of(change)) is not None])

    def is_settled(change: DropColumn | DropTable) -> bool:
        holds = place_of(change) in held
        return is_withheld(change, pointed_at, holds=holds, accept_data_loss=accept_data_loss)

    settled = {id(change) for change in drops if is_settled(change)}
    return [change for change in changes if id(change) not in settled]


def place_of(change: DropColumn | DropTable) -> tuple[str, str | None] | None:
    """Return where the rows are that a change would lose; None for a column that holds no values of its own."""
    if isinstance(change, DropTable):
        return change.table, None
    return None if change.old.generated else (change.table, change.old.name)


def pointed_at_from_outside(
    backend: Backend, current: Schema, changes: Iterable[Change]
) -> Mapping[str, frozenset[str]]:
    """Return, for each table that is to be dropped, the tables outside the run whose foreign keys point at it."""
    pointing: dict[str, frozenset[str]] = {}
    dropped = {change.table for change in changes if isinstance(change, DropTable)}
    for reference in backend.references(list(current.tables)) if dropped else ():
        target = reference.foreign_key.to_table
        if target in dropped:
            pointing[target] = pointing.get(target, frozenset()) | {reference.table}
    return pointing
