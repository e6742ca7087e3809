"""What Django's schema editor says of a model's table: SQL and structure, nothing executed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement
from django.db.models import CompositePrimaryKey, Field, Model, UniqueConstraint

from automigrate_ext.schema import ForeignKey, Unique

#: Stands in a CREATE TABLE statement where further clauses may be put; no SQL text can hold it.
MARK = "\x00"
#: The suffix with which the schema editor names a foreign key that it makes along with its table.
FOREIGN_KEY_SUFFIX = "_fk_%(to_table)s_%(to_column)s"

#: How the templates begin by which the schema editor adds a constraint, `ExclusionConstraint` too.
ADD_TO_TABLE = "ALTER TABLE %(table)s ADD "

# MariaDB 10.11 spoils a default like _binary x'ff' (it becomes the text "xFF") and refuses others; x'ff' alone is the
# same value. Django writes the former.
BINARY_HEX = re.compile(r"_binary (x'[0-9a-f]*')")

ENGINES = "SELECT table_name, engine FROM information_schema.tables WHERE table_schema = DATABASE()"

SQL = Statement | str
#: A schema editor. Half of what is asked of it is private, which the stubs do not know.
SchemaEditor = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnBlueprint:
    """A field's column: its definition without key, uniqueness and check, and those parts on their own."""

    name: str
    field: Field[Any, Any]
    type_sql: str
    definition: str
    check: str | None
    default_sql: str | None

    @property
    def generated(self) -> bool:
        """Whether the column is computed from others."""
        return bool(self.field.generated)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """A model's table.

    `create` is the CREATE TABLE statement, with `MARK` before its closing bracket where foreign keys are
    not part of it. `objects` are the statements that Django defers (unique constraints and indexes),
    `clauses` what Meta.constraints and unique fields add to the table, by name where they have one.
    """

    connection: BaseDatabaseWrapper
    model: type[Model]
    name: str
    columns: tuple[ColumnBlueprint, ...]
    primary_key: tuple[str, ...]
    create: str
    objects: tuple[SQL, ...]
    comments: tuple[str, ...]
    uniques: tuple[Unique, ...]
    clauses: dict[str, str]
    foreign_keys: tuple[ForeignKey, ...]
    given_names: frozenset[str]
    plain: bool

    @property
    def owner(self) -> str:
        """The label of the model that declares the table: of the owner, for a many-to-many table."""
        created_by = self.model._meta.auto_created
        owner: Any = created_by if created_by else self.model
        return str(owner._meta.label)

    def name_of(self, statement: SQL) -> str:
        """The name under which the server knows what a statement makes."""
        return statement_name(self.connection, statement)

    def create_sql(self, clauses: Iterable[str] = ()) -> str:
        """The CREATE TABLE statement with further clauses in it."""
        return self.create.replace(MARK, "".join(f", {clause}" for clause in clauses))


def collecting_editor(connection: BaseDatabaseWrapper) -> SchemaEditor:
    """A schema editor of the connection that collects SQL, and asks a question about collations once."""
    base = connection.SchemaEditorClass
    assert base is not None
    editor_class = type("CollectingSchemaEditor", (CollectingMixin, base), {})
    editor: SchemaEditor = editor_class(connection, collect_sql=True)
    editor.deferred_sql = []
    if editor.sql_create_inline_fk is None:
        editor.sql_create_table = editor.sql_create_table.replace("%(definition)s", f"%(definition)s{MARK}")
    return editor


class CollectingMixin:
    """Runs nothing, remembers what Django's schema editors would ask the server for every field, quotes all values."""

    def execute(self, sql: Any, params: Any = ()) -> None:
        """Write a statement down. There are editors of third parties that run it even when asked to collect."""
        text = str(sql)
        if params:
            text %= tuple(map(self.quote_value, params))
        self.collected_sql.append(text)  # type: ignore[attr-defined]

    def quote_value(self, value: Any) -> str:
        """A value as SQL. MySQL's driver gives bytes for all but texts, which would be written with a "b" before."""
        if isinstance(value, (bytes, bytearray, memoryview)) and self.connection.vendor == "mysql":  # type: ignore[attr-defined]
            return quote_bytes(bytes(value))
        quoted: str | bytes = super().quote_value(value)  # type: ignore[misc]
        return quoted.decode() if isinstance(quoted, bytes) else quoted

    def _field_should_be_indexed(self, model: type[Model], field: Field[Any, Any]) -> bool:
        # MySQL's schema editor asks which engine the table has, for every field that may have an index.
        if self.connection.vendor != "mysql":  # type: ignore[attr-defined]
            return bool(super()._field_should_be_indexed(model, field))  # type: ignore[misc]
        if not BaseDatabaseSchemaEditor._field_should_be_indexed(self, model, field):  # type: ignore[attr-defined]
            return False
        is_key = field.get_internal_type() == "ForeignKey" and getattr(field, "db_constraint", False)
        if is_key and self.engine_of(model._meta.db_table) == "InnoDB":
            return False
        return not self._is_limited_data_type(field)  # type: ignore[attr-defined]

    def engine_of(self, table: str) -> str:
        """The storage engine of a table; the server's default one where it does not exist yet."""
        connection: Any = self.connection  # type: ignore[attr-defined]
        known: dict[str, str] | None = self.__dict__.get("known_engines")
        if known is None:
            with connection.cursor() as cursor:
                cursor.execute(ENGINES)
                known = self.__dict__["known_engines"] = dict(cursor.fetchall())
        return known.get(table) or str(connection.features._mysql_storage_engine)

    def _is_collation_deterministic(self, collation_name: str) -> Any:
        known: dict[str, Any] = self.__dict__.setdefault("known_collations", {})
        if collation_name not in known:
            ask = super()._is_collation_deterministic  # type: ignore[misc]
            known[collation_name] = ask(collation_name)
        return known[collation_name]


def quote_bytes(value: bytes) -> str:
    """Bytes as a literal of MariaDB's and MySQL's, readable where they are plain text."""
    text = value.decode("ascii", errors="ignore")
    is_plain = len(text) == len(value) and text.isprintable() and not set(text) & set("'\\")
    return f"'{text}'" if is_plain else f"x'{value.hex()}'"


def draw(editor: SchemaEditor, model: type[Model]) -> Blueprint:
    """Have the editor write down all that makes the model's table."""
    editor.deferred_sql.clear()
    create = compose(editor, *editor.table_sql(model))
    deferred = [sql for sql in editor.deferred_sql if sql is not None and not is_foreign_key(editor, sql)]
    comments = tuple(comment_statements(editor, model))
    columns = tuple(draw_columns(editor, model))
    return Blueprint(
        connection=editor.connection,
        model=model,
        name=model._meta.db_table,
        columns=columns,
        primary_key=primary_key_columns(model),
        create=create,
        objects=(*deferred, *(sql for sql in editor._model_indexes_sql(model) if sql is not None)),
        comments=comments,
        uniques=tuple(plain_uniques(editor, model)),
        clauses=dict(constraint_clauses(editor, model)),
        foreign_keys=tuple(foreign_keys(editor, model)),
        given_names=frozenset(
            kept_name(editor.connection, given.name) for given in (*model._meta.indexes, *model._meta.constraints)
        ),
        plain=is_plain(model, columns),
    )


def wording(editor: SchemaEditor, model: type[Model]) -> Iterator[str]:
    """All statements by which Django would make the model's table, foreign keys included; less work than `draw`."""
    editor.deferred_sql.clear()
    yield compose(editor, *editor.table_sql(model))
    statements = (*editor.deferred_sql, *editor._model_indexes_sql(model), *comment_statements(editor, model))
    yield from (str(sql) for sql in statements if sql is not None)


def compose(editor: SchemaEditor, sql: str, params: Collection[Any] | None) -> str:
    """The SQL with its parameters written into it."""
    if not params:
        return sql
    return BINARY_HEX.sub(r"\1", sql % tuple(editor.quote_value(param) for param in params))


def is_foreign_key(editor: SchemaEditor, sql: SQL) -> bool:
    """Whether the statement is the schema editor's ADD CONSTRAINT ... FOREIGN KEY."""
    return isinstance(sql, Statement) and sql.template == editor.sql_create_fk


def is_plain(model: type[Model], columns: Iterable[ColumnBlueprint]) -> bool:
    """Whether nothing of the table but its indexes needs to be seen as a whole by the server."""
    opts = model._meta
    tablespaces = opts.db_tablespace or any(column.field.db_tablespace for column in columns)
    return (
        not any(column.generated for column in columns)
        and all(is_plain_unique(constraint) for constraint in opts.constraints)
        and not tablespaces
    )


def is_plain_unique(constraint: Any) -> bool:
    """Whether a constraint is a unique one over columns with nothing else that the server could print."""
    more = ("condition", "include", "opclasses", "nulls_distinct")
    is_unique = type(constraint) is UniqueConstraint
    return is_unique and bool(constraint.fields) and not any(says(constraint, attribute) for attribute in more)


def says(constraint: Any, attribute: str) -> bool:
    """Whether a constraint gives an optional attribute."""
    return getattr(constraint, attribute, None) not in (None, ())


def draw_columns(editor: SchemaEditor, model: type[Model]) -> Iterator[ColumnBlueprint]:
    """The columns of a model's own table."""
    connection = editor.connection
    for field in model._meta.local_fields:
        db_params = field.db_parameters(connection=connection)
        if db_params["type"] is None:
            continue
        params: list[Any] = []
        pieces = editor._iter_column_sql(db_params["type"], params, model, field, db_params, False)
        words = [piece for piece in pieces if piece not in ("PRIMARY KEY", "UNIQUE")]
        if suffix := field.db_type_suffix(connection=connection):
            words.append(suffix)
        yield ColumnBlueprint(
            name=str(field.column),
            field=field,
            type_sql=" ".join([db_params["type"], collate(editor, db_params)]).rstrip(),
            definition=compose(editor, " ".join(words), params),
            check=db_params["check"],
            default_sql=compose(editor, *editor.db_default_sql(field)) if field.has_db_default() else None,
        )


def collate(editor: SchemaEditor, db_params: Any) -> str:
    """The COLLATE clause of a field's column, if it asks for one."""
    collation = db_params.get("collation")
    return editor._collate_sql(collation) if collation else ""


def primary_key_columns(model: type[Model]) -> tuple[str, ...]:
    """The columns of the primary key, in key order."""
    pk = model._meta.pk
    if isinstance(pk, CompositePrimaryKey):
        return tuple(pk.columns)
    return (str(pk.column),)


def has_automatic_key(model: type[Model]) -> bool:
    """Whether Django made the primary key, rather than the model or the model that it inherits from."""
    pk = model._meta.pk
    return bool(getattr(pk, "auto_created", False)) and not getattr(pk, "remote_field", None)


def comment_statements(editor: SchemaEditor, model: type[Model]) -> Iterator[str]:
    """The statements that comment the table and its columns, where the server keeps comments apart."""
    features = editor.connection.features
    if not features.supports_comments:
        return
    if model._meta.db_table_comment:
        yield editor.sql_alter_table_comment % {
            "table": editor.quote_name(model._meta.db_table),
            "comment": editor.quote_value(model._meta.db_table_comment),
        }
    if features.supports_comments_inline:
        return
    for field in model._meta.local_fields:
        if field.db_comment and field.column:
            yield editor.sql_alter_column_comment % {
                "table": editor.quote_name(model._meta.db_table),
                "column": editor.quote_name(field.column),
                "comment": editor.quote_value(field.db_comment),
            }


def plain_uniques(editor: SchemaEditor, model: type[Model]) -> Iterator[Unique]:
    """The unique constraints that the server adds nothing to: of fields, unique_together and Meta."""
    for field in model._meta.local_fields:
        if field.column and field.unique and not field.primary_key:
            yield plain_unique(editor, (field.column,), editor._create_unique_sql(model, [field]))
    for names in model._meta.unique_together:
        fields = [model._meta.get_field(name) for name in names]
        statement = editor._create_unique_sql(model, fields)
        yield plain_unique(editor, columns_of(model, names), statement)
    for constraint in model._meta.constraints:
        if is_plain_unique(constraint):
            assert isinstance(constraint, UniqueConstraint)
            statement = constraint.create_sql(model, editor)
            if not statement:
                continue
            deferrable = constraint.deferrable
            yield Unique(
                columns=columns_of(model, constraint.fields),
                deferrable=deferrable.value if deferrable else None,
                name=kept_name(editor.connection, constraint.name),
                named=True,
                sql=as_clause(statement),
            )


def columns_of(model: type[Model], names: Iterable[str]) -> tuple[str, ...]:
    """The columns of the model's fields of these names."""
    fields: list[Any] = [model._meta.get_field(name) for name in names]
    return tuple(field.column for field in fields)


def plain_unique(editor: SchemaEditor, columns: tuple[str, ...], statement: SQL) -> Unique:
    """A unique constraint whose name Django generates."""
    return Unique(columns=columns, name=statement_name(editor.connection, statement), sql=as_clause(statement))


def constraint_clauses(editor: SchemaEditor, model: type[Model]) -> Iterator[tuple[str, str]]:
    """For each constraint of Meta that is a clause of the table: its name and the clause."""
    for constraint in model._meta.constraints:
        statement = constraint.create_sql(model, editor)
        if statement and is_alter_table_add(statement):
            yield kept_name(editor.connection, constraint.name), as_clause(statement)


def is_alter_table_add(statement: SQL) -> bool:
    """Whether a statement adds a clause to a table, rather than making an index."""
    return isinstance(statement, Statement) and statement.template.startswith(ADD_TO_TABLE)


def as_clause(statement: SQL) -> str:
    """The part of "ALTER TABLE t ADD CONSTRAINT ..." from CONSTRAINT on; any other statement whole."""
    if not is_alter_table_add(statement):
        return str(statement)
    assert isinstance(statement, Statement)
    return statement.template.removeprefix(ADD_TO_TABLE) % statement.parts


def statement_name(connection: BaseDatabaseWrapper, statement: SQL) -> str:
    """The unquoted name of the object that a statement of the schema editor makes, "" if it has none."""
    if isinstance(statement, Statement) and "name" in statement.parts:
        return kept_name(connection, unquote(str(statement.parts["name"])))
    return ""


def kept_name(connection: BaseDatabaseWrapper, name: str) -> str:
    """What the server keeps of a name: PostgreSQL cuts off silently what is longer than its longest.

    Source: PostgreSQL's documentation, "Identifiers and Key Words"; the limit is counted in bytes.
    """
    longest = connection.ops.max_name_length()
    return name.encode()[:longest].decode(errors="ignore") if longest else name


def unquote(name: str) -> str:
    """An identifier without its quotes."""
    return name[1:-1].replace('""', '"') if name[:1] == name[-1:] == '"' and len(name) > 1 else name.strip("`")


def foreign_keys(editor: SchemaEditor, model: type[Model]) -> Iterator[ForeignKey]:
    """The foreign keys of a model's own table that the database is to enforce."""
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
            columns=(field.column,),
            to_table=field.remote_field.model._meta.db_table,
            to_columns=(target.column,),
            on_delete=on_delete,
            deferrable="deferred" if connection.ops.deferrable_sql() else None,
            sql=as_clause(statement),
        )
