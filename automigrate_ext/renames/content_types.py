"""Rename content types and permissions along with a model, so that references to them stay valid.

A content type goes by its app and its model, so that one of a model that moved to another app gets both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import apps as global_apps
from django.db.models import Model

from automigrate_ext.renames.requested import RenamedModel
from automigrate_ext.schema.order import in_order


def rename_content_types(renamed: Iterable[RenamedModel], alias: str, apps: Any) -> None:
    """Rename the content types of renamed models, and their permissions, so that generic relations stay valid."""
    content_type = model_or_none(apps, "contenttypes", "ContentType")
    if content_type is None:
        return
    renames = list(renamed)
    labels = {label for rename in renames for label in (rename.old_app, rename.model._meta.app_label)}
    types = content_type._default_manager.using(alias).filter(app_label__in=labels)
    rename_types(types, renames, model_or_none(apps, "auth", "Permission"), alias)
    for model in (content_type, model_or_none(global_apps, "contenttypes", "ContentType")):
        if hasattr(model, "objects"):
            model.objects.clear_cache()


def model_or_none(apps: Any, app_label: str, name: str) -> Any:
    """Return a model of a registry, or None where the registry does not have it."""
    try:
        return apps.get_model(app_label, name)
    except LookupError:
        return None


def rename_types(types: Any, renames: Sequence[RenamedModel], permission: Any, alias: str) -> None:
    """Rename content types, which are named "app.model" here, and the permissions on them."""
    keys = {f"{app_label}.{model}": pk for app_label, model, pk in types.values_list("app_label", "model", "pk")}
    models: dict[str, type[Model]] = {}
    for rename in renames:
        old = type_name(rename)
        if old in keys and rename.model not in models.values():
            models.setdefault(old, rename.model)
    moves = {old: model._meta.label_lower for old, model in models.items()}
    swaps = {type_name(rename) for rename in renames if not rename.is_hint}
    steps = in_order(moves, keys, swaps=swaps)
    for old, new in steps:
        (app_label, model), (new_app_label, new_model) = old.split("."), new.split(".")
        types.filter(app_label=app_label, model=model).update(app_label=new_app_label, model=new_model)
    done = {old for old, _ in steps} & set(models)
    for old in done if permission is not None else ():
        permissions = permission._default_manager.using(alias).filter(content_type_id=keys[old])
        rename_permissions(permissions, old.partition(".")[2], models[old])


def type_name(rename: RenamedModel) -> str:
    """Return the old name of a model's content type."""
    return f"{rename.old_app}.{rename.old_name.lower()}"


def rename_permissions(permissions: Any, old: str, model: type[Model]) -> None:
    """Rename a model's default permissions after the model's new name, unless such permissions exist already.

    Source of the names: django/contrib/auth/management/__init__.py, `_get_builtin_permissions`.
    """
    opts = model._meta
    existing = set(permissions.values_list("codename", flat=True))
    for action in opts.default_permissions:
        codename, new = f"{action}_{old}", f"{action}_{opts.model_name}"
        if codename in existing and new not in existing:
            permissions.filter(codename=codename).update(codename=new, name=f"Can {action} {opts.verbose_name_raw}")
