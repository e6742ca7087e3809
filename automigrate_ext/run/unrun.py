"""Find the migrations that do more than change tables, of apps that a run makes from nothing without them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from operator import attrgetter

from django.db.migrations import Migration

from automigrate_ext.plan.plan import CodedMigration
from automigrate_ext.run.migrations import Modules, coded_operations, load_each


def coded_migrations(
    label: str, modules: Modules, extensions: Collection[str] | None = None
) -> Iterator[CodedMigration]:
    """Yield the migrations of an installed app that do more than change tables, in the order of their names.

    They are imported. Those that a squashed one replaces are left out; `extensions` are those of PostgreSQL's that the
    run makes, None on another database.
    """
    loaded: dict[str, Migration] = {}
    found: list[CodedMigration] = []
    for name, migration in load_each(label, modules):
        if isinstance(migration, Exception):
            # The run needs nothing of the migration, and the plan gives the reason.
            reason = f"cannot be loaded ({type(migration).__name__}: {migration})"
            found.append(CodedMigration(app=label, name=name, error=reason))
        else:
            loaded[name] = migration
    replaced = {tuple(key) for migration in loaded.values() for key in migration.replaces}
    for name, migration in loaded.items():
        kinds = () if (label, name) in replaced else coded_operations((label, name), migration, extensions)
        if kinds:
            found.append(CodedMigration(app=label, name=name, operations=kinds))
    yield from sorted(found, key=attrgetter("name"))
