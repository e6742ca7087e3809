"""Targets that are databases of their own: shards, a database for each customer, files; on several servers."""

import sqlite3
from contextlib import closing

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, models
from django.test import override_settings

from automigrate_ext import Target, TargetsFailed, UnknownTargets, automigrate, autoupdate, is_actual, make_plan
from automigrate_ext.fleet.call import targets_of
from automigrate_ext.fleet.places import at
from tests.acceptance.helper import State, create_models
from tests.fleet.schemas import after, before
from tests.several import databases


def file_entry(path):
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path)}


@pytest.fixture
def files(tmp_path, django_db_blocker):
    """Targets whose aliases the settings do not have."""
    with databases(django_db_blocker, {}):
        yield [
            Target(name=f"customer{number}", alias=f"customer{number}", settings=file_entry(tmp_path / f"{number}.db"))
            for number in range(5)
        ]


def columns(target, table):
    with closing(sqlite3.connect(target.settings["NAME"])) as connection:
        return [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]


def test_files_whose_aliases_are_made_at_run_time(files):
    report = autoupdate(targets=files, apps=before().apps)
    assert {str(outcome.status) for outcome in report.outcomes.values()} == {"changed"}
    assert len(report.shapes) == 1
    assert list(connections) == ["default"]
    assert is_actual(targets=files, apps=before().apps)
    assert not autoupdate(targets=files, apps=before().apps)
    autoupdate(targets=files[:2], apps=after().apps)
    report = make_plan(targets=files, apps=after().apps)
    assert report.comparison().startswith("2 of 5 targets match; 3 differ in 1 way: customer2")
    assert [columns(target, "shop_shelf") for target in files[1:3]] == [["id", "name", "size"], ["id", "name"]]
    autoupdate(targets=files, apps=after().apps)
    for target in files:
        with at(target):
            assert is_actual(using=target.alias, apps=after().apps, fingerprint=False)


def test_no_connection_stays_open(files):
    opened = []

    def watch(progress):
        opened.append(sum(connection.connection is not None for connection in connections.all(initialized_only=True)))

    autoupdate(targets=files, apps=before().apps, progress=watch)
    assert opened == [0] * 5


def test_one_that_cannot_be_reached(files, tmp_path):
    broken = Target(name="broken", alias="broken", settings=file_entry(tmp_path / "nowhere" / "x.db"))
    with pytest.raises(TargetsFailed, match="unable to open") as caught:
        autoupdate(targets=[*files, broken], apps=before().apps)
    report = caught.value.report
    assert report.failed == ["broken"] and len(report.names("changed")) == 5
    assert list(connections) == ["default"]


def test_engine_that_is_none(files):
    broken = Target(name="broken", alias="broken", settings={"ENGINE": "no.such.engine", "NAME": "x"})
    with pytest.raises((TargetsFailed, ImproperlyConfigured), match=r"no\.such\.engine"):
        autoupdate(targets=[broken, *files], apps=before().apps)
    assert list(connections) == ["default"]


def test_servers_of_several_kinds(postgresql, mariadb, tmp_path):
    file = Target(name="file", alias="file", settings=file_entry(tmp_path / "a.db"))
    targets = [file, *(Target(name=on.vendor, alias=on.alias) for on in (postgresql, mariadb))]
    for target in targets:
        with at(target) as connection:
            create_models(connection, before().managed())
            shelf = before()["Shelf"]._base_manager.using(target.alias).create(name=target.name)
    assert shelf.pk
    report = autoupdate(targets=targets, apps=after().apps)
    assert [str(outcome.status) for outcome in report.outcomes.values()] == ["changed"] * 3
    assert len(report.shapes) == 3
    for target in targets:
        with at(target) as connection, connection.cursor() as cursor:
            assert is_actual(using=target.alias, apps=after().apps, fingerprint=False)
            cursor.execute("SELECT name FROM shop_shelf")
            assert cursor.fetchall() in ([(target.name,)], ((target.name,),))
    assert is_actual(targets=targets, apps=after().apps)


def test_one_of_the_files_is_refused(files):
    autoupdate(targets=files, apps=before().apps)
    with at(files[3]):
        before()["Shelf"]._base_manager.using(files[3].alias).create(name="x")
        before()["Shelf"]._base_manager.using(files[3].alias).create(name="x")
    unique = State(
        Shelf={"name": models.CharField(max_length=20, unique=True)},
        Item={"name": models.CharField(max_length=20), "shelf": models.ForeignKey("Shelf", models.CASCADE)},
    )
    with pytest.raises(TargetsFailed) as caught:
        autoupdate(targets=files, apps=unique.apps)
    assert caught.value.report.failed == ["customer3"]
    assert len(caught.value.report.names("changed")) == 4


def test_made_again(files):
    autoupdate(targets=files, apps=before().apps)
    report = automigrate(targets=files, apps=after().apps)
    assert len(report.names("changed")) == 5
    assert is_actual(targets=files, apps=after().apps)


# Which targets there are


def some_targets():
    return [Target(name="one", alias="default"), Target(name="two", alias="default", group="late")]


def same_names():
    return [Target(name="one"), Target(name="one")]


def no_targets():
    return ["default"]


HERE = f"{__name__}."


def test_setting_names_a_function():
    with override_settings(AUTOMIGRATE={"TARGETS": f"{HERE}some_targets"}):
        assert targets_of(True) == tuple(some_targets())
        assert targets_of(["two"]) == tuple(some_targets()[1:])
        assert targets_of("two") == tuple(some_targets()[1:])
        with pytest.raises(UnknownTargets, match=r"'tow' \(did you mean 'two'\?\).*2 targets"):
            targets_of(["tow"])


@pytest.mark.parametrize(
    ("function", "problem"), [("same_names", "have the name 'one'"), ("no_targets", "is not an automigrate_ext.Target")]
)
def test_function_that_returns_something_else(function, problem):
    with override_settings(AUTOMIGRATE={"TARGETS": f"{HERE}{function}"}), pytest.raises(UnknownTargets, match=problem):
        targets_of(True)


def test_project_without_targets():
    with pytest.raises(UnknownTargets, match="set AUTOMIGRATE"):
        targets_of(True)


def test_no_targets_at_all(files):
    report = autoupdate(targets=[], apps=before().apps)
    assert not report and report.summary() == "There are no targets."
