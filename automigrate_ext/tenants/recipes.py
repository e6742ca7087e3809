"""What this process has done in targets, to be repeated in new ones without comparing or compiling again."""

from __future__ import annotations

from collections import OrderedDict

from django.core.signals import setting_changed
from django.db import connections

from automigrate_ext import signals
from automigrate_ext.backends.fingerprint import short
from automigrate_ext.fleet.looks import Family
from automigrate_ext.fleet.recipe import Recipe

#: How many recipes a process keeps: those of as many kinds of tenants, for each state that they are in.
RECIPES = 16


class Recipes:
    """Recipes by what they depend on; the one that was used longest ago gives way to a new one."""

    def __init__(self, size: int = RECIPES) -> None:
        self.size = size
        self.kept: OrderedDict[str, Recipe] = OrderedDict()

    def find(self, key: str) -> Recipe | None:
        """Return the recipe of a key; None where there is none, or where receivers want to be told of runs."""
        if key not in self.kept or signals.pre_run.receivers or signals.post_run.receivers:
            return None
        self.kept.move_to_end(key)
        return self.kept[key]

    def keep(self, key: str, recipe: Recipe) -> None:
        """Keep a recipe."""
        self.kept[key] = recipe
        self.kept.move_to_end(key)
        while len(self.kept) > self.size:
            self.kept.popitem(last=False)


def key_of(shape: str, family: Family) -> str:
    """Return what a recipe depends on: the database, what is there, and what the models declare."""
    connection = connections[family.selection.alias]
    entry = connection.settings_dict
    place = [str(entry[name]) for name in ("HOST", "PORT", "NAME", "USER")]
    standing = family.standing
    declared = [f"{table} {digest}" for table, digest in sorted(standing.models.items())]
    return short([shape, standing.own_note, *place, *declared])


#: The recipes of this process.
RECIPES_HERE = Recipes()
#: Digests of what models declare, which do not change while the process runs; see `Looks`.
DIGESTS: dict[tuple[object, ...], dict[str, str]] = {}


def forget(**options: object) -> None:
    """Forget the digests where a test changes a setting: settings decide what some fields declare."""
    DIGESTS.clear()


setting_changed.connect(forget)
