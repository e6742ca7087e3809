"""A schema editor that collects its statements, whatever its own `execute` does, and one that runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from automigrate_ext.declared.editor import CollectingMixin, SchemaEditor

#: A function that lets an editor write something, and executes it.
Write = Callable[[Callable[[SchemaEditor], None]], None]


class WritingMixin(CollectingMixin):
    """Writes the statements that alter a field even where its old and new definitions are the same in Python."""

    def _field_db_check(self, field: Any, field_db_params: Any) -> Any:
        # The editor takes the check of the field's class, and not the one that its column has been given.
        if "db_parameters" in vars(field):
            return field_db_params["check"]
        return super()._field_db_check(field, field_db_params)  # type: ignore[misc]

    def _field_should_be_altered(self, old_field: Any, new_field: Any, ignore: Any = None) -> bool:
        # The difference may be in something that fields do not show.
        return True


def writing_editor(connection: BaseDatabaseWrapper) -> SchemaEditor:
    """Return a schema editor of the connection's class that runs nothing."""
    base = connection.SchemaEditorClass
    assert base is not None
    editor: SchemaEditor = type("WritingSchemaEditor", (WritingMixin, base), {})(connection, collect_sql=True)
    editor.deferred_sql = []
    return editor


def written(connection: BaseDatabaseWrapper, write: Callable[[SchemaEditor], None]) -> list[str]:
    """Return the statements that `write` lets an editor run, with those at the end that it defers."""
    editor = writing_editor(connection)
    write(editor)
    # On MariaDB Django also defers constraints that it leaves out, and that are None.
    deferred = [str(sql) for sql in editor.deferred_sql if sql is not None]
    return [sql.strip().removesuffix(";") for sql in (*editor.collected_sql, *deferred)]


@contextmanager
def running(connection: BaseDatabaseWrapper, *, undoes_ddl: bool) -> Iterator[SchemaEditor]:
    """Run the block in an editor's context: a transaction where DDL can be undone, with obstacles switched off."""
    with connection.schema_editor(atomic=undoes_ddl) as editor:
        yield editor
