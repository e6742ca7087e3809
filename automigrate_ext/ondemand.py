"""Public names that are loaded when they are asked for: importing the package must not load all of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from importlib import import_module


def on_demand(package: str, names: Collection[str], modules: Iterable[str]) -> Callable[[str], object]:
    """The `__getattr__` of a package that finds each of its names in the first of its modules that has it.

    The name is looked for among the modules in their order, so the ones that load quickly come first.
    """

    def find(name: str) -> object:
        for module in modules if name in names else ():
            found = vars(import_module(f"{package}.{module}"))
            if name in found:
                vars(import_module(package))[name] = found[name]
                return found[name]
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find
