"""Blueprints of models: what the schema editor wrote is not written once more, whatever editor it is."""

from django.db import models

from automigrate_ext.declared.blueprint import draw
from automigrate_ext.declared.editor import collecting_editor
from tests.acceptance.helper import State

STATE = State(
    Other={"name": models.CharField(max_length=20)},
    Item={
        "code": models.CharField(max_length=20, unique=True, db_default="x"),
        "size": models.PositiveIntegerField(null=True),
        "twice": models.GeneratedField(
            expression=models.F("size") * 2, output_field=models.IntegerField(), db_persist=True
        ),
        "other": models.ForeignKey("Other", models.CASCADE),
        "others": models.ManyToManyField("Other", related_name="+"),
    },
)


def columns(editor):
    return [(c.name, c.type_sql, c.definition, c.check, c.default_sql) for c in draw(editor, STATE["Item"]).columns]


def test_editor_that_writes_columns_in_its_own_way(connection, monkeypatch):
    whole = columns(collecting_editor(connection))
    assert [name for name, *_ in whole] == ["id", "code", "size", "twice", "other_id"]

    class Own(connection.SchemaEditorClass):
        def column_sql(self, model, field, include_default=False):
            return "integer", []

    monkeypatch.setattr(connection, "SchemaEditorClass", Own)
    assert columns(collecting_editor(connection)) == whole


def test_columns_are_written_once(connection, monkeypatch):
    written = []
    kind = connection.SchemaEditorClass
    write = kind._iter_column_sql
    monkeypatch.setattr(kind, "_iter_column_sql", lambda self, *args: written.append(args[3]) or write(self, *args))
    editor = collecting_editor(connection)
    for model in STATE.managed():
        written.clear()
        draw(editor, model)
        assert written == [field for field in model._meta.local_fields if field.column]


def test_models_drawn_one_after_the_other_and_again(connection):
    editor = collecting_editor(connection)
    first = columns(editor)
    draw(editor, STATE["Other"])
    assert columns(editor) == first
    keys = [key.name for key in draw(editor, STATE["Item"]).foreign_keys]
    assert keys == [key.name for key in draw(collecting_editor(connection), STATE["Item"]).foreign_keys]
