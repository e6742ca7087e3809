"""What differs between two schemas: a noun and its two states, and how to say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from automigrate_ext.schema import Column, Constraint, Index, PrimaryKey, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference of one table. `sign` is "+" for what comes, "-" for what goes, "~" for what changes."""

    sign: ClassVar[str] = "~"

    table: str

    def describe(self) -> str:
        """Say in one line, in the imperative, what carrying it out does."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateExtension(Change):
    """Create an extension of the database, which comes before all tables; `table` is ""."""

    sign: ClassVar[str] = "+"
    table: str = ""
    name: str

    def describe(self) -> str:
        return f"Create extension {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTable(Change):
    """Create a table with its columns, constraints and indexes."""

    sign: ClassVar[str] = "+"
    new: Table

    def describe(self) -> str:
        keys = len(self.new.foreign_keys)
        words = [plural(len(self.new.columns), "column"), plural(keys, "foreign key") if keys else ""]
        return f"Create table {self.table} ({', '.join(filter(None, words))})"


@dataclass(frozen=True, slots=True, kw_only=True)
class DropTable(Change):
    """Drop a table and the rows in it."""

    sign: ClassVar[str] = "-"
    old: Table

    def describe(self) -> str:
        return f"Drop table {self.table}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameTable(Change):
    """Rename a table; `table` is the name it had."""

    new_name: str

    def describe(self) -> str:
        return f"Rename table {self.table} to {self.new_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameSequence(Change):
    """Rename the sequence that numbers a column, whose name the server had made of the table's and column's."""

    old_name: str
    new_name: str

    def describe(self) -> str:
        return f"Rename sequence {self.old_name} of {self.table} to {self.new_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlterTable(Change):
    """Change what belongs to the table as a whole: its comment or tablespace."""

    old: Table
    new: Table

    def describe(self) -> str:
        words = []
        if self.old.comment != self.new.comment:
            words.append(f"comment to {self.new.comment!r}")
        if self.old.tablespace != self.new.tablespace:
            words.append(f"tablespace to {self.new.tablespace or 'the default'}")
        return f"Change table {self.table}: {', '.join(words)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddColumn(Change):
    """Add a column."""

    sign: ClassVar[str] = "+"
    new: Column

    def describe(self) -> str:
        return f"Add column {self.table}.{self.new.name} {column_words(self.new)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DropColumn(Change):
    """Drop a column and the values in it."""

    sign: ClassVar[str] = "-"
    old: Column

    def describe(self) -> str:
        return f"Drop column {self.table}.{self.old.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameColumn(Change):
    """Rename a column; `old_name` is the name it had."""

    old_name: str
    new_name: str

    def describe(self) -> str:
        return f"Rename column {self.table}.{self.old_name} to {self.new_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlterColumn(Change):
    """Change the type, nullability, default, collation, comment, identity or expression of a column."""

    old: Column
    new: Column

    @property
    def retypes(self) -> bool:
        """Whether stored values have to be converted."""
        return (self.old.type, self.old.collation) != (self.new.type, self.new.collation)

    @property
    def regenerates(self) -> bool:
        """Whether the column is, or becomes, a generated one and is computed in another way."""
        generated = self.old.generated or self.new.generated
        return generated is not None and (self.old.generated != self.new.generated or self.retypes)

    def describe(self) -> str:
        return f"Change column {self.table}.{self.new.name}: {', '.join(self.differences())}"

    def differences(self) -> list[str]:
        """Say what differs, one text a difference."""
        old, new = self.old, self.new
        words = []
        if old.type != new.type:
            words.append(f"type {old.type} to {new.type}")
        if old.null != new.null:
            words.append("allow NULL" if new.null else "forbid NULL")
        if old.default != new.default:
            words.append(f"default {old.default or 'none'} to {new.default or 'none'}")
        if old.collation != new.collation:
            words.append(f"collation {old.collation or 'default'} to {new.collation or 'default'}")
        if old.identity != new.identity:
            words.append(f"identity {old.identity or 'none'} to {new.identity or 'none'}")
        if old.generated != new.generated:
            words.append(f"generated as {new.generated.expression}" if new.generated else "no longer generated")
        if old.comment != new.comment:
            words.append(f"comment to {new.comment!r}")
        return words


@dataclass(frozen=True, slots=True, kw_only=True)
class AlterPrimaryKey(Change):
    """Replace, add or remove the primary key."""

    old: PrimaryKey | None
    new: PrimaryKey | None

    def describe(self) -> str:
        old = ", ".join(self.old.columns) if self.old else "none"
        new = ", ".join(self.new.columns) if self.new else "none"
        return f"Change primary key of {self.table} from ({old}) to ({new})"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddConstraint(Change):
    """Add a unique, check, exclusion or foreign key constraint."""

    sign: ClassVar[str] = "+"
    new: Constraint

    def describe(self) -> str:
        return f"Add {object_words(self.new)} to {self.table}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DropConstraint(Change):
    """Drop a constraint."""

    sign: ClassVar[str] = "-"
    old: Constraint

    def describe(self) -> str:
        return f"Drop {self.old.describe()} from {self.table}{f': {self.old.name}' if self.old.name else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameConstraint(Change):
    """Rename a constraint that is otherwise the same."""

    old: Constraint
    new: Constraint

    def describe(self) -> str:
        return f"Rename {self.old.kind} {self.old.name} of {self.table} to {self.new.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddIndex(Change):
    """Add an index."""

    sign: ClassVar[str] = "+"
    new: Index

    def describe(self) -> str:
        return f"Add {object_words(self.new)} to {self.table}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DropIndex(Change):
    """Drop an index."""

    sign: ClassVar[str] = "-"
    old: Index

    def describe(self) -> str:
        return f"Drop {self.old.describe()} from {self.table}{f': {self.old.name}' if self.old.name else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameIndex(Change):
    """Rename an index that is otherwise the same."""

    old: Index
    new: Index

    def describe(self) -> str:
        return f"Rename index {self.old.name} of {self.table} to {self.new.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a change is about, besides its table: a thing's name, the name that it had, the columns concerned."""

    name: str | None = None
    old_name: str | None = None
    columns: tuple[str, ...] = ()


def subject_of(change: Change) -> Subject:
    """The column, constraint or index that a change is about, or the renamed table."""
    match change:
        case CreateExtension():
            return Subject(name=change.name)
        case RenameTable():
            return Subject(name=change.new_name, old_name=change.table)
        case RenameSequence():
            return Subject(name=change.new_name, old_name=change.old_name)
        case RenameColumn():
            return Subject(name=change.new_name, old_name=change.old_name, columns=(change.new_name,))
        case AddColumn(new=column) | DropColumn(old=column) | AlterColumn(new=column):
            return Subject(name=column.name, columns=(column.name,))
        case RenameConstraint() | RenameIndex():
            return Subject(name=change.new.name, old_name=change.old.name, columns=columns_of(change.new))
        case AddConstraint(new=noun) | DropConstraint(old=noun) | AddIndex(new=noun) | DropIndex(old=noun):
            return Subject(name=noun.name or None, columns=columns_of(noun))
        case AlterPrimaryKey():
            key = change.new or change.old
            return Subject(columns=key.columns if key else ())
    return Subject()


def columns_of(noun: Constraint | Index) -> tuple[str, ...]:
    """The columns that a constraint or index speaks of, once each."""
    columns: tuple[str, ...] = getattr(noun, "columns", ())
    return tuple(dict.fromkeys(columns))


def plural(count: int, noun: str) -> str:
    """ "1 row", "2 rows", "12,345 rows"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def column_words(column: Column) -> str:
    """A column's type and what else its reader wants to know of it."""
    words = [column.type]
    if column.generated:
        words.append(f"generated as {column.generated.expression}")
    elif not column.null:
        words.append("not null")
    if column.default is not None:
        words.append(f"default {column.default}")
    return " ".join(words)


def object_words(noun: Constraint | Index) -> str:
    """A constraint or index by name, if it has one, and by what it is."""
    described = noun.describe()
    return f"{described} {noun.name}".rstrip() if noun.named else described
