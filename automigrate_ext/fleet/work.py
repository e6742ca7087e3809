"""The work on targets: each by a run of its own, or by the recipe that the first of its shape left."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from dataclasses import replace as evolve
from datetime import UTC, datetime
from typing import Any

from django.db import connections, transaction
from django.db.utils import DatabaseError

from automigrate_ext import conf, signals
from automigrate_ext.backends import backend_for
from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.fingerprint import HISTORY
from automigrate_ext.exceptions import Refused
from automigrate_ext.fleet.looks import FAULTS, Family, Looks, family_key
from automigrate_ext.fleet.places import at, quoted
from automigrate_ext.fleet.recipe import LeadUpdate, Recipe
from automigrate_ext.fleet.report import Outcome, Status
from automigrate_ext.fleet.targets import Target
from automigrate_ext.plan.plan import Plan
from automigrate_ext.run.history import repeated
from automigrate_ext.run.one import rebuild_one, rows_of
from automigrate_ext.run.options import Options
from automigrate_ext.run.record import Record
from automigrate_ext.run.record_table import TABLE as RECORD_TABLE
from automigrate_ext.run.record_table import RecordTable
from automigrate_ext.run.standing import Standing
from automigrate_ext.words import plural

logger = logging.getLogger("automigrate_ext")

#: Seconds for which a statement of a recipe waits for a lock on a table. The target's own run, which follows where that
#: is not enough, queues for short times only, and reports who is in the way.
QUICKLY = 0.2
CREATE_SCHEMA = "CREATE SCHEMA {name}"
#: The arguments of the signals that nobody is to be told more about.
QUIET: Mapping[str, Any] = {"verbosity": 0, "interactive": False, "stdout": None}
#: The seal, and with it the oldest runs of the history go.
SEAL = """
WITH outdated AS (
    DELETE FROM {record} WHERE name IN (
        SELECT name FROM {record} WHERE owner = '' AND name LIKE %s ORDER BY name COLLATE "C" DESC OFFSET %s
    )
)
INSERT INTO {record} (name, owner, objects_owned) VALUES (%s, '', %s)
ON CONFLICT (name) DO UPDATE SET objects_owned = excluded.objects_owned
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a target, with the plan of its run and, of the first of a shape, what others can repeat.

    `locks` is how many locks of the server its transaction takes, as far as a run of its own has found out.
    """

    outcome: Outcome
    plan: Plan | None = None
    recipe: Recipe | None = None
    locks: int = 0


@dataclass(slots=True, kw_only=True)
class Worker:
    """Works on targets with these options; `command` is the verb, `creates` whether missing schemas are made."""

    looks: Looks
    options: Options
    command: str = "autoupdate"
    dry_run: bool = False
    creates: bool = False

    # Questions

    def ask_about(self, target: Target) -> None:
        """Ask the caller's `ask` about the plan of a target; the answers hold for all targets."""
        while (ask := self.options.ask) is not None and not self.dry_run:
            plan = self.plan_of(target)
            answers = ask(plan) if plan else None
            if not answers or not self.options.lacks(answers):
                return
            self.options = evolve(self.options.answered(answers), ask=ask)
            self.looks.options = self.options

    def plan_of(self, target: Target) -> Plan | None:
        """Return the plan of a target; None where there is none, for a reason that its run reports."""
        with suppress(*FAULTS), at(target):
            update = self.update_in(target)
            with update.backend.session.guarded():
                return update.plan()
        return None

    # Each by itself

    def alone(self, target: Target, shape: str = "", *, creates: bool = False) -> Result:
        """Do the verb in one target, by a run of its own; an error becomes its outcome."""
        try:
            plan, recipe, locks = self.run(target, creates=creates)
        except Refused as refused:
            outcome = Outcome(target=target.name, status=Status.REFUSED, shape=shape, reason=reason_of(refused.plan))
            return self.logged(Result(outcome=outcome, plan=refused.plan))
        except FAULTS as error:
            reason = " ".join(str(error).split())
            failed = Outcome(target=target.name, status=Status.FAILED, shape=shape, reason=reason)
            return self.logged(Result(outcome=failed, plan=getattr(error, "plan", None)))
        except Exception as error:
            # A receiver, a function in AFTER or a default raised it, in this target; its traceback is in the log alone.
            logger.error("Target %s failed", target.name, exc_info=error)
            failed = Outcome(target=target.name, status=Status.FAILED, shape=shape, reason=reason_and_place(error))
            return Result(outcome=failed)
        status = self.status_of(plan)
        outcome = Outcome(
            target=target.name,
            status=status,
            shape=shape,
            reason=reason_of(plan) if status is Status.REFUSED else "",
            changes=len(plan.changes),
            kept=len(plan.withheld),
        )
        return self.logged(Result(outcome=outcome, plan=plan, recipe=recipe, locks=locks))

    def status_of(self, plan: Plan) -> Status:
        """Return what became of a target with this plan."""
        if plan.refused:
            return Status.REFUSED
        if not plan:
            return Status.MATCHES
        return Status.DIFFERS if self.dry_run else Status.CHANGED

    def logged(self, result: Result) -> Result:
        """Log what became of a target; return it."""
        outcome = result.outcome
        if outcome.reason:
            logger.warning("Target %s %s: %s", outcome.target, outcome.status, outcome.reason)
        else:
            logger.info("Target %s %s, %s", outcome.target, outcome.status, plural(outcome.changes, "change"))
        return result

    def run(self, target: Target, *, creates: bool) -> tuple[Plan, Recipe | None, int]:
        """Do the verb in a target; return the plan, what others can repeat of its run, and the locks that it took."""
        with self.created(target, creates=creates), at(target):
            family = self.family_in(target)
            options = self.options_in(target)
            if self.command == "automigrate":
                return rebuild_one(family.selection, options, dry_run=self.dry_run), None, 0
            update = self.update_in(target)
            with update.backend.session.guarded():
                if self.dry_run:
                    return update.plan(), None, 0
                before = record_rows(update)
                plan = update.run()
                recipe = update.recipe(before, record_rows(update)) if target.schema is not None else None
            return plan, recipe, update.locks

    def update_in(self, target: Target) -> LeadUpdate:
        """Return an `autoupdate` of the target in which the connection works."""
        family, options = self.family_in(target), self.options_in(target)
        standing = Standing(family.selection, options)
        standing.models = family.standing.models
        return LeadUpdate(family.selection, options, standing=standing)

    def options_in(self, target: Target) -> Options:
        """Return the options of a run in one target: nobody is asked any more, and no migration is marked unasked."""
        marks = bool(self.options.record_migrations)
        return evolve(self.options, place=target.schema or "", ask=None, record_migrations=marks)

    @contextmanager
    def created(self, target: Target, *, creates: bool) -> Iterator[None]:
        """Make the schema of a target in the transaction of the block, if that is asked for."""
        if not creates or target.schema is None:
            yield
            return
        connection = connections[target.alias]
        with transaction.atomic(using=target.alias):
            with connection.cursor() as cursor:
                cursor.execute(CREATE_SCHEMA.format(name=quoted(target.schema)))
            yield

    def family_in(self, target: Target) -> Family:
        """Return the family of a target in which the connection works."""
        key = family_key(target)
        if target.schema is None:
            return self.looks.new_family(target, key)
        return self.looks.family(target, key)

    def rows_at_stake(self, target: Target) -> dict[str, int]:
        """Return how many rows `automigrate` would destroy in a target, by table."""
        with at(target):
            return rows_of(self.family_in(target).selection)

    # By a recipe

    def batch(self, targets: Sequence[Target], shape: str, recipe: Recipe | None, *, creates: bool) -> Iterator[Result]:
        """Do the verb in targets of one shape, by the recipe where there is one, and yield what became of each."""
        repeated: list[Target] = []
        for target in targets:
            if recipe is not None and self.repeat(target, recipe, creates=creates):
                repeated.append(target)
                continue
            if recipe is not None and repeated:
                yield from self.concluded(repeated, shape, recipe)
                repeated = []
            yield self.alone(target, shape, creates=creates)
        if recipe is not None and repeated:
            yield from self.concluded(repeated, shape, recipe)

    def concluded(self, targets: Sequence[Target], shape: str, recipe: Recipe) -> Iterator[Result]:
        """Look at targets in which a recipe was repeated, and yield what became of each."""
        proven = self.proven(targets, recipe)
        status = Status.CHANGED if recipe.statements else Status.MATCHES
        for target in targets:
            repeated = Outcome(target=target.name, status=status, shape=shape, changes=recipe.changes)
            if target.name in proven:
                yield self.logged(Result(outcome=repeated))
                continue
            result = self.alone(target, shape)
            is_well = result.outcome.status is Status.MATCHES
            yield evolve(result, outcome=evolve(repeated, kept=result.outcome.kept)) if is_well else result

    def repeat(self, target: Target, recipe: Recipe, *, creates: bool) -> bool:
        """Do in a target what was done in the first of its shape, in one transaction; return whether that succeeded.

        Where it does not, nothing has been changed, and the target's own run finds out why.
        """
        with suppress(Exception):
            with self.created(target, creates=creates), at(target):
                backend = backend_for(target.alias)
                backend.session.patience = evolve(self.options.patience, lock_wait=0, lock_timeout=QUICKLY)
                backend.session.place = target.schema or ""
                with backend.exclusive():
                    self.carry_out(backend, self.family_in(target), recipe)
            return True
        return False

    def carry_out(self, backend: Backend, family: Family, recipe: Recipe) -> None:
        """Do what a recipe has in the target in which the connection works, under the lock of a run."""
        began, started = datetime.now(UTC), time.perf_counter()
        if recipe.sends:
            signals.send_pre_migrate(backend, family.selection.apps, **QUIET)
        if recipe.statements or recipe.written:
            backend.session.execute(";\n".join((*recipe.statements, *recipe.written)))
        record = Record(backend)
        rows = dict(recipe.rows)
        if recipe.entry:
            seconds = time.perf_counter() - started
            name, text = repeated(recipe.entry, began=began, seconds=seconds, origin=self.options.origin)
            rows[name] = ("", text)
        if rows:
            if not record.exists():
                record.create()
            RecordTable(record.alias).upsert(rows)
        if recipe.gone:
            RecordTable(record.alias).delete(recipe.gone)
        if recipe.sends:
            signals.send_post_migrate(backend, family.selection.apps, **QUIET)

    def proven(self, targets: Sequence[Target], recipe: Recipe) -> frozenset[str]:
        """Return the names of the targets that are now what the first of their shape is, and seal these."""
        family = self.looks.family(targets[0], family_key(targets[0]))
        looks = self.looks.look_at([target.schema or "" for target in targets], family)
        proven = [target for target in targets if (look := looks.get(target.schema or "")) and recipe.reaches(look)]
        alias = targets[0].alias
        quote, kept = connections[alias].ops.quote_name, conf.history() or sys.maxsize
        with suppress(DatabaseError), transaction.atomic(using=alias), connections[alias].cursor() as cursor:
            for target in proven:
                record = f"{quoted(target.schema or '')}.{quote(RECORD_TABLE)}"
                cursor.execute(SEAL.format(record=record), [f"{HISTORY}%", kept, recipe.note, recipe.seal])
        return frozenset(target.name for target in proven)


def reason_and_place(error: Exception) -> str:
    """Return in one line what was raised, and by which line of which file."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{words} ({place.filename}, line {place.lineno})"


def reason_of(plan: Plan) -> str:
    """Return in one line why a plan is refused."""
    hazards = (hazard for judgement in plan.refused for hazard in judgement.hazards)
    # Results of tasks are stored, and one reason stands for many targets: neither has values of rows.
    return "; ".join(dict.fromkeys(str(hazard.without_values) for hazard in hazards))


def record_rows(update: LeadUpdate) -> dict[str, tuple[str, str]]:
    """Return the rows of the record of the target in which a run works."""
    return dict(update.record.load())
