"""Make a database's tables follow the Django models, without migration files."""

from automigrate_ext.api import (
    aautomigrate,
    aautoupdate,
    ais_actual,
    amake_plan,
    automigrate,
    autoupdate,
    is_actual,
    make_plan,
)
from automigrate_ext.exceptions import (
    AutomigrateError,
    ExecutionFailed,
    NotConverged,
    Refused,
    ScratchFailed,
    ShadowedTable,
    UnknownModels,
    UnsupportedDatabase,
)
from automigrate_ext.plan import Hazard, Judgement, Plan, Verdict

__version__ = "0.1.0"

__all__ = [
    "AutomigrateError",
    "ExecutionFailed",
    "Hazard",
    "Judgement",
    "NotConverged",
    "Plan",
    "Refused",
    "ScratchFailed",
    "ShadowedTable",
    "UnknownModels",
    "UnsupportedDatabase",
    "Verdict",
    "aautomigrate",
    "aautoupdate",
    "ais_actual",
    "amake_plan",
    "automigrate",
    "autoupdate",
    "is_actual",
    "make_plan",
]
