"""Renames that were asked for or hinted at: from "todo.Todo.title=name" to renamed tables and columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from itertools import product
from typing import Any

from django.db import connections
from django.db.backends.utils import strip_quotes, truncate_name
from django.db.models import Model

from automigrate_ext.backends.naming import noun_columns
from automigrate_ext.declared.blueprint import kept_name
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.renames.request import RenameRequest, own_fields, quoted
from automigrate_ext.schema.changes import Change, RenameColumn, RenameTable
from automigrate_ext.schema.nouns import ForeignKey, Index, Schema, Table
from automigrate_ext.schema.order import in_order
from automigrate_ext.schema.ownership import OwnedTable, Ownership, TableObject
from automigrate_ext.words import did_you_mean

Read = Callable[[Iterable[str]], Schema]
ReadRecord = Callable[[], Ownership]
#: Returns whether an object of a table has a generated name.
Named = Callable[[Table, TableObject], bool]


#: How renames are written, for one that resembles nothing in the models.
WRITE = (
    " Write app.Model=NewModel, app.Model=newapp.Model, app.Model.field=new_field, table=new_table or "
    "table.column=new_column."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenamedModel:
    """A model that had another name, or was in another app."""

    model: type[Model]
    old_app: str
    old_name: str
    request: RenameRequest

    @property
    def old_label(self) -> str:
        return f"{self.old_app}.{self.old_name}"

    @property
    def is_hint(self) -> bool:
        """Whether nobody asked for the rename in this run."""
        return bool(self.request.hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelName:
    """A name of a model, in small letters, with the request that replaces it; None for the name that it has."""

    name: str
    request: RenameRequest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedRename:
    """A rename of a table, or of a column of the table that is called `table` afterwards, by names in the database.

    `is_guess` is set where the old name is one of several that the request may mean.
    """

    old: str
    new: str
    request: RenameRequest
    table: str = ""
    is_guess: bool = False

    @property
    def kind(self) -> str:
        return "column" if self.table else "table"

    @property
    def full_old(self) -> str:
        return f"{self.table}.{self.old}" if self.table else self.old

    @property
    def full_new(self) -> str:
        return f"{self.table}.{self.new}" if self.table else self.new


@dataclass(frozen=True, slots=True, kw_only=True)
class OutstandingRenames:
    """The renames that a database still needs, as changes, and notes on those that it does not need."""

    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Renames:
    """The renames of one run: the tables and columns that get a new name.

    Objects that already have their new name are left alone, so that the same renames can be requested for every
    database. Of two requests for one object the first one counts. `all_models` are all models that have a table in
    the database; the many-to-many tables of any of them may be renamed along with a model. `unknown` are the hints
    that match nothing in the models of this run.
    """

    requests: Sequence[RenameRequest]
    models: Sequence[type[Model]]
    all_models: Sequence[type[Model]]
    alias: str
    resolved: list[ResolvedRename] = field(default_factory=list)
    unknown: list[RenameRequest] = field(default_factory=list)
    renamed_models: list[RenamedModel] = field(default_factory=list)

    def __post_init__(self) -> None:
        for request in sorted(self.requests, key=precedence):
            is_known = self.rename_model(request) or self.rename_field(request) or self.rename_in_database(request)
            if not is_known and request.hint:
                self.unknown.append(request)
            elif not is_known:
                raise AutomigrateError(
                    f"{request.label}: no such model, field, table or column in the models of this run."
                    f"{self.meant(request) or WRITE}"
                )
        for _, through in self.automatic_models() if self.renamed_models else ():
            self.rename_ends(through)

    # From requests to names in the database

    def add(self, request: RenameRequest, old: str, new: str, table: str = "", *, is_guess: bool = False) -> None:
        """Add a rename of a table, or of a column of `table`, unless the names are equal."""
        if table:
            old, new = self.kept(old), self.kept(new)
        if old != new:
            rename = ResolvedRename(old=old, new=new, table=table, request=request, is_guess=is_guess)
            self.resolved.append(rename)

    def find_model(self, app_label: str, name: str) -> type[Model] | None:
        """Return the model of an app by its name, in any case, or None."""
        wanted = (app_label, name.lower())
        return next((m for m in self.models if (m._meta.app_label, m._meta.model_name) == wanted), None)

    def meant(self, request: RenameRequest) -> str:
        """Return the question whether a request is about the name in the models that resembles it most, or ""."""
        labels = [model._meta.label for model in self.models]
        if request.old.count(".") == 2:
            return did_you_mean(request.old.rpartition(".")[0], labels)
        tables = self.declared_columns(self.models)
        app_label, dot, _ = request.old.partition(".")
        names = [model._meta.object_name for model in self.models if model._meta.app_label == app_label]
        new = did_you_mean(request.new, labels if "." in request.new else [*map(str, names), *tables])
        return new or (did_you_mean(request.old.rpartition(".")[0], tables) if dot else "")

    def rename_model(self, request: RenameRequest) -> bool:
        """Resolve "app.Old" = "New" or "app.Old" = "newapp.New", with the tables and columns named after the model.

        Return whether it matches.
        """
        app_label, dot, old_name = request.old.partition(".")
        new_app, _, new_name = request.new.rpartition(".")
        model = self.find_model(new_app or app_label, new_name) if dot and "." not in old_name else None
        if model is None:
            return False
        old_table = self.truncated(f"{app_label}_{old_name.lower()}")
        renamed = RenamedModel(model=model, old_app=app_label, old_name=old_name, request=request)
        self.renamed_models.append(renamed)
        self.rename_table(request, old_table, model)
        self.rename_parent_links(request, renamed)
        return True

    def truncated(self, name: str) -> str:
        return truncate_name(name, connections[self.alias].ops.max_name_length())

    def kept(self, name: str) -> str:
        """Return a name as the server stores it."""
        return kept_name(connections[self.alias], name)

    def automatic_models(self) -> Iterator[tuple[Any, Any]]:
        """Yield the many-to-many fields, with the models that Django made for them."""
        for model in self.all_models:
            for many in model._meta.local_many_to_many:
                through: Any = many.remote_field.through
                if through._meta.auto_created:
                    yield many, through

    def rename_table(self, request: RenameRequest, old_table: str, model: type[Model]) -> None:
        """Rename the table of a model, and its many-to-many tables, which are named after that."""
        self.add(request, old_table, model._meta.db_table)
        for many, through in self.automatic_models():
            if many.model is model:
                self.add(request, self.many_to_many_table(old_table, many.name), through._meta.db_table)

    def many_to_many_table(self, table: str, field_name: str) -> str:
        """Return the name of a many-to-many table after the names of its model's table and of its field.

        Source: django/db/models/fields/related.py, `_get_m2m_db_table`.
        """
        return self.truncated(f"{strip_quotes(table)}_{field_name}")

    def rename_ends(self, through: Any) -> None:
        """Rename the columns of a many-to-many table, whose names depend on those of both models."""
        source, target = (end for end in through._meta.local_fields if end.is_relation)
        for old_source, old_target in product(self.names_of(source.related_model), self.names_of(target.related_model)):
            if source.related_model is target.related_model and old_source != old_target:
                continue
            names = end_names(old_source.name, old_target.name)
            for end, name, requests in zip(
                (source, target), names, ((old_source, old_target), (old_target, old_source)), strict=True
            ):
                request = requests[0].request or requests[1].request
                if request:
                    self.add(request, f"{name}_id", end.column, through._meta.db_table)

    def names_of(self, model: type[Model]) -> list[ModelName]:
        """Return the names of a model in this run: its old ones first."""
        renamed = [r for r in self.renamed_models if r.model is model]
        old = [ModelName(name=r.old_name.lower(), request=r.request) for r in renamed]
        return [*old, ModelName(name=str(model._meta.model_name))]

    def rename_parent_links(self, request: RenameRequest, renamed: RenamedModel) -> None:
        """Rename the columns with which child models point at a renamed parent."""
        for model in self.all_models:
            for link in model._meta.parents.values():
                if link and link.auto_created and link.model is model and link.related_model is renamed.model:
                    self.add(request, f"{renamed.old_name.lower()}_ptr_id", str(link.column), model._meta.db_table)

    def rename_field(self, request: RenameRequest) -> bool:
        """Resolve "app.Model.old" = "new", with the table of a many-to-many field. Return whether it matches."""
        parts = request.old.split(".")
        if len(parts) != 3:
            return False
        model = self.find_model(parts[0], parts[1]) or self.model_by_old_name(parts[0], parts[1])
        if model is None:
            return False
        new: Any = own_fields(model).get(request.new)
        if new is None:
            meant = did_you_mean(request.new, own_fields(model))
            raise AutomigrateError(f"{request.label}: {model._meta.label} has no field {request.new!r}.{meant}")
        if not new.many_to_many:
            self.rename_column(request, parts[2], new)
        elif new.remote_field.through._meta.auto_created:
            for table in self.names_of_table(model):
                old_table = self.many_to_many_table(table, parts[2])
                self.add(request, old_table, new.remote_field.through._meta.db_table)
        return True

    def rename_column(self, request: RenameRequest, old: str, new: Any) -> None:
        """Rename the column of a field, which may have been that of a foreign key before, or of none.

        A foreign key that goes by the name of its column (`author_id`) is renamed from a column of the old name.
        """
        table = new.model._meta.db_table
        if request.new != new.name:
            self.add(request, old, new.column, table)
            return
        likely, other = (f"{old}_id", old) if new.is_relation else (old, f"{old}_id")
        self.add(request, likely, new.column, table)
        if other not in {field.column for field in new.model._meta.local_fields}:
            self.add(request, other, new.column, table, is_guess=True)

    def names_of_table(self, model: type[Model]) -> list[str]:
        """Return the name of the model's table, with its old names if this run renames it."""
        name = model._meta.db_table
        return [name, *(rename.old for rename in self.resolved if not rename.table and rename.new == name)]

    def model_by_old_name(self, app_label: str, name: str) -> type[Model] | None:
        """Return the model that had this name and is renamed in this run, or None."""
        return next(
            (
                renamed.model
                for renamed in self.renamed_models
                if renamed.old_app == app_label and renamed.old_name.lower() == name.lower()
            ),
            None,
        )

    def rename_in_database(self, request: RenameRequest) -> bool:
        """Resolve "table" = "new_table" or "table.column" = "new_column". Return whether the models have the name."""
        declared = self.declared_columns(self.models)
        table, dot, column = request.old.rpartition(".")
        if dot and table in declared:
            if self.kept(request.new) not in declared[table]:
                meant = did_you_mean(request.new, declared[table])
                raise AutomigrateError(f"{request.label}: the models have no column {request.new!r} in {table}.{meant}")
            self.add(request, column, request.new, table)
        elif request.new in declared:
            model = next((m for m in self.models if m._meta.db_table == request.new), None)
            if model is None:
                self.add(request, request.old, request.new)
            else:
                self.rename_table(request, request.old, model)
        else:
            return False
        return True

    def declared_columns(self, models: Iterable[type[Model]]) -> dict[str, frozenset[str]]:
        """Return the columns of the models' tables, including many-to-many tables."""
        wanted = set(models)
        throughs = [through for many, through in self.automatic_models() if many.model in wanted]
        return {
            model._meta.db_table: frozenset(self.kept(str(f.column)) for f in model._meta.local_fields if f.column)
            for model in (*wanted, *throughs)
        }

    # From names in the database to changes

    def outstanding(self, read: Read, read_record: ReadRecord) -> OutstandingRenames:
        """Return the renames whose old name exists and whose new one does not, and notes on the others.

        The record is read only where a model's table has neither name. Raises `AutomigrateError` where both names of a
        rename that was requested for this run exist.
        """
        if not self.requests:
            return OutstandingRenames()
        now = self.read_names(read)
        missing = [renamed for renamed in self.renamed_models if not self.has_table(renamed, now)]
        record = read_record() if missing else None
        owners = self.unclaimed_owners(record) if record else {}
        if found := {id(r): owners[r.old_label.lower()] for r in missing if r.old_label.lower() in owners}:
            for renamed in missing:
                if id(renamed) in found:
                    self.rename_table(renamed.request, found[id(renamed)], renamed.model)
            now = self.read_names(read)
        tables = [rename for rename in self.resolved if not rename.table]
        columns = [rename for rename in self.resolved if rename.table]
        states = RenameStates(alias=self.alias, declared=self.declared_columns(self.all_models))
        changes: list[Change] = []
        for old, new in states.sort_out(tables, self.distinguishable(now, tables), self.declared_tables()):
            changes.append(RenameTable(table=old, new_name=new))
            now[new] = now.pop(old)
        by_table: defaultdict[str, list[ResolvedRename]] = defaultdict(list)
        for rename in columns:
            by_table[rename.table].append(rename)
        for name, renames in by_table.items():
            existing_columns = column_names(now.get(name))
            for old, new in states.sort_out(renames, existing_columns, states.declared.get(name, frozenset())):
                changes.append(RenameColumn(table=name, old_name=old, new_name=new))
        labels = [owner.owner for owner in record.tables.values() if owner.name in owners.values()] if record else []
        return OutstandingRenames(changes=tuple(changes), notes=tuple(states.notes(self.requests, labels)))

    def read_names(self, read: Read) -> dict[str, Table]:
        """Return the tables that the renames are about, by their names."""
        pairs = [(rename.table,) if rename.table else (rename.old, rename.new) for rename in self.resolved]
        return {table.name: table for table in read([name for names in pairs for name in names])}

    def has_table(self, renamed: RenamedModel, now: Collection[str]) -> bool:
        """Return whether the table of a model is there, under its new name or one that the request gives it."""
        new = renamed.model._meta.db_table
        return new in now or any(r.old in now for r in self.resolved if not r.table and r.new == new)

    def unclaimed_owners(self, record: Ownership) -> dict[str, str]:
        """Return the tables of models, by their labels in small letters, that are recorded and that no model has now.

        A model's many-to-many tables are recorded as the model's too: their names begin with that of its own table.
        """
        declared = self.declared_tables()
        by_owner: defaultdict[str, list[str]] = defaultdict(list)
        for owned in record.tables.values():
            if owned.name not in declared:
                by_owner[owned.owner.lower()].append(owned.name)
        first = {owner: min(names, key=len) for owner, names in by_owner.items()}
        return {o: t for o, t in first.items() if all(name == t or name.startswith(f"{t}_") for name in by_owner[o])}

    def declared_tables(self) -> frozenset[str]:
        return frozenset(self.declared_columns(self.all_models))

    def distinguishable(self, tables: Collection[str], renames: Iterable[ResolvedRename]) -> frozenset[str]:
        """Return the names of tables, without old ones that the server does not distinguish from the new ones."""
        if not connections[self.alias].features.ignores_table_name_case:
            return frozenset(tables)
        same = {rename.old for rename in renames if rename.old.lower() == rename.new.lower()}
        return frozenset(tables) - same


@dataclass(kw_only=True)
class RenameStates:
    """The states of a run's requests: due, done, or with both or neither of their names in the database."""

    alias: str
    declared: dict[str, frozenset[str]]
    due: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    both: dict[str, ResolvedRename] = field(default_factory=dict)
    neither: dict[str, ResolvedRename] = field(default_factory=dict)
    #: By the label of a request in `neither`, the names that the models do not have and that may be meant.
    leftover: dict[str, frozenset[str]] = field(default_factory=dict)

    def sort_out(
        self, renames: Iterable[ResolvedRename], existing: Collection[str], declared: Collection[str]
    ) -> list[tuple[str, str]]:
        """Return the renames of one kind in executable order, and record the state of each request."""
        chosen: dict[str, ResolvedRename] = {}
        for rename in renames:
            is_first = rename.old not in chosen and rename.new not in {other.new for other in chosen.values()}
            if is_first and rename.old in existing:
                chosen[rename.old] = rename
        swaps = {old for old, rename in chosen.items() if not rename.request.hint}
        steps = in_order({old: rename.new for old, rename in chosen.items()}, existing, swaps=swaps)
        moved = {old for old, _ in steps}
        for rename in renames:
            # A request may resolve to one rename in two ways.
            is_due = rename.old in moved and chosen[rename.old].new == rename.new
            self.classify(rename, existing, declared, is_due=is_due)
        return steps

    def classify(
        self, rename: ResolvedRename, existing: Collection[str], declared: Collection[str], *, is_due: bool
    ) -> None:
        """Record the state of a rename. Raises `AutomigrateError` where both names of a requested one exist."""
        label = rename.request.label
        if is_due:
            self.due.add(label)
        elif rename.is_guess and label in self.done:
            pass
        elif rename.old in existing and rename.old not in declared and rename.new in existing:
            if not rename.request.hint and not rename.is_guess:
                raise AutomigrateError(
                    f"Cannot rename {rename.kind} {rename.full_old} to {rename.kind} {rename.full_new}: both "
                    f"are there. Drop the one that is not wanted. Nothing was done."
                )
            self.both.setdefault(label, rename)
        elif rename.new in existing:
            self.done.add(label)
        elif rename.old not in existing:
            self.neither.setdefault(label, rename)
            self.leftover.setdefault(label, frozenset(existing) - frozenset(declared))

    def meant(self, rename: ResolvedRename, labels: Iterable[str]) -> str:
        """Return the question whether the old name of a rename is one that the database has and the models do not."""
        request = rename.request
        if not rename.table:
            return did_you_mean(request.old, labels)
        *place, name = request.old.rpartition(".")
        return did_you_mean(name, self.leftover[request.label]) if place else ""

    def notes(self, requests: Iterable[RenameRequest], labels: Iterable[str] = ()) -> Iterator[str]:
        """Yield notes on requests that have nothing left to do; `labels` are the old models that the record has."""
        for request in {request.label: request for request in requests}.values():
            label = request.label
            if label in self.due:
                continue
            if label in self.both:
                rename = self.both[label]
                yield (
                    f"{label} was not applied in database {quoted(self.alias)}: the {rename.kind}s "
                    f"{rename.full_old} and {rename.full_new} are both there. "
                    f"Drop the one that is not wanted."
                )
            elif label in self.done and request.hint:
                yield (
                    f"{label} has nothing left to do in database {quoted(self.alias)}; "
                    f"remove it once every database has been updated."
                )
            elif label in self.neither and label not in self.done and not request.hint:
                rename = self.neither[label]
                yield (
                    f"{label} found nothing to rename in database {quoted(self.alias)}: there is neither a "
                    f"{rename.kind} {rename.full_old} nor {rename.full_new}.{self.meant(rename, labels)}"
                )


def precedence(request: RenameRequest) -> int:
    """Return a number to sort requests by: models first, then tables, then fields, which may go by their old names."""
    return {1: 0, 2: 2}.get(request.old.count("."), 1)


def end_names(source: str, target: str) -> tuple[str, str]:
    """Return the names of the fields of a many-to-many table, after the names of its models.

    Source: django/db/models/fields/related.py, `create_many_to_many_intermediary_model`.
    """
    return (f"from_{source}", f"to_{target}") if source == target else (source, target)


def column_names(table: Table | None) -> frozenset[str]:
    """Return the names of a table's columns; none where there is no table."""
    return frozenset(column.name for column in table.columns) if table else frozenset()


def origins(changes: Iterable[Change]) -> dict[str, str]:
    """Return the names of renamed tables before the changes, by their names afterwards."""
    names: dict[str, str] = {}
    for change in changes:
        if isinstance(change, RenameTable):
            names[change.new_name] = names.pop(change.table, change.table)
    return names


def renamed_ownership(ownership: Ownership, changes: Sequence[Change]) -> Ownership:
    """Return the record as it is after the renames."""
    if not changes:
        return ownership
    tables = dict(ownership.tables)
    for change in changes:
        if isinstance(change, RenameTable) and change.table in tables:
            tables[change.new_name] = evolve(tables.pop(change.table), name=change.new_name)
        elif isinstance(change, RenameColumn) and change.table in tables:
            tables[change.table] = renamed_column(tables[change.table], change.old_name, change.new_name)
    former = FormerNames(changes)
    return evolve(
        ownership,
        tables=tables,
        django_named=former.extend(ownership.django_named),
        server_named=former.extend(ownership.server_named),
    )


class FormerNames:
    """The names of tables and columns before some renames: names of other objects were generated from them."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self.tables = origins(changes)
        self.columns: dict[tuple[str, str], str] = {}
        for change in changes:
            if isinstance(change, RenameColumn):
                old = self.columns.pop((change.table, change.old_name), change.old_name)
                self.columns[change.table, change.new_name] = old

    def extend(self, named: Named) -> Named:
        """Return a predicate that recognizes generated names also by the former names of tables and columns."""
        return lambda table, noun: named(table, noun) or named(self.table(table), self.noun(table.name, noun))

    def table(self, table: Table) -> Table:
        return evolve(table, name=self.tables.get(table.name, table.name))

    def noun(self, table: str, noun: TableObject) -> TableObject:
        if isinstance(noun, Index):
            keys = (evolve(key, column=self.column(table, key.column)) if key.column else key for key in noun.keys)
            columns = tuple(self.column(table, name) for name in noun.columns)
            return evolve(noun, keys=tuple(keys), columns=columns)
        changed: dict[str, Any] = {"columns": tuple(self.column(table, name) for name in noun_columns(noun))}
        if isinstance(noun, ForeignKey):
            changed["to_table"] = self.tables.get(noun.to_table, noun.to_table)
            changed["to_columns"] = tuple(self.column(noun.to_table, name) for name in noun.to_columns)
        return evolve(noun, **changed)

    def column(self, table: str, name: str) -> str:
        return self.columns.get((table, name), name)


def renamed_column(owned: OwnedTable, old: str, new: str) -> OwnedTable:
    """Return the record of a table with one column renamed, also in objects identified by their structure."""
    return evolve(
        owned,
        columns={new if name == old else name: attributes for name, attributes in owned.columns.items()},
        objects={renamed_identity(identity, old, new): attributes for identity, attributes in owned.objects.items()},
        kept=tuple(new if name == old else name for name in owned.kept),
    )


def renamed_identity(identity: str, old: str, new: str) -> str:
    """Return the identity of an object with a column renamed; unchanged where it is a name and no structure."""
    if "(" not in identity:
        return identity
    # Columns stand there by themselves, and within the expressions of checks.
    for quote in ("'", '"', "`"):
        identity = identity.replace(f"{quote}{old}{quote}", f"{quote}{new}{quote}")
    return identity
