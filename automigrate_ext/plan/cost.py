"""The cost of a plan for tables that hold rows: work and locks, apart from changes of values. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from automigrate_ext.words import plural


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The number of rows in a table: counted, or estimated by the server where `exact` is not set."""

    rows: int
    exact: bool = True

    def __str__(self) -> str:
        return f"{'' if self.exact else 'about '}{plural(self.rows, 'row')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """The effects of a run on a table that take time or make others wait, and the number of rows in the table.

    `fires` are the triggers that fire as the run gives rows values.
    """

    table: str
    effects: tuple[str, ...]
    size: Size
    fires: tuple[str, ...] = ()

    def __str__(self) -> str:
        first, *rest = self.effects
        return ", ".join((f"{first} ({self.size})", *rest))
