"""Play a case of `migrate_schemas`, the command of django-tenants, in the project of the working directory."""

import os
import sys
from contextlib import suppress
from io import StringIO
from unittest import mock

import django

sys.path.insert(0, os.getcwd())
os.environ["DJANGO_SETTINGS_MODULE"] = "project"
django.setup()

from customers.models import Client  # noqa: E402
from django.contrib.auth.models import Permission  # noqa: E402
from django.contrib.contenttypes.models import ContentType  # noqa: E402
from django.core.management import CommandError, call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django_tenants.signals import schema_migrated, schema_pre_migration  # noqa: E402
from django_tenants.utils import schema_context, schema_exists  # noqa: E402

from automigrate_ext import AutomigrateError, autoupdate, is_actual  # noqa: E402
from automigrate_ext.exceptions import TargetsFailed  # noqa: E402
from automigrate_ext.fleet.recipe import LeadUpdate  # noqa: E402
from automigrate_ext.fleet.targets import project_targets  # noqa: E402
from automigrate_ext.tenants.recipes import RECIPES_HERE  # noqa: E402

OBJECTS = """
SELECT c.relname, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       (SELECT string_agg(pg_get_constraintdef(k.oid), '; ' ORDER BY k.conname) FROM pg_constraint k
        WHERE conrelid = c.oid)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = to_regnamespace(%s) ORDER BY c.relname, a.attnum
"""
TABLES = "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%s) AND relkind = 'r'"


def query(sql: str, schema: str) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, [schema])
        return cursor.fetchall()


def objects(schema: str) -> list[object]:
    """Return what is in a schema, without its name."""
    return [tuple(str(value).replace(f"{schema}.", "") for value in row) for row in query(OBJECTS, schema)]


def tables(schema: str) -> set[object]:
    return {name for (name,) in query(TABLES, schema)}


def written(schema: str) -> list[list[object]]:
    """Return the rows that receivers have written into a schema."""
    with schema_context(schema):
        kinds = ContentType.objects.order_by("pk").values_list()
        return [list(kinds), list(Permission.objects.order_by("pk").values_list())]


def actual(schema: str, tenant_type: str | None = None) -> bool:
    with schema_context("public"):
        connection.set_schema(schema, tenant_type=tenant_type)
        return is_actual()


def migrate(**options: object) -> str:
    """Call the command; return what it prints. The connection has to be where it was, whatever happens."""
    before = connection.schema_name
    with mock.patch("sys.stdout", StringIO()) as printed:
        try:
            call_command("migrate_schemas", **options)
        finally:
            assert connection.schema_name == before
            with connection.cursor() as cursor:
                cursor.execute("SELECT current_schema()")
                assert cursor.fetchone() == (before,)
    return printed.getvalue()


def make(*schemas: str) -> None:
    """Make the public schema, and tenants by saving them."""
    migrate(verbosity=0)
    for schema in schemas:
        Client(schema_name=schema).save(verbosity=0)


# Cases


def everything() -> None:
    """The public schema comes first, all tenants follow, signals are sent for each, and a second run does nothing."""
    told: list[str] = []
    before = schema_pre_migration.connect(lambda schema_name, **_: told.append(f"before {schema_name}"), weak=False)
    after = schema_migrated.connect(lambda schema_name, **_: told.append(f"after {schema_name}"), weak=False)
    assert before is after is None
    first = migrate()
    assert told == ["before public", "after public"], told
    assert "[autoupdate:public] changed, " in first, first
    assert tables("public") >= {"customers_client", "django_content_type"} and "shop_thing" not in tables("public")
    Client.objects.bulk_create([Client(schema_name=schema) for schema in ("beta", "acme", "gone")])
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA acme; CREATE SCHEMA beta")
    told.clear()
    second = migrate()
    assert "[autoupdate:gone] there is no such schema: passed over" in second, second
    both = [words for name in ("beta", "acme") for words in (f"before {name}", f"after {name}")]
    assert sorted(told) == sorted(["before public", "after public", *both]), told
    assert [word for word in told if "acme" in word] == ["before acme", "after acme"]
    for schema in ("acme", "beta"):
        assert tables(schema) >= {"shop_thing", "auth_permission"}, tables(schema)
        assert not tables(schema) & {"customers_client", "django_migrations"}
        assert actual(schema)
    assert objects("acme") == objects("beta") and not schema_exists("gone")
    third = migrate()
    assert third.count("matches the models") == 3, third
    assert migrate(verbosity=0) == ""
    named = migrate(schema_name="acme")
    assert named == "[autoupdate:acme] matches the models\n", named


def saved() -> None:
    """A tenant that is saved gets its tables from the models; from the second on they are not compiled again."""
    make("acme")
    assert actual("acme") and "django_migrations" not in tables("acme")
    with mock.patch.object(LeadUpdate, "run", side_effect=AssertionError("compiled again")):
        Client(schema_name="beta").save(verbosity=0)
    assert objects("beta") == objects("acme") and actual("beta")
    assert written("acme") == written("beta") and len(written("beta")[1]) > 20
    with schema_context("beta"):
        assert ContentType.objects.get(model="thing").app_label == "shop"
        assert Permission.objects.filter(codename="add_thing", content_type__model="thing").count() == 1
        assert ContentType.objects.create(app_label="shop", model="more").pk == ContentType.objects.count()
    assert "matches" in migrate(schema_name="beta")
    # What is kept is of use for schemas that were found alike, and for no others.
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA odd; CREATE TABLE odd.shop_thing (id integer)")
    Client.objects.bulk_create([Client(schema_name="odd")])
    assert "[autoupdate:odd] changed, " in migrate(schema_name="odd") and actual("odd")
    with transaction.atomic():
        Client(schema_name="inside").save(verbosity=0)
    assert actual("inside") and objects("inside") == objects("acme")
    with suppress(ZeroDivisionError), transaction.atomic():
        Client(schema_name="undone").save(verbosity=0)
        raise ZeroDivisionError
    assert not schema_exists("undone") and "[autoupdate:acme] matches" in migrate()
    for number in range(20):
        RECIPES_HERE.keep(str(number), next(iter(RECIPES_HERE.kept.values())))
    assert len(RECIPES_HERE.kept) == RECIPES_HERE.size == 16 and RECIPES_HERE.find("19") and not RECIPES_HERE.find("1")


def spoilt() -> None:
    """A recipe that does not lead to what it led to is not trusted: the tenant has a run of its own."""
    make("acme")
    ((key, recipe),) = ((key, recipe) for key, recipe in RECIPES_HERE.kept.items() if "shop_thing" in recipe.seal)
    shorter = {name: getattr(recipe, name) for name in recipe.__slots__}
    shorter["statements"] = tuple(sql for sql in recipe.statements if "INDEX" not in sql)
    assert len(shorter["statements"]) < len(recipe.statements)
    RECIPES_HERE.keep(key, type(recipe)(**shorter))
    Client(schema_name="beta").save(verbosity=0)
    assert objects("beta") == objects("acme") and actual("beta")
    shorter["statements"] = ("CREATE TABLE oh no",)
    RECIPES_HERE.keep(key, type(recipe)(**shorter))
    Client(schema_name="gamma").save(verbosity=0)
    assert objects("gamma") == objects("acme") and actual("gamma")


def commanded() -> None:
    """The base command does the same in one schema, for the executors of django-tenants."""
    migrate(verbosity=0)
    Client(schema_name="acme").save(verbosity=0)
    assert tables("acme") >= {"shop_thing", "auth_permission"} and actual("acme") and actual("public")
    printed = migrate()
    assert "public" in printed and "matches the models" in printed, printed


def forbidden() -> None:
    """What is asked of migrations is an error, and nothing is done."""
    for options in ({"fake": True}, {"app_label": "shop", "migration_name": "0001"}, {"prune": True}):
        try:
            call_command("migrate_schemas", verbosity=0, **options)
        except CommandError as error:
            assert "leave out" in str(error) and error.returncode == 2, error
        else:
            raise AssertionError(options)
    assert not tables("public") - {"django_migrations"}, tables("public")


def rows() -> None:
    """Make tenants, of which one has rows."""
    make("acme", "beta", "gamma")
    with schema_context("beta"):
        from shop.models import Thing

        Thing.objects.create(name="a thing")


def refused() -> None:
    """One tenant whose rows do not allow a change is refused and stays as it was; the others are done."""
    before = objects("beta")
    with schema_context("beta"):
        try:
            migrate(verbosity=0)
        except CommandError as error:
            assert "beta: " in str(error) and "shop.Thing.size" in str(error), error
            assert isinstance(error.__cause__, TargetsFailed) and error.returncode == 2
            assert error.__cause__.report.failed == ["beta"]
        else:
            raise AssertionError("not refused")
        assert connection.tenant.schema_name == "beta"
    assert objects("beta") == before and actual("acme") and actual("gamma") and not actual("beta")
    # A new tenant that cannot be made leaves nothing, as with migrations.
    with mock.patch.object(RECIPES_HERE, "find", return_value=None), mock.patch.object(LeadUpdate, "run") as run:
        run.side_effect = AutomigrateError("no")
        try:
            Client(schema_name="delta").save(verbosity=0)
        except CommandError as error:
            assert "delta: no" in str(error), error
        else:
            raise AssertionError("made")
    assert not schema_exists("delta") and not Client.objects.filter(schema_name="delta")


def looks() -> None:
    """--plan and --check change nothing; the latter has the exit status of a difference."""
    before = [objects(schema) for schema in ("public", "acme", "beta")]
    printed = migrate(plan=True)
    assert "2 schemas, such as acme:" in printed and "size" in printed and "differs, 1 change" in printed, printed
    try:
        migrate(check_unapplied=True, tenant=True, verbosity=0)
    except SystemExit as stopped:
        assert stopped.code == 1
    else:
        raise AssertionError("no difference")
    assert [objects(schema) for schema in ("public", "acme", "beta")] == before
    migrate(verbosity=0)
    migrate(check_unapplied=True, verbosity=0)
    assert actual("acme") and actual("beta")


def dropped() -> None:
    """Somebody drops a schema just before its turn: the others are done, and nothing is made elsewhere for it."""
    before = objects("public")

    def drop(schema_name: str, **options: object) -> None:
        if schema_name == "beta":
            with connection.cursor() as cursor:
                cursor.execute("DROP SCHEMA beta CASCADE")

    schema_pre_migration.connect(drop)
    try:
        migrate()
    except CommandError as error:
        assert "beta: Schema 'beta' of database 'default' is not there" in str(error), error
    else:
        raise AssertionError("done without a schema")
    assert not schema_exists("beta")
    assert actual("acme") and actual("gamma") and objects("public") == before
    schema_pre_migration.disconnect(drop)
    assert "[autoupdate:beta] there is no such schema: passed over" in migrate()
    call_command("create_missing_schemas", stdout=StringIO())
    assert actual("beta") and objects("beta") == objects("acme")


def two() -> None:
    make("acme", "beta")


def public_first() -> None:
    """An error in the public schema keeps the tenants untouched."""
    make("acme", "beta")
    from customers.models import Note

    Note.objects.create()


def public_failed() -> None:
    before = [objects(schema) for schema in ("public", "acme", "beta")]
    try:
        migrate(verbosity=0)
    except CommandError as error:
        assert "public: " in str(error), error
    else:
        raise AssertionError("not refused")
    assert [objects(schema) for schema in ("public", "acme", "beta")] == before


def types() -> None:
    """Tenants have the apps of their types; one of the types is called as the kind of tenants without types is."""
    migrate(verbosity=0)
    for schema, kind in (("acme", "tenant"), ("beta", "small"), ("gamma", "tenant")):
        Client(schema_name=schema, type=kind).save(verbosity=0)
    for schema, kind in (("acme", "tenant"), ("beta", "small"), ("gamma", "tenant")):
        assert ("shop_thing" in tables(schema)) == (kind == "tenant"), (schema, tables(schema))
        assert "django_content_type" in tables(schema) and actual(schema, kind)
    assert migrate().count("matches the models") == 4


def keys() -> None:
    """Two tenants have content types with other keys: what receivers write for a new model refers to the right ones."""
    make("acme", "beta")
    with schema_context("beta"), connection.cursor() as cursor:
        cursor.execute("SELECT setval(pg_get_serial_sequence('django_content_type', 'id'), 5000)")


def keys_after() -> None:
    migrate(verbosity=0)
    found = {}
    for schema in ("acme", "beta"):
        with schema_context(schema):
            kind = ContentType.objects.get_by_natural_key("shop", "other")
            found[schema] = kind.pk
            permission = Permission.objects.get(codename="add_other")
            assert permission.content_type_id == kind.pk and permission.content_type.model == "other"
    assert found["beta"] > 5000 > found["acme"], found


def cloned() -> None:
    """A tenant made as a clone of another one is brought up to date."""
    Client(schema_name="template").save(verbosity=0)
    assert actual("template")


def cloned_after() -> None:
    Client(schema_name="clone").save(verbosity=0)
    assert actual("clone") and not actual("template")


def listed() -> None:
    """Make two tenants, of which one has no schema, and the targets of the project are known in their order."""
    make("beta", "acme")
    Client.objects.bulk_create([Client(schema_name="gone")])
    with schema_context("acme"):
        assert [target.name for target in project_targets()] == ["public", "acme", "beta", "gone"]
        report = autoupdate(targets=True)
        assert connection.schema_name == "acme"
    assert report.names("matches") == ["public", "acme", "beta"] and report.names("absent") == ["gone"], report


def listed_after() -> None:
    """The order of the tenants depends on a column that the public schema gets first."""
    with mock.patch("logging.Logger.warning") as warning:
        assert [target.name for target in project_targets()] == ["public"]
        assert "rank" in str(warning.call_args), warning.call_args
        assert not is_actual(targets=True)
        report = autoupdate(targets=True)
    assert set(report.outcomes) == {"public", "gone", "beta", "acme"}, report.outcomes
    assert [target.name for target in project_targets()] == ["public", "gone", "acme", "beta"]
    assert actual("acme") and actual("beta") and is_actual(targets=True)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
