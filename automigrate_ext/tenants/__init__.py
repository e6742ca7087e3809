"""For packages that give each tenant a schema: what they call in the place of `migrate`."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from automigrate_ext.tenants.command import MigrateCommand
    from automigrate_ext.tenants.executor import get_executor

__all__ = ["MigrateCommand", "get_executor"]

if not TYPE_CHECKING:
    HOMES = {"MigrateCommand": "command", "get_executor": "executor"}

    def __getattr__(name: str) -> object:
        """Load what settings name when it is first used: neither package is a dependency."""
        if name not in HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
        return globals()[name]
