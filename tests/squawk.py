"""What squawk, a linter of scripts for PostgreSQL, finds in the script of an online run."""

import json
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from automigrate_ext import Plan
from automigrate_ext.plan.online import Effect, OnlineStep

PROGRAM = Path(sysconfig.get_path("scripts"), "squawk")
#: Rules of taste, and those against the drops, new names and other keys that a project asks for.
OTHER_RULES = ("prefer-", "ban-drop-", "ban-alter-identity", "renaming-")
#: Rules about statements that rewrite a table, that build an index, and during which others wait.
REWRITING = ("changing-column-type", "adding-field-with-default")
BUILDING = ("require-concurrent-index-creation", "disallowed-unique-constraint", "constraint-missing-not-valid")
WAITING = (*REWRITING, *BUILDING, "adding-not-nullable-field", "adding-serial-primary-key-field")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What squawk finds: the rule, the statement with its step, None for one of the script itself, and why."""

    rule: str
    sql: str
    step: OnlineStep | None
    message: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.sql} ({self.message})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What the server shows of the tables once the script's statements have run, and squawk cannot know."""

    is_empty: Callable[[str], bool]
    is_rewritten: Callable[[str], bool]
    is_partitioned: Callable[[str], bool]

    def refutes(self, finding: Finding) -> bool:
        """Whether a finding is false."""
        if finding.step is None:
            return False
        if self.is_empty(finding.step.table):
            # All rules are about statements that take as long as the table is large.
            return True
        if finding.step.manner.effect is Effect.REWRITE:
            # The plan shows that others wait meanwhile, and refuses it above --rewrite-limit.
            return finding.rule in WAITING
        if finding.rule in BUILDING and self.is_partitioned(finding.step.table):
            # The script has built an index in each partition, which that of the whole takes over.
            return finding.step.manner.effect is Effect.CATALOG
        # The server kept the table's file: longer text, a default that is the same for all rows.
        return finding.rule in REWRITING and not self.is_rewritten(finding.step.table)


def need_squawk() -> None:
    """Skip the test where squawk is not installed."""
    if not PROGRAM.exists():
        pytest.skip("squawk-cli is not installed")


def findings(plan: Plan) -> Iterator[Finding]:
    """What squawk finds in the script of a plan."""
    script = plan.sql()
    lines = script.splitlines()
    done = subprocess.run([PROGRAM, "--reporter", "json"], input=script, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    for found in json.loads(done.stdout):
        rule = found["rule_name"]
        sql = "\n".join(lines[found["line"] : found["line_end"] + 1])
        step = next((step for step in plan.online if sql.startswith(step.sql) or sql in f"{step.sql};"), None)
        if not rule.startswith(OTHER_RULES):
            yield Finding(rule=rule, sql=sql, step=step, message=found["message"])


def complaints(plan: Plan, server: Server) -> list[str]:
    """What squawk finds in the script of a plan and the server does not refute."""
    return [str(finding) for finding in findings(plan) if not server.refutes(finding)]
