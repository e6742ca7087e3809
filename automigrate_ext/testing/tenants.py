"""Schemas of packages for tenants in test databases: made from the models, by whomever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from unittest import mock

from django.apps import apps
from django.core.management import get_commands

from automigrate_ext import tenants
from automigrate_ext.fleet import packages

COMMANDS_OF_TENANTS = "django_tenants.management.commands.migrate_schemas"
OUR_APP = "automigrate_ext.tenants.pgschemas"


@contextmanager
def tenants_from_models() -> Iterator[None]:
    """Have the packages' own commands make schemas from the models while the block runs.

    Their test cases and a tenant that is saved call these. Without such a package nothing changes.
    """
    if apps.is_installed(packages.DJANGO_TENANTS):
        commands = import_module(COMMANDS_OF_TENANTS)
        with mock.patch.object(commands, "GET_EXECUTOR_FUNCTION", tenants.get_executor):
            yield
    elif apps.is_installed(packages.DJANGO_PGSCHEMAS):
        with mock.patch.dict(get_commands(), migrateschema=OUR_APP):
            yield
    else:
        yield


def update_schemas(alias: str, *, verbosity: int) -> None:
    """Make the schemas that a test database has besides the public one match the models, even if rows lose values.

    Those of django-pgschemas are created where they are missing, as its `migrate` does. Raises `TargetsFailed` where
    one fails or is refused.
    """
    found = packages.targets(strict=True)
    if not found:
        return
    # Few projects have tenants, and tests wait for what is loaded.
    from automigrate_ext.exceptions import TargetsFailed
    from automigrate_ext.fleet.looks import Looks
    from automigrate_ext.fleet.run import FleetRun
    from automigrate_ext.fleet.targets import Target
    from automigrate_ext.fleet.work import Worker
    from automigrate_ext.run.options import Options

    targets = [Target(**values) for values in found if values["alias"] == alias and not values["shared"]]
    options = Options(accept_data_loss=True, verbosity=verbosity, looks_at_migrations=False, history=False)
    creates = apps.is_installed(packages.DJANGO_PGSCHEMAS)
    worker = Worker(looks=Looks(None, apps, options), options=options, creates=creates)
    report = FleetRun(targets=targets, worker=worker).run()
    if report.failed:
        raise TargetsFailed(report)
