"""Where nothing has changed since the last run, one query answers; whatever has changed is compared."""

import json
from contextlib import contextmanager

import django
import pytest
from django.db import connections, models, transaction
from django.db.models.signals import pre_migrate
from django.test.utils import CaptureQueriesContext

import automigrate_ext
from automigrate_ext import automigrate, autoupdate, is_actual, make_plan
from automigrate_ext.backends.fingerprint import FINGERPRINT
from automigrate_ext.declared.selection import select
from automigrate_ext.run import basis
from automigrate_ext.run.options import Options
from automigrate_ext.run.record_table import RecordTable
from automigrate_ext.run.standing import SEALS, Seal, Standing
from automigrate_ext.signals import post_run
from tests.acceptance.helper import Case, State, item

NAME = {"name": models.CharField(max_length=20)}
BOTH = {**NAME, "size": models.IntegerField(null=True)}


@pytest.fixture
def case(connection):
    return Case(connection, "autoupdate")


def two(**fields):
    """Two models, of which one points at the other."""
    part = {"whole": models.ForeignKey("Item", models.CASCADE, db_constraint=True), **NAME}
    return State(Item={**BOTH, **fields}, Part=part)


def standing(case, state, labels=None, **options):
    return Standing(select(labels, case.alias, state.apps), Options(**options))


def is_known(case, state, labels=None, **options):
    """Whether one query is enough to find nothing to do."""
    return standing(case, state, labels, **options).find() is not None


def queries(case, verb, state, **options):
    with CaptureQueriesContext(connections[case.alias]) as captured:
        result = verb(using=case.alias, apps=state.apps, **options)
    return [query["sql"] for query in captured.captured_queries], result


def seals(case):
    return RecordTable(case.alias).read_notes_of(FINGERPRINT)


@pytest.mark.parametrize("first", [autoupdate, automigrate])
@pytest.mark.parametrize("verb", [is_actual, make_plan, autoupdate])
def test_one_query_where_nothing_has_changed(case, first, verb):
    state = two()
    first(using=case.alias, apps=state.apps)
    sent, result = queries(case, verb, state)
    assert len(sent) == 1
    assert result is True if verb is is_actual else not result


def test_one_query_for_any_number_of_models(case):
    state = State(**{f"M{n}": dict(BOTH) for n in range(60)})
    autoupdate(using=case.alias, apps=state.apps)
    sent, result = queries(case, is_actual, state)
    assert result and len(sent) == 1


def test_neither_lock_nor_scratch_nor_signal(case):
    state = two()
    autoupdate(using=case.alias, apps=state.apps)
    received = []
    receiver = lambda **options: received.append(options["using"])  # noqa: E731 - kept as long as the test
    pre_migrate.connect(receiver)
    try:
        (sent,), _ = queries(case, autoupdate, state)
    finally:
        pre_migrate.disconnect(receiver)
    assert received == []
    assert not [word for word in ("lock", "BEGIN", "CREATE TEMP", "SAVEPOINT") if word in sent]


def test_plan_is_the_one_that_a_comparison_makes(case):
    state = two()
    case.build(state)
    case.execute('CREATE INDEX "by_hand" ON "shop_item" ("size")')
    case.run(state)
    assert is_known(case, state)
    found, compared = case.plan_by_fingerprint(state), case.plan(state)
    assert found.foreign == compared.foreign != ()
    assert found.as_dict() == compared.as_dict()
    assert found == compared and found.schema == compared.schema


def test_tables_made_by_migrate_are_known_after_one_run(case):
    state = two()
    Case(case.connection, "syncdb").build(state)
    assert is_actual(using=case.alias, apps=state.apps)
    assert not is_known(case, state)
    autoupdate(using=case.alias, apps=state.apps)
    assert is_known(case, state)


# What is in the digests


@pytest.mark.parametrize("after", [two(more=models.IntegerField(null=True)), item(**NAME), two(size=BOTH["size"])])
def test_other_models(case, after):
    before = two()
    autoupdate(using=case.alias, apps=before.apps)
    assert is_known(case, after) == (after["Item"]._meta.get_fields()[-1].name == "size")


def test_digits_that_no_type_has(case):
    """SQLite has one type for all numbers of digits."""
    states = [item(price=models.DecimalField(max_digits=digits, decimal_places=2)) for digits in (9, 5)]
    autoupdate(using=case.alias, apps=states[0].apps)
    case.insert(states[0], {"Item": [{"price": "12345.67"}]})
    assert is_known(case, states[0]) and not is_known(case, states[1])
    assert not is_actual(using=case.alias, apps=states[1].apps)


def change_a_version(monkeypatch, settings, alias):
    monkeypatch.setattr(automigrate_ext, "__version__", "99")


def change_django(monkeypatch, settings, alias):
    monkeypatch.setattr(django, "get_version", lambda: "99")


def change_the_form(monkeypatch, settings, alias):
    monkeypatch.setattr(basis, "FORM", 99)


def change_time_zones(monkeypatch, settings, alias):
    settings.USE_TZ = not settings.USE_TZ


def add_a_hook(monkeypatch, settings, alias):
    settings.AUTOMIGRATE = {"AFTER": {alias: ["tests.run.test_standing.hook"]}}


def add_a_rename(monkeypatch, settings, alias):
    settings.AUTOMIGRATE = {"RENAMES": {"shop.Former": "Item"}}


def hook(using):
    pass


@pytest.mark.parametrize(
    "change",
    [change_a_version, change_django, change_the_form, change_time_zones, add_a_hook, add_a_rename],
    ids=lambda change: change.__name__,
)
def test_whatever_else_decides(case, monkeypatch, settings, change):
    state = two()
    autoupdate(using=case.alias, apps=state.apps)
    assert is_known(case, state)
    change(monkeypatch, settings, case.alias)
    assert not is_known(case, state)


def test_version_of_the_server(case, monkeypatch):
    state = two()
    autoupdate(using=case.alias, apps=state.apps)
    monkeypatch.setattr(type(case.connection), "get_database_version", lambda self: (99, 9))
    assert not is_known(case, state)


def test_version_of_the_driver(case, monkeypatch):
    state = two()
    autoupdate(using=case.alias, apps=state.apps)
    monkeypatch.setattr(case.connection.Database, "__version__", "99", raising=False)
    assert not is_known(case, state)


def test_permissions(case):
    before, after = item(**NAME), item(**NAME, Meta={"permissions": [("eat", "Can eat")]})
    autoupdate(using=case.alias, apps=before.apps)
    assert is_known(case, before) and not is_known(case, after)


# What is in the fingerprint


def test_record_that_was_tampered_with(case):
    state = two()
    autoupdate(using=case.alias, apps=state.apps)
    case.execute("""UPDATE automigrate_ext_owned SET objects_owned = '{}' WHERE name = 'shop_item'""")
    assert not is_known(case, state)


def test_record_that_is_gone(case):
    state = two()
    autoupdate(using=case.alias, apps=state.apps)
    case.execute("DROP TABLE automigrate_ext_owned")
    assert not is_known(case, state)
    assert is_actual(using=case.alias, apps=state.apps)
    with transaction.atomic(using=case.alias):
        assert is_actual(using=case.alias, apps=state.apps)
        assert case.values("shop_item", "name") == []


SPOILT = dict.fromkeys(Seal.__dataclass_fields__, 5)


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"tables": {}}', json.dumps(SPOILT)])
def test_seal_that_this_version_has_not_written(case, text):
    state = two()
    autoupdate(using=case.alias, apps=state.apps)
    case.execute(f"UPDATE automigrate_ext_owned SET objects_owned = '{text}' WHERE name LIKE '{FINGERPRINT}%'")
    assert not is_known(case, state)
    assert is_actual(using=case.alias, apps=state.apps)
    autoupdate(using=case.alias, apps=state.apps)
    assert is_known(case, state)


def test_rows_are_not_in_it(case):
    state = two()
    autoupdate(using=case.alias, apps=state.apps)
    case.insert(state, {"Item": [{"name": "a"}, {"name": "b"}]})
    assert is_known(case, state)


def test_comment_that_looks_like_the_number_of_the_next_row(mariadb):
    case = Case(mariadb, "autoupdate")
    state = item(name=models.CharField(max_length=20, db_comment="x AUTO_INCREMENT=1"))
    autoupdate(using=case.alias, apps=state.apps)
    case.execute("ALTER TABLE shop_item MODIFY name varchar(20) NOT NULL COMMENT 'x AUTO_INCREMENT=2'")
    assert not is_known(case, state) and not is_actual(using=case.alias, apps=state.apps)


def test_characters_that_the_server_does_not_print(mariadb):
    """MariaDB prints one mark for all characters beyond the first plane in defaults and values of enum and set."""
    case = Case(mariadb, "autoupdate")
    state = item(name=models.CharField(max_length=20, db_default="\U0001f600"))
    autoupdate(using=case.alias, apps=state.apps)
    case.execute("ALTER TABLE shop_item MODIFY name varchar(20) NOT NULL DEFAULT '\U0001f389'")
    assert not is_known(case, state) and not is_actual(using=case.alias, apps=state.apps)
    case.execute("ALTER TABLE shop_item MODIFY name varchar(20) NOT NULL DEFAULT '\U0001f600'")
    assert is_actual(using=case.alias, apps=state.apps)


@pytest.mark.parametrize("text", ["why?", "a\nb?", "it''s?"])
def test_marks_in_comments_are_no_characters_that_were_lost(mariadb, text):
    case = Case(mariadb, "autoupdate")
    state = item(name=models.CharField(max_length=20, db_comment=text, db_default="x"))
    autoupdate(using=case.alias, apps=state.apps)
    assert is_known(case, state)


def test_tables_that_the_models_point_at_are_in_it(case):
    """A collation of another model's key decides about a new foreign key on MariaDB."""
    state = two()
    autoupdate(using=case.alias, apps=state.apps)
    only = standing(case, state, ["shop.Part"])
    assert "shop_item" in only.names


def test_table_that_a_hint_names(case):
    state = item(**NAME, former_names={"Item": "Former"})
    autoupdate(using=case.alias, apps=state.apps)
    known = is_known(case, state)
    case.execute('CREATE TABLE "shop_former" ("id" integer NOT NULL)')
    assert known and not is_known(case, state)


POSTGRESQL = {
    "type renamed": ("CREATE TYPE mood AS ENUM ('a')", "ALTER TYPE mood RENAME TO humour"),
    "function renamed": (
        "CREATE FUNCTION one() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "ALTER FUNCTION one() RENAME TO eins",
    ),
    "collation of the cluster renamed": (
        "SELECT 1",
        """
        DO $$ DECLARE found text; BEGIN
            SELECT collname INTO STRICT found FROM pg_collation WHERE oid BETWEEN 12000 AND 16383 LIMIT 1;
            EXECUTE format('ALTER COLLATION %I RENAME TO renamed', found);
        END $$
        """,
    ),
    "collation renamed": ('CREATE COLLATION c FROM "C"', "ALTER COLLATION c RENAME TO d"),
    "search path": ("CREATE SCHEMA other", "SET search_path = public, other"),
    "tablespace": ("SELECT 1", "SET default_tablespace = pg_default"),
    "dates": ("SELECT 1", "SET DateStyle = 'German'"),
    "extension": ("SELECT 1", "CREATE EXTENSION hstore"),
    "shadowed": ("CREATE SCHEMA first", "SET search_path = first, public"),
}


@pytest.mark.parametrize("name", POSTGRESQL)
def test_surroundings_on_postgresql(postgresql, name):
    case = Case(postgresql, "autoupdate")
    before, after = POSTGRESQL[name]
    assert_noticed(case, two(), [before], after)


def assert_noticed(case, state, before, after):
    """What a run has left behind statements is known, and no longer after a further one; all of it is undone."""
    with transaction.atomic(using=case.alias):
        case.execute(*before)
        autoupdate(using=case.alias, apps=state.apps)
        assert is_known(case, state)
        case.execute(after)
        assert not is_known(case, state)
        transaction.set_rollback(True, using=case.alias)


ELSEWHERE = "CREATE SCHEMA other; CREATE TYPE other.mood AS ENUM ('a'); CREATE DOMAIN other.short AS varchar(3)"
FUNCTION = "CREATE FUNCTION other.one() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1'"
#: What a table uses from a schema that is not on the search path, and what changes there.
USED = {
    "type": ("ALTER TABLE shop_item ADD mood other.mood", "ALTER TYPE other.mood RENAME TO humour"),
    "type in a new schema": ("ALTER TABLE shop_item ADD mood other.mood", "ALTER SCHEMA other RENAME TO another"),
    "domain": ("ALTER TABLE shop_item ADD short other.short", "ALTER DOMAIN other.short RENAME TO shorter"),
    "domain of a domain": (
        "CREATE DOMAIN other.shorter AS other.short; ALTER TABLE shop_item ADD short other.shorter",
        "ALTER DOMAIN other.short RENAME TO brief",
    ),
    "array": ("ALTER TABLE shop_item ADD mood other.mood[]", "ALTER TYPE other.mood RENAME TO humour"),
    "default": ("ALTER TABLE shop_item ADD one int DEFAULT other.one()", "ALTER FUNCTION other.one() RENAME TO eins"),
    "check": ("ALTER TABLE shop_item ADD CHECK (other.one() = 1)", "ALTER FUNCTION other.one() RENAME TO eins"),
    "index": ("CREATE INDEX ON shop_item ((other.one()))", "ALTER FUNCTION other.one() RENAME TO eins"),
}


@pytest.mark.parametrize("name", USED)
def test_what_a_table_uses_from_a_schema_outside_the_path(postgresql, name):
    case = Case(postgresql, "autoupdate")
    use, change = USED[name]
    state = two()
    case.build(state)
    assert_noticed(case, state, [ELSEWHERE, FUNCTION, use], change)


def test_what_no_table_uses_outside_the_path(postgresql):
    """What happens in the schema of another tenant is of no concern."""
    case = Case(postgresql, "autoupdate")
    state = two()
    case.build(state)
    with transaction.atomic(using=case.alias):
        case.execute(ELSEWHERE, FUNCTION, "CREATE TABLE other.own (mood other.mood, one int DEFAULT other.one())")
        assert is_known(case, state)
        case.execute("ALTER TYPE other.mood RENAME TO humour", "ALTER FUNCTION other.one() RENAME TO eins")
        case.execute("ALTER SCHEMA other RENAME TO another", "CREATE SCHEMA more")
        assert is_known(case, state)
        transaction.set_rollback(True, using=case.alias)


def test_target_outside_the_models(postgresql):
    """A column at which a key by hand points is printed with its name."""
    case = Case(postgresql, "autoupdate")
    state = item(**BOTH)
    case.build(state)
    case.execute(
        "CREATE TABLE other (id integer PRIMARY KEY)",
        "ALTER TABLE shop_item ADD CONSTRAINT by_hand FOREIGN KEY (size) REFERENCES other (id)",
    )
    autoupdate(using=case.alias, apps=state.apps)
    assert is_known(case, state)
    case.execute("ALTER TABLE other RENAME id TO number")
    assert not is_known(case, state)
    autoupdate(using=case.alias, apps=state.apps)
    case.execute("ALTER TABLE other RENAME TO elsewhere")
    assert not is_known(case, state)


def test_maintenance_leaves_it_as_it_is(case):
    state = two()
    autoupdate(using=case.alias, apps=state.apps)
    case.insert(state, {"Item": [{"name": "a"}]})
    case.execute(
        *{
            "postgresql": ["VACUUM ANALYZE shop_item", "TRUNCATE shop_item CASCADE", "REINDEX TABLE shop_item"],
            "sqlite": ["ANALYZE", "REINDEX", "VACUUM"],
            "mysql": ["ANALYZE TABLE shop_item", "OPTIMIZE TABLE shop_item"],
        }[case.vendor]
    )
    assert is_known(case, state)


# When a seal is made


@contextmanager
def executed_late(case, sql):
    """Execute a statement once the runs of the block have compared their tables for the last time."""

    def execute(**options):
        case.execute(sql)

    post_run.connect(execute)
    try:
        yield
    finally:
        post_run.disconnect(execute)


def test_change_while_the_run_goes_on_leaves_no_seal(case):
    """A receiver, or somebody else, may change a table after it was compared."""
    state = two()
    with executed_late(case, 'ALTER TABLE "shop_item" ADD COLUMN "late" integer NULL'):
        autoupdate(using=case.alias, apps=state.apps)
    assert not is_known(case, state)
    assert case.plan(state).foreign == case.plan_by_fingerprint(state).foreign == ("column shop_item.late",)


def test_change_of_a_type_while_the_run_goes_on_leaves_no_seal(postgresql):
    case, state = Case(postgresql, "autoupdate"), two()
    with executed_late(case, "CREATE TYPE mood AS ENUM ('a')"):
        autoupdate(using=case.alias, apps=state.apps)
    assert not is_known(case, state)
    autoupdate(using=case.alias, apps=state.apps)
    assert is_known(case, state)


def test_failed_run_leaves_none(case):
    before, after = item(**BOTH), item(**NAME, size=models.IntegerField())
    case.build(before)
    case.insert(before, {"Item": [{"name": "a", "size": None}]})
    with pytest.raises(automigrate_ext.Refused):
        case.run(after)
    assert not is_known(case, after)


def test_dry_runs_write_nothing(case):
    state = two()
    Case(case.connection, "syncdb").build(state)
    make_plan(using=case.alias, apps=state.apps)
    is_actual(using=case.alias, apps=state.apps)
    assert not case.backend.existing(["automigrate_ext_owned"])


def test_removed_tables_after_automigrate(case):
    before, after = two(), item(**NAME)
    autoupdate(using=case.alias, apps=before.apps)
    automigrate(using=case.alias, apps=after.apps)
    assert not is_known(case, after)
    assert not is_actual(using=case.alias, apps=after.apps)


# What is withheld


def withheld(case):
    before, after = item(**BOTH), item(**NAME)
    case.build(before)
    case.insert(before, {"Item": [{"name": "a", "size": 1}]})
    case.run(after)
    return after


def test_two_queries_where_something_is_withheld(case):
    state = withheld(case)
    sent, result = queries(case, is_actual, state)
    assert result and len(sent) == 2
    assert case.plan_by_fingerprint(state) == case.plan(state)
    assert not is_known(case, state, accept_data_loss=True)


def test_withheld_column_that_was_emptied(case):
    state = withheld(case)
    case.execute('UPDATE "shop_item" SET "size" = NULL')
    assert not is_known(case, state)
    assert not is_actual(using=case.alias, apps=state.apps)


def test_withheld_table_that_was_emptied_or_is_gone(case):
    before, after = two(), item(**BOTH)
    case.build(before)
    case.insert(before, {"Item": [{"name": "a"}]})
    case.insert(before, {"Part": [{"name": "a", "whole_id": 1}]})
    case.run(after)
    assert is_known(case, after)
    case.execute('DELETE FROM "shop_part"')
    assert not is_known(case, after)
    case.execute('DROP TABLE "shop_part"')
    assert not is_known(case, after)


# Selections, options, settings


def test_whole_database_answers_for_a_part_of_it(case):
    state = two()
    autoupdate(using=case.alias, apps=state.apps)
    sent, result = queries(case, is_actual, state, models=["shop.Part"])
    assert result and len(sent) == 1
    plan = make_plan("shop.Part", using=case.alias, apps=state.apps)
    assert plan == make_plan("shop.Part", using=case.alias, apps=state.apps, fingerprint=False)


def test_part_does_not_answer_for_the_whole(case):
    state = two()
    autoupdate("shop.Item", using=case.alias, apps=state.apps)
    assert is_known(case, state, ["shop.Item"])
    assert not is_known(case, state) and not is_known(case, state, ["shop.Part"])


def test_few_seals_are_kept(case):
    states = [State(**{f"M{number}": NAME for number in range(count)}) for count in range(1, 2 * SEALS)]
    for state in states:
        autoupdate(using=case.alias, apps=state.apps)
    assert len(seals(case)) == SEALS
    assert is_known(case, states[-1])


@pytest.mark.parametrize("options", [{"prune": True}, {"renames": {"shop_a": "shop_b"}}, {"fingerprint": False}])
def test_options_that_are_compared(case, options):
    state = two()
    autoupdate(using=case.alias, apps=state.apps)
    assert not is_known(case, state, **options)


def test_setting(case, settings):
    settings.AUTOMIGRATE = {"FINGERPRINT": False}
    state = two()
    autoupdate(using=case.alias, apps=state.apps)
    assert seals(case) == {} and not is_known(case, state)
    settings.AUTOMIGRATE = {}
    autoupdate(using=case.alias, apps=state.apps)
    assert len(seals(case)) == 1
    settings.AUTOMIGRATE = {"FINGERPRINT": False}
    assert not is_known(case, state)


def test_session_that_only_reads_has_the_answer(postgresql):
    """To compare takes temporary tables, which such a session cannot make."""
    case = Case(postgresql, "syncdb")
    state = two()
    case.build(state)
    reading, writing = (f"SET default_transaction_read_only = {value}" for value in ("on", "off"))
    try:
        case.execute(reading)
        with pytest.raises(automigrate_ext.AutomigrateError, match="only read here"):
            is_actual(using=case.alias, apps=state.apps)
        case.execute(writing)
        autoupdate(using=case.alias, apps=state.apps)
        case.execute(reading)
        assert is_actual(using=case.alias, apps=state.apps)
        assert not autoupdate(using=case.alias, apps=state.apps)
        assert not make_plan(using=case.alias, apps=state.apps)
    finally:
        case.execute(writing)
