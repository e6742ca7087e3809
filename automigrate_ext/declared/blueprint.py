"""The SQL and the structure of a model's table according to Django's schema editor; nothing is executed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.ddl_references import Statement
from django.db.backends.utils import split_identifier
from django.db.models import CompositePrimaryKey, Field, Model, UniqueConstraint

from automigrate_ext.declared.editor import (
    MARK,
    SQL,
    SchemaEditor,
    comment_statements,
    compose,
    extra_statements,
    forget_drawn,
)
from automigrate_ext.schema.nouns import ForeignKey, Unique

#: The most bytes that a character takes in UTF-8.
LONGEST_CHARACTER = 4
#: The suffix in the name that the schema editor gives to a foreign key created along with its table.
FOREIGN_KEY_SUFFIX = "_fk_%(to_table)s_%(to_column)s"

#: The beginning of the schema editor's templates that add a constraint, also an `ExclusionConstraint`.
ADD_TO_TABLE = "ALTER TABLE %(table)s ADD "


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnBlueprint:
    """The column of a field: its definition without key, uniqueness and check, and these parts separately.

    `names_collation` is set where the field gives a collation, be it the one that the column would have anyway.
    """

    name: str
    field: Field[Any, Any]
    type_sql: str
    definition: str
    check: str | None
    default_sql: str | None
    names_collation: bool = False

    @property
    def generated(self) -> bool:
        """Whether the column is computed from others."""
        return bool(self.field.generated)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """The table of a model.

    `create` is the CREATE TABLE statement, with `MARK` before its closing bracket where foreign keys are not part
    of it. `extras` are statements that the engine's schema editor adds to Django's, and `follows_extras` is unset
    where the server does not accept them for a temporary table. `deferred` are the statements that Django defers
    (foreign keys, unique constraints and indexes), `objects` are those but for the foreign keys, `clauses` are those
    that Meta.constraints add to the table, by name. `is_swayed` is set where the server decided about a statement.
    """

    connection: BaseDatabaseWrapper
    model: type[Model]
    name: str
    columns: tuple[ColumnBlueprint, ...]
    primary_key: tuple[str, ...]
    create: str
    deferred: tuple[SQL, ...]
    objects: tuple[SQL, ...]
    comments: tuple[str, ...]
    uniques: tuple[Unique, ...]
    clauses: dict[str, str]
    foreign_keys: tuple[ForeignKey, ...]
    given_names: frozenset[str]
    plain: bool
    is_swayed: bool
    extras: tuple[str, ...] = ()
    follows_extras: bool = True

    @property
    def owner(self) -> str:
        """The label of the model that declares the table; for a many-to-many table, that of the field's model."""
        created_by = self.model._meta.auto_created
        owner: Any = created_by if created_by else self.model
        return str(owner._meta.label)

    def name_of(self, statement: SQL) -> str:
        """Return the name that the server gives to the object that a statement creates."""
        return statement_name(self.connection, statement)

    def wording(self) -> Iterator[str]:
        """Yield all statements with which Django would create the table, as `editor.wording` does."""
        yield self.create
        yield from map(str, self.deferred)
        yield from self.comments
        yield from self.extras

    def create_sql(self, clauses: Iterable[str] = ()) -> str:
        """Return the CREATE TABLE statement with further clauses in it."""
        return self.create.replace(MARK, "".join(f", {clause}" for clause in clauses))


def draw(editor: SchemaEditor, model: type[Model]) -> Blueprint:
    """Collect from the editor all SQL that creates the model's table."""
    forget_drawn(editor)
    create = compose(editor, *editor.table_sql(model))
    deferred = tuple(sql for sql in (*editor.deferred_sql, *editor._model_indexes_sql(model)) if sql is not None)
    comments = tuple(comment_statements(editor, model))
    columns = tuple(draw_columns(editor, model))
    return Blueprint(
        connection=editor.connection,
        model=model,
        name=model._meta.db_table,
        columns=columns,
        primary_key=primary_key_columns(editor.connection, model),
        create=create,
        deferred=deferred,
        objects=tuple(sql for sql in deferred if not is_foreign_key(editor, sql)),
        comments=comments,
        uniques=tuple(plain_uniques(editor, model)),
        clauses=dict(constraint_clauses(editor, model)),
        foreign_keys=tuple(foreign_keys(editor, model)),
        given_names=frozenset(
            kept_name(editor.connection, given.name) for given in (*model._meta.indexes, *model._meta.constraints)
        ),
        plain=is_plain(model, columns),
        is_swayed=editor.is_swayed,
        extras=extra_statements(editor, model),
    )


def is_foreign_key(editor: SchemaEditor, sql: SQL) -> bool:
    """Return whether the statement is the schema editor's ADD CONSTRAINT ... FOREIGN KEY."""
    return isinstance(sql, Statement) and sql.template == editor.sql_create_fk


def is_plain(model: type[Model], columns: Iterable[ColumnBlueprint]) -> bool:
    """Return whether the server need not see the table as a whole, apart from its indexes."""
    opts = model._meta
    tablespaces = opts.db_tablespace or any(column.field.db_tablespace for column in columns)
    return (
        not any(column.generated for column in columns)
        and all(is_plain_unique(constraint) for constraint in opts.constraints)
        and not tablespaces
    )


def is_plain_unique(constraint: Any) -> bool:
    """Return whether a constraint is a unique one over columns, without anything else that the server prints."""
    more = ("condition", "include", "opclasses", "nulls_distinct")
    is_unique = type(constraint) is UniqueConstraint
    return is_unique and bool(constraint.fields) and not any(has_option(constraint, attribute) for attribute in more)


def has_option(constraint: Any, attribute: str) -> bool:
    """Return whether a constraint has a value for an optional attribute."""
    return getattr(constraint, attribute, None) not in (None, ())


def draw_columns(editor: SchemaEditor, model: type[Model]) -> Iterator[ColumnBlueprint]:
    """Yield the columns of a model's own table."""
    connection = editor.connection
    for field in model._meta.local_fields:
        drawn = editor.drawn_column(model, field)
        if drawn is None:
            continue
        db_params = drawn.db_params
        words = [word for word in drawn.words if word not in ("PRIMARY KEY", "UNIQUE")]
        if suffix := field.db_type_suffix(connection=connection):
            words.append(suffix)
        yield ColumnBlueprint(
            name=kept_name(connection, str(field.column)),
            field=field,
            names_collation=bool(db_params.get("collation")),
            type_sql=" ".join([db_params["type"], collate(editor, db_params)]).rstrip(),
            definition=compose(editor, " ".join(words), drawn.params),
            check=db_params["check"],
            default_sql=compose(editor, *editor.db_default_sql(field)) if field.has_db_default() else None,
        )


def collate(editor: SchemaEditor, db_params: Any) -> str:
    """Return the COLLATE clause of a field's column, or "" where it has no collation of its own."""
    collation = db_params.get("collation")
    return editor._collate_sql(collation) if collation else ""


def primary_key_columns(connection: BaseDatabaseWrapper, model: type[Model]) -> tuple[str, ...]:
    """Return the columns of the primary key, in key order."""
    pk = model._meta.pk
    columns = tuple(pk.columns) if isinstance(pk, CompositePrimaryKey) else (str(pk.column),)
    return tuple(kept_name(connection, column) for column in columns)


def plain_uniques(editor: SchemaEditor, model: type[Model]) -> Iterator[Unique]:
    """Yield the unique constraints to which the server adds nothing: of fields, unique_together and Meta."""
    for field in model._meta.local_fields:
        if field.column and field.unique and not field.primary_key:
            columns = columns_of(editor.connection, model, [field.name])
            yield plain_unique(editor, columns, editor._create_unique_sql(model, [field]))
    for names in model._meta.unique_together:
        fields = [model._meta.get_field(name) for name in names]
        statement = editor._create_unique_sql(model, fields)
        yield plain_unique(editor, columns_of(editor.connection, model, names), statement)
    for constraint in model._meta.constraints:
        if is_plain_unique(constraint):
            assert isinstance(constraint, UniqueConstraint)
            statement = constraint.create_sql(model, editor)
            if not statement:
                continue
            deferrable = constraint.deferrable
            yield Unique(
                columns=columns_of(editor.connection, model, constraint.fields),
                deferrable=deferrable.value if deferrable else None,
                name=kept_name(editor.connection, constraint.name),
                named=True,
                sql=as_clause(statement),
            )


def columns_of(connection: BaseDatabaseWrapper, model: type[Model], names: Iterable[str]) -> tuple[str, ...]:
    """Return the columns of the model's fields of these names."""
    fields: list[Any] = [model._meta.get_field(name) for name in names]
    return tuple(kept_name(connection, field.column) for field in fields)


def plain_unique(editor: SchemaEditor, columns: tuple[str, ...], statement: SQL) -> Unique:
    """Return a unique constraint whose name Django generates."""
    return Unique(columns=columns, name=statement_name(editor.connection, statement), sql=as_clause(statement))


def constraint_clauses(editor: SchemaEditor, model: type[Model]) -> Iterator[tuple[str, str]]:
    """Yield the name and the clause of each constraint of Meta that is a clause of the table."""
    for constraint in model._meta.constraints:
        statement = constraint.create_sql(model, editor)
        if statement and is_alter_table_add(statement):
            yield kept_name(editor.connection, constraint.name), as_clause(statement)


def is_alter_table_add(statement: SQL) -> bool:
    """Return whether a statement adds a clause to a table, rather than creating an index."""
    return isinstance(statement, Statement) and statement.template.startswith(ADD_TO_TABLE)


def as_clause(statement: SQL) -> str:
    """Return the part of "ALTER TABLE t ADD CONSTRAINT ..." from CONSTRAINT on; any other statement whole."""
    if not is_alter_table_add(statement):
        return str(statement)
    assert isinstance(statement, Statement)
    return statement.template.removeprefix(ADD_TO_TABLE) % statement.parts


def statement_name(connection: BaseDatabaseWrapper, statement: SQL) -> str:
    """Return the unquoted name of the object that a statement of the schema editor creates, or ""."""
    if isinstance(statement, Statement) and "name" in statement.parts:
        return kept_name(connection, unquote(str(statement.parts["name"])))
    return ""


def kept_name(connection: BaseDatabaseWrapper, name: str) -> str:
    """Return a name as the server stores it: PostgreSQL silently truncates names that are too long.

    Source: PostgreSQL's documentation, "Identifiers and Key Words"; the limit is counted in bytes.
    """
    longest = connection.ops.max_name_length()
    if not longest or len(name) * LONGEST_CHARACTER <= longest:
        return name
    return name.encode()[:longest].decode(errors="ignore")


def kept_table_name(connection: BaseDatabaseWrapper, name: str) -> str:
    """Return a table's name as the server stores it, with the schema that it may be quoted with; see `kept_name`."""
    schema, table = split_identifier(name)
    kept = kept_name(connection, table.strip('"'))
    return f"{schema}.{kept}" if schema else kept


def unquote(name: str) -> str:
    """Return an identifier without its quotes."""
    return name[1:-1].replace('""', '"') if name[:1] == name[-1:] == '"' and len(name) > 1 else name.strip("`")


def foreign_keys(editor: SchemaEditor, model: type[Model]) -> Iterator[ForeignKey]:
    """Yield the foreign keys of a model's own table that the database is to enforce."""
    connection = editor.connection
    if not connection.features.supports_foreign_keys:
        return
    local_fields: Iterable[Any] = model._meta.local_fields
    for field in local_fields:
        if not (field.column and field.remote_field and getattr(field, "db_constraint", False)):
            continue
        target = field.target_field
        on_delete = getattr(field.remote_field.on_delete, "operation", None)
        statement = editor._create_fk_sql(model, field, FOREIGN_KEY_SUFFIX) if editor.sql_create_fk else ""
        yield ForeignKey(
            name=statement_name(editor.connection, statement),
            columns=(kept_name(connection, field.column),),
            to_table=field.remote_field.model._meta.db_table,
            to_columns=(kept_name(connection, target.column),),
            on_delete=on_delete,
            deferrable="deferred" if connection.ops.deferrable_sql() else None,
            sql=as_clause(statement),
        )
