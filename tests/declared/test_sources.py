"""Where models are written down, found without executing anything."""

import importlib
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import models

from automigrate_ext.declared.sources import (
    Place,
    places_in_meta,
    places_in_settings,
    places_of_app,
    places_of_model,
    places_of_names,
    places_of_options,
)
from tests.acceptance.helper import item

SOURCE = '''\
# -*- coding: utf-8 -*-
from django.apps.registry import Apps
from django.db import models

registry = Apps()


class Named(models.Model):
    name = models.CharField(max_length=9)  # named

    class Meta:
        abstract = True
        apps = registry
        app_label = "shop"
        indexes = [
            models.Index(fields=["name"], name="inherited"),  # inherited
        ]


def decorated(kind):
    return kind


if False:

    class Item(models.Model):
        """Never executed."""

else:

    @decorated
    class Item(Named):  # item
        if True:
            size: int = models.IntegerField()  # size
        a = b = models.IntegerField()  # pair
        tags = models.ManyToManyField(
            "Tag",
            related_name="+",
        )

        class Meta(Named.Meta):
            constraints = [  # constraints
                models.CheckConstraint(condition=models.Q(size__gt=0), name="positive"),  # positive
            ]
            unique_together = [("a", "b")]  # together

        class Inner(Named):  # inner
            pass


class Tag(Named):  # tag
    pass


def local():
    class Local(Named):  # local
        pass

    return Local


Local = local()
Made = type("Made", (Named,), {"__module__": __name__})
Added = type("Added", (Named,), {"__module__": __name__, "extra": models.IntegerField()})
'''


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    (folder / "models_of_sources.py").write_text(SOURCE, encoding="utf-8")
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("models_of_sources")
    finally:
        sys.path.remove(str(folder))
        del sys.modules["models_of_sources"]


def marks(places):
    """The comments at the lines of places."""
    return [SOURCE.splitlines()[place.line - 1].rpartition("# ")[2].strip() for place in places]


@pytest.mark.parametrize(
    ("model", "mark"), [("Item", "item"), ("Item.Inner", "inner"), ("Tag", "tag"), ("Local", "local")]
)
def test_line_of_a_class(source, model, mark):
    kind = source
    for name in model.split("."):
        kind = getattr(kind, name)
    (place,) = places_of_model(kind)
    assert marks([place]) == [mark] and place.below(Path(source.__file__).parent.resolve()) == "models_of_sources.py"


def test_class_that_is_made_at_run_time_has_none(source):
    assert list(places_of_model(source.Made)) == list(places_of_names(source.Added, ["extra"])) == []
    assert marks(places_of_names(source.Made, ["name"])) == ["named"]
    state = item(name=models.CharField(max_length=9))
    assert list(places_of_model(state["Item"])) == list(places_in_meta(state["Item"], "x")) == []


@pytest.mark.parametrize(("name", "mark"), [("size", "size"), ("b", "pair"), ("name", "named")])
def test_line_of_a_field(source, name, mark):
    assert marks(places_of_names(source.Item, [name])) == [mark]


def test_field_without_a_line(source):
    assert list(places_of_names(source.Item, ["id", "condition"])) == []


def test_table_that_django_makes_is_at_its_field(source):
    first, second = places_of_model(source.Item.tags.through)
    assert SOURCE.splitlines()[first.line - 1].strip() == "tags = models.ManyToManyField("
    assert marks([second]) == ["item"]


@pytest.mark.parametrize(("name", "mark"), [("positive", "positive"), ("inherited", "inherited")])
def test_line_in_meta(source, name, mark):
    assert marks(places_in_meta(source.Item, name)) == [mark]
    assert list(places_in_meta(source.Item, "")) == list(places_in_meta(source.Item, "elsewhere")) == []


def test_lines_of_options(source):
    assert marks(places_of_options(source.Item, ["unique_together", "constraints"])) == ["together", "constraints"]


def test_source_that_is_gone_or_no_python(source, tmp_path, monkeypatch):
    for text in (None, "class", "\0"):
        file = tmp_path / f"{text and ord(text[0])}.py"
        if text:
            file.write_text(text)
        monkeypatch.setattr(source, "__file__", str(file))
        assert list(places_of_model(source.Tag)) == []


def test_place_of_a_package_is_none_of_the_project(tmp_path):
    for part in ("site-packages", "dist-packages"):
        assert Place(file=str(tmp_path / ".venv" / "lib" / part / "x.py")).below(tmp_path) is None
    assert Place(file="/elsewhere/x.py").below(tmp_path) is None
    assert Place(file=str(tmp_path / "app" / "x.py")).below(tmp_path) == "app/x.py"


def test_places_in_the_settings():
    root = Path(__file__).resolve().parents[2]
    lines = (root / "tests" / "settings.py").read_text().splitlines()
    (place,) = places_of_app(apps.get_app_config("auth"))
    assert place.below(root) == "tests/settings.py" and lines[place.line - 1].strip() == '"django.contrib.auth",'
    (place,) = places_in_settings("", ("AUTOMIGRATE", "INSTALLED_APPS"))
    assert lines[place.line - 1] == "INSTALLED_APPS = ["
    assert [place.line for place in places_in_settings("nowhere", ())] == [1]
    (installed,) = places_of_model(User)
    assert installed.below(root) is None
