"""After Django's own migration operations, which name things otherwise, there is nothing to do."""

import pytest
from django.db import connections, models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import Q

from tests.acceptance.helper import APP, Case, State, create_models, item

pytestmark = pytest.mark.django

CHAR = models.CharField


class TreeKey(models.ForeignKey):
    """A subclass, as packages have them: on MariaDB Django makes an index for it, and none for `ForeignKey`."""


OF_SHELF = {"shelf": models.ForeignKey("Shelf", models.CASCADE), "a": models.IntegerField()}

ROUTES = {
    "column added": (item(a=CHAR(max_length=9)), item(a=CHAR(max_length=9), b=models.IntegerField(default=1))),
    "unique column added": (item(), item(b=CHAR(max_length=9, unique=True, default="x"))),
    "indexed column added": (item(), item(b=CHAR(max_length=9, db_index=True, default="x"))),
    "positive column added": (item(), item(b=models.PositiveIntegerField(default=1))),
    "db_default column added": (item(), item(b=models.IntegerField(db_default=1))),
    "column removed": (item(a=CHAR(max_length=9, unique=True), b=models.IntegerField()), item(b=models.IntegerField())),
    "unique set": (item(a=CHAR(max_length=9)), item(a=CHAR(max_length=9, unique=True))),
    "unique cleared": (item(a=CHAR(max_length=9, unique=True)), item(a=CHAR(max_length=9))),
    "index set": (item(a=CHAR(max_length=9)), item(a=CHAR(max_length=9, db_index=True))),
    "index cleared": (item(a=CHAR(max_length=9, db_index=True)), item(a=CHAR(max_length=9))),
    "null allowed": (item(a=models.IntegerField()), item(a=models.IntegerField(null=True))),
    "type": (item(a=models.IntegerField()), item(a=models.BigIntegerField())),
    "longer": (item(a=CHAR(max_length=5, unique=True)), item(a=CHAR(max_length=9, unique=True))),
    "positive": (item(a=models.IntegerField()), item(a=models.PositiveIntegerField())),
    "no longer positive": (item(a=models.PositiveIntegerField()), item(a=models.IntegerField())),
    "default": (item(a=models.IntegerField()), item(a=models.IntegerField(db_default=3))),
    "text": (item(a=CHAR(max_length=5)), item(a=models.TextField())),
    "meta index": (
        item(a=models.IntegerField()),
        item(a=models.IntegerField(), Meta={"indexes": [models.Index(fields=["a"], name="i")]}),
    ),
    "meta constraints": (
        item(a=models.IntegerField()),
        item(
            a=models.IntegerField(),
            Meta={
                "constraints": [
                    models.CheckConstraint(condition=Q(a__gt=0), name="c"),
                    models.UniqueConstraint(fields=["a"], name="u"),
                    models.UniqueConstraint(fields=["a"], condition=Q(a__gt=1), name="p"),
                ]
            },
        ),
    ),
    "unique together": (
        item(a=models.IntegerField(), b=models.IntegerField()),
        item(a=models.IntegerField(), b=models.IntegerField(), Meta={"unique_together": {("a", "b")}}),
    ),
    "foreign key added": (
        State(Shelf={}, Item={}),
        State(Shelf={}, Item={"shelf": models.ForeignKey("Shelf", models.CASCADE, null=True)}),
    ),
    "foreign key becomes one to one": (
        State(Shelf={}, Item={"shelf": models.ForeignKey("Shelf", models.CASCADE)}),
        State(Shelf={}, Item={"shelf": models.OneToOneField("Shelf", models.CASCADE)}),
    ),
    "one to one becomes foreign key": (
        State(Shelf={}, Item={"shelf": models.OneToOneField("Shelf", models.CASCADE)}),
        State(Shelf={}, Item={"shelf": models.ForeignKey("Shelf", models.CASCADE)}),
    ),
    "unique together over a foreign key goes": (
        State(Shelf={}, Item={**OF_SHELF, "Meta": {"unique_together": {("shelf", "a")}}}),
        State(Shelf={}, Item=OF_SHELF),
    ),
    "index over a foreign key goes": (
        State(Shelf={}, Item={**OF_SHELF, "Meta": {"indexes": [models.Index(fields=["shelf", "a"], name="i")]}}),
        State(Shelf={}, Item=OF_SHELF),
    ),
    "foreign key of another class": (
        State(Shelf={}, Item={"shelf": models.ForeignKey("Shelf", models.CASCADE)}),
        State(Shelf={}, Item={"shelf": TreeKey("Shelf", models.CASCADE)}),
    ),
    "foreign key of another class added": (
        State(Shelf={}, Item={}),
        State(Shelf={}, Item={"shelf": TreeKey("Shelf", models.CASCADE, null=True)}),
    ),
    "foreign key of the usual class again": (
        State(Shelf={}, Item={"shelf": TreeKey("Shelf", models.CASCADE)}),
        State(Shelf={}, Item={"shelf": models.ForeignKey("Shelf", models.CASCADE)}),
    ),
    "many to many added": (
        State(Shelf={}, Item={}),
        State(Shelf={}, Item={"shelves": models.ManyToManyField("Shelf")}),
    ),
    "table added": (item(), State(Item={}, Note={"item": models.ForeignKey("Item", models.CASCADE)})),
    "table renamed": (
        State(Item={"a": CHAR(max_length=9, unique=True)}, Note={"item": models.ForeignKey("Item", models.CASCADE)}),
        State(
            Item={"a": CHAR(max_length=9, unique=True), "Meta": {"db_table": "goods"}},
            Note={"item": models.ForeignKey("Item", models.CASCADE)},
        ),
    ),
    "column renamed": (
        item(a=CHAR(max_length=9, unique=True)),
        item(a=CHAR(max_length=9, unique=True, db_column="z")),
    ),
}


def project(state):
    found = ProjectState()
    for model in state.models.values():
        found.add_model(ModelState.from_model(model))
    return found


def migrate(connection, before, after):
    """Do what `makemigrations` and `migrate` would."""
    old, new = project(before), project(after)
    for migration in MigrationAutodetector(old, new)._detect_changes().get(APP, ()):
        for operation in migration.operations:
            later = old.clone()
            operation.state_forwards(APP, later)
            with connection.schema_editor() as editor:
                operation.database_forwards(APP, editor, old, later)
            old = later


@pytest.mark.parametrize("name", ROUTES)
def test_nothing_to_do_after_migrate(connection, name):
    before, after = ROUTES[name]
    create_models(connection, before.managed())
    migrate(connections[connection.alias], before, after)
    case = Case(connection, "migrate")
    case.update(after, after, changes=[], built=True)


@pytest.mark.parametrize("name", ROUTES)
def test_names_of_another_route_are_changed_all_the_same(connection, name):
    """What `migrate` has named otherwise is found again when it changes once more."""
    before, after = ROUTES[name]
    create_models(connection, before.managed())
    migrate(connections[connection.alias], before, after)
    case = Case(connection, "migrate")
    case.run(after)
    case.update(after, before, built=True, accept_data_loss=True)
