"""The questions of a run at a terminal: each after the plan that it is about, and asked again after a wrong answer."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import replace as evolve
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from automigrate_ext.exceptions import Declined
from automigrate_ext.management.exit_status import FAILED
from automigrate_ext.plan.plan import LikelyRename, MissingValue, Plan
from automigrate_ext.plan.text import as_options
from automigrate_ext.run.options import Answers
from automigrate_ext.run.questions import fault_of, find_field, find_model
from automigrate_ext.words import plural, with_article

if TYPE_CHECKING:
    from automigrate_ext.management.commands.autoupdate import Command

#: The options that a command without questions leaves out.
ASKING = ("--ask", "--watch")
YES_OR_NO = {"y": True, "yes": True, "n": False, "no": False, "": False}


class TerminalQuestioner:
    """Asks the questions about a plan that only its reader can answer, and none twice.

    With `confirms` it also asks whether to carry out the plan. `seconds` is how long it has been asking; `renames` and
    `defaults` are the answers so far, of all databases of the run.
    """

    def __init__(self, command: Command, *, confirms: bool, verbosity: int) -> None:
        self.command = command
        self.confirms = confirms
        self.verbosity = verbosity
        self.seconds = 0.0
        self.renames: dict[str, str] = {}
        self.defaults: dict[str, str] = {}
        self.declined: set[str] = set()
        self.asked: set[tuple[str, str]] = set()
        self.shown: Plan | None = None

    def __call__(self, plan: Plan) -> Answers | None:
        """Return the answers about likely renames or, where none is left to ask about, about values that rows lack.

        Raises `CommandError` where the input ends, `KeyboardInterrupt` at Ctrl-C, and `Declined`.
        """
        began = time.perf_counter()
        try:
            return self.answers(plan)
        finally:
            self.seconds += time.perf_counter() - began

    def answers(self, plan: Plan) -> Answers | None:
        """Return the answers of the next round of questions, or None where there are none."""
        if renames := self.ask_renames(plan):
            return Answers(renames=renames)
        if defaults := self.ask_values(plan):
            return Answers(defaults=defaults)
        if not self.confirms or not plan.statements:
            return None
        self.show(plan)
        if not self.agrees(f"{apply_words(plan)} [y/N]"):
            raise Declined("Cancelled; no table was changed.")
        return Answers(exactly=True)

    def has_shown(self, plan: Plan) -> bool:
        """Return whether the plan is the one that was shown last."""
        shown = self.shown
        return shown is not None and (shown.alias, shown.judgements) == (plan.alias, plan.judgements)

    def show(self, plan: Plan) -> None:
        """Print the plan above the questions about it, unless it stands there already."""
        if not self.has_shown(plan):
            self.shown = plan
            # What looks like a rename is asked about: that needs no line.
            printed = evolve(plan, likely_renames=())
            self.command.printer.print_plan(printed, self.verbosity, done=False, stream=self.command.stderr)

    # Renames

    def ask_renames(self, plan: Plan) -> dict[str, str]:
        """Return the new names by the old ones, as far as the reader agrees."""
        renames: dict[str, str] = {}
        for likely in plan.likely_renames:
            place = likely.old.rpartition(".")[0]
            taken = likely.old in renames or (place, likely.new) in {
                (old.rpartition(".")[0], new) for old, new in renames.items()
            }
            if not taken and self.is_unasked(plan, likely.option) and self.was_renamed(plan, likely):
                renames[likely.old] = likely.new
        return renames

    def is_unasked(self, plan: Plan, question: str) -> bool:
        """Return whether a question about a database has not been asked yet, and remember it as asked."""
        is_unasked = (plan.alias, question) not in self.asked
        self.asked.add((plan.alias, question))
        return is_unasked

    def was_renamed(self, plan: Plan, likely: LikelyRename) -> bool:
        """Return the answer about one rename; another database of the run may have had it before."""
        if self.renames.get(likely.old) == likely.new or likely.option in self.declined:
            return likely.option not in self.declined
        self.show(plan)
        if self.agrees(f"{rename_question(likely)} [y/N]"):
            self.renames[likely.old] = likely.new
            return True
        self.declined.add(likely.option)
        return False

    # Values

    def ask_values(self, plan: Plan) -> dict[str, str]:
        """Return the one-off values that the reader gives; a field is asked for again while its value is no good."""
        values: dict[str, str] = {}
        for missing in plan.missing_values:
            value = self.ask_value(plan, missing) if self.is_open(plan, missing) else ""
            if value:
                self.defaults[missing.field] = values[missing.field] = value
            else:
                self.defaults.pop(missing.field, None)
        return values

    def is_open(self, plan: Plan, missing: MissingValue) -> bool:
        """Return whether to ask for a value: it has not been asked for, or the answer was no good."""
        is_unasked = self.is_unasked(plan, missing.option)
        return is_unasked or (missing.field in self.defaults and bool(missing.fault))

    def ask_value(self, plan: Plan, missing: MissingValue) -> str:
        """Return the text of one value that its field takes, or "" where the reader leaves the question."""
        self.show(plan)
        if missing.field in self.defaults and missing.fault:
            self.write(missing.fault)
        else:
            self.write(f"{in_need(missing)} It takes {missing.wants}. An empty line leaves the question.")
        while value := self.ask(f"{missing.field} ="):
            fault = fault_of(missing.field, value)
            if not fault:
                break
            self.write(fault)
        return value

    # At the terminal

    def agrees(self, question: str) -> bool:
        """Return the answer to a question that takes yes or no, asked until it is one of them."""
        while (answer := self.ask(question).lower()) not in YES_OR_NO:
            self.write("Please answer yes or no.")
        return YES_OR_NO[answer]

    def ask(self, question: str) -> str:
        """Print a question on stderr and return the answer, without blanks around it."""
        self.command.stderr.write(question, self.command.style.NOTICE, ending=" ")
        try:
            return input().strip()
        except EOFError:
            raise CommandError("There was no answer. Nothing was done.", returncode=FAILED) from None

    def write(self, text: str) -> None:
        """Print a line on stderr."""
        self.command.stderr.write(text, str)

    # Afterwards

    def repetition(self, options: dict[str, Any]) -> str:
        """Return the command that gives the answers as options, or "" where there are none."""
        given = as_options(self.renames, self.defaults)
        if not given:
            return ""
        typed = self.command.is_typed
        words = [word for word in sys.argv[1:] if word not in ASKING] if typed else called(options)
        return f"The same without questions: {shlex.join([*program(), *words, *given])}"


def apply_words(plan: Plan) -> str:
    """Return the question whether to carry out a plan."""
    number = len(plan.changes)
    if not number:
        return "Apply this plan?"
    return "Apply this change?" if number == 1 else f"Apply these {plural(number, 'change')}?"


def rename_question(likely: LikelyRename) -> str:
    """Return the question about a rename, in the words of the models where these have what has the new name."""
    if likely.is_move:
        return f"Was {likely.words}?"
    place = likely.old.rpartition(".")[0]
    if find_model(place, likely.new) is not None:
        return f"Was the model {likely.old} renamed to {likely.new}?"
    field = find_field(place, likely.new)
    if field is not None:
        return f"Was {likely.old} renamed to {place}.{likely.new} ({with_article(type(field).__name__)})?"
    return f"Was the table {likely.old} renamed to {likely.new}?"


def in_need(missing: MissingValue) -> str:
    """Return how many rows need a value of which field, as a sentence."""
    if missing.rows is None:
        return f"Rows need a value of {missing.field}."
    return f"{plural(missing.rows, 'row')} {'needs' if missing.rows == 1 else 'need'} a value of {missing.field}."


def called(options: dict[str, Any]) -> list[str]:
    """Return the words of a command line for a command that a program has called."""
    databases = [word for alias in options["database"] or () for word in ("--database", alias)]
    return ["autoupdate", *options["labels"], *(["--all-databases"] if options["all_databases"] else databases)]


def program() -> list[str]:
    """Return the words with which the running command was called, as somebody types them."""
    name = Path(sys.argv[0]).name
    return {"manage.py": ["python", "manage.py"], "__main__.py": ["python", "-m", "django"]}.get(name, [name])
