"""The command that django-tenants runs in one schema, in the place of `migrate`."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connections
from django_tenants.utils import has_multi_type_tenants

from automigrate_ext.fleet.packages import target_of_django_tenants
from automigrate_ext.fleet.targets import Target
from automigrate_ext.management.exit_status import DIFFERENT
from automigrate_ext.tenants.run import Listeners, asked, bring_up, report_lines, without_clone


class MigrateCommand(BaseCommand):
    """Makes the tables of the current schema match the models, for the setting TENANT_BASE_MIGRATE_COMMAND.

    It takes the options of `migrate`, of which those that speak of migrations are errors.
    """

    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = asked(without_clone(options), self.stdout)
        connection: Any = connections[options["database"]]
        tenant_type = connection.tenant.get_tenant_type() if has_multi_type_tenants() else ""
        values = target_of_django_tenants(connection.schema_name, tenant_type, options["database"])
        report = bring_up([Target(**values)], wanted, Listeners(say=self.say) if wanted.verbosity >= 1 else Listeners())
        self.stdout.write("".join(f"{line}\n" for line in report_lines(report, wanted)), ending="")
        if options.get("check_unapplied") and report:
            sys.exit(DIFFERENT)

    def say(self, schema: str, text: str) -> None:
        """Print what became of the schema; django-tenants puts its name before each line."""
        self.stdout.write(text)
