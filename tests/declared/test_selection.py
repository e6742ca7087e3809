"""From labels to models, and the problems of labels that name none."""

import pytest
from django.apps import apps
from django.db import models

from automigrate_ext import UnknownModels, automigrate, autoupdate, is_actual, make_plan
from automigrate_ext.declared.selection import select
from automigrate_ext.run.basis import claimed_tables
from tests.acceptance.helper import State


class ElsewhereRouter:
    def allow_migrate(self, db, app_label, model_name=None, **hints):
        return model_name != "elsewhere"


@pytest.fixture
def state(settings):
    settings.SHOP_SWAPPED_MODEL = "shop.Item"
    settings.DATABASE_ROUTERS = [f"{__name__}.ElsewhereRouter"]
    return State(
        Item={"name": models.TextField(), "tags": models.ManyToManyField("Tag")},
        Tag={},
        Elsewhere={},
        Kind={"bases": ["Item"], "Meta": {"proxy": True}},
        Outside={"Meta": {"managed": False}},
        Swapped={"Meta": {"swappable": "SHOP_SWAPPED_MODEL"}},
        Featured={"Meta": {"required_db_features": ["has_no_such_feature"]}},
    )


def names(state, labels, connection):
    return [model._meta.label for model in select(labels, connection.alias, state.apps).models]


ALL = ["shop.Item", "shop.Item_tags", "shop.Tag"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, ALL),
        ("shop", ALL),
        (["shop"], ALL),
        ("shop.Item", ALL[:2]),
        ("shop.ITEM", ALL[:2]),
        ("item", ALL[:2]),
        (["Tag", "Item"], ["shop.Tag", "shop.Item", "shop.Item_tags"]),
        (["Item", "item", "shop.Item", "shop"], ALL),
        (("Tag",), ["shop.Tag"]),
        ({"Tag": 1}, ["shop.Tag"]),
        ([], []),
    ],
)
def test_labels(state, sqlite, labels, expected):
    assert names(state, labels, sqlite) == expected


def test_generator_of_classes(state, sqlite):
    assert names(state, (state[name] for name in ("Tag", "Tag")), sqlite) == ["shop.Tag"]


def test_class_of_another_registry_with_that_label(state, sqlite):
    other = State(Tag={"more": models.TextField()})
    selection = select(other["Tag"], sqlite.alias, state.apps)
    assert selection.models == (state["Tag"],)


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("nothing", r"There is no app or model 'nothing'\."),
        ("Itm", r"'Itm'\. Did you mean 'Item'\? Nothing was done"),
        ("shop.itm", r"'shop.itm'\. Did you mean 'shop\.Item'\?"),
        ("shopp", r"Did you mean 'shop'\?"),
        ("shop.Nothing", r"no app or model 'shop\.Nothing'"),
        ("shop.Kind", r"proxy model; its table belongs to shop\.Item"),
        ("Outside", "unmanaged"),
        ("Swapped", r"swapped out for shop\.Item"),
        ("Elsewhere", "the routers let it in no database"),
        ("Featured", "features"),
        ("", "no app or model ''"),
        ("shop.", "no app or model 'shop.'"),
        (".Item", "no app or model '.Item'"),
        ("a.b.c", "no app or model 'a.b.c'"),
    ],
)
@pytest.mark.parametrize("verb", [make_plan, autoupdate, automigrate, is_actual])
def test_label_that_names_no_table(state, sqlite, label, reason, verb):
    with pytest.raises(UnknownModels, match=reason) as caught:
        verb(label, using=sqlite.alias, apps=state.apps)
    assert f"in database {sqlite.alias!r}: " in str(caught.value) or "There is no" in str(caught.value)
    assert sqlite.introspection.table_names() == []


def test_ambiguous_label(sqlite, settings):
    state = State(Item={})
    state.make("Item", {"Meta": {"app_label": "other"}})
    with pytest.raises(UnknownModels, match=r"ambiguous: other\.Item, shop\.Item"):
        make_plan("Item", using=sqlite.alias, apps=state.apps)
    assert names(state, "other.Item", sqlite) == ["other.Item"]


def test_app_label_wins_over_a_model(sqlite):
    state = State(Shop={}, Item={})
    assert names(state, "shop", sqlite) == ["shop.Shop", "shop.Item"]
    assert names(state, "Shop", sqlite) == ["shop.Shop"]


def test_all_bad_labels_in_one_message(state, sqlite):
    with pytest.raises(UnknownModels) as caught:
        autoupdate(["Item", "Nothing", "Kind", "Elsewhere"], using=sqlite.alias, apps=state.apps)
    message = str(caught.value)
    assert all(word in message for word in ("Nothing", "Kind", "Elsewhere"))
    assert "Item (" not in message
    assert sqlite.introspection.table_names() == []


def test_empty_list_does_nothing(state, connection):
    for verb in (autoupdate, automigrate):
        assert not verb([], using=connection.alias, apps=state.apps)
    assert connection.introspection.table_names() == []


@pytest.fixture
def not_installed():
    """Models in the project's registry that `migrate` does not have: of an app, and hidden by an installed one."""

    def make(app_label, name):
        meta = type("Meta", (), {"app_label": app_label})
        body = {"__module__": __name__, "Meta": meta, "friends": models.ManyToManyField("self")}
        return type(name, (models.Model,), body)

    labels = ("toolbar", "todo")
    before = {label: dict(apps.all_models[label]) for label in labels}
    made = [make(label, "History") for label in labels]
    apps.app_configs["todo"].models = before["todo"]
    yield made
    for label in labels:
        apps.all_models[label].clear()
        apps.all_models[label].update(before[label])
    del apps.all_models["toolbar"]
    apps.app_configs["todo"].models = apps.all_models["todo"]
    apps.clear_cache()


def test_models_that_no_installed_app_has_are_not_the_projects(not_installed, connection):
    tables = {model._meta.db_table for model in not_installed}
    tables |= {model.friends.through._meta.db_table for model in not_installed}
    autoupdate(using=connection.alias)
    assert not tables & set(connection.introspection.table_names())
    assert not tables & claimed_tables(apps)
    assert is_actual(using=connection.alias)


@pytest.mark.parametrize("label", ["toolbar", "toolbar.History", "todo.History", "History"])
def test_label_of_a_model_that_no_installed_app_has(not_installed, label, sqlite):
    with pytest.raises(UnknownModels, match="There is no app or model"):
        make_plan(label, using=sqlite.alias)


def test_model_that_is_named_by_its_class_need_not_be_installed(not_installed, connection):
    for model in not_installed:
        automigrate(model, using=connection.alias)
        model.objects.using(connection.alias).create()
        assert is_actual(model, using=connection.alias)


def test_table_of_a_model_that_its_app_has_hidden_since(not_installed, connection):
    hidden = not_installed[1]
    automigrate(hidden, using=connection.alias)
    hidden.objects.using(connection.alias).create()
    plan = autoupdate(using=connection.alias)
    assert [judgement.change.table for judgement in plan.withheld] == ["todo_history"]
    hidden.objects.using(connection.alias).all().delete()
    autoupdate(using=connection.alias)
    assert "todo_history" not in connection.introspection.table_names()
