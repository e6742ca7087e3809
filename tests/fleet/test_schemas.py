"""Runs over many schemas of one PostgreSQL database."""

import threading

import pytest
from asgiref.sync import async_to_sync
from django.contrib.postgres.fields import HStoreField
from django.contrib.postgres.indexes import GinIndex
from django.db import connections, models, transaction
from django.db.models.signals import post_migrate

from automigrate_ext import (
    Answers,
    AutomigrateError,
    Declined,
    Target,
    TargetsFailed,
    UnknownTargets,
    aautoupdate,
    ais_actual,
    automigrate,
    autoupdate,
    is_actual,
    make_plan,
)
from automigrate_ext.backends.postgresql.session import PostgreSQLSession
from automigrate_ext.exceptions import InterruptedFleet
from automigrate_ext.fleet.places import at
from automigrate_ext.fleet.run import FleetRun
from automigrate_ext.fleet.work import Worker
from tests.acceptance.helper import State
from tests.fleet.schemas import NAME, NAMES, Fleet, after, before


@pytest.fixture
def fleet(postgresql):
    return Fleet(postgresql)


@pytest.fixture
def filled(fleet):
    fleet.build(before())
    fleet.fill(before())
    return fleet


@pytest.fixture
def repeated(monkeypatch):
    """The targets that were done by a recipe."""
    names = []
    repeat = Worker.repeat

    def noted(self, target, recipe, *, creates):
        is_done = repeat(self, target, recipe, creates=creates)
        names.extend([target.name] if is_done else [])
        return is_done

    monkeypatch.setattr(Worker, "repeat", noted)
    return names


def test_tables_that_others_made_are_taken_over(filled, repeated):
    report = filled.update(before())
    assert set(filled.statuses(report).values()) == {"matches"} and repeated == ["beta", "core", "delta"]
    filled.assert_settled(before())


def test_changes_are_made_in_each_and_rows_stay(filled, repeated):
    rows = filled.rows("shop_item", "name", "shelf_id")
    report = filled.update(after())
    assert set(filled.statuses(report).values()) == {"changed"}
    assert [shape.targets for shape in report.shapes.values()] == [list(NAMES)]
    assert repeated == ["beta", "core", "delta"]
    filled.assert_settled(after())
    assert filled.rows("shop_item", "name", "shelf_id") == rows
    assert set(filled.rows("shop_item", "price")["delta"]) == {(3,)}


def test_nothing_to_do_is_a_few_queries_for_all(filled):
    filled.update(after())
    few = filled.queries(lambda: filled.update(after()))
    more = Fleet(filled.connection, [f"more{number}" for number in range(20)])
    more.update(after())
    many = more.queries(lambda: more.update(after()))
    assert len(few) == len(many) < 20


def test_targets_that_differ_in_other_ways_have_plans_of_their_own(filled, repeated):
    filled.update(before())
    filled.update(after(), filled.targets[:1])
    with at(filled.targets[1]):
        filled.case.execute("CREATE INDEX by_hand ON shop_item (name)")
    repeated.clear()
    report = filled.update(after())
    assert filled.statuses(report) == {"acme": "matches", "beta": "changed", "core": "changed", "delta": "changed"}
    assert [shape.targets for shape in report.shapes.values()] == [["beta"], ["core", "delta"]]
    assert repeated == ["delta"]
    filled.assert_settled(after(), ["acme", "core", "delta"])


class Refusing:
    """Models that ask of rows what those of one target do not allow."""

    @staticmethod
    def unique():
        return State(Shelf={"name": models.CharField(max_length=20, unique=True)}, Item=items())

    @staticmethod
    def check():
        rule = models.CheckConstraint(condition=models.Q(name__lt="d"), name="early")
        return State(Shelf={"name": NAME, "Meta": {"constraints": [rule]}}, Item=items())

    @staticmethod
    def narrower():
        return State(Shelf={"name": models.CharField(max_length=6)}, Item=items())


def items():
    return {"name": NAME, "shelf": models.ForeignKey("Shelf", models.CASCADE)}


@pytest.mark.parametrize("kind", ["unique", "check", "narrower"])
def test_one_of_many_is_refused_by_its_rows(fleet, kind):
    """The names of shelves are "acme 0", "acme 1" and so on."""
    fleet.build(before())
    fleet.fill(before())
    with at(fleet.target("delta")):
        fleet.case.execute("UPDATE shop_shelf SET name = 'delta twice'" if kind == "unique" else "SELECT 1")
    state = getattr(Refusing, kind)()
    rows = fleet.rows("shop_shelf", "name")
    assert fleet.statuses(make_plan(targets=fleet.targets, apps=state.apps)) == {
        **dict.fromkeys(NAMES, "differs"),
        "delta": "refused",
    }
    report = fleet.update_and_fail(state)
    assert fleet.statuses(report) == {**dict.fromkeys(NAMES, "changed"), "delta": "refused"}
    assert list(report.reasons().values()) == [["delta"]]
    assert fleet.rows("shop_shelf", "name") == rows
    fleet.assert_settled(state, NAMES[:3])
    with at(fleet.target("delta")):
        assert is_actual(using=fleet.alias, apps=before().apps)


def test_values_that_one_target_has_are_kept_there(fleet, repeated):
    state = State(Shelf={"name": NAME, "note": models.CharField(max_length=9, null=True)}, Item=items())
    fleet.build(state)
    with at(fleet.target("core")):
        state["Shelf"]._base_manager.using(fleet.alias).create(name="x", note="keep")
    fleet.update(state)
    report = fleet.update(before())
    assert fleet.statuses(report) == {**dict.fromkeys(NAMES, "changed"), "core": "matches"}
    assert [report.outcomes[name].kept for name in NAMES] == [0, 0, 1, 0]
    with at(fleet.target("core")):
        assert fleet.case.values("shop_shelf", "note") == [("keep",)]
    fleet.assert_settled(before(), ["acme", "beta", "delta"])
    assert is_actual(targets=fleet.targets, apps=before().apps)


def test_a_call_for_each_row_is_made_for_each_row(filled):
    numbers = iter(range(1000))
    state = State(Shelf={"name": NAME, "number": models.IntegerField(default=lambda: next(numbers))}, Item=items())
    filled.update(state)
    drawn = [number for rows in filled.rows("shop_shelf", "number").values() for (number,) in rows]
    assert len(set(drawn)) == len(drawn) == 8


def test_first_targets_have_to_be_well(filled):
    with at(filled.target("acme")):
        filled.case.execute("UPDATE shop_shelf SET name = 'same'")
    state = Refusing.unique()
    report = filled.update_and_fail(state, first=1)
    assert filled.statuses(report) == {
        "acme": "refused",
        "beta": "not begun",
        "core": "not begun",
        "delta": "not begun",
    }
    well = filled.update(state, filled.targets[1:], first="40%")
    assert set(filled.statuses(well).values()) == {"changed"}


@pytest.mark.parametrize("first", ["-1", "x", "5 %%", -3])
def test_first_that_is_no_number(filled, first):
    with pytest.raises(AutomigrateError, match="first"):
        filled.update(after(), first=first)


def test_end_after_so_many_failures(filled):
    for name in ("beta", "core"):
        with at(filled.target(name)):
            filled.case.execute("UPDATE shop_shelf SET name = 'same'")
    report = filled.update_and_fail(Refusing.unique(), max_failures=1)
    assert filled.statuses(report) == {"acme": "changed", "beta": "refused", "core": "not begun", "delta": "not begun"}
    filled.assert_settled(Refusing.unique(), ["acme"])


def test_groups_are_done_in_order(filled, repeated):
    order = []

    def watch(progress):
        order.append(progress.done)

    targets = [filled.target(name, group=group) for name, group in zip(NAMES, "1212", strict=True)]
    with at(targets[0]):
        filled.case.execute("UPDATE shop_shelf SET name = 'same'")
    with pytest.raises(TargetsFailed) as caught:
        autoupdate(targets=targets, apps=Refusing.unique().apps, max_failures=1, progress=watch)
    assert filled.statuses(caught.value.report) == {
        "acme": "refused",
        "core": "not begun",
        "beta": "not begun",
        "delta": "not begun",
    }
    assert order == [1]


class TestAllOrNone:
    def test_all(self, filled):
        report = filled.update(after(), atomic=True)
        assert set(filled.statuses(report).values()) == {"changed"}
        filled.assert_settled(after())

    def test_none(self, filled):
        with at(filled.target("core")):
            filled.case.execute("UPDATE shop_shelf SET name = 'same'")
        rows = filled.rows("shop_shelf", "name")
        report = filled.update_and_fail(Refusing.unique(), atomic=True)
        assert filled.statuses(report) == {"acme": "undone", "beta": "undone", "core": "refused", "delta": "not begun"}
        assert filled.rows("shop_shelf", "name") == rows
        for target in filled.targets:
            with at(target):
                assert not filled.case.query("SELECT 1 FROM pg_class WHERE relname = 'automigrate_ext_owned'")
                assert is_actual(using=filled.alias, apps=before().apps)

    def test_more_locks_than_there_are(self, filled, monkeypatch):
        monkeypatch.setattr(PostgreSQLSession, "lock_budget", lambda session: 20)
        report = filled.update_and_fail(after(), atomic=True)
        assert "max_locks_per_transaction" in next(iter(report.reasons()))
        assert not report.names("changed")
        with at(filled.targets[0]):
            assert is_actual(using=filled.alias, apps=before().apps)

    def test_several_databases(self, filled):
        targets = [*filled.targets, Target(name="other", alias="default")]
        with pytest.raises(UnknownTargets, match="one PostgreSQL database"):
            autoupdate(targets=targets, apps=after().apps, atomic=True)

    def test_several_processes(self, filled):
        with pytest.raises(AutomigrateError, match="Leave out jobs"):
            filled.update(after(), atomic=True, jobs=2)


class TestMissing:
    def test_passed_over(self, filled):
        report = filled.update(after(), [*filled.targets, filled.target("nowhere")])
        assert filled.statuses(report)["nowhere"] == "absent"
        assert is_actual(targets=[*filled.targets, filled.target("nowhere")], apps=after().apps)

    def test_all_missing(self, fleet):
        report = fleet.update(after(), [fleet.target("nowhere"), fleet.target("neither")])
        assert fleet.statuses(report) == {"nowhere": "absent", "neither": "absent"} and not report

    def test_made(self, filled, repeated):
        new = [filled.target(f"new{number}") for number in range(3)]
        report = filled.update(after(), [*filled.targets, *new], create=True)
        assert set(filled.statuses(report).values()) == {"changed"}
        assert {"new1", "new2"} <= set(repeated)
        filled.assert_settled(after(), [*NAMES, *(target.name for target in new)])

    def test_dry_run_makes_none(self, filled):
        report = make_plan(targets=[filled.target("nowhere")], apps=after().apps)
        assert filled.statuses(report) == {"nowhere": "absent"}

    def test_dropped_meanwhile(self, filled, monkeypatch):
        run_stage = FleetRun.lead

        def drop_first(self, shape, targets):
            yield from run_stage(self, shape, targets)
            filled.case.execute("DROP SCHEMA core CASCADE")

        monkeypatch.setattr(FleetRun, "lead", drop_first)
        report = filled.update_and_fail(after())
        assert filled.statuses(report) == {**dict.fromkeys(NAMES, "changed"), "core": "failed"}
        filled.assert_settled(after(), ["acme", "beta", "delta"])

    def test_changed_by_hand_meanwhile(self, filled, monkeypatch):
        """What a recipe was written for is no longer there: the target has a run of its own."""
        lead = FleetRun.lead

        def change_first(self, shape, targets):
            yield from lead(self, shape, targets)
            with at(filled.target("core")):
                filled.case.execute("ALTER TABLE shop_shelf ADD size integer", "ALTER TABLE shop_item ADD note text")

        monkeypatch.setattr(FleetRun, "lead", change_first)
        report = filled.update(after())
        assert filled.statuses(report) == dict.fromkeys(NAMES, "changed")
        filled.assert_settled(after(), ["acme", "beta", "delta"])
        assert is_actual(targets=filled.targets, apps=after().apps)

    def test_changed_by_hand_before_it_is_looked_at_again(self, filled, repeated, monkeypatch):
        """What was repeated is done, and the target is compared, as it is not what the first one is."""
        proven = Worker.proven

        def change_first(self, targets, recipe):
            with at(filled.target("core")):
                filled.case.execute("ALTER TABLE shop_item ADD note text")
            return proven(self, targets, recipe)

        monkeypatch.setattr(Worker, "proven", change_first)
        report = filled.update(after())
        assert filled.statuses(report) == dict.fromkeys(NAMES, "changed") and "core" in repeated
        filled.assert_settled(after(), ["acme", "beta", "delta"])
        assert is_actual(targets=filled.targets, apps=after().apps)


class TestTwoRuns:
    def test_run_of_the_database_keeps_out_runs_of_its_schemas(self, filled):
        other = connections.create_connection(filled.alias)
        try:
            with transaction.atomic(using=filled.alias):
                with other.cursor() as cursor:
                    cursor.execute("BEGIN; SELECT pg_advisory_xact_lock(6171309204113)")
                report = filled.update_and_fail(after(), lock_wait=0)
        finally:
            other.close()
        assert set(filled.statuses(report).values()) == {"failed"}
        assert "Another run" in next(iter(report.reasons()))

    def test_runs_in_two_schemas_do_not_wait_for_each_other(self, filled):
        with at(filled.targets[0]):
            filled.update(after(), filled.targets[:1])
            done = []

            def run_elsewhere():
                try:
                    done.append(filled.update(after(), filled.targets[1:], lock_wait=0))
                finally:
                    connections[filled.alias].close()

            thread = threading.Thread(target=run_elsewhere)
            thread.start()
            thread.join()
        assert set(filled.statuses(done[0]).values()) == {"changed"}
        filled.assert_settled(after())

    def test_two_at_once(self, filled):
        reports = []

        def run():
            try:
                reports.append(filled.update(after()))
            finally:
                connections[filled.alias].close()

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(reports) == 2
        filled.assert_settled(after())


def test_renames_are_asked_about_once_for_all(filled):
    asked = []

    def ask(plan):
        asked.append([likely.option for likely in plan.likely_renames])
        return Answers(renames={"shop.Shelf.name": "title"})

    state = State(Shelf={"title": NAME}, Item=items())
    rows = filled.rows("shop_shelf", "name")
    report = filled.update(state, ask=ask)
    assert set(filled.statuses(report).values()) == {"changed"}
    assert asked == [["shop.Shelf.name=title"], []]
    assert filled.rows("shop_shelf", "title") == rows
    filled.assert_settled(state)


def test_answered_with_no(filled):
    def decline(plan):
        raise Declined

    with pytest.raises(Declined):
        filled.update(after(), ask=decline)
    assert is_actual(targets=filled.targets, apps=before().apps)


def test_renames_that_are_named(filled):
    state = State(Shelf={"title": NAME}, Item=items())
    rows = filled.rows("shop_shelf", "name")
    filled.update(state, renames={"shop.Shelf.name": "title"})
    assert filled.rows("shop_shelf", "title") == rows
    filled.assert_settled(state)


def test_value_for_rows_that_have_none(filled):
    state = State(Shelf={"name": NAME, "number": models.IntegerField()}, Item=items())
    report = filled.update_and_fail(state)
    assert set(filled.statuses(report).values()) == {"refused"}
    filled.update(state, defaults={"shop.Shelf.number": 7})
    assert {value for rows in filled.rows("shop_shelf", "number").values() for value in rows} == {(7,)}
    filled.assert_settled(state)


def test_signals_are_sent_in_each(filled):
    """A receiver of the project's sees the tables of the target that it is sent for."""
    seen = []

    def receive(using, **options):
        with connections[using].cursor() as cursor:
            cursor.execute("SELECT current_schema()")
            seen.append(cursor.fetchone()[0])

    post_migrate.connect(receive)
    try:
        filled.update(after())
    finally:
        post_migrate.disconnect(receive)
    assert set(seen) == set(NAMES)


@pytest.mark.parametrize("failing", [NAMES[0], NAMES[2]], ids=["the first", "one that repeats"])
def test_error_of_the_projects_own_code_is_that_target_s(filled, failing, caplog):
    """What a receiver raises in one target is undone there, and named; the others are done."""
    is_failing = True

    def receive(using, **options):
        with connections[using].cursor() as cursor:
            cursor.execute("SELECT current_schema()")
            if is_failing and cursor.fetchone()[0] == failing:
                raise ValueError(f"no seeds for {failing}")

    post_migrate.connect(receive)
    try:
        report = filled.update_and_fail(after())
        statuses = filled.statuses(report)
        assert statuses.pop(failing) == "failed" and set(statuses.values()) == {"changed"}
        (reason,) = report.reasons()
        assert reason.startswith(f"ValueError: no seeds for {failing} ({__file__}, line ")
        assert any(record.exc_info for record in caplog.records if failing in record.getMessage())
        is_failing = False
        assert filled.statuses(filled.update(after()))[failing] == "changed"
    finally:
        post_migrate.disconnect(receive)
    filled.assert_settled(after())


def test_other_tables_of_the_same_name_in_public(filled):
    """The tables of a target are those of its schema, whatever public has."""
    filled.case.build(before())
    filled.update(after())
    filled.assert_settled(after())
    assert is_actual(using=filled.alias, apps=before().apps)


def test_extension_that_the_models_need(filled, repeated):
    """It is made once, by the first target, and found by the others in the schema that all share."""
    state = State(
        Shelf={"name": NAME, "facts": HStoreField(null=True)},
        Item={**items(), "Meta": {"indexes": [GinIndex(fields=["name"], name="trigrams", opclasses=["gin_trgm_ops"])]}},
    )
    report = filled.update(state)
    assert set(filled.statuses(report).values()) == {"changed"} and len(repeated) == 3
    places = filled.case.query("SELECT extname, extnamespace::regnamespace::text FROM pg_extension ORDER BY 1")
    assert {("hstore", "public"), ("pg_trgm", "public")} <= set(places)
    filled.assert_settled(state)
    assert not filled.update(state)


def test_type_of_another_schema(filled, repeated):
    """What a type is called in a schema that all share is the same for all."""
    filled.case.execute('CREATE COLLATION shared_c FROM "C"')
    state = State(
        Shelf={"name": NAME, "code": models.CharField(max_length=9, null=True, db_collation="shared_c")}, Item=items()
    )
    filled.update(state)
    assert len(repeated) == 3
    filled.assert_settled(state)
    filled.case.execute("ALTER COLLATION shared_c RENAME TO other_c")
    assert not is_actual(targets=filled.targets, apps=state.apps)


def test_names_that_need_quotes(postgresql):
    fleet = Fleet(postgresql, ['Acme "Ltd."', "two words", "UPPER", "user"])
    fleet.build(before())
    fleet.fill(before())
    fleet.update(after())
    fleet.assert_settled(after())


def test_tables_dropped_and_made_again(filled):
    report = automigrate(targets=filled.targets, apps=after().apps)
    assert set(filled.statuses(report).values()) == {"changed"}
    filled.assert_settled(after())
    assert not any(filled.rows("shop_item", "name").values())


def test_search_path_is_as_before(filled):
    query = "SELECT current_setting('search_path')"
    path = filled.case.query(query)
    filled.update(after())
    assert filled.case.query(query) == path
    filled.update_and_fail(State(Shelf={"name": models.CharField(max_length=2)}, Item=items()))
    assert filled.case.query(query) == path


class ByPlace:
    """A router that asks where the connection works, as those of packages for tenants do."""

    def allow_migrate(self, db, app_label, model_name=None, **hints):
        with connections["postgresql_scratch"].cursor() as cursor:
            cursor.execute("SELECT current_schema()")
            (place,) = cursor.fetchone()
        return (place == "public") == (model_name == "shelf")


def test_router_that_asks_where_it_is(filled, repeated, settings):
    settings.DATABASE_ROUTERS = [ByPlace()]
    state = State(Shelf={"name": NAME}, Item={"name": NAME, "price": models.IntegerField(null=True)})
    report = filled.update(state)
    assert set(filled.statuses(report).values()) == {"changed"}
    with at(filled.targets[0]):
        assert is_actual(using=filled.alias, apps=state.apps, fingerprint=False)
    repeated.clear()
    assert not filled.update(state) and not repeated


def test_models_of_some_targets(filled):
    """A target may have models of its own."""
    targets = [filled.target("acme", models=("shop.Shelf",)), filled.target("beta")]
    report = autoupdate(targets=targets, apps=after().apps)
    assert set(filled.statuses(report).values()) == {"changed"}
    with at(targets[0]):
        assert is_actual("shop.Shelf", using=filled.alias, apps=after().apps)
        assert not is_actual("shop.Label", using=filled.alias, apps=after().apps)
    filled.assert_settled(after(), ["beta"])


@pytest.mark.parametrize("options", [{"jobs": 2}, {"first": 1}, {"max_failures": 1}, {"atomic": True}, {"queue": True}])
def test_options_of_targets_without_targets(options):
    with pytest.raises(AutomigrateError, match=next(iter(options))):
        autoupdate(**options)


def test_a_line_of_the_log_for_each_target(filled, caplog):
    with at(filled.target("core")):
        filled.case.execute("UPDATE shop_shelf SET name = 'same'")
    with caplog.at_level("INFO", logger="automigrate_ext"):
        filled.update_and_fail(Refusing.unique())
    lines = [(record.levelname, record.getMessage()) for record in caplog.records if "Target" in record.getMessage()]
    assert [level for level, _ in lines] == ["INFO", "INFO", "WARNING", "INFO"]
    assert lines[0][1] == "Target acme changed, 2 changes" and lines[2][1].startswith("Target core refused: ")


def test_ctrl_c_reports_what_was_done(filled, monkeypatch):
    alone = Worker.alone

    def interrupted(self, target, shape="", *, creates=False):
        if target.name == "core":
            raise KeyboardInterrupt
        return alone(self, target, shape, creates=creates)

    monkeypatch.setattr(Worker, "alone", interrupted)
    state = State(Shelf={"name": models.CharField(max_length=30)}, Item=items())
    with pytest.raises(InterruptedFleet) as caught:
        filled.update(state)
    assert filled.statuses(caught.value.report) == {
        "acme": "changed",
        "beta": "changed",
        "core": "not begun",
        "delta": "not begun",
    }
    monkeypatch.undo()
    assert set(filled.statuses(filled.update(state)).values()) == {"changed", "matches"}
    filled.assert_settled(state)


def test_async_twins(filled):
    assert not async_to_sync(ais_actual)(targets=filled.targets, apps=after().apps)
    report = async_to_sync(aautoupdate)(targets=filled.targets, apps=after().apps)
    assert len(report.names("changed")) == 4
    assert async_to_sync(ais_actual)(targets=filled.targets, apps=after().apps)


def test_role_that_may_only_read(filled):
    """Each target fails with the way out; a look needs no right to write."""
    filled.update(before())
    filled.case.execute(
        "DROP ROLE IF EXISTS fleet_reader",
        "CREATE ROLE fleet_reader",
        *(f"GRANT USAGE ON SCHEMA {name} TO fleet_reader" for name in NAMES),
        *(f"GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO fleet_reader" for name in NAMES),
        "SET ROLE fleet_reader",
    )
    try:
        assert is_actual(targets=filled.targets, apps=before().apps)
        assert set(filled.statuses(filled.update(before())).values()) == {"matches"}
        report = filled.update_and_fail(after())
    finally:
        filled.case.execute("RESET ROLE", "DROP OWNED BY fleet_reader", "DROP ROLE fleet_reader")
    assert set(filled.statuses(report).values()) == {"failed"}
    assert "fleet_reader" in next(iter(report.reasons()))
    with at(filled.targets[1]):
        assert is_actual(using=filled.alias, apps=before().apps)


def test_expand_is_repeated_and_then_contracted(postgresql):
    fleet, old, new = Fleet(postgresql), before(), after()
    fleet.build(old)
    fleet.fill(old)
    report = fleet.update(new, expand=True)
    assert set(fleet.statuses(report).values()) == {"changed"} and len(report.shapes) == 1
    (shape,) = report.shapes.values()
    assert shape.plan.postponed
    fleet.fill(old)
    again = fleet.update(new, expand=True)
    assert set(fleet.statuses(again).values()) == {"matches"}
    assert not is_actual(targets=fleet.targets, apps=new.apps)
    assert make_plan(targets=fleet.targets, apps=new.apps).is_expanded
    fleet.update(new, contract=True)
    fleet.assert_settled(new)
