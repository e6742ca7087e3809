"""The databases that do not match the models, each with its plan and the questions of the plan."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.utils import Error

from automigrate_ext.api import carry_out, make_plan, select_all
from automigrate_ext.declared.selection import Selection
from automigrate_ext.exceptions import AutomigrateError, UnsupportedDatabase, UnusablePlan
from automigrate_ext.run.one import is_one_actual
from automigrate_ext.run.options import Options
from automigrate_ext.run.several import set_aside, why_left_alone

if TYPE_CHECKING:
    from automigrate_ext.plan.plan import MissingValue, Plan

#: Seconds that a query to the rows may take while somebody waits for the page.
COUNT_TIMEOUT = 10.0
#: Seconds to wait for another run, and for sessions that use the tables, when a plan is applied.
PATIENCE = 10.0

logger = logging.getLogger("automigrate_ext")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A person's answers about one database: what was renamed, what was not, and values for rows without one."""

    renames: Mapping[str, str] = field(default_factory=dict)
    declined: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameQuestion:
    """A field, model, table or column that disappears, and the new names that it may have, the likeliest first."""

    old: str
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A database that does not match the models.

    `plan` is what would be done, and `losing` what would be done if data might be lost, where that is more. Where the
    two cannot be compared there is no plan. `error` is why they cannot, or what is wrong with the answers in `reply`;
    `faults` are what is wrong with values in it, by the labels of their fields.
    """

    alias: str
    plan: Plan | None = None
    losing: Plan | None = None
    error: str = ""
    reply: Reply = field(default_factory=Reply)
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def renames(self) -> tuple[RenameQuestion, ...]:
        """The likely renames that nobody has answered."""
        likely = self.plan.likely_renames if self.plan else ()
        olds = dict.fromkeys(pair.old for pair in likely if pair.old not in self.reply.declined)
        return tuple(RenameQuestion(old=old, new=tuple(pair.new for pair in likely if pair.old == old)) for old in olds)

    @property
    def values(self) -> tuple[MissingValue, ...]:
        """The values that rows still lack, once no rename is left to answer; with what is wrong with those given."""
        if self.plan is None or self.renames:
            return ()
        given = self.reply.defaults
        return tuple(
            evolve(missing, fault=self.faults.get(missing.field) or (missing.fault if missing.field in given else ""))
            for missing in self.plan.missing_values
        )

    @property
    def fingerprint(self) -> tuple[object, ...]:
        """A value that changes when something else differs."""
        if self.plan is None:
            return self.alias, self.error
        return self.alias, self.plan.digest, *((j.change.describe(), j.verdict) for j in self.plan.judgements)


def find_mismatches(replies: Mapping[str, Reply] | None = None) -> tuple[Mismatch, ...]:
    """Return the databases that do not match the models; `replies` are the answers about them by alias."""
    return tuple(
        mismatch for selection in selections() if (mismatch := find_mismatch(selection, replies or {})) is not None
    )


def selections() -> Iterator[Selection]:
    """Yield the models of each database, but of none that `--all-databases` leaves alone by the settings."""
    aside = set_aside()
    yield from select_all(None, [alias for alias in connections if alias not in aside]).values()


def find_mismatch(selection: Selection, replies: Mapping[str, Reply]) -> Mismatch | None:
    """Return how one database differs from the models, or None where it matches.

    A database that cannot be reached, or of a kind that is not supported, is passed over: the request may not need it.
    """
    reply = replies.get(selection.alias, Reply())
    try:
        if why_left_alone(selection) or is_one_actual(selection):
            return None
        return plan_mismatch(selection, reply)
    except UnsupportedDatabase:
        return None
    except AutomigrateError as error:
        return Mismatch(alias=selection.alias, error=str(error), reply=reply)
    except Error as error:
        logger.warning("Database %r cannot be compared with the models: %s", selection.alias, error)
        return None


def plan_mismatch(selection: Selection, reply: Reply) -> Mismatch | None:
    """Return the plans for a database that differs. Raises `AutomigrateError` where it cannot be compared at all."""
    faults = faults_in(reply)
    sound = evolve(reply, defaults={field: value for field, value in reply.defaults.items() if field not in faults})
    try:
        plan = make_plan_with(selection, sound)
    except AutomigrateError as error:
        if reply == Reply():
            raise
        # Something is wrong with the answers: the page asks for them again.
        return Mismatch(alias=selection.alias, plan=make_plan_with(selection, Reply()), error=str(error), reply=reply)
    if not plan:
        return None
    losing = make_plan_with(selection, sound, accept_data_loss=True) if plan.withheld or plan.refused else None
    if losing and (losing.refused or losing.changes == plan.changes):
        losing = None
    return Mismatch(alias=selection.alias, plan=plan, losing=losing, reply=reply, faults=faults)


def faults_in(reply: Reply) -> dict[str, str]:
    """Return why fields do not take the values in a reply, by their labels."""
    if not reply.defaults:
        return {}
    # Each reload of a server loads this module, and mostly nothing differs.
    from automigrate_ext.run.questions import fault_of

    return {label: fault for label, text in reply.defaults.items() if (fault := fault_of(label, text))}


def make_plan_with(selection: Selection, reply: Reply, *, accept_data_loss: bool = False) -> Plan:
    """Return the plan that follows from the answers."""
    return make_plan(
        selection,
        using=selection.alias,
        renames=reply.renames,
        defaults=reply.defaults,
        accept_data_loss=accept_data_loss,
        count_timeout=COUNT_TIMEOUT,
    )


def apply_plan(values: Mapping[str, Any]) -> Plan:
    """Run a plan that was shown, given as its plain values, if it still holds; return it.

    Raises `UnusablePlan` where it does not, and what `autoupdate` raises.
    """
    # As in `faults_in`.
    from automigrate_ext.plan.saved import read_plan

    saved = read_plan(values)
    selection = next((each for each in selections() if each.alias == saved.alias), None)
    if selection is None:
        raise UnusablePlan(f"The plan was made for the database {saved.alias!r}, with which nothing is to be done now.")
    options = Options(count_timeout=COUNT_TIMEOUT, lock_wait=PATIENCE, lock_timeout=PATIENCE, origin="pending page")
    return carry_out(saved, selection, options)
