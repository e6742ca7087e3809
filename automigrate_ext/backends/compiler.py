"""What the compilers share that write one ALTER TABLE for all that happens to a table."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TypeVar

from automigrate_ext.backends.work import Fill, Step, Work
from automigrate_ext.declared.editor import SchemaEditor
from automigrate_ext.schema.changes import Change, DropConstraint, DropTable
from automigrate_ext.schema.nouns import Column, ForeignKey

ON_UPDATE = " ON UPDATE {action}"

C = TypeVar("C", bound=Change)


class BaseCompiler:
    """Turns the changes of one plan into statements."""

    def __init__(self, editor: SchemaEditor, work: Work) -> None:
        self.editor = editor
        self.work = work
        self.by_table: defaultdict[str, list[Change]] = defaultdict(list)
        for change in work.changes:
            self.by_table[change.table].append(change)

    def quote(self, name: str) -> str:
        """Return the identifier as it is written in SQL."""
        return str(self.editor.quote_name(name))

    def of(self, kind: type[C]) -> list[C]:
        """Return the changes of one kind, in their order."""
        return [change for change in self.work.changes if isinstance(change, kind)]

    @cached_property
    def altered_tables(self) -> list[str]:
        """The tables that stay and that something happens to."""
        both = (name for name in self.by_table if self.work.current.get(name) and self.work.desired.get(name))
        return [name for name in both if name not in self.dropped_tables]

    @cached_property
    def dropped_tables(self) -> frozenset[str]:
        """The tables that are dropped."""
        return frozenset(change.table for change in self.of(DropTable))

    def action_on_update(self, table: str, new: ForeignKey) -> str | None:
        """Return the action on update that a new foreign key lacks, and the one that it replaces has; else None."""
        if new.on_update:
            return None
        replaced = (c.old for c in self.of(DropConstraint) if c.table == table and isinstance(c.old, ForeignKey))
        return next((old.on_update for old in replaced if old.on_update and old.is_replaced_by(new)), None)


class BaseTableCompiler:
    """Turns what happens to the parts of one table into statements; `before` and `after` surround the one for all."""

    def __init__(self, compiler: BaseCompiler, name: str) -> None:
        self.work = compiler.work
        self.quote = compiler.quote
        self.name = name
        self.current = compiler.work.current.tables[name]
        self.desired = compiler.work.desired.tables[name]
        self.changes = compiler.by_table[name]
        self.before: list[Step] = []
        self.after: list[Step] = []

    def fill(self, column: Column) -> Fill | None:
        """Return the value of rows that have none in a column."""
        return self.work.fills.get((self.name, column.name))
