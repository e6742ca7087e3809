"""The cost of changes: how many rows the tables hold, and what happens to these."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from automigrate_ext.backends.work import Work, concerned
from automigrate_ext.plan.cost import Remark, Size
from automigrate_ext.schema.changes import DropTable

if TYPE_CHECKING:
    from automigrate_ext.backends.base import Backend

COUNT_NUMBERED = "SELECT {number}, count(*) FROM {table} AS asked"
#: How many tables are counted in one query; SQLite takes 500 at most.
COUNTS_A_QUERY = 200
FIRES, HOLDS_BACK = "fires {triggers}", "does not fire {triggers}"


class Cost:
    """Estimates what work costs on one database."""

    #: Whether triggers fire as a run gives rows values; else they are held back.
    fires_triggers = False

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.connection = backend.connection
        self.rows = backend.rows

    def remarks(self, work: Work, filled: Collection[str]) -> tuple[Remark, ...]:
        """Return what the work costs on the tables that hold rows; of changed ones, these are `filled`."""
        gone = {change.table for change in work.changes if isinstance(change, DropTable)}
        names = [name for name in concerned(work.changes) if name not in gone]
        there = [name for name in names if work.current.get(name) and work.desired.get(name)]
        empty = {change.table for change in work.changes} - set(filled)
        touched = [name for name in there if name not in empty]
        sizes = {name: size for name, size in self.sizes(touched).items() if size.rows} if touched else {}
        effects = self.effects(work, sizes) if sizes else {}
        updated = self.triggers(work, effects) if effects else {}
        return tuple(
            Remark(
                table=name,
                effects=(*effects[name], *self.words_on(updated.get(name, ()))),
                size=sizes[name],
                fires=tuple(updated.get(name, ())) if self.fires_triggers else (),
            )
            for name in touched
            if name in effects
        )

    def words_on(self, triggers: Sequence[str]) -> tuple[str, ...]:
        """Return what happens to the triggers of a table, in words; nothing where it has none."""
        template = FIRES if self.fires_triggers else HOLDS_BACK
        return (template.format(triggers=listed(triggers)),) if triggers else ()

    def triggers(self, work: Work, tables: Collection[str]) -> Mapping[str, Sequence[str]]:
        """Return the triggers, by table, that an UPDATE fires by which the work gives rows of the tables values."""
        return {}

    def sizes(self, tables: Collection[str]) -> Mapping[str, Size]:
        """Return how many rows the tables have; those that have none may be left out."""
        sizes: dict[str, Size] = {}
        for start in range(0, len(tables), COUNTS_A_QUERY):
            names = list(tables)[start : start + COUNTS_A_QUERY]
            counts = (COUNT_NUMBERED.format(number=n, table=self.rows.relation(name)) for n, name in enumerate(names))
            with self.connection.cursor() as cursor:
                cursor.execute(" UNION ALL ".join(counts))
                sizes.update((names[number], Size(rows=rows)) for number, rows in cursor.fetchall())
        return sizes

    def effects(self, work: Work, tables: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Return what the work does to the named tables that takes time or makes others wait, in a few words each."""
        return {}


def firing(triggers: Sequence[str]) -> tuple[str, ...]:
    """Return in words that triggers fire; nothing where there are none."""
    return (FIRES.format(triggers=listed(triggers)),) if triggers else ()


def listed(triggers: Sequence[str]) -> str:
    """Return names of triggers in words."""
    *others, last = triggers
    return f"the triggers {', '.join(others)} and {last}" if others else f"the trigger {last}"
