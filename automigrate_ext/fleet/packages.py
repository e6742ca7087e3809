"""Packages that give each tenant a schema of its own: their tenants, and how their engines change to one.

Neither package is a dependency; each function is reached only where the project has it installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

DJANGO_TENANTS, DJANGO_PGSCHEMAS = "django_tenants", "django_pgschemas"
#: The setting of django-pgschemas.
TENANTS = "TENANTS"


def targets() -> list[dict[str, Any]] | None:
    """Return the tenants of the package that the project has, as fields of `Target`; None where it has none."""
    if apps.is_installed(DJANGO_TENANTS):
        return list(tenants_of_django_tenants())
    if apps.is_installed(DJANGO_PGSCHEMAS):
        return list(schemas_of_django_pgschemas())
    return None


def tenants_of_django_tenants() -> Iterator[dict[str, Any]]:
    """Yield the public schema and the tenants of django-tenants, in the order in which its own command takes them."""
    utils = import_module("django_tenants.utils")
    alias, public = utils.get_tenant_database_alias(), utils.get_public_schema_name()
    yield {"name": public, "alias": alias, "schema": public, "path": (), "kind": "public", "group": "public"}
    model = utils.get_tenant_model()
    if not has_table(model, alias):
        return
    order = utils.get_tenant_migration_order()
    rows = model._default_manager.using(alias).exclude(schema_name=public)
    rows = rows.order_by(*order) if order else rows.order_by("schema_name")
    typed = utils.get_multi_type_database_field_name() if utils.has_multi_type_tenants() else None
    columns = ("schema_name", typed) if typed else ("schema_name",)
    for schema, *kind in rows.values_list(*columns).iterator():
        yield {
            "name": schema,
            "alias": alias,
            "schema": schema,
            "path": (public,),
            "kind": kind[0] if kind else "tenant",
            "group": "tenants",
        }


def schemas_of_django_pgschemas() -> Iterator[dict[str, Any]]:
    """Yield the static schemas of django-pgschemas, its reference for clones and its tenants, public first."""
    utils = import_module("django_pgschemas.utils")
    alias = utils.get_tenant_database_alias()
    static = [name for name in getattr(settings, TENANTS) if name != "default"]
    for schema in sorted(static, key=lambda name: name != "public"):
        path = () if schema == "public" else ("public",)
        group = "public" if schema == "public" else "static"
        yield {"name": schema, "alias": alias, "schema": schema, "path": path, "kind": schema, "group": group}
    tenant = {"alias": alias, "path": ("public",), "kind": "tenant"}
    reference = utils.get_clone_reference()
    if reference:
        yield {**tenant, "name": reference, "schema": reference, "group": "static"}
    model = utils.get_tenant_model()
    if model is None or not has_table(model, alias):
        return
    rows = model._default_manager.using(alias).order_by("schema_name")
    for schema in rows.values_list("schema_name", flat=True).iterator():
        yield {**tenant, "name": schema, "schema": schema, "group": "tenants"}


def has_table(model: Any, alias: str) -> bool:
    """Return whether the table of the tenants is there: before the first run for the public schema it is not."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        return model._meta.db_table in connection.introspection.table_names(cursor)


def entered(connection: BaseDatabaseWrapper, schema: str, kind: str) -> AbstractContextManager[None] | None:
    """Return the context in which an engine of these packages works in a schema; None for any other engine."""
    module = type(connection).__module__.partition(".")[0]
    if module == DJANGO_PGSCHEMAS:
        return entered_schema(schema)
    if hasattr(connection, "set_schema") and hasattr(connection, "set_tenant"):
        return entered_tenant(connection, schema, kind)
    return None


@contextmanager
def entered_schema(schema: str) -> Iterator[None]:
    """Let connections of django-pgschemas work in a schema while the block runs."""
    home = import_module("django_pgschemas.schema")
    # Its own override() stays in the schema where the block raises.
    token = home.push(home.Schema.create(schema))
    try:
        yield
    finally:
        if token is not None:
            home.active.reset(token)


@contextmanager
def entered_tenant(connection: Any, schema: str, kind: str) -> Iterator[None]:
    """Let a connection of django-tenants work in a schema while the block runs."""
    before = connection.tenant
    connection.set_schema(schema, tenant_type=kind if kind not in ("public", "tenant") else None)
    try:
        yield
    finally:
        if before is None:
            connection.set_schema_to_public()
        else:
            connection.set_tenant(before)
