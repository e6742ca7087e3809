"""Django's schema editor, made to collect the SQL that creates a model's table and to execute nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement
from django.db.models import Field, Model

#: The placeholder in a CREATE TABLE statement for further clauses; no SQL text can hold it.
MARK = "\x00"

# MariaDB 10.11 turns a default like _binary x'ff' into the text "xFF", and refuses others; x'ff' alone is the same
# value. Django writes the former.
BINARY_HEX = re.compile(r"_binary (x'[0-9a-f]*')")

ENGINES = "SELECT table_name, engine FROM information_schema.tables WHERE table_schema = DATABASE()"

#: The length of the hash in a generated name. Source: `BaseDatabaseSchemaEditor._create_index_name`.
DIGEST_LENGTH = 8

SQL = Statement | str
#: A schema editor. Half of the methods used are private, and the stubs do not have them.
SchemaEditor = Any


def collecting_editor(connection: BaseDatabaseWrapper) -> SchemaEditor:
    """Return a schema editor of the connection that collects SQL, and queries each collation only once."""
    base = connection.SchemaEditorClass
    assert base is not None
    editor_class = type("CollectingSchemaEditor", (DrawingMixin, base), plain_templates(base))
    editor: SchemaEditor = editor_class(connection, collect_sql=True)
    editor.deferred_sql = []
    forget_drawn(editor)
    if editor.sql_create_inline_fk is None:
        editor.sql_create_table = editor.sql_create_table.replace("%(definition)s", f"%(definition)s{MARK}")
    return editor


def unasking_editor(connection: BaseDatabaseWrapper) -> SchemaEditor:
    """Return such an editor for digests, which queries nothing.

    All tables count as ones of the default engine, and all collations as ones that tell all texts apart. So what it
    writes differs where models differ, and need not be what the server takes.
    """
    editor = collecting_editor(connection)
    editor.known_engines = {}
    editor._is_collation_deterministic = is_deterministic
    return editor


def is_deterministic(collation_name: str) -> bool:
    """Stand for the question to the server whether a collation tells all texts apart."""
    return True


def forget_drawn(editor: SchemaEditor) -> None:
    """Forget the statements and parts of the last model."""
    editor.deferred_sql.clear()
    editor.drawn_columns, editor.drawn_keys = {}, {}
    editor.is_swayed = False


def plain_templates(base: type) -> dict[str, str]:
    """Return the templates that the editor of a third party has as objects, in the words of the class that it extends.

    Such objects stand for several statements, timeouts and locks of their own, as those of
    django-pg-zero-downtime-migrations do. A run has its own transaction and its own waiting for locks.
    """
    names = (name for name in dir(base) if name.startswith("sql_"))
    others = [name for name in names if not isinstance(getattr(base, name), (str, type(None)))]
    texts = {name: [vars(cls)[name] for cls in base.__mro__ if isinstance(vars(cls).get(name), str)] for name in others}
    return {name: found[0] for name, found in texts.items() if found}


@dataclass(frozen=True, slots=True)
class DrawnColumn:
    """A field's column as the editor wrote it: what decides its type, the words of its definition, and their values."""

    db_params: Any
    words: Sequence[str]
    params: Sequence[Any]


class CollectingMixin:
    """Executes nothing, caches what Django's schema editors would query for every field, and quotes all values."""

    #: Whether an answer of the server is another than that which `unasking_editor` assumes.
    is_swayed = False

    def execute(self, sql: Any, params: Any = ()) -> None:
        """Collect a statement. Some editors of third parties would execute it even with `collect_sql`."""
        text = str(sql)
        if params:
            text %= tuple(map(self.quote_value, params))
        self.collected_sql.append(text)  # type: ignore[attr-defined]

    def quote_value(self, value: Any) -> str:
        """Return a value as SQL. MySQL's driver returns bytes for all but texts; their repr would begin with "b"."""
        if isinstance(value, (bytes, bytearray, memoryview)) and self.connection.vendor == "mysql":  # type: ignore[attr-defined]
            return quote_bytes(bytes(value))
        quoted: str | bytes = super().quote_value(value)  # type: ignore[misc]
        return quoted.decode() if isinstance(quoted, bytes) else quoted

    def _field_should_be_indexed(self, model: type[Model], field: Field[Any, Any]) -> bool:
        # MySQL's schema editor queries the engine of the table for every field that may have an index.
        if self.connection.vendor != "mysql":  # type: ignore[attr-defined]
            return bool(super()._field_should_be_indexed(model, field))  # type: ignore[misc]
        if not BaseDatabaseSchemaEditor._field_should_be_indexed(self, model, field):  # type: ignore[attr-defined]
            return False
        is_key = field.get_internal_type() == "ForeignKey" and getattr(field, "db_constraint", False)
        if is_key and self.engine_of(model._meta.db_table) == "InnoDB":
            return False
        return not self._is_limited_data_type(field)  # type: ignore[attr-defined]

    def engine_of(self, table: str) -> str:
        """Return the storage engine of a table; the server's default where the table does not exist yet."""
        connection: Any = self.connection  # type: ignore[attr-defined]
        known: dict[str, str] | None = self.__dict__.get("known_engines")
        if known is None:
            with connection.cursor() as cursor:
                cursor.execute(ENGINES)
                known = self.__dict__["known_engines"] = dict(cursor.fetchall())
        default = str(connection.features._mysql_storage_engine)
        engine = known.get(table) or default
        self.is_swayed = self.is_swayed or engine != default
        return engine

    def _create_index_name(self, table_name: str, column_names: Sequence[str], suffix: str = "") -> str:
        """Return a name whose hash and suffix are not cut off by a server that counts bytes, as PostgreSQL does."""
        name: str = super()._create_index_name(table_name, column_names, suffix)  # type: ignore[misc]
        longest = self.connection.ops.max_name_length()  # type: ignore[attr-defined]
        if not longest or len(name.encode()) <= longest:
            return name
        end = name[-min(DIGEST_LENGTH + len(suffix), longest // 3) :]
        room = longest - len(end.encode()) - 1
        return f"{name.removesuffix(end).encode()[:room].decode(errors='ignore').rstrip('_')}_{end}"

    def _is_collation_deterministic(self, collation_name: str) -> Any:
        known: dict[str, Any] = self.__dict__.setdefault("known_collations", {})
        if collation_name not in known:
            ask = super()._is_collation_deterministic  # type: ignore[misc]
            known[collation_name] = ask(collation_name)
        self.is_swayed = self.is_swayed or not known[collation_name]
        return known[collation_name]


class DrawingMixin(CollectingMixin):
    """Keeps what the editor wrote of one model, as whoever draws the model asks for its parts once more."""

    #: The columns and foreign keys that the editor wrote last, by their fields, which are asked for once more.
    drawn_columns: dict[Field[Any, Any], DrawnColumn]
    drawn_keys: dict[tuple[type[Model], Field[Any, Any], str], SQL]

    def _iter_column_sql(
        self,
        column_db_type: str,
        params: list[Any],
        model: type[Model],
        field: Field[Any, Any],
        field_db_params: Any,
        include_default: bool,
    ) -> Iterator[str]:
        own: list[Any] = []
        words = list(super()._iter_column_sql(column_db_type, own, model, field, field_db_params, include_default))  # type: ignore[misc]
        if not include_default:
            self.drawn_columns[field] = DrawnColumn(field_db_params, words, own)
        params.extend(own)
        return iter(words)

    def drawn_column(self, model: type[Model], field: Field[Any, Any]) -> DrawnColumn | None:
        """Return the column of a field, as the editor wrote it last; None for a field that has none."""
        if field not in self.drawn_columns:
            db_params = field.db_parameters(connection=self.connection)  # type: ignore[attr-defined]
            if db_params["type"] is None:
                return None
            # An editor of a third party may write its columns by other means.
            self._iter_column_sql(db_params["type"], [], model, field, db_params, False)
        return self.drawn_columns[field]

    def _create_fk_sql(self, model: type[Model], field: Field[Any, Any], suffix: str) -> SQL:
        key = model, field, suffix
        if key not in self.drawn_keys:
            self.drawn_keys[key] = super()._create_fk_sql(model, field, suffix)  # type: ignore[misc]
        return self.drawn_keys[key]


def quote_bytes(value: bytes) -> str:
    """Return bytes as a literal for MariaDB and MySQL, readable where they are plain text."""
    text = value.decode("ascii", errors="ignore")
    is_plain = len(text) == len(value) and text.isprintable() and not set(text) & set("'\\")
    return f"'{text}'" if is_plain else f"x'{value.hex()}'"


def extra_statements(editor: SchemaEditor, model: type[Model]) -> tuple[str, ...]:
    """Return what the engine's `create_model` runs for the model beside the statements of Django's own.

    Only PostgreSQL is followed. An engine's editors may share what they collect with, so another one is made.
    """
    if editor.connection.vendor != "postgresql" or type(editor).create_model is BaseDatabaseSchemaEditor.create_model:
        return ()
    watched = collecting_editor(editor.connection)
    create_model = watched.create_model
    # Many-to-many tables are models of their own, for which this function is called too.
    watched.create_model = no_statements
    BaseDatabaseSchemaEditor.create_model(watched, model)
    known = Counter(collected(watched))
    create_model(model)
    return tuple((Counter(collected(watched)) - known).elements())


def no_statements(model: type[Model]) -> None:
    """Stand for `create_model` where nothing is to be collected."""


def collected(editor: SchemaEditor) -> list[str]:
    """Return the statements that the editor has collected, those to run later included, and forget them."""
    statements = [*editor.collected_sql, *(str(sql) for sql in editor.deferred_sql if sql is not None)]
    editor.collected_sql.clear()
    editor.deferred_sql.clear()
    return statements


def wording(editor: SchemaEditor, model: type[Model]) -> Iterator[str]:
    """Yield all statements with which Django would create the model's table; less work than `draw`."""
    forget_drawn(editor)
    yield compose(editor, *editor.table_sql(model))
    statements = (*editor.deferred_sql, *editor._model_indexes_sql(model), *comment_statements(editor, model))
    yield from (str(sql) for sql in statements if sql is not None)
    yield from extra_statements(editor, model)


def compose(editor: SchemaEditor, sql: str, params: Collection[Any] | None) -> str:
    """Return the SQL with its parameters written into it."""
    if not params:
        return sql
    return BINARY_HEX.sub(r"\1", sql % tuple(editor.quote_value(param) for param in params))


def comment_statements(editor: SchemaEditor, model: type[Model]) -> Iterator[str]:
    """Yield the statements that add comments to the table and its columns, where CREATE TABLE cannot hold them."""
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
