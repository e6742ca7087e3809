"""Plans saved as JSON: reading them, and comparing them with what a run would do now. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from automigrate_ext.exceptions import UnusablePlan
from automigrate_ext.plan.plan import VERSION, Plan, Plans, Request, Verdict

#: The placeholder in a statement for a value that differs each time the statement is planned.
ANYTHING = "\ue000"
#: The number of characters of a statement that an error shows.
LONGEST_STATEMENT = 200

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedChange:
    """One change of a saved plan; only the codes of its hazards count, since rows may come and go."""

    table: str
    kind: str
    description: str
    verdict: str
    hazards: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(filter(None, (f"{self.description} ({self.verdict}", *self.hazards))) + ")"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """The parts of a plan's JSON that decide whether the plan still holds."""

    alias: str
    vendor: str
    digest: str
    request: Request
    changes: tuple[SavedChange, ...]
    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A statement planned now, or with `each_row` any number of statements that give each row its own value."""

    sql: str
    each_row: str = ""

    def covers(self, saved: str) -> bool:
        """Return whether a saved statement is one of those for each row, or the one that represents them all."""
        return saved == self.sql or is_same(saved, self.each_row)


# Reading


def read_plan(plan: Plan | Mapping[str, Any] | str) -> SavedPlan:
    """Read a plan from its JSON. Raises `UnusablePlan` where it is not a plan of `autoupdate` that can be run."""
    values = plan.as_dict() if isinstance(plan, Plan) else plan
    values = parse(values) if isinstance(values, str) else values
    if is_several(values):
        raise UnusablePlan("These are the plans of several databases: run_plans takes them.")
    return read_values(values)


def read_plans(plans: Plans | Mapping[str, Any] | str) -> dict[str, SavedPlan]:
    """Read the plans of several databases, by alias; those that do nothing are among them.

    Raises `UnusablePlan` where one of them cannot be run.
    """
    values = plans.as_dict() if isinstance(plans, Plans) else plans
    values = parse(values) if isinstance(values, str) else values
    if not is_several(values):
        raise UnusablePlan("This is not what --format json prints for several databases.")
    forbid_other_version(values)
    saved: dict[str, SavedPlan] = {}
    for entry in take_all(values, "databases", dict):
        try:
            plan = read_values(entry)
        except UnusablePlan as error:
            raise UnusablePlan(f"Database {entry.get('database')!r}: {error}") from error
        if plan.alias in saved:
            raise UnusablePlan(f"The database {plan.alias!r} has two plans.")
        saved[plan.alias] = plan
    return saved


def is_several(values: Any) -> bool:
    """Return whether these are the values of plans for several databases."""
    return isinstance(values, dict) and "databases" in values


def read_values(values: Any) -> SavedPlan:
    """Read a plan from its plain values. Raises `UnusablePlan`."""
    if isinstance(values, dict) and "error" in values and "version" not in values:
        raise UnusablePlan(f"It failed when the plan was made: {values['error']} Make it again.")
    if not isinstance(values, dict) or "version" not in values:
        raise UnusablePlan("This is no plan: make one with autoupdate --dry-run --format json.")
    forbid_other_version(values)
    saved = SavedPlan(
        alias=take(values, "database", str),
        vendor=take(values, "vendor", str),
        digest=take(values, "digest", str),
        request=read_request(take(values, "request", dict)),
        changes=tuple(read_change(change) for change in take_all(values, "changes", dict)),
        statements=tuple(take_all(values, "statements", str)),
    )
    forbid_useless(saved)
    return saved


def forbid_other_version(values: Mapping[str, Any]) -> None:
    """Raise `UnusablePlan` for JSON of a version that this release does not read."""
    version = values.get("version")
    if version != VERSION:
        raise UnusablePlan(f"The plan has version {version!r} and this release reads version {VERSION}. Make it again.")


def parse(text: str) -> Any:
    """Return the values in a text of JSON. Raises `UnusablePlan` where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnusablePlan(f"The plan is not JSON: {error}.") from error


def take(values: Mapping[str, Any], key: str, kind: type[T]) -> T:
    """Return the value of a key. Raises `UnusablePlan` where it is missing or not of the kind."""
    if key not in values:
        raise UnusablePlan(f"The plan lacks {key!r}, so it is not one that --format json printed. Make it again.")
    value = values[key]
    if not isinstance(value, kind):
        raise UnusablePlan(f"The plan has {value!r} as its {key!r}, so --format json did not print it. Make it again.")
    return value


def take_all(values: Mapping[str, Any], key: str, kind: type[T]) -> list[T]:
    """Return the values of a key that has a list of one kind."""
    return [take({key: value}, key, kind) for value in take(values, key, list)]


def read_request(values: Mapping[str, Any]) -> Request:
    """Read the request for which the plan was made."""
    renames = take(values, "renames", dict)
    return Request(
        command=take(values, "command", str),
        models=None if values.get("models", ()) is None else tuple(take_all(values, "models", str)),
        renames={old: take({"renames": new}, "renames", str) for old, new in renames.items()},
        defaults=take(values, "defaults", dict),
        accept_data_loss=take(values, "accept_data_loss", bool),
        prune=take(values, "prune", bool),
        cascade=take(values, "cascade", bool),
        expand=take({"expand": False, **values}, "expand", bool),
        contract=take({"contract": False, **values}, "contract", bool),
        online=take({"online": False, **values}, "online", bool),
        rewrite_limit=values.get("rewrite_limit"),
    )


def read_change(values: Mapping[str, Any]) -> SavedChange:
    """Read one change of a plan."""
    return SavedChange(
        table=take(values, "table", str),
        kind=take(values, "change", str),
        description=take(values, "description", str),
        verdict=take(values, "verdict", str),
        hazards=tuple(sorted({take(hazard, "code", str) for hazard in take_all(values, "hazards", dict)})),
    )


def forbid_useless(saved: SavedPlan) -> None:
    """Raise `UnusablePlan` for a plan of another command, or one that was refused."""
    if saved.request.command != "autoupdate":
        raise UnusablePlan(f"The plan is one of {saved.request.command}; only plans of autoupdate can be run.")
    refused = [change.description for change in saved.changes if change.verdict == Verdict.REFUSE]
    if refused:
        raise UnusablePlan(f"The plan was refused when it was made: {'; '.join(refused)}. Make it again.")


# Comparing


def forbid_outdated(saved: SavedPlan, plan: Plan, expected: Sequence[Expected]) -> None:
    """Raise `UnusablePlan` with all differences between a saved plan and the one made now.

    `expected` are the statements of the latter, with `ANYTHING` in the place of each value that differs whenever the
    statement is planned.
    """
    found = list(differences(saved, plan)) or list(other_statements(saved.statements, expected))
    if found:
        raise UnusablePlan(
            f"The plan no longer holds: {'; '.join(found)}. Nothing was done; make it again with autoupdate --dry-run "
            f"--format json."
        )


def differences(saved: SavedPlan, plan: Plan) -> Iterator[str]:
    """Yield the differences between a saved plan and one made now, except in statements."""
    if saved.vendor != plan.vendor:
        yield f"it was made for {saved.vendor}, and the database {plan.alias!r} is {plan.vendor}"
        return
    if saved.digest != plan.digest:
        yield "the tables are others than those that it was made for"
    now = tuple(read_change(change) for change in plan.as_dict()["changes"])
    gone = [change for change in saved.changes if change not in now]
    new = [change for change in now if change not in saved.changes]
    yield from (f"no longer: {change}" for change in gone)
    yield from (f"new: {change}" for change in new)
    if not gone and not new and saved.changes != now:
        yield "the changes come in another order"


def other_statements(saved: Sequence[str], expected: Sequence[Expected]) -> Iterator[str]:
    """Yield the first statement that differs now, if any does."""
    number = 0
    for statement in expected:
        if statement.each_row:
            while number < len(saved) and statement.covers(saved[number]):
                number += 1
        elif number < len(saved) and is_same(saved[number], statement.sql):
            number += 1
        else:
            now = shortened(statement.sql.replace(ANYTHING, "..."))
            yield f"statement {number + 1} {was(saved, number)} and is {now!r}"
            return
    if number < len(saved):
        yield f"statement {number + 1} {was(saved, number)} and would not run now"


def was(saved: Sequence[str], number: int) -> str:
    return f"was {shortened(saved[number])!r}" if number < len(saved) else "was not in it"


def is_same(saved: str, expected: str) -> bool:
    """Return whether a saved statement equals one made now, with any text in the places of `ANYTHING`."""
    pattern = ".*".join(re.escape(part) for part in expected.split(ANYTHING))
    return re.fullmatch(pattern, saved, re.DOTALL) is not None


def shortened(sql: str) -> str:
    return sql if len(sql) <= LONGEST_STATEMENT else f"{sql[:LONGEST_STATEMENT]}..."
