"""Keep in the database whatever the models do not declare. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from typing import Any

from automigrate_ext.schema.nouns import Column, Constraint, ForeignKey, Index, IndexKey, Schema, Table, Unique
from automigrate_ext.schema.ownership import Ownership

#: The attributes of columns that the models need not declare.
COLUMN_ATTRIBUTES = ("default", "collation", "comment")


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeRules:
    """A backend's rules for types that differ in name only.

    `widths` orders the integer types from narrow to wide; `same_storage` returns whether values of two types
    are stored alike, so that a reference may have either type; `numbered` is the only type of columns that the server
    numbers, "" where several can be. `forgotten_actions` are what foreign keys may be declared to do on deletion
    without an error and without an effect: the server neither does nor prints it. `keys_have_indexes` is set where the
    server has an index under each foreign key, which is not among those of the table.
    """

    widths: Mapping[str, int] = field(default_factory=dict)
    same_storage: Callable[[str, str], bool] = lambda old, new: old == new
    numbered: str = ""
    forgotten_actions: frozenset[str] = frozenset()
    keys_have_indexes: bool = False


def adopt(desired: Schema, current: Schema, ownership: Ownership, rules: TypeRules, *, prune: bool = False) -> Schema:
    """Return the desired schema, with everything that the models do not declare taken from the database.

    A collation, default, comment, action on delete or storage option set by hand is no difference; an automatic key
    that is wider than the models require, and the references to it, stay as they are. With `prune`, all but storage
    options and such keys are left out.
    """
    from_database = Adoption(current=current, ownership=ownership, rules=rules, desired=desired, prune=prune)
    return Schema({table.name: from_database.table(table) for table in desired})


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """The values from which `adopt` builds each table."""

    desired: Schema
    current: Schema
    ownership: Ownership
    rules: TypeRules
    prune: bool = False

    def table(self, desired: Table) -> Table:
        current = self.current.get(desired.name)
        if current is None:
            return desired
        return evolve(
            desired,
            columns=tuple(self.column(desired, current, column) for column in desired.columns),
            constraints=self.constraints(desired, current),
            indexes=self.indexes(desired, current),
            comment=desired.comment or ("" if self.prune else self.unowned(current, "comment")) or "",
            tablespace=desired.tablespace or self.unowned(current, "tablespace"),
        )

    def unowned(self, current: Table, attribute: str) -> str | None:
        value: str | None = getattr(current, attribute)
        return None if self.ownership.owns_attribute(current, attribute) else value

    def column(self, table: Table, current_table: Table, desired: Column) -> Column:
        current = current_table.column(desired.name)
        if current is None or (current == desired and not table.automatic_key):
            return desired
        taken: dict[str, Any] = {}
        for attribute in COLUMN_ATTRIBUTES:
            if self.adopts_attribute(current_table, current, desired, attribute):
                taken[attribute] = getattr(current, attribute)
        if self.adopts_type(table, current, desired):
            taken["type"] = current.type
        return evolve(desired, **taken) if taken else desired

    def adopts_attribute(self, table: Table, current: Column, desired: Column, attribute: str) -> bool:
        if getattr(desired, attribute) or not getattr(current, attribute):
            return False
        # The table's character set may lack characters that are there.
        if self.prune and not (attribute == "collation" and current.recoded):
            return False
        if attribute == "default" and (desired.generated or desired.identity):
            return False
        if attribute == "collation" and (desired.names_collation or not desired.collatable):
            return False
        return not self.ownership.owns_attribute(table, attribute, of=current.name)

    def adopts_type(self, table: Table, current: Column, desired: Column) -> bool:
        if current.type == desired.type or (desired.identity and desired.type == self.rules.numbered):
            return False
        if self.is_automatic_key(table, desired.name) and self.is_wider(current, desired):
            return True
        targets = [fk for fk in table.foreign_keys if fk.columns == (desired.name,)]
        return any(self.follows(fk, current, desired) for fk in targets)

    def follows(self, foreign_key: ForeignKey, current: Column, desired: Column) -> bool:
        """Return whether a reference is as wide as the kept key that it points at, or is stored alike."""
        if self.rules.same_storage(current.type, desired.type):
            return True
        target = self.desired.get(foreign_key.to_table)
        target_now = self.current.get(foreign_key.to_table)
        if target is None or target_now is None or not self.is_automatic_key(target, foreign_key.to_columns[0]):
            return False
        key = target_now.column(foreign_key.to_columns[0])
        return key is not None and key.type == current.type and self.is_wider(current, desired)

    def is_automatic_key(self, table: Table, column: str) -> bool:
        key = table.primary_key
        return table.automatic_key and key is not None and key.columns == (column,)

    def is_wider(self, current: Column, desired: Column) -> bool:
        widths = self.rules.widths
        return widths.get(current.type, -1) > widths.get(desired.type, 99)

    def constraints(self, desired: Table, current: Table) -> tuple[Constraint, ...]:
        unmatched = [c for c in current.constraints if c not in desired.constraints]
        if not unmatched:
            return desired.constraints
        return tuple(self.constraint(current, constraint, unmatched, desired) for constraint in desired.constraints)

    def constraint(
        self, table: Table, desired: Constraint, unmatched: list[Constraint], desired_table: Table
    ) -> Constraint:
        for current in unmatched:
            if desired_table.automatic and is_reordered(current, desired):
                return with_attribute(desired, "columns", current)
            for attribute in ("tablespace",) if self.prune else ("on_delete", "tablespace"):
                if self.adopts_from(table, current, desired, attribute):
                    return with_attribute(desired, attribute, current)
        return desired

    def adopts_from(self, table: Table, current: Constraint, desired: Constraint, attribute: str) -> bool:
        """Return whether two constraints differ in nothing but an attribute that the models do not declare."""
        wanted = getattr(desired, attribute, "")
        is_forgotten = wanted in self.rules.forgotten_actions
        if type(current) is not type(desired) or not (wanted is None or is_forgotten):
            return False
        if with_attribute(desired, attribute, current) != current:
            return False
        if is_forgotten:
            return getattr(current, attribute) is None
        return not self.ownership.owns_attribute(table, attribute, of=current.identity)

    def indexes(self, desired: Table, current: Table) -> tuple[Index, ...]:
        wanted = tuple(index for index in desired.indexes if not self.is_under_key(index, desired, current))
        unmatched = [index for index in current.indexes if index not in wanted]
        if not unmatched:
            return wanted
        return tuple(self.index(current, index, unmatched) for index in wanted)

    def is_under_key(self, index: Index, desired: Table, current: Table) -> bool:
        """Return whether the index is there, under a foreign key that the models do not have and that stays."""
        if not self.rules.keys_have_indexes or self.prune or index.named or index in current.indexes:
            return False
        return any(
            key not in desired.foreign_keys
            and not self.ownership.owns_object(current, key)
            and index == Index(keys=tuple(IndexKey(column=column) for column in key.columns))
            for key in current.foreign_keys
        )

    def index(self, table: Table, desired: Index, unmatched: list[Index]) -> Index:
        for current in unmatched:
            taken = {
                attribute: getattr(current, attribute)
                for attribute in ("options", "tablespace")
                if not getattr(desired, attribute)
                and not self.ownership.owns_attribute(table, attribute, of=current.identity)
            }
            if taken and evolve(desired, **taken) == current:
                return evolve(desired, **taken)
        return desired


def silent_attributes(declared: Schema, adopted: Schema) -> Iterator[tuple[Table, str, Column | Constraint | None]]:
    """Yield the attributes that were taken from the database and that `prune` drops, each with its table and object.

    The object is None for an attribute of the table itself, and has the value from the database.
    """
    for table in adopted:
        plain = declared.tables[table.name]
        if plain == table:
            continue
        if plain.comment != table.comment:
            yield table, "comment", None
        for old, column in zip(plain.columns, table.columns, strict=True):
            for attribute in COLUMN_ATTRIBUTES:
                if getattr(old, attribute) != getattr(column, attribute):
                    yield table, attribute, column
        for before, constraint in zip(plain.constraints, table.constraints, strict=True):
            if getattr(before, "on_delete", None) != getattr(constraint, "on_delete", None):
                yield table, "on_delete", constraint


def is_reordered(current: Constraint, desired: Constraint) -> bool:
    """Return whether two unique constraints of the same name differ only in the order of their columns."""
    if not isinstance(current, Unique) or not isinstance(desired, Unique):
        return False
    same_columns = sorted(current.columns) == sorted(desired.columns)
    return same_columns and evolve(current, columns=desired.columns) == desired


def with_attribute(noun: Constraint, attribute: str, source: Constraint) -> Constraint:
    """Return the constraint with one attribute taken from another constraint of its kind."""
    taken: dict[str, Any] = {attribute: getattr(source, attribute)}
    return evolve(noun, **taken)
