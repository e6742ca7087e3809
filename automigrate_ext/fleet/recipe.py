"""What a run did in the first target of a shape, to be done in the others without comparing again.

Only what the server itself refuses where rows do not allow it, and what loses no value, is repeated: a statement that
succeeds leaves the same tables as in the first target, which is looked at afterwards. For anything else, each target
has a run of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.apps import apps

from automigrate_ext import signals
from automigrate_ext.backends.fingerprint import FINGERPRINT, Look
from automigrate_ext.backends.work import Fill
from automigrate_ext.plan.plan import Verdict
from automigrate_ext.run.prerequisites import Prerequisites
from automigrate_ext.run.standing import Seal, parse
from automigrate_ext.run.state import Prepared
from automigrate_ext.run.update import Update
from automigrate_ext.schema.changes import (
    AddColumn,
    AddConstraint,
    AddIndex,
    CreateExtension,
    CreateTable,
    DropConstraint,
    DropIndex,
)

#: The changes that no row can lose a value by.
HARMLESS = (AddColumn, AddConstraint, AddIndex, CreateExtension, CreateTable, DropConstraint, DropIndex)

#: The locks that a run takes besides those of its statements: two advisory ones, and the record with its index, its
#: table of long texts and the index of that.
LOCKS_OF_A_RUN = 6

#: The models of which receivers of Django's own write rows.
WRITTEN = (("contenttypes", "ContentType"), ("auth", "Permission"), ("sites", "Site"))

#: What the modules of receivers begin with that a project has not written.
KNOWN_RECEIVERS = ("django.contrib.", "automigrate_ext.")

Rows = Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What makes one target of a shape like the first one.

    `rows` are rows of the record that are new or have changed, `gone` those that went. `written` is what receivers of
    `post_migrate` executed where that is the same in each target; else `sends` is whether receivers of both signals
    have something to do. `note` is the name of the note that holds the seal, and `seal` its text, which has what there
    is to be in the end. `entry` is the text of the run in the history, "" where it has none.
    """

    statements: tuple[str, ...]
    rows: Rows
    gone: tuple[str, ...]
    sends: bool
    note: str
    seal: str
    changes: int
    written: tuple[str, ...] = ()
    entry: str = ""

    def reaches(self, look: Look) -> bool:
        """Return whether what was found in a target is what the first one had in the end."""
        seal = self.parsed
        return (dict(look.tables), look.surroundings, look.record) == (
            dict(seal.tables),
            seal.surroundings,
            seal.record,
        )

    @property
    def parsed(self) -> Seal:
        """The seal of the first target."""
        seal = parse(self.seal)
        assert seal is not None, "a recipe is made of a valid seal"
        return seal

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values, for a task that another process carries out."""
        return {name: getattr(self, name) for name in type(self).__slots__}


def from_dict(values: Mapping[str, Any]) -> Recipe:
    """Return a recipe from plain values, in which tuples may have become lists."""
    rows = {name: tuple(row) for name, row in values["rows"].items()}
    texts = {name: tuple(values[name]) for name in ("statements", "gone", "written")}
    return Recipe(**{**values, **texts, "rows": rows})


class LeadUpdate(Update):
    """The `autoupdate` of the first target of a shape, which keeps what it has prepared last."""

    prepared: Prepared | None = None
    #: What receivers of `post_migrate` have executed.
    written: tuple[str, ...] = ()

    def prepare(self, made: Prerequisites | None) -> Prepared:
        self.prepared = super().prepare(made)
        return self.prepared

    def send_post_migrate(self) -> None:
        if not self.is_from_nothing():
            super().send_post_migrate()
            return
        with written_down(self.backend.connection) as written:
            super().send_post_migrate()
        # What names the schema of this target is not for others.
        self.written = () if any(self.options.place in text for text in written) else tuple(written)

    def is_from_nothing(self) -> bool:
        """Return whether receivers do the same in any empty schema: Django's own do, if the run makes what they use."""
        if not self.options.place:
            return False
        changes = self.prepared.plan.changes if self.prepared else ()
        made = {change.table for change in changes if isinstance(change, CreateTable)}
        models = [model._meta.db_table for model in self.selection.models]
        return bool(made) and made.issuperset((*models, *tables_of_receivers())) and not has_own_receivers()

    def recipe(self, before: Rows, after: Rows) -> Recipe | None:
        """Return what the run did, None where it cannot be repeated; these are the rows of the record."""
        left = self.prepared.plan.remaining if self.prepared else 0
        note = self.standing.expand_note if left else self.standing.own_note
        seal = parse(after.get(note, ("", ""))[1])
        if seal is None or seal.kept or not self.is_repeatable():
            return None
        changes = self.prepared.plan.changes if self.prepared else ()
        creates = any(isinstance(change, CreateTable) for change in changes)
        changed = {name: row for name, row in after.items() if before.get(name) != row}
        return Recipe(
            statements=tuple(step.sql for step in self.prepared.steps) if self.prepared else (),
            rows={name: row for name, row in changed.items() if not name.startswith(FINGERPRINT)},
            gone=tuple(name for name in before if name not in after and not name.startswith(FINGERPRINT)),
            sends=not self.written and (creates or has_own_receivers()),
            note=note,
            seal=after[note][1],
            changes=len(changes),
            written=self.written,
            entry=self.chronicle.written.render() if self.chronicle.written else "",
        )

    @property
    def locks(self) -> int:
        """The locks of the server that the run takes: those of its statements, of the record and of runs."""
        return LOCKS_OF_A_RUN + (sum(step.locks for step in self.prepared.steps) if self.prepared else 0)

    def is_repeatable(self) -> bool:
        """Return whether the statements do in any target of the shape what they did in this one."""
        if signals.pre_run.receivers or signals.post_run.receivers or self.options.record_migrations:
            return False
        if self.prepared is None:
            return True
        plan, work = self.prepared.plan, self.prepared.work
        return (
            not plan.hooks
            and all(judgement.verdict in (Verdict.APPLY, Verdict.POSTPONE) for judgement in plan.judgements)
            and all(isinstance(change, HARMLESS) for change in plan.changes)
            and not any(step.fill for step in self.prepared.steps)
            and all(self.is_constant(place, fill) for place, fill in (work.fills.items() if work else ()))
        )

    def is_constant(self, place: tuple[str, str], fill: Fill) -> bool:
        """Return whether rows without a value get the same one in every target."""
        return fill.draw is None and not self.desired.is_momentary(*place)


def tables_of_receivers() -> Iterator[str]:
    """Yield the tables into which receivers of Django's own write."""
    for label, name in WRITTEN:
        if apps.is_installed(f"django.contrib.{label}"):
            yield apps.get_model(label, name)._meta.db_table


@contextmanager
def written_down(connection: Any) -> Iterator[list[str]]:
    """Yield a list of what is executed while the block runs, with its values, as the server gets it.

    What the engine of a package for tenants executes by itself, whenever it opens a cursor, is left out.
    """
    texts: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        texts.extend(connection.ops.compose_sql(sql, values) for values in (params if many else [params]))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        with connection.cursor():
            by_itself = set(texts)
        texts.clear()
        yield texts
    texts[:] = [text for text in texts if text not in by_itself]


def has_own_receivers() -> bool:
    """Return whether others than Django's own apps and this package receive `pre_migrate` or `post_migrate`.

    Django's own write rows for models and permissions that are new, and for nothing else; this package's does nothing
    in a run.
    """
    return any(not str(receiver.__module__).startswith(KNOWN_RECEIVERS) for receiver in signals.receivers())
