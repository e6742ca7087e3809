"""What the tests of the SQLite backend share: models by the dozen, and a run from one state to another."""

from django.apps.registry import Apps
from django.db import models

from automigrate_ext.backends.sqlite3.backend import SQLiteBackend
from automigrate_ext.backends.work import Work
from automigrate_ext.declared.blueprint import draw
from automigrate_ext.declared.editor import collecting_editor
from automigrate_ext.schema.adopt import adopt
from automigrate_ext.schema.after import schema_after
from automigrate_ext.schema.diff import diff
from automigrate_ext.schema.nouns import Schema
from automigrate_ext.schema.ownership import Ownership


def model(label, meta=None, apps=None, **fields):
    """A model of app "x" in a registry of its own, or in the given one."""
    options = {"app_label": "x", "apps": apps or Apps(), **(meta or {})}
    return type(label, (models.Model,), {"__module__": __name__, "Meta": type("Meta", (), options), **fields})


class Database:
    """A SQLite database, its backend, and shorthands."""

    def __init__(self, connection):
        self.connection = connection
        self.backend = SQLiteBackend(connection)

    def execute(self, *statements):
        with self.connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def query(self, sql):
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def definitions(self):
        return dict(self.query("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))

    def scratch(self, *some_models):
        editor = collecting_editor(self.connection)
        return self.backend.scratch([draw(editor, model) for model in some_models])

    def create(self, *some_models):
        """Make tables as Django's own schema editor does."""
        with self.connection.schema_editor() as editor:
            for one in some_models:
                editor.create_model(one)

    def compile(self, *some_models, fills=None, owned=True, before=()):
        """The statements that lead to the models; with `owned` everything in the database came from models."""
        declared = self.scratch(*some_models)
        current = self.backend.introspect(list(declared.tables))
        ownership = Ownership(django_named=lambda table, noun: owned) if owned else Ownership()
        desired = adopt(declared, current, ownership, self.backend.type_rules)
        changes = diff(current, desired, ownership)
        if not owned:
            kept = [column.name for table in current for column in table.columns]
            changes = tuple(c for c in changes if not (c.sign == "-" and getattr(c.old, "name", "") in kept))
        work = Work(
            changes=(*before, *changes),
            current=current,
            desired=schema_after(current, desired, declared, changes),
            fills=fills or {},
        )
        return self.backend.compile(work)

    def update(self, *some_models, **options):
        """Run the statements that lead to the models, and return them."""
        steps = self.compile(*some_models, **options)
        with self.backend.exclusive():
            self.backend.run(steps)
        if options.get("owned", True):
            assert self.differences(*some_models) == ()
        return [step.sql for step in steps]

    def differences(self, *some_models):
        declared = self.scratch(*some_models)
        return diff(self.backend.introspect(list(declared.tables)), declared, Ownership())

    def read(self, *names):
        return self.backend.introspect(names)

    def read_one(self, sql, name="t"):
        """The table that a statement makes."""
        self.execute(sql)
        return self.read(name).tables[name]


def is_empty(schema):
    return isinstance(schema, Schema) and not schema.tables
