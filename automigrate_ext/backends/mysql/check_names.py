"""Names of checks on MySQL: no two of a database may be the same, and one without is named after its table. Pure.

Source: https://dev.mysql.com/doc/refman/8.4/en/create-table-check-constraints.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace as evolve

from automigrate_ext.backends.work import Work
from automigrate_ext.schema.changes import AddConstraint, Change, CreateTable, DropConstraint, RenameConstraint
from automigrate_ext.schema.nouns import Check, Constraint, Schema, Table

#: How the server names a check that has no name, and how long its names may be.
GENERATED = "{table}_chk_1"
LONGEST_NAME = 64

TOO_LONG = (
    "the server names a check without a name after its table, and {name} has more than 64 characters. Give the model a "
    "shorter db_table"
)


def too_long(change: Change) -> str:
    """Return why a check without a name cannot be made; "" for any other change."""
    name = GENERATED.format(table=change.table)
    is_new = any(not check.name for _, check in new_checks(change))
    return TOO_LONG.format(name=name) if is_new and len(name) > LONGEST_NAME else ""


def new_checks(change: Change) -> Iterator[tuple[str, Check]]:
    """Yield the checks that a change makes, with their tables."""
    nouns: tuple[Constraint, ...] = ()
    match change:
        case CreateTable(new=table):
            nouns = table.constraints
        case AddConstraint(new=noun) | RenameConstraint(new=noun):
            nouns = (noun,)
    yield from ((change.table, noun) for noun in nouns if isinstance(noun, Check))


def moved(work: Work) -> list[DropConstraint | RenameConstraint]:
    """Return the changes by which checks lose names that the same work gives to checks of other tables.

    These checks are dropped first, and made again later if they get another name.
    """
    wanted = {(table, check.name.lower()) for change in work.changes for table, check in new_checks(change)}
    return [
        change
        for change in work.changes
        if isinstance(change, (DropConstraint, RenameConstraint))
        and isinstance(change.old, Check)
        and any(name == change.old.name.lower() and table != change.table for table, name in wanted)
    ]


def without(work: Work, moved: list[DropConstraint | RenameConstraint]) -> Work:
    """Return the work that is left when some checks have been dropped."""
    gone = {(change.table, change.old.name) for change in moved}
    made_again = (AddConstraint(table=c.table, new=c.new) for c in moved if isinstance(c, RenameConstraint))

    def rest(table: Table) -> Table:
        return evolve(table, constraints=tuple(c for c in table.constraints if (table.name, c.name) not in gone))

    return evolve(
        work,
        changes=(*(change for change in work.changes if change not in moved), *made_again),
        current=Schema({name: rest(table) for name, table in work.current.tables.items()}),
    )
