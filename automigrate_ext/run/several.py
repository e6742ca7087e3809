"""Several databases in one call: each is run by itself, with those options that concern its models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace as evolve
from typing import Any, TypeVar

from django.db import connections
from django.db.utils import Error

from automigrate_ext.backends import backend_for
from automigrate_ext.declared.selection import Selection
from automigrate_ext.exceptions import AutomigrateError, DatabasesFailed
from automigrate_ext.plan.plan import Plan, Plans
from automigrate_ext.renames.requested import RenameRequest, Renames
from automigrate_ext.run.options import Options

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
        raise DatabasesFailed(errors, Plans(plan for plan in results.values() if isinstance(plan, Plan)))
    return results


def options_for(options: Options, selection: Selection) -> Options:
    """Return the options without renames and one-off values for models of the call's other databases."""
    if not selection.elsewhere:
        return options
    others = evolve(selection, models=selection.elsewhere)
    for_others = unknown_renames(options.renames, selection) - unknown_renames(options.renames, others)
    labels = {model._meta.label_lower for model in selection.models}
    elsewhere = {model._meta.label_lower for model in selection.elsewhere} - labels
    return evolve(
        options,
        renames={old: new for old, new in options.renames.items() if old not in for_others},
        defaults={
            field: value
            for field, value in options.defaults.items()
            if field.rpartition(".")[0].lower() not in elsewhere
        },
    )


def unknown_renames(renames: Mapping[str, str], selection: Selection) -> set[str]:
    """Return the old names of the renames that match nothing in the selected models."""
    # As hints they are collected. The run itself reports a malformed rename of a model that it has.
    requests = [RenameRequest(old=old, new=new, hint=old) for old, new in renames.items()]
    models = selection.models
    try:
        resolved = Renames(requests=requests, models=models, all_models=models, alias=selection.alias)
    except AutomigrateError:
        return set()
    return {request.old for request in resolved.unknown}


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
