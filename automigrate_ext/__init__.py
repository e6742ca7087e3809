"""Make a database's tables follow the Django models, without migration files."""

from typing import TYPE_CHECKING

from automigrate_ext.ondemand import on_demand

if TYPE_CHECKING:
    from automigrate_ext.api import (
        aautomigrate,
        aautoupdate,
        ais_actual,
        amake_plan,
        arun_plan,
        arun_plans,
        automigrate,
        autoupdate,
        is_actual,
        make_plan,
        run_plan,
        run_plans,
    )
    from automigrate_ext.exceptions import (
        AutomigrateError,
        DatabasesFailed,
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
    from automigrate_ext.plan import Hazard, HookStep, Judgement, LikelyRename, Plan, Plans, Request, Verdict
    from automigrate_ext.progress import RunProgress
    from automigrate_ext.remarks import Remark
    from automigrate_ext.run import Answers

__version__ = "0.1.0"

__all__ = [
    "Answers",
    "AutomigrateError",
    "DatabasesFailed",
    "ExecutionFailed",
    "Hazard",
    "HookStep",
    "Judgement",
    "LikelyRename",
    "LockNotAvailable",
    "NotConverged",
    "Plan",
    "Plans",
    "Refused",
    "Remark",
    "Request",
    "RunProgress",
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
    "arun_plans",
    "automigrate",
    "autoupdate",
    "is_actual",
    "make_plan",
    "run_plan",
    "run_plans",
]

if not TYPE_CHECKING:
    # pytest imports this package in projects that do not use its plugin; the modules that load Django come last.
    __getattr__ = on_demand(__name__, __all__, ("exceptions", "plan", "progress", "remarks", "run", "api"))
