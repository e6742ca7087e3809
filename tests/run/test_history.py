"""The history of runs in the record: one entry for each run that has changed something, and nothing for any other."""

import hashlib
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import django
import pytest
from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.db import models
from django.test.utils import CaptureQueriesContext

import automigrate_ext
from automigrate_ext import (
    AutomigrateError,
    ExecutionFailed,
    Refused,
    Target,
    ahistory,
    automigrate,
    autoupdate,
    conf,
    history,
    is_actual,
    make_plan,
    run_plan,
    startup,
)
from automigrate_ext.backends import BACKENDS
from automigrate_ext.declared.selection import select
from automigrate_ext.fleet.places import at
from automigrate_ext.managers import forget
from automigrate_ext.pending.mismatches import apply_plan
from automigrate_ext.plan.history import lines, parse
from automigrate_ext.process import started_by
from automigrate_ext.run.history import LISTED, LONGEST, Chronicle, name_of
from automigrate_ext.run.record_table import RecordTable
from automigrate_ext.signals import post_run
from automigrate_ext.starts.first_query import bring_up_to_date
from automigrate_ext.testing.bootstrap import update_tables
from tests.acceptance.helper import Case, State, item
from tests.backends.test_faults import TEMPORARY, role
from tests.features import has, is_generic, need
from tests.fleet.schemas import Fleet, after, before
from tests.several import databases, memory
from todo_demo.todo.models import TodoListImage

NAME = models.CharField(max_length=20)


@pytest.fixture
def case(connection):
    return Case(connection, "autoupdate")


@contextmanager
def failing(signal=post_run):
    """Let a receiver fail, with a value of a row in its message."""

    def fail(**options):
        raise RuntimeError("value s3cret of a row")

    signal.connect(fail)
    try:
        yield
    finally:
        signal.disconnect(fail)


def outcomes(case):
    return [run.outcome for run in history(using=case.alias)]


def texts(case):
    return "\n".join(text for _, text in RecordTable(case.alias).read_notes_of("").items())


def test_each_run_that_changes_something_has_an_entry(case):
    began = datetime.now(UTC)
    assert history(using=case.alias) == ()
    one, two = item(name=NAME), item(name=NAME, size=models.IntegerField(null=True))
    case.run(one)
    case.run(two)
    plan = automigrate(using=case.alias, apps=two.apps)
    last, middle, first = history(using=case.alias)
    assert [run.command for run in (first, middle, last)] == ["autoupdate", "autoupdate", "automigrate"]
    assert began <= first.began <= middle.began <= last.began <= datetime.now(UTC)
    assert {run.outcome for run in (first, middle, last)} == {"applied"}
    assert middle.changes[0].startswith("Add column shop_item.size") and middle.change_count == 1
    assert last.finished == last.statement_count == len(plan.statements)
    assert last.digest == hashlib.sha256("\0".join(plan.statements).encode()).hexdigest()
    assert last.statements == plan.statements or is_generic(case.connection)
    assert (first.database, first.origin, first.models, first.error) == (case.alias, "python", None, "")
    assert (first.package, first.django) == (automigrate_ext.__version__, django.get_version())
    assert first.server.startswith(case.connection.display_name) and first.user == case.connection.settings_dict["USER"]
    assert first.seconds is not None and 0 < first.seconds < 60


def test_what_changes_nothing_leaves_no_entry(case):
    one, two = item(name=NAME), item(name=NAME, size=models.IntegerField(null=True))
    make_plan(using=case.alias, apps=one.apps)
    assert not case.backend.existing(["automigrate_ext_owned"])
    case.run(one)
    for fingerprint in (True, False):
        assert not autoupdate(using=case.alias, apps=one.apps, fingerprint=fingerprint)
    make_plan(using=case.alias, apps=two.apps)
    assert not is_actual(using=case.alias, apps=two.apps)
    autoupdate(using=case.alias, apps=two.apps, dry_run=True)
    automigrate(using=case.alias, apps=two.apps, dry_run=True)
    one["Item"].objects.using(case.alias).create(name="a")
    with pytest.raises(Refused):
        case.run(item(name=NAME, size=models.IntegerField()))
    assert len(outcomes(case)) == 1


def test_labels_and_saved_plans(case):
    state = State(Item={"name": NAME}, Part={"name": NAME})
    autoupdate(["shop.Item"], using=case.alias, apps=state.apps)
    run_plan(make_plan(using=case.alias, apps=state.apps), apps=state.apps)
    saved, labelled = history(using=case.alias)
    assert labelled.models == ("shop.Item",) and saved.models is None
    assert [len(run.changes) for run in (saved, labelled)] == [1, 1]


def test_values_of_rows_are_not_recorded(case):
    case.run(item(name=NAME))
    state = item(
        name=NAME, key=models.CharField(max_length=20), token=models.CharField(max_length=20, default="s3cret")
    )
    item(name=NAME)["Item"].objects.using(case.alias).create(name="a")
    case.run(state, defaults={"shop.Item.key": "s3cret"})
    assert case.values("shop_item", "key", "token") == [("s3cret", "s3cret")]
    last = history(using=case.alias)[0]
    assert any(statement.startswith("sha256:") for statement in last.statements)
    assert "s3cret" not in texts(case)


def test_long_statements_and_many_changes_are_cut(case):
    wide = {f"column_{number}": NAME for number in range(40)}
    state = State(**{f"M{number}": {"name": NAME} for number in range(LISTED + 5)}, Wide=wide)
    plan = automigrate(using=case.alias, apps=state.apps)
    (run,) = history(using=case.alias)
    assert (len(run.changes), run.change_count) == (LISTED, LISTED + 6)
    assert (len(run.statements), run.statement_count) == (LISTED, len(plan.statements))
    assert all(len(statement) <= LONGEST for statement in run.statements)
    shown = list(lines([run], verbosity=2))
    assert "  ... and 6 more changes" in shown
    assert len(run.render()) < LISTED * (2 * LONGEST + 100)


def test_run_that_fails_at_its_end(case):
    case.run(item(name=NAME))
    with failing(), pytest.raises(RuntimeError):
        case.run(item(name=NAME, size=models.IntegerField(null=True)))
    if has(case.connection, "DDL that is undone"):
        assert outcomes(case) == ["applied"]
        return
    failed = history(using=case.alias)[0]
    assert (failed.outcome, failed.error, failed.change_count) == ("failed", "RuntimeError", 1)
    assert failed.finished == failed.statement_count == 1
    assert "failed after 1 of 1 statement, which stay done" in str(failed)
    assert "s3cret" not in texts(case)
    case.run(item(name=NAME, size=models.IntegerField(null=True)))


@pytest.mark.parametrize("finished", [0, 1])
def test_run_that_fails_at_a_statement(case, finished):
    def stop(progress):
        if progress.finished == finished:
            raise OSError("stopped")

    case.run(item(name=NAME))
    state = State(Item={"name": NAME, "size": models.IntegerField(null=True)}, Part={"name": NAME})
    with pytest.raises(OSError, match="stopped"):
        case.run(state, progress=stop)
    if finished and not has(case.connection, "DDL that is undone"):
        failed = history(using=case.alias)[0]
        assert (failed.outcome, failed.error, failed.finished) == ("failed", "OSError", 1)
        assert failed.statement_count > 1
    else:
        assert outcomes(case) == ["applied"]
    case.run(state)
    assert outcomes(case)[0] == "applied"


def test_run_that_is_killed_is_seen_where_it_is_not_undone(case, monkeypatch):
    monkeypatch.setattr(Chronicle, "fail", lambda self, error, finished, unclear: None)
    with failing(), pytest.raises(RuntimeError):
        case.run(item(name=NAME))
    expected = [] if has(case.connection, "DDL that is undone") else ["begun"]
    assert outcomes(case) == expected
    assert ["no end is recorded" in str(run) and run.seconds is None for run in history(using=case.alias)] == (
        [True] if expected else []
    )


def test_run_within_a_transaction_that_is_undone(postgresql):
    case = Case(postgresql, "autoupdate")
    case.run(item(name=NAME))
    with case.backend.session.trial():
        case.run(item(name=NAME, size=models.IntegerField(null=True)))
        assert outcomes(case) == ["applied", "applied"]
    assert outcomes(case) == ["applied"]


def grow(case, number):
    fields = {f"size_{n}": models.IntegerField(null=True) for n in range(number)}
    case.run(item(name=NAME, **fields))


def test_only_the_last_runs_are_kept(case, settings):
    settings.AUTOMIGRATE = {"HISTORY": 3}
    for number in range(5):
        grow(case, number)
    assert [run.changes[0].split()[2].partition(".")[2] for run in history(using=case.alias)] == [
        "size_3",
        "size_2",
        "size_1",
    ]
    settings.AUTOMIGRATE = {"HISTORY": 1}
    grow(case, 6)
    assert len(outcomes(case)) == 1


@pytest.mark.parametrize("off", [0, False, None])
def test_switched_off(sqlite, settings, off):
    case = Case(sqlite, "autoupdate")
    case.run(item())
    settings.AUTOMIGRATE = {"HISTORY": off}
    grow(case, 1)
    assert len(outcomes(case)) == 1
    assert not list(conf.problems())


@pytest.mark.parametrize("wrong", [True, -1, "5", 1.5, [1]])
def test_wrong_setting(settings, wrong):
    settings.AUTOMIGRATE = {"HISTORY": wrong}
    assert conf.history() == conf.RUNS_KEPT
    assert [problem.startswith("AUTOMIGRATE['HISTORY'] has to be a number of runs") for problem in conf.problems()] == [
        True
    ]


def test_runs_of_one_moment(case, monkeypatch):
    """As in a test that stops the clock."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 3, 2, 10, 15, 4, tzinfo=UTC)

    monkeypatch.setattr("automigrate_ext.run.history.datetime", Stopped)
    for number in range(3):
        grow(case, number)
    assert outcomes(case) == ["applied"] * 3


def test_cost_of_an_entry(case, settings):
    if is_generic(case.connection):
        pytest.skip("its queries depend on the number of columns")
    sent = {}
    for number, kept in enumerate((100, 100, 0, 100, 0)):
        settings.AUTOMIGRATE = {"HISTORY": kept}
        with CaptureQueriesContext(case.connection) as captured:
            grow(case, number)
        # Django 5.2 puts the insert of an entry in a transaction of its own.
        sent[kept] = sum(query["sql"] not in ("BEGIN", "COMMIT") for query in captured.captured_queries)
    # One statement for the entry and one for the names of all; two for the entry where nothing undoes the run.
    assert sent[100] - sent[0] == (2 if has(case.connection, "DDL that is undone") else 3)


def test_nothing_to_do_reads_no_history(case):
    state = item(name=NAME)
    case.run(state)
    (run,) = history(using=case.alias)
    table = RecordTable(case.alias)
    for number in range(50):
        began = run.began - timedelta(days=1, seconds=number)
        table.insert({name_of(began): ("", run.render())})
    assert not any(name.startswith("run ") for name in table.read())
    with CaptureQueriesContext(case.connection) as captured:
        assert is_actual(using=case.alias, apps=state.apps)
        assert not autoupdate(using=case.alias, apps=state.apps)
    if not is_generic(case.connection):
        assert not [query for query in captured.captured_queries if "INSERT" in query["sql"]]
        assert len(captured.captured_queries) <= 4


def test_what_started_a_run(sqlite):
    case = Case(sqlite, "autoupdate")
    case.run(item())
    with started_by("start"):
        grow(case, 1)
    grow(case, 2)
    assert [run.origin for run in history(using=case.alias)] == ["python", "start", "python"]


@pytest.mark.parametrize(
    ("origin", "start"),
    [
        ("start", lambda alias: startup.autoupdate(["todo"], using=alias)),
        ("first query", lambda alias: bring_up_to_date(TodoListImage, alias, lock_wait=9, lock_timeout=9)),
        ("command", lambda alias: call_command("autoupdate", "todo", database=alias, verbosity=0)),
        ("python", lambda alias: autoupdate("todo", using=alias)),
    ],
)
def test_origin(sqlite, origin, start):
    start(sqlite.alias)
    forget()
    (run,) = history(using=sqlite.alias)
    assert run.origin == origin


def test_origin_of_the_pending_page(django_db_blocker, tmp_path):
    entry = {**memory(), "NAME": str(tmp_path / "default.sqlite3")}
    with databases(django_db_blocker, {"default": entry}):
        apply_plan(make_plan().as_dict())
        assert [run.origin for run in history()] == ["pending page"]


def test_test_databases_have_none(case):
    state = item(name=NAME)
    update_tables(select(None, case.alias, state.apps), verbosity=0, send_signals=True)
    assert outcomes(case) == []


def test_entry_that_nobody_wrote_here(case):
    case.run(item())
    RecordTable(case.alias).write_note("run 2026", "[]")
    with pytest.raises(
        AutomigrateError, match=r"'run 2026' was not written by this package\. Drop or rename the table"
    ):
        history(using=case.alias)
    grow(case, 1)


def test_entry_of_a_later_version_is_read(sqlite):
    case = Case(sqlite, "autoupdate")
    case.run(item())
    (run,) = history(using=case.alias)
    assert parse(run.render().replace("{", '{"later": 1, ', 1)) == run
    assert async_to_sync(ahistory)(using=case.alias) == (run,)


def test_role_that_may_only_read(postgresql):
    need(postgresql, "vendor's own")
    case = Case(postgresql, "autoupdate")
    case.run(item())
    with role(case, TEMPORARY, "GRANT SELECT ON automigrate_ext_owned TO {}"):
        assert outcomes(case) == ["applied"]
    with role(case, TEMPORARY), pytest.raises(ExecutionFailed, match="GRANT SELECT ON automigrate_ext_owned"):
        history(using=case.alias)


def test_online_run(postgresql):
    if is_generic(postgresql):
        pytest.skip("there are no online runs")
    case = Case(postgresql, "autoupdate")
    case.run(item(name=NAME))
    case.run(item(name=models.CharField(max_length=20, db_index=True)), online=True)
    with failing(), pytest.raises(RuntimeError):
        case.run(item(name=models.CharField(max_length=20, unique=True)), online=True)
    failed, done, _ = history(using=case.alias)
    assert (done.outcome, failed.outcome, failed.error) == ("applied", "failed", "RuntimeError")
    assert failed.finished == failed.statement_count


def test_run_in_several_transactions(postgresql, monkeypatch):
    case = Case(postgresql, "autoupdate")
    if case.backend.session.lock_budget() is None:
        pytest.skip("its runs have one transaction")
    monkeypatch.setattr(type(case.backend.session), "lock_budget", lambda self: 12)
    state = State(**{f"M{number}": {"name": NAME} for number in range(6)})
    with failing(), pytest.raises(RuntimeError):
        case.run(state)
    (failed,) = history(using=case.alias)
    assert failed.outcome == "failed" and 0 < failed.finished < failed.statement_count
    case.run(state)
    assert outcomes(case) == ["applied", "failed"]


def test_each_schema_has_its_own(postgresql, settings):
    if not BACKENDS:
        pytest.skip("many schemas are for PostgreSQL's own backend")
    settings.AUTOMIGRATE = {"HISTORY": 2}
    fleet = Fleet(postgresql)
    fleet.build(before())
    for state in (after(), before(), after()):
        fleet.update(state, accept_data_loss=True)
    found = {target.name: history(target=target) for target in fleet.targets}
    assert {len(runs) for runs in found.values()} == {2}
    assert len({run.changes for runs in found.values() for run in runs}) == 2
    assert len({run.began for runs in found.values() for run in runs}) == 8
    with at(fleet.targets[0]):
        assert history(using=fleet.alias) == found[fleet.names[0]]
    with pytest.raises(AutomigrateError, match="Leave out using"):
        history(using="other", target=Target(name="acme", schema="acme"))


def test_recipe_leaves_entries_as_its_first_run_did(postgresql):
    if not BACKENDS:
        pytest.skip("many schemas are for PostgreSQL's own backend")
    fleet = Fleet(postgresql)
    fleet.build(before())
    state = State(
        Shelf={"name": NAME, "size": models.IntegerField(null=True)},
        Item={"name": NAME, "shelf": models.ForeignKey("Shelf", models.CASCADE)},
    )
    fleet.update(state)
    runs = [history(target=target) for target in fleet.targets]
    assert {len(found) for found in runs} == {1}
    assert len({(run.changes, run.statements, run.outcome, run.origin) for (run,) in runs}) == 1


def test_recipe_needs_no_statement_more(postgresql, settings):
    if not BACKENDS:
        pytest.skip("many schemas are for PostgreSQL's own backend")
    fleet = Fleet(postgresql)
    fleet.build(before())
    sent = {}
    for number, kept in enumerate((100, 100, 0, 100, 0)):
        settings.AUTOMIGRATE = {"HISTORY": kept}
        fields = {f"size_{n}": models.IntegerField(null=True) for n in range(number + 1)}
        shelf = models.ForeignKey("Shelf", models.CASCADE)
        state = State(Shelf={"name": NAME, **fields}, Item={"name": NAME, "shelf": shelf})
        sent[kept] = len(fleet.queries(lambda state=state: fleet.update(state)))
    # Two for the run of the first schema, which is one of four.
    assert sent[100] - sent[0] == 2
