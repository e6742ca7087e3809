"""Plans as findings in the project's files, for --format github and --format gitlab."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections
from django.db.models import Model

from automigrate_ext.declared.blueprint import kept_name, kept_table_name
from automigrate_ext.declared.selection import registered
from automigrate_ext.declared.sources import (
    Place,
    places_in_meta,
    places_in_settings,
    places_of_app,
    places_of_model,
    places_of_names,
    places_of_options,
)
from automigrate_ext.management.formats import GITHUB
from automigrate_ext.plan.findings import Finding, Severity, message_of, report, severity_of
from automigrate_ext.plan.plan import HookStep, Judgement, LikelyRename, Plan
from automigrate_ext.run.questions import find_field, find_model
from automigrate_ext.schema.changes import Change, CreateTable, RenameTable, Subject, subject_of

if TYPE_CHECKING:
    from automigrate_ext.management.base import SchemaCommand

#: The attributes of `Meta` to which the table, or constraints and indexes over several columns, belong.
OPTIONS = ("constraints", "indexes", "unique_together", "order_with_respect_to", "db_table_comment", "db_tablespace")


class Annotator:
    """Finds the places of differences in the project's files; paths are relative to `root`."""

    def __init__(self, plan: Plan, root: Path) -> None:
        self.plan = plan
        self.root = root
        self.connection = connections[plan.alias]
        self.models = {kept_table_name(self.connection, model._meta.db_table): model for model in registered(apps)}

    def findings(self, *, fails: bool, strict: bool) -> Iterator[Finding]:
        """Yield what a plan does, keeps and asks; `fails` and `strict` decide how bad that is: see `severity_of`."""
        for hook in self.plan.hooks:
            yield self.of_hook(hook, Severity.ERROR if fails else Severity.WARNING)
        for judgement in self.plan.judgements:
            yield self.of_judgement(judgement, severity_of(judgement, fails=fails, strict=strict))
        yield from map(self.of_rename, self.plan.likely_renames)

    def of_judgement(self, judgement: Judgement, severity: Severity) -> Finding:
        """Return the finding of one difference."""
        change = judgement.change
        codes = [str(hazard.code) for hazard in judgement.hazards]
        return self.finding(
            self.places(change),
            severity=severity,
            check=codes[0] if codes else type(change).__name__,
            message=message_of(judgement),
            identity=(change.table, change.describe(), str(judgement.verdict)),
            blocks=judgement in self.plan.refused,
        )

    def of_hook(self, hook: HookStep, severity: Severity) -> Finding:
        """Return the finding of an entry of AUTOMIGRATE that is due."""
        places = places_in_settings(hook.name, ("AUTOMIGRATE",))
        words = hook.describe()
        return self.finding(places, severity=severity, check="hook", message=words, identity=(words,))

    def of_rename(self, likely: LikelyRename) -> Finding:
        """Return the finding of a question whether something was renamed, at what has the new name."""
        place = likely.old.rpartition(".")[0]
        field = find_field(place, likely.new, self.plan.alias)
        model = field.model if field else find_model(place, likely.new)
        names = places_of_names(field.model, [field.name]) if field else ()
        return self.finding(
            chain(names, places_of_model(model) if model else ()),
            severity=Severity.NOTICE,
            check="likely-rename",
            message=likely.question(),
            identity=("rename", likely.option),
        )

    def finding(
        self,
        places: Iterable[Place],
        *,
        severity: Severity,
        check: str,
        message: str,
        identity: tuple[str, ...],
        blocks: bool = False,
    ) -> Finding:
        """Return a finding at the first of the places that is in a file of the project."""
        fallback = places_in_settings("", ("INSTALLED_APPS",))
        below = ((place.below(self.root), place.line) for place in chain(places, fallback))
        path, line = next((found for found in below if found[0]), (None, 1))
        return Finding(
            severity=severity,
            check=f"automigrate_ext.{check}",
            title=title_of(self.plan.alias),
            message=message,
            identity="\0".join((self.plan.alias, *identity)),
            path=path,
            line=line,
            blocks=blocks,
        )

    # Places

    def places(self, change: Change) -> Iterator[Place]:
        """Yield the places of a change, the nearest one first: a field, `Meta`, the model, its app in the settings."""
        subject = subject_of(change)
        table = change.new_name if isinstance(change, RenameTable) else change.table
        model = self.models.get(table)
        if model is None:
            yield from places_in_settings("", ("AUTOMIGRATE",)) if not table else ()
            return
        if not isinstance(change, (CreateTable, RenameTable)):
            yield from self.places_within(model, subject)
        yield from places_of_model(model)
        yield from places_of_app(apps.get_app_config(model._meta.app_label))

    def places_within(self, model: type[Model], subject: Subject) -> Iterator[Place]:
        """Yield the places in a model of a column, constraint or index."""
        names = [
            field.name
            for field in model._meta.local_fields
            if field.column and kept_name(self.connection, field.column) in subject.columns
        ]
        if subject.columns != (subject.name,):
            yield from places_in_meta(model, subject.name or "")
        yield from places_of_names(model, names) if len(subject.columns) == 1 else places_of_options(model, OPTIONS)


def findings_of(plan: Plan, *, fails: bool, strict: bool) -> list[Finding]:
    """Return the findings of a plan in the project's files; see `Annotator.findings`."""
    return list(Annotator(plan, root_of(Path.cwd())).findings(fails=fails, strict=strict))


def root_of(folder: Path) -> Path:
    """Return the root of the repository that a folder is in; the folder itself where it is in none."""
    resolved = folder.resolve()
    return next((path for path in (resolved, *resolved.parents) if (path / ".git").exists()), resolved)


def failure(alias: str, words: str) -> Finding:
    """Return the finding of a database that could not be compared."""
    check, identity = "automigrate_ext.failed", f"{alias}\0failed"
    return Finding(severity=Severity.ERROR, check=check, title=title_of(alias), message=words, identity=identity)


def title_of(alias: str) -> str:
    """Return the title of the findings of a database."""
    return f"autoupdate of database {alias!r}"


class Annotations:
    """Prints findings for a command, in one of the formats."""

    def __init__(self, command: SchemaCommand, options: dict[str, Any]) -> None:
        self.command = command
        self.is_github = options["format"] == GITHUB
        self.fails = bool(options.get("check"))
        self.strict = bool(options.get("strict"))

    def show(self, plans: Iterable[Plan], failures: Mapping[str, str] | None = None) -> None:
        """Print what plans do, and why some databases or targets have none, by name."""
        found = chain.from_iterable(findings_of(plan, fails=self.fails, strict=self.strict) for plan in plans)
        self.write([*found, *(failure(name, words) for name, words in (failures or {}).items())])

    def write(self, findings: Iterable[Finding]) -> None:
        """Print findings; for GitLab, keep them for the one report at the end where there are several databases."""
        if self.is_github:
            for finding in findings:
                self.command.stdout.write(finding.for_github())
        elif self.command.findings is not None:
            self.command.findings += findings
        else:
            self.write_report(findings)

    def write_report(self, findings: Iterable[Finding]) -> None:
        """Print the report for GitLab."""
        self.command.stdout.write(json.dumps(report(findings), indent=2))
