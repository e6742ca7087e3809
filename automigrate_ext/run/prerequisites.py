"""What the tables need before they are made: extensions, and the entries of AUTOMIGRATE["BEFORE"]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.utils import Error

from automigrate_ext.backends.base import Backend
from automigrate_ext.plan.plan import HookStep
from automigrate_ext.run.hooks import Hook


@dataclass(frozen=True, slots=True, kw_only=True)
class Prerequisites:
    """Extensions and entries of AUTOMIGRATE["BEFORE"] that a database lacks, or that a run has made."""

    extensions: tuple[str, ...] = ()
    hooks: tuple[Hook, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.extensions or self.hooks)

    def try_out(self, backend: Backend) -> None:
        """Make them within the caller's trial. Raises as `Backend.failure` where the database refuses."""
        try:
            backend.extensions.create(self.extensions)
            for hook in self.hooks:
                hook.run(backend)
        except Error as error:
            raise backend.faults.failure(error, "Nothing was changed", backend.faults.advice(error)) from error


def as_step(hook: Hook, alias: str) -> HookStep:
    """Return an entry of AUTOMIGRATE as a plan shows it."""
    is_sql = hook.function is None
    return HookStep(when=hook.key.lower(), name=hook.name, statement=hook.statement(alias), is_sql=is_sql)


def as_steps(hooks: Sequence[Hook], alias: str) -> tuple[HookStep, ...]:
    """Return entries of AUTOMIGRATE as a plan shows them."""
    return tuple(as_step(hook, alias) for hook in hooks)
