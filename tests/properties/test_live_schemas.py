"""Live tables that SQL has changed: a plan reports the change, or it survives every change of another thing."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.db.utils import DatabaseError
from hypothesis import event, given, note, settings
from hypothesis import strategies as st

from automigrate_ext import AutomigrateError, Plan, Refused
from automigrate_ext.declared.selection import select
from automigrate_ext.run.options import Options
from automigrate_ext.run.standing import Standing
from automigrate_ext.schema.changes import AlterColumn
from tests.acceptance.helper import Case, State, fingerprint
from tests.properties import catalogs, live, walk
from tests.properties.mutations import KEPT, MUTATIONS, SEEN, USER, Impossible, Mutation

LIMITS = Path(__file__).parents[2] / "docs" / "limits.md"
#: The number of examples of the default profile.
FEW = 12
#: The columns of the table in docs/limits.md that names what is not compared.
COLUMNS = ("sqlite", "postgresql", "mariadb")
CASES = [
    pytest.param(name, mutation, id=f"{name}-{mutation.name}") for name, all_ in MUTATIONS.items() for mutation in all_
]


def begin(request, name: str) -> Case:
    """Return a case with the models' tables and rows."""
    case = Case(request.getfixturevalue(name), "automigrate")
    request.addfinalizer(lambda: forget_user(case))
    state = live.state(vendor=case.vendor)
    case.build(state)
    assert standing_of(case, state).find(), "the tables are not as the run has recorded them"
    case.insert(state, live.ROWS)
    return case


def standing_of(case: Case, state: State) -> Standing:
    return Standing(select(None, case.alias, state.apps), Options())


def forget_user(case: Case) -> None:
    """Drop the user to whom a mutation has granted something, with what was granted."""
    if case.vendor == "mysql":
        case.execute(f"DROP USER IF EXISTS {USER}")


def mutate(case: Case, mutations: Iterable[Mutation]) -> catalogs.Facts:
    """Change the live tables, and return the facts that are others then."""
    before = catalogs.read(case)
    for mutation in mutations:
        if not mutation.needs(case.connection):
            pytest.skip("this version of the server has nothing of the kind")
        mutation.apply(case)
    return catalogs.changed(before, catalogs.read(case))


def verdict(case: Case) -> str:
    """Return whether a plan reports a change, lists something as made by hand, or neither."""
    state = live.state(vendor=case.vendor)
    plan = case.plan(state)
    assert case.plan_by_fingerprint(state) == plan
    assert case.agrees(state, bool(plan)) or plan.withheld
    if plan.judgements:
        return SEEN
    return KEPT if plan.foreign else ""


@pytest.mark.parametrize(("name", "mutation"), CASES)
def test_mutation(request, name, mutation):
    case = begin(request, name)
    facts = mutate(case, [mutation])
    found = verdict(case)
    if mutation.verdict == SEEN:
        assert found == SEEN
        put_right(case)
    else:
        assert facts, "the mutation changed nothing that the catalog has"
        assert found == (KEPT if mutation.verdict == KEPT else "")
        carry_on(case, facts, but=mutation.but, changes=[c for c in live.CHANGES if c not in mutation.without])


def put_right(case: Case) -> None:
    """Have a run undo the mutation, or refuse it and leave no trace."""
    state = live.state(vendor=case.vendor)
    kept = case.survivors(state)
    trace = fingerprint(case.connection)
    try:
        plan = case.run(state)
    except Refused as refusal:
        assert refusal.plan.refused
        assert fingerprint(case.connection) == trace
        return
    case.assert_survived(kept, plan, set(retyped(plan)))
    case.assert_settled(state, exact=not plan.withheld and not plan.foreign)


def retyped(plan: Plan) -> Iterator[str]:
    """Yield the columns whose values read otherwise after the plan: computed anew, or of another family of types."""
    for change in plan.changes:
        if isinstance(change, AlterColumn) and (change.regenerates or change.retypes):
            yield f"{change.table}.{change.new.name}"


def carry_on(case: Case, facts: catalogs.Facts, *, but: Iterable[str], changes: Iterable[str]) -> None:
    """Change other things of the same tables, and find the facts and the rows again."""
    before, after = live.state(vendor=case.vendor), live.state(*changes, vendor=case.vendor)
    kept = case.survivors(before)
    renames = {f"shop.{name}.former": "later" for name in live.TABLES.values()}
    plan = case.plan(after, renames=renames)
    assert not plan.refused, [str(hazard) for judgement in plan.refused for hazard in judgement.hazards]
    assert case.run_as_planned(after, renames=renames).statements
    case.assert_survived(kept, plan, set())
    assert_kept(facts, catalogs.read(case), but=set(but))
    case.assert_settled(after, exact=False)


def test_documentation_names_what_is_not_compared():
    named: dict[str, set[str]] = {name: set() for name in COLUMNS}
    table = LIMITS.read_text().partition("| not compared |")[2].partition("\n\n")[0]
    for row in table.splitlines()[2:]:
        topic, *marks = (cell.strip() for cell in row.strip().strip("|").split("|"))
        for name, mark in zip(COLUMNS, marks, strict=True):
            if mark == "yes":
                named[name].add(topic)
    found = {name: {m.verdict for m in MUTATIONS[name]} - {SEEN, KEPT} for name in COLUMNS}
    assert named == found


# Several mutations, and any change of the models


@pytest.fixture(params=MUTATIONS)
def case(request):
    case = Case(request.getfixturevalue(request.param), "automigrate")
    yield case
    forget_user(case)


@given(data=st.data())
def test_mutations_together(case, data):
    name = "mariadb" if case.vendor == "mysql" else case.vendor
    possible = [mutation for mutation in MUTATIONS[name] if mutation.needs(case.connection)]
    chosen = data.draw(st.lists(st.sampled_from(possible), min_size=2, max_size=4, unique_by=lambda m: m.name))
    changes = data.draw(st.lists(st.sampled_from(sorted(live.CHANGES)), unique=True), "changes")
    others = data.draw(st.lists(st.sampled_from(sorted(live.OTHERS)), max_size=3, unique=True), "others")
    note(f"mutations: {[mutation.name for mutation in chosen]}")
    walk.reset(case)
    before = live.state(vendor=case.vendor)
    case.build(before)
    case.insert(before, live.ROWS)
    facts = mutate_as_far_as_possible(case, chosen)
    fields = {field: kind for other in others for field, kind in live.OTHERS[other].items()}
    renames = {f"shop.{model}.former": "later" for model in live.TABLES.values() if "renamed" in changes}
    after = live.state(*changes, vendor=case.vendor, **fields)
    columns = {after["Item"]._meta.get_field(field).column for field in fields}
    plan = agree(case, after, renames=renames)
    if plan is not None:
        # What a plan changes besides is the mutations' that it saw.
        columns |= {change.new.name for change in plan.changes if isinstance(change, AlterColumn)}
        assert_kept(about_others(facts, columns, plan), catalogs.read(case), but={"indisvalid"})


def mutate_as_far_as_possible(case: Case, mutations: Iterable[Mutation]) -> catalogs.Facts:
    """Change the live tables in ways that may exclude each other, and return the facts that no plan is to change."""
    facts: catalogs.Facts = {}
    for mutation in mutations:
        before = catalogs.read(case)
        try:
            mutation.apply(case)
        except (DatabaseError, Impossible) as error:
            note(f"{mutation.name}: {error}")
            return {}
        found = catalogs.changed(before, catalogs.read(case))
        facts = {fact: value for fact, value in facts.items() if fact not in found}
        if mutation.verdict != SEEN:
            facts |= {fact: value for fact, value in found.items() if fact[2] not in mutation.but}
    return facts


def agree(case: Case, after: State, **options: Any) -> Plan | None:
    """Run what a plan found acceptable and check all that a run promises; None where it was refused, untouched."""
    kept = case.survivors(after)
    trace = fingerprint(case.connection)
    try:
        plan = case.plan(after, **options)
    except AutomigrateError as error:
        event(f"not planned: {type(error).__name__}")
        with pytest.raises(type(error)):
            case.run(after, **options)
        assert fingerprint(case.connection) == trace
        return None
    if plan.refused:
        event("refused")
        with pytest.raises(Refused):
            case.run(after, **options)
        assert fingerprint(case.connection) == trace
        return None
    event("done")
    note(plan.sql())
    case.run_as_planned(after, **options)
    case.assert_survived(kept, plan, {*retyped(plan), "shop_item.former", "shop_log.former"})
    case.assert_settled(after, exact=False)
    return plan


#: What a statement that makes an index has no place for.
BESIDES = {"comment", "attstattarget", "indisclustered", "indisreplident"}


def about_others(facts: catalogs.Facts, columns: set[str], plan: Plan) -> catalogs.Facts:
    """Return the facts about things that the plan has not changed."""
    named = {getattr(getattr(change, "old", None), "name", "") for change in plan.changes} | columns
    # What PostgreSQL knows of an index besides its definition goes where the index is made again; see docs/limits.md.
    made = [statement for statement in plan.statements if statement.startswith(("CREATE INDEX", "CREATE UNIQUE INDEX"))]
    return {
        (catalog, thing, attribute): value
        for (catalog, thing, attribute), value in facts.items()
        if attribute not in ("type", "collation", "after")
        and not (catalog == "text" and columns)
        and not any(name and name in thing for name in named)
        and not (attribute == "stxstattarget" and any(" TYPE " in statement for statement in plan.statements))
        and not (attribute in BESIDES and any(thing.split(".")[0] in statement for statement in made))
    }


def without_casts(value: Any) -> Any:
    """Return a definition without the casts that depend on the types of the columns."""
    return re.sub(r"::[a-z ]+|[()\s]", "", value) if isinstance(value, str) else value


def assert_kept(facts: catalogs.Facts, now: catalogs.Facts, *, but: set[str]) -> None:
    """Assert that the facts are what they were, but for those about columns that the models changed."""
    lost = {}
    for (catalog, thing, attribute), value in facts.items():
        is_bystander = thing.split(".")[-1] in live.BYSTANDERS or (attribute == "after" and value in live.BYSTANDERS)
        found = now.get((catalog, thing, attribute))
        if without_casts(found) != without_casts(value) and attribute not in but and not is_bystander:
            lost[catalog, thing, attribute] = f"was {value!r}, is {found!r}"
    assert not lost


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_attribute_of_the_catalog_is_mutated(request, name):
    """Of PostgreSQL each time; a statement of the others commits, so that each mutation takes a database of its own."""
    if name != "postgresql" and settings().max_examples <= FEW:
        pytest.skip("with HYPOTHESIS_PROFILE=thorough")
    case = begin(request, name)
    seen: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    times: Counter[tuple[str, str]] = Counter()

    def look() -> None:
        facts = catalogs.read(case)
        things = {(catalog, thing) for catalog, thing, _ in facts}
        times.update((catalog, "") for catalog, _ in things)
        for (catalog, _, attribute), value in facts.items():
            seen[catalog, attribute].add(repr(value))
            times[catalog, attribute] += 1

    look()
    for mutation in MUTATIONS[name]:
        if not mutation.needs(case.connection):
            continue
        if name == "postgresql":
            with transaction.atomic(using=case.alias):
                mutation.apply(case)
                look()
                transaction.set_rollback(True, using=case.alias)
        else:
            mutation.apply(case)
            look()
            walk.reset(case)
            case.build(live.state(vendor=case.vendor))
            case.insert(live.state(vendor=case.vendor), live.ROWS)
    always = {
        (catalog, attribute)
        for (catalog, attribute), values in seen.items()
        if len(values) == 1 and times[catalog, attribute] == times[catalog, ""] and attribute != "there"
    }
    assert always == set(catalogs.UNREACHED[name]), f"not mutated: {sorted(always ^ set(catalogs.UNREACHED[name]))}"
