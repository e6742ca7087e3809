"""Explain a failing `migrate` in a database whose tables runs of this package keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.core.management.base import CommandError
from django.db import connections
from django.db.utils import Error

from automigrate_ext.backends import backend_for
from automigrate_ext.run.record_table import TABLE

#: How statements begin that change tables.
CHANGES = ("CREATE ", "ALTER ", "DROP ")
EXPLANATION = (
    "Database {alias!r}: {words}. autoupdate keeps the tables of this database up to date without migrations, so that "
    "what the migration does may be done already. Run `python manage.py autoupdate --record-migrations{option}`: it "
    "makes the tables match the models, and marks the migrations on disk as applied. Then migrate has nothing to do."
)


class Explanation:
    """Turns the error of a statement that found the tables otherwise than it expects into a `CommandError`.

    It is one of the connection's `execute_wrappers` from `pre_migrate` to `post_migrate`, or to the first error that it
    explains.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        try:
            return execute(sql, params, many, context)
        except Error as error:
            faults = backend_for(self.alias).faults
            if not (str(sql).lstrip().startswith(CHANGES) and faults.is_out_of_step(error)):
                raise
            withdraw(self.alias)
            words = faults.explain(error).removesuffix(".")
            option = "" if self.alias == "default" else f" --database {self.alias}"
            raise explained(
                error, EXPLANATION.format(alias=self.alias, words=words, option=option)
            ) from error.__cause__


def explained(error: Error, words: str) -> CommandError:
    """Return an error as a `CommandError` with other words.

    It is of the error's own class too, with the same arguments: code of a migration may expect that error and go on.
    """
    kind: Any = type(CommandError.__name__, (CommandError, type(error)), {"__str__": lambda self: words})
    return kind(*error.args)  # type: ignore[no-any-return]


def offer(alias: str, plan: Sequence[tuple[Any, bool]]) -> None:
    """Explain what fails from now on, if migrations are to be run in a database that has a record of this package."""
    withdraw(alias)
    if any(not backwards for _, backwards in plan) and backend_for(alias).existing([TABLE]):
        connections[alias].execute_wrappers.append(Explanation(alias))


def withdraw(alias: str) -> None:
    """Explain nothing more."""
    wrappers = connections[alias].execute_wrappers
    wrappers[:] = [wrapper for wrapper in wrappers if not isinstance(wrapper, Explanation)]
