"""The executor of `migrate_schemas`, a command of django-tenants, that takes all tenants at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

from django_tenants.migration_executors import base
from django_tenants.migration_executors import get_executor as get_their_executor
from django_tenants.signals import schema_migrate_message, schema_migrated, schema_pre_migration

from automigrate_ext.fleet.packages import target_of_django_tenants
from automigrate_ext.fleet.report import FleetReport
from automigrate_ext.fleet.targets import Target
from automigrate_ext.management.exit_status import DIFFERENT
from automigrate_ext.tenants.run import CODENAME, Asked, Listeners, asked, bring_up, line, report_lines, without_clone


def get_executor(codename: str | None = None) -> type[Any]:
    """Return the class of an executor, for the setting GET_EXECUTOR_FUNCTION.

    Without a name from --executor or the environment's EXECUTOR it is this package's, "autoupdate"; other names are
    those of django-tenants. Raises `NotImplementedError` for unknown ones.
    """
    name = codename or os.environ.get("EXECUTOR") or CODENAME
    executor: type[Any] = AutoupdateExecutor if name == CODENAME else get_their_executor(name)
    return executor


class AutoupdateExecutor(base.MigrationExecutor):  # type: ignore[misc]
    """Makes the schemas of tenants match the models, in one run over all that `migrate_schemas` lists."""

    codename = CODENAME

    def run_migrations(self, tenants: Iterable[str] | None = None) -> None:
        """Run over schemas. Raises `CommandError` where any failed or was refused."""
        self.run((name, "") for name in tenants or ())

    def run_multi_type_migrations(self, tenants: Iterable[tuple[str, str]]) -> None:
        """Run over schemas of these types. Raises as `run_migrations` does."""
        self.run(tenants)

    def run(self, tenants: Iterable[tuple[str, str]]) -> None:
        """Run over schemas, each with the type of its tenant, "" where there are no types."""
        alias = self.options.get("database") or self.TENANT_DB_ALIAS
        targets = [Target(**target_of_django_tenants(*tenant, alias=alias)) for tenant in tenants]
        run_in_tenants(targets, asked(without_clone(self.options), sys.stdout), check=self.options["check_unapplied"])


def run_in_tenants(targets: list[Target], wanted: Asked, *, check: bool) -> FleetReport:
    """Run over schemas of django-tenants, and send its signals.

    Raises `CommandError` where any failed or was refused, and exits with the status of a difference where `check` is
    true and any differs.
    """
    report = bring_up(targets, wanted, listeners(wanted))
    for text in report_lines(report, wanted):
        wanted.stdout.write(f"{text}\n")
    if check and report:
        sys.exit(DIFFERENT)
    return report


def listeners(wanted: Asked) -> Listeners:
    """Return who is told of a run: receivers of the signals, and somebody who reads the output."""

    def say(schema: str, text: str) -> None:
        if wanted.verbosity >= 1:
            message = line(schema, text)
            schema_migrate_message.send(base.run_migrations, message=message)
            wanted.stdout.write(f"{message}\n")

    return Listeners(
        say=say,
        before=lambda schema: schema_pre_migration.send(base.run_migrations, schema_name=schema),
        after=lambda schema: schema_migrated.send(base.run_migrations, schema_name=schema),
    )
