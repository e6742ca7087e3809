"""Packages that give each tenant a schema of its own: their tenants, and how their engines change to one.

Neither package is a dependency; each function is reached only where the project has it installed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("automigrate_ext")

DJANGO_TENANTS, DJANGO_PGSCHEMAS = "django_tenants", "django_pgschemas"
#: The setting of django-pgschemas.
TENANTS = "TENANTS"
#: The schema that all others of django-pgschemas share.
PUBLIC = "public"
#: What the kinds of targets begin with that are types of tenants.
TYPE = "type "


def targets(*, strict: bool = False) -> list[dict[str, Any]] | None:
    """Return the tenants of the package that the project has, as fields of `Target`; None where it has none.

    Where the public schema has to be updated before its tenants can be listed, it stands there alone, and a warning is
    logged; with `strict` that raises the server's `DatabaseError`.
    """
    if apps.is_installed(DJANGO_TENANTS):
        public, tenants = target_of_django_tenants(public_of_django_tenants()), tenants_of_django_tenants
    elif apps.is_installed(DJANGO_PGSCHEMAS):
        public, tenants = target_of_django_pgschemas(PUBLIC), schemas_of_django_pgschemas
    else:
        return None
    try:
        return [public, *tenants()]
    except DatabaseError as error:
        if strict:
            raise
        logger.warning("Tenants cannot be listed before schema %s is updated: %s", public["schema"], error)
        return [public]


def public_of_django_tenants() -> str:
    """Return the name of the schema that the tenants of django-tenants share."""
    return str(import_module("django_tenants.utils").get_public_schema_name())


def target_of_django_tenants(schema: str, tenant_type: str = "", alias: str = "") -> dict[str, Any]:
    """Return the public schema of django-tenants, or a tenant of this type, as fields of `Target`."""
    public = public_of_django_tenants()
    extra = tuple(getattr(settings, "PG_EXTRA_SEARCH_PATHS", ()))
    is_public = schema == public
    return {
        "name": schema,
        "alias": alias or import_module("django_tenants.utils").get_tenant_database_alias(),
        "schema": schema,
        "path": extra if is_public else (public, *extra),
        "kind": f"{TYPE}{tenant_type}" if tenant_type and not is_public else "public" if is_public else "tenant",
        "group": "public" if is_public else "tenants",
        "shared": is_public,
    }


def tenants_of_django_tenants() -> list[dict[str, Any]]:
    """Return the tenants of django-tenants, in the order in which its own command takes them."""
    utils = import_module("django_tenants.utils")
    public, order, model = public_of_django_tenants(), utils.get_tenant_migration_order(), utils.get_tenant_model()
    connection: Any = connections[utils.get_tenant_database_alias()]
    typed = [utils.get_multi_type_database_field_name()] if utils.has_multi_type_tenants() else []
    with transaction.atomic(using=connection.alias), entered_tenant(connection, public, "public"):
        if not has_table(model, connection):
            return []
        rows = model._default_manager.using(connection.alias).exclude(schema_name=public)
        rows = rows.order_by(*order) if order else rows.order_by("schema_name")
        return [target_of_django_tenants(*row) for row in rows.values_list("schema_name", *typed)]


def target_of_django_pgschemas(schema: str) -> dict[str, Any]:
    """Return a schema of django-pgschemas as fields of `Target`."""
    utils = import_module("django_pgschemas.utils")
    extra = tuple(getattr(settings, "PGSCHEMAS_EXTRA_SEARCH_PATHS", ()))
    is_static = schema in getattr(settings, TENANTS)
    is_public = schema == PUBLIC
    group = "public" if is_public else "static" if is_static or schema == utils.get_clone_reference() else "tenants"
    return {
        "name": schema,
        "alias": utils.get_tenant_database_alias(),
        "schema": schema,
        "path": extra if is_public else (PUBLIC, *extra),
        "kind": schema if is_static else "tenant",
        "group": group,
        "shared": is_public,
    }


def schemas_of_django_pgschemas() -> list[dict[str, Any]]:
    """Return the static schemas of django-pgschemas but public, its reference for clones, and its tenants."""
    utils = import_module("django_pgschemas.utils")
    names = [name for name in getattr(settings, TENANTS) if name not in (PUBLIC, "default")]
    if reference := utils.get_clone_reference():
        names.append(reference)
    model = utils.get_tenant_model()
    connection = connections[utils.get_tenant_database_alias()]
    with transaction.atomic(using=connection.alias), entered_schema(PUBLIC):
        if model is not None and has_table(model, connection):
            rows = model._default_manager.using(connection.alias).order_by("schema_name")
            names += rows.values_list("schema_name", flat=True)
    return [target_of_django_pgschemas(name) for name in names]


def has_table(model: Any, connection: BaseDatabaseWrapper) -> bool:
    """Return whether the table of the tenants is there: before the first run for the public schema it is not."""
    with connection.cursor() as cursor:
        return model._meta.db_table in connection.introspection.table_names(cursor)


def entered(connection: BaseDatabaseWrapper, schema: str, kind: str) -> AbstractContextManager[None] | None:
    """Return the context in which an engine of these packages works in a schema; None for any other engine."""
    if any(kind.__module__.startswith(f"{DJANGO_PGSCHEMAS}.") for kind in type(connection).__mro__):
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
    before, include_public = connection.tenant, connection.include_public_schema
    connection.set_schema(schema, tenant_type=kind.removeprefix(TYPE) if kind.startswith(TYPE) else None)
    try:
        yield
    finally:
        connection.set_tenant(before, include_public)
