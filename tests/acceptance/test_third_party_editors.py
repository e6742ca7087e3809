"""Schema editors of packages that extend Django's for PostgreSQL."""

import pytest
from django.db import models
from django.db.backends.postgresql.schema import DatabaseSchemaEditor
from django.db.models import F, Q

from tests.acceptance.helper import Case, State
from tests.conftest import scratch


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


# Editors that do more than their templates say


class HashedField(models.TextField):
    """A field for which the editor below makes a unique index and a check."""

    def __init__(self, *args, hashed=True, least=0, **options):
        super().__init__(*args, **options)
        self.hashed, self.least = hashed, least

    def deconstruct(self):
        name, path, args, options = super().deconstruct()
        return name, path, args, {**options, "hashed": self.hashed, "least": self.least}


class Effects:
    """Shared by all editors, as those of django-postgres-extra are: the last one made executes."""

    execute = None


class ExtraEditor(DatabaseSchemaEditor):
    effects = Effects()

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.effects.execute = self.execute

    def create_model(self, model):
        super().create_model(model)
        table = model._meta.db_table
        for field in model._meta.local_fields:
            if isinstance(field, HashedField):
                self.of_field(table, field)

    def of_field(self, table, field):
        name = f"{table}_{field.column}"
        if field.hashed:
            self.effects.execute(f'CREATE UNIQUE INDEX IF NOT EXISTS "{name}_hash" ON "{table}" (md5({field.column}))')
        if field.least:
            self.effects.execute(
                f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}_least" CHECK (length({field.column}) >= {field.least})'
            )
        if field.help_text:
            self.effects.execute(field.help_text % {"table": table})


@pytest.fixture
def extra(pg, monkeypatch):
    monkeypatch.setattr(pg.connection, "SchemaEditorClass", ExtraEditor)
    return pg


def hashed(**options):
    return State(
        Tag={"name": HashedField(**options)},
        Item={"name": models.TextField(), "tags": models.ManyToManyField("Tag"), "code": HashedField(**options)},
    )


def plain():
    return State(
        Tag={"name": models.TextField()},
        Item={"name": models.TextField(), "tags": models.ManyToManyField("Tag"), "code": models.TextField()},
    )


def test_what_an_editor_adds_is_made_and_kept(extra):
    extra.unchanged(hashed(least=2), {"Tag": [{"name": "ab"}]})
    extra.update(hashed(least=2), hashed(least=2), changes=[], built=True, prune=True)


def test_what_an_editor_adds_is_added_and_dropped(extra):
    rows = {"Tag": [{"name": "ab"}], "Item": [{"name": "a", "code": "bc"}]}
    extra.update(plain(), hashed(least=2), rows, changes=["Add unique index"] * 2 + ["Add check"] * 2)
    extra.update(hashed(least=2), hashed(hashed=False, least=1), built=True)
    extra.update(hashed(hashed=False, least=1), plain(), changes=["Drop check"] * 2, built=True)


def test_rows_decide_about_what_an_editor_adds(extra):
    rows = {"Tag": [{"name": "a"}, {"name": "a"}]}
    extra.refused(plain(), hashed(least=2), rows, "duplicates", "violators")


def test_what_an_editor_adds_comes_with_a_new_table_and_column(extra):
    extra.update(State(Tag={"name": models.TextField()}), hashed(least=2), {"Tag": [{"name": "abc"}]})
    before = State(Item={"name": models.TextField()})
    extra.update(hashed(least=2), before, built=True, accept_data_loss=True)
    after = State(Item={"name": models.TextField(), "code": HashedField(null=True)})
    extra.update(before, after, {"Item": [{"name": "a"}]}, changes=["Add column", "Add unique index"], built=True)


def test_what_an_editor_adds_is_renamed_with_its_table(extra):
    extra.build(hashed(least=2))
    names = {"Tag": {"name": HashedField(least=2)}, "Thing": {"name": models.TextField(), "code": HashedField(least=2)}}
    names["Thing"]["tags"] = models.ManyToManyField("Tag")
    extra.update(hashed(least=2), State(**names), built=True, renames={"shop.Item": "Thing"})


def test_editor_that_cannot_be_followed_for_one_model_is_for_another(extra):
    state = State(
        Item={"name": HashedField(help_text=NOT_FOLLOWED["not for temporary tables"])}, Tag={"name": HashedField()}
    )
    (note,) = [note for note in extra.plan(state).notes if note.startswith("Not compared: what the schema editor")]
    assert "shop.Item" in note
    extra.run(state)
    extra.execute("DROP INDEX shop_tag_name_hash")
    assert [change.describe() for change in extra.plan(state).changes] == [
        "Add unique index using btree ((md5(name))) to shop_tag"
    ]


NOT_FOLLOWED = {
    "no effect that is compared": "ALTER TABLE %(table)s SET (fillfactor = 70)",
    "not for temporary tables": "ALTER TABLE %(table)s SET UNLOGGED",
}


@pytest.mark.parametrize("name", NOT_FOLLOWED)
def test_what_cannot_be_followed_is_noted(extra, name):
    state = State(Item={"name": HashedField(help_text=NOT_FOLLOWED[name])})
    plan = extra.plan(state)
    (note,) = [note for note in plan.notes if note.startswith("Not compared: what the schema editor of ")]
    assert "adds for shop.Item: " in note and NOT_FOLLOWED[name] % {"table": "shop_item"} in note
    extra.run(state)
    assert not extra.plan(state).changes
    done = "SELECT reloptions IS NOT NULL OR relpersistence = 'u' FROM pg_class WHERE relname = 'shop_item'"
    assert extra.query(done) == [(True,)]


def test_live_table_in_another_schema_is_not_touched_by_a_comparison(extra):
    extra.execute("CREATE SCHEMA IF NOT EXISTS store")
    state = State(Item={"name": HashedField(), "Meta": {"db_table": '"store"."item"'}})
    assert any(note.startswith("Not compared") for note in extra.plan(state).notes)


@pytest.fixture
def psqlextra(pg, django_db_blocker):
    """A case by the package's own engine."""
    pytest.importorskip("psqlextra.backend.schema")
    pg.execute("CREATE EXTENSION IF NOT EXISTS hstore")
    entry = {**pg.connection.settings_dict, "ENGINE": "psqlextra.backend"}
    with scratch("psqlextra", entry, django_db_blocker) as connection:
        yield Case(connection, pg.route)


def test_hstore_fields_of_django_postgres_extra(psqlextra):
    pg = psqlextra
    pg.backend.extensions.register_types()
    from psqlextra.fields import HStoreField

    def state(**options):
        return State(Item={"name": models.TextField(), "title": HStoreField(null=True, **options)})

    after = state(uniqueness=["en", ("de", "fr")], required=["en"])
    changes = ["Add unique index", "Add unique index", "Add check"]
    pg.update(state(), after, {"Item": [{"name": "a", "title": {"en": "a"}}]}, changes=changes)
    pg.update(after, after, changes=[], built=True, prune=True)
    pg.update(after, state(required=["en"]), changes=["Drop unique index"] * 2, built=True)
