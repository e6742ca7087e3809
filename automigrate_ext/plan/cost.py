"""What carrying out a plan means for a table that holds rows, apart from what happens to its values. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from automigrate_ext.schema.changes import plural


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many rows a table has; where `exact` is not set, by the server's estimate."""

    rows: int
    exact: bool = True

    def __str__(self) -> str:
        return f"{'' if self.exact else 'about '}{plural(self.rows, 'row')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What a run does to a table that takes time, or makes others wait, and how many rows the table has."""

    table: str
    effects: tuple[str, ...]
    size: Size

    def __str__(self) -> str:
        first, *rest = self.effects
        return ", ".join((f"{first} ({self.size})", *rest))
