"""Features of the server and its schema editor that Django does not declare, detected with scratch tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError

from automigrate_ext.backends.generic.editor import Write
from automigrate_ext.backends.generic.introspection import pointing_model
from automigrate_ext.backends.generic.models import altered, model_named
from automigrate_ext.backends.generic.schema import bare_field
from automigrate_ext.declared.editor import SchemaEditor


class Features:
    """The features of one database, each detected once.

    `write` lets an editor write something and executes it, `passing` drops the scratch tables of a block.
    """

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        prefix: str,
        write: Write,
        passing: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.connection = connection
        self.prefix = prefix
        self.write = write
        self.passing = passing
        #: Whether columns of these definitions, before and after, keep their check.
        self.kept_checks: dict[tuple[Any, ...], bool] = {}

    def keeps_check(self, old: Any, new: Any) -> bool:
        """Return whether the editor keeps a column's check when it alters a field.

        MariaDB's loses it wherever it writes a column's definition again, and without the check.
        """
        name = f"{self.prefix}check"
        apart = {"_unique": False, "db_index": False, "primary_key": False}
        before, after = (altered(field, **apart) for field in (old, new))
        model = model_named(name, {"apart": models.IntegerField(primary_key=True), old.name: before})

        def alter(editor: SchemaEditor) -> None:
            editor.alter_field(model, before, altered(after, model=model))

        asked = tuple((repr(f.db_parameters(self.connection)), f.null, f.db_comment) for f in (before, after))
        if asked not in self.kept_checks:
            with self.passing():
                # An editor may query the table that it alters.
                self.write(lambda editor: editor.create_model(model))
                self.write(alter)
                self.kept_checks[asked] = any(info["check"] for info in self.constraints(name).values())
        return self.kept_checks[asked]

    @cached_property
    def leaves_index(self) -> bool:
        """Whether the server's index of a foreign key stays when the key is dropped."""
        name = f"{self.prefix}key"
        model = pointing_model(name)
        with self.passing():
            self.write(lambda editor: editor.create_model(model))
            keys = [key for key, info in self.constraints(name).items() if info["foreign_key"]]
            self.write(lambda editor: editor.execute(editor._delete_fk_sql(model, keys[0])))
            return any(info["index"] and not info["primary_key"] for info in self.constraints(name).values())

    @cached_property
    def renames_keys(self) -> bool:
        """Whether a column that is part of a key can be renamed."""
        model = pointing_model(f"{self.prefix}key")

        def rename(editor: SchemaEditor) -> None:
            for name in ("parent_id", "id"):
                editor.alter_field(model, bare_field(model, name), bare_field(model, f"{name}_too"))

        with self.passing():
            self.write(lambda editor: editor.create_model(model))
            try:
                self.write(rename)
            except DatabaseError:
                return False
        return True

    def constraints(self, table: str) -> Mapping[str, Any]:
        """Return the constraints and indexes of a scratch table."""
        with self.connection.cursor() as cursor:
            found: Mapping[str, Any] = self.connection.introspection.get_constraints(cursor, table)
        return found
