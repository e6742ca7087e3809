"""The record of what came from the models: that may be dropped along with its declaration, everything else stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as evolve

from automigrate_ext.schema.changes import (
    AddConstraint,
    AlterColumn,
    Change,
    DropColumn,
    DropConstraint,
    DropIndex,
    FillColumn,
    RenameConstraint,
    RenameIndex,
    ValidateConstraint,
)
from automigrate_ext.schema.matching import match_objects
from automigrate_ext.schema.nouns import Column, Constraint, ForeignKey, Index, Schema, Table

Attributes = tuple[str, ...]
#: An object of a table that has an identity in the record.
TableObject = Constraint | Index
#: The beginning of the attribute under which the digits of a column are recorded.
DIGITS = "digits "
#: The attribute of a constraint that a run adds as NOT VALID, until the rows have been asked.
UNPROVEN = "unproven"
#: The attribute of a column whose rows a run gives values, until all have one.
UNFILLED = "unfilled"
#: The attribute of a table of which an expand has left something for the contract.
EXPANDED = "expanded"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedTable:
    """The declarations of one table as they were in the last run.

    `columns` and `objects` (constraints and indexes by identity) map to the optional attributes that
    came from the models, `attributes` are those of the table as a whole. `kept` names columns that the
    models no longer have and whose values were kept. `taken_off` are foreign keys made by hand that a run
    drops and adds again; if the run ends in between, the next run adds them. `outside` are those of tables that are not
    part of the run, each after its table.
    """

    name: str
    owner: str
    columns: Mapping[str, Attributes] = field(default_factory=dict)
    objects: Mapping[str, Attributes] = field(default_factory=dict)
    attributes: Attributes = ()
    kept: tuple[str, ...] = ()
    taken_off: tuple[ForeignKey, ...] = ()
    outside: tuple[tuple[str, ForeignKey], ...] = ()


def never_generated(table: Table, noun: TableObject) -> bool:
    """Return False, for callers that cannot distinguish generated names from others."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """The record of owned objects, and rules for objects that it does not have.

    `django_named` returns whether Django's schema editor gave the object its name (the hash in it cannot
    occur by chance); `server_named` whether the server chose the name, as it does for a column's own
    constraints. The latter counts only for tables that no run has recorded yet.
    """

    tables: Mapping[str, OwnedTable] = field(default_factory=dict)
    django_named: Callable[[Table, TableObject], bool] = never_generated
    server_named: Callable[[Table, TableObject], bool] = never_generated

    def owns_column(self, table: Table, column: Column) -> bool:
        """Return whether the column came from the models; in a table never recorded, all but inherited ones did."""
        if column.inherited:
            return False
        owned = self.tables.get(table.name)
        return owned is None or column.name in owned.columns or column.name in owned.kept

    def is_kept(self, table: str, column: str | None) -> bool:
        """Return whether a run has kept the column, or the whole table, although no model declares it any more."""
        owned = self.tables.get(table)
        if owned is None:
            return False
        return column in owned.kept if column else not owned.columns

    def owns_object(self, table: Table, noun: TableObject) -> bool:
        """Return whether the constraint or index came from the models."""
        if noun.inherited:
            return False
        owned = self.tables.get(table.name)
        if owned is None:
            return self.django_named(table, noun) or self.server_named(table, noun)
        return noun.identity in owned.objects or self.django_named(table, noun)

    def owns_attribute(self, table: Table, attribute: str, *, of: str | None = None) -> bool:
        """Return whether an optional attribute of the table, or of its column or object `of`, came from the models."""
        owned = self.tables.get(table.name)
        if owned is None:
            return False
        if of is None:
            return attribute in owned.attributes
        return attribute in owned.columns.get(of, ()) or attribute in owned.objects.get(of, ())


def owned_table(declared: Table, desired: Table, current: Table, before: OwnedTable | None) -> OwnedTable:
    """Return the record of a table: everything that the models declare, under its names in the database.

    `desired` is the declared table with whatever it adopted from the database, `current` the table after
    the run. Columns that `before` owned and the run kept stay owned.
    """
    names = {column.name for column in declared.columns}
    present = {column.name for column in current.columns}
    formerly = set(before.columns) | set(before.kept) if before else set(present)
    return OwnedTable(
        name=declared.name,
        owner=declared.owner,
        columns={column.name: column_attributes(column) for column in declared.columns},
        objects=owned_objects(declared, desired, current, before),
        attributes=tuple(a for a in ("comment", "tablespace") if getattr(declared, a)),
        kept=tuple(sorted((formerly & present) - names)),
        taken_off=tuple(key for key in before.taken_off if is_missing(key, current)) if before else (),
    )


def respelled(ownership: Ownership, names: Iterable[str], key: Callable[[str], str]) -> Ownership:
    """Return the record with the given names of tables in the place of other spellings of them, which have one key."""
    by_key = {key(name): name for name in names}
    tables: dict[str, OwnedTable] = {}
    for owned in ownership.tables.values():
        name = by_key.get(key(owned.name), owned.name)
        if name == owned.name or name not in ownership.tables:
            tables[name] = owned if name == owned.name else evolve(owned, name=name)
    return evolve(ownership, tables=tables)


def with_spelling(ownership: Ownership, current: Schema, key: Callable[[str], str]) -> Ownership:
    """Return the record with the names of columns, constraints and indexes as they are in the database."""
    tables = dict(ownership.tables)
    for table in current:
        if owned := tables.get(table.name):
            columns = {key(column.name): column.name for column in table.columns}
            identities = [*(c.identity for c in table.constraints), *(index.identity for index in table.indexes)]
            objects = {key(identity): identity for identity in identities}
            tables[table.name] = evolve(
                owned,
                columns={columns.get(key(name), name): attributes for name, attributes in owned.columns.items()},
                objects={objects.get(key(name), name): attributes for name, attributes in owned.objects.items()},
                kept=tuple(columns.get(key(name), name) for name in owned.kept),
            )
    return evolve(ownership, tables=tables)


def is_missing(key: ForeignKey, table: Table) -> bool:
    """Return whether a foreign key that a run dropped has not been added again."""
    return key not in table.foreign_keys and not comes_with(key, table.foreign_keys)


def kept_table(owned: OwnedTable) -> OwnedTable:
    """Return the record of a table that no model declares any more and that a run has kept."""
    attributes = tuple(attribute for attribute in owned.attributes if attribute != EXPANDED)
    return evolve(owned, columns={}, attributes=attributes, kept=tuple(sorted({*owned.columns, *owned.kept})))


def owned_during_run(
    after: OwnedTable,
    before: OwnedTable | None,
    filled: Iterable[str],
    taken_off: Iterable[ForeignKey],
    unproven: Iterable[str] = (),
    unfilled: Iterable[str] = (),
    set_aside: Iterable[str] = (),
    outside: Iterable[tuple[str, ForeignKey]] = (),
) -> OwnedTable:
    """Return the record for the time of a run that the server cannot undo: all that was or will be owned.

    The `filled` columns have a database default during the run, which the run itself adds. The foreign keys
    `taken_off`, and those `outside`, are missing for a part of the run. `unproven` are the names of constraints that
    the run adds before it asks them of the rows, and of indexes that it makes constraints of; `unfilled` are columns
    that allow NULL and whose rows it gives values, and `set_aside` the names that columns have for a moment before they
    are dropped.
    """
    columns = {**dict.fromkeys(set_aside, ()), **(before.columns if before else {}), **after.columns}
    columns |= {name: tuple(dict.fromkeys((*columns.get(name, ()), "default"))) for name in filled}
    columns |= {name: tuple(dict.fromkeys((*columns.get(name, ()), UNFILLED))) for name in unfilled}
    objects = {**(before.objects if before else {}), **after.objects}
    objects |= {name: tuple(dict.fromkeys((*objects.get(name, ()), UNPROVEN))) for name in unproven}
    return evolve(
        after,
        columns=columns,
        objects=objects,
        attributes=tuple(dict.fromkeys((*(before.attributes if before else ()), *after.attributes))),
        taken_off=tuple(dict.fromkeys((*(before.taken_off if before else ()), *taken_off))),
        outside=tuple(dict.fromkeys((*(before.outside if before else ()), *outside))),
    )


def owned_until_contract(
    after: OwnedTable, current: Table, ownership: Ownership, later: Sequence[Change]
) -> OwnedTable:
    """Return the record of the table `current` after an expand, which has left these changes for the contract.

    What the contract drops or takes off is still the models', such as the default that a new column has until then.
    What was made by hand, and has a name that the models give to something else, is not.
    """
    columns, objects = dict(after.columns), dict(after.objects)
    before = ownership.tables.get(after.name)
    known = before.objects if before else {}
    for change in later:
        match change:
            case AlterColumn(old=old, new=new):
                columns[new.name] = column_attributes(
                    evolve(
                        new,
                        default=new.default or old.default,
                        collation=new.collation or old.collation,
                        digits=old.digits,
                    )
                )
            case DropColumn(old=old) if before and old.name in before.columns:
                # The code that has the column may take off a default that an expand of its own has left.
                columns[old.name] = before.columns[old.name]
            case DropConstraint() | DropIndex() | RenameConstraint() | RenameIndex() if ownership.owns_object(
                current, change.old
            ):
                objects[change.old.identity] = known.get(change.old.identity, object_attributes(change.old))
    attributes = (*after.attributes, EXPANDED) if later else after.attributes
    return evolve(after, columns=columns, objects=objects, attributes=attributes)


def are_expanded(tables: Iterable[str], ownership: Ownership) -> bool:
    """Return whether an expand has left something for the contract of each of the tables."""
    owned = [ownership.tables.get(name) for name in tables]
    return all(table is not None and EXPANDED in table.attributes for table in owned)


def owed_outside(ownership: Ownership, current: Schema) -> Iterator[tuple[Table, ForeignKey]]:
    """Yield the foreign keys that an interrupted run dropped of tables outside, where both ends are there."""
    for name, key in dict.fromkeys(pair for owned in ownership.tables.values() for pair in owned.outside):
        table = current.get(name)
        columns = {column.name for column in table.columns} if table else set()
        if table and current.get(key.to_table) and columns.issuperset(key.columns):
            yield table, key


def foreign_keys_to_restore(current: Schema, desired: Schema, ownership: Ownership) -> Iterator[AddConstraint]:
    """Yield the foreign keys made by hand that an interrupted run dropped, where the tables at both ends are there."""
    for table in current:
        owned = ownership.tables.get(table.name)
        columns = {column.name for column in table.columns}
        wanted = desired.get(table.name)
        declared = wanted.foreign_keys if wanted else ()
        for key in owned.taken_off if owned else ():
            if key in table.foreign_keys or not columns.issuperset(key.columns) or not current.get(key.to_table):
                continue
            if not comes_with(key, declared):
                yield AddConstraint(table=table.name, new=key)


def outside_keys_to_restore(
    current: Schema, ownership: Ownership, changes: Iterable[Change]
) -> Iterator[AddConstraint | ValidateConstraint]:
    """Yield what is left to do for the foreign keys that an interrupted run dropped of tables outside of it.

    Those that the `changes` add, as they are the models', are left out.
    """
    added = {(change.table, change.new) for change in changes if isinstance(change, AddConstraint)}
    for table, key in owed_outside(ownership, current):
        now = next((other for other in table.foreign_keys if other == key), None)
        if now is not None and key.valid and not now.valid:
            yield ValidateConstraint(table=table.name, old=now, new=now)
        elif is_missing(key, table) and (table.name, key) not in added:
            yield AddConstraint(table=table.name, new=key)


def constraints_to_validate(
    current: Schema, desired: Schema, ownership: Ownership, changes: Iterable[Change], *, shown: bool
) -> Iterator[ValidateConstraint]:
    """Yield the constraints that an interrupted run added, and that the rows have not been asked yet.

    Those that `changes` drop are left out, and so are those that somebody else has made not valid. Where the database
    has `shown` which ones are valid, the others are left out too.
    """
    dropped = {(change.table, change.old.name) for change in changes if isinstance(change, DropConstraint)}
    for table in current:
        owned = ownership.tables.get(table.name)
        for constraint in table.constraints if owned and desired.get(table.name) else ():
            is_owed = owned is not None and UNPROVEN in owned.objects.get(constraint.identity, ())
            if is_owed and not (shown and constraint.valid) and (table.name, constraint.name) not in dropped:
                yield ValidateConstraint(table=table.name, old=constraint, new=constraint)


def columns_to_fill(current: Schema, desired: Schema, ownership: Ownership) -> Iterator[FillColumn]:
    """Yield the columns that allow NULL, and that an interrupted run has added and not filled."""
    for table in current:
        owned, wanted = ownership.tables.get(table.name), desired.get(table.name)
        for column in table.columns if owned and wanted else ():
            new = wanted.column(column.name) if wanted else None
            if owned and new and new.null and UNFILLED in owned.columns.get(column.name, ()):
                yield FillColumn(table=table.name, new=new)


def comes_with(key: ForeignKey, others: Iterable[ForeignKey]) -> bool:
    """Return whether a recorded foreign key is one of the models', recorded for its action on update alone."""
    return bool(key.on_update) and any(key.is_replaced_by(other) for other in others)


def as_taken_off(changes: Iterable[Change], ownership: Ownership) -> Iterator[Change]:
    """Yield the changes, with each foreign key that an interrupted run dropped as it was, beyond what models give."""
    for change in changes:
        owned = ownership.tables.get(change.table) if isinstance(change, AddConstraint) else None
        if isinstance(change, AddConstraint) and owned and change.new in owned.taken_off:
            yield AddConstraint(table=change.table, new=next(key for key in owned.taken_off if key == change.new))
        else:
            yield change


def owned_objects(declared: Table, desired: Table, current: Table, before: OwnedTable | None) -> dict[str, Attributes]:
    """Return the declared objects by their identity in the database, with a preference for those owned before."""
    known = before.objects if before else {}

    def is_new(noun: TableObject) -> bool:
        return noun.identity not in known

    constraints = match_objects(sorted(current.constraints, key=is_new), desired.constraints).paired
    indexes = match_objects(sorted(current.indexes, key=is_new), desired.indexes).paired
    # Indexes that the database has under foreign keys made by hand are declared, and not among the desired ones.
    rest = iter(declared.indexes)
    same = [
        next(index for index in rest if (index.name, index.keys) == (new.name, new.keys)) for new in desired.indexes
    ]
    declared_objects: tuple[TableObject, ...] = (*declared.constraints, *same)
    desired_objects: tuple[TableObject, ...] = (*desired.constraints, *desired.indexes)
    attributes = {
        id(after): object_attributes(before) for before, after in zip(declared_objects, desired_objects, strict=True)
    }
    pairs: tuple[tuple[TableObject, TableObject], ...] = (*constraints, *indexes)
    return {old.identity: attributes[id(new)] for old, new in pairs}


def column_attributes(column: Column) -> Attributes:
    """Return the optional attributes that a declared column has, and the digits that its type does not hold."""
    attributes = tuple(a for a in ("default", "collation", "comment") if getattr(column, a))
    return (*attributes, f"{DIGITS}{column.digits[0]},{column.digits[1]}") if column.digits else attributes


def with_recorded_digits(current: Schema, ownership: Ownership) -> Schema:
    """Return the schema with the digits that the models gave to columns in the last run."""
    tables = dict(current.tables)
    for name, owned in ownership.tables.items():
        digits = {column: found for column, attributes in owned.columns.items() if (found := digits_in(attributes))}
        table = tables.get(name)
        if table is None or not digits:
            continue
        columns = (evolve(column, digits=digits.get(column.name)) for column in table.columns)
        tables[name] = evolve(table, columns=tuple(columns))
    return Schema(tables)


def digits_in(attributes: Attributes) -> tuple[int, int] | None:
    """Return the digits among the recorded attributes of a column, or None."""
    for attribute in attributes:
        if attribute.startswith(DIGITS):
            total, places = attribute.removeprefix(DIGITS).split(",")
            return int(total), int(places)
    return None


def object_attributes(noun: TableObject) -> Attributes:
    """Return the optional attributes that a declared constraint or index has."""
    return tuple(a for a in ("on_delete", "options", "tablespace") if getattr(noun, a, None))
