"""For tests: test databases made from the models, and tables of models that only a test has."""

from typing import TYPE_CHECKING

from automigrate_ext.ondemand import on_demand

if TYPE_CHECKING:
    from automigrate_ext.testing.creation import bootstrapping
    from automigrate_ext.testing.runner import AutomigrateRunner, AutomigrateRunnerMixin

__all__ = ["AutomigrateRunner", "AutomigrateRunnerMixin", "bootstrapping"]

if not TYPE_CHECKING:
    # pytest imports this package before Django has been set up.
    __getattr__ = on_demand(__name__, __all__, ("creation", "runner"))
