"""Hints at renames: the attribute `former_names` of a model, and the setting AUTOMIGRATE["RENAMES"].

Every `check` of a project loads this module, so that it imports nothing of what compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.apps import apps as global_apps
from django.apps.registry import Apps
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from automigrate_ext import conf
from automigrate_ext.declared.former_names import ATTRIBUTE, former_names, names_at
from automigrate_ext.declared.selection import models_of
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.renames.request import RenameRequest, own_fields, quoted


def requests(models: Iterable[type[Model]]) -> list[RenameRequest]:
    """Return the renames that the setting and the models hint at, those of the setting first."""
    by_setting = [RenameRequest(old=old, new=new, hint=setting_label(old)) for old, new in conf.renames().items()]
    return [*by_setting, *(request for model in models for request in requests_of(model))]


def setting_label(old: str) -> str:
    """Return the name of a hint of the setting in messages."""
    return f'The hint {quoted(old)} in AUTOMIGRATE["RENAMES"]'


def requests_of(model: type[Model]) -> Iterator[RenameRequest]:
    """Yield the renames that a model hints at."""
    label, fields = model._meta.label, own_fields(model)
    for key, value in former_names(model).items():
        names = as_names(value, is_model=key not in fields)
        written = ", ".join(map(quoted, names))
        for name in names:
            if key in fields:
                yield RenameRequest(old=f"{label}.{name}", new=str(key), hint=f"The hint {written} for {label}.{key}")
            elif key == model._meta.object_name:
                old = name if "." in name else f"{model._meta.app_label}.{name}"
                yield RenameRequest(old=old, new=label, hint=f"The hint {written} for {label}")


def as_names(value: object, *, is_model: bool = False) -> tuple[str, ...]:
    """Return one former name or several, newest first; none where the value is malformed.

    Those of a model may be labels, where it was in another app.
    """
    names = value if isinstance(value, (tuple, list)) else (value,)
    return tuple(names) if names and all(is_name(name, is_model=is_model) for name in names) else ()


def is_name(value: object, *, is_model: bool) -> bool:
    """Return whether a value is a name, or for a model a label: "Author" or "books.Author"."""
    if not isinstance(value, str):
        return False
    parts = value.split(".")
    return len(parts) <= (2 if is_model else 1) and all(part.isidentifier() for part in parts)


# Problems of hints


def problems_of(model: type[Model]) -> Iterator[str]:
    """Yield the problems of a model's hints, one sentence each."""
    where = f"{model._meta.label}.{ATTRIBUTE}"
    value = vars(model).get(ATTRIBUTE)
    if not (value is None or isinstance(value, Mapping) or hasattr(value, "__get__")):
        yield f"{where} has to be a dictionary of new names and former ones, and is {value!r}."
    for key in names_at(model) or ():
        if key != model._meta.object_name and key not in own_fields(model):
            yield f"{where}: {key!r} is neither the model's name nor a field of its own table{owner_note(model, key)}."
    fields = own_fields(model)
    for key, former in former_names(model).items():
        names = as_names(former, is_model=key not in fields)
        if not names:
            yield f"{where}: {key!r}: {former!r} is no former name, nor a tuple of such names."
        elif key in names or (key not in fields and model._meta.label in names):
            yield f"{where}: {key!r} has its own name as a former one."


def owner_note(model: type[Model], key: Any) -> str:
    """Return a hint at the model that an inherited field belongs to, or "" for a field of the model itself."""
    owner = next((field.model for field in model._meta.fields if field.name == key), model)
    return "" if owner is model else f"; it belongs to {owner._meta.label}"


def setting_problems() -> Iterator[str]:
    """Yield the problems of the setting, one sentence each."""
    yield from conf.problems()
    if conf.renames():
        yield from rename_problems()


def rename_problems() -> Iterator[str]:
    """Yield the problems of the well-formed renames in the setting, one sentence each."""
    # Few projects have any, and much of what compares comes along.
    from automigrate_ext.renames.requested import Renames

    models = models_of(global_apps)
    for request in (RenameRequest(old=old, new=new, hint=setting_label(old)) for old, new in conf.renames().items()):
        others = [other for other in by_model(conf.renames()) if other.old != request.old]
        try:
            renames = Renames(requests=[*others, request], models=models, all_models=models, alias=DEFAULT_DB_ALIAS)
        except AutomigrateError as error:
            yield str(error)
        else:
            if request in renames.unknown:
                yield f"{request.hint}: no such model, field, table or column. New names are those of the models."


def by_model(renames: Mapping[str, str]) -> list[RenameRequest]:
    """Return the renames of models among those of the setting: a field may be named by its model's old name."""
    return [
        RenameRequest(old=old, new=new, hint=setting_label(old)) for old, new in renames.items() if old.count(".") == 1
    ]


def forbid_malformed(models: Iterable[type[Model]], apps: Apps) -> None:
    """Raise `AutomigrateError` with all problems of the hints."""
    problems = [problem for model in models for problem in problems_of(model)]
    problems += setting_problems() if apps is global_apps else conf.problems()
    if problems:
        raise AutomigrateError(" ".join([*problems, "Nothing was done."]))
