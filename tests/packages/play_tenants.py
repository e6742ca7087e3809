"""Play one half of a project of tenants in the working directory: before the change of its models, or after it.

Each tenant has a schema, and public is in its search path too. Apps of both have tables in each of them.
"""

import os
import sys
from contextlib import AbstractContextManager, nullcontext

import django

sys.path.insert(0, os.getcwd())
os.environ["DJANGO_SETTINGS_MODULE"] = "project"
django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import Permission  # noqa: E402
from django.contrib.contenttypes.models import ContentType  # noqa: E402
from django.core.management import call_command, execute_from_command_line  # noqa: E402
from django.db import connection  # noqa: E402
from shop.models import Thing  # noqa: E402

from automigrate_ext import automigrate, autoupdate, is_actual, make_plan  # noqa: E402

TENANTS = ("acme", "beta")
SHARED = {"auth_permission", "automigrate_ext_owned", "customers_client", "django_content_type"}
OWN = {"auth_permission", "automigrate_ext_owned", "django_content_type", "shop_thing"}
#: Everything in a schema, so that any change of it shows.
OBJECTS = """
SELECT c.oid, c.relname, c.relfilenode, (SELECT string_agg(a::text, ',') FROM pg_attribute a WHERE a.attrelid = c.oid)
FROM pg_class c WHERE c.relnamespace = to_regnamespace(%s) ORDER BY 1
"""
KEYS = """
SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint
WHERE contype = 'f' AND connamespace = to_regnamespace(%s)
"""


def inside(schema: str) -> AbstractContextManager[object]:
    """Let the search path begin with a schema while the block runs, as the package does it."""
    if "django_tenants" in settings.INSTALLED_APPS:
        from django_tenants.utils import schema_context

        return schema_context(schema)
    from django_pgschemas.schema import Schema, override

    return override(Schema.create(schema)) if schema != "public" else nullcontext()


def query(sql: str, schema: str) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, [schema])
        return cursor.fetchall()


def state(schema: str) -> list[object]:
    """Return what is in a schema, its rows included."""
    with inside(schema), connection.cursor() as cursor:
        tables = [row[1] for row in query(OBJECTS, schema) if str(row[1]) in SHARED | OWN]
        rows = []
        for table in tables:
            cursor.execute(f'SELECT * FROM "{schema}"."{table}" ORDER BY 1')
            rows.append(cursor.fetchall())
        return [query(OBJECTS, schema), rows]


def run(schema: str) -> bool:
    """Bring one schema up to date; return whether there was anything to do. Nothing else may have changed."""
    others = [other for other in ("public", *TENANTS) if other != schema]
    before = [state(other) for other in others]
    with inside(schema):
        plan = make_plan()
        assert is_actual() != bool(plan)
        assert bool(autoupdate()) == bool(plan), plan.sql()
        assert not make_plan() and is_actual()
    assert [state(other) for other in others] == before
    return bool(plan)


def tables(schema: str) -> set[object]:
    return {row[1] for row in query(OBJECTS, schema)}


def first_half() -> None:
    with connection.cursor() as cursor:
        for schema in TENANTS:
            cursor.execute(f"CREATE SCHEMA {schema}")
    assert run("public")
    assert tables("public") >= SHARED and "shop_thing" not in tables("public")
    from customers.models import Client

    Client.objects.bulk_create([Client(schema_name=schema) for schema in TENANTS])
    for schema in TENANTS:
        assert run(schema)
        assert tables(schema) >= OWN and "customers_client" not in tables(schema)
        with inside(schema):
            assert not autoupdate()
            keys = dict(query(KEYS, schema))
            assert keys["auth_permission"] == "django_content_type" and keys["shop_thing"] == "customers_client"
            assert ContentType.objects.get(model="thing").app_label == "shop"
            assert Permission.objects.filter(codename="add_thing").count() == 1
            Thing.objects.create(name=f"of {schema}", client=Client.objects.get(schema_name=schema))
    assert not run("public")
    migrated()


def migrated() -> None:
    """Check a tenant that the package has migrated: its tables match the models of the apps that have migrations."""
    from customers.models import Client

    Client.objects.create(schema_name="gamma")
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA gamma")
    if "django_tenants" in settings.INSTALLED_APPS:
        call_command("migrate_schemas", schema_name="gamma", verbosity=0)
    else:
        call_command("migrateschema", schemas=["gamma"], verbosity=0)
    assert tables("gamma") >= {"auth_permission", "django_content_type", "django_migrations"}
    with inside("gamma"):
        plan = make_plan(["auth", "contenttypes", "sessions"])
        assert not plan, plan.sql()
    run("gamma")


def second_half() -> None:
    assert not run("public")
    for schema in TENANTS:
        assert run(schema)
        with inside(schema):
            assert [(thing.name, thing.size) for thing in Thing.objects.all()] == [(f"of {schema}", 3)]
    wrapper = "tenant_command" if "django_tenants" in settings.INSTALLED_APPS else "runschema"
    execute_from_command_line(["manage.py", wrapper, "autoupdate", "--check", "--schema", "beta"])
    connection.close()
    with inside("acme"):
        trace = [state("public"), state("beta")]
        automigrate(cascade=True)
        assert not Thing.objects.all()
        assert [state("public"), state("beta")] == trace


if __name__ == "__main__":
    {"before": first_half, "after": second_half}[sys.argv[1]]()
