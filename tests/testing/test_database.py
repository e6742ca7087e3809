"""One test database: its names, and the connection of its alias."""

import pytest
from django.conf import settings

from automigrate_ext import AutomigrateError
from automigrate_ext.backends import copies_for
from automigrate_ext.testing.database import TestDatabase


@pytest.fixture
def other(sqlite, tmp_path):
    """A database beside the one that the alias connects to, and a copy of that."""
    template = str(sqlite.settings_dict["NAME"])
    return TestDatabase(name=str(tmp_path / "other"), template=template, copies=copies_for(sqlite, print))


def test_names(sqlite):
    copies = copies_for(sqlite, print)
    alone = TestDatabase(name="test_shop", template="test_shop", copies=copies)
    assert not alone.is_copy and TestDatabase(name="test_shop_gw0", template="test_shop", copies=copies).is_copy
    assert (alone.alias, alone.label) == (sqlite.alias, "test_shop")
    memory = TestDatabase(name=":memory:", template=":memory:", copies=copies)
    assert memory.label == f":memory: ({sqlite.alias})"


def test_alias_is_connected_while_a_block_runs(sqlite, other):
    before = sqlite.settings_dict["NAME"]
    with pytest.raises(ZeroDivisionError), other.connected():
        assert sqlite.settings_dict["NAME"] == other.name
        sqlite.ensure_connection()
        raise ZeroDivisionError
    assert sqlite.connection is None and sqlite.settings_dict["NAME"] == before
    assert other.copies.exists(other.name)


def test_alias_is_connected_from_now_on(sqlite, other, monkeypatch):
    monkeypatch.setitem(settings.DATABASES, sqlite.alias, {**settings.DATABASES[sqlite.alias]})
    sqlite.ensure_connection()
    other.connect()
    assert sqlite.connection is None
    assert settings.DATABASES[sqlite.alias]["NAME"] == sqlite.settings_dict["NAME"] == other.name


def test_database_is_empty_once_it_is_recreated(sqlite, other):
    with other.connected(), sqlite.cursor() as cursor:
        cursor.execute("CREATE TABLE item (id int)")
    other.recreate("its rows are in the way")
    assert sqlite.settings_dict["TEST"]["NAME"] is None
    with other.connected():
        assert sqlite.introspection.table_names() == []


def test_database_stays_where_none_may_be_created(other, monkeypatch):
    monkeypatch.setattr(type(other.copies), "may_create", lambda copies: False)
    with pytest.raises(AutomigrateError, match="has to be rebuilt, because its rows are in the way, and the role"):
        other.recreate("its rows are in the way")
