"""Play a case of `migrateschema`, the command of django-pgschemas, in the project of the working directory."""

import os
import sys
from io import StringIO
from unittest import mock

import django

sys.path.insert(0, os.getcwd())
os.environ["DJANGO_SETTINGS_MODULE"] = "project"
django.setup()

from customers.models import Client  # noqa: E402
from django.contrib.contenttypes.models import ContentType  # noqa: E402
from django.core.management import CommandError, call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django_pgschemas.schema import Schema, get_current_schema, push  # noqa: E402
from django_pgschemas.utils import create_schema, drop_schema, schema_exists  # noqa: E402

from automigrate_ext import autoupdate, is_actual  # noqa: E402
from automigrate_ext.fleet.recipe import LeadUpdate  # noqa: E402
from automigrate_ext.fleet.targets import project_targets  # noqa: E402

TABLES = "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%s) AND relkind = 'r'"
COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
WHERE table_schema = %s ORDER BY 1, 2
"""


def query(sql: str, schema: str) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, [schema])
        return cursor.fetchall()


def tables(schema: str) -> set[object]:
    return {name for (name,) in query(TABLES, schema)}


def kinds(schema: str) -> list[str]:
    with Schema.create(schema):
        return [f"{kind.app_label}.{kind.model}" for kind in ContentType.objects.order_by("pk")]


def actual(schema: str) -> bool:
    with Schema.create(schema):
        return is_actual()


def migrate(**options: object) -> str:
    """Call the command; return what it prints. The connection has to be where it was, whatever happens."""
    before = get_current_schema()
    printed = StringIO()
    try:
        call_command("migrateschema", stdout=printed, **options)
    finally:
        assert get_current_schema() is before
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_schema()")
            assert cursor.fetchone() == (before.schema_name,)
    return printed.getvalue()


# Cases


def everything() -> None:
    """All schemas are made, public first: static ones, the reference for clones and tenants, each with its apps."""
    printed = migrate()
    for name in ("public", "www", "sample"):
        assert f"[autoupdate:{name}] changed, " in printed and actual(name), printed
    assert printed.index("public") < printed.index("www")
    Client(schema_name="acme").save(verbosity=0)
    assert actual("acme") and not tables("acme") & {"django_migrations", "customers_client"}
    with mock.patch.object(LeadUpdate, "run", side_effect=AssertionError("compiled again")):
        Client(schema_name="beta").save(verbosity=0)
        Client.objects.bulk_create([Client(schema_name="gamma")])
        create_schema("gamma", verbosity=0)
    assert query(COLUMNS, "acme") == query(COLUMNS, "beta") == query(COLUMNS, "gamma") == query(COLUMNS, "sample")
    assert kinds("acme") == kinds("beta") and "shop.thing" in kinds("beta"), kinds("beta")
    assert "shop_thing" in tables("acme") and "shop_thing" not in tables("public")
    assert "auth_permission" not in tables("www") and "shop_thing" in tables("www")
    assert migrate().count("matches the models") == 6
    assert migrate(schemas=["beta"]) == "[autoupdate:beta] matches the models\n"
    assert migrate(static_schemas=True, excluded_schemas=["public"], verbosity=0) == ""
    assert [target.name for target in project_targets()] == ["public", "www", "sample", "acme", "beta", "gamma"]


def changed() -> None:
    """One tenant is refused by its rows, others have no schema, or no more: the others are done."""
    drop_schema("gamma")
    Client.objects.bulk_create([Client(schema_name="delta")])
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO beta.shop_thing (name) VALUES ('a thing')")
    before = query(COLUMNS, "beta")
    assert not is_actual(targets=True)
    try:
        migrate(check_unapplied=True, skip_schema_creation=True, verbosity=0)
    except SystemExit as stopped:
        assert stopped.code == 1
    except CommandError as error:
        assert "beta: " in str(error), error
    else:
        raise AssertionError("no difference")
    token = push(Schema.create("acme"))
    try:
        migrate(skip_schema_creation=True)
    except CommandError as error:
        assert "beta: " in str(error) and "shop.Thing.size" in str(error) and "acme" not in str(error), error
    else:
        raise AssertionError("not refused")
    finally:
        assert get_current_schema().schema_name == "acme" and token is not None
    assert query(COLUMNS, "beta") == before and not schema_exists("delta") and not schema_exists("gamma")
    for name in ("public", "www", "sample", "acme"):
        assert actual(name), name
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM beta.shop_thing")
    report = autoupdate(targets=True)
    assert report.names("absent") == ["delta", "gamma"] and report.names("changed") == ["beta"], report
    migrate(verbosity=0)
    assert actual("delta") and is_actual(targets=True)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
