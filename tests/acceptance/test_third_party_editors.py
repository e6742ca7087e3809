"""Schema editors of packages that extend Django's for PostgreSQL."""

import pytest
from django.db import models
from django.db.backends.postgresql.schema import DatabaseSchemaEditor
from django.db.models import F, Q

from tests.acceptance.helper import State


class Several(list):
    """A template that stands for several statements, and is no text."""

    def __mod__(self, parts):
        return Several(text % parts for text in self)


class SeveralStatementsEditor(DatabaseSchemaEditor):
    """An editor as that of django-pg-zero-downtime-migrations, with what is no text where it can be."""

    sql_create_table = Several([DatabaseSchemaEditor.sql_create_table])
    sql_create_fk = Several([f"{DatabaseSchemaEditor.sql_create_fk} NOT VALID", "ALTER TABLE %(table)s VALIDATE ..."])
    sql_create_index = Several([DatabaseSchemaEditor.sql_create_index_concurrently])
    sql_create_unique = Several(["CREATE UNIQUE INDEX CONCURRENTLY ...", "ALTER TABLE ..."])
    sql_own = Several(["..."])

    @property
    def sql_alter_column_no_default(self):
        return Several([])


def zero_downtime():
    package = pytest.importorskip("django_zero_downtime_migrations.backends.postgres.schema")
    return package.DatabaseSchemaEditor


EDITORS = {"several statements": lambda: SeveralStatementsEditor, "django-pg-zero-downtime-migrations": zero_downtime}


def shop(name, **more):
    return State(
        Tag={"name": models.CharField(max_length=20, unique=True)},
        Item={
            "name": name,
            "size": models.PositiveIntegerField(default=1),
            "tag": models.ForeignKey("Tag", models.CASCADE, null=True),
            "tags": models.ManyToManyField("Tag", related_name="+"),
            **more,
        },
    )


BEFORE = shop(models.CharField(max_length=20, null=True, db_index=True))
AFTER = shop(
    models.TextField(default="none", db_comment="long"),
    rank=models.IntegerField(default=3, db_index=True),
    code=models.CharField(max_length=20, unique=True, null=True),
    double=models.GeneratedField(expression=F("size") * 2, output_field=models.IntegerField(), db_persist=True),
    Meta={
        "unique_together": {("name", "size")},
        "indexes": [models.Index(fields=["name", "-size"], name="i"), models.Index(F("size") + 1, name="e")],
        "constraints": [
            models.CheckConstraint(condition=Q(size__lt=9), name="c"),
            models.UniqueConstraint(fields=["size"], condition=Q(name="a"), name="u"),
            models.UniqueConstraint(fields=["tag", "size"], name="d", deferrable=models.Deferrable.DEFERRED),
        ],
    },
)


@pytest.mark.parametrize("name", EDITORS)
def test_editor_whose_templates_are_no_texts(pg, name, monkeypatch):
    pg.build(BEFORE)
    pg.insert(BEFORE, {"Item": [{"name": "a"}, {"name": None}]})
    with monkeypatch.context() as patch:
        patch.setattr(pg.connection, "SchemaEditorClass", EDITORS[name]())
        pg.run(AFTER)
        assert pg.plan(AFTER).changes == ()
    pg.assert_settled(AFTER)
    with monkeypatch.context() as patch:
        patch.setattr(pg.connection, "SchemaEditorClass", EDITORS[name]())
        pg.run(BEFORE, accept_data_loss=True)
    pg.assert_settled(BEFORE)
    assert pg.values("shop_item", "name") == [("a",), ("none",)]
