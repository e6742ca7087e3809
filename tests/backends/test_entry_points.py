"""Backends that other packages provide: an installed distribution, as pip leaves it, on the path of the interpreter."""

import sys
import textwrap

import pytest
from django.db import connections

from automigrate_ext import autoupdate, backends, is_actual
from automigrate_ext.backends import backend_for
from automigrate_ext.backends.generic import GenericBackend
from automigrate_ext.backends.sqlite3.backend import SQLiteBackend
from automigrate_ext.exceptions import UnsupportedDatabase
from automigrate_ext.testing import stamp

ENGINE = "provided_engine"

BACKEND = """
    from automigrate_ext.backends.sqlite3.backend import SQLiteBackend

    class ProvidedBackend(SQLiteBackend):
        pass

    not_a_backend = object()
"""
ENGINE_BASE = """
    from django.db.backends.sqlite3 import base

    class DatabaseWrapper(base.DatabaseWrapper):
        vendor = "provided"
        display_name = "Provided"
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution of that name with one entry point in the group, as files on the path."""
    engine = tmp_path / ENGINE
    engine.mkdir()
    (engine / "__init__.py").touch()
    (engine / "base.py").write_text(textwrap.dedent(ENGINE_BASE))
    (tmp_path / "provided_backend.py").write_text(textwrap.dedent(BACKEND))
    monkeypatch.syspath_prepend(tmp_path)

    def install(name, point, value="provided_backend:ProvidedBackend"):
        metadata = tmp_path / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[{backends.GROUP}]\n{point} = {value}\n")
        backends.provided.cache_clear()

    backends.provided.cache_clear()
    yield install
    backends.provided.cache_clear()
    for module in [module for module in sys.modules if module.split(".")[0] in (ENGINE, "provided_backend")]:
        del sys.modules[module]


@pytest.fixture
def provided(install, sqlite, settings, django_db_blocker):
    """The alias of a database with an engine that is none of Django's."""
    from tests.conftest import scratch

    with scratch("provided", {**sqlite.settings_dict, "ENGINE": ENGINE}, django_db_blocker) as connection:
        yield connection.alias


def kind(alias):
    return type(backend_for(alias)).__name__


def test_backend_unknown_vendor_goes_by_introspection(provided):
    assert type(backend_for(provided)) is GenericBackend


@pytest.mark.parametrize("name", [ENGINE, "provided"], ids=["engine", "vendor"])
def test_backend_provided_for_a_name(install, provided, name):
    install("provider", name)
    assert kind(provided) == "ProvidedBackend"
    assert is_actual("todo", using=provided) is False


def test_backend_provided_for_the_engine_goes_before_the_vendors(install, provided):
    install("other", "provided", "automigrate_ext.backends.sqlite3.backend:SQLiteBackend")
    install("provider", ENGINE)
    assert kind(provided) == "ProvidedBackend"


@pytest.mark.parametrize("name", ["sqlite", "django.db.backends.sqlite3"])
def test_backend_of_djangos_own_engine_stays(install, sqlite, name):
    install("provider", name)
    assert type(backend_for(sqlite.alias)) is SQLiteBackend


def test_backend_provided_twice(install, provided):
    install("one", ENGINE)
    install("two", ENGINE, "automigrate_ext.backends.sqlite3.backend:SQLiteBackend")
    with pytest.raises(UnsupportedDatabase, match=r"Both one .* and two .* provide a backend 'provided_engine'"):
        backend_for(provided)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("provided_backend:not_a_backend", "not a subclass of automigrate_ext.backends.base.Backend"),
        ("provided_backend:Missing", "of provider .* cannot be loaded"),
        ("missing_module:Backend", "of provider .* cannot be loaded: No module named 'missing_module'"),
    ],
)
def test_backend_provided_is_none(install, provided, value, words):
    install("provider", ENGINE, value)
    with pytest.raises(UnsupportedDatabase, match=words):
        backend_for(provided)


def test_database_without_engine(django_db_blocker):
    from tests.conftest import scratch

    none = scratch("none", {"ENGINE": "django.db.backends.dummy"}, django_db_blocker)
    with none as connection, pytest.raises(UnsupportedDatabase, match="Database 'none' has no ENGINE"):
        backend_for(connection.alias)


def test_fingerprints_of_an_engine_with_a_backend_of_its_own(install, provided, monkeypatch):
    """Such a backend may compare what they do not cover; kept test databases go by them all the same, as by copies."""
    monkeypatch.setattr(type(connections[provided]), "vendor", "sqlite")
    assert backends.fingerprints_for(provided) is not None
    install("one", ENGINE)
    assert backends.fingerprints_for(provided) is None
    autoupdate(using=provided)
    stamp.mark(provided)
    assert stamp.read(stamp.look(provided, ["todo_todo"]))[1]
    assert stamp.look(provided, ["todo_todo"]).tables
