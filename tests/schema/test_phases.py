"""What an expand does at once, what it leaves for the contract, and what has no expand: on schemas made by hand."""

from dataclasses import replace

import pytest

from automigrate_ext.schema.changes import (
    AddColumn,
    AddConstraint,
    AddIndex,
    AlterColumn,
    AlterPrimaryKey,
    AlterTable,
    CreateTable,
    DropColumn,
    DropConstraint,
    DropIndex,
    DropTable,
    RenameColumn,
    RenameConstraint,
    RenameIndex,
    RenameTable,
)
from automigrate_ext.schema.diff import diff
from automigrate_ext.schema.nouns import (
    Check,
    Column,
    Exclusion,
    ForeignKey,
    Generated,
    Index,
    IndexKey,
    PrimaryKey,
    Schema,
    Table,
    Unique,
)
from automigrate_ext.schema.ownership import OwnedTable, Ownership
from automigrate_ext.schema.phases import Rules, phases

WIDER = {("int", "bigint"), ("varchar(5)", "text")}


def rules(default=None):
    """Rules under which new columns have a default of the database, or none."""
    return Rules(
        widens=lambda old, new: (old.type, new.type) in WIDER,
        optional=lambda column: replace(column, null=True),
        with_default=lambda table, column: replace(column, default=default) if default else None,
        is_spelling=lambda old, new: old.lower() == new.lower(),
    )


def column(name, type="int", null=False, **facts):
    return Column(name=name, type=type, null=null, **facts)


ID = column("id", identity="always")
KEY = PrimaryKey(columns=("id",))


def table(*columns, name="t", key=KEY, constraints=(), indexes=(), **facts):
    return Table(name=name, columns=(ID, *columns), primary_key=key, constraints=constraints, indexes=indexes, **facts)


def divided(current, desired, default=None, changes=None):
    """Divide the differences of two tables, or those given."""
    schemas = Schema({current.name: current}), Schema({desired.name: desired})
    owned = OwnedTable(
        name=current.name,
        owner="shop.T",
        columns={c.name: () for c in current.columns},
        objects={noun.identity: () for noun in (*current.constraints, *current.indexes)},
    )
    found = diff(*schemas, Ownership(tables={current.name: owned})) if changes is None else changes
    return phases(*schemas, found, rules(default))


def kinds(changes):
    return [type(change) for change in changes]


A, B = column("a"), column("b")
UNIQUE, CHECK = Unique(columns=("a",), name="u"), Check(expression="a > 0", columns=("a",), name="c")
INDEX = Index(keys=(IndexKey(column="a"),), columns=("a",), name="i")
UNIQUE_INDEX = replace(INDEX, unique=True)
EXCLUSION = Exclusion(definition="a WITH =", columns=("a",), name="x")
FOREIGN_KEY = ForeignKey(columns=("a",), to_table="other", to_columns=("id",), name="f")
RULES = [UNIQUE, CHECK, EXCLUSION, FOREIGN_KEY]


def ruled(*columns, rule):
    return table(*columns, **{"indexes" if isinstance(rule, Index) else "constraints": (rule,)})


@pytest.mark.parametrize(
    ("new", "now", "later"),
    [
        (column("a", null=True), [AddColumn], []),
        (column("a", default="1"), [AddColumn], []),
        (column("a"), [AddColumn], [AlterColumn]),
        (column("a", generated=Generated(expression="id", stored=True)), [AddColumn], []),
    ],
)
@pytest.mark.parametrize("default", ["3", None])
def test_new_column(new, now, later, default):
    found = divided(table(), table(new), default)
    assert (kinds(found.now), kinds(found.later)) == (now, later)
    between = found.expanded.tables["t"].column("a")
    assert found.now[0].new == between and (between == new or between.default == default)
    assert not between.needs_value
    assert found.required == ({("t", "a")} if later and not default else set())


@pytest.mark.parametrize(
    ("old", "new", "between"),
    [
        (A, column("a", null=True), column("a", null=True)),
        (column("a", null=True), A, column("a", null=True)),
        (A, column("a", type="bigint"), column("a", type="bigint")),
        (column("a", type="bigint"), A, column("a", type="bigint")),
        (A, column("a", type="bigint", null=True), column("a", type="bigint", null=True)),
        (column("a", null=True), column("a", type="bigint"), column("a", type="bigint", null=True)),
        (A, column("a", type="text"), A),
        (A, column("a", default="1"), column("a", default="1")),
        (column("a", default="1"), column("a", default="2"), column("a", default="1")),
        (column("a", default="1"), A, column("a", default="1")),
        (A, column("a", comment="x", type="text"), column("a", comment="x")),
        (A, column("a", collation="C"), A),
        (A, column("a", identity="always"), column("a", identity="always")),
        (column("a", identity="always"), A, column("a", identity="always")),
        (
            column("a", generated=Generated(expression="1", stored=True)),
            column("a", generated=Generated(expression="2", stored=True)),
            column("a", generated=Generated(expression="1", stored=True)),
        ),
    ],
)
def test_changed_column(old, new, between):
    found = divided(table(old), table(new))
    assert found.expanded.tables["t"].column("a") == between
    assert kinds(found.now) == ([AlterColumn] if between != old else [])
    assert kinds(found.later) == ([AlterColumn] if between != new else [])
    again = divided(found.expanded.tables["t"], table(new))
    assert (again.now, again.later) == ((), found.later)


@pytest.mark.parametrize("generated", [Generated(expression="id", stored=True)])
def test_column_that_becomes_a_generated_one_or_ceases_to_be_one_has_no_expand(generated):
    computed = column("a", generated=generated)
    for old, new in ((A, computed), (computed, A)):
        found = divided(table(old), table(new))
        assert "Add a column beside it" in found.barred[0].reason and not found.now and not found.later


@pytest.mark.parametrize(
    ("old", "relaxed"), [(A, True), (column("a", null=True), False), (column("a", default="1"), False)]
)
def test_removed_column(old, relaxed):
    found = divided(table(old), table())
    assert kinds(found.later) == [DropColumn]
    assert kinds(found.now) == ([AlterColumn] if relaxed else [])
    assert all(change.new.null for change in found.now)


@pytest.mark.parametrize("rule", [*RULES, UNIQUE_INDEX])
def test_rule_over_a_column_that_is_there_waits(rule):
    found = divided(table(A), ruled(A, rule=rule))
    assert not found.now and kinds(found.later) in ([AddConstraint], [AddIndex])
    assert found.expanded.tables["t"] == table(A)


@pytest.mark.parametrize("rule", [*RULES, UNIQUE_INDEX, INDEX])
def test_rule_over_a_new_column_that_is_empty_comes_at_once(rule):
    empty = column("a", null=True)
    found = divided(table(), ruled(empty, rule=rule))
    assert not found.later and found.expanded.tables["t"] == ruled(empty, rule=rule)


@pytest.mark.parametrize(
    ("rule", "waits"), [(UNIQUE, True), (UNIQUE_INDEX, True), (EXCLUSION, True), (CHECK, False), (FOREIGN_KEY, False)]
)
def test_rule_over_a_new_column_with_a_default(rule, waits):
    found = divided(table(), ruled(A, rule=rule), default="3")
    assert (kinds(found.later) != [AlterColumn]) == waits


@pytest.mark.parametrize("rule", [*RULES, UNIQUE_INDEX])
def test_rule_over_a_column_that_is_computed_from_an_old_one_waits(rule):
    computed = column("a", null=True, generated=Generated(expression="b", stored=True), reads=("b",))
    found = divided(table(B), ruled(B, computed, rule=rule))
    assert kinds(found.now) == [AddColumn] and len(found.later) == 1


def test_unique_rule_without_distinct_nulls_waits():
    empty = column("a", null=True)
    found = divided(table(), ruled(empty, rule=replace(UNIQUE, nulls_distinct=False)))
    assert kinds(found.later) == [AddConstraint]


@pytest.mark.parametrize(
    ("rule", "waits"),
    [(UNIQUE, True), (UNIQUE_INDEX, True), (INDEX, True), (CHECK, False), (EXCLUSION, False), (FOREIGN_KEY, False)],
)
def test_removed_rule(rule, waits):
    found = divided(ruled(A, rule=rule), table(A))
    assert (kinds(found.later), kinds(found.now)) in (
        ([DropConstraint], []) if waits else ([], [DropConstraint]),
        ([DropIndex], []),
    )


def test_removed_unique_rule_goes_at_once_where_a_default_would_break_it():
    found = divided(ruled(column("a", default="1"), rule=UNIQUE), table())
    assert (kinds(found.now), kinds(found.later)) == ([DropConstraint], [DropColumn])
    found = divided(ruled(A, rule=UNIQUE), table())
    assert (kinds(found.now), kinds(found.later)) == ([AlterColumn], [DropColumn, DropConstraint])


def test_index_over_a_column_of_another_type_waits():
    found = divided(table(A), table(column("a", type="text"), indexes=(INDEX,)))
    assert kinds(found.later) == [AlterColumn, AddIndex]


def test_names_that_are_given_change_in_the_contract():
    for rule in (INDEX, UNIQUE):
        old, new = ruled(A, rule=rule), ruled(A, rule=replace(rule, name="z", named=True))
        found = divided(old, new)
        assert kinds(found.later) in ([RenameIndex], [RenameConstraint]) and not found.now
        (kept,) = (*found.expanded.tables["t"].constraints, *found.expanded.tables["t"].indexes)
        assert kept.name == rule.name


def test_foreign_key_that_acts_otherwise_is_replaced_in_the_contract_and_another_target_has_no_expand():
    old = ruled(A, rule=FOREIGN_KEY)
    found = divided(old, ruled(A, rule=replace(FOREIGN_KEY, on_delete="CASCADE")))
    assert set(kinds(found.later)) == {DropConstraint, AddConstraint} and not found.now
    found = divided(old, ruled(A, rule=replace(FOREIGN_KEY, to_table="elsewhere")))
    assert "point at other rows" in found.barred[0].reason


def test_primary_key():
    natural = PrimaryKey(columns=("a",))
    found = divided(table(A), table(A, key=natural))
    assert kinds(found.later) == [AlterPrimaryKey] and found.expanded.tables["t"].primary_key == KEY
    found = divided(table(), table(A, key=natural))
    assert "rests on a new column" in found.barred[0].reason
    found = divided(table(A, key=natural), table())
    assert "new code does not write t.a" in found.barred[0].reason


def test_tables():
    other = table(name="other")
    target = ForeignKey(columns=("b",), to_table="t", to_columns=("a",))
    new = Table(name="new", columns=(ID, B), primary_key=KEY, constraints=(target,))
    schemas = Schema({"t": table(A), "other": other}), Schema({"t": ruled(A, rule=UNIQUE), "new": new})
    create, drop = CreateTable(table="new", new=new), DropTable(table="other", old=other)
    found = phases(*schemas, (create, drop), rules())
    assert (kinds(found.now), kinds(found.later)) == ([CreateTable], [DropTable])
    found = phases(*schemas, (AddConstraint(table="t", new=UNIQUE), create), rules())
    assert "Deploy the change of t first" in found.barred[0].reason
    given = replace(INDEX, named=True)
    named = replace(new, constraints=(), indexes=(given,))
    gone = DropTable(table="other", old=replace(other, indexes=(given,)))
    found = phases(*schemas, (CreateTable(table="new", new=named), gone), rules())
    assert "i is the name of an index or constraint of table other that stays" in found.barred[0].reason


def test_renames_and_spellings():
    renames = [
        RenameTable(table="t", new_name="s"),
        RenameColumn(table="t", old_name="a", new_name="b"),
        RenameColumn(table="t", old_name="a", new_name="A"),
    ]
    found = divided(table(A), table(A), changes=renames)
    assert [barred.change for barred in found.barred] == renames[:2] and list(found.now) == renames[2:]


def test_comment_changes_at_once():
    found = divided(table(A), table(A, comment="x"))
    assert kinds(found.now) == [AlterTable]
