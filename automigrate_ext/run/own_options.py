"""The options of a call on several databases that concern the models of one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace as evolve

from automigrate_ext.declared.selection import Selection
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.renames.request import RenameRequest
from automigrate_ext.renames.requested import Renames
from automigrate_ext.run.options import Options


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
