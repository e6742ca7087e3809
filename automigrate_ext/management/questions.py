"""The questions of a run at a terminal, put in the words of Django's own questioner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from django.apps import apps
from django.core.management.base import CommandError, OutputWrapper
from django.db.migrations.questioner import InteractiveMigrationQuestioner
from django.db.migrations.state import ModelState
from django.db.models import NOT_PROVIDED, Field

from automigrate_ext.changes import AddColumn, AlterColumn, Change
from automigrate_ext.management.base import FAILED
from automigrate_ext.plan import LikelyRename, Plan
from automigrate_ext.run import Answers
from automigrate_ext.selection import models_of

#: The refusals that a one-off value resolves.
WANTS_VALUE = frozenset({"required-column", "null-values"})


class Questions:
    """Asks about a plan what its reader alone can know; nothing twice."""

    def __init__(self, stream: TextIO) -> None:
        self.questioner = InteractiveMigrationQuestioner(prompt_output=OutputWrapper(stream))
        self.asked: set[str] = set()

    def __call__(self, plan: Plan) -> Answers | None:
        """Ask about likely renames and, once those are settled, about values that rows lack.

        Raises `CommandError` where the reader quits and `KeyboardInterrupt` at Ctrl-C.
        """
        with quitting():
            renames = self.ask_renames(plan)
            if renames:
                return Answers(renames=renames)
            defaults = self.ask_defaults(plan)
            return Answers(defaults=defaults) if defaults else None

    # Renames

    def ask_renames(self, plan: Plan) -> dict[str, str]:
        renames: dict[str, str] = {}
        for likely in plan.likely_renames:
            place = likely.old.rpartition(".")[0]
            taken = likely.old in renames or (place, likely.new) in {
                (old.rpartition(".")[0], new) for old, new in renames.items()
            }
            if not taken and self.is_new(likely.option) and self.was_renamed(likely):
                renames[likely.old] = likely.new
        return renames

    def is_new(self, question: str) -> bool:
        """Whether a question has not been asked yet; from now on it has."""
        news = question not in self.asked
        self.asked.add(question)
        return news

    def was_renamed(self, likely: LikelyRename) -> bool:
        """Ask about one rename."""
        place, _, name = likely.old.rpartition(".")
        model = find_model(place, likely.new)
        if model is not None:
            old_state = ModelState(place, name, [])
            return bool(self.questioner.ask_rename_model(old_state, ModelState.from_model(model)))
        field = find_field(place, likely.new)
        if field is not None:
            return bool(self.questioner.ask_rename(place, name, likely.new, field))
        question = f"Was the table {likely.old} renamed to {likely.new}? [y/N]"
        return bool(self.questioner._boolean_input(question, False))  # type: ignore[attr-defined]

    # Values

    def ask_defaults(self, plan: Plan) -> dict[str, Any]:
        """The one-off values, if they are all that the plan lacks."""
        lacking = [j.change for j in plan.refused if all(hazard.code in WANTS_VALUE for hazard in j.hazards)]
        if len(lacking) < len(plan.refused):
            return {}
        values = {}
        for change in lacking:
            field = field_of(change)
            if field is not None and self.is_new(f"{field.model._meta.label}.{field.name}"):
                value = self.ask_value(change, field)
                if value is not NOT_PROVIDED:
                    values[f"{field.model._meta.label}.{field.name}"] = value() if callable(value) else value
        return values

    def ask_value(self, change: Change, field: Field[Any, Any]) -> Any:
        """Ask for one value as Python."""
        label = field.model._meta.label
        if isinstance(change, AddColumn):
            return self.questioner.ask_not_null_addition(field.name, label)
        return self.questioner.ask_not_null_alteration(field.name, label)


@contextmanager
def quitting() -> Iterator[None]:
    """Turn Django's ways to leave a question into this package's: status 2, and 130 for Ctrl-C."""
    try:
        yield
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from stop
        raise CommandError("Nothing was done.", returncode=FAILED) from stop
    except EOFError as end:
        raise CommandError("There was no answer. Nothing was done.", returncode=FAILED) from end


def find_model(app_label: str, name: str) -> Any:
    """The model of an app, or None where the words mean something else."""
    try:
        return apps.get_model(app_label, name)
    except (LookupError, ValueError):
        return None


def find_field(place: str, name: str) -> Field[Any, Any] | None:
    """The field of a model, or behind the column of a table, or None."""
    for model in models_of(apps):
        for field in (*model._meta.local_fields, *model._meta.local_many_to_many):
            if (place, name) in ((model._meta.label, field.name), (model._meta.db_table, field.column)):
                return field
    return None


def field_of(change: Change) -> Field[Any, Any] | None:
    """The field behind the column that a change adds or alters."""
    return find_field(change.table, change.new.name) if isinstance(change, (AddColumn, AlterColumn)) else None
