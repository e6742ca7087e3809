"""The record's table, read and written as rows of tables and as notes, which do not disturb each other."""

import pytest
from django.db import models
from django.db.models import signals

from automigrate_ext import AutomigrateError, automigrate, autoupdate, is_actual, make_plan
from automigrate_ext.backends import BACKENDS, backend_for
from automigrate_ext.run.record import Record, parse_row, render_row
from automigrate_ext.run.record_table import TABLE, RecordTable
from automigrate_ext.schema.nouns import ForeignKey
from automigrate_ext.schema.ownership import OwnedTable
from tests.acceptance.helper import State, item

#: The signals that a model's rows send.
OF_ROWS = ("pre_init", "post_init", "pre_save", "post_save", "pre_delete", "post_delete")


@pytest.fixture
def of_installed_apps():
    """Receivers without a sender, as packages connect them, that have a use for models of installed apps alone."""
    sent = []

    def receive(sender, **kwargs):
        if sender._meta.app_label == "automigrate_ext":
            sent.append(sender)
            raise RuntimeError(f"{sender.__name__} is not installed")

    for name in OF_ROWS:
        getattr(signals, name).connect(receive)
    yield sent
    for name in OF_ROWS:
        getattr(signals, name).disconnect(receive)


def test_notes_are_read_as_they_were_written_last(connection):
    autoupdate(using=connection.alias)
    record, table = Record(backend_for(connection.alias)), RecordTable(connection.alias)
    before = record.read()
    table.write_note("a note", "first")
    table.write_note("a note", "second")
    table.write_note("an empty note", "")
    notes = {"a note": "second", "an empty note": "", "no note": ""}
    assert table.read_notes(*notes) == notes
    assert table.read()["a note"] == ("", "second")
    assert record.read() == before
    assert not autoupdate(using=connection.alias)


def test_a_row_is_read_as_it_was_written():
    key = ForeignKey(name="shop_fk", columns=("shop_id",), to_table="shop", to_columns=("id",))
    table = OwnedTable(
        name="item",
        owner="shop.Item",
        columns={"id": (), "name": ("default",)},
        objects={"index name": ("collation",)},
        attributes=("comment",),
        kept=("gone",),
        taken_off=(key,),
        outside=(("other", key),),
    )
    assert parse_row("item", "shop.Item", render_row(table)) == table


def test_rows_and_notes_send_no_signals(connection, of_installed_apps):
    alias, one = connection.alias, item()
    two = item(name=models.CharField(max_length=9, null=True))
    for state in (one, two, item()):
        autoupdate(using=alias, apps=state.apps)
    automigrate(using=alias, apps=two.apps)
    autoupdate(using=alias, apps=State().apps)
    table = RecordTable(alias)
    table.write_note("a note", "first")
    table.write_note("a note", "second")
    table.delete(["a note"])
    assert table.read_notes("a note") == {"a note": ""}
    assert not of_installed_apps


NO_LIST = '{"columns": {}, "objects": {}, "attributes": 1, "kept": []}'
SPOILT = ["not json", "[]", '{"columns": 5}', "{}", "null", NO_LIST]


@pytest.mark.parametrize("text", SPOILT)
def test_spoilt_row_is_a_message_with_the_way_out(connection, text):
    state = item(name=models.CharField(max_length=9))
    autoupdate(using=connection.alias, apps=state.apps)
    RecordTable(connection.alias).query().filter(name="shop_item").update(objects_owned=text)
    for verb in (make_plan, is_actual, autoupdate):
        with pytest.raises(AutomigrateError, match=r"'shop_item' was not written.*Drop or rename the table"):
            verb(using=connection.alias, apps=state.apps)
    drop_record(connection)
    assert is_actual(using=connection.alias, apps=state.apps)
    assert not autoupdate(using=connection.alias, apps=state.apps)


def drop_record(connection):
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {TABLE}")


@pytest.mark.parametrize("text", ["not json", "[]", "5"])
def test_spoilt_note_of_entries_is_a_message_with_the_way_out(connection, text, settings):
    settings.AUTOMIGRATE = {"AFTER": {connection.alias: [f"{__name__}.do_nothing"]}}
    state = item()
    autoupdate(using=connection.alias, apps=state.apps)
    RecordTable(connection.alias).write_note(Record(backend_for(connection.alias)).hooks_name, text)
    with pytest.raises(AutomigrateError, match=r"'hooks of .*Drop or rename"):
        autoupdate(using=connection.alias, apps=state.apps)


def do_nothing(**options):
    """An entry of AUTOMIGRATE."""


@pytest.mark.parametrize("verb", [make_plan, is_actual, autoupdate, automigrate])
def test_another_table_of_its_name_is_a_message_with_the_way_out(connection, verb):
    if connection.vendor not in BACKENDS:
        pytest.skip("the error of another database does not tell what is wrong")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {TABLE} (id integer)")
    state = item(name=models.CharField(max_length=9))
    with pytest.raises(AutomigrateError, match=r"other columns.*Drop or rename the table automigrate_ext_owned"):
        verb(using=connection.alias, apps=state.apps)
    assert connection.introspection.table_names() == [TABLE]
    drop_record(connection)
    autoupdate(using=connection.alias, apps=state.apps)
