"""The differences between two schemas: each is an object with its old and new state, and has a description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from automigrate_ext.schema.nouns import Column, Constraint, Index, PrimaryKey, Table
from automigrate_ext.words import plural

State = TypeVar("State")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference of one table. `sign` is "+" for an addition, "-" for a removal, "~" for any other change."""

    sign: ClassVar[str] = "~"

    table: str

    def describe(self) -> str:
        """Describe the change in one line, in the imperative."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition(Change, Generic[State]):
    """Something is added."""

    sign: ClassVar[str] = "+"
    new: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal(Change, Generic[State]):
    """Something is removed."""

    sign: ClassVar[str] = "-"
    old: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Alteration(Change, Generic[State]):
    """Something is replaced, or changed in place."""

    old: State
    new: State


@dataclass(frozen=True, slots=True, kw_only=True)
class NameChange(Change):
    """Something that belongs to the table gets another name."""

    old_name: str
    new_name: str


# A kind without fields of its own is no dataclass: each dataclass takes a third of a millisecond to load.


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateExtension(Change):
    """Create an extension of the database, before all tables; `table` is ""."""

    sign: ClassVar[str] = "+"
    table: str = ""
    name: str

    def describe(self) -> str:
        return f"Create extension {self.name}"


class CreateTable(Addition[Table]):
    """Create a table with its columns, constraints and indexes."""

    __slots__ = ()

    def describe(self) -> str:
        keys = len(self.new.foreign_keys)
        words = [plural(len(self.new.columns), "column"), plural(keys, "foreign key") if keys else ""]
        return f"Create table {self.table} ({', '.join(filter(None, words))})"


class DropTable(Removal[Table]):
    """Drop a table and the rows in it."""

    __slots__ = ()

    def describe(self) -> str:
        return f"Drop table {self.table}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameTable(Change):
    """Rename a table; `table` is its old name."""

    new_name: str

    def describe(self) -> str:
        return f"Rename table {self.table} to {self.new_name}"


class RenameSequence(NameChange):
    """Rename the sequence that numbers a column; the server had made its name from those of the table and column."""

    __slots__ = ()

    def describe(self) -> str:
        return f"Rename sequence {self.old_name} of {self.table} to {self.new_name}"


class AlterTable(Alteration[Table]):
    """Change what belongs to the table as a whole: its comment or tablespace."""

    __slots__ = ()

    def describe(self) -> str:
        words = []
        if self.old.comment != self.new.comment:
            words.append(f"comment to {self.new.comment!r}")
        if self.old.tablespace != self.new.tablespace:
            words.append(f"tablespace to {self.new.tablespace or 'the default'}")
        return f"Change table {self.table}: {', '.join(words)}"


class AddColumn(Addition[Column]):
    """Add a column."""

    __slots__ = ()

    def describe(self) -> str:
        return f"Add column {self.table}.{self.new.name} {column_words(self.new)}"


class FillColumn(Addition[Column]):
    """Give rows the values in a column that allows NULL which a run that ended too early has not given them."""

    __slots__ = ()
    sign: ClassVar[str] = "~"

    def describe(self) -> str:
        return f"Fill column {self.table}.{self.new.name}"


class DropColumn(Removal[Column]):
    """Drop a column and the values in it."""

    __slots__ = ()

    def describe(self) -> str:
        return f"Drop column {self.table}.{self.old.name}"


class RenameColumn(NameChange):
    """Rename a column."""

    __slots__ = ()

    def describe(self) -> str:
        return f"Rename column {self.table}.{self.old_name} to {self.new_name}"


class AlterColumn(Alteration[Column]):
    """Change the type, nullability, default, collation, comment, identity or expression of a column."""

    __slots__ = ()

    @property
    def retypes(self) -> bool:
        """Whether stored values have to be converted."""
        return (self.old.value_type, self.old.collation) != (self.new.value_type, self.new.collation)

    @property
    def regenerates(self) -> bool:
        """Whether the column is, or becomes, a generated one and its expression changes."""
        generated = self.old.generated or self.new.generated
        return generated is not None and (self.old.generated != self.new.generated or self.retypes)

    def describe(self) -> str:
        return f"Change column {self.table}.{self.new.name}: {', '.join(self.differences())}"

    def differences(self) -> list[str]:
        """Describe each difference of the two columns in a text of its own."""
        old, new = self.old, self.new
        words = []
        if old.value_type != new.value_type:
            words.append(f"type {old.value_type} to {new.value_type}")
        if (old.null, old.forbids_new_nulls) != (new.null, new.forbids_new_nulls):
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


class AlterPrimaryKey(Alteration[PrimaryKey | None]):
    """Replace, add or remove the primary key."""

    __slots__ = ()

    def describe(self) -> str:
        old = ", ".join(self.old.columns) if self.old else "none"
        new = ", ".join(self.new.columns) if self.new else "none"
        return f"Change primary key of {self.table} from ({old}) to ({new})"


class AddConstraint(Addition[Constraint]):
    """Add a unique, check, exclusion or foreign key constraint."""

    __slots__ = ()

    def describe(self) -> str:
        return f"Add {object_words(self.new)} to {self.table}"


class DropConstraint(Removal[Constraint]):
    """Drop a constraint."""

    __slots__ = ()

    def describe(self) -> str:
        return f"Drop {self.old.describe()} from {self.table}{f': {self.old.name}' if self.old.name else ''}"


class RenameConstraint(Alteration[Constraint]):
    """Rename a constraint that is otherwise the same."""

    __slots__ = ()

    def describe(self) -> str:
        return f"Rename {self.old.kind} {self.old.name} of {self.table} to {self.new.name}"


class ValidateConstraint(Alteration[Constraint]):
    """Ask a constraint of the rows that were there before it, which a run that ended too early has not done."""

    __slots__ = ()

    def describe(self) -> str:
        return f"Validate {self.old.describe()} of {self.table}: {self.old.name}"


class AddIndex(Addition[Index]):
    """Add an index."""

    __slots__ = ()

    def describe(self) -> str:
        return f"Add {object_words(self.new)} to {self.table}"


class DropIndex(Removal[Index]):
    """Drop an index."""

    __slots__ = ()

    def describe(self) -> str:
        return f"Drop {self.old.describe()} from {self.table}{f': {self.old.name}' if self.old.name else ''}"


class RenameIndex(Alteration[Index]):
    """Rename an index that is otherwise the same."""

    __slots__ = ()

    def describe(self) -> str:
        return f"Rename index {self.old.name} of {self.table} to {self.new.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The object of a change, besides its table: its name, its old name, the columns concerned."""

    name: str | None = None
    old_name: str | None = None
    columns: tuple[str, ...] = ()


def subject_of(change: Change) -> Subject:
    """Return the column, constraint or index that a change concerns, or the renamed table."""
    match change:
        case CreateExtension():
            return Subject(name=change.name)
        case RenameTable():
            return Subject(name=change.new_name, old_name=change.table)
        case RenameSequence():
            return Subject(name=change.new_name, old_name=change.old_name)
        case RenameColumn():
            return Subject(name=change.new_name, old_name=change.old_name, columns=(change.new_name,))
        case AddColumn(new=column) | FillColumn(new=column) | DropColumn(old=column) | AlterColumn(new=column):
            return Subject(name=column.name, columns=(column.name,))
        case ValidateConstraint(old=noun):
            return Subject(name=noun.name or None, columns=columns_of(noun))
        case RenameConstraint() | RenameIndex():
            return Subject(name=change.new.name, old_name=change.old.name, columns=columns_of(change.new))
        case AddConstraint(new=noun) | DropConstraint(old=noun) | AddIndex(new=noun) | DropIndex(old=noun):
            return Subject(name=noun.name or None, columns=columns_of(noun))
        case AlterPrimaryKey():
            key = change.new or change.old
            return Subject(columns=key.columns if key else ())
    return Subject()


def columns_of(noun: Constraint | Index) -> tuple[str, ...]:
    """Return the columns that a constraint or index refers to, once each."""
    columns: tuple[str, ...] = getattr(noun, "columns", ())
    return tuple(dict.fromkeys(columns))


def column_words(column: Column) -> str:
    """Describe a column by its type, expression, nullability and default."""
    words = [column.type]
    if column.generated:
        words.append(f"generated as {column.generated.expression}")
    elif not column.null:
        words.append("not null")
    if column.default is not None:
        words.append(f"default {column.default}")
    return " ".join(words)


def object_words(noun: Constraint | Index) -> str:
    """Describe a constraint or index, with its name if the model gave it."""
    described = noun.describe()
    return f"{described} {noun.name}".rstrip() if noun.named else described
