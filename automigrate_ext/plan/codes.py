"""The codes of hazards. They are part of the JSON of a plan, none is ever renamed; see docs/reference/verdicts.md."""

from __future__ import annotations

import enum


class HazardCode(enum.StrEnum):
    """The kind of a hazard. Each member equals its text, and is written as that to JSON."""

    DROPS_COLUMN = "drops-column"
    DROPS_TABLE = "drops-table"
    REQUIRED_COLUMN = "required-column"
    NULL_VALUES = "null-values"
    BAD_DEFAULT = "bad-default"
    UNABLE = "unable"
    CAST_FAILS = "cast-fails"
    ALTERS_VALUES = "alters-values"
    OVERWRITES_COLUMN = "overwrites-column"
    DUPLICATES = "duplicates"
    ORPHANS = "orphans"
    VIOLATORS = "violators"
    NOT_COUNTED = "not-counted"
    REFERENCED = "referenced"
    DEPENDENT = "dependent"
    RETARGETED = "retargeted"
    NOT_ACCEPTED = "not-accepted"
    REWRITES_TABLE = "rewrites-table"
    NO_EXPAND = "no-expand"
