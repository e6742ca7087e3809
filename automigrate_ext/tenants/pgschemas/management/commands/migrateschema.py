"""manage.py migrateschema: make the schemas of django-pgschemas match the models, in one run."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from django_pgschemas.management.commands import migrateschema

from automigrate_ext.fleet.packages import PUBLIC, target_of_django_pgschemas
from automigrate_ext.fleet.targets import Target
from automigrate_ext.management.exit_status import DIFFERENT
from automigrate_ext.tenants.run import Asked, Listeners, asked, bring_up, line, report_lines

#: The options by which schemas are chosen; without any of them, all are.
CHOOSING = ("schemas", "all_schemas", "static_schemas", "dynamic_schemas", "tenant_schemas")
#: Those that choose the public schema too.
CHOOSING_PUBLIC = ("all_schemas", "static_schemas")


class Command(migrateschema.MigrateSchemaCommand):  # type: ignore[misc]
    """Takes the options of the command in whose place it stands, which create_schema() calls too."""

    help = "Makes the tables of the schemas match the models, and keeps the data."

    def handle(self, *args: Any, **options: Any) -> None:
        """Do the public schema first: only then can the others be listed. Raises `CommandError`."""
        wanted = asked(options, self.stdout)
        differs = self.run_in([PUBLIC], wanted) if is_public_chosen(options) else False
        others = sorted(name for name in self.get_schemas_from_options(**options) if name != PUBLIC)
        differs = self.run_in(others, wanted) or differs
        if differs and options.get("check_unapplied"):
            sys.exit(DIFFERENT)

    def run_in(self, schemas: Iterable[str], wanted: Asked) -> bool:
        """Run over schemas; return whether there was anything to do."""
        targets = [Target(**target_of_django_pgschemas(name)) for name in schemas]
        report = bring_up(targets, wanted, Listeners(say=self.say) if wanted.verbosity >= 1 else Listeners())
        for text in report_lines(report, wanted):
            self.stdout.write(text)
        return bool(report)

    def say(self, schema: str, text: str) -> None:
        """Print what became of a schema."""
        self.stdout.write(line(schema, text))


def is_public_chosen(options: dict[str, Any]) -> bool:
    """Return whether the options choose the public schema."""
    if PUBLIC in (options.get("excluded_schemas") or ()):
        return False
    is_any_chosen = any(options.get(name) for name in CHOOSING)
    by_kind = any(options.get(name) for name in CHOOSING_PUBLIC)
    return not is_any_chosen or by_kind or PUBLIC in (options.get("schemas") or ())
