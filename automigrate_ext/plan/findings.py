"""Differences as findings in files, for programs that show these beside the code: GitHub's commands, GitLab's reports.

Sources: GitHub's "Workflow commands for GitHub Actions", GitLab's "Code Quality". Pure.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from automigrate_ext.plan.plan import Judgement, Verdict

#: The path of a finding that is in no file of the project, where there has to be one.
NOWHERE = "manage.py"


class Severity(enum.StrEnum):
    """How bad a finding is, in GitHub's words."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


#: The same in GitLab's words.
FOR_GITLAB = {Severity.ERROR: "major", Severity.WARNING: "minor", Severity.NOTICE: "info"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A finding: what is found (`check`), in which line of which file, and a message.

    `path` is relative to the root of the repository, None where the finding is in no file of it. `identity` stays the
    same from run to run, as long as the finding is the same one. What `blocks` keeps a run from doing anything.
    """

    severity: Severity
    check: str
    title: str
    message: str
    identity: str
    path: str | None = None
    line: int = 1
    blocks: bool = False

    def for_github(self) -> str:
        """Return the finding as a workflow command."""
        where = {"file": self.path, "line": str(self.line)} if self.path else {}
        named = {**where, "title": self.title}
        properties = ",".join(f"{name}={escaped_property(value)}" for name, value in named.items())
        return f"::{self.severity} {properties}::{escaped(self.message)}"

    def for_gitlab(self) -> dict[str, Any]:
        """Return the finding as an entry of a Code Quality report."""
        return {
            "description": f"{self.title}: {self.message}",
            "check_name": self.check,
            "fingerprint": hashlib.sha256(self.identity.encode()).hexdigest(),
            "severity": "blocker" if self.blocks else FOR_GITLAB[self.severity],
            "location": {"path": self.path or NOWHERE, "lines": {"begin": self.line if self.path else 1}},
        }


def escaped(text: str) -> str:
    """Return the message of a workflow command with what would end it written otherwise."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escaped_property(text: str) -> str:
    """Return a property of a workflow command with what would end it written otherwise."""
    return escaped(text).replace(":", "%3A").replace(",", "%2C")


def severity_of(judgement: Judgement, *, fails: bool, strict: bool) -> Severity:
    """Return how bad a difference is: an error where it `fails` the command, or would be refused.

    With `strict`, so does what is kept. What an expand leaves for the contract fails nothing.
    """
    if judgement.verdict is Verdict.REFUSE:
        return Severity.ERROR
    if judgement.verdict is Verdict.POSTPONE:
        return Severity.NOTICE
    if judgement.verdict is Verdict.WITHHOLD:
        return Severity.ERROR if fails and strict else Severity.NOTICE
    return Severity.ERROR if fails else Severity.WARNING


def message_of(judgement: Judgement) -> str:
    """Return what a run does about a difference, with the reasons and the ways out, a line each."""
    later = "For the contract: " if judgement.verdict is Verdict.POSTPONE else ""
    words = [] if judgement.verdict is Verdict.WITHHOLD else [f"{later}{judgement.change.describe()}"]
    return "\n".join([*words, *map(str, judgement.hazards)])


def report(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return findings as a Code Quality report, in which no two have the same fingerprint."""
    entries: dict[str, dict[str, Any]] = {}
    for finding in findings:
        entry = finding.for_gitlab()
        entries.setdefault(entry["fingerprint"], entry)
    return list(entries.values())
