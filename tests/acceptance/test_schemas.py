"""Schemas of PostgreSQL: which one a table is in, and what happens to the tables of the others."""

import secrets
from contextlib import contextmanager
from functools import partial

import pytest
from django.db import connections, models, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.signals import post_migrate
from django.test import override_settings
from psycopg.sql import Identifier

from automigrate_ext import (
    DatabasesFailed,
    ExecutionFailed,
    LockNotAvailable,
    ShadowedTable,
    automigrate,
    autoupdate,
    is_actual,
    make_plan,
    managers,
)
from automigrate_ext.api import rows_at_stake
from automigrate_ext.backends.postgresql.fingerprint import PostgreSQLFingerprints
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.run.migrations import record_all
from automigrate_ext.testing.tables import tables_for
from tests.acceptance.helper import Case, State, fingerprint, item
from tests.several import databases

NAME = models.CharField(max_length=20)
PATHS = {
    "default": "public",
    "store": "store",
    "both": "store, public",
    "nowhere": "nowhere",
    "late": "nowhere, public",
    "depot": "depot, public",
    "role": None,
}
TABLES = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname IN ('public', 'store') ORDER BY 1
"""


@pytest.fixture
def places(postgresql, django_db_blocker):
    """Cases for one database, by the search path of their aliases; there are the schemas public and store."""
    base = postgresql.settings_dict

    def entry(path):
        if path is None:
            return base
        return {**base, "OPTIONS": {**base["OPTIONS"], "options": f"-c search_path={path.replace(' ', '')}"}}

    with databases(django_db_blocker, {alias: entry(path) for alias, path in PATHS.items()}):
        cases = {alias: Case(connections[alias], "autoupdate") for alias in PATHS}
        cases["default"].execute("CREATE SCHEMA store", "CREATE SCHEMA depot")
        yield cases


@pytest.fixture
def public(places):
    return places["default"]


@pytest.fixture
def store(places):
    return places["store"]


@pytest.fixture
def both(places):
    """The search path is "store, public"."""
    return places["both"]


def tables(case):
    return [name for (name,) in case.query(TABLES)]


def before():
    return item(name=NAME)


def after():
    return item(name=models.CharField(max_length=30, db_index=True), size=models.IntegerField(default=1))


# The search path


def test_tables_are_made_in_the_first_schema(both):
    both.run(before())
    assert tables(both) == ["store.automigrate_ext_owned", "store.shop_item"]
    both.update(before(), after(), {"Item": [{"name": "a"}]}, built=True)


@pytest.mark.parametrize("recorded", [True, False])
def test_tables_of_a_later_schema_are_not_made_again(both, public, recorded):
    """As where the schema of the user's name is made later: empty tables would hide those that hold the rows."""
    public.run(before())
    public.insert(before(), {"Item": [{"name": "a"}]})
    if not recorded:
        public.execute("DROP TABLE automigrate_ext_owned")
    for run in (both.run, both.plan, rebuild(both), matches(both)):
        for state in (before(), after(), State(Item={"name": NAME}, Note={"text": NAME})):
            trace = fails(both, partial(run, state), "is store", "in public: shop_item", "put public first", "'both'")
            assert fingerprint(public.connection) == trace
    assert not public.plan(before())


def test_many_tables_of_a_later_schema(both, public):
    many = State(**{f"M{number}": {"name": NAME} for number in range(100, 112)})
    public.run(many)
    fails(both, partial(both.run, many), "in public: shop_m100, shop_m101,", "shop_m109 and 2 more. A run")


def test_tables_of_a_later_schema_once_they_are_moved(both, public):
    public.run(before())
    public.insert(before(), {"Item": [{"name": "a"}]})
    renames = {'"public"."shop_item"': "shop_item"}
    both.update(before(), after(), built=True, renames=renames)
    assert [name for name in tables(both) if "shop" in name] == ["store.shop_item"]


@pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED VIEW"])
def test_view_of_a_later_schema_is_not_hidden_either(both, public, kind):
    public.execute(f"CREATE {kind} shop_item AS SELECT 1 AS id")
    fails(both, partial(both.run, before()), "in public: shop_item")
    with tenants(both):
        both.update(before(), after())


def rebuild(case):
    return lambda state: automigrate(using=case.alias, apps=state.apps)


def matches(case):
    return lambda state: is_actual(using=case.alias, apps=state.apps)


def tenants(*cases):
    """Let the first schemas of these have tables of their own."""
    return override_settings(AUTOMIGRATE={"TENANT_SCHEMAS": [case.alias for case in cases]})


def test_namesake_in_a_schema_that_is_not_on_the_path(store, public):
    public.run(before())
    public.insert(before(), {"Item": [{"name": "a"}]})
    trace = fingerprint(public.connection)
    plan = store.plan(after())
    assert [change.describe() for change in plan.changes] == ["Create table shop_item (3 columns)"]
    assert fingerprint(public.connection) == trace
    store.run(after())
    assert is_actual(using=public.alias, apps=before().apps)
    assert public.values("shop_item", "name") == [("a",)]
    automigrate(using=store.alias, apps=after().apps)
    assert public.values("shop_item", "name") == [("a",)]


def test_table_hidden_by_that_of_an_earlier_schema(both, public):
    public.run(before())
    both.execute("CREATE TABLE store.shop_item (LIKE public.shop_item INCLUDING ALL)")
    both.run(after())
    assert is_actual(using=public.alias, apps=before().apps)
    assert is_actual(using="store", apps=after().apps)


def test_index_hidden_by_that_of_an_earlier_schema(both, public):
    """DROP INDEX goes by the search path, and not by the table."""
    index = {"db_table": '"public"."shop_item"', "indexes": [models.Index(fields=["name"], name="by_name")]}
    both.run(item(name=NAME, Meta=index))
    both.execute("CREATE TABLE store.other (name text)", "CREATE INDEX by_name ON store.other (name)")
    both.update(item(name=NAME, Meta=index), item(name=NAME, Meta={"db_table": '"public"."shop_item"'}), built=True)
    assert both.query("SELECT tablename::text FROM pg_indexes WHERE indexname = 'by_name'") == [("other",)]


def test_renamed_index_hidden_by_that_of_an_earlier_schema(both, public):
    old, new = (
        {"db_table": '"public"."shop_item"', "indexes": [models.Index(fields=["name"], name=name)]}
        for name in ("by_name", "item_name")
    )
    both.run(item(name=NAME, Meta=old))
    both.execute("CREATE TABLE store.other (name text)", "CREATE INDEX by_name ON store.other (name)")
    both.update(item(name=NAME, Meta=old), item(name=NAME, Meta=new), built=True)
    assert both.query("SELECT tablename::text FROM pg_indexes WHERE indexname = 'by_name'") == [("other",)]


def test_first_schema_that_is_not_there(places):
    """As the server has it, it is passed over."""
    late = places["late"]
    late.run(before())
    assert "public.shop_item" in tables(late)


def test_no_schema_that_is_there(places):
    nowhere = places["nowhere"]
    trace = fingerprint(nowhere.connection)
    with pytest.raises(AutomigrateError) as caught:
        nowhere.run(before())
    assert "search_path" in str(caught.value) and "CREATE SCHEMA" in str(caught.value)
    assert fingerprint(nowhere.connection) == trace


def test_view_of_an_earlier_schema_has_the_name(both, public):
    public.run(before())
    both.execute("CREATE VIEW store.shop_item AS SELECT 1 AS id")
    with pytest.raises(ShadowedTable, match=r"view \(store\.shop_item\)"):
        both.plan(before())


# Schemas of tenants, each with tables of its own before those of public

CONTENTS = """
SELECT c.oid, c.relfilenode, c.relname, (SELECT string_agg(conname, ',' ORDER BY conname) FROM pg_constraint
                                         WHERE conrelid = c.oid)
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1
"""
TABLES_OF_PUBLIC = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
KEYS_TO = """
SELECT conname FROM pg_constraint WHERE conrelid = '{}'::regclass AND confrelid = 'shop_kind'::regclass
"""
TARGETS = """
SELECT k.conrelid::regclass::text, format('%I.%I', n.nspname, c.relname)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conrelid IN (SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace)
ORDER BY 1, 2
"""
ROWS = {"Kind": [{"name": "k"}], "Item": [{"kind_id": 1, "user_id": 1}]}


def shared():
    """The models of public; the kinds are every tenant's own too."""
    return State(User={"name": NAME}, Kind={"name": NAME})


def own(kind=NAME, **fields):
    """The models of a tenant, which point at the users of public."""
    return State(
        User={"name": NAME, "Meta": {"managed": False}},
        Kind={"name": kind},
        Item={
            "kind": models.ForeignKey("Kind", models.CASCADE, null=True),
            "user": models.ForeignKey("User", models.CASCADE),
            "kinds": models.ManyToManyField("Kind", related_name="+"),
            **fields,
        },
    )


def contents(public):
    """Everything in public: tables, rows and what is recorded of them."""
    names = [name for (name,) in public.query(TABLES_OF_PUBLIC)]
    return public.query(CONTENTS), {name: public.query(f"SELECT * FROM {name} ORDER BY 1") for name in names}


def targets(case):
    """What the foreign keys of the tables in the first schema point at."""
    return case.query(TARGETS)


@pytest.fixture
def filled(public):
    """The schema public, with tables, rows and a record."""
    public.run(shared())
    public.insert(shared(), {"User": [{"name": "u"}], "Kind": [{"name": n} for n in "abc"]})
    return public


@pytest.fixture(params=["OPTIONS", "SET", "ALTER ROLE", "ALTER DATABASE"])
def tenant(request, places, filled):
    """A case whose search path is "store, public", however that comes about."""
    name = Identifier(filled.connection.settings_dict["NAME"]).as_string(None)
    of = {"ALTER ROLE": f"ROLE CURRENT_USER IN DATABASE {name}", "ALTER DATABASE": f"DATABASE {name}"}.get(
        request.param
    )
    case = places["both" if request.param == "OPTIONS" else "role"]
    if request.param == "SET":
        case.execute("SET search_path TO store, public")
    if of:
        filled.execute(f"ALTER {of} SET search_path TO store, public")
    with tenants(case):
        yield case
    if of:
        filled.execute(f"ALTER {of} RESET search_path")


@pytest.mark.parametrize("verb", [autoupdate, automigrate])
def test_fresh_schema_of_a_tenant(tenant, filled, verb):
    trace = contents(filled)
    verb(using=tenant.alias, apps=own().apps)
    assert [name for name in tables(tenant) if name.startswith("store")] == [
        "store.automigrate_ext_owned",
        "store.shop_item",
        "store.shop_item_kinds",
        "store.shop_kind",
    ]
    assert targets(tenant) == [
        ("shop_item", "public.shop_user"),
        ("shop_item", "store.shop_kind"),
        ("shop_item_kinds", "store.shop_item"),
        ("shop_item_kinds", "store.shop_kind"),
    ]
    assert not tenant.run(own())
    tenant.update(own(), own(), ROWS, built=True, changes=[])
    assert contents(filled) == trace


def test_changes_of_a_tenant(tenant, filled):
    tenant.run(own())
    trace = contents(filled)
    longer = own(models.CharField(max_length=30, db_index=True), size=models.BigIntegerField(default=7))
    tenant.update(own(), longer, ROWS, built=True)
    tenant.update(longer, own(models.CharField(max_length=5)), built=True, accept_data_loss=True)
    assert contents(filled) == trace
    automigrate(using=tenant.alias, apps=own().apps)
    assert tenant.values("shop_kind", "name") == []
    tenant.run(State(User={"name": NAME, "Meta": {"managed": False}}), accept_data_loss=True)
    assert [name for name in tables(tenant) if name.startswith("store")] == ["store.automigrate_ext_owned"]
    assert contents(filled) == trace


def test_rows_of_public_are_not_those_of_a_tenant(places, filled):
    """What the rows of public do not allow is no obstacle for a tenant, and the other way round."""
    filled.insert(shared(), {"Kind": [{"name": "a" * 15}, {"name": "a" * 15}]})
    both = places["both"]
    stricter = own(models.CharField(max_length=5, unique=True))
    with tenants(both):
        both.run(own())
        both.insert(own(), {"Kind": [{"name": "k"}]})
        assert rows_at_stake(using=both.alias, apps=own().apps) == {"shop_kind": 1}
        both.update(own(), stricter, built=True)
        both.run(own())
        both.insert(own(), {"Kind": [{"name": "b" * 15}, {"name": "b" * 15}]})
        both.refused(own(), stricter, {}, "alters-values", "duplicates", built=True)


def test_two_tenants(places, filled):
    cases = [places["both"], places["depot"]]
    trace = contents(filled)
    with tenants(*cases):
        for case in cases:
            case.run(own())
            case.insert(own(), ROWS)
        first, second = cases
        longer = own(models.CharField(max_length=30))
        first.update(own(), longer, built=True)
        assert not second.run(own())
        second.update(own(), longer, built=True)
        assert is_actual(using=[case.alias for case in cases], apps=longer.apps)
    assert contents(filled) == trace


def test_one_schema_is_named_like_what_another_model_says(places, filled):
    """A model may name the table of public although the tenant has one of that name."""
    both = places["both"]
    state = State(
        Kind={"name": NAME},
        Common={"name": NAME, "Meta": {"db_table": '"public"."shop_kind"', "managed": False}},
        Item={
            "own": models.ForeignKey("Kind", models.CASCADE, null=True),
            "common": models.ForeignKey("Common", models.CASCADE, null=True),
        },
    )
    with tenants(both):
        both.run(state)
        assert targets(both) == [("shop_item", "public.shop_kind"), ("shop_item", "store.shop_kind")]
        both.unchanged(state)


@pytest.fixture
def left_over(places, filled):
    """A tenant's schema without a table that public has, at which a foreign key of the tenant points instead."""
    both = places["both"]
    with tenants(both):
        both.run(own())
        for table in ("shop_item", "shop_item_kinds"):
            ((name,),) = both.query(KEYS_TO.format(table))
            both.execute(
                f"ALTER TABLE {table} DROP CONSTRAINT {name}",
                f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY (kind_id) REFERENCES public.shop_kind "
                "DEFERRABLE INITIALLY DEFERRED",
            )
        both.execute("DROP TABLE store.shop_kind")
        yield both


def test_keys_that_point_at_public_instead(left_over, filled):
    """As runs before this rule left them: the table of public was taken for the tenant's."""
    left_over.insert(own(), {"Item": [{"user_id": 1}]})
    left_over.update(own(), own(), built=True, changes=["Create table shop_kind", "Drop", "Drop", "Add", "Add"])
    assert ("shop_item", "store.shop_kind") in targets(left_over)
    assert ("shop_item", "public.shop_kind") not in targets(left_over)
    assert contents(filled)[1]["shop_kind"] == [(1, "a"), (2, "b"), (3, "c")]


def test_key_made_by_hand_that_points_at_public(left_over, filled):
    """It stays where it points, also where the run takes it off for a while."""
    other = own(other=models.IntegerField(null=True))
    left_over.run(other, models="Item")
    left_over.execute(
        "ALTER TABLE shop_item ADD CONSTRAINT byhand FOREIGN KEY (other) REFERENCES public.shop_kind "
        "DEFERRABLE INITIALLY DEFERRED"
    )
    left_over.insert(other, {"Item": [{"user_id": 1, "other": 3}]})
    bigger = own(other=models.BigIntegerField(null=True))
    plan = left_over.update(other, bigger, built=True, exact=False)
    assert 'ADD CONSTRAINT "byhand"' in plan.sql()
    assert [key for key in targets(left_over) if key[0] == "shop_item"] == [
        ("shop_item", "public.shop_kind"),
        ("shop_item", "public.shop_user"),
        ("shop_item", "store.shop_kind"),
    ]


def test_rows_that_point_at_public_instead(left_over):
    left_over.refused(own(), own(), {"Item": [{"user_id": 1, "kind_id": 2}]}, "orphans", built=True)


def test_key_to_a_table_that_is_not_the_runs(places, filled):
    """It is where the search path finds it, until the tenant has one of its own."""
    both = places["both"]
    both.run(own(), models="Item")
    assert ("shop_item", "public.shop_kind") in targets(both)
    assert not both.plan(own(), models="Item")
    with tenants(both):
        plan = both.run(own())
        assert "CREATE TABLE" in plan.sql()
        assert not both.plan(own()) and not both.plan(own(), models="Item")
    assert ("shop_item", "store.shop_kind") in targets(both)


def test_hint_of_an_older_name_is_not_about_public(places, filled):
    both = places["both"]
    state = State(Sort={"name": NAME}, User={"name": NAME, "Meta": {"managed": False}})
    with (
        tenants(both),
        override_settings(AUTOMIGRATE={"TENANT_SCHEMAS": ["both"], "RENAMES": {"shop.Kind": "shop.Sort"}}),
    ):
        both.run(state)
    assert "public.shop_kind" in tables(both) and "store.shop_sort" in tables(both)


def test_types_and_functions_of_public(places, public):
    both = places["both"]
    public.execute(
        "CREATE DOMAIN mood AS text CHECK (VALUE <> 'bad')",
        "CREATE FUNCTION usual() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'good'::text $$",
    )

    class Mood(models.TextField):
        def db_type(self, connection):
            return "mood"

    class Usual(models.Func):
        function, template, output_field = "usual", "%(function)s()", models.TextField()

    def moody(**fields):
        return State(Item={"mood": Mood(db_default=Usual()), **fields})

    both.run(moody())
    both.update(moody(), moody(more=Mood(null=True, unique=True)), {"Item": [{}]}, built=True)
    assert both.values("shop_item", "mood") == [("good",)]


class CaseInsensitiveField(models.TextField):
    def db_type(self, connection):
        return "citext"


EXTENSIONS = """
SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = '{}'
"""


def test_extension_is_where_all_tenants_find_it(places, public):
    """There is one of each in a database."""
    both, depot = places["both"], places["depot"]
    state = State(Item={"name": CaseInsensitiveField(unique=True)})
    plan = both.plan(state)
    assert plan.statements[0] == 'CREATE EXTENSION IF NOT EXISTS "citext" WITH SCHEMA public'
    for case in (both, depot):
        case.update(state, state, {"Item": [{"name": "a"}]})
    assert public.query(EXTENSIONS.format("citext")) == [("public",)]


@pytest.mark.parametrize(("alias", "schema"), [("store", "store"), ("default", "public"), ("late", "public")])
def test_extension_where_the_path_has_one_schema(places, alias, schema):
    state = State(Item={"name": CaseInsensitiveField()})
    assert places[alias].plan(state).statements[0] == 'CREATE EXTENSION IF NOT EXISTS "citext"'
    places[alias].run(state)
    assert places["default"].query(EXTENSIONS.format("citext")) == [(schema,)]


def test_extension_of_a_role_that_may_not_create_in_the_last_schema(places, public):
    """A trusted extension takes the right to create in the database alone."""
    both = places["both"]
    database = Identifier(both.connection.settings_dict["NAME"]).as_string(None)
    public.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    with role(both, "GRANT ALL ON SCHEMA store TO {}", f"GRANT CREATE ON DATABASE {database} TO {{}}"):
        both.run(State(Item={"name": CaseInsensitiveField()}))
        assert both.query(EXTENSIONS.format("citext")) == [("public",)]


def test_extension_with_a_schema_of_its_own(places, public):
    both = places["both"]
    public.execute("DROP EXTENSION plpgsql")
    with override_settings(AUTOMIGRATE={"EXTENSIONS": {both.alias: ["plpgsql"]}}):
        both.run(before())
    assert public.query(EXTENSIONS.format("plpgsql")) == [("pg_catalog",)]


def test_tables_of_public_are_not_locked_for_a_tenant(places, filled):
    both = places["both"]
    with tenants(both), transaction.atomic(using=filled.alias):
        filled.execute("LOCK TABLE shop_kind IN ACCESS EXCLUSIVE MODE")
        state = State(Kind={"name": NAME})
        automigrate(using=both.alias, apps=state.apps, lock_timeout=0.2)
        autoupdate(using=both.alias, apps=State(Kind={"name": models.TextField()}).apps, lock_timeout=0.2)


@pytest.mark.parametrize("is_tenant", [False, True])
def test_receivers_and_the_tables_of_public(places, filled, is_tenant):
    """The models' tables are those of the first schema, for receivers too."""
    both, seen = places["both"], []

    def receiver(apps, **_):
        seen.append({model._meta.object_name for of_app in apps.all_models.values() for model in of_app.values()})

    post_migrate.connect(receiver)
    try:
        with tenants(*([both] if is_tenant else [])):
            both.run(State(Note={"text": NAME}, Kind={"name": NAME}), models="Note")
    finally:
        post_migrate.disconnect(receiver)
    assert seen and all(names == ({"Note"} if is_tenant else {"Note", "Kind"}) for names in seen)


def test_migrations_are_recorded_for_the_tenant(places, public):
    both = places["both"]
    MigrationRecorder(public.connection).record_applied("auth", "0001_initial")
    record_all(both.backend, lambda _: None)
    assert public.query("SELECT app, name FROM public.django_migrations") == [("auth", "0001_initial")]
    assert len(both.query("SELECT app, name FROM store.django_migrations")) > 10


@pytest.fixture
def forgotten():
    managers.forget()
    yield
    managers.forget()


@pytest.mark.parametrize("is_tenant", [False, True])
def test_first_query_of_a_model(places, filled, forgotten, is_tenant):
    """What it points at is found along the path, or made where the tenant has tables of its own."""
    both = places["both"]
    state = own(objects=managers.AutoUpdateManager())
    with tenants(*([both] if is_tenant else [])):
        assert not state["Item"].objects.using(both.alias).exists()
    assert ("store.shop_kind" in tables(both)) is is_tenant
    schema = "store" if is_tenant else "public"
    assert ("shop_item", f"{schema}.shop_kind") in targets(both)


def test_tables_for_a_block(places, filled):
    both = places["both"]
    state = State(User={"name": NAME}, Note={"user": models.ForeignKey("User", models.CASCADE)})
    with pytest.raises(AutomigrateError, match="already a table 'shop_user'"), tables_for(state["User"], using="both"):
        pass
    with tables_for(state["Note"], using=both.alias):
        assert targets(both) == [("shop_note", "public.shop_user")]
    with tenants(both), tables_for(*state.managed(), using=both.alias):
        assert targets(both) == [("shop_note", "store.shop_user")]
    assert tables(both) == ["public.automigrate_ext_owned", "public.shop_kind", "public.shop_user"]


def test_digests_are_those_of_the_first_schema(places, filled):
    both = places["both"]
    filled.run(State(Kind={"name": NAME}))  # makes the record of the second schema
    fingerprints = PostgreSQLFingerprints(both.connection)
    assert fingerprints.read(["shop_kind"], []).tables == {}
    with tenants(both):
        both.run(State(Kind={"name": NAME}))
    found = fingerprints.read(["shop_kind"], [])
    filled.execute("ALTER TABLE public.shop_kind ADD more integer")
    assert found.tables and fingerprints.read(["shop_kind"], []) == found
    both.execute("ALTER TABLE store.shop_kind ADD more integer")
    assert fingerprints.read(["shop_kind"], []).tables != found.tables


# Two aliases for two schemas


def test_two_aliases_for_two_schemas(store, public):
    using = [public.alias, store.alias]
    autoupdate(using=using, apps=before().apps)
    assert tables(public) == [
        f"{schema}.{table}" for schema in ("public", "store") for table in ("automigrate_ext_owned", "shop_item")
    ]
    autoupdate(using=using, apps=after().apps)
    assert is_actual(using=using, apps=after().apps)


def test_two_aliases_for_two_schemas_within_one_transaction(store, public):
    """The first run keeps the second one out until the transaction ends, so that it would wait for ever."""
    with transaction.atomic(using=public.alias):
        public.run(before())
        with pytest.raises(LockNotAvailable, match="'default' and 'store' are in the same database"):
            store.run(before())
        transaction.set_rollback(True, using=public.alias)
    store.run(before())


def test_record_of_a_later_schema_is_another_one(both, public):
    """The tables of the first schema are not known to the record of the second, and have one of their own."""
    public.run(State(Item={"name": NAME}, Note={"text": NAME}))
    both.execute("CREATE TABLE store.shop_item (LIKE public.shop_item INCLUDING ALL)")
    both.execute("CREATE TABLE store.shop_note (LIKE public.shop_note INCLUDING ALL)")
    both.run(before())
    assert "store.automigrate_ext_owned" in tables(both)
    assert [name for (name,) in public.values("automigrate_ext_owned", "name") if " " not in name] == [
        "shop_item",
        "shop_note",
    ]


def test_removed_table_of_another_schema_stays(both, public):
    public.run(State(Item={"name": NAME}, Note={"text": NAME}))
    with tenants(both):
        both.run(before())
        both.run(State(), accept_data_loss=True)
    assert tables(both) == [
        "public.automigrate_ext_owned",
        "public.shop_item",
        "public.shop_note",
        "store.automigrate_ext_owned",
    ]


def test_removed_table_whose_namesake_is_in_another_schema_stays(both, public):
    two = State(Item={"name": NAME}, Note={"text": NAME})
    both.run(two)
    both.execute("DROP TABLE store.shop_note")
    public.run(two)
    both.run(before(), accept_data_loss=True)
    assert "public.shop_note" in tables(both)
    public.run(before())
    assert "public.shop_note" not in tables(both)


@pytest.mark.parametrize(("old", "new"), [('"store"."item"', "item"), ("item", '"store"."item"')])
def test_another_spelling_of_the_same_table(both, old, new):
    """The recorded name is no model's any more, and its table is one all the same."""
    both.run(item(name=NAME, Meta={"db_table": old}))
    both.run(item(name=NAME, Meta={"db_table": new}), accept_data_loss=True)
    assert not both.plan(item(name=NAME, Meta={"db_table": new}))
    assert "store.item" in tables(both)
    both.run(State())
    assert "store.item" not in tables(both)
    assert not both.plan(State())


def test_removed_table_of_the_own_schema_goes(both):
    both.run(State(Item={"name": NAME}, Note={"text": NAME}))
    both.run(before())
    assert "store.shop_note" not in tables(both)


def test_one_refused_of_two_schemas(store, public):
    using = [public.alias, store.alias]
    autoupdate(using=using, apps=before().apps)
    public.insert(before(), {"Item": [{"name": "a"}]})
    required = item(name=NAME, size=models.IntegerField())
    with pytest.raises(DatabasesFailed) as caught:
        autoupdate(using=using, apps=required.apps)
    assert list(caught.value.errors) == [public.alias]
    assert is_actual(using=store.alias, apps=required.apps)


# Quoted schemas


QUOTED = ['"store"."item"', 'store"."item', '"public"."item"']


def quoted(table, **fields):
    return State(
        Item={"name": NAME, **fields, "Meta": {"db_table": table}},
        Note={
            "item": models.ForeignKey("Item", models.CASCADE),
            "tags": models.ManyToManyField("Item", related_name="+"),
        },
    )


@pytest.mark.parametrize("alias", ["default", "store", "both"])
@pytest.mark.parametrize("table", QUOTED)
def test_table_with_its_schema_whatever_the_path(places, alias, table):
    case = places[alias]
    more = {"size": models.IntegerField(default=1, db_index=True), "code": models.CharField(max_length=5, unique=True)}
    case.run(quoted(table))
    assert not case.plan(quoted(table))
    case.insert(quoted(table), {"Item": [{"name": "a"}]})
    case.update(quoted(table), quoted(table, **more), built=True, defaults={"shop.Item.code": "x"})
    case.update(quoted(table, **more), quoted(table), built=True, accept_data_loss=True)


@pytest.mark.parametrize("table", QUOTED)
def test_key_of_one_table_only(both, table):
    """The table at which a foreign key points is outside the run, and is called by its schema all the same."""
    both.run(quoted(table))
    assert not both.plan(quoted(table), models="Note")


@pytest.mark.parametrize("table", QUOTED)
def test_receivers_see_a_model_in_a_schema_of_the_path(both, table):
    seen = []

    def receiver(apps, **_):
        seen.append({model._meta.db_table for of_app in apps.all_models.values() for model in of_app.values()})

    post_migrate.connect(receiver)
    try:
        both.run(quoted(table))
    finally:
        post_migrate.disconnect(receiver)
    assert all(table in names for names in seen) and seen


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"store"."item"', '"store"."thing"'),
        ("item", '"store"."item"'),
        ("item", '"store"."thing"'),
        ('"store"."item"', '"public"."item"'),
        ('"store"."item"', "item"),
    ],
)
def test_renamed_table_in_or_into_a_schema(public, old, new):
    public.run(quoted(old))
    public.insert(quoted(old), {"Item": [{"name": "a"}]})
    public.update(quoted(old), quoted(new), built=True, renames={old: new})
    assert public.values(new, "name") == [("a",)]


# Partitioned tables


def measured(**more):
    """A model whose table an administrator has partitioned by day."""
    return State(
        Reading={
            "pk": models.CompositePrimaryKey("day", "number"),
            "day": models.DateField(),
            "number": models.IntegerField(),
            **more,
        }
    )


PARTITIONED = (
    "CREATE TABLE shop_reading (day date NOT NULL, number integer NOT NULL, PRIMARY KEY (day, number)) "
    "PARTITION BY RANGE (day)",
    "CREATE TABLE reading_2025 PARTITION OF shop_reading FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
    "CREATE TABLE reading_rest PARTITION OF shop_reading DEFAULT",
)
READINGS = {"Reading": [{"day": "2025-03-01", "number": 1}, {"day": "2026-03-01", "number": 1}]}


@pytest.fixture
def partitioned(public):
    public.execute(*PARTITIONED)
    public.insert(measured(), READINGS)
    return public


def test_partitioned_table(partitioned):
    partitioned.update(measured(), measured(), built=True, changes=[], exact=False)
    partitioned.run(measured())
    assert partitioned.query("SELECT count(*) FROM pg_inherits WHERE inhparent = 'shop_reading'::regclass") == [(2,)]


def test_partitioned_table_changes(partitioned):
    more = measured(
        size=models.IntegerField(default=3, db_index=True),
        word=models.CharField(max_length=5, null=True),
        Meta={
            "constraints": [
                models.CheckConstraint(condition=models.Q(number__gte=0), name="number_positive"),
                models.UniqueConstraint(fields=["day", "size"], name="one_size_a_day"),
            ]
        },
    )
    partitioned.update(measured(), more, built=True)
    assert partitioned.query("SELECT size FROM reading_2025") == [(3,)]
    wider = measured(size=models.BigIntegerField(default=3))
    partitioned.update(more, wider, built=True)
    partitioned.update(wider, measured(), built=True, accept_data_loss=True)


def test_partitioned_table_dropped_when_empty(partitioned):
    partitioned.run(measured())
    withheld = partitioned.plan(State())
    assert [judgement.hazards[0].rows for judgement in withheld.withheld] == [2]
    partitioned.execute("DELETE FROM shop_reading")
    partitioned.run(State())
    assert "public.reading_2025" not in tables(partitioned)


def test_automigrate_of_a_partitioned_table(partitioned):
    partitioned.run(measured())
    plan = automigrate(using=partitioned.alias, apps=measured().apps, dry_run=True)
    messages = [str(hazard) for judgement in plan.refused for hazard in judgement.hazards]
    assert [message.split(" would")[0] for message in messages] == [
        "The partition reading_2025",
        "The partition reading_rest",
    ]
    automigrate(using=partitioned.alias, apps=measured().apps, cascade=True)
    assert partitioned.query("SELECT relkind::text FROM pg_class WHERE relname = 'shop_reading'") == [("r",)]
    assert "public.reading_2025" not in tables(partitioned)


def test_model_of_a_single_partition(partitioned):
    """Its columns, constraints and indexes are those of the table that it is a part of, and stay."""
    part = State(
        Part={
            "pk": models.CompositePrimaryKey("day", "number"),
            "day": models.DateField(),
            "number": models.IntegerField(),
            "Meta": {"db_table": "reading_2025"},
        }
    )
    partitioned.execute("ALTER TABLE shop_reading ADD more integer, ADD CONSTRAINT c CHECK (number > 0)")
    partitioned.execute("CREATE INDEX of_all ON shop_reading (number)")
    partitioned.update(part, part, built=True, changes=[], exact=False)
    partitioned.update(part, part, built=True, changes=[], exact=False, prune=True, accept_data_loss=True)


def test_partitions_in_the_neighbourhood(public):
    """Tables of nobody's model that have nothing to do with the models' tables but the schema."""
    public.execute(*(statement.replace("shop_reading", "theirs") for statement in PARTITIONED))
    trace = tables(public)
    public.update(before(), after(), {"Item": [{"name": "a"}]})
    automigrate(using=public.alias, apps=after().apps)
    assert set(trace) <= set(tables(public))


def test_partitioned_table_points_at_a_model(public):
    public.run(before())
    public.insert(before(), {"Item": [{"name": "a"}]})
    public.execute(
        "CREATE TABLE theirs (item bigint REFERENCES shop_item, day date) PARTITION BY RANGE (day)",
        "CREATE TABLE theirs_rest PARTITION OF theirs DEFAULT",
        "INSERT INTO theirs VALUES (1, '2025-01-01')",
    )
    public.update(before(), after(), built=True)
    plan = automigrate(using=public.alias, apps=after().apps, dry_run=True)
    assert [hazard.code for judgement in plan.refused for hazard in judgement.hazards] == ["referenced"]
    public.execute("DELETE FROM theirs")
    automigrate(using=public.alias, apps=after().apps)
    assert public.query("SELECT count(*) FROM pg_constraint WHERE conrelid = 'theirs'::regclass AND contype = 'f'") == [
        (1,)
    ]


# Inheritance


@pytest.fixture
def parent(public):
    """A model's table from which an administrator has let another one inherit."""
    public.run(before())
    public.insert(before(), {"Item": [{"name": "a"}]})
    public.execute("CREATE TABLE special (extra text) INHERITS (shop_item)", "INSERT INTO special VALUES (7, 'b', 'c')")
    return public


def test_table_that_others_inherit_from(parent):
    parent.update(before(), after(), built=True)
    assert parent.query("SELECT name, extra, size FROM special") == [("b", "c", 1)]
    wider = item(name=models.TextField(), size=models.BigIntegerField(null=True))
    parent.update(after(), wider, built=True)
    parent.update(wider, before(), built=True, accept_data_loss=True)
    assert parent.query("SELECT name, extra FROM special") == [("b", "c")]


def test_rows_of_those_that_inherit_count(parent):
    parent.execute("UPDATE special SET name = 'longer than ten'")
    plan = parent.plan(item(name=models.CharField(max_length=10)))
    assert [hazard.code for judgement in plan.refused for hazard in judgement.hazards] == ["alters-values"]


def test_automigrate_of_a_table_that_others_inherit_from(parent):
    plan = automigrate(using=parent.alias, apps=before().apps, dry_run=True)
    (hazard,) = (hazard for judgement in plan.refused for hazard in judgement.hazards)
    assert "The inheriting table special would go along with shop_item" in str(hazard)
    automigrate(using=parent.alias, apps=before().apps, cascade=True)
    assert "public.special" not in tables(parent)


def test_removed_table_that_others_inherit_from(parent):
    parent.execute("DELETE FROM shop_item")
    plan = parent.plan(State())
    assert [hazard.code for judgement in plan.refused for hazard in judgement.hazards] == ["dependent"]
    assert "special" in str(plan.refused[0].hazards[0])


def test_table_that_inherits(public):
    """What it has from its parent stays, as nothing else can be done with it there."""
    public.execute(
        "CREATE TABLE base (id bigint NOT NULL, name varchar(20) NOT NULL, more int, CONSTRAINT c CHECK (more > 0))",
        "CREATE TABLE shop_item (PRIMARY KEY (id)) INHERITS (base)",
        "ALTER TABLE shop_item ALTER id ADD GENERATED BY DEFAULT AS IDENTITY",
    )
    public.insert(before(), {"Item": [{"name": "a"}]})
    public.update(before(), before(), built=True, changes=[], exact=False)
    public.update(before(), before(), built=True, changes=[], exact=False, prune=True, accept_data_loss=True)
    plan = public.update(before(), item(name=NAME, size=models.IntegerField(null=True)), built=True, exact=False)
    assert [change.describe() for change in plan.changes] == ["Add column shop_item.size integer"]
    automigrate(using=public.alias, apps=before().apps, dry_run=True)


def test_column_of_the_parent_that_is_to_change(public):
    public.execute(
        "CREATE TABLE base (id bigint NOT NULL, name varchar(20) NOT NULL)",
        "CREATE TABLE shop_item (PRIMARY KEY (id)) INHERITS (base)",
        "ALTER TABLE shop_item ALTER id ADD GENERATED BY DEFAULT AS IDENTITY",
    )
    trace = fingerprint(public.connection)
    with pytest.raises(ExecutionFailed, match="inherited column"):
        public.run(item(name=models.CharField(max_length=30)))
    assert fingerprint(public.connection) == trace


# Foreign tables and materialised views


@pytest.fixture
def far(public):
    """A foreign server, of which nothing is ever asked."""
    public.execute("CREATE FOREIGN DATA WRAPPER nothing", "CREATE SERVER far FOREIGN DATA WRAPPER nothing")
    yield public
    public.execute("DROP FOREIGN DATA WRAPPER nothing CASCADE")


def test_foreign_table_has_the_name(public, far):
    public.execute("CREATE FOREIGN TABLE shop_item (id bigint) SERVER far")
    with pytest.raises(ShadowedTable, match=r"foreign table \(public\.shop_item\)"):
        public.plan(before())


def test_foreign_table_elsewhere(public, far):
    public.execute(
        "CREATE FOREIGN TABLE store.shop_item (id bigint) SERVER far", "CREATE FOREIGN TABLE f (i int) SERVER far"
    )
    public.update(before(), after())
    automigrate(using=public.alias, apps=after().apps)
    assert public.query("SELECT count(*) FROM pg_foreign_table") == [(2,)]


def test_foreign_table_inherits(public, far):
    public.run(before())
    public.execute("CREATE FOREIGN TABLE far_item () INHERITS (shop_item) SERVER far")
    plan = make_plan(using=public.alias, apps=before().apps)
    assert not plan
    plan = automigrate(using=public.alias, apps=before().apps, dry_run=True)
    assert "far_item" in str(plan.refused[0].hazards[0])


def test_materialised_view_on_a_model(public):
    public.run(before())
    public.insert(before(), {"Item": [{"name": "a"}]})
    public.execute("CREATE MATERIALIZED VIEW store.names AS SELECT name FROM shop_item")
    added = item(name=NAME, size=models.IntegerField(default=1))
    public.update(before(), added, built=True)
    plan = public.plan(item(name=models.TextField(), size=models.IntegerField(default=1)))
    assert "materialised view store.names" in str(plan.refused[0].hazards[0])
    plan = automigrate(using=public.alias, apps=added.apps, dry_run=True)
    assert "materialised view store.names" in str(plan.refused[0].hazards[0])


def test_materialised_view_with_the_name_elsewhere(public):
    public.execute("CREATE MATERIALIZED VIEW store.shop_item AS SELECT 1 AS id")
    public.update(before(), after())


# Other people's schemas


@contextmanager
def role(case, *grants):
    """A role that may do what is granted, for the time of the block the one that the connection has."""
    name = f"automigrate_test_{secrets.token_hex(4)}"
    database = Identifier(case.connection.settings_dict["NAME"]).as_string(None)
    case.execute(
        f"CREATE ROLE {name}",
        f"GRANT TEMPORARY ON DATABASE {database} TO {name}",
        *(grant.format(name) for grant in grants),
        f"SET ROLE {name}",
    )
    try:
        yield name
    finally:
        case.execute("RESET ROLE", f"DROP OWNED BY {name}", f"DROP ROLE {name}")


USAGE, READ = "GRANT USAGE ON SCHEMA store TO {}", "GRANT SELECT ON ALL TABLES IN SCHEMA store TO {}"


def fails(case, run, *words):
    trace = fingerprint(case.connection)
    with pytest.raises(AutomigrateError) as caught:
        run()
    for word in words:
        assert word in str(caught.value)
    assert not case.connection.in_atomic_block
    return trace


def test_schema_of_another_owner_without_create(store):
    with role(store, USAGE) as name:
        fails_as_role(store, before(), "permission denied for schema store", f"GRANT CREATE ON SCHEMA store TO {name}")


def fails_as_role(case, state, *words):
    with pytest.raises(ExecutionFailed) as caught:
        case.run(state)
    for word in words:
        assert word in str(caught.value)


def test_schema_of_another_owner_in_which_nothing_differs(store):
    store.run(before())
    with role(store, USAGE, READ):
        assert is_actual(using=store.alias, apps=before().apps)
        assert not store.run(before())
        fails_as_role(store, after(), "shop_item belongs to")


def test_tables_of_another_owner_in_one_s_own_schema(store):
    store.run(before())
    with role(store, "GRANT ALL ON SCHEMA store TO {}", READ, "GRANT ALL ON store.automigrate_ext_owned TO {}") as name:
        fails_as_role(store, after(), "permission denied for table shop_item", f"GRANT postgres TO {name}")


def test_first_schema_that_the_role_may_not_use(both):
    """The server passes over it, so its tables seem not to be there: that must not make a second set of them."""
    both.run(before())
    with role(both, "GRANT ALL ON SCHEMA public TO {}") as name:
        with pytest.raises(AutomigrateError) as caught:
            both.run(before())
        assert f"GRANT USAGE ON SCHEMA store TO {name}" in str(caught.value)
        with pytest.raises(AutomigrateError, match="may not use store"):
            automigrate(using=both.alias, apps=before().apps)
    assert tables(both) == ["store.automigrate_ext_owned", "store.shop_item"]


def test_later_schema_that_the_role_may_not_use(places):
    """As where nobody may use public: the tables go to the schema before it."""
    both = places["both"]
    both.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    with role(both, "GRANT ALL ON SCHEMA store TO {}"):
        both.run(before())
        assert tables(both) == ["store.automigrate_ext_owned", "store.shop_item"]


def test_quoted_schema_of_another_owner(public):
    with role(public, "GRANT ALL ON SCHEMA public TO {}") as name:
        state = State(Item={"name": NAME, "Meta": {"db_table": '"store"."item"'}})
        fails_as_role(public, state, "permission denied for schema store", name)
