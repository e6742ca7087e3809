"""From labels to models, and the problems of labels that name none."""

import pytest
from django.db import models

from automigrate_ext import UnknownModels, automigrate, autoupdate, is_actual, make_plan
from automigrate_ext.declared.selection import select
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
        ("nothing", r"nothing \(no such app or model"),
        ("Itm", r"did you mean .*Item"),
        ("shop.Nothing", r"shop\.Nothing \(no such"),
        ("shop.Kind", r"proxy model; its table belongs to shop\.Item"),
        ("Outside", "unmanaged"),
        ("Swapped", r"swapped out for shop\.Item"),
        ("Elsewhere", "the routers let it in no database"),
        ("Featured", "features"),
        ("", "no such"),
        ("shop.", "no such"),
        (".Item", "no such"),
        ("a.b.c", "no such"),
    ],
)
@pytest.mark.parametrize("verb", [make_plan, autoupdate, automigrate, is_actual])
def test_label_that_names_no_table(state, sqlite, label, reason, verb):
    with pytest.raises(UnknownModels, match=reason) as caught:
        verb(label, using=sqlite.alias, apps=state.apps)
    assert f"not attached to database {sqlite.alias!r}" in str(caught.value)
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
