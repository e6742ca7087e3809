"""Several databases in one call: each is run by itself, and some are left alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.db import connections
from django.db.utils import Error

from automigrate_ext.backends import backend_for
from automigrate_ext.declared.selection import Selection
from automigrate_ext.exceptions import AutomigrateError, DatabasesFailed

T = TypeVar("T")


def on_each(selections: Mapping[str, Selection], work: Callable[[Selection], T]) -> dict[str, T]:
    """Do the work for each database, and return the results. Raises `DatabasesFailed` after all, if any failed."""
    results: dict[str, T] = {}
    errors: dict[str, Exception] = {}
    for alias, selection in selections.items():
        try:
            results[alias] = work(selection)
        except (AutomigrateError, Error) as error:
            errors[alias] = error
    if errors:
        # A call that succeeds need not make a plan.
        from automigrate_ext.plan.plan import Plan, Plans

        raise DatabasesFailed(errors, Plans(plan for plan in results.values() if isinstance(plan, Plan)))
    return results


# All databases


def set_aside() -> dict[str, str]:
    """Return the aliases that their settings exclude from runs, with the reasons."""
    reasons = {alias: why_set_aside(connections[alias].settings_dict) for alias in connections}
    return {alias: reason for alias, reason in reasons.items() if reason}


def why_set_aside(settings: Mapping[str, Any]) -> str:
    """Return the reason to exclude a database with these settings: it is a replica, or none at all. Otherwise ""."""
    if settings["TEST"]["MIRROR"]:
        return f"it mirrors {settings['TEST']['MIRROR']!r} (TEST: MIRROR)"
    return "its settings name no database" if settings["ENGINE"] == "django.db.backends.dummy" else ""


def why_left_alone(selection: Selection) -> str:
    """Return the reason to leave a database alone that was not named itself, or "" where there is none.

    Reasons are that no model of the run belongs there, and that the database is read-only.
    """
    if selection.twin and not selection.models:
        return f"it is the same database as {selection.twin!r}"
    if not selection.models:
        return "the routers let none of the models in" if selection.everything else "none of the models belongs there"
    return backend_for(selection.alias).session.why_read_only()
