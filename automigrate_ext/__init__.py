"""Make a database's tables follow the Django models, without migration files."""

from automigrate_ext.api import (
    aautomigrate,
    aautoupdate,
    ais_actual,
    amake_plan,
    arun_plan,
    automigrate,
    autoupdate,
    is_actual,
    make_plan,
    run_plan,
)
from automigrate_ext.exceptions import (
    AutomigrateError,
    ExecutionFailed,
    LockNotAvailable,
    NotConverged,
    Refused,
    ScratchFailed,
    ShadowedTable,
    UnknownModels,
    UnsupportedDatabase,
    UnusablePlan,
)
from automigrate_ext.plan import Hazard, Judgement, LikelyRename, Plan, Request, Verdict
from automigrate_ext.remarks import Remark
from automigrate_ext.run import Answers

__version__ = "0.1.0"

__all__ = [
    "Answers",
    "AutomigrateError",
    "ExecutionFailed",
    "Hazard",
    "Judgement",
    "LikelyRename",
    "LockNotAvailable",
    "NotConverged",
    "Plan",
    "Refused",
    "Remark",
    "Request",
    "ScratchFailed",
    "ShadowedTable",
    "UnknownModels",
    "UnsupportedDatabase",
    "UnusablePlan",
    "Verdict",
    "aautomigrate",
    "aautoupdate",
    "ais_actual",
    "amake_plan",
    "arun_plan",
    "automigrate",
    "autoupdate",
    "is_actual",
    "make_plan",
    "run_plan",
]
