"""Renames that were asked for: from "todo.Todo.title=name" to renamed tables and columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from typing import Any

from django.db import connections
from django.db.backends.utils import strip_quotes, truncate_name
from django.db.models import Model

from automigrate_ext.changes import Change, RenameColumn, RenameTable
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.ownership import OwnedTable, Ownership
from automigrate_ext.schema import Schema

Read = Callable[[Iterable[str]], Schema]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenamedModel:
    """A model that had another name, with the table that it had under it."""

    model: type[Model]
    old_name: str
    old_table: str


@dataclass(kw_only=True)
class Renames:
    """The renames of one run: which tables and columns carry an old name and get a new one.

    `asked` maps "app.Model" to the model's new name, "app.Model.field" to the field's new name,
    "table" and "table.column" to new names in the database. What has its new name already is left alone,
    so that the same renames can be asked for on every database.
    """

    asked: Mapping[str, str]
    models: tuple[type[Model], ...]
    alias: str
    tables: dict[str, str] = field(default_factory=dict)
    columns: dict[tuple[str, str], str] = field(default_factory=dict)
    renamed_models: list[RenamedModel] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Models first: a field may be named by its model's old name.
        for old, new in sorted(self.asked.items(), key=lambda rename: rename[0].count(".") != 1):
            if not self.rename_model(old, new) and not self.rename_field(old, new):
                self.rename_in_database(old, new)

    # What was asked for

    def find_model(self, app_label: str, name: str) -> type[Model] | None:
        """The model of an app by its name, in any case."""
        wanted = (app_label, name.lower())
        return next((m for m in self.models if (m._meta.app_label, m._meta.model_name) == wanted), None)

    def rename_model(self, old: str, new: str) -> bool:
        """Take "app.Old" = "New" for a renamed model; its tables and many-to-many columns follow."""
        app_label, dot, old_name = old.partition(".")
        model = self.find_model(app_label, new.rpartition(".")[2]) if dot and "." not in old_name else None
        if model is None:
            return False
        self.renamed_models.append(
            RenamedModel(model=model, old_name=old_name, old_table=self.default_table(app_label, old_name))
        )
        self.tables[self.renamed_models[-1].old_table] = model._meta.db_table
        for through in self.automatic_models():
            self.follow(through, self.renamed_models[-1])
        return True

    def default_table(self, app_label: str, name: str) -> str:
        """The table that Django gives to a model."""
        return self.truncated(f"{app_label}_{name.lower()}")

    def truncated(self, name: str) -> str:
        return truncate_name(name, connections[self.alias].ops.max_name_length())

    def automatic_models(self) -> Iterator[tuple[Any, Any]]:
        """The many-to-many fields, with the models that Django made for them."""
        for model in self.models:
            for many in model._meta.local_many_to_many:
                through: Any = many.remote_field.through
                if through._meta.auto_created:
                    yield many, through

    def follow(self, many_and_through: tuple[Any, Any], renamed: RenamedModel) -> None:
        """Rename what a many-to-many table owes to a model's name: its own name and a column."""
        many, through = many_and_through
        table = through._meta.db_table
        if many.model is renamed.model:
            self.tables[self.truncated(f"{strip_quotes(renamed.old_table)}_{many.name}")] = table
        name, old_name = renamed.model._meta.model_name, renamed.old_name.lower()
        for end in through._meta.local_fields:
            if end.is_relation and end.related_model is renamed.model and end.name.endswith(str(name)):
                self.columns[table, f"{end.name.removesuffix(str(name))}{old_name}_id"] = end.column

    def rename_field(self, old: str, new: str) -> bool:
        """Take "app.Model.old" = "new" for a renamed field; a many-to-many field takes its table along."""
        parts = old.split(".")
        if len(parts) != 3:
            return False
        model = self.find_model(parts[0], parts[1]) or self.model_once_called(parts[0], parts[1])
        if model is None:
            return False
        fields: dict[str, Any] = {f.name: f for f in (*model._meta.local_fields, *model._meta.local_many_to_many)}
        if new not in fields:
            raise AutomigrateError(f"--rename {old}={new}: {model._meta.label} has no field {new!r}.")
        found = fields[new]
        if found.many_to_many:
            for table in self.names_of_table(model):
                old_table = self.truncated(f"{strip_quotes(table)}_{parts[2]}")
                self.tables[old_table] = found.remote_field.through._meta.db_table
        else:
            old_column = f"{parts[2]}_id" if found.is_relation else parts[2]
            self.columns[model._meta.db_table, old_column] = found.column
        return True

    def names_of_table(self, model: type[Model]) -> list[str]:
        """What the model's table is called, and was called if this run renames it."""
        return [model._meta.db_table, *(r.old_table for r in self.renamed_models if r.model is model)]

    def model_once_called(self, app_label: str, name: str) -> type[Model] | None:
        """The model that this run renames from a name."""
        return next(
            (
                renamed.model
                for renamed in self.renamed_models
                if renamed.model._meta.app_label == app_label and renamed.old_name.lower() == name.lower()
            ),
            None,
        )

    def rename_in_database(self, old: str, new: str) -> None:
        """Take "table" = "new_table" or "table.column" = "new_column" by their names in the database."""
        tables = {model._meta.db_table for model in self.models} | {
            t._meta.db_table for _, t in self.automatic_models()
        }
        table, dot, column = old.rpartition(".")
        if dot and table in tables:
            self.columns[table, column] = new
        elif new in tables:
            self.tables[old] = new
        else:
            raise AutomigrateError(
                f"--rename {old}={new}: no such model, field, table or column in the models of this run. Write "
                f"app.Model=NewModel, app.Model.field=new_field, table=new_table or table.column=new_column."
            )

    # What of it is still to be done

    def pending(self, read: Read) -> list[Change]:
        """The renames whose old name is there and whose new one is not; raises where both or none are."""
        there = read([*self.tables, *self.tables.values(), *(table for table, _ in self.columns)])
        changes: list[Change] = []
        now: dict[str, str] = {}
        for old, new in self.tables.items():
            if old == new or not self.is_pending(
                f"table {old}", f"table {new}", old in there.tables, new in there.tables
            ):
                continue
            changes.append(RenameTable(table=old, new_name=new))
            now[new] = old
        for (name, old), new in self.columns.items():
            table = there.get(now.get(name, name))
            if table is None or old == new:
                continue
            had, has = table.column(old) is not None, table.column(new) is not None
            if self.is_pending(f"column {name}.{old}", f"column {name}.{new}", had, has):
                changes.append(RenameColumn(table=name, old_name=old, new_name=new))
        return changes

    def is_pending(self, old: str, new: str, had: bool, has: bool) -> bool:
        """Whether the old name is to give way to the new one."""
        if had and has:
            raise AutomigrateError(
                f"Cannot rename {old} to {new}: both are there. Drop the one that is not wanted. Nothing was done."
            )
        return had


def renamed_ownership(ownership: Ownership, changes: Iterable[Change]) -> Ownership:
    """The record as it reads once the renames are done."""
    tables = dict(ownership.tables)
    for change in changes:
        if isinstance(change, RenameTable) and change.table in tables:
            tables[change.new_name] = evolve(tables.pop(change.table), name=change.new_name)
        elif isinstance(change, RenameColumn) and change.table in tables:
            tables[change.table] = renamed_column(tables[change.table], change.old_name, change.new_name)
    return evolve(ownership, tables=tables)


def renamed_column(owned: OwnedTable, old: str, new: str) -> OwnedTable:
    """The record of a table with one column renamed."""
    return evolve(
        owned,
        columns={new if name == old else name: attributes for name, attributes in owned.columns.items()},
        kept=tuple(new if name == old else name for name in owned.kept),
    )


def rename_content_types(renamed: Iterable[RenamedModel], alias: str, apps: Any) -> None:
    """Let content types, and with them permissions and generic relations, follow a renamed model."""
    try:
        content_type = apps.get_model("contenttypes", "ContentType")
    except LookupError:
        return
    types = content_type._default_manager.using(alias)
    for model in renamed:
        new = {"app_label": model.model._meta.app_label, "model": model.model._meta.model_name}
        old = {**new, "model": model.old_name.lower()}
        if not types.filter(**new).exists():
            types.filter(**old).update(model=new["model"])
    if hasattr(content_type.objects, "clear_cache"):
        content_type.objects.clear_cache()
