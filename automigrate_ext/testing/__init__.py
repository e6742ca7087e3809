"""For tests: test databases made from the models, and tables of models that only a test has."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from automigrate_ext.testing.creation import bootstrapping
    from automigrate_ext.testing.runner import AutomigrateRunner, AutomigrateRunnerMixin

__all__ = ["AutomigrateRunner", "AutomigrateRunnerMixin", "bootstrapping"]

if not TYPE_CHECKING:
    HOMES = {"AutomigrateRunner": "runner", "AutomigrateRunnerMixin": "runner", "bootstrapping": "creation"}

    def __getattr__(name: str) -> object:
        """Load a public name when it is first used, because pytest imports this package before Django is set up."""
        if name not in HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
        return globals()[name]
