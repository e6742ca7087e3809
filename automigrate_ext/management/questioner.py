"""The questions of a run at a terminal, asked by Django's own questioner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from django.core.management.base import CommandError, OutputWrapper
from django.db.migrations.questioner import InteractiveMigrationQuestioner
from django.db.migrations.state import ModelState
from django.db.models import Field

from automigrate_ext.management.exit_status import FAILED
from automigrate_ext.plan.plan import Judgement, LikelyRename, Plan
from automigrate_ext.run.options import Answers
from automigrate_ext.run.questions import fields_without_value, find_field, find_model, label_of

#: The choice that ends the run where a value is asked for; the other one gives a value.
QUIT = 2


class TerminalQuestioner:
    """Asks the questions about a plan that only its reader can answer, and none twice."""

    def __init__(self, stream: TextIO) -> None:
        self.questioner = InteractiveMigrationQuestioner(prompt_output=OutputWrapper(stream))
        self.asked: set[str] = set()

    def __call__(self, plan: Plan) -> Answers | None:
        """Return the answers about likely renames or, where none is left to ask about, about values that rows lack.

        Raises `CommandError` where the reader quits and `KeyboardInterrupt` at Ctrl-C.
        """
        with convert_exits():
            renames = self.ask_renames(plan)
            if renames:
                return Answers(renames=renames)
            defaults = self.ask_defaults(plan)
            return Answers(defaults=defaults) if defaults else None

    # Renames

    def ask_renames(self, plan: Plan) -> dict[str, str]:
        """Return the new names by the old ones, as far as the reader agrees."""
        renames: dict[str, str] = {}
        for likely in plan.likely_renames:
            place = likely.old.rpartition(".")[0]
            taken = likely.old in renames or (place, likely.new) in {
                (old.rpartition(".")[0], new) for old, new in renames.items()
            }
            if not taken and self.is_unasked(likely.option) and self.was_renamed(likely):
                renames[likely.old] = likely.new
        return renames

    def is_unasked(self, question: str) -> bool:
        """Return whether a question has not been asked yet, and remember it as asked."""
        is_unasked = question not in self.asked
        self.asked.add(question)
        return is_unasked

    def was_renamed(self, likely: LikelyRename) -> bool:
        """Return the answer about one rename."""
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
        """Return the one-off values, if they are all that the plan lacks."""
        values = {}
        for judgement, field in fields_without_value(plan):
            if self.is_unasked(label_of(field)):
                value = self.ask_value(judgement, field)
                values[label_of(field)] = value() if callable(value) else value
        return values

    def ask_value(self, judgement: Judgement, field: Field[Any, Any]) -> Any:
        """Return one value, which is given as Python. Raises `SystemExit` where the reader quits."""
        reasons = ". ".join(hazard.reason for hazard in judgement.hazards)
        choices = [f"Give these rows a value of {label_of(field)} now", "Quit, to change the model or the rows"]
        if self.questioner._choice_input(f"{reasons}.", choices) == QUIT:  # type: ignore[attr-defined]
            raise SystemExit
        return self.questioner._ask_default()  # type: ignore[attr-defined]


@contextmanager
def convert_exits() -> Iterator[None]:
    """Turn Django's ways of leaving a question into this package's: status 2, and 130 for Ctrl-C."""
    try:
        yield
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from stop
        raise CommandError("Nothing was done.", returncode=FAILED) from stop
    except EOFError as end:
        raise CommandError("There was no answer. Nothing was done.", returncode=FAILED) from end
