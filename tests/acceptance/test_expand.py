"""Deployments in which old and new code serve together: what an expand does, and what the contract after it does.

Between the two, the old models still insert, update, read and delete, and so do the new ones.
"""

import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from django.db import IntegrityError, models, transaction
from django.db.models import CheckConstraint, F, GeneratedField, Index, Q, UniqueConstraint

from automigrate_ext import AutomigrateError, Plan, autoupdate, is_actual, make_plan
from automigrate_ext.plan.plan import Verdict
from automigrate_ext.run.record import Record
from tests.acceptance.helper import Case, State, described, item
from tests.features import need

NAME = models.CharField(max_length=10)


@pytest.fixture
def case(connection):
    """A case on each database, whose tables have a record: what is dropped later has to be known then."""
    need(connection, "every change")
    return Case(connection, "automigrate")


class Deployment:
    """Old models whose tables hold rows, and new ones: expanded, used by both, contracted."""

    def __init__(self, case: Case, before: State, after: State, rows: Mapping[str, Any]) -> None:
        self.case, self.before, self.after = case, before, after
        case.build(before)
        case.insert(before, rows)

    def expand(self, *changes: str, later: list[str]) -> Plan:
        """Expand; the descriptions of what is done and of what is left begin like these."""
        plan = self.case.plan(self.after, expand=True)
        assert not plan.refused, str(plan)
        assert_all_begin(described(plan.changes), changes)
        assert_all_begin(described(plan.postponed), later)
        self.case.run_as_planned(self.after, expand=True)
        again = self.case.plan(self.after, expand=True)
        assert not again, again.sql()
        assert len(again.postponed) == len(later)
        assert not self.case.run(self.after, expand=True)
        return plan

    def contract(self, *changes: str, exact: bool = True, **options: Any) -> Plan:
        """Contract, and end where a fresh build does."""
        checked = self.case.plan(self.after)
        assert checked.expanded == bool(checked)
        assert is_actual(using=self.case.alias, apps=self.after.apps) == (not checked)
        plan = self.case.plan(self.after, contract=True, **options)
        assert_all_begin(described(plan.changes), changes)
        assert not any("was not expanded" in note for note in plan.notes)
        self.case.run_as_planned(self.after, contract=True, **options)
        self.case.assert_settled(self.after, exact=exact)
        assert not self.case.plan(self.after, expand=True).postponed or not exact
        return plan

    def use(self, old: dict[str, Any], new: dict[str, Any], name: str = "Item") -> None:
        """Insert, read, update and delete by the models of either side; a row of each stays."""
        for state, values in ((self.before, old), (self.after, new)):
            manager = state[name]._base_manager.using(self.case.alias)
            passing = manager.create(**values)
            assert manager.filter(pk=passing.pk).update(**values) == 1
            manager.get(pk=passing.pk).delete(using=self.case.alias)
            manager.create(**values).save(using=self.case.alias)
        for state in (self.before, self.after):
            list(state[name]._base_manager.using(self.case.alias).all())


def assert_all_begin(found: list[str], expected: Any) -> None:
    rest = list(found)
    for start in expected:
        match = next((text for text in rest if text.startswith(start)), None)
        assert match is not None, f"nothing begins with {start!r} in {found}"
        rest.remove(match)
    assert not rest, f"not expected: {rest}"


ONE = {"Item": [{"name": "a"}]}


def test_nullable_column(case):
    deployment = Deployment(case, item(name=NAME), item(name=NAME, n=models.IntegerField(null=True)), ONE)
    deployment.expand("Add column shop_item.n", later=[])
    deployment.use({"name": "b"}, {"name": "c", "n": 1})
    deployment.contract()
    assert case.values("shop_item", "n") == [(None,), (None,), (1,)]


@pytest.mark.parametrize(
    "field",
    [models.IntegerField(default=3), models.TextField(default="it's"), models.CharField(max_length=5, blank=True)],
)
def test_required_column_with_a_constant_has_a_default_of_the_database_until_the_contract(case, field):
    value = field.get_default() if field.has_default() else ""
    deployment = Deployment(case, item(name=NAME), item(name=NAME, n=field), ONE)
    deployment.expand("Add column shop_item.n", later=["Change column shop_item.n"])
    deployment.use({"name": "b"}, {"name": "c", "n": value})
    deployment.contract("Change column shop_item.n")
    assert {row for (row,) in case.values("shop_item", "n")} == {value}
    (column,) = [c for c in case.introspect(["shop_item"]).tables["shop_item"].columns if c.name == "n"]
    assert (column.default, column.null) == (None, False)


def test_default_by_hand_survives_both(case):
    deployment = Deployment(case, item(name=NAME), item(name=NAME, n=models.IntegerField(default=3)), ONE)
    case.execute("""ALTER TABLE "shop_item" ADD COLUMN "extra" integer DEFAULT 5""")
    deployment.expand("Add column shop_item.n", later=["Change column shop_item.n"])
    deployment.contract("Change column shop_item.n", exact=False)
    columns = {c.name: c for c in case.introspect(["shop_item"]).tables["shop_item"].columns}
    assert columns["extra"].default.strip("'") == "5" and columns["n"].default is None


def test_one_off_value_is_the_default(case):
    before, after = item(name=NAME), item(name=NAME, n=models.IntegerField())
    case.build(before)
    case.insert(before, ONE)
    refused = case.plan(after, expand=True)
    assert [hazard.code for j in refused.refused for hazard in j.hazards] == ["required-column"]
    case.run(after, expand=True, defaults={"shop.Item.n": "7"})
    case.insert(before, {"Item": [{"name": "b"}]})
    case.run(after, contract=True, defaults={"shop.Item.n": "7"})
    case.assert_settled(after)
    assert case.values("shop_item", "n") == [(7,), (7,)]


def test_required_column_without_a_value_allows_null_in_an_empty_table(case):
    deployment = Deployment(case, item(name=NAME), item(name=NAME, n=models.IntegerField()), {})
    deployment.expand("Add column shop_item.n", later=["Change column shop_item.n"])
    deployment.use({"name": "b"}, {"name": "c", "n": 2})
    refused = case.plan(deployment.after, contract=True)
    assert [hazard.code for j in refused.refused for hazard in j.hazards] == ["null-values"]
    deployment.before["Item"]._base_manager.using(case.alias).filter(name="b").delete()
    deployment.contract("Change column shop_item.n")


def test_value_per_row_is_filled_and_filled_again(case):
    after = item(name=NAME, token=models.UUIDField(default=uuid.uuid4))
    deployment = Deployment(case, item(name=NAME), after, {"Item": [{"name": "a"}, {"name": "b"}]})
    deployment.expand("Add column shop_item.token", later=["Change column shop_item.token"])
    assert (None,) not in case.values("shop_item", "token")
    deployment.use({"name": "c"}, {"name": "d"})
    assert (None,) in case.values("shop_item", "token")
    deployment.contract("Change column shop_item.token")
    assert len(set(case.values("shop_item", "token"))) == 4


def test_present_time_is_that_of_each_row(case):
    after = item(name=NAME, at=models.DateTimeField(auto_now_add=True), day=models.DateField(auto_now=True))
    deployment = Deployment(case, item(name=NAME), after, ONE)
    deployment.expand(
        "Add column shop_item.at",
        "Add column shop_item.day",
        later=["Change column shop_item.at", "Change column shop_item.day"],
    )
    deployment.use({"name": "b"}, {"name": "c"})
    deployment.contract("Change column shop_item.at", "Change column shop_item.day")


def test_database_default_of_a_new_column_stays(case):
    after = item(name=NAME, n=models.IntegerField(db_default=4))
    deployment = Deployment(case, item(name=NAME), after, ONE)
    deployment.expand("Add column shop_item.n", later=[])
    deployment.use({"name": "b"}, {"name": "c"})
    deployment.contract()


def test_wider_text(case):
    deployment = Deployment(case, item(name=NAME), item(name=models.CharField(max_length=20)), ONE)
    deployment.expand("Change column shop_item.name", later=[])
    deployment.use({"name": "b"}, {"name": "c" * 15})
    deployment.contract()


def test_wider_integer_and_decimal(case):
    before = item(n=models.IntegerField(), d=models.DecimalField(max_digits=5, decimal_places=2))
    after = item(n=models.BigIntegerField(), d=models.DecimalField(max_digits=9, decimal_places=3))
    deployment = Deployment(case, before, after, {"Item": [{"n": 1, "d": "1.50"}]})
    # SQLite has one type for all decimals.
    decimals = ["Change column shop_item.d"] if case.vendor != "sqlite" else []
    deployment.expand("Change column shop_item.n", *decimals, later=[])
    deployment.use({"n": 1, "d": "2.25"}, {"n": 2**40, "d": "3.125"})
    deployment.contract()


def test_other_type_waits(case):
    before, after = item(n=models.CharField(max_length=10)), item(n=models.IntegerField())
    deployment = Deployment(case, before, after, {"Item": [{"n": "1"}]})
    deployment.expand(later=["Change column shop_item.n"])
    deployment.use({"n": "2"}, {"n": 3})
    deployment.contract("Change column shop_item.n")
    assert case.values("shop_item", "n") == [(1,), (2,), (3,)]


def test_narrowing_waits_and_null_is_allowed_at_once(case):
    before, after = item(name=NAME), item(name=models.CharField(max_length=5, null=True))
    deployment = Deployment(case, before, after, ONE)
    deployment.expand("Change column shop_item.name: allow NULL", later=["Change column shop_item.name: type"])
    deployment.use({"name": "b"}, {"name": None})
    deployment.contract("Change column shop_item.name: type")


def test_null_is_forbidden_in_the_contract(case):
    before, after = item(n=models.IntegerField(null=True)), item(n=models.IntegerField(default=4))
    deployment = Deployment(case, before, after, {"Item": [{"n": None}]})
    deployment.expand(later=["Change column shop_item.n: forbid NULL"])
    deployment.use({"n": None}, {"n": 1})
    deployment.contract("Change column shop_item.n: forbid NULL")
    assert case.values("shop_item", "n") == [(1,), (4,), (4,)]


def test_removed_column_becomes_nullable_and_is_dropped_in_the_contract(case):
    before = item(name=NAME, legacy=models.IntegerField(), empty=models.IntegerField(null=True))
    deployment = Deployment(case, before, item(name=NAME), {"Item": [{"name": "a", "legacy": 1}]})
    drops = ["Drop column shop_item.legacy", "Drop column shop_item.empty"]
    deployment.expand("Change column shop_item.legacy: allow NULL", later=drops)
    deployment.use({"name": "b", "legacy": 2}, {"name": "c"})
    deployment.contract(*drops, accept_data_loss=True)


def test_column_with_values_is_kept_by_a_contract_as_by_any_run(case):
    deployment = Deployment(case, item(name=NAME, old=models.IntegerField()), item(name=NAME), {})
    case.insert(deployment.before, {"Item": [{"name": "a", "old": 1}]})
    deployment.expand("Change column shop_item.old: allow NULL", later=["Drop column shop_item.old"])
    assert is_actual(using=case.alias, apps=deployment.after.apps)
    contract = case.run(deployment.after, contract=True)
    assert not contract and [j.verdict for j in contract.judgements] == [Verdict.WITHHOLD]
    assert [j.verdict for j in case.plan(deployment.after).judgements] == [Verdict.WITHHOLD]
    assert not case.run(deployment.after, contract=True, fingerprint=False).judgements
    assert case.values("shop_item", "old") == [(1,)]


def test_table_with_rows_is_kept_by_a_contract_and_no_longer_left_by_an_expand(case):
    deployment = Deployment(case, State(Item={"name": NAME}, Old={"name": NAME}), item(name=NAME), {})
    case.insert(deployment.before, {"Old": [{"name": "a"}]})
    deployment.expand(later=["Drop table shop_old"])
    assert not case.run(deployment.after, expand=True, fingerprint=False)
    assert recorded(case, "shop_old").attributes == ("expanded",)
    contract = case.run(deployment.after, contract=True)
    assert not contract and [j.verdict for j in contract.judgements] == [Verdict.WITHHOLD]
    assert recorded(case, "shop_old").attributes == ()
    case.execute('DELETE FROM "shop_old"')
    plan = case.plan(deployment.after)
    assert plan and not plan.expanded


def recorded(case, table):
    return Record(case.backend).read().tables[table]


def test_tables_come_at_once_and_go_in_the_contract(case):
    before = State(Item={"name": NAME}, Old={"name": NAME})
    after = State(
        Item={"name": NAME},
        New={
            "name": NAME,
            "item": models.ForeignKey("shop.Item", models.CASCADE),
            "code": models.IntegerField(unique=True),
        },
    )
    deployment = Deployment(case, before, after, ONE)
    deployment.expand("Create table shop_new", later=["Drop table shop_old"])
    deployment.use({"name": "b"}, {"name": "c"})
    case.insert(before, {"Old": [{"name": "x"}]})
    case.insert(
        after, {"New": [{"name": "y", "item": after["Item"]._base_manager.using(case.alias).first(), "code": 1}]}
    )
    case.execute('DELETE FROM "shop_old"')
    deployment.contract("Drop table shop_old")


def test_many_to_many_field(case):
    before = State(Tag={"name": NAME}, Item={"name": NAME})
    after = State(Tag={"name": NAME}, Item={"name": NAME, "tags": models.ManyToManyField("shop.Tag")})
    deployment = Deployment(case, before, after, {"Tag": [{"name": "t"}], **ONE})
    deployment.expand("Create table shop_item_tags", later=[])
    deployment.use({"name": "b"}, {"name": "c"})
    deployment.contract()


def test_plain_index_comes_at_once_and_goes_in_the_contract(case):
    old, new = Index(fields=["n"], name="by_n"), Index(fields=["m"], name="by_m")
    fields = {"n": models.IntegerField(default=0), "m": models.IntegerField(default=0)}
    before, after = item(**fields, Meta={"indexes": [old]}), item(**fields, Meta={"indexes": [new]})
    deployment = Deployment(case, before, after, {"Item": [{"n": 1}]})
    deployment.expand("Add index", later=["Drop index"])
    deployment.use({"n": 2}, {"n": 3})
    deployment.contract("Drop index")


def test_index_of_the_name_of_another_waits(case):
    old, new = Index(fields=["n"], name="by_n"), Index(fields=["m"], name="by_n")
    fields = {"n": models.IntegerField(default=0), "m": models.IntegerField(default=0)}
    before, after = item(**fields, Meta={"indexes": [old]}), item(**fields, Meta={"indexes": [new]})
    deployment = Deployment(case, before, after, {"Item": [{"n": 1}]})
    deployment.expand(later=["Add index", "Drop index"])
    deployment.use({"n": 2}, {"n": 3})
    deployment.contract("Add index", "Drop index")


def test_index_of_the_name_of_another_waits_beside_a_rule_that_comes_at_once(case):
    fields = {"n": models.IntegerField(default=0), "m": models.IntegerField(default=0)}
    rule = CheckConstraint(condition=Q(k__gte=0), name="positive")
    before = item(**fields, Meta={"indexes": [Index(fields=["n"], name="by_n")]})
    meta = {"indexes": [Index(fields=["m"], name="by_n")], "constraints": [rule]}
    after = item(**fields, k=models.IntegerField(null=True), Meta=meta)
    deployment = Deployment(case, before, after, {"Item": [{"n": 1}]})
    deployment.expand("Add column", "Add check", later=["Add index", "Drop index"])
    deployment.use({"n": 2}, {"n": 3, "k": 4})
    deployment.contract("Add index", "Drop index")


def test_index_by_hand_of_the_name_of_a_new_one_stays_by_hand_until_the_contract(case):
    fields = {"n": models.IntegerField(default=0), "m": models.IntegerField(default=0)}
    before, after = item(**fields), item(**fields, Meta={"indexes": [Index(fields=["n"], name="by_n")]})
    deployment = Deployment(case, before, after, {"Item": [{"n": 1}]})
    case.execute('CREATE INDEX "by_n" ON "shop_item" ("m")')
    deployment.expand(later=["Add index", "Drop index"])
    case.run(before)
    (index,) = case.introspect(["shop_item"]).tables["shop_item"].indexes
    assert (index.name, index.columns) == ("by_n", ("m",))
    deployment.expand(later=["Add index", "Drop index"])
    deployment.contract("Add index", "Drop index")


@pytest.mark.parametrize("stays", [False, True])
def test_index_of_a_name_of_another_table_waits(case, stays):
    number, meta = {"n": models.IntegerField()}, {"Meta": {"indexes": [Index(fields=["n"], name="by_n")]}}
    before = State(Item=number, Other={**number, **meta})
    after = State(Item={**number, **meta}, **({"Other": number} if stays else {}))
    deployment = Deployment(case, before, after, {"Item": [{"n": 1}]})
    gone = "Drop index" if stays else "Drop table"
    deployment.expand(later=["Add index", gone])
    deployment.contract("Add index", gone)


def test_new_table_with_the_name_of_an_index_that_stays_has_no_expand(case):
    number, meta = {"n": models.IntegerField()}, {"Meta": {"indexes": [Index(fields=["n"], name="by_n")]}}
    before, after = State(Item={**number, **meta}), State(Item=number, New={**number, **meta})
    case.build(before)
    (refused,) = case.plan(after, expand=True).refused
    assert "by_n is the name of an index or constraint of table shop_item that stays" in refused.hazards[0].message
    with pytest.raises(AutomigrateError, match="has no expand"):
        case.run(after, expand=True)


def test_name_that_the_models_give_changes_in_the_contract(case):
    old, new = Index(fields=["n"], name="by_n"), Index(fields=["n"], name="by_number")
    before = item(n=models.IntegerField(), Meta={"indexes": [old]})
    deployment = Deployment(case, before, item(n=models.IntegerField(), Meta={"indexes": [new]}), {"Item": [{"n": 1}]})
    deployment.expand(later=["Rename index"])
    deployment.use({"n": 2}, {"n": 3})
    deployment.contract("Rename index")


def test_unique_over_a_column_that_old_code_writes_waits_though_there_are_duplicates(case):
    deployment = Deployment(case, item(n=models.IntegerField()), item(n=models.IntegerField(unique=True)), {})
    case.insert(deployment.before, {"Item": [{"n": 1}, {"n": 1}]})
    deployment.expand(later=["Add unique"])
    refused = case.plan(deployment.after, contract=True)
    assert [hazard.code for j in refused.refused for hazard in j.hazards] == ["duplicates"]
    deployment.before["Item"]._base_manager.using(case.alias).all().delete()
    deployment.use({"n": 2}, {"n": 3})
    deployment.contract("Add unique")


def test_unique_over_an_empty_new_column_comes_at_once(case):
    deployment = Deployment(case, item(name=NAME), item(name=NAME, n=models.IntegerField(null=True, unique=True)), ONE)
    deployment.expand("Add column shop_item.n", "Add unique", later=[])
    case.insert(deployment.before, {"Item": [{"name": "b"}, {"name": "c"}]})
    case.insert(deployment.after, {"Item": [{"name": "d", "n": 1}]})
    with pytest.raises(IntegrityError), transaction.atomic(using=case.alias):
        case.insert(deployment.after, {"Item": [{"name": "e", "n": 1}]})
    deployment.contract()


def test_unique_over_a_new_column_with_a_constant_waits(case):
    after = item(name=NAME, slug=models.CharField(max_length=9, default="", unique=True))
    deployment = Deployment(case, item(name=NAME), after, {})
    plan = case.plan(after, expand=True)
    assert any(change.describe().startswith("Add unique") for change in plan.postponed)
    case.run(after, expand=True)
    deployment.use({"name": "b"}, {"name": "c", "slug": "x"})


def test_dropped_unique_stays_until_the_contract(case):
    before, after = item(n=models.IntegerField(unique=True)), item(n=models.IntegerField())
    deployment = Deployment(case, before, after, {"Item": [{"n": 1}]})
    deployment.expand(later=["Drop unique"])
    with pytest.raises(IntegrityError), transaction.atomic(using=case.alias):
        case.insert(after, {"Item": [{"n": 1}]})
    deployment.contract("Drop unique")
    case.insert(after, {"Item": [{"n": 1}]})


def test_unique_together_with_a_removed_column_stays_until_the_contract(case):
    fields = {"a": models.IntegerField(), "b": models.IntegerField()}
    before = item(**fields, Meta={"unique_together": [("a", "b")]})
    deployment = Deployment(case, before, item(a=models.IntegerField()), {})
    deployment.expand("Change column shop_item.b: allow NULL", later=["Drop column shop_item.b", "Drop unique"])
    case.insert(deployment.after, {"Item": [{"a": 1}, {"a": 1}]})
    deployment.contract("Drop column shop_item.b", "Drop unique")


def test_checks_over_old_columns_wait_and_dropped_ones_go_at_once(case):
    old = CheckConstraint(condition=Q(n__gt=0), name="positive")
    new = CheckConstraint(condition=Q(n__lt=9), name="small")
    before = item(n=models.IntegerField(), Meta={"constraints": [old]})
    after = item(n=models.IntegerField(), Meta={"constraints": [new]})
    deployment = Deployment(case, before, after, {"Item": [{"n": 1}]})
    deployment.expand("Drop check", later=["Add check"])
    deployment.use({"n": 2}, {"n": -1})
    deployment.contract("Add check")


def test_check_over_new_columns_comes_at_once(case):
    new = CheckConstraint(condition=Q(n__gt=0), name="positive")
    after = item(name=NAME, n=models.IntegerField(null=True), Meta={"constraints": [new]})
    deployment = Deployment(case, item(name=NAME), after, ONE)
    deployment.expand("Add column shop_item.n", "Add check", later=[])
    deployment.use({"name": "b"}, {"name": "c", "n": 1})
    deployment.contract()


def test_foreign_key_of_a_new_column_comes_at_once(case):
    owner = models.ForeignKey("shop.Owner", models.CASCADE, null=True)
    before = State(Owner={"name": NAME}, Item={"name": NAME})
    after = State(Owner={"name": NAME}, Item={"name": NAME, "owner": owner})
    deployment = Deployment(case, before, after, {"Owner": [{"name": "o"}], **ONE})
    plan = case.plan(after, expand=True)
    assert not plan.postponed
    case.run_as_planned(after, expand=True)
    first = after["Owner"]._base_manager.using(case.alias).first()
    deployment.use({"name": "b"}, {"name": "c", "owner": first})
    deployment.contract()


def test_foreign_key_over_an_old_column_waits(case):
    before = State(
        Owner={"name": NAME}, Item={"owner": models.ForeignKey("shop.Owner", models.CASCADE, db_constraint=False)}
    )
    after = State(Owner={"name": NAME}, Item={"owner": models.ForeignKey("shop.Owner", models.CASCADE)})
    deployment = Deployment(case, before, after, {"Owner": [{"name": "o"}]})
    plan = case.plan(after, expand=True)
    assert "Add foreign key" in {change.describe()[:15] for change in plan.postponed}
    case.run(after, expand=True)
    case.run_as_planned(after, contract=True)
    case.assert_settled(after)
    assert deployment.after is after


def test_removed_foreign_key_lets_new_code_delete_what_it_points_at(case):
    before = State(Owner={"name": NAME}, Item={"name": NAME, "owner": models.ForeignKey("shop.Owner", models.CASCADE)})
    after = State(Owner={"name": NAME}, Item={"name": NAME})
    deployment = Deployment(case, before, after, {"Owner": [{"name": "o"}]})
    case.insert(before, {"Item": [{"name": "a", "owner": before["Owner"]._base_manager.using(case.alias).get()}]})
    case.run(after, expand=True)
    after["Owner"]._base_manager.using(case.alias).get().delete(using=case.alias)
    case.insert(after, {"Item": [{"name": "b"}]})
    case.run(after, contract=True, accept_data_loss=True)
    case.assert_settled(after)
    del deployment


def test_generated_column_comes_at_once(case):
    total = GeneratedField(expression=F("n") + 1, output_field=models.IntegerField(), db_persist=True)
    before, after = item(n=models.IntegerField()), item(n=models.IntegerField(), total=total)
    deployment = Deployment(case, before, after, {"Item": [{"n": 1}]})
    deployment.expand("Add column shop_item.total", later=[])
    case.insert(before, {"Item": [{"n": 5}]})
    assert case.values("shop_item", "total") == [(2,), (6,)]
    deployment.contract()


def test_changed_database_default_waits_and_a_new_one_comes_at_once(case):
    before = item(a=models.IntegerField(db_default=1), b=models.IntegerField(), c=models.IntegerField(db_default=1))
    after = item(a=models.IntegerField(db_default=2), b=models.IntegerField(db_default=2), c=models.IntegerField())
    deployment = Deployment(case, before, after, {"Item": [{"b": 1}]})
    later = ["Change column shop_item.a: default", "Change column shop_item.c: default"]
    deployment.expand("Change column shop_item.b: default", later=later)
    case.insert(before, {"Item": [{"b": 1}]})
    case.insert(after, {"Item": [{"c": 1}]})
    deployment.contract(*later)


@pytest.mark.parametrize(
    ("before", "after", "options", "words"),
    [
        (item(a=NAME), item(b=NAME), {"renames": {"shop.Item.a": "b"}}, "Rename column shop_item.a to b has no expand"),
        (State(Old={"a": NAME}), State(New={"a": NAME}), {"renames": {"shop.Old": "New"}}, "Rename table shop_old"),
    ],
    ids=["column", "table"],
)
def test_renames_are_refused(case, before, after, options, words):
    case.build(before)
    plan = make_plan(using=case.alias, apps=after.apps, expand=True, **options)
    assert {hazard.code for j in plan.refused for hazard in j.hazards} == {"no-expand"}
    assert any(words in hazard.message for j in plan.refused for hazard in j.hazards)
    with pytest.raises(AutomigrateError, match="has no expand"):
        autoupdate(using=case.alias, apps=after.apps, expand=True, **options)


def test_what_has_no_expand_is_not_left_by_one(case):
    number = models.IntegerField(default=3)
    deployment = Deployment(case, item(name=NAME), item(name=NAME, n=number), ONE)
    deployment.expand("Add column shop_item.n", later=["Change column shop_item.n"])
    assert case.plan(deployment.after).expanded
    renamed = case.plan(item(title=NAME, n=number), renames={"shop.Item.name": "title"})
    assert renamed.changes and not renamed.expanded


def test_what_looks_like_a_rename_is_an_addition_beside_the_old(case):
    before, after = item(title=NAME), item(titel=models.CharField(max_length=10, blank=True))
    case.build(before)
    case.insert(before, {"Item": [{"title": "a"}]})
    plan = case.run(after, expand=True)
    assert not plan.likely_renames
    assert any("shop.Item.title looks as if it was renamed to titel" in note for note in plan.notes)
    assert case.values("shop_item", "title", "titel") == [("a", "")]


def test_two_databases_options_that_contradict_an_expand_are_one_error(case):
    state = item(a=NAME)
    for beside in ("contract", "prune", "accept_data_loss", "record_migrations"):
        with pytest.raises(AutomigrateError, match=f"^expand and {beside}: .* Nothing was done.$"):
            autoupdate(using=case.alias, apps=state.apps, expand=True, **{beside: True})


def test_contract_without_an_expand_does_the_whole_difference_and_says_so(case):
    before, after = (
        item(name=NAME, old=models.IntegerField(null=True)),
        item(name=NAME, new=models.IntegerField(null=True)),
    )
    case.build(before)
    assert not case.plan(after).expanded
    plan = case.run(after, contract=True)
    assert len(plan.changes) == 2
    assert any("was not expanded first: --expand would make 1 change" in note for note in plan.notes)
    case.assert_settled(after)


def test_what_is_only_for_the_contract_is_listed_by_a_run_that_does_nothing(case):
    before, after = item(name=NAME, old=models.IntegerField(null=True)), item(name=NAME)
    case.build(before)
    plan = case.run(after, expand=True)
    assert not plan and described(plan.postponed) == ["Drop column shop_item.old"]
    assert "nothing to expand; 1 change for the contract" in str(plan)
    assert case.run(after, expand=True).remaining == 1
    assert case.plan(after).expanded


def test_server_numbers_rows_at_once_where_new_code_leaves_that_to_it(case):
    before = item(id=models.BigIntegerField(primary_key=True), name=NAME)
    after = item(id=models.BigAutoField(primary_key=True), name=NAME)
    case.build(before)
    case.insert(before, {"Item": [{"id": 4, "name": "a"}]})
    case.run(after, expand=True)
    case.insert(before, {"Item": [{"id": 9, "name": "b"}]})
    case.insert(after, {"Item": [{"name": "c"}]})
    case.run(after, contract=True)
    case.assert_settled(after)


def test_what_an_expand_leaves_of_an_app_with_the_name_of_one_is_no_match(case):
    app = {"app_label": "expand"}
    before, after = item(name=NAME, Meta=app), item(name=NAME, n=models.IntegerField(default=3), Meta=app)
    case.build(before)
    case.insert(before, ONE)
    case.run(after, expand=True)
    assert not is_actual("expand", using=case.alias, apps=after.apps)
    assert autoupdate("expand", using=case.alias, apps=after.apps)


def test_models_that_change_again_after_an_expand_are_expanded_again(case):
    before = item(name=NAME, old=models.IntegerField(null=True))
    after, further = item(name=NAME), item(name=NAME, n=models.IntegerField(default=1))
    case.build(before)
    case.run(after, expand=True)
    assert case.plan(after).expanded
    assert not case.plan(further).expanded
    case.run(further, expand=True)
    assert case.plan(further).expanded
    case.run(further)
    case.assert_settled(further)


def test_unique_constraint_with_a_condition_over_new_columns(case):
    rule = UniqueConstraint(fields=["n"], condition=Q(n__gt=0), name="one_n")
    after = item(name=NAME, n=models.IntegerField(null=True), Meta={"constraints": [rule]})
    if not case.connection.features.supports_partial_indexes:
        pytest.skip("no partial indexes")
    deployment = Deployment(case, item(name=NAME), after, ONE)
    deployment.expand("Add column shop_item.n", "Add unique", later=[])
    deployment.use({"name": "b"}, {"name": "c", "n": -1})
    deployment.contract()


def test_two_versions_that_expand_in_turn_take_nothing_from_each_other(case):
    before = item(name=NAME, old=models.IntegerField())
    after = item(name=NAME, n=models.IntegerField(default=3), m=models.IntegerField(null=True))
    case.build(before)
    case.insert(before, {"Item": [{"name": "a", "old": 1}]})
    case.run(after, expand=True)
    columns = {column.name for column in case.introspect(["shop_item"]).tables["shop_item"].columns}
    for state in (before, after, before, after):
        assert not case.run(state, expand=True)
        assert {column.name for column in case.introspect(["shop_item"]).tables["shop_item"].columns} == columns
    case.insert(before, {"Item": [{"name": "b", "old": 2}]})
    case.run(after, contract=True, accept_data_loss=True)
    case.assert_settled(after)


def test_both_steps_online(postgresql):
    need(postgresql, "vendor's own")
    case = Case(postgresql, "automigrate")
    owner = models.ForeignKey("shop.Owner", models.CASCADE, null=True)
    fields = {"name": NAME, "n": models.IntegerField(null=True), "old": models.IntegerField()}
    before = State(Owner={"name": NAME}, Item=fields)
    after = State(
        Owner={"name": NAME},
        Item={
            "name": models.CharField(max_length=20, db_index=True),
            "n": models.IntegerField(default=1),
            "owner": owner,
            "size": models.IntegerField(default=3),
            "token": models.UUIDField(default=uuid.uuid4, unique=True),
            "at": models.DateTimeField(auto_now_add=True),
        },
    )
    case.build(before)
    case.insert(before, {"Item": [{"name": "a", "old": 1}, {"name": "b", "old": 2}]})
    plan = case.plan(after, expand=True, online=True)
    assert any("CREATE INDEX CONCURRENTLY" in statement for statement in plan.statements)
    case.run_as_planned(after, expand=True, online=True)
    assert not case.plan(after, expand=True)
    case.insert(before, {"Item": [{"name": "c", "old": 3}]})
    case.insert(after, {"Item": [{"name": "d"}]})
    assert case.plan(after).expanded
    case.run_as_planned(after, contract=True, online=True, accept_data_loss=True)
    case.assert_settled(after)
    assert len(set(case.values("shop_item", "token"))) == 4


def test_online_expand_that_ends_before_rows_have_their_values_is_gone_on_with(postgresql):
    need(postgresql, "vendor's own")
    case = Case(postgresql, "automigrate")
    before, after = item(name=NAME), item(name=NAME, token=models.UUIDField(default=uuid.uuid4, unique=True))
    case.build(before)
    case.insert(before, {"Item": [{"name": "a"}, {"name": "b"}]})

    def stop(execute, sql, params, many, context):
        if "UPDATE" in sql and "token" in sql:
            raise KeyboardInterrupt
        return execute(sql, params, many, context)

    with postgresql.execute_wrapper(stop), pytest.raises(KeyboardInterrupt):
        case.run(after, expand=True, online=True)
    assert len(case.values("shop_item", "token")) == 2
    case.insert(before, {"Item": [{"name": "c"}]})
    assert described(case.plan(after, expand=True).changes) == ["Fill column shop_item.token"]
    case.run_as_planned(after, expand=True)
    assert len(set(case.values("shop_item", "token")) - {(None,)}) == 3
    assert not case.plan(after, expand=True)
    case.run_as_planned(after, contract=True)
    case.assert_settled(after)


def test_deployment_that_is_called_off_asks_for_the_values_that_new_code_did_not_write(case):
    before = item(name=NAME, old=models.IntegerField())
    deployment = Deployment(case, before, item(name=NAME), {"Item": [{"name": "a", "old": 1}]})
    deployment.expand("Change column shop_item.old: allow NULL", later=["Drop column shop_item.old"])
    case.insert(deployment.after, {"Item": [{"name": "b"}]})
    (refused,) = case.plan(before).refused
    assert "--default shop.Item.old=VALUE" in str(refused.hazards[0])
    case.run(before, defaults={"shop.Item.old": 0})
    assert case.values("shop_item", "old") == [(0,), (1,)]
