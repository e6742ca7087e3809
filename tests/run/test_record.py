"""The record's table, read and written as rows of tables and as notes, which do not disturb each other."""

from automigrate_ext import autoupdate
from automigrate_ext.backends import backend_for
from automigrate_ext.run.record import Record, parse_row, render_row
from automigrate_ext.run.record_table import RecordTable
from automigrate_ext.schema.nouns import ForeignKey
from automigrate_ext.schema.ownership import OwnedTable


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
    )
    assert parse_row("item", "shop.Item", render_row(table)) == table
