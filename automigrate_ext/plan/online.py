"""How each statement of an online plan runs beside the work of others: its transaction, lock and effect. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter


class Effect(enum.StrEnum):
    """What a statement does with the rows of its table. Part of the JSON of a plan: none is ever renamed."""

    CATALOG = "catalog"
    SCAN = "scan"
    BUILD = "build"
    IN_PLACE = "in-place"
    ROWS = "rows"
    REWRITE = "rewrite"


#: The effects in words.
WORDS = {
    Effect.CATALOG: "catalog only",
    Effect.SCAN: "reads the table",
    Effect.BUILD: "builds an index",
    Effect.IN_PLACE: "changes the table in place while others write",
    Effect.ROWS: "fills rows, a batch a transaction",
    Effect.REWRITE: "reads or writes the whole table under the lock",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a statement runs.

    `lock` is the mode of its lock on its table, or the order for it, such as LOCK=NONE; "" for a table that is new.
    Statements of the same `transaction`, which are numbered from 1, share one; one that is `alone` runs outside of any.
    `undo` is the statement that removes what it leaves where it fails.
    """

    lock: str = "ACCESS EXCLUSIVE"
    effect: Effect = Effect.CATALOG
    transaction: int = 0
    alone: bool = False
    undo: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineStep:
    """A statement of an online plan, the table that it is for, and how it runs."""

    sql: str
    table: str
    manner: Manner

    def as_dict(self) -> dict[str, object]:
        """Return the step as plain values."""
        return {
            "sql": self.sql,
            "table": self.table,
            "lock": self.manner.lock,
            "effect": self.manner.effect.value,
            "transaction": None if self.manner.alone else self.manner.transaction,
        }

    def describe(self) -> str:
        """Describe in a few words how the step runs."""
        lock = self.manner.lock if "=" in self.manner.lock else f"{self.manner.lock} lock"
        lock = lock if self.manner.lock else "no lock on a table in use"
        return f"{lock}, {WORDS[self.manner.effect]}{', outside a transaction' if self.manner.alone else ''}"


def framed(steps: Iterable[OnlineStep]) -> Iterator[str]:
    """Yield the statements of a script that runs the steps, with those that begin and end its transactions."""
    for _, group in groupby(steps, key=attrgetter("manner.transaction")):
        statements = [step.sql for step in group]
        yield from statements if len(statements) == 1 else ("BEGIN", *statements, "COMMIT")


def effects_on(table: str, steps: Sequence[OnlineStep]) -> tuple[str, ...]:
    """Return in words what the steps do with the rows of a table, once each; nothing for the catalog alone."""
    found = [step.manner.effect for step in steps if step.table == table]
    return tuple(WORDS[effect] for effect in dict.fromkeys(found) if effect is not Effect.CATALOG)
