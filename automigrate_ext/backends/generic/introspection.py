"""Read tables by Django's introspection, which every backend of Django's has, and not by a vendor's catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.management.commands.inspectdb import Command as InspectDb
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.models import Index as ModelIndex

from automigrate_ext.backends.generic.editor import writing_editor
from automigrate_ext.backends.generic.models import model_named
from automigrate_ext.exceptions import ShadowedTable
from automigrate_ext.schema.nouns import (
    Check,
    Column,
    Constraint,
    Exclusion,
    ForeignKey,
    Index,
    IndexKey,
    PrimaryKey,
    Table,
    Unique,
)

#: The name of a type that Django's introspection maps to no field.
UNKNOWN_TYPE = "type {code}"
#: A name in place of the columns of an expression, which introspection does not show.
HIDDEN = ""
#: The prefix of the names of all scratch tables, which have 31 characters at most, as names on Firebird.
SCRATCH = "automigrate_scratch_"


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeFacts:
    """A column's type in introspection: the field that inspectdb would make of it, and the numbers given."""

    field: str = ""
    params: Mapping[str, Any]
    code: object
    sizes: tuple[object, ...]

    def text(self, connection: BaseDatabaseWrapper) -> str:
        """Return the type as SQL as far as a field has one, and all numbers that are not in that."""
        sql = self.sql(connection) or UNKNOWN_TYPE.format(code=self.code)
        known = (None, 0, -1, *self.params.values())
        more = [str(size) for size in dict.fromkeys(self.sizes) if size not in known]
        return f"{sql} [{', '.join(more)}]" if more else sql

    def sql(self, connection: BaseDatabaseWrapper) -> str:
        """Return the type as SQL, "" where no field has it."""
        if not self.field:
            return ""
        made: models.Field[Any, Any] = getattr(models, self.field)(**self.params)
        return str(made.db_type(connection) or "")


class Catalog:
    """The tables of the database, by the names that introspection returns."""

    def __init__(self, connection: BaseDatabaseWrapper, cursor: CursorWrapper) -> None:
        self.connection = connection
        self.tables: dict[str, Any] = {}
        self.others: dict[str, str] = {}
        kinds = {"t": "table", "p": "table", "v": "view"}
        for info in connection.introspection.get_table_list(cursor):
            if kinds.get(info.type) == "table":
                self.tables[self.fold(info.name)] = info
            else:
                self.others[self.fold(info.name)] = kinds.get(info.type, "object of another kind")

    def fold(self, name: str) -> str:
        """Return a form of a table's name that is the same for all spellings that the server treats as one."""
        known = folded(self.connection, name)
        return known.lower() if self.connection.features.ignores_table_name_case else known

    def scratch(self) -> list[str]:
        """Return the scratch tables."""
        return [info.name for info in self.tables.values() if is_scratch(info.name)]

    def find(self, name: str) -> Any | None:
        """Return a table's entry in the list of tables, or None. Raises `ShadowedTable` for anything but a table."""
        key = self.fold(name)
        if key in self.others:
            raise ShadowedTable(f"{name!r} is a {self.others[key]}, not a table, so no model can have it as its own.")
        return self.tables.get(key)


def folded(connection: BaseDatabaseWrapper, name: str) -> str:
    """Return a name as it is written in SQL, where some backends shorten names or write them in capitals."""
    return str(connection.ops.quote_name(name))


class Spelling:
    """Names as a model spells them, which introspection may return in another case or shortened."""

    def __init__(self, connection: BaseDatabaseWrapper, names: Mapping[str, str]) -> None:
        self.connection = connection
        self.known = {folded(connection, name): spelled for name, spelled in names.items()}

    def of(self, name: str) -> str:
        """Return the model's name for something that introspection returns under a name."""
        return self.given(name) or name

    def given(self, name: str) -> str:
        """Return the model's name as `of` does, or "" where the model names no such thing."""
        return self.known.get(folded(self.connection, name), "")


def type_facts(connection: BaseDatabaseWrapper, row: Any) -> TypeFacts:
    """Return a column's type from its row in `get_table_description`."""
    # Not the display size, which on MariaDB is that of the present values.
    sizes = (row.internal_size, row.precision, row.scale)
    try:
        # Raises KeyError for a type without a field, where inspectdb would guess.
        connection.introspection.get_field_type(row.type_code, row)
    except KeyError:
        return TypeFacts(params={}, code=row.type_code, sizes=sizes)
    field, params, _ = InspectDb().get_field_type(connection, "", row)
    params = {name: value for name, value in params.items() if name != "db_collation" and value is not None}
    if not isinstance(getattr(models, field, None), type):
        return TypeFacts(params={}, code=row.type_code, sizes=sizes)
    return TypeFacts(field=field, params=params, code=row.type_code, sizes=sizes)


def pointing_model(table: str) -> type[models.Model]:
    """Return a model with a foreign key."""
    fields = {
        "id": models.IntegerField(primary_key=True),
        "parent": models.ForeignKey("self", models.CASCADE, null=True),
    }
    return model_named(table, fields)


def indexes_keys(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the server makes the index of a foreign key, so that the schema editor makes none."""
    model: Any = pointing_model("pointing")
    return not writing_editor(connection)._field_should_be_indexed(model, model._meta.get_field("parent"))


class Reader:
    """Reads tables one by one.

    `types` collects the type behind each text, `key_indexes` the indexes of each foreign key, by its name.
    """

    def __init__(
        self, connection: BaseDatabaseWrapper, types: dict[str, TypeFacts], key_indexes: dict[str, tuple[str, ...]]
    ) -> None:
        self.connection = connection
        self.types = types
        self.key_indexes = key_indexes
        self.indexes_keys = indexes_keys(connection)
        # Where foreign keys are nothing but clauses of columns, introspection numbers them, differently each time.
        self.names_keys = bool(getattr(connection.SchemaEditorClass, "sql_create_fk", None))

    def read(self, cursor: CursorWrapper, name: str, info: Any, spelling: Spelling) -> Table:
        """Read one table, with the names in it as the model spells them."""
        show = self.connection.introspection
        rows = show.get_table_description(cursor, info.name)
        # Servers return them in any order, and two comparisons have to lead to the same statements.
        constraints = dict(sorted(show.get_constraints(cursor, info.name).items()))
        relations = {spelling.of(name): found for name, found in show.get_relations(cursor, info.name).items()}
        numbered = {sequence["column"] for sequence in show.get_sequences(cursor, info.name, ())}
        # Most backends would query all constraints once more.
        keys = {tuple(found["columns"]): name for name, found in constraints.items() if found["primary_key"]}
        key = next(iter(keys), None) or tuple(show.get_primary_key_columns(cursor, info.name) or ())

        spelled = spelling.of
        objects = list(self.objects(info.name, constraints, relations, spelled))
        return Table(
            name=name,
            columns=tuple(self.column(row, spelled(row.name), row.name in numbered) for row in rows),
            primary_key=PrimaryKey(name=keys.get(key, ""), columns=tuple(map(spelled, key))) if key else None,
            constraints=tuple(noun for noun in objects if isinstance(noun, Constraint)),
            indexes=tuple(noun for noun in objects if isinstance(noun, Index)),
            comment=getattr(info, "comment", None) or "",
        )

    def column(self, row: Any, name: str, is_numbered: bool) -> Column:
        facts = type_facts(self.connection, row)
        kind = facts.text(self.connection)
        self.types[kind] = facts
        # Its sequence shows that a column is numbered, and some servers show that as a default too.
        default = None if row.default is None or is_numbered else str(row.default).strip()
        return Column(
            name=name,
            type=kind,
            null=bool(row.null_ok),
            # MariaDB shows NULL where there is no default, and it is no default anywhere.
            default=None if default in (None, "", "NULL") else default,
            collation=row.collation or None,
            identity="automatic" if is_numbered else None,
            comment=getattr(row, "comment", None) or "",
            collatable=facts.field in ("CharField", "TextField"),
        )

    def objects(
        self, table: str, constraints: Mapping[str, Any], relations: Mapping[str, Any], spelled: Callable[[str], str]
    ) -> Iterator[Constraint | Index]:
        """Yield the constraints and indexes but for the primary key."""
        known = {
            name: tuple(spelled(column) for column in info["columns"] or () if column is not None)
            for name, info in constraints.items()
        }
        keys = {known[name]: name for name, info in constraints.items() if info["foreign_key"]}
        self.key_indexes |= {name: (name,) for name in keys.values() if constraints[name]["index"]}
        for name, info in constraints.items():
            columns = known[name]
            if info["foreign_key"]:
                yield self.foreign_key(name if self.names_keys else "", columns, info["foreign_key"], relations)
            elif columns in keys and self.is_made_for_key(table, name, info):
                self.key_indexes[keys[columns]] = (*self.key_indexes.get(keys[columns], ()), name)
            elif not info["primary_key"]:
                yield noun(spelled(name), columns, info, spelled)
        for column, relation in relations.items():
            if (column,) not in keys:
                yield self.foreign_key("", (column,), (relation[1], relation[0]), relations)

    def is_made_for_key(self, table: str, name: str, info: Mapping[str, Any]) -> bool:
        """Return whether an index is the one that an editor makes for a foreign key which loses the server's own."""
        if not self.indexes_keys or info["unique"] or not info["index"]:
            return False
        generated = writing_editor(self.connection)._create_index_name(table, info["columns"])
        return folded(self.connection, generated) == folded(self.connection, name)

    def foreign_key(
        self, name: str, columns: tuple[str, ...], target: tuple[str, str], relations: Mapping[str, Any]
    ) -> ForeignKey:
        table, column = target
        relation: tuple[Any, ...] = relations.get(columns[0], ()) if columns else ()
        # Since Django 6.1 the third value is the action on deletion.
        on_delete = getattr(relation[2], "operation", None) if len(relation) > 2 else None
        return ForeignKey(name=name, columns=columns, to_table=table, to_columns=(column,), on_delete=on_delete)


def noun(
    name: str, columns: tuple[str, ...], info: Mapping[str, Any], spelled: Callable[[str], str]
) -> Constraint | Index:
    """Return a constraint or index as far as introspection shows it; texts that are not shown are ""."""
    if info["check"]:
        return Check(name=name, columns=columns, expression="")
    if info["index"]:
        orders = [*(info.get("orders") or ()), *[""] * len(info["columns"])]
        keys = tuple(
            IndexKey(column=spelled(column), order=order) if column else IndexKey(expression="", order=order)
            for column, order in zip(info["columns"], ("DESC" if o == "DESC" else "" for o in orders), strict=False)
        )
        # Django distinguishes its own kind of B-tree index from its default by the name, which scratch tables change.
        method = str(info.get("type") or "").replace(ModelIndex.suffix, "").replace("btree", "")
        if None in info["columns"] or not columns:
            # The columns of an expression are not shown, so no question may be asked about them alone.
            columns = (*columns, HIDDEN)
            keys = keys or (IndexKey(expression=""),)
        return Index(name=name, keys=keys, columns=columns, unique=bool(info["unique"]), method=method)
    if info["unique"]:
        return Unique(name=name, columns=columns)
    return Exclusion(name=name, columns=columns, definition=name)


def is_scratch(name: str) -> bool:
    """Return whether a table is a scratch table."""
    return name.lower().startswith(SCRATCH)
