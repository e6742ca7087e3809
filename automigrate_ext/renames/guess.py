"""Guess renames: pairs of a removal and an addition that look like one object with another name. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from automigrate_ext.plan.plan import Judgement, LikelyRename, Verdict
from automigrate_ext.schema.changes import AddColumn, CreateTable, DropColumn, DropTable
from automigrate_ext.schema.nouns import Column, Schema, Table
from automigrate_ext.schema.ownership import Ownership

#: The number of new names that are offered for one old name.
OFFERED = 3

Fields = Mapping[tuple[str, str], Any]


class Pair(NamedTuple):
    """A rename as an option takes it, and the likeness of the names."""

    likeness: float
    old: str
    new: str


def likely_renames(
    judgements: Sequence[Judgement],
    current: Schema,
    ownership: Ownership,
    fields: Fields,
    claimed: Collection[str] = (),
) -> tuple[LikelyRename, ...]:
    """Return the renames that would explain additions and removals that lose values; the likeliest first.

    `claimed` are the tables of all models, those outside the run included.
    """
    guess = Guess(judgements=judgements, current=current, ownership=ownership, fields=fields)
    pairs = [*guess.tables(), *guess.moves(claimed), *guess.columns()]
    return tuple(LikelyRename(old=pair.old, new=pair.new) for pair in likeliest(pairs))


def likeliest(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Yield the pairs, the likelier first, a few of each old name."""
    seen: dict[str, int] = {}
    for pair in sorted(pairs, key=lambda pair: -pair.likeness):
        seen[pair.old] = seen.get(pair.old, 0) + 1
        if seen[pair.old] <= OFFERED:
            yield pair


def likeness(old: str, new: str) -> float:
    """Return the likeness of two names, from 0 to 1."""
    return difflib.SequenceMatcher(a=old.lower(), b=new.lower()).ratio()


class Guess:
    """Pairs removals with additions."""

    def __init__(
        self, *, judgements: Sequence[Judgement], current: Schema, ownership: Ownership, fields: Fields
    ) -> None:
        self.current = current
        self.ownership = ownership
        self.fields = fields
        changes = [judgement.change for judgement in judgements]
        # Without a hazard no values are lost, so that it does not matter whether it was a rename.
        # What an expand leaves for the contract may have some.
        going = [j.change for j in judgements if j.hazards or j.verdict is Verdict.POSTPONE]
        self.dropped_tables = [change for change in going if isinstance(change, DropTable)]
        self.dropped_columns = [change for change in going if isinstance(change, DropColumn)]
        self.new_tables = [change.new for change in changes if isinstance(change, CreateTable)]
        self.new_columns = [change for change in changes if isinstance(change, AddColumn)]
        self.new_keys = {
            (change.table, noun.columns): noun
            for change in changes
            if (noun := getattr(change, "new", None)) is not None and getattr(noun, "kind", "") == "foreign key"
        }

    # Columns

    def columns(self) -> Iterator[Pair]:
        for gone in self.dropped_columns:
            for new in self.new_columns:
                if new.table == gone.table and self.is_same_column(gone.table, gone.old, new.new):
                    old_name, new_name = self.field_names(gone.table, gone.old.name, new.new.name)
                    yield Pair(likeness(gone.old.name, new.new.name), old_name, new_name)

    def is_same_column(self, table: str, old: Column, new: Column) -> bool:
        """Return whether an owned column, not kept from an earlier run, could be the new one."""
        owned = self.ownership.owns_column(self.current.tables[table], old)
        kept = self.ownership.is_kept(table, old.name)
        if not owned or kept or (old.generated, old.identity) != (new.generated, new.identity):
            return False
        is_alike = old.type == new.type and self.target(table, old.name) == self.new_target(table, new.name)
        return is_alike or self.is_same_field(table, old, new)

    def is_same_field(self, table: str, old: Column, new: Column) -> bool:
        """Return whether the old column is what the new one's field had before it became a foreign key, or after that.

        The type may have changed with it, as the values of a key have that of the key.
        """
        field = self.fields.get((table, new.name))
        return field is not None and old.name in (field.name, f"{field.name}_id")

    def target(self, table: str, column: str) -> object:
        """Return the table and columns that a column points at now, or None."""
        keys = (key for key in self.current.tables[table].foreign_keys if key.columns == (column,))
        return next(((key.to_table, key.to_columns) for key in keys), None)

    def new_target(self, table: str, column: str) -> object:
        """Return the table and columns that a new column is to point at, or None."""
        key = self.new_keys.get((table, (column,)))
        return (key.to_table, key.to_columns) if key else None

    def field_names(self, table: str, old: str, new: str) -> tuple[str, str]:
        """Return the rename by the field's names, or by the column's where the field's old name is unknown."""
        field = self.fields.get((table, new))
        if field is not None and not field.model._meta.auto_created:
            label, names = field.model._meta.label, {known.name for known in field.model._meta.local_fields}
            old_name = old.removesuffix("_id") if field.is_relation else old
            if old_name not in names and (old_name != old or not field.is_relation):
                return f"{label}.{old_name}", str(field.name)
            if field.is_relation and field.column == field.attname:
                return f"{label}.{old}", str(field.attname)
        return f"{table}.{old}", new

    # Tables

    def tables(self) -> Iterator[Pair]:
        pairs: dict[tuple[str, str], Pair] = {}
        automatic = {new.name for new in self.new_tables if new.automatic}
        for gone in (change for change in self.dropped_tables if not self.ownership.is_kept(change.table, None)):
            owner = self.ownership.tables.get(gone.table)
            for new in self.new_tables if owner else ():
                if owner and new.name != gone.table and self.is_same_table(gone.old, owner.owner, new):
                    old_name, new_name = self.model_names(gone.table, owner.owner, new)
                    pairs[gone.table, new.name] = Pair(likeness(gone.table, new.name), old_name, new_name)
        for (old, new_table), pair in pairs.items():
            if new_table not in automatic or not follows(old, new_table, pairs):
                yield pair

    def moves(self, claimed: Collection[str]) -> Iterator[Pair]:
        """Yield models that may have left an app that is not installed any more; its tables are not in the run.

        Of such a table the record has the names of the columns, and nothing is known of its rows.
        """
        for owned in self.ownership.tables.values():
            is_gone = owned.name not in claimed and self.current.get(owned.name) is None and owned.columns
            for new in self.new_tables if is_gone else ():
                app_label, _, name = owned.owner.partition(".")
                new_app_label, _, new_name = new.owner.partition(".")
                is_alike = owned.columns.keys() == {column.name for column in new.columns}
                is_own = not new.automatic and self.is_own_table(owned.name, owned.owner)
                if app_label != new_app_label and name.lower() == new_name.lower() and is_alike and is_own:
                    yield Pair(1, owned.owner, new.owner)

    def is_same_table(self, old: Table, owner: str, new: Table) -> bool:
        """Return whether the columns are the same, apart from names made of the model's name.

        Many-to-many tables match only within their model: elsewhere they follow the model's own rename.
        """
        if new.automatic and new.owner != owner:
            return False
        return shape(old) == shape(new) or shape(old, owner) == shape(new, new.owner)

    def model_names(self, old: str, owner: str, new: Table) -> tuple[str, str]:
        """Return the rename by the names of the models or of a many-to-many field, or else of the tables."""
        app_label, _, old_name = owner.partition(".")
        new_app_label, _, new_name = new.owner.partition(".")
        table = f"{app_label}_{old_name.lower()}"
        if owner != new.owner and app_label == new_app_label and old == table:
            return owner, new_name
        if app_label != new_app_label and not new.automatic and self.is_own_table(old, owner):
            return owner, new.owner
        if new.automatic and old.startswith(f"{table}_") and new.name.startswith(f"{table}_"):
            return f"{owner}.{old.removeprefix(f'{table}_')}", new.name.removeprefix(f"{table}_")
        return old, new.name

    def is_own_table(self, table: str, owner: str) -> bool:
        """Return whether the record has a table as a model's own: its many-to-many tables are named after it."""
        names = [owned.name for owned in self.ownership.tables.values() if owned.owner == owner]
        return all(name == table or name.startswith(f"{table}_") for name in names)


def follows(old: str, new: str, moves: Iterable[tuple[str, str]]) -> bool:
    """Return whether a many-to-many table gets its new name along with its model's table, which is among the moves."""
    return any((old, new) == (f"{a}_{field}", f"{b}_{field}") for a, b in moves for field in [old[len(a) + 1 :]])


def shape(table: Table, owner: str = "") -> frozenset[tuple[str, str]]:
    """Return the types of the columns, and their names without the owner's name in them, if it is given."""
    model = owner.rpartition(".")[2].lower()
    return frozenset(
        (column.name.replace(model, "*") if model else column.name, column.type) for column in table.columns
    )
