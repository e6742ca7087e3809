"""The nouns of a database schema: plain frozen values, as the server prints them.

Two values are equal when the server would print them alike. The names of constraints and indexes do not
count (most of them are generated, and depend on the route by which an object was made); where a name
matters, `diff` compares it. Fields that hold the SQL to create an object do not count either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """The expression of a generated column, and whether its value is stored."""

    expression: str
    stored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table.

    `collation` is None for the default collation of the type; `identity` is None for a plain column, "by default"
    or "always" for one that the server numbers. `sql` is the definition that creates the column, without key,
    uniqueness, checks and references; `default_sql` is the default as it was written; `reads` names the columns
    that a generated column is computed from; `collatable` is set where the type can have a collation;
    `forbids_new_nulls` is set where the server forbids NULL in new rows, and old ones may have it; `sequence` is
    the one that numbers an old serial column; `inherited` is set for a column of the table's parent, which can be
    dropped only there; `extra` holds further attributes that the server prints, to be repeated where the column is
    defined again. `digits` are the numbers of all digits and of decimal places that the values are to have, where the
    server's type has no place for them; `recoded` is set where the column has another character set than its table;
    `names_collation` is set where the model gives a collation, be it the default one; `follows_updates` is set where
        the server sets the column to the present time where an UPDATE of the row does not set it.
    """

    name: str
    type: str
    null: bool
    default: str | None = None
    generated: Generated | None = None
    collation: str | None = None
    identity: str | None = None
    comment: str = ""
    forbids_new_nulls: bool = False
    sql: str = field(default="", compare=False)
    default_sql: str | None = field(default=None, compare=False)
    reads: tuple[str, ...] = field(default=(), compare=False)
    collatable: bool = field(default=False, compare=False)
    sequence: str | None = field(default=None, compare=False)
    inherited: bool = field(default=False, compare=False)
    extra: str = field(default="", compare=False)
    recoded: bool = field(default=False, compare=False)
    names_collation: bool = field(default=False, compare=False)
    follows_updates: bool = field(default=False, compare=False)
    digits: tuple[int, int] | None = field(default=None, compare=False)

    @property
    def value_type(self) -> str:
        """The type, with the digits that it does not hold itself."""
        return f"{self.type}({self.digits[0]},{self.digits[1]})" if self.digits else self.type

    @property
    def needs_value(self) -> bool:
        """Whether an INSERT that does not name the column fails."""
        allows_null = self.null and not self.forbids_new_nulls
        return not (allows_null or self.default is not None or self.generated or self.identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrimaryKey:
    """The primary key of a table, its columns in key order."""

    columns: tuple[str, ...]
    tablespace: str | None = None
    name: str = field(default="", compare=False)
    sql: str = field(default="", compare=False)

    def describe(self) -> str:
        return f"primary key ({', '.join(self.columns)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A condition that a table's rows must satisfy.

    `named` is set where the model gave the name, so that another name is a difference. `columns` are the columns
    that the constraint refers to. `enforced` is unset where the server does not look at the rows. `sql` is the
    statement (or, on SQLite, the clause) that creates it. `inherited` is set for a constraint of the table's
    parent, which can be dropped only there; `valid` is not set for one that was never asked of the rows that were
    there before it (NOT VALID).
    """

    kind: ClassVar[str] = "constraint"

    enforced: bool = True
    name: str = field(default="", compare=False)
    named: bool = field(default=False, compare=False)
    sql: str = field(default="", compare=False)
    inherited: bool = field(default=False, compare=False)
    valid: bool = field(default=True, compare=False)

    @property
    def identity(self) -> str:
        """The name of the object, or its structure where it has none: unique within the table."""
        return self.name or structural_identity(self)

    def describe(self) -> str:
        """Describe the constraint in words, without its name."""
        raise NotImplementedError

    @property
    def manner(self) -> str:
        return "" if self.enforced else "unenforced "


@dataclass(frozen=True, slots=True, kw_only=True)
class Unique(Constraint):
    """A unique constraint over columns."""

    kind: ClassVar[str] = "unique"

    columns: tuple[str, ...]
    include: tuple[str, ...] = ()
    nulls_distinct: bool = True
    deferrable: str | None = None
    tablespace: str | None = None

    def describe(self) -> str:
        return f"unique constraint ({', '.join(self.columns)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Constraint):
    """A check constraint, with the expression as the server prints it."""

    kind: ClassVar[str] = "check"

    expression: str
    columns: tuple[str, ...] = field(default=(), compare=False)

    def describe(self) -> str:
        return f"{self.manner}check ({self.expression})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion(Constraint):
    """An exclusion constraint, with the definition as the server prints it.

    `elements` are its expressions with their operators, `condition` selects the rows to which it applies.
    """

    kind: ClassVar[str] = "exclusion"

    definition: str
    columns: tuple[str, ...] = field(default=(), compare=False)
    elements: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    condition: str | None = field(default=None, compare=False)

    def describe(self) -> str:
        return f"exclusion constraint {self.definition}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey(Constraint):
    """A foreign key; `on_delete` is None for NO ACTION, `deferrable` is None, "immediate" or "deferred".

    `on_update` is what somebody made the server do when the key pointed at changes; Django has nothing of the kind.
    """

    kind: ClassVar[str] = "foreign key"

    columns: tuple[str, ...]
    to_table: str
    to_columns: tuple[str, ...]
    on_delete: str | None = None
    deferrable: str | None = None
    on_update: str | None = field(default=None, compare=False)

    def is_replaced_by(self, new: ForeignKey) -> bool:
        """Return whether the other foreign key leads from the same columns to the same ones."""
        return (self.columns, self.to_table, self.to_columns) == (new.columns, new.to_table, new.to_columns)

    def describe(self) -> str:
        target = f"{self.to_table}({', '.join(self.to_columns)})"
        return f"{self.manner}foreign key ({', '.join(self.columns)}) to {target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexKey:
    """One key of an index: a column or an expression, with whatever differs from the defaults of its type."""

    column: str | None = None
    expression: str | None = None
    collation: str | None = None
    opclass: str | None = None
    order: str = ""

    def __str__(self) -> str:
        parts = (self.column or f"({self.expression})", self.collation, self.opclass, self.order)
        return " ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index that backs no constraint of the catalog; a unique one may implement a model's constraint.

    `columns` are all columns that its keys, expressions and condition refer to; `inherited` is set for a part of
    an index of the table's parent, which can be dropped only there.
    """

    kind: ClassVar[str] = "index"

    keys: tuple[IndexKey, ...]
    unique: bool = False
    method: str = ""
    include: tuple[str, ...] = ()
    condition: str | None = None
    nulls_distinct: bool = True
    options: tuple[str, ...] = ()
    tablespace: str | None = None
    valid: bool = True
    name: str = field(default="", compare=False)
    named: bool = field(default=False, compare=False)
    sql: str = field(default="", compare=False)
    columns: tuple[str, ...] = field(default=(), compare=False)
    inherited: bool = field(default=False, compare=False)

    @property
    def computes(self) -> bool:
        """Whether the server computes something of each row for the index."""
        return bool(self.condition) or any(key.expression for key in self.keys)

    @property
    def identity(self) -> str:
        """The name of the index, or its structure where it has none: unique within the table."""
        return self.name or structural_identity(self)

    def describe(self) -> str:
        words = ["unique index" if self.unique else "index"]
        if self.method:
            words.append(f"using {self.method}")
        words.append(f"({', '.join(map(str, self.keys))})")
        if self.include:
            words.append(f"including ({', '.join(self.include)})")
        if self.condition:
            words.append(f"where {self.condition}")
        return " ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with everything that belongs to it.

    `owner` is the label of the model ("todo.Todo") that declares the table. `automatic` is set where Django
    made that model itself (many-to-many), `automatic_key` where no model declares the primary key. `sql` holds
    the statements that create the table, without foreign keys where these can be added later. `collation` is
    that of texts whose column names none, where each table has one of its own.
    """

    name: str
    columns: tuple[Column, ...]
    primary_key: PrimaryKey | None = None
    constraints: tuple[Constraint, ...] = ()
    indexes: tuple[Index, ...] = ()
    comment: str = ""
    tablespace: str | None = None
    owner: str = field(default="", compare=False)
    automatic: bool = field(default=False, compare=False)
    automatic_key: bool = field(default=False, compare=False)
    collation: str = field(default="", compare=False)
    sql: tuple[str, ...] = field(default=(), compare=False)

    def column(self, name: str) -> Column | None:
        """Return the column of that name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def foreign_keys(self) -> tuple[ForeignKey, ...]:
        """The constraints that are foreign keys."""
        return tuple(c for c in self.constraints if isinstance(c, ForeignKey))


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of a database, or those that a run compares, by name."""

    tables: Mapping[str, Table]

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables.values())

    def __len__(self) -> int:
        return len(self.tables)

    def get(self, name: str) -> Table | None:
        """Return the table of that name, or None."""
        return self.tables.get(name)


class TablesOnDemand(Mapping[str, Table]):
    """The tables of a schema that is read when it is first asked for.

    `digest` is that of the schema, where it is known without reading; "" where it is not.
    """

    def __init__(self, read: Callable[[], Mapping[str, Table]], digest: str) -> None:
        self.read = read
        self.digest = digest

    @cached_property
    def tables(self) -> Mapping[str, Table]:
        """The tables, by name."""
        return self.read()

    def __getitem__(self, name: str) -> Table:
        return self.tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)


def structural_identity(noun: Any) -> str:
    """Return a text that is equal for equal values, for objects that have no name of their own."""
    return f"{noun.kind}({compared(noun)})"


def canonical(schema: Schema) -> dict[str, object]:
    """Return the schema as nested sorted values without order or generated names: equal schemas, equal values."""
    return {table.name: canonical_table(table) for table in schema}


def canonical_table(table: Table) -> dict[str, object]:
    """Return one table as nested sorted values, see `canonical`."""
    objects: tuple[Constraint | Index, ...] = (*table.constraints, *table.indexes)
    return {
        "columns": sorted(map(repr_compared, table.columns)),
        "primary_key": table.primary_key and repr_compared(table.primary_key),
        "objects": sorted(map(repr_compared, objects)),
        "comment": table.comment,
        "tablespace": table.tablespace,
    }


def repr_compared(noun: Any) -> str:
    """Return the fields of a noun that count in comparisons, as text."""
    return f"{type(noun).__name__}({compared(noun)})"


def compared(noun: Any) -> str:
    """Return the names and values of the fields that count in comparisons."""
    return ", ".join([f"{name}={getattr(noun, name)!r}" for name in compared_fields(noun.__class__)])


@cache
def compared_fields(kind: Any) -> tuple[str, ...]:
    """Return the names of the fields that count in comparisons."""
    return tuple(f.name for f in fields(kind) if f.compare)
