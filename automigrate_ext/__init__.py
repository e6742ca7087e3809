"""Make a database's tables follow the Django models, without migration files."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from automigrate_ext.api import (
        aautomigrate,
        aautoupdate,
        ahistory,
        ais_actual,
        amake_plan,
        arun_plan,
        arun_plans,
        automigrate,
        autoupdate,
        create_database,
        history,
        is_actual,
        make_plan,
        run_plan,
        run_plans,
    )
    from automigrate_ext.exceptions import (
        AmbiguousSchema,
        AutomigrateError,
        DatabasesFailed,
        Declined,
        ExecutionFailed,
        Interrupted,
        LockNotAvailable,
        MissingTarget,
        NotConverged,
        Refused,
        ScratchFailed,
        ShadowedTable,
        TargetsFailed,
        UnknownModels,
        UnknownTargets,
        UnsupportedDatabase,
        UnusablePlan,
    )
    from automigrate_ext.fleet.report import FleetProgress, FleetReport, Outcome
    from automigrate_ext.fleet.targets import Target
    from automigrate_ext.plan.cost import Remark
    from automigrate_ext.plan.history import PastRun
    from automigrate_ext.plan.online import OnlineStep
    from automigrate_ext.plan.plan import (
        CodedMigration,
        Hazard,
        HookStep,
        Judgement,
        LikelyRename,
        MissingValue,
        Plan,
        Plans,
        Request,
        Verdict,
    )
    from automigrate_ext.plan.progress import RunProgress
    from automigrate_ext.run.options import Answers

__version__ = "0.1.0"

__all__ = [
    "AmbiguousSchema",
    "Answers",
    "AutomigrateError",
    "CodedMigration",
    "DatabasesFailed",
    "Declined",
    "ExecutionFailed",
    "FleetProgress",
    "FleetReport",
    "Hazard",
    "HookStep",
    "Interrupted",
    "Judgement",
    "LikelyRename",
    "LockNotAvailable",
    "MissingTarget",
    "MissingValue",
    "NotConverged",
    "OnlineStep",
    "Outcome",
    "PastRun",
    "Plan",
    "Plans",
    "Refused",
    "Remark",
    "Request",
    "RunProgress",
    "ScratchFailed",
    "ShadowedTable",
    "Target",
    "TargetsFailed",
    "UnknownModels",
    "UnknownTargets",
    "UnsupportedDatabase",
    "UnusablePlan",
    "Verdict",
    "aautomigrate",
    "aautoupdate",
    "ahistory",
    "ais_actual",
    "amake_plan",
    "arun_plan",
    "arun_plans",
    "automigrate",
    "autoupdate",
    "create_database",
    "history",
    "is_actual",
    "make_plan",
    "run_plan",
    "run_plans",
]

if not TYPE_CHECKING:
    #: The modules that define the public classes, in the order of search, and the one that defines the functions.
    CLASSES = (
        "exceptions",
        "plan.plan",
        "plan.progress",
        "plan.cost",
        "plan.history",
        "run.options",
        "fleet.report",
        "fleet.targets",
    )
    FUNCTIONS = ("api",)

    def __getattr__(name: str) -> object:
        """Load a public name at its first use, and as little as it needs.

        pytest imports this package in projects that do not use it; plans load without Django, and functions without
        plans.
        """
        for home in (FUNCTIONS if name.islower() else CLASSES) if name in __all__ else ():
            names = vars(import_module(f"{__name__}.{home}"))
            if name in names:
                globals()[name] = names[name]
                return names[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
