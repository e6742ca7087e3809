"""For tests: test databases made from the models, and tables of models that only a test has."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from automigrate_ext.testing.creation import bootstrapping
    from automigrate_ext.testing.runner import AutomigrateRunner, AutomigrateRunnerMixin

__all__ = ["AutomigrateRunner", "AutomigrateRunnerMixin", "bootstrapping"]

#: Where the names are.
MODULES = ("creation", "runner")

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a name when it is asked for: pytest imports this package before Django has been set up."""
        for module in MODULES if name in __all__ else ():
            found = vars(import_module(f"{__name__}.{module}"))
            if name in found:
                globals()[name] = found[name]
                return found[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
