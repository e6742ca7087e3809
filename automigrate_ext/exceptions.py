"""The package's errors, each with the names of the things concerned and a way out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from automigrate_ext.fleet.report import FleetReport
    from automigrate_ext.plan.plan import Plan, Plans


class AutomigrateError(Exception):
    """The base of all errors that the package itself raises.

    Where the error ended a run that had a plan, `plan` is that plan, `applied` its statements that stay
    done and `pending` those that do not; otherwise None and no statements.
    """

    plan: Plan | None = None
    applied: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()

    @property
    def without_values(self) -> str:
        """The message as logs have it: with the keys of rows, and none of the values that a refusal shows."""
        return str(self)


class UnknownModels(AutomigrateError, LookupError):
    """Labels that name no model of the database, or more than one. Nothing was touched."""


class UnknownTargets(AutomigrateError, LookupError):
    """Targets that the project does not have, or cannot have. Nothing was touched."""


class MissingTarget(AutomigrateError):
    """The schema of a target is not there. Nothing was touched."""


class ShadowedTable(AutomigrateError):
    """A view, or something else that is not a table, has a model's table name."""


class AmbiguousSchema(AutomigrateError):
    """Models' tables are not in the first schema of the search path, but in a later one. Nothing was touched."""


class Refused(AutomigrateError):
    """The rows do not allow what the models ask for, or other things would be lost with it. Nothing was touched."""

    def __init__(self, plan: Plan, message: str, without_values: str = "") -> None:
        super().__init__(message)
        self.plan: Plan = plan
        self._without_values = without_values

    @property
    def without_values(self) -> str:
        return self._without_values or str(self)


class SpoiltRecord(AutomigrateError):
    """The package's record of a database is not what the package wrote."""


class UnusableValue(AutomigrateError):
    """The default of a field that rows need cannot be used."""


class UnusablePlan(AutomigrateError):
    """A saved plan that is malformed, or no longer what a run would do. Nothing was touched."""


class Declined(AutomigrateError):
    """Somebody was asked whether to carry out a plan, and answered with no. No table was changed."""


class NotConverged(AutomigrateError):
    """After the run the database still differed from the models; the run was undone where DDL can be."""


class ScratchFailed(AutomigrateError):
    """The server does not accept a model's table."""


class UnsupportedDatabase(AutomigrateError):
    """There is no backend for the database."""


class ExecutionFailed(AutomigrateError):
    """A statement of the run failed; the run was undone where DDL can be."""


class LockNotAvailable(AutomigrateError):
    """Another run, or a session that uses the tables, did not end in the time allowed; the run was undone."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended a run of which something stays done, because the database does not undo it.

    The attributes are those of `AutomigrateError`. A run that is undone ends with a plain `KeyboardInterrupt`.
    """

    plan: Plan | None = None
    applied: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()


class InterruptedFleet(KeyboardInterrupt):
    """Ctrl-C ended a run over many targets; `report` has what became of those that were begun."""

    def __init__(self, report: FleetReport) -> None:
        super().__init__("Interrupted")
        self.report = report


class DatabasesFailed(AutomigrateError):
    """Some of several databases failed or refused; the work on the others was done.

    `errors` are the exceptions by alias, `plans` the plans that were made or carried out for the others.
    """

    def __init__(self, errors: Mapping[str, Exception], plans: Plans) -> None:
        super().__init__("\n".join(f"Database {alias!r}: {error}" for alias, error in errors.items()))
        self.errors = errors
        self.plans = plans

    @property
    def without_values(self) -> str:
        words = {alias: getattr(error, "without_values", error) for alias, error in self.errors.items()}
        return "\n".join(f"Database {alias!r}: {text}" for alias, text in words.items())


class TargetsFailed(AutomigrateError):
    """Some of many targets failed or were refused; the work on the others was done, as far as `report` shows.

    `report` is the `FleetReport` of the run.
    """

    def __init__(self, report: FleetReport) -> None:
        reasons = (f"{', '.join(names)}: {reason}" for reason, names in report.reasons().items())
        super().__init__("\n".join(reasons))
        self.report = report
