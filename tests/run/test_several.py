"""Several databases in one call of the Python interface: each has its own models, and fails by itself."""

import json

import pytest
from asgiref.sync import async_to_sync
from django.db import OperationalError, connections, models
from django.db.models.signals import post_migrate
from django.utils.connection import ConnectionDoesNotExist

from automigrate_ext import (
    DatabasesFailed,
    Plan,
    Plans,
    Refused,
    UnknownModels,
    UnusablePlan,
    aautomigrate,
    aautoupdate,
    ais_actual,
    amake_plan,
    arun_plans,
    automigrate,
    autoupdate,
    is_actual,
    make_plan,
    run_plan,
    run_plans,
)
from automigrate_ext.declared.selection import is_same_database
from tests.acceptance.helper import State
from tests.plan_shape import STRICT
from tests.several import Homes, databases, execute, tables

NAME = models.CharField(max_length=20)
BOTH = ["default", "logs"]


@pytest.fixture
def homes(settings, monkeypatch):
    """Notes belong to "logs", tags to both, and everything else to "default"."""
    settings.DATABASE_ROUTERS = ["tests.several.Homes"]
    monkeypatch.setattr(Homes, "homes", {"note": {"logs"}, "tag": {"default", "logs"}, "nowhere": {"archive"}})


@pytest.fixture
def two(tmp_path, django_db_blocker, homes):
    """Two SQLite databases, "default" and "logs", and one that cannot be opened, "archive"."""
    engine = {"ENGINE": "django.db.backends.sqlite3"}
    entries = {alias: {**engine, "NAME": tmp_path / f"{alias}.sqlite3"} for alias in BOTH}
    with databases(django_db_blocker, {**entries, "archive": {**engine, "NAME": tmp_path / "no" / "such"}}):
        yield


def state(**more):
    return State(Item={"name": NAME}, Note={"text": NAME}, Tag={"word": NAME}, **more)


def update(state, models=None, using=BOTH, **options):
    return autoupdate(models, using=using, apps=state.apps, **options)


def created(plans):
    return {alias: [change.table for change in plan.changes] for alias, plan in plans.items()}


def test_each_database_gets_its_own_models(two):
    plans = update(state())
    assert isinstance(plans, Plans) and plans
    assert created(plans) == {"default": ["shop_item", "shop_tag"], "logs": ["shop_note", "shop_tag"]}
    assert tables("default") == ["shop_item", "shop_tag"]
    assert tables("logs") == ["shop_note", "shop_tag"]
    again = update(state())
    assert not again and len(again) == 2


def test_order_is_that_of_the_call_and_twice_is_once(two):
    assert list(update(state(), using=("logs", "default", "logs"), dry_run=True)) == ["logs", "default"]


def test_a_list_of_one_gives_plans_and_of_none_too(two):
    assert list(update(state(), using=["logs"])) == ["logs"]
    empty = update(state(), using=[])
    assert not empty and list(empty) == []
    assert is_actual(using=[], apps=state().apps)


def test_one_alias_gives_its_plan(two):
    assert isinstance(update(state(), using="logs"), Plan)
    assert isinstance(make_plan(using="logs", apps=state().apps), Plan)


def test_unknown_alias_before_anything(two):
    with pytest.raises(ConnectionDoesNotExist):
        update(state(), using=["default", "nothing"])
    assert tables("default") == []


def test_plans_look_without_touching(two):
    plans = make_plan(using=BOTH, apps=state().apps)
    assert created(plans) == created(update(state(), dry_run=True))
    assert tables("default") == tables("logs") == []
    document = json.loads(plans.as_json())
    STRICT.validate(document)
    assert [entry["database"] for entry in document["databases"]] == BOTH
    assert document["databases"][0] == plans["default"].as_dict()
    assert document["left_alone"] == []
    assert repr(plans).startswith("Plans([Plan(alias='default'")


def test_is_actual_of_all(two):
    assert not is_actual(using=BOTH, apps=state().apps)
    update(state(), using="default")
    assert not is_actual(using=BOTH, apps=state().apps)
    update(state(), using="logs")
    assert is_actual(using=BOTH, apps=state().apps)
    with pytest.raises(DatabasesFailed):
        is_actual(using=[*BOTH, "archive"], apps=state(Nowhere={}).apps)


def test_automigrate_of_several(two):
    update(state())
    execute("logs", "INSERT INTO shop_note (text) VALUES ('a')")
    plans = automigrate("Note", using=["logs"], apps=state().apps)
    assert [change.describe() for change in plans["logs"].changes] == [
        "Drop table shop_note",
        "Create table shop_note (2 columns)",
    ]
    assert automigrate(using=BOTH, apps=state().apps, dry_run=True)
    automigrate(using=BOTH, apps=state().apps)
    assert is_actual(using=BOTH, apps=state().apps)


def test_async_twins(two):
    options = {"using": BOTH, "apps": state().apps}
    plans = async_to_sync(amake_plan)(**options)
    assert isinstance(plans, Plans)
    async_to_sync(arun_plans)(plans, apps=state().apps)
    assert not async_to_sync(aautoupdate)(**options)
    assert async_to_sync(ais_actual)(**options)
    assert set(async_to_sync(aautomigrate)(**options)) == set(BOTH)


# Labels


@pytest.mark.parametrize("label", ["Note", "shop.Note", "class"])
def test_model_of_another_database_is_left_out_with_a_note(two, label):
    shop = state()
    plans = update(shop, [shop["Note"] if label == "class" else label, "Tag"])
    assert created(plans) == {"default": ["shop_tag"], "logs": ["shop_note", "shop_tag"]}
    name = "shop.Note" if label == "class" else label
    assert plans["default"].notes == (f"{name} is left out of database 'default': routed to database 'logs'.",)
    assert plans["logs"].notes == ()
    assert plans["default"].request.models == ("Tag",)


def test_database_to_which_nothing_named_belongs(two):
    plans = update(state(), "Note")
    assert not plans["default"]
    assert tables("default") == [] and tables("logs") == ["shop_note"]


def test_app_without_a_model_in_a_database(two, monkeypatch):
    monkeypatch.setattr(Homes, "homes", {"shop": {"default"}})
    plans = update(state(), "shop")
    assert plans["logs"].notes == ("No model of shop has its table in database 'logs'.",)
    assert not plans["logs"]


@pytest.mark.parametrize("verb", [autoupdate, automigrate, make_plan, is_actual])
def test_model_that_belongs_to_none_of_the_databases(two, verb):
    with pytest.raises(UnknownModels) as caught:
        verb(["Item", "Nowhere", "Itm"], using=BOTH, apps=state(Nowhere={}).apps)
    message = str(caught.value)
    assert "Nowhere cannot be used in databases 'default', 'logs': routed to database 'archive'." in message
    assert "There is no app or model 'Itm'. Did you mean 'Item'?" in message and "Item cannot" not in message
    assert tables("default") == tables("logs") == []


def test_single_database_says_where_a_model_belongs(two):
    with pytest.raises(UnknownModels, match=r"^Note cannot be used in database 'default': routed to database 'logs'\."):
        update(state(), "Note", using="default")
    with pytest.raises(UnknownModels, match=r"^Tag cannot be used in .*: routed to databases 'default', 'logs'\."):
        update(state(), "Tag", using="archive")


def test_labels_from_a_generator(two):
    shop = state()
    plans = update(shop, (shop[name] for name in ("Item", "Note")))
    assert created(plans) == {"default": ["shop_item"], "logs": ["shop_note"]}


# Failures


def refused_in_default(two):
    update(state())
    execute("default", "INSERT INTO shop_item (name) VALUES ('a')")
    more = {"more": models.IntegerField()}
    return State(Item={"name": NAME, **more}, Note={"text": NAME, **more}, Tag={"word": NAME})


def test_one_that_refuses_does_not_keep_the_others(two):
    after = refused_in_default(two)
    with pytest.raises(DatabasesFailed) as caught:
        update(after)
    failed = caught.value
    assert list(failed.errors) == ["default"] and isinstance(failed.errors["default"], Refused)
    assert list(failed.plans) == ["logs"] and failed.plans["logs"].changes
    assert str(failed).startswith("Database 'default': Nothing was done")
    assert is_actual(using="logs", apps=after.apps)
    assert not is_actual(using="default", apps=after.apps)


def test_one_that_cannot_be_opened_does_not_keep_the_others(two):
    shop = state(Nowhere={})
    with pytest.raises(DatabasesFailed) as caught:
        update(shop, using=["archive", *BOTH])
    assert isinstance(caught.value.errors["archive"], OperationalError)
    assert list(caught.value.plans) == BOTH
    assert is_actual(using=BOTH, apps=shop.apps)


def test_error_of_the_program_ends_it_at_once(two):
    def receiver(using, **_):
        raise ZeroDivisionError

    post_migrate.connect(receiver)
    try:
        with pytest.raises(ZeroDivisionError):
            update(state())
    finally:
        post_migrate.disconnect(receiver)
    assert tables("default") == tables("logs") == []


# What is asked of the models of one database only


def test_renames_and_values_reach_the_database_of_their_model(two):
    update(state())
    execute("default", "INSERT INTO shop_item (name) VALUES ('a')")
    execute("logs", "INSERT INTO shop_note (text) VALUES ('b')")
    number = models.IntegerField()
    after = State(
        Item={"title": NAME, "size": number}, Note={"words": NAME, "size": number}, Label={"word": NAME}, Tag={}
    )
    Homes.homes["label"] = {"default"}
    plans = update(
        after,
        renames={"shop.Item.name": "title", "shop_note.text": "words"},
        defaults={"shop.Item.size": 1, "shop.note.size": 2},
    )
    assert plans["default"].request.renames == {"shop.Item.name": "title"}
    assert plans["logs"].request.renames == {"shop_note.text": "words"}
    assert plans["logs"].request.defaults == {"shop.note.size": 2}
    with connections["logs"].cursor() as cursor:
        assert cursor.execute("SELECT words, size FROM shop_note").fetchall() == [("b", 2)]


@pytest.mark.parametrize(
    "options",
    [
        {"renames": {"shop.Nothing.a": "b"}},
        {"renames": {"shop.Item.a": "nothing"}},
        {"defaults": {"shop.Nothing.a": 1}},
        {"defaults": {"shop.Item.nothing": 1}},
    ],
)
def test_what_fits_no_model_at_all(two, options):
    with pytest.raises(DatabasesFailed) as caught:
        update(state(), **options)
    assert "default" in caught.value.errors
    assert tables("default") == []


# Two aliases for one database


@pytest.fixture
def twins(tmp_path, django_db_blocker, homes):
    """Two aliases for the same file, and two for databases in memory."""
    engine = {"ENGINE": "django.db.backends.sqlite3"}
    same = {alias: {**engine, "NAME": tmp_path / "shared.sqlite3"} for alias in BOTH}
    apart = {alias: {**engine, "NAME": ":memory:"} for alias in ("one", "other")}
    with databases(django_db_blocker, {**same, **apart}):
        yield


def test_same_database(twins):
    assert is_same_database("default", "logs")
    assert not is_same_database("default", "one")
    assert not is_same_database("one", "other")


def test_models_of_two_aliases_for_one_database_are_dealt_with_once(twins):
    plans = update(state())
    assert created(plans) == {"default": ["shop_item", "shop_tag"], "logs": ["shop_note"]}
    assert plans["logs"].notes == (
        "Database 'logs' is the same as 'default', with which the models that both have are dealt with.",
    )
    assert tables("default") == tables("logs") == ["shop_item", "shop_note", "shop_tag"]
    assert not update(state())
    assert not update(state(), using=["logs", "default"])


def test_second_alias_without_models_of_its_own(twins, settings):
    settings.DATABASE_ROUTERS = []
    plans = automigrate(using=BOTH, apps=state().apps)
    assert not plans["logs"]
    assert plans["logs"].notes == ("Database 'logs' is the same as 'default', with which its models are dealt with.",)


def test_two_aliases_for_one_database_come_to_rest(twins):
    """Each has its own models, and receivers are not told of the same models by turns."""
    told = []

    def receiver(using, **_):
        told.append(using)

    update(state())
    post_migrate.connect(receiver)
    try:
        assert not update(state())
        assert not update(state())
    finally:
        post_migrate.disconnect(receiver)
    assert told == []


def test_removed_model_of_one_of_two_aliases(twins):
    update(state())
    after = State(Item={"name": NAME}, Tag={"word": NAME}, Page={"text": NAME})
    Homes.homes["page"] = {"logs"}
    plans = make_plan(using=BOTH, apps=after.apps)
    described = {alias: [change.describe() for change in plan.changes] for alias, plan in plans.items()}
    assert described == {"default": ["Drop table shop_note"], "logs": ["Create table shop_page (2 columns)"]}
    run_plans(plans, apps=after.apps)
    assert is_actual(using=BOTH, apps=after.apps)


# Saved plans


def test_saved_plans_are_carried_out(two):
    shop = state()
    text = make_plan(using=BOTH, apps=shop.apps).as_json()
    plans = run_plans(text, apps=shop.apps)
    assert created(plans) == {"default": ["shop_item", "shop_tag"], "logs": ["shop_note", "shop_tag"]}
    assert is_actual(using=BOTH, apps=shop.apps)


def test_saved_plans_of_two_aliases_for_one_database(twins):
    shop = state()
    run_plans(make_plan(using=BOTH, apps=shop.apps), apps=shop.apps)
    assert is_actual(using=BOTH, apps=shop.apps)


def test_saved_plan_of_nothing_is_passed_over(two):
    update(state(), using="default")
    plans = run_plans(make_plan(using=BOTH, apps=state().apps), apps=state().apps)
    assert list(plans) == ["logs"]
    assert not run_plans(make_plan(using=BOTH, apps=state().apps), apps=state().apps)


def test_saved_plan_that_no_longer_holds_does_not_keep_the_others(two):
    saved = make_plan(using=BOTH, apps=state().apps)
    update(state(), using="default")
    with pytest.raises(DatabasesFailed) as caught:
        run_plans(saved.as_dict(), apps=state().apps)
    assert isinstance(caught.value.errors["default"], UnusablePlan)
    assert list(caught.value.plans) == ["logs"]
    assert is_actual(using="logs", apps=state().apps)


def test_saved_plan_that_was_refused_keeps_all(two):
    after = refused_in_default(two)
    saved = make_plan(using=BOTH, apps=after.apps)
    with pytest.raises(UnusablePlan, match="Database 'default': The plan was refused"):
        run_plans(saved, apps=after.apps)
    assert not is_actual(using="logs", apps=after.apps)


def altered(values, change):
    change(values)
    return values


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda values: values.update(version=2), "has version 2"),
        (lambda values: values.update(databases=values["databases"] * 2), "two plans"),
        (lambda values: values["databases"][1].pop("digest"), "Database 'logs': The plan lacks 'digest'"),
        (lambda values: values["databases"][0].update(database="gone"), "'gone', which is not in DATABASES"),
        (lambda values: values.pop("databases"), "not what --format json prints for several"),
        (lambda values: values["databases"].append({"database": "x", "error": "It broke."}), "It broke"),
    ],
)
def test_documents_that_cannot_be_run(two, change, words):
    document = altered(make_plan(using=BOTH, apps=state().apps).as_dict(), change)
    with pytest.raises(UnusablePlan, match=words):
        run_plans(document, apps=state().apps)
    assert tables("default") == tables("logs") == []


def test_plans_of_several_are_no_plan_of_one(two):
    saved = make_plan(using=BOTH, apps=state().apps).as_json()
    with pytest.raises(UnusablePlan, match="run_plans"):
        run_plan(saved, apps=state().apps)
